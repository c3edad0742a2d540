"""How far a probability can be believed: expected calibration error, and the temperature that mends it.

Axes: N rows, K bins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, final

import numpy as np

BINS = 15
"""Bins of equal width (Guo et al. 2017, arXiv 1706.04599)."""
Binned = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(K,) rows of each bin, and the sums over them of confidences and of what was right."""
NOTHING: Binned = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
"""Of no rows."""
HARM = 0.005
"""Most by which a temperature may worsen the calibration error on the very rows that it was fitted on."""
COLDEST, HOTTEST = 0.05, 20.0
"""A temperature beyond these says that the rows are too few or too easy, not that the model needs it."""


@final
@dataclass(frozen=True)
class Reliability:
    """Rows binned by confidence: how many, how sure, how often right."""

    count_K: np.ndarray
    confidence_K: np.ndarray
    accuracy_K: np.ndarray

    @classmethod
    def of(cls, binned: Binned) -> Self:
        """From sums; empty bins have confidence and accuracy 0."""
        count_K, sure_K, right_K = binned
        safe_K = np.maximum(count_K, 1)
        return cls(count_K, sure_K / safe_K, right_K / safe_K)

    @property
    def ece(self) -> float:
        """Mean gap between confidence and accuracy, weighted by rows (0 to 1)."""
        total = self.count_K.sum()
        return float((self.count_K * np.abs(self.confidence_K - self.accuracy_K)).sum() / total) if total else 0.0


def reliability(confidence_N: np.ndarray, right_N: np.ndarray, bins: int = BINS) -> Reliability:
    """The reliability diagram. Bins are (0, 1/K], (1/K, 2/K]...; empty ones have confidence and accuracy 0."""
    return Reliability.of(binned(confidence_N, right_N, bins))


def binned(confidence_N: np.ndarray, right_N: np.ndarray, bins: int = BINS, before: Binned = NOTHING) -> Binned:
    """Rows by bin; `before`: those that stand before these, to whose sums they are added one after the other, as if all had been given
    together."""
    bin_N = np.clip(np.ceil(confidence_N * bins).astype(np.int64) - 1, 0, bins - 1)
    right_N = right_N.astype(np.float64)
    if not len(before[0]):
        return np.bincount(bin_N, minlength=bins), np.bincount(bin_N, confidence_N, bins), np.bincount(bin_N, right_N, bins)
    count_K = before[0] + np.bincount(bin_N, minlength=bins)
    bin_N = np.append(np.arange(bins), bin_N)
    sure_K, right_K = (np.bincount(bin_N, np.append(*sums), bins) for sums in zip(before[1:], (confidence_N, right_N), strict=True))
    return count_K, sure_K, right_K


def fit_temperature(loss: Callable[[float], float], error: Callable[[float], float]) -> float:
    """The temperature with the smallest summed loss; 1 where it would worsen the calibration error.

    loss: temperature -> negative log-likelihood, SUMMED over the calibration rows. error: temperature -> calibration error.
    """
    from scipy.optimize import minimize_scalar

    # A weak prior (log T ~ N(0, 1)) counts like a row or two: it holds T where the rows say nothing.
    found = minimize_scalar(
        lambda log_t: loss(float(np.exp(log_t))) + log_t**2 / 2, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded",
        options={"xatol": 1e-5},
    )
    temperature = float(np.exp(found.x))
    return temperature if error(temperature) <= error(1.0) + HARM else 1.0
