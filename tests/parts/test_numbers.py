"""Scores equal scikit-learn's and scipy's; intervals cover what they promise; losses add up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from tunesmith.parts import numbers


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(3, 50), targets=st.integers(1, 3), ties=st.booleans())
def test_scores_are_scikit_learns(seed: int, rows: int, targets: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(rows, targets))
    given_NC = truth + rng.normal(size=truth.shape)
    if ties:
        truth, given_NC = np.round(truth * 2), np.round(given_NC * 2)
        truth[:2], given_NC[:2] = [[0], [5]], [[3], [-2]]
    ours = numbers.score({"numbers": given_NC}, truth)
    theirs = {
        "r2": metrics.r2_score(truth, given_NC), "mse": metrics.mean_squared_error(truth, given_NC),
        "rmse": metrics.root_mean_squared_error(truth, given_NC), "mae": metrics.mean_absolute_error(truth, given_NC),
        "pearson": np.mean([stats.pearsonr(t, g)[0] for t, g in zip(truth.T, given_NC.T)]),
        "spearman": np.mean([stats.spearmanr(t, g)[0] for t, g in zip(truth.T, given_NC.T)]),
    }
    assert list(ours) == list(numbers.DIRECTIONS) == list(theirs)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-9), name


def test_constant_sides_have_no_correlation_and_finite_scores() -> None:
    truth = np.full((5, 1), 0.1 + 0.2)
    for given_NC in (truth, truth + 1, np.arange(5.0)[:, None]):
        found = numbers.score({"numbers": given_NC}, truth)
        assert found["pearson"] == found["spearman"] == 0 and np.isfinite(list(found.values())).all()
    assert numbers.score({"numbers": truth}, truth)["r2"] == 1


def test_missing_targets_are_left_out() -> None:
    rng = np.random.default_rng(0)
    truth, given_NC = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    truth[:5, 0] = np.nan
    found = numbers.per_target({"numbers": given_NC}, truth, ["a", "b"])
    assert [row["rows"] for row in found] == [15, 20]
    assert found[0]["mse"] == pytest.approx(metrics.mean_squared_error(truth[5:, 0], given_NC[5:, 0]))
    assert numbers.score({"numbers": given_NC}, truth)["mse"] == pytest.approx(np.mean([row["mse"] for row in found]))
    means, deviations = numbers.scale(truth)
    assert means[0] == pytest.approx(np.nanmean(truth[:, 0])) and deviations[1] == pytest.approx(truth[:, 1].std())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), cut=st.integers(1, 7), kind=st.sampled_from(["mse", "mae", "huber"]))
def test_parts_add_up(seed: int, cut: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    given_BC, target_BC, weight_B = (torch.tensor(rng.normal(size=s)) for s in ((8, 2), (8, 2), 8))
    target_BC[2] = math.nan
    target_BC[3, 0] = math.nan

    def of(rows: slice) -> torch.Tensor:
        return numbers.loss(given_BC[rows], target_BC[rows], weight_B[rows], kind=kind)

    torch.testing.assert_close(of(slice(0, cut)) + of(slice(cut, 8)), of(slice(0, 8)))


def test_losses_are_torchs() -> None:
    given_BC, target_BC = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)) * 3, torch.zeros(6, 2)
    for kind, theirs in {"mse": torch.nn.MSELoss, "mae": torch.nn.L1Loss, "huber": torch.nn.HuberLoss}.items():
        expected = theirs(reduction="none")(given_BC, target_BC).mean(1).sum()
        torch.testing.assert_close(numbers.loss(given_BC, target_BC, torch.ones(6), kind=kind), expected)


def test_gradient_of_missing_targets_is_zero() -> None:
    given_BC = torch.ones(2, 2, requires_grad=True)
    numbers.loss(given_BC, torch.tensor([[math.nan, 0.0], [math.nan, math.nan]]), torch.ones(2)).backward()
    assert given_BC.grad is not None and given_BC.grad.tolist() == [[0.0, 2.0], [0.0, 0.0]]


def test_intervals_cover_what_they_promise() -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(400):
        error = rng.standard_t(3, size=(60, 1))
        (half,) = numbers.half_widths({"numbers": np.zeros((59, 1))}, error[:59], 0.9)
        covered.append(abs(error[59, 0]) <= half)
    assert 0.86 <= np.mean(covered) <= 0.95


def test_too_few_rows_promise_nothing() -> None:
    assert numbers.half_widths({"numbers": np.zeros((8, 1))}, np.ones((8, 1)), 0.9) == ()
    assert numbers.half_widths({"numbers": np.zeros((9, 1))}, np.ones((9, 1)), 0.9) == (1.0,)


def test_answers_of_one_and_of_several_targets() -> None:
    one = numbers.answers({"numbers": np.array([[2.0]])}, ["stars"], (0.5,))
    assert one == [{"value": 2.0, "low": 1.5, "high": 2.5}]
    two = numbers.answers({"numbers": np.array([[2.0, 7.0]])}, ["a", "b"], (0.5, 1.0))
    assert two == [{"value": {"a": 2.0, "b": 7.0}, "low": {"a": 1.5, "b": 6.0}, "high": {"a": 2.5, "b": 8.0}}]
    assert numbers.answers({"numbers": np.array([[2.0]])}, ["stars"]) == [{"value": 2.0}]


@pytest.mark.parametrize("cell", [None, "", "1,234", "1.234,5", "many", "inf", "nan", math.inf, 1e308, "1e308", "1_000", [1]])
def test_what_is_no_number(cell: object) -> None:
    assert math.isnan(numbers.number(cell))


@pytest.mark.parametrize(("cell", "value"), [(3, 3.0), ("-2.5", -2.5), (" 1e3 ", 1000.0), (True, 1.0), (np.float32(0.5), 0.5)])
def test_what_is_a_number(cell: object, value: float) -> None:
    assert numbers.number(cell) == value


def test_scale_of_constants_and_of_nothing() -> None:
    assert numbers.scale(np.array([[5.0], [5.0]])) == ((5.0,), (1.0,))
    assert numbers.scale(np.array([[math.nan]])) == ((0.0,), (1.0,))
