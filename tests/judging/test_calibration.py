"""Honest confidences pass, inflated ones are caught."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.judging.calibration import ece, reliability, report
from tunesmith.judging.view import view


def _honest(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Logits of two classes and truths that come true just as often as the logits say."""
    logits = rng.normal(size=(rows, 2)) * 1.5
    p = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    return logits, (rng.random(rows) < p).astype(np.int64)


def test_honest_confidences_are_believed_nearly_always(classes):
    believed = []
    for i in range(60):
        logits, truth = _honest(300, np.random.default_rng(i))
        found = report(view(classes(), {"logits": logits}, truth), resamples=100)
        believed.append(found["after"]["value"] <= found["chance"])
    assert np.mean(believed) >= 0.85  # 95 % expected; the standard error of 60 trials is .03


def test_inflated_confidences_are_caught_and_a_temperature_mends_them(classes):
    logits, truth = _honest(1500, np.random.default_rng(1))
    inflated = {"logits": logits * 4}
    found = report(view(classes(), inflated, truth), resamples=100)
    assert "too sure of itself" in found["verdict"]
    mended = report(view(classes(temperature=4.0), inflated, truth), resamples=100)
    assert "at their word" in mended["verdict"]
    assert mended["before"]["value"] == pytest.approx(found["after"]["value"])
    assert mended["after"]["high"] < mended["before"]["low"]


def test_timid_confidences_are_called_timid(classes):
    logits, truth = _honest(1500, np.random.default_rng(2))
    assert "not sure enough" in report(view(classes(), {"logits": logits / 5}, truth), resamples=100)["verdict"]


def test_bins_hold_every_row_and_equal_mass(classes):
    logits, truth = _honest(333, np.random.default_rng(3))
    bins = report(view(classes(), {"logits": logits}, truth), resamples=50)["bins"]
    counts = [one["count"] for one in bins]
    assert sum(counts) == 333
    assert max(counts) - min(counts) <= 1
    assert all(one["low"] <= one["share"] <= one["high"] for one in bins)


def test_ece_of_a_known_gap():
    """Ninety percent promised, sixty percent came, in every bin."""
    promised = np.full(1000, 0.9)
    came = np.tile([1, 1, 1, 0, 0], 200).astype(float)
    assert ece(promised, came) == pytest.approx(0.3, abs=0.01)


def test_flags_judge_every_label_of_every_row(flags):
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(200, 3))
    truth = (rng.random((200, 3)) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    found = report(view(flags(labels=tuple("abc")), {"logits": logits}, truth), resamples=100)
    assert sum(one["count"] for one in found["bins"]) == 600
    assert "at their word" in found["verdict"]


def test_few_rows_make_few_bins(classes):
    logits, truth = _honest(25, np.random.default_rng(5))
    of = view(classes(), {"logits": logits}, truth)
    from tunesmith.judging.calibration import confidences

    assert len(reliability(confidences(of))) == 1
