"""Names that other tools give our settings: each leads to a setting that exists, wherever it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith import api
from tunesmith.cli import main
from tunesmith.cli._flags import make_spec
from tunesmith.cli._words import settings
from tunesmith.elsewhere import OURS, UNLIKE, ours
from tunesmith.errors import SpecError
from tunesmith.registry import STRATEGIES, TASKS
from tunesmith.spec import Spec, fields_of

NAMES = {name: path for path, names in OURS.items() for name in names.split()}
TASK, LORA = TASKS.load("text-classification"), STRATEGIES.load("lora")


def _known() -> set[str]:
    options = {f"options.{name}" for task in TASKS.names() for name in TASKS.load(task).options()}
    ways = {f"strategy_options.{name}" for way in STRATEGIES.names() for name in STRATEGIES.load(way).options()}
    return {*fields_of(), *options, *ways}


def test_each_name_leads_to_one_setting_that_exists() -> None:
    assert set(OURS) <= _known() and set(UNLIKE) <= set(OURS)
    assert sum(len(names.split()) for names in OURS.values()) == len(NAMES)


def test_no_name_is_another_setting_of_ours() -> None:
    """Else a slip of the place would be told as a slip of the name."""
    last = {path.rpartition(".")[2] for path in _known()}
    assert [name for name, path in NAMES.items() if name in last and path.rpartition(".")[2] != name] == []


@pytest.mark.parametrize("name", NAMES)
def test_it_is_answered_with_ours_wherever_it_is_written(name: str) -> None:
    said = f"it is '{NAMES[name]}' here"
    if f"train.{name}" not in settings():
        with pytest.raises(SpecError) as of_yaml:
            Spec.of({"train": {name: 1}})
        with pytest.raises(SpecError) as of_words:
            make_spec([], None, {}, settings=[f"train.{name}=1"])
        assert of_yaml.value.fix.startswith(said) and of_words.value.fix.startswith(said)
    with pytest.raises(SpecError) as of_task:
        TASK.build({name: 1}, "text-classification")
    with pytest.raises(SpecError) as of_strategy:
        LORA.build({name: 1}, "lora")
    assert of_task.value.fix.startswith(said) and of_strategy.value.fix.startswith(said)


@pytest.mark.parametrize("task", ["auto", "text-classification"])
def test_in_python_too(tmp_path: Path, tiny_bert: Path, task: str) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"word {i} of {i * i},{'ab'[i % 2]}\n" for i in range(60)))
    with pytest.raises(SpecError, match="'learning_rate'; it is 'train.lr' here"):
        api.plan(api.make_spec(str(tmp_path / "a.csv"), task=task, model=str(tiny_bert), learning_rate=1e-4))


def test_a_flag_of_another_tool_is_told_as_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "a.csv", "--learning-rate", "1e-4"]) == 2
    assert "--learning-rate. It is 'train.lr' here: --set train.lr=VALUE." in capsys.readouterr().err


def test_other_names_are_answered_by_likeness() -> None:
    with pytest.raises(SpecError, match=r"did you mean 'epochs'\?"):
        Spec.of({"train": {"epoch": 1}})
    assert ours("epoch") == "" and ours("--Learning-Rate") == ours("train.learning_rate") == "train.lr"
