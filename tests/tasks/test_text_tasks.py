"""What each text task promises: encoding is pure, losses add up, settings are checked, what is saved comes back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoTokenizer

from tunesmith.data.table import Table
from tunesmith.errors import DataError, SpecError
from tunesmith.registry import TASKS
from tunesmith.task import Task

NAMES = ("text-classification", "text-multilabel", "text-regression")


class Counter(nn.Module):
    """A model double: linear in how often each token occurs. `model(batch)` -> (B, C)."""

    def __init__(self, size: int, out: int) -> None:
        super().__init__()
        self.head = nn.Linear(size, out)
        self.size = size

    def features(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        counts_BD = torch.zeros(len(batch["input_ids"]), self.size)
        return counts_BD.scatter_add_(1, batch["input_ids"], batch["attention_mask"].float())

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.head(self.features(batch))


@pytest.fixture(scope="module")
def tokenizer(tiny_bert: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_bert)


def _made(name: str, tokenizer: Any, rows: int = 120, **options: Any) -> tuple[Task, Table]:
    task = TASKS.load(name)
    table = Table.of(task.sample(rows, 0))
    return task.build(options, name).fit(table).suit(table, tokenizer, limit=64, balance="weights"), table


def _out(task: Any) -> int:
    return len(getattr(task, "vocabulary", None) or getattr(task, "labels", None) or task.means)


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k], equal_nan=True) for k in one)


@pytest.mark.parametrize("name", NAMES)
def test_encode_is_deterministic_and_alone_as_in_a_batch(name: str, tokenizer: Any) -> None:
    task, table = _made(name, tokenizer)
    rows = table.rows()
    together = task.encode(rows, tokenizer)
    assert all(_same(a, b) for a, b in zip(together, task.encode(rows, tokenizer)))
    assert all(_same(a, task.encode([row], tokenizer)[0]) for a, row in zip(together, rows))


@pytest.mark.parametrize("name", NAMES)
def test_rows_without_targets_can_be_encoded(name: str, tokenizer: Any) -> None:
    task, _ = _made(name, tokenizer)
    examples = task.encode([{"text": "good film"}], tokenizer)
    assert set(examples[0]) == {"input_ids"}
    assert set(task.collate(examples, 0)) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("name", NAMES)
def test_micro_batches_add_up(name: str, tokenizer: Any) -> None:
    task, table = _made(name, tokenizer)
    examples, model = task.encode(table.rows(), tokenizer), Counter(len(tokenizer), _out(task))
    whole = task.collate(examples[:24], 0)
    parts = [task.collate(examples[i : i + 5], 0) for i in range(0, 24, 5)]
    parts[-1] = task.collate(examples[20:24], 0)
    torch.testing.assert_close(sum(task.loss(model, part) for part in parts), task.loss(model, whole), rtol=1e-5, atol=1e-5)
    assert sum(task.weight(part) for part in parts) == pytest.approx(task.weight(whole))


@pytest.mark.parametrize("name", NAMES)
def test_what_json_keeps_comes_back(name: str, tokenizer: Any) -> None:
    task, table = _made(name, tokenizer)
    examples, model = task.encode(table.rows(), tokenizer), Counter(len(tokenizer), _out(task))
    with torch.no_grad():
        outputs = {k: v.numpy() for k, v in task.outputs(model, task.collate(examples, 0)).items()}
    task = task.calibrate(outputs, task.truth(table))
    again = type(task).from_json(json.loads(json.dumps(task.as_json())))
    assert again == task and again.answers(outputs) == task.answers(outputs)
    assert json.loads(json.dumps(task.answers(outputs))) == task.answers(outputs)


@pytest.mark.parametrize("name", NAMES)
def test_sample_is_learnable_by_a_solved_head_and_scores_are_the_declared_ones(name: str, tokenizer: Any) -> None:
    task, table = _made(name, tokenizer, rows=400)
    half, rest = table.take(np.arange(250)), table.take(np.arange(250, 400))
    model = Counter(len(tokenizer), _out(task))
    features = [model.features(task.collate(task.encode(t.rows(), tokenizer), 0)).numpy() for t in (half, rest)]
    solution = task.solve(features[0], task.truth(half), 1e-4)
    assert solution is not None
    model.head.weight.data, model.head.bias.data = (torch.tensor(a).float() for a in (solution.weight_CD, solution.bias_C))
    with torch.no_grad():
        outputs = {k: v.numpy() for k, v in task.outputs(model, task.collate(task.encode(rest.rows(), tokenizer), 0)).items()}
    found = task.score(outputs, task.truth(rest))
    assert list(found) == list(task.directions) and next(iter(found.values())) > 0.95
    baselines = {k: task.score(v, task.truth(rest)) for k, v in task.baselines(half, rest).items()}
    assert len(baselines) >= 2
    simplest, classical = (next(iter(scores.values())) for scores in list(baselines.values())[:2])
    assert simplest < classical and classical > 0.8
    assert all(np.isfinite(list(scores.values())).all() for scores in baselines.values())


@pytest.mark.parametrize("name", NAMES)
def test_samples_depend_on_the_seed_alone(name: str) -> None:
    task = TASKS.load(name)
    assert task.sample(20, 3) == task.sample(20, 3) != task.sample(20, 4)
    assert len(task.sample(7, 0)) == 7


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "options", [{"loss_kind": "magic"}, {"max_tokens": 0}, {"max_tokens": True}, {"text": ""}, {"text": True}, {"txt": "a"}]
)
def test_options_that_cannot_be_used_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        TASKS.load(name).build(options, name)
    assert next(iter(options)) in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_one_column_in_two_roles_is_refused(name: str) -> None:
    task = TASKS.load(name)
    role = task.targets[0]
    found = task.build({"text": "a", role: "a"}, name).check(Table.of({"a": ["x", "y"]}))
    assert [f.level for f in found] == ["error"] and "'a'" in found[0].message


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_a_docstring(name: str) -> None:
    import inspect

    source = inspect.getsource(TASKS.load(name))
    for option in TASKS.load(name).options():
        line = next(i for i, text in enumerate(source.splitlines()) if text.startswith(f"    {option}:"))
        assert source.splitlines()[line + 1].strip().startswith('"""'), option


