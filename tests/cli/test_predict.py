"""Answers on a screen and in files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tunesmith.cli import predict
from tunesmith.cli._answers import cell, writing
from tunesmith.errors import SpecError


def test_one_text(tunesmith, run) -> None:
    said = tunesmith("predict", run, "abc")
    assert (said.code, said.out) == (0, "label: =3  confidence: 0.500  scores: a 0.500\n")


def test_several_texts_stay_in_order_and_are_shown_escaped(tunesmith, run) -> None:
    said = tunesmith("predict", run, "--", "a\x1b[31m", "bb", "-x")
    lines = said.out.splitlines()
    assert [line.split()[1] for line in lines] == ["=6", "=2", "=2"]
    assert lines[0].endswith("<- a\\x1b[31m")


def test_sources_get_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    source = {"file": "fees.md", "place": "Cards", "start": 1200, "end": 1300, "text": "A card costs\n\x1b[31m22 euros."}
    answer = {"answer": "22", "refused": False, "sources": [source, source | {"place": "", "text": ""}]}
    predict.show_answers(["what?"], [answer], as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "answer: 22  refused: False", "  [1] fees.md, Cards, characters 1,200 to 1,300: A card costs \\x1b[31m22 euros.",
        "  [2] fees.md, characters 1,200 to 1,300",
    ]


def test_json_and_rows(tunesmith, run) -> None:
    assert tunesmith("predict", run, "--row", "text=a=b", "--json").json == [
        {"label": "=3", "confidence": 0.5, "scores": {"a": 0.5}}
    ]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_file_row_by_row(tunesmith, run, tmp_path: Path, monkeypatch, ending) -> None:
    monkeypatch.setattr(predict, "CHUNK", 4)
    source, target = tmp_path / "in.csv", tmp_path / f"out{ending}"
    source.write_text("11")
    said = tunesmith("predict", run, "--file", source, "--out", target)
    assert said.code == 0 and "11 of 11 rows" in said.err
    rows = read(target)
    assert [row["predicted_label"].lstrip("'") for row in rows] == [f"={i % 7}" for i in range(11)]
    assert {row["id"] for row in rows} == {"007"}, "the user's own cells are as they were"
    assert {row["amount"] for row in rows} == {"=1+1"}
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["in.csv", target.name])


def read(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.mark.parametrize("value", ["=cmd|'/C calc'!A0", "+1+1", "@SUM(A1)", "-2+3", "\tx", "\rx"])
def test_formulas_that_we_would_add_are_made_harmless(value) -> None:
    assert cell(value, ours=True) == "'" + value
    assert cell(value, ours=False) == value


@pytest.mark.parametrize("value", ["-1.5", "+3", "-1e-4", "plain", "", 0.5, None, True])
def test_numbers_and_plain_texts_stay(value) -> None:
    assert cell(value, ours=True) == value


def test_without_out_the_answers_are_json_lines(tunesmith, run, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("3")
    said = tunesmith("predict", run, "--file", source, "--quiet")
    assert [row["predicted_confidence"] for row in said.json] == [0.5] * 3 and said.err == ""


def test_nothing_is_overwritten_unless_asked(tunesmith, run, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("3")
    target.write_text("precious")
    assert tunesmith("predict", run, "--file", source, "--out", target).code == 2
    assert target.read_text() == "precious"
    assert tunesmith("predict", run, "--file", source, "--out", target, "--replace").code == 0
    assert len(read(target)) == 3


@pytest.mark.parametrize("name", ["out.xlsx", "out", "nowhere/out.csv"])
def test_a_file_that_cannot_be_written_is_refused_before_the_model_speaks(tmp_path: Path, name) -> None:
    with pytest.raises(SpecError), writing(str(tmp_path / name)):
        pytest.fail("should have been refused")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_no_half_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), writing(str(tmp_path / "out.csv")) as write:
        write([{"a": 1}])
        raise ValueError("broken")
    assert list(tmp_path.iterdir()) == []


def test_parts_of_an_answer_are_its_words_and_how_sure_it_is() -> None:
    spans = [{"answer": "Rome\x1b", "start": 3, "end": 7, "confidence": 0.25}, {"text": "Anna", "label": "PER"}]
    assert predict._words(spans) == "Rome\\x1b (0.250), Anna PER" and predict._words(["a", "b"]) == "a, b"
    assert predict._words([{"label": "cat", "confidence": 0.5, "box": [1.5, 2.0, 30.0, 41.2]}]) == "cat (0.500) at 1.5 2 30 41.2"
    heard = [{"start": 0.0, "end": 1.52, "text": "press one"}, {"start": 1.52, "end": 2.0, "text": "now"}]
    assert predict._words(heard) == "press one (0 to 1.52 s), now (1.52 to 2 s)"
