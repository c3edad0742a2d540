"""Whole numbers, ordinals and years as they are said in English and in German."""

from __future__ import annotations

ONES = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn "
    "neunzehn",
}
TENS = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "de": "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
}
ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
GERMAN_ORDINALS = {1: "erst", 3: "dritt", 7: "siebt", 8: "acht"}
"""Without their endings; others take a `t`, from 20 on `st`."""


def in_words(number: int, language: str) -> str:
    """A whole number as it is said: `1234` -> one thousand two hundred thirty four."""
    if number < 0:
        return f"{'minus'} {in_words(-number, language)}"
    return _english(number) if language == "en" else _german(number)


def _english(number: int) -> str:
    if number < 20:
        return ONES["en"].split()[number]
    if number < 100:
        ten, one = divmod(number, 10)
        return " ".join([TENS["en"].split()[ten - 2], *([ONES["en"].split()[one]] if one else [])])
    for size, name in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            many, rest = divmod(number, size)
            return " ".join([_english(many), name, *([_english(rest)] if rest else [])])
    raise AssertionError(number)


def _german(number: int, alone: bool = True) -> str:
    """`alone`: whether nothing follows the number, where a one is `eins`."""
    ones = ONES["de"].split()
    if number < 20:
        return ones[number] if number != 1 or alone else "ein"
    if number < 100:
        ten, one = divmod(number, 10)
        return f"{_german(one, False)}und{TENS['de'].split()[ten - 2]}" if one else TENS["de"].split()[ten - 2]
    if number < 10**6:
        size, name = (1000, "tausend") if number >= 1000 else (100, "hundert")
        many, rest = divmod(number, size)
        return f"{_german(many, False)}{name}{_german(rest) if rest else ''}"
    size, one_of, some = (10**9, "eine Milliarde", "Milliarden") if number >= 10**9 else (10**6, "eine Million", "Millionen")
    many, rest = divmod(number, size)
    return " ".join([one_of if many == 1 else f"{_german(many, False)} {some}", *([_german(rest)] if rest else [])])


def ordinal(words: str) -> str:
    """`twenty one` -> twenty first."""
    *before, last = words.split()
    last = ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return " ".join([*before, last])


def german_ordinal(number: int, ending: str) -> str:
    """`3`, `en` -> dritten."""
    stem = GERMAN_ORDINALS.get(number) or f"{_german(number)}{'t' if number < 20 else 'st'}"
    return stem + ending


def year(number: int, language: str) -> str:
    """A year of four digits: `1999` -> nineteen ninety nine, neunzehnhundertneunundneunzig."""
    century, rest = divmod(number, 100)
    if language == "de":
        return f"{_german(century)}hundert{_german(rest) if rest else ''}" if 11 <= century <= 19 else _german(number)
    if not rest or century % 10 == 0 and rest < 10:
        return _english(number) if century % 10 == 0 else f"{_english(century)} hundred"
    return f"{_english(century)} {'oh ' if rest < 10 else ''}{_english(rest)}"
