"""The contract suite, public: what every task meets with every strategy. Authors of their own tasks and strategies run the same.

    import pytest
    from tunesmith import testing

    @pytest.mark.parametrize("check", testing.CHECKS)
    def test_my_task(check, tmp_path):
        testing.run(check, "my_task.py", "lora", "path/of/a/small/model", tmp_path)

A task or strategy that cannot meet a check says so in its own file: `exempt: ClassVar = {"check name": "the reason"}`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .planning import Ready
    from .training.state import State

ROWS = 60
"""Toy rows of a run."""
CLOSE = 1e-4
"""Largest difference of outputs that are the same but for rounding."""


def run(
    check: str, task: str, strategy: str, model: str | Path, folder: Path, options: Mapping[str, Any] | None = None
) -> None:
    """Run one check; `options`: the strategy's. Raises AssertionError where it is not met, Exempt where the subject says that it
    cannot be."""
    made = ready(task, strategy, model, folder, options)
    for subject in (made.task, made.strategy):
        reason = getattr(subject, "exempt", {}).get(check)
        if reason:
            raise Exempt(reason)
    CHECKS[check](made, folder)


class Exempt(Exception):
    """A check that the task or the strategy says it cannot meet; the message is its reason."""


def ready(
    task: str, strategy: str, model: str | Path, folder: Path, options: Mapping[str, Any] | None = None, **train: Any
) -> Ready:
    """A plan over the task's own toy rows."""
    from . import api
    from .registry import TASKS

    path = write_rows(TASKS.load(task).sample(ROWS, 0), folder / "rows.csv")
    settings = {"epochs": 2, "batch": 8, "lr": 1e-3, "threads": 1, "dropout": 0.0} | train
    paths: dict[str, Any] = {f"train.{name}": value for name, value in settings.items()} | {
        "data.near_duplicates": 0.0,
        "strategy_options": dict(options or {}),
    }
    return api.plan(
        api.make_spec(str(path), task=task, strategy=strategy, model=str(model), runs=str(folder / "runs"), **paths)
    )


def write_rows(rows: list[dict[str, Any]], path: Path) -> Path:
    """Rows as a CSV file, lists as JSON; as JSON lines where a CSV file could be misread: one column, or objects in cells."""
    if len(rows[0]) == 1 or any(isinstance(v, list) and v and isinstance(v[0], dict) for v in rows[0].values()):
        path = path.with_suffix(".jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return path
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            [{k: json.dumps(list(v)) if isinstance(v, (list, tuple)) else v for k, v in row.items()} for row in rows]
        )
    return path


def encoding_is_pure(made: Ready, folder: Path) -> None:
    """The same rows give the same examples, alone or together."""
    from .models.source import processor

    task, rows = made.task, made.data.train.rows(range(8))
    tokenizer = processor(made.source)
    together, again = task.encode(rows, tokenizer), task.encode(rows, tokenizer)
    alone = [example for row in rows for example in task.encode([row], tokenizer)]
    for a, b, c in zip(together, again, alone, strict=True):
        assert a.keys() == b.keys() and a.keys() - {"row"} == c.keys() - {"row"}
        assert all(np.array_equal(a[k], b[k]) and (k == "row" or np.array_equal(a[k], c[k])) for k in a)


def alone_is_as_in_a_batch(made: Ready, folder: Path) -> None:
    """A row's outputs do not depend on the rows beside it."""
    state, work = _start(made)
    together = _outputs(state, work.validation.encoded, 10**9)
    alone = _outputs(state, work.validation.encoded, 1)
    for name in together:
        _same(together[name], _aligned(made.task, name, together[name], alone[name]), CLOSE)


def gradients_are_finite_and_only_where_told(made: Ready, folder: Path) -> None:
    """Each stage's weights, and no other, get finite gradients."""
    import torch

    from .training.stages import gradient_of

    state, work = _start(made)
    for index, stage in enumerate(state.stages):
        state.stage = index
        state.enter_stage()
        state.model.train()
        if stage.solve:
            continue
        gradient_of(state, work, np.arange(8))
        got = {n for n, p in state.model.named_parameters() if p.grad is not None}
        assert got <= set(stage.rates) and got
        assert all(torch.isfinite(p.grad).all() for p in state.model.parameters() if p.grad is not None)
        state.model.zero_grad(set_to_none=True)


