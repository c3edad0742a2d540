"""A model of its own for each target of a run with several: trained as the run was, on the rows that have the target.

What sharing one encoder gave or took is then the difference on the same test rows (`judging.judge`).
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Generator, Mapping
from pathlib import Path

from .data.table import Table
from .inference import encode, infer, pad_id
from .planning import Ready
from .task import Outputs, Task
from .training.events import Event, Judging
from .training.loop import train
from .training.state import State


def train_each(ready: Ready, rows: Table, folder: Path) -> Generator[Event, None, Outputs]:
    """Train the single tasks one after another, the same strategy and settings each; returns their outputs for `rows`, named after
    the targets. `folder`: for their checkpoints, which are not kept."""
    outputs: dict[str, Outputs] = {}
    try:
        for name, task in ready.task.singles().items():
            yield Judging(f"training a model for {name} alone")
            outputs[name] = _one(_alone(ready, task), rows, folder / str(len(outputs)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _named(outputs)


def _alone(ready: Ready, task: Task) -> Ready:
    """The plan of one target: rows that have it, its own headline."""
    data = ready.data
    parts = {part: _having(getattr(data, part), task) for part in ("train", "validation")}
    spec = ready.plan.spec.changed({"evaluate.metric": next(iter(task.directions)), "train.processes": 1})
    return dataclasses.replace(
        ready, task=task, data=dataclasses.replace(data, **parts), plan=dataclasses.replace(ready.plan, spec=spec)
    )


def _having(table: Table, task: Task) -> Table:
    from .parts.several import having

    for name in task.columns(task.targets):
        table = table.take(having(table, name))
    return table


def _one(ready: Ready, rows: Table, folder: Path) -> Outputs:
    state = State.start(ready)
    for _ in train(state, folder):
        pass
    state.load_best(folder)
    encoded = encode(ready.task, state.processor, _unanswered(rows, ready.task))
    return infer(ready.task, state.model, encoded, pad=pad_id(state.processor), micro_tokens=state.micro_tokens)


def _unanswered(rows: Table, task: Task) -> Table:
    """The rows without their targets, which some of them lack."""
    return Table.of(rows.to_arrow().select(task.columns(task.inputs)))


def _named(outputs: Mapping[str, Outputs]) -> Outputs:
    from .parts.several import named

    return {key: value for name, own in outputs.items() for key, value in named(own, name).items()}
