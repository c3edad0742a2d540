"""Texts translated there and back: training rows only, once, the same in any order, to the same bits after a stop or from the cache."""

import gc
import shutil
import weakref
from dataclasses import replace

import numpy as np
import pytest

from tests.runs import events_until, fingerprint, make_ready, write_rows
from tunesmith.data import caches
from tunesmith.errors import RunError
from tunesmith.parts.augment import BACK, Retelling, beside
from tunesmith.training import retold
from tunesmith.training.events import Adjusted, Finished, Preparing, Step
from tunesmith.training.loop import train
from tunesmith.training.stages import Work, this_epoch
from tunesmith.training.state import State
from tunesmith.translators import Direction

SETTINGS = {"strategy": "full", "epochs": 2, "augment": [BACK], "augment_rows": 1.0}


def planned(folder, bert, both, **settings):
    """A plan that says its training texts anew."""
    folder.mkdir(exist_ok=True)
    if not (folder / "rows.csv").exists():
        write_rows(folder / "rows.csv", 60)
    return make_ready(folder, bert, **(SETTINGS | {"back_translation": [str(one) for one in both]} | settings))


@pytest.fixture
def asked(monkeypatch):
    """What translators were asked while the test ran, and the models that were loaded for it."""
    found, loaded = [], []
    say, load = Direction.said, Direction.load
    monkeypatch.setattr(Direction, "said", lambda self, model, texts, *more: found.extend(texts) or say(self, model, texts, *more))

    def loading(self, device):
        model = load(self, device)
        loaded.append(weakref.ref(model))
        return model

    monkeypatch.setattr(Direction, "load", loading)
    return found, loaded


def work_of(ready):
    """State and work as training begins, and the forms that stand beside each row."""
    state = State.start(ready)
    work = retold.ended(retold.retold(state, Work.of(state)))
    return state, work, work.train.encoded.later.rows.column(beside("text"))


def test_training_rows_take_their_forms_and_no_other_text_is_shown_to_a_translator(tmp_path, tiny_bert, tiny_translators, asked):
    ready = planned(tmp_path, tiny_bert, tiny_translators, augment_rows=0.5)
    state, work, forms_N = work_of(ready)
    texts = ready.data.train.column("text")
    between = {"one film", "one book", "two film", "two book"}
    assert set(texts) <= set(asked[0]) and between & set(asked[0])
    held = {text for part in ("validation", "calibration", "test") for text in ready.data.part(part).column("text")} - set(texts)
    assert held and not held & set(asked[0])
    state.enter_stage()
    decode = lambda encoded: [state.processor.decode(e["input_ids"], skip_special_tokens=True)  # noqa: E731
                              for e in encoded.examples(range(len(texts)))]  # fmt: skip
    plain = [state.processor.decode(state.processor(text)["input_ids"], skip_special_tokens=True) for text in texts]
    seen, again = decode(this_epoch(state, work)), decode(this_epoch(state, work))
    assert seen == again and sum(map(bool, forms_N)) > 0.8 * len(texts)
    assert all(text == old or text in forms for text, old, forms in zip(seen, plain, [forms or [] for forms in forms_N], strict=True))
    assert 0.25 < np.mean([text != old for text, old in zip(seen, plain)]) < 0.7
    assert not work.validation.encoded.augmented
    assert (work.train.encoded.later.rows.row_ids == ready.data.train.row_ids).all()


def test_models_are_let_go_of_before_training_and_not_loaded_where_all_is_kept(tmp_path, tiny_bert, tiny_translators, asked):
    ready = planned(tmp_path, tiny_bert, tiny_translators)
    first = work_of(ready)[2]
    gc.collect()
    assert len(asked[1]) == 2 and all(model() is None for model in asked[1])
    texts = list(asked[0])
    assert work_of(ready)[2] == first and len(asked[1]) == 2 and asked[0] == texts


def test_forms_do_not_depend_on_the_order_of_rows_or_on_copies_of_them(tmp_path, tiny_bert, tiny_translators):
    state = State.start(planned(tmp_path, tiny_bert, tiny_translators))
    retelling = state.ready.task.retelling(state.ready.data.train)
    cells = list(retelling.cells["text"])
    turned = replace(retelling, cells={"text": [*cells[::-1], *cells[:7], None]})
    made = []
    for one in (retelling, turned):
        shutil.rmtree(caches.root(), ignore_errors=True)
        made.append(retold.ended(retold._forms(state, one)))
    assert made[0] == made[1] and any(made[0].values())


