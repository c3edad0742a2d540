"""Bases of few bits: refused before the first step where they cannot be, replaced and written as plain numbers where they can.

The kernels need a GPU; here a stand-in for bitsandbytes with the same names rounds on the CPU.
"""

import importlib.machinery
import importlib.util
import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from tests.models import tiny
from tunesmith import api
from tunesmith.errors import ResourceError, SpecError
from tunesmith.models import quantised, save
from tunesmith.registry import STRATEGIES


@pytest.mark.parametrize("kind", quantised.KINDS)
def test_without_a_gpu_it_is_refused_before_the_first_step(kind, tiny_bert, tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"a {w} film {n},{w}\n" for n in range(30) for w in ("good", "bad")))
    settings = {"model": str(tiny_bert), "runs": str(tmp_path / "runs"), "quantise": kind, "near_duplicates": 0.0}
    with pytest.raises(ResourceError) as caught:
        api.fit(tmp_path / "rows.csv", strategy="lora", **settings)
    assert caught.value.code == "no-cuda" and str(caught.value).startswith(f"train.quantise: {kind}: expected a CUDA device")
    with pytest.raises(SpecError) as learns:
        api.fit(tmp_path / "rows.csv", strategy="full", **settings)
    assert learns.value.code == "quantised-base-learns" and not (tmp_path / "runs").exists()


def test_without_the_package_it_names_the_extra(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match="tunesmith\\[quantise\\]"):
        quantised.require("4bit", True, "lora", "text")
    with pytest.raises(SpecError):
        quantised.require("8bit", True, "lora", "image")
    quantised.require("none", False, "full", "image")


class Rounded(nn.Parameter):
    """Whole numbers from -127 to 127 and a scale for each row."""

    def __new__(cls, data, requires_grad=False, **_):
        scale = data.abs().amax(1).clamp(min=1e-9)
        made = torch.Tensor._make_subclass(cls, (data / scale[:, None] * 127).round(), False)
        made.SCB = made.quant_state = scale
        return made


class Linear8bitLt(nn.Linear):
    def __init__(self, features, out, bias, **_):
        super().__init__(features, out, bias)

    def forward(self, x):
        return nn.functional.linear(x, self.weight * self.weight.SCB[:, None] / 127, self.bias)


class Linear4bit(Linear8bitLt):
    pass


@pytest.fixture
def bits(monkeypatch):
    made, inner, functional = (ModuleType(f"bitsandbytes{name}") for name in ("", ".nn", ".functional"))
    inner.Linear8bitLt, inner.Linear4bit, inner.Int8Params, inner.Params4bit = Linear8bitLt, Linear4bit, Rounded, Rounded
    functional.dequantize_4bit = lambda data, scale: data * scale[:, None] / 127
    made.nn, made.functional = inner, functional
    for module in (made, inner, functional):
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize("kind", quantised.KINDS)
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_linear_maps_of_the_layers_are_small_and_are_saved_as_what_they_stand_for(kind, family, bits, tmp_path):
    model = tiny.pooled(family)
    before = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    batch = tiny.batch()
    count = quantised.quantise(model.backbone, kind)
    assert count == sum(type(m) in (Linear4bit, Linear8bitLt) for m in model.modules()) >= 3 * 4
    assert getattr(model.backbone, f"is_loaded_in_{kind}") and type(model.head) is nn.Linear
    state = save.plain_state(model.backbone)
    assert state.keys() == before.keys()
    close = [float((state[name] - tensor).abs().max()) for name, tensor in before.items() if tensor.is_floating_point()]
    assert 0 < max(close) < 0.01, "rounded, no more"
    again = tiny.pooled(family)
    again.backbone.load_state_dict(state)
    assert torch.allclose(again.eval()(batch), model.eval()(batch), atol=1e-5)


def test_none_changes_nothing():
    model = tiny.pooled("bert")
    assert quantised.quantise(model.backbone, "none") == 0 and not any(type(m) is Linear4bit for m in model.modules())
    assert save.plain_state(model.backbone).keys() == model.backbone.state_dict().keys()
    assert STRATEGIES.load("lora").adapter and not STRATEGIES.load("full").adapter
