"""The recipe of the model card, run as it stands, gives what the run gives."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunesmith
from tests.runs import write_lines

TEXTS = ["the film was very good", "awful room", "we loved the book and the meal " * 12]
CELLS = {
    "text-classification": ("label", lambda at: "yes" if at % 2 else "no"),
    "text-multilabel": ("labels", lambda at: ["a", "b", "c"][: 1 + at % 3]),
    "text-regression": ("score", lambda at: at / 7 - 3),
}  # fmt: skip
PROBLEMS = {"text-classification": "single_label_", "text-multilabel": "multi_label_", "text-regression": "regression"}


def _run(task: str, model: Path, folder: Path, **settings: Any) -> Any:
    column, cell = CELLS[task]
    words = "good bad film book meal room plot red blue one two three".split()
    texts = [f"the {words[at % 12]} was {words[at * 5 % 11]} and {words[at * 7 % 9]} {chr(97 + at % 26)}" for at in range(96)]
    path = str(write_lines(folder / "rows.jsonl", [{"text": text, column: cell(at)} for at, text in enumerate(texts)]))
    common = {"epochs": 1, "batch": 16, "threads": 1, "resamples": 100, "lr": 1e-2, "data.near_duplicates": 0.0}
    return tunesmith.fit(path, task=task, model=str(model), runs=str(folder / "runs"), **common, **settings)


def _recipe(run: Any) -> dict[str, Any]:
    """What the card's lines compute of TEXTS."""
    code = re.findall(r"```python\n(.*?)```", (run.path / "README.md").read_text("utf-8"), re.DOTALL)[-1]
    found: dict[str, Any] = {}
    assert 'texts = ["your text"]' in code
    with warnings.catch_warnings():
        # peft 0.21 reads a name that transformers 5.23 has renamed.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        exec(code.replace('["your text"]', repr(TEXTS)), found)
    return found


@pytest.mark.parametrize(("task", "strategy", "pooling"), [
    ("text-classification", "lora", "cls"), ("text-multilabel", "full", "mean"), ("text-regression", "probe-then-tune", "last"),
])  # fmt: skip
def test_the_cards_recipe_answers_as_the_run_does(task, strategy, pooling, tiny_bert, tmp_path, monkeypatch) -> None:
    from tunesmith.models import facts

    monkeypatch.setattr(facts, "pooling", lambda *_: pooling)
    run = _run(task, tiny_bert, tmp_path, strategy=strategy)
    found, answers = _recipe(run), run.predict(TEXTS)
    config = found["backbone"].config
    assert config.problem_type.startswith(PROBLEMS[task]) and config.num_labels == len(config.id2label)
    if task == "text-regression":
        np.testing.assert_allclose(found["values"][:, 0], [answer["value"] for answer in answers], atol=1e-5, rtol=1e-5)
        return
    said = [[answer["probabilities"][label] for label in found["labels"]] for answer in answers]
    np.testing.assert_allclose(found["probabilities"], said, atol=1e-5)


@pytest.mark.parametrize("strategy", ["prompt", "adapters"])
def test_where_plain_libraries_cannot_no_recipe_is_given(strategy, tiny_bert, tmp_path) -> None:
    run = _run("text-classification", tiny_bert, tmp_path, strategy=strategy)
    assert "head.safetensors" not in (run.path / "README.md").read_text("utf-8")
