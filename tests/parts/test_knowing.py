"""Search and answers: BM25 by hand, passages that hold all words, ranks by hand, rules that refuse, references that are read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.arrays import objects
from tunesmith.data.documents import Document, Documents, of_texts
from tunesmith.data.table import Table
from tunesmith.parts import asking, bm25, citing, knowing, lexical, passages
from tunesmith.parts.answers import Answer
from tunesmith.shelf import Shelf

TEXTS = ["the cat sat on the mat", "a dog", "the dog and the cat", ""]


# -- full text --------------------------------------------------------------------------------------------------------


def test_bm25_is_the_formula() -> None:
    index, mean = bm25.Index.of(TEXTS), 13 / 4
    rare = math.log1p((4 - 2 + 0.5) / (2 + 0.5))
    wanted = [rare * 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * len(text.split()) / mean)) if "cat" in text else 0.0 for text in TEXTS]
    np.testing.assert_allclose(index.scores("Cat!"), wanted, rtol=1e-6)
    np.testing.assert_allclose(index.scores("cat cat"), 2 * index.scores("cat"))
    assert index.scores("unheard of").sum() == 0


def test_an_index_comes_back_as_it_was(tmp_path: Path) -> None:
    index = bm25.Index.of(TEXTS)
    index.save(tmp_path)
    np.testing.assert_array_equal(bm25.Index.load(tmp_path).scores("the dog"), index.scores("the dog"))


@pytest.mark.parametrize("text, words", [
    ("Straße, U.S. 3rd", ["strasse", "u", "s", "3rd"]), ("北京市 has", ["北京", "京市", "has"]), ("東", ["東"]), ("_a_", ["a"]),
])
def test_words_and_scripts_without_spaces(text: str, words: list[str]) -> None:
    assert bm25.words(text) == words


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 9))
def test_the_best_are_those_of_a_stable_sort(scores: list[int], count: int) -> None:
    score_P = np.array(scores, float)
    assert bm25.best(score_P, count, 0.0).tolist() == [at for at in np.argsort(-score_P, kind="stable").tolist() if scores[at] > 0][:count]


# -- passages ---------------------------------------------------------------------------------------------------------


@given(st.text(alphabet="ab.\n 。", max_size=400), st.integers(20, 80), st.integers(0, 10))
@settings(max_examples=150)
def test_passages_hold_every_character_and_no_more_than_they_may(text: str, size: int, overlap: int) -> None:
    found = passages.cut(text, size, overlap)
    held = {at for start, end in found for at in range(start, end)}
    assert {at for at, character in enumerate(text) if not character.isspace()} <= held
    assert all(0 < end - start <= size for start, end in found)
    assert all(one[0] < other[0] and one[1] < other[1] for one, other in zip(found, found[1:]))
    assert all(one[1] - other[0] <= overlap for one, other in zip(found, found[1:]))


def test_a_passage_ends_with_its_paragraph_where_it_is_full_enough() -> None:
    text = "One is here. Two is here.\n\nThree is here. Four."
    assert [text[slice(*span)] for span in passages.cut(text, 40, 0)] == ["One is here. Two is here.", "Three is here. Four."]


def _library(*texts: str, size: int = 100) -> passages.Library:
    made = passages.Passages.of(Documents(tuple(Document(f"d{n}.txt", text) for n, text in enumerate(texts))), size, 20)
    return passages.Library(made, bm25.Index.of(made.texts()))


def test_documents_are_put_together_again_and_places_found_in_them() -> None:
    text = " ".join(f"Sentence {n} says a thing." for n in range(30))
    library = _library(text, "Other words.")
    assert library.document("d0.txt").text == text and library.names["d1"] == "d1.txt"
    at = text.index("Sentence 17")
    (only,) = passages.located([library.document("d0.txt")], Answer("Sentence 17", 3))
    assert only == ("d0.txt", at, at + 11)
    held = [library.passages.text(one) for one in library.holding((at, at + 11), "d0.txt")]
    assert held and all("Sentence 17" in one for one in held)
    assert passages.located([library.document("d0.txt")], Answer("Sentence\n17  says"))[0][1] == at


def test_a_store_comes_back_as_it_was(tmp_path: Path) -> None:
    library = _library("One. Two.", "Three.")
    library.passages.save(tmp_path)
    assert passages.Passages.load(tmp_path).table.equals(library.passages.table)


# -- questions --------------------------------------------------------------------------------------------------------


def _asked(rows: list[dict[str, Any]], library: passages.Library, **columns: str) -> list[dict[str, Any]]:
    usual = {"question": "question", "answer": "answer", "answer_start": "", "document": "", "context": ""} | columns
    table = asking.joined(Table.of(rows), asking.Columns(**usual), library, "")
    return [row | {"truth": json.loads(row[asking.TRUTH])} for row in table.rows()]


def test_answers_are_found_mended_listed_and_their_passage_and_a_distractor_chosen() -> None:
    library = _library("Cats eat fish. They sleep.", "Dogs eat meat. Dogs eat it daily.", "Birds eat seeds.")
    rows = _asked(
        [{"question": "what do cats eat", "answer": "fish", "start": 9, "document": "d0"},
         {"question": "what do dogs eat", "answer": "meat", "start": 2, "document": "d1.txt"},
         {"question": "what do dogs eat", "answer": "Dogs", "start": 3, "document": "d1.txt"},
         {"question": "what do birds eat", "answer": "worms", "start": None, "document": "d2"},
         {"question": "what do bees eat", "answer": "", "start": None, "document": ""},
         {"question": "who eats", "answer": "x", "start": None, "document": "d9"}], library, answer_start="start", document="document",
    )  # fmt: skip
    assert [row["truth"]["how"] for row in rows] == ["given", "mended", "doubtful", "lost", "none", "unknown"]
    assert rows[0][asking.PASSAGE] == "Cats eat fish. They sleep." and "fish" not in rows[0][asking.DISTRACTOR] != ""
    assert rows[1]["truth"]["said"] == "offset 2, now 9" and rows[1]["truth"]["units"] == [[["d1.txt", 9, 13]]]
    assert [row[asking.DOCUMENT] for row in rows[:2]] == ["d0.txt", "d1.txt"] and rows[4][asking.DOCUMENT] == "question what do bees eat"


def test_an_answer_in_several_documents_of_which_none_is_named_keeps_no_rows_together() -> None:
    library = _library("Cats eat fish. Cats sleep.", "Dogs eat fish. Dogs bark.")
    rows = [{"question": one, "answer": text} for one, text in (("a", "fish"), ("b", "fish"), ("c", "Cats"), ("d", "bark"))]
    found = _asked(rows, library)
    assert [row[asking.DOCUMENT] for row in found] == ["question a", "question b", "d0.txt", "d1.txt"]
    (named,) = _asked([rows[0] | {"document": "d1"}], library, document="document")
    assert named[asking.DOCUMENT] == "d1.txt"
    columns = asking.Columns("question", "answer", "", "", "")
    told = asking.findings(asking.joined(Table.of(rows, "q.csv"), columns, library, ""), library, skip=False)
    assert [(one.code, one.rows) for one in told] == [("answer-ambiguous", ("q.csv, row 1", "q.csv, row 2", "q.csv, row 3"))]
    alone = asking.findings(asking.joined(Table.of(rows[:1]), columns, library, ""), library, skip=False)
    assert told[0].message.startswith("3 rows have an answer that") and alone[0].message.startswith("1 row has an answer that")


def test_row_ids_do_not_depend_on_documents() -> None:
    table = Table.of([{"question": "a", "answer": "fish"}, {"question": "b", "answer": ""}])
    columns = asking.Columns("question", "answer", "", "", "")
    joined = [asking.joined(table, columns, library, digest) for library, digest in ((_library("fish"), "1"), (_library("a fish"), "2"))]
    assert joined[0].row_ids.tolist() == joined[1].row_ids.tolist() == table.row_ids.tolist()
    assert joined[0].digest() != joined[1].digest()
    assert joined[0].take([1]).row_ids.tolist() == table.take([1]).row_ids.tolist()


def test_rows_bring_their_own_documents() -> None:
    table = Table.of([{"question": "a", "context": "one fish"}, {"question": "b", "context": "one fish"}, {"question": "c", "context": ""}])
    columns = asking.Columns("question", "", "", "", "context")
    assert len(asking.own_documents(table, columns).of) == 1
    assert of_texts([("a", "x"), ("b", " ")]).of == (Document("a", "x"),)


# -- search -----------------------------------------------------------------------------------------------------------


def test_both_searches_are_joined_by_their_ranks() -> None:
    library = _library("red cat", "red dog", "blue bird")
    vectors_PD = np.eye(3, dtype=np.float16)
    shelf = Shelf(library, vectors_PD)
    question = np.array([[0.1, 0.2, 0.9]], np.float32)
    assert [hit[0] for hit in shelf.weighing(1.0).ranked(["red cat"], question)[0]] == [2, 1, 0]
    assert [hit[0] for hit in shelf.weighing(0.0).ranked(["red cat"], question)[0]] == [0, 1]
    (both,) = shelf.ranked(["red cat"], question)
    assert {hit[0]: hit[1] for hit in both} == pytest.approx({0: 0.5 / 61 + 0.5 / 63, 1: 1 / 62, 2: 0.5 / 61}, abs=1e-6)
    assert [hit[0] for hit in shelf.ranked(["red cat"], question, [["d0.txt"]])[0]] == [1, 2]


# -- scores -----------------------------------------------------------------------------------------------------------


def _hit(name: str, start: int = 0, end: int = 10) -> list[Any]:
    return [name, "", start, end, 1.0, 0.5, 1.0, "a sentence"]


def test_ranks_and_their_measures_by_hand() -> None:
    hits = [_hit("a"), _hit("b"), _hit("a", 8, 20), _hit("c")]
    units = [[["a", 9, 14]], [["c", 0, 3], ["d", 0, 3]]]
    assert knowing.ranks(hits, units) == [3, 4]
    found = knowing.measures([3, 4])
    ideal = 1 + 1 / math.log2(3)
    assert found == pytest.approx((0.0, 1.0, 1.0, (1 / math.log2(4) + 1 / math.log2(5)) / ideal, 1 / 3))
    assert knowing.measures([math.inf])[:4] == (0, 0, 0, 0) and math.isnan(knowing.measures([])[0])


def _found(odds: float, text: str, hidden: float, name: str = "a") -> dict[str, Any]:
    span = [0, 0, 4, text, odds, f"It is {text}.", 0.5]
    return {"hits": [_hit(name)], "spans": [span], "hidden": [[*span[:4], hidden, *span[5:]]], "reply": None, "read": 1}


def test_the_threshold_parts_questions_with_an_answer_from_those_without() -> None:
    found = [_found(3 + n / 10, "fish", -3 - n / 10) for n in range(10)]
    truth = objects([{"answers": ["fish"], "units": [[["a", 0, 4]]], "how": "given"}] * 10)
    rule = knowing.fit(found, truth, "squad", 0.2)
    rows = knowing.condense({"found": objects([json.dumps(one) for one in found])}, truth, rule)
    scores = knowing.score(rows, list(knowing.DIRECTIONS))
    assert scores == dict.fromkeys(knowing.DIRECTIONS, 1.0)
    assert knowing.answer(found[0], rule)["sources"][0]["text"] == "It is fish."
    assert knowing.answer(_found(-9, "fish", 0), rule)["refused"]


@pytest.mark.parametrize("form, right", [("span", "fish"), ("sentence", "It is fish."), ("words", "fish and chips")])
def test_the_form_of_answers_is_the_one_that_suits(form: str, right: str) -> None:
    found = [_found(3, "fish", -3) for _ in range(6)]
    for one in found:
        one["spans"].append([0, 0, 9, "fish and chips", 2.0, "fish and chips", 0.5, 1])
    truth = objects([{"answers": [right], "units": [], "how": "given"}] * 6)
    rule = knowing.fit(found, truth, "squad", 0.0)
    assert rule.form == form and knowing.decide(found[0], rule).text == right


def test_where_every_answer_is_right_nothing_is_refused_for_nothing() -> None:
    found = [_found(1, "fish", 1) for _ in range(6)]
    truth = objects([{"answers": ["fish"], "units": [], "how": "given"}] * 6)
    assert not knowing.decide(found[0], knowing.fit(found, truth, "squad", 0.1)).refused
    assert knowing.decide(found[0], knowing.fit(found, truth, "squad", 0.9)).refused


def test_a_wrong_source_is_no_right_citation() -> None:
    truth = objects([{"answers": ["fish"], "units": [[["b", 0, 4]]], "how": "given"}])
    rows = knowing.condense({"found": objects([json.dumps(_found(3, "fish", 0))])}, truth, knowing.Rule())
    assert rows["citation_precision"].tolist() == [0.0] and rows["answer_f1"].tolist() == [1.0] and math.isnan(rows["stay"][0])


def test_what_words_alone_find_has_the_same_form() -> None:
    library = _library("Cats eat fish. They sleep.", "Dogs eat meat.")
    (found,) = lexical.found(library, ["what do cats eat"], [["d0.txt"]], 2, False)
    one = json.loads(found)
    assert knowing.answer(one, knowing.Rule())["answer"] == "Cats eat fish." and one["hits"][0][0] == "d0.txt"
    assert knowing.decide(one, knowing.Rule(), hidden=True).text == "Dogs eat meat."


@pytest.mark.parametrize("said, text, cites", [
    ("It costs two euros [2].", "It costs two euros.", [1]), ("Two [1][3], or so [9]", "Two, or so", [0, 2]),
    ("bikes park free", "bikes park free", [2]), ("I do not know.", "", []), ("", "", []), ("I don’t know [1]", "", []),
])
def test_references_are_read_and_missing_ones_found(said: str, text: str, cites: list[int]) -> None:
    assert citing.cited(said, ["one", "two euros", "bikes are free"]) == {"text": text, "cites": cites}
