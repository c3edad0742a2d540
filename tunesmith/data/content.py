"""What a row says, as bytes: the ground under row ids and digests.

A row's content is its filled cells by column name. Column order, empty columns, the file, the position, and whether 5
was stored as a number or as text make no difference, so a row keeps its id when rows, files or empty columns are added.
"""

# Axes: N rows.

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import bare, mapped

CHUNK = 20_000
"""Rows hashed at once: bounds memory, whatever the table's size."""
SAFE_INTEGER = 2.0**53
"""Below this a whole float stands for exactly one integer."""


def row_ids(table: pa.Table) -> np.ndarray:
    """(N,) uint64: BLAKE2b of each row's content."""
    ids_N = np.empty(table.num_rows, dtype="<u8")
    start = 0
    for rows in _canonical(table):
        ids_N[start : start + len(rows)] = _hash_each(rows)
        start += len(rows)
    return ids_N


def digest(table: pa.Table) -> str:
    """SHA-256 over the content of all rows, in order (64 hex digits)."""
    return digest_of(table.slice(start, CHUNK) for start in range(0, table.num_rows, CHUNK))


def digest_of(pieces: Iterable[pa.Table]) -> str:
    """The same of a table in pieces of CHUNK rows, the last one shorter."""
    sha = hashlib.sha256()
    for rows in (rows for piece in pieces for rows in _canonical(piece)):
        sha.update(_lengths(rows).tobytes())
        sha.update(_bytes(rows))
    return sha.hexdigest()


def _canonical(table: pa.Table) -> Iterator[pa.Array]:
    """Rows as texts, in chunks: `name, length, cell` of every filled cell, in the order of the names."""
    names = sorted(table.column_names)
    for start in range(0, table.num_rows, CHUNK):
        chunk = table.slice(start, CHUNK)
        cells = [_cell(name, _flat(chunk.column(name))) for name in names]
        yield _join(cells, chunk.num_rows)
        mapped.rest()


def _join(cells: list[pa.Array], rows: int) -> pa.Array:
    # A first cell that is never null: Arrow's join leaves out a row (26.0) whose cells are all skipped.
    start = bare.texts([""] * rows)
    return pc.binary_join_element_wise(start, *cells, bare.text("\x1e"), null_handling="skip")


def _cell(name: str, values: pa.Array) -> pa.Array:
    texts = canonical_text(values)
    # The length makes the joined bytes unambiguous whatever the cell holds.
    lengths = pc.cast(pc.binary_length(texts), pa.large_string())
    return pc.binary_join_element_wise(bare.text(name), lengths, texts, bare.text("\x1f"))


def canonical_text(values: pa.Array) -> pa.Array:
    """Cells as text, one way of writing each value: 5, 5.0 and '5' are the same."""
    kind = values.type
    if pa.types.is_large_string(kind):
        return values
    if pa.types.is_floating(kind):
        return _each(values, _number)
    if pa.types.is_struct(kind) and "content" in {field.name for field in kind}:
        return pc.cast(pc.struct_field(values, "content"), pa.large_string())  # a file is what it holds, wherever it lies
    if pa.types.is_nested(kind):
        return _each(values, _json)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _each(values, lambda cell: hashlib.sha256(cell).hexdigest())
    return pc.cast(values, pa.large_string())


def _each(values: pa.Array, write: Callable[[Any], str]) -> pa.Array:
    return bare.texts(None if v is None else write(v) for v in values.to_pylist())


def _number(value: float) -> str:
    return str(int(value)) if abs(value) < SAFE_INTEGER and value == int(value) else repr(value)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _lengths(rows: pa.Array) -> np.ndarray:
    return bare.whole_numbers(pc.binary_length(rows), 0).astype("<i8", copy=False)


def _bytes(rows: pa.Array) -> memoryview:
    """The texts of a fresh large_string array, end to end."""
    assert rows.offset == 0 and rows.null_count == 0
    data = rows.buffers()[2]
    return memoryview(data)[: int(_lengths(rows).sum())] if data is not None else memoryview(b"")


def _hash_each(rows: pa.Array) -> np.ndarray:
    text, ends = _bytes(rows), np.cumsum(_lengths(rows)).tolist()
    starts = [0, *ends[:-1]]
    hashes = [hashlib.blake2b(text[a:b], digest_size=8).digest() for a, b in zip(starts, ends)]
    return np.frombuffer(b"".join(hashes), dtype="<u8")
