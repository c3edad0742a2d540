"""Answers are read from every usual form, found where they stand, and scored as SQuAD 2 and CMRC 2018 do."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.parts import answers
from tunesmith.parts.answers import Answer, Place

CONTEXT = "Paris is large.  The capital of France is Paris, on\nthe Seine."


@pytest.mark.parametrize(
    ("cell", "start", "expected"),
    [
        ("Paris", None, [Answer("Paris")]),
        ("Paris", 42, [Answer("Paris", 42)]),
        ("Paris", "42", [Answer("Paris", 42)]),
        ("Paris", 42.0, [Answer("Paris", 42)]),
        (1998, None, [Answer("1998")]),
        (["Paris", "Lyon"], [42, 0], [Answer("Paris", 42), Answer("Lyon", 0)]),
        ([{"text": "Paris", "answer_start": 42}, {"text": "it", "start": None}], None, [Answer("Paris", 42), Answer("it")]),
        ({"text": ["Paris", "it"], "answer_start": [42, 7]}, None, [Answer("Paris", 42), Answer("it", 7)]),
        (json.dumps({"text": "Paris", "answer_start": 42}), None, [Answer("Paris", 42)]),
        (json.dumps([{"text": "Paris", "answer_start": 42}]), None, [Answer("Paris", 42)]),
        ("[1] Paris", None, [Answer("[1] Paris")]),
        ("[1]", None, [Answer("[1]")]),
        ("{Paris}", None, [Answer("{Paris}")]),
        (None, None, []),
        ("", None, []),
        ("  ", None, []),
        ("[]", None, []),
        ([], None, []),
        ({"text": [], "answer_start": []}, None, []),
        ([""], None, []),
    ],
)
def test_answers_are_read_from_every_usual_form(cell, start, expected):
    assert answers.parse(cell, start) == expected


@pytest.mark.parametrize(
    ("cell", "start"), [("Paris", "here"), ("Paris", [1, 2]), ([3], None), ([{"no": 1}, 4], None), ("Paris", True), ("Paris", "[1")]
)
def test_what_is_no_answer_is_refused(cell, start):
    with pytest.raises(ValueError):
        answers.parse(cell, start)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer("Paris", 42), Place(((42, 47),), "given")),
        (Answer("Paris", 0), Place(((0, 5),), "given")),
        (Answer("France", 3), Place(((32, 38),), "mended")),
        (Answer("France", -1), Place(((32, 38),), "mended")),
        (Answer("France"), Place(((32, 38),), "given")),
        (Answer("Paris", 3), Place((), "lost")),
        (Answer("Paris"), Place(((0, 5), (42, 47)), "several")),
        (Answer("London", 0), Place((), "lost")),
        (Answer("on the  Seine", 49), Place(((49, 61),), "mended")),
        (Answer("large. The"), Place(((9, 20),), "mended")),
    ],
)
def test_an_answer_is_found_where_it_stands_once(answer, expected):
    place = answers.locate(CONTEXT, answer)
    assert place == expected
    for start, end in place.spans:
        assert "".join(CONTEXT[start:end].split()) == "".join(answer.text.split())


@given(st.text("ab \n", max_size=30), st.integers(0, 30), st.integers(1, 10), st.integers(-5, 40))
def test_a_mended_place_holds_the_answer_and_is_the_only_one(context, start, size, offset):
    text = context[start : start + size]
    if not text.strip():
        return
    place = answers.locate(context, Answer(text, offset))
    assert all("".join(context[a:b].split()) == "".join(text.split()) for a, b in place.spans)
    if place.how == "lost":
        assert context.count(text) > 1 or context.find(text, context.find(text) + 1) >= 0


@pytest.mark.parametrize(
    ("found", "reference", "f1", "exact"),
    [  # worked out by hand after SQuAD 2's evaluation
        ("The Eiffel Tower!", "eiffel tower", 1.0, 1.0),
        ("a cat", "an dog", 0.0, 0.0),
        ("big red dog", "red dog house", 2 / 3, 0.0),
        ("dog dog", "dog", 2 / 3, 0.0),
        ("the", "a", 1.0, 1.0),
        ("", "dog", 0.0, 0.0),
        ("the", "dog", 0.0, 0.0),
        ("U.S.A.", "usa", 1.0, 1.0),
        ("thea  cat", "thea cat", 1.0, 1.0),
        ("co-operate", "co operate", 0.0, 0.0),
        ("don’t", "dont", 0.0, 0.0),
    ],
)
def test_squad_scores(found, reference, f1, exact):
    assert answers.squad(found, reference) == pytest.approx((f1, exact))


@pytest.mark.parametrize(
    ("found", "reference", "f1", "exact"),
    [  # worked out by hand after CMRC 2018's evaluation: the longest run in common, marks left out
        ("光荣和ω-force", "光荣和ω-force", 1.0, 1.0),
        ("光荣", "光荣公司", 2 * 2 / 6, 0.0),
        ("是光荣公司。", "光荣，公司", 2 * 4 / 9, 0.0),
        ("《光荣》", "光荣", 1.0, 1.0),
        ("一二三四", "一二五三四", 2 * 2 / 9, 0.0),
        ("2010年", "2010年底", 2 * 2 / 5, 0.0),
        ("Windows 7系统", "windows 7 系统", 1.0, 0.0),
        ("东", "西", 0.0, 0.0),
        ("光荣……", "光荣", 2 * 2 / 6, 0.0),
    ],
)
def test_cmrc_scores(found, reference, f1, exact):
    assert answers.cmrc(found, reference) == pytest.approx((f1, exact))


def test_the_reference_that_suits_best_counts():
    assert answers.score("red dog", ["blue cat", "the red dog", "dog"], "squad") == (1.0, 1.0)
    assert answers.score("dog", ["big dog", "cat"], "squad") == (pytest.approx(2 / 3), 0.0)
    assert answers.score("光荣", ["公司", "光荣"], "cmrc") == (1.0, 1.0)


@pytest.mark.parametrize("rule", ["squad", "cmrc"])
def test_without_a_reference_nothing_is_right(rule):
    assert answers.score("", [], rule) == (1.0, 1.0)
    assert answers.score("dog", [], rule) == (0.0, 0.0)
    assert answers.score("", ["dog"], rule) == (0.0, 0.0)


@given(st.text("一二三四，ab ", max_size=12), st.text("一二三四，ab ", max_size=12))
def test_scores_are_shares_and_the_same_both_ways(one, other):
    for compare in (answers.squad, answers.cmrc):
        f1, exact = compare(one, other)
        assert 0 <= f1 <= 1 and exact in (0, 1) and compare(other, one) == pytest.approx((f1, exact))


def test_the_rule_follows_the_script():
    assert answers.rule_for(["战国无双是由光荣和ω-force开发的"]) == "cmrc"
    assert answers.rule_for([CONTEXT]) == "squad" and answers.rule_for([]) == "squad"
