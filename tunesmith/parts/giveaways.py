"""Columns of a table that tell the target though nothing is learned: quantities as people write them, and texts that hold the number.

Columns of plain numbers and of categories are looked at by the audit of all data (`data/leaks.py`); here is what only a table's roles say.

Axes: N rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..data import labels as cells
from ..data import leaks
from ..data.finding import Finding
from ..data.table import Table
from . import amounts, fields, numbers, quantities
from .quantities import Style

SAME = 0.999
"""Rank correlation from which a column is the target by another name."""
NEAR = 0.01
"""Of the target: how far a number in a text may be from it, since people round."""
HELD = 0.95
"""Share of texts that hold their own target from which that is no chance."""
_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,'’]\d+)*(?: ?(?:k|K|M|bn|B))?(?![^\W_])")


def of_number(table: Table, written: Sequence[str], texts: Sequence[str], target: str) -> list[Finding]:
    """Quantities, however written, that put the rows in the target's own order, and texts in which the target stands."""
    table = _some(table)
    true_N = amounts.column(table.column(target))
    if len(true_N) < amounts.FEW:
        return []
    found = [_finding(name, f"{name!r} puts rows in the same order as {target!r}: the target by another name")
             for name, value_N in _values(table, written) if _ordered(value_N, true_N)]
    held = [name for name in texts if _held(table.column(name), true_N) >= HELD]
    return found + [_finding(name, f"the texts of {name!r} hold {target!r} of their own row as a number") for name in held]


def of_label(table: Table, written: Sequence[str], target: str) -> list[Finding]:
    """Quantities, however written, whose order tells the label."""
    table = _some(table)
    if len(table) < amounts.FEW:
        return []
    answers = [cell or "" for cell in cells.texts(table, target)]
    told = [name for name, value_N in _values(table, written) if leaks.orders(value_N, answers) >= leaks.SURE]
    return [_finding(name, f"column {name!r} predicts {target!r} alone") for name in told]


def _finding(name: str, message: str) -> Finding:
    fix = f"if it is not known when a prediction is needed: --set options.leave_out={name}"
    return Finding("warning", "column-predicts-label", message, (), fix)


def _some(table: Table) -> Table:
    """At most so many rows, spread evenly."""
    return table.take(np.unique(np.linspace(0, max(len(table) - 1, 0), min(len(table), leaks.SAMPLE)).astype(np.int64)))


def _values(table: Table, names: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """Columns of quantities that are written as texts; those of plain numbers are the audit's."""
    known = [(name, table.column(name)) for name in names]
    return [(name, fields.fit(name, "number", some).values(some)) for name, some in known if any(isinstance(cell, str) for cell in some)]


def _ordered(value_N: np.ndarray, true_N: np.ndarray) -> bool:
    both_N = ~np.isnan(value_N) & ~np.isnan(true_N)
    if both_N.sum() < amounts.FEW:
        return False
    return abs(numbers.score({"numbers": value_N[both_N, None]}, true_N[both_N, None])["spearman"]) >= SAME


def _held(texts: Sequence[object], true_N: np.ndarray) -> float:
    """Share of the texts that hold their own row's target; 0 where those of other rows are held about as often."""
    rows = [i for i, text in enumerate(texts) if isinstance(text, str) and text.strip() and not np.isnan(true_N[i])]
    if len(rows) < amounts.FEW:
        return 0.0
    said = [_said(str(texts[i])) for i in rows]
    shifted = [np.roll(true_N[rows], by) for by in (0, len(rows) // 2)]
    own, other = (np.mean([_among(some, value) for some, value in zip(said, values)]) for values in shifted)
    return float(own) if other <= 0.5 else 0.0


def _said(text: str) -> list[float]:
    """The numbers of a text, in every way that they can be read."""
    return [quantities.read(found, Style("", comma)) for found in _NUMBER.findall(text) for comma in ("thousands", "decimal")]


def _among(some: Sequence[float], value: float) -> bool:
    return any(abs(one - value) <= NEAR * abs(value) for one in some)
