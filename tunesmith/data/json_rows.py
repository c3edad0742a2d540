"""JSON and JSON lines, strictly: what RFC 8259 does not allow is refused with its line and column.

Also refused, because a value would be lost without a word: duplicate keys, NaN and Infinity, numbers beyond 64 bits, a
column that is a text in one row and an object in another.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from ..errors import DataError, listing, shorten
from ..spec import Data
from . import coco, squad
from .cells import REFUSALS, column_of, normalise
from .encoding import Text, open_text
from .source import Loaded, Skip, Source
from .spool import Spool
from .strict import fail, parse, read_value, shown, skip_space

MAX_DOCUMENT = 1 << 30
"""Bytes of a JSON document that is not JSON lines; it is held in memory as text."""
BATCH = 10_000
_NO_COLUMN = ""
"""Stands for the columns of rows that have none, so that they are counted."""


def load(source: Source, options: Data, spool: Spool) -> Loaded:
    """The rows of a file of JSON lines, of a JSON array of objects, or of an object that holds one such array.

    Raises DataError with line and column where the file is not strict JSON or not rows; with `bad_rows: skip`, broken
    lines of JSON lines are left out and listed.
    """
    text = open_text(source, options.encoding)
    notes = [text.note] if text.note else []
    lines = source.suffix in (".jsonl", ".ndjson")
    start = text.sample(1 << 16).lstrip(" \t\r\n")
    if not start:
        raise DataError(
            source.name, expected="rows", got="only empty lines: no rows", fix="check the file", code="empty-file"
        )
    if start[0] == "[":
        notes += ["a JSON array, not JSON lines: its elements are the rows"] if lines else []
        return _load(source, enumerate_rows(_from_array(text, notes)), spool, notes, [])
    if lines or _looks_like_lines(start):
        notes += [] if lines else ["JSON lines: each line is a row"]
        skipped: list[Skip] = []
        return _load(source, _lines(text, skipped, skip_bad=options.bad_rows == "skip"), spool, notes, skipped)
    return _load(source, enumerate_rows(_from_object(text, notes)), spool, notes, [])


def enumerate_rows(rows: Iterable[Any]) -> Iterator[tuple[int, int, Any]]:
    """Rows with their numbers, lines not known."""
    return ((n, 0, row) for n, row in enumerate(rows, 1))


# -- rows to columns --------------------------------------------------------------------------------------------------


def _load(
    source: Source, rows: Iterator[tuple[int, int, Any]], spool: Spool, notes: list[str], skipped: list[Skip]
) -> Loaded:
    """`rows`: number, line (0: unknown) and value of each."""
    first: dict[str, tuple[int, Any]] = {}
    halves: set[int] = set()
    while batch := list(itertools.islice(rows, BATCH)):
        spool.add(_table(batch, first, source.name, halves))
    try:
        table = _without_filler(spool.finish(normalise), source.name)
    except REFUSALS as error:
        raise DataError(
            source.name, expected="columns of one kind", got=shorten(" ".join(str(error).split()), 200),
            fix="write each column in one way", code="mixed-types",
        ) from None
    if not table.num_rows:
        why = f": {len(skipped):,} lines could not be read ({skipped[0].why})" if skipped else ""
        raise DataError(source.name, expected="rows", got=f"0 rows{why}", fix="check the file", code="no-rows")
    return Loaded(table, True, (*notes, *_about(halves)), tuple(skipped))


def _about(halves: set[int]) -> list[str]:
    """What the ledger says of rows with half of a surrogate pair."""
    rows = f"{len(halves):,} {'rows have' if len(halves) > 1 else 'row has'} half of a surrogate pair (row {listing(sorted(halves))})"
    return [f"{rows}, which is no character: it is kept as the escape that stands for it in the file"] if halves else []


def _table(batch: list[tuple[int, int, Any]], first: dict[str, tuple[int, Any]], place: str, halves: set[int]) -> pa.Table:
    """A batch as columns. `first` remembers each column's first filled cell: rows of two batches are compared."""
    for number, line, row in batch:
        if not isinstance(row, dict):
            where = f"{place}, row {number}" + (f" (line {line})" if line else "")
            raise _no_object(where, row)
    numbers = [number for number, _, _ in batch]
    names = dict.fromkeys(key for _, _, row in batch for key in row)
    columns = {
        name: _column(name, [row.get(name) for _, _, row in batch], numbers, first, place, halves) for name in names
    }
    return pa.table(columns) if columns else pa.table({_NO_COLUMN: pa.nulls(len(batch))})


def _without_filler(table: pa.Table, place: str) -> pa.Table:
    if table.column_names == [_NO_COLUMN]:
        raise DataError(place, expected="objects with keys", got="empty ones", fix="check the file", code="no-columns")
    return table.drop_columns([_NO_COLUMN]) if _NO_COLUMN in table.column_names else table


def _check_key(name: str, place: str) -> None:
    if name == _NO_COLUMN:
        raise DataError(place, expected="keys with a name", got="an empty key", fix="name the column", code="no-name")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            place, expected="keys of whole characters", got=f"half of a surrogate pair in {ascii(name)}",
            fix="rename it", code="lone-surrogate",
        ) from None


