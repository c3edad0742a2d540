"""Every interval covers what it claims to cover."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.data import arrays, caches
from tunesmith.judging.intervals import Candidate, Members, bca, resample, shares, wilson

SIMULATIONS = 2000


def test_wilson_covers_95_percent_over_all_sizes_and_shares():
    """n 20 to 1,000 and p .5 to .99 drawn at random: pooled coverage in 93 to 97 %, and in every third of the sizes
    too.

    For one fixed n and p no interval of whole counts can always do so (n = 20, p = .99: 20 right has probability .82,
    19 or more .98), so coverage is over the range, as a user meets it.
    """
    rng = np.random.default_rng(1)
    size = rng.integers(20, 1001, SIMULATIONS)
    share = rng.uniform(0.5, 0.99, SIMULATIONS)
    right = rng.binomial(size, share)
    ends = np.array([wilson(int(k), int(n)) for k, n in zip(right, size)])
    covered = (ends[:, 0] <= share) & (share <= ends[:, 1])
    assert 0.93 <= covered.mean() <= 0.97
    for low, high in ((20, 100), (100, 400), (400, 1001)):
        assert 0.92 <= covered[(size >= low) & (size < high)].mean() <= 0.98


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 0.95, 0.99])
def test_wilson_covers_at_each_share(share):
    rng = np.random.default_rng(int(share * 100))
    size = rng.integers(20, 1001, SIMULATIONS)
    right = rng.binomial(size, share)
    ends = np.array([wilson(int(k), int(n)) for k, n in zip(right, size)])
    assert 0.93 <= np.mean((ends[:, 0] <= share) & (share <= ends[:, 1])) <= 0.97


def test_wilson_at_the_edges():
    assert wilson(20, 20)[1] == 1.0
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[0] == pytest.approx(0.8389, abs=1e-4)
    assert np.isnan(wilson(0, 0)).all()


def test_accuracy_interval_through_the_task_covers(classes, logits):
    """The whole way: task, resampling, detection that accuracy is a share, Wilson."""
    covered = []
    for i in range(150):
        rng = np.random.default_rng(i)
        truth = rng.integers(0, 2, 60)
        draws = resample({"m": Candidate(classes(), {"logits": logits(truth, 0.9, 2, rng)})}, truth, resamples=100)
        interval = draws.interval("m", "accuracy")
        covered.append(interval.low <= 0.9 <= interval.high)
    assert interval.method == "wilson"
    assert 0.90 <= np.mean(covered) <= 0.99  # 150 simulations: the standard error is .018


def test_bootstrap_interval_of_macro_f1_covers(classes, logits):
    """Five unequal classes; the true macro-F1 from 400,000 rows."""
    prior = np.array([0.5, 0.2, 0.15, 0.1, 0.05])
    task = classes(labels=tuple("abcde"))
    rng = np.random.default_rng(0)
    truth = rng.choice(5, 400_000, p=prior)
    true = task.score({"logits": logits(truth, 0.8, 5, rng)}, truth)["macro_f1"]
    covered = []
    for i in range(200):
        rng = np.random.default_rng(i)
        truth = rng.choice(5, 150, p=prior)
        draws = resample({"m": Candidate(task, {"logits": logits(truth, 0.8, 5, rng)})}, truth, resamples=200, seed=i)
        interval = draws.interval("m", "macro_f1")
        covered.append(interval.low <= true <= interval.high)
    assert interval.method == "bootstrap"
    assert 0.91 <= np.mean(covered) <= 0.985  # the standard error of 200 simulations is .015


def test_bca_of_a_skewed_mean_beats_chance_of_missing():
    """A mean of exponential draws, 40 rows: coverage near 95 %, where the plain percentile interval has about 91 %."""
    covered = []
    for i in range(400):
        rng = np.random.default_rng(i)
        rows = rng.exponential(size=40)
        draws = rows[rng.integers(0, 40, (400, 40))].mean(1)
        left_out = np.array([np.delete(rows, j).mean() for j in range(40)])
        low, high = bca(rows.mean(), draws, left_out, 0.95, 40)
        covered.append(low <= 1 <= high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_duplicates_widen_the_interval(classes, logits):
    """Every row four times over is no more evidence than once."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 100)
    once = logits(truth, 0.8, 2, rng)
    copies = np.repeat(np.arange(100), 4)
    task = classes()
    alone = resample({"m": Candidate(task, {"logits": once})}, truth, resamples=400)
    naive = resample({"m": Candidate(task, {"logits": once[copies]})}, truth[copies], resamples=400)
    honest = resample({"m": Candidate(task, {"logits": once[copies]})}, truth[copies], groups_N=copies, resamples=400)
    for score in ("accuracy", "macro_f1"):
        width = {name: d.interval("m", score).high - d.interval("m", score).low
                 for name, d in (("alone", alone), ("naive", naive), ("honest", honest))}
        assert width["naive"] < 0.65 * width["alone"]
        assert width["honest"] == pytest.approx(width["alone"], rel=0.2)


def test_draws_of_groups_take_whole_groups():
    groups = np.array([7, 1, 7, 3, 1, 7])
    members = Members.of(groups, 6)
    drawn = members.draw(np.random.default_rng(0))
    for group in (1, 3, 7):
        counts = {int((drawn == row).sum()) for row in np.flatnonzero(groups == group)}
        assert len(counts) == 1
    left = members.leave_out(np.random.default_rng(0))
    assert sorted(map(len, left)) == [3, 4, 5]


