"""Images with boxes brought into a model's frame, and both changed alike at random where training asks for that.

Axes: C channels, H height, W width, M boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import images
from ..data.finding import LISTED, Finding
from ..errors import SpecError
from ..task import Draw
from . import detections, framed, pixels, regions

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..data.table import Table

WAYS = ("scale", "crop", "flip", "colour")
"""Changes that are made to image and boxes alike, or leave what stands where."""
SMALLEST = 0.3
"""Least share of an image's area that a crop keeps."""
LEFT = 0.4
"""Least share of a box that must be left by a crop; of less, nobody could say what it is."""
SHRUNK = 0.5
"""Least share of the frame's sides that a scaled image takes."""
USUAL = 320
"""Pixels a side of what encoders without fixed places are shown: twice what a class is told by shows where it is."""
FREE = frozenset({"efficientnet", "convnext", "convnextv2", "resnet", "regnet", "mobilenet_v1", "mobilenet_v2"})
"""Families of encoders that take images of any size."""
FAINT = 0.001
"""Scores below this are no detections."""
DOUBLES = 0.6
"""Overlap from which two answers of one class are one."""
BLANK = 4
"""Pixels of a frame's side below which a box is too small to be learned."""


@dataclass(frozen=True)
class Frame:
    """What a model is shown. `stretched`: images fill it whatever their proportions, as some detectors were pretrained."""

    height: int
    width: int
    stretched: bool = False

    def inner(self, size: Sequence[int]) -> tuple[int, int]:
        """Height and width in the frame of an image of this size (height, width)."""
        return (self.height, self.width) if self.stretched else regions.Frame(self.height, self.width).fitted(size)

    def into(self, corners_M4: np.ndarray, size: Sequence[int], inner: Sequence[int], offset: Sequence[int] = (0, 0)) -> np.ndarray:
        """Corners in pixels of the frame, of those in an image of this size that stands at `offset` (down, across)."""
        scale = np.array([inner[1] / size[1], inner[0] / size[0]] * 2)
        return corners_M4 * scale + np.array([offset[1], offset[0]] * 2)

    def back(self, corners_M4: np.ndarray, size: Sequence[int]) -> np.ndarray:
        """Corners in pixels of an image of this size, cut to it, of those in the frame."""
        inner = self.inner(size)
        found = corners_M4 * np.array([size[1] / inner[1], size[0] / inner[0]] * 2)
        return np.clip(found, 0, np.array([size[1], size[0]] * 2))


def sides(processor: Any, asked: int | str, detector: str, free: bool) -> tuple[tuple[int, int], bool]:
    """Height and width of the frame, and whether images are stretched to it: as the model was pretrained, or as asked.

    `free`: an encoder that takes images of any size. Raises SpecError for a size that the model has no places for.
    """
    size = processor.size
    fixed = bool(pixels.side_of(size, "height", 0) and pixels.side_of(size, "width", 0)) and bool(detector)
    height, width = framed.sides(processor)
    if detector and not fixed:
        height = width = pixels.side_of(size, "shortest_edge", 512)
    if free and not detector:
        height, width = max(height, USUAL), max(width, USUAL)
    if isinstance(asked, int) and (asked, asked) != (height, width):
        if not (free or detector):
            raise SpecError(
                "option side", expected=f"{max(height, width)}, as the model has places for", got=str(asked),
                fix="leave it out, or use an encoder of convolutions (EfficientNet, ConvNeXt, ResNet)", code="bad-value",
            )
        height = width = asked
    return (height, width), fixed


def sizes(cells: Sequence[Any]) -> np.ndarray:
    """(N, 2) heights and widths of images as they are seen."""
    return np.array([images.upright_size(cell)[::-1] for cell in cells], np.int64).reshape(-1, 2)


def stacked(targets: Sequence[np.ndarray]) -> np.ndarray:
    """(N, M, 5) float32 of targets of unlike length, padded with class -1; M at least 1."""
    most = max([1, *(len(one) for one in targets)])
    made = np.full((len(targets), most, 5), -1, np.float32)
    for row, one in enumerate(targets):
        made[row, : len(one)] = one
    return made


def told(found_K6: np.ndarray, frame: Frame, size: Sequence[int], dense: bool) -> np.ndarray:
    """(MOST, 6) detections in pixels of an image of this size (height, width), of those in the frame; of a dense head without doubles."""
    found_K6 = found_K6.astype(np.float64)
    found_K6[:, 2:] = frame.back(found_K6[:, 2:], size)
    empty = (found_K6[:, 4] <= found_K6[:, 2]) | (found_K6[:, 5] <= found_K6[:, 3])
    found_K6[empty, 1] = 0
    if dense:
        found_K6[~detections.distinct(found_K6, DOUBLES), 1] = 0
    found_K6[found_K6[:, 1] < FAINT, 1] = 0
    return detections.filled(found_K6[found_K6[:, 1] > 0])


