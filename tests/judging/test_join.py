"""Two runs are compared on the rows they share, each read by its own task."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunesmith.errors import RunError
from tunesmith.judging.join import compare_runs, judgement
from tunesmith.judging.looks import looks
from tunesmith.run import Run
from tunesmith.spec import Spec
from tunesmith.tasks.text_classification import TextClassification

WORDS = np.array(["bad", "fair", "good"])


@pytest.fixture
def finished(tmp_path, logits):
    """`finished(name, right)`: a run that judged rows whose true words are the same in every run."""

    def make(name, right, labels=("bad", "fair", "good"), first=0, rows=240, order=None):
        truth_words = WORDS[np.random.default_rng(0).integers(0, 3, 400)][first : first + rows]
        ids = np.arange(first, first + rows)
        order = np.arange(rows) if order is None else order
        truth_words, ids = truth_words[order], ids[order]
        truth = np.array([labels.index(word) for word in truth_words])
        raw = logits(truth, right, 3, np.random.default_rng(len(name)))
        return write(tmp_path / name, TextClassification(labels=labels), ids, truth, raw)

    def write(folder, task, ids, truth, raw):
        folder.mkdir()
        (folder / "spec.yaml").write_text(Spec().changed({"evaluate.resamples": 150, "evaluate.metric": "accuracy"}).dump())
        (folder / "task.json").write_text(json.dumps({"name": "text-classification", "values": task.as_json()}))
        pq.write_table(
            pa.table({
                "part": ["test"] * len(ids), "row_id": pa.array(ids.astype(np.uint64)), "place": [f"a.csv, row {i}" for i in ids],
                "truth": [[float(t)] for t in truth], "answer": [json.dumps(a) for a in task.answers({"logits": raw})],
                "raw:logits": list(raw.astype(np.float32)),
            }),
            folder / "predictions.parquet",
        )
        return Run(folder)

    return make


def test_a_better_run_is_found_on_the_shared_rows(finished):
    a, b = finished("a", 0.7), finished("bb", 0.9, first=40)
    found = compare_runs(a, b)
    assert (found["rows"], found["only_a"]) == (200, 40)
    assert found["word"] == "better"
    assert found["verdict"].startswith("bb is better than a: accuracy, b - a = 0.")
    accuracy = found["scores"]["accuracy"]
    assert accuracy["difference"]["value"] == pytest.approx(accuracy["b"]["value"] - accuracy["a"]["value"])
    assert accuracy["a"]["low"] < accuracy["a"]["value"] < accuracy["a"]["high"]
    assert found["mcnemar"]["only_ours"] > found["mcnemar"]["only_theirs"]
    assert found["flips"][0].keys() == {"place", "a", "b"}
    json.dumps(found, allow_nan=False)


def test_the_order_of_rows_and_of_labels_does_not_matter(finished):
    a = finished("a", 0.8)
    mixed = finished("b", 0.8, labels=("good", "bad", "fair"), order=np.random.default_rng(1).permutation(240))
    found = compare_runs(a, mixed)
    own = judgement(mixed)
    assert found["rows"] == 240
    assert found["scores"]["accuracy"]["b"]["value"] == pytest.approx(own.task.score(own.outputs, own.truth)["accuracy"])
    assert found["word"] == "not distinguishable"


def test_comparing_is_a_look_at_both(finished):
    a, b = finished("a", 0.8), finished("bb", 0.8)
    compare_runs(a, b)
    assert [entry["reason"] for entry in looks(a.path)] == ["compared with bb"]
    assert [entry["reason"] for entry in looks(b.path)] == ["compared with a"]


def test_runs_without_shared_rows_or_predictions_are_refused(finished):
    a, far = finished("a", 0.8, rows=50), finished("bb", 0.8, first=100, rows=50)
    with pytest.raises(RunError, match="0 shared rows"):
        compare_runs(a, far)
    (far.path / "predictions.parquet").unlink()
    with pytest.raises(RunError, match="tunesmith resume"):
        compare_runs(a, far)
