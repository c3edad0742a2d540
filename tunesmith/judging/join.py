"""Two finished runs on the test rows that both judged, joined by row id: differences with intervals, a verdict, the rows that flipped.

Each run's outputs are read by its own task, with its own labels, temperature and thresholds.

Axes: N rows that both runs judged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..data import arrays
from ..errors import RunError
from ..predictor import load_task
from ..run import Run
from ..task import Outputs, Task, Truth
from . import compare, words
from .intervals import Candidate, Draws, resample, take
from .looks import look
from .view import view

if TYPE_CHECKING:
    import pyarrow as pa

FLIPS = 20
"""Flipped rows that are listed."""
SECONDS = 5.0
"""Limit for the swap test of one score."""
FORMS = "tunesmith.forms"
"""Under this name `predictions.parquet` says which form numbers had (`arrays.form`); files of earlier versions do not."""


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
            self.task, take(self.outputs, index_N), self.truth[index_N], self.row_ids[index_N],
            [self.places[i] for i in index_N], [self.answers[i] for i in index_N],
        )


def compare_runs(run_a: Run, run_b: Run) -> dict[str, Any]:
    """`scores`: name -> {a, b, difference (b - a), each with interval; p, verdict}; `verdict` in words; `word`; `mcnemar`; `flips`;
    `changed` settings; `rows` compared and rows `only_a` judged.

    Choosing between runs by their test rows is a look at them, counted in both. Raises RunError where the runs share no test rows,
    or do not score alike.
    """
    a, b = judgement(run_a), judgement(run_b)
    shared_a = len(a.row_ids)
    _, at_a, at_b = np.intersect1d(a.row_ids, b.row_ids, return_indices=True)
    names = [name for name in a.task.directions if name in b.task.directions]
    if not len(at_a) or not names:
        raise _nothing_shared(run_a, run_b, len(at_a))
    look(run_a.path, f"compared with {run_b.path.name}")
    look(run_b.path, f"compared with {run_a.path.name}")
    a, b = a.take(at_a), b.take(at_b)
    scores = _scores(a, b, names, run_a)
    wanted = run_a.spec.evaluate.metric
    metric = wanted if wanted in scores else names[0]
    return {
        "rows": len(at_a), "only_a": shared_a - len(at_a), "metric": metric, "word": scores[metric]["verdict"], "scores": scores,
        "verdict": _sentence(run_a, run_b, metric, scores[metric], len(at_a)), "mcnemar": _mcnemar(a, b), "flips": flips(a, b),
        "changed": changed_settings(run_a, run_b),
    }


def judgement(run: Run, part: str = "test") -> Judgement:
    """Read a run's predictions back. Raises RunError where it has none."""
    import pyarrow.parquet as pq

    path = run.path / "predictions.parquet"
    if not path.is_file():
        raise RunError(
            str(path), expected="the predictions of a finished run", got="none", fix=f"`tunesmith resume {run.path}` finishes it",
            code="run-incomplete",
        )
    table = pq.read_table(path, filters=[("part", "==", part)])
    outputs, truth = kept(table)
    row_ids = np.array(table["row_id"].to_pylist(), np.uint64)
    answers = [json.loads(answer) for answer in table["answer"].to_pylist()]
    return Judgement(load_task(run), outputs, truth, row_ids, table["place"].to_pylist(), answers)


def kept(table: pa.Table) -> tuple[Outputs, Truth]:
    """Outputs and truth of predictions, in the form in which they were kept."""
    forms = json.loads((table.schema.metadata or {}).get(FORMS.encode(), b"{}"))
    raw = [name for name in table.column_names if name.startswith("raw:")]
    outputs = {
        name.removeprefix("raw:"): arrays.formed(arrays.from_arrow(table[name], np.float32), forms.get(name, [])) for name in raw
    }
    truth = arrays.from_arrow(table["truth"], np.float64)
    return outputs, arrays.formed(truth, forms["truth"]) if "truth" in forms else _truth(truth, outputs)


