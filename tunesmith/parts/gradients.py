"""Colours and edges of images with a linear model on top: what a tuned network must beat.

Histograms of oriented gradients (Dalal and Triggs 2005) on a small copy of the image, beside histograms of its colours.

Axes: N rows of a set, B images of a block, H height, W width, K orientations, F features, C classes or targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..data import images
from ..task import Outputs, Solution
from . import classes, linear

SIDE = 64
"""Pixels a side of the copy that is looked at."""
CELL = 8
"""Pixels a side of a cell, for which one histogram is made."""
TURNS = 9
"""Orientations, from 0 to 180 degrees."""
MOST_ROWS = 5_000
"""Training rows that the linear model sees, evenly spaced."""
BLOCK = 256
HELD_OUT = 5
"""Every fifth training row chooses the strength of the penalty, then is given back."""
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3)
NUMBER_STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""For numbers, where one feature among many may say nearly all: each row is told by the others."""
COLOURS, LEVELS, MOMENTS = 166, slice(64, 112), slice(112, 118)
"""How many of the features are colours, and where among these stand the roots of the shares of each level, and mean and deviation."""
PASSES = 200
"""Passes of the solver: a baseline need not be exact."""


def features(cells: Sequence[Any]) -> np.ndarray:
    """(N, F) float32 of the images of these cells. Raises DataError where one cannot be read."""
    parts = [_features(np.stack([_small(cell) for cell in cells[i : i + BLOCK]])) for i in range(0, len(cells), BLOCK)]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def class_outputs(
    train: Sequence[Any], class_N: np.ndarray, count: int, rows: Sequence[Any], look: Callable[[Sequence[Any]], np.ndarray] = features
) -> Outputs:
    """Logistic regression for one label of `count`; the penalty that suits held-out rows also keeps its confidence honest.

    `look`: makes features of cells.
    """
    known = np.flatnonzero(class_N >= 0)
    chosen = known[_spaced(len(known))]
    if len(np.unique(class_N[chosen])) < 2:
        return classes.prior_outputs(class_N, count, len(rows))
    own_NF, target_N = look([train[i] for i in chosen]), class_N[chosen]

    def solve(at: np.ndarray, strength: float) -> Solution:
        return linear.multinomial(own_NF[at], target_N[at], count, strength, passes=PASSES)

    def loss(logits_NC: np.ndarray, at: np.ndarray) -> float:
        return -float(classes.log_probabilities(logits_NC)[np.arange(len(at)), target_N[at]].mean())

    return {"logits": linear.scores(look(rows), _best(own_NF, solve, loss)), "temperature": np.ones((len(rows), 1))}


def flag_outputs(train: Sequence[Any], flags_NC: np.ndarray, rows: Sequence[Any]) -> Outputs:
    """One logistic regression per label."""
    chosen = _spaced(len(flags_NC))
    own_NF, target_NC = features([train[i] for i in chosen]), flags_NC[chosen].astype(np.float64)

    def solve(at: np.ndarray, strength: float) -> Solution:
        return linear.independent(own_NF[at], target_NC[at], strength)

    def loss(logits_NC: np.ndarray, at: np.ndarray) -> float:
        return float(np.logaddexp(0, np.where(target_NC[at] > 0, -logits_NC, logits_NC)).mean())

    return {"logits": linear.scores(features(rows), _best(own_NF, solve, loss)), "temperature": np.ones((len(rows), 1))}


def number_outputs(train: Sequence[Any], target_NC: np.ndarray, rows: Sequence[Any]) -> Outputs:
    """Ridge regression for each target, over the rows that have it: on how bright an image is alone, with its levels and colours, or with
    its edges too, whichever tells training rows best that it was not shown."""
    chosen = _spaced(len(target_NC))
    own, other = number_features([train[i] for i in chosen]), number_features(rows)
    return {"numbers": np.stack([_numbers(own, target_N, other) for target_N in target_NC[chosen].T], 1)}


def number_features(cells: Sequence[Any]) -> list[np.ndarray]:
    """Features in the order in which a number is looked for, each (N, F) with those before it: few that say how bright an image is are
    lost among many that do not."""
    found_NF = features(cells)
    colours_NF = found_NF[:, -COLOURS:]
    parts = [colours_NF[:, MOMENTS], np.square(colours_NF[:, LEVELS]), colours_NF, found_NF[:, :-COLOURS]]
    return [np.concatenate(parts[: count + 1], 1) for count in range(len(parts))]


