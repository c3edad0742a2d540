"""Tags of words and the spans that they stand for: schemes told apart, converted to spans and back.

    BIO     B-X I-X I-X O       (IOB2)            BIOES   B-X I-X E-X, S-X      (BILOU and BMES: the same with other letters)
    IOB1    I-X I-X O, B-X only where two of a kind touch      IO   X X O, or I-X      plain   every word has a tag (parts of speech)

A span is (first word, the one behind its last, type). Where all spans are of one kind, letters may stand alone (B I I O): their type is
`_`, as seqeval has it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import final

Span = tuple[int, int, str]
OUT, UNNAMED = "O", "_"
SCHEMES = ("BIO", "IOB1", "BIOES", "BMES", "BILOU", "IO", "plain")
_LETTERS = {"BIO": "BI", "IOB1": "BI", "BIOES": "BIES", "BMES": "BMES", "BILOU": "BILU"}
"""How each scheme writes begin, inside, end and single."""
_TAG = re.compile(r"([BIESMLU])(?:[-_](.+))?", re.DOTALL)


@final
@dataclass(frozen=True)
class Tag:
    """A tag in its parts: `role` is B, I, E or S (M is I, L is E, U is S), O outside, and empty where the tag is a type alone."""

    role: str
    type: str


@lru_cache(maxsize=1 << 16)
def parse(tag: str) -> Tag:
    """The parts of a tag."""
    if tag == OUT:
        return Tag("O", "")
    found = _TAG.fullmatch(tag)
    if found is None:
        return Tag("", tag)
    return Tag({"M": "I", "L": "E", "U": "S"}.get(found[1], found[1]), found[2] or UNNAMED)


def recognise(rows: Iterable[Sequence[str]]) -> str:
    """The scheme of these rows of tags: that which fits their letters, and of those the one that they break least. A few tags that are
    none of a scheme's are mistakes, most of them another scheme."""
    rows = list(rows)
    count = Counter(tag for row in rows for tag in row if tag != OUT)
    lettered = {tag for tag in count if parse(tag).role}
    if "B" not in lettered and any(len(tag) == 1 for tag in set(count) - {"I"}):  # sizes, grades: letters of another kind
        lettered = {tag for tag in lettered if len(tag) > 1}
    if 2 * sum(count[tag] for tag in lettered) <= count.total() and not _outside_otherwise(rows, lettered, count):
        return "IO" if any(OUT in row for row in rows) else "plain"
    letters = {tag[0] for tag in lettered}
    if letters == {"I"}:
        return "IOB1"
    if letters <= {"B", "I"}:
        return min(("BIO", "IOB1"), key=lambda scheme: sum(len(breaks(row, scheme)) for row in rows))
    return "BMES" if "M" in letters else "BILOU" if letters & {"L", "U"} else "BIOES"


def _outside_otherwise(rows: list[Sequence[str]], lettered: set[str], count: Counter[str]) -> bool:
    """Whether these are a scheme's tags with something else for its `O` (a `0`): one tag of no scheme beside those that begin spans."""
    none_out = not any(OUT in row for row in rows)
    return none_out and len(set(count) - lettered) == 1 and any(re.match("B[-_].", tag) for tag in lettered)


def spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """The spans of a row. A sequence that breaks the scheme is read as it is usually meant: an inside that follows nothing begins."""
    parsed = [parse(tag) if scheme not in ("plain", "IO") else _bare(tag, scheme) for tag in tags]
    if scheme == "plain":
        return [(at, at + 1, tag.type) for at, tag in enumerate(parsed)]
    found: list[Span] = []
    start, before = 0, Tag("O", "")
    for at, tag in enumerate([*parsed, Tag("O", "")]):
        goes_on = tag.role in ("I", "E") and tag.type == before.type and before.role in ("B", "I")
        if not goes_on:
            if before.role != "O":
                found.append((start, at, before.type))
            start = at
        before = tag
    return found


def _bare(tag: str, scheme: str) -> Tag:
    """A tag that is a type: inside of it, where `O` is outside."""
    if scheme == "plain":
        return Tag("S", tag)
    return Tag("O", "") if tag == OUT else Tag("I", tag)


def write(found: Iterable[Span], words: int, scheme: str) -> list[str]:
    """The tags of a row of so many words in a scheme; spans must not overlap. The inverse of `spans`, but for IO where two spans of
    a type touch, and for plain where a word has no span."""
    tags = [OUT] * words
    before = (-1, "")
    for start, end, kind in sorted(found):
        tags[start:end] = _written(end - start, kind, scheme, touching=before == (start, kind))
        before = (end, kind)
    return tags


def _written(size: int, kind: str, scheme: str, touching: bool) -> list[str]:
    if scheme in ("plain", "IO"):
        return [kind] * size
    begin, inside, *rest = _LETTERS[scheme]
    if scheme == "IOB1" and not touching:
        begin = inside
    letters = [begin, *inside * (size - 1)] if not rest else [rest[1]] if size == 1 else [begin, *inside * (size - 2), rest[0]]
    return letters if kind == UNNAMED else [f"{letter}-{kind}" for letter in letters]


def foreign(tags: Sequence[str], scheme: str) -> list[int]:
    """Words whose tags are none of the scheme's, whatever stands beside them (a `0` for an `O`)."""
    return [] if scheme in ("plain", "IO") else [at for at, tag in enumerate(tags) if not parse(tag).role]


def breaks(tags: Sequence[str], scheme: str) -> list[int]:
    """Words at which a row breaks its scheme: those whose tags are others when its spans are written anew."""
    if scheme in ("plain", "IO"):
        return []
    anew = write(spans(tags, scheme), len(tags), scheme)
    return [at for at, (one, other) in enumerate(zip(tags, anew)) if parse(one) != parse(other)]
