"""What a diffusion model is given: pictures as it paints them (pixels, or latents of a frozen autoencoder), captions as vectors.

Latents and captions' vectors follow from frozen weights: they are computed once and kept in the cache, one file each.

Axes: C channels, H height, W width of what is painted; L tokens of a caption, D numbers of each.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from ..data import caches
from . import pipelines
from .heads import evaluating

if TYPE_CHECKING:
    from .source import Source

ROOM = "latents"
"""The cache's room."""
WORKING = threading.Lock()
"""Frozen parts are large: one at a time computes, on all threads."""


@final
class Canvas:
    """The processor of a diffusion model."""

    pad_token_id = None

    def __init__(self, source: Source) -> None:
        """`source`: a pipeline's folder, or a recipe."""
        self.source, self.side = source, pipelines.side(source)

    @cached_property
    def around(self) -> pipelines.Parts:
        """The frozen parts."""
        return pipelines.parts(self.source)

    @cached_property
    def key(self) -> str:
        """What latents and vectors depend on."""
        return pipelines.digest(self.source)

    @cached_property
    def grid(self) -> tuple[int, int, int]:
        """(C, H, W) of what is painted."""
        if self.source.kind == "new":
            return 3, self.side, self.side
        config = pipelines.part_config(self.source.folder, "unet")
        return int(config["in_channels"]), int(config["sample_size"]), int(config["sample_size"])

    @property
    def latent(self) -> bool:
        """Whether an autoencoder stands between pictures and what is painted."""
        return self.grid[1] != self.side or (self.source.kind != "new" and self.around.vae is not None)

    @property
    def reads(self) -> bool:
        """Whether the model takes captions, without loading their encoder."""
        return self.source.model_type == "UNet2DConditionModel"

    def painted(self, picture_HW3: np.ndarray, content: str, draw: np.random.Generator | None = None) -> np.ndarray:
        """(C, H, W) float32 of a picture (uint8, `side` a side): pixels from -1 to 1, or its latent: drawn, else the likeliest.

        `content`: a name of the picture that no other has.
        """
        pixels_CHW = (picture_HW3.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)
        if not self.latent:
            return np.ascontiguousarray(pixels_CHW)
        mean_CHW, spread_CHW = self._kept(f"latent|{content}", lambda: self._latent(pixels_CHW))
        noise_CHW = 0.0 if draw is None else draw.standard_normal(mean_CHW.shape, np.float32)
        return np.asarray((mean_CHW + spread_CHW * noise_CHW) * np.float32(self.around.scale), np.float32)

    def caption(self, text: str) -> np.ndarray:
        """(L, D) float32: a caption as the model reads it."""
        return self._kept(f"caption|{text}", lambda: vectors(self.around, text).numpy())

    def cut(self, text: str) -> bool:
        """Whether a caption is longer than what is read of it."""
        return len(self.around.tokenizer(text)["input_ids"]) > pipelines.TOKENS

    def to_dict(self) -> dict[str, Any]:
        """What examples follow from."""
        return {"source": self.key, "side": self.side}

    def save_pretrained(self, folder: Any) -> None:
        """Nothing: all of it is the pipeline's."""

    def _latent(self, pixels_CHW: np.ndarray) -> np.ndarray:
        """(2, C, H, W): mean and standard deviation."""
        vae = self.around.vae
        with evaluating(vae), torch.inference_mode():
            found = vae.encode(torch.from_numpy(pixels_CHW)[None].to(next(vae.parameters()).device))
            known = getattr(found, "latent_dist", None)
            mean_CHW = found.latents[0] if known is None else known.mean[0]
            spread_CHW = torch.zeros_like(mean_CHW) if known is None else known.std[0]
        return torch.stack([mean_CHW, spread_CHW]).float().cpu().numpy()

    def _kept(self, what: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        named = hashlib.blake2b(f"1|{self.key}|{what}".encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
        path = caches.root() / ROOM / f"{named}.npy"
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            pass
        with WORKING:
            made = make()
        beside = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(beside, "wb") as file:
                np.save(file, made, allow_pickle=False)
            os.replace(beside, path)
        except OSError:
            beside.unlink(missing_ok=True)  # a full disk: it is computed again each time
        return made


@lru_cache(maxsize=4)
def canvas(source: Source) -> Canvas:
    """The processor of a source, one a process."""
    return Canvas(source)


def vectors(around: pipelines.Parts, text: str) -> torch.Tensor:
    """(L, D) of a caption, as the pipeline of diffusers makes it: padded to its full length, small letters where it paints pixels."""
    latent = around.vae is not None
    read = around.tokenizer(
        [text if latent else text.lower().strip()], padding="max_length", max_length=pipelines.TOKENS, truncation=True,
        add_special_tokens=True, return_tensors="pt",
    )
    mask_BL = None if latent else read["attention_mask"]
    device = next(around.reader.parameters()).device
    with evaluating(around.reader), torch.inference_mode():
        found = around.reader(read["input_ids"].to(device), attention_mask=None if mask_BL is None else mask_BL.to(device))
    return found[0][0].float().cpu().clone()
