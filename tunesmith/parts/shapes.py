"""Shapes around what is on an image, as COCO writes them, drawn as a mask: polygons and run lengths; crowds count for nothing.

A cell is a list of {"label", "polygons": [[x, y, x, y, ...], ...]} or {"label", "rle": {"size": [height, width], "counts": ...}}, each with
"crowd", as JSON. A pixel belongs to a polygon whose inside holds the pixel's middle. What no shape covers is background; where shapes
overlap, the smaller one lies on top.

Axes: H height, W width, P points of a polygon, R runs.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data.finding import LISTED, Finding
from ..data.ledger import Ledger
from ..data.profile import ColumnProfile
from ..data.table import Table
from ..errors import DataError, listing, shorten
from .masks import VOID

COLUMN = "shapes"
"""How the readers call the column."""
BACKGROUND = "background"
"""What no shape covers."""
BEYOND = 1.0
"""Pixels by which a point may lie outside its image: rounding, and counting from 1."""
MOST_PIXELS = 50_000_000
"""Pixels of one image: what is larger is refused as an image as well."""


def holds(column: ColumnProfile) -> bool:
    """Whether the cells of a column are shapes."""
    seen = [str(value).lstrip() for value in column.examples]
    return bool(seen) and all(value.startswith("[") for value in seen) and any('"label"' in value for value in seen)


def are(table: Table, name: str) -> bool:
    """The same of a table's column, by its first filled cells."""
    if name not in table.names:
        return False
    some = [cell for cell in table.take(np.arange(min(50, len(table)))).column(name) if cell]
    return bool(some) and all(isinstance(cell, str) and cell.lstrip().startswith("[") for cell in some)


def names(table: Table, name: str) -> list[str]:
    """Background, then every label, in order."""
    found = {str(one.get("label")) for cell in table.column(name) for one in _entries(cell) if not one.get("crowd")}
    return [BACKGROUND, *sorted(found - {BACKGROUND})]


def drawn(table: Table, name: str, labels: Sequence[str], skip: bool, ledger: Ledger) -> tuple[Table, list[Finding]]:
    """The table with masks (PNG files of class ids, as bytes) for shapes, and findings about rows whose shapes cannot be drawn.

    `labels`: names of the classes, in order of their ids. `skip`: such rows are left out, in the ledger.
    """
    bad: dict[int, DataError] = {}
    found: list[bytes | None] = []
    rows = table.rows()
    for row, cells in enumerate(rows):
        try:
            found.append(_png(mask(cells[name], (cells.get("height"), cells.get("width")), labels)))
        except DataError as error:
            bad[row] = error
            found.append(None)
    ledger.note(f"column {name!r}: shapes are drawn as masks; what none covers is {labels[0]!r}, crowds count for nothing")
    made = table.with_column(name, found)
    lines = [f"{table.place(row)}: {error.place}: expected {error.expected}, got {error.got}" for row, error in bad.items()]
    if not bad:
        return made, []
    if skip:
        ledger.add("skipped", "shapes that could not be drawn, and skipping was asked for", lines)
        return made.take(np.setdiff1d(np.arange(len(table)), list(bad))), []
    first = next(iter(bad.values()))
    more = f", in the first of {len(bad):,} rows" if len(bad) > 1 else ""
    message = f"{first.place}: expected {first.expected}, got {first.got}{more}"
    fix = f"{first.fix}, or say --bad-rows skip to leave such rows out"
    return made, [Finding("error", first.code, message, tuple(lines[:LISTED]), fix)]


def mask(cell: Any, size: tuple[Any, Any], labels: Sequence[str]) -> np.ndarray:
    """(H, W) uint8 of class ids: 0 where no shape is, VOID where crowds are. Raises DataError with the shape that is wrong."""
    height, width = size
    if not all(type(side) is int and side > 0 for side in size) or height * width > MOST_PIXELS:
        raise _bad("its size", "'width' and 'height' of the image", repr(size), "bad-size", "write both")
    ids, objects = {label: at for at, label in enumerate(labels)}, list[tuple[int, int, tuple[slice, slice], np.ndarray]]()
    for number, one in enumerate(_entries(cell), 1):
        inside_HW, crowd = _inside(one, (height, width), f"shape {number}"), bool(one.get("crowd"))
        if not crowd and one.get("label") not in ids:
            fix = "add it to options.names, or take it out"
            raise _bad(f"shape {number}", f"one of the classes {listing(labels, 8)}", repr(one.get("label")), "unknown-class", fix)
        order = 0 if crowd else 1 + height * width - int(inside_HW.sum())  # crowds at the bottom, then the larger
        where = _around(inside_HW)
        objects.append((order, VOID if crowd else ids[one["label"]], where, inside_HW[where].copy()))
    made = np.zeros((height, width), np.uint8)
    for _, value, where, part_HW in sorted(objects, key=lambda part: part[0]):
        made[where][part_HW] = value
    return made