def test_several_forms_are_drawn_the_same_each_time_and_epochs_take_others(tmp_path, tiny_bert, tiny_translators):
    ready = planned(tmp_path, tiny_bert, tiny_translators, back_translation_forms=4)
    state, work, forms_N = work_of(ready)
    shutil.rmtree(caches.root(), ignore_errors=True)
    assert work_of(ready)[2] == forms_N
    assert max(len(forms or ()) for forms in forms_N) > 1 and all(len(set(forms)) == len(forms) for forms in forms_N if forms)
    state.enter_stage()
    ids = lambda: [e["input_ids"].tolist() for e in this_epoch(state, work).examples(range(len(forms_N)))]  # noqa: E731
    first = ids()
    assert ids() == first
    state.step = 1000
    assert ids() != first


def test_a_stopped_run_ends_in_the_same_bits_with_an_empty_cache_too(tmp_path, tiny_bert, tiny_translators):
    ready = planned(tmp_path, tiny_bert, tiny_translators, train={"save_every": 3})
    whole = State.start(ready)
    list(train(whole, tmp_path / "whole"))
    warm = State.start(ready)
    list(train(warm, tmp_path / "warm"))
    events_until(train(State.start(ready), tmp_path / "cut"), Step, 8)
    shutil.rmtree(caches.root(), ignore_errors=True)
    again, _ = State.resume(ready, tmp_path / "cut")
    assert 0 < again.total < 8
    told = [event for event in train(again, tmp_path / "cut") if getattr(event, "what", "") == retold.WHAT]
    assert not told, "what was said at the start is not said again"
    assert fingerprint(again, tmp_path / "cut") == fingerprint(whole, tmp_path / "whole") == fingerprint(warm, tmp_path / "warm")


def test_a_stop_while_translating_loses_no_more_than_a_part(tmp_path, tiny_bert, tiny_translators, asked, monkeypatch):
    monkeypatch.setattr(retold, "PART", 16)
    ready = planned(tmp_path, tiny_bert, tiny_translators, epochs=1)
    state, events = State.start(ready), []
    for event in train(state, tmp_path / "c"):
        events.append(event)
        state.stop_asked = sum(isinstance(one, Preparing) for one in events) >= 3
    assert isinstance(events[-1], Finished) and events[-1].reason == "stopped" and not any(isinstance(one, Step) for one in events)
    assert len(asked[0]) == 32
    again, passed = State.resume(ready, tmp_path / "c")
    events = list(train(again, tmp_path / "c"))
    assert not passed and events[-1].reason == "complete" and any(isinstance(one, Step) for one in events)
    assert len(asked[0]) == len(set(asked[0])), "nothing is translated twice"
    assert any(getattr(one, "what", "") == retold.WHAT for one in events)


def test_a_damaged_part_is_translated_again(tmp_path, tiny_bert, tiny_translators, asked):
    ready = planned(tmp_path, tiny_bert, tiny_translators)
    first = work_of(ready)[2]
    for path in (caches.root() / "translations").glob("*/texts.json"):
        path.write_text(path.read_text("utf-8").replace("film", "silm"), "utf-8")
    del asked[0][:]
    assert work_of(ready)[2] == first and asked[0]


def test_a_full_disk_costs_nothing_but_the_cache(tmp_path, tiny_bert, tiny_translators, monkeypatch):
    ready = planned(tmp_path, tiny_bert, tiny_translators)
    first = work_of(ready)[2]
    shutil.rmtree(caches.root(), ignore_errors=True)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caches, "keep", full)
    assert work_of(ready)[2] == first


def test_memory_that_runs_out_halves_the_pass(tmp_path, tiny_bert, tiny_translators, monkeypatch):
    ready = planned(tmp_path, tiny_bert, tiny_translators)
    first, budgets, say = work_of(ready)[2], [], Direction._written
    shutil.rmtree(caches.root(), ignore_errors=True)

    def short(self, model, texts, how, budget):
        budgets.append(budget)
        if budget > 1024:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return say(self, model, texts, how, budget)

    monkeypatch.setattr(Direction, "_written", short)
    assert work_of(ready)[2] == first and budgets[:3] == [4096, 2048, 1024]


