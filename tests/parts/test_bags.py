"""Classical baselines learn what is there to learn, and survive what is not."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.parts import bags, classes, flags, languages, numbers

GOOD, BAD = ["lovely calm film", "a great book", "we loved it", "fine room"], ["dull film", "an awful book", "we hated it", "cold room"]


def _reviews(rows: int) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(rows)
    class_N = rng.integers(0, 2, rows)
    return [rng.choice(GOOD if c else BAD) + " " + rng.choice(["today", "again", "here"]) for c in class_N], class_N


@pytest.mark.parametrize("rows", [40, 300])
def test_one_label(rows: int) -> None:
    texts, class_N = _reviews(rows)
    more, truth = _reviews(50)
    outputs = bags.class_outputs((texts, None), class_N, 2, (more, None))
    assert outputs["logits"].shape == (50, 2)
    assert classes.score(outputs, truth, temperature=7.0)["macro_f1"] > 0.9


def test_labels_without_rows_and_unknown_rows() -> None:
    texts, class_N = _reviews(200)
    outputs = bags.class_outputs((texts, None), np.where(np.arange(200) % 7, class_N, -1), 5, (texts, None))
    assert outputs["logits"].shape == (200, 5) and np.isfinite(outputs["logits"]).all()
    assert classes.decide(classes.probabilities(outputs)).max() <= 1


def test_chinese_is_read_by_characters() -> None:
    assert languages.spaceless(["这部电影非常好看", "very good"]) and not languages.spaceless(["a good film", "好"])
    texts = ["这部电影非常好看", "那本书太糟糕了", "电影好看极了", "服务糟糕透顶"] * 40
    outputs = bags.class_outputs((texts, None), np.array([1, 0, 1, 0] * 40), 2, (["真好看", "真糟糕"], None))
    assert classes.decide(classes.probabilities(outputs)).tolist() == [1, 0]


def test_any_labels_have_thresholds_of_their_own() -> None:
    rng = np.random.default_rng(0)
    flags_NC = (rng.random((400, 3)) < [0.5, 0.3, 0.0]).astype(np.int8)
    texts = [" ".join(w for w, on in zip(("film", "meal", "-"), row) if on) + " so it was" for row in flags_NC]
    outputs = bags.flag_outputs((texts, None), flags_NC, (texts, None))
    assert outputs["threshold"].shape == (400, 3)
    assert flags.score(outputs, flags_NC, temperature=9.0, thresholds=(0.999,) * 3)["micro_f1"] > 0.98


def test_numbers_and_missing_targets() -> None:
    rng = np.random.default_rng(1)
    marks = {"great": 2.0, "fine": 0.0, "poor": -2.0}
    words = rng.choice(list(marks), (300, 2))
    truth = np.array([[marks[a] + marks[b], marks[a]] for a, b in words])
    texts = [f"a {a} film and b {b} meal" for a, b in words]
    broken = truth.copy()
    broken[::3, 0] = np.nan
    found = numbers.per_target(bags.number_outputs((texts, None), broken, (texts, None)), truth, ["both", "first"])
    assert found[0]["r2"] > 0.95 and found[1]["r2"] > 0.9


def test_pairs_by_what_they_share() -> None:
    rng = np.random.default_rng(2)
    words = np.array("film book meal room plot red blue one two three".split())
    ones = [" ".join(rng.choice(words, 4, replace=False)) for _ in range(400)]
    class_N = rng.integers(0, 2, 400)
    others = [one if same else " ".join(rng.choice(words, 4, replace=False)) for one, same in zip(ones, class_N)]
    pair = (ones, others)
    half = tuple(side[:200] for side in pair), tuple(side[200:] for side in pair)
    outputs = bags.overlap_class_outputs(half[0], class_N[:200], 2, half[1])
    assert classes.score(outputs, class_N[200:])["accuracy"] > 0.9
    given = bags.overlap_number_outputs(half[0], class_N[:200, None].astype(float), half[1])
    assert numbers.score(given, class_N[200:, None].astype(float))["r2"] > 0.6


@pytest.mark.parametrize("texts", [["", ""], ["!!", "??"], [None, "  "]])
def test_texts_without_words(texts: list[str]) -> None:
    train = (texts * 10, None)
    assert np.isfinite(bags.class_outputs(train, np.array([0, 1] * 10), 2, (texts, None))["logits"]).all()
    assert np.isfinite(bags.flag_outputs(train, np.eye(2, dtype=np.int8).repeat(10, 0), (texts, None))["logits"]).all()
    assert np.isfinite(bags.number_outputs(train, np.arange(20.0)[:, None], (texts, None))["numbers"]).all()
    pairs = (texts * 10, texts * 10), (texts, texts)
    assert np.isfinite(bags.overlap_class_outputs(pairs[0], np.array([0, 1] * 10), 2, pairs[1])["logits"]).all()


def test_the_same_twice() -> None:
    texts, class_N = _reviews(150)
    first, second = (bags.class_outputs((texts, None), class_N, 2, (texts, None))["logits"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_one_class_is_answered_by_its_share() -> None:
    outputs = bags.class_outputs((["a", "b"], None), np.array([1, 1]), 2, (["c"], None))
    assert classes.decide(classes.probabilities(outputs)).tolist() == [1]
