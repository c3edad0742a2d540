"""Large images in tiles: one drawn at random in training, overlapping ones whose answers are averaged where an answer is asked.

An image is seen at `zoom` of its pixels for one of the model's; a tile is as large as the model's frame. Tiles stand at whole cells of the
grid of answers, so that the answers of all tiles of an image lie on one grid, the canvas.

Axes: N rows, E tiles of all rows, H height, W width, G cells of a frame a side, T = G x G, S cells of a canvas in reading order, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import images
from ..errors import SpecError
from ..spec import Choice
from ..task import Draw, Outputs
from . import framed
from .regions import FINER, STRIDE, Frame

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]
"""Height and width."""
LARGE = 2.0
"""How many times its frame an image must be, a side, to be seen in tiles unasked."""
OVERLAP = 0.25
"""Least share of a tile that its neighbour sees as well."""
MOST_CELLS = 16_384
"""Cells of one canvas; the zoom of larger images is such that theirs has about as many."""
STEP = 0.25
"""Zooms are multiples of it: edges of tiles then are whole pixels."""


@dataclass(frozen=True)
class Tiling:
    """How images are cut."""

    frame: Frame
    zoom: float

    def shape(self, size: Size) -> Size:
        """Cells of the canvas, down and across, of an image of this size."""
        (down, across), (height, width) = self._starts(size), self.frame.grid
        return down[-1] + height, across[-1] + width

    def places(self, size: Size) -> list[Size]:
        """The upper left cell of each tile."""
        down, across = self._starts(size)
        return [(top, left) for top in down for left in across]

    def box(self, size: Size, place: tuple[float, float]) -> tuple[int, int, int, int]:
        """Left, upper, right and lower edge of the tile at a cell, in pixels of the image."""
        top, left = (round(at * STRIDE * self.zoom) for at in place)
        height, width = (round(side * self.zoom) for side in (self.frame.height, self.frame.width))
        return left, top, min(size[1], left + width), min(size[0], top + height)

    def inside(self, box: Sequence[int]) -> Size:
        """Height and width, in the frame, of what a box shows."""
        height, width = (max(1, round((box[i + 2] - box[i]) / self.zoom)) for i in (1, 0))
        return min(self.frame.height, height), min(self.frame.width, width)

    def drawn(self, size: Size, draw: Draw) -> tuple[float, float]:
        """A place at random."""
        rooms = (max(0.0, side / self.zoom - full) for side, full in zip(size, (self.frame.height, self.frame.width)))
        top, left = (draw.uniform(0, room) / STRIDE for room in rooms)
        return top, left

    def classes(self, logits_SC: np.ndarray, size: Size, own: Sequence[int] | None = None) -> np.ndarray:
        """(H, W) uint8: the likeliest class of each pixel, from the answers on a canvas."""
        down, across = self.shape(size)
        canvas = Frame(down * STRIDE, across * STRIDE)
        inside = (max(1, round(size[0] / self.zoom)), max(1, round(size[1] / self.zoom)))
        return canvas.classes(logits_SC.T.reshape(-1, down, across), size, own, inside)

    def _starts(self, size: Size) -> tuple[list[int], list[int]]:
        made = []
        for side, full, cells in zip(size, (self.frame.height, self.frame.width), self.frame.grid):
            last = max(0, math.ceil((side / self.zoom - full) / STRIDE))
            count = 1 + math.ceil(last / max(1, math.floor(cells * (1 - OVERLAP))))
            made.append([round(at) for at in np.linspace(0, last, count)])
        return made[0], made[1]


def choose(asked: str, sides: Size, sizes: Sequence[Size]) -> tuple[float, Choice[Any]]:
    """The zoom, 0 without tiles, and why. `sizes`: of training images. Raises SpecError where tiles were asked for and cannot be."""
    shown = f"{sides[1]} x {sides[0]}"
    if asked == "off":
        return 0.0, Choice("off", "as asked")
    if sides[0] % STRIDE or sides[1] % STRIDE:
        if asked == "on":
            fix = "use another model, or leave the option out"
            raise SpecError("option tiles", expected=f"a model whose sides are multiples of {STRIDE}", got=shown, fix=fix, code="bad-value")
        return 0.0, Choice("off", f"the model's {shown} pixels are no multiples of {STRIDE}")
    times = float(np.median([max(height / sides[0], width / sides[1]) for height, width in sizes])) if len(sizes) else 1.0
    if asked != "on" and times <= LARGE:
        return 0.0, Choice("off", f"images are {times:.1f} times the model's {shown} pixels a side: seen whole")
    cells = float(np.median([height * width for height, width in sizes])) / STRIDE**2 if len(sizes) else 1.0
    zoom = max(1.0, math.ceil(math.sqrt(cells / MOST_CELLS) / STEP) * STEP)
    scale = "at their own size" if zoom == 1 else f"at 1/{zoom:g} of their size, so that answers fit into memory"
    reason = f"images are {times:.1f} times the model's {shown} pixels a side: seen {scale}, a tile at random in training, overlapping ones"
    return zoom, Choice("on", f"{reason} averaged in answers")


def encode(
    cell: Any, class_HW: np.ndarray | None, tiling: Tiling, processor: Any, ways: Sequence[str], draw: Draw | None, place: Size
) -> tuple[np.ndarray, np.ndarray | None]:
    """(channel, height, width) float32 of the tile at a place (with a draw, of one anywhere, changed), and its targets, if any."""
    image = images.rgb(cell)
    size, moved = (image.height, image.width), draw is not None and class_HW is not None
    box = tiling.box(size, tiling.drawn(size, draw) if moved and draw is not None else place)
    part, part_HW = image.crop(box), None if class_HW is None else class_HW[box[1] : box[3], box[0] : box[2]]
    if moved and draw is not None and part_HW is not None:
        part, part_HW = framed.changed(part, part_HW, [way for way in ways if way != "crop"], draw)
    inside = tiling.inside(box)
    made_CHW = _shown(part, inside, tiling.frame, processor)
    return made_CHW, None if part_HW is None else tiling.frame.sampled(part_HW, FINER, inside)


def target(class_HW: np.ndarray, tiling: Tiling, place: Size) -> np.ndarray:
    """Targets of the tile at a place."""
    box = tiling.box((class_HW.shape[0], class_HW.shape[1]), place)
    return tiling.frame.sampled(class_HW[box[1] : box[3], box[0] : box[2]], FINER, tiling.inside(box))


def gather(outputs: Outputs, row_E: np.ndarray, place_E2: np.ndarray, tiling: Tiling, classes: int) -> Outputs:
    """`logits` (N,) of (S, C), the mean over the tiles that see a cell, and `size` (N, 2)."""
    rows = int(row_E[-1]) + 1 if len(row_E) else 0
    found, size_N2 = np.empty(rows, object), np.zeros((rows, 2), np.int64)
    height, width = tiling.frame.grid
    for row in range(rows):
        at_E = np.flatnonzero(row_E == row)
        size_N2[row] = outputs["size"][at_E[0]]
        down, across = tiling.shape((int(size_N2[row, 0]), int(size_N2[row, 1])))
        total, seen = np.zeros((down, across, classes), np.float32), np.zeros((down, across, 1), np.float32)
        for at in at_E:
            top, left = place_E2[at]
            here = np.s_[top : top + height, left : left + width]
            total[here] += np.moveaxis(np.asarray(outputs["logits"][at]).reshape(classes, height, width), 0, -1)
            seen[here] += 1
        found[row] = (total / np.maximum(seen, 1)).reshape(-1, classes)
    return {"logits": found, "size": size_N2}


def _shown(image: Image, inside: Size, frame: Frame, processor: Any) -> np.ndarray:
    small = image if (image.height, image.width) == inside else image.resize(inside[::-1], 2)
    found_CHW = processor.preprocess([small], do_resize=False, do_center_crop=False)["pixel_values"][0]
    padded_CHW = np.zeros((3, frame.height, frame.width), np.float32)
    padded_CHW[:, : inside[0], : inside[1]] = found_CHW
    return padded_CHW
