"""Schemes: told apart, there and back, breaks found; the spans are those that the standard scorer reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.parts import tags

TYPES = st.sampled_from(["PER", "LOC", "creative-work", "B_x", tags.UNNAMED])


@st.composite
def span_rows(draw: st.DrawFn) -> tuple[list[tags.Span], int]:
    """Spans that do not overlap, and how many words there are."""
    found, at = [], 0
    for _ in range(draw(st.integers(0, 5))):
        start = at + draw(st.integers(0, 2))
        at = start + draw(st.integers(1, 3))
        found.append((start, at, draw(TYPES)))
    return found, at + draw(st.integers(0, 2))


@given(row=span_rows())
@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES", "BMES", "BILOU"])
def test_there_and_back(scheme: str, row: tuple[list[tags.Span], int]) -> None:
    found, words = row
    written = tags.write(found, words, scheme)
    assert len(written) == words and tags.spans(written, scheme) == found
    assert tags.breaks(written, scheme) == []


@given(row=span_rows())
def test_io_keeps_what_does_not_touch(row: tuple[list[tags.Span], int]) -> None:
    found, words = row
    apart = [span for span, before in zip(found, [(-2, -1, ""), *found]) if (before[1], before[2]) != (span[0], span[2])]
    assert tags.spans(tags.write(apart, words, "IO"), "IO") == apart


@given(kinds=st.lists(st.sampled_from(["NOUN", "VERB", "O-x"]), max_size=6))
def test_plain_tags_are_a_span_each(kinds: list[str]) -> None:
    found = tags.spans(kinds, "plain")
    assert found == [(at, at + 1, kind) for at, kind in enumerate(kinds)] and tags.write(found, len(kinds), "plain") == kinds


@given(rows=st.lists(span_rows(), min_size=3, max_size=6))
@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES", "BMES", "BILOU"])
def test_a_recognised_scheme_reads_the_same_spans(scheme: str, rows: list[tuple[list[tags.Span], int]]) -> None:
    written = [tags.write(found, words, scheme) for found, words in rows]
    told = tags.recognise(written)
    said = {tag for row in written for tag in row} - {"O"}
    if said and ("B" in said or all(len(tag) > 1 for tag in said)):  # an S alone may be a size
        assert [tags.spans(row, told) for row in written] == [found for found, _ in rows]
        assert not any(tags.breaks(row, told) for row in written)


@pytest.mark.parametrize("rows, scheme", [
    ([["B-X", "I-X", "O"], ["B-X", "B-X"]], "BIO"), ([["I-X", "I-X", "O"], ["I-X", "B-X"]], "IOB1"), ([["I-X", "O"]], "IOB1"),
    ([["S-X", "O", "B-X", "E-X"]], "BIOES"), ([["B-X", "M-X", "E-X"]], "BMES"), ([["U-X", "B-X", "L-X"]], "BILOU"),
    ([["X", "X", "O"]], "IO"), ([["DET", "NOUN"]], "plain"), ([["O", "O"]], "IO"), ([["B-X", "O", "I-X"], ["B-X", "I-X"]], "BIO"),
    ([["B", "I", "O"], ["O", "B"]], "BIO"), ([["S", "B", "E"], ["B", "M", "E"]], "BMES"), ([["I", "I", "O"]], "IOB1"),
    ([["S", "M", "L"]], "plain"), ([["S", "M", "O"]], "IO"), ([["DT", "B", "NN"]], "plain"), ([["B-X", "I-X", "0"]], "BIO"),
    ([["X", "X", "O"], ["Y", "B-X"]], "IO"), ([["0", "0", "B-X"], ["0", "0"]], "BIO"), ([["0", "0", "S-X"], ["B-X", "E-X", "0"]], "BIOES"),
    ([["0", "0", "X"]], "plain"), ([["DT", "NN", "B-X", "NN"]], "plain"),
])
def test_schemes_are_told_apart(rows: list[list[str]], scheme: str) -> None:
    assert tags.recognise(rows) == scheme


@pytest.mark.parametrize("row, scheme, where", [
    (["O", "I-X", "I-X"], "BIO", [1]), (["B-X", "I-Y"], "BIO", [1]), (["B-X", "O"], "BIOES", [0]), (["O", "E-X"], "BIOES", [1]),
    (["B-X", "I-X"], "IOB1", [0]), (["B_X", "I_X", "O"], "BIO", []),
])
def test_breaks_are_found(row: list[str], scheme: str, where: list[int]) -> None:
    assert tags.breaks(row, scheme) == where


@pytest.fixture(scope="module")
def entities() -> Callable[[list[str]], list[tuple[str, int, int]]]:
    return pytest.importorskip("seqeval.metrics.sequence_labeling").get_entities


@given(row=st.lists(st.sampled_from(["O", "B-X", "I-X", "E-X", "S-X", "B-Y", "I-Y", "E-Y", "B", "I", "E", "S"]), max_size=8))
def test_broken_rows_are_read_as_the_standard_scorer_does(
    entities: Callable[[list[str]], list[tuple[str, int, int]]], row: list[str]
) -> None:
    expected = [(start, end + 1, kind) for kind, start, end in entities(row)]
    assert tags.spans(row, "BIOES") == expected
