"""A table: Arrow columns behind a row index.

Cells stay in Arrow, in a memory-mapped file where the data were large; a part of a table (`take`) is an index, no copy.
A cell of an image or a sound stays a path until it is encoded. Empty cells are None in every column.
"""

# Axes: N rows.

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import pyarrow as pa

from ..errors import DataError, listing, nearest
from . import bare, content, mapped
from .cells import column_of, normalise, normalise_array
from .mapped import TOGETHER


@dataclass(frozen=True)
class Part:
    """Where a run of rows came from. `skipped`: numbers of the file's rows that were not loaded, ascending.

    `single`: the file is one row (a text in a folder per label), so that its name says it all. `folder`: where paths in its cells
    start; empty: where the program runs. `lines`: the line in which each row begins, where rows have several.
    """

    name: str
    rows: int
    skipped: tuple[int, ...] = ()
    single: bool = False
    folder: str = ""
    lines: tuple[int, ...] = ()

    def place(self, position: int) -> str:
        """The place of the part's row at `position` (from 0), in the numbers of its file."""
        if self.single:
            return self.name
        line = f" (line {self.lines[position]})" if self.lines else ""
        return f"{self.name}, row {position + 1 + bisect.bisect_right(self._loaded_before, position)}{line}"

    @cached_property
    def _loaded_before(self) -> list[int]:
        """For each skipped row, how many loaded ones stand before it."""
        return [number - 1 - i for i, number in enumerate(self.skipped)]


