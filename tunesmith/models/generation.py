"""Writing on from prompts: token by token, many rows at a time, each token computed once (key-value cache).

Rows stand as in training, padded on the right, and what is written goes behind the padding under the positions it would have without:
a row's text is the same alone and in a batch. Families whose positions cannot be named that way are written one row at a time.

Axes: B rows of a batch, T tokens of the prompts, V entries of the vocabulary.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch

from .heads import argument_names, bare, evaluating, inputs, virtual_tokens
from .language import Language

END = Callable[[Sequence[int]], bool]


@final
@dataclass(frozen=True)
class How:
    """How the next token is chosen, and when to stop."""

    most: int = 128
    """Most tokens written."""
    temperature: float = 0.0
    """0: always the likeliest token; above: drawn from probabilities at this temperature."""
    top_p: float = 1.0
    """Drawn among the fewest tokens that have this much probability together (arXiv 1904.09751)."""
    seed: int = 0
    """Of the draws; a prompt's draws depend on it and on the prompt alone."""
    ends: frozenset[int] = frozenset()
    """Tokens that end a text, themselves left out of it."""


@final
@dataclass(frozen=True)
class Written:
    """What was written after one prompt."""

    ids: tuple[int, ...]
    stopped: bool
    """Whether the model ended by itself, and not because the limit was reached."""


def write(model: Language, prompts: Sequence[Sequence[int]], how: How, ended: END | None = None) -> list[Written]:
    """What the model writes after each prompt (token ids, at least one each). `ended`: says of the ids so far whether to stop."""
    with evaluating(model), torch.inference_mode():
        if len({len(prompt) for prompt in prompts}) > 1 and not _movable(model):
            return [_last(_write(model, [prompt], how, ended))[0] for prompt in prompts]
        return _last(_write(model, prompts, how, ended)) if len(prompts) else []


@torch.inference_mode()
def stream(model: Language, prompt: Sequence[int], how: How, ended: END | None = None) -> Iterator[Written]:
    """What the model writes after one prompt, while it does: after each token all that there is so far; the last is what `write` gives."""
    with evaluating(model):
        for found in _write(model, [prompt], how, ended):
            yield found[0]


def _last(written: Iterator[list[Written]]) -> list[Written]:
    *_, found = written
    return found


def _movable(model: Language) -> bool:
    """Whether a token's position can be told apart from its place in the cache."""
    module = bare(model.backbone)
    return "position_ids" in argument_names(type(module)) and not getattr(module.config, "sliding_window", None)


def _write(model: Language, prompts: Sequence[Sequence[int]], how: How, ended: END | None) -> Iterator[list[Written]]:
    """What there is after each token, and at last all of it."""
    device = next(model.parameters()).device
    ids_BT, mask_BT = _padded(prompts, device)
    extra, rows = virtual_tokens(model.backbone), torch.arange(len(prompts), device=device)
    batch = {"input_ids": ids_BT, "attention_mask": mask_BT}
    found = model.backbone(**{**inputs(model.backbone, batch), "use_cache": True})
    length_B = mask_BT.sum(1)
    hidden_BD = found.last_hidden_state[:, -ids_BT.shape[1] :][rows, length_B - 1]
    mask_BT = torch.cat([mask_BT.new_ones(len(prompts), extra), mask_BT], 1)
    draws, texts = Draws(prompts, how), [_Text(how, ended) for _ in prompts]
    for step in range(_room(model, int(length_B.max()) + extra, how.most)):
        token_B = draws.choose(model.logits(hidden_BD))
        for text, token in zip(texts, token_B.tolist(), strict=True):
            text.add(token)
        if all(text.stopped for text in texts) or step + 1 == how.most:
            break
        yield [text.written for text in texts]
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(prompts), 1)], 1)
        position_B1 = (length_B + extra + step)[:, None]
        found = _step(model, token_B[:, None], mask_BT, position_B1, found.past_key_values)
        hidden_BD = found.last_hidden_state[:, -1]
    yield [text.written for text in texts]


def _step(model: Language, ids_B1: torch.Tensor, mask_BT: torch.Tensor, position_B1: torch.Tensor, cache: Any) -> Any:
    """One token of each row through the decoder alone: learnt tokens already stand in the cache."""
    module = bare(model.backbone)
    named = {"position_ids": position_B1} if "position_ids" in argument_names(type(module)) else {}
    return module(input_ids=ids_B1, attention_mask=mask_BT, past_key_values=cache, use_cache=True, **named)


def _padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(prompt) for prompt in prompts)
    ids = [[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts]
    mask = [[1] * len(prompt) + [0] * (longest - len(prompt)) for prompt in prompts]
    return torch.tensor(ids, dtype=torch.long, device=device), torch.tensor(mask, dtype=torch.long, device=device)


def _room(model: Language, used: int, most: int) -> int:
    """How many tokens may be written: the architecture has no positions beyond its last."""
    return min(most, model.source.positions - used) if model.source.positions else most


@final
class _Text:
    """One row's text while it grows."""

    def __init__(self, how: How, ended: END | None) -> None:
        self.ids: list[int] = []
        self.stopped = False
        self._ends, self._ended = how.ends, ended

    @property
    def written(self) -> Written:
        """As it is now."""
        return Written(tuple(self.ids), self.stopped)

    def add(self, token: int) -> None:
        """Take the next token, unless the text has ended."""
        if self.stopped:
            return
        if token in self._ends:
            self.stopped = True
            return
        self.ids.append(token)
        self.stopped = bool(self._ended and self._ended(self.ids))


@final
class Draws:
    """Chooses the next tokens; every row has random numbers of its own."""

    def __init__(self, prompts: Sequence[Sequence[int]], how: How) -> None:
        self._how = how
        seeds = [zlib.crc32(repr((how.seed, list(prompt))).encode()) for prompt in prompts] if how.temperature else []
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def choose(self, logits_BV: torch.Tensor) -> torch.Tensor:
        """(B,) ids."""
        if not self._how.temperature:
            return logits_BV.argmax(-1)
        p_BV = _nucleus((logits_BV / self._how.temperature).softmax(-1), self._how.top_p).cpu()
        drawn = [torch.multinomial(p_V, 1, generator=g) for p_V, g in zip(p_BV, self._generators, strict=True)]
        return torch.cat(drawn).to(logits_BV.device)


def _nucleus(p_BV: torch.Tensor, share: float) -> torch.Tensor:
    """Probabilities outside the smallest set with this share are 0; the likeliest token always stays."""
    if share >= 1:
        return p_BV
    sorted_BV, order_BV = p_BV.sort(-1, descending=True)
    out_BV = sorted_BV.cumsum(-1) - sorted_BV >= share
    return p_BV.masked_fill(torch.zeros_like(out_BV).scatter(-1, order_BV, out_BV), 0.0)
