"""Texts with a few words swapped, dropped or replaced, so that no epoch shows a training row twice the same (arXiv 1901.11196).

Every choice is drawn from the row's own random numbers: the same seed, epoch and row give the same text, in whatever order rows come.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from ..errors import SpecError, shorten
from ..task import Draw

Way = Literal["swap", "drop", "synonym"]
WAYS: tuple[Way, ...] = ("swap", "drop", "synonym")
MAX_BYTES = 8 << 20
"""Largest file of synonyms."""
_PIECES = re.compile(r"[぀-ヿ㐀-鿿]|[^\s぀-ヿ㐀-鿿]+")
"""Words; of scripts without spaces, characters."""


@final
@dataclass(frozen=True)
class Change:
    """How texts are changed. `words`: share of a text's words that each way changes; `sets`: words that may stand for each other."""

    ways: tuple[str, ...]
    words: float
    sets: Mapping[str, tuple[str, ...]]

    def text(self, text: Any, draw: Draw) -> Any:
        """A text changed in one of the ways; as it is where it has fewer than two words, or is no text."""
        if not isinstance(text, str) or len(pieces := _PIECES.findall(text)) < 2:
            return text
        way = self.ways[int(draw.integers(len(self.ways)))]
        if way == "swap":
            return _swapped(text, pieces, self.words, draw)
        return _dropped(text, self.words, draw) if way == "drop" else _replaced(text, self.words, self.sets, draw)


def texts(change: Change | None, cells: Sequence[Any], shares_N: Sequence[float], draws: Sequence[Draw] | None) -> list[Any]:
    """Texts of rows, of which each is changed with its own probability (0 to 1); as they are outside training."""
    if change is None or draws is None:
        return list(cells)
    return [change.text(cell, draw) if draw.random() < share else cell for cell, share, draw in zip(cells, shares_N, draws, strict=True)]


def rare_shares(counts: Sequence[int]) -> tuple[float, ...]:
    """Probabilities per class that make up for its rarity: 0 for the commonest, near 1 for the rarest."""
    return tuple(1 - count / max(counts) for count in counts)


def check(ways: Sequence[str], synonyms: str) -> None:
    """Raises SpecError where `synonym` and its file do not come together."""
    if ("synonym" in ways) != bool(synonyms):
        got = "`synonym` without a file" if "synonym" in ways else "a file without `synonym` among the ways"
        fix = "--set options.synonyms=FILE: words that may stand for each other on a line, with commas between"
        raise SpecError("option synonyms", expected="a file for `augment: [synonym]`", got=got, fix=fix, code="bad-option")


def read_sets(path: str) -> tuple[tuple[str, ...], ...]:
    """Lines of words that may stand for each other, with commas between. Raises SpecError with file and line."""
    file = Path(path).expanduser()
    try:
        content = file.read_text("utf-8-sig") if file.stat().st_size <= MAX_BYTES else None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise _unreadable(path, shorten(error)) from None
    if content is None:
        raise _unreadable(path, f"more than {MAX_BYTES >> 20} MiB")
    found = []
    for number, line in enumerate(content.splitlines(), 1):
        words = tuple(dict.fromkeys(word.strip() for word in line.split(",") if word.strip()))
        if line.strip() and len(words) < 2:
            raise _unreadable(f"{path}, line {number}", shorten(line))
        found += [words] if words else []
    return tuple(found)


def by_word(sets: Sequence[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Word, in lower case -> the others that may stand for it."""
    found: dict[str, tuple[str, ...]] = {}
    for words in sets:
        for word in words:
            others = tuple(other for other in words if other.lower() != word.lower())
            found[word.lower()] = tuple(dict.fromkeys((*found.get(word.lower(), ()), *others)))
    return found


def _swapped(text: str, pieces: Sequence[str], share: float, draw: Draw) -> str:
    words = list(pieces)
    for _ in range(max(1, round(share * len(words) / 2))):
        at = int(draw.integers(len(words) - 1))
        words[at], words[at + 1] = words[at + 1], words[at]
    rest = iter(words)
    return _PIECES.sub(lambda _: next(rest), text)


def _dropped(text: str, share: float, draw: Draw) -> str:
    found = list(_PIECES.finditer(text))
    gone = {i for i in range(len(found)) if draw.random() < share} or {int(draw.integers(len(found)))}
    if len(gone) == len(found):
        gone.remove(int(draw.integers(len(found))))
    kept = [text[found[i].start() : found[i + 1].start() if i + 1 < len(found) else None] for i in range(len(found)) if i not in gone]
    return text[: found[0].start()] + "".join(kept)


def _replaced(text: str, share: float, sets: Mapping[str, tuple[str, ...]], draw: Draw) -> str:
    known = [match.start() for match in _PIECES.finditer(text) if _bare(match[0]) in sets]
    if not known:
        return text
    chosen = set(draw.permutation(known)[: max(1, round(share * len(known)))].tolist())

    def other(match: re.Match[str]) -> str:
        if match.start() not in chosen:
            return match[0]
        words = sets[_bare(match[0])]
        word = words[int(draw.integers(len(words)))]
        return match[0].lower().replace(_bare(match[0]), word.capitalize() if match[0][:1].isupper() else word, 1)

    return _PIECES.sub(other, text)


def _bare(word: str) -> str:
    return word.lower().strip(".,;:!?\"'()[]…。，！？")


def _unreadable(place: str, got: str) -> SpecError:
    fix = "write one set a line: good, fine, great"
    return SpecError(place, expected="words that may stand for each other, with commas between", got=got, fix=fix, code="bad-synonyms")
