"""Rows answered by a saved model in a process of its own, and compared with answers made here: what is saved is what was judged."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import aside
from .data import arrays
from .data.table import Table
from .errors import ResourceError, shorten
from .task import Outputs, Task

if TYPE_CHECKING:
    from .predictor import Predictor


def cells(task: Task, rows: Table, most: int) -> list[dict[str, Any]]:
    """The first rows as they are handed over; with their targets where the model says how likely these are, or how near it comes."""
    columns = task.columns((*task.inputs, *task.targets) if task.writes or task.taught else task.inputs)
    return [{column: row[column] for column in columns} for row in rows.rows(range(min(most, len(rows))))]


def answered(run: Path, asked: Sequence[Mapping[str, Any]], model: Path | None = None) -> tuple[dict[str, Any], str]:
    """Raw outputs of these rows by a fresh process, as JSON has them, and what went wrong there; one of the two is empty.

    `model`: a folder that stands for the run's own model. Raises ResourceError where the system kills that process for memory.
    """
    found = aside.run("tunesmith.gate", str(run), *([str(model)] if model else []), given=json.dumps(asked, default=str))
    if found.returncode == -signal.SIGKILL:
        raise ResourceError(
            str(run), expected="memory for the saved model in a second process", got="a kill of that process by the system",
            fix="free some memory; `tunesmith resume` goes on from here", code="out-of-memory",
        )  # fmt: skip
    if found.returncode:
        return {}, f"a failure: {found.stderr.strip()[-300:]}"
    return json.loads(found.stdout.splitlines()[-1]), ""


def difference(task: Task, here: Outputs, there: Mapping[str, Any], rows: int) -> tuple[float, str]:
    """The largest difference of these rows' outputs, as a share of the row's largest number (at least 1), and in words where it is.

    Infinite where texts or shapes differ.
    """
    worst, where = 0.0, "nothing"
    for name, expected in here.items():
        for row in range(rows):
            share, said = _apart(name, expected[row], task.aligned(name, expected[row], arrays.parsed(there[name][row])))
            if not share <= worst:
                worst, where = share, said
    return worst, where


def _apart(name: str, here: Any, there: Any) -> tuple[float, str]:
    """One row's output before and after. The batch is another one there, so that the last bits may differ."""
    if not isinstance(here, str) and not isinstance(there, str) and np.size(here) == np.size(there) == 0:
        return 0.0, ""  # JSON forgets how wide a table without rows is
    if isinstance(here, str) or isinstance(there, str) or np.shape(here) != np.shape(there):
        same = isinstance(here, str) and here == there
        return 0.0 if same else float("inf"), f"{name} {shorten(repr(there))} after {shorten(repr(here))}"
    found = float(np.abs(np.asarray(there, np.float64) - here).max(initial=0.0))
    share = found / max(1.0, float(np.abs(here).max(initial=0.0)))
    return share if share == share else float("inf"), f"{name} up to {found:g} apart"  # a NaN is no agreement


def outputs(predictor: Predictor, asked: Sequence[Mapping[str, Any]]) -> Outputs:
    """Raw outputs of rows that came as JSON: what the fresh process runs, and whoever compares with it.

    A language model says how likely the rows' own texts are, a voice how near the true sounds are, a model of pictures how likely they
    are: those are not questions, and are handed over as they stand.
    """
    empty = any(cell is None for row in asked for cell in row.values())  # kept in a file's rows, where a request is refused
    given = predictor.task.writes or predictor.task.taught or predictor.task.models or empty
    table = Table.of(list(asked), name="the gate") if given else predictor.table(asked)
    return predictor.outputs(table, "training")
