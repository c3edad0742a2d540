"""Low-rank updates (LoRA, arXiv 2106.09685) in as few passes over memory as they need: peft adds the update to what the frozen map gives in
passes of their own, forth and back, which on small maps take as long as the products.

Axes: N vectors, I features that come in, O that go out, R the rank.
"""

from __future__ import annotations

from typing import Any, final

import torch
from peft.tuners.lora.layer import Linear
from torch import nn

from .quick import Casts


@final
class QuickLora(Linear):
    """peft's linear map with an update, computed together; where it is more than that (DoRA, dropout, merged, several), as peft does."""

    casts: Casts

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """(..., I) to (..., O)."""
        if args or kwargs or not self._plain():
            result: torch.Tensor = super().forward(x, *args, **kwargs)
            return result
        (name,) = self.active_adapters
        base, kind = self.get_base_layer(), x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        down_RI, up_OR = self.lora_A[name].weight, self.lora_B[name].weight
        found: torch.Tensor = _Updated.apply(x, self.casts.of(base.weight), base.bias, down_RI, up_OR, self.scaling[name], dtype)  # type: ignore[no-untyped-call]
        return found

    def _plain(self) -> bool:
        """Whether this is a frozen map and one update of it."""
        base, names = self.get_base_layer(), self.active_adapters
        if self.disable_adapters or self.merged or self.fan_in_fan_out or len(names) != 1 or type(base) is not nn.Linear:
            return False
        (name,) = names
        if name not in self.lora_A or name in self.lora_variant or self.lora_A[name].bias is not None or self.lora_B[name].bias is not None:
            return False
        dropout = self.lora_dropout[name]
        dropping = isinstance(dropout, nn.Dropout) and self.training and dropout.p > 0
        return not dropping and not any(parameter.requires_grad for parameter in base.parameters())


class _Updated(torch.autograd.Function):
    """x W' + b + s (x A') B', all of it in one type; numbers that are added up are added within the products."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: torch.Tensor, weight_OI: torch.Tensor, bias_O: torch.Tensor | None, down_RI: torch.Tensor, up_OR: torch.Tensor,
        scale: float, dtype: torch.dtype,
    ) -> torch.Tensor:  # fmt: skip
        with torch.autocast(x.device.type, enabled=False):
            x_NI = x.reshape(-1, x.shape[-1]).to(dtype)
            weight_OI, down, up = (tensor.to(dtype) for tensor in (weight_OI, down_RI, up_OR))
            found_NO = x_NI @ weight_OI.T if bias_O is None else torch.addmm(bias_O.to(dtype), x_NI, weight_OI.T)
            inner_NR = x_NI @ down.T
            found_NO.addmm_(inner_NR, up.T, alpha=scale)
        ctx.save_for_backward(x_NI, weight_OI, down, up, inner_NR)
        ctx.scale, ctx.shape, ctx.types = scale, x.shape, (x.dtype, down_RI.dtype, up_OR.dtype)
        return found_NO.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *pulls: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x_NI, weight_OI, down_RI, up_OR, inner_NR = ctx.saved_tensors
        with torch.autocast(x_NI.device.type, enabled=False):
            pull_NO = pulls[0].reshape(-1, weight_OI.shape[0]).to(x_NI.dtype)
            pull_NR = (pull_NO @ up_OR).mul_(ctx.scale)
            by_up_OR = (pull_NO.T @ inner_NR).mul_(ctx.scale)
            by_down_RI = pull_NR.T @ x_NI
            by_x = None
            if ctx.needs_input_grad[0]:
                by_x = (pull_NO @ weight_OI).addmm_(pull_NR, down_RI).view(ctx.shape).to(ctx.types[0])
        return by_x, None, None, by_down_RI.to(ctx.types[1]), by_up_OR.to(ctx.types[2]), None, None


def quicken(model: nn.Module) -> None:
    """Compute every plain linear map with an update so. What `model.casts` keeps serves them."""
    for module in model.modules():
        if type(module) is Linear:
            module.__class__ = QuickLora
            module.casts = model.casts  # type: ignore[assignment]
