"""Foreign text and numbers as a page may show them.

Nothing here trusts a character: controls, bidirectional overrides, zero-width characters and lone surrogates are named in words,
piles of combining marks are cut short, and the HTML template escapes whatever comes out.
"""

from __future__ import annotations

import math
import re
import shlex
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

from ..judging.words import LARGE, large, unmoved

MARKS = 4
"""Combining marks in a row that are still writing; more are a prank."""
HIDDEN = frozenset(
    [*range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x061C, 0x180E, 0xFEFF, 0x2028, 0x2029,
     0x00AD, 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080)]
)
"""Characters that change what is seen without being seen."""
JOINERS = (0x200C, 0x200D)
"""Part of ordinary writing between two characters that are not ASCII (Persian words, family emoji)."""


def visible(value: Any) -> str:
    """The text with every unseen or reordering character named, as `[U+202E]`; line breaks and tabs stay. Still to be escaped."""
    return "".join(part if shown else f"[{part}]" for part, shown in _parts(str(value)))


def html(value: Any) -> Markup:
    """The same as safe HTML, named characters set apart from the text."""
    marked = (escape(part) if shown else Markup('<b class="esc">{}</b>').format(part) for part, shown in _parts(str(value)))
    return Markup("").join(marked)


def marked(value: Any, marks: Sequence[Sequence[Any]] = ()) -> Markup:
    """The same with stretches pointed out: marks are [start, end, `truth` or `answer`, label], and may overlap."""
    text = str(value)
    edges = sorted({0, len(text), *(min(max(int(at), 0), len(text)) for mark in marks for at in mark[:2])})
    return Markup("").join(_stretch(text, start, end, marks) for start, end in zip(edges, edges[1:]))


def _stretch(text: str, start: int, end: int, marks: Sequence[Sequence[Any]]) -> Markup:
    """A stretch within which no mark begins or ends; a mark's label stands where it ends."""
    over = [mark for mark in marks if mark[0] <= start and end <= mark[1]]
    if not over:
        return html(text[start:end])
    kinds = [kind for kind in ("truth", "answer") if any(mark[2] == kind for mark in over)]
    ending = dict.fromkeys(str(mark[3]) for mark in over if mark[3] and mark[1] == end)
    labels = Markup("").join(Markup('<sub>{}</sub>').format(html(label)) for label in ending)
    said = "true and found" if len(kinds) == 2 else "true" if kinds == ["truth"] else "found"
    return Markup('<mark class="{}" title="{}">{}</mark>{}').format(" ".join(kinds), said, html(text[start:end]), labels)


SHOWN = 4
"""Columns of a wide table that an example of `predict` names."""


def asked(inputs: Sequence[str], python: bool = False, task: str = "") -> str:
    """How one row is given to `predict`: a text, an image or a sound, or cell by cell where the task reads several columns."""
    if task == "image-generation":
        return ('"8"' if not inputs else '"a caption"') + ("" if python else " --out pictures/")
    if len(inputs) < 2:
        return {"an image": '"photo.jpg"', "a sound": '"sound.wav"'}.get(read_by(task), '"your text"')
    if task == "mixed":  # any of the columns may be left out
        inputs = inputs[:SHOWN]
    if python:
        return "{" + ", ".join(f"{visible(name)!r}: ..." for name in inputs) + "}"
    return " ".join(f"--row {shlex.quote(visible(name) + '=...')}" for name in inputs)


def read_by(task: str) -> str:
    """What a task reads, in words."""
    if task in ("speech-recognition", "audio-classification"):
        return "a sound"
    return "an image" if task.startswith("image-") or task == "object-detection" else "a text"


def markdown(value: Any) -> str:
    """The text inside one line or cell of Markdown: what Markdown or HTML would act on is escaped."""
    line = " ".join(visible(value).split())
    return "".join(f"\\{c}" if c in "\\`*_[]#|~$" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(c, c) for c in line)


def number(value: Any, digits: int = 3) -> str:
    """A number for people: counts whole, fixed decimals for scores, four digits of large ones, an em dash for what is not there."""
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return "–"
    if isinstance(value, int):
        return minus(f"{value:,}")
    if abs(value) >= LARGE:
        return minus(large(value))
    return minus(f"{value:.{digits}f}" if abs(value) < 100 else f"{value:,.1f}")


def minus(text: str) -> str:
    """With a real minus sign."""
    return f"−{text[1:]}" if text.startswith("-") else text


