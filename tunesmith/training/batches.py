"""Which rows make which step: a pure function of (seed, epoch), for any number of workers and processes.

Rows are shuffled, then sorted by length within windows of WINDOW batches, cut into nominal batches, and the batches are shuffled:
nearly no padding is computed, and which rows meet still changes from epoch to epoch.
"""

from __future__ import annotations

import numpy as np

from ..inference import cut_by_tokens, order_by_length

WINDOW = 50
"""Batches whose rows are sorted together: above this, padding hardly falls and randomness does."""


def seeded(*parts: int) -> np.random.Generator:
    """A generator that is a function of these numbers alone (NumPy's SeedSequence keeps streams apart)."""
    return np.random.default_rng(np.random.SeedSequence(parts))


def epoch_rows(class_N: np.ndarray | None, rows: int, balance: str, seed: int, epoch: int) -> np.ndarray:
    """Positions that one epoch visits: all of them, or repeated/thinned so that each class counts alike."""
    if balance not in ("oversample", "undersample") or class_N is None:
        return np.arange(rows)
    counts = np.bincount(class_N[class_N >= 0])
    goal = counts.max() if balance == "oversample" else counts[counts > 0].min()
    rng = seeded(seed, epoch, 1)
    return np.concatenate([_resize(np.flatnonzero(class_N == c), goal, rng) for c in np.flatnonzero(counts)])


def drawn_rows(group_N: np.ndarray, goal_G: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Positions that one epoch visits: `goal_G` of each group, repeated or thinned."""
    rng = seeded(seed, epoch, 1)
    return np.concatenate([_resize(np.flatnonzero(group_N == group), int(goal), rng) for group, goal in enumerate(goal_G)])


def nominal_batches(
    positions: np.ndarray, lengths_N: np.ndarray, batch: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """The epoch's optimiser steps, in order: arrays of positions, `batch` rows each, the last one maybe fewer."""
    rng = seeded(seed, epoch, 0)
    shuffled = rng.permutation(positions)
    batches: list[np.ndarray] = []
    for start in range(0, len(shuffled), batch * WINDOW):
        window = order_by_length(lengths_N, shuffled[start : start + batch * WINDOW])
        batches += [window[i : i + batch] for i in range(0, len(window), batch)]
    order = rng.permutation(len(batches))
    return [batches[i] for i in order]


def steps_per_epoch(rows: int, batch: int) -> int:
    """Optimiser steps of one epoch."""
    return -(-rows // batch)


def micro_batches(positions: np.ndarray, lengths_N: np.ndarray, micro_tokens: int) -> list[np.ndarray]:
    """A nominal batch in parts that fit the token budget; as few as that takes, and of like size: what a pass costs whatever its size is
    wasted on a small rest."""
    ordered = order_by_length(lengths_N, positions)
    parts = list(cut_by_tokens(ordered, lengths_N, micro_tokens))
    share = -(-len(ordered) // max(1, len(parts))) * int(lengths_N[positions].max(initial=1))
    even = list(cut_by_tokens(ordered, lengths_N, min(share, micro_tokens)))
    return even if len(even) == len(parts) else parts


def _resize(rows: np.ndarray, goal: int, rng: np.random.Generator) -> np.ndarray:
    whole, rest = divmod(goal, len(rows))
    return np.concatenate([np.tile(rows, whole), rng.permutation(rows)[:rest]])
