"""Depths say truly which parameters lie below which."""

import pytest
import torch

from tests.models import tiny
from tunesmith.models.outline import layer_list, outline

LAYERED = [family for family in tiny.CONFIGS if family != "albert"]


@pytest.mark.parametrize("family", tiny.CONFIGS)
def test_every_parameter_has_a_depth(family):
    model = tiny.pooled(family)
    shape = outline(model)
    assert set(shape.depths) == set(dict(model.named_parameters()))
    assert shape.layers == (1 if family == "albert" else 3)
    assert set(shape.head) == {"head.weight", "head.bias"}
    assert {1, shape.layers} <= set(shape.depths.values()) and 0 in shape.depths.values()
    assert shape.adapters == frozenset()


@pytest.mark.parametrize("family", LAYERED)
def test_what_enters_a_layer_depends_on_nothing_at_its_depth_or_above(family):
    model, batch = tiny.pooled(family), tiny.batch()
    shape, layers = outline(model), layer_list(model.backbone)[1]
    entered = []
    for block in layers:
        block.register_forward_pre_hook(
            lambda _, args, kw: entered.append(args[0] if args else kw["hidden_states"]), with_kwargs=True
        )
    model(batch)
    for number, hidden_BTD in enumerate(entered, start=1):
        model.zero_grad()
        hidden_BTD.square().sum().backward(retain_graph=True)
        moved = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        assert not {name for name in moved if shape.depths[name] >= number}
        assert number == 1 or {shape.depths[name] for name in moved} >= {number - 1}


@pytest.mark.parametrize("family", ["modernbert", "gpt2", "llama", "qwen2", "t5"])
def test_the_final_norm_follows_the_layers(family):
    shape = outline(tiny.pooled(family))
    assert 4 in shape.depths.values()


def test_a_backbone_without_layers_counts_as_one():
    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)

    shape = outline(Plain())
    assert shape.layers == 1 and shape.depths["backbone.weight"] == 1 and shape.depths["head.bias"] == 3
