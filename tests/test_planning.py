"""What the plan says before anything runs."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.runs import make_ready, write_lines
from tunesmith import api, choices, forecast, planning
from tunesmith.errors import SpecError
from tunesmith.registry import STRATEGIES
from tunesmith.spec import Train
from tunesmith.strategies.full import Full
from tunesmith.strategies.lora import Lora

THINGS = {"latin": "film book meal room service".split(), "foreign": "電影 書 飯 房間 服務".split()}


def plan(words: str, model: Path, folder: Path) -> Any:
    path = folder / "rows.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        pairs = [(a, b, c) for a in THINGS[words] for b in THINGS[words] for c in ("good", "bad")]
        rows = [(f"the {a} was {c} and the {b}", c) for a, b, c in pairs]
        csv.writer(file).writerows([("text", "label"), *rows])
    return api.plan(api.make_spec(str(path), model=str(model), runs=str(folder / "runs"), **{"data.near_duplicates": 0.0}))


def test_a_model_of_another_script_is_told(tiny_bert: Path, tmp_path: Path) -> None:
    found = {words: plan(words, tiny_bert, tmp_path).data.findings for words in THINGS}
    told = [one for one in found["foreign"] if one.code == "unknown-tokens"]
    assert len(told) == 1 and "unknown to" in told[0].message and "--model" in told[0].fix
    assert not [one for one in found["latin"] if one.code == "unknown-tokens"]


@pytest.mark.parametrize(
    ("strategy", "weights", "low", "high"),
    [
        (Full(), 22.7e6, 2e-4, 2e-4),
        (Full(), 110e6, 2e-5, 6e-5),
        (Full(), 355e6, 1e-5, 3e-5),
        (Lora(), 125e6, 5e-4, 1e-3),
        (Lora(), 7e9, 5e-5, 2e-4),
    ],
)
def test_the_rate_falls_with_size_to_what_is_published(strategy: Any, weights: float, low: float, high: float) -> None:
    facts: Any = SimpleNamespace(source=SimpleNamespace(parameters=int(weights)))
    assert low <= choices.choose_lr(None, facts, strategy).value <= high  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", STRATEGIES.names())
def test_every_strategy_can_be_forecast_whatever_names_it_asks_for(strategy: str) -> None:
    options = {"pattern": {"patterns": ["attention.self.query"]}, "last-k": {"k": 1}}.get(strategy, {})
    made = STRATEGIES.load(strategy).build(options, strategy)
    assert forecast._stages(made, 2) and all(stage.rates for stage in forecast._stages(made, 2))


def test_runs_of_one_process_may_differ_in_precision() -> None:
    from tunesmith.training.device import accelerator

    for precision in ("bf16", "fp32", "bf16"):
        made = accelerator(Train(device="cpu", precision=precision, threads=1))  # type: ignore[arg-type]
        assert made.mixed_precision == ("bf16" if precision == "bf16" else "no")


WAYS = ("weights", "oversample", "undersample")
MARKED = {
    "text-classification": (("label", ("yes", "no")), WAYS), "text-multilabel": (("labels", (["a"], ["a", "b"])), ("weights",)),
    "text-regression": (("score", tuple(at / 64 for at in range(40))), ()),
}
"""Task -> its target's column and cells of it, and the ways of balancing that change what it learns."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task", MARKED)
def test_balancing_is_refused_where_it_would_change_nothing(task: str, way: str, tiny_bert: Path, tmp_path: Path) -> None:
    (column, cells), ways = MARKED[task]
    rows = [{"text": f"the {word} was {at}", column: cells[at % len(cells)]} for at, word in enumerate(THINGS["latin"] * 8)]
    spec = api.make_spec(
        str(write_lines(tmp_path / "rows.jsonl", rows)), task=task, model=str(tiny_bert), runs=str(tmp_path / "runs"),
        **{"train.balance": way},
    )
    if way in ways:
        assert api.plan(spec).plan.spec.train.balance == way
        return
    with pytest.raises(SpecError) as refused:
        api.plan(spec)
    said = str(refused.value)
    assert refused.value.code == "unsuitable-balance" and "train.balance" in said and way in said
    assert ("say --set train.balance=weights" in said) == bool(ways)
    assert not (tmp_path / "runs").exists()


