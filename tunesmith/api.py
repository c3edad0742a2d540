"""The story, in order: every verb as one function. The command line and notebooks call these.

run = tunesmith.fit("reviews.csv", label="stars")
run.scores["macro_f1"]; run.predict(["A quiet, exact film."])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from .computing import Computing, Device, Precision
from .early import refuse_words
from .errors import RunError
from .run import Run, refuse_drift
from .run import runs as _runs
from .scores import Scores
from .signals import gently
from .spec import Spec
from .training.events import Already, Audited, Event, Finished, Started

if TYPE_CHECKING:
    from .data.dataset import Dataset
    from .data.labelled import Labelled
    from .planning import Ready
    from .predictor import Predictor
    from .task import Task
    from .training.state import State


@final
@dataclass(frozen=True)
class Checked:
    """What `check` found out about the data."""

    data: Dataset
    marked: tuple[tuple[str, bool], ...] = ()
    """One training row as the model reads it, in stretches, each with whether it is learned: for tasks that learn parts of rows."""


@final
class Result:
    """A finished run: its scores, its report, and its model, loaded when first asked."""

    def __init__(self, path: str | Path, *, device: Device = "auto", precision: Precision = "fp32") -> None:
        """`device`, `precision`: where and how exactly answers are computed (`computing.Computing`)."""
        self.run = Run(path)
        self._computing = Computing(device, precision)
        self._predictor: Predictor | None = None

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.run.path

    @property
    def report(self) -> dict[str, Any]:
        """All of `report.json`."""
        found: dict[str, Any] = self.run.read("report.json")
        return found

    @property
    def scores(self) -> Scores:
        """Scores on the sealed test rows: `scores["macro_f1"]` is a number that knows its interval (`.low`, `.high`)."""
        return Scores.of(self.report["parts"]["test"]["scores"])

    @property
    def report_path(self) -> Path:
        """The report as a page."""
        return self.run.path / "report.html"

    @property
    def predictor(self) -> Predictor:
        """The loaded model."""
        if self._predictor is None:
            from .predictor import Predictor

            self._predictor = Predictor.load(self.run.path, computing=self._computing)
        return self._predictor

    def predict(self, rows: Any) -> list[dict[str, Any]]:
        """Answers for a text, for texts, or for rows, in the order asked."""
        return self.predictor.predict(rows)

    def stream(self, row: Any) -> Any:
        """The answer to one question while it is written: pieces of text to iterate over, then `.answer`."""
        return self.predictor.stream(row)

    def read(self, file: str | Path, ledger: Any = None, **settings: str) -> Any:
        """The rows of a file, read as the run's own were but for these settings of `data` (`encoding="latin-1"`)."""
        return self.predictor.read(file, ledger, **settings)

    def __repr__(self) -> str:
        return f"Result({str(self.path)!r})"

    def _repr_html_(self) -> str:
        from .report.text import fragment

        return fragment(self.report)


def fit(data: Any = None, *, on_event: Callable[[Event], None] | None = None, **settings: Any) -> Result:
    """Fine-tune a model on a file, a folder, several files or a frame; returns the finished run.

    `settings`: task options by name (`label="stars"`), settings of the spec by name (`model=`, `strategy=`, `budget=`, `epochs=`)
    or by dotted path (`**{"train.lr": 1e-4}`), or a whole `spec=Spec(...)`. Raises TunesmithError before the first step for
    whatever the user can mend.
    """
    spec = make_spec(data, **settings)
    events = fit_events(spec)
    return follow(events, on_event)


def follow(events: Iterator[Event], on_event: Callable[[Event], None] | None = None) -> Result:
    """Run events to their end. Raises RunError where training was stopped before it."""
    path, reason = "", ""
    for event in events:
        if isinstance(event, Started | Already):
            path = event.run
        if isinstance(event, Finished):
            reason = event.reason
        if on_event:
            on_event(event)
    if reason == "stopped":
        raise RunError(
            path,
            expected="training to its end",
            got="a stop",
            fix=f"tunesmith.resume({path!r}) goes on",
            code="stopped",
        )
    return Result(path)


def make_spec(data: Any = None, *, spec: Spec | None = None, **settings: Any) -> Spec:
    """A spec from keyword settings: dotted paths, names of sections' settings, and whatever else is a task option."""
    base = spec or Spec()
    paths = _paths()
    assigned = {
        paths.get(name, name if "." in name else f"options.{name}"): value
        for name, value in settings.items()
        if value is not None
    }
    if data is not None:
        assigned["data.train"] = _data_path(data, base)
    return base.changed(assigned)


