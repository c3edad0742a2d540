"""A few lines that say what the page says."""

from __future__ import annotations

import json

import pytest

from tunesmith.judging import words
from tunesmith.report.text import beware, fragment, summary, table


def _report(run):
    return json.loads((run / "report.json").read_text())


@pytest.mark.parametrize("kind", ["binary", "many", "multilabel", "regression", "two-numbers"])
def test_the_summary_holds_every_score_and_fits_a_terminal(make_run, kind):
    report = _report(make_run(kind))
    lines = summary(report).splitlines()
    assert lines[0] == report["sentence"]
    assert sum(line.startswith("  ") for line in lines) == len(report["ladder"]) + len(report["parts"]["test"]["scores"])
    assert all(len(line) <= 110 for line in lines if line.startswith("  "))
    assert all(char.isprintable() for line in lines for char in line)


def test_leaks_looks_and_weak_slices_are_said(make_run):
    report = _report(make_run("binary")) | {"looks": 3}
    report["slices"][0] |= {"clear": True, "by": "channel", "value": "shop"}
    sentences = " ".join(beware(report))
    assert "9 test rows have duplicates among the training rows; without them macro-F1 is" in sentences
    assert "looked at 3 times" in sentences
    assert "Weak where channel is shop" in sentences


def test_the_table_is_the_ladder(make_run):
    rows = table(_report(make_run("binary")))
    assert [row[0] for row in rows] == ["Majority label", "TF-IDF + linear", "Frozen encoder + linear", "Tuned model"]
    assert rows[-1][2] == "this run"


def test_the_notebook_fragment_is_safe(make_run):
    report = _report(make_run("binary")) | {"sentence": "<script>alert(1)</script>\u202e"}
    html = fragment(report)
    assert "<script>" not in html
    assert "\u202e" not in html
    assert html.startswith('<div class="tunesmith">') and html.endswith("</div>")


def test_a_score_without_an_interval_says_so_and_why(make_run):
    report = _report(make_run("binary"))
    scores = report["parts"]["test"]["scores"]
    assert words.UNMOVED not in summary(report) and "no interval" not in summary(report)
    last = list(scores)[-1]
    scores[last] = {"value": 0.5, "low": 0.5, "high": 0.5, "method": "fixed"}
    assert "0.500 (no interval)" in summary(report) and words.UNMOVED in summary(report)
