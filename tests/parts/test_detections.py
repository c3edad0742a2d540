"""COCO's scores from counts of each image are pycocotools' to the last digit; doubles, thresholds and the order of answers."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from tunesmith.parts import detections


def scene(seed: int, classes: int, rows: int):
    """Random truth, crowds and an unknown class among it, and detections near it and elsewhere, many equally sure."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(rows):
        count = int(rng.integers(0, 6))
        low = rng.uniform(0, 60, (count, 2))
        box = np.concatenate([low, low + rng.uniform(5, 40, (count, 2))], 1)
        kind = rng.integers(0, classes + 1, count)
        truth.append({"boxes": box.tolist(), "classes": kind.tolist(), "crowds": (rng.random(count) < 0.15).tolist()})
        near = [[k % classes, 0, *(b + rng.normal(0, 3, 4))] for k, b in zip(kind, box) for _ in range(2)]
        far = [[rng.integers(classes), 0, *low_high] for low_high in np.cumsum(rng.uniform(1, 30, (4, 2, 2)), 1).reshape(4, 4)]
        made = np.array([*near, *far], np.float64)
        made[:, 1] = np.round(rng.random(len(made)), 1) + 0.01
        found.append(detections.filled(made))
    return np.stack(found), truth


def official(found_NK6, truth, classes: int) -> list[float]:
    evaluation = detections.judged(found_NK6, truth, classes)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"][..., 0, 0], evaluation.eval["recall"][..., 0, 0]
    mean = lambda a: a[a > -1].mean()  # noqa: E731
    return [mean(precision), mean(precision[0]), mean(precision[5]), mean(recall)]


@pytest.mark.parametrize("seed", range(8))
def test_scores_are_those_of_pycocotools_on_any_rows(seed):
    classes, rows = 1 + seed % 3, 12
    found_NK6, truth = scene(seed, classes, rows)
    counts = detections.condense({"detections": found_NK6}, truth, classes)
    assert list(detections.score(counts).values()) == pytest.approx(official(found_NK6, truth, classes), abs=1e-12)
    drawn = np.random.default_rng(seed).integers(0, rows, rows)
    again = {name: value[drawn] for name, value in counts.items()}
    wanted = official(found_NK6[drawn], [truth[row] for row in drawn], classes)
    assert list(detections.score(again).values()) == pytest.approx(wanted, abs=1e-12)


def test_the_truth_scores_one_and_nothing_scores_nothing():
    truth = [{"boxes": [[0, 0, 9, 9], [5, 5, 30, 40]], "classes": [0, 1], "crowds": [False, False]}]
    right = detections.filled(np.array([[0, 0.9, 0, 0, 9, 9], [1, 0.8, 5, 5, 30, 40]]))[None]
    scores = list(detections.score(detections.condense({"detections": right}, truth, 2)).values())
    assert scores == pytest.approx([1.0] * 4)
    assert set(detections.score(detections.condense({"detections": 0 * right}, truth, 2)).values()) == {0.0}
    none = detections.condense({"detections": right}, [{"boxes": [], "classes": [], "crowds": []}], 2)
    assert np.isnan(list(detections.score(none).values())).all()


def test_of_doubles_of_a_class_the_surest_stays():
    found = np.array([[0, 0.5, 0, 0, 10, 10], [0, 0.9, 1, 0, 11, 10], [1, 0.4, 0, 0, 10, 10], [0, 0.3, 50, 50, 60, 60], [0, 0, 0, 0, 9, 9]])
    assert detections.distinct(found, 0.6).tolist() == [False, True, True, True, False]


def test_the_threshold_is_where_f1_is_best():
    counts = {
        "found": np.array([[[0, 0.9], [0, 0.7], [0, 0.2]]]), "true": np.array([[2, 0]]),
        "hit": np.array([[[1], [1], [0]]], np.int8).repeat(10, 2),
    }
    assert 0.2 < detections.threshold(counts) <= 0.7
    counts["hit"][:] = 0
    assert detections.threshold(counts) == detections.SURE


def test_what_training_images_say_of_a_model_that_finds_nothing_parts_three_faults():
    truth = [{"boxes": [[10.0, 10, 50, 50]], "classes": [0], "crowds": [False]}] * 4
    ways = {"knows": [0, 0.9, 10, 10, 50, 50], "names": [1, 0.9, 10, 10, 50, 50], "nothing": [0, 0.9, 80, 80, 99, 99]}
    told = {}
    for name, one in ways.items():
        outputs = {"detections": np.stack([detections.filled(np.array([one], np.float64))] * 4)}
        scores = detections.score(detections.condense(outputs, truth, 2))
        assert detections.astray(scores) == (name != "knows")
        told[name] = detections.by_heart(scores, detections.nearest(outputs, truth), 4, 1200)
    assert "learned these" in told["knows"] and "labels fit the boxes" in told["names"] and "overlaps a true one by 1.00" in told["names"]
    assert "has not learned its own training images" in told["nothing"] and "1,200 were taken" in told["nothing"]
    bare = {"detections": np.zeros((4, detections.MOST, 6), np.float32)}
    assert detections.nearest(bare, truth) == 0 and np.isnan(detections.nearest(bare, [{"boxes": []}] * 4))


def test_another_order_of_answers_is_brought_back():
    here = detections.filled(np.random.default_rng(0).uniform(0, 50, (7, 6)))
    there = here[np.random.default_rng(1).permutation(len(here))] + 1e-6
    assert np.allclose(detections.paired(here, there), here, atol=1e-5)


def test_grades_count_what_is_answered():
    found_NK6, truth = scene(3, 2, 10)
    counts = detections.condense({"detections": found_NK6}, truth, 2)
    graded = detections.grade(counts, ("a", "b"), 0.5)
    hit, told, true = graded.counts_NK3.sum((0, 1))
    assert hit <= min(told, true) and told == sum(len(detections.answer(f, ("a", "b"), 0.5)["boxes"]) for f in found_NK6) - int(
        ((counts["hit"][:, :, 0] < 0) & (counts["found"][:, :, 1] >= 0.5)).sum()
    )
    assert len(graded.pieces.sure_M) == told and ((graded.loss_N >= 0) & (graded.loss_N <= 1)).all()
