"""What all tasks that choose any of C labels share, whatever they read: text or image.

Axes: N rows, D features, C labels. A task keeps the fields of `AnyLabels` under the same names among its own, so that `task.json`
stays flat; `AnyLabels.of(task)` gathers them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np

from ..data.finding import Finding, places
from ..errors import DataError, listing
from ..task import Outputs, Row, Solution, Truth
from . import flags, linear, options

if TYPE_CHECKING:
    import torch

    from ..data.table import Table
    from ..task import Batch


def check(task: Any) -> None:
    """Options that these tasks share. Raises SpecError."""
    options.column("labels", task.labels, many=True)
    options.one_of("loss_kind", task.loss_kind, ("bce", "asymmetric"))
    options.number("asymmetry", task.asymmetry, low=0, high=10)


@final
@dataclass(frozen=True)
class AnyLabels:
    """Options and fitted fields of such a task, and what follows from them."""

    labels: str | tuple[str, ...]
    vocabulary: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    separator: str = ""
    class_weights: tuple[float, ...] = ()
    temperature: float = 1.0
    thresholds: tuple[float, ...] = ()
    loss_kind: str = "bce"
    asymmetry: float = 4.0

    @classmethod
    def of(cls, task: Any) -> Self:
        """Those of a task."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: getattr(task, name) for name in names if hasattr(task, name)})

    def learned(self, train: Table) -> dict[str, Any]:
        """Fitted fields from the training rows: how labels are written, and which there are. Raises DataError."""
        if not isinstance(self.labels, str):
            return {"separator": "", "vocabulary": self.labels}
        known = dataclasses.replace(self, separator=flags.find_separator(train.column(self.labels)))
        return {"separator": known.separator, "vocabulary": flags.vocabulary(known.tags(train))}

    def unknown(self, table: Table) -> list[Finding]:
        """Labels that training never saw."""
        known, rows = set(self.vocabulary), self.tags(table) if self.vocabulary else []
        bad = [i for i, row in enumerate(rows) if not known.issuperset(row)]
        if not bad:
            return []
        new = sorted({tag for i in bad for tag in rows[i]} - known)
        message = f"expected labels that the training rows have, got {listing([repr(tag) for tag in new])} in {len(bad):,} rows"
        return [Finding("error", "unknown-label", message, places(table, bad), "add training rows for it, or take it out of these rows")]

    def balanced(self, train: Table, balance: str) -> tuple[float, ...]:
        """Weights of the labels, where they are asked for."""
        if balance != "weights":
            return ()
        return flags.balanced_weights(self.known(self.truth(train)).sum(0), len(train))

    def truth(self, rows: Table) -> Truth:
        """(N, C) 0/1 flags; (N, C + 1) where tags are unknown to training: how many, in the last column."""
        return flags.encode(self.tags(rows), self.vocabulary)

    def known(self, truth: Truth) -> np.ndarray:
        """(N, C) flags alone."""
        return flags.known(truth, len(self.vocabulary))

    def aims(self, truth: Truth) -> dict[str, np.ndarray]:
        """What examples hold of their labels: `target` (N, C), and `row_weight`."""
        return {"target": self.known(truth).astype(np.float32), "row_weight": np.ones(len(truth))}

    def aims_of(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """The same of rows."""
        return self.aims(flags.encode([self._row_tags(row) for row in rows], self.vocabulary))

    def loss(self, logits_BC: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Binary cross-entropy, mean over the labels, or its asymmetric kin."""
        return flags.loss(
            logits_BC, batch["target"], batch["row_weight"], kind=self.loss_kind, weight_C=self.class_weights, gamma=self.asymmetry
        )

    def solve(
        self, features_ND: np.ndarray, truth: Truth, strength: float, start: Solution | None
    ) -> Solution:
        """One logistic regression per label."""
        return linear.independent(features_ND, self.known(truth), strength, start=start)

    def calibrated(self, outputs: Outputs, truth: Truth) -> dict[str, Any]:
        """Temperature, then each label's threshold."""
        if not len(truth):
            return {}
        temperature = flags.fit_temperature(outputs, truth)
        return {"temperature": temperature, "thresholds": flags.fit_thresholds(flags.probabilities(outputs, temperature), truth)}

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`labels`, `confidence`, `probabilities`."""
        threshold_C = np.asarray(self.thresholds or [0.5] * len(self.vocabulary))
        return flags.answers(flags.probabilities(outputs, self.temperature), threshold_C, self.vocabulary)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Scores as scikit-learn defines them; unknown tags count as missed."""
        return flags.score(outputs, truth, temperature=self.temperature, thresholds=self.thresholds)

    # -- cells --------------------------------------------------------------------------------------------------------

    def tags(self, rows: Table) -> list[list[str]]:
        """Each row's labels, by name."""
        if isinstance(self.labels, str):
            return [self._cell_tags(cell) for cell in rows.column(self.labels)]
        cells = zip(*(rows.column(name) for name in self.labels))
        return [[name for name, cell in zip(self.labels, row) if flags.is_on(cell)] for row in cells]

    def _row_tags(self, row: Row) -> list[str]:
        if isinstance(self.labels, str):
            return self._cell_tags(row[self.labels])
        return [name for name in self.labels if flags.is_on(row[name])]

    def _cell_tags(self, cell: Any) -> list[str]:
        found = flags.tags(cell, self.separator)
        return [self._named(tag) for tag in found] if self.names else found

    def _named(self, tag: str) -> str:
        if tag in self.names:
            return tag
        if tag.isdecimal() and int(tag) < len(self.names):
            return self.names[int(tag)]
        raise DataError(
            f"column {self.labels!r}", expected=f"label numbers from 0 to {len(self.names) - 1} (`label_names` has {len(self.names):,})",
            got=repr(tag), fix="mend the cell or the list of names", code="unknown-label",
        )  # fmt: skip
