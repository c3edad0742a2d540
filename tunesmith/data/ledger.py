"""The ledger: every row that was dropped, cut, cast, relabelled or merged, and why; nothing is lost without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

Action = Literal["dropped", "cut", "cast", "relabelled", "merged", "skipped", "kept-together", "noted"]
"""What was done. `noted` changed no row: how a file was understood (encoding, delimiter, header)."""

MAX_LISTED = 10_000
"""Rows that one entry lists; it counts them all."""


@dataclass(frozen=True)
class Entry:
    """One thing that was done to `count` rows, for one reason. `rows`: places or row numbers, the first MAX_LISTED."""

    action: Action
    why: str
    count: int
    rows: tuple[str | int, ...]


@final
class Ledger:
    """A list that only grows. It is the one thing that reading, splitting and planning write to."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, oldest first."""
        return tuple(self._entries)

    def add(self, action: Action, why: str, rows: Sequence[str | int] = ()) -> None:
        """Write down that `action` was done to these rows (places such as `a.csv, row 7`, or row numbers)."""
        assert action in get_args(Action), action
        self._entries.append(Entry(action, why, len(rows), tuple(rows[:MAX_LISTED])))

    def note(self, what: str) -> None:
        """Write down how something was understood, where no row was changed."""
        self.add("noted", what)

    def count(self, action: Action) -> int:
        """Rows to which `action` was done, over all entries."""
        return sum(entry.count for entry in self._entries if entry.action == action)

    def as_json(self) -> list[dict[str, Any]]:
        """The entries as JSON-able values, as `data.json` keeps them."""
        return [{"action": e.action, "why": e.why, "count": e.count, "rows": list(e.rows)} for e in self._entries]
