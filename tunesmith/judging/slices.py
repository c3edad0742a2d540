"""Where does the model fail? Groups of rows by length, by true label, by file, and by every other column of few values.

Sorted by the far end of the interval: first comes the group that is bad even if it was unlucky. `clear` says that a
group is worse than all other rows beyond chance after Holm's correction for having looked at many groups.

Axes: N rows, S rows of one slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from scipy import stats

from .intervals import wilson
from .view import View

FEW = 20
"""Fewest rows of a slice."""
MOST_VALUES = 30
"""A column with more different values is no category."""
MOST_SHOWN = 20


class Rows(Protocol):
    """What is needed of a Table."""

    names: tuple[str, ...]

    def __len__(self) -> int: ...
    def each(self, name: str) -> Iterator[Any]: ...
    def rows(self, positions: Any = None) -> list[dict[str, Any]]: ...
    def place(self, position: int) -> str: ...


def slices(
    of: View, table: Rows, inputs: Sequence[str], targets: Sequence[str], *, level: float = 0.95, few: int = FEW
) -> list[dict[str, Any]]:
    """Slices with at least `few` rows, worst first: `by`, `value`, `rows`, `score`, `low`, `high`, `p`, `clear`.

    `score` is the share of rows answered right (higher is better), or for numbers the mean absolute error in spreads
    (lower is).
    """
    found: list[dict[str, Any]] = [
        {"by": by, "value": value, "rows": int(inside_N.sum())} | _judge(of, inside_N, level)
        for by, value, inside_N in _groups(of, table, inputs, targets)
        if few <= inside_N.sum() <= len(table) - few
    ]
    _mark_clear(found, 1 - level)
    worst_first = sorted(found, key=lambda one: -one["low"] if of.measured else one["high"])
    return worst_first[:MOST_SHOWN]


Group = tuple[str, str, np.ndarray]
"""By what, which value, and which rows (N,) are inside."""


def _groups(of: View, table: Rows, inputs: Sequence[str], targets: Sequence[str]) -> Iterator[Group]:
    yield from _by_length(_lengths(table, inputs))
    yield from _by_truth(of)
    yield from _by_value("file", (table.place(i).rsplit(", row ", 1)[0] for i in range(len(table))), len(table))
    for name in table.names:
        if name not in inputs and name not in targets:
            yield from _by_value(name, table.each(name), len(table))


def _lengths(table: Rows, inputs: Sequence[str]) -> np.ndarray:
    length_N, some = np.zeros(len(table), np.int64), False
    for name in inputs:
        first = next(table.each(name), None) if name in table.names else {}
        if not isinstance(first, dict):  # files have no length in characters
            length_N += np.fromiter(map(_size, table.each(name)), np.int64, len(table))
            some = True
    return length_N if some else length_N[:0]


def _size(cell: Any) -> int:
    """Characters of a cell; of a list, those of its items with a space between."""
    return len(" ".join(map(str, cell)) if isinstance(cell, list) else str(cell or ""))


def _by_length(length_N: np.ndarray) -> Iterator[Group]:
    if not len(length_N):
        return
    edges = np.unique(np.quantile(length_N, [0, 0.25, 0.5, 0.75, 1]).round().astype(int))
    for low, high in zip(edges[:-1], edges[1:]):
        inside_N = (length_N >= low) & ((length_N < high) | (high == edges[-1]))
        last = high if high == edges[-1] else high - 1
        yield "length", f"{low:,}–{last:,} characters", inside_N


def _by_truth(of: View) -> Iterator[Group]:
    for i, name in enumerate(of.names if of.kind in ("classes", "flags") else ()):
        yield "true label", name, of.truth == i if of.kind == "classes" else of.truth[:, i]


def _by_value(name: str, values: Iterable[Any], rows: int) -> Iterator[Group]:
    """A column of few values. Numbers, lists and near-unique columns are no categories."""
    number_N, seen = np.zeros(rows, np.int8), dict[str, int]()
    for row, value in enumerate(values):
        number_N[row] = number = seen.setdefault("(empty)" if value is None else str(value), len(seen))
        if isinstance(value, (float, list, dict)) or number >= min(MOST_VALUES, rows // 2):
            return
    for word in sorted(seen) if len(seen) > 1 else []:
        yield name, word, number_N == seen[word]


def _judge(of: View, inside_N: np.ndarray, level: float) -> dict[str, Any]:
    if of.measured:
        return _judge_error(of.loss_N[inside_N], of.loss_N[~inside_N], level)
    right, rows = int(of.right_N[inside_N].sum()), int(inside_N.sum())
    other, others = int(of.right_N[~inside_N].sum()), int((~inside_N).sum())
    low, high = wilson(right, rows, level)
    p = stats.fisher_exact([[right, rows - right], [other, others - other]], alternative="less").pvalue
    return {"score": right / rows, "low": low, "high": high, "p": float(p)}


def _judge_error(error_S: np.ndarray, other: np.ndarray, level: float) -> dict[str, Any]:
    mean, half = float(error_S.mean()), float(stats.t.ppf((1 + level) / 2, len(error_S) - 1) * stats.sem(error_S))
    p = stats.mannwhitneyu(error_S, other, alternative="greater").pvalue
    return {"score": mean, "low": max(0.0, mean - half), "high": mean + half, "p": float(p)}


def _mark_clear(found: list[dict[str, Any]], alpha: float) -> None:
    """Holm's step-down correction."""
    going = True
    for rank, one in enumerate(sorted(found, key=lambda one: float(one["p"]))):
        going = going and one["p"] <= alpha / (len(found) - rank)
        one["clear"] = going
