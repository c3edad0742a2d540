"""Outputs and truth of any task, seen as what can be drawn: one label of C, any of C labels, numbers, or what the task grades itself.

The kind is read off the shapes, never off the task's name, so a new task whose outputs have one of these shapes is
reported in full and any other is reported by its scores alone.

Axes: N rows, C labels or targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from scipy import special

from ..data.arrays import filled, pieces
from ..inference import objects
from ..task import Mark, Outputs, Pieces, Task, Truth

Kind = Literal["classes", "flags", "numbers", "texts", "other"]
TINY = 1e-12
COPIES = 4
"""Arrays of float64 as large as the logits that judging a piece of them makes."""


@final
@dataclass(frozen=True)
class View:
    """One set of rows as judged. `chosen` and `probability` follow the task's own temperature and thresholds."""

    kind: Kind
    names: tuple[str, ...]
    """Labels (classes, flags) or targets (numbers)."""
    truth: np.ndarray
    """classes: (N,) ids, -1 unknown; flags: (N, C) bool; numbers: (N, C) float; texts: (N,) words."""
    chosen: np.ndarray
    """classes: (N,) ids; flags: (N, C) bool; numbers: (N, C) float; texts: (N,) words."""
    right_N: np.ndarray
    """bool: the row is answered wholly right; for numbers: closer than the median error."""
    loss_N: np.ndarray
    """classes, flags: negative log-likelihood; numbers: mean absolute error in units of each target's spread."""
    sure_N: np.ndarray
    """classes: probability of the chosen label; flags: of the least sure yes or no; numbers:
    NaN."""
    probability_NC: np.ndarray | None = None
    """flags: calibrated; classes: (N, 1) of the chosen label; texts: (N, 1) of being right, None where the task has none; None for
    numbers."""
    plain_NC: np.ndarray | None = None
    """Before calibration; None for numbers."""
    marks: Sequence[Sequence[Mark]] = ()
    """texts: what to point out in each row's inputs."""
    counts_NK3: np.ndarray | None = None
    """texts: right, answered and true parts of each of `names` in each row."""
    pieces: Pieces | None = None
    """texts: parts of answers with confidences of their own."""
    by_degree: bool = False
    """texts: rows are more or less right, as with numbers."""
    degree: str = ""
    """What the loss says then."""

    @property
    def measured(self) -> bool:
        """Whether rows are judged by how far off they are, rather than by right or wrong."""
        return self.kind == "numbers" or self.by_degree

    @property
    def rows(self) -> int:
        """N."""
        return len(self.truth)


def kind_of(outputs: Outputs, truth: Truth) -> Kind:
    """Which picture suits these arrays."""
    scores = outputs.get("logits")
    if scores is not None and scores.ndim == 2 and truth.ndim == 1 and np.issubdtype(truth.dtype, np.integer):
        return "classes"
    if scores is not None and scores.ndim == truth.ndim == 2 and _are_flags(truth, scores.shape[1]):
        return "flags"
    numbers = outputs.get("numbers")
    if numbers is not None and np.issubdtype(truth.dtype, np.number) and _square(numbers).shape == _square(truth).shape:
        return "numbers"
    return "other"


def view(task: Task, outputs: Outputs, truth: Truth) -> View | None:
    """The rows as judged, or None where no picture suits them."""
    kind = kind_of(outputs, truth)
    if kind == "other":
        return _graded(task, outputs, truth)
    return {"classes": _classes, "flags": _flags, "numbers": _numbers}[kind](task, outputs, truth)


def words(of: View, row: int, value: np.ndarray) -> str:
    """A row's truth or answer (`of.truth` or `of.chosen`) as a reader knows it."""
    here = value[row]
    if of.kind == "classes":
        return of.names[here] if 0 <= here < len(of.names) else "a label unknown to the training rows"
    if of.kind == "flags":
        return ", ".join(of.names[i] for i in np.flatnonzero(here)) or "none"
    if of.kind == "texts":
        return str(here)
    if len(of.names) == 1:
        return f"{here[0]:.4g}"
    return ", ".join(f"{name} {number:.4g}" for name, number in zip(of.names, here))


def _graded(task: Task, outputs: Outputs, truth: Truth) -> View | None:
    # A task may have an option of that name: a grade is what some people predict.
    found = task.grade(outputs, truth) if callable(task.grade) else None
    if found is None:
        return None
    known = len(truth) and not np.isnan(found.sure_N).any()
    return View(
        "texts", tuple(found.names), objects(found.truth), objects(found.answer), found.right_N, found.loss_N, found.sure_N,
        found.sure_N[:, None] if known else None, found.plain_N[:, None] if known else None, found.marks,
        found.counts_NK3, found.pieces, found.by_degree, found.degree,
    )


