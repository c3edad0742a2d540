"""Pictures as a diffusion model learns and makes them: squares of pixels, their names, sheets of many.

Axes: H height, W width, 3 colours.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import images

if TYPE_CHECKING:
    from PIL.Image import Image

PNG = "data:image/png;base64,"
SHOWN = 96
"""Pixels a side to which small pictures are enlarged for the report."""
LARGEST = 128
"""Most pixels a side of a picture on a sheet."""
GAP = 2
"""Pixels between the pictures of a sheet."""


def square(cell: Any, side: int) -> np.ndarray:
    """(side, side, 3) uint8: the middle of a cell's image, upright, transparency laid on white. Raises DataError as `images.rgb` does."""
    image = images.rgb(cell, least=side)
    edge = min(image.size)
    left, top = (image.width - edge) / 2, (image.height - edge) / 2
    return np.asarray(image.resize((side, side), 1, box=(left, top, left + edge, top + edge)))


def framing(cell: Any, side: int) -> np.ndarray:
    """(6,) float32: height and width of a cell's image, upright; how far from the top and from the left `square` cuts it, once its short
    side has `side` pixels; height and width of the square."""
    width, height = images.upright_size(cell)
    top, left = (round((int(side * length / min(width, height)) - side) / 2) for length in (height, width))
    return np.array([height, width, top, left, side, side], np.float32)


def content(cell: Any) -> str:
    """A name of the cell's image that no other has."""
    if isinstance(cell, Mapping) and cell.get("content"):
        return str(cell["content"])
    return hashlib.blake2b(images.payload(cell), digest_size=16).hexdigest()


def address(picture_HW3: np.ndarray, least: int = 0) -> str:
    """A `data:` address (PNG); `least`: a smaller picture is enlarged by a whole number, pixel by pixel, up to this many a side."""
    return f"{PNG}{base64.b64encode(png(picture_HW3, least)).decode()}"


def png(picture_HW3: np.ndarray, least: int = 0) -> bytes:
    """The picture as the bytes of a PNG file."""
    from PIL import Image as pillow

    times = max(1, least // max(picture_HW3.shape[:2]))
    packed = io.BytesIO()
    pillow.fromarray(picture_HW3.repeat(times, 0).repeat(times, 1)).save(packed, "PNG")
    return packed.getvalue()


def opened(uri: str) -> np.ndarray:
    """(H, W, 3) uint8 of a `data:` address."""
    return np.asarray(images.rgb(uri))


def bytes_of(picture_3HW: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of numbers from 0 to 1 with colours first."""
    return np.ascontiguousarray((picture_3HW.transpose(1, 2, 0) * 255).round().astype(np.uint8))


def small(picture_HW3: np.ndarray, side: int) -> np.ndarray:
    """(side, side, 3) float64 from -1 to 1: each pixel the mean of those it stands for."""
    from PIL import Image as pillow

    shrunk: Image = pillow.fromarray(picture_HW3).resize((side, side), pillow.Resampling.BOX)
    return np.asarray(shrunk, np.float64) / 127.5 - 1


def sheet(pictures: Sequence[np.ndarray], across: int = 0) -> bytes:
    """Pictures of one size side by side on grey, as a PNG file; nothing of none."""
    if not pictures:
        return b""
    across = across or int(np.ceil(np.sqrt(len(pictures))))
    if max(pictures[0].shape) > LARGEST:
        pictures = [((small(one, LARGEST) + 1) * 127.5).round().astype(np.uint8) for one in pictures]
    height, width = (length + GAP for length in pictures[0].shape[:2])
    down = -(-len(pictures) // across)
    whole_HW3 = np.full((down * height + GAP, across * width + GAP, 3), 200, np.uint8)
    for at, picture_HW3 in enumerate(pictures):
        top, left = (at // across) * height + GAP, (at % across) * width + GAP
        whole_HW3[top : top + height - GAP, left : left + width - GAP] = picture_HW3
    return png(whole_HW3)


def sides(cells: Sequence[Any]) -> list[int]:
    """The short side of each cell's image, from its header; of those that can be read."""
    found = []
    for cell in cells:
        try:
            found.append(min(images.upright_size(cell)))
        except images.DataError:
            continue
    return found


def toy(rng: np.random.Generator, bright: bool, side: int = 16) -> str:
    """A square on a ground, bright or dark, as a `data:` address (PNG)."""
    ground, ink = ((40, 40, 120), (250, 220, 60)) if bright else ((230, 230, 230), (120, 20, 20))
    picture_HW3 = np.full((side, side, 3), ground, np.uint8)
    top, left = rng.integers(1, side // 2, 2)
    picture_HW3[top : top + side // 2, left : left + side // 2] = np.clip(np.array(ink) + rng.normal(0, 8, 3), 0, 255)
    return address(picture_HW3)
