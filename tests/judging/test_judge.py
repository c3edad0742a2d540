"""The report's content: JSON-able, whole, and true to what was planted."""

from __future__ import annotations

import json
import typing

import numpy as np
import pytest

from tunesmith.judging.judge import How, Judged, judge, scores
from tunesmith.judging.schema import Report


@pytest.fixture
def rows(table):
    def make(count, seed=0):
        rng = np.random.default_rng(seed)
        return table({"text": [f"text {i} " * int(rng.integers(1, 9)) for i in range(count)], "label": ["?"] * count})

    return make


def _judged(classes, rows, logits, right=0.9, simple=0.7, count=300):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, count)
    task = classes(labels=("a", "b", "c"))
    test = Judged(rows(count), {"logits": logits(truth, right, 3, rng)}, truth)
    prior = np.zeros((count, 3))
    prior[:, 0] = 1
    baselines = {"majority": {"logits": prior}, "tfidf": {"logits": logits(truth, simple, 3, rng)}}
    return task, {"test": test, "validation": test}, baselines


def test_a_better_model_is_called_better(classes, rows, logits):
    task, parts, baselines = _judged(classes, rows, logits)
    report = judge(task, parts, baselines, how=How(resamples=200))
    assert report["verdict"]["word"] == "better"
    assert report["verdict"]["against"] == "tfidf"
    assert report["sentence"].startswith("macro-F1 0.9")
    assert report["sentence"].endswith("the gain is real.")
    assert [rung["name"] for rung in report["ladder"]] == ["majority", "tfidf", "tuned"]
    assert report["ladder"][1]["comparison"]["mcnemar"]["p"] < 0.05


def test_an_equal_model_gets_no_claim(classes, rows, logits):
    task, parts, baselines = _judged(classes, rows, logits, right=0.82, simple=0.82)
    report = judge(task, parts, baselines, how=How(resamples=200))
    assert report["verdict"]["word"] == "not distinguishable"
    assert "no gain can be claimed" in report["sentence"]


def test_a_worse_model_is_called_worse_and_the_better_one_named(classes, rows, logits):
    task, parts, baselines = _judged(classes, rows, logits, right=0.6, simple=0.9)
    report = judge(task, parts, baselines, how=How(resamples=200))
    assert report["verdict"]["word"] == "worse"
    assert "use TF-IDF + linear instead" in report["sentence"]


@pytest.mark.parametrize(("strategy", "advised"), [("full", True), ("lora", True), ("probe-then-tune", False), ("head-only", False)])
@pytest.mark.parametrize("strongest", [True, False])
def test_a_probe_that_is_better_than_the_tuned_model_is_named(classes, rows, logits, strategy, advised, strongest):
    """Whether or not it is the strongest, and with the way to it where a strategy was asked for that leaves it behind."""
    task, parts, baselines = _judged(classes, rows, logits, right=0.6, simple=0.7 if strongest else 0.95)
    truth = parts["test"].truth
    probe = {"logits": logits(truth, 0.85, 3, np.random.default_rng(5))}
    report = judge(task, parts, baselines, probe, how=How(resamples=100, strategy=strategy))
    value = next(rung for rung in report["ladder"] if rung["name"] == "probe")["scores"]["macro_f1"]["value"]
    assert ("frozen encoder + linear" if strongest else f"linear head has {value:.3f}") in report["sentence"]
    assert ("--strategy probe-then-tune" in report["sentence"]) == advised
    weak = {"logits": logits(truth, 0.4, 3, np.random.default_rng(5))}
    worse = judge(task, parts, baselines, weak, how=How(resamples=100, strategy=strategy))
    assert "linear head" not in worse["sentence"] and "--strategy" not in worse["sentence"]


def test_without_baselines_nothing_is_claimed(classes, rows, logits):
    task, parts, _ = _judged(classes, rows, logits)
    report = judge(task, parts, how=How(resamples=100))
    assert report["verdict"]["word"] == "no baseline"
    assert report["power"] is None


def test_of_a_model_that_never_differs_nothing_is_said_of_differences(classes, rows, logits):
    task, parts, _ = _judged(classes, rows, logits)
    report = judge(task, parts, {"tfidf": dict(parts["test"].outputs)}, how=How(resamples=100))
    assert report["verdict"]["word"] == "not distinguishable" and report["power"] is None


def test_every_key_of_the_schema_is_there_and_json_has_no_nan(classes, rows, logits):
    task, parts, baselines = _judged(classes, rows, logits)
    report = judge(task, parts, baselines, probe=baselines["tfidf"], how=How(resamples=100))
    assert set(report) == set(typing.get_type_hints(Report))
    json.dumps(report, allow_nan=False)
    assert [rung["name"] for rung in report["ladder"]].count("probe") == 1


