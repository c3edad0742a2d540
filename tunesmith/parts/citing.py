"""Answers that a language model writes from numbered passages, and which of these it names: `It costs two euros [2].`"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from . import bm25, chat, tokens

ASK = (
    "Answer the question in a few words, from the passages alone, and name the passage that says so, like [1]. If no passage answers it, "
    "say: I do not know."
)
UNKNOWN = re.compile(r"\b(i|we) (do not|don['’]t) know\b|\bno passage\b|\bnot (mentioned|stated|given) in\b", re.IGNORECASE)
NAMED = re.compile(r"\s*\[(?:passage )?(\d{1,2})\]", re.IGNORECASE)
MOST = 64
"""Tokens of an answer."""
LONGEST = 2048
"""Tokens of a prompt, within the model's limit; what is longer loses the last passages' ends."""


def write(model: Any, processor: Any, question: str, passages: Sequence[str]) -> dict[str, Any]:
    """`text`, `cites` (passages by place, from 0) and `odds`, the mean log probability of the answer's tokens; no text where the model
    says that it does not know."""
    limit = min(model.source.max_length, LONGEST) - MOST
    prompt = _prompt(processor, question, passages, limit)
    tokenizer = tokens.tokenizer_of(processor)
    ends = frozenset({tokenizer.eos_token_id, chat.end_of_turn(processor)} - {None})
    (written,) = model.write([prompt], {"most": MOST, "ends": ends}, lambda ids: tokenizer.decode(ids[-4:]).endswith("\n\n"))
    said = tokenizer.decode(written.ids, skip_special_tokens=True).strip()
    return {"odds": round(_sure(model, prompt, written.ids), 5)} | cited(said, passages)


def cited(said: str, passages: Sequence[str]) -> dict[str, Any]:
    """The answer without its references, and the passages that these name; where it names none, the one that shares most words with it."""
    named = [int(one) - 1 for one in NAMED.findall(said)]
    text = NAMED.sub("", said).strip()
    if UNKNOWN.search(text) or not text:
        return {"text": "", "cites": []}
    kept = [at for at in dict.fromkeys(named) if 0 <= at < len(passages)]
    return {"text": text, "cites": kept or _like(text, passages)}


def _like(text: str, passages: Sequence[str]) -> list[int]:
    wanted = set(bm25.words(text))
    shared = [len(wanted & set(bm25.words(passage))) for passage in passages]
    return [shared.index(max(shared))] if any(shared) else []


def _prompt(processor: Any, question: str, passages: Sequence[str], limit: int) -> list[int]:
    """Token ids of what is asked, in the model's own form of a conversation, with as much of the passages as it holds."""
    tokenizer = tokens.tokenizer_of(processor)
    room = max(limit - 200, 64)
    for share in range(len(passages), 0, -1):
        each = room // share
        told = [tokenizer.decode(tokenizer(one, add_special_tokens=False)["input_ids"][:each]) for one in passages[:share]]
        if each >= 64 or share == 1:
            break
    listed = "\n\n".join(f"[{number}] {' '.join(one.split())}" for number, one in enumerate(told, 1))
    text = f"{ASK}\n\n{listed}\n\nQuestion: {question}"
    return [int(one) for one in chat.ids_of(processor, chat.asked(processor, [{"role": "user", "content": text}]))][-limit:]


def _sure(model: Any, prompt: Sequence[int], ids: Sequence[int]) -> float:
    """Mean log probability of what was written."""
    import torch

    if not ids:
        return -20.0
    whole = torch.tensor([[*prompt, *ids]], device=next(model.parameters()).device)
    learn = torch.zeros_like(whole)
    learn[0, len(prompt) :] = 1
    with torch.no_grad():
        nll_BT = model({"input_ids": whole, "attention_mask": torch.ones_like(whole), "learn": learn})
    return -float(nll_BT.sum()) / len(ids)
