"""The kind is read off the shapes, and rows are judged as the task answers."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.judging.view import kind_of, view, words


def test_kinds():
    logits = {"logits": np.zeros((4, 3))}
    assert kind_of(logits, np.array([0, 1, 2, -1])) == "classes"
    assert kind_of(logits, np.array([[0, 1, 0]] * 4)) == "flags"
    assert kind_of(logits, np.array([[0, 1, 0, 2]] * 4)) == "flags"
    assert kind_of({"numbers": np.zeros((4, 1))}, np.zeros(4)) == "numbers"
    assert kind_of({"start": np.zeros((4, 9))}, np.zeros((4, 2))) == "other"


def test_an_unknown_label_is_wrong_and_costly(classes):
    of = view(classes(), {"logits": np.array([[9.0, 0.0], [0.0, 9.0]])}, np.array([0, -1]))
    assert of.right_N.tolist() == [True, False]
    assert of.loss_N[1] > 20
    assert words(of, 1, of.truth) == "a label unknown to the training rows"


def test_the_tasks_own_answer_counts_where_it_moved_the_threshold(classes):
    class Careful(classes):
        def answers(self, outputs):
            return [{"label": "yes"}] * len(outputs["logits"])

    of = view(Careful(), {"logits": np.array([[1.0, 0.0]])}, np.array([1]))
    assert of.right_N.all()
    assert of.sure_N[0] == pytest.approx(1 / (1 + np.e))


def test_flags_follow_the_thresholds(flags):
    logits = np.array([[-1.0, 2.0]])
    strict = view(flags(thresholds=(0.2, 0.95)), {"logits": logits}, np.array([[1, 0]]))
    assert strict.chosen.tolist() == [[True, False]]
    assert words(strict, 0, strict.chosen) == "no"
    assert words(strict, 0, np.array([[False, False]])) == "none"


def test_numbers_measure_errors_in_spreads(numbers):
    truth = np.array([[0.0], [10.0], [20.0]])
    of = view(numbers(), {"numbers": truth + [[0], [0], [8.16]]}, truth)
    assert of.loss_N[2] == pytest.approx(1.0, abs=0.01)
    assert of.names == ("price",)


def test_a_tag_unknown_to_training_makes_the_row_wrong(flags):
    logits = np.array([[2.0, -2.0], [2.0, -2.0]])
    of = view(flags(), {"logits": logits}, np.array([[1, 0, 0], [1, 0, 1]]))
    assert of.right_N.tolist() == [True, False]
    assert of.truth.shape == (2, 2)
