"""Losses over pairs are those of the maintained library, rewards count as they should, conversations are parted where they part."""

import json
import math

import numpy as np
import pytest
import torch

from tests.tiny_models import writer
from tunesmith.inference import objects
from tunesmith.models import source
from tunesmith.models.language import Language
from tunesmith.parts import chat, preferring, replying
from tunesmith.registry import STRATEGIES

LOGP = torch.tensor([[-4.0, -7.5], [-12.25, -9.0], [-3.5, -3.75]])
COUNT = torch.tensor([[3, 5], [6, 4], [2, 2]])
REFERENCE = torch.tensor([[-5.0, -6.0], [-11.0, -10.0], [-3.0, -3.5]])
TRL = {
    ("dpo", 0.1): 0.6978755593299866, ("dpo", 0.5): 0.8052261471748352, ("ipo", 0.1): 25.042268753051758, ("ipo", 0.5): 1.1756020784378052,
    ("hinge", 0.1): 1.0, ("hinge", 0.5): 1.0833334922790527, ("orpo", 0.1): 1.7680811882019043, ("simpo", 2.0): 1.0815554857254028,
}  # fmt: skip
"""Means of these pairs' losses by trl 1.16.0: `DPOTrainer._compute_loss`, `ORPOTrainer.odds_ratio_loss`, `CPOTrainer.cpo_loss`."""


@pytest.mark.parametrize(("kind", "beta"), TRL)
def test_losses_are_those_of_trl(kind, beta):
    found_B = preferring.losses(kind, LOGP, COUNT, REFERENCE, beta, 1.0)
    assert float(found_B.mean()) == pytest.approx(TRL[kind, beta], rel=1e-5)


@pytest.mark.parametrize("kind", preferring.LOSSES)
def test_gradients_raise_the_chosen_and_lower_the_rejected(kind):
    logp = LOGP.clone().requires_grad_()
    preferring.losses(kind, logp, COUNT, REFERENCE, preferring.BETA[kind], 1.0).sum().backward()
    assert bool((logp.grad[:, 0] < 0).all()) and bool((logp.grad[:, 1] > 0).all())


def test_odds_of_near_certain_replies_stay_finite():
    sure = torch.tensor([[-1e-9, -50.0]], requires_grad=True)
    loss = preferring.losses("orpo", sure, torch.ones(1, 2), None, 0.1, 0.0).sum()
    loss.backward()
    assert bool(torch.isfinite(loss)) and bool(torch.isfinite(sure.grad).all())


def test_scores():
    found = {"logp": LOGP.numpy(), "count": COUNT.numpy(), "reference": REFERENCE.numpy(), "bytes": np.ones(3)}
    scores = preferring.score(found)
    assert list(scores) == list(preferring.DIRECTIONS)
    assert scores["reward_accuracy"] == pytest.approx(1 / 3) and scores["reward_margin"] == pytest.approx((2.5 - 2.25 - 0.25) / 3)
    assert scores["win_rate"] == 1.0 and scores["perplexity"] == pytest.approx(math.exp(19.75 / 11))
    untuned = {**found, "reference": found["logp"]}
    assert preferring.score(untuned)["reward_accuracy"] == 0.5 and preferring.score(untuned)["reward_margin"] == 0
    longer = preferring.score(preferring.longer(objects([["ab", "a"], ["a", "abc"], ["a", "b"]])))
    assert longer["reward_accuracy"] == 0.5 and math.isnan(longer["perplexity"])


def _said(text):
    return [{"role": "assistant", "content": text}]


HUMAN = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: a film?\n\nAssistant:"


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        (f"{HUMAN} yes", f"{HUMAN} no"),
        *[
            tuple(make([*talk, {"role": "assistant", "content": said}]) for said in ("yes", "no"))
            for talk in [[{"role": r, "content": t} for r, t in (("user", "hi"), ("assistant", "hello"), ("user", "a film?"))]]
            for make in (list, json.dumps)
        ],
    ],
)
def test_conversations_are_parted_where_they_part(chosen, rejected):
    prompt, one, other = replying.parted(chosen, rejected)
    assert [m["content"] for m in json.loads(prompt)] == ["hi", "hello", "a film?"] and (one, other) == ("yes", "no")


@pytest.mark.parametrize(("chosen", "rejected"), [("yes", "no"), (f"{HUMAN} yes", "\n\nHuman: other\n\nAssistant: no")])
def test_texts_that_have_nothing_alike_have_no_prompt(chosen, rejected):
    assert replying.parted(chosen, rejected)[0] is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return writer(tmp_path_factory.mktemp("writer") / "llama")


@pytest.mark.parametrize("strategy", ["lora", "ia3", "prompt"])
def test_likelihoods_are_of_the_reply_and_its_end_now_and_before_the_adapter(strategy, folder):
    found = source.find(str(folder))
    plain, model = (Language(source.load(found, form="language")) for _ in range(2))
    STRATEGIES.load(strategy).build({}, strategy).shape(model, 0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter += 0.1 * torch.randn(parameter.shape) if any(mark in name for mark in ("lora_", "ia3_", "prompt")) else 0.0
    processor = source.processor(found)
    asked = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "told"}, {"role": "user", "content": "was it"}]
    sides = [replying.side(processor, asked, _said(text), 99) for text in ("yes", "never it was")]
    decoded = [processor.decode(one["input_ids"][one["learn"] == 1]) for one in sides]
    assert [text.strip() for text in decoded] == ["yes<|im_end|>", "never it was<|im_end|>"], "earlier replies are not learned"
    batch = replying.collate([preferring.pair(*sides), preferring.pair(*sides[::-1])], 0)
    with torch.no_grad():
        made = preferring.outputs(model.eval(), batch, "dpo")
        expected, count = preferring.likelihoods(plain.eval(), batch)
        alone = -plain({n: torch.as_tensor(v)[None].long() for n, v in sides[1].items() if n != "bytes"}
                       | {"attention_mask": torch.ones(1, len(sides[1]["input_ids"]))}).sum()  # fmt: skip
    assert torch.allclose(made["reference"].float(), expected, atol=1e-4) and not torch.allclose(made["logp"].float(), expected, atol=1e-3)
    assert torch.equal(expected[0], expected[1].flip(0)) and float(expected[0, 1]) == pytest.approx(float(alone), abs=1e-4)
    assert count[0].tolist() == [int(one["learn"][1:].sum()) for one in sides]


def test_control_strings_in_replies_are_text(folder):
    processor = source.processor(source.find(str(folder)))
    one = replying.side(processor, [{"role": "user", "content": "a"}], _said("no<|im_end|>yes"), 99)
    ends = one["input_ids"][one["learn"] == 1] == chat.end_of_turn(processor)
    assert ends.sum() == 1 and ends[-1]
