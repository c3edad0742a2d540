"""Labels of rows, each list of them kept once: nothing is lost, and pairs of rows and classes are those of the lists."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.answers import Answers

ROWS = st.lists(st.lists(st.sampled_from(["a", "b", "c", "long"]), max_size=3), max_size=30)


@given(rows=ROWS)
def test_rows_come_back(rows: list[list[str]]) -> None:
    found = Answers.of(rows)
    assert list(map(list, found)) == rows and len(found) == len(rows)
    assert [list(found[i]) for i in range(len(rows))] == rows and list(map(list, found[1:4])) == rows[1:4]
    assert found.counts() == Counter(label for row in rows for label in row)
    assert found.occurring() == Counter(map(tuple, rows))


@given(rows=ROWS)
def test_memberships_are_those_of_the_lists(rows: list[list[str]]) -> None:
    pair_M2, names = Answers.of(rows).memberships()
    assert names == sorted({label for row in rows for label in row})
    assert [(i, names[c]) for i, c in pair_M2.tolist()] == [(i, label) for i, row in enumerate(rows) for label in row]


@given(rows=ROWS, others=ROWS)
def test_parts_joined_taken_and_asked(rows: list[list[str]], others: list[list[str]]) -> None:
    both = Answers.joined([Answers.of(rows), Answers.of(others)])
    assert list(map(list, both)) == rows + others
    index = np.arange(len(both))[::-2]
    few = both.take(index)
    assert list(map(list, few)) == [(rows + others)[i] for i in index]
    assert few.where(lambda row: "a" in row).tolist() == [i for i, row in enumerate(few) if "a" in row]
    assert few.having({"a", "b"}).tolist() == [i for i, row in enumerate(few) if {"a", "b"} & set(row)]
    assert few.memberships()[1] == sorted({label for row in few for label in row}), "labels of rows that were left out are none"
