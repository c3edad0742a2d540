"""Solvers reach the optimum, agree with scikit-learn, and do not mind scale, order or precision."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from tunesmith.parts import descent, linear
from tunesmith.task import Solution

N, D, C = 300, 12, 4


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features_ND = (rng.normal(size=(N, D)) * np.geomspace(0.1, 30, D) + 5).astype(np.float32)
    class_N = (features_ND @ rng.normal(size=(D, C)) / 20 + rng.gumbel(size=(N, C))).argmax(1)
    return features_ND, class_N


def _standard(features_ND: np.ndarray, weight_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean_D = np.average(features_ND.astype(np.float64), axis=0, weights=weight_N)
    scale_D = np.sqrt(np.average((features_ND - mean_D) ** 2, axis=0, weights=weight_N) * features_ND.shape[1])
    return (features_ND - mean_D) / scale_D, scale_D


def _slope(features_ND: np.ndarray, by_score_NC: np.ndarray, solution: Solution, strength: float, weight_N: np.ndarray) -> float:
    """Largest entry of the objective's gradient at the solution."""
    standard_ND, scale_D = _standard(features_ND, weight_N)
    by_weight_CD = (by_score_NC * weight_N[:, None]).T @ standard_ND / weight_N.sum() + strength * solution.weight_CD * scale_D
    by_bias_C = (by_score_NC * weight_N[:, None]).sum(0) / weight_N.sum()
    return float(max(np.abs(by_weight_CD).max(), np.abs(by_bias_C).max()))


def _softmax_slope(scores_NC: np.ndarray, class_N: np.ndarray) -> np.ndarray:
    probability_NC = np.exp(scores_NC - scores_NC.max(1, keepdims=True))
    probability_NC /= probability_NC.sum(1, keepdims=True)
    return probability_NC - np.eye(scores_NC.shape[1])[class_N]


