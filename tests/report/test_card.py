"""The model card has no blanks and keeps foreign text in its place."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tunesmith.registry import TASKS
from tunesmith.report import read
from tunesmith.report.card import card, write

KINDS = ("binary", "many", "multilabel", "regression")


@pytest.mark.parametrize("kind", KINDS)
def test_no_blanks(make_run, kind):
    text = write(make_run(kind)).read_text("utf-8")
    sections = re.split(r"^## ", text, flags=re.M)[1:]
    assert len(sections) == 9
    for section in sections:
        title, _, body = section.partition("\n")
        assert len(body.strip()) > 20, title
    assert not re.search(r"needed|TODO|TBD|None|nan|undefined|\{\{|\| +\|", text)


def test_what_a_model_does_is_said_by_every_task_whose_answers_are_no_labels_and_numbers():
    """What such tasks do cannot be told from the kind of their answers."""
    kinds = {name: TASKS.load(name) for name in TASKS.own_names()}
    assert not [name for name, kind in kinds.items() if kind.target_kind == "other" and not kind.does]
    said = [kind.does for kind in kinds.values() if kind.does]
    assert said and len(set(said)) == len(said) and not any(sentence.endswith(".") for sentence in said)


def test_the_card_lets_the_task_say_what_its_model_does_and_runs_nobody_elses_code(make_run, tmp_path):
    told = read.story(make_run("binary"))
    says = lambda task, kind: card(told | {"report": told["report"] | {"task": task, "kind": kind}})  # noqa: E731
    for name in ("extractive-qa", "translation", "token-classification"):
        assert f"A model that {TASKS.load(name).does} (task `{name}`)" in says(name, "other")
    assert "A model that chooses one label for a text (task" in says("text-classification", "classes")
    (tmp_path / "own.py").write_text("raise SystemExit('run')")
    assert "A model that answers rows of data (task" in says(str(tmp_path / "own.py"), "other")


@pytest.mark.parametrize("kind", KINDS)
def test_every_score_has_its_interval(make_run, kind):
    run = make_run(kind)
    report = json.loads((run / "report.json").read_text())
    text = card(read.story(run))
    for score in report["parts"]["test"]["scores"].values():
        assert f"({score['low']:.3f}–" in text or score["low"] < 0 or score["low"] >= 10


def test_the_front_block_is_yaml(make_run):
    front = card(read.story(make_run("binary"))).split("---")[1]
    assert yaml.safe_load(front) == {
        "library_name": "tunesmith", "license": "apache-2.0", "base_model": "all-MiniLM-L6-v2", "tags": ["text-classification"],
    }


def test_what_is_not_known_is_said_so(make_run, tmp_path):
    (tmp_path / "report.json").write_bytes((make_run("binary") / "report.json").read_bytes())
    text = card(read.story(tmp_path))
    assert "not recorded" in text
    assert "does not state a licence" in text
    assert not re.search(r"None|\| +\|", text)


def test_labels_cannot_write_markup(make_run):
    labels = ["<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "a | b\n## heading", "\u202eevil"]
    text = card(read.story(make_run("binary", labels=labels, rows=200)))
    assert "<img" not in text
    assert "[x](" not in text.replace("\\[x\\](", "")
    assert "\n## heading" not in text
    assert "\u202e" not in text


def test_what_changed_no_row_is_no_change_and_what_is_not_used_is_said_in_words(make_run):
    told = read.story(make_run("binary"))
    note = {"action": "noted", "why": "cls.csv: delimiter comma", "count": 0, "rows": []}
    told["data"]["ledger"] = [note]
    told["plan"] = [{"path": "train.patience", "value": None, "why": "no"}, {"path": "options.augment", "value": [], "why": "no"}]
    text = card(told | {"env": read._flat({"translators": [], "gpu": None})})
    assert "No row was changed or left out." in text and "noted" not in text
    assert text.index("How the data was read:") < text.index("cls.csv: delimiter comma") < text.index("## Scores")
    assert "| `train.patience` | none |" in text and "| `options.augment` | none |" in text
    assert "| translators | none |" in text and "| gpu | not known |" in text and "| – |" not in text


def test_a_licence_that_is_not_known_is_no_field_but_a_line(make_run):
    told = read.story(make_run("binary"))
    front = card(told | {"model": {"name": "m", "licence": ""}}).split("---")[1]
    assert "license" not in yaml.safe_load(front) and "# license: the base model states none" in front
