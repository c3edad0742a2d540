"""Why no task can learn from a table: the reason that its owner can mend, not the list of what was tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..data import labels
from ..data.finding import count, refuse
from ..data.profile import ColumnProfile, Profile
from ..data.split import FEWEST
from ..data.table import Table
from ..errors import DataError, listing, shorten
from . import columns

MOSTLY = 0.8
"""Share of a column's cells that must be numbers for the others to be taken for mistakes."""


def explain(table: Table, profile: Profile, named: Mapping[str, Any], place: str, files: Sequence[str] = ()) -> DataError:
    """The error for a table that no task claims: too few rows, no text, one label only, numbers that are none.

    `files`: the options of the task that was named which name columns of files.
    """
    if profile.rows < FEWEST:
        return _too_few(profile.rows, place)
    unnamed = [role for role in files if not named.get(role)]
    if unnamed and not any(column.kind in ("path", "files") for column in profile.columns.values()):
        return _no_files(profile, unnamed[0], place)
    found = columns.text_columns(profile, {"label": "", **named})
    if found is None:
        got = f"columns that hold none: {_described(profile.columns.values())}"
        return _error(place, "a column of text", got, "name it: --text COLUMN", "no-text")
    taken = {choice.value for choice in found.values()}
    rest = [column for name, column in profile.columns.items() if name not in taken and not columns.is_split(column)]
    for column in rest:
        _refuse_broken_numbers(table, column)
    return _no_target(profile, place, str(found["text"].value), rest)


def _too_few(rows: int, place: str) -> DataError:
    wanted = f"at least {FEWEST} rows, to learn from and to test on"
    return _error(place, wanted, count(rows), "add rows", "too-few-rows")


def _no_files(profile: Profile, role: str, place: str) -> DataError:
    wanted, got = "a column with the names of files, or their bytes", f"columns that hold none: {_described(profile.columns.values())}"
    return _error(place, wanted, got, f"name it: --option {role}=COLUMN", "no-files")


def _no_target(profile: Profile, place: str, text: str, rest: list[ColumnProfile]) -> DataError:
    wanted = f"a column with a label or a number beside the text {text!r}"
    if not rest:
        return _error(place, wanted, "no other column", "add one: its cells say what the model is to answer", "no-target")
    constant = [column for column in rest if column.kind == "constant"]
    if constant:
        name, examples = constant[-1].name, constant[-1].examples
        only = f"with only {shorten(examples[0])!r} in" if examples else "that is empty in"
        got = f"column {name!r} {only} all {count(profile.rows)}"
        return _error(place, "a label that differs between rows", got, "there is nothing to tell apart: check the column", "one-class")
    return _error(place, wanted, f"columns that seem to be none: {_described(rest)}", "name it: --label COLUMN", "no-target")


def _refuse_broken_numbers(table: Table, column: ColumnProfile) -> None:
    """Raises DataError, with rows and values, for a column that is numbers but for some cells."""
    if column.kind not in ("text", "category", "id"):
        return
    cells = [cell for cell in table.column(column.name) if isinstance(cell, str)]
    numeric = sum(bool(labels.looks_like_number(cell)) for cell in cells)
    if cells and numeric >= MOSTLY * len(cells):
        refuse(labels.number_findings(table, column.name))


def _described(found: Iterable[ColumnProfile]) -> str:
    return listing([f"{column.name!r} ({columns.describe(column)})" for column in found], 8)


def _error(place: str, expected: str, got: str, fix: str, code: str) -> DataError:
    return DataError(place, expected=expected, got=got, fix=fix, code=code)
