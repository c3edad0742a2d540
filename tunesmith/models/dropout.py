"""Dropout whose masks cost a quarter of the random numbers: on a CPU, drawing one for each element takes a tenth of a training step."""

from __future__ import annotations

from typing import final

import torch
from torch import nn

BITS = 16
"""Of random numbers for each element: a rate is met to 1 in 65,536."""


@final
class QuickDropout(nn.Dropout):
    """As PyTorch's (arXiv 1207.0580), from the same generator; on a CPU four masks come of each 64-bit number."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The input (any shape), of which a share `p` is zero in training and the rest larger by as much."""
        dropped = round(self.p * 2**BITS)
        if not self.training or input.device.type != "cpu" or not 0 < dropped < 2**BITS:
            return super().forward(input)
        return input * mask(input, dropped)


def mask(like: torch.Tensor, dropped: int) -> torch.Tensor:
    """0 for `dropped` of 65,536 elements on average, 1 over the rest's share for the others; of this tensor's shape and type."""
    size = like.numel()
    drawn = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:size]
    kept = drawn >= dropped - 2 ** (BITS - 1)
    return kept.to(like.dtype).mul_(2**BITS / (2**BITS - dropped)).view(like.shape)


def quicken(model: nn.Module) -> None:
    """Put this dropout in the place of every plain one."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                made = QuickDropout(child.p)
                made.train(child.training)
                setattr(parent, name, made)
