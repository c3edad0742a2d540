"""The mean of the best few weights of a run, taken greedily: a checkpoint joins only where validation does not get worse
(Wortsman et al., arXiv 2203.05482, recipe 1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .events import Adjusted, Event, Saved
from .stages import validate
from .state import Best

if TYPE_CHECKING:
    from .stages import Work
    from .state import State

Weights = Mapping[str, torch.Tensor]


def average_tops(state: State, work: Work, folder: Path, metric: str) -> Iterator[Event]:
    """Average the state's best few; the mean becomes the best where it scores at least as well."""
    if len(state.tops) < 2:
        return
    better = 1 if state.ready.task.directions[metric] else -1
    kept = [state.read(folder, state.tops[0].folder)]
    value, scores = state.tops[0].value, state.tops[0].scores
    for top in state.tops[1:]:
        tried = [*kept, state.read(folder, top.folder)]
        state.put(_mean(tried))
        found, _, _ = validate(state, work)
        if better * found[metric] >= better * value:
            kept, value, scores = tried, found[metric], found
    why = f"{len(kept)} of {len(state.tops)} checkpoints help on validation rows"
    yield Adjusted(state.total, "weights averaged", why)
    if len(kept) > 1 and state.best is not None and better * value >= better * state.best.value:
        state.put(_mean(kept))
        state.ema = {}
        state.best = Best(value, state.total, "average", scores, value)
        yield Saved(state.total, str(state.save_weights(folder, state.best)))


def _mean(weights: list[Weights]) -> Weights:
    return {name: torch.stack([w[name] for w in weights]).mean(0) for name in weights[0]}
