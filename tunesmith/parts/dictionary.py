"""Word by word: a dictionary learned from pairs of texts (IBM model 1, Brown et al. 1993, J93-2003), what a translation has to beat.

Axes: P pairs of a source and a target word in one row, U different such pairs, G words of all targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from . import overlap

ROUNDS = 5
"""Passes of expectation maximisation: the usual number."""
MOST_PAIRS = 4_000_000
"""Pairs of words that are held: rows beyond are left out."""


@final
@dataclass(frozen=True)
class Dictionary:
    """One target word for each source word."""

    words: Mapping[str, str]
    joined: str
    """What stands between words of the target: a space, or nothing."""

    def translate(self, text: str) -> str:
        """Each word replaced, in the source's order; unknown ones stay."""
        return self.joined.join(self.words.get(word, word) for word in words(text))


def words(text: str) -> list[str]:
    """Words between spaces; of a text without spaces in a script that has none, characters."""
    parts = text.split()
    if len(parts) > 1 or not overlap.is_unspaced(text):
        return parts
    return [character for character in text if not character.isspace()]


def learn(sources: Sequence[str], targets: Sequence[str]) -> Dictionary:
    """The likeliest target word of each source word, by the probabilities of IBM model 1."""
    rows = [(words(source), words(target)) for source, target in zip(sources, targets, strict=True)]
    spaced = sum(" " in text.strip() for text in targets) * 2 >= len(targets)
    kept = np.cumsum([len(a) * len(b) for a, b in rows]) <= MOST_PAIRS if rows else np.zeros(0, bool)
    rows = [row for row, keep in zip(rows, kept) if keep]
    source_ids, target_ids = _ids(a for a, _ in rows), _ids(b for _, b in rows)
    found = _pairs(rows, source_ids, target_ids)
    if not len(found[0]):
        return Dictionary({}, " " if spaced else "")
    best = _expect(*found, len(target_ids))
    names, meant = list(source_ids), list(target_ids)
    return Dictionary({names[s]: meant[t] for s, t in best.items()}, " " if spaced else "")


def _ids(texts: object) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in texts:  # type: ignore[attr-defined]  # an iterator of lists
        for word in text:
            found.setdefault(word, len(found))
    return found


def _pairs(
    rows: Sequence[tuple[list[str], list[str]]], source_ids: Mapping[str, int], target_ids: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(P,) source word, target word, and which target place, of every pair of words in one row."""
    sources, targets, places, start = [], [], [], 0
    for said, meant in rows:
        s = np.array([source_ids[word] for word in said], np.int64)
        t = np.array([target_ids[word] for word in meant], np.int64)
        sources.append(np.tile(s, len(t)))
        targets.append(np.repeat(t, len(s)))
        places.append(np.repeat(np.arange(start, start + len(t)), len(s)))
        start += len(t)
    empty = np.zeros(0, np.int64)
    return tuple(np.concatenate(parts) if parts else empty for parts in (sources, targets, places))  # type: ignore[return-value]


def _expect(source_P: np.ndarray, target_P: np.ndarray, place_P: np.ndarray, width: int) -> dict[int, int]:
    """The likeliest target word of each source word."""
    pair_U, which_P = np.unique(source_P * width + target_P, return_inverse=True)
    source_U, probability_U = pair_U // width, np.ones(len(pair_U))
    for _ in range(ROUNDS):
        weight_P = probability_U[which_P]
        weight_P = weight_P / np.bincount(place_P, weight_P)[place_P]
        count_U = np.bincount(which_P, weight_P, len(pair_U))
        probability_U = count_U / np.bincount(source_U, count_U)[source_U]
    order_U = np.lexsort((pair_U, -probability_U, source_U))
    first_U = order_U[np.concatenate([[True], np.diff(source_U[order_U]) > 0])]
    return dict(zip(source_U[first_U].tolist(), (pair_U[first_U] % width).tolist()))
