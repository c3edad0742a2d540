"""Labelled rows that a run has met before: scores on what it learned from, or was chosen by, say nothing of new rows.

Axes: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import arrays
from ..data.finding import Finding, count, places
from ..task import Task
from . import words
from .intervals import take
from .judge import How, Judged, scores
from .schema import Part

if TYPE_CHECKING:
    from ..data.table import Table
    from ..predictor import Predictor

CHOSE = ("validation", "calibration")
"""Parts that no weight learned from, but that decided which weights were kept, and how sure answers sound."""


def met(predictor: Predictor, rows: Table) -> dict[str, np.ndarray]:
    """Of each part that made the model what it is, which of these rows (N,) stand in it with the same content, targets included."""
    known = predictor.run.read("data.json")["splits"]["parts"]
    if predictor.task.files:  # a row's content is that of its files
        ids_N = np.concatenate([predictor.with_files(part).row_ids for _, part in rows.pieces()])
    else:
        ids_N = rows.row_ids
    return {part: _among(ids_N, _ids(known.get(part) or {})) for part in ("train", *CHOSE)}


def _ids(part: Mapping[str, Any]) -> np.ndarray:
    """The ids of a part's rows, as `data.json` keeps them."""
    return np.frombuffer(bytes.fromhex(part.get("row_ids", "")), ">u8").astype(np.uint64)


def _among(ids_N: np.ndarray, known_K: np.ndarray) -> np.ndarray:
    """`np.isin`, which would sort all the rows: (N,) which ids are known, some of them looked up at a time."""
    found_N, known_K = np.zeros(len(ids_N), bool), np.sort(known_K)
    for at in arrays.stretches(len(ids_N), ids_N.itemsize) if len(known_K) else ():
        nearest_S = np.minimum(np.searchsorted(known_K, ids_N[at]), len(known_K) - 1)
        found_N[at] = known_K[nearest_S] == ids_N[at]
    return found_N


def told(task: Task, judged: Judged, rows: Table, found: Mapping[str, np.ndarray], how: How) -> dict[str, Any]:
    """`met`: rows of each part; `unmet`: scores on the other rows, None where there are none or no row was met; `findings`: a warning."""
    known_N = np.logical_or.reduce(list(found.values()))
    counts = {part: int(here_N.sum()) for part, here_N in found.items()}
    if not known_N.any():
        return {"met": counts, "unmet": None, "findings": []}
    rest = arrays.positions(~known_N)
    others = None
    if len(rest):
        truth = arrays.picked(judged.truth, rest)
        others = scores(task, Judged(judged.rows.take(rest), take(judged.outputs, rest), truth, None, judged.condensed), how)
    message = f"{_counted(counts, len(known_N))}: scores on them flatter{_without(task, others, how)}"
    fix = "judge the run on rows that it has not met; its own test rows are in its report"
    warning = Finding("warning", "rows-met", message, places(rows, np.flatnonzero(known_N)), fix)
    return {"met": counts, "unmet": others, "findings": [warning]}


def _counted(counts: Mapping[str, int], rows: int) -> str:
    chose = sum(counts[part] for part in CHOSE)
    more = f"{chose:,} chose its weights or calibrated it" if chose else ""
    learned = f"the run was trained on {counts['train']:,} of {count(rows)}" if counts["train"] else ""
    return ", and ".join(filter(None, (learned, more if learned or not more else f"{more}, of {count(rows)}")))


def _without(task: Task, others: Part | None, how: How) -> str:
    if others is None:
        return ", and there are no others"
    metric = how.metric if how.metric in others["scores"] else next(iter(others["scores"]))
    return f"; on the other {others['rows']:,} {words.title(metric)} is {words.scored(others['scores'][metric])}"
