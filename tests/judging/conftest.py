"""Stand-ins with the few answers of a task that judging asks for, and rows in plain lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.stand_ins import StandIn


@dataclass(frozen=True)
class Classes(StandIn):
    """One label of C: accuracy and macro-F1 over the labels that occur."""

    labels: tuple[str, ...] = ("no", "yes")
    temperature: float = 1.0
    inputs: tuple[str, ...] = ("text",)
    targets: tuple[str, ...] = ("label",)
    directions = {"macro_f1": True, "accuracy": True, "log_loss": False}

    def score(self, outputs: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, float]:
        chosen = outputs["logits"].argmax(1)
        wide = len(self.labels)
        both = np.bincount(truth * wide + chosen, minlength=wide * wide).reshape(wide, wide)
        hits, whole = np.diag(both), both.sum(0) + both.sum(1)
        f1 = 2 * hits[whole > 0] / whole[whole > 0]
        logits = outputs["logits"] / self.temperature
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        loss = -log_p[np.arange(len(truth)), truth].mean()
        return {"macro_f1": f1.mean(), "accuracy": (chosen == truth).mean(), "log_loss": loss}

    def answers(self, outputs: dict[str, np.ndarray]) -> list[dict[str, Any]]:
        return [{"label": self.labels[i]} for i in outputs["logits"].argmax(1)]


@dataclass(frozen=True)
class Flags(Classes):
    """Any of C labels: micro-F1 and the share of rows with every label right."""

    thresholds: tuple[float, ...] = ()
    directions = {"micro_f1": True, "subset_accuracy": True}

    def score(self, outputs: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, float]:
        chosen = outputs["logits"] > 0
        hits, whole = (chosen & (truth == 1)).sum(), max(1, chosen.sum() + truth.sum())
        return {"micro_f1": 2 * hits / whole, "subset_accuracy": (chosen == truth).all(1).mean()}


@dataclass(frozen=True)
class Numbers(StandIn):
    """Numbers: R2 and mean absolute error."""

    inputs: tuple[str, ...] = ("text",)
    targets: tuple[str, ...] = ("price",)
    directions = {"r2": True, "mae": False}

    def score(self, outputs: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, float]:
        error = outputs["numbers"] - truth
        return {"r2": 1 - (error**2).sum() / ((truth - truth.mean(0)) ** 2).sum(), "mae": np.abs(error).mean()}


@dataclass(frozen=True)
class ListTable:
    """Columns as lists."""

    cells: dict[str, list[Any]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.cells)

    def __len__(self) -> int:
        return len(next(iter(self.cells.values())))

    def each(self, name: str) -> Iterator[Any]:
        return iter(self.cells[name])

    def rows(self, positions: Any = None) -> list[dict[str, Any]]:
        positions = range(len(self)) if positions is None else positions
        return [{name: values[i] for name, values in self.cells.items()} for i in positions]

    def place(self, position: int) -> str:
        return f"rows.csv, row {position + 1}"


@pytest.fixture
def classes():
    return Classes


@pytest.fixture
def flags():
    return Flags


@pytest.fixture
def numbers():
    return Numbers


@pytest.fixture
def table():
    return ListTable


@pytest.fixture
def logits():
    """Logits of a model that is right with a given probability: `logits(truth, right, labels, rng)`."""

    def make(truth: np.ndarray, right: float, labels: int, rng: np.random.Generator, size: float = 3.0) -> np.ndarray:
        other = (truth + rng.integers(1, labels, len(truth))) % labels
        chosen = np.where(rng.random(len(truth)) < right, truth, other)
        return rng.normal(size=(len(truth), labels)) * 0.3 + size * np.eye(labels)[chosen]

    return make
