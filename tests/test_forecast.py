"""What a run will take: tried on the model at hand, added up, corrected by the first steps."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.runs import make_ready
from tunesmith import api, choices, forecast, trial
from tunesmith import facts as facts_module
from tunesmith.models.source import find
from tunesmith.registry import STRATEGIES
from tunesmith.run import Run
from tunesmith.spec import Train
from tunesmith.training.events import Forecasted
from tunesmith.training.state import State


@pytest.fixture(autouse=True)
def _same_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have left in this process is no part of a forecast."""
    monkeypatch.setattr(forecast, "held", lambda: 500_000_000)
    monkeypatch.setattr(forecast, "most_held", lambda: 700_000_000)


TRIED = trial.Trial(forward=1e-5, both=3e-5, kept=1e5, update=1e-9, body=10_000_000, bf16=0.9)


def facts(**changed: Any) -> facts_module.Facts:
    source: Any = SimpleNamespace(parameters=22_000_000, layers=6, hidden=384)
    base = facts_module.Facts(1_000, 20.0, source, False, 1, 1e11, longest=60, encoding=1e-4, trial=TRIED)
    return dataclasses.replace(base, **changed)


def planned(strategy: str, rows: int = 1_000, known: dict[str, Any] | None = None, **train: Any) -> forecast.Forecast:
    settings = {"epochs": 3.0, "batch": 32, "evaluations": 1, "micro_tokens": 4096} | train
    spec = api.make_spec("x.csv", **{f"train.{name}": value for name, value in settings.items()})
    data: Any = SimpleNamespace(part=lambda name: range(rows if name == "train" else rows // 10))
    return forecast.forecast(spec, facts(**known or {}), STRATEGIES.load(strategy)(), data, 2)


def test_the_trial_leaves_no_trace(tiny_bert: Path) -> None:
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    found = trial.trial(find(str(tiny_bert)), 11, 1e10, 1, bf16=True)
    assert found is not None and min(found.forward, found.both, found.kept, found.update) > 0
    assert found.forward < found.both, "a forward pass costs less than both"
    assert torch.equal(before, torch.get_rng_state()) and torch.get_num_threads() == threads


def test_what_is_kept_grows_with_the_layers_and_not_with_the_rows(tiny_bert: Path) -> None:
    few, many = (trial._few_layers(tiny_bert, layers) for layers in (1, 2))
    batch = lambda rows: {"input_ids": torch.ones(rows, 8, dtype=torch.long), "attention_mask": torch.ones(rows, 8)}  # noqa: E731
    keeps = lambda model, rows: trial.kept_by(model, lambda: trial._pass(model, batch(rows)))[0] / rows  # noqa: E731
    kept = {(model is many[0], rows): keeps(model, rows) for model, _ in (few, many) for rows in (4, 8)}
    assert kept[True, 8] > 1.5 * kept[False, 8]
    assert kept[True, 8] == pytest.approx(kept[True, 4], rel=0.1)


def test_a_model_that_cannot_be_tried_is_forecast_all_the_same(tmp_path: Path) -> None:
    assert trial._trial(tmp_path, 2, 8, 1, 1, False) is None
    assert choices.seconds_per_row(facts(trial=None)) > 0


@pytest.mark.parametrize(("faster", "chosen"), [(0.0, "fp32"), (0.8, "fp32"), (1.15, "fp32"), (1.3, "bf16")])
def test_bf16_is_chosen_where_whole_steps_are_clearly_faster(faster: float, chosen: str) -> None:
    tried = dataclasses.replace(TRIED, bf16=faster)
    found = choices.choose_precision(Train(), facts(trial=tried), STRATEGIES.load("full")())
    assert found.value == chosen and ("tried" in found.why) == bool(faster)


def test_the_optimisers_part_of_a_step_gains_nothing_from_bf16() -> None:
    half = dataclasses.replace(TRIED, bf16=2.0)
    assert trial._whole_steps(half, 20.0, 0) == pytest.approx(2.0)
    assert 1.0 < trial._whole_steps(half, 20.0, 22_000_000) < 2.0
    assert trial._whole_steps(dataclasses.replace(TRIED, bf16=0.0), 20.0, 0) == 0.0


def test_a_machine_makes_up_its_mind_once(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured twice, a figure near the border would have one file trained in two precisions."""
    said = iter([1.7, 1.2])
    monkeypatch.setattr(trial, "SMALL_SECONDS", 0.0)
    monkeypatch.setattr(trial, "_faster", lambda work, enough: next(said))
    try:
        first, again = (trial.trial(find(str(tiny_bert)), 13 + i / 10, 1e10, 1, bf16=True) for i in range(2))
        assert first is not None and again is not None and first.bf16 == again.bf16 > 0
        assert next(said) == 1.2, "the second time nothing was measured"
    finally:
        trial._trial.cache_clear()


@pytest.mark.parametrize(
    ("strategy", "options", "much", "tried"),
    [
        ("head-only", {}, 10.0, False),
        ("head-only", {}, 0.0, True),
        ("head-only", {"solve": False}, 10.0, True),
        ("full", {}, 10.0, True),
        ("auto", {}, 10.0, True),
    ],
)
def test_bf16_is_tried_only_where_steps_will_be_taken_or_there_is_much_to_read(
    strategy: str, options: dict[str, bool], much: float, tried: bool, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[bool]()
    monkeypatch.setattr(facts_module, "MUCH_SECONDS", much)
    monkeypatch.setattr(facts_module, "SMALL", 0)
    monkeypatch.setattr(facts_module, "trial", lambda *_, bf16: asked.append(bf16))
    ready = make_ready(tmp_path, tiny_bert, strategy=strategy, strategy_options=options)
    assert asked == [tried] and ready.plan.spec.train.precision == "fp32"


def test_a_tiny_model_is_never_left_to_noise(tiny_bert: Path) -> None:
    found = trial.trial(find(str(tiny_bert)), 9, 1e10, 1, bf16=True)
    assert found is not None and found.bf16 == 0.0


def test_parts_add_up_and_grow_with_what_causes_them() -> None:
    full = planned("full")
    assert full.seconds == pytest.approx(sum(full.parts.values()), abs=0.1)
    assert planned("full", epochs=6.0).parts["training"] == pytest.approx(2 * full.parts["training"], rel=1e-3)
    assert planned("full", rows=2_000).parts["training"] == pytest.approx(2 * full.parts["training"], rel=1e-3)
    assert planned("full", rows=2_000).memory_bytes == full.memory_bytes, "memory does not grow with the rows"


def test_what_is_frozen_is_paid_once() -> None:
    full, last, head = planned("full"), planned("last-k"), planned("head-only")
    assert 0.2 * full.parts["training"] < last.parts["training"] < 0.5 * full.parts["training"]
    assert head.parts["training"] == 0 < head.parts["solving"]
    assert planned("head-only", epochs=10.0).seconds == head.seconds
    assert planned("last-k", cache="off").parts["training"] > last.parts["training"]
    assert head.memory_bytes < last.memory_bytes < full.memory_bytes


def test_the_correction_is_exact_at_both_ends() -> None:
    found = planned("full")
    at_the_end = 7 + 5 * found.parts["judging passes"] + found.parts["judging"]
    assert forecast.corrected(found, 7.0, 1.0, 5.0) == pytest.approx(at_the_end, abs=0.1)
    as_planned = forecast.corrected(found, 0.0, 0.0, 1.0)
    before = sum(found.parts[name] for name in ("reading", "frozen layers", "solving"))
    assert as_planned == pytest.approx(found.seconds - before, abs=0.1), "what is behind us is in the time that has passed"


def test_a_run_corrects_its_forecast_once_a_stage(tiny_bert: Path, tmp_path: Path) -> None:
    from tunesmith.training.loop import train

    ready = make_ready(tmp_path, tiny_bert)
    run = Run.create(ready)
    told = [event for event in train(State.start(ready), run.checkpoints) if isinstance(event, Forecasted)]
    assert [event.step for event in told] == [4] and told[0].planned == ready.plan.forecast.seconds
    assert told[0].seconds > 0 and "real steps" in told[0].why


def test_words_that_no_row_has_and_bf16_are_foretold() -> None:
    """Fewer words: less memory and shorter steps. bf16: every step shorter by what was tried."""
    few = dataclasses.replace(facts(), words=0.2)
    spec = api.make_spec("x.csv", **{"train.epochs": 3.0, "train.batch": 32, "train.evaluations": 1, "train.micro_tokens": 1280})
    strategy = STRATEGIES.load("full")()
    (stage,) = forecast._stages(strategy, 6)
    assert forecast._memory(spec, facts(), (stage,), strategy) - forecast._memory(spec, few, (stage,), strategy) == pytest.approx(
        3 * 4 * 0.8 * 12_000_000, rel=0.05
    )
    half = dataclasses.replace(facts(), trial=dataclasses.replace(TRIED, bf16=1.5))
    asked = api.make_spec("x.csv", **{"train.precision": "bf16"})
    usual, quick = forecast.pace(half, spec, strategy, stage), forecast.pace(half, asked, strategy, stage)
    assert (usual.token / quick.token, usual.step / quick.step) == pytest.approx((1.5, 1.5))
    rows = {"train": 100, "validation": 50}
    for cost in (lambda spec: forecast._frozen(spec, half, (stage,), rows), lambda spec: forecast._validating(spec, half, stage, rows)):
        slow, fast = cost(spec), cost(asked.model_copy(update={"train": spec.train.model_copy(update={"precision": "bf16"})}))
        assert slow == pytest.approx(1.5 * fast)
