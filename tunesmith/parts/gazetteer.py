"""What memory alone finds: each word's usual label, and the entities of the training rows found again.

Axes: N rows, W words, C labels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from ..data.arrays import objects
from ..task import Outputs
from . import entities, tags
from .entities import Found
from .words import Words

LONGEST = 12
"""Words of an entity that is looked for."""
PRIOR = 0.1
"""Rows of the overall share of labels that are added to each word's counts."""
Strings = Sequence[Sequence[str]]


def baselines(
    train: Sequence[tuple[Words, Sequence[tags.Span]]], rows: Strings, types: Sequence[str], plain: bool
) -> dict[str, Outputs]:
    """Each word's usual tag; the entities of the training rows found again (none where every word has a tag)."""
    strings, spans = [said.strings() for said, _ in train], [found for _, found in train]
    labels = [entities.encode(found, len(said), types, plain) for said, found in zip(strings, spans)]
    made = {"usual tag of a word": {"logits": usual_labels(strings, labels, rows, len(entities.labels(types, plain)))}}
    if not plain:
        numbered = [[(start, end, types.index(kind)) for start, end, kind in found] for found in spans]
        found = matches(strings, numbered, rows)
        made["gazetteer"] = {"logits": entities.from_spans(found, [len(row) for row in rows], types, False)}
    return made


def usual_labels(train: Strings, label_NW: Sequence[np.ndarray], rows: Strings, count: int) -> np.ndarray:
    """(N,) scores (W, C): how often a word (letter case aside) had each label; words never seen: how often all had it."""
    seen: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(count))
    for words, label_W in zip(train, label_NW):
        for word, label in zip(words, label_W.tolist()):
            if label >= 0:
                seen[word.lower()][label] += 1
    total_C = sum(seen.values(), np.zeros(count)) + 1e-6
    share_C = total_C / total_C.sum()
    known = {word: _scores(count_C, share_C) for word, count_C in seen.items()}
    unknown = _scores(np.zeros(count), share_C)
    return objects([_stack([known.get(word.lower(), unknown) for word in words], count) for words in rows])


def _scores(count_C: np.ndarray, share_C: np.ndarray) -> np.ndarray:
    counted_C = count_C + PRIOR * share_C
    return np.log(counted_C / counted_C.sum()).astype(np.float32)


def _stack(rows: list[np.ndarray], count: int) -> np.ndarray:
    return np.stack(rows) if rows else np.zeros((0, count), np.float32)


def matches(train: Strings, spans: Sequence[Sequence[Found]], rows: Strings) -> list[list[Found]]:
    """Entities of the training rows (those that are one more often than not where their words stand), found again, the longest first."""
    kinds = _entities(train, spans)
    firsts: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for words in sorted(kinds, key=len, reverse=True):
        firsts[words[0]].append(words)
    return [[(at, at + len(words), kinds[words]) for at, words in _found(row, firsts)] for row in rows]


def _entities(train: Strings, spans: Sequence[Sequence[Found]]) -> dict[tuple[str, ...], int]:
    counts: dict[tuple[str, ...], Counter[int]] = defaultdict(Counter)
    for words, own in zip(train, spans):
        for start, end, kind in own:
            if end - start <= LONGEST:
                counts[tuple(word.lower() for word in words[start:end])][kind] += 1
    firsts: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for key in sorted(counts, key=len, reverse=True):
        firsts[key[0]].append(key)
    seen = Counter(words for row in train for _, words in _found(row, firsts))
    return {words: kinds.most_common(1)[0][0] for words, kinds in counts.items() if 2 * kinds.total() > seen[words]}


def _found(row: Sequence[str], firsts: dict[str, list[tuple[str, ...]]]) -> list[tuple[int, tuple[str, ...]]]:
    """(where, words) of each match, from left to right, longest first, none over another."""
    lower, found, at = [word.lower() for word in row], [], 0
    while at < len(lower):
        words = next((words for words in firsts.get(lower[at], ()) if tuple(lower[at : at + len(words)]) == words), None)
        if words:
            found.append((at, words))
        at += len(words) if words else 1
    return found
