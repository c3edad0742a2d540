"""Several files as one table: the same columns in any order, but those that rows may lack; a file without header takes the names of
another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import pyarrow as pa

from ..errors import DataError, listing
from .content import canonical_text
from .ledger import Ledger
from .source import Loaded
from .spool import conform
from .table import Part, Table

Named = tuple[str, Loaded]
"""The name of a file, and what was read from it."""
Lacking = Mapping[str, pa.DataType | None]
"""Columns that a file may lack, and what they hold where no file says."""


def join(files: Sequence[Named], names: Sequence[str], ledger: Ledger, lacking: Lacking = MappingProxyType({})) -> Table:
    """One table of all files' rows, in order. `names`: column names for files that have none, known from elsewhere; `lacking`: columns
    that not every file need have.

    Raises DataError where a file has other columns than the first, or a column of another kind; casts are noted.
    """
    files = [_filled(file, files, lacking, ledger) for file in _name_columns(files, names, ledger)]
    for file in files[1:]:
        _check_columns(files[0], file)
    schema = pa.schema([(name, _type(name, files, ledger)) for name in files[0][1].table.column_names])
    tables = [_as(loaded.table, schema) for _, loaded in files]
    parts = [part for name, loaded in files for part in loaded.parts or [_part(name, loaded)]]
    return Table(tables[0] if len(tables) == 1 else pa.concat_tables(tables), parts)


def _part(name: str, loaded: Loaded) -> Part:
    return Part(name, loaded.table.num_rows, tuple(skip.row for skip in loaded.skipped), folder=loaded.folder)


def _name_columns(files: Sequence[Named], names: Sequence[str], ledger: Ledger) -> list[Named]:
    headed = next(((name, loaded.table.column_names) for name, loaded in files if loaded.headed), None)
    giver, given = ("the other data", list(names)) if names else headed or ("", [])
    named = []
    for name, loaded in files:
        if not loaded.headed and len(given) == loaded.table.num_columns and given != loaded.table.column_names:
            ledger.note(f"{name}: no header; takes the column names of {giver}: {listing(given, 8)}")
            loaded = replace(loaded, table=loaded.table.rename_columns(given))
        named.append((name, loaded))
    return named


def _filled(file: Named, files: Sequence[Named], lacking: Lacking, ledger: Ledger) -> Named:
    """The file with empty cells in the columns that it lacks, where it may and has one of them."""
    name, loaded = file
    table = loaded.table
    for column in (lacking if set(lacking) & set(table.column_names) else ()):
        kinds = (other.table.schema.field(column).type for _, other in files if column in other.table.column_names)
        kind = next(kinds, lacking[column])
        if column not in table.column_names and kind is not None:
            ledger.note(f"{name}: has no column {column!r}: its rows lack it")
            table = table.append_column(column, pa.nulls(len(table), kind))
    return name, replace(loaded, table=table)


def _check_columns(first: Named, other: Named) -> None:
    wanted, there = first[1].table.column_names, other[1].table.column_names
    if set(wanted) != set(there):
        missing, more = [n for n in wanted if n not in there], [n for n in there if n not in wanted]
        got = "; ".join(filter(None, [
            f"without {listing(missing)}" if missing else "", f"with {listing(more)} besides" if more else "",
        ]))
        raise DataError(
            other[0], expected=f"the columns of {first[0]} ({listing(wanted, 8)})", got=f"the columns {listing(there, 8)} ({got})",
            fix="give files with the same columns, or say whether they have a header (--set data.header=true or =false); targets that not "
            "every file has are for --task multi-task, with all of them named: --set options.target=a,b",
            code="other-columns",
        )


def _type(name: str, files: Sequence[Named], ledger: Ledger) -> pa.DataType:
    """The type of a column that holds every file's cells; a column without one filled cell has no say."""
    columns = [(file, loaded.table.column(name)) for file, loaded in files]
    filled = [(file, column) for file, column in columns if column.null_count < len(column)]
    types = list(dict.fromkeys(column.type for _, column in filled)) or [columns[0][1].type]
    if len(types) == 1:
        return types[0]
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in types):
        return pa.float64()
    if not all(_plain(kind) for kind in types):
        raise DataError(
            filled[1][0], expected=f"column {name!r} as in {filled[0][0]}: {types[0]}", got=f"{types[1]}",
            fix="write the column in one way", code="mixed-types",
        )
    text = pa.large_string()
    texts, others = [f for f, c in filled if c.type == text], [(f, c) for f, c in filled if c.type != text]
    cast = listing([f for f, _ in others])
    why = f"column {name!r} is text in {listing(texts)}: its values in {cast} are read as text too"
    ledger.add("cast", why, range(1, sum(len(c) - c.null_count for _, c in others) + 1))
    return text


def _plain(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_large_string, pa.types.is_boolean)
    return any(test(kind) for test in tests)


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table under a schema of the same columns. Numbers become text in the one way that row ids know too."""
    for i, name in enumerate(table.column_names):
        column, wanted = table.column(name), schema.field(name).type
        if pa.types.is_large_string(wanted) and column.type != wanted:
            texts = [canonical_text(chunk) for chunk in column.chunks]
            table = table.set_column(i, name, pa.chunked_array(texts, pa.large_string()))
    return conform(table, schema)
