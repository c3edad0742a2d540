"""Which rows say the same, or nearly the same, and must stay on one side of a split.

*Exact* means the same words (`shingles.words`): equal letters, marks and numbers after NFKC and case folding, whatever
punctuation, symbols and white space stand between them. A text without any letter is compared whole. *Near* means that
the sets of word 3-grams (character 5-grams for short texts and scripts without spaces) have a Jaccard similarity of at
least the threshold. Candidates come from MinHash signatures cut into bands (Broder 1997; Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, ch. 3); each is then verified by its true similarity, so that false alarms take a
collision of 64-bit hashes. Nothing here is random: the same texts give the same groups, in any order and on any
machine.

Axes: N texts, U distinct texts, H hash functions, B bands, E edges (pairs of texts), S pieces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ..memory import let_go
from . import likeness, shingles
from .caches import scratch
from .texts import at

MISSED = 0.02
"""Chance that a pair exactly at the threshold shares no band."""
HASHES = 64
"""Most hash functions of a signature."""
LARGE = 200_000
"""Rows from which the text that is compared is bounded."""
CHARACTERS = 200_000_000
"""Characters that are compared in all: beyond LARGE rows each text is cut to its even share, but not below SHARE."""
SHARE = 200
LONGEST = 20_000
"""Characters of one text that are compared."""
REACH = 8
"""Neighbours within a bucket that each text is compared with, besides the bucket's first text."""
MAX_EDGES = 4_000_000
"""Candidate pairs verified per band."""
EXAMPLES = 5


@dataclass(frozen=True)
class Duplicates:
    """What was found in N texts."""

    group_N: np.ndarray
    """Equal numbers for texts to keep on one side; numbered by first appearance."""
    exact: int
    """Texts that have the same words as an earlier one."""
    near: int
    """Further texts that only resemble an earlier one."""
    examples: tuple[tuple[int, int, float], ...]
    """A few near pairs: position, position, similarity."""
    exact_N: np.ndarray
    """Equal numbers for texts with the same words; numbered by first appearance."""
    key_N: np.ndarray
    """(N,) uint64: content hash of each text's words."""
    note: str = ""
    """What was left out to stay within bounds; empty: nothing."""


def find(texts: Sequence[str], threshold: float, small: Sequence[bytes] | None = None) -> Duplicates:
    """Groups of equal and similar texts; `threshold` 0 looks for equal ones only. `small`: of images, which are equal where their texts
    are, and else compared by these (`likeness.py`).

    A million short texts take about a minute on one core.
    """
    key_N, length_N = _read(texts)
    first_U, equal_N = _distinct(key_N)
    exact = len(texts) - len(first_U)
    if not threshold or len(first_U) < 2:
        return Duplicates(equal_N, exact, 0, (), equal_N, key_N)
    limit, note = _limit(length_N[first_U])
    if small is None:
        group_U, edges, skipped = _similar(_Words(texts, first_U, limit), np.minimum(length_N[first_U], limit), threshold)
    else:
        group_U, edges, skipped = _alike([small[i] for i in first_U] if small else [], len(first_U))
    examples = tuple((int(first_U[a]), int(first_U[b]), s) for a, b, s in edges)
    group_N = _distinct(group_U)[1][equal_N]
    near = len(first_U) - int(group_N.max()) - 1
    return Duplicates(group_N, exact, near, examples, equal_N, key_N, " ".join(filter(None, [note, skipped])))


def jaccard(first: str, second: str) -> float:
    """The similarity of two texts, as `find` sees it: for tests and for messages."""
    found = shingles.pieces([shingles.words(first), shingles.words(second)])
    one, two = (set(found.hash_S[found.start_N[i] : found.start_N[i + 1]].tolist()) for i in (0, 1))
    return len(one & two) / max(1, len(one | two))


def bands(threshold: float) -> tuple[int, int]:
    """(bands, rows per band): the most selective that miss a pair at the threshold with chance MISSED at most."""
    for rows in range(12, 0, -1):
        count = math.ceil(math.log(MISSED) / math.log1p(-(threshold**rows)))
        if count * rows <= HASHES:
            return count, rows
    return HASHES, 1


