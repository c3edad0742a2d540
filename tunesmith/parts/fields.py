"""Columns of a table as numbers that a network reads: quantities, categories, dates, lists. All is learned from training rows alone.

A quantity becomes its place between training quantiles, piece by piece (arXiv 2203.05556), beside a tame form of its size; a category one
of its frequent levels, with a place for all others and one for none; a date its day and its place in the year and the week; a list its
frequent items. An empty cell stands at the training rows' median (or at no level), and a flag says that it was empty.
"""
# Axes: N rows, F features of one column, K pieces between quantiles, L levels.

from __future__ import annotations

import datetime
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from ..data import dates
from . import classes, quantities
from .quantities import Style

Kind = Literal["number", "category", "date", "list"]

PIECES = 12
"""Most pieces of a quantity."""
LEVELS = 100
"""Most levels of a category, or items of a list, that have a place of their own."""
RARE = 3
"""Training rows below which a level has none."""
FAR = 6.0
"""Farthest that the tame size goes: numbers beyond the training rows' say no more."""
CIRCLES = {"year": 365.2425, "week": 7.0, "day": 1.0}
"""Days of the circles on which a date has a place."""
EPOCH = datetime.datetime(1970, 1, 1)


@final
@dataclass(frozen=True)
class Field:
    """One column and how it is read."""

    name: str
    kind: Kind
    unit: str = ""
    comma: str = ""
    day_first: bool = False
    middle: float = 0.0
    """Median of the training rows; of dates in days since 1970."""
    spread: float = 1.0
    edges: tuple[float, ...] = ()
    """Quantiles between which a quantity's place is told."""
    levels: tuple[str, ...] = ()
    flagged: bool = False
    """Whether enough training cells were empty for a flag to be learned."""
    empty: int = 0
    """Training cells that were empty."""
    turns: tuple[float, ...] = ()
    """Days of the circles (year, week, day) that training dates went round twice: a place on others says nothing of dates to come."""

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Field:
        """The field that `dataclasses.asdict` wrote."""
        frozen: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return cls(**frozen)

    @property
    def style(self) -> Style:
        """How quantities are written."""
        return Style(self.unit, self.comma)  # type: ignore[arg-type]

    @property
    def width(self) -> int:
        """F."""
        if self.kind == "category":
            return len(self.levels) + 2
        if self.kind == "list":
            return len(self.levels) + 2
        own = 1 + max(0, len(self.edges) - 1) + int(self.flagged)
        return own + 2 * len(self.turns)

    def describe(self) -> str:
        """How the column is read, in words."""
        gaps = f"; {self.empty:,} empty" if self.empty else ""
        if self.kind in ("category", "list"):
            what = "levels" if self.kind == "category" else "items"
            rest = ", one place for all others, one for none" if self.kind == "category" else ", and how many there are"
            return f"{len(self.levels):,} {what} of at least {RARE} training rows{rest}{gaps}"
        filled = f", at the median{' with a flag' if self.flagged else ''}" if self.empty else ""
        if self.kind == "date":
            order = ", the day first" if self.day_first else ""
            places = "".join(f", place in the {name}" for name, days in CIRCLES.items() if days in self.turns)
            return f"dates{order}: day{places}{gaps}{filled}"
        return f"{self.style.describe()}; {max(0, len(self.edges) - 1)} pieces between quantiles{gaps}{filled}"

    def values(self, cells: Sequence[Any]) -> np.ndarray:
        """(N,) quantities, or dates in days; NaN where there is none."""
        if self.kind == "date":
            return np.array([_days(dates.moment(cell, self.day_first)) for cell in cells], np.float64)
        return quantities.read_all(cells, self.style)

    def encode(self, cells: Sequence[Any]) -> np.ndarray:
        """(N, F) float32."""
        if self.kind == "category":
            return self._one_of([classes.key(cell) for cell in cells])
        if self.kind == "list":
            return self._many([items(cell) for cell in cells])
        value_N = self.values(cells)
        parts = [self._places(value_N)]
        if self.flagged:
            parts.append(np.isnan(value_N)[:, None])
        if self.kind == "date":
            parts.append(_calendar(value_N, self.turns))
        return np.concatenate(parts, 1).astype(np.float32)

    def _places(self, value_N: np.ndarray) -> np.ndarray:
        filled_N = np.where(np.isnan(value_N), self.middle, value_N)
        size_N = np.clip(np.arcsinh((filled_N - self.middle) / self.spread), -FAR, FAR)
        low_K, high_K = np.array(self.edges[:-1]), np.array(self.edges[1:])
        place_NK = np.clip((filled_N[:, None] - low_K) / np.maximum(high_K - low_K, 1e-300), 0, 1)
        return np.concatenate([size_N[:, None], place_NK], 1)

    def _one_of(self, keys: Sequence[str | None]) -> np.ndarray:
        at = {level: i for i, level in enumerate(self.levels)}
        found = np.zeros((len(keys), self.width), np.float32)
        for row, key in enumerate(keys):
            found[row, self.width - 1 if key is None else at.get(key, self.width - 2)] = 1
        return found

    def _many(self, lists: Sequence[Sequence[str]]) -> np.ndarray:
        at = {level: i for i, level in enumerate(self.levels)}
        found = np.zeros((len(lists), self.width), np.float32)
        for row, some in enumerate(lists):
            found[row, [at[item] for item in some if item in at]] = 1
            found[row, -2] = math.asinh((len(some) - self.middle) / self.spread)
            found[row, -1] = not some
        return found

    def raw(self, cells: Sequence[Any]) -> np.ndarray:
        """(N, F) float64 as trees read it: quantities with NaN where there is none, levels by number, items as flags."""
        if self.kind == "category":
            at = {level: float(i) for i, level in enumerate(self.levels)}
            keys = [classes.key(cell) for cell in cells]
            return np.array([[math.nan if key is None else at.get(key, float(len(self.levels)))] for key in keys]).reshape(-1, 1)
        if self.kind == "list":
            return self._many([items(cell) for cell in cells]).astype(np.float64)
        value_N = self.values(cells)
        return np.concatenate([value_N[:, None], _calendar(value_N, self.turns)], 1) if self.kind == "date" else value_N[:, None]


