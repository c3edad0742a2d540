"""An interval on every score.

Any score: rows are drawn again with replacement (rows of one duplicate group together), `task.score` is called on each
draw, and the bias-corrected accelerated interval is read off (BCa: Efron 1987; in our simulations of macro-F1 it keeps
95 % where the plain percentile interval falls to 88 %). A score that is a share of rows (accuracy) gets Wilson's
interval instead, which holds for 20 rows and for shares near 1, where every bootstrap fails. Whether a score is such a
share is found out by asking it, not by its name.

Axes: N rows, G groups of rows, R resamples, J left-out blocks of the jackknife.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from scipy import stats

from ..data import arrays
from ..data.caches import scratch
from ..memory import let_go
from ..task import Outputs, Task, Truth

BLOCKS = 60
"""Blocks of the jackknife behind the acceleration of BCa."""
ROUNDS = (100, 200, 500, 1000, 2000, 5000)
"""Numbers of resamples that a time limit may fall back to: few steps, so that a slightly slower machine gives the same
numbers."""
ROUNDING = 1e-12
"""Differences up to which scores are the same: some sums round their last digit otherwise in other orders."""
CORRELATIONS = ("mcc", "pearson", "spearman")
"""Scores from -1 to 1, 0 by chance: a wrong row costs twice what it costs a share."""


@final
@dataclass(frozen=True)
class Interval:
    """A score and the range it may truly lie in. NaN ends: it cannot be told."""

    value: float
    low: float
    high: float
    method: str
    """`wilson`, `bootstrap`, or `fixed` where no draw of the rows changes the score."""

    def as_json(self) -> dict[str, Any]:
        """Numbers that are not finite become null."""
        return {"value": finite(self.value), "low": finite(self.low), "high": finite(self.high), "method": self.method}


@final
@dataclass(frozen=True)
class Candidate:
    """Outputs to be judged, and the task (with its own temperature and thresholds) that reads them."""

    task: Task
    outputs: Outputs
    truth: Truth | None = None
    """The rows' truth in this task's own encoding, where tasks number their labels differently; None: as all others
    have it."""

    @classmethod
    def of(cls, task: Task, outputs: Outputs, truth: Truth, own: Truth | None = None) -> Candidate:
        """The candidate with its outputs condensed for these very rows."""
        return cls(task, task.condense(outputs, truth), own)

    def take(self, index_N: np.ndarray) -> Candidate:
        """The same for these rows."""
        return Candidate(self.task, take(self.outputs, index_N), None if self.truth is None else arrays.picked(self.truth, index_N))

    def score(self, truth: Truth) -> dict[str, float]:
        """All scores. Warnings about classes that a resample happens to lack are not the reader's concern."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self.task.score(self.outputs, truth if self.truth is None else self.truth)
        return {name: float(value) for name, value in found.items()}


@final
@dataclass(frozen=True)
class Draws:
    """Scores of several candidates on the same resamples, from which intervals and paired differences are read."""

    rows: int
    values: Mapping[str, Mapping[str, float]]
    """Candidate -> score -> value on all rows."""
    draws_R: Mapping[str, Mapping[str, np.ndarray]]
    left_out_J: Mapping[str, Mapping[str, np.ndarray]]
    shares: frozenset[str]
    """Scores that are shares of rows."""
    groups_N: np.ndarray | None
    resamples: int
    asked: int
    level: float = 0.95
    counted: Mapping[str, int] = field(default_factory=dict)
    """Scores that rest on fewer rows: `Task.rests_on`."""

    @property
    def capped(self) -> bool:
        """Whether time allowed fewer resamples than asked."""
        return self.resamples < self.asked

    def interval(self, candidate: str, score: str) -> Interval:
        """The interval of one score of one candidate."""
        value = self.values[candidate][score]
        if not math.isfinite(value):
            return Interval(value, math.nan, math.nan, "bootstrap")
        if score in self.shares:
            low, high = wilson(value * self.rows, self.rows, self.level, self._design(candidate, score))
            return Interval(value, low, high, "wilson")
        draws_R = self.draws_R[candidate][score]
        if _still(draws_R, value):
            return self._unmoved(score, value)
        low, high = bca(value, draws_R, self.left_out_J[candidate][score], self.level, self.rows)
        return self._unmoved(score, value) if high - low <= ROUNDING else Interval(value, low, high, "bootstrap")

    def difference(self, ours: str, theirs: str, score: str) -> Interval:
        """The interval of ours minus theirs on the same rows (paired)."""
        value = self.values[ours][score] - self.values[theirs][score]
        draws_R = self.draws_R[ours][score] - self.draws_R[theirs][score]
        left_out_J = self.left_out_J[ours][score] - self.left_out_J[theirs][score]
        if not math.isfinite(value):
            return Interval(value, math.nan, math.nan, "bootstrap")
        if _still(draws_R, value):
            value = value if abs(value) > ROUNDING else 0.0
            return Interval(value, value, value, "fixed")
        return Interval(value, *bca(value, draws_R, left_out_J, self.level, self.rows), "bootstrap")

    def spread(self, ours: str, theirs: str, score: str) -> float:
        """Standard error of the paired difference."""
        with np.errstate(invalid="ignore"):
            return float(np.nanstd(self.draws_R[ours][score] - self.draws_R[theirs][score], ddof=1))

    def _unmoved(self, score: str, value: float) -> Interval:
        """A perfect score on few rows says no more than that the rows were right: Wilson's end for them, of a correlation as far down
        as so many wrong rows take it. Else fixed by nature."""
        rows = self.counted.get(score, self.rows)
        if abs(value - 1.0) > ROUNDING:
            return Interval(value, value, value, "fixed")
        low, high = wilson(rows, rows, self.level)
        related = score.replace(":", " ").split()[-1] in CORRELATIONS
        return Interval(value, max(-1.0, 2 * low - 1) if related else low, high, "wilson")

    def _design(self, candidate: str, score: str) -> float:
        """How much wider the share varies than with independent rows, from the resamples of whole groups; at least
        1."""
        value, draws_R = self.values[candidate][score], self.draws_R[candidate][score]
        if self.groups_N is None or not 0 < value < 1:
            return 1.0
        return max(1.0, float(np.var(draws_R, ddof=1)) / (value * (1 - value) / self.rows))


