"""From trained weights to a run that can be trusted: calibrate, save, reload in a fresh process, look at the test rows once, report."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import fresh, seal, singly, stock
from .data import arrays, bare
from .data.dataset import Dataset
from .data.table import Table
from .disk import recover, replaced
from .errors import ModelError, ResourceError
from .importance import importance
from .inference import Encoded, encode, infer, pad_id
from .judging.join import FORMS
from .judging.judge import SINGLY, How, Judged, judge
from .judging.looks import look
from .memory import most_held
from .planning import Ready
from .report.card import write as write_card
from .report.html import write as write_html
from .run import Run
from .task import Outputs, Solution, Task
from .training import cache, solve
from .training.checkpoint import write_bytes, write_json
from .training.events import Event, Judging
from .training.stages import how_read
from .training.state import State

GATE_ROWS = 64
"""Validation rows whose answers must be the same in a fresh process."""
RECALLED = 16
"""Training rows that a model which got next to nothing right is asked about."""
GATE_NUMBERS = 4_000_000
"""Numbers that are compared of larger rows: they travel as text."""
TOLERANCE = 1e-4
"""Largest difference between raw outputs before saving and after reloading, as a share of a row's largest."""
QUANTISED = 5e-2
"""The same where the base computed in few bits: what is saved are the numbers that these stand for."""


def finish(run: Run, ready: Ready, state: State) -> Iterator[Event]:
    """Everything after the last step. Repeatable: `resume` runs it again if it was interrupted.

    Raises ModelError where the saved model, loaded in a fresh process, does not give the same answers.
    """
    state.load_best(run.checkpoints)
    data = ready.data
    if ready.task.stocks:
        ready = yield from stock.fill(ready, state, run.path / "reader")
    yield Judging("calibrating")
    outputs = {part: _outputs(_whole(ready.task), state, data.part(part)) for part in ("validation", "calibration")}
    task = _calibrated(ready, _both(outputs["validation"], outputs["calibration"]) if ready.task.stocks else outputs["calibration"])
    yield Judging("saving, and reloading in a fresh process")
    save(run, ready, task, state)
    gate(run, task, data.validation, _gated(ready.task, state, data.validation, outputs["validation"]))
    seal.close(run.path, seal.ANSWERS)
    if ready.task.stocks:
        ready = dataclasses.replace(ready, task=ready.task.at(run.model))
    yield Judging("fitting the simple models beside it")
    rungs = list(_rungs(ready, state))
    rungs += yield from _singly(run, ready)
    yield Judging("looking at the sealed test rows")
    looks = look(run.path, "fit")
    outputs["test"] = _outputs(task.set_for("judging"), state, data.test)
    task = task.knowing(data.train)
    tables = {"validation": data.validation, "test": data.test}
    write_predictions(run.path / "predictions.parquet", task, tables, outputs)
    yield Judging("judging, with intervals")
    _report(run, ready, task, outputs, rungs, looks, state)


@final
@dataclass(frozen=True)
class Rung:
    """A simple model beside the tuned one: its outputs for the test rows, its own calibration, and what it took."""

    name: str
    task: Task
    outputs: Outputs
    seconds: float


def save(run: Run, ready: Ready, task: Task, state: State) -> None:
    """The model as a plain folder, and the task with what it learned. Raises ResourceError where there is no room for it."""
    seal.open_again(run.path)
    recover(run.path)
    replaced(run.model, lambda folder: _save_all(state, folder))
    write_json(run.path / "task.json", {"name": ready.plan.spec.task, "values": task.at_rest().as_json()})


def _save_all(state: State, folder: Path) -> None:
    from .models.save import save as save_model

    save_model(state.model, state.processor, folder, _said(state.ready.task))
    if state.ready.task.stocks:
        state.model.shelf.save(folder)


def _said(task: Task) -> tuple[str, Sequence[str]]:
    """What kind of problem the head solves, as transformers calls it, and what its outputs are called: labels, or targets."""
    if task.target_kind == "number":
        return "regression", task.columns(task.targets)
    problem = {"label": "single_label_classification", "labels": "multi_label_classification"}.get(task.target_kind, "")
    return problem, getattr(task, "vocabulary", ()) or getattr(task, "labels", ())


