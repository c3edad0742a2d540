"""What is computed otherwise while a model learns or reads, with the same result (`docs/performance.md`): attention on a CPU, and the casts
of weights that do not change, which autocast would make in every pass anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .attention import FUSED, attend

MAPS = frozenset({nn.functional.linear, nn.functional.conv1d, nn.functional.conv2d})
"""Functions (input, weight, bias, ...) that autocast computes in a narrower type."""


@final
class Casts:
    """Weights in the type that autocast asks for, cast once while they do not change."""

    def __init__(self, *, reading: bool = False) -> None:
        """`reading`: no weight changes while this is in use; else those that learn are left to autocast."""
        self._reading, self._closed = reading, False
        self._kept: dict[int, tuple[torch.Tensor, int, torch.Tensor]] = {}

    def of(self, weight: torch.Tensor) -> torch.Tensor:
        """What autocast would compute with in this weight's place: a kept copy where it does not change, else the weight itself."""
        kind = weight.device.type
        stays = self._reading and not torch.is_grad_enabled() or not weight.requires_grad
        wide = isinstance(weight, nn.Parameter) and weight.dtype == torch.float32 and torch.is_autocast_enabled(kind)
        if self._closed or not (stays and wide):
            return weight
        found = self._kept.get(id(weight))
        if found is None or found[0] is not weight or found[1] != weight._version:
            with torch.inference_mode(False):  # a copy made while reading serves learning, too
                narrow = weight.detach().to(torch.get_autocast_dtype(kind))
            self._kept[id(weight)] = found = (weight, weight._version, narrow)
        return found[2]

    def clear(self) -> None:
        """Forget all of them."""
        self._kept.clear()

    def close(self) -> None:
        """Forget them and keep none from here on: where layers are computed again to save memory, copies of weights would take it."""
        self._closed = True
        self.clear()


@final
class Quick(TorchFunctionMode):
    """While it is entered, weights are taken from `casts`; `learning`: attention on a CPU is computed as training wants it."""

    def __init__(self, casts: Casts | None = None, *, learning: bool = True) -> None:
        """`casts` may serve many passes, as long as weights are changed in place only."""
        super().__init__()
        self._casts = Casts() if casts is None else casts
        self._learning = learning

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in MAPS and len(args) > 1:
            return func(args[0], self._casts.of(args[1]), *args[2:], **kwargs)
        if func is FUSED and self._learning and (args[0] if args else kwargs["query"]).device.type == "cpu":
            return attend(*args, **kwargs)
        return func(*args, **kwargs)
