"""Attention in float32 where a CPU trains in bf16: PyTorch's fused kernel there goes its way back five to ten times slower than in float32
(`docs/performance.md`). Sums are the more exact for it, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch.overrides import TorchFunctionMode

FUSED = torch.nn.functional.scaled_dot_product_attention


@final
class WideAttention(TorchFunctionMode):
    """While it is entered, fused attention on a CPU is computed in float32 and given back in bf16, whatever autocast asks."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not FUSED or (args[0] if args else kwargs["query"]).device.type != "cpu":
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            wide = func(*map(_wide, args), **{name: _wide(value) for name, value in kwargs.items()})
        return wide.to(torch.bfloat16)


def _wide(value: Any) -> Any:
    """Queries, keys, values and masks that are added; masks of truth values and settings as they are."""
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
