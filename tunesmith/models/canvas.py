"""What a diffusion model is given: pictures as it paints them (pixels, or latents of a frozen autoencoder), captions as vectors.

Latents and captions' vectors follow from frozen weights: they are computed once and kept in the cache, one file each.

Axes: C channels, H height, W width of what is painted; L tokens of a caption, D numbers of each.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from ..data import caches
from . import around, pipelines

if TYPE_CHECKING:
    from .source import Source

ROOM = "latents"
"""The cache's room."""
WORKING = threading.Lock()
"""Frozen parts are large: one at a time computes, on all threads."""
LEVELS = 1000
"""Noise levels there are."""
Arrays = dict[str, np.ndarray]


@final
class Canvas:
    """The processor of a diffusion model."""

    pad_token_id = None

    def __init__(self, source: Source) -> None:
        """`source`: a pipeline's folder, or a recipe."""
        self.source, self.side, self.family = source, pipelines.side(source), pipelines.family_of(source)

    @cached_property
    def around(self) -> around.Parts:
        """The frozen parts."""
        return around.parts(self.source)

    @cached_property
    def key(self) -> str:
        """What latents and vectors depend on."""
        return pipelines.digest(self.source)

    @cached_property
    def grid(self) -> tuple[int, int, int]:
        """(C, H, W) of what is painted."""
        if self.source.kind == "new":
            return 3, self.side, self.side
        config = pipelines.part_config(self.source.folder, self.family.denoiser)
        return int(config["in_channels"]), int(config["sample_size"]), int(config["sample_size"])

    @property
    def latent(self) -> bool:
        """Whether an autoencoder stands between pictures and what is painted."""
        return bool(self.family.vae)

    @property
    def reads(self) -> bool:
        """Whether the model takes captions, without loading their encoder."""
        return bool(self.family.readers)

    @property
    def sized(self) -> bool:
        """Whether the model is told the images' sizes."""
        return self.family.sized

    @property
    def guidance(self) -> float:
        """How far the model's own pipeline pulls pictures towards captions."""
        return self.family.guidance

    def levels(self, shares_K: np.ndarray) -> np.ndarray:
        """(K,) noise levels, the last one nothing but noise, that so many of all training levels stand below (0 to 1).

        All alike; of a flow more in the middle, where there is most to learn (logit-normal, arXiv 2403.03206).
        """
        if self.family.flow:
            normal_K = np.array([NormalDist().inv_cdf(float(share)) for share in np.clip(shares_K, 1e-9, 1 - 1e-9)])
            shares_K = 1 / (1 + np.exp(-normal_K))
        return (shares_K * LEVELS).astype(np.int64).clip(0, LEVELS - 1)

    def painted(self, picture_HW3: np.ndarray, content: str, draw: np.random.Generator | None = None) -> np.ndarray:
        """(C, H, W) float32 of a picture (uint8, `side` a side): pixels from -1 to 1, or its latent: drawn, else the likeliest.

        `content`: a name of the picture that no other has.
        """
        pixels_CHW = (picture_HW3.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)
        if not self.latent:
            return np.ascontiguousarray(pixels_CHW)
        mean_CHW, spread_CHW = self._kept(f"latent|{content}", lambda: {"latent": self._latent(pixels_CHW)})["latent"]
        noise_CHW = 0.0 if draw is None else draw.standard_normal(mean_CHW.shape, np.float32)
        latent_CHW = mean_CHW + spread_CHW * noise_CHW - np.float32(self.around.shift)
        return np.asarray(latent_CHW * np.float32(self.around.scale), np.float32)

    def caption(self, text: str) -> Arrays:
        """`caption` (L, D) float32 as the model reads it, and `pooled` (P,) where it reads a vector of all of it."""
        return self._kept(f"caption|{text}", lambda: _arrays(self.around.said(text)))

    def nothing(self) -> Arrays:
        """The same where there is no caption."""
        return self._kept("nothing", lambda: _arrays(self.around.nothing()))

    def cut(self, text: str) -> bool:
        """Whether a caption is longer than what is read of it."""
        return self.around.cut(text)

    def to_dict(self) -> dict[str, Any]:
        """What examples follow from."""
        return {"source": self.key, "side": self.side}

    def save_pretrained(self, folder: Any) -> None:
        """Nothing: all of it is the pipeline's."""

    def _latent(self, pixels_CHW: np.ndarray) -> np.ndarray:
        """(2, C, H, W): mean and standard deviation."""
        vae = self.around.vae
        with around.exactly(vae):
            found = vae.encode(torch.from_numpy(pixels_CHW)[None].to(next(vae.parameters()).device))
            known = getattr(found, "latent_dist", None)
            mean_CHW = found.latents[0] if known is None else known.mean[0]
            spread_CHW = torch.zeros_like(mean_CHW) if known is None else known.std[0]
        return torch.stack([mean_CHW, spread_CHW]).float().cpu().numpy()

    def _kept(self, what: str, make: Callable[[], Arrays]) -> Arrays:
        named = hashlib.blake2b(f"2|{self.key}|{what}".encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
        path = caches.root() / ROOM / f"{named}.npz"
        try:
            with np.load(path, allow_pickle=False) as found:
                return dict(found)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            pass
        with WORKING:
            made = make()
        beside = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(beside, "wb") as file:
                np.savez(file, **made)  # type: ignore[arg-type]
            os.replace(beside, path)
        except OSError:
            beside.unlink(missing_ok=True)  # a full disk: it is computed again each time
        return made


@lru_cache(maxsize=4)
def canvas(source: Source) -> Canvas:
    """The processor of a source, one a process."""
    return Canvas(source)


def _arrays(said: Mapping[str, torch.Tensor]) -> Arrays:
    return {name: value.numpy() for name, value in said.items()}
