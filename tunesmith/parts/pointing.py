"""Pointing at a stretch of a text: the loss over start and end tokens, the best spans of all windows of a row, and when to say nothing.

A window's first token stands for "the answer is not here": a span's odds are its start and end logits less those of that token, so
that spans of different windows can be compared (each window's softmax runs over its own tokens).

Axes: N rows, B windows of a batch, T tokens (of a window, or of all windows of a row), K spans, 2 start and end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

if TYPE_CHECKING:
    import torch

CANDIDATES = 20
"""Spans of a row among which its confidence is shared out (SQuAD's n-best size)."""
ABSENT = -1
"""Character offset of the token that stands for no answer."""


@final
@dataclass(frozen=True)
class Spans:
    """The best spans of a row, best first."""

    start_K: np.ndarray
    """First character of each in the user's text."""
    end_K: np.ndarray
    """The character behind its last."""
    odds_K: np.ndarray
    """Log-odds against no answer."""


def loss(
    logits_BT2: torch.Tensor, reach_BT: torch.Tensor, start_BK: torch.Tensor, end_BK: torch.Tensor, weight_B: torch.Tensor
) -> torch.Tensor:
    """SUM over windows of -log of the probability of any of the right spans (arXiv 1710.10723). `reach_BT`: 1 where a token may be
    pointed at; spans are token positions, -1 where a window has fewer than K."""
    import torch

    masked_BT2 = logits_BT2.float().masked_fill(reach_BT[..., None] == 0, -torch.inf)
    log_BT2 = masked_BT2.log_softmax(1)
    start, end = (log_BT2[..., side].gather(1, at_BK.clamp(min=0)) for side, at_BK in enumerate((start_BK, end_BK)))
    log_BK = (start + end).masked_fill(start_BK < 0, -torch.inf)
    return -(log_BK.logsumexp(1) * weight_B).sum()


def targets(span_T2: np.ndarray, inside_T: np.ndarray, spans: Any, edges: tuple[bool, bool]) -> tuple[list[int], list[int]]:
    """First and last tokens of the answers that stand wholly in a window; of the window's first token where none does.

    `inside_T`: tokens of the text; `edges`: whether the text itself begins and ends in this window.
    """
    own_T = np.flatnonzero(inside_T)
    found: list[tuple[int, int]] = []
    if len(own_T):
        first_T, behind_T = span_T2[own_T, 0], span_T2[own_T, 1]
        for start, end in spans:
            if (start < first_T[0] and not edges[0]) or (end > behind_T[-1] and not edges[1]):
                continue
            one, last = int(np.searchsorted(behind_T, start, "right")), int(np.searchsorted(first_T, end, "left")) - 1
            if one <= last < len(own_T):
                found.append((int(own_T[one]), int(own_T[last])))
    pairs = list(dict.fromkeys(found)) or [(0, 0)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def best(
    places_T3: np.ndarray, logits_T2: np.ndarray, longest: int, words_X: np.ndarray | None = None, count: int = CANDIDATES
) -> Spans:
    """The best spans of at most `longest` characters (or one token) over all windows of a row.

    `places_T3`: window, first character, character behind the last; each window begins with the token that stands for no answer.
    `words_X`: how many letters and digits stand before each character of the text; spans without any are left out.
    """
    found: dict[tuple[int, int], float] = {}
    for window in np.unique(places_T3[:, 0]):
        here = places_T3[:, 0] == window
        for start, end, odds in _window(places_T3[here, 1:], logits_T2[here].astype(np.float64), longest, words_X, count):
            found[start, end] = max(odds, found.get((start, end), -np.inf))
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:count]
    return Spans(
        np.array([span[0] for span, _ in ranked], np.int64), np.array([span[1] for span, _ in ranked], np.int64),
        np.array([odds for _, odds in ranked], np.float64),
    )


def _window(
    place_T2: np.ndarray, logits_T2: np.ndarray, longest: int, words_X: np.ndarray | None, count: int
) -> list[tuple[int, int, float]]:
    odds_T2, start_T, end_T = logits_T2[1:] - logits_T2[0], place_T2[1:, 0].astype(np.int64), place_T2[1:, 1].astype(np.int64)
    size = len(start_T)
    if not size:
        return []
    reach_T = np.maximum(np.searchsorted(end_T, start_T + longest, "right"), np.arange(size) + 1)
    width = int((reach_T - np.arange(size)).max())
    padded = np.concatenate([odds_T2[:, 1], np.full(width - 1, -np.inf)])
    odds_TL = odds_T2[:, :1] + np.lib.stride_tricks.sliding_window_view(padded, width)
    last_TL = np.arange(size)[:, None] + np.arange(width)
    odds_TL = np.where(last_TL < reach_T[:, None], odds_TL, -np.inf)
    if words_X is not None:
        odds_TL[words_X[end_T[np.minimum(last_TL, size - 1)]] <= words_X[start_T][:, None]] = -np.inf
    flat = odds_TL.ravel()
    top = np.argpartition(-flat, min(count, len(flat)) - 1)[:count]
    return [
        (int(start_T[at // width]), int(end_T[at // width + at % width]), float(flat[at])) for at in top if flat[at] > -np.inf
    ]


def shares(spans: Spans, threshold: float | None) -> np.ndarray:
    """(K + 1,) how the belief is shared among the spans and, last, no answer (0 where `threshold` is None: there always is one)."""
    none = -np.inf if threshold is None else threshold
    logits = np.append(spans.odds_K, none)
    if not np.isfinite(logits).any():
        return np.append(np.zeros(len(spans.odds_K)), 1.0)
    raised = np.exp(logits - logits.max())
    return np.asarray(raised / raised.sum())


# -- calibration ------------------------------------------------------------------------------------------------------


def fit_threshold(odds_N: np.ndarray, value_N: np.ndarray, silent_N: np.ndarray) -> float:
    """The log-odds from which answering is better, on average over rows: `value_N` is what the best span scores, `silent_N` what no
    answer does. In the middle between two rows, and near 0 (what training aims at) where several are as good."""
    order = np.argsort(-odds_N, kind="stable")
    gain = np.concatenate([[0.0], np.cumsum((value_N - silent_N)[order])])
    ranked = odds_N[order]
    middles = np.concatenate([[ranked[0] + 1.0], (ranked[:-1] + ranked[1:]) / 2, [ranked[-1] - 1.0]]) if len(ranked) else np.zeros(1)
    good = np.flatnonzero(gain >= gain.max() - 1e-9)
    return float(middles[good[np.argmin(np.abs(middles[good]))]])


def fit_confidence(share_N: np.ndarray, right_N: np.ndarray) -> tuple[float, float]:
    """Slope and offset that turn the log-odds of the chosen answer's share into those of being right (Platt's scaling), with a prior
    that counts like a row or two."""
    from scipy.optimize import minimize

    odds_N = log_odds(share_N)

    def cost(at: np.ndarray) -> float:
        raised_N = np.exp(at[0]) * odds_N + at[1]
        return float(np.logaddexp(0, raised_N).sum() - (right_N * raised_N).sum() + (at**2).sum() / 2)

    found = minimize(cost, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-6, "maxiter": 400})
    return float(np.exp(np.clip(found.x[0], -5, 5))), float(found.x[1])


def confidence(share_N: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """Probability of being right for the share of belief."""
    return np.asarray(1 / (1 + np.exp(-(slope * log_odds(share_N) + offset))))


def log_odds(share_N: np.ndarray) -> np.ndarray:
    """log p / (1 - p), kept finite."""
    clipped_N = np.clip(np.asarray(share_N, np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped_N) - np.log1p(-clipped_N))
