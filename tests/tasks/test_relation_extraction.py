"""Relation extraction: what it claims, what it refuses by row, the official scores, and rows of many pairs."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from tunesmith.data.answers import Answers
from tunesmith.data.labels import unknown_findings
from tunesmith.data.profile import Profile
from tunesmith.data.table import Table
from tunesmith.errors import DataError
from tunesmith.inference import encode
from tunesmith.parts import related, relating
from tunesmith.parts.marked import Misfit
from tunesmith.tasks.relation_extraction import NONE, RelationExtraction
from tunesmith.tasks.text_classification import TextClassification
from tunesmith.tasks.token_classification import TokenClassification

TEXT = "Anna Bell was born in Rome and lives in Bonn"
ENTITIES = [{"id": "a", "start": 0, "end": 9, "label": "PER"}, {"id": "b", "start": 22, "end": 26, "label": "LOC"},
            {"id": "c", "start": 40, "end": 44, "label": "LOC"}]
LINKS = [{"head": "a", "tail": "b", "type": "born_in"}, {"head": "a", "tail": "c", "type": "lives_in"}]
MANY = RelationExtraction(entities="entities")


def _many(*rows: tuple[list[Any], list[Any]], text: str = TEXT) -> Table:
    return Table.of([{"text": text, "entities": json.dumps(one), "relations": json.dumps(two)} for one, two in rows], "a.jsonl")


@pytest.fixture(scope="module")
def tokenizer(tiny_bert: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_bert)


# -- tables -----------------------------------------------------------------------------------------------------------

MARKED = [f"the <e1>cat {n}</e1> made a <e2>mess</e2>" for n in range(40)]
PLAIN = [f"the cat {n} made a mess" for n in range(40)]
LABELS = ["Cause(e1,e2)", "Other"] * 20


@pytest.mark.parametrize("columns, roles", [
    ({"text": MARKED, "relation": LABELS}, {"text": "text", "relation": "relation"}),
    ({"sentence": MARKED, "label": LABELS, "n": list(range(40))}, {"text": "sentence", "relation": "label"}),
    ({"text": PLAIN, "head": [[4, 7]] * 40, "tail": [[15, 19]] * 40, "relation": LABELS},
     {"text": "text", "head": "head", "tail": "tail", "relation": "relation"}),
    ({"sentence": PLAIN, "subject": ["cat"] * 40, "object": ["mess"] * 40, "predicate": LABELS},
     {"text": "sentence", "head": "subject", "tail": "object", "relation": "predicate"}),
    ({"text": [f"{TEXT} {n}" for n in range(40)], "entities": [ENTITIES] * 40, "relations": [LINKS] * 40},
     {"text": "text", "entities": "entities", "relations": "relations"}),
])
def test_it_claims_marked_pairs(columns: dict[str, Any], roles: dict[str, str]) -> None:
    profile = Profile.of(Table.of(columns))
    found = RelationExtraction.claim(profile, {})
    assert found and {role: choice.value for role, choice in found.columns.items()} == roles
    for other in (TextClassification, TokenClassification):
        claim = other.claim(profile, {})
        assert claim is None or claim.sure < found.sure


@pytest.mark.parametrize("columns", [
    {"text": PLAIN, "label": ["good", "bad"] * 20},
    {"text": PLAIN, "head": ["a", "b"] * 20, "tail": ["c", "d"] * 20},
    {"text": PLAIN, "subject": ["mail", "news"] * 20, "label": ["good", "bad"] * 20},
    {"text": [f"{TEXT} {n}" for n in range(40)], "entities": [ENTITIES] * 40},
])
def test_it_leaves_other_tables_alone(columns: dict[str, Any]) -> None:
    assert RelationExtraction.claim(Profile.of(Table.of(columns)), {}) is None


# -- findings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, code", [
    ("a cat made a mess", "marker-missing"), ("a <e1>cat</e1> made a mess", "marker-missing"),
    ("a <e1>cat</e1> made a <e2>mess", "marker-unbalanced"), ("a <e1>cat</e1> made a <e2>mess</e2> <e2>x</e2>", "marker-unbalanced"),
    ("a </e1>cat<e1> made a <e2>mess</e2>", "marker-unbalanced"), ("a <e1>cat <e2>made</e1> a mess</e2>", "marker-overlap"),
    ("a <e1>cat <e2>made</e2> a</e1> mess", "marker-overlap"), ("a <e1> </e1> made a <e2>mess</e2>", "span-empty"),
])
def test_bad_markers_are_refused_by_row(text: str, code: str) -> None:
    table = Table.of([{"text": row, "relation": "Other"} for row in (MARKED[0], text, MARKED[1], text)], "a.csv")
    (found,) = RelationExtraction().check(table)
    assert (found.level, found.code, found.rows) == ("error", code, ("a.csv, row 2", "a.csv, row 4"))
    with pytest.raises(DataError, match="a.csv, row 2"):
        RelationExtraction().fit(table)


@pytest.mark.parametrize("head, code", [
    ([4, 99], "span-range"), ([5, 5], "span-range"), ("dog", "span-range"), ("a", "span-ambiguous"), ("", "span-range"),
    ([7, 8], "span-empty"), ({"start": 4}, "bad-span"), ([True, 2], "bad-span"), (None, "bad-span"),
    ({"start": 4, "end": 7, "text": "dog"}, "span-text"),
])
def test_spans_outside_the_text_are_refused(head: Any, code: str) -> None:
    with pytest.raises(Misfit) as caught:
        relating.of_columns("the cat made a mess", head, "mess", ("head", "tail"))
    assert caught.value.code == code


@pytest.mark.parametrize("head", [[4, 7], "[4, 7]", "4-7", "cat", {"start": 4, "end": 7}, '{"start": 4, "end": 7}', [4, 7, "animal"]])
def test_spans_are_read_in_many_forms(head: Any) -> None:
    said = relating.of_columns("the cat made a mess", head, "mess", ("head", "tail"))
    assert [(span.start, span.end) for span in said.spans] == [(4, 7), (15, 19)]


@pytest.mark.parametrize("entities, relations, code", [
    (ENTITIES, [{"head": "z", "tail": "b", "type": "x"}], "relation-range"), (ENTITIES, [["a", "a", "x"]], "bad-relation"),
    (ENTITIES, ["born_in"], "bad-relation"), ([[0, 99, "PER"]], [], "span-range"), ([[0, 4, "PER"]], [[0, 1, "x"]], "relation-range"),
])
def test_relations_between_nothing_are_refused_by_row(entities: list[Any], relations: list[Any], code: str) -> None:
    (found,) = [f for f in MANY.check(_many((ENTITIES, LINKS), (entities, relations))) if f.level == "error"]
    assert found.code == code and found.rows == ("a.jsonl, row 2",)


def test_two_relations_of_one_pair_are_said() -> None:
    table = _many((ENTITIES, [*LINKS, {"head": "a", "tail": "b", "type": "died_in"}]))
    (found,) = MANY.check(table)
    assert (found.level, found.code) == ("warning", "two-relations")


# -- labels and scores ------------------------------------------------------------------------------------------------


def test_directions_are_two_labels_of_one_relation() -> None:
    task = RelationExtraction().fit(Table.of({"text": MARKED, "relation": LABELS}))
    assert task.labels == ("Cause(e1,e2)", "Cause(e2,e1)", "Other") and task.none == "Other"
    assert related.names(task.labels, task.none) == ("Cause",)
    turned = Table.of([{"text": MARKED[0], "relation": "Cause(e2,e1)"}, {"text": MARKED[0], "relation": "New"}], "test.csv")
    assert task.truth(turned).tolist() == [1, -1]
    assert unknown_findings(LABELS, turned.take([0]), Answers.of([["Cause(e2,e1)"]]), "test") == []
    assert unknown_findings(LABELS, turned.take([1]), Answers.of([["New"]]), "test")[0].code == "unknown-label"


def _scored(said: list[str], true: list[str]) -> dict[str, float]:
    labels = relating.closed([*said, *true, "Other"])
    task = RelationExtraction().settle(labels=labels, none="Other")
    logits = np.array([[float(label == one) for label in labels] for one in said])
    return task.score({"logits": logits}, np.array([labels.index(one) for one in true]))


def test_a_relation_is_right_only_in_its_own_direction() -> None:
    true = ["A(e1,e2)", "A(e2,e1)", "B(e1,e2)", "Other"]
    assert _scored(true, true)["macro_f1"] == 1.0
    found = _scored(["A(e2,e1)", "A(e2,e1)", "Other", "Other"], true)
    assert found == {"macro_f1": pytest.approx(0.25), "micro_f1": pytest.approx(2 / 5), "precision": 0.5, "recall": pytest.approx(1 / 3),
                     "accuracy": 0.5}


@pytest.mark.parametrize("number", [1, 2])
def test_scores_are_those_of_the_official_scorer(shared: Path, number: int) -> None:
    folder = shared / "relation_extraction" / "semeval2010_task8" / "corpus" / "SemEval2010_task8_scorer-v1.2"
    files = [folder / f"{name}{number}.txt" for name in ("answer_key", "proposed_answer", "result_scores")]
    key, answers = (dict(line.split() for line in _text(path).splitlines() if line.strip()) for path in files[:2])
    official = float(re.findall(r"OFFICIAL|macro-averaged F1 = ([\d.]+)%", _text(files[2]))[-1])
    found = _scored([answers.get(row, "Other") for row in key], list(key.values()))
    assert found["macro_f1"] == pytest.approx(official / 100, abs=5e-5)


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else gzip.open(f"{path}.gz", "rt").read()


def test_counts_of_rows_give_the_scores_of_all() -> None:
    rng, task = np.random.default_rng(0), RelationExtraction().settle(labels=relating.closed(["A(e1,e2)", "B", "Other"]), none="Other")
    outputs, truth = {"logits": rng.normal(size=(50, 4))}, rng.integers(-1, 4, 50)
    assert task.score(outputs, truth) == task.score(task.condense(outputs, truth), truth)


# -- many pairs -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tokenizer: Any) -> tuple[RelationExtraction, Table, Any]:
    table = _many((ENTITIES, LINKS), ([], []), (ENTITIES[:1], []))
    task = MANY.fit(table).suit(table, tokenizer, 64, "none")
    return task, table, encode(task, tokenizer, table)


def test_every_candidate_pair_is_an_example(many: Any) -> None:
    task, table, encoded = many
    assert task.labels == (NONE, "born_in", "lives_in") and task.type_pairs == (("PER", "LOC"),)
    assert encoded.row_N.tolist() == [0, 0, 1, 2] and encoded.arrays["target"].tolist() == [1, 2, -1, -1]
    assert encoded.arrays["row_weight"].tolist() == [1, 1, 0, 0]
    every = dataclasses.replace(task, pairs="all")
    assert len(every._pairs(every.read(table)[0])) == 6


def test_right_labels_give_the_relations_back(many: Any) -> None:
    task, table, encoded = many
    logits = np.eye(3)[np.maximum(encoded.arrays["target"], 0)] * 9
    outputs = task.gather({"logits": logits}, encoded)
    assert task.score(outputs, task.truth(table)) == dict.fromkeys(related.DIRECTIONS, 1.0)
    answers = task.answers(outputs)
    assert [(one["head"], one["relation"], one["tail"]) for one in answers[0]["relations"]] == [
        ("Anna Bell", "born_in", "Rome"), ("Anna Bell", "lives_in", "Bonn")]
    assert answers[1:] == [{"relations": []}] * 2 and json.dumps(answers)
    graded = task.grade(outputs, task.truth(table))
    assert graded.right_N.all() and graded.answer[0] == "Anna Bell born_in Rome, Anna Bell lives_in Bonn" == graded.truth[0]
    assert graded.pieces.right_M.tolist() == [True, True] and len(graded.marks[0]) == 8
    task.calibrate(outputs, task.truth(table))


def test_pairs_that_were_not_asked_count_as_missed(many: Any) -> None:
    task, table, encoded = many
    turned = _many((ENTITIES, [{"head": "b", "tail": "a", "type": "born_in"}]), ([], []), ([], []))
    outputs = task.gather({"logits": np.eye(3)[[0, 0, 0, 0]]}, encoded)
    assert task.score(outputs, task.truth(turned))["recall"] == 0 and task.truth(turned)[0] == {"links": [[1, 0, "born_in"]]}


def test_relations_that_training_never_saw_are_named(many: Any) -> None:
    task, table, _ = many
    other = _many((ENTITIES, LINKS), (ENTITIES, [*LINKS, {"head": "b", "tail": "c", "type": "near"}]))
    (found,) = task.unlearned(other)
    assert (found.level, found.code, found.rows) == ("warning", "unknown-label", ("a.jsonl, row 2",)) and "'near' (1)" in found.message
    assert task.unlearned(table) == []


def test_only_training_leaves_pairs_without_relation_out(tokenizer: Any) -> None:
    spans = [[5 * at, 5 * at + 4, "T"] for at in range(8)]
    table = _many((spans, [[0, 1, "x"]]), text="word " * 8)
    task = RelationExtraction(entities="entities", negatives=3.0).fit(table).suit(table, tokenizer, 64, "none")
    encoded = encode(task, tokenizer, table)
    learned = task.learned(encoded)
    assert len(encoded) == 56 and (learned.arrays["target"] == 1).sum() == 1 and 1 <= (learned.arrays["target"] == 0).sum() <= 9
    assert dataclasses.replace(task, negatives=0.0).learned(encoded) is encoded
    assert np.array_equal(task.learned(encoded).arrays["pair"].values, learned.arrays["pair"].values)


def test_a_baseline_of_many_pairs_is_scored_as_the_model(many: Any) -> None:
    task, table, encoded = many
    made = task.baselines(table, table)
    assert set(made) == {"majority", "words between + linear"}
    for outputs in made.values():
        assert set(task.score(outputs, task.truth(table))) == set(related.DIRECTIONS) and len(task.answers(outputs)) == 3
