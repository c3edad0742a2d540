"""The recipes that benchmarks compare with: a model that knows the answers by heart is scored as right, so rows and scores fit together."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.source import ROOT
from tunesmith.data.table import Table
from tunesmith.models.source import find
from tunesmith.tasks.extractive_qa import ExtractiveQa
from tunesmith.tasks.text_classification import TextClassification
from tunesmith.tasks.token_classification import TokenClassification

TAGGED = [
    ("the good film was", "O B-thing I-thing O"), ("room service", "B-thing B-kind"), ("unheardof unheardof meal", "B-kind I-kind B-kind"),
    ("we ate", "O O"), ("red blue red", "I-kind O I-kind"),
]  # fmt: skip
CONTEXT = "we ate a warm meal. " * 60 + "the dull film was red. " + "they saw a book. " * 60


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("recipes")


def _ready(task: Any, rows: list[dict[str, Any]], model: Path) -> Any:
    table = Table.of(rows)
    return SimpleNamespace(task=task.fit(table), data=SimpleNamespace(train=table, test=table), source=find(str(model)))


def _one_hot(at: Any, size: int) -> np.ndarray:
    return 9.0 * np.eye(size, dtype=np.float32)[np.asarray(at)]


def test_the_tags_that_were_learned_are_the_tags_that_are_scored(recipes: Any, tiny_bert: Path) -> None:
    rows = [{"tokens": words.split(), "tags": tags.split()} for words, tags in TAGGED]
    ready = _ready(TokenClassification(broken="mend"), rows, tiny_bert)

    def by_heart(model: Any, learned: Any, pads: Any) -> Any:
        padded = lambda row: row["labels"] + [-100] * (12 - len(row["labels"]))  # noqa: E731
        return lambda asked: [_one_hot(np.maximum(padded(row), 0), model.config.num_labels) for row in learned]

    truth = ready.task.truth(ready.data.test)
    assert ready.task.score(recipes.ner(ready, by_heart), truth)["entity_f1"] == 1
    nothing = lambda model, learned, pads: lambda asked: [_one_hot([0] * 12, model.config.num_labels) for _ in asked]  # noqa: E731
    assert ready.task.score(recipes.ner(ready, nothing), truth)["recall"] == 0


def test_the_spans_that_were_learned_are_the_spans_that_are_scored(recipes: Any, tiny_bert: Path) -> None:
    at = CONTEXT.index("dull film")
    answers = [{"text": "dull film", "answer_start": at}], [{"text": "we", "answer_start": 0}], [{"text": "book", "answer_start": None}]
    rows = [{"question": f"what was {n}", "context": CONTEXT, "answers": answer} for n, answer in zip(("red", "it", "a"), answers)]
    rows[2]["context"] = "they saw a book."
    ready = _ready(ExtractiveQa(), rows, tiny_bert)

    def by_heart(model: Any, learned: Any, pads: Any) -> Any:
        assert len(learned) > len(rows) and sum(row["start_positions"] > 0 for row in learned) >= len(rows)
        said = [_one_hot([row[f"{side}_positions"] for row in learned], recipes.WINDOW) for side in ("start", "end")]
        return lambda asked: (said[0], said[1])

    assert ready.task.score(recipes.qa(ready, by_heart), ready.task.truth(ready.data.test))["exact_match"] == 1


def test_the_labels_that_were_learned_are_the_labels_that_are_scored(recipes: Any, tiny_bert: Path) -> None:
    rows = [{"text": f"{word} film", "label": label} for word, label in (("good", "yes"), ("bad", "no"), ("great", "yes"))]
    ready = _ready(TextClassification(text="text", label="label"), rows, tiny_bert)
    by_heart = lambda model, learned, pads: lambda asked: _one_hot([row["labels"] for row in learned], 2)  # noqa: E731
    assert ready.task.score(recipes.glue(ready, by_heart), ready.task.truth(ready.data.test))["accuracy"] == 1


def test_the_trainer_learns_the_rows_that_it_is_given(recipes: Any, tiny_bert: Path, tmp_path: Path) -> None:
    """The recipes as they are run, but for a rate at which a tiny model learns by heart."""
    pytest.importorskip("accelerate")
    tagged = [{"tokens": [first, other], "tags": ["B-thing", "O"]} for first in ("film", "meal") for other in ("good", "bad", "was")] * 8
    asked = [{"question": "what", "context": f"{one} {end} red", "answers": "red"} for one in ("we", "they") for end in ("ate", "saw")] * 8
    for task, rows, name, score in (
        (TokenClassification(), tagged, "token-classification", "entity_f1"), (ExtractiveQa(), asked, "extractive-qa", "f1"),
    ):  # fmt: skip
        ready, recipe = _ready(task, rows, tiny_bert), recipes.Recipe(recipes.RECIPES[name].outputs, 1e-2, 8, 10.0)
        outputs = recipe.outputs(ready, lambda *known, recipe=recipe: recipes._fitted(*known, str(tmp_path), recipe, recipe.lr, 0))
        assert ready.task.score(outputs, ready.task.truth(ready.data.test))[score] > 0.9, name
