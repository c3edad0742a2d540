"""Scores equal scikit-learn's; losses add up; temperature and thresholds do what they promise."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from tunesmith.data import arrays, caches
from tunesmith.parts import classes, confidence, curves


def _drawn(seed: int, rows: int, count: int, ties: bool = False) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    logits_NC = rng.normal(size=(rows, count)) * 2
    return {"logits": np.round(logits_NC) if ties else logits_NC}, np.r_[np.arange(count), rng.integers(0, count, rows - count)]


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("ties", [True, False])
def test_scores_piece_by_piece_are_those_of_the_whole(count: int, ties: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, truth = _drawn(count, 1000, count, ties)
    truth[:9] = -1
    rng = np.random.default_rng(1)
    own = {"temperature": rng.uniform(0.5, 2, (1000, 1)), "threshold": rng.uniform(0.2, 0.8, 1000)}
    asked = [outputs, outputs | own]
    whole = [classes.score(one, truth, temperature=1.7, threshold=0.3) for one in asked]
    for module, size in ((arrays, 512), (caches, 512)):
        monkeypatch.setattr(module, "LARGE_BYTES", size)
    for name in ("PIECE_BYTES", "STRETCH_BYTES"):
        monkeypatch.setattr(arrays, name, 256)
    assert [classes.score(one, truth, temperature=1.7, threshold=0.3) for one in asked] == whole, "to the last bit"


# -- labels -----------------------------------------------------------------------------------------------------------


def test_one_label_whatever_the_type_of_the_column() -> None:
    assert {classes.key(v) for v in (1, 1.0, "1", np.int64(1), np.float64(1))} == {"1"}
    assert classes.key(True) == "true" and classes.key(0.5) == "0.5" and classes.key("1.0") == "1.0"
    assert [classes.key(v) for v in (None, "", "  ", float("nan"))] == [None] * 4
    assert classes.key(" a") == " a", "twins are merged by nobody but the user"


def test_vocabulary_is_in_order() -> None:
    assert classes.vocabulary(["10", 9, None, 2.0]) == ("2", "9", "10")
    assert classes.vocabulary(["b", "a", "b", ""]) == ("a", "b")


@given(st.lists(st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([0.5, 2.0])), min_size=1, max_size=40))
def test_columns_and_cells_agree(cells: list[float | None]) -> None:
    column = pa.chunked_array([pa.array(cells[:5], pa.float64()), pa.array(cells[5:], pa.float64())])
    labels = tuple(classes.tally(column))
    assert labels == classes.vocabulary(cells)
    encoded = classes.encode_column(column, labels)
    np.testing.assert_array_equal(encoded, classes.encode(cells, labels))
    assert list(classes.tally(column).values()) == classes.counts(encoded, len(labels)).tolist()


def test_unknown_and_empty_are_minus_one() -> None:
    assert classes.encode(["a", "z", None, "b"], ("a", "b")).tolist() == [0, -1, -1, 1]
    assert classes.encode_column(pa.chunked_array([["a", "z", None]]), ("a",)).tolist() == [0, -1, -1]


def test_positive_label() -> None:
    assert classes.positive(("ham", "spam"), np.array([50, 50])) == "spam"
    assert classes.positive(("0", "1"), np.array([1, 99])) == "1"
    assert classes.positive(("fine", "late"), np.array([5, 95])) == "fine", "the rare one is looked for"
    assert classes.positive(("cat", "dog"), np.array([50, 50])) == "dog"
    assert classes.positive(("cat", "dog"), np.array([50, 50]), "cat") == "cat"


@given(st.lists(st.integers(1, 100), min_size=2, max_size=8))
def test_balanced_weights_make_classes_equal(found: list[int]) -> None:
    count_C = np.array(found)
    weight_C = np.array(classes.balanced_weights(count_C))
    np.testing.assert_allclose(weight_C * count_C, count_C.sum() / len(found))
    assert float(weight_C @ count_C) == pytest.approx(count_C.sum())


# -- loss -------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99), cuts=st.lists(st.integers(1, 11), max_size=4), smoothing=st.sampled_from([0.0, 0.1]),
    gamma=st.sampled_from([0.0, 2.0]),
)
def test_parts_add_up(seed: int, cuts: list[int], smoothing: float, gamma: float) -> None:
    rng = np.random.default_rng(seed)
    logits_BC, target_B = torch.tensor(rng.normal(size=(12, 5))), torch.tensor(rng.integers(-1, 5, 12))
    weight_B = torch.tensor(rng.random(12))
    whole = classes.loss(logits_BC, target_B, weight_B, smoothing=smoothing, gamma=gamma)
    edges = [0, *sorted(set(cuts)), 12]
    parts = [
        classes.loss(logits_BC[a:b], target_B[a:b], weight_B[a:b], smoothing=smoothing, gamma=gamma)
        for a, b in zip(edges, edges[1:])
    ]
    torch.testing.assert_close(torch.stack(parts).sum(), whole)


def test_loss_is_cross_entropy_and_unknown_rows_count_nothing() -> None:
    logits_BC, target_B = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, -1, 1])
    found = classes.loss(logits_BC, target_B, torch.ones(6))
    known = target_B >= 0
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits_BC[known], target_B[known], reduction="sum"))
    torch.testing.assert_close(classes.loss(logits_BC, target_B, torch.ones(6), gamma=0.0), found)
    assert classes.loss(logits_BC, target_B, torch.ones(6), gamma=2.0) < found


def test_focal_gradient_is_finite_where_a_row_is_certain() -> None:
    logits_BC = torch.tensor([[80.0, -80.0], [-80.0, 80.0]], requires_grad=True)
    classes.loss(logits_BC, torch.tensor([0, 0]), torch.ones(2), gamma=0.5).backward()
    assert logits_BC.grad is not None and logits_BC.grad.isfinite().all()


# -- scores -----------------------------------------------------------------------------------------------------------


def _sklearn(outputs: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, float]:
    probability_NC = classes.probabilities(outputs)
    predicted_N, binary = probability_NC.argmax(1), probability_NC.shape[1] == 2
    scores_N = probability_NC[:, 1] if binary else probability_NC
    labels = np.arange(probability_NC.shape[1])
    more = {"average": "macro", "zero_division": 0}
    return {
        "macro_f1": metrics.f1_score(truth, predicted_N, **more), "accuracy": metrics.accuracy_score(truth, predicted_N),
        "precision": metrics.precision_score(truth, predicted_N, **more), "recall": metrics.recall_score(truth, predicted_N, **more),
        "auroc": metrics.roc_auc_score(truth, scores_N, **({} if binary else {"multi_class": "ovr", "labels": labels})),
        "mcc": metrics.matthews_corrcoef(truth, predicted_N), "brier": metrics.brier_score_loss(truth, probability_NC, labels=labels),
        "log_loss": metrics.log_loss(truth, probability_NC, labels=labels),
    }


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(12, 60), count=st.integers(2, 6), ties=st.booleans())
def test_scores_are_scikit_learns(seed: int, rows: int, count: int, ties: bool) -> None:
    outputs, truth = _drawn(seed, rows, count, ties)
    ours, theirs = classes.score(outputs, truth), _sklearn(outputs, truth)
    assert list(ours) == list(classes.DIRECTIONS) and set(theirs) == set(ours) - {"ece"}
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-9), name


def test_unknown_labels_count_as_wrong() -> None:
    outputs, truth = _drawn(0, 50, 3)
    truth[10:20] = -1
    ours = classes.score(outputs, truth)
    predicted_N = classes.probabilities(outputs).argmax(1)
    more = {"average": "macro", "zero_division": 0}
    assert ours["accuracy"] == pytest.approx((predicted_N == truth).mean())
    assert ours["macro_f1"] == pytest.approx(metrics.f1_score(truth, predicted_N, **more), abs=1e-12)
    assert ours["mcc"] == pytest.approx(metrics.matthews_corrcoef(truth, predicted_N), abs=1e-12)
    assert ours["log_loss"] > 5 and np.isfinite(list(ours.values())).all()
    assert ours["brier"] > classes.score({"logits": outputs["logits"][truth >= 0]}, truth[truth >= 0])["brier"]


@pytest.mark.parametrize("truth", [np.zeros(9, int), np.full(9, -1), np.r_[np.zeros(8, int), 1]])
def test_scores_exist_where_classes_are_missing(truth: np.ndarray) -> None:
    outputs, _ = _drawn(1, 9, 3)
    assert np.isfinite(list(classes.score(outputs, truth).values())).all()


def test_ece_by_hand() -> None:
    confidence_N, right_N = np.array([0.95, 0.95, 0.55, 0.55]), np.array([1, 0, 1, 1])
    found = confidence.reliability(confidence_N, right_N, bins=10)
    assert found.ece == pytest.approx(0.5 * 0.45 + 0.5 * 0.45) and found.count_K.sum() == 4
    assert confidence.reliability(np.array([0.0, 1.0]), np.array([0, 1])).ece == 0


def test_areas_equal_scikit_learns_with_ties() -> None:
    rng = np.random.default_rng(3)
    score_NC, flags_NC = np.round(rng.random((40, 3)), 1), rng.random((40, 3)) < 0.3
    own = [np.flatnonzero(flags_N) for flags_N in flags_NC.T]
    for c in range(3):
        truth_N, score_N = flags_NC[:, c], score_NC[:, c]
        assert curves.auroc(score_NC, own)[c] == pytest.approx(metrics.roc_auc_score(truth_N, score_N), abs=1e-12)
        assert curves.area(score_N[truth_N == 1], score_N[truth_N == 0]) == curves.auroc(score_NC, own)[c], "to the last bit"
        assert curves.average_precision(score_NC, own)[c] == pytest.approx(metrics.average_precision_score(truth_N, score_N), abs=1e-12)
    assert np.isnan(curves.auroc(score_NC, [np.arange(0), np.arange(40), own[2]])).tolist() == [True, True, False]


def test_confusion_and_per_class() -> None:
    outputs, truth = _drawn(2, 60, 4)
    truth[:5] = -1
    table_CC = classes.confusion(outputs, truth)
    known = truth >= 0
    predicted_N = classes.probabilities(outputs).argmax(1)
    np.testing.assert_array_equal(table_CC, metrics.confusion_matrix(truth[known], predicted_N[known], labels=range(4)))
    rows = classes.per_class(table_CC, list("abcd"))
    theirs = metrics.precision_recall_fscore_support(truth[known], predicted_N[known], labels=range(4), zero_division=0)
    for name, column in zip(("precision", "recall", "f1", "support"), theirs):
        np.testing.assert_allclose([row[name] for row in rows], column)


# -- calibration ------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), rows=st.integers(1, 80), factor=st.floats(0.2, 5))
def test_temperature_keeps_labels_and_does_not_harm(seed: int, rows: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    outputs, truth = {"logits": rng.normal(size=(rows, 4)) * factor}, rng.integers(0, 4, rows)
    temperature = classes.fit_temperature(outputs, truth)
    plain, warm = classes.probabilities(outputs), classes.probabilities(outputs, temperature)
    np.testing.assert_array_equal(plain.argmax(1), warm.argmax(1))
    assert classes.score(outputs, truth, temperature=temperature)["ece"] <= classes.score(outputs, truth)["ece"] + 0.005 + 1e-12


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_temperature_is_recovered(factor: float) -> None:
    rng = np.random.default_rng(5)
    logits_NC = rng.normal(size=(4000, 5)) * 2
    truth = (logits_NC + rng.gumbel(size=logits_NC.shape)).argmax(1)
    assert classes.fit_temperature({"logits": logits_NC * factor}, truth) == pytest.approx(factor, rel=0.08)


def test_temperature_of_nothing_is_one() -> None:
    assert classes.fit_temperature({"logits": np.zeros((0, 3))}, np.zeros(0, int)) == 1.0
    assert classes.fit_temperature({"logits": np.ones((2, 3))}, np.array([-1, -1])) == 1.0


@pytest.mark.parametrize("cost_miss", [0.2, 1.0, 10.0])
def test_threshold_is_near_the_best_one(cost_miss: float) -> None:
    rng = np.random.default_rng(6)
    probability_N = rng.beta(0.5, 2, 3000)
    positive_N = rng.random(3000) < probability_N
    threshold = classes.fit_threshold(probability_N, positive_N, cost_miss)
    assert threshold == pytest.approx(classes.ideal_threshold(cost_miss), abs=0.1)
    cost = lambda t: classes.cost((probability_N >= t).astype(int), positive_N.astype(int), 1, cost_miss)  # noqa: E731
    assert cost(threshold) <= cost(0.5) + 1e-9


def test_threshold_leans_on_the_ideal_where_positives_are_few() -> None:
    probability_N = np.array([0.01, 0.05, 0.3, 0.31, 0.9])
    found = classes.fit_threshold(probability_N, np.zeros(5, bool), 4.0)
    assert 0.05 < found <= 0.3, "without a positive row the model's own probabilities decide: 1 / (1 + 4)"


def test_decisions_follow_the_threshold() -> None:
    probability_NC = np.array([[0.85, 0.15], [0.95, 0.05]])
    assert classes.decide(probability_NC).tolist() == [0, 0]
    assert classes.decide(probability_NC, 1, 0.1).tolist() == [1, 0]
    assert classes.decide(probability_NC, 0, 0.9).tolist() == [1, 0]


def test_outputs_with_their_own_settings_are_judged_by_them() -> None:
    outputs, truth = _drawn(7, 40, 2)
    own = outputs | {"temperature": np.full((40, 1), 2.0), "threshold": np.full(40, 0.3)}
    assert classes.score(own, truth, temperature=9.0, threshold=0.9) == classes.score(outputs, truth, temperature=2.0, threshold=0.3)


def test_answers_list_the_likeliest_first() -> None:
    few = classes.answers(np.array([[0.2, 0.5, 0.3]]), np.array([1]), ["a", "b", "c"])[0]
    assert few == {"label": "b", "confidence": 0.5, "probabilities": {"b": 0.5, "c": 0.3, "a": 0.2}}
    assert list(few["probabilities"]) == ["b", "c", "a"]
    many = classes.answers(np.full((1, 30), 1 / 30), np.array([4]), [f"l{i}" for i in range(30)])[0]
    assert len(many["probabilities"]) == 5


def test_scores_of_resampled_rows_are_those_of_the_rows() -> None:
    outputs, truth = _drawn(8, 30, 3)
    chosen = np.random.default_rng(0).integers(0, 30, 50)
    again = classes.score({k: v[chosen] for k, v in outputs.items()}, truth[chosen])
    assert again == classes.score({"logits": outputs["logits"][chosen].copy()}, truth[chosen])