def plan(spec: Spec) -> Ready:
    """All decisions, nothing run."""
    refuse_words(spec)
    from .planning import prepare

    return prepare(spec)


def check(spec: Spec) -> Checked:
    """Findings about the data only."""
    refuse_words(spec)
    from .data.finding import refuse
    from .errors import DataError
    from .planning import read, seen

    chosen, data = read(spec)
    try:
        refuse(data.findings)
    except DataError:
        return Checked(data)
    marks, unseen = seen(spec, chosen, data)
    return Checked(data.with_findings(unseen), tuple(marks))


def fit_events(spec: Spec) -> Iterator[Event]:
    """Everything `fit` does, event by event; each is in the run's `events.jsonl` before it is handed out."""
    refuse_words(spec)
    from .planning import prepare

    ready = prepare(spec)
    state = _start(ready)
    run = Run.create(ready)
    with run.locked():
        yield _kept(run, _audited(ready))
        yield from _story(run, ready, state)


def _audited(ready: Ready) -> Audited:
    """What there is to say about the data; of long lists of rows the beginning."""
    from .data.finding import LISTED

    return Audited(ready.data.findings, tuple(replace(one, rows=one.rows[:LISTED]) for one in ready.data.ledger.entries))


def _start(ready: Ready) -> State:
    """The untrained state, once it is sure that its checkpoints will fit on the disk. Here torch is imported, not before."""
    from .training.room import require
    from .training.state import State

    state = State.start(ready)
    require(state, Path(ready.plan.spec.runs))
    return state


def resume(path: str | Path, on_event: Callable[[Event], None] | None = None) -> Result:
    """Go on with a stopped or killed run, to the same bits as if it had not been."""
    return follow(resume_events(path), on_event)


def resume_events(path: str | Path, *, smaller: bool = False) -> Iterator[Event]:
    """Go on with a run; `smaller`: with half the micro-batch, since memory ran out: same batch, same steps, same order.

    A run that is finished, and sealed, is left as it is: nothing is judged twice. Raises RunError where its data or settings are no
    longer the same.
    """
    from .planning import prepare
    from .seal import whole
    from .training.events import Adjusted
    from .training.room import require
    from .training.state import State

    run = Run(path)
    if run.finished and whole(run.path):
        yield Already(str(run.path))
        return
    with run.locked():
        run.mend_events()
        ready = prepare(run.spec)
        refuse_drift(run, ready)
        state, passed = State.resume(ready, run.checkpoints)
        state.smaller = smaller
        require(state, run.checkpoints)
        for folder in passed:
            yield _kept(
                run,
                Adjusted(
                    state.total, "checkpoint passed over", f"{folder.name} is damaged: went back to the one before"
                ),
            )
        yield from _story(run, ready, state)


def predict(path: str | Path, rows: Any) -> list[dict[str, Any]]:
    """Answers of a run for a text, for texts, or for rows, in the order asked."""
    return Result(path).predict(rows)


def evaluate(
    path: str | Path, file: str | Path, *, device: Device = "auto", precision: Precision = "fp32", **settings: str
) -> dict[str, Any]:
    """Scores with intervals of a run on a labelled file; each look at the run's own test rows is counted. Rows that the run was trained on,
    or that chose its weights, are counted (`met`) and warned of, with the scores without them (`unmet`).

    `device`, `precision`: as of `load`. `settings`: those of `data` that differ for this file (`encoding="latin-1"`, `empty="drop"`).
    """
    import numpy as np

    from .judging.judge import How, Judged, scores
    from .judging.looks import look
    from .judging.met import met, told

    result = Result(path, device=device, precision=precision)
    predictor, found = result.predictor, _labelled(result, file, settings)
    task, table = predictor.task, found.rows
    looks = look(result.path, f"evaluate {Path(file).name}")
    settings = result.run.spec.evaluate
    of_files = bool(task.models) or bool(set(task.files) & set(task.targets))  # the truth is read from files
    whole = predictor.with_files(table) if of_files else table
    outputs, truth = predictor.judged(whole)
    judged = Judged(whole, outputs, np.zeros(len(whole), np.int8) if truth is None else truth, condensed=truth is None)
    how = How(level=settings.confidence, resamples=settings.resamples, seed=result.run.spec.train.seed, metric=settings.metric)
    part = scores(task, judged, how)
    known = told(task, judged, table, met(predictor, table), how)
    findings = [finding.as_json() for finding in (*known["findings"], *found.findings)]
    said = {"findings": findings, "ledger": found.ledger.as_json(), "how_scored": dict(task.how_scored(judged.truth))}
    said |= {"file": str(file), "looks": looks, "met": known["met"], "unmet": known["unmet"], "precision": precision}
    return dict(part) | said


