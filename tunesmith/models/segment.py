"""An image encoder that answers every place of the image: its maps on one grid, a linear head on each place, and a light decoder.

Encoders in stages (ConvNeXt, ResNet, EfficientNet, Swin, SegFormer's) give the last map of each stage from a quarter of the image's size
down, side by side (hypercolumns: arXiv 1411.5752); encoders of patches (ViT, DINO) give their patches. The linear head can be solved on
frozen maps and cached like any other; the decoder, three small convolutions over the same maps, is added to it and starts at zero.

Axes: B rows of a batch, D features, G cells of the grid a side, T = G x G cells in reading order, C classes, H hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, final

import torch
from torch import nn
from torch.nn import functional

from . import vision
from .heads import START, bare, evaluating, inputs
from .source import Backbone

Batch = Mapping[str, torch.Tensor]
POOLING = "places"
"""How `head.json` calls a head that answers each place of an image."""
MOST_SIDE = 4096
"""Pixels a side of what an encoder is shown: nothing sane is larger, and memory is taken for it."""
HIDDEN = 64
"""H."""
FINEST = 4
"""Pixels a side of the finest map that is used: finer ones are edges, and cost most."""


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
        self.pooling, self.cut, self.grid = POOLING, None, grid
        self.frame = [*sides, *grid]
        self.dropout = nn.Dropout(dropout)
        width, self.staged = self._tried(sides)
        self.head = nn.utils.skip_init(nn.Linear, width, out)
        self.decoder = Decoder(width, out, dropout)
        self.reset_head(seed)

    @property
    def whole_only(self) -> bool:
        """Whether the encoder's answer below a cut is needed, so that it cannot be cut between its layers."""
        return self.staged

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits (B, T, C)."""
        features_BTD = self.features(batch)
        linear_BTC = self.head(self.dropout(features_BTD))
        maps_BDGG = features_BTD.transpose(1, 2).unflatten(2, self.grid)
        found: torch.Tensor = linear_BTC + self.decoder(maps_BDGG).flatten(2).transpose(1, 2)
        return found

    def features(self, batch: Batch) -> torch.Tensor:
        """What the head reads of each place: (B, T, D), float32."""
        if "features_BTD" in batch:
            return batch["features_BTD"].float()
        if "hidden_BTD" in batch:
            assert self.cut is not None, "a batch of cached hidden states needs model.cut"
            return self._together(self._patches(self.cut.answer(batch).last_hidden_state, *self._sides))
        height, width = batch["pixel_values"].shape[-2:]
        asked = inputs(self.backbone, batch) | ({"output_hidden_states": True} if self.staged else {})
        return self._together(self._maps(self.backbone(**asked), height, width))

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

    def _tried(self, sides: tuple[int, int]) -> tuple[int, bool]:
        """D, and whether the encoder has stages: found out with one grey image. Raises ModelError for an encoder without maps."""
        self._sides = sides
        config: Any = vision.seeing(bare(self.backbone).config)
        like = next(self.backbone.parameters())
        grey = torch.zeros(1, getattr(config, "num_channels", 3), *sides, device=like.device)
        with evaluating(self.backbone), torch.no_grad():
            output = self.backbone(pixel_values=grey, output_hidden_states=True)
            self.staged = bool(_stages(output, sides[1]))
            return sum(one.shape[1] for one in self._maps(output, *sides)), self.staged

    def _maps(self, output: Any, height: int, width: int) -> list[torch.Tensor]:
        if self.staged:
            return _stages(output, width)
        return self._patches(output.last_hidden_state, height, width)

    def _patches(self, hidden_BTD: torch.Tensor, height: int, width: int) -> list[torch.Tensor]:
        """The tokens of the patches, which stand last, as a map."""
        if hidden_BTD.dim() == 4:
            return [hidden_BTD]
        patch = getattr(vision.seeing(bare(self.backbone).config), "patch_size", None)
        down, across = (height // patch, width // patch) if isinstance(patch, int) else (0, 0)
        if not 0 < down * across <= hidden_BTD.shape[1]:
            raise vision.unsuitable(self.source.folder, self.source.model_type)
        return [hidden_BTD[:, -down * across :].transpose(1, 2).unflatten(2, (down, across))]

    def _together(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Maps brought to one scale and one grid, side by side: (B, T, D)."""
        return torch.cat([_on(_even(one.float()), self.grid) for one in maps], 1).flatten(2).transpose(1, 2)


def saved_frame(found: Any) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Sides and grid as `head.json` keeps them; None where they are not what a `Segmenter` has."""
    whole = isinstance(found, list) and len(found) == 4 and all(type(size) is int and 0 < size <= MOST_SIDE for size in found)
    return ((found[0], found[1]), (found[2], found[3])) if whole else None


def _stages(output: Any, width: int) -> list[torch.Tensor]:
    """The last map of each size, finest first; none where the encoder gives tokens."""
    found: dict[int, torch.Tensor] = {}
    given = getattr(output, "reshaped_hidden_states", None) or getattr(output, "hidden_states", None) or ()
    for one in given:
        if one.dim() == 4 and one.shape[-1] * FINEST <= width + FINEST:
            found[one.shape[-1]] = one
    return [found[size] for size in sorted(found, reverse=True)]


def _even(map_BDHW: torch.Tensor) -> torch.Tensor:
    """Each place's vector with mean 0 and variance 1: stages differ in scale by orders of magnitude."""
    return functional.layer_norm(map_BDHW.movedim(1, -1), map_BDHW.shape[1:2]).movedim(-1, 1)


def _on(map_BDHW: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Coarse maps interpolated, fine ones averaged."""
    if tuple(map_BDHW.shape[-2:]) == grid:
        return map_BDHW
    if map_BDHW.shape[-1] > grid[1]:
        return functional.adaptive_avg_pool2d(map_BDHW, grid)
    return functional.interpolate(map_BDHW, grid, mode="bilinear", align_corners=False)
