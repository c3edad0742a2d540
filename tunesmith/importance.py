"""What each column of a table is worth to a model: how far its score falls where that column's cells are shuffled (Breiman 2001).

Shuffled are the numbers that the head reads, so that the encoder runs once. Columns that say the same stand in for each other: each alone
may then look worthless.

Axes: N rows, E numbers that the head reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .inference import encode, infer, pad_id
from .training import cache

if TYPE_CHECKING:
    from .data.table import Table
    from .task import Task
    from .training.state import State

ROWS = 400
"""Most rows that are looked at."""
TIMES = 3
"""Shuffles of a column."""


def importance(task: Task, state: State, rows: Table, metric: str) -> list[dict[str, Any]]:
    """Columns with `name`, `read` (how, in words) and `fall` (of the score `metric`, which falls where the column mattered), the
    weightiest first; none of tasks that read no tables, or where there are no rows."""
    told = task.read_as() if task.wide else {}
    if not told or not len(rows):
        return []
    few = rows.take(np.arange(min(ROWS, len(rows))))
    cut = cache.Cut(None, state.model.features, (), per_token=False)
    pad = pad_id(state.processor)
    encoded = cache.compute(task, state.model, encode(task, state.processor, few), cut, cache.How(pad, state.micro_tokens))
    encoded = encoded.without("input_ids", "token_type_ids")
    features_NE, truth = np.asarray(encoded.arrays["pooled_D"]), task.truth(few)
    sign = 1 if task.directions[metric] else -1

    def score(features: np.ndarray) -> float:
        outputs = infer(task, state.model, encoded.with_arrays(pooled_D=features), pad=pad, micro_tokens=4096)
        return sign * task.score(outputs, truth)[metric]

    whole, rng = score(features_NE), np.random.default_rng(0)
    found = [
        {"name": name, "read": read, "fall": float(np.mean([whole - score(_shuffled(features_NE, at, rng)) for _ in range(TIMES)]))}
        for name, (read, at) in told.items()
    ]
    return sorted(found, key=_weight)


def _weight(column: Mapping[str, Any]) -> float:
    return -float(column["fall"])


def _shuffled(features_NE: np.ndarray, at: slice, rng: np.random.Generator) -> np.ndarray:
    found_NE = features_NE.copy()
    found_NE[:, at] = features_NE[rng.permutation(len(features_NE)), at]
    return found_NE
