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

from ..data.arrays import pieces
from ..data.split import Splits
from ..inference import Encoded, Ragged, infer
from ..memory import let_go
from ..task import Outputs, Solution, Task, Truth

STRENGTHS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""L2 strengths tried, strongest first: loss = mean + strength / 2 * |W|^2 over features of unit mean square."""

FEW = 200
"""Validation rows below which training rows help to choose the strength, where a closed form says what others teach of each."""
TOKENS = 1 << 16
"""Tokens whose features a head reads at a time."""


@final
@dataclass(frozen=True)
class Probe:
    """The best solution, how strong its L2 is, and what it scored on the validation rows."""

    solution: Solution
    strength: float
    value: float


def path(
    task: Task, train: tuple[Encoded, Truth], validation: tuple[Encoded, Truth], metric: str, *, apart: bool = False
) -> Iterator[Probe]:
    """Each strength's solution with its validation score, from rows that have their features (`pooled_D` or `features_TD`).

    Stops when two in a row are worse than the best. `apart`: no two training rows belong together. Then, where validation rows are few,
    the score is of training rows as well, each as a head says of it that has not seen it (`Task.left_out`): ten rows choose by chance.
    """
    if task.headlines():
        yield from _by_target(task, train, validation, metric)
        return
    better = 1 if task.directions[metric] else -1
    best, worse, solution = -np.inf, 0, None
    features_ND, truth = _units(*train)
    few = apart and len(validation[1]) < FEW
    others = task.left_out(features_ND, truth, STRENGTHS) if few else iter(())
    for strength in STRENGTHS:
        solution = task.solve(features_ND, truth, strength, solution)
        if solution is None:
            return
        said, known = apply(task, solution, validation[0]), validation[1]
        if (more := next(others, None)) is not None:
            said, known = {name: np.concatenate([said[name], more[name]]) for name in more}, np.concatenate([known, truth])
        value = task.score(said, known)[metric]
        yield Probe(solution, strength, value)
        worse = 0 if better * value >= best else worse + 1  # where rare labels count, the strongest all score nothing alike
        best = max(best, better * value)
        if worse == 2:
            return


def _by_target(task: Task, train: tuple[Encoded, Truth], validation: tuple[Encoded, Truth], metric: str) -> Iterator[Probe]:
    """Heads of several targets, each at the strength that is best for its own score: first each one above that, then that itself.

    One strength for all costs much: on 700 pairs of SICK a number's R2 fell from 0.27 to 0.12 at the strength that labels wanted.
    The probe's strength is the geometric mean.
    """
    tried, solution = list[tuple[Solution, dict[str, float]]](), None
    features_ND, truth = task.units(*train) or _units(*train)
    for strength in STRENGTHS:
        solution = task.solve(features_ND, truth, strength, solution)
        if solution is None:
            return
        tried.append((solution, task.score(apply(task, solution, validation[0]), validation[1])))
    scores = {target: [found[score] for _, found in tried] for target, score in task.headlines().items()}
    best = {target: _strongest_best(task.directions[task.headlines()[target]], own) for target, own in scores.items()}
    for above in (1, 0):
        place = {target: max(0, at - above) for target, at in best.items()}
        whole = task.joined({target: tried[at][0] for target, at in place.items()})
        mean = float(np.exp(np.mean([np.log(STRENGTHS[at]) for at in place.values()])))
        yield Probe(whole, float(f"{mean:.2g}"), task.score(apply(task, whole, validation[0]), validation[1])[metric])


def _strongest_best(higher: bool, values: list[float]) -> int:
    """Where the best value stands first; where none is known, the first."""
    signed = np.nan_to_num(np.array(values) * (1 if higher else -1), nan=-np.inf, neginf=-1e300)
    return int(signed.argmax())


def apart(splits: Splits) -> bool:
    """Whether no two training rows belong together: else a row that is left out is told by its like."""
    group_N = splits.duplicates.group_N[splits.parts["train"]]
    return splits.how.value not in ("group", "time") and len(np.unique(group_N)) == len(group_N)


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


def apply(task: Task, solution: Solution, encoded: Encoded) -> Outputs:
    """What the model with this head would say of rows that have their features."""
    return infer(task, Head(solution), encoded.without("input_ids", "token_type_ids"), pad=0, micro_tokens=TOKENS)


def _units(encoded: Encoded, truth: Truth) -> tuple[np.ndarray, Truth]:
    """Features and truth of what the head answers: rows, their examples where truth is of many, or tokens with a tag."""
    if "pooled_D" in encoded.arrays and truth.dtype == object:
        return encoded.arrays["pooled_D"], np.asarray(encoded.arrays["target"])  # type: ignore[return-value]
    if "pooled_D" in encoded.arrays:
        return encoded.arrays["pooled_D"], truth  # type: ignore[return-value]
    features, tags = encoded.arrays["features_TD"], encoded.arrays["tags"]
    assert isinstance(features, Ragged)
    tag_M = tags.values if isinstance(tags, Ragged) else tags.reshape(-1)
    tagged = tag_M >= 0
    return _picked(features.values, tagged), tag_M[tagged].astype(np.int64)


def _picked(value_MD: np.ndarray, wanted_M: np.ndarray) -> np.ndarray:
    """These rows, whose pages are given back as they are read where they lie in a file."""
    found, at = np.empty((int(wanted_M.sum()), *value_MD.shape[1:]), value_MD.dtype), 0
    for piece in pieces(len(value_MD), value_MD[:1].nbytes):
        part = value_MD[piece][wanted_M[piece]]
        found[at : at + len(part)] = part
        at += len(part)
        let_go(value_MD)
    return found


@final
class Head(nn.Module):
    """A solved head alone: `head(batch)` reads `pooled_BD` or `features_BTD`."""

    def __init__(self, solution: Solution) -> None:
        super().__init__()
        self.weight_CD, self.bias_C = (
            nn.Parameter(torch.from_numpy(np.asarray(a, np.float32)), False) for a in (solution.weight_CD, solution.bias_C)
        )

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logits or numbers (B, C) of features (B, D); (B, T, C) of (B, T, D)."""
        features = batch["pooled_BD"] if "pooled_BD" in batch else batch["features_BTD"]
        return nn.functional.linear(features, self.weight_CD, self.bias_C)
