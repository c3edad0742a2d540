"""Which side a row falls on: pure functions of arrays. `split.py` decides what is asked of them and says what was done.

**By hash.** Every group of rows has a number u in [0, 1): a hash of (seed, content of the group). The unit interval is
laid out as test, validation, calibration, train, with the shares of the spec as widths, and u says where the group
goes. So a row's part depends on its own content alone, and adding rows, or shuffling them, moves no old row. The price
is stated rather than hidden: shares, also those of every class, are met on average (a class of n rows puts n·s ±
sqrt(n·s·(1-s)) of them into a part of share s), since exact quotas would need ranks, and ranks move when rows are
added. Four rules bend this, all of them told:

1. A class without any training row brings one: its group with the largest u joins train (`rescue`). Rare classes only.
2. Validation holds at most 5,000 rows and calibration 1,000: above that the zone is halved, and halved again; the rows
   that leave it join train. Test rows are never touched, and nothing moves until the rows have doubled.
3. A group of more than a tenth of all rows (a quarter for the user's own groups) joins train: it would be the whole
   test.
4. Test and validation get at least five rows (a fifth of the rows below 25) where there are that many, by moving in the
   groups nearest to their zone. This can happen below about a hundred rows, or with few groups.

A group's content is the smallest content hash among its rows, so a group moves only when it merges with another.

**By time.** The latest rows are the test; validation and calibration share the latest of the rest by hash; equal times
stay together.

Axes: N rows, G groups, M memberships (row, class); a part is its index in PARTS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from . import shingles
from .finding import count

PARTS = ("train", "validation", "calibration", "test")
TRAIN, VALIDATION, CALIBRATION, TEST = range(4)
ZONES = ("test", "validation", "calibration")
MOST = {"validation": 5_000, "calibration": 1_000}
LEAST = 5
"""Rows that test and validation get, if the rows suffice."""


@dataclass(frozen=True)
class Cut:
    """Where each of N rows goes, and the rows that a rule other than their own hash sent there."""

    part_N: np.ndarray
    moved_N: np.ndarray
    notes: tuple[str, ...]


def unit(key_N: np.ndarray, seed: int, salt: int = 0) -> np.ndarray:
    """(N,) numbers in [0, 1), uniform, from content hashes and a seed. Unlike salts give unrelated numbers."""
    start = shingles.mix(np.array([seed, salt], np.uint64))
    mixed = shingles.mix(np.asarray(key_N, np.uint64) ^ shingles.mix(start[:1] ^ (start[1:] << np.uint64(1))))
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) / 2**53)


def by_hash(
    key_N: np.ndarray, group_N: np.ndarray, class_M2: np.ndarray, shares: Mapping[str, float], seed: int,
    big: float = 0.1
) -> Cut:
    """Parts by hash thresholds. `group_N` numbers 0..G-1 keep rows together; `class_M2` holds (row, class) pairs, maybe
    none.

    `shares`: share of each part besides train; a part that is absent gets no row.
    """
    size_G = np.bincount(group_N)
    key_G = np.full(len(size_G), np.iinfo(np.uint64).max)
    np.minimum.at(key_G, group_N, key_N)
    u_G = unit(key_G, seed)
    own_G = _zones(u_G, size_G, shares)
    part_G, notes = own_G.copy(), list[str]()
    class_M2 = np.unique(np.stack([group_N[class_M2[:, 0]], class_M2[:, 1]], 1), axis=0)
    part_G[size_G > max(big * len(key_N), 2 * LEAST)] = TRAIN
    if kept := int(size_G[part_G != own_G].sum()):
        notes.append(f"{kept:,} rows belong to groups too large for a test part and went to train")
    _rescue(part_G, u_G, class_M2, notes)
    for name in ("test", "validation"):
        if shares.get(name):
            _fill(part_G, PARTS.index(name), u_G, size_G, class_M2, notes)
    return Cut(part_G[group_N], (part_G != own_G)[group_N], tuple(notes))


def by_time(time_N: np.ndarray, key_N: np.ndarray, shares: Mapping[str, float], seed: int) -> Cut:
    """The latest rows to test, the latest of the rest to validation and calibration; equal times stay together.

    `time_N`: seconds, finite. At least one row is left to train, if there are two times.
    """
    part_N = np.zeros(len(time_N), np.int64)
    test_N = _latest(time_N, shares.get("test", 0.0) * len(time_N))
    part_N[test_N] = TEST
    rest = np.flatnonzero(~test_N)
    sizes = {name: min(shares.get(name, 0.0) * len(time_N), MOST[name]) for name in MOST}
    recent = rest[_latest(time_N[rest], sum(sizes.values()))]
    recent = recent[np.argsort(unit(key_N[recent], seed), kind="stable")]
    calibration = round(len(recent) * sizes["calibration"] / max(sum(sizes.values()), 1e-9))
    if sizes["validation"]:
        calibration = min(calibration, len(recent) - 1)
    part_N[recent] = VALIDATION
    part_N[recent[: max(calibration, 0)]] = CALIBRATION
    return Cut(part_N, np.zeros(len(time_N), bool), ())


def _latest(time_N: np.ndarray, wanted: float) -> np.ndarray:
    """The latest rows, as near to `wanted` as whole times allow: some, but not all, unless none are wanted."""
    times, counts = np.unique(time_N, return_counts=True)
    if wanted <= 0 or len(times) < 2:
        return np.zeros(len(time_N), bool)
    later = counts[::-1].cumsum()[::-1][1:]
    return np.asarray(time_N >= times[1:][np.argmin(np.abs(later - wanted))])


def _zones(u_G: np.ndarray, size_G: np.ndarray, shares: Mapping[str, float]) -> np.ndarray:
    part_G, low = np.zeros(len(u_G), np.int64), 0.0
    for name in ZONES:
        width = share = shares.get(name, 0.0)
        while size_G[(u_G >= low) & (u_G < low + width)].sum() > MOST.get(name, np.inf):
            width /= 2
        part_G[(u_G >= low) & (u_G < low + width)] = PARTS.index(name)
        low += share
    return part_G


def _rescue(part_G: np.ndarray, u_G: np.ndarray, class_M2: np.ndarray, notes: list[str]) -> None:
    group_M, class_M = class_M2.T
    if not len(class_M):
        return
    order_M = np.lexsort((u_G[group_M], class_M))
    last_M = order_M[np.concatenate([class_M[order_M][1:] != class_M[order_M][:-1], [True]])]
    here = np.zeros(class_M.max() + 1, bool)
    here[class_M[part_G[group_M] == TRAIN]] = True
    alone_M = last_M[~here[class_M[last_M]]]
    part_G[group_M[alone_M]] = TRAIN
    if len(alone_M):
        notes.append(f"{count(len(alone_M), 'rare class')} had no training row by hash: one was moved there")


def _fill(
    part_G: np.ndarray, part: int, u_G: np.ndarray, size_G: np.ndarray, class_M2: np.ndarray, notes: list[str]
) -> None:
    n = int(size_G.sum())
    least = min(LEAST, n // 5)
    train_G = np.flatnonzero(part_G == TRAIN)
    for group in train_G[np.lexsort((u_G[train_G], size_G[train_G] > n // 5))]:
        if size_G[part_G == part].sum() >= least:
            return
        if _spare(group, part_G, size_G, class_M2):
            part_G[group] = part
            note = f"few rows or groups: the nearest ones were moved into {PARTS[part]}"
            notes += [] if note in notes else [note]


def _spare(group: int, part_G: np.ndarray, size_G: np.ndarray, class_M2: np.ndarray) -> bool:
    """Whether train can lose the group: some rows are left, and no class loses its last one."""
    if size_G[part_G == TRAIN].sum() <= size_G[group] + 1:
        return False
    group_M, class_M = class_M2.T
    others = set(class_M[(part_G[group_M] == TRAIN) & (group_M != group)].tolist())
    return set(class_M[group_M == group].tolist()) <= others
