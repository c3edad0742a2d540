"""Pictures beside a text and a table: an image encoder of its own, whose vectors stand between the text's and the table's numbers.

A row has K places for pictures, each of which may be empty: then its vector is nothing, and so is the number behind it, which is 1 where
there is a picture. The saved folder keeps the encoder, plain, in a folder of its own (`pictures/`).

Axes: B rows of a batch, K places, M pictures that are there, I numbers of a picture's vector, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

import torch
from torch import nn

from ..errors import ModelError
from . import vision

if TYPE_CHECKING:
    from .source import Backbone, Source

FOLDER = "pictures"
"""Where a saved model keeps the encoder of its pictures."""
MOST = 64
"""Most places of a row: nothing sane has more, and memory is taken for them."""


@final
class Sight(nn.Module):
    """`sight(batch)` -> (B, K x (I + 1)) of `pixel_values` (B, K, C, H, W) and `seen` (B, K)."""

    def __init__(self, backbone: Backbone, places: int) -> None:
        super().__init__()
        self.module: Any = backbone.module
        self.source, self.spare, self.places = backbone.source, backbone.spare, places

    @property
    def width(self) -> int:
        """Numbers of a row: those of each place, and whether there is a picture."""
        return self.places * (self.source.hidden + 1)

    def forward(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Only pictures that are there are looked at."""
        pixels_BKCHW, seen_BK = batch["pixel_values"], batch["seen"].bool()
        found_BKI = pixels_BKCHW.new_zeros(*seen_BK.shape, self.source.hidden + 1)
        if seen_BK.any():
            vector_MI = vision.pool(self.module(pixel_values=pixels_BKCHW[seen_BK]), self.source.pooling)
            told_MI = torch.cat([vector_MI, vector_MI.new_ones(len(vector_MI), 1)], 1)
            found_BKI = found_BKI.index_put(seen_BK.nonzero(as_tuple=True), told_MI)
        return found_BKI.flatten(1)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but batch norm keeps the statistics of pretraining."""
        super().train(mode)
        vision.freeze_statistics(self.module)
        return self


@final
class Both:
    """A tokenizer, and what prepares pictures: the processor of a model that reads both."""

    def __init__(self, tokenizer: Any, pictures: Any, source: Source) -> None:
        """`source`: of the encoder of pictures."""
        self.tokenizer, self.pictures = tokenizer, pictures
        self.width, self.tokens, self.name = source.hidden, source.max_length, source.name
        self.pad_token_id, self.unk_token_id = tokenizer.pad_token_id, tokenizer.unk_token_id

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of a picture as the encoder is shown it."""
        from PIL import Image

        return tuple(self.pictures.preprocess([Image.new("RGB", (64, 64))])["pixel_values"][0].shape)

    def to_dict(self) -> dict[str, Any]:
        """The settings for pictures: with the texts' tokens, what examples follow from."""
        return dict(self.pictures.to_dict())

    def save_pretrained(self, folder: Path) -> None:
        """The tokenizer into the folder, what prepares pictures into the folder of their encoder."""
        self.tokenizer.save_pretrained(folder)
        self.pictures.save_pretrained(Path(folder) / FOLDER)


def save(model: nn.Module, folder: Path) -> None:
    """The encoder of a model's pictures, where it has one, as a plain folder of transformers."""
    from .loading import quiet

    sight = getattr(model, "sight", None)
    if sight is None:
        return
    sight.module.config._name_or_path = ""
    with quiet():
        sight.module.save_pretrained(folder / FOLDER, state_dict={**sight.module.state_dict(), **sight.spare})


def beside(source: Source, folder: Path, places: int) -> Source:
    """The source of a saved model with that of its pictures. Raises ModelError where it is gone."""
    from .source import find

    if not places:
        return source
    if not (folder / FOLDER / "config.json").is_file():
        raise ModelError(
            str(folder / FOLDER), expected="the encoder of the model's pictures", got="none", fix="copy the whole folder",
            code="no-picture-encoder",
        )
    return dataclasses.replace(source, picture=find(str(folder / FOLDER), "image"))


def reader(tokenizer: Any, folder: Path) -> Any:
    """The processor of a saved folder: the tokenizer, with what prepares pictures where the model reads them. Raises ModelError."""
    from .source import find

    if not (folder / FOLDER).is_dir():
        return tokenizer
    return Both(tokenizer, vision.load_processor(folder / FOLDER), find(str(folder / FOLDER), "image"))


def sight_of(backbone: Backbone, places: int) -> Sight | None:
    """The part that sees, of a backbone that was loaded with one."""
    return Sight(backbone.picture, places) if places and backbone.picture is not None else None


def places_of(model: nn.Module) -> int:
    """K, as `head.json` keeps it; 0 where a model reads no pictures beside texts."""
    sight = getattr(model, "sight", None)
    return 0 if sight is None else int(sight.places)
