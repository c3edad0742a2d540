"""Tables of images with boxes: which columns hold them, rows of one box gathered into rows of images, and what is wrong with them.

Axes: N rows (images), L lines (boxes) of a table with a box on each line.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import images
from ..data.finding import LISTED, Finding, count
from ..errors import DataError, listing, shorten
from ..spec import Choice
from . import boxes
from .boxes import Box, Size

if TYPE_CHECKING:
    from ..data.ledger import Ledger
    from ..data.profile import Profile
    from ..data.table import Table

NAMES = ("boxes", "objects", "annotations", "bboxes", "box", "bbox", "detections", "labels", "targets")
CLASSES = ("class", "label", "name", "category", "class_name", "labelname", "object")
SIDES = (("width", "height"), ("image_width", "image_height"), ("img_width", "img_height"))
"""Columns in which the size of an image is declared."""
FIXES = {
    "turned-image": "the file's EXIF turns it: draw the boxes on the image as it is seen, or say --set options.broken=mend to turn them",
    "size-differs": "use the image that was labelled, or say --set options.broken=mend where it was only scaled",
}
MEND = "mend the boxes, or say --set options.broken=mend (corners sorted, edges cut to the image, what is left empty dropped)"


# -- columns ----------------------------------------------------------------------------------------------------------


def boxes_column(profile: Profile, named: Mapping[str, Any]) -> Choice[Any] | None:
    """The column with lists of boxes: named by the user, or holding such."""
    if named.get("boxes"):
        return Choice(named["boxes"], "named by you")
    ranks = {name: rank for rank, name in enumerate(NAMES)}
    found = [c for c in profile.columns.values() if any(boxes.looks(cell) for cell in c.examples) and c.name != named.get("image")]
    best = min(found, key=lambda column: ranks.get(column.name.lower(), len(ranks)), default=None)
    return best and Choice(best.name, f"column {best.name!r} holds lists of boxes")


def corner_columns(profile: Profile, named: Mapping[str, Any]) -> dict[str, Choice[Any]] | None:
    """`corners` and `label` of a table with a box on each line; None where it is none."""
    lower = {name.lower(): name for name in profile.columns}
    corners = named.get("corners") or next(
        (tuple(lower[one] for one in four) for four in boxes.CORNERS if all(one in lower for one in four)), None
    )
    if not corners:
        return None
    said = "named by you" if named.get("corners") else f"columns {listing(corners)} hold corners: a box on each line"
    label = named.get("label") or next((lower[name] for name in CLASSES if name in lower), None)
    if label is None:
        return None
    return {"corners": Choice(list(corners), said), "label": Choice(label, f"column {label!r} says what each box is around")}


def declared_columns(names: Sequence[str]) -> tuple[str, str] | None:
    """The columns in which the images' sizes are declared."""
    lower = {name.lower(): name for name in names}
    return next(((lower[a], lower[b]) for a, b in SIDES if a in lower and b in lower), None)


# -- rows -------------------------------------------------------------------------------------------------------------


def gathered(table: Table, image: str, corners: Sequence[str], label: str, name: str) -> Table:
    """A row for each image of a table with a box on each line: the first line of each, all its boxes in column `name`.

    A line without corners is an image without a box there.
    """
    table.require([image, *corners, label])
    cells, lines = table.column(image), defaultdict[Any, list[int]](list)
    for at, cell in enumerate(cells):
        lines[_identity(cell)].append(at)
    columns, sides = [table.column(one) for one in (*corners, label)], declared_columns(table.names)
    declared = list(zip(*(table.column(side) for side in sides))) if sides else [None] * len(table)
    made = []
    for rows in lines.values():
        found = []
        for at in rows:
            *four, said = (column[at] for column in columns)
            wrong = "" if declared[at] == declared[rows[0]] else "size-differs"
            if any(value is not None for value in four):
                found.append({"label": "" if said is None else str(said), "box": four, "place": table.place(at), "wrong": wrong})
        made.append(found)
    return table.take([rows[0] for rows in lines.values()]).with_column(name, [_numbered(found) for found in made])


