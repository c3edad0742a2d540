"""Dates and times in the usual forms: which part is the day is learned from all cells of a column, never guessed from one."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import DataError
from .table import Table

_DAY = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?:[T ](.*))?")


def day_first(cells: Iterable[Any]) -> bool:
    """Whether dates such as 3/4/2021 name the day first: as soon as one cell can mean nothing else; dots always do."""
    found = [match for cell in cells if isinstance(cell, str) and (match := _DAY.fullmatch(cell.strip()))]
    if any(int(match[1]) > 12 for match in found):
        return True
    return bool(found) and not any(int(match[2]) > 12 for match in found) and all("." in match[0] for match in found)


def moment(cell: Any, first: bool) -> datetime.datetime | None:
    """A cell as a date and time; None where it is empty or none. `first`: the day stands before the month."""
    found = _parsed(cell, first)
    return None if found is None else found.replace(tzinfo=None)


def seconds(table: Table, column: str) -> np.ndarray:
    """(N,) dates and times as seconds, numbers as they are. Raises DataError for a cell that is neither, or that could be two dates."""
    table.require([column])
    found_N, cells = np.empty(len(table)), table.column(column)
    first, doubt = day_first(cells), doubtful(cells)
    for i, cell in enumerate(cells):
        found_N[i] = math.nan if doubt and _two(cell) else _second(cell, first)
        if not math.isfinite(found_N[i]):
            raise DataError(
                f"{table.place(i)}, column {column!r}", expected="a date, a time or a number to order by",
                got=f"{cell!r}, which could be two dates" if doubt and _two(cell) else repr(cell),
                fix="write it as 2021-04-03 or 2021-04-03T10:00:00", code="bad-time",
            )
    return found_N


def doubtful(cells: Iterable[Any]) -> bool:
    """Whether dates such as 3/4/2021 stand here and none says which part is the day."""
    found = [match for cell in cells if (match := _two(cell))]
    return bool(found) and not any(int(match[part]) > 12 for match in found for part in (1, 2))


def _two(cell: Any) -> re.Match[str] | None:
    """A date that another reading could take for another one."""
    match = _DAY.fullmatch(cell.strip()) if isinstance(cell, str) else None
    return match if match and "." not in match[0][:6] else None


def _parsed(cell: Any, first: bool) -> datetime.datetime | None:
    if isinstance(cell, datetime.datetime):
        return cell
    if isinstance(cell, datetime.date):
        return datetime.datetime(cell.year, cell.month, cell.day)
    if not isinstance(cell, str):
        return None
    text = cell.strip()
    match = _DAY.fullmatch(text)
    if match:
        day, month = (match[1], match[2]) if first else (match[2], match[1])
        text = f"{match[3]}-{int(month):02d}-{int(day):02d}" + (f"T{match[4]}" if match[4] else "")
    try:
        return datetime.datetime.fromisoformat(text.replace("/", "-").replace(" UTC", "Z"))
    except ValueError:
        return None


def _second(cell: Any, first: bool) -> float:
    found = _parsed(cell, first)
    if found is not None:
        return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp()
    return float(cell) if isinstance(cell, int | float) else math.nan
