"""Spans over windows: the best of all that are allowed, targets that stand wholly in a window, a threshold that pays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.parts import pointing


def _row(seed: int, sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Places and logits of a row whose windows have these many tokens of three letters and a space."""
    rng, places = np.random.default_rng(seed), []
    for window, size in enumerate(sizes):
        begin = 2 * window
        places += [(window, -1, -1), *((window, 4 * (begin + at), 4 * (begin + at) + 3) for at in range(size))]
    return np.array(places, np.float32), rng.normal(size=(len(places), 2)).astype(np.float32)


def _by_hand(places: np.ndarray, logits: np.ndarray, longest: int) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], float] = {}
    none = {int(place[0]): logits[at].sum() for at, place in enumerate(places) if place[1] < 0}
    tokens = [at for at, place in enumerate(places) if place[1] >= 0]
    for a, b in itertools.product(tokens, tokens):
        same = places[a, 0] == places[b, 0]
        if same and a <= b and (a == b or places[b, 2] - places[a, 1] <= longest):
            span = int(places[a, 1]), int(places[b, 2])
            odds = float(logits[a, 0] + logits[b, 1] - none[int(places[a, 0])])
            found[span] = max(odds, found.get(span, -np.inf))
    return found


@settings(deadline=None)
@given(st.integers(0, 99), st.lists(st.integers(0, 9), min_size=1, max_size=3), st.integers(1, 40))
def test_the_best_spans_are_those_of_trying_all(seed, sizes, longest):
    places, logits = _row(seed, sizes)
    expected = _by_hand(places, logits, longest)
    found = pointing.best(places, logits, longest)
    ranked = sorted(expected.values(), reverse=True)[: pointing.CANDIDATES]
    np.testing.assert_allclose(found.odds_K, ranked, atol=1e-5)
    for start, end, odds in zip(found.start_K.tolist(), found.end_K.tolist(), found.odds_K):
        assert expected[start, end] == pytest.approx(odds, abs=1e-5)


@settings(deadline=None)
@given(st.integers(0, 99), st.lists(st.integers(0, 9), min_size=1, max_size=3), st.sets(st.integers(0, 60)))
def test_spans_without_a_letter_are_no_candidates(seed, sizes, letters):
    places, logits = _row(seed, sizes)
    words = np.cumsum([0, *(at in letters for at in range(60))])
    expected = {span: odds for span, odds in _by_hand(places, logits, 30).items() if letters & set(range(*span))}
    found = pointing.best(places, logits, 30, words)
    np.testing.assert_allclose(found.odds_K, sorted(expected.values(), reverse=True)[: pointing.CANDIDATES], atol=1e-5)
    assert set(zip(found.start_K.tolist(), found.end_K.tolist())) <= set(expected)


def test_targets_stand_wholly_in_the_window():
    span_T2 = np.array([[0, 0], [0, 3], [0, 0], [4, 7], [8, 11], [12, 15], [0, 0]])
    inside_T = np.array([0, 0, 0, 1, 1, 1, 0], bool)

    def found(*spans, edges=(False, False)):
        return pointing.targets(span_T2, inside_T, spans, edges)

    assert found((8, 15)) == ([4], [5])
    assert found((9, 10)) == ([4], [4]), "a stretch inside a token is that token"
    assert found((0, 7)) == ([0], [0]) and found((12, 19)) == ([0], [0]), "half outside is not there"
    assert found((4, 7), (12, 15), (4, 7)) == ([3, 5], [3, 5])
    assert found((3, 7), edges=(True, False)) == ([3], [3]), "a character without a token at the text's own edge"
    assert found() == ([0], [0])


def test_the_loss_is_that_of_any_right_span_and_pads_nothing():
    logits = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    reach = torch.tensor([[1, 0, 1, 1, 1, 0], [1, 0, 1, 1, 1, 1]])
    starts, ends, weight = torch.tensor([[2, 3], [0, -1]]), torch.tensor([[3, 3], [0, -1]]), torch.tensor([1.0, 0.5])
    total = 0.0
    for row, spans in enumerate([[(2, 3), (3, 3)], [(0, 0)]]):
        allowed = reach[row].bool()
        p = torch.where(allowed[:, None], logits[row].exp(), 0.0)
        p = p / p.sum(0)
        total += -float(weight[row] * torch.log(sum(p[a, 0] * p[b, 1] for a, b in spans)))
    assert float(pointing.loss(logits, reach, starts, ends, weight)) == pytest.approx(total, rel=1e-5)


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(1, 30))
def test_no_threshold_pays_more(seed, rows):
    rng = np.random.default_rng(seed)
    odds, value = rng.normal(size=rows), rng.random(rows)
    silent = rng.integers(0, 2, rows).astype(float)
    threshold = pointing.fit_threshold(odds, value, silent)

    def pay(at: float) -> float:
        return float(np.where(odds > at, value, silent).sum())

    assert pay(threshold) >= max(pay(at) for at in [*odds, -99.0, 99.0]) - 1e-9


def test_confidence_learns_how_often_a_share_is_right():
    rng = np.random.default_rng(0)
    share = rng.uniform(0.05, 0.999, 4000)
    right = rng.random(4000) < share**2
    slope, offset = pointing.fit_confidence(share, right)
    sure = pointing.confidence(share, slope, offset)
    assert abs(sure.mean() - right.mean()) < 0.01 and np.abs(sure - share**2).mean() < 0.03
    assert pointing.fit_confidence(share[:0], right[:0]) == pytest.approx((1.0, 0.0), abs=1e-3)


def test_shares_add_up_and_silence_is_one_of_them():
    spans = pointing.Spans(np.array([0, 4]), np.array([3, 7]), np.array([1.0, 0.0]))
    always = pointing.shares(spans, None)
    np.testing.assert_allclose(always, [*np.exp([1, 0]) / np.exp([1, 0]).sum(), 0])
    np.testing.assert_allclose(pointing.shares(spans, 1.0), np.exp([1, 0, 1]) / np.exp([1, 0, 1]).sum())
    none = pointing.Spans(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    assert pointing.shares(none, None).tolist() == [1.0]
