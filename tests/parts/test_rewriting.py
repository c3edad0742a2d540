"""Dictionaries, extracts and codes of languages: the small parts of translation and summarisation."""

import numpy as np
import pytest

from tunesmith.parts import dictionary, extracts, languages


def test_a_dictionary_finds_words_that_always_stand_together():
    rng, words = np.random.default_rng(0), {"red": "rouge", "blue": "bleu", "cat": "chat", "dog": "chien", "the": "le"}
    texts = [rng.permutation(list(words))[:3].tolist() for _ in range(40)]
    learned = dictionary.learn([" ".join(t) for t in texts], [" ".join(words[w] for w in reversed(t)) for t in texts])
    assert {word: learned.words[word] for word in words} == words
    assert learned.translate("the red fox") == "le rouge fox"


def test_a_dictionary_reads_characters_where_no_space_stands_between_words():
    learned = dictionary.learn(["one two", "two three", "one three"], ["一二", "二三", "一三"])
    assert learned.translate("one two three") == "一二三"


def test_nothing_to_learn_is_no_error():
    assert dictionary.learn([], []).translate("as it is") == "as it is"
    assert dictionary.learn([""], ["x"]).translate("a") == "a"


def test_leads_are_the_first_sentences_of_texts_and_of_lists():
    assert extracts.lead(["One. Two! Three?", ["a b", "c d"]], 2) == ["One. Two!", "a b c d"]
    assert extracts.lead(["一。二。三。"], 2) == ["一。二。"]


def test_the_oracle_takes_what_is_most_like_a_reference_in_the_texts_order():
    cell = ["nothing of it here", "the cat sat down", "on the old mat"]
    assert extracts.oracle([cell], [["the old mat on which the cat sat"]]) == ["the cat sat down on the old mat"]
    assert extracts.oracle([cell], [["zzz"]]) == [""]


@pytest.mark.parametrize(
    ("name", "code"),
    [("en", "en"), ("EN", "en"), ("en_XX", "en"), ("eng_Latn", "en"), ("jpn", "ja"), ("text", ""), ("id", "id"), ("id2", "")],
)
def test_headers_may_be_codes_of_languages(name, code):
    assert languages.of_header(name) == code