def frozen_weights_do_not_move(made: Ready, folder: Path) -> None:
    """What no stage names is the same to the bit after training; something else is not."""
    import torch

    state, _ = _start(made)
    before = {n: p.detach().clone() for n, p in state.model.named_parameters()}
    _train(state, folder / "c")
    moved = {n for n, p in state.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved and moved <= set(state.carried)


def sums_add_up(made: Ready, folder: Path) -> None:
    """The loss of a batch is the sum over any cutting of it, and so is its weight."""
    from .inference import collate

    state, work = _start(made)
    state.model.eval()
    batches = [collate(made.task, work.train.encoded, part, work.pad) for part in (range(8), range(3), range(3, 8))]
    whole, *parts = [float(made.task.loss(state.model, batch).detach()) for batch in batches]
    assert abs(whole - sum(parts)) <= CLOSE * max(1.0, abs(whole))
    weight, *weights = [made.task.weight(batch) for batch in batches]
    assert abs(weight - sum(weights)) <= 1e-6 * max(1.0, weight)


def cached_is_as_uncached(made: Ready, folder: Path) -> None:
    """Activations from the cache lead to the same weights as computing them every time (to rounding)."""
    found = []
    for cache in ("on", "off"):
        changed = _with(made, cache=cache)
        state, _ = _start(changed)
        _train(state, folder / cache)
        found.append([event.loss for event in _steps(state, folder / cache)])
    np.testing.assert_allclose(found[0], found[1], atol=1e-3, rtol=1e-3)


def a_stopped_run_resumes_to_the_same_bits(made: Ready, folder: Path) -> None:
    """Stopped after a few steps and resumed, all weights are those of the run that was left alone."""
    import torch

    from .training.loop import train
    from .training.state import State

    whole, _ = _start(made)
    _train(whole, folder / "whole")
    state, _ = _start(made)
    for event in train(state, folder / "again"):
        state.stop_asked = event.kind == "step"
    resumed, _ = State.resume(made, folder / "again")
    _train(resumed, folder / "again")
    for (name, a), (_, b) in zip(whole.model.named_parameters(), resumed.model.named_parameters(), strict=True):
        assert torch.equal(a, b), name


def the_saved_model_answers_alike(made: Ready, folder: Path) -> None:
    """Save, load: the same outputs; the task's JSON brings the same task back."""
    from .inference import infer
    from .models.save import load_model, save

    state, work = _start(made)
    _train(state, folder / "c")
    save(state.model, state.processor, folder / "model")
    before = _outputs(state, work.validation.encoded, 4096)
    after = infer(made.task, load_model(folder / "model"), work.validation.encoded, pad=work.pad)
    for name in before:
        _same(before[name], _aligned(made.task, name, before[name], after[name]), 1e-5)
    calibrated = made.task.calibrate(before, work.validation.truth)
    again = type(made.task).from_json(json.loads(json.dumps(calibrated.as_json())))
    assert again == calibrated and again.answers(before) == calibrated.answers(before)


def half_the_bits_answer_too(made: Ready, folder: Path) -> None:
    """With products in bf16 the model says as many answers, each of the same kind."""
    import torch

    from .inference import infer

    state, work = _start(made)
    wide = _outputs(state, work.validation.encoded, 4096)
    half = torch.autocast("cpu", torch.bfloat16)
    narrow = infer(made.task, state.model, work.validation.encoded, pad=work.pad, autocast=half)
    assert {name: (len(array), array.dtype) for name, array in narrow.items()} == {n: (len(a), a.dtype) for n, a in wide.items()}
    assert all(np.isfinite(narrow[name]).all() for name in wide if wide[name].dtype.kind == "f" and np.isfinite(wide[name]).all())
    answers = [made.task.calibrate(wide, work.validation.truth).answers(outputs) for outputs in (wide, narrow)]
    assert [list(one) for one in answers[0]] == [list(one) for one in answers[1]]


def toy_rows_are_learned(made: Ready, folder: Path) -> None:
    """The toy rows are learnable: training lowers the loss on what it sees."""
    state, work = _start(
        _with(made, epochs=12.0, lr=max(1e-3, 10 * float(made.plan.spec.train.lr) if made.strategy.adapter else 1e-3))
    )
    before = _loss(state, work)
    _train(state, folder / "c")
    assert _loss(state, work) < before


def scores_are_those_promised(made: Ready, folder: Path) -> None:
    """Names of the scores are those of `directions`, the one that chooses is finite, answers are JSON-able; rows condensed part by part,
    where the task says that they may be, have the scores of all of them."""
    state, work = _start(made)
    outputs = _outputs(state, work.validation.encoded, 4096)
    scores = made.task.score(outputs, work.validation.truth)
    assert list(scores) == list(made.task.directions) and np.isfinite(scores[made.task.chooses(next(iter(scores)))])
    answers = made.task.answers(outputs)
    assert len(answers) == len(work.validation.truth) and json.dumps(answers)
    by_part = made.task.by_part(made.data.validation)
    if by_part is not None:
        _condensed_by_part(made.task, by_part, outputs, work.validation.truth)


def what_is_kept_scores_alike(made: Ready, folder: Path) -> None:
    """Outputs and truth as `predictions.parquet` keeps them have the scores that they had: `compare` reads them there."""
    import pyarrow.parquet as pq

    from .finish import write_predictions
    from .inference import encode, infer, pad_id
    from .judging.join import kept

    state, rows = _start(made)[0], made.data.validation
    task = made.task if made.task.stocks else made.task.set_for("judging")
    outputs = infer(task, state.model, encode(task, state.processor, rows), pad=pad_id(state.processor))
    write_predictions(folder / "kept.parquet", task, {"test": rows}, {"test": outputs})
    again, truth = kept(pq.read_table(folder / "kept.parquet"))
    scores = task.score(task.condense(outputs, task.truth(rows)), task.truth(rows))
    np.testing.assert_allclose(list(task.score(task.condense(again, truth), truth).values()), list(scores.values()), rtol=1e-4, atol=1e-5)


CHECKS: dict[str, Callable[[Ready, Path], None]] = {
    function.__name__.replace("_", " "): function
    for function in (
        encoding_is_pure,
        alone_is_as_in_a_batch,
        gradients_are_finite_and_only_where_told,
        frozen_weights_do_not_move,
        sums_add_up,
        cached_is_as_uncached,
        a_stopped_run_resumes_to_the_same_bits,
        the_saved_model_answers_alike,
        half_the_bits_answer_too,
        toy_rows_are_learned,
        scores_are_those_promised,
        what_is_kept_scores_alike,
    )
}


def _same(one: np.ndarray, other: np.ndarray, tolerance: float) -> None:
    """Equal but for rounding; rows of unlike shape one by one, texts exactly."""
    if one.dtype != object:
        np.testing.assert_allclose(one, other, atol=tolerance)
        return
    for a, b in zip(one, other, strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, b, atol=tolerance)
        else:
            assert a == b


def _condensed_by_part(task: Any, by_part: Any, outputs: Mapping[str, np.ndarray], truth: np.ndarray) -> None:
    """The same of two parts as of the whole; scores without a look at the truth."""
    whole, middle = task.condense(outputs, truth), len(truth) // 3
    parts = [slice(0, middle), slice(middle, len(truth))]
    made = [by_part.condense({name: value[at] for name, value in outputs.items()}, truth[at]) for at in parts]
    joined = {name: np.concatenate([one[name] for one in made]) for name in whole}
    for name, value in whole.items():
        _same(value, joined[name], 0)
    np.testing.assert_equal(task.score(joined, np.zeros(len(truth), np.int8)), task.score(whole, truth))


def _aligned(task: Any, name: str, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The other outputs, each row's parts in the order of the one's."""
    found = other.copy()
    for row in range(len(one)):
        found[row] = task.aligned(name, one[row], other[row])
    return found


def _start(made: Ready) -> tuple[State, Any]:
    from .training.stages import Work
    from .training.state import State

    state = State.start(made)
    return state, Work.of(state)


def _train(state: State, folder: Path) -> None:
    from .training.checkpoint import write_json
    from .training.events import Step
    from .training.loop import train

    steps = [event.as_json() for event in train(state, folder) if isinstance(event, Step)]
    write_json(folder / "steps.json", steps)


def _steps(state: State, folder: Path) -> Iterable[Any]:
    from types import SimpleNamespace

    return [SimpleNamespace(**step) for step in json.loads((folder / "steps.json").read_text())]


def _outputs(state: State, encoded: Any, micro_tokens: int) -> dict[str, np.ndarray]:
    from .inference import infer, pad_id

    return infer(state.ready.task, state.model, encoded, pad=pad_id(state.processor), micro_tokens=micro_tokens)


def _loss(state: State, work: Any) -> float:
    import torch

    from .inference import collate

    state.model.eval()
    batch = collate(state.ready.task, work.train.encoded, range(len(work.train.encoded)), work.pad)
    with torch.no_grad():
        return float(state.ready.task.loss(state.model, batch)) / state.ready.task.weight(batch)


def _with(made: Ready, **train: Any) -> Ready:
    import dataclasses

    spec = made.plan.spec.changed({f"train.{name}": value for name, value in train.items()})
    return dataclasses.replace(made, plan=dataclasses.replace(made.plan, spec=spec))
