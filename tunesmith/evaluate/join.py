"""Two runs on the test rows that both of them judged.

Rows are joined by their content hash (`predictions.parquet` keeps it), so the two runs may have read the data in
another order or with other options. Each run's outputs are read by its own task, with its own labels, temperature and
thresholds.

Axes: N rows that both runs judged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ..errors import RunError
from ..registry import TASKS
from ..run import Run
from ..task import Outputs, Task, Truth
from . import compare, words
from .intervals import Candidate, resample
from .looks import look
from .view import View, view


@final
@dataclass(frozen=True)
class Answered:
    """A run's answers to its test rows."""

    run: Run
    task: Task
    keys: tuple[tuple[int, int], ...]
    """(content hash, how many equal rows came before): unique."""
    places: tuple[str, ...]
    outputs: Outputs
    truth: Truth

    def take(self, index_N: np.ndarray) -> tuple[Candidate, View | None]:
        """These rows as a candidate, and as seen."""
        outputs = {name: array[index_N] for name, array in self.outputs.items()}
        truth = self.truth[index_N]
        return Candidate(self.task, outputs, truth), view(self.task, outputs, truth)


def compare_runs(a: Run, b: Run) -> dict[str, Any]:
    """Run b against run a: `rows`, `scores` (name -> `a`, `b`, `difference`), `verdict` in words, `word`, `p`,
    `mcnemar`, and the places of rows that b mended or broke. Choosing by test rows is a look at them: it is counted in
    both runs.

    Raises RunError where a run is not finished, or the two share no test row, task or score.
    """
    one, other = read(a), read(b)
    index_a, index_b = _shared(one, other)
    look(a.path, f"compared with {b.path.name}")
    look(b.path, f"compared with {a.path.name}")
    (ours, seen), (before, seen_before) = other.take(index_b), one.take(index_a)
    settings, metric = a.spec.evaluate, _metric(a, one, other)
    draws = resample(
        {"b": ours, "a": before}, other.truth[index_b], resamples=settings.resamples, level=settings.confidence,
        seed=a.spec.train.seed,
    )
    found = compare.judged(
        draws, ("b", ours), ("a", before), other.truth[index_b], score=metric,
        higher=one.task.directions.get(metric, True),
    )
    names = [name for name in draws.values["a"] if name in draws.values["b"]]
    result: dict[str, Any] = {
        "rows": len(index_a), "metric": metric, "word": found.verdict, "p": found.as_json()["p"],
        "scores": {name: _line(draws, name) for name in names}, "verdict": _sentence(a, b, found, len(index_a)),
    }
    return result | _rows(seen_before, seen, [one.places[i] for i in index_a])


def read(run: Run) -> Answered:
    """A finished run's answers. Raises RunError where it has none."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    file = run.path / "predictions.parquet"
    if not file.is_file():
        raise RunError(
            str(run.path), expected="a finished run with predictions.parquet", got="none", code="run-unfinished",
            fix=f"`tunesmith resume {run.path}` finishes it",
        )
    table = pq.read_table(file)
    table = table.filter(pc.equal(table["part"], "test"))
    values = run.read("task.json")
    task = TASKS.load(values["name"]).from_json(values["values"])
    outputs = {
        name.removeprefix("raw:"): np.array(table[name].to_pylist(), dtype=np.float64)
        for name in table.column_names if name.startswith("raw:")
    }
    places = tuple(table["place"].to_pylist())
    truth = _truth(table["truth"].to_pylist(), outputs)
    return Answered(run, task, _keys(table["row_id"].to_pylist()), places, outputs, truth)


def _truth(rows: list[list[float]], outputs: Outputs) -> Truth:
    """As `Task.truth` made it, before the file laid it out flat: beside several logits, one whole number is a class
    id."""
    truth = np.array(rows, dtype=np.float64)
    if "logits" not in outputs or truth.ndim != 2:
        return truth
    return truth.astype(np.int64)[:, 0] if truth.shape[1] < outputs["logits"].shape[1] else truth.astype(np.int64)


def _keys(ids: list[int]) -> tuple[tuple[int, int], ...]:
    seen: Counter[int] = Counter()
    found = []
    for row in ids:
        found.append((row, seen[row]))
        seen[row] += 1
    return tuple(found)


def _shared(a: Answered, b: Answered) -> tuple[np.ndarray, np.ndarray]:
    at = {key: i for i, key in enumerate(b.keys)}
    pairs = [(i, at[key]) for i, key in enumerate(a.keys) if key in at]
    if not pairs:
        raise RunError(
            f"{a.run.path} and {b.run.path}", expected="test rows that both runs judged", got="none in common",
            code="nothing-to-compare", fix="fit both on the same data, or pass the same file as --test",
        )
    index = np.array(pairs, dtype=np.int64)
    return index[:, 0], index[:, 1]


def _metric(run: Run, a: Answered, b: Answered) -> str:
    wanted = run.spec.evaluate.metric
    both = [name for name in a.task.directions if name in b.task.directions]
    if not both:
        got = f"{type(a.task).__name__} and {type(b.task).__name__}"
        raise RunError(
            f"{a.run.path} and {b.run.path}", expected="two runs of one task", got=got, code="other-task",
            fix="compare runs that answer the same question",
        )
    return wanted if wanted in both else both[0]


def _line(draws: Any, name: str) -> dict[str, Any]:
    return {who: draws.interval(who, name).as_json() for who in ("a", "b")} | {
        "difference": draws.difference("b", "a", name).as_json()
    }


def _sentence(a: Run, b: Run, found: compare.Comparison, rows: int) -> str:
    difference = found.difference.as_json()
    size = f"{words.number(difference['value'])} ({words.span(difference['low'], difference['high'])})"
    what = f"{words.title(found.score)}, b - a = {size} on {rows:,} shared test rows"
    if found.verdict == "not distinguishable":
        return f"The two runs are not distinguishable: {what}."
    return f"{b.path.name} is {found.verdict} than {a.path.name}: {what}."


def _rows(before: View | None, after: View | None, places: list[str]) -> dict[str, Any]:
    if before is None or after is None or before.kind not in ("classes", "flags"):
        return {"mcnemar": None, "mended": [], "broken": []}
    changed = compare.flips(before.right_N, after.right_N)
    return {
        "mcnemar": compare.mcnemar(after.right_N, before.right_N).as_json(),
        **{name: [places[i] for i in index] for name, index in changed.items()},
    }
