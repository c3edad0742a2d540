"""Batches: every row once, hardly any padding, an order that is a function of (seed, epoch)."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.inference import cut_by_tokens, order_by_length
from tunesmith.training import batches

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=300).map(np.array)


@given(lengths, st.integers(1, 40), st.integers(0, 5), st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_every_row_once_an_epoch(lengths_N, batch, seed, epoch):
    made = batches.nominal_batches(np.arange(len(lengths_N)), lengths_N, batch, seed, epoch)
    assert sorted(np.concatenate(made)) == list(range(len(lengths_N)))
    assert len(made) == batches.steps_per_epoch(len(lengths_N), batch)
    assert all(len(part) == batch for part in made if len(part) == batch) and min(map(len, made)) >= 1
    again = batches.nominal_batches(np.arange(len(lengths_N)), lengths_N, batch, seed, epoch)
    assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))


@given(lengths, st.integers(1, 200))
@settings(deadline=None, max_examples=60)
def test_parts_keep_the_budget_and_the_order(lengths_N, budget):
    order = order_by_length(lengths_N)
    parts = list(cut_by_tokens(order, lengths_N, budget))
    assert np.array_equal(np.concatenate(parts), order)
    for part in parts:
        assert len(part) == 1 or lengths_N[part].max() * len(part) <= budget


def test_epochs_differ_and_seeds_differ():
    lengths_N = np.ones(100, int)
    first = [batches.nominal_batches(np.arange(100), lengths_N, 10, s, e) for s, e in ((0, 0), (0, 1), (1, 0))]
    flat = [np.concatenate(made).tolist() for made in first]
    assert len({tuple(f) for f in flat}) == 3


def test_rows_of_like_length_meet():
    lengths_N = np.random.default_rng(0).integers(3, 100, 4000)
    made = batches.nominal_batches(np.arange(4000), lengths_N, 32, 0, 0)
    padded = sum(lengths_N[b].max() * len(b) for b in made)
    assert padded / lengths_N.sum() < 1.03


@given(
    st.lists(st.integers(0, 3), min_size=4, max_size=80).map(np.array), st.sampled_from(["oversample", "undersample"])
)
@settings(deadline=None, max_examples=50)
def test_balanced_epochs_have_equal_classes(class_N, balance):
    rows = batches.epoch_rows(class_N, len(class_N), balance, 0, 0)
    counts = np.bincount(class_N[rows])
    assert len(set(counts[counts > 0])) == 1
    assert set(class_N[rows]) == set(class_N)
    if balance == "oversample":
        assert set(rows) == set(range(len(class_N))), "no row is left out"


@given(lengths, st.integers(1, 600))
@settings(deadline=None, max_examples=60)
def test_parts_of_a_batch_are_as_few_as_fit(lengths_N, budget):
    rows = np.arange(len(lengths_N))
    few = list(cut_by_tokens(order_by_length(lengths_N, rows), lengths_N, budget))
    assert len(batches.micro_batches(rows, lengths_N, budget)) == len(few)


def test_parts_of_a_batch_of_like_rows_are_of_like_size():
    parts = batches.micro_batches(np.arange(33), np.full(33, 10), 300)
    assert [len(part) for part in parts] == [17, 16]
