"""Answers to a file: the user's rows, each with the answer's fields behind them under names that begin with
`predicted_`.

The user's own cells are written as they were read (a number may come in another notation: 1.50 as 1.5). A text that
Tunesmith adds to a CSV file and that a spreadsheet would run as a formula (`=cmd|...`) gets an apostrophe in front;
numbers do not.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import SpecError
from ._show import jsonable

PREFIX = "predicted_"
FORMULA = ("=", "+", "-", "@", "\t", "\r")
Row = dict[str, Any]
Write = Callable[[list[Row]], None]


def joined(row: Mapping[str, Any], answer: Mapping[str, Any]) -> Row:
    """The row with its answer."""
    return {**row, **{PREFIX + key: value for key, value in answer.items()}}


@contextlib.contextmanager
def writing(path: str, *, replace: bool = False) -> Iterator[Write]:
    """A function that appends rows to a file of this ending. The file appears under its name when it is whole, or not at all.

    Raises SpecError for an unknown ending, and for a file that is already there.
    """
    target = Path(path)
    make = {".csv": _csv, ".tsv": _tsv, ".jsonl": _jsonl, ".parquet": _parquet, ".wav": _wav}.get(target.suffix.lower())
    make = _folder if path.endswith(("/", os.sep)) else make
    if make is None:
        raise SpecError(
            "--out",
            expected="a name ending in .csv, .tsv, .jsonl, .parquet or .wav, or a new folder's, ending in /",
            got=repr(path),
            fix="change the ending",
            code="unknown-format",
        )
    if target.exists() and (not replace or target.is_dir()):
        raise SpecError(
            "--out",
            expected="a new file",
            got=f"{path!r}, which exists",
            fix="choose another name or add --replace",
            code="file-exists",
        )
    if not target.parent.is_dir():
        raise SpecError(
            "--out",
            expected="a file in a folder that exists",
            got=repr(path),
            fix=f"make {target.parent} first",
            code="no-such-folder",
        )
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with make(partial) as write:
            yield write
        os.replace(partial, target)
    finally:
        if not partial.is_dir():
            partial.unlink(missing_ok=True)


def _folder(path: Path) -> contextlib.AbstractContextManager[Write]:
    from ._pictures import folder

    return folder(path, cell, PREFIX)


def _wav(path: Path) -> contextlib.AbstractContextManager[Write]:
    from ._pictures import sound

    return sound(path, PREFIX)


@contextlib.contextmanager
def _csv(path: Path, delimiter: str = ",") -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        made: list[csv.DictWriter[str]] = []

        def write(rows: list[Row]) -> None:
            if rows and not made:
                for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
                    made.append(csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator="\n", quoting=quoting))
                made[0].writeheader()
            for row in rows:
                cells = {key: cell(value, ours=key.startswith(PREFIX)) for key, value in row.items()}
                # The writer leaves a lone CR without quotes where lines end in LF (Python before 3.13).
                made["\r" in "".join(map(str, cells.values()))].writerow(cells)

        yield write


def _tsv(path: Path) -> contextlib.AbstractContextManager[Write]:
    return _csv(path, "\t")


@contextlib.contextmanager
def _jsonl(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield lambda rows: file.writelines(
            json.dumps(jsonable(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows
        )


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with contextlib.ExitStack() as stack:
        made: list[pq.ParquetWriter] = []

        def write(rows: list[Row]) -> None:
            batch = pa.Table.from_pylist([_plain(row) for row in rows], schema=made[0].schema if made else None)
            if not made:
                made.append(stack.enter_context(pq.ParquetWriter(path, batch.schema)))
            made[0].write_table(batch)

        yield write


def _plain(row: Row) -> Row:
    """Dictionaries become JSON: their keys may differ from row to row, a column's type may not."""
    return {key: json.dumps(jsonable(value)) if isinstance(value, Mapping) else value for key, value in row.items()}


def cell(value: Any, *, ours: bool) -> Any:
    """A value as a CSV cell: lists and dictionaries as JSON; formulas in our own columns made harmless."""
    if isinstance(value, (list, tuple, Mapping)):
        return json.dumps(jsonable(value), ensure_ascii=False)
    if ours and isinstance(value, str) and value.startswith(FORMULA) and not _is_number(value):
        return "'" + value
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def chunks(count: int, size: int) -> Iterable[range]:
    """`count` positions in order, `size` at a time."""
    return (range(start, min(start + size, count)) for start in range(0, count, size))
