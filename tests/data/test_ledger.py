"""The ledger: everything is counted, the first rows are listed."""

from __future__ import annotations

import json

import pytest

from tunesmith.data.ledger import MAX_LISTED, Entry, Ledger


def test_entries_are_counted_and_listed_in_order() -> None:
    ledger = Ledger()
    ledger.add("dropped", "empty label", ["a.csv, row 3", "a.csv, row 9"])
    ledger.add("dropped", "empty text", [7])
    ledger.note("a.csv: delimiter comma")
    assert ledger.entries[0] == Entry("dropped", "empty label", 2, ("a.csv, row 3", "a.csv, row 9"))
    assert (ledger.count("dropped"), ledger.count("cast"), ledger.count("noted")) == (3, 0, 0)


def test_a_long_entry_counts_all_rows_and_lists_the_first() -> None:
    ledger = Ledger()
    ledger.add("skipped", "broken", range(1, 50_001))
    assert ledger.count("skipped") == 50_000
    assert ledger.entries[0].rows == tuple(range(1, MAX_LISTED + 1))


def test_json_says_all() -> None:
    ledger = Ledger()
    ledger.add("cut", "longer than the model", [1])
    assert json.loads(json.dumps(ledger.as_json())) == [{"action": "cut", "why": "longer than the model", "count": 1, "rows": [1]}]


def test_an_unknown_action_is_our_own_fault() -> None:
    with pytest.raises(AssertionError):
        Ledger().add("lost", "?", [1])  # type: ignore[arg-type]
