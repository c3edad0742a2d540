"""Numbers, money, abbreviations and signs as they are read aloud."""

from __future__ import annotations

import pytest

from tunesmith.parts.readings import guessed, in_words, read_aloud

ENGLISH = {
    "Dr. Smith paid $1,234.50 for 3 pens.": "doctor Smith paid one thousand two hundred thirty four dollars fifty cents for three pens.",
    "Press 1, or 22 & 105% of the 21st.": "Press one, or twenty two and one hundred five percent of the twenty first.",
    "Call 0123 or 12345678901234.": "Call zero one two three or one two three four five six seven eight nine zero one two three four.",
    "It's -5.25 degrees, e.g. 2nd 12th 20th": "It's minus five point two five degrees, for example second twelfth twentieth",
    "-4°C, 5 % or 6%.": "minus four degrees C, five percent or six percent.",
    "£1 and B2B": "one pound and B two B",
    "plain words, as they are": "plain words, as they are",
}
GERMAN = {
    "Dr. Müller zahlt 1.234,50 € für 3.": "Doktor Müller zahlt eintausendzweihundertvierunddreißig Euro fünfzig Cent für drei.",
    "1 € z.B. am 21. Mai": "ein Euro zum Beispiel am einundzwanzig. Mai",
    "1001, 1000000 und 2.000.001": "eintausendeins, eine Million und zwei Millionen eins",
    "4 °C": "vier Grad C",
    "-5,25 Grad": "minus fünf Komma zwei fünf Grad",
}


@pytest.mark.parametrize("text", ENGLISH)
def test_english(text):
    assert read_aloud(text, "en") == ENGLISH[text]


@pytest.mark.parametrize("text", GERMAN)
def test_german(text):
    assert read_aloud(text, "de") == GERMAN[text]


def test_no_rules_change_nothing_but_spaces_and_reading_twice_changes_nothing_more():
    assert read_aloud("  3 €\n & ﬁne ", "none") == "3 € & fine" and read_aloud(None, "en") == ""
    for language, texts in (("en", ENGLISH), ("de", GERMAN)):
        for text in texts.values():
            assert read_aloud(text, language) == text


def test_numbers_have_words_of_their_own():
    for language in ("en", "de"):
        assert len({in_words(number, language) for number in range(3000)}) == 3000


def test_languages_are_told_by_their_commonest_words():
    assert guessed(["Please press the key.", None]).value == "en"
    assert guessed(["Der Hund ist nicht hier."]).value == "de"
    assert guessed(["xyzzy plugh"]).value == guessed([]).value == "none"
