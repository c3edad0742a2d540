"""What an image encoder says of each place of an image: its maps on one grid, side by side, for heads that answer every place.

Encoders in stages (ConvNeXt, ResNet, EfficientNet, Swin, SegFormer's) give the last map of each stage from a quarter of the image's size
down (hypercolumns: arXiv 1411.5752); encoders of patches (ViT, DINO) give their patches.

Axes: B images, D features, G cells of the grid a side, T = G x G cells in reading order, H and W cells of a map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import nn
from torch.nn import functional

from . import vision
from .heads import bare, evaluating, inputs
from .source import Backbone

FINEST = 4
"""Pixels a side of the finest map that is used: finer ones are edges, and cost most."""
Size = tuple[int, int]
"""Down and across."""


@final
class Maps:
    """How to read an encoder; found out with one grey image. Raises ModelError for an encoder without maps."""

    def __init__(self, backbone: Backbone, sides: Size, grid: Size) -> None:
        """`sides`: pixels of what the encoder is shown. `grid`: places."""
        self.source, self.sides, self.grid = backbone.source, sides, grid
        encoder: Any = backbone.module
        config: Any = vision.seeing(bare(encoder).config)
        like = next(encoder.parameters())
        grey = torch.zeros(1, getattr(config, "num_channels", 3), *sides, device=like.device)
        with evaluating(encoder), torch.no_grad():
            output = encoder(pixel_values=grey, output_hidden_states=True)
            self.staged = bool(_stages(output, sides[1]))
            self.width = sum(one.shape[1] for one in self._of(encoder, output, sides))

    @property
    def frame(self) -> list[int]:
        """Sides and grid, as `head.json` keeps them."""
        return [*self.sides, *self.grid]

    def features(self, encoder: nn.Module, batch: Mapping[str, torch.Tensor], cut: Any) -> torch.Tensor:
        """What a head reads of each place: (B, T, D), float32; of a batch with cached activations only what lies above them is run."""
        if "features_BTD" in batch:
            return batch["features_BTD"].float()
        if "hidden_BTD" in batch:
            assert cut is not None, "a batch of cached hidden states needs model.cut"
            return self._together(self._patches(encoder, cut.answer(batch).last_hidden_state, self.sides))
        height, width = batch["pixel_values"].shape[-2:]
        asked = inputs(encoder, batch) | ({"output_hidden_states": True} if self.staged else {})
        return self._together(self._of(encoder, encoder(**asked), (height, width)))

    def laid(self, features_BTD: torch.Tensor) -> torch.Tensor:
        """The same as maps: (B, D, G, G)."""
        return features_BTD.transpose(1, 2).unflatten(2, self.grid)

    def _of(self, encoder: Any, output: Any, sides: Size) -> list[torch.Tensor]:
        return _stages(output, sides[1]) if self.staged else self._patches(encoder, output.last_hidden_state, sides)

    def _patches(self, encoder: Any, hidden_BTD: torch.Tensor, sides: Size) -> list[torch.Tensor]:
        """The tokens of the patches, which stand last, as a map."""
        if hidden_BTD.dim() == 4:
            return [hidden_BTD]
        patch = getattr(vision.seeing(bare(encoder).config), "patch_size", None)
        down, across = (side // patch for side in sides) if isinstance(patch, int) else (0, 0)
        if not 0 < down * across <= hidden_BTD.shape[1]:
            raise vision.unsuitable(self.source.folder, self.source.model_type)
        return [hidden_BTD[:, -down * across :].transpose(1, 2).unflatten(2, (down, across))]

    def _together(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Maps brought to one scale and one grid, side by side: (B, T, D)."""
        return torch.cat([on(_even(one.float()), self.grid) for one in maps], 1).flatten(2).transpose(1, 2)


def saved_frame(found: Any) -> tuple[Size, Size] | None:
    """Sides and grid as `head.json` keeps them; None where they are not what a frame has."""
    whole = isinstance(found, list) and len(found) == 4 and all(type(size) is int and 0 < size <= vision.MOST_SIDE for size in found)
    return ((found[0], found[1]), (found[2], found[3])) if whole else None


def on(map_BDHW: torch.Tensor, grid: Size) -> torch.Tensor:
    """(B, D, G, G): coarse maps interpolated, fine ones averaged."""
    if tuple(map_BDHW.shape[-2:]) == grid:
        return map_BDHW
    if map_BDHW.shape[-1] > grid[1]:
        return functional.adaptive_avg_pool2d(map_BDHW, grid)
    return functional.interpolate(map_BDHW, grid, mode="bilinear", align_corners=False)


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
