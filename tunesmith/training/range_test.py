"""A range test for the learning rate (Smith, arXiv 1506.01186): raise it step by step, see where the loss stops falling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from . import optim
from .events import Adjusted
from .stages import batches_from, gradient_of

if TYPE_CHECKING:
    from .stages import Work
    from .state import State

LOW, HIGH, STEPS = 1e-6, 1e-1, 80
SMOOTH = 0.8
"""Weight of the past in the smoothed loss."""
BLOWN = 3.0
"""The test ends when the smoothed loss is this many times its smallest value."""


def find_rate(state: State, work: Work, per_epoch: int) -> Adjusted:
    """Set the state's peak rate to a third of the one at which the smoothed loss is smallest; weights are put back."""
    assert state.optimizer is not None
    before = {name: tensor.clone() for name, tensor in state.weights().items()}
    curve = _curve(state, work, per_epoch)
    state.put(before)
    state.enter_stage()
    if len(curve) < 5:
        return Adjusted(
            state.total, "range test", f"the loss was not finite from the start; the rate stays {state.peak_rate:g}"
        )
    rate, loss = min(curve, key=lambda point: point[1])
    state.peak_rate = float(f"{rate / 3:.2g}")
    return Adjusted(
        state.total,
        "range test",
        f"the loss was smallest ({loss:.3g}) at {rate:.2g}; the peak rate is a third: {state.peak_rate:g}",
    )


def _curve(state: State, work: Work, per_epoch: int) -> list[tuple[float, float]]:
    """(rate, smoothed loss) of steps whose rate rises from LOW to HIGH."""
    assert state.optimizer is not None
    state.model.train()
    points: list[tuple[float, float]] = []
    for index, positions in enumerate(batches_from(state, work, per_epoch, STEPS)):
        rate = LOW * (HIGH / LOW) ** (index / (STEPS - 1))
        optim.set_rate(state.optimizer, rate, 1.0)
        found = gradient_of(state, work, positions)
        if not found.finite:
            break
        state.optimizer.step()
        state.optimizer.zero_grad()
        smooth = SMOOTH * points[-1][1] + (1 - SMOOTH) * found.loss if points else found.loss
        points.append((rate, smooth))
        if smooth > BLOWN * min(loss for _, loss in points) or not math.isfinite(smooth):
            break
    return points