def usual(marks: Sequence[tuple[np.ndarray, np.ndarray]], size_N2: np.ndarray, classes: int) -> np.ndarray:
    """(C, 6) of each class: itself, the share of images that have it, and the mean of its boxes' corners as shares of their images."""
    made = np.zeros((classes, detections.WIDTH))
    scaled = [corners_M4 / np.array([size[1], size[0]] * 2) for (corners_M4, _), size in zip(marks, size_N2)]
    for kind in range(classes):
        own = [corners_M4[class_M == kind] for corners_M4, (_, class_M) in zip(scaled, marks)]
        there = sum(len(one) > 0 for one in own)
        if there:
            made[kind] = kind, there / len(marks), *np.concatenate(own).mean(0)
    return made


def everywhere(shares_C6: np.ndarray, size_N2: np.ndarray) -> np.ndarray:
    """(N, MOST, 6): the same boxes on every image, the surest of them."""
    found = [np.concatenate([shares_C6[:, :2], shares_C6[:, 2:] * np.array([size[1], size[0]] * 2)], 1) for size in size_N2]
    return np.stack([detections.filled(one) for one in found]) if found else np.zeros((0, detections.MOST, detections.WIDTH), np.float32)


def crowded(rows: Table, image: str, arrays: Callable[[Any], Any], name: str, frame: Frame, dense: bool) -> list[Finding]:
    """Warnings about boxes smaller than BLANK pixels in the frame, in which the model can hardly see anything, and, of a `dense` head,
    about boxes of one class with their middles at one place of its grid, of which it can find one."""
    tiny, close, counts = list[str](), list[str](), [0, 0]
    for row, (cell, size) in enumerate(zip(rows.column(name), sizes(rows.column(image)).tolist())):
        corners_M4, class_M, crowd_M = arrays(cell)
        corners_M4 = frame.into(corners_M4[~crowd_M], size, frame.inner(size))
        small = int(((corners_M4[:, 2:] - corners_M4[:, :2]).min(1, initial=np.inf) < BLANK).sum())
        middle_M2 = ((corners_M4[:, :2] + corners_M4[:, 2:]) / 2 // regions.STRIDE).astype(np.int64)
        shared = len(middle_M2) - len(np.unique(np.column_stack([class_M[~crowd_M], middle_M2]), axis=0)) if dense else 0
        counts = [counts[0] + small, counts[1] + shared]
        tiny += [rows.place(row)] if small else []
        close += [rows.place(row)] if shared else []
    fix = f"show it more: --set options.side={2 * max(frame.height, frame.width)}, or cut the images"
    said = (
        ("tiny-boxes", tiny, f"{counts[0]:,} boxes are less than {BLANK} pixels wide or high in what the model is shown"),
        ("close-boxes", close, f"{counts[1]:,} boxes have their middle where another of their class has it, of which the model finds one"),
    )
    shown = f" ({frame.width} x {frame.height})"
    return [Finding("warning", code, message + shown, tuple(places[:LISTED]), fix) for code, places, message in said if places]


def encode(
    cell: Any, known: tuple[np.ndarray, np.ndarray] | None, frame: Frame, processor: Any, ways: Sequence[str], draw: Draw | None
) -> tuple[np.ndarray, np.ndarray, tuple[int, int], np.ndarray | None]:
    """(C, H, W) float32 in the frame, zero (the model's grey) where nothing is; (H, W) bool: where the image is; its size (height,
    width); and of `known` (corners (M, 4), classes (M,)) the targets (M, 5): class and corners in the frame's pixels."""
    image = images.rgb(cell)
    size = image.height, image.width
    corners_M4, class_M = known if known is not None else (np.zeros((0, 4)), np.zeros(0, np.int64))
    share, at = 1.0, (0.5, 0.5)
    if draw is not None:
        image, corners_M4, class_M = changed(image, corners_M4, class_M, ways, draw)
        if "scale" in ways:
            share, at = float(draw.uniform(SHRUNK, 1.0)), (float(draw.random()), float(draw.random()))
    now = image.height, image.width
    inner = tuple(max(1, round(side * share)) for side in frame.inner(now))
    room = (frame.height - inner[0], frame.width - inner[1]) if share < 1 else (0, 0)
    offset = tuple(round(free * part) for free, part in zip(room, at))
    pixels_CHW, seen_HW = _drawn(image, inner, offset, frame, processor)
    if known is None:
        return pixels_CHW, seen_HW, size, None
    placed_M4 = frame.into(corners_M4, now, inner, offset)
    return pixels_CHW, seen_HW, size, np.concatenate([class_M[:, None], placed_M4], 1).astype(np.float32)


def _drawn(image: Image, inner: Sequence[int], offset: Sequence[int], frame: Frame, processor: Any) -> tuple[np.ndarray, np.ndarray]:
    small = image.resize((inner[1], inner[0]), 2)
    settings = {"do_resize": False, "do_center_crop": False, "do_pad": False}
    known = type(processor).valid_kwargs.__annotations__
    asked = {key: value for key, value in settings.items() if key in known or hasattr(processor, key)}
    found_CHW = processor.preprocess([small], **asked)["pixel_values"][0]
    pixels_CHW, seen_HW = np.zeros((3, frame.height, frame.width), np.float32), np.zeros((frame.height, frame.width), bool)
    down, across = (slice(start, start + side) for start, side in zip(offset, inner))
    pixels_CHW[:, down, across], seen_HW[down, across] = found_CHW, True
    return pixels_CHW, seen_HW


def changed(
    image: Image, corners_M4: np.ndarray, class_M: np.ndarray, ways: Sequence[str], draw: Draw
) -> tuple[Image, np.ndarray, np.ndarray]:
    """Image and boxes cropped and mirrored alike; colours change in the image alone."""
    from PIL import ImageOps

    if "crop" in ways and draw.random() < 0.7:
        window = _window(image, draw)
        kept_M4, left_M = cropped(corners_M4, window)
        if left_M.any() or not len(corners_M4):  # a crop that loses everything teaches nothing of what is looked for
            image, corners_M4, class_M = image.crop(window), kept_M4[left_M], class_M[left_M]
    if "flip" in ways and draw.random() < 0.5:
        image, corners_M4 = ImageOps.mirror(image), mirrored(corners_M4, image.width)
    if "colour" in ways:
        image = pixels.CHANGES["colour"](image, draw)
    return image, corners_M4, class_M


def _window(image: Image, draw: Draw) -> tuple[int, int, int, int]:
    area = draw.uniform(SMALLEST, 1.0)
    shape = np.exp(draw.uniform(np.log(3 / 4), np.log(4 / 3)))
    width, height = (max(1, round(side * min(1.0, np.sqrt(area * by)))) for side, by in ((image.width, shape), (image.height, 1 / shape)))
    left, top = int(draw.integers(0, image.width - width + 1)), int(draw.integers(0, image.height - height + 1))
    return left, top, left + width, top + height


def cropped(corners_M4: np.ndarray, window: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Corners within a window (left, top, right, bottom), cut at its edges, and (M,) bool: those of which enough is left."""
    start = np.array([window[0], window[1]] * 2)
    moved_M4 = np.clip(corners_M4 - start, 0, np.array([window[2] - window[0], window[3] - window[1]] * 2))
    before, after = (np.clip(c[:, 2:] - c[:, :2], 0, None).prod(1) for c in (corners_M4, moved_M4))
    return moved_M4, (after >= LEFT * before) & (after > 0)


def mirrored(corners_M4: np.ndarray, width: float) -> np.ndarray:
    """Corners of the image's mirror."""
    left, top, right, bottom = corners_M4.T
    return np.stack([width - right, top, width - left, bottom], 1)


def ways(asked: Any, labels: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """How images are changed in training, and why. `auto`: all ways, mirrored where no class would change its meaning."""
    chosen, why = pixels.ways(asked, labels)
    return (chosen, why) if asked != "auto" else (("scale", *chosen, "colour"), why)


# -- report -----------------------------------------------------------------------------------------------------------

COLOURS = ((220, 38, 38), (37, 99, 235), (22, 163, 74), (217, 119, 6), (147, 51, 234), (8, 145, 178), (190, 24, 93), (101, 101, 101))


def outlined(cell: Any, marks: Sequence[tuple[int, str, Sequence[float]]], side: int) -> str:
    """An image with boxes drawn on it (class number, words, corners), as a small `data:` address; nothing where it cannot be read."""
    import base64
    import io

    from PIL import ImageDraw

    try:
        image = images.rgb(cell)
    except Exception:  # a file that has gone since: the report needs no picture
        return ""
    scale = side / max(image.size)
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    pen = ImageDraw.Draw(small)
    for number, words, corners in marks:
        left, top, right, bottom = (value * scale for value in corners)
        colour = COLOURS[number % len(COLOURS)]
        pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=2)
        at = (left + 2, max(0.0, top - 11 if top > 12 else top + 2))
        pen.rectangle(pen.textbbox(at, words), fill=colour)
        pen.text(at, words, fill=(255, 255, 255))
    made = io.BytesIO()
    small.save(made, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(made.getvalue()).decode()}"


def drawn(rng: np.random.Generator, side: int = 32) -> dict[str, Any]:
    """A toy row: one or two bright squares on dark noise, red or blue, none of them on one image in eight."""
    import base64
    import io

    from PIL import Image as pillow

    shades = {"red": (220, 50, 50), "blue": (50, 60, 220)}
    picture = rng.normal(30, 15, (side, side, 3))
    found = []
    for half in range(0 if rng.random() < 1 / 8 else int(rng.integers(1, 3))):
        wide, high = (int(n) for n in rng.integers(side // 4, side // 2 - 1, 2))
        left, top = half * side // 2 + int(rng.integers(0, side // 2 - wide)), int(rng.integers(0, side - high))
        label = str(rng.choice(list(shades)))
        picture[top : top + high, left : left + wide] = np.array(shades[label]) + rng.normal(0, 15, (high, wide, 3))
        found.append({"label": label, "box": [float(left), float(top), float(left + wide), float(top + high)]})
    packed = io.BytesIO()
    pillow.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(packed, "PNG")
    return {"image": f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}", "boxes": found}
