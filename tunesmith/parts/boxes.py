"""Boxes around what is on an image: read from cells in any usual form, checked against the image as it is seen, mended where asked.

A cell is a list of objects, as JSON or as such: {"label", "box": [left, top, right, bottom]}, {"category", "bbox": [x, y, width, height]}
(COCO's form), {"label", "yolo": [x, y, width, height]} (middle and sides as shares), or {"label", "xmin", "ymin", "xmax", "ymax"}; or, as
Hugging Face data sets have it, an object of such lists. Corners are in pixels of the image turned upright as its EXIF says.

Axes: N rows, M boxes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..data import images
from ..errors import DataError, shorten

LABELS = ("label", "category", "class", "name", "class_name", "category_id", "class_id", "label_id")
CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"), ("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1"),
    ("left", "top", "right", "bottom"),
)
FORMS = ("box", "bbox", "yolo")
"""Names of four numbers: corners; corner and sides; middle and sides as shares of the image's."""
BEYOND = 1.0
"""Pixels by which an edge may lie outside its image: rounding, and counting from 1. It is cut there, in the ledger."""
UNTRUE = {
    "bad-number": ("four finite numbers", "what is no number"),
    "swapped-box": ("the left edge before the right one and the top above the bottom", "corners the other way round"),
    "empty-box": ("a box with an area", "one without"),
    "outside-box": ("a box inside its image", "one beyond its edges"),
    "size-differs": ("boxes drawn on the image as it is seen", "an image of another size than was declared beside its boxes"),
    "turned-image": ("boxes drawn on the image as it is seen", "the size that it had before EXIF turned it"),
    "no-class": ("a class of each box", "one without"),
}
"""What each kind of wrong box should have been, and is."""
Size = tuple[int, int]
"""Width and height, in pixels."""
Corners = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Box:
    """One box. `wrong`: a code of UNTRUE, or nothing. `place`: where it stands, where that is another row than its image's."""

    label: str
    corners: Corners
    crowd: bool = False
    """Around many at once: not learned, and found or not, it counts for nothing (COCO's `iscrowd`)."""
    wrong: str = ""
    place: str = ""

    def cell(self) -> dict[str, Any]:
        """As tables keep it, and `read` takes it back."""
        return {"label": self.label, "box": list(self.corners), "crowd": self.crowd, "wrong": self.wrong, "place": self.place}


# -- cells ------------------------------------------------------------------------------------------------------------


def read(cell: Any, size: Size, names: Sequence[str] = (), beyond: float = BEYOND) -> list[Box]:
    """The boxes of a cell, each in pixels of an image of this size and with what is wrong with it. `names`: of classes given by numbers.

    Raises DataError (`bad-boxes`) where the cell is no list of boxes.
    """
    return [judged(_box(one, size, names), size, beyond) for one in entries(cell)]


