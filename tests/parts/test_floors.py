"""The classical baselines reach what a simple model was measured to reach on real data (the sets' own README)."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from tunesmith.parts import bags, classes, numbers

pytestmark = pytest.mark.real


def _tsv(path: Path) -> list[list[str]]:
    text = gzip.open(path, "rt", encoding="utf-8").read() if path.suffix == ".gz" else path.read_text("utf-8")
    return [line.split("\t") for line in text.splitlines()]


def test_sst2(shared: Path) -> None:
    folder = shared / "text_classification/sst2/data/SST2"
    train, test = _tsv(folder / "train.tsv.gz"), _tsv(folder / "test.tsv")
    labels = classes.vocabulary(row[1] for row in train)
    class_N, truth = (classes.encode([row[1] for row in rows], labels) for rows in (train, test))
    outputs = bags.class_outputs(([row[0] for row in train], None), class_N, 2, ([row[0] for row in test], None))
    found = classes.score(outputs, truth)
    assert found["accuracy"] >= 0.824 and found["ece"] < 0.06


def test_stsb_by_overlap(shared: Path) -> None:
    folder = shared / "text_regression/stsb/data"
    train = list(csv.reader(gzip.open(folder / "stsb-en-train.csv.gz", "rt", encoding="utf-8")))
    with (folder / "stsb-en-test.csv").open(encoding="utf-8") as file:
        test = list(csv.reader(file))
    pairs = [([row[0] for row in rows], [row[1] for row in rows]) for rows in (train, test)]
    target_NC, truth = (np.array([[float(row[2])] for row in rows]) for rows in (train, test))
    assert numbers.score(bags.overlap_number_outputs(pairs[0], target_NC, pairs[1]), truth)["spearman"] >= 0.705