@final
class Table:
    """Rows and columns that do not change. Made by `read`, by `Table.of`, or from another by `take`."""

    def __init__(
        self, arrow: pa.Table, parts: Sequence[Part], index_N: np.ndarray | None = None, whole: Table | None = None
    ) -> None:
        """For readers: `arrow` is normalised (`cells.normalise`), `parts` cover its rows in order."""
        assert sum(part.rows for part in parts) == arrow.num_rows, "parts must cover all rows"
        self._arrow, self._parts, self._index_N, self._whole = arrow, tuple(parts), index_N, whole
        self._starts = [0, *itertools.accumulate(part.rows for part in parts)]
        self._ids_N: np.ndarray | None = None
        self._digests: dict[tuple[str, ...], str] = {}

    @classmethod
    def of(cls, rows: list[dict[str, Any]] | Mapping[str, Sequence[Any]] | pa.Table, name: str = "rows") -> Table:
        """A table of Python rows, of columns by name, or of an Arrow table. `name` is what places are called by.

        Raises DataError where a column mixes kinds, or columns differ in length.
        """
        if isinstance(rows, pa.Table):
            return cls(normalise(rows), [Part(name, rows.num_rows)])
        columns = rows if isinstance(rows, Mapping) else _columns(rows)
        _check_lengths(columns, name)
        arrow = pa.table({str(key): column_of(str(key), list(values), name) for key, values in columns.items()})
        return cls(normalise(arrow), [Part(name, arrow.num_rows)])

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the file's order."""
        return tuple(self._arrow.column_names)

    @property
    def sources(self) -> tuple[Part, ...]:
        """The files (or other sources) behind the whole table, in order."""
        return self._parts

    def __len__(self) -> int:
        return self._arrow.num_rows if self._index_N is None else len(self._index_N)

    def __repr__(self) -> str:
        return f"Table({len(self):,} rows: {', '.join(self.names)})"

    def column(self, name: str) -> list[Any]:
        """The cells of a column as Python values, None where empty. Raises DataError for an unknown name."""
        return list(self.arrow(name).to_pylist())

    def each(self, name: str) -> Iterator[Any]:
        """The same one after the other, of which few thousand are in memory. Raises DataError for an unknown name."""
        self.require([name])
        for _, part in self.pieces():
            yield from part.column(name)

    def pieces(self, rows: int = TOGETHER) -> Iterator[tuple[slice, Table]]:
        """A few thousand rows after the other: which they are, and they."""
        for start in range(0, len(self), rows):
            at = slice(start, min(start + rows, len(self)))
            yield at, self if len(self) <= rows else self.take(np.arange(at.start, at.stop))
            mapped.rest()

    def arrow(self, name: str) -> pa.ChunkedArray:
        """The cells of a column, in Arrow. Raises DataError for an unknown name."""
        self.require([name])
        values = self._arrow.column(name)
        return values if self._index_N is None else bare.taken(values, self._index_N)

    def kind(self, name: str) -> pa.DataType:
        """The type of a column's cells; no cell is looked at. Raises DataError for an unknown name."""
        self.require([name])
        return self._arrow.schema.field(name).type

    def to_arrow(self) -> pa.Table:
        """All columns, in Arrow; a copy where this table is a part of another."""
        if self._index_N is None:
            return self._arrow
        columns = [bare.taken(column, self._index_N) for column in self._arrow.columns]
        return pa.table(columns, schema=self._arrow.schema) if columns else self._arrow.take(bare.numbers(self._index_N))

    def rows(self, positions: Iterable[int] | None = None) -> list[dict[str, Any]]:
        """Rows as dictionaries, all or those at these positions (from 0)."""
        table = self if positions is None else self.take(list(positions))
        return list(table.to_arrow().to_pylist())

    def place(self, position: int) -> str:
        """Where a row stands, as messages say it: `reviews.csv, row 17`. Rows count from 1; the header is none."""
        part, at = self._part(position)
        return part.place(at)

    def places(self, positions: Sequence[int] | np.ndarray) -> Places:
        """Where these rows stand, said when it is asked."""
        return Places(self, positions)

    def folder(self, position: int) -> str:
        """Where paths in a row's cells start; empty where no file names them."""
        return self._part(position)[0].folder

    def _part(self, position: int) -> tuple[Part, int]:
        base = position if self._index_N is None else int(self._index_N[position])
        assert 0 <= base < self._arrow.num_rows, position
        part = bisect.bisect_right(self._starts, base) - 1
        return self._parts[part], base - self._starts[part]

    def require(self, names: Iterable[str]) -> None:
        """Raises DataError, with the nearest name, where a column is missing."""
        for name in names:
            if name not in self._arrow.column_names:
                raise DataError(
                    self._name(), expected=f"a column {name!r}", got=f"the columns {listing(self.names, 20) or 'none'}",
                    fix=nearest(name, self.names), code="unknown-column",
                )

    # -- content ------------------------------------------------------------------------------------------------------

    def blanks(self, names: Iterable[str], lists: bool = False) -> np.ndarray:
        """(N,) how many of these columns have an empty cell, or one of white space alone; with `lists` also an empty list."""
        blank_N = np.zeros(len(self), int)
        for name in names:
            empty = (cell is None or (isinstance(cell, str) and not cell.strip()) or (lists and cell == []) for cell in self.each(name))
            blank_N += np.fromiter(empty, bool, len(self))
        return blank_N

    @property
    def row_ids(self) -> np.ndarray:
        """(N,) uint64: content hash of each row, the same in any file or order. Computed when first asked for."""
        if self._ids_N is None:
            self._ids_N = content.row_ids(self._arrow) if self._whole is None else self._whole.row_ids[self._index_N]
            self._ids_N.flags.writeable = False
        return self._ids_N

    def digest(self, names: Sequence[str] | None = None) -> str:
        """SHA-256 of the content, in order (64 hex digits); of these columns, or of all. Computed when first asked for."""
        told = self.names if names is None else tuple(names)
        if told not in self._digests:
            pieces = (piece.to_arrow().select(told) for _, piece in self.pieces(content.CHUNK))
            self._digests[told] = content.digest_of(pieces)
        return self._digests[told]

    # -- making others ------------------------------------------------------------------------------------------------

    def take(self, positions: Sequence[int] | np.ndarray) -> Table:
        """The rows at these positions (from 0), in this order: a view, no cell is copied. A mask works too."""
        index = np.asarray(positions)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        assert index.size == 0 or (0 <= index.min() and index.max() < len(self)), "position out of range"
        base = index if self._index_N is None else self._index_N[index]
        return Table(self._arrow, self._parts, base, self._whole or self)

    def with_column(self, name: str, values: Sequence[Any]) -> Table:
        """The same rows, at the same places, with a column set or added; content and row ids change with it."""
        assert len(values) == len(self), "one value per row"
        column = normalise_array(column_of(name, values, self._name()))
        if self._index_N is not None:
            column = column.take(self._scattered())
        at = self.names.index(name) if name in self.names else None
        changed = self._arrow.append_column(name, column) if at is None else self._arrow.set_column(at, name, column)
        base = Table(changed, self._parts)
        return base if self._index_N is None else Table(changed, self._parts, self._index_N, base)

    def beside(self, columns: Mapping[str, Sequence[Any]]) -> Table:
        """The same rows, of the same ids, with columns that follow from the others and from what lies beside the table; the content
        (`digest`) changes with them."""
        found = self
        for name, values in columns.items():
            found = found.with_column(name, values)
        if self._index_N is None:
            found._ids_N = self.row_ids
        elif found._whole is not None and self._whole is not None:
            found._whole._ids_N = self._whole.row_ids
        return found

    def rename(self, names: Mapping[str, str]) -> Table:
        """The same rows with columns renamed, old name -> new name."""
        self.require(names)
        base = Table(self._arrow.rename_columns([names.get(n, n) for n in self.names]), self._parts)
        return base if self._index_N is None else Table(base._arrow, self._parts, self._index_N, base)

    def _name(self) -> str:
        return self._parts[0].name if self._parts else "table"

    def _scattered(self) -> pa.Array:
        """For every row of the whole: its position in this view, or null."""
        assert self._index_N is not None
        inverse = np.full(self._arrow.num_rows, -1)
        inverse[self._index_N] = np.arange(len(self))
        return pa.array(inverse, mask=inverse < 0)


@final
class Places(Sequence[str]):
    """Where rows stand: of millions, those are said that are asked for."""

    def __init__(self, table: Table, positions: Sequence[int] | np.ndarray) -> None:
        self._table, self._positions = table, positions

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, at: Any) -> Any:
        chosen = self._positions[at]
        return [self._table.place(int(i)) for i in chosen] if isinstance(at, slice) else self._table.place(int(chosen))


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = list(dict.fromkeys(key for row in rows for key in row))
    return {name: [row.get(name) for row in rows] for name in names}


def _check_lengths(columns: Mapping[str, Sequence[Any]], place: str) -> None:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            place, expected="columns of one length", got=", ".join(f"{n!r}: {k:,}" for n, k in lengths.items()),
            fix="give every column one value per row", code="column-lengths",
        )
