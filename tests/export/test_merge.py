"""A merged folder answers as its run does, in plain transformers too; what cannot be merged is refused in one sentence."""

import json
import subprocess

import numpy as np
import pytest
import torch

from tests.gate_server import RUN
from tests.tiny_models import writer
from tests.tiny_pairs import pair
from tunesmith import api, fresh
from tunesmith.cli import main
from tunesmith.errors import ModelError, RunError, SpecError
from tunesmith.export import merge as merging
from tunesmith.predictor import Predictor
from tunesmith.registry import TASKS

QUICK = {"threads": 1, "batch": 8, "resamples": 100, "near_duplicates": 0.0, "epochs": 1, "baselines": False, "lr": 5e-2}


def _fit(folder, task, model, strategy, n=48, **settings):
    folder.mkdir(exist_ok=True)
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in TASKS.load(task).sample(n, 0)))
    return api.fit(data, task=task, model=str(model), strategy=strategy, runs=str(folder / "runs"), **(QUICK | settings))


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("talk")
    return _fit(folder, "dialogue", writer(folder / "llama"), "lora")


@pytest.fixture(scope="module")
def classifier(tiny_bert, tmp_path_factory):
    return _fit(tmp_path_factory.mktemp("classes"), "text-classification", tiny_bert, "dora")


def test_a_language_model_is_the_same_in_plain_transformers(talker, tmp_path):
    from transformers import AutoModelForCausalLM

    made = merging.merge(talker.path, tmp_path / "plain")
    assert made.adapter and made.rows > 0 and made.difference < merging.TOLERANCE
    assert not (made.path / "adapter").exists() and json.loads((made.path / "head.json").read_text())["adapter"] is None
    whole, info = AutoModelForCausalLM.from_pretrained(made.path, output_loading_info=True)
    assert not any(info.values())
    base = AutoModelForCausalLM.from_pretrained(talker.path / "model")
    ids = torch.tensor([[1, 40, 41, 42, 43]])
    ours = talker.predictor.model
    with torch.no_grad():
        expected = ours.logits(ours.features({"input_ids": ids, "attention_mask": torch.ones_like(ids)}))
        assert torch.allclose(whole.eval()(ids).logits, expected, atol=1e-4)
        assert not torch.allclose(base.eval()(ids).logits, expected, atol=1e-2), "the adapter changes something"
    rows = [f"was the film good {n}" for n in range(4)]
    assert Predictor.load(talker.path, made.path).predict(rows) == talker.predict(rows)


@pytest.mark.parametrize("task", ["preference", "unpaired-preference"])
def test_a_model_that_is_measured_against_the_untouched_one(task, talker, tmp_path):
    """Switched off, the adapter says what the model was before: the merged folder cannot, and is compared in all else."""
    run = _fit(tmp_path / "run", task, talker.path.parents[1] / "llama", "lora", max_new_tokens=6)
    made = merging.merge(run.path, tmp_path / "plain")
    assert made.adapter and made.difference < merging.TOLERANCE
    assert Predictor.load(run.path, made.path).predict(["was the film good 1"]) == run.predict(["was the film good 1"])


def test_an_encoder_decoder(tmp_path):
    from transformers import AutoModelForSeq2SeqLM

    run = _fit(tmp_path / "t5", "translation", pair(tmp_path / "model", "t5"), "lora", max_new_tokens=4)
    made = merging.merge(run.path)
    assert not any(AutoModelForSeq2SeqLM.from_pretrained(made.path, output_loading_info=True)[1].values())


def test_a_merged_folder_is_a_base_for_the_next_run_which_may_have_no_adapter(classifier, tmp_path):
    made = merging.merge(classifier.path, tmp_path / "base")
    again = _fit(tmp_path / "again", "text-classification", made.path, "bitfit")
    assert again.run.read("env.json")["model"]["folder"] == str(made.path)
    last = merging.merge(again.path)
    assert last.path == again.path / "merged" and not last.adapter and api.verify(again.path) == []


def test_what_is_no_update_of_weights_is_refused(tiny_bert, tmp_path):
    run = _fit(tmp_path, "text-classification", tiny_bert, "prompt")
    with pytest.raises(ModelError, match="use the run's model as it was saved") as caught:
        merging.merge(run.path)
    assert caught.value.code == "not-mergeable" and not (run.path / "merged").exists()


def test_answers_that_differ_leave_no_folder(classifier, tmp_path, monkeypatch):
    real = fresh.answered
    monkeypatch.setattr(fresh, "answered", lambda *a: ({n: np.add(v, 0.01).tolist() for n, v in real(*a)[0].items()}, ""))
    with pytest.raises(ModelError) as caught:
        merging.merge(classifier.path, tmp_path / "plain")
    assert caught.value.code == "merge-differs" and list(tmp_path.iterdir()) == []


def test_rows_of_a_file_stand_for_data_that_is_gone(classifier, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(subprocess, "run", RUN)
    data = classifier.path.parents[1] / "rows.jsonl"
    kept = data.read_bytes()
    data.unlink()
    try:
        with pytest.raises(RunError) as caught:
            merging.merge(classifier.path, tmp_path / "plain")
        assert caught.value.code == "no-rows" and "--rows FILE" in str(caught.value)
        (tmp_path / "some.csv").write_text("text\nthe film was good\nan awful room\n")
        capsys.readouterr()
        assert main(["merge", str(classifier.path), "--out", str(tmp_path / "plain"), "--rows", str(tmp_path / "some.csv"), "--json"]) == 0
    finally:
        data.write_bytes(kept)
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == 2 and said["adapter"] is True and said["strategy"] == "dora" and 0 <= said["difference"] < 1e-3
    assert "dora" in (tmp_path / "plain" / "README.md").read_text()


def test_an_existing_folder_stays(classifier, tmp_path):
    (tmp_path / "mine").mkdir()
    for replace in (False, True):
        with pytest.raises(SpecError) as caught:
            merging.merge(classifier.path, tmp_path / "mine", replace=replace)
        assert caught.value.code == "file-exists"