@pytest.mark.parametrize("grouped", [False, True])
def test_resamples_of_large_arrays_are_those_of_small_ones(classes, logits, monkeypatch, grouped):
    """To the last bit, whatever is drawn, picked and scored in pieces."""
    rng = np.random.default_rng(6)
    truth = rng.integers(0, 2, 700)
    candidate = Candidate(classes(), {"logits": logits(truth, 0.8, 2, rng)})
    groups = rng.integers(0, 300, 700) if grouped else None
    whole = resample({"m": candidate}, truth, groups_N=groups, resamples=60)
    small = ((arrays, "LARGE_BYTES"), (caches, "LARGE_BYTES"), (arrays, "PIECE_BYTES"), (arrays, "STRETCH_BYTES"))
    for module, name in small:
        monkeypatch.setattr(module, name, 512)
    cut = resample({"m": candidate}, truth, groups_N=groups, resamples=60)
    for score, value in whole.values["m"].items():
        assert cut.values["m"][score] == value
        assert np.array_equal(cut.draws_R["m"][score], whole.draws_R["m"][score])
        assert np.array_equal(cut.left_out_J["m"][score], whole.left_out_J["m"][score])
    assert cut.shares == whole.shares


def test_only_accuracy_is_a_share(classes, flags, numbers, logits):
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 90)
    task = classes(labels=tuple("abc"))
    assert shares(Candidate(task, {"logits": logits(truth, 0.7, 3, rng)}), truth) == {"accuracy"}
    perfect = np.eye(3)[truth] * 5
    assert shares(Candidate(task, {"logits": perfect}), truth) == {"accuracy"}
    many = rng.integers(0, 2, (90, 4))
    assert shares(Candidate(flags(), {"logits": rng.normal(size=(90, 4))}), many) == {"subset_accuracy"}
    assert shares(Candidate(numbers(), {"numbers": rng.normal(size=(90, 1))}), rng.normal(size=(90, 1))) == frozenset()


def test_a_perfect_score_is_not_certain(classes):
    truth = np.arange(30) % 3
    perfect = Candidate(classes(labels=tuple("abc")), {"logits": np.eye(3)[truth] * 9})
    draws = resample({"m": perfect}, truth, resamples=100)
    for score in ("accuracy", "macro_f1"):
        interval = draws.interval("m", score)
        assert interval.high == 1.0
        assert interval.low == pytest.approx(wilson(30, 30)[0])


def test_the_last_digit_of_a_sum_is_no_evidence(classes):
    """A score that some orders of the rows round one digit lower is as still as one that none does, and so is a difference."""

    class Rounded(classes):
        def score(self, outputs, truth):
            return {name: value - 2e-16 * (outputs["logits"][0, 0] > 0) for name, value in super().score(outputs, truth).items()}

    truth = np.arange(50) % 2
    perfect, constant = np.eye(2)[truth] * 9, np.ones((50, 2))
    kinds = {"perfect": (Rounded(), perfect), "exact": (classes(), perfect), "constant": (Rounded(), constant)}
    draws = resample({name: Candidate(task, {"logits": logits}) for name, (task, logits) in kinds.items()}, truth, resamples=100)
    assert draws.interval("perfect", "macro_f1").low == draws.interval("exact", "macro_f1").low == wilson(50, 50)[0]
    assert draws.interval("constant", "log_loss").method == "fixed"
    assert draws.difference("perfect", "exact", "macro_f1").as_json() == {"value": 0.0, "low": 0.0, "high": 0.0, "method": "fixed"}


@pytest.mark.parametrize("rows", [20, 50, 200])
def test_a_perfect_correlation_covers_too(classes, rows):
    """Of two equal classes an MCC of 1 is seen by chance where it truly is 2a - 1: seldom with a true value under its interval."""

    class Correlated(classes):
        def score(self, outputs, truth):
            return {"mcc": float(np.corrcoef(outputs["logits"].argmax(1), truth)[0, 1])}

    truth = np.arange(rows) % 2
    low = resample({"m": Candidate(Correlated(), {"logits": np.eye(2)[truth] * 9})}, truth, resamples=100).interval("m", "mcc").low
    right = np.linspace(0.5, 1, 2001)
    assert (right**rows)[2 * right - 1 < low].max() <= 0.05 and low > 2 * 0.5 - 1


def test_the_same_seed_gives_the_same_interval(classes, logits):
    rng = np.random.default_rng(8)
    truth = rng.integers(0, 2, 80)
    candidate = {"m": Candidate(classes(), {"logits": logits(truth, 0.8, 2, rng)})}
    one, same, other = (resample(candidate, truth, resamples=150, seed=s).interval("m", "macro_f1") for s in (1, 1, 2))
    assert one == same
    assert one != other


def test_slow_scores_get_fewer_resamples_and_say_so(classes, logits, monkeypatch):
    rng = np.random.default_rng(9)
    truth = rng.integers(0, 2, 50)
    candidate = {"m": Candidate(classes(), {"logits": logits(truth, 0.8, 2, rng)})}
    capped = resample(candidate, truth, resamples=1000, seconds=0.0)
    assert capped.capped
    assert capped.resamples == 100
    assert not resample(candidate, truth, resamples=120, seconds=60).capped


def test_a_score_that_is_not_defined_has_no_ends(classes, logits):
    class Undefined(classes):
        def score(self, outputs, truth):
            return {"auroc": float("nan"), "accuracy": 0.5}

    truth = np.zeros(20, dtype=np.int64)
    draws = resample({"m": Candidate(Undefined(), {"logits": np.zeros((20, 2))})}, truth, resamples=100)
    interval = draws.interval("m", "auroc")
    assert np.isnan([interval.low, interval.high]).all()
    assert interval.as_json() == {"value": None, "low": None, "high": None, "method": "bootstrap"}