def test_several_targets_are_balanced_by_weights_alone(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [{"text": f"the {word} was {at}", "a": "yn"[at % 2], "b": at / 10} for at, word in enumerate(THINGS["latin"] * 8)]
    path = str(write_lines(tmp_path / "rows.jsonl", rows))
    settings = {"task": "multi-task", "options.target": ["a", "b"], "model": str(tiny_bert), "runs": str(tmp_path / "runs")}
    assert api.plan(api.make_spec(path, **settings, **{"train.balance": "weights"})).task.balances == ("weights",)
    with pytest.raises(SpecError, match="no single class"):
        api.plan(api.make_spec(path, **settings, **{"train.balance": "oversample"}))


@pytest.mark.parametrize(("strategy", "solve", "fits"), [("head-only", True, False), ("head-only", False, True), ("full", True, True)])
def test_rows_are_drawn_by_class_only_where_steps_are_taken(
    strategy: str, solve: bool, fits: bool, tmp_path: Path, tiny_bert: Path
) -> None:
    options = {"solve": solve} if strategy == "head-only" else {}
    settings: dict[str, Any] = {"strategy": strategy, "strategy_options": options, "train": {"balance": "oversample"}}
    if fits:
        assert make_ready(tmp_path, tiny_bert, **settings).plan.spec.train.balance == "oversample"
    else:
        with pytest.raises(SpecError, match="all rows at once.*train.balance=weights"):
            make_ready(tmp_path, tiny_bert, **settings)


SPARSE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    # task -> what rows hold, what is left of it where there is nothing to learn, the finding
    "token-classification": ({"tokens": "Anna saw {n} in Rome", "tags": "B-PER O O O B-LOC"}, {"tags": "O O O O O"}, "no-entities"),
    "relation-extraction": (
        {"text": "Anna saw {n} in Rome", "entities": [[0, 4, "PER"], [5, 8, "LOC"]], "relations": [[0, 1, "in"]]}, {"relations": []},
        "no-relations"),
    "extractive-qa": ({"question": "where?", "context": "Anna saw {n} in Rome", "answers": "Rome"}, {"answers": ""}, "no-answers"),
    "embedding": ({"anchor": "where was {n}?", "positive": "Anna saw {n} in Rome"}, {"anchor": ""}, "no-pairs"),
}  # fmt: skip


@pytest.mark.parametrize("task", SPARSE)
def test_a_part_that_was_cut_may_hold_nothing_to_learn_and_a_file_may_not(task: str, tmp_path: Path) -> None:
    whole, silent, code = SPARSE[task]
    parts = ["train"] * 24 + ["validation", "calibration", "test"] * 2
    cells = [whole | (silent if part != "train" else {}) | {"part": part} for part in parts]
    rows = [{k: v.replace("{n}", f"film{n}") if isinstance(v, str) else v for k, v in row.items()} for n, row in enumerate(cells)]
    asked: dict[str, Any] = {"task": task, "data.near_duplicates": 0.0} | {name: name for name in whole if task == "embedding"}
    file = lambda name, some: str(write_lines(tmp_path / name, some))  # noqa: E731
    by_column = {"data.split": "column", "data.split_column": "part"}
    found = planning.read(api.make_spec(file("rows.jsonl", rows), **asked, **by_column))[1].findings
    told = [one for one in found if one.code == code]
    assert [one.level for one in told] == ["warning"] * 2 and all("2 rows that were kept for" in one.message for one in told)
    spec = api.make_spec(file("train.jsonl", rows[:24]), test=file("test.jsonl", rows[24:]), **asked)
    assert [one.level for one in planning.read(spec)[1].findings if one.code == code and "kept for" not in one.message] == ["error"]
