"""Claims of "better" are true claims."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.judging import words
from tunesmith.judging.compare import compare, flips, mcnemar, rank
from tunesmith.judging.intervals import Candidate


def test_two_equal_models_are_seldom_called_different(classes, logits):
    """A/A: 200 pairs of equally good models; false claims at most 5 %, plus two standard errors of 200 trials."""
    task, claims = classes(labels=tuple("abc")), 0
    for i in range(200):
        rng = np.random.default_rng(i)
        truth = rng.integers(0, 3, 60)
        pair = [Candidate(task, {"logits": logits(truth, 0.8, 3, rng)}) for _ in range(2)]
        claims += compare(*pair, truth, score="macro_f1", resamples=100, seed=i).verdict != "not distinguishable"
    assert claims <= 200 * 0.05 + 2 * np.sqrt(200 * 0.05 * 0.95)


def test_a_real_gain_is_found_and_has_a_direction(classes, logits):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    task = classes(labels=tuple("abc"))
    good, bad = (Candidate(task, {"logits": logits(truth, right, 3, rng)}) for right in (0.9, 0.75))
    found = compare(good, bad, truth, score="macro_f1", resamples=200)
    assert found.verdict == "better"
    assert found.p <= 0.01
    assert found.difference.low > 0
    assert compare(bad, good, truth, score="macro_f1", resamples=200).verdict == "worse"
    loss = compare(good, bad, truth, score="log_loss", higher=False, resamples=200)
    assert loss.verdict == "better"
    assert loss.difference.high < 0


def test_a_model_against_itself(classes, logits):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 50)
    same = Candidate(classes(), {"logits": logits(truth, 0.8, 2, rng)})
    found = compare(same, same, truth, score="accuracy", resamples=100)
    assert found.verdict == "not distinguishable"
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)


def test_pairing_sees_what_separate_intervals_do_not(classes, logits):
    """B repeats A's answers but for ten rows that it mends: a small, certain gain."""
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 300)
    task = classes()
    before = logits(truth, 0.8, 2, rng)
    wrong = np.flatnonzero(before.argmax(1) != truth)[:12]
    after = before.copy()
    after[wrong] = after[wrong][:, ::-1]
    found = compare(Candidate(task, {"logits": after}), Candidate(task, {"logits": before}), truth, score="accuracy")
    assert found.verdict == "better"


def test_copies_of_rows_are_no_new_evidence(classes, logits):
    """Twenty rows, fifty copies each: a chance difference that looks certain row by row."""
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 2, 20)
    task = classes()
    a, b = (logits(truth, right, 2, rng) for right in (0.85, 0.7))
    copies = np.repeat(np.arange(20), 50)
    pair = Candidate(task, {"logits": a[copies]}), Candidate(task, {"logits": b[copies]})
    naive = compare(*pair, truth[copies], score="accuracy", resamples=200)
    honest = compare(*pair, truth[copies], score="accuracy", groups_N=copies, resamples=200)
    assert naive.verdict != "not distinguishable"
    assert honest.verdict == "not distinguishable"


def test_models_read_with_other_thresholds_are_not_swapped(classes, logits):
    """A task whose score depends on its own temperature: the p value comes from the bootstrap."""
    rng = np.random.default_rng(6)
    truth = rng.integers(0, 2, 300)
    raw = logits(truth, 0.8, 2, rng, size=6.0)
    sharp, soft = Candidate(classes(), {"logits": raw}), Candidate(classes(temperature=4.0), {"logits": raw})
    found = compare(soft, sharp, truth, score="log_loss", higher=False, resamples=200)
    assert found.verdict == "better"
    assert found.p == pytest.approx(2 / 201)


def test_mcnemar_is_exact():
    ours, theirs = np.array([True] * 9 + [False] * 1 + [True] * 5), np.array([False] * 9 + [True] * 1 + [True] * 5)
    found = mcnemar(ours, theirs)
    assert (found.only_ours, found.only_theirs) == (9, 1)
    assert found.p == pytest.approx(2 * 11 / 2**10)
    assert mcnemar(ours, ours).p == 1.0


def test_flips_name_the_rows():
    before, after = np.array([True, False, True, False]), np.array([True, True, False, False])
    found = flips(before, after)
    assert found["mended"].tolist() == [1]
    assert found["broken"].tolist() == [2]


def test_what_is_not_a_number_ranks_last():
    assert sorted([0.3, float("nan"), 0.5], key=lambda value: rank(value, True))[1:] == [0.3, 0.5]
    assert sorted([0.3, float("nan"), 0.5], key=lambda value: rank(value, False))[1:] == [0.5, 0.3]


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.4), (-0.385, -0.039)])
@pytest.mark.parametrize("higher", [True, False])
def test_an_interval_that_the_test_does_not_confirm_is_said_to_be_one(low, high, higher):
    """Never "may be chance" beside an interval without zero; and where it holds zero, no test is spoken of."""
    found = {"score": "macro_f1", "ours": 0.5, "theirs": 0.5, "verdict": "not distinguishable", "p": 0.07,
             "difference": {"value": (low + high) / 2, "low": low, "high": high}}
    said = words.gain("macro_f1", "TF-IDF", found, higher)
    assert "may be chance" not in said and "(p = 0.070) does not confirm it" in said and "can be claimed" in said
    assert "(p = 0.070)" in words.sharing("intent", found, higher)
    found["difference"] |= {"low": -0.5, "high": 0.5}
    assert not words.unconfirmed(found) and "may be chance" in words.gain("macro_f1", "TF-IDF", found, higher)
    assert not words.unconfirmed(found | {"verdict": "better", "difference": {"value": 0.2, "low": 0.1, "high": 0.3}})
