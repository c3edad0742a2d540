"""An image encoder that answers every place of the image: its maps on one grid, a linear head on each place, and a light decoder.

The linear head can be solved on frozen maps and cached like any other; the decoder, three small convolutions over the same maps, is
added to it and starts at zero.

Axes: B rows of a batch, D features, G cells of the grid a side, T = G x G cells in reading order, C classes, H hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, final

import torch
from torch import nn
from torch.nn import functional

from . import vision
from .heads import START
from .maps import Maps
from .source import Backbone

Batch = Mapping[str, torch.Tensor]
POOLING = "places"
"""How `head.json` calls a head that answers each place of an image."""
HIDDEN = 64
"""H."""


@final
class Decoder(nn.Module):
    """(B, C, G, G) of maps (B, D, G, G): each place sees its neighbours two steps away."""

    def __init__(self, width: int, out: int, dropout: float) -> None:
        super().__init__()
        self.into = nn.Conv2d(width, HIDDEN, 1)
        self.around = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1)
        self.further = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1)
        self.last = nn.Conv2d(HIDDEN, out, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, maps_BDGG: torch.Tensor) -> torch.Tensor:
        """What is added to the linear head's logits."""
        hidden = functional.gelu(self.into(maps_BDGG))
        hidden = hidden + functional.gelu(self.around(hidden))
        hidden = hidden + functional.gelu(self.further(hidden))
        found: torch.Tensor = self.last(self.dropout(hidden))
        return found

    def reset(self, seed: int) -> None:
        """New weights that depend on `seed` alone; the last layer answers nothing yet."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in (self.into, self.around, self.further):
                width = layer.weight[0].numel() ** -0.5
                layer.weight.copy_(torch.empty(layer.weight.shape).uniform_(-width, width, generator=generator))
                layer.bias.zero_()  # type: ignore[union-attr]
            self.last.weight.zero_()
            self.last.bias.zero_()  # type: ignore[union-attr]


@final
class Segmenter(nn.Module):
    """`model(batch)` -> logits (B, T, C). A batch with `features_BTD` runs what lies above the encoder only."""

    per_token = True

    def __init__(
        self, backbone: Backbone, out: int, sides: tuple[int, int], grid: tuple[int, int], dropout: float = 0.1, seed: int = 0
    ) -> None:
        """`out`: C. `sides`: height and width of what the encoder is shown. `grid`: answers down and across."""
        super().__init__()
        self.backbone: Any = backbone.module
        self.source, self.spare = backbone.source, backbone.spare
        self.pooling, self.cut = POOLING, None
        self.maps = Maps(backbone, sides, grid)
        self.frame = self.maps.frame
        self.dropout = nn.Dropout(dropout)
        self.head = nn.utils.skip_init(nn.Linear, self.maps.width, out)
        self.decoder = Decoder(self.maps.width, out, dropout)
        self.reset_head(seed)

    @property
    def whole_only(self) -> bool:
        """Whether the encoder's answer below a cut is needed, so that it cannot be cut between its layers."""
        return self.maps.staged

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits (B, T, C)."""
        features_BTD = self.features(batch)
        linear_BTC = self.head(self.dropout(features_BTD))
        found: torch.Tensor = linear_BTC + self.decoder(self.maps.laid(features_BTD)).flatten(2).transpose(1, 2)
        return found

    def features(self, batch: Batch) -> torch.Tensor:
        """What the head reads of each place: (B, T, D), float32."""
        return self.maps.features(self.backbone, batch, self.cut)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but batch norm keeps the statistics of pretraining."""
        super().train(mode)
        vision.freeze_statistics(self.backbone)
        return self

    def reset_head(self, seed: int) -> None:
        """A new head and decoder: weights that depend on `seed` alone, a bias of zero."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.head.weight.copy_(torch.empty(self.head.weight.shape).normal_(0.0, START, generator=generator))
            self.head.bias.zero_()
        self.decoder.reset(seed)

    def set_head(self, weight_CD: torch.Tensor, bias_C: torch.Tensor) -> None:
        """Put a solved head in place; the tensors keep their identity, so an optimiser that holds them goes on."""
        with torch.no_grad():
            self.head.weight.copy_(torch.as_tensor(weight_CD))
            self.head.bias.copy_(torch.as_tensor(bias_C))
