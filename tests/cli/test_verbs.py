"""The commands around a run: what they show and with which exit code, the story itself being told by a stand-in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tunesmith import api
from tunesmith.data.finding import Finding
from tunesmith.data.ledger import Ledger
from tunesmith.spec import Spec
from tunesmith.training.events import Finished, Started, Step

SCORE = {"value": 0.9, "low": 0.85, "high": 0.94, "method": "bootstrap"}
REPORT = {
    "task": "text-classification",
    "inputs": ["text"],
    "metric": "macro_f1",
    "sentence": "macro-F1 is 0.9 (0.85 to 0.94) on 100 sealed test rows.",
    "parts": {"test": {"rows": 100, "scores": {"macro_f1": SCORE, "accuracy": SCORE}}},
    "ladder": [
        {"title": "majority [red]", "tuned": False, "scores": {"macro_f1": SCORE}, "comparison": {"verdict": "better"}},
        {"title": "tuned", "tuned": True, "scores": {"macro_f1": SCORE}, "comparison": None},
    ],
}


def events(reason: str):
    def story(*_: object, **__: object):
        yield Started("runs/x y", 0, 2, ("all",), 10)
        yield Step(1, "all", 0.5, 1.0, 1e-4, 1.0, 8, 80, 1.0)
        if reason == "second signal":
            raise KeyboardInterrupt
        yield Finished(2, reason, 1, "all", {"macro_f1": 0.5}, 2.0)

    return story


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> None:
    result = SimpleNamespace(report=REPORT, report_path=Path("runs/x y/report.html"), path=Path("runs/x y"))
    monkeypatch.setattr(api, "load", lambda path, **how: result)


@pytest.mark.parametrize("words", [("fit", "a.csv"), ("resume", "runs/x")])
def test_a_finished_run_is_summed_up(tunesmith, monkeypatch, finished, words) -> None:
    monkeypatch.setattr(api, f"{words[0]}_events", events("complete"))
    said = tunesmith(*words)
    assert said.code == 0
    assert "majority [red]" in said.out and "0.900 (0.850 to 0.940)" in said.out and "better" in said.out
    assert REPORT["sentence"] in said.out
    assert "tunesmith predict 'runs/x y' \"your text\"" in said.out and "runs/x y/report.html" in said.out


def test_a_finished_run_as_json_and_quietly(tunesmith, monkeypatch, finished) -> None:
    monkeypatch.setattr(api, "fit_events", events("complete"))
    lines = tunesmith("fit", "a.csv", "--json").json
    assert [line["event"] for line in lines] == ["started", "step", "finished", "result"]
    assert lines[-1]["scores"]["macro_f1"]["low"] == 0.85
    assert tunesmith("fit", "a.csv", "--quiet").out == "runs/x y\n"


def test_a_score_on_rows_that_were_learned_is_told_with_the_score_without_them(tunesmith, monkeypatch, finished) -> None:
    parts = REPORT["parts"] | {"test without leaked rows": {"rows": 80, "scores": {"macro_f1": SCORE | {"value": 0.7}}}}
    monkeypatch.setattr(api, "fit_events", events("complete"))
    assert "duplicates" not in tunesmith("fit", "a.csv").out
    result = SimpleNamespace(report=REPORT | {"leaked": 20, "parts": parts}, report_path=Path("r.html"), path=Path("r"))
    monkeypatch.setattr(api, "load", lambda path, **how: result)
    (line,) = [line for line in tunesmith("fit", "a.csv").out.splitlines() if REPORT["sentence"] in line]
    assert "20 test rows have duplicates among the training rows; without them" in line and "0.7" in line
    assert tunesmith("fit", "a.csv", "--json").json[-1]["scores_without_leaked"]["macro_f1"]["value"] == 0.7


@pytest.mark.parametrize("reason", ["stopped", "second signal"])
def test_a_stopped_run_exits_75_and_says_how_to_go_on(tunesmith, monkeypatch, reason) -> None:
    monkeypatch.setattr(api, "fit_events", events(reason))
    said = tunesmith("fit", "a.csv")
    assert said.code == 75 and said.err.splitlines()[-1].endswith("tunesmith resume 'runs/x y'")
    said = tunesmith("fit", "a.csv", "--json")
    assert said.code == 75 and said.json[-1]["resume"] == ["tunesmith", "resume", "runs/x y"]


def planned(*findings: Finding) -> SimpleNamespace:
    ledger = Ledger()
    ledger.add("dropped", "empty label", ["a.csv, row 3"])
    plan = SimpleNamespace(
        spec=Spec.of({"options": {"label": "st[ars]"}, "train": {"lr": 1e-4}}),
        why={"options.label": "its name", "train.lr": "suits"},
        forecast=SimpleNamespace(seconds=75.0, memory_bytes=2**30, assumes="an idle machine"),
    )
    return SimpleNamespace(plan=plan, data=SimpleNamespace(findings=list(findings), ledger=ledger), marked=())


def test_plan_shows_each_choice_with_its_reason_and_the_forecast(tunesmith, monkeypatch) -> None:
    monkeypatch.setattr(api, "plan", lambda spec: planned(Finding("note", "n", "a note")))
    said = tunesmith("plan", "a.csv")
    rows = [line.split() for line in said.out.splitlines()]
    assert ["options.label", "st[ars]", "its", "name"] in rows and ["train.lr", "0.0001", "suits"] in rows
    assert "forecast: 1 min 15 s, 1.0 GiB of memory; on an idle machine" in said.out and "a note" in said.out and said.code == 0
    assert "ledger: dropped 1: empty label (a.csv, row 3)" in said.out
    found = tunesmith("plan", "a.csv", "--json").json[0]
    assert (
        found["why"]["train.lr"] == "suits"
        and found["spec"]["train"]["lr"] == 1e-4
        and found["ledger"][0]["count"] == 1
    )


@pytest.mark.parametrize(("level", "code"), [("error", 3), ("warning", 0)])
def test_check_exits_3_for_errors_only(tunesmith, monkeypatch, level, code) -> None:
    monkeypatch.setattr(
        api, "check", lambda spec: planned(Finding(level, "c", "expected x, got y", ("a.csv, row 9",), "mend it"))
    )
    said = tunesmith("check", "a.csv")
    assert said.code == code and "a.csv, row 9" in said.out and "ledger: dropped 1: empty label" in said.out
    said = tunesmith("check", "a.csv", "--json")
    assert said.code == code and said.json[0]["findings"][0]["rows"] == ["a.csv, row 9"]


def test_compare_shows_differences_and_the_verdict(tunesmith, monkeypatch) -> None:
    row = {
        "a": SCORE,
        "b": SCORE,
        "difference": {"value": 0.0, "low": -0.01, "high": 0.01},
        "verdict": "not distinguishable",
    }
    monkeypatch.setattr(
        api,
        "compare",
        lambda a, b: {"scores": {"macro_f1": row}, "verdict": f"{a} and {b}: no difference", "rows": 100},
    )
    said = tunesmith("compare", "a", "b")
    assert "0.000 (-0.010 to 0.010)" in said.out and "a and b: no difference" in said.out
    assert tunesmith("compare", "a", "b", "--json").json[0]["rows"] == 100


def test_evaluate_shows_scores_with_intervals(tunesmith, monkeypatch) -> None:
    monkeypatch.setattr(
        api, "evaluate", lambda run, file, **_: {"scores": {"macro_f1": SCORE}, "rows": 5, "looks": 2, "file": file}
    )
    said = tunesmith("evaluate", "runs/x", "new.csv")
    assert "0.900 (0.850 to 0.940)" in said.out and "new.csv" in said.out


def test_runs_are_listed_and_none_is_said(tunesmith, monkeypatch) -> None:
    line = {"run": "runs/a", "task": "t", "strategy": "s", "state": "finished", "score": "macro_f1", "value": 0.5}
    monkeypatch.setattr(api, "runs", lambda root: [line])
    assert "runs/a" in tunesmith("runs").out
    assert tunesmith("runs", "--json").json == [line]
    monkeypatch.setattr(api, "runs", lambda root: [line | {"state": "unfinished", "score": "", "value": None}])
    assert "not finished" in tunesmith("runs").out and "None" not in tunesmith("runs").out
    assert tunesmith("runs", "--json").json[0]["value"] is None
    monkeypatch.setattr(api, "runs", lambda root: [])
    assert "tunesmith fit" in tunesmith("runs").out


def test_report_says_where_it_is_once_there_is_one(tunesmith, finished, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    said = tunesmith("report", "runs/x y", "--json")
    assert said.code == 2 and said.json[0]["code"] == "run-unfinished" and "tunesmith resume" in said.err
    Path("runs/x y").mkdir(parents=True)
    Path("runs/x y/report.html").write_text("")
    assert tunesmith("report", "runs/x y").out == "runs/x y/report.html\n"


def test_the_cache_is_listed_and_cleared(tunesmith) -> None:
    assert tunesmith("cache").out.startswith("0 B in 0 entries")
    assert tunesmith("cache", "clear").out == "freed 0 B\n"
    assert tunesmith("cache", "clean", "--keep", "5GB").out == "freed 0 B\n"
    assert tunesmith("cache", "list", "--json").json[0]["entries"] == []
    assert tunesmith("cache", "clean", "--keep", "many").code == 2


@pytest.mark.parametrize(("command", "name"), [("tasks", "text-classification"), ("strategies", "lora")])
def test_entries_are_listed_and_shown(tunesmith, command, name) -> None:
    assert name in tunesmith(command).out
    assert name in [line["name"] for line in tunesmith(command, "--json").json]
    found = tunesmith(command, name, "--json").json[0]
    assert found["options"] and all(option["help"] for option in found["options"])
    assert found["options"][0]["path"] in tunesmith(command, name).out
