"""Scores are seqeval's strict ones, decoding is the best sequence that can be read, probabilities are probabilities."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parts.test_tags import span_rows
from tunesmith.data.arrays import objects
from tunesmith.parts import entities, tags

TYPES = ("LOC", "PER", "creative-work")


def _known(found: list[tags.Span]) -> list[tags.Span]:
    return [(start, end, kind if kind in TYPES else "LOC") for start, end, kind in found]


@pytest.fixture(scope="module")
def strict() -> Callable[[Any, Any], dict[str, float]]:
    """The scores of seqeval's strict mode."""
    metrics, scheme = pytest.importorskip("seqeval.metrics"), pytest.importorskip("seqeval.scheme")

    def scores(true: list[list[str]], answered: list[list[str]]) -> dict[str, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = metrics.classification_report(
                true, answered, mode="strict", scheme=scheme.IOB2, output_dict=True, zero_division=0
            ) if any(tag != "O" for row in [*true, *answered] for tag in row) else None
            return {
                "entity_f1": report["micro avg"]["f1-score"] if report else 0.0,
                "precision": report["micro avg"]["precision"] if report else 0.0,
                "recall": report["micro avg"]["recall"] if report else 0.0,
                "macro_f1": report["macro avg"]["f1-score"] if report else 0.0,
                "token_accuracy": metrics.accuracy_score(true, answered),
            }

    return scores


def _outputs(rows: list[tuple[list[tags.Span], int]]) -> dict[str, np.ndarray]:
    found = [[(start, end, TYPES.index(kind)) for start, end, kind in own] for own, _ in rows]
    return {"logits": entities.from_spans(found, [size for _, size in rows], TYPES, plain=False)}


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(span_rows(), span_rows()), min_size=1, max_size=6))
def test_scores_are_those_of_seqeval_strict(
    strict: Callable[[Any, Any], dict[str, float]], pairs: list[tuple[tuple[list[tags.Span], int], tuple[list[tags.Span], int]]]
) -> None:
    sizes = [max(true[1], answered[1], 1) for true, answered in pairs]
    true = [(_known(row[0]), size) for (row, _), size in zip(pairs, sizes)]
    answered = [(_known(row[0]), size) for (_, row), size in zip(pairs, sizes)]
    truth = objects([{"words": size, "spans": [list(span) for span in found]} for found, size in true])
    ours = entities.score(entities.condense(_outputs(answered), truth, TYPES, plain=False))
    theirs = strict([tags.write(f, n, "BIO") for f, n in true], [tags.write(f, n, "BIO") for f, n in answered])
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-12), name
    assert ours["entity_f1"] <= ours["partial_f1"] <= 1


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(span_rows(), min_size=1, max_size=6))
def test_decoding_reads_what_was_written(rows: list[tuple[list[tags.Span], int]]) -> None:
    rows = [(_known(found), size) for found, size in rows]
    decoded = entities.decode(_outputs(rows)["logits"], plain=False)
    assert [[(s, e, TYPES[k]) for s, e, k in entities.spans(labels, False)] for labels in decoded] == [found for found, _ in rows]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_decoding_is_the_best_of_all_sequences_that_can_be_read(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    logits_N = objects([rng.normal(size=(size, 5)).astype(np.float32) for size in sizes])
    for logits_WC, label_W in zip(logits_N, entities.decode(logits_N, plain=False)):
        allowed = [
            path for path in itertools.product(range(5), repeat=len(logits_WC))
            if all(label not in (2, 4) or before in (label, label - 1) for before, label in zip((0, *path), path))
        ]
        value = {path: sum(logits_WC[at, label] for at, label in enumerate(path)) for path in allowed}
        assert value[tuple(label_W.tolist())] == pytest.approx(max(value.values()), abs=1e-5)


def test_probabilities_of_all_answers_add_up() -> None:
    """Of all spans of a type that begin at a word, one or none is there: their probabilities add up to that of beginning there."""
    rng = np.random.default_rng(0)
    probability_WC = entities.probabilities(rng.normal(size=(6, 5)), 1.3)
    for start, kind in itertools.product(range(6), range(2)):
        total = sum(entities.sure(probability_WC, [(start, end, kind) for end in range(start + 1, 7)], False))
        assert total == pytest.approx(probability_WC[start, 1 + 2 * kind])


def test_unknown_types_are_missed_not_forgotten() -> None:
    truth = objects([{"words": 3, "spans": [[0, 1, "LOC"], [1, 3, "NEW"]]}])
    scores = entities.score(entities.condense(_outputs([([(0, 1, "LOC")], 3)]), truth, TYPES, plain=False))
    assert (scores["precision"], scores["recall"], scores["macro_f1"]) == (1.0, 0.5, 0.5)
    assert scores["token_accuracy"] == pytest.approx(1 / 3)


def test_overlap_of_a_type_counts_half() -> None:
    truth = objects([{"words": 6, "spans": [[0, 3, "LOC"], [4, 6, "PER"]]}])
    answered = _outputs([([(0, 2, "LOC"), (2, 3, "LOC"), (4, 6, "LOC")], 6)])
    scores = entities.score(entities.condense(answered, truth, TYPES, plain=False))
    assert scores["entity_f1"] == 0 and scores["partial_f1"] == pytest.approx(1 / 5), "half of one true span, and only once"


def test_plain_tags_score_as_words() -> None:
    truth = objects([{"words": 3, "spans": [[0, 1, "LOC"], [1, 2, "PER"], [2, 3, "PER"]]}])
    logits = objects([np.eye(3, dtype=np.float32)[[0, 1, 2]]])
    scores = entities.score(entities.condense({"logits": logits}, truth, TYPES, plain=True))
    assert scores["entity_f1"] == scores["token_accuracy"] == pytest.approx(2 / 3)


def test_temperature_makes_the_overconfident_modest() -> None:
    rng = np.random.default_rng(1)
    right = rng.random(400) < 0.6
    truth = objects([{"words": 2, "spans": [[0, 1, "LOC"]] if ok else []} for ok in right])
    outputs = {"logits": objects([np.array([[0, 6, 0, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0, 0]], np.float32) for _ in right])}
    temperature = entities.fit_temperature(outputs, truth, TYPES, plain=False)
    found, _, _ = entities.judged(outputs, truth, TYPES, plain=False)
    assert temperature > 1.5
    assert entities.sure_all(outputs, found, temperature, False).mean() == pytest.approx(right.mean(), abs=0.08)
