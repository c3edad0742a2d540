"""Two finished runs on the test rows that both judged, joined by row id: differences with intervals, a verdict, the rows that flipped.

Axes: N rows.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pyarrow.parquet as pq

from ..errors import RunError
from ..predict import load_task
from ..run import Run
from ..task import Outputs, Task, Truth
from .compare import compare
from .intervals import Candidate

FLIPS = 20
"""Flipped rows that are listed."""


@final
@dataclass(frozen=True)
class Judgement:
    """What one run said of its test rows."""

    task: Task
    outputs: Outputs
    truth: Truth
    row_ids: np.ndarray
    places: list[str]
    answers: list[dict[str, Any]]

    def take(self, index_N: np.ndarray) -> Judgement:
        """The same for these rows, in this order."""
        return Judgement(
            self.task,
            {name: value[index_N] for name, value in self.outputs.items()},
            self.truth[index_N],
            self.row_ids[index_N],
            [self.places[i] for i in index_N],
            [self.answers[i] for i in index_N],
        )


def compare_runs(run_a: Run, run_b: Run) -> dict[str, Any]:
    """`scores`: name -> {a, b, difference (b - a) with interval, verdict}; `verdict` in words; `flips`; `changed` settings.

    Raises RunError where the runs share no test rows, or do not score alike.
    """
    a, b = judgement(run_a), judgement(run_b)
    _, at_a, at_b = np.intersect1d(a.row_ids, b.row_ids, return_indices=True)
    names = [name for name in a.task.directions if name in b.task.directions]
    if not len(at_a) or not names:
        raise _nothing_shared(run_a, run_b, len(at_a))
    a, b = a.take(at_a), b.take(at_b)
    scores = {name: _compared(a, b, name) for name in names}
    headline = scores[names[0]]
    return {
        "rows": len(at_a),
        "only_a": len(judgement(run_a).row_ids) - len(at_a),
        "scores": scores,
        "verdict": f"{run_b.path.name} is {headline['verdict']} than {run_a.path.name} in {names[0]} on {len(at_a):,} shared test rows"
        if headline["verdict"] != "not distinguishable"
        else f"the two are not distinguishable in {names[0]} on {len(at_a):,} shared test rows",
        "flips": flips(a, b),
        "changed": changed_settings(run_a, run_b),
    }


def judgement(run: Run, part: str = "test") -> Judgement:
    """Read a run's predictions back."""
    path = run.path / "predictions.parquet"
    if not path.is_file():
        run.read("report.json")
    table = pq.read_table(path, filters=[("part", "==", part)])
    task = load_task(run)
    stack = lambda name: np.array(table[name].to_pylist())  # noqa: E731
    outputs = {name.removeprefix("raw:"): stack(name).astype(np.float32) for name in table.column_names if name.startswith("raw:")}
    truth = stack("truth")
    flat = task.target_kind == "label"
    return Judgement(
        task,
        outputs,
        truth[:, 0].astype(np.int64) if flat else truth,
        np.array(table["row_id"].to_pylist(), np.uint64),
        table["place"].to_pylist(),
        [json.loads(answer) for answer in table["answer"].to_pylist()],
    )


def flips(a: Judgement, b: Judgement) -> list[dict[str, Any]]:
    """Rows that the two runs answer differently, the surest changes first."""
    different = [i for i, (x, y) in enumerate(zip(a.answers, b.answers, strict=True)) if _said(x) != _said(y)]
    return [{"place": b.places[i], "a": _said(a.answers[i]), "b": _said(b.answers[i])} for i in different[:FLIPS]]


def changed_settings(run_a: Run, run_b: Run) -> dict[str, tuple[Any, Any]]:
    """Dotted settings in which the two plans differ."""
    flat_a, flat_b = (_flat(run.spec.model_dump(mode="json")) for run in (run_a, run_b))
    return {key: (flat_a.get(key), flat_b.get(key)) for key in sorted({*flat_a, *flat_b}) if flat_a.get(key) != flat_b.get(key)}


def _compared(a: Judgement, b: Judgement, name: str) -> dict[str, Any]:
    ours, theirs = Candidate(b.task, b.outputs, b.truth), Candidate(a.task, a.outputs, a.truth)
    if np.array_equal(a.truth, b.truth):
        ours, theirs = (dataclasses.replace(c, truth=None) for c in (ours, theirs))
    found = compare(ours, theirs, b.truth, score=name, higher=b.task.directions[name]).as_json()
    return {"a": found["theirs"], "b": found["ours"], "difference": found["difference"], "p": found["p"], "verdict": found["verdict"]}


def _said(answer: dict[str, Any]) -> Any:
    return next(iter(answer.values()), None)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def _nothing_shared(run_a: Run, run_b: Run, rows: int) -> RunError:
    return RunError(
        f"{run_a.path} and {run_b.path}",
        expected="two runs judged on the same test rows by the same scores",
        got=f"{rows} shared rows",
        fix="give both the same --test file",
        code="nothing-to-compare",
    )
