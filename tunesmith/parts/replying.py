"""Prompts and replies to them, which are to be judged: read from their columns, encoded by the model's template, the reply alone learned.

A prompt is a text or messages; a reply a text or the messages after the user's last, calls of tools and their results among them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..data.finding import Finding, count, places
from ..errors import DataError
from ..task import Batch, Example, Outputs, Row
from . import batch, chat, template, tokens, tools, writing

if TYPE_CHECKING:
    from ..data.table import Table
    from ..inference import Encoded

Messages = Sequence[Mapping[str, Any]]
Whole = Callable[[Row, str], Sequence[Example]]
"""A row's examples at full length, given its place."""
TURNS = (("\n\nHuman:", "user"), ("\n\nAssistant:", "assistant"))
"""How a conversation in one text begins its turns (Anthropic's helpful and harmless replies)."""

FRAME = 512
"""Most tokens that a template puts around a row's own words."""

EXPECTED = {
    **chat.EXPECTED,
    "no-prompt": ("a prompt, or whole conversations with the user's words before the reply", "add the prompt, or take the row out"),
    "bad-prompt": ("a prompt that is a text, or messages that end with the user's", "mend it, or take the row out"),
    "empty-reply": ("a reply with text, or a call", "fill it, or take the row out"),
    "bad-label": ("a judgement: true or false, 1 or 0, good or bad, up or down", "write it so, or take the row out"),
    "same-replies": ("two replies that differ", "take the row out: it teaches nothing"),
}
"""What is wrong with a row: what was expected, what to do."""


class Reader(Protocol):
    """A task that reads so many tokens of a row, of a model that takes `limit`."""

    tokens_kept: int
    limit: int


def replied(cell: Any) -> tuple[Messages, str, str]:
    """The messages of a reply, and what is wrong with them: a code and a sentence's object. A text is one message; of a list of messages,
    or JSON of one, those after the user's last: an answer, or calls of tools, their results and the answer."""
    if isinstance(cell, str):
        found = conversation(cell) if cell.lstrip().startswith("[{") else []
        found = found or [{"role": "assistant", "content": str(tokens.mended(cell))}]
    elif not cell:
        return [], "empty-reply", "an empty cell"
    else:
        found, code, got = chat.read(cell)
        if code:
            return [], code, got
    own = found[1 + max((i for i, message in enumerate(found) if message["role"] in ("system", "user")), default=-1) :]
    if not own or own[-1]["role"] != "assistant":
        return [], "empty-reply", f"messages that end with the {found[-1]['role']}'s"
    return (own, "", "") if words(own).strip() else ([], "empty-reply", "an empty reply")


def words(said: Messages) -> str:
    """What the assistant says in a reply, calls as JSON."""
    return "\n".join(chat.replies(said))


def reply(cell: Any) -> str:
    """The words of a reply; nothing where there is none."""
    return words(replied(cell)[0])


def wrong_prompt(cell: Any) -> tuple[str, str]:
    """What is wrong with a prompt (a text or messages that the assistant is to answer): a code and a sentence's object; empty where
    nothing is."""
    if cell in (None, "", []):
        return "no-prompt", "none"
    messages, code, got = chat.read(cell)
    if code:
        return "bad-prompt", got
    return ("bad-prompt", "messages that end with the assistant's") if messages[-1]["role"] == "assistant" else ("", "")


def findings(
    table: Table, wrong: Sequence[tuple[str, str]], known: Mapping[str, tuple[str, str]] = MappingProxyType(EXPECTED)
) -> list[Finding]:
    """An error for each code among what is wrong with the rows: what was expected, what the first of them has, which they are."""
    found = []
    for code in dict.fromkeys(code for code, _ in wrong if code):
        rows = [at for at, (other, _) in enumerate(wrong) if other == code]
        what, fix = known[code]
        more = f" (and {count(len(rows) - 1)} like it)" if len(rows) > 1 else ""
        found.append(Finding("error", code, f"expected {what}, got {wrong[rows[0]][1]}{more}", places(table, rows), fix))
    return found


def conversation(cell: Any) -> list[dict[str, Any]]:
    """The messages of a whole conversation: a list, JSON of one, or a text with `Human:` and `Assistant:`; nothing where it is none."""
    if isinstance(cell, str) and not cell.lstrip().startswith("["):
        return _turns(cell)
    messages, code, _ = chat.read(cell)
    return [] if code else messages


def _turns(text: str) -> list[dict[str, Any]]:
    found, at = [], sorted((i, mark, role) for mark, role in TURNS for i in _all(text, mark))
    for (start, mark, role), (end, _, _) in zip(at, [*at[1:], (len(text), "", "")]):
        found.append({"role": role, "content": text[start + len(mark) : end].strip()})
    return found


