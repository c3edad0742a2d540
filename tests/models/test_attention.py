"""Attention of bf16 training is that of float32, forward and back, and is left alone elsewhere."""

import contextlib

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from tunesmith.models.attention import WideAttention


def drawn(dtype: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, 3, 7, 8).to(dtype).requires_grad_() for _ in range(3)]


def attended(tensors: list[torch.Tensor], **settings) -> list[torch.Tensor]:
    """What comes out, and the gradient by each input."""
    out = scaled_dot_product_attention(*tensors, **settings)
    return [out, *torch.autograd.grad(out.float().square().sum(), tensors)]


MASK = torch.ones(2, 1, 7, 7, dtype=torch.bool).tril()
SETTINGS = {
    "whole": {},
    "causal": {"is_causal": True},
    "mask": {"attn_mask": MASK},
    "bias": {"attn_mask": torch.zeros(2, 1, 7, 7).masked_fill(~MASK, -1e4)},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_bf16_training_attends_as_float32_does(settings, dtype):
    """float32 inputs under autocast: a decoder's turned queries, which autocast would narrow."""
    with torch.autocast("cpu", torch.bfloat16), WideAttention():
        found = attended(drawn(dtype), **settings)
    wanted = attended([tensor.detach().float().requires_grad_() for tensor in drawn(dtype)], **settings)
    assert found[0].dtype == torch.bfloat16
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.float(), other, atol=0.03, rtol=0.03)


def test_outside_nothing_is_changed_and_other_functions_pass():
    tensors = drawn(torch.bfloat16)
    before = scaled_dot_product_attention(*tensors)
    with WideAttention():
        assert torch.equal(torch.softmax(tensors[0], -1), tensors[0].softmax(-1))
    assert torch.equal(scaled_dot_product_attention(*tensors), before)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_uses_it_in_bf16_alone(precision, monkeypatch):
    from tunesmith.spec import Train
    from tunesmith.training import device

    entered = []
    monkeypatch.setattr(device, "WideAttention", lambda: entered.append(1) or contextlib.nullcontext())
    with device.computing(device.accelerator(Train(device="cpu", precision=precision, threads=1))):
        pass
    assert bool(entered) == (precision == "bf16")