def entries(cell: Any) -> list[Mapping[str, Any]]:
    """The objects of a cell, not yet understood. Raises DataError where there are none."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell) if cell.strip() else []
        except (ValueError, RecursionError) as error:
            raise _bad(f"no JSON ({shorten(str(error), 60)})") from None
    if isinstance(cell, Mapping):
        cell = list(_across(cell))
    if cell is None:
        return []
    if not isinstance(cell, list) or not all(isinstance(one, Mapping) for one in cell):
        raise _bad(shorten(repr(cell)))
    return cell


def looks(cell: Any) -> bool:
    """Whether a cell holds boxes."""
    try:
        found = entries(cell)
        return bool(found) and all(_numbers(one) is not None for one in found)
    except DataError:
        return False


def _across(cell: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """{"bbox": [...], "category": [...]} as a list of objects."""
    lists = {key: value for key, value in cell.items() if isinstance(value, list)}
    if not lists or len({len(value) for value in lists.values()}) != 1:
        raise _bad(shorten(repr(cell)))
    return (dict(zip(lists, values)) for values in zip(*lists.values()))


def _box(one: Mapping[str, Any], size: Size, names: Sequence[str]) -> Box:
    found = _numbers(one)
    if found is None:
        raise _bad(shorten(repr(dict(one))))
    form, values = found
    said = next((one[key] for key in LABELS if one.get(key) not in (None, "")), "")
    label = str(said)
    if names and label.isdigit() and label not in names and int(label) < len(names):
        label = names[int(label)]
    kept = {key: str(one.get(key) or "") for key in ("wrong", "place")}
    return Box(label.strip(), placed(values, form, size), bool(one.get("crowd") or one.get("iscrowd")), **kept)


def _numbers(one: Mapping[str, Any]) -> tuple[str, Sequence[Any]] | None:
    for form in FORMS:
        if isinstance(one.get(form), list | tuple) and len(one[form]) == 4:
            return form, one[form]
    for corners in CORNERS:
        if all(key in one for key in corners):
            return "box", [one[key] for key in corners]
    if all(key in one for key in ("x", "y", "width", "height")):
        return "bbox", [one[key] for key in ("x", "y", "width", "height")]
    return None


def placed(values: Sequence[Any], form: str, size: Size) -> Corners:
    """Corners in pixels of four numbers in one of FORMS; not finite where one is no number."""
    try:
        a, b, c, d = (float(value) for value in values)
    except (TypeError, ValueError):
        return (math.nan,) * 4
    if form == "box":
        return a, b, c, d
    if form == "bbox":
        return a, b, a + c, b + d
    width, height = size
    return (a - c / 2) * width, (b - d / 2) * height, (a + c / 2) * width, (b + d / 2) * height


# -- checks -----------------------------------------------------------------------------------------------------------


def judged(box: Box, size: Size, beyond: float = BEYOND) -> Box:
    """The box with what is wrong with it, its edges cut where they lie beyond the image by no more than `beyond` pixels."""
    if box.wrong:
        return box
    found = _wrong(box, size, beyond)
    if found:
        return replace(box, wrong=found)
    return replace(box, corners=clipped(box.corners, size))


def _wrong(box: Box, size: Size, beyond: float) -> str:
    left, top, right, bottom = box.corners
    if not all(map(math.isfinite, box.corners)):
        return "bad-number"
    if not box.label:
        return "no-class"
    if left > right or top > bottom:
        return "swapped-box"
    if left < -beyond or top < -beyond or right > size[0] + beyond or bottom > size[1] + beyond:
        return "outside-box"
    left, top, right, bottom = clipped(box.corners, size)
    return "empty-box" if right <= left or bottom <= top else ""


def clipped(corners: Corners, size: Size) -> Corners:
    """Corners cut to an image of this size."""
    width, height = size
    left, top, right, bottom = corners
    return min(max(left, 0.0), width), min(max(top, 0.0), height), min(max(right, 0.0), width), min(max(bottom, 0.0), height)


def mended(box: Box, size: Size, declared: Size | None, turn: int = 1) -> Box | None:
    """The box as it must have been meant; None where nothing can be left of it. `turn`: the image's EXIF orientation (1 to 8)."""
    if not all(map(math.isfinite, box.corners)) or not box.label:
        return None
    corners = box.corners
    if box.wrong == "turned-image" and declared:
        corners = turned(corners, declared, turn)
    elif box.wrong == "size-differs" and declared:
        across, down = size[0] / declared[0], size[1] / declared[1]
        corners = corners[0] * across, corners[1] * down, corners[2] * across, corners[3] * down
    left, right = sorted((corners[0], corners[2]))
    top, bottom = sorted((corners[1], corners[3]))
    made = judged(replace(box, corners=clipped((left, top, right, bottom), size), wrong=""), size)
    return None if made.wrong else made


def turned(corners: Corners, size: Size, turn: int) -> Corners:
    """Corners on an image of this size once it is turned as EXIF orientation `turn` says."""
    left, top, right, bottom = corners
    width, height = size
    if turn in (5, 6, 7, 8):  # mirrored at the diagonal first
        left, top, right, bottom, width, height = top, left, bottom, right, height, width
    if turn in (2, 3, 6, 7):
        left, right = width - right, width - left
    if turn in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def disagreement(seen: Size, declared: Size | None, turn: int) -> str:
    """Which code of UNTRUE an image of this size has whose size was declared as another; nothing where they agree."""
    if declared is None or declared == seen:
        return ""
    return "turned-image" if turn in (5, 6, 7, 8) and declared == seen[::-1] else "size-differs"


def alike(seen: Size, declared: Size) -> bool:
    """Whether an image has the proportions that were declared, so that its boxes can be scaled."""
    return abs(seen[0] * declared[1] - seen[1] * declared[0]) <= 0.02 * seen[0] * declared[1]


def orientation(cell: Any) -> int:
    """How EXIF says that the image of a cell is to be turned (1: not at all)."""
    try:
        found = images._opened(images.payload(cell), images.name_of(cell)).getexif().get(0x0112, 1)
        return found if isinstance(found, int) and 1 <= found <= 8 else 1
    except Exception:  # broken metadata: it turns nothing
        return 1


def _bad(got: str) -> DataError:
    return DataError(
        "boxes", expected='a list of boxes such as {"label": "cat", "box": [left, top, right, bottom]}', got=got,
        fix="write it so, or [] where there are none", code="bad-boxes",
    )
