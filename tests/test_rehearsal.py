"""Images and sounds are tried as they are learnt from: read, computed, kept; and what the run took is told apart from the clock."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny_images
from tests.runs import make_ready, write_lines
from tests.tasks.test_image_tasks import labelled
from tests.test_forecast import facts, planned
from tests.tiny_models import bert
from tests.tiny_pairs import pair
from tunesmith import api, forecast, spent, testing
from tunesmith.facts import _units, measure, padded
from tunesmith.finish import measured
from tunesmith.inference import collate, encode, pad_id
from tunesmith.models.source import find, load, processor, untrained
from tunesmith.planning import Ready
from tunesmith.registry import STRATEGIES, TASKS
from tunesmith.rehearsal import Manner, rehearse
from tunesmith.run import Run
from tunesmith.tasks.translation import Translation
from tunesmith.training.state import State
from tunesmith.trial import kept_by

FAST = {"train.epochs": 1, "train.batch": 8, "train.threads": 1, "data.near_duplicates": 0.0}


def ready_of(folder: Path, family: str) -> Ready:
    """A plan over the task's toy images, with a tiny model."""
    model = tiny_images.make(folder / family, family)
    return api.plan(api.make_spec(str(labelled(folder / "pets", 40)), model=str(model), runs=str(folder / "runs"), **FAST))


@pytest.mark.parametrize("family", ["efficientnet", "resnet", "vit"])
def test_what_an_image_keeps_is_foretold_of_any_architecture(family: str, tmp_path: Path) -> None:
    """Of a network that grows narrow as it goes, no product of layers, tokens and width says how much that is."""
    ready = ready_of(tmp_path, family)
    reader, task = processor(ready.source), ready.task
    encoded = encode(task, reader, ready.data.train)
    found = rehearse(task, ready.source, encoded, reader, 1)
    assert found.trial is not None and 0 < found.trial.forward < found.trial.both
    model = State.start(ready).model
    batch = collate(task, encoded, np.arange(8), pad_id(reader))
    kept, largest = kept_by(model, lambda: task.loss(model, batch).sum().backward())
    assert kept <= found.trial.kept * encoded.lengths_N[:8].sum() <= 1.1 * (kept + 2 * largest)
    assert found.trial.whole == sum(weight.numel() for weight in model.parameters())


def test_a_trial_of_images_leaves_no_trace_and_reads_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = ready_of(tmp_path, "resnet")
    reader = processor(ready.source)
    monkeypatch.setattr("tunesmith.models.loading.read_weights", lambda folder: pytest.fail("weights are read"))
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    rehearse(ready.task, ready.source, encode(ready.task, reader, ready.data.train), reader, 1)
    assert torch.equal(before, torch.get_rng_state()) and torch.get_num_threads() == threads
    assert float(torch.tensor([1e-40]) * 0.5) > 0, "small numbers count again"


def test_a_model_that_cannot_be_made_from_its_config_is_forecast_by_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.rehearsal.LARGEST", 0)
    ready = ready_of(tmp_path, "vit")
    assert ready.plan.forecast.parts["training"] > 0
    found = measure(ready.plan.spec, ready.task, ready.source, ready.data)
    assert found.trial is None and found.fetching > 0, "reading is measured all the same"


def test_an_untrained_model_is_made_as_a_loaded_one(tmp_path: Path) -> None:
    for family in tiny_images.FAMILIES:
        source = find(str(tiny_images.make(tmp_path / family, family)), "image")
        shapes = [{name: tuple(w.shape) for name, w in made.module.named_parameters()} for made in (untrained(source), load(source))]
        assert shapes[0] == shapes[1], family


@pytest.mark.parametrize("family", ["bert", "t5", "bart"])
def test_a_model_of_two_stacks_is_tried_whole_with_its_head(family: str, tmp_path: Path) -> None:
    folder = bert(tmp_path / family, layers=1) if family == "bert" else pair(tmp_path / family, family)
    path = write_lines(tmp_path / "rows.jsonl", Translation.sample(60, 0))
    ready = api.plan(api.make_spec(str(path), model=str(folder), task="translation", runs=str(tmp_path / "runs"), **FAST))
    source, reader, task = ready.source, processor(ready.source), ready.task
    both = (untrained(source, "seq2seq"), load(source, form="seq2seq"))
    shapes = [{name: tuple(w.shape) for name, w in made.module.named_parameters()} for made in both]
    assert shapes[0] == shapes[1]
    encoded, model = encode(task, reader, ready.data.train), State.start(ready).model
    found = rehearse(task, source, encoded, reader, 1, Manner(rows=16))
    assert found.trial is not None and found.fetching == found.changing == 0
    assert found.trial.whole == sum(weight.numel() for weight in model.parameters())
    batch = collate(task, encoded, np.arange(8), pad_id(reader))
    kept, _ = kept_by(model, lambda: task.loss(model, batch).sum().backward())
    assert kept / 1.5 < found.trial.kept * encoded.lengths_N[:8].sum() < 3 * kept
    assert measure(ready.plan.spec, task, source, ready.data).trial.whole == found.trial.whole, "and the plan rests on it"


def test_rows_that_are_read_anew_in_each_epoch_are_paid_in_each() -> None:
    slow = {"fetching": 0.01, "changing": 0.03}
    once, often = planned("full"), planned("full", known=slow)
    assert often.parts["training"] - once.parts["training"] == pytest.approx(3 * 1_000 * 0.03, rel=1e-3)
    assert often.parts["validation"] - once.parts["validation"] == pytest.approx(3 * 100 * 0.01, abs=0.02)
    assert often.parts["judging passes"] > once.parts["judging passes"]
    head = planned("head-only", known=slow)
    assert head.parts["training"] == 0 and head.parts["frozen layers"] > planned("head-only").parts["frozen layers"]


