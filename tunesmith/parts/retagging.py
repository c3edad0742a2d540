"""Tagged rows changed at random (after arXiv 2010.11683), tags moving along with their words, so that no epoch shows a training row twice
the same.

    mention   an entity is replaced by another one of its type, from the training rows (mention replacement)
    swap      neighbouring words change places, both in one entity or both between entities (after shuffling within segments)
    synonym   words outside entities are replaced by others of a file; where each word has a tag of its own, any word
    drop      words outside entities are left out

No entity is lost, broken or joined to another one. What stands together without a space (a word and its comma) moves and goes as one.
"""
# Axes: W words of a row.

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, Protocol, final

import numpy as np

from ..errors import SpecError
from ..task import PART, Draw, Example, Row
from . import augment
from .tags import Span
from .words import Words, between

Way = Literal["swap", "drop", "synonym", "mention"]
MOST_MENTIONS = 10_000
"""Different entities of a type that are kept to be put in the place of others, the commonest."""
OUTSIDE, MIXED = -1, -2
Mentions = tuple[tuple[tuple[str, str], ...], ...]
"""Entities of a type: of each word the space before it, and the word."""
Read = tuple[Words, Sequence[Span]]
"""A row's words and the spans among them."""


class Retagger(Protocol):
    """The settings of a task that changes tagged rows."""

    augment: tuple[Way, ...]
    augment_rows: float
    augment_words: float
    synonym_sets: tuple[tuple[str, ...], ...]
    mentions: tuple[Mentions, ...]
    types: tuple[str, ...]
    written: str


@final
@dataclass(frozen=True)
class Piece:
    """A word, the space before it, and which of the row's spans it is of (`OUTSIDE`: none)."""

    space: str
    word: str
    of: int


Unit = tuple[Piece, ...]
"""Words without a space between."""


@final
@dataclass(frozen=True)
class Change:
    """How tagged rows are changed. `share`: of a row's words (its entities, for `mention`) that each way changes, at least one; `tagged`:
    whether each word has a tag of its own."""

    ways: tuple[str, ...]
    share: float
    sets: Mapping[str, tuple[str, ...]]
    mentions: Mapping[str, Mentions]
    tagged: bool = False

    @classmethod
    def of(cls, task: Retagger) -> Change:
        """That which a task's settings ask for."""
        found = dict(zip(task.types, task.mentions))
        return cls(task.augment, task.augment_words, augment.by_word(task.synonym_sets), found, task.written == "plain")

    def row(self, said: Words, spans: Sequence[Span], draw: Draw) -> Read:
        """A row changed in one of the ways that it allows; as it is where there is none."""
        pieces = _pieces(said, spans)
        able = {way: places for way in self.ways if (places := self._places(way, pieces, spans))}
        if not able:
            return said, spans
        way = list(able)[int(draw.integers(len(able)))]
        made = self._made(way, pieces, able[way], spans, draw)
        tail = said.text[int(said.span_W2[-1, 1]) :]
        return _put_together(made, tail), _spans(made, [kind for *_, kind in spans])

    def _places(self, way: str, pieces: Sequence[Piece], spans: Sequence[Span]) -> list[int]:
        """Where a row can be changed in this way: words, spans or units, by number."""
        if way == "mention":
            return [at for at, (*_, kind) in enumerate(spans) if len(self.mentions.get(kind, ())) > 1]
        if way == "synonym":
            free = (OUTSIDE, *range(len(spans) if self.tagged else 0))
            return [at for at, piece in enumerate(pieces) if piece.of in free and augment.bare(piece.word) in self.sets]
        owner = [_owner(unit) for unit in _units(pieces)]
        if way == "drop":
            return [at for at, one in enumerate(owner) if one == OUTSIDE] if len(owner) > 1 else []
        return [at for at, (one, other) in enumerate(zip(owner, owner[1:])) if one == other != MIXED]

    def _made(self, way: str, pieces: list[Piece], places: list[int], spans: Sequence[Span], draw: Draw) -> list[Piece]:
        if way == "swap":
            return _swapped(_units(pieces), places, self.share, draw)
        if way == "drop":
            return _dropped(_units(pieces), places, self.share, draw)
        chosen = set(draw.permutation(places)[: max(1, round(self.share * len(places)))].tolist())
        if way == "mention":
            return _other_mentions(pieces, {at: self.mentions[spans[at][2]] for at in sorted(chosen)}, draw)
        other = lambda word: augment.other_word(word, self.sets, draw)  # noqa: E731
        return [dataclasses.replace(piece, word=other(piece.word)) if at in chosen else piece for at, piece in enumerate(pieces)]


def gathered(rows: Iterable[Read], types: Sequence[str]) -> tuple[Mentions, ...]:
    """The different entities of each type, the commonest first."""
    counts: dict[str, Counter[tuple[tuple[str, str], ...]]] = defaultdict(Counter)
    for said, spans in rows:
        pieces = _pieces(said, spans)
        for start, end, kind in spans:
            counts[kind][_mention(pieces[start:end])] += 1
    return tuple(tuple(found for found, _ in counts[kind].most_common(MOST_MENTIONS)) for kind in types)


def check(task: Retagger) -> None:
    """Raises SpecError for ways that could change nothing in the rows that were learned from."""
    wrong = [way for way in ("swap", "drop") if way in task.augment]
    if task.written == "plain" and wrong:
        expected = "`synonym` or `mention` where each word has a tag of its own: no word stands outside"
        raise _refused(expected, wrong[0], f"leave `{wrong[0]}` out of `augment`")
    if "mention" in task.augment and max(map(len, task.mentions), default=0) < 2:
        expected = "for `mention` a type with two different entities in the training rows"
        raise _refused(expected, "none", "leave `mention` out of `augment`, or add rows")


