"""Texts with a few words swapped, dropped or replaced (arXiv 1901.11196), or as translation models say them anew (arXiv 1904.12848), so
that no epoch shows a training row twice the same.

Every choice is drawn from the row's own random numbers: the same seed, epoch and row give the same text, in whatever order rows come.
What was translated there and back (`Retelling`) stands beside each training row, in a column of its own.
"""
# Axes: N rows.

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, final

from ..errors import SpecError, shorten
from ..task import Draw, Row
from . import options

if TYPE_CHECKING:
    from ..data.table import Table

Way = Literal["swap", "drop", "synonym", "back-translation"]
BACK: Way = "back-translation"
WAYS: tuple[Way, ...] = ("swap", "drop", "synonym", BACK)
MOST_FORMS = 16
"""Forms of a text that may be asked for."""
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

    def text(self, text: Any, draw: Draw, forms: Sequence[str] = ()) -> Any:
        """A text changed in one of the ways that it allows: words are moved where there are two or more, and it is said anew where there
        are `forms`. As it is where there is no way, or no text."""
        pieces = _PIECES.findall(text) if isinstance(text, str) else []
        ways = [way for way in self.ways if (forms if way == BACK else len(pieces) > 1)]
        if not ways:
            return text
        way = ways[int(draw.integers(len(ways)))]
        if way == BACK:
            return forms[int(draw.integers(len(forms)))]
        if way == "swap":
            return _swapped(text, pieces, self.words, draw)
        return _dropped(text, self.words, draw) if way == "drop" else _replaced(text, self.words, self.sets, draw)


@final
@dataclass(frozen=True)
class Retelling:
    """Training texts that two translation models say anew, once, before the first step."""

    models: tuple[str, ...]
    """There, and back."""
    languages: tuple[str, ...]
    """Codes of the texts' language and of the one between, where they were named."""
    forms: int
    """Forms of each text; more than one are drawn at random."""
    cells: Mapping[str, Sequence[str | None]]
    """Column -> text of each training row; None where it is never changed."""

    def texts(self) -> list[str]:
        """The different ones, in an order that does not follow from the rows': shortest first."""
        return sorted({cell for cells in self.cells.values() for cell in cells if cell is not None}, key=by_length)


class WordAugmenter(Protocol):
    """The settings of a task that changes words."""

    augment: tuple[Any, ...]
    augment_rows: Any
    augment_words: float
    synonyms: str


class Augmenter(Protocol):
    """The settings of a task that changes texts."""

    augment: tuple[Way, ...]
    augment_rows: Any
    augment_words: float
    synonyms: str
    back_translation: tuple[str, ...]
    back_translation_languages: tuple[str, ...]
    back_translation_forms: int
    synonym_sets: tuple[tuple[str, ...], ...]


def by_length(text: str) -> tuple[int, str]:
    """What texts are sorted by, so that those of like length are translated together."""
    return len(text), text


def beside(column: str) -> str:
    """Column in which the forms of another column's texts stand, lists of texts."""
    return f"#forms of {column}"


def retelling(task: Augmenter, columns: Sequence[str], train: Table, shares: Callable[[], Sequence[float]]) -> Retelling | None:
    """What is to be said anew of these columns; `shares`: gives with which probability each row is changed. None: that is not asked for."""
    if BACK not in task.augment:
        return None
    shares_N = shares()
    cells = {
        column: [cell if share and isinstance(cell, str) and cell.strip() else None for cell, share in zip(train.column(column), shares_N)]
        for column in columns
    }
    return Retelling(task.back_translation, task.back_translation_languages, task.back_translation_forms, cells)


def changed(task: Augmenter, rows: Sequence[Row], column: str, shares_N: Sequence[float], draws: Sequence[Draw] | None) -> list[Any]:
    """A column's texts as an epoch sees them; as they are outside training."""
    cells = [row[column] for row in rows]
    if draws is None:
        return cells
    change = Change(task.augment, task.augment_words, by_word(task.synonym_sets))
    return texts(change, cells, shares_N, draws, [row.get(beside(column)) or () for row in rows])


