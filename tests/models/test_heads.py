"""Pooling by hand and by code agree; the head depends on its seed; what a batch carries decides what runs."""

import pytest
import torch

from tests.models import tiny
from tunesmith.models.heads import Pooled, evaluating, inputs, pool, set_dropout
from tunesmith.models.source import Backbone


@pytest.mark.parametrize("left", [False, True])
def test_pooling_agrees_with_a_loop(left):
    hidden_BTD, mask_BT = torch.randn(3, 5, 4), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])
    mask_BT = mask_BT.flip(1) if left else mask_BT
    for row in range(3):
        real_TD = hidden_BTD[row][mask_BT[row].bool()]
        by_hand = {"mean": real_TD.mean(0), "cls": real_TD[0], "last": real_TD[-1]}
        for how, expected in by_hand.items():
            torch.testing.assert_close(pool(hidden_BTD, mask_BT, how)[row], expected)


def test_pooling_leaves_virtual_tokens_out_and_works_in_float32():
    hidden_BTD, mask_BT = torch.randn(2, 6, 4), torch.ones(2, 4, dtype=torch.long)
    for how in ("mean", "cls", "last"):
        torch.testing.assert_close(pool(hidden_BTD, mask_BT, how), pool(hidden_BTD[:, 2:], mask_BT, how))
        assert pool(hidden_BTD.bfloat16(), mask_BT, how).dtype == torch.float32


def test_a_row_without_tokens_gives_numbers():
    assert pool(torch.randn(1, 3, 2), torch.zeros(1, 3, dtype=torch.long), "mean").eq(0).all()


@pytest.mark.parametrize("family", tiny.CONFIGS)
def test_alone_equals_in_a_batch(family):
    model, batch = tiny.pooled(family).eval(), tiny.batch()
    together = model(batch)
    for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
        alone = model({name: tensor[row : row + 1, :length] for name, tensor in batch.items()})
        torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-5)


def test_the_head_depends_on_its_seed_alone():
    backbone = Backbone(tiny.module("bert"), tiny.source("bert"), {})
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (Pooled(backbone, 3, seed=seed).head.weight for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_cached_features_run_only_the_head():
    model, batch = tiny.pooled("bert").eval(), tiny.batch()
    pooled_BD = model.features(batch)
    model.backbone.forward = None
    assert torch.equal(model({"pooled_BD": pooled_BD}), model.head(pooled_BD))


def test_a_solved_head_is_put_in_place():
    model = tiny.pooled("bert")
    weight, identity = torch.randn(3, 16), model.head.weight
    model.set_head(weight.numpy(), torch.ones(3).numpy())
    assert model.head.weight is identity and torch.equal(model.head.weight, weight) and model.head.bias.eq(1).all()


def test_inputs_are_what_the_backbone_has_names_for():
    batch = {**tiny.batch(), "token_type_ids": torch.zeros(3, 7, dtype=torch.long), "target": torch.zeros(3)}
    assert set(inputs(tiny.module("bert"), batch)) == {"input_ids", "attention_mask", "token_type_ids", "use_cache"}
    assert "token_type_ids" not in inputs(tiny.module("distilbert"), batch)


@pytest.mark.parametrize("family", ["bert", "llama", "gpt2", "modernbert", "distilbert", "deberta-v2"])
def test_dropout_is_set_everywhere(family):
    model, batch = tiny.pooled(family), tiny.batch()
    set_dropout(model, 0.0)
    model.train()
    assert torch.equal(model(batch), model(batch))
    model.eval()
    calm = model(batch)
    set_dropout(model, 0.5)
    assert torch.equal(model(batch), calm)
    model.train()
    assert not torch.equal(model.hidden(batch), model.hidden(batch))


def test_evaluating_puts_every_mode_back():
    model = tiny.pooled("bert").train()
    model.backbone.encoder.eval()
    modes = [part.training for part in model.modules()]
    with pytest.raises(KeyError), evaluating(model):
        assert not any(part.training for part in model.modules())
        raise KeyError
    assert [part.training for part in model.modules()] == modes
