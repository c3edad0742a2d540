"""One or more numbers: cells, scale, loss, intervals, scores.

Axes: N rows of a set, B rows of a batch, C targets. Outputs are `{"numbers": (N, C)}` and truth is (N, C), both in the user's units;
NaN in truth: that row lacks that target. Training sees targets less their mean, over their standard deviation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..task import Outputs, Truth

if TYPE_CHECKING:
    import torch

DIRECTIONS: Mapping[str, bool] = {"r2": True, "mse": False, "rmse": False, "mae": False, "pearson": True, "spearman": True}
"""Score -> whether higher is better."""
LARGEST = 1e30
"""Targets beyond this overflow the squares of float32."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def number(cell: Any) -> float:
    """A cell as a number; NaN where it is empty or none (`1,234` is none: which number it means is a guess)."""
    if isinstance(cell, str):
        cell = float(cell) if _NUMBER.fullmatch(cell.strip()) else math.nan
    value = float(cell) if isinstance(cell, bool | int | float | np.number) else math.nan
    return value if abs(value) <= LARGEST else math.nan


def scale(target_NC: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each target, over the rows that have it (deviation 1 where it never changes)."""
    means, deviations = [], []
    for target_N in target_NC.T:
        there = target_N[~np.isnan(target_N)]
        mean, deviation = (float(there.mean()), float(there.std())) if len(there) else (0.0, 0.0)
        means.append(mean)
        deviations.append(deviation if deviation > 1e-12 * max(abs(mean), 1e-300) else 1.0)
    return tuple(means), tuple(deviations)


def loss(numbers_BC: torch.Tensor, target_BC: torch.Tensor, weight_B: torch.Tensor, *, kind: str = "mse") -> torch.Tensor:
    """SUM over rows of the weighted mean over the targets that a row has. All in standard deviations.

    `mse` squared error, `mae` absolute error, `huber` squared up to one standard deviation and straight beyond (halved).
    """
    import torch

    there_BC = ~target_BC.isnan()
    error_BC = torch.where(there_BC, numbers_BC.float() - target_BC.nan_to_num(), 0.0)
    size_BC = error_BC.abs()
    if kind == "mae":
        loss_BC = size_BC
    elif kind == "huber":
        loss_BC = torch.where(size_BC <= 1, 0.5 * size_BC**2, size_BC - 0.5)
    else:
        loss_BC = error_BC**2
    return (loss_BC.sum(1) / there_BC.sum(1).clamp_min(1) * weight_B).sum()


# -- intervals --------------------------------------------------------------------------------------------------------


def half_widths(outputs: Outputs, truth: Truth, coverage: float) -> tuple[float, ...]:
    """For each target the distance that holds new rows' truth with at least this probability (split conformal: Lei et al. 2018).

    Infinite distances (fewer than 1 / (1 - coverage) - 1 rows) are given as no distance at all: an empty tuple.
    """
    found = []
    for error_N in np.abs(_square(outputs["numbers"]) - truth).T:
        error_K = np.sort(error_N[~np.isnan(error_N)])
        rank = math.ceil((len(error_K) + 1) * coverage - 1e-9)
        if rank > len(error_K):
            return ()
        found.append(float(error_K[rank - 1]))
    return tuple(found)


def answers(outputs: Outputs, names: Sequence[str], half_C: Sequence[float] = ()) -> list[dict[str, Any]]:
    """One target: `value`, and `low` and `high` where there are intervals. Several: the same three, by target name."""
    found = []
    for row_C in _square(outputs["numbers"]).astype(np.float64).tolist():
        answer: dict[str, Any] = {"value": dict(zip(names, row_C))}
        if half_C:
            answer["low"] = {name: value - half for name, value, half in zip(names, row_C, half_C)}
            answer["high"] = {name: value + half for name, value, half in zip(names, row_C, half_C)}
        found.append(answer if len(names) > 1 else {key: by_name[names[0]] for key, by_name in answer.items()})
    return found


# -- scores -----------------------------------------------------------------------------------------------------------


def score(outputs: Outputs, truth: Truth) -> dict[str, float]:
    """All scores of DIRECTIONS: means over the targets. Correlations are 0 where a side never changes."""
    columns = [_scores(given_N, true_N) for given_N, true_N in zip(_square(outputs["numbers"]).T, _square(truth).T)]
    return {name: float(np.mean([column[name] for column in columns])) for name in DIRECTIONS}


def per_target(outputs: Outputs, truth: Truth, names: Sequence[str]) -> list[dict[str, Any]]:
    """The same scores of each target by itself."""
    pairs = zip(names, _square(outputs["numbers"]).T, _square(truth).T, strict=True)
    return [{"target": name, **_scores(given_N, true_N), "rows": int((~np.isnan(true_N)).sum())} for name, given_N, true_N in pairs]


def mean_outputs(means: Sequence[float], rows: int) -> Outputs:
    """The mean baseline: every row gets the mean of the training rows."""
    return {"numbers": np.tile(np.asarray(means, np.float64), (rows, 1))}


def _scores(given_N: np.ndarray, true_N: np.ndarray) -> dict[str, float]:
    there_N = ~np.isnan(true_N)
    if not there_N.all():
        given_N, true_N = given_N[there_N], true_N[there_N]
    if not len(true_N):
        return dict.fromkeys(DIRECTIONS, 0.0)
    given_N = given_N.astype(np.float64)
    error_N = given_N - true_N
    mse = float(error_N @ error_N / len(error_N))
    return {
        "r2": _r2(mse, float(true_N.var())), "mse": mse, "rmse": math.sqrt(mse), "mae": float(np.abs(error_N).mean()),
        "pearson": _correlation(given_N, true_N), "spearman": _correlation(_ranks(given_N), _ranks(true_N)),
    }


def _r2(mse: float, variance: float) -> float:
    """1 - error over variance; a truth that never changes gives 1 where it is met exactly, else 0 (as scikit-learn)."""
    if variance == 0.0:
        return float(mse == 0.0)
    return 1 - mse / variance


def _correlation(one_N: np.ndarray, other_N: np.ndarray) -> float:
    one_N, other_N = one_N - one_N.mean(), other_N - other_N.mean()
    length = math.sqrt(float(one_N @ one_N)) * math.sqrt(float(other_N @ other_N))
    # Rounding leaves a constant a little length of its own.
    return float(np.clip(one_N @ other_N / length, -1.0, 1.0)) if length > 1e-14 * len(one_N) else 0.0


def _ranks(value_N: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share their mean rank."""
    order_N = np.argsort(value_N, kind="stable")
    sorted_N = value_N[order_N]
    edges_K = np.flatnonzero(np.concatenate([[True], sorted_N[1:] != sorted_N[:-1], [True]]))
    middle_K = (edges_K[:-1] + edges_K[1:] + 1) / 2
    ranks_N = np.empty(len(value_N))
    ranks_N[order_N] = np.repeat(middle_K, np.diff(edges_K))
    return ranks_N


def _square(array: np.ndarray) -> np.ndarray:
    return array[:, None] if array.ndim == 1 else array