def texts(
    change: Change, cells: Sequence[Any], shares_N: Sequence[float], draws: Sequence[Draw], forms_N: Sequence[Sequence[str]] | None = None
) -> list[Any]:
    """Texts of rows, of which each is changed with its own probability (0 to 1). `forms_N`: each text said anew, where that was done."""
    rows = zip(cells, shares_N, draws, forms_N or [()] * len(cells), strict=True)
    return [change.text(cell, draw, forms) if draw.random() < share else cell for cell, share, draw, forms in rows]


def rare_shares(counts: Sequence[int]) -> tuple[float, ...]:
    """Probabilities per class (label) that make up for its rarity: 0 for the commonest, near 1 for the rarest."""
    return tuple(1 - count / max([*counts, 1]) for count in counts)


def check(task: Augmenter) -> None:
    """Raises SpecError for settings that make no sense, or a way and what it needs that do not come together."""
    check_words(task)
    options.number("back_translation_forms", task.back_translation_forms, low=1, high=MOST_FORMS, unit="a whole number")
    _check_back(task)


def check_words(task: WordAugmenter) -> None:
    """The same of what changes words alone."""
    options.number("augment_rows", 0 if task.augment_rows == "rare" else task.augment_rows, low=0, high=1)
    options.number("augment_words", task.augment_words, low=0, high=0.9)
    if ("synonym" in task.augment) != bool(task.synonyms):
        got = "`synonym` without a file" if "synonym" in task.augment else "a file without `synonym` among the ways"
        fix = "--set options.synonyms=FILE: words that may stand for each other on a line, with commas between"
        raise SpecError("option synonyms", expected="a file for `augment: [synonym]`", got=got, fix=fix, code="bad-option")


def _check_back(task: Augmenter) -> None:
    wanted, models = BACK in task.augment, task.back_translation
    if wanted != bool(models) or len(models) not in (0, 2):
        got = f"{models[0]} alone" if len(models) == 1 else f"{len(models)} of them" if models else f"`{BACK}` without models"
        got = got if wanted else f"models without `{BACK}` among the ways"
        fix = f"say --option augment={BACK} --option 'back_translation=[THERE, BACK]'; a model of many languages is named twice"
        expected = f"two translation models for `augment: [{BACK}]`: from the texts' language to another one, and back"
        raise SpecError("option back_translation", expected=expected, got=got, fix=fix, code="bad-option")
    languages = task.back_translation_languages
    if languages and (not wanted or len(languages) != 2):
        got = f"{len(languages)} of them" if wanted else f"codes without `{BACK}` among the ways"
        fix = "say --option 'back_translation_languages=[en, de]', or leave it out with models of two languages"
        expected = "two codes: the texts' language, and the one between"
        raise SpecError("option back_translation_languages", expected=expected, got=got, fix=fix, code="bad-option")
    if task.back_translation_forms > 1 and not wanted:
        got = f"{task.back_translation_forms} without `{BACK}` among the ways"
        fix = "leave it out"
        raise SpecError("option back_translation_forms", expected=f"1, or `augment: [{BACK}]`", got=got, fix=fix, code="bad-option")


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
    known = [match.start() for match in _PIECES.finditer(text) if bare(match[0]) in sets]
    if not known:
        return text
    chosen = set(draw.permutation(known)[: max(1, round(share * len(known)))].tolist())

    return _PIECES.sub(lambda match: other_word(match[0], sets, draw) if match.start() in chosen else match[0], text)


def other_word(word: str, sets: Mapping[str, tuple[str, ...]], draw: Draw) -> str:
    """One of the words that may stand for it, with its signs and its capital."""
    words = sets[bare(word)]
    other = words[int(draw.integers(len(words)))]
    return word.lower().replace(bare(word), other.capitalize() if word[:1].isupper() else other, 1)


def bare(word: str) -> str:
    """A word as files of synonyms have it: in lower case, without the signs around it."""
    return word.lower().strip(".,;:!?\"'()[]…。，！？")


def _unreadable(place: str, got: str) -> SpecError:
    fix = "write one set a line: good, fine, great"
    return SpecError(place, expected="words that may stand for each other, with commas between", got=got, fix=fix, code="bad-synonyms")