def _all(text: str, mark: str) -> list[int]:
    found, at = [], text.find(mark)
    while at >= 0:
        found.append(at)
        at = text.find(mark, at + 1)
    return found


def parted(chosen: Any, rejected: Any) -> tuple[str | None, str, str]:
    """What two conversations begin with alike, as JSON of messages, and the reply that ends each; None where they have nothing alike."""
    one, other = conversation(chosen), conversation(rejected)
    same = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    same = min(same, len(one) - 1, len(other) - 1)  # equal replies are told by the check
    while same > 0 and one[same - 1]["role"] == "assistant":
        same -= 1
    if same < 1 or any(message["role"] == "user" for message in (*one[same:], *other[same:])):
        return None, reply(chosen), reply(rejected)
    return json.dumps(one[:same], ensure_ascii=False), _cell(one[same:]), _cell(other[same:])


def ended(cell: Any) -> tuple[str | None, str]:
    """A conversation as JSON of its messages up to the reply that ends it, and that reply; None where there is nothing before it."""
    talk = conversation(cell)
    own = replied(talk)[0] if talk else []
    if not own or len(own) == len(talk):
        return None, reply(cell)
    return json.dumps(talk[: -len(own)], ensure_ascii=False), _cell(own)


def _cell(said: Messages) -> str:
    plain = len(said) == 1 and set(said[0]) == {"role", "content"} and not said[0]["content"].lstrip().startswith("[")
    return str(said[0]["content"]) if plain else json.dumps(said, ensure_ascii=False)


def side(processor: Any, asked: Messages, said: Messages, most: int, given: Messages = ()) -> Example:
    """The conversation with this reply to it, of which the reply alone is learned. `given`: the tools that may be called."""
    turn = chat.turns(processor, [*asked, *said], given)[-1]
    own = sum(message["role"] == "assistant" for message in said)
    return chat.example(processor, replace(turn, spans=turn.spans[-own:]), most)


def whole(processor: Any, asked: Messages, said: Messages, place: str, given: Messages = ()) -> Example:
    """The same at full length, once it is known that the template takes it. Raises DataError, naming the `place`, where it does not."""
    refuse_unwritten(processor, [*asked, *said], given, place)
    return side(processor, asked, said, 10**9, given)


def marked(processor: Any, asked: Messages, said: Messages, most: int, given: Messages = ()) -> list[tuple[str, bool]]:
    """The same in stretches: what the model reads, and whether it learns it."""
    turn = chat.turns(processor, [*asked, *said], given)[-1]
    own = sum(message["role"] == "assistant" for message in said)
    return chat.marked(processor, replace(turn, spans=turn.spans[-own:]), most)


def question(processor: Any, cell: Any, given: Messages, room: int) -> Example:
    """A prompt alone, which the assistant is to answer. Raises DataError for one that it cannot."""
    code, got = wrong_prompt(cell)
    if code:
        expected, fix = EXPECTED[code]
        raise DataError("the request", expected=expected, got=got, fix=fix, code=code)
    try:
        turn = chat.asked(processor, chat.read(cell)[0], given)
    except template.Refused as refused:
        raise chat.untaken("the request", refused) from None
    return writing.question(chat.ids_of(processor, turn).tolist(), room)


def tools_of(cell: Any, place: str) -> list[dict[str, Any]]:
    """The tools of a cell. Raises DataError where it holds something else."""
    found, wrong = tools.read(cell)
    if wrong:
        expected, fix = EXPECTED["bad-tools"]
        raise DataError(place, expected=expected, got=wrong, fix=fix, code="bad-tools")
    return found


def unwritten(rows: Table, talks: Iterable[Sequence[tuple[Messages, Messages]]], processor: Any) -> list[Finding]:
    """What the model's chat template does with these rows: errors where it refuses messages or leaves out tools, a warning where it leaves
    out the thoughts before a reply. `talks`: each row's conversations, with the tools that may be called."""
    wrong, silent = dict[int, DataError](), list[int]()
    for at, told in enumerate(talks):
        for talk, given in told:
            try:
                refuse_unwritten(processor, talk, given, rows.place(at))
                lost = chat.unthought(processor, talk)
            except template.Refused as refused:
                wrong[at] = chat.untaken(rows.place(at), refused)
            except DataError as error:
                wrong[at] = error
            else:
                silent += [at] if lost else []
    got = [(wrong[at].code, wrong[at].got) if at in wrong else ("", "") for at in range(len(rows))]
    known = {error.code: (error.expected, error.fix) for error in reversed(wrong.values())}
    return [*findings(rows, got, known), *_thoughtless(rows, list(dict.fromkeys(silent)))]