def _around(inside_HW: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns that hold all of a shape: little is kept of small ones."""
    lines = [np.flatnonzero(inside_HW.any(axis)) for axis in (1, 0)]
    found = [slice(int(line[0]), int(line[-1]) + 1) if len(line) else slice(0) for line in lines]
    return found[0], found[1]


def _entries(cell: Any) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(cell) if isinstance(cell, str) and cell.strip() else cell or []
    except (ValueError, RecursionError) as error:
        raise _bad("its shapes", "a list as JSON", shorten(str(error), 60), "bad-shapes", "mend the cell") from None
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise _bad("its shapes", "a list of objects", shorten(repr(found), 60), "bad-shapes", "mend the cell")
    return found


def _inside(one: Mapping[str, Any], size: tuple[int, int], place: str) -> np.ndarray:
    if one.get("rle") is not None:
        return runs(one["rle"], size, place)
    found_HW = np.zeros(size, bool)
    polygons = one.get("polygons")
    if not isinstance(polygons, list) or not polygons:
        raise _bad(place, "polygons or run lengths", shorten(repr(polygons), 60), "bad-shapes", "mend it, or take it out")
    for points in polygons:
        found_HW |= polygon(_points(points, size, place), size)
    return found_HW


def _points(points: Any, size: tuple[int, int], place: str) -> np.ndarray:
    """(P, 2) of a flat list."""
    flat = isinstance(points, list) and all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in points)
    if not flat or len(points) % 2 or len(points) < 6:
        got = f"{len(points) / 2:g}" if flat else shorten(repr(points), 60)
        raise _bad(place, "at least 3 points of two finite numbers", got, "short-polygon", "mend it, or take it out")
    found_P2 = np.array(points, np.float64).reshape(-1, 2)
    far = np.maximum(-found_P2, found_P2 - np.array(size[::-1])).max()
    if far > BEYOND:
        at = found_P2[np.maximum(-found_P2, found_P2 - np.array(size[::-1])).max(1).argmax()]
        expected = f"points inside the image of {size[1]:,} x {size[0]:,} pixels"
        raise _bad(place, expected, f"({at[0]:g}, {at[1]:g})", "outside-polygon", "mend it, or take it out")
    return found_P2


def polygon(points_P2: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: pixels whose middle is inside, by the even-odd rule."""
    height, width = size
    found_HW = np.zeros(size, bool)
    ends_P2 = np.roll(points_P2, -1, 0)
    top, bottom = points_P2[:, 1].min(), points_P2[:, 1].max()
    for row in range(max(0, math.ceil(top - 0.5)), min(height, math.floor(bottom + 0.5) + 1)):
        middle = row + 0.5
        crosses = (points_P2[:, 1] <= middle) != (ends_P2[:, 1] <= middle)
        (x0, y0), (x1, y1) = points_P2[crosses].T, ends_P2[crosses].T
        at = np.sort(x0 + (middle - y0) * (x1 - x0) / (y1 - y0))
        edges = np.clip(np.ceil(at - 0.5), 0, width).astype(np.int64)
        for left, right in zip(edges[::2], edges[1::2]):
            found_HW[row, left:right] = True
    return found_HW


def runs(rle: Any, size: tuple[int, int], place: str) -> np.ndarray:
    """(H, W) bool of run lengths, column by column, those outside first; plain numbers, or COCO's packed text."""
    said, counts = (rle.get("size"), rle.get("counts")) if isinstance(rle, Mapping) else (None, None)
    if list(said or ()) != list(size):
        expected, got = f"run lengths of an image of {list(size)} (height, width)", shorten(repr(said), 60)
        raise _bad(place, expected, got, "bad-runs", "mend it, or take it out")
    lengths: list[Any] = _unpacked(counts) if isinstance(counts, str) else counts if isinstance(counts, list) else []
    whole = bool(lengths) and all(type(n) is int and n >= 0 for n in lengths)
    if not whole or sum(lengths) != size[0] * size[1]:
        got = f"{sum(lengths):,}" if whole else shorten(repr(counts), 60)
        raise _bad(place, f"run lengths that add up to {size[0] * size[1]:,} pixels", got, "bad-runs", "mend it, or take it out")
    values_R = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values_R, lengths).reshape(size[::-1]).T


def _unpacked(text: str) -> list[int]:
    """COCO's packed run lengths: five bits a character, low ones first; from the fourth number on, differences to the last but one."""
    found, at = list[int](), 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more and at < len(text):
            bits = ord(text[at]) - 48
            value |= (bits & 31) << shift
            more, at, shift = bool(bits & 32), at + 1, shift + 5
            if not more and bits & 16:
                value -= 1 << shift
        found.append(value + (found[-2] if len(found) > 2 else 0))
    return found


def _png(class_HW: np.ndarray) -> bytes:
    from PIL import Image

    made = io.BytesIO()
    Image.fromarray(class_HW).save(made, "PNG")
    return made.getvalue()


def _bad(place: str, expected: str, got: str, code: str, fix: str) -> DataError:
    return DataError(place, expected=expected, got=got, fix=fix, code=code)
