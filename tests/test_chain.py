"""Two runs in a row: entities keep their places in the user's text, relations their direction, and only whole finds count."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tunesmith.chain import Chain
from tunesmith.data.table import Table
from tunesmith.errors import SpecError
from tunesmith.tasks.relation_extraction import RelationExtraction
from tunesmith.tasks.token_classification import TokenClassification

TEXT = "Anna lives in Rome,  not in Bonn"
SPANS = [(0, 4, "PER"), (14, 18, "LOC"), (28, 32, "LOC")]


def _run(task: str, learned: Table | None = None) -> Any:
    """The folder of a run that learned from these rows."""
    ids = b"" if learned is None else learned.row_ids.astype(">u8").tobytes()
    spec = SimpleNamespace(task=task, train=SimpleNamespace(seed=0))
    return SimpleNamespace(spec=spec, path=Path("r"), read=lambda _: {"splits": {"parts": {"train": {"row_ids": ids.hex()}}}})


def _finder(squeezed: bool = False, learned: Table | None = None) -> Any:
    """A run that finds all three; one that learned from tokens answers in a text with other spaces."""
    def predict(rows: list[Any]) -> list[Any]:
        text = " ".join(TEXT.split()) if squeezed else TEXT
        found = [(text.index(TEXT[a:b]), kind, TEXT[a:b]) for a, b, kind in SPANS]
        return [{"text": text, "entities": [{"start": a, "end": a + len(w), "type": k, "text": w} for a, k, w in found]} for _ in rows]

    return SimpleNamespace(task=TokenClassification(text="said", spans="spans"), predict=predict, run=_run("token-classification", learned))


def _relater(task: RelationExtraction, answer: Any, table: Table | None = None, learned: Table | None = None) -> Any:
    asked: list[Any] = []

    def predict(rows: list[Any]) -> list[Any]:
        asked.extend(rows)
        return [answer(row) for row in rows]

    run = _run("relation-extraction", learned)
    return SimpleNamespace(task=task, predict=predict, asked=asked, read=lambda file, *_: table, run=run)


def _lives(row: Any) -> Any:
    head, tail = ({"span": [one["start"], one["end"]], "type": one["label"]} for one in row["entities"][:2])
    link = {"head": "Anna", "relation": "lives_in", "tail": "Rome", "confidence": 0.9, "head_span": head["span"], "tail_span": tail["span"]}
    return {"relations": [link | {"head_type": head["type"], "tail_type": tail["type"]}]}


@pytest.mark.parametrize("squeezed", [False, True])
def test_entities_keep_their_places_in_the_users_text(squeezed: bool) -> None:
    relater = _relater(RelationExtraction(entities="entities"), _lives)
    (answer,) = Chain(_finder(squeezed), relater).predict([TEXT])
    assert [(one["start"], one["end"], one["type"]) for one in answer["entities"]] == SPANS
    assert relater.asked[0]["text"] == TEXT and relater.asked[0]["entities"][2] == {"start": 28, "end": 32, "label": "LOC"}


@pytest.mark.parametrize("task", [RelationExtraction(none="Other"), RelationExtraction(head="h", tail="t", none="Other")])
def test_runs_of_single_pairs_are_asked_of_each_two_entities(task: RelationExtraction) -> None:
    relater = _relater(task, lambda row: {"relation": "Home(e2,e1)" if row is relater.asked[0] else "Other", "confidence": 0.8})
    (answer,) = Chain(_finder(), relater).predict(TEXT)
    assert len(relater.asked) == 3 and answer["relations"] == [{
        "head": "Rome", "relation": "Home", "tail": "Anna", "confidence": 0.8, "head_span": [14, 18], "tail_span": [0, 4],
        "head_type": "LOC", "tail_type": "PER"}]
    task_form = relater.asked[0]
    assert task_form == {"text": TEXT, "h": [0, 4], "t": [14, 18]} if task.head else task_form["text"].startswith("<e1>Anna</e1> lives")


def test_a_relation_counts_only_with_both_its_entities() -> None:
    entities = [{"start": a, "end": b, "label": kind} for a, b, kind in SPANS]
    wrong = [entities[0], entities[1] | {"label": "ORG"}]
    link = '[{"head": 0, "tail": 1, "type": "lives_in"}]'
    rows = [{"text": TEXT, "entities": json.dumps(e), "relations": link} for e in (entities, wrong)]
    relater = _relater(RelationExtraction(entities="entities"), _lives, Table.of(rows))
    found = {name: score["value"] for name, score in Chain(_finder(), relater).evaluate("gold.jsonl")["scores"].items()}
    assert found["relation_f1"] == 0.5 and found["boundary_f1"] == 1.0 and found["entity_precision"] == pytest.approx(4 / 6)
    single = _relater(RelationExtraction(), _lives, Table.of(rows))
    with pytest.raises(SpecError, match="single pairs"):
        Chain(_finder(), single).evaluate("gold.jsonl")


def test_rows_that_either_run_has_learned_from_are_told_with_the_scores_without_them() -> None:
    entities = [{"start": a, "end": b, "label": kind} for a, b, kind in SPANS]
    link = [{"head": 0, "tail": 1, "type": "lives_in"}]
    table = Table.of([{"text": TEXT, "entities": entities, "relations": links} for links in (link, link * 2, [])], "gold.jsonl")
    one, other = table.take([0]), table.take([2])
    relater = _relater(RelationExtraction(entities="entities", labels=("(none)", "lives_in")), _lives, table, one)
    found = Chain(_finder(learned=other), relater).evaluate("gold.jsonl")
    assert found["met"] == {"train": 2, "validation": 0, "calibration": 0} and found["unmet"]["rows"] == 1
    assert found["unmet"]["scores"]["relation_f1"]["value"] == 1.0 > found["scores"]["relation_f1"]["value"]
    assert [(one["code"], one["rows"]) for one in found["findings"]] == [("rows-met", ["gold.jsonl, row 1", "gold.jsonl, row 3"])]
    assert Chain(_finder(), _relater(relater.task, _lives, table)).evaluate("gold.jsonl")["findings"] == []
