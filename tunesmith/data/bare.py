"""Arrow arrays of texts and NumPy's numbers, and back, without pandas; rows of long columns, without copies of them.

Arrow's own ways (`pa.array`, `pa.scalar`, `to_numpy`, a plain value among the arguments of `pc.equal`) import pandas to ask whether what
they were given is a series of it: half a second and 46 MiB of every process (`tests/data/test_bare.py` holds the usual path to this).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .mapped import rest


def texts(values: Iterable[str | None]) -> pa.LargeStringArray:
    """These texts, None where a cell is empty. Raises UnicodeEncodeError where one holds half of a surrogate pair."""
    filled = list(values)
    cells = [b"" if value is None else value.encode() for value in filled]
    ends = np.zeros(len(cells) + 1, np.int64)
    np.cumsum([len(cell) for cell in cells], out=ends[1:])
    bits = np.packbits([value is not None for value in filled], bitorder="little") if None in filled else None
    buffers = [None if bits is None else pa.py_buffer(bits), pa.py_buffer(ends), pa.py_buffer(b"".join(cells))]
    return pa.Array.from_buffers(pa.large_string(), len(cells), buffers)


def numbers(value_N: np.ndarray) -> pa.Array:
    """These numbers of one kind; their memory is shared."""
    value_N = np.ascontiguousarray(value_N)
    assert value_N.dtype.kind in "iuf", "Arrow keeps eight flags in a byte"
    return pa.Array.from_buffers(pa.from_numpy_dtype(value_N.dtype), len(value_N), [None, pa.py_buffer(value_N)])


def text(value: str) -> pa.Scalar:
    """One text."""
    return texts([value])[0]


def number(value: int, kind: type[np.integer] = np.int64) -> pa.Scalar:
    """One whole number."""
    return numbers(np.array([value], kind))[0]


def nothing(kind: pa.DataType) -> pa.Scalar:
    """An empty cell."""
    return pa.nulls(1, kind)[0]


def whole_numbers(values: pa.Array, empty: int) -> np.ndarray:
    """(N,) int64 of a column of whole numbers; `empty` where a cell is."""
    found: np.ndarray = np.from_dlpack(pc.fill_null(pc.cast(values, pa.int64()), number(empty)))
    return found


def taken(column: pa.ChunkedArray, index_N: np.ndarray) -> pa.ChunkedArray:
    """The cells at these positions, in that order. Arrow's own `take` first copies a column of several chunks whole, whatever few are asked
    for: 35 ms for each thousand rows of 200 MB."""
    if column.num_chunks < 2 or not len(index_N):
        return column.take(numbers(index_N))
    start_K = np.cumsum([0, *map(len, column.chunks)])
    chunk_N = np.searchsorted(start_K, index_N, side="right") - 1
    order_N = np.argsort(chunk_N, kind="stable")
    parts = []
    for at_N in np.split(order_N, np.flatnonzero(np.diff(chunk_N[order_N])) + 1):
        chunk = int(chunk_N[at_N[0]])
        parts.append(column.chunk(chunk).take(numbers(index_N[at_N] - start_K[chunk])))
        rest()  # few rows from all over a mapped file bring in all of it
    if bool((np.diff(chunk_N) >= 0).all()):
        return pa.chunked_array(parts)
    return pa.chunked_array([pa.concat_arrays(parts).take(numbers(np.argsort(order_N)))])
