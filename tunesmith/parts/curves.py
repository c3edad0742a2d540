"""Areas under curves from ranks: exact with ties, one sort per column.

Axes: N rows, C classes or flags, P positive rows of one column.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..data.arrays import pieces
from ..memory import let_go

UNDEFINED = np.nan
"""A column without a positive row, or (AUROC) without a negative one, has no curve; means leave it out."""


def area(own_P: np.ndarray, rest_M: np.ndarray) -> float:
    """Area under the ROC curve from the scores of the rows that belong and of all others; both are sorted where they lie."""
    if not len(own_P) or not len(rest_M):
        return UNDEFINED
    for score in (own_P, rest_M):
        score.sort()
        let_go(score)
    wins = sum(_ahead(own_P[at], rest_M) for at in pieces(len(own_P), own_P.itemsize))
    return wins / 2 / (len(own_P) * len(rest_M))


def _ahead(own_P: np.ndarray, rest_M: np.ndarray) -> int:
    """Pairs of an own row and another in which the own is ahead, twice; level ones once."""
    found = int(np.searchsorted(rest_M, own_P, "left").sum()) + int(np.searchsorted(rest_M, own_P, "right").sum())
    let_go(rest_M)
    return found


def auroc(score_NC: np.ndarray, positives: list[np.ndarray]) -> np.ndarray:
    """(C,) area under the ROC curve. `positives[c]`: positions of the rows that belong to column c."""
    rows = len(score_NC)
    areas_C = np.full(score_NC.shape[1], UNDEFINED)
    for c, (sorted_N, own_P) in enumerate(_columns(score_NC, positives)):
        if 0 < len(own_P) < rows:
            below_P, upto_P = np.searchsorted(sorted_N, own_P, "left"), np.searchsorted(sorted_N, own_P, "right")
            # Mann-Whitney: a positive's mean rank, less the ranks that the positives take among themselves.
            wins = (float(below_P.sum()) + float(upto_P.sum()) + len(own_P)) / 2 - len(own_P) * (len(own_P) + 1) / 2
            areas_C[c] = wins / (len(own_P) * (rows - len(own_P)))
    return areas_C


def average_precision(score_NC: np.ndarray, positives: list[np.ndarray]) -> np.ndarray:
    """(C,) mean, over the positive rows, of the precision among rows that score at least as high."""
    areas_C = np.full(score_NC.shape[1], UNDEFINED)
    for c, (sorted_N, own_P) in enumerate(_columns(score_NC, positives)):
        if len(own_P):
            ahead_P = len(sorted_N) - np.searchsorted(sorted_N, own_P, "left")
            hits_P = len(own_P) - np.searchsorted(own_P, own_P, "left")
            areas_C[c] = np.mean(hits_P / ahead_P)
    return areas_C


def members(class_N: np.ndarray, classes: int) -> list[np.ndarray]:
    """Positions of the rows of each class; rows of class -1 belong to none."""
    small_N = class_N.astype(np.int16) if classes <= np.iinfo(np.int16).max else class_N  # sorted digit by digit
    order_N = np.argsort(small_N, kind="stable")
    edges = np.searchsorted(small_N[order_N], np.arange(classes + 1))
    return [order_N[edges[c] : edges[c + 1]] for c in range(classes)]


def mean(areas_C: np.ndarray, otherwise: float) -> float:
    """Mean of the defined areas; `otherwise` where there is none (chance level: nothing was shown)."""
    defined_C = areas_C[~np.isnan(areas_C)]
    return float(defined_C.mean()) if len(defined_C) else otherwise


def _columns(score_NC: np.ndarray, positives: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each column's scores, sorted, and those of its own rows; of many rows few columns at a time."""
    for some in pieces(score_NC.shape[1], score_NC[:, :1].nbytes):
        score_CN = _turned(score_NC, some)
        own = [np.sort(column_N[rows_P]) for column_N, rows_P in zip(score_CN, positives[some], strict=True)]
        score_CN.sort(axis=1)
        yield from zip(score_CN, own)


def _turned(score_NC: np.ndarray, some: slice) -> np.ndarray:
    """These columns as rows."""
    made = np.empty((some.stop - some.start, len(score_NC)), score_NC.dtype)
    for at in pieces(len(score_NC), score_NC[:1].nbytes):
        made[:, at] = score_NC[at, some].T
        let_go(score_NC)
    return made