def _numbers(own: Sequence[np.ndarray], target_N: np.ndarray, other: Sequence[np.ndarray]) -> np.ndarray:
    there = np.flatnonzero(~np.isnan(target_N))
    if len(there) < 3:
        return np.full(len(other[0]), target_N[there].mean() if len(there) else 0.0)
    known_N1 = target_N[there, None]
    mean, spread = known_N1.mean(), known_N1.std() or 1.0
    standard_N1 = (known_N1 - mean) / spread
    tried = [
        (float(np.square(said_N1 - standard_N1).mean()), group, strength)
        for group, one_NF in enumerate(own)
        for strength, said_N1 in zip(NUMBER_STRENGTHS, linear.left_out(one_NF[there], standard_N1, NUMBER_STRENGTHS))
    ]
    _, group, strength = min(tried, key=lambda one: one[0])
    solution = linear.ridge(own[group][there], standard_N1, strength)
    return np.asarray(linear.scores(other[group], solution)[:, 0] * spread + mean)


def _best(
    own_NF: np.ndarray, solve: Callable[[np.ndarray, float], Solution], loss: Callable[[np.ndarray, np.ndarray], float]
) -> Solution:
    """The solution on all rows, of the penalty that does best on every fifth when fitted on the others."""
    at = np.arange(len(own_NF))
    held, rest = at[at % HELD_OUT == 0], at[at % HELD_OUT != 0]
    strength = STRENGTHS[1]
    if len(rest) >= 2 * HELD_OUT:
        strength = min(STRENGTHS, key=lambda one: loss(linear.scores(own_NF[held], solve(rest, one)), held))
    return solve(at, strength)


def _spaced(rows: int) -> np.ndarray:
    return np.unique(np.linspace(0, max(rows - 1, 0), min(rows, MOST_ROWS)).astype(np.int64)) if rows else np.zeros(0, np.int64)


# -- features ---------------------------------------------------------------------------------------------------------


def _small(cell: Any) -> np.ndarray:
    return np.asarray(images.rgb(cell, least=SIDE).resize((SIDE, SIDE), 2), np.float32) / 255


def _features(image_BHW3: np.ndarray) -> np.ndarray:
    return np.concatenate([_edges(image_BHW3), _colours(image_BHW3)], 1).astype(np.float32)


def _edges(image_BHW3: np.ndarray) -> np.ndarray:
    """Histograms of gradients by orientation, in cells, normalised in blocks of two by two."""
    down_BHW3, across_BHW3 = np.gradient(image_BHW3, axis=(1, 2))
    size_BHW3 = np.hypot(down_BHW3, across_BHW3)
    channel_BHW1 = size_BHW3.argmax(-1)[..., None]  # the channel with the strongest edge speaks
    size_BHW, down_BHW, across_BHW = (
        np.take_along_axis(a, channel_BHW1, -1)[..., 0] for a in (size_BHW3, down_BHW3, across_BHW3)
    )
    turn_BHW = (np.arctan2(down_BHW, across_BHW) % np.pi) * (TURNS / np.pi)
    lower_BHW = np.floor(turn_BHW).astype(int)
    upper_share_BHW = turn_BHW - lower_BHW
    cells = SIDE // CELL
    histogram_BccK = np.zeros((len(size_BHW), cells, cells, TURNS), np.float32)
    for turn in range(TURNS):
        votes_BHW = size_BHW * ((lower_BHW % TURNS == turn) * (1 - upper_share_BHW) + ((lower_BHW + 1) % TURNS == turn) * upper_share_BHW)
        histogram_BccK[..., turn] = votes_BHW.reshape(-1, cells, CELL, cells, CELL).sum((2, 4))
    h = histogram_BccK
    block_BccF = np.concatenate([h[:, :-1, :-1], h[:, 1:, :-1], h[:, :-1, 1:], h[:, 1:, 1:]], -1)
    block_BccF /= np.linalg.norm(block_BccF, axis=-1, keepdims=True) + 1e-2
    return np.minimum(block_BccF, 0.2).reshape(len(h), -1)


def _colours(image_BHW3: np.ndarray) -> np.ndarray:
    """Shares of 4 x 4 x 4 colours, of 16 levels of each channel, mean and deviation, and mean colours of 4 x 4 places."""
    count = len(image_BHW3)
    pixel_BP3 = image_BHW3.reshape(count, -1, 3)
    joint_BP = (np.minimum((pixel_BP3 * 4).astype(int), 3) * np.array([16, 4, 1])).sum(-1)
    level_BP3 = np.minimum((pixel_BP3 * 16).astype(int), 15)
    joint_BF = np.stack([np.bincount(one, minlength=64) for one in joint_BP]) / joint_BP.shape[1]
    single_BF = np.stack([np.concatenate([np.bincount(c, minlength=16) for c in one.T]) for one in level_BP3]) / joint_BP.shape[1]
    places_BF = image_BHW3.reshape(count, 4, SIDE // 4, 4, SIDE // 4, 3).mean((2, 4)).reshape(count, -1)
    return np.concatenate([np.sqrt(joint_BF), np.sqrt(single_BF), pixel_BP3.mean(1), pixel_BP3.std(1), places_BF], 1)