def examples(
    task: Retagger, rows: Sequence[Row], plain: Sequence[Read], draws: Sequence[Draw], encode: Callable[[Sequence[Read]], list[Example]]
) -> list[Example]:
    """An example for each row as an epoch sees it, changed where it is read in one window before and after; else the window that is meant
    (`PART`) of the row as it is."""
    change = Change.of(task)
    made = [change.row(*one, draw) if draw.random() < task.augment_rows else one for one, draw in zip(plain, draws, strict=True)]
    several = PART in rows[0]
    changed_N, plain_N = _by_row(encode(made), len(rows)), _by_row(encode(plain), len(rows)) if several else []
    found = []
    for at, (row, changed) in enumerate(zip(rows, changed_N)):
        if len(changed) == 1 and (not several or len(plain_N[at]) == 1):
            found += changed
        else:
            found.append((plain_N[at] if several else encode([plain[at]]))[row.get(PART, 0)])
    return found


def _by_row(examples: list[Example], rows: int) -> list[list[Example]]:
    found: list[list[Example]] = [[] for _ in range(rows)]
    for at, example in enumerate(examples):
        found[example.pop("row", at)].append(example)
    return found


# -- words, and what stands together ------------------------------------------------------------------------------------


def _pieces(said: Words, spans: Sequence[Span]) -> list[Piece]:
    of_W = np.full(len(said), OUTSIDE)
    for at, (start, end, _) in enumerate(spans):
        of_W[start:end] = at
    ends = [0, *said.span_W2[:, 1].tolist()]
    return [
        Piece(said.text[before:start], said.text[start:end], of)
        for before, (start, end), of in zip(ends, said.span_W2.tolist(), of_W.tolist())
    ]


def _put_together(pieces: Sequence[Piece], tail: str) -> Words:
    ends = list(accumulate(len(piece.space) + len(piece.word) for piece in pieces))
    span_W2 = np.array([(end - len(piece.word), end) for piece, end in zip(pieces, ends)], np.int32).reshape(-1, 2)
    return Words("".join(piece.space + piece.word for piece in pieces) + tail, span_W2)


def _spans(pieces: Sequence[Piece], kinds: Sequence[str]) -> list[Span]:
    of = [piece.of for piece in pieces]
    return sorted((of.index(at), of.index(at) + of.count(at), kind) for at, kind in enumerate(kinds))


def _units(pieces: Sequence[Piece]) -> list[Unit]:
    found: list[list[Piece]] = []
    for before, piece in zip([None, *pieces[:-1]], pieces):
        if before is not None and not piece.space and between(before.word, piece.word):
            found[-1].append(piece)
        else:
            found.append([piece])
    return list(map(tuple, found))


def _owner(unit: Unit) -> int:
    """The span that a unit is of; `MIXED` where it is only in part."""
    return unit[0].of if len({piece.of for piece in unit}) == 1 else MIXED


def _joined(units: Sequence[Unit], spaces: Sequence[str]) -> list[Piece]:
    """The units' words, each unit behind its space; where there is none, with one that keeps words apart."""
    found: list[Piece] = []
    for unit, space in zip(units, spaces, strict=True):
        apart = space or (between(found[-1].word, unit[0].word) if found else "")
        found += [dataclasses.replace(unit[0], space=apart), *unit[1:]]
    return found


# -- ways ---------------------------------------------------------------------------------------------------------------


def _swapped(units: list[Unit], places: list[int], share: float, draw: Draw) -> list[Piece]:
    spaces = [unit[0].space for unit in units]
    for _ in range(max(1, round(share * len(units) / 2))):
        at = places[int(draw.integers(len(places)))]
        units[at], units[at + 1] = units[at + 1], units[at]
    return _joined(units, spaces)


def _dropped(units: list[Unit], places: list[int], share: float, draw: Draw) -> list[Piece]:
    gone = {at for at in places if draw.random() < share} or {places[int(draw.integers(len(places)))]}
    if len(gone) == len(units):
        gone.remove(places[int(draw.integers(len(places)))])
    kept = [at for at in range(len(units)) if at not in gone]
    spaces = [units[at][0].space or (units[at - 1][0].space if at - 1 in gone else "") for at in kept]
    return _joined([units[at] for at in kept], [units[0][0].space, *spaces[1:]])


def _other_mentions(pieces: Sequence[Piece], chosen: Mapping[int, Mentions], draw: Draw) -> list[Piece]:
    """The words with others in the place of these spans, each drawn from the mentions of its type that are not the span itself."""
    found: list[Piece] = []
    own = {at: tuple(piece for piece in pieces if piece.of == at) for at in chosen}
    for piece in pieces:
        if piece.of not in chosen:
            found.append(piece)
        elif piece is own[piece.of][0]:
            others = [mention for mention in chosen[piece.of] if mention != _mention(own[piece.of])]
            other = others[int(draw.integers(len(others)))]
            found += [Piece(space if at else piece.space, word, piece.of) for at, (space, word) in enumerate(other)]
    return found


def _mention(pieces: Sequence[Piece]) -> tuple[tuple[str, str], ...]:
    return tuple((piece.space if at else "", piece.word) for at, piece in enumerate(pieces))


def _refused(expected: str, got: str, fix: str) -> SpecError:
    return SpecError("option augment", expected=expected, got=got, fix=fix, code="bad-option")