def test_what_came_back_the_same_empty_or_much_longer_is_no_form(tmp_path, tiny_bert, tiny_translators, monkeypatch):
    ready = planned(tmp_path, tiny_bert, tiny_translators)
    texts = ready.task.retelling(ready.data.train).texts()
    back = {"same": lambda text: text.replace(" ", "  "), "long": lambda text: text * 3 + "." * 40, "good": lambda text: f"so {text}"}
    kinds = {text: ["none", "same", "long", "good"][at % 4] for at, text in enumerate(texts)}

    def known(self, asked):
        if self.translator is ready.translators[0]:
            return [[f"{kinds[text]} {text}"] if kinds[text] != "none" else [] for text in asked]
        return [[back[text.split()[0]](text.split(" ", 1)[1])] for text in asked]

    monkeypatch.setattr(Direction, "known", known)
    made = retold.retold(state := State.start(ready), Work.of(state))
    told = next(event for event in made if isinstance(event, Adjusted))
    good = [kinds[text] == "good" for text in ready.data.train.column("text")]
    assert told.why.startswith(f"{sum(good):,} of {len(good):,} training rows have another form ({sum(good):,} different ones)")
    assert f"; {len(good) - sum(good):,} stay as they are (" in told.why
    assert " -> so " in told.why
    found = work_of(ready)[2]
    assert [bool(forms) for forms in found] == good
    assert all(forms == [f"so {text}"] for forms, text in zip(found, ready.data.train.column("text")) if forms)


def test_each_text_of_a_pair_is_said_anew(tmp_path, tiny_bert, tiny_translators):
    import csv

    rows = list(csv.DictReader(write_rows(tmp_path / "plain.csv", 60).read_text().splitlines()))
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "other", "label"])
        writer.writerows([row["text"], f"the {'good' if at % 2 else 'bad'} book {at}", row["label"]] for at, row in enumerate(rows))
    ready = planned(tmp_path, tiny_bert, tiny_translators, text_pair="other")
    state, work, _ = work_of(ready)
    rows = work.train.encoded.later.rows
    assert all(any(rows.column(beside(column))) for column in ("text", "other"))
    assert set(ready.task.retelling(ready.data.train).texts()) >= set(rows.column("other"))


def test_where_the_head_is_solved_nothing_is_translated_and_that_is_said(tmp_path, tiny_bert, tiny_translators, asked):
    ready = planned(tmp_path, tiny_bert, tiny_translators, strategy="head-only")
    assert "translating" not in ready.plan.forecast.parts
    told = [event.what for event in train(State.start(ready), tmp_path / "c") if isinstance(event, Adjusted)]
    assert f"no {retold.WHAT}" in told and not asked[0]


def test_the_plan_tells_what_is_translated_by_which_models_and_for_how_long(tmp_path, tiny_bert, tiny_translators):
    ready = planned(tmp_path, tiny_bert, tiny_translators)
    why = ready.plan.why["options.back_translation"]
    count = len(set(ready.data.train.column("text")))
    assert why.startswith(f"{count:,} training texts go there by {tiny_translators[0]} (0.0 M weights) and back by {tiny_translators[1]}")
    assert ready.plan.forecast.parts["translating"] >= 0 and isinstance(ready.task.retelling(ready.data.train), Retelling)


def test_another_translator_under_the_same_name_is_drift(tmp_path, tiny_bert, tiny_translators):
    from tunesmith import api
    from tunesmith.run import Run

    both = [shutil.copytree(one, tmp_path / one.name) for one in tiny_translators]
    ready = planned(tmp_path, tiny_bert, both)
    run = Run.create(ready)
    api.refuse_drift(run, ready)
    shutil.copy(both[1] / "model.safetensors", both[0] / "model.safetensors")
    with pytest.raises(RunError, match="expected the model .*there as at the start"):
        api.refuse_drift(run, planned(tmp_path, tiny_bert, both))