def fit(name: str, kind: Kind, cells: Sequence[Any]) -> Field:
    """The field learned from a column of training rows."""
    if kind == "category":
        return _levelled(name, kind, [[key] if (key := classes.key(cell)) is not None else [] for cell in cells])
    if kind == "list":
        return _levelled(name, kind, [items(cell) for cell in cells])
    how = Style() if kind == "date" else quantities.style(cells, bad=1.0) or Style()
    first = kind == "date" and dates.day_first(cells)
    bare = Field(name, kind, how.unit, how.comma, first)
    value_N = bare.values(cells)
    there = value_N[~np.isnan(value_N)]
    empty = len(value_N) - len(there)
    return Field(
        name, kind, how.unit, how.comma, first, *_scale(there), edges=_edges(there), flagged=min(empty, len(there)) >= RARE,
        empty=empty, turns=_turns(there) if kind == "date" else (),
    )


def table(fields: Sequence[Field], columns: Mapping[str, Sequence[Any]], rows: int) -> np.ndarray:
    """(N, F) float32: all fields of these rows side by side."""
    return np.concatenate([np.zeros((rows, 0), np.float32), *(field.encode(columns[field.name]) for field in fields)], 1)


def items(cell: Any) -> list[str]:
    """The items of a cell that holds a list: Arrow's, JSON's or Python's way of writing one, or tags between separators."""
    if isinstance(cell, list | tuple):
        return [str(item).strip() for item in cell if item is not None and str(item).strip()]
    if not isinstance(cell, str) or not cell.strip():
        return []
    text = cell.strip()
    if text[0] + text[-1] == "[]":
        try:
            return [str(item) for item in json.loads(text) if item is not None]
        except ValueError:
            text = text[1:-1]
    mark = next((mark for mark in ("|", ";", ",") if mark in text), "\n")
    return [item for part in text.split(mark) if (item := part.strip(" '\""))]


def _levelled(name: str, kind: Kind, lists: Sequence[Sequence[str]]) -> Field:
    counts = Counter(item for some in lists for item in dict.fromkeys(some))
    least = max(RARE, len(lists) // 100) if kind == "list" else RARE
    often = sorted((item for item in counts if counts[item] >= least), key=lambda item: (-counts[item], item))[:LEVELS]
    sizes = np.array([len(some) for some in lists], np.float64)
    middle, spread = _scale(sizes)
    return Field(name, kind, middle=middle, spread=spread, levels=tuple(sorted(often)), empty=int((sizes == 0).sum()))


def _scale(there: np.ndarray) -> tuple[float, float]:
    """Median, and the width of the middle half as a standard deviation (the whole's where that is nothing)."""
    if not len(there):
        return 0.0, 1.0
    low, middle, high = np.quantile(there, [0.25, 0.5, 0.75])
    spread = (high - low) / 1.349 or float(there.std()) or 1.0
    return float(middle), float(spread)


def _edges(there: np.ndarray) -> tuple[float, ...]:
    """Quantiles, equal ones once; of few values the values themselves."""
    values = np.unique(there)
    if len(values) <= PIECES:
        return tuple(values.tolist())
    return tuple(np.unique(np.quantile(there, np.linspace(0, 1, PIECES + 1))).tolist())


def _days(moment: datetime.datetime | None) -> float:
    return math.nan if moment is None else (moment - EPOCH) / datetime.timedelta(days=1)


def _turns(there: np.ndarray) -> tuple[float, ...]:
    """The circles that these dates go round at least twice; the day's where they have times."""
    span = float(np.ptp(there)) if len(there) else 0.0
    timed = bool((there % 1 != 0).any())
    return tuple(days for days in CIRCLES.values() if span >= 2 * days and (days > 1 or timed))


def _calendar(day_N: np.ndarray, turns: Sequence[float]) -> np.ndarray:
    """(N, 2 for each circle) sine and cosine of the place on it; nothing where there is no date."""
    circles = [wave(2 * np.pi * day_N / days) for days in turns for wave in (np.sin, np.cos)]
    return np.nan_to_num(np.array(circles, np.float64).T.reshape(len(day_N), -1))