def _numbered(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Boxes of corners that may be texts, as cells hold them."""
    made = [(boxes.placed(one["box"], "box", (0, 0)), one) for one in found]
    return [Box(one["label"], corners, wrong=one["wrong"], place=one["place"]).cell() for corners, one in made]


def _identity(cell: Any) -> Any:
    return cell.get("path") or cell.get("content") if isinstance(cell, Mapping) else cell


def tidied(
    table: Table, image: str, name: str, names: Sequence[str], mend: bool, ledger: Ledger
) -> Table:
    """Every cell of column `name` as boxes in pixels of the image as it is seen, each with what is wrong with it; where asked, mended.

    Images that cannot be read are others' business: their boxes stay as they are. A cell that holds no boxes is left for `check`.
    """
    pictures, cells = table.column(image), table.column(name)
    sides = declared_columns(table.names)
    declared = list(zip(*(table.column(side) for side in sides))) if sides else [None] * len(table)
    made, cut, done = list[Any](), list[str](), defaultdict[str, list[str]](list)
    for row, (picture, cell, said) in enumerate(zip(pictures, cells, declared)):
        try:
            size = images.upright_size(picture)
            found = boxes.read(cell, size, names)
        except (DataError, AttributeError, TypeError):
            made.append(_kept(cell))
            continue
        turn, told = boxes.orientation(picture), _size(said)
        found = [_against(box, size, told, turn) for box in found]
        cut += [table.place(row)] if any(_moved(cell, at, box) for at, box in enumerate(found)) else []
        kept = _mended(found, size, told, turn, table.place(row), done) if mend else found
        made.append([replace(box, place=box.place if box.wrong else "").cell() for box in kept])
    if cut:
        ledger.add("cast", "edges of boxes up to one pixel beyond their image (rounding): cut there", cut)
    for what, rows in done.items():
        ledger.add("dropped" if what.startswith("dropped") else "cast", f"boxes mended, as asked: {what}", rows)
    return table.with_column(name, made)


def _kept(cell: Any) -> Any:
    """A cell that is no list of boxes on a known image, as text, so that a column stays of one kind."""
    try:
        return [Box(str(one.get("label") or ""), (0, 0, 0, 0), wrong="unknown").cell() for one in boxes.entries(cell)]
    except DataError as error:
        return [Box("", (0, 0, 0, 0), wrong="bad-boxes", place=error.got).cell()]


def _moved(cell: Any, at: int, box: Box) -> bool:
    """Whether an edge was cut: only told of corners in pixels, where it is somebody's rounding."""
    if box.wrong or isinstance(cell, Mapping):
        return False
    values = boxes._numbers(boxes.entries(cell)[at])
    if values is None or values[0] == "yolo":
        return False
    return max(abs(a - b) for a, b in zip(boxes.placed(values[1], values[0], (0, 0)), box.corners)) > 1e-6


def _against(box: Box, seen: Size, declared: Size | None, turn: int) -> Box:
    """The box, wrong where its image is not of the size that was declared beside it."""
    differs = boxes.disagreement(seen, declared, turn)
    return replace(box, wrong=differs) if differs and box.wrong in ("", "outside-box", "empty-box") else box


def _size(said: Any) -> Size | None:
    try:
        return (int(said[0]), int(said[1])) if said and said[0] and said[1] else None
    except (TypeError, ValueError):
        return None


def _mended(
    found: Sequence[Box], size: Size, declared: Size | None, turn: int, place: str, done: dict[str, list[str]]
) -> list[Box]:
    kept = []
    for at, box in enumerate(found, 1):
        strange = box.wrong == "size-differs" and declared and (declared == size or not boxes.alike(size, declared))
        if not box.wrong or strange:
            kept.append(box)
            continue
        made, here = boxes.mended(box, size, declared, turn), box.place or f"{place}, box {at}"
        what = {
            "swapped-box": "corners sorted", "turned-image": "turned with their image", "size-differs": "scaled with their image",
        }.get(box.wrong, "edges cut to the image")
        done[what if made else f"dropped, as nothing is left of them ({box.wrong})"].append(here)
        kept += [made] if made else []
    return kept


# -- checks -----------------------------------------------------------------------------------------------------------


def check(table: Table, image: str, name: str, names: Sequence[str]) -> list[Finding]:
    """Errors for boxes that cannot be used, with rows and files; notes about images without boxes, equal boxes and crowds."""
    wrong, bare, equal, outside = defaultdict[str, list[str]](list), list[str](), list[str](), Counter[str]()
    pictures = table.column(image)
    for row, cell in enumerate(table.column(name)):
        try:
            found = boxes.read(cell, (1 << 30, 1 << 30))
        except DataError as error:
            wrong["bad-boxes"].append(f"{table.place(row)}: {error.got}")
            continue
        place = _named(table, row, pictures[row])
        for at, box in enumerate(found, 1):
            if box.wrong and box.wrong != "unknown":
                wrong[box.wrong].append(f"{box.place or place}, box {at}: {_told(box)}")
            elif names and box.label not in names:
                wrong["unknown-class"].append(f"{place}, box {at}: {shorten(box.label)}")
                outside[box.label] += 1
        bare += [place] if not found else []
        equal += [place] if len({(b.label, b.corners) for b in found if not b.wrong}) < len([b for b in found if not b.wrong]) else []
    return [_error(code, places, names, outside) for code, places in wrong.items()] + _notes(bare, equal, len(table))


def _told(box: Box) -> str:
    return box.place if box.wrong == "bad-boxes" else f"{shorten(box.label, 30)} {', '.join(f'{side:g}' for side in box.corners)}"


def _error(code: str, places: Sequence[str], names: Sequence[str], outside: Mapping[str, int]) -> Finding:
    if code == "unknown-class":
        expected, got = f"classes of options.names ({listing(names, 8)})", listing(sorted(outside), 5)
        fix = "mend the labels, or add the class to options.names"
    else:
        expected, got = boxes.UNTRUE.get(code, ("a list of boxes", "something else"))
        fix = FIXES.get(code, MEND if code in boxes.UNTRUE else "write [] where there are none")
    many = f" ({count(len(places), 'box')})" if len(places) > 1 else ""
    return Finding("error", code, f"expected {expected}, got {got}{many}", tuple(places[:LISTED]), fix)


def _notes(bare: Sequence[str], equal: Sequence[str], rows: int) -> list[Finding]:
    found = []
    if bare:
        level: Any = "warning" if len(bare) > rows / 2 else "note"
        message = f"{count(len(bare), 'image')} without a box: there is nothing to be found on them"
        found.append(Finding(level, "no-boxes", message, tuple(bare[:LISTED]), "" if level == "note" else "check that boxes were read"))
    if equal:
        message = f"{count(len(equal), 'image')} with the same box of the same class twice"
        found.append(Finding("warning", "equal-boxes", message, tuple(equal[:LISTED]), "take one of them out"))
    return found


def unseen(table: Table, image: str, name: str, labels: Sequence[str]) -> list[Finding]:
    """A warning about boxes of classes that no training row has: they count as missed."""
    known, names, rows = set(labels), set[str](), list[str]()
    for row, (cell, picture) in enumerate(zip(table.column(name), table.column(image))):
        new = {box.label for box in boxes.read(cell, (1 << 30, 1 << 30))} - known
        names |= new
        rows += [_named(table, row, picture)] if new else []
    if not rows:
        return []
    message = f"{listing(sorted(names), 5)} on {count(len(rows), 'image')}, but in no training row: such boxes count as missed"
    return [Finding("warning", "unseen-class", message, tuple(rows[:LISTED]), "train on rows that have them")]


def _named(table: Table, row: int, picture: Any) -> str:
    place = table.place(row)
    file = images.name_of(picture, "an image") if picture is not None else ""
    return place if not file or place.endswith(file.rsplit("/", 1)[-1]) else f"{place}: {file.rsplit('/', 1)[-1]}"


def learned(table: Table, name: str, names: Sequence[str]) -> tuple[str, ...]:
    """The classes of the boxes: as named by the user, else in order of the alphabet (of their numbers, where all are such)."""
    if names:
        return tuple(names)
    found = {box.label for cell in table.column(name) for box in boxes.read(cell, (1 << 30, 1 << 30)) if not box.crowd}
    whole = all(label.isdigit() for label in found)
    return tuple(sorted(found, key=lambda label: (int(label) if whole else 0, label)))


def refuse_none(table: Table, labels: Sequence[str]) -> None:
    """Raises DataError where no row has a box to learn from."""
    if not labels:
        raise DataError(
            table.place(0) if len(table) else "data", expected="boxes in the training rows", got="none on any image",
            fix="check the column of boxes, or the labels' folder", code="no-boxes",
        )


def arrays(cell: Any, labels: Sequence[str], size: Size = (1 << 30, 1 << 30)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners (M, 4) float64, classes (M,) (C: of no training row) and crowds (M,) bool of a cell."""
    numbers = {label: number for number, label in enumerate(labels)}
    found = boxes.read(cell, size)
    corners_M4 = np.array([box.corners for box in found], np.float64).reshape(-1, 4)
    class_M = np.array([numbers.get(box.label, len(labels)) for box in found], np.int64)
    return corners_M4, class_M, np.array([box.crowd for box in found], bool)
