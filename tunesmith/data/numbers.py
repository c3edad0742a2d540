"""Which text columns are numbers: only those whose every filled cell is written as one, so that a cast loses nothing.

`007`, `+49301234`, `1,234`, `12345678901234567890`, `NaN` and `1e999` stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import final

import pyarrow as pa
import pyarrow.compute as pc

_INTEGER = r"0|-?[1-9][0-9]{0,17}"
_WHOLE = r"(0|[1-9][0-9]{0,14})"
_BEFORE_POINT = r"(0|[1-9][0-9]{0,15})"
_EXPONENT = r"([eE][+-]?[0-9]{1,3})"
_DECIMAL = rf"-?{_BEFORE_POINT}?\.[0-9]{{1,40}}{_EXPONENT}?|-?{_WHOLE}\.?{_EXPONENT}?"
_EITHER = re.compile(f"(?:{_INTEGER}|{_DECIMAL})")


def is_number(cell: str) -> bool:
    """Whether a text is written as a number."""
    return len(cell) < 80 and bool(_EITHER.fullmatch(cell))


@final
class Numbers:
    """Watches batches of text go by, and remembers which columns have been numbers all along."""

    def __init__(self, names: Iterable[str]) -> None:
        self._integer = dict.fromkeys(names, True)
        self._decimal = dict.fromkeys(names, True)
        self._filled = dict.fromkeys(names, False)

    def watch(self, batch: pa.Table) -> None:
        """Look at a batch of text columns."""
        for name in batch.column_names:
            if self._integer[name] or self._decimal[name]:
                cells = batch.column(name)
                self._filled[name] |= cells.null_count < len(cells)
                self._integer[name] = self._integer[name] and _all(cells, _INTEGER)
                self._decimal[name] = self._decimal[name] and (self._integer[name] or _decimals(cells))

    def cast(self, batch: pa.Table) -> pa.Table:
        """The batch with number columns as int64 or float64."""
        for i, name in enumerate(batch.column_names):
            kind = self._type(name)
            if kind is not None:
                batch = batch.set_column(i, name, batch.column(name).cast(kind))
        return batch

    def _type(self, name: str) -> pa.DataType | None:
        if not self._filled[name]:
            return None
        return pa.int64() if self._integer[name] else pa.float64() if self._decimal[name] else None


def _all(cells: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(cells, f"^(?:{pattern})$")).as_py() is not False)


def _decimals(cells: pa.ChunkedArray) -> bool:
    return _all(cells, f"{_DECIMAL}") and bool(pc.all(pc.is_finite(cells.cast(pa.float64()))).as_py() is not False)
