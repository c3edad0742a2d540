"""A linear head solved to its optimum on frozen features, its L2 strength chosen on validation rows.

Seconds instead of epochs: this is both the strongest simple baseline and the start of `probe-then-tune` (linear probing before
fine-tuning keeps features from being distorted by a random head: arXiv 2202.10054).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import nn

from ..task import Outputs, Solution, Task, Truth

STRENGTHS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""L2 strengths tried, strongest first: loss = mean + strength / 2 * |W|^2 over features of unit mean square."""


@final
@dataclass(frozen=True)
class Probe:
    """The best solution, how strong its L2 is, and what it scored on the validation rows."""

    solution: Solution
    strength: float
    value: float


def path(
    task: Task,
    train_ND: np.ndarray,
    truth: Truth,
    weight_N: np.ndarray | None,
    validation_ND: np.ndarray,
    validation_truth: Truth,
    metric: str,
) -> Iterator[Probe]:
    """Each strength's solution with its validation score. Stops when two in a row are worse than the best."""
    better = 1 if task.directions[metric] else -1
    best, worse, solution = -np.inf, 0, None
    for strength in STRENGTHS:
        solution = task.solve(train_ND, truth, weight_N, strength, solution)
        if solution is None:
            return
        value = task.score(apply(task, solution, validation_ND), validation_truth)[metric]
        yield Probe(solution, strength, value)
        worse = 0 if better * value > best else worse + 1
        best = max(best, better * value)
        if worse == 2:
            return


def choose(task: Task, probes: Iterable[Probe], metric: str) -> tuple[Probe, Probe] | None:
    """The probe with the best validation score (the stronger L2 where two are equal), and the one that tuning starts from.

    Tuning starts one strength above: a head with large weights turns the layers' first small steps into large ones of the logits.
    """
    better = 1 if task.directions[metric] else -1
    tried = sorted(probes, key=lambda probe: -probe.strength)
    if not tried:
        return None
    at = max(range(len(tried)), key=lambda i: (better * tried[i].value, tried[i].strength))
    return tried[at], tried[max(0, at - 1)]


def apply(task: Task, solution: Solution, features_ND: np.ndarray) -> Outputs:
    """What the model with this head would say of rows with these features."""
    with torch.inference_mode():
        found = task.outputs(Head(solution), {"pooled_BD": torch.from_numpy(np.array(features_ND, np.float32))})
    return {name: value.numpy() for name, value in found.items()}


@final
class Head(nn.Module):
    """A solved head alone: `head(batch)` reads `pooled_BD`."""

    def __init__(self, solution: Solution) -> None:
        super().__init__()
        self.weight_CD, self.bias_C = (
            torch.from_numpy(np.asarray(a, np.float32)) for a in (solution.weight_CD, solution.bias_C)
        )

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logits or numbers (B, C) of features (B, D)."""
        return nn.functional.linear(batch["pooled_BD"], self.weight_CD, self.bias_C)
