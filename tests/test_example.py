"""The bundled example is as messy as the tutorial says, and no messier."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import pairwise

import pytest

from tests.source import PACKAGE

FILE = PACKAGE / "examples" / "tickets.csv"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with FILE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_size_and_columns(rows: list[dict[str, str]]) -> None:
    assert len(rows) == 1500
    assert list(rows[0]) == ["received", "message", "department"]
    assert all(a["received"] < b["received"] for a, b in pairwise(rows)), "in the order in which they came in"


def test_classes_are_few_and_unequal(rows: list[dict[str, str]]) -> None:
    counts = Counter(row["department"].strip().lower() for row in rows if row["department"])
    shares = [count / len(rows) for _, count in counts.most_common()]
    assert len(counts) == 8
    assert 0.27 < shares[0] < 0.32 and 0.035 < shares[-1] < 0.055


def test_mess(rows: list[dict[str, str]]) -> None:
    messages = Counter(row["message"] for row in rows if row["message"].strip())
    labels = {row["department"] for row in rows}
    assert 35 <= sum(count - 1 for count in messages.values()) <= 45
    assert sum(not row["message"].strip() for row in rows) == 5
    assert sum(not row["department"] for row in rows) == 4
    assert len(labels - {"", *(name.strip().lower() for name in labels)}) >= 8, "labels written in more than one way"
    words = sorted(len(message.split()) for message in messages)
    assert words[0] <= 4 and words[len(words) // 10] <= 10 and words[-len(words) // 20] >= 30


def test_messages_are_diverse(rows: list[dict[str, str]]) -> None:
    """Hardly any sentence is met more than a few times: the words of one message say little about those of another."""
    starts = Counter(" ".join(row["message"].split()[:6]).lower() for row in rows if len(row["message"].split()) > 8)
    assert len(starts) > 0.6 * sum(starts.values())
