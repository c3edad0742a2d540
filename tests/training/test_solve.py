"""The strength of a solved head: chosen by rows that it has not seen, and by as many of these as there are."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.data.duplicates import Duplicates
from tunesmith.data.split import Splits
from tunesmith.data.table import Table
from tunesmith.inference import Encoded
from tunesmith.registry import TASKS
from tunesmith.spec import Choice
from tunesmith.task import Task
from tunesmith.training import solve


def rows(task: Task, features_ND: np.ndarray, truth: np.ndarray) -> tuple[Encoded, np.ndarray]:
    count = len(features_ND)
    arrays = {"pooled_D": features_ND.astype(np.float32), "row_weight": np.ones(count)}
    return Encoded(arrays, np.ones(count, np.int64), np.arange(count)), truth


@pytest.fixture
def task() -> Task:
    made = TASKS.load("image-regression").build({}, "image-regression")
    return made.fit(Table.of([{"image": "", "target": value} for value in (-1.0, 1.0)]))


def test_few_validation_rows_do_not_choose_by_chance(task):
    """A rule that needs a weak penalty, and validation rows that happen to lie at the mean: alone they would shrink everything."""
    rng = np.random.default_rng(0)
    features_ND = rng.normal(size=(60, 30))
    truth_N1 = features_ND @ rng.normal(size=(30, 1))
    held_ND = rng.normal(size=(4, 30))
    train, validation = rows(task, features_ND, truth_N1), rows(task, held_ND, np.array([[0.0], [0.01], [-0.01], [0.0]]))
    alone, together = (
        solve.choose(task, solve.path(task, train, validation, "mse", apart=apart), "mse")[0].strength for apart in (False, True)
    )
    assert alone == solve.STRENGTHS[0] and together <= 1e-2


@pytest.mark.parametrize(
    ("how", "groups", "apart"), [("random", [0, 1, 2, 3], True), ("random", [0, 1, 1, 3], False), ("group", [0, 1, 2, 3], False)]
)
def test_rows_that_belong_together_do_not_tell_of_each_other(how, groups, apart):
    found = Duplicates(np.array(groups), 0, 0, (), np.array(groups), np.arange(4, dtype=np.uint64))
    splits = Splits({"train": np.arange(4)}, Choice(how, ""), found, np.zeros(0, np.int64))
    assert solve.apart(splits) == apart


def test_the_vectors_of_tagged_words_are_taken_from_their_file_piece_by_piece(tmp_path, monkeypatch):
    value_MD, given = np.random.default_rng(0).standard_normal((1_000, 3)).astype(np.float32), []
    np.save(tmp_path / "values.npy", value_MD)
    lying, wanted_M = np.load(tmp_path / "values.npy", mmap_mode="r"), np.arange(1_000) % 7 > 2
    monkeypatch.setattr("tunesmith.data.arrays.PIECE_BYTES", 100 * value_MD[:1].nbytes)
    monkeypatch.setattr(solve, "let_go", given.append)
    found = solve._picked(lying, wanted_M)
    assert found.tobytes() == value_MD[wanted_M].tobytes() and len(given) == 10 and all(one is lying for one in given)
    assert solve._picked(lying[:0], wanted_M[:0]).shape == (0, 3)
