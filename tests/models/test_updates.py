"""Low-rank updates computed with the frozen map are what peft gives, forward and back; what is more than that peft itself computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import Linear
from torch import nn

from tests.runs import make_ready
from tunesmith.models.quick import Casts, Quick
from tunesmith.models.updates import QuickLora, _Updated, quicken
from tunesmith.training.state import State


class Net(nn.Module):
    """A map, with or without a bias, between maps that have none."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 16, bias=bias), nn.Linear(16, 10, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., 12) to (..., 10)."""
        found: torch.Tensor = self.second(torch.tanh(self.first(x)))
        return found


def made(*, bias: bool = True, dtype: torch.dtype = torch.float64, **settings: Any) -> Any:
    """The map with updates that are not nothing, as peft makes them."""
    torch.manual_seed(0)
    model: Any = get_peft_model(Net(bias), LoraConfig(target_modules=["first", "second"], r=4, lora_alpha=8, **settings)).to(dtype)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.3)
    model.casts = Casts()
    return model


def computed(model: Any, x: torch.Tensor) -> list[torch.Tensor]:
    """What comes out, the gradient by the input and those by the weights."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    out = model(x)
    out.square().sum().backward()
    return [out.detach(), x.grad, *(p.grad for p in model.parameters() if p.grad is not None)]  # type: ignore[list-item]


def count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each map that is computed together."""
    calls, apply = list[int](), _Updated.apply
    monkeypatch.setattr(_Updated, "apply", lambda *args: calls.append(1) or apply(*args))
    return calls


@pytest.mark.parametrize("shape", [(12,), (5, 12), (2, 3, 12)], ids=["vector", "rows", "texts"])
@pytest.mark.parametrize("settings", [{}, {"bias": False}, {"use_rslora": True}], ids=["bias", "no bias", "rslora"])
def test_forward_and_gradients_are_pefts(settings: dict[str, bool], shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    x, model = torch.randn(shape, dtype=torch.float64), made(**settings)
    wanted = computed(model, x)
    quicken(model)
    calls = count(monkeypatch)
    found = computed(model, x)
    assert len(calls) == 2 and len(found) == len(wanted) == 6
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)


def test_in_bf16_it_is_no_further_from_the_truth_than_peft_is() -> None:
    torch.manual_seed(1)
    x, model = torch.randn(64, 12), made(dtype=torch.float32)
    truth = computed(model, x)

    def error() -> float:
        with torch.autocast("cpu", torch.bfloat16), Quick(model.casts):
            found = computed(model, x)
        assert found[0].dtype == torch.bfloat16 and all(one.dtype == torch.float32 for one in found[1:])
        return float(sum((one.float() - other).norm() / other.norm() for one, other in zip(found, truth)))

    usual = error()
    quicken(model)
    assert 0 < error() < 1.2 * usual


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"lora_dropout": 0.3}, {"lora_bias": True}], ids=str)
def test_what_is_more_than_an_update_is_pefts_to_the_bit(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    x, model = torch.randn(5, 12, dtype=torch.float64), made(**settings)
    torch.manual_seed(2)
    wanted = computed(model, x)
    quicken(model)
    calls = count(monkeypatch)
    torch.manual_seed(2)
    found = computed(model, x)
    assert not calls and all(torch.equal(one, other) for one, other in zip(found, wanted))


def test_dropout_that_is_off_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = made(lora_dropout=0.3).eval(), count(monkeypatch)
    x = torch.randn(5, 12, dtype=torch.float64)
    wanted = model(x)
    quicken(model)
    torch.testing.assert_close(model(x), wanted)
    assert len(calls) == 2


def test_updates_that_are_left_out_merged_or_several_are_pefts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = made(), count(monkeypatch)
    x = torch.randn(5, 12, dtype=torch.float64)
    whole, net = model(x), model.get_base_model()
    quicken(model)
    with model.disable_adapter():
        alone = model(x)
    for module in (net.first, net.second):
        module.merge()
    torch.testing.assert_close(model(x), whole)
    for module in (net.first, net.second):
        module.unmerge()
    model.add_adapter("other", LoraConfig(target_modules=["first", "second"], r=2))
    model.base_model.set_adapter(["default", "other"])
    torch.testing.assert_close(model(x), whole)
    assert not calls and not torch.allclose(alone, whole)


def test_a_base_that_learns_too_is_pefts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = made(), count(monkeypatch)
    quicken(model)
    model.get_base_model().first.base_layer.weight.requires_grad_()
    assert len(computed(model, torch.randn(5, 12, dtype=torch.float64))) == 7 and len(calls) == 1


def test_a_run_computes_its_updates_so(tiny_bert: Path, tmp_path: Path) -> None:
    plain = State.start(make_ready(tmp_path, tiny_bert, strategy="lora"))
    maps = [module for module in plain.model.modules() if isinstance(module, Linear)]
    assert maps and all(type(module) is QuickLora and module.casts is plain.model.casts for module in maps)
