"""Gradient-boosted trees on a table's columns: what a network on the same columns has to beat.

One setting for all data. Everything is fitted on the training rows alone and is deterministic.

Axes: N training rows, M rows to answer, F raw features, C classes or targets.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..task import Outputs
from . import classes
from .amounts import Scale

MOST_ROWS = 50_000
"""Training rows that the trees see, evenly spaced: they have to stay a matter of seconds."""
WIDEST = 255
"""Levels up to which the trees take a column's numbers for levels."""
ROUNDS = 200
"""Trees one after the other; of several classes so many for each."""
SETTINGS = {"learning_rate": 0.05, "max_iter": ROUNDS, "max_leaf_nodes": 15, "early_stopping": False, "random_state": 0}


def number_outputs(own_NF: np.ndarray, levelled_F: np.ndarray, target_N: np.ndarray, other_MF: np.ndarray) -> np.ndarray:
    """(M,) numbers. `levelled_F`: which features are levels without an order; targets may be NaN where a row has none."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows = _spaced(np.flatnonzero(~np.isnan(target_N)))
    if not own_NF.shape[1] or len(rows) < 2:
        return np.full(len(other_MF), float(target_N[rows].mean()) if len(rows) else 0.0)
    trees = HistGradientBoostingRegressor(categorical_features=_levelled(own_NF, levelled_F), **SETTINGS)
    return np.asarray(trees.fit(own_NF[rows], target_N[rows]).predict(other_MF))


def class_outputs(own_NF: np.ndarray, levelled_F: np.ndarray, class_N: np.ndarray, count: int, other_MF: np.ndarray) -> Outputs:
    """Logits (M, C) of one label of `count`."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = _spaced(np.flatnonzero(class_N >= 0))
    seen = np.unique(class_N[rows])
    if not own_NF.shape[1] or len(seen) < 2:
        return classes.prior_outputs(class_N, count, len(other_MF))
    trees: Any = HistGradientBoostingClassifier(categorical_features=_levelled(own_NF, levelled_F), **SETTINGS)
    probability = trees.fit(own_NF[rows], class_N[rows]).predict_proba(other_MF)
    logits = np.full((len(other_MF), count), -30.0)
    logits[:, seen] = np.log(np.clip(probability, 1e-9, 1))
    return {"logits": logits, "temperature": np.ones((len(other_MF), 1))}


def _levelled(own_NF: np.ndarray, levelled_F: np.ndarray) -> np.ndarray:
    """Levels that the trees can take as such; others keep the order of their names."""
    most_F = np.array([np.nanmax(column, initial=0.0) for column in own_NF.T])
    return levelled_F & (most_F < WIDEST)


def _spaced(positions: np.ndarray) -> np.ndarray:
    return positions[np.unique(np.linspace(0, max(len(positions) - 1, 0), min(len(positions), MOST_ROWS)).astype(np.int64))]


def class_ladder(
    train: tuple[list[str], np.ndarray], class_N: np.ndarray, count: int, rows: tuple[list[str], np.ndarray], levelled_F: np.ndarray
) -> dict[str, Outputs]:
    """Majority, trees on the table, and TF-IDF on the texts, where there are any. `train`, `rows`: texts and raw features."""
    from . import bags

    found = {"majority": classes.prior_outputs(class_N, count, len(rows[1]))}
    if train[1].shape[1]:
        found["trees on the table"] = class_outputs(train[1], levelled_F, class_N, count, rows[1])
    if any(train[0]):
        found["TF-IDF + linear on the texts"] = bags.class_outputs((train[0], None), class_N, count, (rows[0], None))
    return found


def number_ladder(
    train: tuple[list[str], np.ndarray], target_N1: np.ndarray, rows: tuple[list[str], np.ndarray], levelled_F: np.ndarray, scale: Scale
) -> dict[str, Outputs]:
    """The mean, trees on the table, and TF-IDF on the texts, where there are any; where the logarithm is learned, they learn it too."""
    from . import bags

    learned_N1 = scale.standard(target_N1) * scale.deviation + scale.mean
    found = {"mean": np.full((len(rows[1]), 1), scale.middle)}
    if train[1].shape[1]:
        found["trees on the table"] = scale.back(number_outputs(train[1], levelled_F, learned_N1[:, 0], rows[1]))
    if any(train[0]):
        told = bags.number_outputs((train[0], None), learned_N1, (rows[0], None))["numbers"]
        found["TF-IDF + ridge on the texts"] = scale.back(told[:, 0])
    return {name: {"numbers": value} for name, value in found.items()}
