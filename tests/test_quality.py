"""The page of quality: rows are drawn alike in every arm, what misses its mark is said first, tables hold what their kind needs."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.source import ROOT


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("tables")


@pytest.fixture
def sets(tables: Any) -> Any:
    return importlib.import_module("sets")


def _line(name: str, value: float, arm: str = "tunesmith", **more: Any) -> dict[str, Any]:
    """A measurement as the oldest lines have it."""
    return {
        "set": name, "seed": 0, "arm": arm, "threads": 1, "peak_bytes": 1 << 30, "cpu_seconds": 120.0, "commit": f"of{arm}",
        "machine": "a machine", "score": {"value": value, "low": value - 0.01, "high": value + 0.01}, "scores": {}, "rows": 50,
        "clean": None, "ladder": {"tuned": {"value": value}}, "verdict": {"against": "", "word": "better"}, "seconds": 130.0,
    } | more  # fmt: skip


def _cells(page: str, name: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith(f"| {name} |")]


def test_rows_are_drawn_by_content_and_more_of_them_only_add(sets: Any) -> None:
    rows = [[f"row {n}", n] for n in range(50)]
    few, more = sets.drawn(rows, 10), sets.drawn(rows, 20)
    assert len(few) == 10 and all(row in more for row in few) and more == sorted(more, key=rows.index)
    assert sorted(sets.drawn(rows[::-1], 10)) == sorted(few)
    assert sets.drawn(rows, 0) == rows


def test_every_arm_has_the_same_training_rows_unless_recipes_are_compared_on_others(sets: Any) -> None:
    for data in sets.SETS.values():
        rows = data.drawn().get("data.limit")
        assert rows == (data.most or None) and data.drawn(compared=True).get("data.limit") == (data.compared or rows)


@pytest.mark.parametrize("name, floored, value, under", [
    ("wnut17", 0.268, 0.2, True), ("wnut17", 0.268, 0.3, False), ("vgg_cells", 4.33, 12.0, True), ("vgg_cells", 4.33, 3.0, False),
])
def test_a_score_under_its_floor_is_said_in_the_first_line(tables: Any, name: str, floored: float, value: float, under: bool) -> None:
    page = tables.table([_line(name, value)])
    first = next(line for line in page.splitlines() if line.startswith("- "))
    assert (f"{name}: {value:.3f} is worse than the floor of {floored:.3f}" in first) == under


@pytest.mark.parametrize("name, ours, theirs, behind", [
    ("wnut17", 0.4, 0.405, False), ("wnut17", 0.4, 0.42, True), ("policyqa", 0.4, 0.3, False),
])
def test_a_recipe_beyond_the_interval_is_said(tables: Any, name: str, ours: float, theirs: float, behind: bool) -> None:
    page = tables.table([_line(name, 0.5), _line(name, ours, "tunesmith-3"), _line(name, theirs, "trainer")])
    assert (f"{name}: the Trainer's {theirs:.3f} is beyond the interval" in page) == behind
    assert f"{theirs:.3f}" in _cells(page, name)[0] and "Not compared with the Trainer yet" not in page


def test_what_models_that_write_said_before_and_after_stands_beside_the_scores(tables: Any) -> None:
    scores = {"perplexity": 8.0, "rouge_l": 0.3, "stops": 1.0}
    page = tables.table([_line("sgd", 0.9, scores=scores, others={"untuned": {"perplexity": 20.0, "rouge_l": 0.1, "stops": 0.0}})])
    assert {"20.000 → 8.000", "0.100 → 0.300", "0.000 → 1.000"} < set(_cells(page, "sgd")[1])


def test_each_target_stands_beside_a_model_of_its_own(tables: Any) -> None:
    size = {"value": 0.04, "low": 0.01, "high": 0.07}
    sharing = {"target": "label", "score": "label accuracy", "ours": 0.81, "theirs": 0.77, "difference": size, "verdict": "better"}
    page = tables.table([_line("sick_both", 0.8, sharing=[sharing])])
    assert _cells(page, "sick_both")[1] == ["sick_both", "label", "label accuracy", "0.810", "0.770", "+0.040 (+0.010 to +0.070)", "better"]


def test_images_show_how_deep_they_were_tuned_and_generators_their_course(tables: Any) -> None:
    arms = [_line("cifar10", value, arm) for arm, value in (("tunesmith", 0.7), ("frozen", 0.61), ("last-k", 0.66), ("full", 0.69))]
    history = [{"step": n, "stage": "all", "epoch": float(n), "scores": {"kid": 5.0 - n}} for n in range(4)]
    page = tables.table([*arms, _line("twemoji", 1.0, history=history)])
    assert {"0.610", "0.660", "0.690"} < set(_cells(page, "cifar10")[0])
    assert _cells(page, "twemoji")[1] == ["twemoji", "kid", "0: 5.000, 1: 4.000, 2: 3.000, 3: 2.000"]


def test_every_arm_records_its_rows_and_ours_its_course_and_what_stands_beside_it(tables: Any, sets: Any, tiny_bert: Path) -> None:
    pytest.importorskip("accelerate")
    quality = importlib.import_module("quality")
    words = {"good": "yes", "great": "yes", "bad": "no", "awful": "no"}
    things = [f"{thing} {was}" for thing in ("film", "meal", "book") for was in ("is", "was")]
    rows = [[f"the {thing} {word}", label] for thing in things for word, label in words.items()]
    parts = lambda: {"train": [[f"{text} {n}", label] for n in ("one", "two", "three") for text, label in rows], "test": rows}  # noqa: E731
    data = replace(sets.SETS["sst2"], parts=parts, model=str(tiny_bert), most=48, judged=12, settings={"epochs": 2})
    mine, theirs = quality.ours(data, 0, threads=1), quality.trainer(data, 0, 1)
    assert mine["rows"] == theirs["rows"] == 12 and mine["train_rows"] == theirs["train_rows"] < 48
    assert {one["epoch"] for one in mine["history"]} >= {1.0, 2.0}
    assert mine["others"]["majority"]["accuracy"] == mine["ladder"]["majority"]["value"]
    page = tables.table([_line("sst2", 0.5) | mine])
    assert f"{mine['train_rows']:,} / 12" in page
