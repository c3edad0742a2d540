"""Cells that hold a quantity as people write it: `$1,234.00`, `85%`, `1.2k`, `1.234,5 EUR`, `90 m²`.

Which character parts thousands is learned from all cells of a column, never guessed from one: `1,234` alone says nothing.
"""
# Axes: N cells.

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

EMPTY = frozenset(
    ("", "na", "n/a", "#n/a", "nan", "<na>", "nat", "null", "none", "nil", "-", "--", "—", "–", "?", "unknown", "missing", "not available")
)
"""What people write where a number or a date is not known, in lower case."""
LARGEST = 1e30
"""Quantities beyond this overflow the squares of float32."""
BAD = 0.05
"""Share of a column's filled cells that may be no quantities without the column being no column of quantities."""
TELLING = 5
"""Different cells such as `1,234` from which the comma is taken for one between thousands, where no cell says otherwise."""
SCALES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "bn": 1e9, "B": 1e9, "Md": 1e9, "Mds": 1e9}
ENGLISH = {"thousand": 1e3, "million": 1e6, "millions": 1e6, "billion": 1e9, "billions": 1e9}
FOREIGN = {
    "tsd": 1e3, "tausend": 1e3, "mio": 1e6, "mill": 1e6, "millionen": 1e6, "mln": 1e6, "millones": 1e6, "milioni": 1e6, "mrd": 1e9,
    "milliarde": 1e9, "milliarden": 1e9, "milliard": 1e9, "milliards": 1e9, "mld": 1e9, "miliardi": 1e9,
}  # fmt: skip
"""What these say behind any number, before its unit (`1,2 Mio. €`); the latter in languages that write a comma before decimals."""
WORDS = {"m": 1e6, "mn": 1e6}
"""What these say behind an amount of money: `$1.2m`; behind a bare number `m` is a length."""

Comma = Literal["", "thousands", "decimal"]

_SYMBOL = r"[$€£¥₹₽₩₺฿₫₪]|(?:US|A|C|NZ|HK|S)\$|R\$|[A-Z]{3}(?![^\W\d_])"
_CELL = re.compile(
    rf"(?P<open>\()?(?P<sign>[+\-−]?)\s*(?P<before>{_SYMBOL})?\s*(?P<sign2>[+\-−]?)"
    r"(?P<digits>\d[\d.,'’ \u00a0\u202f]*|[.,]\d+)(?P<power>[eE][+\-]?\d{1,3})?"
    rf"\s*(?P<scale>(?:{'|'.join(filter(None, SCALES))}|(?i:{'|'.join(ENGLISH)}|(?:{'|'.join(FOREIGN)})\.?))(?![^\W\d_]))?\s*"
    r"(?P<after>%|‰|°[CF]?|(?:[$€£¥₹₽₩₺฿₫₪])|[^\W\d_]{1,8}[²³]?(?:/[^\W\d_]{1,8})?|(?:/ ?|per )[^\W\d_]{1,8})?(?P<close>\))?"
)
_MONEY = re.compile(rf"(?:{_SYMBOL})(?![^\W\d_])")
_GROUP = r"[ '’\u00a0\u202f]"
_PLAIN = re.compile(rf"\d+(\.\d*)?|\.\d+|[1-9]\d{{0,2}}({_GROUP}\d{{3}})+(\.\d+)?")
_THOUSANDS = re.compile(rf"{_PLAIN.pattern}|[1-9]\d{{0,2}}(,\d{{3}})+(\.\d*)?")
_DECIMAL = re.compile(rf"\d+(,\d*)?|,\d+|[1-9]\d{{0,2}}((\.|{_GROUP})\d{{3}})+(,\d+)?")

_GROUPED = re.compile(r"[1-9]\d{0,2}(\.\d{3})+")


@final
@dataclass(frozen=True)
class Style:
    """How a column writes its quantities."""

    unit: str = ""
    comma: Comma = ""

    def describe(self) -> str:
        """In words: ` in $, with a comma between thousands`."""
        unit = f" in {self.unit}" if self.unit else ""
        comma = {"": "", "thousands": ", a comma between thousands", "decimal": ", a comma before decimals"}[self.comma]
        return f"numbers{unit}{comma}"


def is_empty(cell: Any) -> bool:
    """Whether a cell says that nothing is known."""
    if isinstance(cell, str):
        return cell.strip().lower() in EMPTY
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def style(cells: Iterable[Any], bad: float = BAD) -> Style | None:
    """How these cells write quantities; None where more than the share `bad` of the filled ones are none, where units differ, or
    where nothing says what a comma means."""
    filled = [cell for cell in cells if not is_empty(cell)]
    texts = [cell for cell in filled if isinstance(cell, str)]
    if not filled or any(not isinstance(cell, str | bool | int | float) for cell in filled):
        return None
    if not texts:
        return Style()
    found = [match for text in dict.fromkeys(texts) if (match := _CELL.fullmatch(text.strip()))]
    for comma, unit in ((comma, unit) for unit in _units(found) for comma in _commas(found)):
        made = Style(unit, comma)
        misses = sum(math.isnan(read(text, made)) for text in texts)
        if misses <= bad * len(filled):
            return made
    return None