def _classes(task: Task, outputs: Outputs, truth: Truth) -> View:
    parts = pieces(len(truth), COPIES * 8 * outputs["logits"].shape[1])
    rows = filled(len(truth), ((at, _each(task, {name: value[at] for name, value in outputs.items()}, truth[at])) for at in parts))
    chosen_N, sure_N = rows["chosen"], rows["sure"]
    return View(
        "classes", _names(task, outputs["logits"].shape[1]), truth, chosen_N, chosen_N == truth,
        -np.log(np.maximum(rows["likelihood"], TINY)), sure_N, sure_N[:, None], rows["plain"][:, None],
    )


def _each(task: Task, outputs: Outputs, truth: Truth) -> dict[str, np.ndarray]:
    """Of some rows the `chosen` label, how `sure` the model is of it, also before calibration (`plain`), and the truth's `likelihood`."""
    logits_NC, rows = outputs["logits"].astype(np.float64), np.arange(len(truth))
    probability_NC = special.softmax(logits_NC / _temperature(task), axis=1)
    chosen_N = _labels_chosen(task, outputs, probability_NC)
    return {
        "chosen": chosen_N, "sure": probability_NC[rows, chosen_N], "plain": special.softmax(logits_NC, axis=1)[rows, chosen_N],
        "likelihood": np.where(truth >= 0, probability_NC[rows, np.maximum(truth, 0)], TINY),
    }


def _flags(task: Task, outputs: Outputs, truth: Truth) -> View:
    logits_NC = outputs["logits"].astype(np.float64)
    probability_NC = np.clip(special.expit(logits_NC / _temperature(task)), TINY, 1 - TINY)
    truth_NC, unknown_N = truth[:, : logits_NC.shape[1]].astype(bool), truth[:, logits_NC.shape[1] :].any(1)
    chosen_NC = probability_NC >= _thresholds(task, logits_NC.shape[1])
    agree_NC = np.where(truth_NC, probability_NC, 1 - probability_NC)
    right_N = (chosen_NC == truth_NC).all(1) & ~unknown_N
    sure_N = np.where(chosen_NC, probability_NC, 1 - probability_NC).min(1)
    return View(
        "flags", _names(task, logits_NC.shape[1]), truth_NC, chosen_NC, right_N,
        -np.log(agree_NC).sum(1), sure_N, probability_NC, special.expit(logits_NC),
    )


def _numbers(task: Task, outputs: Outputs, truth: Truth) -> View:
    given_NC, truth_NC = _square(outputs["numbers"]).astype(np.float64), _square(truth).astype(np.float64)
    spread_C = np.maximum(truth_NC.std(0), TINY)
    error_N = (np.abs(given_NC - truth_NC) / spread_C).mean(1)
    names = tuple(task.columns(task.targets))
    if len(names) != truth_NC.shape[1]:
        names = tuple(f"target {i + 1}" for i in range(truth_NC.shape[1]))
    close_N = error_N <= np.median(error_N)
    return View("numbers", names, truth_NC, given_NC, close_N, error_N, np.full(len(truth_NC), np.nan))


def _labels_chosen(task: Task, outputs: Outputs, probability_NC: np.ndarray) -> np.ndarray:
    """The task's own answer where it names one of its labels (a binary task may have moved its threshold), else the
    likeliest."""
    names = {name: i for i, name in enumerate(_names(task, probability_NC.shape[1]))}
    answers: Sequence[dict[str, Any]] = task.answers(outputs)
    chosen = [names.get(str(answer.get("label")), -1) for answer in answers]
    return np.where(np.array(chosen, dtype=np.int64) >= 0, chosen, probability_NC.argmax(1))


def _temperature(task: Task) -> float:
    value = getattr(task, "temperature", None)
    return float(value) if value else 1.0


def _thresholds(task: Task, labels: int) -> np.ndarray:
    value = getattr(task, "thresholds", None)
    given = 0.5 if value is None or np.size(value) == 0 else value
    return np.broadcast_to(np.asarray(given, dtype=np.float64), (labels,))


def _names(task: Task, count: int) -> tuple[str, ...]:
    names = tuple(str(name) for name in getattr(task, "vocabulary", None) or getattr(task, "labels", None) or ())
    return names if len(names) == count else tuple(f"class {i}" for i in range(count))


def _are_flags(truth: Truth, labels: int) -> bool:
    """(N, C) zeros and ones; a further column counts tags that training never saw."""
    return truth.shape[1] in (labels, labels + 1) and bool(np.isin(truth[:, :labels], (0, 1)).all())


def _square(array: np.ndarray) -> np.ndarray:
    return array[:, None] if array.ndim == 1 else array