# -- classification ---------------------------------------------------------------------------------------------------


def _classes(**options: Any) -> Any:
    return TASKS.load("text-classification").build(options, "text-classification")


def test_unknown_and_empty_labels_weigh_nothing(tokenizer: Any) -> None:
    table = Table.of({"text": ["good", "bad", "fine"], "label": ["a", "b", "a"]})
    task = _classes().fit(table).suit(table, tokenizer, limit=64, balance="none")
    rows = [{"text": "good", "label": "a"}, {"text": "bad", "label": "new"}, {"text": "bad", "label": None}]
    examples = task.encode(rows, tokenizer)
    assert [(e["target"], e["row_weight"]) for e in examples] == [(0, 1.0), (-1, 0.0), (-1, 0.0)]
    assert task.truth(Table.of(rows)).tolist() == [0, -1, -1]


def test_labels_are_those_of_the_training_rows_whatever_their_type(tokenizer: Any) -> None:
    task = _classes().fit(Table.of({"text": ["a"] * 3, "label": [0.0, 1.0, None]}))
    assert task.labels == ("0", "1") and task.sought == "1"
    assert task.truth(Table.of({"text": ["a", "b"], "label": ["1", "0"]})).tolist() == [1, 0]


def test_class_weights_balance(tokenizer: Any) -> None:
    table = Table.of({"text": ["good"] * 10, "label": ["a"] * 8 + ["b"] * 2})
    plain, weighed = (_classes().fit(table).suit(table, tokenizer, limit=64, balance=b) for b in ("none", "weights"))
    assert plain.class_weights == () and weighed.class_weights == (0.625, 2.5)
    batch = weighed.collate(weighed.encode(table.rows(), tokenizer), 0)
    assert weighed.weight(batch) == pytest.approx(10)


def test_cost_of_a_miss_moves_the_threshold() -> None:
    rng = np.random.default_rng(0)
    logits_NC = np.stack([np.zeros(800), rng.normal(-1.5, 1.5, 800)], 1)
    truth = (rng.random(800) < 1 / (1 + np.exp(-logits_NC[:, 1]))).astype(int)
    table = Table.of({"text": ["a"] * 800, "label": ["spam" if t else "ham" for t in truth]})
    plain, careful = _classes().fit(table), _classes(cost_miss=10.0).fit(table)
    assert careful.threshold == pytest.approx(1 / 11), "before calibration: what true probabilities would want"
    careful = careful.calibrate({"logits": logits_NC}, truth)
    missed = [sum(a["label"] == "ham" for a, t in zip(task.answers({"logits": logits_NC}), truth) if t) for task in (plain, careful)]
    assert missed[1] < missed[0] / 3
    scores = [task.score({"logits": logits_NC}, truth)["recall"] for task in (plain, careful)]
    assert scores[1] > scores[0], "scores follow the decisions that users get"


@pytest.mark.parametrize("options", [{"cost_miss": 5.0}, {"positive": "a"}])
def test_costs_need_two_labels(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="two labels, got 3"):
        _classes(**options).fit(Table.of({"text": ["x"] * 3, "label": ["a", "b", "c"]}))
    with pytest.raises(SpecError, match="did you mean 'spam'"):
        _classes(positive="spma").fit(Table.of({"text": ["x"] * 2, "label": ["ham", "spam"]}))


def test_pairs_have_a_third_baseline(tokenizer: Any) -> None:
    words = ["good", "bad", "film", "book"]
    rows = [{"a": words[i % 4], "b": words[i % 4] if i % 3 else words[(i + 1) % 4], "label": str(i % 3 > 0)} for i in range(120)]
    table = Table.of(rows)
    task = _classes(text="a", text_pair="b").fit(table).suit(table, tokenizer, limit=64, balance="none")
    found = task.baselines(table, table)
    assert list(found) == ["majority", "TF-IDF + linear", "overlap + trees"]
    ids = task.encode(rows, tokenizer)[0]["input_ids"].tolist()
    assert ids.count(tokenizer.sep_token_id) == 2


