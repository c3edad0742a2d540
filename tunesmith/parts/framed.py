"""Images with masks: which columns hold them, what is wrong with them, and both brought into the model's frame.

Axes: N rows, H height, W width, T cells of the grid, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import images
from ..data.finding import Finding, count, places
from ..errors import DataError, listing
from ..spec import Choice
from ..task import Draw
from . import masks, pixels, shapes
from .regions import FINER, Frame

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..data.profile import Profile
    from ..data.table import Table

MASK_NAMES = (
    "mask", "masks", "mask_path", "annotation", "annotations", "annot", "segmentation", "seg", "label_path", "label_image", "label",
    "target",
)
WAYS = ("crop", "flip", "colour")
"""Changes that are made to image and mask alike, or leave what stands where."""
LOOKED = 50
"""Masks by which it is told whether they are colours."""
SMALLEST = 0.4
"""Least share of the image's area that a crop keeps."""
MOST_SIDE = 1024
"""Pixels a side of the largest frame."""


def mask_column(profile: Profile, named: Mapping[str, Any]) -> Choice[Any] | None:
    """The column with masks: named by the user, or called like one and holding images."""
    if named.get("mask"):
        return Choice(named["mask"], "named by you")
    for name in MASK_NAMES:
        for column in profile.columns.values():
            if column.name.lower() == name and pixels.holds_images(column) and column.name != named.get("image"):
                return Choice(column.name, f"column {column.name!r} holds images and is called like masks")
    shaped = profile.columns.get(shapes.COLUMN)
    if shaped is not None and shapes.holds(shaped):
        return Choice(shaped.name, f"column {shaped.name!r} holds polygons or run lengths (COCO's), which are drawn as masks")
    return None


def sides(processor: Any) -> tuple[int, int]:
    """Height and width of what the processor makes of an image, no more than MOST_SIDE."""
    height, width = pixels.sides(processor)
    return min(MOST_SIDE, height), min(MOST_SIDE, width)


# -- checks -----------------------------------------------------------------------------------------------------------


def keys(cells: Sequence[Any], coloured: bool) -> list[int]:
    """All ids or colours of these masks."""
    found: set[int] = set()
    for cell in cells:
        found |= set(np.unique(masks.read(cell, coloured)).tolist())
        if len(found) > 20 * masks.MOST:
            break
    return sorted(found)


def check(
    table: Table, image: str, mask: str, said: Mapping[str, int] | None, ignore: Sequence[str], coloured: bool | None
) -> list[Finding]:
    """Findings of level `error` for rows whose masks do not fit. Rows with files that cannot be read are others' business."""
    wrong: dict[str, tuple[str, str, list[int]]] = {}
    cells, pictures = table.column(mask), table.column(image)
    whole = [row for row in range(len(table)) if _whole(cells[row]) and _whole(pictures[row])]
    told = masks.is_coloured([cells[row] for row in whole[:LOOKED]]) if coloured is None and whole else bool(coloured)
    book = masks.learn(list(said.values()), told, said, ignore) if said is not None else None
    for row in whole:
        try:
            found = _misfit(masks.read(cells[row], told), masks.size(pictures[row]), book)
        except DataError as error:
            found = error.code, f"expected {error.expected}, got {error.got}", error.fix
        if found:
            wrong.setdefault(found[0], (found[1], found[2], []))[2].append(row)
    return [
        Finding("error", code, message + (f" in the first of {count(len(rows))}" if len(rows) > 1 else ""), _named(table, rows, cells), fix)
        for code, (message, fix, rows) in wrong.items()
    ]


def _whole(cell: Any) -> bool:
    return isinstance(cell, dict) and bool(cell.get("content"))


def _misfit(values_HW: np.ndarray, size: tuple[int, int], book: masks.Book | None) -> tuple[str, str, str] | None:
    """Code, message and fix of what is wrong with a mask beside an image of this size."""
    if values_HW.shape != size:
        shapes = [f"{width:,} x {height:,}" for height, width in (size, values_HW.shape)]
        return "mask-size", f"expected a mask of {shapes[0]} pixels as its image, got {shapes[1]}", "export the mask at its image's size"
    present = np.unique(values_HW).tolist()
    if book and (unknown := book.unknown(present)):
        what = "colours" if book.coloured else "ids"
        fix = "mend the mask, add the class to the label map, or leave it out with options.ignore"
        return "unknown-class", f"expected {what} of the label map, got {listing(unknown, 5)}", fix
    nothing = set(present) <= set(book.ignored) if book else present == [masks.VOID]
    if nothing:
        return "empty-mask", "expected some labelled pixels, got none", "label it, or take the row out"
    return None


