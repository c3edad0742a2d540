"""Embedding: what it claims and refuses, which texts are no negatives, ranks by hand, and a folder that sentence-transformers loads."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from transformers import AutoTokenizer

from tunesmith import api
from tunesmith.data.profile import Profile
from tunesmith.data.table import Table
from tunesmith.errors import DataError, SpecError
from tunesmith.inference import collate, encode, infer
from tunesmith.models.save import load_model, save
from tunesmith.models.source import find, load
from tunesmith.parts import contrast, retrieval
from tunesmith.predictor import Predictor
from tunesmith.tasks.embedding import Embedding
from tunesmith.tasks.text_classification import TextClassification
from tunesmith.tasks.text_regression import TextRegression
from tunesmith.training.state import State

WORDS = ["the film", "a book", "the meal", "a room", "the service", "one plot"]


@pytest.fixture(scope="module")
def tokenizer(tiny_bert: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_bert)


# -- tables -----------------------------------------------------------------------------------------------------------


def _texts(kind: str) -> list[str]:
    return [f"{kind} {WORDS[n % 6]} number {n}" for n in range(40)]


@pytest.mark.parametrize("columns, named, roles", [
    ({"anchor": _texts("a"), "positive": _texts("b")}, {}, {"anchor": "anchor", "positive": "positive"}),
    ({"query": _texts("a"), "positive": _texts("b"), "negative": _texts("c")}, {},
     {"anchor": "query", "positive": "positive", "negative": "negative"}),
    ({"q": _texts("a"), "doc": _texts("b")}, {"anchor": "q", "positive": "doc"}, {"anchor": "q", "positive": "doc"}),
])
def test_it_claims_anchors_with_positives(columns: dict[str, Any], named: dict[str, str], roles: dict[str, str]) -> None:
    found = Embedding.claim(Profile.of(Table.of(columns)), named)
    assert found and found.sure > 0.9 and {role: choice.value for role, choice in found.columns.items()} == roles


@pytest.mark.parametrize("columns, other, roles", [
    ({"sentence1": _texts("a"), "sentence2": _texts("b"), "score": [n / 7 for n in range(40)]}, TextRegression,
     {"text": "sentence1", "text_pair": "sentence2", "similarity": "score"}),
    ({"text": _texts("a"), "label": ["good", "bad"] * 20}, TextClassification, {"text": "text", "label": "label"}),
])
def test_scored_pairs_and_labelled_texts_are_for_those_who_name_it(columns: dict[str, Any], other: Any, roles: dict[str, str]) -> None:
    profile = Profile.of(Table.of(columns))
    found, rival = Embedding.claim(profile, {}), other.claim(profile, {})
    assert found and rival and found.sure < 0.1 < rival.sure
    assert {role: choice.value for role, choice in found.columns.items()} == roles


@pytest.mark.parametrize("options", [
    {"text": "a", "anchor": "b"}, {"label": "a"}, {"text": "a", "label": "b", "similarity": "c"}, {"loss_kind": "cosent"},
    {"text": "a", "text_pair": "b", "similarity": "c", "loss_kind": "infonce"}, {"temperature": 0.0}, {"loss_kind": "softmax"},
    {"text": "a", "text_pair": "b", "similarity": "c", "mined": 2},
])
def test_options_of_different_kinds_of_rows_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        Embedding(**options)


def test_rows_that_teach_nothing_are_said() -> None:
    rows = [("a  film", "a film"), ("", "a book"), ("x", "y")]
    table = Table.of([{"anchor": a, "positive": b} for a, b in rows], "p.csv")
    (found,) = Embedding().check(table)
    assert (found.level, found.code, found.rows) == ("warning", "same-texts", ("p.csv, row 1",))
    assert [f.code for f in Embedding().check(table.take([1]))] == ["no-pairs"]
    lists = Table.of([{"anchor": "x", "positive": ["y", "z"]}], "p.jsonl")
    assert [f.code for f in Embedding().check(lists)][0] == "not-a-text"


# -- negatives --------------------------------------------------------------------------------------------------------


def _batch(keys: list[list[int]], known: list[list[int]] | None = None, **more: Any) -> Any:
    made = {"key": torch.tensor(keys), "row_weight": torch.ones(len(keys))}
    return made | ({"known": torch.tensor(known)} if known else {}) | more


def test_the_same_text_is_never_its_own_negative() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    batch = _batch([[1, 2, 9], [3, 2, 0], [1, 4, 1], [5, 6, 7]], [[2, 4, 0], [2, 0, 0], [2, 4, 0], [6, 9, 0]])
    _, negative_BJ, own_B = contrast.candidates(vectors, batch)
    key_J = [2, 9, 2, 0, 4, 1, 6, 7]
    allowed = [{key_J[j] for j in range(8) if row[j]} for row in negative_BJ.tolist()]
    assert allowed == [{9, 6, 7}, {9, 4, 1, 6, 7}, {9, 6, 7}, {2, 4, 1, 7}] and own_B.tolist() == [0, 2, 4, 6]


def test_infonce_is_cross_entropy_over_what_may_be_a_negative() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
    cosine = vectors[:, 0] @ vectors[:, 1].T / 0.1
    free = contrast.infonce(vectors, _batch([[1, 2], [3, 4], [5, 6]]), 0.1)
    torch.testing.assert_close(free, torch.nn.functional.cross_entropy(cosine, torch.arange(3), reduction="none"))
    grouped = contrast.infonce(vectors, _batch([[1, 2], [3, 4], [5, 6]], group=torch.tensor([0, 0, 1])), 0.1)
    torch.testing.assert_close(grouped[0], torch.nn.functional.cross_entropy(cosine[0][[0, 2]], torch.tensor(0)))


def test_cosent_is_the_order_of_all_pairs() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(4, 2, 8, generator=torch.Generator().manual_seed(2)), dim=-1)
    target, cosine = torch.tensor([0.0, 3.0, 1.0, 3.0]), (vectors[:, 0] * vectors[:, 1]).sum(-1) * contrast.SCALE
    by_hand = torch.log(1 + sum(torch.exp(cosine[j] - cosine[i]) for i in range(4) for j in range(4) if target[i] > target[j]))
    found = contrast.cosent(vectors, _batch([[1, 2]] * 4, target=target))
    torch.testing.assert_close(found, by_hand.expand(4))


def test_training_rows_know_all_that_is_right_for_them(tokenizer: Any) -> None:
    rows = [("the film", "a plot"), ("the film", "a book"), ("a meal", "a plot"), ("", "a room"), ("one", "")]
    table = Table.of([{"anchor": a, "positive": b} for a, b in rows])
    task = Embedding().suit(table, tokenizer, 64, "none")
    learned = task.learned(encode(task, tokenizer, table))
    assert len(learned) == 3
    assert set(learned.arrays["known"][0].tolist()) == {contrast.key("a plot"), contrast.key("a  book ")}


def test_mined_negatives_are_near_and_never_right() -> None:
    angle = np.array([0.0, 0.1, 0.3, 0.5, 2.0])  # of the positives, from the anchor of row 0
    vectors = np.zeros((5, 2, 2))
    vectors[:, 0], vectors[:, 1] = [1, 0], np.stack([np.cos(angle), np.sin(angle)], 1)
    keys = np.array([[1, 10], [2, 11], [3, 12], [4, 13], [5, 14]])
    right = [np.array([10, 12])] + [keys[row, 1:] for row in range(1, 5)]
    found = contrast.mined(vectors, keys, right, 3)
    assert found[0].tolist() == [3, 4, -1]  # 11 is as near as the positive, 12 is right
    assert 10 not in keys[found[4][found[4] >= 0], 1]  # nearer than its own positive


def test_labelled_texts_get_partners_of_their_label() -> None:
    group, key = np.array([0, 0, 1, 1, 2, 0]), np.array([1, 2, 3, 3, 4, 5])
    found = contrast.partners(group, key)
    assert found[2] == found[3] == found[4] == -1 and sorted(found[[0, 1, 5]].tolist()) == [0, 1, 5]


@pytest.mark.parametrize("options", [{"mined": 2}, {"text": "anchor", "label": "label"}, {"text": "anchor", "label": "label", "mined": 1}])
def test_more_texts_stand_behind_the_rows_own(tokenizer: Any, tiny_bert: Path, options: dict[str, Any]) -> None:
    table = Table.of([row | {"label": "xy"[at % 2]} for at, row in enumerate(Embedding.sample(10, 1))])
    task = Embedding(**options).fit(table).suit(table, tokenizer, 64, "none")
    learned, model = task.learned(encode(task, tokenizer, table)), task.model(load(find(str(tiny_bert))), 0.0)
    made = task.mine(learned, infer(task, model, learned, pad=0)) if task.mines else learned
    batch = collate(task, made, range(6), 0)
    assert batch["input_ids"].shape[1] == 2 + task.mined and torch.isfinite(task.loss(model, batch))
    for row in range(6):
        for text in range(batch["key"].shape[1]):
            ids = batch["input_ids"][row, text][batch["attention_mask"][row, text].bool()]
            said = [tokenizer.decode(t["input_ids"]) for t in task.encode([{"anchor": a} for a in _all(table)], tokenizer)]
            assert not len(ids) or tokenizer.decode(ids) in said


def _all(table: Table) -> list[str]:
    return [*table.column("anchor"), *table.column("positive")]


# -- scores -----------------------------------------------------------------------------------------------------------


def test_ranks_are_those_by_hand() -> None:
    """Three questions, the first in two rows; a row without a question adds a text to be searched."""
    truth = np.array([[1, 10], [1, 11], [2, 12], [0, 13]])
    vectors = np.zeros((4, 2, 4))
    vectors[:2, 0], vectors[2, 0] = [1, 0, 0, 0], [0, 1, 0, 0]
    vectors[:, 1] = [[0.9, 0, 0.1, 0], [0.2, 0.5, 0, 0], [0.1, 0.3, 0, 0], [0.5, 0.9, 0, 0]]
    found = retrieval.condense({"vectors": vectors}, truth, False)
    assert found["rank"][:3].tolist() == [1, 1, 3] and np.isnan(found["rank"][3]) and found["weight"].tolist() == [0.5, 0.5, 1, 0]
    first = (1 / np.log2(2) + 1 / np.log2(4)) / (1 / np.log2(2) + 1 / np.log2(3))  # its texts stand at places 1 and 3
    second = 1 / np.log2(4)
    assert retrieval.score_ranks(found) == {
        "ndcg_10": pytest.approx((first + second) / 2), "recall_1": pytest.approx((0.5 + 0) / 2), "recall_10": 1.0,
        "mrr": pytest.approx((1 + 1 / 3) / 2)}


def test_equal_vectors_earn_nothing() -> None:
    truth = np.array([[n, 100 + n] for n in range(1, 31)])
    found = retrieval.score_ranks(retrieval.condense({"vectors": np.ones((30, 2, 3))}, truth, False))
    assert found["recall_10"] == 0 and found["mrr"] == pytest.approx(1 / 30)


def test_texts_of_one_label_are_right_for_each_other() -> None:
    vectors = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [0.5, 0.5]])[:, None]
    found = retrieval.condense({"vectors": vectors}, np.array([[1, 0], [2, 0], [3, 1], [4, 1], [5, 2]]), True)
    assert found["rank"][:4].tolist() == [1, 1, 1, 1] and np.isnan(found["rank"][4])


def test_correlations_are_scipys() -> None:
    rng = np.random.default_rng(0)
    cosine, target = rng.normal(size=60).round(1), rng.integers(0, 5, 60).astype(float)
    found = retrieval.score_pairs({"cosine": cosine}, target)
    assert found["spearman"] == pytest.approx(spearmanr(cosine, target).statistic) and found["pearson"] == pytest.approx(
        np.corrcoef(cosine, target)[0, 1])


def test_words_in_common_are_a_baseline() -> None:
    table = Table.of([{"anchor": f"what of the {word}", "positive": f"{word} is here"} for word in WORDS])
    task = Embedding()
    outputs = task.baselines(table, table)["TF-IDF cosine"]
    assert task.score(outputs, task.truth(table))["recall_1"] > 0.6
    part = {name: value[2:] for name, value in outputs.items()}
    assert len(task.grade(part, task.truth(table.take([2, 3, 4, 5]))).right_N) == 4


# -- answers and folders ----------------------------------------------------------------------------------------------


def test_texts_give_vectors_and_pairs_their_similarity(tokenizer: Any, tiny_bert: Path) -> None:
    table = Table.of(Embedding.sample(4, 0))
    task = Embedding().suit(table, tokenizer, 64, "none")
    model = task.model(load(find(str(tiny_bert))), 0.0)
    alone = [{"anchor": row["anchor"]} for row in table.rows()]
    vectors = task.answers(infer(task, model, encode(task, tokenizer, Table.of(alone)), pad=0))
    assert all(np.isclose(np.linalg.norm(one["vector"]), 1, atol=1e-4) for one in vectors) and json.dumps(vectors)
    pairs = task.answers(infer(task, model, encode(task, tokenizer, table), pad=0))
    turned = Table.of([{"anchor": row["positive"]} for row in table.rows()])
    other = task.answers(infer(task, model, encode(task, tokenizer, turned), pad=0))
    for pair, one, two in zip(pairs, vectors, other):
        assert pair == {"similarity": pytest.approx(float(np.dot(one["vector"], two["vector"])), abs=1e-4)}
    assert dataclasses.replace(task, temperature=0.1).grouped == "anchor"


def test_a_run_is_asked_with_texts_alone_or_with_pairs(tokenizer: Any, tiny_bert: Path) -> None:
    task = Embedding().suit(Table.of(Embedding.sample(4, 0)), tokenizer, 64, "none")
    made = Predictor(None, task, task.model(load(find(str(tiny_bert))), 0.0), tokenizer)  # type: ignore[arg-type]
    assert [set(answer) for answer in made.predict(["a film", ""])] == [{"vector"}] * 2
    assert [set(answer) for answer in made.predict([{"anchor": "a film", "positive": "a plot"}])] == [{"similarity"}]
    with pytest.raises(DataError, match="column 'anchor'"):
        made.predict([{"positive": "a plot"}])


def _saved(tiny_bert: Path, folder: Path) -> Any:
    model = Embedding().model(load(find(str(tiny_bert))), 0.1).eval()
    save(model, AutoTokenizer.from_pretrained(tiny_bert), folder)
    return model


def test_the_saved_folder_has_what_sentence_transformers_reads(tiny_bert: Path, tmp_path: Path) -> None:
    model = _saved(tiny_bert, tmp_path)
    modules = json.loads((tmp_path / "modules.json").read_text())
    assert [module["path"] for module in modules] == ["", "1_Pooling", "2_Normalize"]
    assert json.loads((tmp_path / "1_Pooling" / "config.json").read_text())["pooling_mode_mean_tokens"] is True
    again, ids = load_model(tmp_path), torch.tensor([[5, 6, 7]])
    assert torch.equal(again({"input_ids": ids, "attention_mask": ids > 0}), model({"input_ids": ids, "attention_mask": ids > 0}))
    assert find(str(tmp_path)).pooling == "mean"


def test_sentence_transformers_loads_the_folder(tiny_bert: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    model, tokenizer = _saved(tiny_bert, tmp_path), AutoTokenizer.from_pretrained(tiny_bert)
    texts = ["the good film was dull", "a book"]
    ids = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        ours = model({"input_ids": ids["input_ids"], "attention_mask": ids["attention_mask"]})
    theirs = library.SentenceTransformer(str(tmp_path), device="cpu").encode(texts, convert_to_tensor=True)
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "value"), [("processes", 2), ("r_drop", 1.0)])
def test_rows_that_are_compared_with_each_other_are_not_parted(name: str, value: float, tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in Embedding.sample(48, 0)))
    spec = api.make_spec(
        tmp_path / "pairs.jsonl", task="embedding", model=str(tiny_bert), strategy="full", runs=str(tmp_path), **{f"train.{name}": value}
    )
    with pytest.raises(SpecError, match=f"train.{name}: expected"):
        State.start(api.plan(spec))
