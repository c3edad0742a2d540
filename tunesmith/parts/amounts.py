"""A number to tell from a table: how its cells are written, whether its logarithm is learned, its scale, intervals and scores.

Axes: N rows, B rows of a batch. Outputs are `{"numbers": (N, 1)}` and truth is (N, 1), in the data's unit; NaN in truth: no target.
Training sees the number, or its logarithm, less the mean, over the standard deviation of the training rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..data.finding import Finding, places
from ..errors import listing, shorten
from ..spec import Choice
from ..task import Outputs, Truth
from . import classes, fields, numbers, quantities
from .quantities import Style

if TYPE_CHECKING:
    import torch

    from ..data.ledger import Ledger
    from ..data.table import Table

DIRECTIONS: Mapping[str, bool] = {**numbers.DIRECTIONS, "r2_log": True}
"""Scores of a number whose logarithm is learned: `r2_log` is R2 of the logarithms, over rows above zero."""
FEW = 30
"""Rows below which no shape of a distribution is read off."""
SKEWED = 1.5
"""Skewness from which a distribution has a long tail."""
MUCH = 0.2
"""Share of a column's filled cells that must not be unreadable."""


@final
@dataclass(frozen=True)
class Scale:
    """How a number is learned. `low` and `high`: how far answers go, in what is learned."""

    logged: bool
    why: str
    mean: float
    deviation: float
    low: float
    high: float
    middle: float
    """Mean of the training rows in the data's unit."""

    @classmethod
    def of(cls, target_N: np.ndarray, asked: str = "auto") -> Scale:
        """The scale of training targets; `asked`: whether to learn the logarithm, `yes`, `no` or `auto`. Raises ValueError never:
        logarithms of targets that are not above zero are not learned, whatever was asked."""
        there = target_N[~np.isnan(target_N)]
        logged, why = _logged(there, asked)
        learned = np.log(there) if logged else there
        (mean,), (deviation,) = numbers.scale(learned[:, None])
        low, high = (float(learned.min() - deviation), float(learned.max() + deviation)) if len(learned) else (0.0, 0.0)
        return cls(logged, why, mean, deviation, low, high, float(there.mean()) if len(there) else 0.0)

    def standard(self, target: np.ndarray) -> np.ndarray:
        """Targets as training sees them, of the same shape; NaN where the logarithm is learned of none above zero."""
        if self.logged:
            target = np.log(np.where(target > 0, target, np.nan))
        return np.asarray((target - self.mean) / self.deviation)

    def undone(self, standard_B1: torch.Tensor) -> torch.Tensor:
        """(B, 1) numbers in the data's unit. Of a logarithm, answers end one deviation beyond the training rows' smallest and largest."""
        found_B1 = standard_B1.float() * self.deviation + self.mean
        return found_B1.clamp(self.low, self.high).exp() if self.logged else found_B1

    def half_width(self, outputs: Outputs, truth: Truth, coverage: float) -> float:
        """The distance, in what is learned, that holds new rows with this probability; 0: too few rows to say."""
        found = numbers.half_widths({"numbers": self._learned(outputs["numbers"])}, self._learned(truth), coverage)
        return found[0] if found else 0.0

    def answers(self, outputs: Outputs, half: float, unit: str) -> list[dict[str, Any]]:
        """`value`, `low` and `high` where there is an interval, and `unit` where there is one."""
        found = []
        for value in outputs["numbers"][:, 0].astype(np.float64).tolist():
            around = (value * math.exp(-half), value * math.exp(half)) if self.logged else (value - half, value + half)
            answer: dict[str, Any] = {"value": value} | ({"low": around[0], "high": around[1]} if half else {})
            found.append(answer | ({"unit": unit} if unit else {}))
        return found

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """As regression in the data's unit; of logarithms also R2 of these."""
        found = numbers.score(outputs, truth)
        if not self.logged:
            return found
        return found | {"r2_log": numbers.score({"numbers": self._learned(outputs["numbers"])}, self._learned(truth))["r2"]}

    def back(self, learned_N: np.ndarray) -> np.ndarray:
        """(N, 1) numbers in the data's unit of what was learned of (N,)."""
        return (np.exp(np.clip(learned_N, self.low, self.high)) if self.logged else learned_N)[:, None]

    def _learned(self, value: np.ndarray) -> np.ndarray:
        return np.log(np.where(value > 0, value, np.nan)) if self.logged else value