def scaled(cells: Iterable[Any]) -> bool:
    """Whether any of these cells counts in thousands or more: `1.2k`, `$3M`."""
    found = (_CELL.fullmatch(cell.strip()) for cell in cells if isinstance(cell, str))
    return any(match is not None and match["scale"] for match in found)


def read(cell: Any, how: Style) -> float:
    """A cell as a number, in the column's unit (`1.2k` as 1200, `85%` as 85); NaN where it is empty or no such quantity."""
    if isinstance(cell, str):
        value = _text(cell.strip(), how)
    else:
        value = float(cell) if isinstance(cell, bool | int | float | np.number) else math.nan
    return value if abs(value) <= LARGEST else math.nan


def read_all(cells: Sequence[Any], how: Style) -> np.ndarray:
    """(N,) float64 of a column."""
    known: dict[Any, float] = {}
    for cell in cells:
        if cell not in known:
            known[cell] = read(cell, how)
    return np.array([known[cell] for cell in cells], np.float64)


def unreadable(cells: Sequence[Any], value_N: np.ndarray) -> np.ndarray:
    """Positions of cells that are filled but gave no number."""
    return np.array([i for i in np.flatnonzero(np.isnan(value_N)).tolist() if not is_empty(cells[i])], np.int64)


def _text(text: str, how: Style) -> float:
    match = _CELL.fullmatch(text)
    if match is None or not _suits(match, how.unit) or (match["open"] is None) != (match["close"] is None):
        return math.nan
    digits, pattern = match["digits"].strip(), {"": _PLAIN, "thousands": _THOUSANDS, "decimal": _DECIMAL}[how.comma]
    if not pattern.fullmatch(digits):
        return math.nan
    digits = re.sub(_GROUP, "", digits)
    digits = digits.replace(".", "").replace(",", ".") if how.comma == "decimal" else digits.replace(",", "")
    below = bool(match["open"]) or any(match[name] in ("-", "−") for name in ("sign", "sign2"))
    many = _scale(match["scale"] or "") * (WORDS[match["after"].lower()] if _counted(match) else 1.0)
    value = float(digits + (match["power"] or "")) * many
    return -value if below else value


def _scale(written: str) -> float:
    word = written.lower().rstrip(".")
    return SCALES[written] if written in SCALES else ENGLISH.get(word) or FOREIGN[word]


def _counted(match: re.Match[str]) -> bool:
    """Whether what stands behind an amount of money says how many of them."""
    return bool(match["before"]) and (match["after"] or "").lower() in WORDS


def _unit(match: re.Match[str]) -> str:
    """All that is written around the number but how many: `$`, `m²`, `$ pcm`."""
    before, after = match["before"] or "", "" if _counted(match) else match["after"] or ""
    return f"{before}{'' if after.startswith('/') else ' '}{after}".strip()


def _suits(match: re.Match[str], unit: str) -> bool:
    """Whether a cell is in this unit. One without any is where the unit is money: `1200` among `$1,250`."""
    own = _unit(match)
    return own == unit or (not own and bool(_MONEY.match(unit)))


def _units(found: Sequence[re.Match[str]]) -> list[str]:
    """The commonest unit; where only money and bare numbers occur, the money."""
    counts: dict[str, int] = {}
    for match in found:
        counts[_unit(match)] = counts.get(_unit(match), 0) + 1
    named = [unit for unit in counts if unit]
    if len(named) == 1 and _MONEY.match(named[0]):
        return named
    return sorted(counts, key=lambda unit: -counts[unit])[:1]


def _commas(found: Sequence[re.Match[str]]) -> list[Comma]:
    """What a comma may mean here, by what the cells themselves say."""
    digits = [match["digits"].strip() for match in found]
    with_comma = [text for text in digits if "," in text]
    foreign = any((match["scale"] or "").lower().rstrip(".") in FOREIGN for match in found)
    if not with_comma:
        dotted = [text for text in digits if "." in text]
        if foreign and dotted and all(_GROUPED.fullmatch(text) for text in dotted):
            return []  # `1.250 Mio.`
        return ["", "decimal"] if any(text.count(".") > 1 for text in digits) else [""]
    either = [text for text in with_comma if _THOUSANDS.fullmatch(text) and _DECIMAL.fullmatch(text)]
    often = len(either) >= TELLING and not foreign
    return ["thousands", "decimal"] if often or len(either) < len(with_comma) or any("." in text for text in digits) else []