def flips(a: Judgement, b: Judgement) -> list[dict[str, Any]]:
    """Rows that the two runs answer differently: `place`, `a`, `b`; the first FLIPS."""
    different = [i for i, (x, y) in enumerate(zip(a.answers, b.answers, strict=True)) if _said(x) != _said(y)]
    return [{"place": b.places[i], "a": _said(a.answers[i]), "b": _said(b.answers[i])} for i in different[:FLIPS]]


def changed_settings(run_a: Run, run_b: Run) -> dict[str, tuple[Any, Any]]:
    """Dotted settings in which the two plans differ."""
    flat_a, flat_b = (_flat(run.spec.model_dump(mode="json")) for run in (run_a, run_b))
    return {key: (flat_a.get(key), flat_b.get(key)) for key in sorted({*flat_a, *flat_b}) if flat_a.get(key) != flat_b.get(key)}


def _scores(a: Judgement, b: Judgement, names: list[str], run: Run) -> dict[str, Any]:
    """One resampling serves all scores."""
    same = a.truth.shape == b.truth.shape and np.array_equal(a.truth, b.truth)
    ours, theirs = (Candidate.of(one.task, one.outputs, one.truth, None if same else one.truth) for one in (b, a))
    settings = run.spec.evaluate
    draws = resample(
        {"b": ours, "a": theirs}, b.truth, resamples=settings.resamples, level=settings.confidence, seed=run.spec.train.seed
    )
    return {name: _score(draws, ours, theirs, b.truth, name) for name in names}


def _score(draws: Draws, ours: Candidate, theirs: Candidate, truth: Truth, name: str) -> dict[str, Any]:
    higher = ours.task.directions[name]
    found = compare.judged(draws, ("b", ours), ("a", theirs), truth, score=name, higher=higher, seconds=SECONDS).as_json()
    each = {who: draws.interval(who, name).as_json() for who in ("a", "b")}
    return each | {"difference": found["difference"], "p": found["p"], "verdict": found["verdict"]}


def _truth(truth: np.ndarray, outputs: Outputs) -> Truth:
    """As `Task.truth` made it, before a file without forms laid it flat: beside several logits, one whole number is a class id."""
    if "logits" not in outputs or truth.ndim != 2:
        return truth
    return truth[:, 0].astype(np.int64) if truth.shape[1] < outputs["logits"].shape[1] else truth.astype(np.int64)


def _mcnemar(a: Judgement, b: Judgement) -> dict[str, Any] | None:
    seen = [view(one.task, one.outputs, one.truth) for one in (a, b)]
    if any(of is None or of.kind not in ("classes", "flags", "texts") for of in seen):
        return None
    before, after = (of.right_N for of in seen if of is not None)
    return compare.mcnemar(after, before).as_json()


def _sentence(run_a: Run, run_b: Run, metric: str, found: dict[str, Any], rows: int) -> str:
    difference = found["difference"]
    size = f"{words.number(difference['value'])} ({words.span(difference['low'], difference['high'])})"
    what = f"{words.title(metric)}, b - a = {size} on {rows:,} shared test rows"
    if found["verdict"] == "not distinguishable":
        doubt = words.unconfirmed(found)
        return f"The two are not distinguishable: {what}{f'; {doubt}' if doubt else ''}."
    return f"{run_b.path.name} is {found['verdict']} than {run_a.path.name}: {what}."


def _said(answer: dict[str, Any]) -> Any:
    return next(iter(answer.values()), None)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def _nothing_shared(run_a: Run, run_b: Run, rows: int) -> RunError:
    return RunError(
        f"{run_a.path} and {run_b.path}", expected="two runs judged on the same test rows by the same scores",
        got=f"{rows} shared rows", fix="give both the same --test file", code="nothing-to-compare",
    )
