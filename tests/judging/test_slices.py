"""Slices find the planted weakness and raise no alarm where there is none."""

from __future__ import annotations

import numpy as np

from tunesmith.judging.slices import slices
from tunesmith.judging.view import view


def _rows(table, rng, count=400):
    return table({
        "text": ["word " * int(n) for n in rng.integers(1, 60, count)], "label": ["x"] * count,
        "channel": rng.choice(["mail", "phone", "shop"], count).tolist(), "id": [str(i) for i in range(count)],
        "weight": rng.normal(size=count).tolist(),
    })


def test_a_planted_weakness_comes_first_and_is_clear(classes, table, logits):
    rng = np.random.default_rng(0)
    rows = _rows(table, rng)
    truth = rng.integers(0, 2, 400)
    phone = np.array(list(rows.each("channel"))) == "phone"
    raw = np.where(phone[:, None], logits(truth, 0.6, 2, rng), logits(truth, 0.95, 2, rng))
    found = slices(view(classes(), {"logits": raw}, truth), rows, ["text"], ["label"])
    assert (found[0]["by"], found[0]["value"], found[0]["clear"]) == ("channel", "phone", True)
    assert not any(one["clear"] for one in found if one["by"] == "length")
    assert {one["by"] for one in found} == {"channel", "length", "true label"}  # no ids, no numbers
    assert found == sorted(found, key=lambda one: one["high"])


def test_no_alarm_where_all_slices_are_alike(classes, table, logits):
    alarms = 0
    for i in range(40):
        rng = np.random.default_rng(i)
        rows, truth = _rows(table, rng), rng.integers(0, 2, 400)
        found = slices(view(classes(), {"logits": logits(truth, 0.8, 2, rng)}, truth), rows, ["text"], ["label"])
        alarms += any(one["clear"] for one in found)
    assert alarms <= 6  # 5 % of 40 is 2; six has a chance under 1 %


def test_small_groups_are_not_judged(classes, table):
    rows = table({"text": ["a"] * 60, "kind": ["rare"] * 5 + ["common"] * 55})
    truth = np.arange(60) % 2
    found = slices(view(classes(), {"logits": np.eye(2)[truth]}, truth), rows, ["text"], ["label"])
    assert all(one["rows"] >= 20 for one in found)
    assert not any(one["by"] == "kind" for one in found)


def test_numbers_are_sliced_by_error(numbers, table):
    rng = np.random.default_rng(1)
    rows, truth = _rows(table, rng), rng.normal(size=(400, 1))
    shop = np.array(list(rows.each("channel"))) == "shop"
    given = truth + rng.normal(size=(400, 1)) * np.where(shop[:, None], 1.5, 0.2)
    found = slices(view(numbers(), {"numbers": given}, truth), rows, ["text"], ["price"])
    assert (found[0]["value"], found[0]["clear"]) == ("shop", True)
