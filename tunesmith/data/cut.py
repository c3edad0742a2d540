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

**By quota.** Within each stratum (a label, or a range of a number) groups are ranked by the same u: the first fill its
share of the test, the next that of validation, and so on. Shares are met within one row in every stratum, as far as
groups can be fitted in, and a stratum of five rows has one in test and validation. The price: new rows may move rows at
the edge of a part. Rules 2 to 4 hold here too.

**By time.** The latest rows are the test; validation and calibration share the latest of the rest by hash; equal times
stay together.

Axes: N rows, G groups, M memberships (row, class), S strata, P pairs (group, stratum); a part is its index in PARTS.
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
"""Rows that test and validation get, if the rows suffice. Rows of a stratum from which each of them has one."""
BINS, IN_BIN = 10, 20
"""Ranges of a number within which rows are parted evenly, and rows that each has at least."""


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
    size_G, u_G = np.bincount(group_N), _units(key_N, group_N, seed)
    own_G = _zones(u_G, size_G, shares)
    part_G, notes = own_G.copy(), list[str]()
    class_M2 = _once(group_N[class_M2[:, 0]], class_M2[:, 1])
    part_G[size_G > max(big * len(key_N), 2 * LEAST)] = TRAIN
    if kept := int(size_G[part_G != own_G].sum()):
        notes.append(_too_large(kept))
    _rescue(part_G, u_G, class_M2, notes)
    for name in ("test", "validation"):
        if shares.get(name):
            _fill(part_G, PARTS.index(name), u_G, size_G, class_M2, notes)
    return Cut(part_G[group_N], (part_G != own_G)[group_N], tuple(notes))


def by_quota(
    key_N: np.ndarray, group_N: np.ndarray, stratum_N: np.ndarray, shares: Mapping[str, float], seed: int, big: float = 0.1
) -> Cut:
    """Parts by rank within strata, numbered from 0; the other arguments as in `by_hash`."""
    size_G, u_G, n = np.bincount(group_N), _units(key_N, group_N, seed), len(key_N)
    kinds = int(stratum_N.max(initial=0)) + 1
    pair_P, count_P = np.unique(group_N.astype(np.int64) * kinds + stratum_N, return_counts=True)
    class_P2 = np.stack([pair_P // kinds, pair_P % kinds], 1)
    first_S = np.ones(kinds)
    np.minimum.at(first_S, stratum_N, u_G[group_N])
    large_G = size_G > max(big * n, 2 * LEAST)
    notes = [_too_large(int(size_G[large_G].sum()))] if large_G.any() else []
    part_G = _filled(np.where(large_G, np.inf, u_G), class_P2, count_P, _quotas(np.bincount(stratum_N), first_S, shares))
    own_G = part_G.copy()
    for name in ("test", "validation"):
        if shares.get(name):
            _fill(part_G, PARTS.index(name), u_G, size_G, class_P2, notes)
    return Cut(part_G[group_N], (part_G != own_G)[group_N], tuple(notes))


def _quotas(size_S: np.ndarray, first_S: np.ndarray, shares: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Rows of each stratum in each part: its share rounded down or up, so that the whole part has its share, too; train keeps one."""
    free_S, quotas = np.maximum(size_S - 1, 0), dict[str, np.ndarray]()
    for name in ZONES:
        wanted_S = size_S * min(shares.get(name, 0.0), MOST.get(name, np.inf) / max(1, size_S.sum()))
        least_S = (size_S >= LEAST) & (wanted_S > 0) & (name != "calibration")
        quota_S = np.minimum(np.maximum(np.floor(wanted_S).astype(np.int64), least_S), free_S)
        order_S = np.lexsort((first_S, quota_S - wanted_S))
        order_S = order_S[((quota_S < wanted_S) & (quota_S < free_S))[order_S]]
        quota_S[order_S[: max(0, round(wanted_S.sum()) - int(quota_S.sum()))]] += 1
        free_S = free_S - quota_S
        quotas[name] = quota_S
    return quotas


def _filled(u_G: np.ndarray, class_P2: np.ndarray, count_P: np.ndarray, quotas: Mapping[str, np.ndarray]) -> np.ndarray:
    """Each group, in the order of u, in the first part whose quotas hold all its rows; without u (infinite) in train."""
    left = [(PARTS.index(name), quota_S.tolist()) for name, quota_S in quotas.items()]
    part_G, start_G = np.full(len(u_G), TRAIN, np.int8), np.searchsorted(class_P2[:, 0], np.arange(len(u_G) + 1)).tolist()
    strata, counts = class_P2[:, 1].tolist(), count_P.tolist()
    for group in np.argsort(u_G, kind="stable")[: np.isfinite(u_G).sum()].tolist():
        held = [(strata[p], counts[p]) for p in range(start_G[group], start_G[group + 1])]
        for part, free in left:
            if all(free[stratum] >= rows for stratum, rows in held):
                part_G[group] = part
                for stratum, rows in held:
                    free[stratum] -= rows
                break
    return part_G


def strata(class_M2: np.ndarray, number_N: np.ndarray | None, n: int) -> np.ndarray | None:
    """(N,) the label of each of n rows, or which of at most BINS ranges with equally many rows its number is in; None where rows have
    several labels, or none."""
    if number_N is not None:
        known_N = number_N[~np.isnan(number_N)]
        inner = np.linspace(0, 1, max(1, min(BINS, len(known_N) // IN_BIN)) + 1)[1:-1]
        return np.searchsorted(np.quantile(known_N, inner) if len(inner) else inner, number_N, side="right")
    if not len(class_M2) or np.bincount(class_M2[:, 0]).max() > 1:
        return None
    stratum_N = np.full(n, class_M2[:, 1].max() + 1)
    stratum_N[class_M2[:, 0]] = class_M2[:, 1]
    return stratum_N


def by_time(time_N: np.ndarray, key_N: np.ndarray, shares: Mapping[str, float], seed: int) -> Cut:
    """The latest rows to test, the latest of the rest to validation and calibration; equal times stay together.

    `time_N`: seconds, finite. At least one row is left to train, if there are two times.
    """
    part_N = np.zeros(len(time_N), np.int8)
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


def _units(key_N: np.ndarray, group_N: np.ndarray, seed: int) -> np.ndarray:
    key_G = np.full(int(group_N.max(initial=-1)) + 1, np.iinfo(np.uint64).max)
    np.minimum.at(key_G, group_N, key_N)
    return unit(key_G, seed)


def _once(group_M: np.ndarray, class_M: np.ndarray) -> np.ndarray:
    """Pairs (group, class), each one once, in order."""
    classes = int(class_M.max(initial=0)) + 1
    pair_M = np.unique(group_M.astype(np.int64) * classes + class_M)
    return np.stack([pair_M // classes, pair_M % classes], 1).astype(np.int32)


def _too_large(rows: int) -> str:
    return f"{rows:,} rows belong to groups too large for a test part and went to train"


def _latest(time_N: np.ndarray, wanted: float) -> np.ndarray:
    """The latest rows, as near to `wanted` as whole times allow: some, but not all, unless none are wanted."""
    times, counts = np.unique(time_N, return_counts=True)
    if wanted <= 0 or len(times) < 2:
        return np.zeros(len(time_N), bool)
    later = counts[::-1].cumsum()[::-1][1:]
    return np.asarray(time_N >= times[1:][np.argmin(np.abs(later - wanted))])


def _zones(u_G: np.ndarray, size_G: np.ndarray, shares: Mapping[str, float]) -> np.ndarray:
    part_G, low = np.zeros(len(u_G), np.int8), 0.0
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
    if size_G[part_G == part].sum() >= least:
        return
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
