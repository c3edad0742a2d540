"""Rows end to end give the loss and the gradient of padded rows; what cannot be packed is found out, not believed."""

import pytest
import torch
import transformers
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tests.models import tiny
from tests.tiny_models import writer
from tunesmith.models import packing, source
from tunesmith.models.heads import set_dropout
from tunesmith.models.language import Language
from tunesmith.registry import STRATEGIES


def _unwindowed(family, monkeypatch):
    name, values = tiny.CONFIGS[family]
    wide = {"local_attention": 64} if family == "modernbert" else {"use_sliding_window": False} if family == "qwen2" else {}
    monkeypatch.setitem(tiny.CONFIGS, family, (name, {**values, **wide}))


def _gradients(model, batch, loss):
    model.zero_grad()
    value = loss(model, batch)
    value.backward()
    return value.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def _compare(model, batch, loss):
    """Packed as padded, to 1e-6 of the largest number."""
    set_dropout(model, 0.0)
    model.train()
    padded = _gradients(model, batch, loss)
    model.packed, why = packing.suited(model)
    assert model.packed is not None, why
    calls = []
    real = packing.Packed.hidden
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing.Packed, "hidden", lambda *a: calls.append(1) or real(*a))
        packed = _gradients(model, batch, loss)
    assert calls and torch.allclose(packed[0], padded[0], rtol=1e-6, atol=1e-6) and packed[1].keys() == padded[1].keys()
    largest = max(float(g.abs().max()) for g in padded[1].values())
    assert all(float((packed[1][n] - g).abs().max()) <= 1e-6 * max(1.0, largest) for n, g in padded[1].items())


def _rows():
    batch = tiny.batch(rows=4, tokens=9, seed=3)
    learn = batch["attention_mask"].clone()
    learn[:, :2] = 0
    return batch | {"learn": learn}


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_language_models(family, strategy, tmp_path):
    folder = writer(tmp_path / family, family)
    model = Language(source.load(source.find(str(folder)), form="language"))
    STRATEGIES.load(strategy).build({}, strategy).shape(model, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    _compare(model.double(), _rows(), lambda m, b: m(b).sum())


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "distilbert", "electra"])
def test_encoders(family, monkeypatch):
    _unwindowed(family, monkeypatch)
    _compare(tiny.pooled(family).double(), _rows(), lambda m, b: m.hidden(b)[b["attention_mask"].bool()].pow(4).sum())


def test_a_row_does_not_see_another():
    model = tiny.pooled("llama")
    model.packed = packing.suited(model)[0]
    model.train()
    batch = _rows()
    whole = model.hidden(batch)
    batch["input_ids"][0] = 9
    changed = model.hidden(batch)
    assert torch.equal(whole[1:], changed[1:]) and not torch.allclose(whole[0], changed[0])


def test_a_window_is_kept_out_of_reach():
    model = tiny.pooled("modernbert")
    model.packed, why = packing.suited(model)
    assert model.packed is None and why, "its window is narrower than the rows that it is tried on"
    wide = packing.Packed(0, 4)
    assert not wide.takes(_rows()) and wide.takes({"attention_mask": torch.ones(2, 4)})


@pytest.mark.parametrize("family", ["deberta-v2", "t5", "mpnet"])
def test_families_with_biases_of_positions_are_not_packed(family):
    model = tiny.pooled(family)
    assert packing.suited(model)[0] is None and packing.suited(model)[1]
    assert bool(torch.isfinite(model(tiny.batch())).all()), "and go on as they were"


@pytest.mark.parametrize("strategy", ["prompt", "adapters"])
def test_learnt_tokens_and_bottlenecks_are_not_packed(strategy):
    model = tiny.pooled("bert")
    STRATEGIES.load(strategy).build({}, strategy).shape(model, 0)
    assert packing.suited(model)[0] is None


def test_attention_is_put_back(monkeypatch):
    model = tiny.pooled("bert")
    before = model.backbone.config._attn_implementation
    monkeypatch.setattr(transformers.BertModel, "forward", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        packing.Packed().hidden(model.backbone, tiny.batch())
    assert model.backbone.config._attn_implementation == before


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
def test_in_half_precision_the_kernel_of_a_gpu_is_given_one_type(family, tmp_path, monkeypatch):
    """Tried on a CPU, whose rows go another way: what layers hand to attention, and what the kernel would be given of it."""
    model = Language(source.load(source.find(str(writer(tmp_path / family, family))), form="language"))
    given, real = [], packing.attend
    monkeypatch.setattr(packing, "attend", lambda module, *parts, **more: given.append(parts[:3]) or real(module, *parts, **more))
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, packing.NAME, packing.attend)
    with torch.autocast("cpu", torch.bfloat16):
        packing.Packed().hidden(model.backbone, tiny.batch(rows=2, tokens=5))
        assert given and all(part.dtype == torch.bfloat16 for parts in given for part in packing.narrowed(*parts))
    assert packing.narrowed(torch.ones(1))[0].dtype == torch.float32
