"""Single judged replies from a file to answers on a tiny model: what is learned, what stands beside it, what is refused."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from tests.runs import refers_to_the_untouched, write_lines
from tests.tiny_models import writer
from tunesmith import api, testing
from tunesmith.data.table import Table
from tunesmith.errors import DataError, SpecError
from tunesmith.inference import collate
from tunesmith.planning import choose_task, read_sources
from tunesmith.registry import TASKS
from tunesmith.training import joint
from tunesmith.training.stages import Work
from tunesmith.training.state import State

QUICK = {"threads": 1, "batch": 8, "resamples": 100, "near_duplicates": 0.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(writer(tmp_path_factory.mktemp("writer") / "llama"))


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    rows = TASKS.load("unpaired-preference").sample(140, 0)
    rows = [row for at, row in enumerate(rows) if row["label"] or at % 3]  # fewer bad rows than good ones
    data = write_lines(folder / "rows.jsonl", rows)
    settings = {"strategy": "lora", "lr": 5e-3, "epochs": 4, "test_share": 0.2, **QUICK}
    return api.fit(data, model=model, runs=str(folder / "runs"), max_new_tokens=6, **settings)


def test_good_replies_are_learned_to_be_better_than_bad_ones(run):
    report = run.report
    assert report["task"] == "unpaired-preference" and report["metric"] == "reward_auroc"
    names = {rung["name"]: rung["scores"] for rung in report["ladder"]}
    assert {"untuned", "longer reply", "tuned"} <= set(names)
    assert run.scores["reward_auroc"] > 0.9 and run.scores["reward_auroc"].low > 0.5 and run.scores["reward_margin"] > 0
    assert names["untuned"]["perplexity"]["value"] > 0, "before and after stand side by side"


def test_the_rarer_kind_weighs_more_and_the_plan_says_why(run):
    said = " ".join((run.path / "plan.yaml").read_text("utf-8").split())
    assert "both kinds count alike" in said and "2402.01306" in said
    good, bad = run.predictor.task.weights
    assert good == 1.0 < bad


def test_the_reference_is_the_untouched_model_and_answers_need_none(run):
    assert refers_to_the_untouched(run, "was the film good 5")
    assert api.evaluate(run.path, run.path.parents[1] / "rows.jsonl")["scores"]["reward_auroc"]["value"] > 0.9


def test_the_drift_is_that_of_the_whole_batch_however_it_is_cut(model, tmp_path):
    state = State.start(testing.ready("unpaired-preference", "lora", model, tmp_path))
    work, task = Work.of(state), state.ready.task
    torch.manual_seed(0)
    for parameter in state.model.parameters():  # away from the reference, so that there is a drift
        parameter.data += 0.05 * torch.randn_like(parameter)
    state.model.train()
    gradients = []
    for parts in ([range(8)], [range(3), range(3, 8)]):
        batches = [collate(task, work.train.encoded, part, work.pad) for part in parts]
        state.model.zero_grad(set_to_none=True)
        losses = [task.loss(state.model, batch) for batch in joint.settled(task, state.model, batches, state.accelerator, (0, 0, 0))]
        sum(losses).backward()
        gradients.append([float(sum(losses).detach()), *(p.grad.clone() for p in state.model.parameters() if p.grad is not None)])
    assert gradients[0][0] == pytest.approx(gradients[1][0], abs=1e-4)
    assert len(gradients[0]) > 3 and all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*(one[1:] for one in gradients), strict=True))


def test_apo_needs_no_other_replies_and_all_weights_can_learn(model, tmp_path):
    data = write_lines(tmp_path / "rows.jsonl", TASKS.load("unpaired-preference").sample(60, 0))
    settings = {"strategy": "full", "lr": 1e-3, "epochs": 1, "loss_kind": "apo", "baselines": False, **QUICK}
    made = api.fit(data, model=model, runs=str(tmp_path / "runs"), max_new_tokens=4, **settings)
    assert not made.predictor.task.joint and np.isfinite(made.scores["reward_auroc"])
    assert made.predictor.outputs(made.predictor.read(data).take(range(3)), "judging")["logp"].shape == (3, 1)


def test_all_parts_have_their_share_of_both_kinds(tmp_path):
    rows = [row | {"label": at % 10 == 0} for at, row in enumerate(TASKS.load("unpaired-preference").sample(200, 0))]
    rows = [row | {"prompt": f"{row['prompt']} {at}", "completion": f"{row['completion']} {at}"} for at, row in enumerate(rows)]
    data = api.check(api.make_spec(str(write_lines(tmp_path / "r.jsonl", rows)), near_duplicates=0.0)).data
    assert data.splits.how.value == "random (by content)"
    shares = [np.mean(data.part(name).column("label")) for name in ("train", "validation", "test")]
    assert all(0.05 < share < 0.15 for share in shares)


def test_whole_conversations_are_parted_before_their_last_reply(tmp_path):
    rows = TASKS.load("unpaired-preference").sample(60, 1)
    talks = [
        {"completion": [{"role": "user", "content": r["prompt"]}, {"role": "assistant", "content": r["completion"]}], "label": r["label"]}
        for r in rows
    ]
    made = api.check(api.make_spec(str(write_lines(tmp_path / "r.jsonl", talks)), task="unpaired-preference", near_duplicates=0.0))
    row = made.data.train.rows([0])[0]
    assert json.loads(row["prompt"])[0]["role"] == "user" and row["completion"] in {r["completion"] for r in rows}


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"prompt": "a", "completion": "", "label": True}, "empty-reply"),
        ({"prompt": "a", "completion": "x", "label": None}, "bad-label"),
        ({"prompt": "", "completion": "x", "label": True}, "no-prompt"),
        ({"prompt": '[{"role": "assistant", "content": "b"}]', "completion": "x", "label": True}, "bad-prompt"),
    ],
)
def test_rows_that_cannot_be_learned_are_refused_with_their_place(row, code, tmp_path):
    rows = TASKS.load("unpaired-preference").sample(40, 0)
    rows.insert(6, row)
    path = write_lines(tmp_path / "rows.jsonl", rows)
    found = [(f.code, f.rows) for f in api.check(api.make_spec(str(path), task="unpaired-preference")).data.findings if f.level == "error"]
    assert (code, ("rows.jsonl, row 7",)) in found


def test_one_kind_alone_is_refused():
    rows = [row | {"label": "good" if at else "bad"} for at, row in enumerate(TASKS.load("unpaired-preference").sample(40, 0))]
    task = TASKS.load("unpaired-preference")()
    assert [f.code for f in task.check(Table.of(rows))] == ["few-of-a-kind"]
    with pytest.raises(DataError) as caught:
        task.fit(Table.of(rows[1:]))
    assert caught.value.code == "one-kind" and "good ones alone" in str(caught.value)


TALK = {"prompt": "was the film good", "completion": "yes it was very good"}


@pytest.mark.parametrize(
    ("row", "labels", "task"),
    [
        (TALK, (True, False), "unpaired-preference"),
        (TALK, (1, 0), "unpaired-preference"),
        (TALK, ("good", "bad"), "unpaired-preference"),
        ({"prompt": [{"role": "user", "content": "was it"}], "completion": [{"role": "assistant", "content": "yes it was"}]}, (True, False),
         "unpaired-preference"),
        (TALK, ("sport", "politics"), "text-classification"),
        ({"text": "it was a very good film to see", "prompt": "why was it"}, (True, False), "text-classification"),
        ({"question": "was the film very good", "answer": "yes it was very good"}, (1, 0), "text-classification"),
    ],
)  # fmt: skip
def test_tables_go_to_the_task_that_they_are_for(row, labels, task, tmp_path):
    def said(value, n):
        return f"{value} {n}" if isinstance(value, str) else [one | {"content": f"{one['content']} {n}"} for one in value]

    rows = [{name: said(value, n) for name, value in row.items()} | {"label": labels[n % 2]} for n in range(60)]
    spec = api.make_spec(str(write_lines(tmp_path / "rows.jsonl", rows)))
    assert choose_task(spec, read_sources(spec.data))["task"].value == task


@pytest.mark.parametrize(("option", "value"), [("loss_kind", "dpo"), ("beta", 0.0), ("desirable_weight", -1.0), ("label", "")])
def test_options_are_checked(option, value):
    with pytest.raises(SpecError):
        TASKS.load("unpaired-preference").build({option: value}, "unpaired-preference")


def test_several_processes_are_refused(model, tmp_path):
    made = testing.ready("unpaired-preference", "lora", model, tmp_path)
    spec = made.plan.spec.changed({"train.processes": 2})
    with pytest.raises(SpecError) as caught:
        State.start(dataclasses.replace(made, plan=dataclasses.replace(made.plan, spec=spec)))
    assert caught.value.code == "joint-loss"