def _whole(task: Task) -> Task:
    """The task as it answers; one that writes does so for test rows alone."""
    return task.set_for("judging") if task.stocks else task


def _gated(task: Task, state: State, rows: Table, outputs: Outputs) -> Outputs:
    """What the gate compares: these outputs, or of a task with a shelf what its own model says of the first rows."""
    if not task.stocks:
        return outputs
    few = Table.of(rows.take(np.arange(min(GATE_ROWS, len(rows)))).to_arrow().select(task.columns(task.inputs)))
    return _outputs(task, state, few)


def gate(run: Run, task: Task, rows: Table, outputs: Outputs) -> None:
    """Load the saved model in a fresh process and compare its answers on a few rows; refuse to go on if they differ."""
    asked = fresh.cells(task, rows, min(GATE_ROWS, max(4, GATE_NUMBERS // _numbers(outputs))))
    there, failed = fresh.answered(run.path, asked)
    if failed:
        raise _refused(run, failed)
    worst, where = fresh.difference(task, outputs, there, len(asked))
    if not worst <= (TOLERANCE if run.spec.train.quantise == "none" else QUANTISED):
        raise _refused(run, where)


def _numbers(outputs: Outputs) -> int:
    """Numbers of the first row."""
    return max(1, sum(int(np.size(value[0])) for value in outputs.values() if len(value)))


def write_predictions(path: Path, task: Task, tables: Mapping[str, Table], outputs: Mapping[str, Outputs]) -> None:
    """Answers and raw outputs of every judged row: what `compare` joins."""
    pieces = (piece for part in tables for piece in _prediction_tables(part, task, tables[part], outputs[part]))
    first = next(pieces)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, first.schema) as file:
        for piece in itertools.chain([first], pieces):
            file.write_table(piece)
    write_bytes(path, memoryview(sink.getvalue()))


def _prediction_tables(part: str, task: Task, table: Table, outputs: Outputs) -> Iterator[pa.Table]:
    """Some thousand rows at a time: answers and places are Python objects."""
    for at, rows in table.pieces():
        yield _prediction_table(part, task, rows, {name: value[at] for name, value in outputs.items()})


def _prediction_table(part: str, task: Task, table: Table, outputs: Outputs) -> pa.Table:
    rows = range(len(table))
    kept = {"truth": task.truth(table)} | {f"raw:{name}": value for name, value in outputs.items()}
    columns = {name: arrays.to_arrow(value, np.float64 if name == "truth" else np.float32) for name, value in kept.items()}
    answers = [json.dumps(answer, ensure_ascii=False) for answer in task.answers(outputs)]
    found = pa.table(
        {
            "part": bare.texts([part] * len(table)),
            "row_id": bare.numbers(table.row_ids),
            "place": bare.texts(table.place(i) for i in rows),
            "truth": columns.pop("truth"),
            "answer": bare.texts(answers),
        }
        | columns
    )
    return found.replace_schema_metadata({FORMS: json.dumps({name: arrays.form(value) for name, value in kept.items()})})


def _outputs(task: Task, state: State, table: Table) -> Outputs:
    encoded = encode(task, state.processor, table)
    return infer(task, state.model, encoded, pad=pad_id(state.processor), micro_tokens=state.micro_tokens)


def _calibrated(ready: Ready, outputs: Outputs) -> Task:
    rows = _calibrating(ready)
    if not ready.plan.spec.evaluate.calibrate or not len(rows):
        return ready.task
    return ready.task.calibrate(outputs, ready.task.truth(rows))


def _calibrating(ready: Ready) -> Table:
    """The calibration rows; where answers are chosen and refused by a rule, the validation rows before them: few rows make a poor rule."""
    if not ready.task.stocks:
        return ready.data.calibration
    both = [ready.data.validation.to_arrow(), ready.data.calibration.to_arrow()]
    return Table.of(pa.concat_tables(both, promote_options="permissive"))


def _rungs(ready: Ready, state: State) -> Iterator[Rung]:
    """The baselines and the frozen probe, each calibrated on the calibration rows as the tuned model is."""
    data, task = ready.data, ready.task
    if not ready.plan.spec.evaluate.baselines or not len(data.test):
        return
    rows = _judged_rows(ready)
    start = time.monotonic()
    for name, outputs in task.baselines(data.train, rows).items():
        yield _rung(ready, name, outputs, time.monotonic() - start)
    start = time.monotonic()
    for name, outputs in [("untuned", _untuned(ready, state))] if task.did else _probes(ready, state) if task.probed else ():
        yield _rung(ready, name, outputs, time.monotonic() - start)
    if task.stocks:
        start = time.monotonic()
        with stock.alone(state):
            found = _twice(ready, state)
        yield _rung(ready, stock.ALONE, found, time.monotonic() - start)


def _singly(run: Run, ready: Ready) -> Generator[Event, None, list[Rung]]:
    """The single tasks of a run with several targets, each with a model of its own, as one rung. Returns a list of it, or of nothing."""
    if not ready.task.singles() or not len(ready.data.test):
        return []
    start = time.monotonic()
    outputs = yield from singly.train_each(ready, _judged_rows(ready), run.path / "singly")
    return [_rung(ready, SINGLY, outputs, time.monotonic() - start)]


def _judged_rows(ready: Ready) -> Table:
    """The rows that calibrate, then the test rows."""
    both = [_calibrating(ready).to_arrow(), ready.data.test.to_arrow()]
    return Table.of(pa.concat_tables(both, promote_options="permissive"))


def _rung(ready: Ready, name: str, outputs: Outputs, seconds: float) -> Rung:
    """`outputs`: of the rows that calibrate, then of the test rows."""
    at = len(_calibrating(ready))
    first, rest = ({key: value[part] for key, value in outputs.items()} for part in (slice(at), slice(at, None)))
    return Rung(name, _calibrated(ready, first), rest, seconds)


def _probes(ready: Ready, state: State) -> Iterator[tuple[str, Outputs]]:
    """The frozen backbone with a solved linear head, on calibration and test rows: what tuning must beat; and heads on parts of it."""
    task, data = ready.task, ready.data
    untouched = _untouched(ready)
    body = tuple(n for n in untouched.outline.at_least(0) if n not in untouched.outline.head)
    cut = cache.Cut(None, untouched.model.features, body, untouched.model.per_token)
    learnt, judged = how_read(untouched, pad_id(state.processor)), cache.How(pad_id(state.processor), untouched.micro_tokens)

    def features(part: str, made: Callable[[Encoded], Encoded] = lambda rows: rows) -> Encoded:
        how = learnt if part in ("train", "validation") else judged
        return _features(task, untouched, made(encode(task, state.processor, data.part(part))), cut, how)

    solution = state.probe or _solution(ready, features("train", task.learned), features("validation"))
    if solution is not None:
        yield "probe", _both(*(solve.apply(task, solution, features(part)) for part in ("calibration", "test")))
    for name, where in task.apart().items():
        known = {part: _narrowed(features(part), where) for part in ("train", "validation", "calibration", "test")}
        solution = _solution(ready, known["train"], known["validation"])
        if solution is not None:
            yield name, _both(*(solve.apply(task, solution, known[part]) for part in ("calibration", "test")))


def _narrowed(encoded: Encoded, where: slice) -> Encoded:
    """Rows with a part of what the head reads of them."""
    return encoded.with_arrays(pooled_D=np.asarray(encoded.arrays["pooled_D"])[:, where]) if len(encoded) else encoded


def _untuned(ready: Ready, state: State) -> Outputs:
    """The model as it came, on calibration and test rows: a language model can do the task before it is tuned."""
    ready = dataclasses.replace(ready, task=ready.task.as_it_came())
    untouched, task = _untouched(ready), ready.task
    if task.stocks:
        stock.borrow(ready, untouched, state)
    return _twice(ready, untouched)


def _twice(ready: Ready, state: State) -> Outputs:
    """A state's outputs for the rows that calibrate, and for the test rows."""
    task, rows = ready.task, _calibrating(ready)
    return _both(_outputs(_whole(task), state, rows) if len(rows) else {}, _outputs(task.set_for("judging"), state, ready.data.test))


def _both(first: Outputs, second: Outputs) -> Outputs:
    """Outputs of the rows of two tables; an empty table has none."""
    if not first or not second:
        return first or second
    return {name: np.concatenate([first[name], second[name]]) for name in first}


def _solution(ready: Ready, train: Encoded, validation: Encoded) -> Solution | None:
    data, task, metric = ready.data, ready.task, ready.plan.spec.evaluate.metric
    known = (train, task.truth(data.train)), (validation, task.truth(data.validation))
    found = solve.choose(task, solve.path(task, *known, metric, apart=solve.apart(data.splits)), metric)
    return found[0].solution if found else None


def _untouched(ready: Ready) -> State:
    """The model as it was before training, without adapters."""
    from .registry import STRATEGIES

    plain = dataclasses.replace(ready, strategy=STRATEGIES.load("full" if ready.task.did else "head-only")())
    return State.start(plain)


def _features(task: Task, untouched: State, encoded: Encoded, cut: cache.Cut, how: cache.How) -> Encoded:
    if not len(encoded):
        return encoded
    try:
        return cache.attach(task, untouched.model, encoded, cut, how)
    except ResourceError:  # a full disk: the report needs no cache
        return cache.compute(task, untouched.model, encoded, cut, how)


def _report(
    run: Run, ready: Ready, task: Task, outputs: Mapping[str, Outputs], rungs: Sequence[Rung], looks: int, state: State
) -> None:
    data, evaluate = ready.data, ready.plan.spec.evaluate
    how = How(
        asked=task.asks() if task.models else None,
        level=evaluate.confidence, resamples=evaluate.resamples, seed=ready.plan.spec.train.seed, looks=looks,
        name=ready.plan.spec.task, metric=evaluate.metric, strategy=ready.plan.spec.strategy,
        costs={rung.name: rung.seconds for rung in rungs}, by_heart=_by_heart(task, state, data, outputs["validation"]),
        tasks={rung.name: rung.task for rung in rungs}, columns=importance(task, state, data.validation, task.chooses(evaluate.metric)),
    )  # fmt: skip
    groups_N = data.splits.duplicates.group_N
    parts = {
        part: Judged(data.part(part), outputs[part], task.truth(data.part(part)), groups_N[data.splits.parts[part]])
        for part in ("test", "validation")
    }
    simple = {rung.name: rung.outputs for rung in rungs}
    report = dict(
        judge(
            task,
            parts,
            {n: o for n, o in simple.items() if n != "probe"},
            simple.get("probe"),
            data.splits.leaked_test,
            how,
        )
    )
    report["measured"] = measured(state)
    write_json(run.path / "report.json", report)
    seal.close(run.path, seal.RECORDS)
    write_html(run.path)
    write_card(run.path)


def _by_heart(task: Task, state: State, data: Dataset, outputs: Outputs) -> str:
    """What some training rows say of a model that got next to nothing right on the validation rows."""
    if not len(data.validation) or not task.astray(outputs, task.truth(data.validation)):
        return ""
    few = data.train.take(np.unique(np.linspace(0, len(data.train) - 1, RECALLED).astype(np.int64)))
    return task.by_heart(_outputs(task, state, few), task.truth(few), state.total)


def measured(state: State) -> dict[str, Any]:
    """What the run took, from the plan to the report, beside the forecast; CPU seconds are those of all its processes."""
    return {
        "training_seconds": round(state.seconds, 1),
        "training_cpu_seconds": None if state.cpu_seconds is None else round(state.cpu_seconds, 1),
        "peak_memory_bytes": most_held(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def _refused(run: Run, got: str) -> ModelError:
    return ModelError(
        f"reload gate, {run.model}",
        expected="the same outputs from the saved model in a fresh process",
        got=got,
        fix="the run is not finished; the checkpoints are whole: `tunesmith resume` tries again",
        code="reload-differs",
    )
