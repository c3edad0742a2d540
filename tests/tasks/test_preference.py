"""Preference from a file to answers on a tiny model: what is learned, what stands beside it, what is refused."""


import numpy as np
import pytest

from tests.runs import refers_to_the_untouched, write_lines
from tests.tiny_models import writer
from tunesmith import api
from tunesmith.errors import DataError, SpecError
from tunesmith.registry import TASKS

QUICK = {"threads": 1, "batch": 8, "resamples": 100, "near_duplicates": 0.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefer")
    data = write_lines(folder / "rows.jsonl", TASKS.load("preference").sample(120, 0))
    settings = {"strategy": "lora", "lr": 5e-3, "epochs": 4, "test_share": 0.2, **QUICK}
    return api.fit(data, model=str(writer(folder / "llama")), runs=str(folder / "runs"), max_new_tokens=6, **settings)


def test_the_chosen_is_learned_to_be_the_better_one(run):
    report = run.report
    assert report["task"] == "preference" and report["metric"] == "reward_accuracy"
    names = {rung["name"]: rung["scores"] for rung in report["ladder"]}
    assert {"untuned", "longer reply", "tuned"} <= set(names)
    assert run.scores["reward_accuracy"] > 0.9 and run.scores["reward_accuracy"].low > 0.5 and run.scores["reward_margin"] > 0
    assert names["untuned"]["perplexity"]["value"] > 0, "before and after stand side by side"


def test_the_reference_is_the_untouched_model_and_answers_need_none(run):
    assert refers_to_the_untouched(run, "was the film good 5")
    scores = api.evaluate(run.path, run.path.parents[1] / "rows.jsonl")["scores"]
    assert scores["reward_accuracy"]["value"] > 0.9


def test_a_reference_free_loss_and_a_table_of_conversations(run, tmp_path):
    told = TASKS.load("preference").sample(60, 1)
    rows = [{k: f"\n\nHuman: {r['prompt']}\n\nAssistant: {r[k]}" for k in ("chosen", "rejected")} for r in told]
    settings = {"strategy": "full", "epochs": 1, "loss_kind": "simpo", "baselines": False, **QUICK}
    model = run.run.read("env.json")["model"]["folder"]
    made = api.fit(write_lines(tmp_path / "rows.jsonl", rows), model=model, runs=str(tmp_path / "runs"), max_new_tokens=4, **settings)
    assert made.report["task"] == "preference" and made.predict("was it good")[0]["text"] is not None


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"prompt": "a", "chosen": "x", "rejected": "x "}, "same-replies"),
        ({"prompt": "a", "chosen": "x", "rejected": ""}, "empty-reply"),
        ({"prompt": "", "chosen": "x", "rejected": "y"}, "no-prompt"),
        ({"prompt": '[{"role": "assistant", "content": "b"}]', "chosen": "x", "rejected": "y"}, "bad-prompt"),
        ({"prompt": '[{"role": "narrator", "content": "b"}]', "chosen": "x", "rejected": "y"}, "bad-prompt"),
    ],
)
def test_pairs_that_cannot_be_learned_are_refused_with_their_row(row, code, tmp_path):
    rows = TASKS.load("preference").sample(40, 0)
    rows.insert(6, row)
    path = write_lines(tmp_path / "rows.jsonl", rows)
    found = [(f.code, f.rows) for f in api.check(api.make_spec(str(path))).data.findings if f.level == "error"]
    assert (code, ("rows.jsonl, row 7",)) in found


def test_a_reply_beyond_what_is_read_is_refused(run, tmp_path):
    rows = TASKS.load("preference").sample(40, 0)
    rows[3]["prompt"] = "so " * 400
    with pytest.raises(DataError) as caught:
        api.plan(api.make_spec(str(write_lines(tmp_path / "r.jsonl", rows)), model=run.run.read("env.json")["model"]["folder"], **QUICK))
    assert caught.value.code == "answer-cut"


def test_the_rate_is_small_unless_another_strategy_is_named(run, tmp_path):
    path, model = write_lines(tmp_path / "r.jsonl", TASKS.load("preference").sample(40, 0)), run.run.read("env.json")["model"]["folder"]
    rates = {s: api.plan(api.make_spec(str(path), model=model, strategy=s, **QUICK)).plan.spec.train.lr for s in ("auto", "lora", "full")}
    assert rates["auto"] == rates["lora"] == 5e-5 != rates["full"]


@pytest.mark.parametrize(("option", "value"), [("loss_kind", "kto"), ("beta", 0.0), ("gamma", -1.0), ("chosen", "")])
def test_options_are_checked(option, value):
    with pytest.raises(SpecError):
        TASKS.load("preference").build({option: value}, "preference")


def test_the_reference_is_computed_once_and_kept(run, tmp_path, monkeypatch):
    from tunesmith import testing
    from tunesmith.training import stages
    from tunesmith.training.state import State

    model = run.run.read("env.json")["model"]["folder"]
    made = testing.ready("preference", "lora", model, tmp_path)
    calls, real = [], stages.infer
    monkeypatch.setattr(stages, "infer", lambda *a, **k: calls.append(1) or real(*a, **k))
    first, second = (stages.Work.of(State.start(made)).train.encoded.arrays["reference"] for _ in range(2))
    assert len(calls) == 1 and np.array_equal(first, second) and bool((first < 0).all())


@pytest.mark.parametrize(("column", "code"), [("chosen", "empty-reply"), ("prompt", "no-prompt")])
def test_rows_that_cannot_be_read_are_not_scored_in_silence(run, tmp_path, column, code):
    rows = TASKS.load("preference").sample(6, 3)
    path = write_lines(tmp_path / "more.jsonl", [*rows[:3], rows[3] | {column: ""}, *rows[4:]])
    with pytest.raises(DataError, match=r"more\.jsonl, row 4: expected") as caught:
        api.evaluate(run.path, path)
    assert caught.value.code == code
