"""Outputs and truth of rows as Arrow columns and JSON, and back.

Rows of like shape are lists of numbers; rows of unlike length but like width (logits of each token) are lists of lists; others (dtype
object: tags of each word, texts, lists of spans) are JSON texts.

Axes: N rows, T of one row, C width.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, final

import numpy as np
import pyarrow as pa

from ..disk import take_room
from ..memory import let_go
from . import bare
from .caches import LARGE_BYTES, nameless, scratch

PIECE_BYTES = LARGE_BYTES // 2
"""Of large arrays so much is looked at together."""
STRETCH_BYTES = 1 << 20
"""Of rows that are counted one by one so much is computed together: it stays in the processor's cache."""
ADDED = 128
"""So many numbers numpy adds up without halving them first."""


def to_arrow(value_N: np.ndarray, kind: Any) -> pa.Array:
    """(N, ...) numbers as lists of `kind`, each row flat; (N,) objects as JSON texts, or lists where all are (T, C) numbers."""
    if value_N.dtype == object and _tables(value_N):
        return _as_lists(value_N, kind)
    if value_N.dtype == object:
        return pa.array([json.dumps(plain(value), ensure_ascii=False) for value in value_N], pa.string())
    row_N = value_N.reshape(len(value_N), -1).astype(kind)
    starts = np.arange(len(row_N) + 1, dtype=np.int32) * row_N.shape[1]
    return pa.ListArray.from_arrays(bare.numbers(starts), bare.numbers(row_N.ravel()))


def from_arrow(column: pa.ChunkedArray | pa.Array, kind: Any) -> np.ndarray:
    """What `to_arrow` wrote: (N, C) numbers, or (N,) objects whose rectangular lists of numbers are arrays of `kind` again."""
    if pa.types.is_list(column.type) and pa.types.is_fixed_size_list(column.type.value_type):
        return _from_lists(column, kind)
    values = column.to_pylist()
    if not pa.types.is_string(column.type):
        return np.array(values, kind)
    found = np.empty(len(values), object)
    for row, text in enumerate(values):
        found[row] = parsed(json.loads(text), kind)
    return found


def form(value_N: np.ndarray) -> list[Any]:
    """What `to_arrow` does not keep of numbers: what they are, and how many axes a row has and how long these are (`formed`)."""
    return [] if value_N.dtype == object else [value_N.dtype.str, *value_N.shape[1:]]


def formed(value_N: np.ndarray, form: Sequence[Any]) -> np.ndarray:
    """What `from_arrow` gave, in the form that it had; as it is where none was noted. The first axis of a row may differ from piece to
    piece."""
    if not form or value_N.dtype == object or not len(value_N):
        return value_N
    shape = form[1:]
    row = () if not shape else (value_N.shape[1] // max(1, math.prod(shape[1:])), *shape[1:])
    return value_N.reshape((len(value_N), *row)).astype(form[0])


def _tables(value_N: np.ndarray) -> bool:
    """Whether every row is a (T, C) array of numbers, with one C."""
    return bool(len(value_N)) and all(
        isinstance(row, np.ndarray) and row.ndim == 2 and row.dtype != object and row.shape[1] == value_N[0].shape[1] > 0 for row in value_N
    )


def _as_lists(value_N: np.ndarray, kind: Any) -> pa.Array:
    ends_N = np.cumsum([0, *(len(row) for row in value_N)]).astype(np.int32)
    flat = np.concatenate(list(value_N)).astype(kind)
    return pa.ListArray.from_arrays(ends_N, pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1]))


def _from_lists(column: pa.ChunkedArray | pa.Array, kind: Any) -> np.ndarray:
    width = column.type.value_type.list_size
    found = np.empty(len(column), object)
    for row, value in enumerate(column):
        flat = value.values.flatten() if value.values is not None else pa.array([], pa.float32())
        found[row] = np.asarray(flat.to_numpy(zero_copy_only=False), kind).reshape(-1, width)
    return found


def objects(values: Sequence[Any]) -> np.ndarray:
    """(N,) array of dtype object that holds these values as they are."""
    found = np.empty(len(values), object)
    for at, value in enumerate(values):
        found[at] = value
    return found


def as_json(value_N: np.ndarray) -> list[Any]:
    """Rows as JSON has them."""
    return [plain(value) for value in value_N]