@pytest.mark.parametrize("strength", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("exact", [True, False])
def test_multinomial_gradient_vanishes(
    rows: tuple[np.ndarray, np.ndarray], strength: float, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    features_ND, class_N = rows
    weight_N = np.random.default_rng(1).uniform(0, 2, N)
    monkeypatch.setattr(linear, "EXACT", 2**25 if exact else 0)
    monkeypatch.setattr(linear, "BLOCK", 128)
    solution = linear.multinomial(features_ND, class_N, C, strength, weight_N=weight_N)
    slope_NC = _softmax_slope(linear.scores(features_ND, solution), class_N)
    assert _slope(features_ND, slope_NC, solution, strength, weight_N) < (1e-7 if exact else 1e-4)


def test_independent_gradient_vanishes(rows: tuple[np.ndarray, np.ndarray]) -> None:
    features_ND, class_N = rows
    flags_NC, weight_N = (np.eye(C)[class_N] + np.eye(C)[(class_N + 1) % C]).astype(np.int8), np.ones(N)
    solution = linear.independent(features_ND, flags_NC, 1e-3)
    sigmoid_NC = 1 / (1 + np.exp(-linear.scores(features_ND, solution)))
    assert _slope(features_ND, sigmoid_NC - flags_NC, solution, 1e-3, weight_N) < 1e-7


def test_multinomial_equals_scikit_learn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    features_ND, class_N = rows
    standard_ND, _ = _standard(features_ND, np.ones(N))
    theirs = LogisticRegression(C=1 / (N * 1e-2), tol=1e-10, max_iter=2000).fit(standard_ND, class_N)
    ours = linear.multinomial(features_ND, class_N, C, 1e-2)
    ours_NC = linear.scores(features_ND, ours)
    difference_NC = ours_NC - theirs.decision_function(standard_ND)
    np.testing.assert_allclose(difference_NC, difference_NC.mean(1, keepdims=True) + np.zeros((N, C)), atol=1e-5)


def test_ridge_equals_scikit_learn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    features_ND, class_N = rows
    weight_N = np.random.default_rng(2).uniform(0.1, 2, N)
    target_NC = np.stack([class_N + 7.0, -3.0 * class_N + features_ND[:, 0]], 1)
    standard_ND, _ = _standard(features_ND, weight_N)
    theirs = Ridge(alpha=1e-2 * weight_N.sum(), solver="cholesky").fit(standard_ND, target_NC, sample_weight=weight_N)
    ours = linear.ridge(features_ND, target_NC, 1e-2, weight_N=weight_N)
    np.testing.assert_allclose(linear.scores(features_ND, ours), theirs.predict(standard_ND), rtol=1e-6, atol=1e-6)


def test_ridge_recovers_a_linear_rule(rows: tuple[np.ndarray, np.ndarray]) -> None:
    features_ND = rows[0].astype(np.float64)
    true_CD, bias_C = np.random.default_rng(3).normal(size=(2, D)), np.array([1.0, -40.0])
    found = linear.ridge(features_ND, features_ND @ true_CD.T + bias_C, 0.0)
    np.testing.assert_allclose(found.weight_CD, true_CD, atol=1e-6)
    np.testing.assert_allclose(found.bias_C, bias_C, atol=1e-4)


@pytest.mark.parametrize("count", [9, N])
def test_what_is_said_of_a_row_left_out_is_what_the_others_teach(rows: tuple[np.ndarray, np.ndarray], count: int) -> None:
    features_ND, class_N = rows[0][:count].astype(np.float64), rows[1][:count]
    target_NC = np.stack([class_N + 7.0, -3.0 * class_N + features_ND[:, 0]], 1)
    standard_ND, _ = _standard(features_ND, np.ones(count))
    for strength, said_NC in zip((1e-1, 1e-4), linear.left_out(features_ND, target_NC, (1e-1, 1e-4))):
        for row in (0, count - 1):
            others = np.arange(count) != row
            taught = Ridge(alpha=strength * count, solver="cholesky").fit(standard_ND[others], target_NC[others])
            np.testing.assert_allclose(said_NC[row], taught.predict(standard_ND[[row]])[0], rtol=1e-5, atol=1e-5)


def test_scale_and_shift_of_a_feature_change_nothing(rows: tuple[np.ndarray, np.ndarray]) -> None:
    features_ND, class_N = rows[0].astype(np.float64), rows[1]
    moved_ND = features_ND * np.geomspace(1e-1, 1e2, D) + np.linspace(-9, 9, D)
    here, there = (linear.scores(x, linear.multinomial(x, class_N, C, 1e-3)) for x in (features_ND, moved_ND))
    np.testing.assert_allclose(here, there, atol=1e-4)


def test_constant_features_get_no_weight(rows: tuple[np.ndarray, np.ndarray]) -> None:
    features_ND, class_N = np.concatenate([rows[0], np.full((N, 2), 3.7, np.float32)], 1), rows[1]
    solution = linear.multinomial(features_ND, class_N, C, 1e-4)
    assert np.abs(solution.weight_CD[:, -2:]).max() < 1e-6 and np.isfinite(solution.bias_C).all()


def test_start_does_not_move_the_optimum(rows: tuple[np.ndarray, np.ndarray]) -> None:
    features_ND, class_N = rows
    cold = linear.multinomial(features_ND, class_N, C, 1e-4)
    warm = linear.multinomial(features_ND, class_N, C, 1e-4, start=linear.multinomial(features_ND, class_N, C, 1e-2))
    np.testing.assert_allclose(linear.scores(features_ND, cold), linear.scores(features_ND, warm), atol=1e-4)


def test_weights_are_repeats_and_unknown_rows_are_left_out(rows: tuple[np.ndarray, np.ndarray]) -> None:
    features_ND, class_N = rows
    weight_N = np.arange(N) % 3
    repeated = np.repeat(np.arange(N), weight_N)
    one = linear.multinomial(features_ND, class_N, C, 1e-3, weight_N=weight_N)
    other = linear.multinomial(features_ND[repeated], class_N[repeated], C, 1e-3)
    third = linear.multinomial(features_ND, np.where(weight_N > 0, class_N, -1), C, 1e-3, weight_N=np.maximum(weight_N, 1))
    np.testing.assert_allclose(linear.scores(features_ND, one), linear.scores(features_ND, other), atol=1e-5)
    np.testing.assert_allclose(linear.scores(features_ND, one), linear.scores(features_ND, third), atol=1e-5)


def test_sparse_rows_equal_dense_ones_up_to_scale() -> None:
    rng = np.random.default_rng(4)
    dense_ND = rng.random((80, 10)) * (rng.random((80, 10)) < 0.3)
    class_N = rng.integers(0, 3, 80)
    solution = linear.multinomial(scipy.sparse.csr_matrix(dense_ND), class_N, 3, 1e-3)
    theirs = LogisticRegression(C=1 / (80 * 1e-3), tol=1e-10, max_iter=5000).fit(dense_ND, class_N)
    np.testing.assert_allclose(solution.weight_CD - solution.weight_CD.mean(0), theirs.coef_ - theirs.coef_.mean(0), atol=1e-2)


def test_few_rows_and_separable_classes_stay_finite() -> None:
    features_ND = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.1]], np.float32)
    solution = linear.multinomial(features_ND, np.array([0, 1, 0]), 2, 1e-6)
    assert np.isfinite(solution.weight_CD).all()
    assert linear.scores(features_ND, solution).argmax(1).tolist() == [0, 1, 0]


