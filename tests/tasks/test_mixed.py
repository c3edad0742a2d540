"""Mixed tables from file to answers: a number in its own unit, a label, gaps, unknown cells, leaks, and what the plan says of each."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith import api, testing
from tunesmith.data.table import Table
from tunesmith.errors import DataError, SpecError
from tunesmith.parts.amounts import Scale
from tunesmith.tasks.mixed import Mixed

FAST = {"data.near_duplicates": 0.0, "train.threads": 1, "evaluate.resamples": 100}


def _write(rows: list[dict[str, Any]], path: Path) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _homes(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows as people have them: money, shares, gaps, an id, an address, lists."""
    rng = np.random.default_rng(seed)
    rows = []
    for i, row in enumerate(Mixed.sample(n, seed)):
        price = float(np.exp(float(row.pop("target")[1:]) / 25)) * 40
        more = {"id": 1000 + i, "link": f"https://example.org/{i}", "rate": rng.choice(["85%", "90%", "N/A"]), "tags": '["wifi", "tea"]'}
        rows.append(row | more | {"price": f"${price:,.2f}"})
    return rows


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Any:
    folder = tmp_path_factory.mktemp("mixed")
    path = _write(_homes(150), folder / "homes.csv")
    settings = FAST | {"train.epochs": 3.0, "train.lr": 1e-2, "interval": 0.5}
    return api.fit(str(path), model=str(tiny_bert), runs=str(folder / "runs"), **settings)


def test_the_plan_says_how_each_column_is_read(run: Any) -> None:
    text = (run.run.path / "plan.yaml").read_text("utf-8")
    ledger = json.dumps(run.run.read("data.json")["ledger"], ensure_ascii=False)
    assert "task: mixed" in text and "log: 'yes'" in text.replace('"', "'") and "unit: $" in text
    assert "web addresses" in text and "another value in each row" in text and "long tail" in text
    assert "column 'price' from text to number: numbers in $, a comma between thousands" in ledger.replace("\\", "")
    assert "column 'rate': numbers in %" in ledger and "at the median with a flag" in ledger and "text, read by the encoder" in ledger


def test_answers_are_in_the_data_s_unit_with_an_interval(run: Any) -> None:
    found = run.predict([{"size": 80, "kind": "house", "beds": "2", "text": "a quiet room near the park"}])[0]
    assert found["unit"] == "$" and 0 < found["low"] < found["value"] < found["high"] < 1e6
    assert found["remarks"] == "not given, taken as empty: rate, since"


def test_cells_that_cannot_be_used_are_told_beside_the_answer(run: Any) -> None:
    row = {"size": "large", "kind": "castle", "since": "2021-03-15", "beds": 2, "rate": "85%", "tags": "", "text": "a bright room"}
    assert run.predict([row])[0]["remarks"] == "size 'large': no number, taken as empty; kind 'castle': too rare in training to be known"
    row |= {"size": 3, "kind": "flat"}
    assert run.predict([row])[0]["remarks"] == ""
    with pytest.raises(DataError, match="column"):
        run.predict([{"nothing": 1}])


def test_the_report_judges_in_the_unit_beside_trees_and_texts(run: Any) -> None:
    report = run.run.read("report.json")
    assert {"mean", "trees on the table", "TF-IDF + ridge on the texts", "probe", "tuned"} == {rung["name"] for rung in report["ladder"]}
    scores = report["parts"]["test"]["scores"]
    assert {"r2", "mae", "r2_log"} <= set(scores) and scores["mae"]["value"] > 10
    assert "trees on the table" in (run.run.path / "report.html").read_text("utf-8")


def test_a_labelled_file_is_scored_as_it_is_written(run: Any, tmp_path: Path) -> None:
    path = _write(_homes(30, 5), tmp_path / "new.csv")
    found = api.evaluate(run.path, path)
    assert found["rows"] == 30 and "text to number" in json.dumps(found["ledger"])


# -- refusals and findings ----------------------------------------------------------------------------------------------


def _plan(rows: list[dict[str, Any]], folder: Path, model: Path, **settings: Any) -> Any:
    return api.plan(api.make_spec(str(_write(rows, folder / "rows.csv")), model=str(model), runs=str(folder), **FAST | settings))


