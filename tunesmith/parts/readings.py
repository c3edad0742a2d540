"""Texts as they are read aloud: numbers, money, abbreviations and signs in words, for English and German."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from ..spec import Choice

Language = Literal["en", "de", "none"]
COMMON = {
    "en": frozenset("the and of to is you your that for not are this with have please".split()),
    "de": frozenset("der die das und nicht ist ein eine sie ich wir mit auf den zu für".split()),
}
"""Words by which texts are known."""
LEAST = 0.03
"""Share of such words among all from which a language is taken for known."""
MOST_DIGITS = 12
"""Longer runs of digits (cards, phones) are read digit by digit."""

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
SHORT = {
    "en": {
        "mr.": "mister", "mrs.": "missus", "ms.": "miss", "dr.": "doctor", "prof.": "professor", "st.": "saint", "vs.": "versus",
        "etc.": "et cetera", "e.g.": "for example", "i.e.": "that is", "no.": "number", "approx.": "approximately", "inc.": "incorporated",
        "ltd.": "limited", "jr.": "junior", "sr.": "senior", "min.": "minutes", "sec.": "seconds", "a.m.": "a m", "p.m.": "p m",
    },
    "de": {
        "z.b.": "zum Beispiel", "z. b.": "zum Beispiel", "d.h.": "das heißt", "d. h.": "das heißt", "u.a.": "unter anderem",
        "usw.": "und so weiter", "bzw.": "beziehungsweise", "ca.": "circa", "dr.": "Doktor", "prof.": "Professor", "hr.": "Herr",
        "fr.": "Frau", "str.": "Straße", "nr.": "Nummer", "etc.": "et cetera", "vgl.": "vergleiche", "min.": "Minuten",
        "evtl.": "eventuell",
    },
}  # fmt: skip
SIGNS = {
    "en": {"%": " percent", "&": " and ", "+": " plus ", "=": " equals ", "@": " at ", "#": " number ", "°": " degrees"},
    "de": {"%": " Prozent", "&": " und ", "+": " plus ", "=": " gleich ", "@": " at ", "#": " Nummer ", "°": " Grad"},
}
MONEY = {
    "en": {"$": ("dollar", "dollars", "cents"), "€": ("euro", "euros", "cents"), "£": ("pound", "pounds", "pence")},
    "de": {"$": ("Dollar", "Dollar", "Cent"), "€": ("Euro", "Euro", "Cent"), "£": ("Pfund", "Pfund", "Pence")},
}
POINT = {"en": "point", "de": "Komma"}
ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
SAID = {
    "en": "English: whole and decimal numbers, ordinals, money, abbreviations and signs in words",
    "de": "German: whole and decimal numbers, money, abbreviations and signs in words",
    "none": "spaces made one, Unicode in NFKC; digits and signs stay as they are",
}
"""What is done to texts, in words."""


@final
@dataclass(frozen=True)
class _Marks:
    """How a language writes numbers."""

    thousands: str
    decimal: str


MARKS = {"en": _Marks(",", "."), "de": _Marks(".", ",")}


def read_aloud(text: Any, language: str) -> str:
    """The text in words. Raises nothing: what is not known stays."""
    plain = " ".join(unicodedata.normalize("NFKC", "" if text is None else str(text)).replace("’", "'").split())
    if language not in MARKS:
        return plain
    for step in (_abbreviations, _money, _ordinals, _numbers, _signs):
        plain = step(plain, language)
    return " ".join(plain.split())


def guessed(texts: Sequence[Any]) -> Choice[str]:
    """The language of these texts, of those that are known; else `none`."""
    words = [word for text in texts for word in re.findall(r"[^\W\d_]+", str(text or "").lower())]
    shares = {name: sum(word in common for word in words) / max(1, len(words)) for name, common in COMMON.items()}
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < LEAST:
        return Choice("none", "neither English nor German, by their commonest words")
    return Choice(best, f"{shares[best]:.0%} of the words are of the commonest in it")


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


def _digits(found: str, language: str) -> str:
    """Digits as a number, or one by one where there are many, or the first is 0."""
    if len(found) > MOST_DIGITS or (len(found) > 1 and found[0] == "0"):
        return " ".join(in_words(int(digit), language) for digit in found)
    return in_words(int(found), language)


def _number(found: str, language: str) -> str:
    marks = MARKS[language]
    whole, _, part = found.replace(marks.thousands, "").partition(marks.decimal)
    said = _digits(whole, language)
    return f"{said} {POINT[language]} {' '.join(in_words(int(d), language) for d in part)}" if part else said


def _pattern(language: str) -> str:
    thousands, decimal = re.escape(MARKS[language].thousands), re.escape(MARKS[language].decimal)
    return rf"(?:[0-9]{{1,3}}(?:{thousands}[0-9]{{3}})+|[0-9]+)(?:{decimal}[0-9]+)?"


def _numbers(text: str, language: str) -> str:
    text = re.sub(rf"(?<![\w.,])-(?={_pattern(language)})", "minus ", text)
    # Letters beside digits (`B2`, `4th`) are said apart from them.
    return re.sub(_pattern(language), lambda m: f" {_number(m[0], language)} ", text).replace(" .", ".").replace(" ,", ",")


def _ordinals(text: str, language: str) -> str:
    if language != "en":
        return text
    return re.sub(r"\b([0-9]{1,9})(?:st|nd|rd|th)\b", lambda m: _ordinal(in_words(int(m[1]), "en")), text)


def _ordinal(words: str) -> str:
    *before, last = words.split()
    last = ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return " ".join([*before, last])


def _money(text: str, language: str) -> str:
    signs = "".join(re.escape(sign) for sign in MONEY[language])
    amount = _pattern(language)
    said: Callable[[re.Match[str]], str] = lambda m: _amount(m["sign"] or m["behind"], m["a"] or m["b"], language)  # noqa: E731
    return re.sub(rf"(?P<sign>[{signs}]) ?(?P<a>{amount})|(?P<b>{amount}) ?(?P<behind>[{signs}])", said, text)


def _amount(sign: str, found: str, language: str) -> str:
    marks, (one, many, parts) = MARKS[language], MONEY[language][sign]
    whole, _, part = found.replace(marks.thousands, "").partition(marks.decimal)
    if len(part) not in (0, 2):
        return f"{_number(found, language)} {many}"
    number = int(whole) if len(whole) <= MOST_DIGITS else 0
    said = f"{_german(number, False) if language == 'de' and number == 1 else _digits(whole, language)} {one if number == 1 else many}"
    return f"{said} {in_words(int(part), language)} {parts}" if part.strip("0") else said


def _abbreviations(text: str, language: str) -> str:
    known: Mapping[str, str] = SHORT[language]
    pattern = "|".join(re.escape(one) for one in sorted(known, key=len, reverse=True))
    return re.sub(rf"(?<![\w.])(?:{pattern})(?!\w)", lambda m: known[m[0].lower()], text, flags=re.IGNORECASE)


def _signs(text: str, language: str) -> str:
    signs = SIGNS[language]
    # A letter behind a sign (`4 °C`) is said apart from it.
    return re.sub(rf"[{''.join(map(re.escape, signs))}](\w?)", lambda m: signs[m[0][0]] + (f" {m[1]}" if m[1] else ""), text)
