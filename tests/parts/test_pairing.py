"""Pairs as a model reads them: both spans are always there, whatever the text's length, and tokens know which span they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tunesmith.parts import pairing
from tunesmith.parts.pairing import HEAD, TAIL, Asked
from tunesmith.parts.relating import Said, Span


@pytest.fixture(scope="module")
def tokenizer(tiny_bert: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_bert)


def _words(tokenizer: Any, example: Any, bit: int) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(example["input_ids"][(example["spans"] & bit) > 0]))


def test_markers_stand_around_the_spans(tokenizer: Any) -> None:
    (found,) = pairing.encode(tokenizer, [Asked("the good film was dull", Span(4, 13), Span(18, 22, "one"))], 64)
    assert " ".join(tokenizer.convert_ids_to_tokens(found["input_ids"])) == (
        "[CLS] the [UNK] good film [UNK] was [UNK] [UNK] one [UNK] dull [UNK] [SEP]"  # this vocabulary has no signs
    )
    assert (_words(tokenizer, found, HEAD), _words(tokenizer, found, TAIL)) == ("[UNK] good film [UNK]", "[UNK] [UNK] one [UNK] dull [UNK]")


def test_a_span_within_the_other_belongs_to_both(tokenizer: Any) -> None:
    (found,) = pairing.encode(tokenizer, [Asked("the good film", Span(4, 13), Span(9, 13))], 64)
    assert "good" not in _words(tokenizer, found, TAIL) and "film" in _words(tokenizer, found, TAIL)
    assert "good" in _words(tokenizer, found, HEAD) and "film" in _words(tokenizer, found, HEAD)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(16, 40))
def test_both_spans_stand_in_any_window(tokenizer: Any, before: int, between: int, after: int, most: int) -> None:
    text = "was " * before + "film" + " the" * between + " book" + " was" * after
    start = text.index("book")
    (found,) = pairing.encode(tokenizer, [Asked(text, Span(4 * before, 4 * before + 4), Span(start, start + 4))], most)
    ids = tokenizer.convert_ids_to_tokens(found["input_ids"])
    assert len(ids) <= most and ids[0] == "[CLS]" and ids[-1] == "[SEP]" and len(found["spans"]) == len(ids)
    assert "film" in _words(tokenizer, found, HEAD) and "book" in _words(tokenizer, found, TAIL)
    whole = before + between + after + 2 + 4 + 2
    assert len(ids) == min(whole, most)
    if between + 6 <= most - 2:
        assert ids.count("the") == between  # what is between the spans goes last


def test_text_beyond_any_window_changes_nothing(tokenizer: Any) -> None:
    text = "the " * 5000 + "film was the book" + " was" * 5000
    one = Asked(text, Span(20_000, 20_004), Span(20_013, 20_017))
    (near,) = pairing.encode(tokenizer, [one], 32)
    (cut,) = pairing.encode(tokenizer, [Asked(text[19_000:21_000], Span(1000, 1004), Span(1013, 1017))], 32)
    assert np.array_equal(near["input_ids"], cut["input_ids"]) and np.array_equal(near["spans"], cut["spans"])


def test_all_ordered_pairs_or_those_of_known_types() -> None:
    said = Said("a b c", (Span(0, 1, "x"), Span(2, 3, "y"), Span(4, 5, "y")))
    assert len(pairing.candidates(said, None)) == 6
    assert pairing.candidates(said, [("x", "y")]) == [(0, 1), (0, 2)]
    assert pairing.candidates(Said("a", (Span(0, 1),)), None) == []
