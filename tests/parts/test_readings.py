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
    "At 10:30, 9:05, 8:00 or 22:00; 3pm, 10:30 p.m. and 12 AM.":
        "At ten thirty, nine oh five, eight o'clock or twenty two hundred; three p m, ten thirty p m and twelve a m.",
    "On 2024-05-03, the 3rd of May 1905 and May 21, 2000.":
        "On May third, twenty twenty four, the third of May nineteen oh five and May twenty first, two thousand.",
    "05/03/2024, but 25/03/1999": "May third, twenty twenty four, but March twenty fifth, nineteen ninety nine",
    "In May 3 people came on July 4.": "In May three people came on July fourth.",
    "25:00, 2024-13-01 and 3/4/21": "twenty five : zero zero, two thousand twenty four - thirteen - zero one and three / four / twenty one",
    "$5 million, €3.5bn, £10k, 2m €": "five million dollars, three point five billion euros, ten thousand pounds, two million euros",
    "$1.2M for 5 million or 5m": "one point two million dollars for five million or five m",
}  # fmt: skip
GERMAN = {
    "Dr. Müller zahlt 1.234,50 € für 3.": "Doktor Müller zahlt eintausendzweihundertvierunddreißig Euro fünfzig Cent für drei.",
    "1 € z.B. am 21. Mai": "ein Euro zum Beispiel am einundzwanzigsten Mai",
    "Um 10:30, 10.05 Uhr oder 1 Uhr; 10.30 Meter": "Um zehn Uhr dreißig, zehn Uhr fünf oder ein Uhr; zehn. dreißig Meter",
    "3. Mai 2024, der 1. Juni, vom 07.08.1999 an": "dritter Mai zweitausendvierundzwanzig, der erste Juni, vom siebten August "
    "neunzehnhundertneunundneunzig an",
    "am 05/03/2024 und am 2024-03-05": "am fünften März zweitausendvierundzwanzig und am fünften März zweitausendvierundzwanzig",
    "5 Mio. €, 3,5 Mrd. €, 1 Mio. Menschen": "fünf Millionen Euro, drei Komma fünf Milliarden Euro, eine Million Menschen",
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
