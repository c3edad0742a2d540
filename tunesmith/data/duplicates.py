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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from . import likeness, shingles

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
    words, key_N = list[str](), np.empty(len(texts), np.uint64)
    for i, text in enumerate(texts):
        folded = shingles.words(text)
        key_N[i] = shingles.key(folded or shingles.fold(text))
        words.append(folded[:LONGEST])
    _, first_U, exact_N = np.unique(key_N, return_index=True, return_inverse=True)
    exact, equal_N = len(texts) - len(first_U), _renumber(exact_N)
    if not threshold or len(first_U) < 2:
        return Duplicates(equal_N, exact, 0, (), equal_N, key_N)
    words = [words[i] for i in first_U]
    limit, note = _limit(words)
    if small is None:
        group_U, edges, skipped = _similar([w[:limit] for w in words], threshold)
    else:
        group_U, edges, skipped = _alike([small[i] for i in first_U] if small else [], len(words))
    examples = tuple((int(first_U[a]), int(first_U[b]), s) for a, b, s in edges)
    group_N = _renumber(group_U[exact_N])
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


def _limit(words: Sequence[str]) -> tuple[int, str]:
    """Characters of each text that are compared, and what to say where that is not all."""
    limit = min(LONGEST, max(SHARE, CHARACTERS // len(words))) if len(words) > LARGE else LONGEST
    cut = sum(len(text) >= limit for text in words)
    return limit, f"{cut:,} long texts were compared by their first {limit:,} characters." if cut else ""


def _similar(words: Sequence[str], threshold: float) -> tuple[np.ndarray, list[tuple[int, int, float]], str]:
    """Groups of U distinct texts, a few of the pairs behind them, and what was skipped."""
    count, rows = bands(threshold)
    length_U = np.fromiter(map(len, words), np.int64, len(words))
    band_UB = _signatures(words, length_U, count, rows)
    group_U, examples, skipped = np.arange(len(words)), list[tuple[int, int, float]](), 0
    edges = [np.zeros((0, 2), np.int64)]
    for hash_U in band_UB.T:
        pairs_E2, left = _candidates(hash_U, length_U > 0, group_U)
        skipped += left
        for block_E2 in _blocks(pairs_E2, length_U):
            score_E = _verify(block_E2, words)
            good_E = score_E >= threshold - 1e-12
            edges.append(block_E2[good_E])
            pairs = zip(block_E2[good_E][:EXAMPLES].tolist(), score_E[good_E].tolist())
            examples += [(a, b, round(score, 3)) for (a, b), score in pairs]
        group_U = _components(np.concatenate(edges), len(words))
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


def _signatures(words: Sequence[str], length_U: np.ndarray, count: int, rows: int) -> np.ndarray:
    """(U, B) hashes of the bands of every signature; 0 for a text without pieces."""
    band_UB = np.zeros((len(words), count), np.uint64)
    factor_H = shingles.mix(np.arange(count * rows, dtype=np.uint64)) | np.uint64(1)
    for block in shingles.blocks(length_U):
        found = shingles.pieces(words[block])
        full_N = np.flatnonzero(length_U[block])
        for band in range(count if len(full_N) else 0):
            hash_N = np.zeros(len(full_N), np.uint64)
            for factor in factor_H[band * rows : (band + 1) * rows]:
                hash_N = shingles.mix(hash_N ^ np.minimum.reduceat(found.hash_S * factor, found.start_N[full_N]))
            band_UB[block.start + full_N, band] = hash_N
    return band_UB


def _candidates(hash_U: np.ndarray, some_U: np.ndarray, group_U: np.ndarray) -> tuple[np.ndarray, int]:
    """(E, 2) pairs that share a bucket and no group yet, and how many were left out."""
    order_U = np.flatnonzero(some_U)
    order_U = order_U[np.argsort(hash_U[order_U], kind="stable")]
    sorted_U = hash_U[order_U]
    begins_U = np.concatenate([[True], sorted_U[1:] != sorted_U[:-1]])[: len(order_U)]
    first_U = np.maximum.accumulate(np.where(begins_U, np.arange(len(order_U)), 0))
    step_pairs = [_neighbours(first_U, step) for step in range(1, REACH + 1)]
    far_U = np.flatnonzero(np.arange(len(order_U)) - first_U > REACH)
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


def _verify(pairs_E2: np.ndarray, words: Sequence[str]) -> np.ndarray:
    """(E,) true Jaccard similarities."""
    from scipy import sparse

    used, row_E2 = np.unique(pairs_E2, return_inverse=True)
    row_E2 = row_E2.reshape(-1, 2)
    found = shingles.pieces([words[i] for i in used])
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


def _renumber(group_N: np.ndarray) -> np.ndarray:
    """The same groups, numbered by first appearance."""
    _, first, inverse = np.unique(group_N, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
