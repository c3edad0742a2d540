"""Filling the shelf of a task that answers from documents, once its weights are final: a reader tuned on the training rows' passages, all
passages embedded, and the weight of vectors beside full text, chosen on the validation rows.

The reader is what `tunesmith fit --task extractive-qa` would make of these passages; it has checkpoints of its own, so that a stopped run
goes on with it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .data.split import PARTS
from .data.table import Table
from .inference import encode, infer, pad_id
from .parts import asking, knowing, readers
from .parts.passages import Library
from .planning import Ready, prepare
from .registry import TASKS
from .shelf import Reader, Shelf, embed
from .spec import Spec
from .training.events import Event, Judging
from .training.loop import train
from .training.state import State

WEIGHTS = (0.5, 0.25, 0.75, 1.0, 0.0)
"""Weights of the vectors that are tried; the first of equals is taken."""
ALONE = "The tuned vectors without full text"
FEWEST_DOCUMENTS = 5
"""Documents of validation questions from which another weight than the first may be taken."""
FEWEST = 8
"""Rows from which a reader is tuned."""


def fill(ready: Ready, state: State, folder: Path) -> Generator[Event, None, Ready]:
    """Give the state's model its shelf; returns the plan with a task that knows how it searches. `folder`: for the reader's checkpoints,
    which are kept until this is done."""
    task: Any = ready.task
    reader = None
    if task.reads:
        yield Judging("tuning the reader on the training questions' passages" if task.reader == "auto" else "loading the reader")
        reader = _tuned(ready, folder) if task.reader == "auto" else _given(task.reader)
    library = _library(ready)
    yield Judging(f"embedding {len(library.passages):,} passages")
    filled = _embedded(ready, state, library, reader)
    gains, document_N = _gains(ready, state, filled)
    best = _best(gains, document_N)
    state.model.shelf = filled.weighing(best)
    told = ", ".join(f"{weight:g}: {gains[weight].mean() if len(document_N) else np.nan:.3f}" for weight in sorted(WEIGHTS))
    note = f"vectors weigh {best:g}, full text the rest (nDCG@10 of the validation questions at each weight of the vectors: {told})"
    yield Judging(note)
    shutil.rmtree(folder, ignore_errors=True)
    return replace(ready, task=task.settle(searched=note))


def borrow(ready: Ready, untouched: State, state: State) -> None:
    """Give the untuned model the same shelf, with vectors of its own, which are searched alone."""
    shelf: Shelf = state.model.shelf
    untouched.model.shelf = _embedded(ready, untouched, shelf.library, shelf.reader).weighing(1.0)


@contextmanager
def alone(state: State) -> Iterator[None]:
    """The tuned model's vectors searched alone, for a while: what tuning gave them, beside the untuned ones."""
    shelf: Shelf = state.model.shelf
    state.model.shelf = shelf.weighing(1.0)
    try:
        yield
    finally:
        state.model.shelf = shelf


def _embedded(ready: Ready, state: State, library: Library, reader: Reader | None) -> Shelf:
    task: Any = ready.task
    vectors_PD = embed(task.retriever, state.model, state.processor, library.passages.texts(), state.micro_tokens)
    return Shelf(library, vectors_PD, 0.5, reader, task.read)


def _library(ready: Ready) -> Library:
    """The documents of all parts."""
    task: Any = ready.task
    tables = [ready.data.part(part).to_arrow() for part in PARTS]
    found: Library = task.library(Table.of(pa.concat_tables(tables, promote_options="permissive")))
    return found


def _best(gains: Mapping[float, np.ndarray], document_N: np.ndarray) -> float:
    """The weight that is best beyond chance (a standard error of the difference, over documents, since questions of one are alike), else
    the first."""
    first = gains[WEIGHTS[0]]
    best = max(WEIGHTS, key=lambda weight: gains[weight].mean() if len(first) else 0.0)
    names, place_N = np.unique(document_N, return_inverse=True)
    if len(names) < FEWEST_DOCUMENTS:
        return WEIGHTS[0]
    more_G = np.bincount(place_N, gains[best] - first) / np.bincount(place_N)
    return best if more_G.mean() > more_G.std(ddof=1) / np.sqrt(len(names)) else WEIGHTS[0]


