"""From the words of a command line to a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.cli._flags import FLAGS, make_spec
from tunesmith.cli._words import options, settings
from tunesmith.errors import SpecError
from tunesmith.registry import STRATEGIES, TASKS
from tunesmith.spec import Spec, fields_of

BY_NAME = {flag.name: flag for flag in FLAGS}


def spec_of(files: list[str], spec: str | None = None, pairs: dict[str, Any] | None = None, **flags: Any) -> Spec:
    return make_spec(files, spec, {BY_NAME[name]: value for name, value in flags.items()}, **(pairs or {}))


def test_the_settings_read_from_the_text_are_those_of_the_spec() -> None:
    found = fields_of()
    assert set(settings()) == set(found)
    assert {path: s.help for path, s in settings().items()} == {
        p: " ".join(i.description.split()) for p, i in found.items()
    }


@pytest.mark.parametrize("registry", [TASKS, STRATEGIES], ids=["tasks", "strategies"])
def test_the_options_read_from_the_text_are_those_of_the_class(registry: Any) -> None:
    for name in registry.names():
        assert set(options(registry, name)) == set(registry.load(name).options()), name


def test_every_flag_sets_a_setting_that_is_there() -> None:
    known = set(settings()) | {f"options.{o}" for task in TASKS.names() for o in options(TASKS, task)}
    tasks = {"text-classification", "text-multilabel", "text-regression"}
    unknown = [flag.path for flag in FLAGS if flag.path not in known]
    assert unknown == [] or not tasks <= set(TASKS.names())


def test_values_get_the_type_of_their_setting() -> None:
    spec = spec_of(
        ["a.csv"],
        lr="2e-5",
        epochs="3",
        seed="7",
        merge_labels=True,
        limit="10",
        batch="auto",
        label="2024",
        encoding="no",
    )
    assert (spec.train.lr, spec.train.epochs, spec.train.seed, spec.train.batch) == (2e-5, 3, 7, "auto")
    assert (spec.data.merge_labels, spec.data.limit, spec.data.encoding) == (True, 10, "no")
    assert spec.options == {"label": "2024"}, "a column called 2024 is a name, not a number"


def test_several_files_and_several_targets() -> None:
    spec = spec_of(["a.csv", "b.csv"], target=["x", "y"], test=["t.csv"])
    assert (spec.data.train, spec.data.test, spec.options["target"]) == (["a.csv", "b.csv"], "t.csv", ["x", "y"])


def test_the_later_wins_file_then_flags_then_set(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("data: {train: file.csv, empty: drop}\ntrain: {epochs: 1, lr: 1e-3, seed: 5}\n")
    spec = spec_of([], str(file), {"settings": ["train.lr=1e-5"]}, epochs="2", lr="1e-4")
    assert (spec.data.train, spec.data.empty, spec.train.seed) == ("file.csv", "drop", 5)
    assert (spec.train.epochs, spec.train.lr) == (2, 1e-5)


def test_a_yaml_file_in_place_of_data_is_a_spec(tmp_path: Path) -> None:
    file = tmp_path / "s.yml"
    file.write_text("data: {train: file.csv}\n")
    assert spec_of([str(file)]).data.train == "file.csv"


def test_set_reaches_every_setting() -> None:
    for path, info in fields_of().items():
        if path not in ("options", "strategy_options"):
            text = (
                ""
                if info.default in (None, "")
                else str(info.default).lower()
                if isinstance(info.default, bool)
                else str(info.default)
            )
            value = "null" if info.default is None else text
            assert spec_of([], pairs={"settings": [f"{path}={value}"]}) == Spec(), path


def test_options_of_task_and_strategy() -> None:
    spec = spec_of(
        ["a.csv"],
        pairs={"option": ["smoothing=0.1", "label=1"], "strategy_option": ["rank=16", "targets=[query, value]"]},
    )
    assert spec.options == {"smoothing": 0.1, "label": "1"}
    assert spec.strategy_options == {"rank": 16, "targets": ["query", "value"]}


@pytest.mark.parametrize(
    ("flags", "pairs", "place", "fix"),
    [
        ({"lr": "-1"}, {}, "--lr", ""),
        ({"bad_rows": "skipp"}, {}, "--bad-rows", ""),
        ({"batch": "0"}, {}, "--batch", ""),
        ({"lr": "2e-5 x"}, {}, "--lr", ""),
        ({}, {"settings": ["train.lrr=1"]}, "--set train.lrr", "train.lr"),
        ({}, {"settings": ["train.warmup"]}, "--set", "key=value"),
        ({}, {"settings": ["train.warmup=2"]}, "--set train.warmup", ""),
        ({}, {"option": ["=3"]}, "--option", "key=value"),
    ],
)
def test_what_cannot_be_used_is_named_as_it_was_typed(flags: dict, pairs: dict, place: str, fix: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(["a.csv"], None, pairs, **flags)
    assert caught.value.place == place
    assert fix in caught.value.fix


LISTS = [
    *((f"options.{name}", "option", name) for task in TASKS.names() for name, s in options(TASKS, task).items() if s.holds_list),
    *((f"strategy_options.{n}", "strategy_option", n)
      for k in STRATEGIES.names() for n, s in options(STRATEGIES, k).items() if s.holds_list),
    *((path, "settings", path) for path, s in settings().items() if s.holds_list),
]  # fmt: skip


@pytest.mark.parametrize(("path", "way", "name"), sorted(set(LISTS)))
def test_a_list_can_be_typed_wherever_one_may_stand(path: str, way: str, name: str) -> None:
    section, _, last = path.partition(".")
    for pairs in ({way: [f"{name}=[swap, drop]"]}, {"settings": [f"{path}=[swap, drop]"]}):
        found = spec_of([], pairs=pairs).model_dump()[section]
        assert found[last] == ["swap", "drop"], pairs


def test_a_column_that_looks_like_a_list_is_a_column() -> None:
    assert spec_of([], label="[red]").options == {"label": "[red]"}