@final
@dataclass(frozen=True)
class _Words:
    """The words of U distinct texts, folded each time they are asked for: held, they would be as much as the texts."""

    texts: Sequence[str]
    first_U: np.ndarray
    limit: int

    def at(self, positions: np.ndarray) -> list[str]:
        """Those at these positions, cut to what is compared."""
        return [shingles.words(text)[: self.limit] for text in at(self.texts, self.first_U[positions])]


def _read(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) uint64 content hash of each text's words, and (N,) how many characters of them are there, LONGEST at most."""
    key_N, length_N = np.empty(len(texts), np.uint64), np.empty(len(texts), np.int32)
    for i, text in enumerate(texts):
        folded = shingles.words(text)
        key_N[i] = shingles.key(folded or shingles.fold(text))
        length_N[i] = min(len(folded), LONGEST)
    return key_N, length_N


def _limit(length_U: np.ndarray) -> tuple[int, str]:
    """Characters of each text that are compared, and what to say where that is not all."""
    limit = min(LONGEST, max(SHARE, CHARACTERS // len(length_U))) if len(length_U) > LARGE else LONGEST
    cut = int((length_U >= limit).sum())
    return limit, f"{cut:,} long texts were compared by their first {limit:,} characters." if cut else ""


def _similar(words: _Words, length_U: np.ndarray, threshold: float) -> tuple[np.ndarray, list[tuple[int, int, float]], str]:
    """Groups of U distinct texts, a few of the pairs behind them, and what was skipped."""
    count, rows = bands(threshold)
    band_BU = _signatures(words, length_U, count, rows)
    group_U, examples, skipped = np.arange(len(length_U), dtype=np.int32), list[tuple[int, int, float]](), 0
    edges = [np.zeros((0, 2), np.int64)]
    for hash_U in band_BU:
        pairs_E2, left = _candidates(hash_U, length_U > 0, group_U)
        let_go(band_BU)
        skipped += left
        for block_E2 in _blocks(pairs_E2, length_U):
            score_E = _verify(block_E2, words.at)
            good_E = score_E >= threshold - 1e-12
            edges.append(block_E2[good_E])
            pairs = zip(block_E2[good_E][:EXAMPLES].tolist(), score_E[good_E].tolist())
            examples += [(a, b, round(score, 3)) for (a, b), score in pairs]
        group_U = _components(np.concatenate(edges), len(length_U))
    note = f"{skipped:,} candidate pairs in crowded buckets were not compared." if skipped else ""
    return group_U, examples[:EXAMPLES], note


def _alike(small: Sequence[bytes], count: int) -> tuple[np.ndarray, list[tuple[int, int, float]], str]:
    """The same of U (`count`) distinct images, of which nothing is known where there are very many."""
    alone_U = np.arange(count)
    if len(small) < count:
        return alone_U, [], f"More than {likeness.MOST:,} images: those that look alike were not looked for."
    pair_E2, like_E = likeness.pairs(small)
    group_U = _components(pair_E2, count)
    largest = int(np.bincount(group_U).max())
    if largest > max(2, likeness.CROWD * count):
        return alone_U, [], (
            f"{largest:,} of {count:,} images look alike, one like the next, too many to stay on one side: frames of one film want a "
            "column that says which (--group)."
        )
    examples = zip(pair_E2[:EXAMPLES].tolist(), like_E[:EXAMPLES].tolist())
    return group_U, [(a, b, round(like, 3)) for (a, b), like in examples], ""


def _signatures(words: _Words, length_U: np.ndarray, count: int, rows: int) -> np.ndarray:
    """(B, U) hashes of the bands of every signature, of many texts in a file; of a text without pieces they mean nothing."""
    band_BU = scratch((count, len(length_U)), np.uint64)
    factor_H = shingles.mix(np.arange(count * rows, dtype=np.uint64)) | np.uint64(1)
    for block in shingles.blocks(length_U):
        found = shingles.pieces(words.at(np.arange(block.start, block.stop)))
        full_N = np.flatnonzero(length_U[block])
        for band in range(count if len(full_N) else 0):
            hash_N = np.zeros(len(full_N), np.uint64)
            for factor in factor_H[band * rows : (band + 1) * rows]:
                hash_N = shingles.mix(hash_N ^ np.minimum.reduceat(found.hash_S * factor, found.start_N[full_N]))
            band_BU[band, block.start + full_N] = hash_N
        let_go(band_BU)
    return band_BU


def _candidates(hash_U: np.ndarray, some_U: np.ndarray, group_U: np.ndarray) -> tuple[np.ndarray, int]:
    """(E, 2) pairs that share a bucket and no group yet, and how many were left out."""
    order_U = np.flatnonzero(some_U).astype(np.int32)
    order_U = order_U[np.argsort(hash_U[order_U], kind="stable")]
    sorted_U, place_U = hash_U[order_U], np.arange(len(order_U), dtype=np.int32)
    begins_U = np.concatenate([[True], sorted_U[1:] != sorted_U[:-1]])[: len(order_U)]
    first_U = np.maximum.accumulate(np.where(begins_U, place_U, np.int32(0)))
    step_pairs = [_neighbours(first_U, step) for step in range(1, REACH + 1)]
    far_U = np.flatnonzero(place_U - first_U > REACH)
    pairs_E2 = np.concatenate([*step_pairs, np.stack([first_U[far_U], far_U], 1)])
    pairs_E2 = order_U[pairs_E2]
    pairs_E2 = pairs_E2[group_U[pairs_E2[:, 0]] != group_U[pairs_E2[:, 1]]]
    return pairs_E2[:MAX_EDGES], max(0, len(pairs_E2) - MAX_EDGES)


def _neighbours(first_U: np.ndarray, step: int) -> np.ndarray:
    left = np.flatnonzero(first_U[:-step] == first_U[step:]) if len(first_U) > step else np.zeros(0, np.int64)
    return np.stack([left, left + step], 1)


def _blocks(pairs_E2: np.ndarray, length_U: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs in order of their first text, in runs of bounded size."""
    pairs_E2 = pairs_E2[np.lexsort((pairs_E2[:, 1], pairs_E2[:, 0]))]
    for block in shingles.blocks(length_U[pairs_E2].sum(1)):
        yield pairs_E2[block]


def _verify(pairs_E2: np.ndarray, words: Callable[[np.ndarray], list[str]]) -> np.ndarray:
    """(E,) true Jaccard similarities."""
    from scipy import sparse

    used, row_E2 = np.unique(pairs_E2, return_inverse=True)
    row_E2 = row_E2.reshape(-1, 2)
    found = shingles.pieces(words(used))
    piece, column_S = np.unique(found.hash_S, return_inverse=True)
    shape = (len(used), len(piece))
    sets = sparse.csr_matrix((np.ones(len(column_S), np.int32), column_S, found.start_N), shape=shape)
    sets.sum_duplicates()
    sets.data[:] = 1
    size_N = np.diff(sets.indptr)
    common_E = np.asarray(sets[row_E2[:, 0]].multiply(sets[row_E2[:, 1]]).sum(1)).ravel()
    return np.asarray(common_E / (size_N[row_E2].sum(1) - common_E))


def _components(edges_E2: np.ndarray, n: int) -> np.ndarray:
    from scipy import sparse
    from scipy.sparse import csgraph

    graph = sparse.coo_matrix((np.ones(len(edges_E2), bool), (edges_E2[:, 0], edges_E2[:, 1])), shape=(n, n))
    return np.asarray(csgraph.connected_components(graph, directed=False)[1])


def _distinct(value_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(U,) where each different value stands first, ascending, and (N,) int32 which of them each is."""
    order_N = np.argsort(value_N, kind="stable").astype(np.int32)
    sorted_N = value_N[order_N]
    new_N = np.concatenate([[True], sorted_N[1:] != sorted_N[:-1]])[: len(order_N)]
    first_G = order_N[new_N]  # of equal values the first: the order is stable
    rank_G = np.empty(len(first_G), np.int32)
    rank_G[np.argsort(first_G)] = np.arange(len(first_G), dtype=np.int32)
    group_N = np.empty(len(order_N), np.int32)
    group_N[order_N] = rank_G[np.cumsum(new_N, dtype=np.int32) - 1]
    return np.sort(first_G).astype(np.int64), group_N
