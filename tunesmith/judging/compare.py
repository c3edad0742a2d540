"""Is one model better than another on the same rows?

The difference gets a paired bootstrap interval. A claim needs more than an interval without zero: under "no difference"
the two models' outputs for a row could be swapped, so outputs are swapped at random and the difference must stand out
among those (approximate randomisation: Noreen 1989; exact for any score). McNemar's exact test stands beside it where a
row is right or wrong.

Axes: N rows.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from scipy import stats

from ..task import Truth
from .intervals import Candidate, Draws, Interval, Members, finite, resample

Verdict = Literal["better", "not distinguishable", "worse"]
SWAPS = 499
"""Random swaps behind a claim."""
SOONEST = 199
"""Swaps after which none as large as the difference is proof enough: p = 1 / (SOONEST + 1)."""


@final
@dataclass(frozen=True)
class Comparison:
    """Ours against theirs in one score."""

    score: str
    ours: float
    theirs: float
    difference: Interval
    """Ours minus theirs, in the score's own direction."""
    p: float
    """Chance of such a difference among random swaps; NaN where the interval already holds zero and no swap was needed.
    From the bootstrap where the two models are read with different thresholds, so that swapping their outputs would
    mean nothing."""
    verdict: Verdict
    mcnemar: McNemar | None = None

    def as_json(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "score": self.score, "ours": finite(self.ours), "theirs": finite(self.theirs), "verdict": self.verdict,
            "difference": self.difference.as_json(), "p": finite(self.p),
            "mcnemar": self.mcnemar.as_json() if self.mcnemar else None,
        }


@final
@dataclass(frozen=True)
class McNemar:
    """Rows that only one of the two models answers rightly, and how likely so lopsided a count is if both are equally
    good."""

    only_ours: int
    only_theirs: int
    p: float

    def as_json(self) -> dict[str, Any]:
        """JSON-able."""
        return {"only_ours": self.only_ours, "only_theirs": self.only_theirs, "p": self.p}


def compare(
    ours: Candidate, theirs: Candidate, truth: Truth, *, score: str, higher: bool = True,
    groups_N: np.ndarray | None = None, resamples: int = 1000, level: float = 0.95, seed: int = 0,
    seconds: float = 20.0,
) -> Comparison:
    """Compare two models' outputs for the same rows in one score; `higher` says whether more is better."""
    draws = resample(
        {"ours": ours, "theirs": theirs}, truth, groups_N=groups_N, resamples=resamples, level=level, seed=seed,
        seconds=seconds,
    )
    return judged(
        draws, ("ours", ours), ("theirs", theirs), truth, score=score, higher=higher, seed=seed, seconds=seconds
    )


def judged(
    draws: Draws, ours: tuple[str, Candidate], theirs: tuple[str, Candidate], truth: Truth, *, score: str, higher: bool,
    seed: int = 0, seconds: float = 20.0,
) -> Comparison:
    """The same from resamples that are already there: `ours` and `theirs` are (name in `draws`, candidate)."""
    difference = draws.difference(ours[0], theirs[0], score)
    values = draws.values[ours[0]][score], draws.values[theirs[0]][score]
    if not _excludes_zero(difference):
        return Comparison(score, *values, difference, math.nan, "not distinguishable")
    if _read_alike(ours[1], theirs[1], truth, score):
        p = swap_test(ours[1], theirs[1], truth, score=score, groups_N=draws.groups_N, seed=seed, seconds=seconds)
    else:
        p = _bootstrap_p(draws.draws_R[ours[0]][score] - draws.draws_R[theirs[0]][score])
    real = p <= 1 - draws.level
    verdict: Verdict = "not distinguishable" if not real else "better" if (difference.value > 0) == higher else "worse"
    return Comparison(score, *values, difference, p, verdict)


def swap_test(
    ours: Candidate, theirs: Candidate, truth: Truth, *, score: str, groups_N: np.ndarray | None = None,
    swaps: int = SWAPS, seed: int = 0, seconds: float = 20.0,
) -> float:
    """Two-sided p value of the difference in `score` when the two outputs of each row (or group of rows) may be
    swapped.

    Both tasks must read outputs alike. Stops as soon as the answer is sure (too many swaps as large, or none after `SOONEST`), or
    when time is up, with at least 99 swaps.
    """
    observed = abs(ours.score(truth)[score] - theirs.score(truth)[score])
    rng = np.random.default_rng([seed, len(truth), 3])
    members = Members.of(groups_N, len(truth))
    group_N = members.group_N
    started, as_large, done = time.perf_counter(), 0, 0
    for done in range(1, swaps + 1):
        one, other = _swapped(ours, theirs, rng.random(members.groups)[group_N] < 0.5)
        as_large += abs(one.score(truth)[score] - other.score(truth)[score]) >= observed - 1e-12
        sure = as_large > 0.05 * swaps or (done >= SOONEST and not as_large)
        if sure or (done >= 99 and time.perf_counter() - started > seconds):
            break
    return (as_large + 1) / (done + 1)


def mcnemar(right_ours_N: np.ndarray, right_theirs_N: np.ndarray) -> McNemar:
    """McNemar's exact test on rows that are right or wrong (booleans)."""
    only_ours = int((right_ours_N & ~right_theirs_N).sum())
    only_theirs = int((right_theirs_N & ~right_ours_N).sum())
    total = only_ours + only_theirs
    return McNemar(only_ours, only_theirs, float(stats.binomtest(only_ours, total).pvalue) if total else 1.0)


def flips(right_before_N: np.ndarray, right_after_N: np.ndarray) -> dict[str, np.ndarray]:
    """Positions of the rows that turned `mended` (wrong to right) and `broken` (right to wrong)."""
    return {
        "mended": np.flatnonzero(~right_before_N & right_after_N),
        "broken": np.flatnonzero(right_before_N & ~right_after_N),
    }


def rank(value: float, higher: bool) -> float:
    """A key that sorts the weakest first."""
    return -math.inf if not math.isfinite(value) else value if higher else -value


def _swapped(ours: Candidate, theirs: Candidate, swap_N: np.ndarray) -> tuple[Candidate, Candidate]:
    one, other = {}, {}
    for name in ours.outputs.keys() & theirs.outputs.keys():
        a, b = ours.outputs[name], theirs.outputs[name]
        where = swap_N.reshape(-1, *[1] * (a.ndim - 1))
        one[name], other[name] = np.where(where, b, a), np.where(where, a, b)
    return Candidate(ours.task, one), Candidate(theirs.task, other)


def _read_alike(ours: Candidate, theirs: Candidate, truth: Truth, score: str) -> bool:
    """Whether either task reads either outputs to the same score (a temperature, say, moves no accuracy)."""
    if ours.truth is not None or theirs.truth is not None:
        return False
    if ours.task is theirs.task:
        return True
    pairs = [(one.score(truth)[score], Candidate(other.task, one.outputs).score(truth)[score])
             for one, other in ((ours, theirs), (theirs, ours))]
    return all(math.isclose(a, b, rel_tol=1e-12) for a, b in pairs)


def _bootstrap_p(difference_R: np.ndarray) -> float:
    """Two-sided: twice the smaller share of resamples on one side of zero."""
    kept = difference_R[np.isfinite(difference_R)]
    return float(min(1.0, 2 * (min((kept <= 0).sum(), (kept >= 0).sum()) + 1) / (len(kept) + 1)))


def _excludes_zero(difference: Interval) -> bool:
    return difference.value != 0 and (difference.low > 0 or difference.high < 0)