def test_windows_make_steps_and_examples_of_one_length_need_no_padding() -> None:
    one, three = planned("full"), planned("full", known={"examples": 3.0})
    assert three.parts["training"] > one.parts["training"], "three times the optimiser's steps"
    unlike = planned("full", known={"padding": 1.05, "filling": 1.02})
    assert unlike.parts["training"] > one.parts["training"] and unlike.parts["judging passes"] > one.parts["judging passes"]
    assert planned("full", known={"longest": 20}).memory_bytes < one.memory_bytes
    rising = np.arange(1, 101)[:, None]
    assert padded(np.full((100, 1), 7), 10) == padded(rising, 100) == 1.0 < padded(rising, 10) < padded(rising, 2)
    assert planned("full", micro_tokens=32).memory_bytes == planned("full", micro_tokens=60).memory_bytes, "one row is a pass at least"


def test_a_head_on_words_is_solved_on_as_many_vectors_as_there_are_words() -> None:
    rows, words = planned("probe-then-tune"), planned("probe-then-tune", known={"units": 12.0})
    assert words.parts["solving"] > 9 * rows.parts["solving"] > 0


def test_tagged_words_are_counted_and_their_head_has_an_output_for_each_tag(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [{"tokens": ["to", "Rome", "or", "Oslo"], "tags": ["O", "B-city", "O", "B-city"]}, {"tokens": ["no"], "tags": ["O"]}]
    many = [row | {"tokens": [*row["tokens"], str(i)], "tags": [*row["tags"], "O"]} for i, row in enumerate(rows * 30)]
    path = write_lines(tmp_path / "rows.jsonl", many)
    ready = api.plan(api.make_spec(str(path), model=str(tiny_bert), task="token-classification", runs=str(tmp_path), threads=1))
    found = measure(ready.plan.spec, ready.task, ready.source, ready.data)
    words = sum(len(row["tags"]) for row in ready.data.train.rows())
    assert found.units == pytest.approx(words / len(ready.data.train)) and ready.task.head_size() == 3


def test_a_voice_that_is_made_from_nothing_is_tried_as_it_is(tmp_path: Path) -> None:
    """Its sounds are held, not read late, and no few layers of it are texts' layers."""
    path = testing.write_rows(TASKS.load("speech-synthesis").sample(24, 0), tmp_path / "rows.csv")
    ready = api.plan(api.make_spec(str(path), model="new-voice", task="speech-synthesis", runs=str(tmp_path / "runs"), **FAST))
    found = measure(ready.plan.spec, ready.task, ready.source, ready.data)
    assert found.trial is not None and found.fetching == 0
    assert found.trial.whole == sum(weight.numel() for weight in State.start(ready).model.parameters())


def test_cells_of_images_are_counted_up_to_those_on_which_a_head_is_solved(tmp_path: Path) -> None:
    path = testing.write_rows(TASKS.load("image-segmentation").sample(40, 0), tmp_path / "rows.csv")
    model = tiny_images.make(tmp_path / "vit", "vit")
    ready = api.plan(api.make_spec(str(path), model=str(model), runs=str(tmp_path / "runs"), **FAST))
    encoded = encode(ready.task, processor(ready.source), ready.data.train)
    cells = int((encoded.arrays["tags"] >= 0).sum())
    count, most = len(ready.data.train), ready.task.solved
    found = measure(ready.plan.spec, ready.task, ready.source, ready.data)
    assert found.units * count == pytest.approx(cells) and count < cells < most
    assert _units(ready.task, encoded, most * count) == pytest.approx(1.0), "of more images, fewer of each"


def test_weights_that_are_not_loaded_take_no_memory() -> None:
    """Of Whisper the encoder alone."""
    part = dataclasses.replace(facts().trial, body=8_000_000, whole=8_000_000)
    assert planned("full", known={"trial": part}).memory_bytes < planned("full").memory_bytes


def test_the_search_for_a_mixture_is_paid_where_there_is_one() -> None:
    strategies = {name: STRATEGIES.load(name)() for name in ("full", "head-only", "probe-then-tune", "lora")}
    rows = {"validation": 100}
    paid = {name: forecast._mixing(facts(), made, forecast._stages(made, 6), rows) for name, made in strategies.items()}
    assert paid["probe-then-tune"] > 0 == paid["full"] == paid["head-only"] == paid["lora"]


def test_other_work_on_the_machine_is_not_part_of_what_is_foretold() -> None:
    assert spent.alone(lambda: time.sleep(0.2)) < 0.1


def test_what_a_run_takes_is_counted_in_cpu_seconds_too(tiny_bert: Path, tmp_path: Path) -> None:
    ready = make_ready(tmp_path, tiny_bert)
    assert "nothing else to do" in ready.plan.forecast.assumes
    state, run = State.start(ready), Run.create(ready)
    sum(i * i for i in range(300_000))
    assert 0 < state.cpu_seconds < state.seconds + 1
    assert measured(state)["training_cpu_seconds"] == pytest.approx(state.cpu_seconds, abs=0.2)
    state.save(run.checkpoints)
    again, _ = State.resume(ready, run.checkpoints)
    assert again.cpu_seconds >= again.spent_cpu > 0, "earlier sittings count"
