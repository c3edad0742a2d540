"""Sequences of labels: their probabilities are those that counting all of them gives, wherever the words stand among the tokens."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.parts import sequences

LABELS = 3


def _counted(score_WC: torch.Tensor, moves_CC: torch.Tensor) -> dict[tuple[int, ...], float]:
    """Every sequence and its log weight."""
    own = itertools.product(range(LABELS), repeat=len(score_WC))
    return {
        path: float(sum(score_WC[at, label] for at, label in enumerate(path)) + sum(moves_CC[a, b] for a, b in itertools.pairwise(path)))
        for path in own
    }


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(0, 4), min_size=1, max_size=4), around=st.integers(0, 3))
def test_probabilities_are_those_of_all_sequences(seed: int, sizes: list[int], around: int) -> None:
    torch.manual_seed(seed)
    tokens = max(sizes) + around + 1
    logits_BTC, moves_CC = torch.randn(len(sizes), tokens, LABELS), torch.randn(LABELS, LABELS)
    label_BT = torch.full((len(sizes), tokens), -100)
    for row, size in enumerate(sizes):
        place_W = torch.randperm(tokens)[:size].sort().values
        label_BT[row, place_W] = torch.randint(0, LABELS, (size,))
    found, expected = sequences.log_probabilities(logits_BTC, label_BT >= 0, moves_CC), 0.0
    for logits_TC, label_T, log_WC in zip(logits_BTC, label_BT, found):
        own_T = label_T >= 0
        weights = _counted(logits_TC[own_T], moves_CC)
        total = float(torch.tensor(list(weights.values())).logsumexp(0))
        expected += total - weights[tuple(label_T[own_T].tolist())]
        for at, label in itertools.product(range(int(own_T.sum())), range(LABELS)):
            with_it = torch.tensor([weight for path, weight in weights.items() if path[at] == label]).logsumexp(0)
            assert float(log_WC[at, label]) == pytest.approx(float(with_it) - total, abs=1e-4)
    assert float(sequences.loss(logits_BTC, label_BT, moves_CC)) == pytest.approx(expected, abs=1e-3)


def test_without_moves_words_are_judged_apart() -> None:
    torch.manual_seed(0)
    logits_BTC, label_BT = torch.randn(2, 5, LABELS), torch.tensor([[-100, 0, 2, -100, 1], [1, -100, -100, -100, -100]])
    still_CC = torch.zeros(LABELS, LABELS)
    apart = torch.nn.functional.cross_entropy(logits_BTC.flatten(0, 1), label_BT.flatten(), ignore_index=-100, reduction="sum")
    assert float(sequences.loss(logits_BTC, label_BT, still_CC)) == pytest.approx(float(apart), rel=1e-5)
    found = sequences.log_probabilities(logits_BTC, label_BT >= 0, still_CC)
    assert [len(one) for one in found] == [3, 1] and torch.allclose(found[1], logits_BTC[1, :1].log_softmax(-1), atol=1e-5)


def test_moves_learn_what_follows_what() -> None:
    label_BT = torch.tensor([[0, 1] * 4, [1, 0] * 4])
    moves_CC = torch.zeros(LABELS, LABELS, requires_grad=True)
    optimizer = torch.optim.SGD([moves_CC], lr=1.0)
    for _ in range(60):
        optimizer.zero_grad()
        (sequences.loss(torch.zeros(2, 8, LABELS), label_BT, moves_CC) / 16).backward()
        optimizer.step()
    assert moves_CC.argmax(1).tolist()[:2] == [1, 0]
    begun_BTC = torch.tensor([[[9.0, 0, 0], *[[0.0, 0, 0]] * 3]])
    (sure_TC,) = sequences.log_probabilities(begun_BTC, torch.ones(1, 4, dtype=torch.bool), moves_CC)
    assert sure_TC.argmax(1).tolist() == [0, 1, 0, 1]
