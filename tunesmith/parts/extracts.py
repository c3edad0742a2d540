"""Summaries made of a document's own sentences: its first ones, and the best that anyone could choose who knew the references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from . import overlap, sentences, tokens

MOST = 3
"""Sentences that the oracle may take."""


def parts(cell: Any) -> list[str]:
    """A document's sentences: the items of a list, or as its marks cut it."""
    if isinstance(cell, list | tuple):
        return [text for one in cell if (text := tokens.as_text(one).strip())]
    text = tokens.as_text(cell)
    return [text[start:end] for start, end in sentences.split(text)]


def join(found: Sequence[str]) -> str:
    """Sentences as one text; nothing between those of scripts without spaces."""
    return ("" if found and overlap.is_unspaced(found[0]) else " ").join(found)


def lead(cells: Sequence[Any], most: int) -> list[str]:
    """The first sentences of each document."""
    return [join(parts(cell)[:most]) for cell in cells]


def oracle(cells: Sequence[Any], wanted: Sequence[Sequence[str]]) -> list[str]:
    """Of each document the sentences, at most MOST, whose words are most like a reference's: one after another as long as that helps
    (arXiv 1611.04230). It looks at the truth: a line that no extract crosses, nothing that can be had."""
    return [_oracle(parts(cell), refs) for cell, refs in zip(cells, wanted, strict=True)]


def _oracle(found: Sequence[str], refs: Sequence[str]) -> str:
    words, aims = [overlap.words_of(text) for text in found], [_grams(overlap.words_of(ref)) for ref in refs]
    chosen: list[int] = []
    best = 0.0
    while len(chosen) < MOST:
        tried = [(max((_alike(_grams(_read(words, [*chosen, i])), aim) for aim in aims), default=0.0), -i) for i in range(len(found))
                 if i not in chosen]  # fmt: skip
        value, place = max(tried, default=(0.0, 0))
        if value <= best:
            break
        best = value
        chosen.append(-place)
    return join([found[i] for i in sorted(chosen)])


def _read(words: Sequence[Sequence[str]], chosen: Sequence[int]) -> list[str]:
    return [word for i in sorted(chosen) for word in words[i]]


def _grams(words: Sequence[str]) -> tuple[Counter[Any], Counter[Any]]:
    return Counter(words), Counter(zip(words, words[1:]))


def _alike(one: tuple[Counter[Any], Counter[Any]], other: tuple[Counter[Any], Counter[Any]]) -> float:
    """F-measures of words and of pairs of words, added."""
    return sum(_f(a, b) for a, b in zip(one, other))


def _f(one: Counter[Any], other: Counter[Any]) -> float:
    both = sum((one & other).values())
    return 2 * both / (sum(one.values()) + sum(other.values())) if both else 0.0
