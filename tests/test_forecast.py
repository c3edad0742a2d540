"""What a run will take: tried on the model at hand, added up, corrected by the first steps."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.runs import make_ready, write_lines
from tests.tiny_models import writer
from tunesmith import api, choices, finish, forecast, importance, trial
from tunesmith import facts as facts_module
from tunesmith.data.table import Table
from tunesmith.forecast import GATE_ROWS, WORTH
from tunesmith.inference import READ_TOKENS
from tunesmith.models.language import CHUNK
from tunesmith.models.source import find
from tunesmith.parts import trees
from tunesmith.registry import STRATEGIES, TASKS
from tunesmith.rehearsal import Above
from tunesmith.run import Run
from tunesmith.spec import Train
from tunesmith.training import batches
from tunesmith.training.events import Forecasted
from tunesmith.training.state import State


@pytest.fixture(autouse=True)
def _same_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have left in this process is no part of a forecast."""
    monkeypatch.setattr(forecast, "held", lambda: 500_000_000)
    monkeypatch.setattr(forecast, "most_held", lambda: 700_000_000)


TRIED = trial.Trial(forward=1e-5, both=3e-5, kept=1e5, update=1e-9, body=10_000_000, bf16=0.9)


def facts(**changed: Any) -> facts_module.Facts:
    source: Any = SimpleNamespace(parameters=22_000_000, layers=6, hidden=384, decoder=False, modality="text")
    base = facts_module.Facts(1_000, 20.0, source, False, 1, 1e11, longest=60, encoding=1e-4, trial=TRIED)
    return dataclasses.replace(base, **changed)


