"""Losses over single judged replies are those of the maintained library, the drift is its whole batch's, rewards count as they should."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tunesmith.inference import Encoded, Ragged, objects
from tunesmith.parts import unpaired

LOGP = torch.tensor([[-4.0, -7.5], [-12.25, -9.0], [-3.5, -3.75], [-6.0, -5.0]])
REFERENCE = torch.tensor([[-5.0, -8.0], [-11.0, -10.0], [-3.0, -3.5], [-6.5, -5.5]])
GOOD = torch.tensor([1, 0, 1, 0])
TRL = {
    ("kto", 0.1, 1.0, 0.0): 0.4922090768814087, ("kto", 0.1, 1.0, -3.0): 0.492201566696167, ("kto", 0.1, 1.5, 0.0): 0.6121433973312378,
    ("kto", 0.5, 1.0, 0.0): 0.4634481370449066, ("kto", 0.5, 1.5, 0.0): 0.5645178556442261, ("kto", 0.5, 1.5, -3.0): 0.5764873623847961,
    ("apo", 0.1, 1.0, 0.0): 0.492201566696167, ("apo", 0.5, 1.5, 0.0): 0.5764874219894409,
}  # fmt: skip
"""Means of these rows' losses by the lines of trl 1.16.0's `KTOTrainer._compute_loss`: kind, beta, weight of bad rows, what is added to the
likelihoods of other rows' replies (at -3 the drift would be below 0 and is cut there)."""


@pytest.mark.parametrize(("kind", "beta", "bad", "shift"), TRL)
def test_losses_are_those_of_trl(kind, beta, bad, shift):
    logp = LOGP + torch.tensor([0.0, shift])
    found_B = unpaired.losses(kind, logp, REFERENCE, GOOD, beta, (1.0, bad))
    assert float(found_B.mean()) == pytest.approx(TRL[kind, beta, bad, shift], rel=1e-6)


@pytest.mark.parametrize("kind", unpaired.LOSSES)
def test_gradients_raise_good_replies_lower_bad_ones_and_leave_others_alone(kind):
    logp = LOGP.clone().requires_grad_()
    unpaired.losses(kind, logp, REFERENCE, GOOD, 0.1, (1.0, 1.0)).sum().backward()
    assert bool((logp.grad[GOOD == 1, 0] < 0).all()) and bool((logp.grad[GOOD == 0, 0] > 0).all())
    assert not logp.grad[:, 1].any(), "nothing is learned from the replies by which the drift is measured"


def test_scores():
    rng = np.random.default_rng(0)
    good = rng.random(60) < 0.4
    logp, before = rng.normal(-20, 3, (60, 1)).round(), rng.normal(-20, 3, (60, 1)).round()
    truth = objects([["a" * (i % 7), bool(one)] for i, one in enumerate(good)])
    found = {"logp": logp, "reference": before, "count": np.full(60, 4), "bytes": np.ones(60)}
    scores = unpaired.score(found, truth)
    reward = (logp - before)[:, 0]
    assert list(scores) == list(unpaired.DIRECTIONS)
    assert scores["reward_auroc"] == pytest.approx(roc_auc_score(good, reward)), "ties count half"
    assert scores["likelihood_auroc"] == pytest.approx(roc_auc_score(good, logp[:, 0]))
    assert scores["reward_margin"] == pytest.approx(reward[good].mean() - reward[~good].mean())
    assert scores["perplexity"] == pytest.approx(math.exp(-logp[good, 0].sum() / 4 / good.sum()))
    assert unpaired.score({**found, "reference": logp}, truth)["reward_auroc"] == 0.5
    assert unpaired.score(unpaired.condense(found, truth), truth) == scores
    longer = unpaired.score(unpaired.longer(truth), truth)
    assert longer["reward_auroc"] == pytest.approx(roc_auc_score(good, [i % 7 for i in range(60)])) and math.isnan(longer["perplexity"])


def test_one_kind_alone_has_no_score():
    found = {"logp": np.array([[-1.0], [-2.0]]), "count": np.ones(2), "bytes": np.ones(2)}
    assert math.isnan(unpaired.score(found, objects([["a", True], ["b", True]]))["reward_auroc"])


@pytest.mark.parametrize(
    ("good", "bad", "given", "expected"),
    [
        (10, 10, ("auto", "auto"), (1, 1)), (10, 40, ("auto", "auto"), (4, 1)), (40, 10, ("auto", "auto"), (1, 4)),
        (10, 40, ("auto", 2.0), (8, 2)), (10, 40, (2.0, "auto"), (2, 0.5)), (10, 40, (3.0, 5.0), (3, 5)),
    ],
)  # fmt: skip
def test_weights_make_both_kinds_count_alike_unless_they_are_given(good, bad, given, expected):
    found = unpaired.weights(good, bad, *given)
    assert found[:2] == pytest.approx(expected)
    if "auto" in given:
        assert found[0] * good == pytest.approx(found[1] * bad) and "arXiv 2402.01306" in found[2]


@pytest.mark.parametrize(("cell", "said"), [
    (True, True), (False, False), (1, True), (0, False), (-1, False), ("True", True), (" good", True), ("thumbs down", False), (1.0, True),
    (None, None), ("maybe", None), (2, None), ("", None), (0.5, None),
])  # fmt: skip
def test_judgements_are_read(cell, said):
    assert unpaired.judged(cell) is said


def _encoded(rows):
    """Prompts and replies as ids."""
    ids = [np.array([*asked, *said, 9], np.int32) for asked, said in rows]
    learn = [np.array([0] * len(asked) + [1] * len(said) + [0], np.uint8) for asked, said in rows]
    split = np.array([len(one) for one in ids])
    return Encoded({"input_ids": Ragged.of(ids), "learn": Ragged.of(learn), "split": split}, split, np.arange(len(rows)))


def test_each_prompt_gets_a_reply_to_another_prompt():
    rows = [([1, 1], [2]), ([3], [4, 5]), ([3], [6]), ([7], [8])]
    made = unpaired.mismatched(_encoded(rows), 99)
    own = [[*asked, *said, 9] for asked, said in rows]
    others = [[1, 1, 8], [3, 2], [3, 2], [7, 6]]
    assert [made.arrays["input_ids"][i].tolist() for i in range(4)] == [a + b for a, b in zip(own, others)]
    marks = [[0, 0, 1], [0, 1], [0, 1], [0, 1]]
    assert [made.arrays["learn"][i].tolist()[len(own[i]) :] for i in range(4)] == marks
    assert made.lengths_N.tolist() == [len(a + b) for a, b in zip(own, others)]
    assert unpaired.mismatched(_encoded(rows), 2).arrays["input_ids"][0].tolist() == [1, 1, 2, 9, 1, 1], "no longer than what is read"


def test_one_prompt_alone_takes_the_row_before():
    made = unpaired.mismatched(_encoded([([1], [2]), ([1], [3]), ([1], [4])]), 99)
    assert [made.arrays["input_ids"][i].tolist()[-1] for i in range(3)] == [4, 2, 3]
