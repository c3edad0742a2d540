"""L-BFGS for smooth, strictly convex functions of one vector (Liu and Nocedal 1989), in torch alone.

A second maths library with threads of its own, spinning while it waits for the first one's, costs far more than it computes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MEMORY = 20
"""Pairs of steps and gradient differences remembered."""
SUFFICIENT = 1e-4
"""Share of the promised decrease that a step must bring (Armijo)."""

Objective = Callable[["torch.Tensor"], "tuple[float, torch.Tensor]"]
"""A point -> the function's value and gradient there."""
Pairs = deque["tuple[torch.Tensor, torch.Tensor, float]"]


def minimise(objective: Objective, first: torch.Tensor, *, slope: float, gain: float, passes: int) -> torch.Tensor:
    """The point where the gradient's largest entry is below `slope`, or where a step gains less than `gain` of the value.

    At most `passes` calls of `objective`. Vectors are float64; the function must be convex.
    """
    point, (value, gradient) = first, objective(first)
    pairs: Pairs = deque(maxlen=MEMORY)
    used = 1
    while used < passes and float(gradient.abs().max()) > slope:
        direction = _direction(gradient, pairs)
        descent = float(gradient @ direction)
        rate = 1.0 if pairs else min(1.0, 1.0 / float(gradient.norm()))
        while True:
            there = point + rate * direction
            new_value, new_gradient = objective(there)
            used += 1
            if new_value <= value + SUFFICIENT * rate * descent or used >= passes or rate < 1e-10:
                break
            # The lowest point of the parabola through what is known, within a tenth and a half of the step.
            rate *= min(0.5, max(0.1, -descent * rate / (2 * (new_value - value - descent * rate))))
        if not new_value < value:
            return point
        change, bend = there - point, new_gradient - gradient
        if float(change @ bend) > 1e-14 * float(bend @ bend):
            pairs.append((change, bend, float(change @ bend)))
        gained, scale = value - new_value, max(abs(value), abs(new_value), 1e-8)
        point, value, gradient = there, new_value, new_gradient
        if gained <= gain * scale:
            return point
    return point


def _direction(gradient: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Minus the inverse curvature, as far as it is known, times the gradient.

    In place: with new vectors for every pair this took as long as the passes over a thousand rows.
    """
    direction, shares = -gradient, []
    for change, bend, product in reversed(pairs):
        share = float(change @ direction) / product
        shares.append(share)
        direction.sub_(bend, alpha=share)
    if pairs:
        change, bend, product = pairs[-1]
        direction.mul_(product / float(bend @ bend))
    for (change, bend, product), share in zip(pairs, reversed(shares), strict=True):
        direction.add_(change, alpha=share - float(bend @ direction) / product)
    return direction
