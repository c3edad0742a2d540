"""COCO's JSON of objects in images, as one row per image.

    {"images": [{"id", "file_name", "width", "height"}], "annotations": [{"image_id", "category_id", "bbox"}],
     "categories": [{"id", "name"}]}

Rows have `image` (the file name), `width`, `height` and `boxes`: a list of {"label", "bbox": [x, y, width, height], "crowd"}.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import DataError, listing, shorten

NOTE = "objects in images (COCO's form): each image is a row, its boxes in the order of the file"
Row = dict[str, Any]


def fits(value: Any) -> bool:
    """Whether this is an object with images, annotations that have boxes, and categories."""
    if not isinstance(value, Mapping) or not all(isinstance(value.get(key), list) for key in ("images", "annotations", "categories")):
        return False
    found = value["annotations"]
    return bool(value["images"]) and all(isinstance(one, dict) and "bbox" in one for one in found[:1])


def rows(value: Mapping[str, Any], name: str) -> Iterator[Row]:
    """A row for each image, in the file's order. Raises DataError with the entry where one is malformed or names what is not there."""
    names = _by_id(value["categories"], "category", "name", name)
    pictures = _by_id(value["images"], "image", "file_name", name)
    boxes: dict[Any, list[Row]] = defaultdict(list)
    for number, one in enumerate(value["annotations"], 1):
        place = f"{name}, annotation {number}"
        _known(one, "image_id", pictures, place)
        _known(one, "category_id", names, place)
        boxes[one["image_id"]].append(
            {"label": names[one["category_id"]], "bbox": _numbers(one.get("bbox"), place), "crowd": bool(one.get("iscrowd", 0))}
        )
    for one in value["images"]:
        yield {"image": one["file_name"], "width": _side(one, "width"), "height": _side(one, "height"), "boxes": boxes[one["id"]]}


def _by_id(entries: list[Any], what: str, said: str, name: str) -> dict[Any, str]:
    found: dict[Any, str] = {}
    for number, one in enumerate(entries, 1):
        place = f"{name}, {what} {number}"
        if not isinstance(one, dict) or not isinstance(one.get(said), str) or not isinstance(one.get("id"), int | str):
            raise _error(place, f"an object with 'id' and {said!r}", one)
        if one["id"] in found:
            raise _error(place, f"an id of its own for each {what}", f"id {one['id']!r} a second time")
        found[one["id"]] = one[said]
    return found


def _known(one: Any, key: str, known: Mapping[Any, str], place: str) -> None:
    found = one.get(key) if isinstance(one, dict) else None
    if not isinstance(found, int | str) or found not in known:
        what = "an image" if key == "image_id" else "a category"
        raise _error(place, f"{key!r} of {what} in the file ({listing(sorted(map(str, known)), 5)})", found)


def _numbers(found: Any, place: str) -> list[float]:
    if not isinstance(found, list) or len(found) != 4 or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in found):
        raise _error(place, "'bbox': four numbers (x, y, width, height)", found)
    return [float(number) for number in found]


def _side(one: Mapping[str, Any], key: str) -> int | None:
    found = one.get(key)
    return int(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _error(place: str, expected: str, got: Any) -> DataError:
    return DataError(place, expected=expected, got=shorten(repr(got)), fix="mend the file there", code="not-coco")
