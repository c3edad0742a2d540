"""What rows say, read from their tables each time it is asked: of millions of texts, few are held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, final

import numpy as np
import pyarrow as pa

from .content import canonical_text
from .mapped import rest
from .table import Table


@final
class Texts(Sequence[str]):
    """The input cells of each row, joined by a character that no text holds; empty cells as nothing; of files, hashes of their contents."""

    def __init__(self, tables: Sequence[Table], inputs: Sequence[str]) -> None:
        """The rows of these tables, one table after the other."""
        self._tables, self._inputs = tuple(tables), tuple(inputs)
        self._starts = [0, *accumulate(map(len, tables))]

    def __len__(self) -> int:
        return self._starts[-1]

    def __iter__(self) -> Iterator[str]:
        for table in self._tables:
            for _, piece in table.pieces():
                yield from _said(piece, self._inputs)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return self.at(np.arange(len(self))[at])
        return self.at(np.array([at]))[0]

    def at(self, positions: np.ndarray) -> list[str]:
        """The texts at these positions, in that order."""
        found = [""] * len(positions)
        for table, start, stop in zip(self._tables, self._starts, self._starts[1:]):
            here = np.flatnonzero((positions >= start) & (positions < stop))
            for place, text in zip(here.tolist(), _said(table.take(positions[here] - start), self._inputs)):
                found[place] = text
        rest()
        return found


def at(texts: Sequence[str], positions: np.ndarray) -> list[str]:
    """The texts at these positions, in that order, of whatever kind of sequence."""
    return texts.at(positions) if isinstance(texts, Texts) else [texts[i] for i in positions.tolist()]


def _said(table: Table, inputs: Sequence[str]) -> list[str]:
    columns = [[_plain(cell) for cell in _contents(table, name)] for name in inputs]
    return columns[0] if len(columns) == 1 else ["\x00".join(row) for row in zip(*columns)]


def _contents(table: Table, name: str) -> list[object]:
    """Cells as they are; of files, the hashes of their contents."""
    column = table.arrow(name)
    if not pa.types.is_struct(column.type):
        return table.column(name)
    return [cell for chunk in column.chunks for cell in canonical_text(chunk).to_pylist()]


def _plain(cell: object) -> str:
    if isinstance(cell, list):
        return " ".join(map(str, cell))
    return "" if cell is None else str(cell)
