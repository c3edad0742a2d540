"""Pascal VOC's XML of objects in an image: `<object><name>cat</name><bndbox><xmin>...`.

Corners are taken as written: tools differ in whether they count from 0 or from 1, which is a pixel at most.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import DataError, shorten
from . import xml_tree
from .xml_tree import Element

SIDES = ("xmin", "ymin", "xmax", "ymax")
Row = dict[str, Any]


def looks(path: Path) -> bool:
    """Whether a file begins like an annotation."""
    with open(path, "rb") as file:
        return b"<annotation" in file.read(4096)


def read(path: Path, name: str) -> Row:
    """`file` (as the XML names it), `width`, `height`, and `boxes`: {"label", "box": corners, "crowd"}. Raises DataError with the line."""
    root = xml_tree.read(path, name)
    if root.tag.lower() != "annotation":
        raise _error(f"{name}, line {root.line}", "an <annotation>", f"<{shorten(root.tag, 40)}>")
    size = root.child("size")
    return {
        "file": root.said("filename"), "width": _side(size, "width"), "height": _side(size, "height"),
        "boxes": [_box(one, name) for one in root.every("object")],
    }


def _box(one: Element, name: str) -> Row:
    place, frame = f"{name}, line {one.line}", one.child("bndbox")
    if frame is None:
        raise _error(place, "a <bndbox> in the <object>", "none")
    if not one.said("name"):
        raise _error(place, "a <name> in the <object>", "none")
    return {"label": one.said("name"), "box": [_number(frame, side, place) for side in SIDES], "crowd": False}


def _number(frame: Element, side: str, place: str) -> float:
    try:
        return float(frame.said(side))
    except ValueError:
        raise _error(place, f"a number in <{side}>", repr(frame.said(side))) from None


def _side(size: Element | None, side: str) -> int | None:
    """A declared side; none where it is not said (0 is what some tools write for that)."""
    said = size.said(side) if size else ""
    return int(said) or None if said.isdigit() and len(said) < 10 else None


def _error(place: str, expected: str, got: str) -> DataError:
    return DataError(place, expected=expected, got=shorten(got), fix="mend the file there", code="not-voc")