def test_labels_are_learned_as_labels(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [{**row, "sold": "yes" if i % 3 else "no"} for i, row in enumerate(_homes(60))]
    made = _plan(rows, tmp_path, tiny_bert, task="mixed", label="sold")
    assert made.task.labels == ("no", "yes") and made.task.scale is None
    assert next(iter(made.task.directions)) == "macro_f1" and "price" in made.plan.spec.options["numbers"]


@pytest.mark.parametrize("settings", [{}, {"label": "kind", "target": "size"}])
def test_one_target_is_asked_for(settings: dict[str, Any], tiny_bert: Path, tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "price"} for row in _homes(40)]
    with pytest.raises(SpecError) as found:
        _plan(rows, tmp_path, tiny_bert, task="mixed", **settings)
    assert found.value.code == "no-target" and "--target" in str(found.value)


def test_prices_that_are_none_are_refused_by_row(tiny_bert: Path, tmp_path: Path) -> None:
    rows = _homes(40)
    rows[6]["price"] = "on request"
    with pytest.raises(DataError, match="row 7") as found:
        _plan(rows, tmp_path, tiny_bert)
    assert "on request" in str(found.value) and "$" not in found.value.got


def test_numbers_that_could_be_two_are_refused(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [row | {"price": f"1,2{i:02d}" if i < 4 else str(i + 5)} for i, row in enumerate(_homes(40))]
    with pytest.raises(DataError) as found:
        _plan(rows, tmp_path, tiny_bert, task="mixed", target="price")
    assert found.value.code == "locale-number"


def test_targets_with_a_magnitude_are_read_in_one_unit(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [row | {"price": f"{i + 1},5 Mio. €" if i % 2 else f"{i + 300} Tsd. €"} for i, row in enumerate(_homes(40))]
    made = _plan(rows, tmp_path, tiny_bert, task="mixed", target="price")
    assert made.task.unit == "€" and made.task.comma == "decimal"
    found = sorted(value for part in (made.data.train, made.data.test) for value in part.column("price"))
    assert 300_000 <= found[0] < 340_000 and 1.5e6 < found[-1] <= 40.5e6
    rows[7]["price"] = "2,5 Mio. $"
    with pytest.raises(DataError, match="row 8"):
        _plan(rows, tmp_path, tiny_bert, task="mixed", target="price")


def test_a_column_that_is_the_target_by_another_name_is_told(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [row | {"also": row["price"].replace("$", "£")} for row in _homes(120)]
    found = [f for f in _plan(rows, tmp_path, tiny_bert).data.findings if f.code == "column-predicts-label"]
    assert len(found) == 1 and "'also'" in found[0].message and "leave_out" in found[0].fix


def test_a_plain_copy_of_the_target_is_told(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [row | {"price": row["price"].replace("$", "").replace(",", "")} for row in _homes(120)]
    rows = [row | {"cents": round(float(row["price"]) * 100)} for row in rows]
    found = [f for f in _plan(rows, tmp_path, tiny_bert, task="mixed", target="price").data.findings if f.code == "column-predicts-label"]
    assert len(found) == 1 and "'cents'" in found[0].message


def test_a_target_in_the_texts_or_under_a_written_quantity_is_told_beside_others(tiny_bert: Path, tmp_path: Path) -> None:
    rows = _homes(150)
    before = _plan(rows, tmp_path, tiny_bert).data.findings
    assert "column-predicts-label" not in {f.code for f in before}
    told = [row | {"text": f"{row['text']}, yours for {row['price']}", "also": row["price"].replace("$", "£")} for row in rows]
    told = [row | {"cents": round(float(row["price"][1:].replace(",", "")) * 100)} for row in told]
    found = [f.message for f in _plan(told, tmp_path, tiny_bert).data.findings if f.code == "column-predicts-label"]
    assert len(found) == 3 and all(any(repr(name) in message for message in found) for name in ("text", "also", "cents"))
    dear = [row | {"dear": "yes" if float(row["price"][1:].replace(",", "")) > 500 else "no"} for row in rows]
    findings = _plan(dear, tmp_path, tiny_bert, task="mixed", label="dear").data.findings
    assert [f.message for f in findings if f.code == "column-predicts-label"] == ["column 'price' predicts 'dear' alone"]


def test_share_prices_are_split_by_time_and_learned_as_logarithms(tiny_bert: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    walks = {name: start * np.exp(np.cumsum(rng.normal(0.004, 0.03, 70))) for name, start in zip("ABCDEFG", (3, 8, 20, 60, 150, 400, 1500))}
    rows = [
        {"day": f"{2020 + month // 12}-{month % 12 + 1:02d}-15", "share": name, "yesterday": round(float(walk[month - 1]), 2),
         "volume": int(rng.integers(1e4, 1e6)), "news": f"the board met and said nothing new of {name}", "close": f"€{walk[month]:.2f}"}
        for month in range(1, 70) for name, walk in walks.items()
    ]  # fmt: skip
    rng.shuffle(rows)
    made = _plan(rows, tmp_path, tiny_bert, task="mixed", target="close", **{"data.time": "day"})
    days = {part: made.data.part(part).column("day") for part in ("train", "validation", "test")}
    assert max(days["train"]) < min(days["validation"]) and max(days["validation"]) < min(days["test"])
    assert made.task.unit == "€" and made.task.scale.logged and "day" in made.task.dates
    assert max(day for field in made.task.fields if field.name == "day" for day in field.edges) <= field_day(max(days["train"]))


def field_day(day: str) -> float:
    """A day in days since 1970, as fields count them."""
    return float((np.datetime64(str(day)[:10]) - np.datetime64("1970-01-01")).astype(int))


def test_cells_that_are_no_numbers_are_told_by_row(tiny_bert: Path, tmp_path: Path) -> None:
    rows = _homes(120)
    rows[3]["rate"] = "most"
    found = [f for f in _plan(rows, tmp_path, tiny_bert).data.findings if f.code == "unreadable-cell"]
    assert len(found) == 1 and "row 4" in found[0].rows[0] and "'most'" in found[0].message


def test_a_table_without_texts_is_read_all_the_same(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [{key: row[key] for key in ("size", "beds", "kind", "price")} for row in _homes(60)]
    made = _plan(rows, tmp_path, tiny_bert)
    assert made.plan.spec.task == "mixed" and made.task.texts == ()
    assert any("no column of texts" in entry.why for entry in made.data.ledger.entries)


# -- the target's scale -------------------------------------------------------------------------------------------------


def test_the_scale_is_chosen_on_what_is_seen_and_undone_exactly() -> None:
    import torch

    rng = np.random.default_rng(0)
    tailed, even = np.exp(rng.normal(4, 1, 500)), rng.normal(4, 1, 500)
    assert Scale.of(tailed).logged and not Scale.of(even).logged and not Scale.of(tailed - 5).logged and not Scale.of(tailed, "no").logged
    for target_N in (tailed, even):
        scale = Scale.of(target_N)
        back = scale.undone(torch.from_numpy(scale.standard(target_N[:, None]))).numpy()
        np.testing.assert_allclose(back[:, 0], target_N, rtol=1e-4)
        np.testing.assert_allclose(scale.back(scale.standard(target_N) * scale.deviation + scale.mean)[:, 0], target_N)


def test_intervals_of_logarithms_hold_what_they_promise() -> None:
    rng = np.random.default_rng(1)
    true_N1 = np.exp(rng.normal(4, 1, (4000, 1)))
    said = {"numbers": true_N1 * np.exp(rng.normal(0, 0.3, (4000, 1)))}
    scale = Scale.of(true_N1[:, 0])
    half = scale.half_width({"numbers": said["numbers"][:2000]}, true_N1[:2000], 0.9)
    answers = scale.answers({"numbers": said["numbers"][2000:]}, half, "$")
    inside = np.mean([a["low"] <= t <= a["high"] for a, t in zip(answers, true_N1[2000:, 0])])
    assert 0.87 < inside < 0.93


def test_rows_in_the_table_of_the_request_may_be_typed(run: Any) -> None:
    row = {"size": "80", "beds": 2.0, "kind": "house", "rate": "85%", "since": "2021-03-15", "text": "a quiet room"}
    assert run.predict(Table.of([row])) == run.predict(Table.of([row | {"size": 80, "beds": 2, "rate": "85 %"}]))


def test_the_report_tells_what_each_column_is_worth(run: Any) -> None:
    columns = run.run.read("report.json")["columns"]
    assert {one["name"] for one in columns} == {"size", "kind", "since", "beds", "rate", "text"}
    falls = {one["name"]: one["fall"] for one in columns}
    assert falls["size"] > 5 * abs(falls["rate"]) and columns[0]["name"] in ("size", "kind") and all(one["read"] for one in columns)
    assert "How columns are read" in (run.run.path / "report.html").read_text("utf-8")


CHECKS = ["a stopped run resumes to the same bits", "cached is as uncached", "the saved model answers alike", "frozen weights do not move"]


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_learned_by_default_meets_the_contract(check: str, tiny_bert: Path, tmp_path: Path) -> None:
    testing.run(check, "mixed", "head-only", tiny_bert, tmp_path)