def planned(strategy: str, rows: int = 1_000, known: dict[str, Any] | None = None, **train: Any) -> forecast.Forecast:
    settings = {"epochs": 3.0, "batch": 32, "evaluations": 1, "micro_tokens": 4096} | train
    spec = api.make_spec("x.csv", **{f"train.{name}": value for name, value in settings.items()})
    data: Any = SimpleNamespace(part=lambda name: range(rows if name == "train" else rows // 10))
    return forecast.forecast(spec, facts(**known or {}), STRATEGIES.load(strategy)(), data, 2)


def usual(length: int, rows: int = 16) -> trial.Usual:
    return trial.Usual.of(rows, np.arange(length - 4, length + 5)[:, None], 1280)


def test_the_trial_leaves_no_trace(tiny_bert: Path) -> None:
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    found = trial.trial(find(str(tiny_bert)), usual(11), 1e10, 1, "auto")
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
    assert trial._trial(tmp_path, 2, usual(8), 1, 1, "fp32") is None
    assert choices.seconds_per_row(facts(trial=None)) > 0


@pytest.mark.parametrize(("faster", "chosen"), [(0.0, "fp32"), (0.8, "fp32"), (1.15, "fp32"), (1.3, "bf16")])
def test_bf16_is_chosen_where_whole_steps_are_clearly_faster(faster: float, chosen: str) -> None:
    tried = dataclasses.replace(TRIED, bf16=faster)
    found = choices.choose_precision(Train(), facts(trial=tried), STRATEGIES.load("full")())
    assert found.value == chosen and ("tried" in found.why) == bool(faster)


def test_the_optimisers_part_of_a_step_gains_nothing_from_bf16() -> None:
    half = trial.Tried({"fp32": TRIED}, 2.0)
    assert trial._whole_steps(half, usual(20), 0) == pytest.approx(2.0)
    assert 1.0 < trial._whole_steps(half, usual(20, 8), 22_000_000) < trial._whole_steps(half, usual(20, 32), 22_000_000) < 2.0
    assert trial._whole_steps(trial.Tried({"fp32": TRIED}), usual(20), 0) == 0.0


def test_a_machine_makes_up_its_mind_once(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured twice, a figure near the border would have one file trained in two precisions. What it costs is measured each time."""
    said, asked = iter([1.7, 1.1]), list[str]()

    def tried(*about: Any) -> trial.Tried:
        asked.append(about[-1])
        gain = next(said) if about[-1] == "auto" else 0.0
        costs = {name: dataclasses.replace(TRIED, both=len(asked) * cost) for name, cost in (("fp32", 1e-5), ("bf16", 6e-6))}
        return trial.Tried(costs, gain)

    monkeypatch.setattr(trial, "_trial", tried)
    first, again = (trial.trial(find(str(tiny_bert)), usual(13 + i), 1e10, 1, "auto") for i in range(2))
    assert first is not None and again is not None and first.bf16 == again.bf16 > 1.2 and asked == ["auto", "bf16"]
    assert (first.both, again.both) == pytest.approx((6e-6, 12e-6)), "of the precision that is taken, and not of what was kept"


def test_what_is_tried_is_as_large_and_as_long_as_what_is_trained(tiny_bert: Path) -> None:
    """Passes of few rows cost a token more, and each new shape is compiled."""
    lengths_N = np.array([4] * 50 + [20] * 25 + [100] * 25)
    found = trial.Usual.of(16, lengths_N[:, None], 1280)
    assert found.tokens == pytest.approx(lengths_N.mean(), rel=0.05) and len(set(found.lengths)) >= 3
    assert [found.passing(length) for length in (4, 80, 100)] == [16, 16, 8], "a batch of long rows is parted evenly"
    model, _ = trial._few_layers(tiny_bert, 1)
    shapes = [tuple(tuple(batch["input_ids"].shape) for batch in pair) for pair in trial._passes(model, found, 1e12, 1)]
    assert {(16, 4), (8, 100)} <= {learnt for learnt, _ in shapes}
    assert {length: rows for _, (rows, length) in shapes}[100] == READ_TOKENS // 100


def test_an_optimisers_part_is_timed_with_the_gradients_of_a_pass(tiny_bert: Path) -> None:
    model, _ = trial._few_layers(tiny_bert, 1)
    model.train()
    steps = trial._Steps(model)
    before = steps.some[0].detach().clone()
    steps(trial._batch(4, 8), False)
    assert steps.update[0] > 0 and not torch.equal(before, steps.some[0]), "weights moved"
    assert all(weight.grad is None for weight in model.parameters()), "the next pass makes its gradients anew, as in training"


@pytest.mark.parametrize(("slower", "counted"), [(1.5, {"fp32", "bf16"}), (4.0, {"fp32"})])
def test_a_machine_that_is_slow_in_bf16_is_not_asked_for_long(slower: float, counted: set[str]) -> None:
    class Steps:
        update = [0.0, 1e-9, 3e-9, 2e-9]

        def __call__(self, batch: Any, half: bool) -> tuple[float, float]:
            return (slower if half else 1.0,) * 2

    both, gain, update = trial._both(Steps(), [trial._batch(2, 8)] * 5, "auto")
    assert set(both) == counted and gain == pytest.approx(1 / slower) and update == 2e-9


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
    asked = list[str]()
    monkeypatch.setattr(facts_module, "MUCH_SECONDS", much)
    monkeypatch.setattr(facts_module, "SMALL", 0)
    monkeypatch.setattr(facts_module, "trial", lambda *about: asked.append(about[-1]))
    ready = make_ready(tmp_path, tiny_bert, strategy=strategy, strategy_options=options)
    assert asked == ["auto" if tried else "fp32"] and ready.plan.spec.train.precision == "fp32"


def test_a_tiny_model_is_never_left_to_noise(tiny_bert: Path) -> None:
    found = trial.trial(find(str(tiny_bert)), usual(9), 1e10, 1, "auto")
    assert found is not None and found.bf16 == 0.0


def test_parts_add_up_and_grow_with_what_causes_them() -> None:
    full = planned("full")
    assert full.seconds == pytest.approx(sum(full.parts.values()), abs=0.1)
    assert planned("full", epochs=6.0).parts["training"] == pytest.approx(2 * full.parts["training"], abs=0.02)
    assert planned("full", rows=2_000).parts["training"] == pytest.approx(2 * full.parts["training"], abs=0.02)
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
    """Fewer words: less memory and shorter steps. bf16: every pass shorter by what was tried."""
    few = dataclasses.replace(facts(), words=0.2)
    spec = api.make_spec("x.csv", **{"train.epochs": 3.0, "train.batch": 32, "train.evaluations": 1, "train.micro_tokens": 1280})
    strategy = STRATEGIES.load("full")()
    (stage,) = forecast._stages(strategy, 6)
    assert forecast._memory(spec, facts(), (stage,), strategy) - forecast._memory(spec, few, (stage,), strategy) == pytest.approx(
        3 * 4 * 0.8 * 12_000_000, rel=0.05
    )
    half = dataclasses.replace(facts(), trial=dataclasses.replace(TRIED, both=TRIED.both / 1.5, seen=TRIED.forward / 1.5))
    slow, quick = (forecast.pace(known, spec, strategy, stage) for known in (facts(), half))
    assert (slow.token / quick.token, slow.step / quick.step) == pytest.approx((1.5, 1.0)), "the optimiser's part stays in float32"
    rows = {"train": 100, "validation": 50, "calibration": 10, "test": 10}
    for cost in (lambda known: forecast._frozen(spec, known, (stage,), rows), lambda known: forecast._validating(spec, known, stage, rows)):
        assert cost(facts()) == pytest.approx(1.5 * cost(half))
    assert forecast._read(facts()) == forecast._read(half), "what is judged is computed in float32"


def test_checkpoints_are_foretold_by_what_learns_and_how_often_it_is_judged() -> None:
    quick, slow = planned("full", known={"keeping": 0.0}), planned("full", known={"keeping": 1e-9})
    often = planned("full", known={"keeping": 1e-9}, evaluations=2)
    learnt = facts().source.parameters  # layers and words: all
    assert quick.parts["saving"] == 0 < slow.parts["saving"]
    assert often.parts["saving"] - slow.parts["saving"] == pytest.approx(3 * 4 * 4 * learnt * 1e-9, abs=0.02), "three epochs, four numbers"
    assert planned("last-k", known={"keeping": 1e-9}).parts["saving"] < slow.parts["saving"]
    assert facts_module.writing_rate() > 0


def test_a_table_is_foretold_its_heads_steps_its_columns_worth_and_its_trees() -> None:
    above = Above(step=0.01, asking=1e-4)
    plain, wide = planned("head-only"), planned("head-only", known={"above": above, "columns": 20})
    assert wide.parts["head"] == pytest.approx(0.01 * 3 * 1_000 / 32, rel=0.01), "its steps: three epochs of batches of 32"
    assert "head" not in plain.parts and wide.parts["solving"] == 0 == wide.parts["training"]
    assert wide.parts["judging"] - plain.parts["judging"] == pytest.approx((1 + 3 * 20) * 100 * 1e-4, rel=0.05)
    few, many = (planned("head-only", known={"trees": (count, 20)}).parts["judging"] for count in (200, 4_000))
    assert many > few > plain.parts["judging"]
    assert (WORTH, GATE_ROWS, trees.ROUNDS) == ((importance.ROWS, importance.TIMES), finish.GATE_ROWS, 200)
    assert facts_module.WINDOW == batches.WINDOW


def test_vectors_of_words_are_held_while_a_head_is_solved_on_them() -> None:
    rows, words, more = (planned("head-only", known={"units": units}) for units in (1.0, 500.0, 1_000.0))
    assert more.memory_bytes - words.memory_bytes == 2 * 4 * 1_000 * 500 * facts().source.hidden
    assert rows.memory_bytes < words.memory_bytes < rows.memory_bytes + 2 * 4 * 1_000 * 500 * facts().source.hidden, "not while it trains"
    assert planned("full").memory_bytes == planned("full", known={"units": 500.0}).memory_bytes


def test_texts_of_a_row_that_are_read_apart_are_foretold_apart(tiny_bert: Path, tmp_path: Path) -> None:
    """Passes are of one text each, as long as that, padded among themselves; a joint loss has each made twice where a batch is cut."""
    whole, halves = trial.Usual.of(64, np.full((9, 1), 26), 1280), trial.Usual.of(64, np.full((9, 2), 13), 1280)
    assert halves.lengths == tuple(length // 2 for length in whole.lengths) and halves.passing(13) == whole.passing(26)
    even, uneven = np.full((10, 2), 5), np.array([[1, 9], [9, 1]] * 5)
    assert facts_module.padded(even, 2) == 1.0 < facts_module.padded(uneven, 2) == facts_module.padded(uneven, 1) == 1.8
    training = lambda most, **known: planned("full", batch=64, micro_tokens=most, known=known).parts["training"]  # noqa: E731
    assert training(64, joint=True) > training(64) == training(10**6, joint=True)


def test_a_model_that_could_do_the_task_before_is_judged_once_more() -> None:
    first, again = (planned("full", known={"did": did}, epochs=epochs) for did, epochs in ((True, 1.0), (False, 2.0)))
    assert first.parts["validation"] == again.parts["validation"] > 0


def test_a_model_of_its_own_for_each_target_is_foretold_as_much_again() -> None:
    both, alone = planned("full"), planned("full", known={"singles": 2})
    learned = sum(both.parts[name] for name in ("solving", "training", "validation", "saving"))
    assert "alone" not in both.parts and alone.parts["alone"] > 2 * learned
    assert alone.seconds == pytest.approx(both.seconds + alone.parts["alone"], abs=0.2)
    ahead = forecast.corrected(alone, 10.0, 1.0, 1.0) - forecast.corrected(both, 10.0, 1.0, 1.0)
    assert ahead == pytest.approx(alone.parts["alone"], abs=0.2), "they come when the training of all is over"


def test_what_the_trial_leaves_behind_is_not_counted_twice() -> None:
    """Compiled products are kept, of a bounded number of shapes: training adds what is missing."""
    before, after = (planned("full", known={"trial": dataclasses.replace(TRIED, left=left)}) for left in (0, 80_000_000))
    assert before.memory_bytes - after.memory_bytes == 80_000_000


def test_the_head_of_a_table_is_tried_by_itself(tiny_bert: Path, tmp_path: Path) -> None:
    task = TASKS.load("mixed")
    path = write_lines(tmp_path / "rows.jsonl", [row | {"size": row["size"] or None} for row in task.sample(60, 0)])
    ready = api.plan(api.make_spec(str(path), model=str(tiny_bert), task="mixed", target="target", runs=str(tmp_path / "runs"), threads=1))
    found = facts_module.measure(ready.plan.spec, ready.task, ready.source, ready.data)
    assert found.above.step > 0 and found.above.asking > 0 and ready.plan.forecast.parts["head"] > 0
    assert found.columns == len(ready.task.read_as()) and found.trees == (200, len(ready.task.fields))


def test_rows_that_are_measured_come_from_all_over_the_file(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts_module, "SAMPLE", 40)
    ready = make_ready(tmp_path, tiny_bert)
    rows = [{"text": " ".join(["word"] * (3 if i < 200 else 40)), "label": "ab"[i % 2]} for i in range(400)]
    data = dataclasses.replace(ready.data, train=Table.of(rows))
    found = facts_module.measure(ready.plan.spec, ready.task, ready.source, data)
    assert 15 < found.tokens < 35, "half of the rows are short, and these come first"


def test_memory_is_that_of_the_longest_texts(tiny_bert: Path) -> None:
    """Attention keeps numbers for each pair of tokens; short questions beside long texts make neither shorter."""
    pairs_NK = np.array([[4, 60 + i % 3] for i in range(50)])
    alike = trial.Usual.of(16, np.full((50, 2), 32), 1280)
    apart = trial.Usual.of(16, pairs_NK, 1280)
    assert (alike.widest, apart.widest) == (32, 62) and max(apart.lengths) < 40
    kept = [found.kept for found in (trial.trial(find(str(tiny_bert)), one, 1e10, 1, "fp32") for one in (alike, apart)) if found]
    assert kept[1] > 1.1 * kept[0]


def test_passes_of_an_encoder_leave_as_they_keep() -> None:
    """Arrays of unlike shapes lie free beside each other: as much as a pass keeps, or nearly, where that is more than usual."""
    tried = {kept: dataclasses.replace(TRIED, kept=kept) for kept in (1e4, 2e4, 1e6, 2e6)}
    held = {kept: planned("full", known={"trial": one}).memory_bytes for kept, one in tried.items()}
    tokens = 32 * facts().longest
    assert held[2e6] - held[1e6] == pytest.approx(1e6 * tokens * (1 + forecast.UNLIKE_SHARE), rel=1e-3)
    assert held[2e4] - held[1e4] <= 1.01 * 1e4 * tokens


def test_a_decoders_map_to_the_vocabulary_is_paid_for_what_is_learnt() -> None:
    plain, headed, half = (planned("lora", known={"asked": asked}) for asked in ((0, 0.0), (50_000, 1.0), (50_000, 0.5)))
    assert plain.parts["training"] < half.parts["training"] < headed.parts["training"]
    assert plain.parts["judging passes"] < half.parts["judging passes"] < headed.parts["judging passes"]
    assert headed.memory_bytes - plain.memory_bytes == 12 * 50_000 * CHUNK, "held a chunk at a time, whatever a pass has"


def test_replies_that_are_judged_are_foretold(tmp_path: Path) -> None:
    rows = TASKS.load("dialogue").sample(60, 0)
    path = write_lines(tmp_path / "rows.jsonl", rows)
    spec = {"model": str(writer(tmp_path / "llama")), "task": "dialogue", "runs": str(tmp_path / "runs"), "test_share": 0.2}
    plans = [api.plan(api.make_spec(str(path), judged_replies=most, max_new_tokens=10, **spec)) for most in (0, 4, 10**6)]
    written = [facts_module.measure(ready.plan.spec, ready.task, ready.source, ready.data).written for ready in plans]
    assert written == [0, 40, 10 * len(plans[0].data.test)]
    few, many = (planned("lora", known={"written": count}).parts["writing"] for count in (1e5, 3e5))
    assert many == pytest.approx(3 * few, rel=1e-3) and few > 0 and "writing" not in planned("lora").parts
