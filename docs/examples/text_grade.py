"""Grade a text on an ordered scale: one to five stars, pain from 0 to 10.

Rows: `text` and `grade`, a whole number. Scores: quadratic kappa first; mean absolute error, accuracy. Unlike classes, grades have
an order: the model answers "above 1?", "above 2?", ... (arXiv 1901.07884), so that a miss by one costs less than a miss by three.
"""
# Axes: N rows, B rows of a batch, C grades, K = C - 1 steps between them.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import numpy as np

from tunesmith.data.finding import Finding
from tunesmith.parts import batch, columns, tokens
from tunesmith.spec import Choice
from tunesmith.task import Batch, Claim, Draw, Example, Outputs, Row, Task, Truth, fitted


@final
@dataclass(frozen=True, kw_only=True)
class TextGrade(Task):
    """One of C grades in order."""

    directions: ClassVar[Mapping[str, bool]] = {"kappa": True, "mae": False, "accuracy": True}
    inputs: ClassVar[tuple[str, ...]] = ("text",)
    targets: ClassVar[tuple[str, ...]] = ("grade",)

    text: str = "text"
    """Column with the text."""
    grade: str = "grade"
    """Column with the grade, a whole number."""
    max_tokens: int = 256
    """Most tokens of a row that are read."""
    grades: tuple[int, ...] = fitted(())

    # What this task would do with a table, and what is wrong with it.

    @classmethod
    def claim(cls, profile: Any, named: Mapping[str, Any]) -> Claim | None:
        """A column called `grade` beside a text. Other tasks may claim the same table: the surest wins."""
        if "grade" not in named and "grade" not in profile.columns:
            return None
        grade = named.get("grade", "grade")
        inputs = columns.text_columns(profile, {**named, "grade": grade})
        found = {**(inputs or {}), "grade": Choice(grade, "its name")}
        return Claim(found, 0.9, f"column {grade!r} holds grades") if inputs else None

    def check(self, table: Any) -> list[Finding]:
        """A grade that is no whole number stops the run, with its row."""
        bad = [i for i, value in enumerate(table.column(self.grade)) if not _whole(value)]
        places = tuple(table.place(i) for i in bad[:20])
        return (
            [Finding("error", "grade", "expected whole numbers, got others", places, "mend the cells")] if bad else []
        )

    # What it learns from the training rows alone.

    def fit(self, train: Any) -> Self:
        """Learn which grades there are."""
        return self.settle(grades=tuple(sorted({int(v) for v in train.column(self.grade)})))

    # Rows to batches.

    def truth(self, rows: Any) -> Truth:
        """(N,) positions on the scale, -1 for a grade that training never saw."""
        return np.array([self._position(value) for value in rows.column(self.grade)])

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Token ids, the position on the scale, and the row's weight."""
        examples = tokens.encode(processor, [row[self.text] for row in rows], most=self.max_tokens)
        positions = [self._position(row.get(self.grade)) for row in rows]
        return [e | {"target": p, "row_weight": float(p >= 0)} for e, p in zip(examples, positions, strict=True)]

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        return batch.collate(examples, batch.text_pads(pad))

    # The model and its loss.

    def model(self, backbone: Any, dropout: float) -> Any:
        """A linear head with one logit per step of the scale."""
        from tunesmith.models.heads import Pooled

        return Pooled(backbone, len(self.grades) - 1, dropout)

    def weight(self, batch: Batch) -> float:
        """Rows that have a grade."""
        return float(batch["row_weight"].sum())

    def loss(self, model: Any, batch: Batch) -> Any:
        """SUM over the rows of the cross-entropy of all steps: micro-batches then add up to the whole batch."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        logits_BK = model(batch)
        above_BK = (batch["target"][:, None] > _steps(logits_BK)).to(logits_BK)
        loss_BK = binary_cross_entropy_with_logits(logits_BK, above_BK, reduction="none")
        return (loss_BK.sum(1) * batch["row_weight"]).sum()

    def outputs(self, model: Any, batch: Batch) -> dict[str, Any]:
        """Logits of "above grade k" (B, K)."""
        return {"above": model(batch)}

    # Outputs to answers and scores.

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """The grade, and how sure the model is of each step up to it."""
        return [{"grade": self.grades[position]} for position in _decide(outputs)]

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Headline first, named as in `directions`."""
        from sklearn.metrics import cohen_kappa_score

        found = _decide(outputs)
        labels = range(-1, len(self.grades))
        kappa = (
            float(cohen_kappa_score(truth, found, weights="quadratic", labels=list(labels)))
            if len(set(truth)) > 1
            else 0.0
        )
        return {"kappa": kappa, "mae": float(np.abs(found - truth).mean()), "accuracy": float((found == truth).mean())}

    def baselines(self, train: Any, rows: Any) -> dict[str, Outputs]:
        """The median grade for everybody: what the model must beat."""
        above_K = np.where(np.median(self.truth(train)) > np.arange(len(self.grades) - 1), 9.0, -9.0)
        return {"median": {"above": np.tile(above_K, (len(rows), 1))}}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Toy rows that can be learned: for tests, and for trying the task out."""
        words = ["awful awful", "poor", "fair", "good", "superb superb"]
        draw = np.random.default_rng(seed)
        grades = draw.permutation(np.resize(np.arange(5), n))
        return [{"text": f"{words[g]} film, number {draw.integers(100)}", "grade": int(g) + 1} for g in grades]

    def _position(self, value: Any) -> int:
        return self.grades.index(int(value)) if _whole(value) and int(value) in self.grades else -1


def _whole(value: Any) -> bool:
    try:
        return float(value) == int(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _steps(logits_BK: Any) -> Any:
    import torch

    return torch.arange(logits_BK.shape[1], device=logits_BK.device)[None, :]


def _decide(outputs: Outputs) -> np.ndarray:
    """(N,) positions on the scale: steps that are more likely than not, counted."""
    return (outputs["above"] > 0).sum(1)


task = TextGrade