def refuse_unwritten(processor: Any, talk: Messages, given: Messages, place: str) -> None:
    """Raises DataError, naming the `place`, where the template refuses messages or leaves out tools, calls or results."""
    try:
        if lost := chat.ignored(processor, talk, given):
            raise chat.unwritten(place, lost)
    except template.Refused as refused:
        raise chat.untaken(place, refused) from None


def lost(
    rows: Table, talks: Iterable[Sequence[tuple[Messages, Messages]]], whole: Whole, task: Reader, processor: Any, must: int = 1
) -> list[Finding]:
    """What `unwritten` tells, and `cut` where the template takes all rows."""
    found = unwritten(rows, talks, processor)
    return found if any(one.level == "error" for one in found) else [*found, *cut(rows, whole, task, processor, must)]


def cut(rows: Table, whole: Whole, task: Reader, processor: Any, must: int = 1) -> list[Finding]:
    """Rows of which a reply lies beyond the tokens that are read of them: wholly in one of the first `must` examples (an error), or with
    its end (a warning)."""
    gone, ends, kept = list[int](), list[int](), task.tokens_kept
    for at, row in enumerate(rows.rows()):
        if len(json.dumps(list(row.values()), default=str)) + FRAME <= kept:  # a token is at least one byte
            continue
        learn = [np.asarray(example["learn"]) for example in whole(row, rows.place(at))]
        gone += [at] if any(not one_T[1:kept].any() for one_T in learn[:must]) else []
        ends += [at] if any(one_T[kept:].any() for one_T in learn) else []
    read = f"the {kept:,} tokens that are read of a row"
    more = kept < min(task.limit, tokens.limit(processor))
    fix = "shorten them, or " + ("leave options.max_tokens out, or set it higher" if more else "use a model that reads more")
    lost = f"expected what is to be learned within {read}, got {count(len(gone))} that would lose all of it"
    short = f"{count(len(ends))} with a reply that goes on beyond {read}: its end, and to stop there, is not learned"
    found = [Finding("error", "answer-cut", lost, places(rows, gone), fix), Finding("warning", "reply-cut", short, places(rows, ends), fix)]
    return [one for one in found if one.rows][:1]


def _thoughtless(rows: Table, silent: Sequence[int]) -> list[Finding]:
    if not silent:
        return []
    message = f"{count(len(silent))} with thoughts before a reply that the model's chat template does not write: they are not learned"
    fix = "use a model that thinks (a Qwen3, say), or put them into the reply's content, between <think> and </think>"
    return [Finding("warning", "thoughts-unlearned", message, places(rows, silent), fix)]


# -- conversations of a row, end to end --------------------------------------------------------------------------------


def collate(examples: Sequence[Example], pad: int) -> Batch:
    """`input_ids`, `learn` and `attention_mask` (B, K, T): the K conversations that lie end to end in a row, the first `split` tokens its
    first; `reference` (B, K) where it is known; `good` and `bytes` (B,). Questions (without `split`) are padded to the longest."""
    import torch

    if "split" not in examples[0]:
        return batch.collate(examples, writing.pads(pad))
    both = any(int(e["split"]) < len(e["input_ids"]) for e in examples)
    sides = [(slice(0, int(e["split"])), slice(int(e["split"]), None))[: 1 + both] for e in examples]
    longest = max(len(np.asarray(e["input_ids"])[part]) for e, parts in zip(examples, sides) for part in parts)
    shape = (len(examples), 1 + both, longest)
    ids, learn, mask = np.full(shape, pad, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, (one, parts) in enumerate(zip(examples, sides)):
        for which, part in enumerate(parts):
            values = np.asarray(one["input_ids"])[part]
            ids[row, which, : len(values)], mask[row, which, : len(values)] = values, 1
            learn[row, which, : len(values)] = np.asarray(one["learn"])[part]
    made = {"input_ids": ids, "learn": learn, "attention_mask": mask}
    made |= {name: np.array([int(e[name]) for e in examples]) for name in ("good", "bytes") if name in examples[0]}
    if "reference" in examples[0]:
        made["reference"] = np.stack([np.asarray(e["reference"], np.float32) for e in examples])
    return {name: torch.from_numpy(value) for name, value in made.items()}


def mined(encoded: Encoded, outputs: Outputs) -> Encoded:
    """The rows with what the untouched model says of them: `reference` (N, K)."""
    return encoded.with_arrays(reference=np.asarray(outputs.get("reference", outputs["logp"]), np.float32))


def answers(outputs: Outputs) -> list[dict[str, Any]]:
    """`text` and `stopped` of a reply."""
    return [answer | {"text": answer["text"].strip()} for answer in writing.answers(outputs)]
