"""Cells of every kind give the same tags; scores equal scikit-learn's; thresholds help, and rare labels do not run away."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from tunesmith.parts import flags

LABELS = ("anger", "fear", "joy")


@pytest.mark.parametrize(
    "cell", [["fear", "joy"], ("fear", "joy"), '["fear", "joy"]', "['fear', 'joy']", "fear|joy", " fear | joy | fear ", "[fear, joy]"]
)
def test_ways_of_writing_two_tags(cell: object) -> None:
    assert flags.tags(cell, "|") == ["fear", "joy"]


@pytest.mark.parametrize("cell", [None, "", "[]", [], "  ", [None], "|"])
def test_none_is_an_answer(cell: object) -> None:
    assert flags.tags(cell, "|") == []


def test_hostile_lists_do_no_harm() -> None:
    assert isinstance(flags.tags("[" * 100_000 + "]" * 100_000), list)
    assert flags.tags("[__import__('os')]") == ["os"]


def test_numbers_and_commas() -> None:
    assert flags.tags("2,27", ",") == ["2", "27"] and flags.tags(27) == ["27"] and flags.tags(2.0, ",") == ["2"]


def test_separator_is_found_and_commas_in_labels_are_not_one() -> None:
    assert flags.find_separator(["a|b", "b", "a"]) == "|"
    assert flags.find_separator(["2,27", "27", "2", None]) == ","
    assert flags.find_separator(["Paris, France", "Rome, Italy", "calm"]) == ""
    assert flags.find_separator(["[\"a\", \"b\"]", ["a"]]) == ""


@given(st.lists(st.sets(st.sampled_from([*LABELS, "envy", "awe"])), min_size=1, max_size=8))
def test_unknown_tags_are_counted(rows: list[set[str]]) -> None:
    found = flags.encode([sorted(row) for row in rows], LABELS)
    for flags_C, row in zip(found, rows):
        assert [LABELS[i] for i in np.flatnonzero(flags_C[:3])] == sorted(row & set(LABELS))
        assert flags_C[3:].sum() == len(row - set(LABELS))
    assert found.shape[1] == 3 + any(row - set(LABELS) for row in rows)


def test_columns_of_zero_and_one() -> None:
    assert [flags.is_on(v) for v in (1, 1.0, "1", True, "yes", "x")] == [True] * 6
    assert [flags.is_on(v) for v in (0, 0.0, "0", False, "no", None, "", "False")] == [False] * 8


# -- loss -------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), cut=st.integers(1, 7), kind=st.sampled_from(["bce", "asymmetric"]), weigh=st.booleans())
def test_parts_add_up(seed: int, cut: int, kind: str, weigh: bool) -> None:
    rng = np.random.default_rng(seed)
    logits_BC, target_BC = torch.tensor(rng.normal(size=(8, 3))), torch.tensor(rng.integers(0, 2, (8, 3)), dtype=torch.float32)
    weight_B, weight_C = torch.tensor(rng.random(8)), (1.0, 2.0, 3.0) if weigh else ()

    def of(rows: slice) -> torch.Tensor:
        return flags.loss(logits_BC[rows], target_BC[rows], weight_B[rows], kind=kind, weight_C=weight_C)

    torch.testing.assert_close(of(slice(0, cut)) + of(slice(cut, 8)), of(slice(0, 8)))


def test_losses_are_the_published_ones() -> None:
    rng = torch.Generator().manual_seed(0)
    logits_BC, target_BC = torch.randn(5, 4, generator=rng), torch.randint(0, 2, (5, 4), generator=rng).float()
    ours = flags.loss(logits_BC, target_BC, torch.ones(5))
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(logits_BC, target_BC, reduction="none").mean(1).sum()
    torch.testing.assert_close(ours, theirs)
    p = logits_BC.sigmoid()
    shifted = (p - 0.05).clamp_min(0)
    by_hand = -(target_BC * (1 - p) * p.log() + (1 - target_BC) * shifted**4 * (1 - shifted).log())
    torch.testing.assert_close(flags.loss(logits_BC, target_BC, torch.ones(5), kind="asymmetric"), by_hand.mean(1).sum())


def test_asymmetric_gradient_is_finite_where_all_is_certain() -> None:
    logits_BC = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    flags.loss(logits_BC, torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.ones(2), kind="asymmetric").backward()
    assert logits_BC.grad is not None and logits_BC.grad.isfinite().all()


# -- scores and thresholds --------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(8, 40), ties=st.booleans())
def test_scores_are_scikit_learns(seed: int, rows: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    logits_NC = rng.normal(size=(rows, 4))
    truth = np.concatenate([np.eye(4, dtype=int), 1 - np.eye(4, dtype=int), rng.integers(0, 2, (rows - 8, 4))])
    outputs = {"logits": np.round(logits_NC) if ties else logits_NC}
    probability_NC, ours = flags.probabilities(outputs), flags.score(outputs, truth)
    given_NC = probability_NC >= 0.5
    theirs = {
        "micro_f1": metrics.f1_score(truth, given_NC, average="micro", zero_division=0),
        "macro_f1": metrics.f1_score(truth, given_NC, average="macro", zero_division=0),
        "map": metrics.average_precision_score(truth, probability_NC, average="macro"),
        "auroc": metrics.roc_auc_score(truth, probability_NC, average="macro"),
        "subset_accuracy": metrics.accuracy_score(truth, given_NC),
        "brier": np.mean([metrics.brier_score_loss(t, p) for t, p in zip(truth.T, probability_NC.T)]),
    }
    assert list(ours) == list(flags.DIRECTIONS) and set(theirs) == set(ours) - {"ece"}
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-9), name


def test_unknown_tags_are_missed() -> None:
    outputs, truth = {"logits": np.array([[9.0, -9.0], [9.0, -9.0]])}, np.array([[1, 0], [1, 0]])
    assert flags.score(outputs, truth)["micro_f1"] == 1
    worse = flags.score(outputs, np.concatenate([truth, [[2], [0]]], 1))
    assert worse["micro_f1"] == pytest.approx(4 / 6) and worse["subset_accuracy"] == 0.5
    assert worse["macro_f1"] < flags.score(outputs, truth)["macro_f1"]


def test_scores_exist_where_labels_are_missing() -> None:
    outputs = {"logits": np.random.default_rng(0).normal(size=(6, 3))}
    for truth in (np.zeros((6, 3), int), np.ones((6, 3), int)):
        assert np.isfinite(list(flags.score(outputs, truth).values())).all()


def test_thresholds_beat_one_half_and_rare_labels_stay_near_the_rest() -> None:
    rng = np.random.default_rng(1)
    share_C = np.array([0.3, 0.1, 0.002])
    truth = rng.random((4000, 3)) < share_C
    outputs = {"logits": rng.normal(size=(4000, 3)) + 2 * truth + np.log(share_C / (1 - share_C))}
    thresholds = flags.fit_thresholds(flags.probabilities(outputs), truth)
    shared = max(flags.score(outputs, truth, thresholds=(t,) * 3)["micro_f1"] for t in np.linspace(0.05, 0.95, 91))
    own = flags.score(outputs, truth, thresholds=thresholds)["micro_f1"]
    assert own > flags.score(outputs, truth)["micro_f1"] + 0.02 and own > shared - 0.005
    lone = np.zeros((50, 2), int)
    lone[:25, 0] = lone[49, 1] = 1
    probability_NC = np.column_stack([np.linspace(0.9, 0.1, 50), np.linspace(0.99, 0.97, 50)])
    found = flags.fit_thresholds(probability_NC, lone)
    both = flags.fit_thresholds(probability_NC[:, :1], lone[:, :1])[0]
    assert abs(found[1] - found[0]) < 0.5 and found[0] == pytest.approx(both, abs=0.2)


def test_threshold_of_a_label_without_rows_is_that_of_all() -> None:
    probability_NC, truth = np.array([[0.9, 0.2], [0.7, 0.1], [0.2, 0.1]]), np.array([[1, 0], [1, 0], [0, 0]])
    own, empty = flags.fit_thresholds(probability_NC, truth)
    assert 0.2 < own < 0.7 and 0.2 < empty < 0.7


def test_temperature_is_recovered() -> None:
    rng = np.random.default_rng(2)
    logits_NC = rng.normal(size=(3000, 4)) * 2
    truth = (rng.random(logits_NC.shape) < 1 / (1 + np.exp(-logits_NC))).astype(int)
    assert flags.fit_temperature({"logits": logits_NC * 2.5}, truth) == pytest.approx(2.5, rel=0.1)


def test_prior_gives_the_commonest_labels() -> None:
    truth = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [1, 1, 0]])
    outputs = flags.prior_outputs(truth, 4)
    assert flags.score(outputs, truth, temperature=5.0)["micro_f1"] == pytest.approx(2 * 6 / (8 + 7))
    empty = flags.score(flags.prior_outputs(np.zeros((4, 3), int), 4), truth)
    assert np.isfinite(list(empty.values())).all()


def test_answers() -> None:
    found = flags.answers(np.array([[0.9, 0.3, 0.6], [0.1, 0.1, 0.1]]), np.array([0.5, 0.5, 0.5]), LABELS)
    assert found[0]["labels"] == ["anger", "joy"] and found[0]["confidence"] == pytest.approx(0.6)
    assert found[1]["labels"] == [] and found[1]["confidence"] == pytest.approx(0.9)
    assert list(found[0]["probabilities"]) == ["anger", "joy", "fear"]


def test_per_label() -> None:
    outputs, truth = {"logits": np.array([[2.0, -1.0], [-2.0, -1.0], [1.0, -1.0]])}, np.array([[1, 0], [0, 0], [1, 0]])
    first, second = flags.per_label(outputs, truth, ["a", "b"], thresholds=(0.5, 0.4))
    assert first["f1"] == first["auroc"] == first["average_precision"] == 1 and first["support"] == 2
    assert second["auroc"] is None and second["average_precision"] is None and second["threshold"] == 0.4
