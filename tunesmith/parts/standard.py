"""What all tasks that say numbers share, whatever they read: targets are learned in standard deviations and answered in the data's units.

Axes: N rows, B rows of a batch, D features, C targets. A task keeps the fields of `Standard` under the same names among its own, so that
`task.json` stays flat; `Standard.of(task)` gathers them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np

from ..task import Outputs, Row, Solution, Truth
from . import linear, numbers, options

if TYPE_CHECKING:
    import torch

    from ..data.table import Table
    from ..task import Batch


def check(task: Any) -> None:
    """Options that these tasks share. Raises SpecError."""
    options.column("target", task.target, many=True)
    options.one_of("loss_kind", task.loss_kind, ("mse", "mae", "huber"))
    options.number("interval", task.interval, low=0, high=0.999)


@final
@dataclass(frozen=True)
class Standard:
    """Options and fitted fields of such a task, and what follows from them."""

    target: str | tuple[str, ...]
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    half_widths: tuple[float, ...] = ()
    interval: float = 0.0
    loss_kind: str = "mse"

    @classmethod
    def of(cls, task: Any) -> Self:
        """Those of a task."""
        return cls(**{field.name: getattr(task, field.name) for field in dataclasses.fields(cls)})

    @property
    def names(self) -> list[str]:
        """The targets' columns."""
        return [self.target] if isinstance(self.target, str) else list(self.target)

    def learned(self, train: Table) -> dict[str, Any]:
        """Fitted fields from the training rows: the targets' means and standard deviations."""
        means, deviations = numbers.scale(self.truth(train))
        return {"means": means, "deviations": deviations}

    def truth(self, rows: Table) -> Truth:
        """(N, C) float64 in the data's units, NaN where a row lacks a target."""
        columns = [np.fromiter(map(numbers.number, rows.each(name)), np.float64, len(rows)) for name in self.names]
        return np.array(columns, np.float64).T.reshape(len(rows), -1)

    def aims(self, truth: Truth) -> dict[str, np.ndarray]:
        """What examples hold of their targets: `target` (N, C), standardised, and `row_weight` of rows that have targets."""
        standard_NC = self._standardised(truth)
        return {"target": standard_NC.astype(np.float32), "row_weight": (~np.isnan(standard_NC)).any(1).astype(np.float64)}

    def aims_of(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """The same of rows."""
        return self.aims(np.array([[numbers.number(row[name]) for name in self.names] for row in rows], np.float64))

    def loss(self, standard_BC: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Squared, absolute or Huber loss of standardised targets."""
        return numbers.loss(standard_BC, batch["target"], batch["row_weight"], kind=self.loss_kind)

    def outputs(self, standard_BC: torch.Tensor) -> dict[str, torch.Tensor]:
        """`numbers` (B, C) in the data's units."""
        import torch

        standard_BC = standard_BC.to(torch.float32)
        return {"numbers": standard_BC * standard_BC.new_tensor(self.deviations) + standard_BC.new_tensor(self.means)}

    def solve(self, features_ND: np.ndarray, truth: Truth, strength: float) -> Solution:
        """Ridge regression on standardised targets, each over the rows that have it."""
        target_NC = self._standardised(truth)
        there_NC = ~np.isnan(target_NC)
        if there_NC.all():
            return linear.ridge(features_ND, target_NC, strength)
        each = [
            linear.ridge(features_ND, np.nan_to_num(target_N)[:, None], strength, weight_N=there_N.astype(np.float64))
            for target_N, there_N in zip(target_NC.T, there_NC.T)
        ]
        return Solution(np.concatenate([one.weight_CD for one in each]), np.concatenate([one.bias_C for one in each]))

    def left_out(self, features_ND: np.ndarray, truth: Truth, strengths: Sequence[float]) -> Iterator[Outputs]:
        """What such heads say of each row that is solved on all the others, strength by strength; nothing where rows lack targets."""
        target_NC = self._standardised(truth)
        if np.isnan(target_NC).any():
            return
        for said_NC in linear.left_out(features_ND, target_NC, strengths):
            yield {"numbers": said_NC * np.array(self.deviations) + np.array(self.means)}

    def calibrated(self, outputs: Outputs, truth: Truth) -> dict[str, Any]:
        """The width of the answers' intervals."""
        return {"half_widths": numbers.half_widths(outputs, truth, self.interval) if self.interval else ()}

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`value`, `low`, `high`; of several targets: each by name."""
        return numbers.answers(outputs, self.names, self.half_widths)

    def _standardised(self, target_NC: np.ndarray) -> np.ndarray:
        return np.asarray((target_NC - np.array(self.means)) / np.array(self.deviations))