def _column(
    name: str, values: list[Any], numbers: list[int], first: dict[str, tuple[int, Any]], place: str, halves: set[int]
) -> pa.Array:
    if name not in first:
        _check_key(name, place)
        found = next(((n, v) for n, v in zip(numbers, values) if v is not None), None)
        if found:
            first[name] = found
        values = _as_json(values) if _are_stretches(values) else values
        return column_of(name, values, place, numbers, halves)
    number, value = first[name]
    if _are_stretches([value, *values]):
        return column_of(name, _as_json(values), place, numbers, halves)
    return column_of(name, [value, *values], place, [number, *numbers], halves)[1:]


def _are_stretches(values: list[Any]) -> bool:
    """Whether a column holds lists such as [[0, 5, "LOC"]], as tools that mark texts write them: Arrow has no list of numbers and texts."""
    cells = [value for value in values if value is not None]
    if not all(isinstance(cell, list) and all(isinstance(one, list) and len(one) > 2 for one in cell) for cell in cells):
        return False
    return any({int, str} <= set(map(type, one)) for cell in cells for one in cell)


def _as_json(values: list[Any]) -> list[Any]:
    return [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]


def _no_object(where: str, value: Any) -> DataError:
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return DataError(
        where, expected='an object such as {"text": ..., "label": ...}',
        got=f"{kinds.get(type(value), 'a number')} ({shorten(value)})", fix="write each row as an object",
        code="not-an-object",
    )


# -- files to rows ----------------------------------------------------------------------------------------------------


def _looks_like_lines(start: str) -> bool:
    """Whether a .json file that begins with an object goes on with another on a line of its own."""
    first, _, rest = start.partition("\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return rest.lstrip().startswith("{")


def _lines(text: Text, skipped: list[Skip], *, skip_bad: bool) -> Iterator[tuple[int, int, Any]]:
    row = 0
    for number, line in enumerate(text.lines(), 1):
        if not line.strip(" \t\r\n"):
            continue
        row += 1
        try:
            yield row, number, _line(line.rstrip("\r\n"), f"{text.source.name}, line {number}", skip_bad)
        except DataError as error:
            if not skip_bad:
                raise
            skipped.append(Skip(row, number, f"expected {error.expected}, got {error.got}"))


def _line(line: str, place: str, objects_only: bool) -> Any:
    value = parse(line, place)
    if objects_only and not isinstance(value, dict):
        raise _no_object(place, value)
    return value


def _document(text: Text) -> str:
    if text.source.path.stat().st_size > MAX_DOCUMENT:
        raise DataError(
            text.source.name, expected=f"a JSON document of at most {MAX_DOCUMENT >> 30} GiB", got="a larger one",
            fix="write it as JSON lines (.jsonl), one object a line", code="document-too-large",
        )
    return text.all()


def _elements(text: Text) -> Iterator[Any]:
    """Elements of a top-level array, one at a time."""
    document, name = _document(text), text.source.name
    at = skip_space(document, skip_space(document, 0) + 1)
    if document.startswith("]", at):
        return _end(document, at + 1, name)
    while True:
        value, at = read_value(document, at, name)
        yield value
        at = skip_space(document, at)
        if document.startswith("]", at):
            return _end(document, at + 1, name)
        if not document.startswith(",", at):
            fail(document, at, name, "a comma or ]", shown(document, at))
        at = skip_space(document, at + 1)


def _end(document: str, at: int, name: str) -> None:
    at = skip_space(document, at)
    if at != len(document):
        fail(document, at, name, "the end of the file after the array", shown(document, at))


def _from_array(text: Text, notes: list[str]) -> Iterator[Any]:
    """Rows of a top-level array: its elements, or the questions in them."""
    elements = _elements(text)
    first = list(itertools.islice(elements, 1))
    whole = itertools.chain(first, elements)
    return _from_articles(whole, text, notes) if first and squad.fits(first[0]) else whole


def _from_articles(articles: Iterable[Any], text: Text, notes: list[str]) -> Iterator[Any]:
    notes.append(squad.NOTE)
    return squad.rows(articles, text.source.name)


def _from_object(text: Text, notes: list[str]) -> Iterable[Any]:
    """Rows within a top-level object: its one list of objects (or the questions in them), or its columns."""
    value = parse(_document(text), text.source.name)
    if not isinstance(value, dict):
        raise _no_object(text.source.name, value)
    if squad.fits(value):
        return _from_articles([value], text, notes)
    if coco.fits(value):
        notes.append(coco.NOTE)
        return coco.rows(value, text.source.name)
    lists = {key: v for key, v in value.items() if isinstance(v, list)}
    tables = {key: v for key, v in lists.items() if v and all(isinstance(row, dict) for row in v)}
    if len(tables) == 1:
        (key, rows), others = next(iter(tables.items())), [k for k in value if k not in tables]
        if squad.fits(rows[0]):
            return _from_articles(rows, text, notes)
        notes.append(f"the rows are the list {key!r}" + (f"; left out: {listing(others)}" if others else ""))
        return list(rows)
    if value and not tables and len(lists) == len(value) and len({len(v) for v in lists.values()}) == 1:
        notes.append("the object's lists are the columns")
        return [dict(zip(value, cells)) for cells in zip(*value.values())]
    got = f"the lists {listing(list(tables))}" if tables else f"the keys {listing(list(value)) or '(none)'}"
    raise DataError(
        text.source.name, expected="a list of objects, or an object with one such list", got=f"an object with {got}",
        fix="write the rows as a list of objects, or as JSON lines", code="not-rows",
    )