def _gains(ready: Ready, state: State, shelf: Shelf) -> tuple[dict[float, np.ndarray], np.ndarray]:
    """Weight of the vectors -> nDCG@10 (N,) of the validation and calibration questions that look for something; their documents."""
    task: Any = ready.task
    both = [ready.data.validation.to_arrow(), ready.data.calibration.to_arrow()]
    rows = Table.of(pa.concat_tables(both, promote_options="permissive"))
    rows = rows.take(np.array([bool(json.loads(cell)["units"]) for cell in rows.column(asking.TRUTH)], bool))
    if not len(rows):
        return dict.fromkeys(WEIGHTS, np.zeros(0)), np.zeros(0, str)
    questions = [str(cell) for cell in rows.column(task.question)]
    encoded = encode(task, state.processor, Table.of({task.question: questions}))
    vectors_BD = infer(task, state.model, encoded, pad=pad_id(state.processor), micro_tokens=state.micro_tokens)["vectors"][:, 0]
    truth, passages = task.truth(rows), shelf.library.passages
    name = lambda at: [passages.documents[at], "", *passages.spans_P2[at].tolist(), 0.0, 0.0, 0.0, ""]  # noqa: E731
    found = {}
    for weight in WEIGHTS:
        ranked = shelf.weighing(weight).ranked(questions, vectors_BD)
        gains = [knowing.found_scores([name(hit[0]) for hit in hits], row)[3] for hits, row in zip(ranked, truth)]
        found[weight] = np.array(gains)
    return found, np.array(rows.column(asking.DOCUMENT))


# -- readers ----------------------------------------------------------------------------------------------------------


def _given(reader: str) -> Reader:
    """A finished run's model, or a language model as it came."""
    from .models.save import load_model, load_processor
    from .models.source import find, load, processor

    run = readers.run_of(reader)
    if run is not None:
        saved = json.loads((run / "task.json").read_text("utf-8"))
        task = TASKS.load(saved["name"]).from_json(saved["values"])
        return Reader(task, load_model(run / "model", task), load_processor(run / "model"))
    source = find(reader)
    task = TASKS.load("text-generation").build({}, "text-generation")
    return Reader(task, task.model(load(source, form="language"), dropout=0.0).eval(), processor(source), writes=True)


def reading(ready: Ready, folder: Path) -> Ready | None:
    """The plan of the reader, its rows written into the folder; None where the training rows have none to learn from."""
    task: Any = ready.task
    parts = {part: list(readers.rows(ready.data.part(part), task.question)) for part in ("train", "validation")}
    if min(len(parts["train"]) // FEWEST, len(parts["validation"]), sum(bool(row["answers"]) for row in parts["train"])) < 1:
        return None
    return prepare(_spec(ready, {part: _write(rows, folder / f"{part}.jsonl") for part, rows in parts.items()}))


def _tuned(ready: Ready, folder: Path) -> Reader | None:
    """A copy of the model, tuned to point at answers."""
    made = reading(ready, folder)
    if made is None:
        return None
    state, _ = State.resume(made, folder / "checkpoints") if (folder / "checkpoints").is_dir() else (State.start(made), [])
    for _ in train(state, folder / "checkpoints"):
        pass
    state.load_best(folder / "checkpoints")
    return Reader(made.task, state.model.eval(), state.processor)


def _write(rows: Sequence[dict[str, Any]], path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), "utf-8")
    return str(path)


def _spec(ready: Ready, files: dict[str, str]) -> Spec:
    """What a user would ask for: an extractive-qa run on these rows, on this machine as it is used by the run itself."""
    own = ready.plan.spec.train
    kept = {f"train.{name}": getattr(own, name) for name in ("seed", "threads", "device", "precision") if hasattr(own, name)}
    return Spec().changed({
        "task": readers.POINTS, "model": ready.plan.spec.model, "data.train": files["train"], "data.validation": files["validation"],
        "data.test_share": 0.0, "data.calibration_share": 0.0, "train.epochs": ready.task.reader_epochs, "train.processes": 1,  # type: ignore[attr-defined]
        "options": {"lost_answers": "skip"}, "data.near_duplicates": 0.0,
    } | kept)  # fmt: skip