def test_memory_mapped_read_only_features(rows: tuple[np.ndarray, np.ndarray], tmp_path: object) -> None:
    features_ND, class_N = rows[0].copy(), rows[1]
    features_ND.flags.writeable = False
    np.testing.assert_array_equal(
        linear.multinomial(features_ND, class_N, C, 1e-2).weight_CD, linear.multinomial(rows[0], class_N, C, 1e-2).weight_CD
    )


def test_a_feature_of_nothing_but_rounding_gets_no_weight() -> None:
    rng = np.random.default_rng(0)
    features_ND = rng.normal(size=(200, 6)).astype(np.float32)
    features_ND[:, 2] = rng.normal(size=200) * 1e-32
    class_N = (features_ND[:, 0] > 0).astype(np.int64)
    for found in (linear.multinomial(features_ND, class_N, 2, 1e-3), linear.ridge(features_ND, class_N[:, None] * 1.0, 1e-3)):
        assert np.abs(found.weight_CD[:, 2]).max() < 1e-6 < np.abs(found.weight_CD[:, 0]).max() < 100


def test_the_direction_is_that_of_the_inverse_curvature_and_changes_nothing_it_reads() -> None:
    rng, size = np.random.default_rng(0), 6
    root = rng.normal(size=(size, size))
    steps = rng.normal(size=(4, size))
    pairs: descent.Pairs = deque()
    for step, bend in zip(steps, steps @ (root @ root.T + np.eye(size)), strict=True):
        pairs.append((torch.from_numpy(step), torch.from_numpy(bend), float(step @ bend)))
    inverse = np.eye(size) * pairs[-1][2] / float(pairs[-1][1] @ pairs[-1][1])
    for step, bend, product in [tuple(np.asarray(part) for part in pair) for pair in pairs]:
        turn = np.eye(size) - np.outer(step, bend) / product
        inverse = turn @ inverse @ turn.T + np.outer(step, step) / product
    gradient, before = torch.from_numpy(rng.normal(size=size)), [[part.clone() for part in pair[:2]] for pair in pairs]
    kept = gradient.clone()
    np.testing.assert_allclose(descent._direction(gradient, pairs), -inverse @ kept.numpy(), rtol=1e-9)
    assert torch.equal(gradient, kept)
    assert all(torch.equal(a, b) for pair, old in zip(pairs, before, strict=True) for a, b in zip(pair[:2], old, strict=True))


def test_standardised_rows_are_held_as_they_are_made_and_one_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    features_ND = np.random.default_rng(0).standard_normal((70, 5)).astype(np.float32) * 3 + 1
    whole_ND = linear._Rows.of(features_ND, np.ones(70), 10**8).held
    monkeypatch.setattr(linear, "BLOCK", 16)
    made, sizes = linear._Rows.block, list[int]()
    monkeypatch.setattr(linear._Rows, "block", lambda self, rows: sizes.append(rows.stop - rows.start) or made(self, rows))
    parted_ND = linear._Rows.of(features_ND, np.ones(70), 10**8).held
    assert parted_ND.dtype == torch.float32 and sizes == [16, 16, 16, 16, 6]
    torch.testing.assert_close(parted_ND, whole_ND, rtol=1e-6, atol=1e-6)