def span(score: Any) -> str:
    """`0.895–0.927`, or nothing where there is no interval; in words where no resample moves the score."""
    low, high = (score or {}).get("low"), (score or {}).get("high")
    if score and unmoved(score):
        return "no interval"
    if low is None or high is None or low == high:
        return ""
    if number(low) == number(high):
        return ""
    return f"{number(low)} to {number(high)}" if low < 0 else f"{number(low)}–{number(high)}"


def gap(difference: Any) -> str:
    """The ends of a difference that is surely not zero, without its sign."""
    low, high = sorted((abs(difference["low"]), abs(difference["high"])))
    return span({"low": low, "high": high}) or number(low)


def amount(value: Any) -> str:
    """A quantity in the data's own units: three digits that count."""
    return number(value) if value is None else minus(f"{float(f'{value:.3g}'):,.10g}")


def percent(value: Any) -> str:
    """`97 %`; between 99 and 100 with a decimal, so that no certainty is made up."""
    if value is None:
        return "–"
    share = 100 * float(value)
    if 99 < share < 100:
        return f"{min(share, 99.9):.1f} %"
    return f"{share:.1f} %" if 0 < share < 1 else f"{share:.0f} %"


def seconds(value: Any) -> str:
    """`42 s`, `7 min 30 s`, `2 h 5 min`."""
    if value is None:
        return "–"
    whole = round(float(value))
    if whole < 10:
        return f"{float(value):.1f} s"
    if whole < 120:
        return f"{whole} s"
    large, small, units = (whole // 60, whole % 60, "min s") if whole < 7200 else (whole // 3600, whole % 3600 // 60, "h min")
    first, second = units.split()
    return f"{large} {first} {small} {second}" if small else f"{large} {first}"


def places(rows: Sequence[Any], limit: int = 6) -> str:
    """`reviews.csv, rows 17, 230 and 42 more`: the file named once where it is the same."""
    split = [str(row).rpartition("row ") for row in rows[:limit]]
    more = f" and {len(rows) - limit:,} more" if len(rows) > limit else ""
    if len({before for before, _, _ in split}) == 1:
        noun = "row" if len(rows) == 1 else "rows"
        return f"{split[0][0]}{noun} {', '.join(last for _, _, last in split)}{more}"
    return ", ".join(map(str, rows[:limit])) + more


def moment(iso: Any) -> str:
    """`21 Nov 2026, 16:40 UTC` from an ISO time; as it is where it is no time."""
    try:
        when = datetime.fromisoformat(str(iso))
    except ValueError:
        return str(iso)
    zone = " UTC" if when.utcoffset() is not None and not when.utcoffset() else ""
    return f"{when.day} {when:%b %Y, %H:%M}{zone}"


def unbroken(sentence: Any) -> Markup:
    """Safe HTML in which no line breaks inside a pair of brackets with numbers."""
    parts = re.split(r"(\([\d.,–−\- to]+\))", visible(sentence))
    return Markup("").join(
        Markup('<span class="nb">{}</span>').format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def size(value: Any) -> str:
    """Bytes as MB or GB (powers of ten)."""
    if value is None:
        return "–"
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def _parts(text: str) -> list[tuple[str, bool]]:
    """Stretches of text and whether each is the text itself (True) or the name of what cannot be shown (False)."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return [(text, True)]
    found: list[tuple[str, bool]] = []
    marks = 0
    for i, char in enumerate(text):
        marks = marks + 1 if unicodedata.combining(char) or unicodedata.category(char) in ("Me", "Mn") else 0
        if marks > MARKS:
            found = _count_marks(found)
        elif _hidden(text, i):
            found.append((f"U+{ord(char):04X}", False))
        elif found and found[-1][1]:
            found[-1] = (found[-1][0] + char, True)
        else:
            found.append((char, True))
    return found


def _count_marks(found: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    words, shown = found[-1]
    if shown or not words.endswith("combining marks"):
        return [*found, ("+1 combining marks", False)]
    return [*found[:-1], (f"+{int(words[1:].split()[0]) + 1} combining marks", False)]


def _hidden(text: str, i: int) -> bool:
    code = ord(text[i])
    if code in JOINERS:
        return not (0 < i < len(text) - 1 and ord(text[i - 1]) > 127 and ord(text[i + 1]) > 127)
    return code in HIDDEN or unicodedata.category(text[i]) in ("Cc", "Cs", "Co", "Cn") and text[i] not in "\n\t"