def _logged(there: np.ndarray, asked: str) -> tuple[bool, str]:
    if not len(there) or there.min() <= 0:
        return False, "asked for, but not every number is above zero" if asked == "yes" else "not every number is above zero"
    if asked != "auto":
        return asked == "yes", "as asked"
    if len(there) < FEW:
        return False, f"fewer than {FEW} training rows"
    plain, logged = _skewness(there), _skewness(np.log(there))
    if plain < SKEWED or abs(logged) > plain / 2:
        return False, f"no long tail: skewness {plain:.1f}, of the logarithms {logged:.1f}"
    shape = f"skewness {plain:.1f}, of the logarithms {logged:.1f}"
    return True, f"all above zero with a long tail: {shape}; scores and answers stay in the data's unit"


def _skewness(value_N: np.ndarray) -> float:
    deviation = float(value_N.std())
    return float((((value_N - value_N.mean()) / deviation) ** 3).mean()) if deviation else 0.0


# -- cells ------------------------------------------------------------------------------------------------------------


def column(cells: Sequence[Any]) -> np.ndarray:
    """(N,) targets that are numbers already; NaN where one is missing."""
    return np.array([numbers.number(cell) for cell in cells], np.float64)


def written(cells: Sequence[Any], name: str) -> dict[str, Choice[Any]]:
    """How the target's cells are written, as options, where they are not plain numbers."""
    how = quantities.style(cells) if any(isinstance(cell, str) for cell in cells) else None
    if how is None or how == Style():
        return {}
    why = f"the cells of {name!r} hold {how.describe()}"
    return {"unit": Choice(how.unit, why), "comma": Choice(how.comma, why)}


def tidied(table: Table, name: str, unit: str, comma: str, ledger: Ledger) -> Table:
    """The table with target texts as numbers. Cells that hold none stay texts, for the audit to name; words for `not known` are empty."""
    cells = table.column(name)
    texts = [i for i, cell in enumerate(cells) if isinstance(cell, str)]
    if not texts:
        return table
    how = Style(unit, comma)  # type: ignore[arg-type]
    found: list[Any] = [None if quantities.is_empty(cell) else cell for cell in cells]
    value_N = quantities.read_all(cells, how)
    if len(quantities.unreadable(cells, value_N)):
        found = [cell if cell is None or math.isnan(value) else repr(value) for cell, value in zip(found, value_N.tolist())]
        return table.with_column(name, found)
    ledger.add("cast", f"column {name!r} from text to number: {how.describe()}", table.places(texts))
    return table.with_column(name, [None if cell is None else value for cell, value in zip(found, value_N.tolist())])


def unreadable(table: Table, columns: Sequence[tuple[str, fields.Kind]]) -> list[Finding]:
    """Filled cells of columns of quantities or dates that hold none: told with their rows; an error where they are many."""
    few, many = list[tuple[str, np.ndarray]](), list[tuple[str, np.ndarray]]()
    for name, kind in columns:
        cells = table.column(name)
        bad = quantities.unreadable(cells, fields.fit(name, kind, cells).values(cells))
        if len(bad):
            filled = sum(not quantities.is_empty(cell) for cell in cells)
            (many if len(bad) > MUCH * filled else few).append((name, bad))
    found = []
    if many:
        fix = "give the column another role: --set 'options.categories=[...]', or options.texts or options.leave_out"
        found.append(_unreadable(table, many, "error", fix))
    return found + ([_unreadable(table, few, "warning", "mend the cells; they are read as empty")] if few else [])


def _unreadable(table: Table, columns: Sequence[tuple[str, np.ndarray]], level: Any, fix: str) -> Finding:
    told = listing([f"{len(bad):,} of {name!r} such as {shorten(repr(table.column(name)[bad[0]]), 30)}" for name, bad in columns], 5)
    rows = sorted({int(i) for _, bad in columns for i in bad})
    return Finding(level, "unreadable-cell", f"expected quantities or dates, got cells that are none: {told}", places(table, rows), fix)


def remarks(learned: Sequence[fields.Field], columns: Mapping[str, Sequence[Any] | None], rows: int) -> list[list[str]]:
    """For each row what of it the model could not use, in words. `columns`: cells by name, None where the column is not there."""
    found: list[list[str]] = [[] for _ in range(rows)]
    absent = [name for name, cells in columns.items() if cells is None]
    if absent:
        for said in found:
            said.append(f"not given, taken as empty: {listing(absent, 8)}")
    for field in learned:
        cells = columns[field.name]
        if cells is None or field.kind == "list":
            continue
        if field.kind == "category":
            for said, cell in zip(found, cells):
                if (key := classes.key(cell)) is not None and key not in field.levels:
                    said.append(f"{field.name} {shorten(repr(key), 40)}: too rare in training to be known")
        else:
            for row in quantities.unreadable(cells, field.values(cells)):
                found[int(row)].append(f"{field.name} {shorten(repr(cells[int(row)]), 40)}: no {field.kind}, taken as empty")
    return found
