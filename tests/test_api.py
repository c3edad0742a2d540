"""The story from Python: fit, look, predict, evaluate, compare, and what is refused."""

import json
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tunesmith
from tests.gate_server import RUN
from tests.runs import SETTINGS, write_rows
from tunesmith import api, finish
from tunesmith.cli import main
from tunesmith.run import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def run(folder, tiny_bert, request):
    """One finished run for all tests of this file."""
    patch = pytest.MonkeyPatch()
    patch.setenv("TUNESMITH_CACHE", str(folder / "cache"))
    request.addfinalizer(patch.undo)
    rows = write_rows(folder / "rows.csv", n=240)
    return tunesmith.fit(str(rows), model=str(tiny_bert), runs=str(folder / "runs"), resamples=200, **SETTINGS)


def test_scores_have_intervals(run):
    score = run.scores["macro_f1"]
    assert score.low <= score <= score.high and next(iter(run.scores)) == "macro_f1"
    assert 0 <= run.scores["accuracy"] <= 1


def test_the_ladder_stands_beside_it(run):
    names = [rung["name"] for rung in run.report["ladder"]]
    assert {"majority", "probe", "tuned"} <= set(names) and any("tf-idf" in name.lower() for name in names)
    assert run.report["verdict"]["sentence"] and run.report["looks"] == 1


def test_answers_do_not_depend_on_order_or_company(run):
    texts = ["the film was great", "an awful dull room we hated", "it"] * 5
    answers = run.predict(texts)
    assert [a["label"] for a in answers[:3]] == [run.predict(t)[0]["label"] for t in texts[:3]]
    for first, again in zip(answers[:3], answers[3:6], strict=True):
        assert first["label"] == again["label"] and first["confidence"] == pytest.approx(again["confidence"], abs=1e-5)
    shuffled = np.random.default_rng(0).permutation(len(texts))
    assert [run.predict([texts[i] for i in shuffled])[j]["label"] for j in range(3)] == [
        answers[i]["label"] for i in shuffled[:3]
    ]


def test_a_loaded_run_answers_alike(run):
    again = tunesmith.load(run.path)
    assert again.predict(["a nice warm meal"]) == run.predict(["a nice warm meal"])


def test_predictions_are_those_of_the_report(run):
    table = pq.read_table(run.path / "predictions.parquet", filters=[("part", "==", "test")])
    right = [json.loads(a)["label"] for a in table["answer"].to_pylist()]
    truth = [run.predictor.task.labels[int(t[0])] for t in table["truth"].to_pylist()]
    assert np.mean([a == b for a, b in zip(right, truth, strict=True)]) == pytest.approx(run.scores["accuracy"])


def test_evaluate_counts_its_looks_and_unknown_labels_as_wrong(run, folder):
    path = folder / "labelled.csv"
    path.write_text("text,label\nthe film was great,yes\nan awful room,no\nwe saw it,perhaps\n")
    found = tunesmith.evaluate(run.path, path)
    assert found["rows"] == 3 and found["scores"]["accuracy"]["value"] <= 2 / 3 + 1e-9
    assert found["looks"] >= 2


def test_rows_that_the_run_learned_from_are_told_and_left_out(run, folder):
    """The whole file: what remains are the sealed test rows and those in no part, whose scores are theirs alone; and a file of new rows."""
    found = tunesmith.evaluate(run.path, folder / "rows.csv")
    parts = run.run.read("data.json")["splits"]["parts"]
    assert found["met"] == {part: parts[part]["rows"] for part in ("train", "validation", "calibration")}
    warned = next(finding for finding in found["findings"] if finding["code"] == "rows-met")
    assert warned["level"] == "warning" and f"trained on {parts['train']['rows']} of {found['rows']} rows" in warned["message"]
    assert found["unmet"]["rows"] == found["rows"] - sum(found["met"].values()) >= parts["test"]["rows"]
    assert found["unmet"]["scores"]["accuracy"]["value"] == pytest.approx(run.scores["accuracy"])
    assert f"macro-F1 is {found['unmet']['scores']['macro_f1']['value']:.3f}" in warned["message"]