def resample(
    candidates: Mapping[str, Candidate], truth: Truth, *, groups_N: np.ndarray | None = None, resamples: int = 1000,
    level: float = 0.95, seed: int = 0, seconds: float = 20.0,
) -> Draws:
    """Score all candidates on the same resamples of the N rows.

    `groups_N`: rows with equal values are drawn together (duplicates are not independent evidence). `seconds`: where
    the scores are slow, fewer resamples are taken, one of `ROUNDS` and at least 100; `Draws.capped` says so. The same
    seed gives the same draws.
    """
    rows = len(truth)
    groups_N = None if groups_N is None or len(np.unique(groups_N)) == rows else np.asarray(groups_N)
    first = next(iter(candidates.values()), None)
    whole = shares(first, truth, seed) if first else frozenset()  # also warms the scores up, before they are timed
    started = time.perf_counter()
    values = {name: candidate.score(truth) for name, candidate in candidates.items()}
    count = _affordable(resamples, time.perf_counter() - started, seconds)
    rng = np.random.default_rng([seed, rows])
    members = Members.of(groups_N, rows)
    draws = [_scores(candidates, truth, members.draw(rng)) for _ in range(count)]
    blocks = members.leave_out(np.random.default_rng([seed, rows, 1]))
    left_out = [_scores(candidates, truth, index_N) for index_N in blocks]
    return Draws(
        rows, values, _columns(draws, values), _columns(left_out, values), whole, groups_N, count, resamples, level,
        first.task.rests_on(first.outputs) if first else {},
    )


@final
@dataclass(frozen=True)
class Members:
    """The rows of each group, laid out so that drawing groups is one ragged gather. Where every row is a group of its own, nothing is."""

    groups: int
    order_N: np.ndarray | None = None
    start_G: np.ndarray | None = None
    size_G: np.ndarray | None = None

    @classmethod
    def of(cls, groups_N: np.ndarray | None, rows: int) -> Members:
        """Without groups every row is a group of its own."""
        if groups_N is None:
            return cls(rows)
        order_N = np.argsort(groups_N, kind="stable")
        _, start_G, size_G = np.unique(groups_N[order_N], return_index=True, return_counts=True)
        return cls(len(size_G), order_N, start_G, size_G)

    @property
    def group_N(self) -> np.ndarray:
        """(N,) the group of each row, from 0."""
        number_G = np.arange(self.groups)
        if self.order_N is None or self.size_G is None:
            return number_G
        found_N = np.empty(len(self.order_N), np.int64)
        found_N[self.order_N] = np.repeat(number_G, self.size_G)
        return found_N

    def rows_of(self, chosen: np.ndarray) -> np.ndarray:
        """Row positions of the chosen groups, repeats included."""
        if self.order_N is None or self.start_G is None or self.size_G is None:
            return chosen
        size = self.size_G[chosen]
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        found: np.ndarray = self.order_N[np.repeat(self.start_G[chosen], size) + within]
        return found

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Row positions of as many groups as there are, drawn with replacement."""
        chosen_G = scratch((self.groups,), np.int64)
        for at in arrays.pieces(self.groups, chosen_G.itemsize):
            chosen_G[at] = rng.integers(self.groups, size=at.stop - at.start)
            let_go(chosen_G)
        return self.rows_of(chosen_G)

    def leave_out(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Row positions with one random block of groups left out, block after block (J at most `BLOCKS`), each made when it is asked for:
        together they are as many times the rows."""
        shuffled = arrays.laid(rng.permutation(self.groups))
        blocks = np.array_split(shuffled, min(BLOCKS, len(shuffled)))
        for block in blocks if len(blocks) > 1 else []:
            kept_G = np.ones(len(shuffled), bool)
            kept_G[block] = False
            let_go(shuffled)
            yield self.rows_of(arrays.positions(kept_G))


