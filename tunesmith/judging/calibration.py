"""Can the confidences be taken at their word?

A reliability diagram (bins of equal mass, so that each says as much), the expected calibration error before and after
calibration with intervals, and a verdict against what perfectly honest confidences would show on as many rows by chance
alone: ECE is never zero on finite rows (consistency resampling, Broecker & Smith 2007, doi 10.1175/WAF993.1).

Axes: N rows, K judged confidences (rows, or row-label pairs), B bins, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ..parts import confidence
from .intervals import Members, finite, wilson
from .view import View

MOST_BINS = 15
ROWS_A_BIN = 20
"""Fewer rows than this in a bin say nothing."""


@final
@dataclass(frozen=True)
class Confidences:
    """What was promised and what came: K pairs. `row_K` is the row each belongs to."""

    promised_K: np.ndarray
    came_K: np.ndarray
    row_K: np.ndarray


def confidences(of: View, calibrated: bool = True) -> Confidences:
    """classes: the chosen label's probability; flags: every label's probability in every row; texts: that of the answer,
    or of each of its pieces."""
    if of.pieces is not None:
        promised_M = of.pieces.sure_M if calibrated else of.pieces.plain_M
        return Confidences(promised_M, of.pieces.right_M.astype(float), of.pieces.row_M)
    probability_NC = of.probability_NC if calibrated else of.plain_NC
    assert probability_NC is not None
    rows = np.arange(of.rows)
    if of.kind in ("classes", "texts"):
        return Confidences(probability_NC[:, 0], of.right_N.astype(float), rows)
    return Confidences(probability_NC.ravel(), of.truth.astype(float).ravel(), np.repeat(rows, of.truth.shape[1]))


def report(
    of: View, groups_N: np.ndarray | None = None, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """The JSON-able part of the report: `bins`, `before`, `after`, `chance`, `verdict`."""
    after, before = confidences(of), confidences(of, calibrated=False)
    chance = _by_chance(after.promised_K, level, resamples, seed)
    value = ece(after.promised_K, after.came_K)
    return {
        "bins": reliability(after, level),
        "bins_before": reliability(before, level),
        "before": _with_interval(before, of.rows, groups_N, level, resamples, seed),
        "after": _with_interval(after, of.rows, groups_N, level, resamples, seed),
        "chance": chance,
        "verdict": _verdict(value, chance, _surplus(after)),
        "of": _what(of),
    }


def _what(of: View) -> str:
    if of.pieces is not None:
        return of.pieces.what
    return {"classes": "the chosen label", "texts": "the answer"}.get(of.kind, "every label of every row")


def reliability(pairs: Confidences, level: float = 0.95) -> list[dict[str, Any]]:
    """Bins of equal mass: mean confidence, share that came true with Wilson's interval, number of confidences."""
    found = []
    for index in _bins(pairs.promised_K):
        came = pairs.came_K[index]
        low, high = wilson(came.sum(), len(index), level)
        found.append({
            "confidence": float(pairs.promised_K[index].mean()), "share": float(came.mean()), "low": low, "high": high,
            "count": len(index),
        })
    return found


def ece(promised_K: np.ndarray, came_K: np.ndarray) -> float:
    """Expected calibration error, the same number as the task's own `ece` (bins of equal width, arXiv 1706.04599)."""
    return confidence.reliability(promised_K, came_K).ece


def _bins(promised_K: np.ndarray) -> list[np.ndarray]:
    count = int(np.clip(len(promised_K) // ROWS_A_BIN, 1, MOST_BINS))
    return [index for index in np.array_split(np.argsort(promised_K, kind="stable"), count) if len(index)]


def _with_interval(
    pairs: Confidences, rows: int, groups_N: np.ndarray | None, level: float, resamples: int, seed: int
) -> dict[str, Any]:
    """Percentiles of resampled rows, shifted by the bias that resampling itself adds to ECE."""
    rng = np.random.default_rng([seed, rows, 4])
    members, promised_K, came_K = Members.of(groups_N, rows), pairs.promised_K, pairs.came_K
    count = int(np.clip(2e7 / max(1, len(promised_K)), 50, resamples))
    drawn = (np.bincount(members.draw(rng), minlength=rows)[pairs.row_K] for _ in range(count))
    draws = [ece(np.repeat(promised_K, times_K), np.repeat(came_K, times_K)) for times_K in drawn]
    value = ece(pairs.promised_K, pairs.came_K)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]) - (np.mean(draws) - value)
    return {"value": finite(value), "low": max(0.0, float(low)), "high": float(high), "method": "bootstrap"}


def _by_chance(promised_K: np.ndarray, level: float, resamples: int, seed: int) -> float:
    """The ECE that honest confidences stay under in `level` of the cases."""
    rng = np.random.default_rng([seed, len(promised_K), 5])
    count = int(np.clip(2e7 / max(1, len(promised_K)), 50, resamples))
    draws = [ece(promised_K, rng.random(len(promised_K)) < promised_K) for _ in range(count)]
    return float(np.quantile(draws, level))


def _surplus(pairs: Confidences) -> float:
    """How much surer the answers are than they are right, each taken in the direction it leans to."""
    leans_K = pairs.promised_K >= 0.5
    promised_K = np.where(leans_K, pairs.promised_K, 1 - pairs.promised_K)
    came_K = np.where(leans_K, pairs.came_K, 1 - pairs.came_K)
    return float(promised_K.mean() - came_K.mean())


def _verdict(value: float, chance: float, surplus: float) -> str:
    if value <= chance:
        return (f"The confidences can be taken at their word: their calibration error of {value:.3f} is no more than "
                f"honest confidences would show by chance on these rows (up to {chance:.3f}).")
    way = "too sure of itself" if surplus > 0 else "not sure enough of itself"
    return (f"The model is {way}: a calibration error of {value:.3f}, where honest confidences would stay under "
            f"{chance:.3f}. Read its confidences with the diagram at hand.")
