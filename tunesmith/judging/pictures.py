"""Tables behind the pictures: confusion and scores per label, predicted against true numbers.

Axes: N rows, C labels or targets, R resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from .view import View

MOST_POINTS = 600
MOST_PAIRS = 15
LARGEST_MATRIX = 20
"""Labels up to which the whole matrix is kept; beyond it only the most confused pairs can be read."""


def confusion(of: View) -> dict[str, Any]:
    """classes: `labels`, `counts` (rows: truth, columns: answer; None for very many labels), `pairs` most confused.

    Rows whose label is unknown to training are left out of the matrix and counted in `unknown`.
    """
    known_N = of.truth >= 0
    count = len(of.names)
    counts_CC = np.zeros((count, count), dtype=np.int64)
    np.add.at(counts_CC, (of.truth[known_N], of.chosen[known_N]), 1)
    return {
        "labels": list(of.names), "counts": counts_CC.tolist() if count <= LARGEST_MATRIX else None,
        "pairs": _pairs(counts_CC, of.names), "unknown": int((~known_N).sum()),
    }


def per_label(of: View, *, level: float = 0.95, seed: int = 0) -> list[dict[str, Any]]:
    """classes and flags: `label`, `precision`, `recall`, `f1` with its `low` and `high`, `support`, `answered`."""
    if of.kind == "flags":
        truth_NC, chosen_NC = of.truth, of.chosen
    else:
        truth_NC, chosen_NC = _one_hot(of.truth, of), _one_hot(of.chosen, of)
    hit_C, support_C, answered_C = (truth_NC & chosen_NC).sum(0), truth_NC.sum(0), chosen_NC.sum(0)
    rng = np.random.default_rng([seed, of.rows, 7])
    found = []
    for name, *counts in zip(of.names, hit_C.tolist(), support_C.tolist(), answered_C.tolist()):
        hit, support, answered = counts
        low, high = _f1_interval(hit, support, answered, of.rows, level, rng)
        found.append({
            "label": name, "precision": hit / answered if answered else None,
            "recall": hit / support if support else None,
            "f1": 2 * hit / (support + answered) if support + answered else None, "low": low, "high": high,
            "support": support, "answered": answered,
        })
    return found


def per_kind(of: View, *, level: float = 0.95, seed: int = 0) -> list[dict[str, Any]]:
    """texts whose answers have kinds: the same for each kind, intervals from resampled rows."""
    if of.counts_NK3 is None:
        return []
    rng = np.random.default_rng([seed, of.rows, 9])
    times_RN = rng.multinomial(of.rows, np.full(of.rows, 1 / of.rows), size=500)
    found = []
    for name, counts_N3 in zip(of.names, np.moveaxis(of.counts_NK3, 1, 0)):
        hit, answered, support = counts_N3.sum(0).tolist()
        draws_R3 = times_RN @ counts_N3
        f1_R = 2 * draws_R3[:, 0] / np.maximum(draws_R3[:, 1] + draws_R3[:, 2], 1)
        low, high = np.quantile(f1_R, [(1 - level) / 2, (1 + level) / 2]).tolist()
        there = support + answered > 0
        found.append({
            "label": name, "precision": hit / answered if answered else None, "recall": hit / support if support else None,
            "f1": 2 * hit / (support + answered) if there else None, "low": low if there else None, "high": high if there else None,
            "support": support, "answered": answered,
        })
    return found


def numbers(of: View, *, level: float = 0.95, seed: int = 0) -> list[dict[str, Any]]:
    """numbers, per target: `points` [[true, predicted]], `bins` of the predicted number, quantiles of the error,
    `slope`."""
    drawn = np.sort(np.random.default_rng([seed, of.rows, 8]).permutation(of.rows)[:MOST_POINTS])
    return [_target(name, of.truth[:, i], of.chosen[:, i], drawn, level) for i, name in enumerate(of.names)]


def _target(name: str, truth_N: np.ndarray, given_N: np.ndarray, drawn: np.ndarray, level: float) -> dict[str, Any]:
    error_N = given_N - truth_N
    at = (0.05, 0.25, 0.5, 0.75, 0.95)
    return {
        "name": name, "points": np.stack([truth_N[drawn], given_N[drawn]], 1).tolist(), "rows": len(truth_N),
        "bins": _residuals(truth_N, given_N, level), "slope": _slope(given_N, truth_N),
        "mean_error": float(error_N.mean()),
        "error_quantiles": dict(zip(map(str, at), np.quantile(error_N, at).tolist())),
        "low": float(min(truth_N.min(), given_N.min())), "high": float(max(truth_N.max(), given_N.max())),
    }


def _residuals(truth_N: np.ndarray, given_N: np.ndarray, level: float) -> list[dict[str, Any]]:
    """Bins of equal mass of the predicted number: mean predicted, mean true with a t interval."""
    found = []
    for index in np.array_split(np.argsort(given_N, kind="stable"), int(np.clip(len(given_N) // 20, 1, 10))):
        true = truth_N[index]
        half = float(stats.t.ppf((1 + level) / 2, len(true) - 1) * stats.sem(true)) if len(true) > 1 else 0.0
        mean = float(true.mean())
        found.append({
            "given": float(given_N[index].mean()), "true": mean, "low": mean - half, "high": mean + half,
            "count": len(index),
        })
    return found


def _slope(given_N: np.ndarray, truth_N: np.ndarray) -> float | None:
    """Slope of truth on prediction: 1 where predictions are as wide as they should be, below 1 where they
    exaggerate."""
    return float(np.polyfit(given_N, truth_N, 1)[0]) if given_N.std() > 1e-12 else None


def _pairs(counts_CC: np.ndarray, names: tuple[str, ...]) -> list[dict[str, Any]]:
    wrong_CC = counts_CC - np.diag(np.diag(counts_CC))
    share_CC = wrong_CC / np.maximum(counts_CC.sum(1, keepdims=True), 1)
    order = np.argsort(-wrong_CC, axis=None, kind="stable")[:MOST_PAIRS]
    pairs = [divmod(int(i), len(names)) for i in order]
    return [
        {"truth": names[a], "answer": names[b], "count": int(wrong_CC[a, b]), "share": float(share_CC[a, b])}
        for a, b in pairs if wrong_CC[a, b]
    ]


def _one_hot(ids_N: np.ndarray, of: View) -> np.ndarray:
    hot_NC: np.ndarray = ids_N[:, None] == np.arange(len(of.names))[None, :]
    return hot_NC


def _f1_interval(
    hit: int, support: int, answered: int, rows: int, level: float, rng: np.random.Generator
) -> tuple[float | None, float | None]:
    """F1 depends on four counts alone, so its bootstrap needs no rows; half a row is added to each so that none is
    stuck at zero."""
    if support + answered == 0:
        return None, None
    cells = np.array([hit, support - hit, answered - hit, max(0, rows - support - answered + hit)]) + [0.5, 0.5, 0.5, 0]
    draws = rng.multinomial(rows, cells / cells.sum(), size=1000)
    f1_R = 2 * draws[:, 0] / np.maximum(2 * draws[:, 0] + draws[:, 1] + draws[:, 2], 1)
    low, high = np.quantile(f1_R, [(1 - level) / 2, (1 + level) / 2])
    value = 2 * hit / (support + answered)
    return min(float(low), value), max(float(high), value)