def wilson(right: float, rows: float, level: float = 0.95, design: float = 1.0) -> tuple[float, float]:
    """Wilson's score interval of `right` out of `rows`. `design` above 1: rows come in groups, so there are fewer in
    effect."""
    if rows <= 0:
        return math.nan, math.nan
    share, effective = right / rows, rows / design
    z = float(stats.norm.ppf((1 + level) / 2))
    middle = (share + z * z / (2 * effective)) / (1 + z * z / effective)
    half = z / (1 + z * z / effective) * math.sqrt(share * (1 - share) / effective + z * z / (4 * effective**2))
    return (0.0 if right <= 0 else max(0.0, middle - half)), (1.0 if right >= rows else min(1.0, middle + half))


def bca(value: float, draws_R: np.ndarray, left_out_J: np.ndarray, level: float, rows: int) -> tuple[float, float]:
    """Bias-corrected accelerated interval (Efron 1987), widened for few rows by the t quantile (Hesterberg, arXiv
    1411.5279)."""
    draws_R = draws_R[np.isfinite(draws_R)]
    if len(draws_R) < 50:
        return math.nan, math.nan
    below = np.mean(draws_R < value) + 0.5 * np.mean(draws_R == value)
    bias = float(stats.norm.ppf(np.clip(below, 1 / len(draws_R), 1 - 1 / len(draws_R))))
    wide = math.sqrt(rows / max(rows - 1, 1)) * float(stats.t.ppf((1 + level) / 2, max(rows - 1, 1)))
    ends = np.array([bias - wide, bias + wide])
    slope = 1 - acceleration(left_out_J) * ends
    at = stats.norm.cdf(bias + ends / slope) if (slope > 0.1).all() else stats.norm.cdf([-wide, wide])
    low, high = np.quantile(draws_R, at)
    return float(low), float(high)


def acceleration(left_out_J: np.ndarray) -> float:
    """How fast the spread of a score changes with the score, from its values with blocks left out; 0 where it cannot be
    told."""
    kept = left_out_J[np.isfinite(left_out_J)]
    pull = kept.mean() - kept if len(kept) > 2 else np.zeros(1)
    total = float((pull**2).sum())
    return float((pull**3).sum()) / (6 * total**1.5) if total > 1e-24 else 0.0


def shares(candidate: Candidate, truth: Truth, seed: int = 0, tries: int = 8) -> frozenset[str]:
    """Which scores are shares of rows: over random halves, score x rows is a whole number, and the halves add up to the
    whole.

    The truth is shuffled first, so that a perfect or a constant model does not make every score look like a share.
    """
    rows = len(truth)
    if rows < 4:
        return frozenset()
    rng = np.random.default_rng([seed, rows, 2])
    mixed = arrays.picked(truth, arrays.laid(rng.permutation(rows)))
    whole = candidate.score(mixed)
    names = {name for name, value in whole.items() if 0 < value < 1}
    for _ in range(tries):
        cut = arrays.laid(rng.permutation(rows)), int(rng.integers(rows // 4, rows - rows // 4))
        halves = [cut[0][: cut[1]], cut[0][cut[1] :]]
        scored = [(len(half), candidate.take(half).score(arrays.picked(mixed, half))) for half in halves if len(half)]
        total = {name: whole[name] * rows for name in names}
        names = {name for name in names if _adds_up([(n, s.get(name, math.nan)) for n, s in scored], total[name])}
    return frozenset(names)


def _adds_up(parts: Sequence[tuple[int, float]], total: float) -> bool:
    counts = [rows * value for rows, value in parts]
    if not all(map(math.isfinite, counts)):
        return False
    return all(abs(count - round(count)) < 1e-6 for count in counts) and abs(sum(counts) - total) < 1e-6


def _still(draws_R: np.ndarray, value: float) -> bool:
    return bool((np.abs(draws_R[np.isfinite(draws_R)] - value) <= ROUNDING * max(1.0, abs(value))).all())


def take(outputs: Outputs, index_N: np.ndarray) -> Outputs:
    """The outputs of these rows."""
    return {name: arrays.picked(array, index_N) for name, array in outputs.items()}


def finite(value: float) -> float | None:
    """The number, or None (null in JSON) where it is not finite."""
    return float(value) if math.isfinite(value) else None


def _affordable(asked: int, seconds_each: float, seconds: float) -> int:
    if seconds_each * asked <= seconds:
        return asked
    return max([n for n in ROUNDS if n * seconds_each <= seconds and n < asked], default=min(asked, ROUNDS[0]))


def _scores(candidates: Mapping[str, Candidate], truth: Truth, index_N: np.ndarray) -> dict[str, dict[str, float]]:
    there = arrays.picked(truth, index_N)
    return {name: candidate.take(index_N).score(there) for name, candidate in candidates.items()}


def _columns(
    rounds: Sequence[Mapping[str, Mapping[str, float]]], values: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, np.ndarray]]:
    return {
        name: {score: np.array([one[name].get(score, math.nan) for one in rounds]) for score in scores}
        for name, scores in values.items()
    }
