"""What the audit has to say: one finding, and the refusal that findings of level `error` end in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ..errors import DataError
from .table import Table

LISTED = 200
"""Rows that one finding names; its message counts them all."""


@dataclass(frozen=True)
class Finding:
    """Something about the data that its owner should know."""

    level: Literal["error", "warning", "note"]
    """`error` stops the run; `warning` is likely to cost quality or honesty; `note` is good to know."""
    code: str
    """Short stable name, for programs."""
    message: str
    """One sentence. That of an error reads `expected X, got Y`."""
    rows: tuple[str, ...] = ()
    """Places of the rows, as `Table.place` says them."""
    fix: str = ""
    """What to do."""

    @property
    def place(self) -> str:
        """Where: the first row, or the data as a whole."""
        return self.rows[0] if self.rows else "data"

    @property
    def expected(self) -> str:
        """What the message expected."""
        return self._halves()[0]

    @property
    def got(self) -> str:
        """What the message found instead, with the next few rows."""
        more = f" (also {', '.join(self.rows[1:4])}{'…' if len(self.rows) > 4 else ''})" if len(self.rows) > 1 else ""
        return self._halves()[1] + more

    def _halves(self) -> tuple[str, str]:
        expected, comma, got = self.message.partition(", got ")
        return (expected.removeprefix("expected "), got) if comma else ("sound rows", self.message)

    def as_json(self) -> dict[str, Any]:
        """JSON-able values, as `data.json` keeps them."""
        return asdict(self) | {"rows": list(self.rows)}


def places(table: Table, positions: Sequence[int] | np.ndarray) -> tuple[str, ...]:
    """The first LISTED of these rows, as messages name them."""
    return tuple(table.place(int(i)) for i in positions[:LISTED])


def count(n: int, thing: str = "row") -> str:
    """`1 row`, `2,345 rows`."""
    many = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{n:,} {thing if n == 1 else many}"


def have(n: int, of: str = "") -> str:
    """`1 row has`, `2,345 rows of train have` (`of`: ` of train`)."""
    return f"{count(n)}{of} {'has' if n == 1 else 'have'}"


def refuse(findings: Iterable[Finding]) -> None:
    """Raises DataError for the first finding of level `error`, naming how many more there are."""
    errors = [f for f in findings if f.level == "error"]
    if not errors:
        return
    first = errors[0]
    more = f"; {count(len(errors) - 1, 'further error')}: see `tunesmith check`" if errors[1:] else ""
    raise DataError(first.place, expected=first.expected, got=first.got, fix=first.fix + more, code=first.code)
