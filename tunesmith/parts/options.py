"""Checks of a task's options, in the user's words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..data.finding import Finding
from ..errors import SpecError, listing, nearest, shorten


def one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raises SpecError where the value is none of these."""
    if value not in allowed:
        raise SpecError(
            f"option {name}", expected=f"one of {listing(allowed, 10)}", got=shorten(repr(value)), fix=nearest(str(value), allowed),
            code="bad-value",
        )


def number(name: str, value: Any, *, low: float, high: float = math.inf, unit: str = "a number") -> None:
    """Raises SpecError where the value is no number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        limits = f"from {low:g} to {high:g}" if high < math.inf else f"of {low:g} or more"
        raise SpecError(
            f"option {name}", expected=f"{unit} {limits}", got=shorten(repr(value)), fix="see `tunesmith tasks`", code="bad-value"
        )


def max_tokens(value: Any) -> None:
    """Raises SpecError where the value is neither `auto` nor a whole number of tokens."""
    if value != "auto" and (isinstance(value, bool) or not isinstance(value, int) or value < 8):
        raise SpecError(
            "option max_tokens", expected="auto or a whole number of 8 or more", got=shorten(repr(value)), fix="try 128",
            code="bad-value",
        )


def column(name: str, value: Any, *, many: bool = False, optional: bool = False) -> None:
    """Raises SpecError where the value names no column."""
    names = value if isinstance(value, tuple) and many else (value,)
    if not all(isinstance(item, str) and (item or optional) for item in names) or not names:
        raise SpecError(
            f"option {name}", expected="the name of a column" + (" or several" if many else ""), got=shorten(repr(value)),
            fix="name it as the file's first line does", code="bad-value",
        )


def twice(columns: Sequence[str]) -> list[Finding]:
    """An error where one column has two roles."""
    double = sorted({name for name in columns if columns.count(name) > 1})
    return [
        Finding("error", "column-twice", f"expected a column for each role, got {name!r} as two of them", (), "name another column")
        for name in double
    ]
