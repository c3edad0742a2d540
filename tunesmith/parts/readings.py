"""Texts as they are read aloud: times, dates, numbers, money, abbreviations and signs in words, for English and German."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from ..spec import Choice
from . import moments
from .numerals import in_words, ordinal

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
MAGNITUDES = {
    "en": {"thousand": "k", "million": "m mn mm mio", "billion": "b bn", "trillion": "tn trn"},
    "de": {"tausend": "tsd tsd.", "Millionen": "mio mio. million", "Milliarden": "mrd mrd. milliarde", "Billionen": "bio bio. billion"},
}  # fmt: skip
"""What is said, and how it is written; in English before or behind a sign of money alone."""
ONE_OF = {"Millionen": "eine Million", "Milliarden": "eine Milliarde", "Billionen": "eine Billion", "tausend": "eintausend"}
POINT = {"en": "point", "de": "Komma"}
SAID = {
    "en": "English: times, dates (05/03/2024: month first), whole and decimal numbers, ordinals, money, abbreviations and signs in words",
    "de": "German: times, dates (05/03/2024: day first), whole and decimal numbers, money, abbreviations and signs in words",
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
    for step in (moments.times, moments.dates, _magnitudes, _abbreviations, _money, _ordinals, _numbers, _signs):
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
    return re.sub(r"\b([0-9]{1,9})(?:st|nd|rd|th)\b", lambda m: ordinal(in_words(int(m[1]), "en")), text)


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
    said = f"{'ein' if language == 'de' and number == 1 else _digits(whole, language)} {one if number == 1 else many}"
    return f"{said} {in_words(int(part), language)} {parts}" if part.strip("0") else said


def _magnitudes(text: str, language: str) -> str:
    """`$5 million` -> five million dollars, `3,5 Mrd. €` -> drei Komma fünf Milliarden Euro, `5 Mio.` -> fünf Millionen."""
    signs = "".join(re.escape(sign) for sign in MONEY[language])
    said = {short: name for name, ways in MAGNITUDES[language].items() for short in (name.lower(), *ways.split())}
    either = "|".join(re.escape(one) for one in sorted(said, key=len, reverse=True))
    amount = rf"(?<![\w.,])(?P<number>{_pattern(language)})(?P<gap> ?)(?P<size>{either})(?!\w)"

    def spoken(found: re.Match[str]) -> str:
        sign, name = found["sign"] or found["behind"], said[found["size"].lower()]
        short = found["size"].lower() != name.lower()
        if language == "en" and (not sign or (short and found["gap"])):
            return found[0]
        number = ONE_OF[name] if language == "de" and found["number"] == "1" else f"{_number(found['number'], language)} {name}"
        return f"{number} {MONEY[language][sign][1]}" if sign else number

    return re.sub(rf"(?:(?P<sign>[{signs}]) ?)?{amount}(?: ?(?P<behind>[{signs}]))?", spoken, text, flags=re.IGNORECASE)


def _abbreviations(text: str, language: str) -> str:
    known: Mapping[str, str] = SHORT[language]
    pattern = "|".join(re.escape(one) for one in sorted(known, key=len, reverse=True))
    return re.sub(rf"(?<![\w.])(?:{pattern})(?!\w)", lambda m: known[m[0].lower()], text, flags=re.IGNORECASE)


def _signs(text: str, language: str) -> str:
    signs = SIGNS[language]
    # A letter behind a sign (`4 °C`) is said apart from it.
    return re.sub(rf"[{''.join(map(re.escape, signs))}](\w?)", lambda m: signs[m[0][0]] + (f" {m[1]}" if m[1] else ""), text)
