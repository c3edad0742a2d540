"""Vectors of pictures by an image encoder as it came, by which made pictures are compared with real ones.

Axes: N pictures, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from . import vision
from .heads import evaluating
from .source import find, load, processor

BATCH = 32


def vectors(name: str, squares: Sequence[np.ndarray]) -> np.ndarray:
    """(N, D) of pictures (uint8). Raises ModelError where the name leads to no image encoder."""
    from PIL import Image

    module, prepare, pooling = _encoder(name)
    found = []
    with evaluating(module), torch.inference_mode():
        for start in range(0, len(squares), BATCH):
            made = [Image.fromarray(np.ascontiguousarray(one)) for one in squares[start : start + BATCH]]
            pixels_BCHW = torch.from_numpy(np.stack([np.asarray(prepare.preprocess([one])["pixel_values"][0], np.float32) for one in made]))
            found.append(vision.pool(module(pixel_values=pixels_BCHW), pooling).float().numpy())
    return np.concatenate(found).astype(np.float64)


@lru_cache(maxsize=1)
def _encoder(name: str) -> tuple[Any, Any, str]:
    source = find(name, "image")
    return load(source).module, processor(source), source.pooling
