"""Between the probe and the tuned weights: a straight line along which both the old knowledge and the new one are kept.

The mean of a model before and after tuning often beats both (Wortsman et al., arXiv 2109.01903). A few places on the line are scored
on validation rows; the tuned weights stay where none is at least as good.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .events import Adjusted, Evaluated, Event, Saved
from .stages import validate
from .state import Best

if TYPE_CHECKING:
    from .stages import Work
    from .state import State

SHARES = (0.75, 0.5, 0.25)
"""Shares of the tuned weights that are tried."""


def blend(state: State, work: Work, folder: Path, metric: str) -> Iterator[Event]:
    """Score mixtures of the probe's and the best tuned weights; the best of all becomes the run's best.

    Where the probe is still the best, the tuned weights are those that the last stage ended with.
    """
    if state.anchor is None or state.best is None or state.ready.strategy.adapter:
        return
    if all(stage.solve for stage in state.stages):  # nothing was tuned: three passes over the validation rows for nothing
        return
    better = 1 if state.ready.task.directions[metric] else -1
    old = state.read(folder, state.anchor.folder)
    new = dict(state.weights(averaged=True)) if state.best == state.anchor else state.read(folder, state.best.folder)
    new = {name: tensor.clone() for name, tensor in new.items()}
    tried = []
    for share in SHARES:
        state.put(_between(old, new, share))
        scores, _, _ = validate(state, work)
        tried.append((better * scores[metric], share, scores))
    value, share, scores = max(tried, key=lambda one: one[:2])
    if value < better * state.best.value:
        state.put(new)
        yield Adjusted(
            state.total, "not blended", "no mixture of the probe's and the tuned weights is as good on validation rows"
        )
        return
    state.put(_between(old, new, share))
    state.ema = {}
    state.best = Best(better * value, state.total, "blend", scores, better * value)
    yield Adjusted(
        state.total, "weights blended", f"{share:.0%} of the tuned, the rest of the probe's: best on validation rows"
    )
    yield Saved(state.total, str(state.save_weights(folder, state.best)))
    epochs = float(state.ready.plan.spec.train.epochs)
    yield Evaluated(state.total, "blend", epochs, scores, True, state.seconds)


def _between(old: Mapping[str, torch.Tensor], new: Mapping[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    return {name: torch.lerp(old[name].float(), new[name].float(), share).to(new[name].dtype) for name in new}
