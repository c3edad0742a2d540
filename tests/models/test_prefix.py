"""A cut model is the whole model: equal outputs and equal gradients."""

import copy

import pytest
import torch

from tests.models import tiny
from tunesmith.models import prefix
from tunesmith.models.outline import outline
from tunesmith.registry import STRATEGIES

CUTTABLE = [
    "bert",
    "roberta",
    "xlm-roberta",
    "electra",
    "mpnet",
    "distilbert",
    "deberta-v2",
    "modernbert",
    "gpt2",
    "llama",
    "qwen2",
]


def _gradients(model, batch, names):
    model.zero_grad()
    model(batch).square().sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if name in names}


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("family", CUTTABLE)
def test_cached_equals_uncached(family, layer):
    model, batch = tiny.pooled(family), tiny.batch()
    model.cut = prefix.cut(model, layer)
    assert model.cut is not None
    cached = {"hidden_BTD": model.cut.below(batch), "attention_mask": batch["attention_mask"]}
    torch.testing.assert_close(model(cached), model(batch), rtol=0, atol=1e-6)
    shape = outline(model)
    above = {name for name in shape.at_least(layer + 1) if model.get_parameter(name).requires_grad}
    if family == "deberta-v2":  # its relative embeddings are read by every layer, though they lie beside the first
        above -= {name for name in above if "rel_embeddings" in name or "encoder.LayerNorm" in name}
    whole, parts = _gradients(model, batch, above), _gradients(model, cached, above)
    assert whole.keys() == parts.keys() and len(whole) > 2
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("family", ["t5", "albert"])
def test_what_cannot_be_cut_is_not(family):
    model = tiny.pooled(family)
    assert prefix.cut(model, 1) is None


def test_a_convolution_beside_the_first_layer_forbids_the_lowest_cut_only(monkeypatch):
    name, values = tiny.CONFIGS["deberta-v2"]
    monkeypatch.setitem(tiny.CONFIGS, "deberta-v2", (name, {**values, "conv_kernel_size": 3}))
    model = tiny.pooled("deberta-v2")
    assert prefix.cut(model, 0) is None and prefix.cut(model, 1) is not None


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_padding_of_the_cache_counts_for_nothing(family):
    model, batch = tiny.pooled(family), tiny.batch()
    model.cut = prefix.cut(model, 2)
    hidden_BTD = model.cut.below(batch)
    zeroed_BTD = hidden_BTD * batch["attention_mask"].unsqueeze(-1)
    assert not torch.equal(zeroed_BTD, hidden_BTD)
    mask = {"attention_mask": batch["attention_mask"]}
    torch.testing.assert_close(model({**mask, "hidden_BTD": zeroed_BTD}), model({**mask, "hidden_BTD": hidden_BTD}))


def test_below_is_without_dropout_and_leaves_modes_alone():
    model, batch = tiny.pooled("bert"), tiny.batch()
    model.train()
    model.backbone.encoder.layer[0].eval()
    model.cut = prefix.cut(model, 1)
    modes = [part.training for part in model.modules()]
    assert torch.equal(model.cut.below(batch), model.cut.below(batch))
    assert [part.training for part in model.modules()] == modes


def test_dropout_above_the_cut_follows_the_model():
    model, batch = tiny.pooled("bert"), tiny.batch()
    model.cut = prefix.cut(model, 1)
    cached = {"hidden_BTD": model.cut.below(batch), "attention_mask": batch["attention_mask"]}
    model.train()
    assert not torch.equal(model(cached), model(cached))
    model.eval()
    assert torch.equal(model(cached), model(cached))


def test_weights_are_shared_not_copied():
    model, batch = tiny.pooled("bert"), tiny.batch()
    names = set(dict(model.named_parameters()))
    model.cut = prefix.cut(model, 2)
    assert set(dict(model.named_parameters())) == names == set(model.state_dict())
    cached = {"hidden_BTD": model.cut.below(batch), "attention_mask": batch["attention_mask"]}
    before = model(cached)
    with torch.no_grad():
        for parameter in model.backbone.encoder.layer[2].parameters():
            parameter.mul_(1.5)
    assert not torch.allclose(model(cached), before)
    torch.testing.assert_close(model(cached), model(batch), rtol=0, atol=1e-6)


def test_above_the_last_layer_the_last_layer_is_cut():
    assert prefix.cut(tiny.pooled("bert"), 3).layer == 2


@pytest.mark.parametrize("family", ["bert", "llama", "gpt2"])
@pytest.mark.parametrize(
    ("name", "options"), [("lora", {"layers": 1}), ("adapters", {"width": 4}), ("ia3", {}), ("dora", {})]
)
def test_a_backbone_with_adapters_is_cut_as_exactly(family, name, options):
    model, batch = tiny.pooled(family), tiny.batch()
    STRATEGIES.load(name).build(options, name).shape(model, 0)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    model.eval()
    model.cut = prefix.cut(model, 2)
    cached = {"hidden_BTD": model.cut.below(batch), "attention_mask": batch["attention_mask"]}
    torch.testing.assert_close(model(cached), model(batch), rtol=0, atol=1e-6)
    shape = outline(model)
    above = {name for name in shape.adapters if shape.depths[name] == 3}
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter_name in above)
    whole, parts = _gradients(model, batch, above), _gradients(model, cached, above)
    assert whole
    for parameter_name in whole:
        torch.testing.assert_close(parts[parameter_name], whole[parameter_name], rtol=1e-6, atol=1e-6)


def test_a_copied_model_has_a_cut_of_its_own():
    model, batch = tiny.pooled("bert").eval(), tiny.batch()
    model.cut = prefix.cut(model, 1)
    cached = {"hidden_BTD": model.cut.below(batch), "attention_mask": batch["attention_mask"]}
    twin, before = copy.deepcopy(model), model(cached)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(twin(cached), before)
    torch.testing.assert_close(twin(cached), twin(batch), rtol=0, atol=1e-6)


def test_virtual_tokens_forbid_a_cut():
    model = tiny.pooled("llama")
    STRATEGIES.load("prompt").build({"tokens": 3}, "prompt").shape(model, 0)
    assert prefix.cut(model, 1) is None
