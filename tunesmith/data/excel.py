"""Excel workbooks (.xlsx): the first sheet that holds rows. Formulas give their saved values."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ..errors import DataError, listing, shorten
from ..spec import Data
from .archive import check_members
from .cells import column_of, normalise
from .dialect import check_names, has_header, names_of
from .source import Loaded, Source
from .spool import Spool

Row = tuple[Any, ...]


def load(source: Source, options: Data, spool: Spool) -> Loaded:
    """The rows of a workbook. Raises DataError where it is damaged, has no rows, or where openpyxl is not installed."""
    check_members(source)
    rows, notes = _sheet(source)
    width = max(map(len, rows))
    rows = [(*row, *[None] * (width - len(row))) for row in rows]
    headed = has_header([[_text(cell) for cell in row] for row in rows[:1000]], options.header)
    names = names_of([_text(cell) for cell in rows[0]], headed)
    check_names(names, source.name)
    filled = [(n, row) for n, row in enumerate(rows[1:] if headed else rows, 1) if any(c is not None for c in row)]
    if not filled:
        raise DataError(
            source.name, expected="rows", got="0 rows: a header only", fix="check the sheet", code="no-rows"
        )
    numbers = [n for n, _ in filled]
    columns = zip(*(row for _, row in filled))
    made = {name: column_of(name, list(cells), source.name, numbers) for name, cells in zip(names, columns)}
    spool.add(normalise(pa.table(made)))
    header = "the first row names the columns" if headed else f"no header: columns are called {listing(names, 4)}"
    return Loaded(spool.finish(), headed, (*notes, header))


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)


def _sheet(source: Source) -> tuple[list[Row], list[str]]:
    """The first sheet with rows, trailing empty cells cut off, and a note where there are more sheets."""
    openpyxl = _openpyxl(source)
    with warnings.catch_warnings():
        # openpyxl warns of styles and validations that it leaves out; they are not data.
        warnings.filterwarnings("ignore", module="openpyxl")
        try:
            with open(source.path, "rb") as file:
                book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
                sheets = [(s.title, list(_rows(s))) for s in book.worksheets if s.sheet_state == "visible"]
        except Exception as error:  # openpyxl raises whatever its parsers do
            raise DataError(
                source.name, expected="an Excel workbook (.xlsx)", got=shorten(f"{type(error).__name__}: {error}", 120),
                fix="open it and save it again, or save it as CSV", code="damaged-file",
            ) from None
    filled = [(title, rows) for title, rows in sheets if rows]
    if not filled:
        raise DataError(source.name, expected="rows", got="no sheet with rows", fix="check the file", code="no-rows")
    others = [title for title, _ in filled[1:]]
    notes = [f"read sheet {filled[0][0]!r}; left out the sheets {listing(others)}"] if others else []
    return filled[0][1], notes


def _rows(sheet: Any) -> Iterator[Row]:
    """Rows from the first filled to the last filled one."""
    started, empty = False, 0
    for row in sheet.iter_rows(values_only=True):
        cut = tuple(reversed(list(itertools.dropwhile(lambda cell: cell is None, reversed(row)))))
        if not cut:
            empty += started
            continue
        yield from itertools.repeat((), empty)
        yield cut
        started, empty = True, 0


def _openpyxl(source: Source) -> Any:
    try:
        import openpyxl
    except ImportError:
        raise DataError(
            source.name, expected="openpyxl, which reads Excel files", got="it is not installed",
            fix="run: pip install 'tunesmith[excel]' (or save the sheet as CSV)", code="missing-extra",
        ) from None
    return openpyxl
