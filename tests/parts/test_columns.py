"""Which columns are guessed, for tables as people have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tunesmith.data.profile import Profile
from tunesmith.data.table import Table
from tunesmith.registry import TASKS

N = 200
RNG = np.random.default_rng(0)
WORDS = "the film was very good but our meal cold and room small we came again because staff kind".split()


def _texts(words: int = 12) -> list[str]:
    return [" ".join(RNG.choice(WORDS, words)) + f" {i}" for i in range(N)]


def _claims(columns: dict[str, list[Any]], **named: Any) -> dict[str, Any]:
    profile = Profile.of(Table.of(columns))
    return {name: TASKS.load(name).claim(profile, named) for name in ("text-classification", "text-multilabel", "text-regression")}


def _best(columns: dict[str, list[Any]], **named: Any) -> tuple[str, dict[str, Any]]:
    claims = {name: claim for name, claim in _claims(columns, **named).items() if claim}
    name = max(claims, key=lambda n: claims[n].sure)
    return name, {option: choice.value for option, choice in claims[name].columns.items()}


def test_reviews_with_stars() -> None:
    table = {"id": list(range(N)), "review": _texts(), "stars": RNG.integers(1, 6, N).tolist()}
    assert _best(table) == ("text-classification", {"text": "review", "label": "stars"})


@pytest.mark.parametrize("labels", [[0.0, 1.0], [0.0, 1.0, None]])
def test_zero_one_read_as_decimals_is_no_regression(labels: list[float | None]) -> None:
    table = {"text": _texts(), "label": [labels[i % len(labels)] for i in range(N)]}
    assert _best(table)[0] == "text-classification"
    assert _claims(table)["text-regression"] is None


def test_many_decimals_are_a_number() -> None:
    table = {"sentence": _texts(), "price": (RNG.random(N) * 100).round(2).tolist()}
    assert _best(table) == ("text-regression", {"text": "sentence", "target": "price"})


def test_numbered_intents_are_classes_and_ages_are_not() -> None:
    assert _best({"text": _texts(), "intent": [i % 30 for i in range(N)]})[0] == "text-classification"
    assert _best({"text": _texts(), "age": [18 + i % 60 for i in range(N)]})[0] == "text-regression"


def test_pairs_only_where_names_say_so() -> None:
    label = ["yes", "no"] * (N // 2)
    named = _best({"premise": _texts(), "hypothesis": _texts(6), "label": label})[1]
    assert named == {"text": "premise", "text_pair": "hypothesis", "label": "label"}
    assert _best({"text": _texts(), "text_pair": _texts(6), "label": label})[1]["text_pair"] == "text_pair", "as the reference calls it"
    assert _best({"Sentence_2": _texts(), "Sentence_1": _texts(6), "label": label})[1]["text"] == "Sentence_1"
    assert "text_pair" not in _best({"title": _texts(5), "body": _texts(30), "label": label})[1]


def test_named_columns_win() -> None:
    table = {"title": _texts(5), "body": _texts(30), "kind": ["a", "b"] * (N // 2), "label": ["c", "d"] * (N // 2)}
    assert _best(table, text="title", label="kind")[1] == {"text": "title", "label": "kind"}
    assert _best(table, text="body", text_pair="title")[1] == {"text": "body", "text_pair": "title", "label": "label"}
    assert _claims(table, label="nowhere")["text-classification"] is None


def test_lists_and_flags_are_many_labels() -> None:
    tags = ["joy|fear", "joy", "fear|anger", "anger"] * (N // 4)
    assert _best({"text": _texts(), "emotions": tags}) == ("text-multilabel", {"text": "text", "labels": "emotions"})
    table = {"comment": _texts(), **{name: RNG.integers(0, 2, N).tolist() for name in ("toxic", "threat", "insult")}}
    claim = _claims(table)["text-multilabel"]
    assert claim is not None and claim.columns["labels"].value == ("toxic", "threat", "insult")


def test_split_and_id_columns_are_no_labels() -> None:
    table = {"id": [f"r{i}" for i in range(N)], "text": _texts(), "split": ["train", "test"] * (N // 2)}
    assert all(claim is None for claim in _claims(table).values())


def test_nothing_without_a_text() -> None:
    assert all(claim is None for claim in _claims({"x": RNG.random(N).tolist(), "y": ["a", "b"] * (N // 2)}).values())


def test_reasons_are_sentences_about_the_columns() -> None:
    claim = _claims({"review": _texts(), "stars": RNG.integers(1, 6, N).tolist()})["text-classification"]
    assert claim is not None
    assert "'stars'" in claim.why and "5 different numbers from 1 to 5" in claim.why
    assert "13 words" in claim.columns["text"].why and all(choice.why for choice in claim.columns.values())
