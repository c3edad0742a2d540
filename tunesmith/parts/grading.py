"""Found entities as a reader of the report sees them: marked in the text, counted by type, each with its confidence.

Axes: N rows, K types, M found entities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..task import Graded, Mark, Outputs, Pieces, Truth
from . import entities
from .entities import ANSWERED, HIT, SUPPORT, TINY


def grade(outputs: Outputs, truth: Truth, types: Sequence[str], plain: bool, temperature: float, column: str) -> Graded:
    """Rows as the report shows them; of condensed outputs only which are right, and the counts."""
    counts_NK4 = entities.condense(outputs, truth, types, plain)["counts"]
    right_N = (counts_NK4[..., HIT] == counts_NK4[..., ANSWERED]).all(1) & (counts_NK4[..., HIT] == counts_NK4[..., SUPPORT]).all(1)
    names = tuple(entities.all_types(truth, types))
    counts_NK3 = counts_NK4[..., [HIT, ANSWERED, SUPPORT]]
    nothing, unsure_N = [""] * len(truth), np.full(len(truth), np.nan)
    if "logits" not in outputs or "text" not in outputs:
        return Graded(nothing, nothing, right_N, unsure_N, unsure_N, unsure_N, names=names, counts_NK3=counts_NK3)
    found, right_M, row_M = entities.judged(outputs, truth, types, plain)
    sure_M, plain_M = (entities.sure_all(outputs, found, value, plain) for value in (temperature, 1.0))
    sure_N, loss_N = _least(sure_M, row_M, len(truth)), _losses(outputs, truth, types, plain, temperature, (sure_M, right_M, row_M))
    marks = [_marks(*row, types, column) for row in zip(found, truth, outputs["span"])]
    return Graded(
        [_said(own, "truth", text) for own, text in zip(marks, outputs["text"])],
        [_said(own, "answer", text) for own, text in zip(marks, outputs["text"])],
        right_N, loss_N, sure_N, _least(plain_M, row_M, len(truth)), marks, names, counts_NK3,
        Pieces(sure_M, plain_M, right_M, row_M, "each found span"),
    )


def _least(sure_M: np.ndarray, row_M: np.ndarray, rows: int) -> np.ndarray:
    """(N,) the least confidence of a row; NaN where nothing was found."""
    least_N = np.full(rows, np.inf)
    np.minimum.at(least_N, row_M, sure_M)
    return np.where(np.isinf(least_N), np.nan, least_N)


def _losses(
    outputs: Outputs, truth: Truth, types: Sequence[str], plain: bool, temperature: float, judged: tuple[np.ndarray, ...]
) -> np.ndarray:
    """(N,) how surprising a row's truth is: wrong spans that were sure, and true ones that were thought unlikely."""
    sure_M, right_M, row_M = judged
    loss_N = np.bincount(row_M, -np.log(np.maximum(1 - sure_M, TINY)) * ~right_M, len(truth))
    for row, true in enumerate(truth):
        known = [(start, end, types.index(kind)) for start, end, kind in true["spans"] if kind in types]
        chance = entities.sure(entities.probabilities(outputs["logits"][row], temperature), known, plain) if known else []
        unknown = len(true["spans"]) - len(known)
        loss_N[row] += -np.log(np.maximum([*chance, *[TINY] * unknown], TINY)).sum() if true["spans"] else 0.0
    return loss_N


def _marks(found: Sequence[entities.Found], true: Any, span_W2: Any, types: Sequence[str], column: str) -> list[Mark]:
    said = [Mark(column, *_characters(span_W2, span), "truth", span[2]) for span in true["spans"]]
    return said + [Mark(column, *_characters(span_W2, span), "answer", types[span[2]]) for span in found]


def _characters(span_W2: Any, span: Sequence[Any]) -> tuple[int, int]:
    return int(span_W2[span[0]][0]), int(span_W2[span[1] - 1][1])


def _said(marks: Sequence[Mark], of: str, text: str) -> str:
    return ", ".join(f"{text[mark.start : mark.end]} ({mark.label})" for mark in marks if mark.of == of) or "none"
