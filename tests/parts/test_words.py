"""Words are the user's own characters, in pieces that joined are the text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.parts import words


@given(text=st.text(max_size=40), fine=st.booleans())
def test_pieces_make_the_text_and_words_hold_all_but_space(text: str, fine: bool) -> None:
    found = words.of_text(text, fine)
    assert "".join(found.pieces()) == text and len(found.pieces()) == max(len(found), 1)
    assert "".join(found.strings()) == "".join(text.split()), "every character but space is of one word"


@given(tokens=st.lists(st.text(st.characters(exclude_categories=("Z", "Cc", "Cs")), min_size=1, max_size=5), max_size=8))
def test_tokens_stay_what_they_are(tokens: list[str]) -> None:
    found = words.of_tokens(tokens)
    assert found.strings() == tokens and "".join(found.pieces()) == found.text
    if tokens:
        starts_W = found.span_W2[:, 0]
        np.testing.assert_array_equal(found.owner(starts_W), np.arange(len(tokens)))


@pytest.mark.parametrize("text, fine, usual", [
    ("I'm in St.Ives, 5km!", ["I", "'", "m", "in", "St", ".", "Ives", ",", "5", "km", "!"], ["I", "'m", "in", "St.Ives", ",", "5km", "!"]),
    ("我爱北京 now", ["我", "爱", "北", "京", "now"], ["我", "爱", "北", "京", "now"]),
    ("see http://a.b/c #tag @me", None, ["see", "http://a.b/c", "#tag", "@me"]),
])
def test_how_texts_are_cut(text: str, fine: list[str] | None, usual: list[str]) -> None:
    assert words.of_text(text, fine=False).strings() == usual
    assert fine is None or words.of_text(text).strings() == fine


def test_scripts_without_spaces_get_none() -> None:
    assert words.of_tokens(["我", "爱", "iPhone", "吗", "？"]).text == "我爱 iPhone 吗？"