def plain(value: Any) -> Any:
    """A row as JSON has it."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def parsed(value: Any, kind: Any = np.float32) -> Any:
    """A row that JSON had: a rectangular list of numbers is an array, everything else stays what it is."""
    if not isinstance(value, list) or not _numbers(value):
        return value
    try:
        return np.array(value, kind)
    except ValueError:
        return value


def _numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(_numbers(one) for one in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


# -- large arrays, piece by piece -------------------------------------------------------------------------------------


def pieces(rows: int, row_bytes: int) -> Iterator[slice]:
    """Stretches of rows of so many bytes that stay small together; at least one, be it empty."""
    step = max(1, PIECE_BYTES // max(1, row_bytes))
    for start in range(0, max(rows, 1), step):
        yield slice(start, min(start + step, rows))


def filled(rows: int, parts: Iterable[tuple[Any, Mapping[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """Arrays of all rows from those of parts: (which rows, name -> array of those). Parts may come in any order."""
    found: dict[str, np.ndarray] = {}
    for which, values in parts:
        for name, value in values.items():
            if name not in found:
                found[name] = scratch((rows, *value.shape[1:]), value.dtype)
            found[name][which] = value
            let_go(found[name])
    return found


@final
class Growing:
    """Arrays that come one after the other and are wanted end to end: in memory, many of one kind in a file that has no name."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._file: IO[bytes] | None = None
        self._rows, self._bytes = 0, 0

    def add(self, part: np.ndarray) -> None:
        """The next one."""
        self._parts.append(part)
        self._bytes += part.nbytes
        if self._bytes >= LARGE_BYTES:
            self._bytes = 0
            with contextlib.suppress(OSError):  # where the disk has too little room they stay in memory
                self._write()

    def finish(self) -> np.ndarray:
        """All of them."""
        if self._file is None:
            return np.concatenate(self._parts)
        with contextlib.suppress(OSError):
            self._write()
        kind, parts = self._kind(), [part for part in self._parts if len(part)]
        with self._file:
            written = np.memmap(self._file, kind[0], "r+", shape=(self._rows, *kind[1]))
        return np.concatenate([written, *parts]) if parts else written

    def _kind(self) -> tuple[np.dtype[Any], tuple[int, ...]]:
        return self._parts[0].dtype, self._parts[0].shape[1:]

    def _write(self) -> None:
        """What is held goes to the file, unless it is of several kinds or of objects."""
        kind = self._kind()
        if kind[0].hasobject or any((part.dtype, part.shape[1:]) != kind for part in self._parts):
            return
        self._file = self._file or nameless()
        take_room(self._file, self._file.tell() + sum(part.nbytes for part in self._parts))
        for part in self._parts:
            self._file.write(np.ascontiguousarray(part).data)
        self._file.flush()
        self._rows += sum(map(len, self._parts))
        self._parts = [self._parts[0][:0]]


def picked(value_N: np.ndarray, index_K: np.ndarray) -> np.ndarray:
    """`value_N[index_K]`, a large one piece by piece."""
    row_bytes = max(value_N[:1].nbytes, index_K.itemsize)
    if value_N.dtype.hasobject or len(index_K) * row_bytes < LARGE_BYTES:
        few: np.ndarray = value_N[index_K]
        return few
    found = scratch((len(index_K), *value_N.shape[1:]), value_N.dtype)
    for part in pieces(len(index_K), row_bytes):
        found[part] = _gathered(value_N, index_K[part])
        let_go(found)
        let_go(index_K)
    return found


def _gathered(value_N: np.ndarray, index_P: np.ndarray) -> np.ndarray:
    """The rows; of a file read in the order in which they lie in it, so that no more of it than a piece is in memory."""
    if not hasattr(value_N, "_mmap"):
        found: np.ndarray = value_N[index_P]
        return found
    order_P, made = np.argsort(index_P, kind="stable"), np.empty((len(index_P), *value_N.shape[1:]), value_N.dtype)
    for some in np.array_split(order_P, -(-value_N.nbytes // PIECE_BYTES)):
        made[some] = value_N[index_P[some]]
        let_go(value_N)
    return made


def save(path: Path, value_N: np.ndarray) -> None:
    """As `np.save`; one that lies in a file piece by piece. Raises OSError where the disk is full."""
    if not isinstance(value_N, np.memmap):
        np.save(path, value_N, allow_pickle=False)
        return
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(value_N))
        for part in pieces(len(value_N), value_N[:1].nbytes):
            file.write(np.ascontiguousarray(value_N[part]).data)
            let_go(value_N)


def laid(value_N: np.ndarray) -> np.ndarray:
    """The same numbers; large ones in a file."""
    if value_N.nbytes < LARGE_BYTES:
        return value_N
    found = scratch(value_N.shape, value_N.dtype)
    for at in pieces(len(value_N), value_N[:1].nbytes):
        found[at] = value_N[at]
        let_go(found)
    return found


def positions(mask_N: np.ndarray) -> np.ndarray:
    """`np.flatnonzero` of a mask, many of them in a file."""
    found, filled = scratch((int(np.count_nonzero(mask_N)),), np.int64), 0
    for at in pieces(len(mask_N), found.itemsize):
        here = np.flatnonzero(mask_N[at])
        found[filled : filled + len(here)] = here + at.start
        filled += len(here)
        let_go(found)
    return found


def stretches(rows: int, row_bytes: int) -> Iterator[slice]:
    """Rows in their order, halved until few are together: where numpy, too, halves what it adds up. At least one, be it empty."""
    return _halved(0, rows, _most(row_bytes))


def total(sums: Iterator[Any], rows: int, row_bytes: int) -> Any:
    """The sum over all rows from the sums over each of their `stretches`: to the last bit what `np.sum` says of all of them together."""
    if rows <= _most(row_bytes):
        return next(sums)
    left = total(sums, _half(rows), row_bytes)
    return left + total(sums, rows - _half(rows), row_bytes)


def _halved(start: int, rows: int, most: int) -> Iterator[slice]:
    if rows <= most:
        yield slice(start, start + rows)
        return
    yield from _halved(start, _half(rows), most)
    yield from _halved(start + _half(rows), rows - _half(rows), most)


def _half(rows: int) -> int:
    return rows // 2 - rows // 2 % 8


def _most(row_bytes: int) -> int:
    return max(ADDED, STRETCH_BYTES // max(1, row_bytes))