def test_of_new_rows_nothing_is_said_and_of_known_ones_alone_there_is_no_other_score(run, folder):
    lines = (folder / "rows.csv").read_text().splitlines()
    train = tunesmith.load(run.path).run.read("data.json")["splits"]["parts"]["train"]["row_ids"]
    ids = [f"{one:016x}" for one in run.read(folder / "rows.csv").row_ids]
    known = [line for line, one in zip(lines[1:], ids, strict=True) if one in {train[at : at + 16] for at in range(0, len(train), 16)}]
    (folder / "known.csv").write_text("\n".join([lines[0], *known[:30]]) + "\n")
    (folder / "fresh.csv").write_text("text,label\nthe film was great,yes\nan awful room,no\n")
    found, fresh = (tunesmith.evaluate(run.path, folder / name) for name in ("known.csv", "fresh.csv"))
    assert found["met"]["train"] == found["rows"] == 30 and found["unmet"] is None
    assert "no others" in found["findings"][0]["message"]
    assert not any(fresh["met"].values()) and not fresh["findings"] and fresh["unmet"] is None


def test_a_file_of_another_kind_is_read_as_is_said_and_what_is_left_out_is_told(run, tmp_path, capsys):
    """The remedies that refusals name are there: another encoding, lines that cannot be read, rows without a label."""
    file = tmp_path / "latin.csv"
    file.write_bytes("text,label\nün film great,yes\na room,no\na,b,c,d\nan awful room,\n".encode("latin-1"))
    skip = ["--encoding", "latin-1", "--bad-rows", "skip"]
    for words in (["predict", str(run.path), "--file", str(file)], ["evaluate", str(run.path), str(file)]):
        assert main(words) == 3 and "--encoding" in capsys.readouterr().err
        assert main([*words, *skip[:2]]) == 3 and "--bad-rows skip" in capsys.readouterr().err
    assert main(["predict", str(run.path), "--file", str(file), *skip]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3 and "ün" in json.loads(said.out.splitlines()[0])["text"]
    assert "ledger: skipped 1" in said.err and "latin.csv, row 3" in said.err
    assert main(["evaluate", str(run.path), str(file), *skip]) == 3 and "--empty drop" in capsys.readouterr().err
    assert main(["evaluate", str(run.path), str(file), *skip, "--empty", "drop"]) == 0
    said = capsys.readouterr()
    assert "ledger: skipped 1" in said.out and "ledger: dropped 1: empty label" in said.out
    assert main(["evaluate", str(run.path), str(file), "--empty", "dropp"]) == 2 and "--empty" in capsys.readouterr().err
    assert main(["predict", str(run.path), "a text", "--encoding", "latin-1"]) == 2 and "--file" in capsys.readouterr().err


def test_compare_with_itself_claims_nothing(run):
    found = tunesmith.compare(run.path, run.path)
    assert all(score["difference"]["value"] == 0 for score in found["scores"].values())
    assert "not distinguishable" in found["verdict"]


def test_runs_are_listed(run, folder):
    assert tunesmith.runs(folder / "runs")[0]["state"] == "finished"


def test_what_was_asked_and_what_was_decided_can_be_run_again(run, capsys):
    """`spec.yaml` holds no more than was asked, `plan.yaml` no `auto`; planning either leads to the same settings."""
    asked, decided = (tunesmith.Spec.load(run.path / name) for name in ("spec.yaml", "plan.yaml"))
    assert asked.train.micro_tokens == asked.evaluate.metric == asked.task == "auto"
    assert decided == run.run.spec and decided.task == "text-classification" and decided.evaluate.metric == "macro_f1"
    assert api.plan(decided).plan.spec == decided
    for name in ("spec.yaml", "plan.yaml"):
        assert main(["plan", str(run.path / name), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["spec"]
        assert {**found, "train": 0} == {**decided.model_dump(mode="json"), "train": 0}
    api.refuse_drift(run.run, api.plan(run.run.spec))


def test_a_finished_run_is_not_finished_twice(run, capsys):
    """`resume` of it says so, shows its report and touches nothing: no second look at the test rows."""
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.path.rglob("*") if path.is_file()}
    assert main(["resume", str(run.path)]) == 0
    said = capsys.readouterr()
    assert "is finished" in said.err and str(run.report_path) in said.out
    assert main(["resume", str(run.path), "--json"]) == 0
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == ["already-finished", "result"]
    assert tunesmith.resume(run.path).path == run.path
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.path.rglob("*") if path.is_file()}


def test_a_finished_run_whose_model_was_changed_is_finished_anew(run, tmp_path):
    """What `verify` and loading name as the remedy."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    (copy / "model" / "model.safetensors").write_bytes(b"")
    assert tunesmith.resume(copy).predict(["it"]) == run.predict(["it"]) and tunesmith.verify(copy) == []


def test_a_run_of_an_earlier_version_has_its_decisions_in_both_files(run, tmp_path):
    import shutil

    old = tmp_path / "old"
    shutil.copytree(run.path, old)
    (old / "spec.yaml").write_text(run.run.spec.dump())
    assert Run(old).spec == run.run.spec
    (old / "plan.yaml").unlink()
    assert Run(old).spec == run.run.spec
    api.refuse_drift(Run(old), api.plan(Run(old).spec))


def test_a_notebook_shows_it(run):
    assert "macro" in run._repr_html_().lower() and "<script" not in run._repr_html_()


def test_the_gate_refuses_another_model(run, monkeypatch):
    """A saved model that answers otherwise than the trained one does not pass, in a process that knows nothing of this one."""
    monkeypatch.setattr(subprocess, "run", RUN)
    ready = api.plan(run.run.spec)
    outputs = run.predictor.outputs(ready.data.validation)
    finish.gate(run.run, run.predictor.task, ready.data.validation, outputs)
    off = {"logits": outputs["logits"] + 0.01}
    with pytest.raises(tunesmith.ModelError, match="fresh process"):
        finish.gate(run.run, run.predictor.task, ready.data.validation, off)


def test_a_damaged_model_is_refused(run, folder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    path = copy / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(tunesmith.ModelError):
        tunesmith.load(copy).predict(["x"])


def test_rows_that_cannot_be_answered_are_refused(run):
    with pytest.raises(tunesmith.DataError, match="did you mean 'texte'"):
        run.predict([{"texte": "x"}])
    with pytest.raises(tunesmith.DataError, match="row 2"):
        run.predict(["x", 3])


def test_rows_are_answered_alike_in_whatever_they_are_held(run):
    """A frame is no list of its columns' names."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    texts = ["a good film", "dull and cold", "we saw it again"]
    columns, arrow = {"text": texts, "number": [1, 2, 3]}, pa.table({"text": texts})
    held = [
        pandas.DataFrame(columns), polars.DataFrame(columns), polars.DataFrame(columns).lazy(), arrow, arrow.to_batches()[0], columns,
        pandas.Series(texts), polars.Series(texts), arrow["text"], np.array(texts), tuple(texts), iter(texts), [{"text": t} for t in texts],
    ]  # fmt: skip
    wanted = run.predict(texts)
    assert len(wanted) == 3 and all(run.predict(rows) == wanted for rows in held)
    assert run.predict({"text": texts[0]}) == run.predict(texts[0]) == run.predict(texts[:1])


@pytest.mark.parametrize("rows", [None, 3, 2.5], ids=str)
def test_what_is_no_row_is_refused_in_words(run, rows):
    with pytest.raises(tunesmith.DataError, match=f"got {type(rows).__name__}"):
        run.predict(rows)


def test_what_is_said_of_nothing_is_told(run, tmp_path, capsys):
    """An empty text gets an answer, as in training; that it had no text is said beside it."""
    assert main(["predict", str(run.path), "x", "", " \t"]) == 0
    assert "2 of 3 rows have no text" in capsys.readouterr().err
    (tmp_path / "new.csv").write_text("text,other\nx,1\n,2\n")
    assert main(["predict", str(run.path), "--file", str(tmp_path / "new.csv")]) == 0
    assert "1 of 2 rows have no text" in capsys.readouterr().err
    assert main(["predict", str(run.path), "x"]) == 0
    assert "no text" not in capsys.readouterr().err


def test_what_is_longer_than_what_is_read_is_told(run, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("text\n" + "so good " * 90 + "\nx\n")
    assert main(["predict", str(run.path), "x", "so good " * 90]) == 0
    assert "1 of 2 rows are longer than what the model reads of each" in capsys.readouterr().err
    assert main(["predict", str(run.path), "--file", str(tmp_path / "new.csv")]) == 0
    assert "1 of 2 rows are longer" in capsys.readouterr().err
    assert main(["predict", str(run.path), "so good"]) == 0
    assert "longer" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"label": "lable"}, "lable"), ({"colour": "red"}, "colour"), ({"lr": "fast"}, "lr"), ({"budget": "soon"}, "90s"),
        ({"strategy": "lorra"}, "lora"), ({"metric": "f1"}, "macro_f1"), ({"model": "no-such-model"}, "no-such-model"),
        ({"strategy": "lora", "strategy_options": {"rnk": 4}}, "rank"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_refused_before_anything_is_written(tmp_path, tiny_bert, settings, words):
    rows = write_rows(tmp_path / "rows.csv")
    with pytest.raises(tunesmith.TunesmithError, match=words):
        tunesmith.fit(str(rows), runs=str(tmp_path / "runs"), **({"model": str(tiny_bert)} | settings))
    assert not (tmp_path / "runs").exists()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(tunesmith.RunError, match="spec.yaml"):
        Run(tmp_path)


def test_a_frame_is_data(tmp_path, tiny_bert):
    pandas = pytest.importorskip("pandas")
    rows = pandas.read_csv(write_rows(tmp_path / "rows.csv"))
    ready = api.plan(api.make_spec(rows, model=str(tiny_bert), runs=str(tmp_path / "runs"), **SETTINGS))
    assert len(ready.data.train) + len(ready.data.validation) + len(ready.data.calibration) + len(
        ready.data.test
    ) == len(rows)


def test_what_there_is_to_say_of_the_data_is_said_before_training(tmp_path, tiny_bert, monkeypatch, capsys):
    """In a pipe as lines, for programs as an event, and in the run's own record: leaked test rows, twins, the separator."""
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    rows = write_rows(tmp_path / "rows.csv", n=160)
    header, *lines = rows.read_text().splitlines()
    (tmp_path / "semi.csv").write_text("\n".join(line.replace(",", ";") for line in [header, *lines[:120]]) + "\n")
    (tmp_path / "test.csv").write_text("\n".join([header, *lines[100:]]) + "\n")
    words = ["fit", str(tmp_path / "semi.csv"), "--test", str(tmp_path / "test.csv"), "--model", str(tiny_bert), "--strategy", "head-only"]
    words += ["--runs", str(tmp_path / "runs"), "--set", "evaluate.resamples=100"]
    assert main(words) == 0
    told = capsys.readouterr()
    before, _, _ = told.err.partition("weights learn")
    assert "! " in before and "test.csv, row" in before and "ledger: noted: semi.csv: " in before and "delimiter semicolon" in before
    assert "duplicates among the training rows; without them" in told.out
    (run,) = (tmp_path / "runs").iterdir()
    first = json.loads((run / "events.jsonl").read_text().splitlines()[0])
    assert first["event"] == "audited" and first["findings"] and first["ledger"]
    assert main(["plan", *words[1:]]) == 0
    assert "ledger: noted: semi.csv: " in capsys.readouterr().out