def _labelled(result: Result, file: str | Path, settings: Mapping[str, str]) -> Labelled:
    """The rows of a labelled file, cleaned as the run's own were; labels that the run never learned are named."""
    from .data.finding import refuse
    from .data.labelled import ready
    from .data.ledger import Ledger
    from .task import Task

    task, ledger = result.predictor.task, Ledger()
    table = result.read(file, ledger, **settings)
    if task.partial and set(task.columns(task.targets)) & set(table.names):
        for name in set(task.columns(task.targets)) - set(table.names):
            table = table.with_column(name, [None] * len(table))
    if task.files and type(task).tidied is not Task.tidied:
        table = result.predictor.with_files(table)  # what cells say is checked against the files that they speak of
    found = ready(
        task.tidied(table, ledger),
        result.run.spec.changed({f"data.{name}": value for name, value in settings.items()}).data,
        inputs=task.columns(task.inputs),
        targets=task.columns(task.targets),
        kind=task.target_kind,
        known=_known(task),
        ledger=ledger,
    )
    unseen = task.lost(found.rows, result.predictor.processor) if not task.files and len(found.rows) else []
    refuse(unseen)
    return replace(found, findings=(*found.findings, *unseen, *task.unlearned(found.rows)))


def _known(task: Task) -> Sequence[str]:
    """The labels that a task learned; none where it learned numbers."""
    return next((v for name in ("vocabulary", "labels") if isinstance(v := getattr(task, name, ()), tuple) and v), ())


def compare(path_a: str | Path, path_b: str | Path) -> dict[str, Any]:
    """Two runs on the test rows that both judged: each score, the difference with its interval, and a verdict."""
    from .judging.join import compare_runs

    return compare_runs(Result(path_a).run, Result(path_b).run)


def runs(root: str | Path = "runs") -> list[dict[str, Any]]:
    """The runs in a folder, newest first: path, task, headline score, state."""
    return [_line(run) for run in _runs(root)]


def verify(path: str | Path) -> list[str]:
    """What has changed in a finished run's files since it finished, as `file: what`; nothing where all is as it was.

    Raises RunError for a run that has not finished.
    """
    from .seal import changes

    return changes(Run(path).path)


def load(path: str | Path, *, device: Device = "auto", precision: Precision = "fp32") -> Result:
    """A run as `fit` returned it. `device`: `cpu`, `cuda`, or where the run was trained, if that is there; `precision`: `bf16` computes
    products in half the bits.

    Raises SpecError for another word.
    """
    return Result(path, device=device, precision=precision)


def _line(run: Run) -> dict[str, Any]:
    spec = run.spec
    line = {
        "run": str(run.path),
        "task": spec.task,
        "strategy": spec.strategy,
        "state": "finished" if run.finished else "unfinished",
    }
    if not run.finished:
        return line | {"score": "", "value": None}
    name, value = next(iter(run.read("report.json")["parts"]["test"]["scores"].items()))
    return line | {"score": name, "value": value["value"]}


def _story(run: Run, ready: Ready, state: State) -> Iterator[Event]:
    from .finish import finish
    from .training.loop import train

    with gently(state):
        for event in train(state, run.checkpoints):
            yield _kept(run, event)
    if not state.stop_asked:
        for event in finish(run, ready, state):
            yield _kept(run, event)


def _kept(run: Run, event: Event) -> Event:
    run.record(event)
    return event


def _paths() -> dict[str, str]:
    """Short name -> dotted path, where only one section has that name."""
    from .spec import fields_of

    found: dict[str, list[str]] = {}
    for path in fields_of():
        found.setdefault(path.rsplit(".", 1)[-1], []).append(path)
    return {name: paths[0] for name, paths in found.items() if len(paths) == 1}


def _data_path(data: Any, spec: Spec) -> str | list[str]:
    if isinstance(data, (str, Path)):
        return str(data)
    if isinstance(data, Sequence):
        return [str(item) for item in data]
    from .data.frames import write_frame

    return str(write_frame(data, Path(spec.runs) / ".frames"))
