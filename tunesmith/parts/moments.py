"""Times and dates as they are read aloud in English and in German. What is no time and no date of these forms stays as it is."""

from __future__ import annotations

import re
from collections.abc import Callable

from .numerals import german_ordinal, in_words, ordinal, year

MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
}
SLASHED = {"en": "month", "de": "day"}
"""What stands first in `05/03/2024`, where both could be either."""
DATIVE = "am dem den des vom zum bis ab seit nach vor"
"""German words behind which a day ends in -en (`am dritten Mai`); behind `der` in -e, else in -er."""
_DAY, _YEAR = r"(?P<day>[0-9]{1,2})", r"(?P<year>[12][0-9]{3})"
_FREE, _END = r"(?<![\w.,:/-])", r"(?![\w:/-]|[.,][0-9])"
"""No number, date or word goes on here."""


def times(text: str, language: str) -> str:
    """`10:30` -> ten thirty, zehn Uhr dreißig; `3pm` -> three p m; `10.30 Uhr` -> zehn Uhr dreißig."""
    if language == "de":
        text = re.sub(rf"{_FREE}([0-9]{{1,2}})(?:[:.]([0-9]{{2}}))? Uhr\b", _german_time, text)
        return re.sub(rf"{_FREE}([0-9]{{1,2}}):([0-9]{{2}}){_END}", _german_time, text)
    text = re.sub(rf"{_FREE}([0-9]{{1,2}})(?::([0-9]{{2}}))? ?([ap])\.? ?m\b(?:\.(?=\s+[a-z]))?", _half_day, text, flags=re.IGNORECASE)
    return re.sub(rf"{_FREE}([0-9]{{1,2}}):([0-9]{{2}}){_END}", _english_time, text)


def _is_time(hour: str, minute: str | None, most: int = 24) -> bool:
    return int(hour) <= most and int(minute or 0) < 60


def _german_time(found: re.Match[str]) -> str:
    hour, minute = found[1], found[2]
    if not _is_time(hour, minute):
        return found[0]
    said = "ein" if int(hour) == 1 else in_words(int(hour), "de")
    return f"{said} Uhr" + (f" {in_words(int(minute), 'de')}" if int(minute or 0) else "")


def _half_day(found: re.Match[str]) -> str:
    if not _is_time(found[1], found[2], 12):
        return found[0]
    return f"{_clock(found[1], found[2] or '00')} {found[3].lower()} m"


def _english_time(found: re.Match[str]) -> str:
    hour, minute = int(found[1]), int(found[2])
    if not _is_time(found[1], found[2]):
        return found[0]
    whole = " o'clock" if 1 <= hour <= 12 else " hundred"
    return _clock(found[1], found[2]) + ("" if minute else whole)


def _clock(hour: str, minute: str) -> str:
    said = in_words(int(hour), "en")
    if not int(minute):
        return said
    return f"{said} {'oh ' if int(minute) < 10 else ''}{in_words(int(minute), 'en')}"


def dates(text: str, language: str) -> str:
    """`2024-05-03`, `3 May 2024`, `May 3, 2024`, `3. Mai 2024`, `03.05.2024`, and `05/03/2024` as the language has it."""
    for form, said in (_ENGLISH if language == "en" else _GERMAN).items():
        text = re.sub(form, said, text)
    return text


def _slashed(language: str) -> Callable[[re.Match[str]], str]:
    def said(found: re.Match[str]) -> str:
        one, two = int(found["one"]), int(found["two"])
        month_first = two > 12 or (one <= 12 and SLASHED[language] == "month")
        day, month = (two, one) if month_first else (one, two)
        return _date(found, language, day, month)

    return said


def _numbered(language: str) -> Callable[[re.Match[str]], str]:
    return lambda found: _date(found, language, int(found["day"]), int(found["month"]))


def _named(language: str, day_first: bool = False) -> Callable[[re.Match[str]], str]:
    names = MONTHS[language].split()
    return lambda found: _date(found, language, int(found["day"]), names.index(found["month"]) + 1, day_first)


def _date(found: re.Match[str], language: str, day: int, month: int, day_first: bool = False) -> str:
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return found[0]
    name, since = MONTHS[language].split()[month - 1], found["year"]
    behind = f" {year(int(since), language)}" if since else ""
    if language == "en":
        said = ordinal(in_words(day, "en"))
        return f"the {said} of {name}{behind}" if day_first else f"{name} {said}{behind and ','}{behind}"
    before = re.search(r"(\w+) $", found.string[: found.start()])
    word = before[1].lower() if before else ""
    ending = "en" if word in DATIVE.split() else "e" if word in ("der", "die") else "er"
    return f"{german_ordinal(day, ending)} {name}{behind}"


_ISO = rf"{_FREE}{_YEAR}-(?P<month>[0-9]{{2}})-{_DAY}{_END}"
_SLASHES = rf"{_FREE}(?P<one>[0-9]{{1,2}})/(?P<two>[0-9]{{1,2}})/{_YEAR}{_END}"
_DAY_FIRST = (
    rf"{_FREE}(?:[Tt]he )?{_DAY}(?:st|nd|rd|th)?(?: of)? (?P<month>{MONTHS['en'].replace(' ', '|')})\b(?:,? {_YEAR}{_END})?"
)
_MONTH_FIRST = rf"\b(?P<month>{MONTHS['en'].replace(' ', '|')}) {_DAY}(?:(?:st|nd|rd|th)?,? {_YEAR}{_END}|(?=[,.;:!?)]|$))"
_DOTTED = rf"{_FREE}{_DAY}\.(?P<month>[0-9]{{1,2}})\.{_YEAR}{_END}"
_DAY_AND_NAME = rf"{_FREE}{_DAY}\. ?(?P<month>{MONTHS['de'].replace(' ', '|')})\b(?: {_YEAR}{_END})?"
_ENGLISH = {
    _ISO: _numbered("en"), _SLASHES: _slashed("en"), _DAY_FIRST: _named("en", True), _MONTH_FIRST: _named("en"),
}  # fmt: skip
_GERMAN = {_ISO: _numbered("de"), _SLASHES: _slashed("de"), _DOTTED: _numbered("de"), _DAY_AND_NAME: _named("de")}