# -- any of several labels --------------------------------------------------------------------------------------------


def _flags(**options: Any) -> Any:
    return TASKS.load("text-multilabel").build(options, "text-multilabel")


@pytest.mark.parametrize(
    "cells", [[["a", "b"], ["b"], []], ["a|b", "b", None], ['["a", "b"]', '["b"]', "[]"], ["a, b", "b", None]]
)
def test_ways_of_writing_labels(cells: list[Any], tokenizer: Any) -> None:
    table = Table.of({"text": ["x", "y", "z"] * 3, "labels": cells * 3})
    task = _flags().fit(table)
    assert task.vocabulary == ("a", "b")
    assert task.truth(table)[:3].tolist() == [[1, 1], [0, 1], [0, 0]]
    assert [e["target"].tolist() for e in task.encode(table.rows(), tokenizer)[:3]] == [[1, 1], [0, 1], [0, 0]]


def test_a_column_for_each_label(tokenizer: Any) -> None:
    table = Table.of({"text": ["x", "y"], "toxic": [1, 0], "rude": [None, 1], "mild": [0, 0]})
    task = _flags(labels=["toxic", "rude", "mild"]).fit(table)
    assert task.vocabulary == ("toxic", "rude", "mild")
    assert task.truth(table).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert task.columns(task.targets) == ["toxic", "rude", "mild"]


def test_names_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("admiration\namusement\nanger\n", "utf-8")
    table = Table.of({"text": ["x", "y", "z", "v"], "labels": ["0,2", "2", "0", "0,2"]})
    task = _flags(label_names=str(tmp_path / "labels.txt")).fit(table)
    assert task.vocabulary == ("admiration", "anger")
    assert task.truth(table).tolist() == [[1, 1], [0, 1], [1, 0], [1, 1]]
    with pytest.raises(SpecError, match="no.txt"):
        _flags(label_names=str(tmp_path / "no.txt")).fit(table)
    with pytest.raises(DataError, match="label numbers from 0 to 1"):
        _flags(label_names=["x", "y"]).fit(table)


def test_unknown_tags_are_named_with_their_rows() -> None:
    table = Table.of({"text": ["x", "y"], "labels": [["a"], ["b"]]})
    task = _flags().fit(table)
    other = Table.of({"text": ["x", "y", "z"], "labels": [["a"], ["zeal"], []]}, name="new.csv")
    (finding,) = task.check(other)
    assert finding.code == "unknown-label" and "'zeal'" in finding.message and finding.rows == ("new.csv, row 2",)
    assert task.check(table) == []


# -- numbers ----------------------------------------------------------------------------------------------------------


def _numbers(**options: Any) -> Any:
    return TASKS.load("text-regression").build(options, "text-regression")


def test_several_targets_in_their_own_units(tokenizer: Any) -> None:
    table = Table.of({"text": ["good", "bad", "fine"], "V": [100.0, 200.0, 300.0], "A": [0.1, 0.1, 0.4]})
    task = _numbers(target=["V", "A"]).fit(table).suit(table, tokenizer, limit=64, balance="none")
    model = Counter(len(tokenizer), 2)
    model.head.weight.data.zero_()
    model.head.bias.data.zero_()
    batch = task.collate(task.encode(table.rows(), tokenizer), 0)
    np.testing.assert_allclose(batch["target"].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(batch["target"].std(0, unbiased=False), 1, atol=1e-6)
    with torch.no_grad():
        outputs = {k: v.numpy() for k, v in task.outputs(model, batch).items()}
    np.testing.assert_allclose(outputs["numbers"], [[200, 0.2]] * 3, rtol=1e-6)
    assert list(task.answers(outputs)[0]["value"]) == ["V", "A"]


def test_missing_targets_weigh_nothing_and_are_not_solved_for(tokenizer: Any) -> None:
    rng = np.random.default_rng(0)
    features_ND = rng.normal(size=(50, 4))
    truth = np.stack([features_ND[:, 0], features_ND[:, 1]], 1)
    task = _numbers(target=["V", "A"]).settle(means=(0.0, 0.0), deviations=(1.0, 1.0))
    broken = truth.copy()
    broken[:20, 0] = np.nan
    broken[::2, 1] = np.nan
    solution = task.solve(features_ND, broken, 1e-9)
    np.testing.assert_allclose(solution.weight_CD, np.eye(4)[:2], atol=1e-5)
    one = _numbers().settle(means=(0.0,), deviations=(1.0,))
    examples = one.encode([{"text": "a", "target": None}, {"text": "b", "target": "1,5"}, {"text": "c", "target": 2}], tokenizer)
    assert [e["row_weight"] for e in examples] == [0.0, 0.0, 1.0]


def test_intervals_come_with_calibration() -> None:
    task = _numbers().settle(means=(0.0,), deviations=(1.0,))
    outputs, truth = {"numbers": np.zeros((40, 1))}, np.linspace(-1, 1, 40)[:, None]
    assert set(task.calibrate(outputs, truth).answers(outputs)[0]) == {"value", "low", "high"}
    assert set(dataclasses.replace(task, interval=0.0).calibrate(outputs, truth).answers(outputs)[0]) == {"value"}
