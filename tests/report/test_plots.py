"""Pictures put numbers where they belong."""

from __future__ import annotations

import re

import pytest

from tunesmith.report.plots import bar, confusion, ends, ladder_ends, loss_curve, reliability, score_curve
from tunesmith.report.svg import Frame, Scale, plain


def test_a_scale_keeps_numbers_within_its_ends():
    scale = Scale(0, 10, 100, 200)
    assert [scale(v) for v in (0, 5, 10, -3, 30)] == [100, 150, 200, 100, 200]
    assert Scale(1, 1, 0, 10)(1) == 5


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.84, 0.91), (-3, 7), (0, 12345), (1e-6, 2e-6), (-0.2, 0.0)])
def test_ticks_are_round_few_and_inside(low, high):
    ticks = Scale(low, high, 0, 100).ticks()
    assert 2 <= len(ticks) <= 8
    assert all(low - 1e-12 <= t <= high + 1e-12 for t in ticks)
    assert all(len(plain(t)) <= 9 for t in ticks)


def test_constant_numbers_still_have_an_axis():
    frame = Frame.of([1.0, 1.0], [0.0])
    assert frame.x.low < 1 < frame.x.high
    assert frame.y.low < 0 < frame.y.high


def test_a_bar_shows_value_and_interval_at_their_places():
    drawn = bar({"value": 0.5, "low": 0.25, "high": 0.75}, (0.0, 1.0))
    assert 'cx="50.0%"' in drawn
    assert 'x1="25.5%"' in drawn and 'x2="74.5%"' in drawn
    assert "0.500, interval 0.250–0.750" in drawn
    assert bar({"value": None, "low": None, "high": None}, (0.0, 1.0)) == ""
    assert "off the axis" in bar({"value": 0.1, "low": 0.1, "high": 0.1}, (0.5, 1.0))


def test_ends_hold_all_intervals():
    low, high = ends([{"value": 0.8, "low": 0.77, "high": 0.83}, {"value": 0.9, "low": 0.88, "high": 0.92}])
    assert low <= 0.77 and high >= 0.92
    assert ends([]) == (0.0, 1.0)
    assert ends([{"value": 1.0, "low": 0.99, "high": 1.0}])[1] == 1.0


def test_a_hopeless_rung_does_not_squeeze_the_others():
    scores = [{"value": v, "low": v, "high": v} for v in (0.01, 0.82, 0.85, 0.9)]
    assert ladder_ends(scores, higher=True)[0] >= 0.8
    near = [{"value": v, "low": v, "high": v} for v in (0.7, 0.82, 0.9)]
    assert ladder_ends(near, higher=True)[0] <= 0.7
    assert ladder_ends(scores, higher=False)[0] <= 0.01


def test_the_best_evaluation_is_named_in_both_directions():
    events = [{"event": "evaluated", "epoch": e, "stage": "tune", "scores": {"m": v}} for e, v in ((1, 0.5), (2, 0.9), (3, 0.7))]
    assert "chosen: 0.900" in score_curve(events, "m", True)
    assert "chosen: 0.500" in score_curve(events, "m", False)
    assert score_curve([], "m", True) == ""


def test_names_of_stages_that_begin_close_together_stand_above_each_other():
    begun = ((0, "probe"), (1, "tune"), (9, "blend"))
    events = [{"event": "evaluated", "epoch": at, "stage": name, "scores": {"m": at / 9}} for at, name in begun]
    lines = [float(y) for y in re.findall(r'y="([\d.]+)"[^>]*>(?:probe|tune|blend)<', score_curve(events, "m", True))]
    assert lines[0] > lines[1] + 10 and lines[2] == lines[0]


def test_curves_survive_nothing_and_nulls():
    assert loss_curve([]) == ""
    nulls = [{"event": "step", "epoch": i, "loss": None, "stage": "a"} for i in range(9)]
    assert loss_curve(nulls) == ""
    assert score_curve([{"event": "evaluated", "epoch": 1, "scores": {"m": None}}], "m", True) == ""
    assert reliability({}) == ""


def test_long_curves_stay_small():
    events = [{"event": "step", "epoch": i / 1e4, "loss": 1.0 + i % 7, "stage": "a"} for i in range(50_000)]
    assert len(loss_curve(events)) < 30_000


def test_the_matrix_has_a_cell_for_every_pair():
    drawn = confusion({"labels": ["a", "b", "c"], "counts": [[5, 1, 0], [0, 9, 0], [2, 0, 7]]})
    assert len(re.findall("<rect", drawn)) == 9
    assert "a answered as b: 1 rows" in drawn
    assert confusion({"labels": ["a"] * 77, "counts": None}) == ""
