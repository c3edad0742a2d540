"""Sentences cover the text, and the one that speaks of the question is found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.parts import sentences

TEXT = 'We sell data. Your e-mail is kept for 2.5 years! "Who sees it?" Nobody.\nCall us'


def test_sentences_end_where_readers_end_them():
    assert [TEXT[a:b] for a, b in sentences.split(TEXT)] == [
        "We sell data.", "Your e-mail is kept for 2.5 years!", '"Who sees it?"', "Nobody.", "Call us",
    ]
    chinese = "光荣开发了它。“真的？”是！"
    assert [chinese[a:b] for a, b in sentences.split(chinese)] == ["光荣开发了它。", "“真的？”", "是！"]


@given(st.text("ab.!? \n。", max_size=40))
def test_every_letter_stands_in_one_sentence(text):
    covered = [at for start, end in sentences.split(text) for at in range(start, end)]
    assert len(covered) == len(set(covered)) and {at for at, c in enumerate(text) if not c.isspace()} <= set(covered)


def test_the_sentence_that_speaks_of_the_question_is_found():
    question = "For how many years is e-mail kept?"
    for chosen in (sentences.most_shared([question], [TEXT], False), sentences.most_similar([TEXT], [question], [TEXT], False)):
        (span, fit), = chosen
        assert span is not None and TEXT[slice(*span)].startswith("Your e-mail") and 0 < fit <= 1
    (span, _), = sentences.most_shared(["谁开发"], ["他们来了。光荣开发了它。"], True)
    assert span == (5, 12)


def test_texts_without_words_have_no_sentence():
    assert sentences.first(["", " \n"]) == [(None, 0.0)] * 2
    assert sentences.most_shared(["a"], [""], False) == [(None, 0.0)]
    assert sentences.most_similar(["", "!"], ["a"], [""], False) == [(None, 0.0)]
    assert sentences.most_similar(["one two"], ["a"], [""], False) == [(None, 0.0)]
