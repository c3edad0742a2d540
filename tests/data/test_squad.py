"""Reading-comprehension JSON becomes one row per question, whichever of its shapes it has; what is malformed is named by its place."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path

import pytest

from tunesmith.data.ledger import Ledger
from tunesmith.data.profile import Profile
from tunesmith.data.read import read
from tunesmith.errors import DataError
from tunesmith.spec import Data

ARTICLE = {
    "title": "Rivers",
    "paragraphs": [
        {
            "context": "The Seine flows through Paris.",
            "qas": [
                {"id": 7, "question": "Where does it flow?", "answers": [{"text": "Paris", "answer_start": 24}]},
                {"id": "b", "question": "How long is it?", "answers": [], "is_impossible": True, "plausible_answers": [{"text": "x"}]},
            ],
        },
        {"context": "The Rhine is wide.", "qas": [{"question": "How is it?", "answers": [{"text": "wide", "answer_start": 13}]}]},
    ],
}
ROWS = [
    ("7", "Where does it flow?", "The Seine flows through Paris.", [{"text": "Paris", "answer_start": 24}]),
    ("b", "How long is it?", "The Seine flows through Paris.", []),
    (None, "How is it?", "The Rhine is wide.", [{"text": "wide", "answer_start": 13}]),
]
CMRC = [{
    "context_id": "T_0", "context_text": "光荣开发了它。", "title": "它",
    "qas": [{"query_id": "T_0_Q0", "query_text": "谁开发？", "answers": ["光荣", "光荣开发"]}],
}]


def rows_of(value, folder: Path, name: str = "qa.json") -> list[dict]:
    path = folder / name
    path.write_text(json.dumps(value), "utf-8")
    return read(str(path), Data(), Ledger()).rows()


@pytest.mark.parametrize(
    "value",
    [
        {"version": "v2.0", "data": [ARTICLE]},
        {"data": [ARTICLE]},
        [ARTICLE],
        ARTICLE,
        ARTICLE["paragraphs"],
    ],
    ids=["version and data", "data", "articles", "one article", "paragraphs"],
)
def test_each_question_is_a_row(value, tmp_path):
    rows = rows_of(value, tmp_path)
    assert [(row["id"], row["question"], row["context"], row["answers"]) for row in rows] == ROWS


def test_the_reading_is_told_and_rows_have_places(tmp_path):
    (tmp_path / "qa.json").write_text(json.dumps({"data": [ARTICLE]}))
    ledger = Ledger()
    table = read(str(tmp_path / "qa.json"), Data(), ledger)
    assert "each question is a row" in ledger.entries[0].why and table.place(2) == "qa.json, row 3"
    assert table.column("title") == ["Rivers"] * 3


def test_cmrc_spelling(tmp_path):
    (row,) = rows_of(CMRC, tmp_path)
    assert (row["id"], row["question"], row["context"]) == ("T_0_Q0", "谁开发？", "光荣开发了它。")
    assert row["answers"] == [{"text": "光荣"}, {"text": "光荣开发"}]


def test_questions_alone_have_no_answers_column(tmp_path):
    value = copy.deepcopy({"data": [ARTICLE]})
    for paragraph in value["data"][0]["paragraphs"]:
        for asked in paragraph["qas"]:
            asked.pop("answers"), asked.pop("is_impossible", None)
    assert "answers" not in rows_of(value, tmp_path)[0]


def test_other_objects_with_a_list_stay_tables(tmp_path):
    assert rows_of({"data": [{"paragraphs": 3, "text": "a"}]}, tmp_path) == [{"paragraphs": 3, "text": "a"}]
    assert rows_of([{"context": "a", "qas": "b"}], tmp_path) == [{"context": "a", "qas": "b"}]


@pytest.mark.parametrize(
    ("change", "place", "expected"),
    [
        (lambda q: q.update(question=3), "question 1", "a text under 'question'"),
        (lambda q: q.pop("question"), "question 1", "a text under 'question'"),
        (lambda q: q.update(answers="Paris"), "question 1", "a list under 'answers'"),
        (lambda q: q.update(answers=[{"answer_start": 3}]), "question 1", "an answer with a text"),
        (lambda q: q.update(answers=[{"text": "Paris", "answer_start": "24"}]), "question 1", "a whole number under 'answer_start'"),
        (lambda q: q.update(is_impossible=True), "question 1", "no answers where 'is_impossible' is true"),
    ],
)
def test_what_is_malformed_is_named_by_its_place(change, place, expected, tmp_path):
    value = copy.deepcopy({"data": [ARTICLE]})
    change(value["data"][0]["paragraphs"][0]["qas"][0])
    with pytest.raises(DataError) as error:
        rows_of(value, tmp_path)
    assert error.value.place == f"qa.json, article 1, paragraph 1, {place}" and error.value.expected == expected


def test_a_broken_article_behind_sound_ones_is_named(tmp_path):
    with pytest.raises(DataError, match="article 2"):
        rows_of({"data": [ARTICLE, {"title": "no paragraphs"}]}, tmp_path)


@pytest.mark.parametrize(
    ("name", "rows", "found"),
    [("policyqa/data/dev", 3809, 6044), ("cmrc2018_zh/squad-style-data/cmrc2018_trial", 1002, 1002)],
)
def test_real_files(name, rows, found):
    path = Path(__file__).parents[2] / ".." / "shared" / "data" / "extractive_qa" / f"{name}.json.gz"
    if not path.is_file():
        pytest.skip("no shared data here")
    table = read(str(path), Data(), Ledger())
    with gzip.open(path, "rt", encoding="utf-8") as file:
        ids = [q["id"] for a in json.load(file)["data"] for p in a["paragraphs"] for q in p["qas"]]
    assert table.column("id") == ids and len(table) == rows
    assert sum(map(len, table.column("answers"))) == found
    assert Profile.of(table).columns["answers"].kind == "list"