def test_scores_without_the_leaked_rows_stand_beside(classes, rows, logits):
    """The leaked rows are all right, the others half right: the score without them is the honest one."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 200)
    raw = logits(truth, 0.5, 2, rng)
    raw[:80] = np.eye(2)[truth[:80]] * 5
    test = Judged(rows(200), {"logits": raw}, truth)
    report = judge(classes(), {"test": test}, leaked=np.arange(80), how=How(resamples=100))
    clean = report["parts"]["test without leaked rows"]
    assert clean["rows"] == 120
    assert clean["scores"]["accuracy"]["value"] < 0.65 < report["parts"]["test"]["scores"]["accuracy"]["value"]
    assert report["leaked"] == 80


def test_flags_and_numbers_get_their_own_pictures(flags, numbers, rows):
    rng = np.random.default_rng(2)
    raw = rng.normal(size=(120, 4))
    truth = (raw + rng.normal(size=raw.shape) > 0).astype(np.int64)
    test = Judged(rows(120), {"logits": raw}, truth)
    many = judge(flags(labels=tuple("abcd")), {"test": test}, how=How(resamples=100))
    assert many["kind"] == "flags"
    assert len(many["per_label"]) == 4
    assert many["confusion"] is None
    price = rng.normal(size=(120, 1)) * 30 + 100
    given = {"numbers": price + rng.normal(size=price.shape) * 10}
    one = judge(numbers(), {"test": Judged(rows(120), given, price)}, how=How(resamples=100))
    assert one["kind"] == "numbers"
    assert one["calibration"] is None
    assert one["numbers"][0]["slope"] == pytest.approx(0.9, abs=0.15)
    assert len(one["numbers"][0]["points"]) == 120


def test_outputs_of_an_unforeseen_shape_are_reported_by_their_scores(classes, rows):
    class Spans(classes):
        def score(self, outputs, truth):
            return {"f1": float((outputs["start"].argmax(1) == truth[:, 0]).mean())}

    rng = np.random.default_rng(3)
    truth = rng.integers(0, 5, (60, 2))
    test = Judged(rows(60), {"start": rng.normal(size=(60, 5))}, truth)
    report = judge(Spans(), {"test": test}, how=How(resamples=100))
    assert report["kind"] == "other"
    assert report["parts"]["test"]["scores"]["f1"]["low"] is not None
    assert report["worst"] == []


def test_worst_rows_are_wrong_rows_with_raw_text(classes, table, logits):
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 2, 50)
    raw = logits(truth, 1.0, 2, rng)
    raw[7] = raw[7][::-1] * 3
    texts = ["fine"] * 50
    texts[7] = "<script>alert(1)</script>"
    report = judge(classes(), {"test": Judged(table({"text": texts, "label": ["?"] * 50}), {"logits": raw}, truth)})
    assert len(report["worst"]) == 1
    assert report["worst"][0]["inputs"] == {"text": "<script>alert(1)</script>"}
    assert report["worst"][0]["place"] == "rows.csv, row 8"
    assert all(example["right"] for example in report["right"])


def test_the_confusion_counts_are_the_rows(classes, rows, logits):
    task, parts, _ = _judged(classes, rows, logits)
    report = judge(task, parts, how=How(resamples=100))
    counts = np.array(report["confusion"]["counts"])
    assert counts.sum() == 300
    assert report["confusion"]["pairs"][0]["count"] == (counts - np.diag(np.diag(counts))).max()
    assert sum(one["support"] for one in report["per_label"]) == 300


def test_without_test_rows_there_is_no_score_and_the_report_says_so(classes, rows, logits):
    task, parts, _ = _judged(classes, rows, logits)
    none = Judged(rows(1), {"logits": np.zeros((0, 3))}, np.zeros(0, dtype=np.int64))
    report = judge(task, parts | {"test": none}, how=How(resamples=100))
    assert set(report) == set(typing.get_type_hints(Report))
    assert report["parts"]["test"]["scores"]["macro_f1"]["value"] is None
    assert report["parts"]["validation"]["scores"]["macro_f1"]["value"] > 0.8
    assert report["sentence"].startswith("There are no test rows.")
    json.dumps(report, allow_nan=False)


def test_scores_of_another_file(classes, rows, logits):
    task, parts, _ = _judged(classes, rows, logits)
    part = scores(task, parts["test"], How(resamples=100))
    assert part["rows"] == 300
    assert list(part["scores"]) == ["macro_f1", "accuracy", "log_loss"]


def test_rows_that_the_task_grades_are_compared_and_shown(classes, rows):
    """Condensed outputs are for scores alone: views are made from what the models said."""
    from tunesmith.task import Graded, Mark

    class Spans(classes):
        directions = {"exact": True}

        def condense(self, outputs, truth):
            return {"exact": np.array([a == b for a, b in zip(outputs["words"], truth)], float)}

        def score(self, outputs, truth):
            return {"exact": float((outputs if "exact" in outputs else self.condense(outputs, truth))["exact"].mean())}

        def pictured(self, outputs, truth, rows):
            return [{"answer": "data:image/png;base64,", "truth": ""} for _ in rows]

        def grade(self, outputs, truth):
            right_N = np.array([a == b for a, b in zip(outputs["words"], truth)])
            sure_N = np.where(right_N, 0.9, 0.2)
            marks = [[Mark("text", 0, 2, "truth")] for _ in truth]
            return Graded(list(truth), list(outputs["words"]), right_N, 1 - sure_N, sure_N, sure_N, marks)

    truth = np.array(["one", "two", "two"] * 20, object)
    good, bad = ({"words": np.array(words * 20, object)} for words in (["one", "two", "one"], ["two", "one", "two"]))
    found = judge(Spans(), {"test": Judged(rows(60), good, truth)}, {"other": bad})
    assert found["kind"] == "texts" and found["ladder"][0]["comparison"]["mcnemar"] is not None
    assert found["overall"] == pytest.approx(2 / 3) and found["calibration"] is not None
    assert found["worst"][0]["truth"] == "two" and found["worst"][0]["marks"] == {"text": [[0, 2, "truth", ""]]}
    assert {one["pictures"]["answer"] for one in found["worst"]} == {"data:image/png;base64,"}
    assert "truth" not in found["worst"][0]["pictures"]
    assert json.dumps(found)
