"""Attention of training on a CPU is PyTorch's, forward and back, in bf16 and with dropout; elsewhere nothing is changed."""

import contextlib

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from tunesmith.models.dropout import mask
from tunesmith.models.quick import Quick
from tunesmith.spec import Train
from tunesmith.training import device


def drawn(dtype: torch.dtype) -> list[torch.Tensor]:
    """Queries, keys and values (2, 3, 7, 8) that learn."""
    torch.manual_seed(0)
    return [torch.randn(2, 3, 7, 8).to(dtype).requires_grad_() for _ in range(3)]


def attended(tensors: list[torch.Tensor], **settings) -> list[torch.Tensor]:
    """What comes out, and the gradient by each input."""
    out = scaled_dot_product_attention(*tensors, **settings)
    return [out, *torch.autograd.grad(out.float().square().sum(), tensors)]


ALLOWED = torch.ones(2, 1, 7, 7, dtype=torch.bool).tril()
SETTINGS = {
    "whole": {},
    "scale": {"scale": 0.5},
    "causal": {"is_causal": True},
    "mask": {"attn_mask": ALLOWED},
    "bias": {"attn_mask": torch.zeros(2, 1, 7, 7).masked_fill(~ALLOWED, -1e4)},
}
every = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_bf16_training_attends_as_float32_does(settings, dtype):
    """float32 inputs under autocast: a decoder's turned queries, which autocast would narrow."""
    with torch.autocast("cpu", torch.bfloat16), Quick():
        found = attended(drawn(dtype), **settings)
    wanted = attended([tensor.detach().float().requires_grad_() for tensor in drawn(dtype)], **settings)
    assert found[0].dtype == torch.bfloat16
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.float(), other, atol=0.03, rtol=0.03)


@every
def test_dropout_is_that_of_the_mask_drawn_and_nothing_else(settings):
    """Against attention in float64 with the same mask, written out."""
    with Quick():
        tensors = drawn(torch.float32)
        torch.manual_seed(1)
        found = attended(tensors, dropout_p=0.3, **settings)
    torch.manual_seed(1)
    kept = mask(torch.zeros(2, 3, 7, 7), round(0.3 * 2**16)).double()
    query, key, value = wide = [tensor.detach().double().requires_grad_() for tensor in tensors]
    bias = torch.zeros(7, 7).masked_fill(~ALLOWED[0, 0] & bool({*settings} - {"scale"}), float("-inf"))
    out = (torch.softmax(query @ key.mT * settings.get("scale", 8**-0.5) + bias, -1) * kept) @ value
    wanted = [out, *torch.autograd.grad(out.square().sum(), wide)]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("narrow", [False, True])
def test_on_average_dropout_changes_nothing(narrow):
    context = torch.autocast("cpu", torch.bfloat16) if narrow else contextlib.nullcontext()
    with context, Quick():
        wanted = scaled_dot_product_attention(*drawn(torch.float32)).float()
        tensors = drawn(torch.float32)
        many = torch.stack([scaled_dot_product_attention(*tensors, dropout_p=0.2).float() for _ in range(2_000)])
    error = many.std(0) / len(many) ** 0.5
    assert ((many.mean(0) - wanted).abs() < 6 * error + 0.01).all()


def test_outside_nothing_is_changed_and_other_functions_pass():
    tensors = drawn(torch.bfloat16)
    before = scaled_dot_product_attention(*tensors)
    with Quick():
        assert torch.equal(torch.softmax(tensors[0], -1), tensors[0].softmax(-1))
    assert torch.equal(scaled_dot_product_attention(*tensors), before)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_on_a_cpu_uses_it(precision, monkeypatch):
    entered = []
    monkeypatch.setattr(device, "Quick", lambda _: entered.append(1) or contextlib.nullcontext())
    with device.computing(device.accelerator(Train(device="cpu", precision=precision, threads=1)), torch.nn.Linear(1, 1)):
        assert torch.is_autocast_enabled("cpu") == (precision == "bf16")
    assert entered