def _named(table: Table, rows: Sequence[int], cells: Sequence[Any]) -> tuple[str, ...]:
    names = [images.name_of(cells[row], "a mask") for row in rows]
    return tuple(f"{place}: {name}" for place, name in zip(places(table, rows), names))


def unseen(rows: Table, mask: str, book: masks.Book) -> list[Finding]:
    """A warning about rows with pixels of no known class."""
    cells, found, names = rows.column(mask), list[int](), set[str]()
    for row, cell in enumerate(cells):
        unknown = book.unknown(np.unique(masks.read(cell, book.coloured)).tolist())
        names |= set(unknown)
        found += [row] if unknown else []
    if not found:
        return []
    message = f"{listing(sorted(names), 5)} in masks of {count(len(found))}, but in no training mask: such pixels count as wrong"
    fix = "mend these masks, or leave the class out with options.ignore"
    return [Finding("warning", "unseen-class", message, _named(rows, found, cells), fix)]


# -- into the frame ---------------------------------------------------------------------------------------------------


def encode(
    cell: Any, class_HW: np.ndarray | None, frame: Frame, processor: Any, ways: Sequence[str], draw: Draw | None
) -> tuple[np.ndarray, tuple[int, int], np.ndarray | None]:
    """(C, H, W) float32 in the frame, zero (the model's grey) where nothing is; the image's size; the mask, changed as the image was."""
    image = images.rgb(cell)
    if draw is not None and class_HW is not None:
        image, class_HW = changed(image, class_HW, ways, draw)
    size = image.height, image.width
    height, width = frame.fitted(size)
    small = image.resize((width, height), 2)
    found_CHW = processor.preprocess([small], do_resize=False, do_center_crop=False)["pixel_values"][0]
    padded_CHW = np.zeros((3, frame.height, frame.width), np.float32)
    padded_CHW[:, :height, :width] = found_CHW
    return padded_CHW, size, class_HW


def changed(image: Image, class_HW: np.ndarray, ways: Sequence[str], draw: Draw) -> tuple[Image, np.ndarray]:
    """Image and mask cropped and mirrored alike; colours change in the image alone."""
    from PIL import ImageOps

    if "crop" in ways:
        share = np.sqrt(draw.uniform(SMALLEST, 1.0))
        width, height = max(1, round(image.width * share)), max(1, round(image.height * share))
        left, top = int(draw.integers(0, image.width - width + 1)), int(draw.integers(0, image.height - height + 1))
        image = image.crop((left, top, left + width, top + height))
        class_HW = class_HW[top : top + height, left : left + width]
    if "flip" in ways and draw.random() < 0.5:
        image, class_HW = ImageOps.mirror(image), class_HW[:, ::-1]
    if "colour" in ways:
        image = pixels.CHANGES["colour"](image, draw)
    return image, class_HW


def tags(target_NHW: np.ndarray, classes: int, most: int) -> np.ndarray:
    """(N, T) int64: the class of each cell of the grid, -100 where none; of many cells, an even part."""
    coarse_NGG = target_NHW[:, ::FINER, ::FINER]
    cells = coarse_NGG.reshape(len(coarse_NGG), coarse_NGG.shape[1] * coarse_NGG.shape[2]).astype(np.int64)
    step = max(1, -(-cells.size // most))
    taken = (np.arange(cells.size) * 0.6180339887 % 1 < 1 / step).reshape(cells.shape)  # spread over places and rows alike
    return np.where((cells < classes) & taken, cells, -100)


def drawn(rng: np.random.Generator, side: int = 32) -> dict[str, str]:
    """A toy row: a square of another shade, and where it is."""
    import base64
    import io

    from PIL import Image as pillow

    class_HW = np.zeros((side, side), np.uint8)
    top, left = rng.integers(0, side // 2, 2)
    class_HW[top : top + side // 2, left : left + side // 2] = 1
    shade = np.array([(60, 60, 200), (200, 60, 60)])[class_HW]
    noisy = np.clip(shade + rng.normal(0, 30, (side, side, 3)), 0, 255).astype(np.uint8)
    packed = io.BytesIO()
    pillow.fromarray(noisy).save(packed, "PNG")
    return {"image": f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}", "mask": masks.packed(class_HW)}
