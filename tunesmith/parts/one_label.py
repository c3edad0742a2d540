"""What all tasks that choose one label of C share, whatever they read: text, image, sound or table.

Axes: N rows, D features, C classes. A task keeps the fields of `OneLabel` under the same names among its own, so that `task.json`
stays flat; `OneLabel.of(task)` gathers them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np

from ..errors import SpecError, nearest
from ..spec import Choice
from ..task import Outputs, Solution, Truth
from . import classes, columns, linear, options

if TYPE_CHECKING:
    import torch

    from ..data.profile import Profile
    from ..data.table import Table
    from ..task import Batch


@final
@dataclass(frozen=True)
class Target:
    """The column that a table's labels are in."""

    choice: Choice[Any]
    why: str
    called: bool
    """Named by the user, or named like a label."""
    suits: bool
    """Whether its cells look like labels."""

    def sure(self, most: float) -> float:
        """How sure a task is of its claim, at most."""
        return round(most if self.called else most - 0.2, 2) if self.suits else 0.3


def target(profile: Profile, named: Mapping[str, Any], taken: Sequence[str]) -> Target | None:
    """The column of labels: the one that the user named, else the likeliest beside the `taken` ones; None where there is none."""
    if named.get("label"):
        column, called = profile.columns[named["label"]], True
    else:
        found = columns.target_column(profile, list(taken), ("classes",), columns.CLASS_NAMES)
        if found is None:
            return None
        column, called = found
    why = f"column {column.name!r} holds {columns.describe(column)}" + (", named like a label" if called else "")
    suits = columns.nature(column, profile.rows) == "classes"
    return Target(Choice(column.name, "named by you" if named.get("label") else why), why, called, suits)


def check(task: Any) -> None:
    """Options that these tasks share. Raises SpecError."""
    options.one_of("loss_kind", task.loss_kind, ("cross-entropy", "focal"))
    options.number("focal_gamma", task.focal_gamma, low=0, high=10)
    options.number("smoothing", task.smoothing, low=0, high=0.9)
    options.number("cost_miss", task.cost_miss, low=0, high=1e6)


def learn(task: Any, train: Table) -> tuple[dict[str, Any], np.ndarray]:
    """Fitted fields from the training labels, and (C,) rows of each label.

    Raises SpecError where `positive` or `cost_miss` do not suit the labels.
    """
    tally = classes.tally(train.arrow(task.label))
    labels, count_C = tuple(tally), np.array(list(tally.values()))
    positive, cost = getattr(task, "positive", ""), getattr(task, "cost_miss", 0.0)
    if positive and positive not in labels:
        raise SpecError(
            "option positive", expected="a label of the training rows", got=repr(positive),
            fix=nearest(positive, labels), code="unknown-label",
        )  # fmt: skip
    if (cost or positive) and len(labels) != 2:
        raise SpecError(
            "option cost_miss" if cost else "option positive", expected="two labels", got=f"{len(labels):,}",
            fix="leave it out", code="not-binary",
        )  # fmt: skip
    threshold = {"threshold": classes.ideal_threshold(cost)} if cost else {}
    return {"labels": labels, "sought": classes.positive(labels, count_C, positive)} | threshold, count_C


@final
@dataclass(frozen=True)
class OneLabel:
    """Fitted fields of such a task, and what follows from them."""

    labels: tuple[str, ...]
    sought: str
    temperature: float = 1.0
    class_weights: tuple[float, ...] = ()
    cost_miss: float = 0.0
    threshold: float | None = None
    loss_kind: str = "cross-entropy"
    focal_gamma: float = 2.0
    smoothing: float = 0.0

    @classmethod
    def of(cls, task: Any) -> Self:
        """Those of a task; a table's has no costs, and its `loss_kind` is of numbers."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: getattr(task, name) for name in names if hasattr(task, name)})

    @property
    def sought_class(self) -> int:
        """Id of the label that is looked for, of two."""
        return self.labels.index(self.sought) if self.sought in self.labels else min(1, len(self.labels) - 1)

    def balanced(self, class_N: np.ndarray, balance: str) -> tuple[float, ...]:
        """Weights of the classes, where they are asked for."""
        return classes.balanced_weights(classes.counts(class_N, len(self.labels))) if balance == "weights" else ()

    def aims(self, class_N: np.ndarray) -> dict[str, np.ndarray]:
        """What examples hold of their labels: `target`, and `row_weight` (0: a label unknown to training)."""
        return {"target": class_N, "row_weight": classes.row_weights(class_N, self.class_weights)}

    def loss(self, logits_BC: torch.Tensor, batch: Batch, target: str = "target", weight: str = "row_weight") -> torch.Tensor:
        """Sum of cross-entropies or focal losses."""
        gamma = self.focal_gamma if self.loss_kind == "focal" else 0.0
        return classes.loss(logits_BC, batch[target], batch[weight], smoothing=self.smoothing, gamma=gamma)

    def solve(
        self, features_ND: np.ndarray, truth: Truth, strength: float, start: Solution | None
    ) -> Solution:
        """Multinomial logistic regression."""
        weight_N = classes.row_weights(truth, self.class_weights)
        return linear.multinomial(features_ND, truth, len(self.labels), strength, weight_N=weight_N, start=start)

    def calibrated(self, outputs: Outputs, truth: Truth) -> dict[str, Any]:
        """Temperature, and the threshold where misses and false alarms cost differently."""
        warm = {"temperature": classes.fit_temperature(outputs, truth)}
        if not self.cost_miss or not len(truth):
            return warm
        probability_N = classes.probabilities(outputs, warm["temperature"])[:, self.sought_class]
        return warm | {"threshold": classes.fit_threshold(probability_N, truth == self.sought_class, self.cost_miss)}

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`label`, `confidence`, `probabilities`."""
        probability_NC = classes.probabilities(outputs, self.temperature)
        return classes.answers(probability_NC, classes.decide(probability_NC, self.sought_class, self.threshold), self.labels)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Scores as scikit-learn defines them; unknown labels count as wrong."""
        return classes.score(
            outputs, truth, temperature=self.temperature, positive_class=self.sought_class, threshold=self.threshold
        )

    def priced(self, found: Mapping[str, Outputs], rows: int) -> dict[str, Outputs]:
        """Outputs of simple models, which decide at the threshold that the costs ask for."""
        threshold = {"threshold": np.full(rows, classes.ideal_threshold(self.cost_miss))} if self.cost_miss else {}
        return {name: outputs | threshold for name, outputs in found.items()}
