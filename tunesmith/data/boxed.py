"""Folders of images with boxes around what is on them, as one row per image: COCO, Pascal VOC and YOLO, as tools export them.

    coco   train/_annotations.coco.json beside its images, or annotations/instances_train.json and images anywhere below the folder
    voc    an XML file for each image, by its name: Annotations/ and JPEGImages/, annotations/ and images/, or side by side
    yolo   images/ and labels/ (a text file for each image), in any order of folders and parts of the split, and data.yaml or classes.txt

Rows have `image`, `boxes` (a list of {"label", "box" or "bbox" or "yolo", "crowd"}), `width` and `height` where they are declared, and
`split` where folders or lists part the images.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from ..errors import DataError, listing
from . import coco, voc, yolo
from .cells import column_of, normalise
from .finding import count as counted
from .images import SUFFIXES
from .source import Loaded
from .strict import parse
from .table import Part

PARTS = re.compile(r"(?:^|[^a-z])(train|training|test|testing|dev|val|valid|validation|eval)(?:[^a-z]|$)", re.IGNORECASE)
MOST_FILES = 400_000
MOST_JSON = 1 << 30
HEAD = 1 << 16
FORMS = {"coco": ".json", "voc": ".xml", "yolo": ".txt"}
Row = dict[str, Any]


@dataclass(frozen=True)
class _Index:
    """Files below a folder, by their paths from it. Linked folders may lead anywhere, so they are passed over."""

    folder: Path
    images: tuple[str, ...]
    json: tuple[str, ...]
    xml: tuple[str, ...]
    texts: tuple[str, ...]
    by_name: Mapping[str, tuple[str, ...]] = field(repr=False)
    """File name without ending -> images of that name."""
    odd: tuple[str, ...] = ()
    """JSON, XML and text files that are none of this folder: links out of it or into nothing, pipes. Only those that can be read are
    among the others, too."""
    whole: bool = True
    """Whether all files were looked at: of absurdly many, not."""

    def image(self, named: str, near: str = "") -> str | None:
        """The image that a file names, from the folder or from `near`; else the one image of that name."""
        for start in (near, f"{near}/images", "", "images"):
            path = os.path.normpath(f"{start}/{named}").lstrip("/")
            if path in self.by_name.get(PurePosixPath(path).stem, ()):
                return path
        same = [path for path in self.by_name.get(PurePosixPath(named).stem, ()) if path.endswith(PurePosixPath(named).name)]
        return _nearest(same, near)

    def of_stem(self, path: str) -> str | None:
        """The image that is called like another file, the nearest one where several are."""
        return _nearest(list(self.by_name.get(PurePosixPath(path).stem, ())), str(PurePosixPath(path).parent))


def load(folder: Path, name: str) -> Loaded | None:
    """The rows of such a folder, in order of the names; None where it is none. Raises DataError where a file of it is malformed."""
    form = kind(folder)
    if form is None:
        return None
    index = _index(folder)
    odd = [path for path in index.odd if path.lower().endswith(FORMS[form])]
    if odd:
        raise DataError(
            f"{name}/{odd[0]}", expected="a plain file of this folder", got="a link that leads out of it or nowhere, or a pipe",
            fix="put the file itself there", code="not-a-file",
        )
    if not index.whole:
        raise DataError(name, expected=f"at most {MOST_FILES:,} files", got="more", fix="give a table of paths", code="too-many-files")
    rows, notes = {"coco": _coco, "voc": _voc, "yolo": _yolo}[form](index, name)
    if not rows:
        raise DataError(name, expected="images with boxes", got="none", fix="check the folder", code="no-rows")
    return _loaded(folder, name, rows, notes)


def kind(folder: Path) -> str | None:
    """`coco`, `voc`, `yolo`, or None: told by the first file of a kind."""
    index = _index(folder)
    if not index.images:
        return None
    if _lists(index):
        return "coco"
    if index.xml and voc.looks(folder / index.xml[0]):
        return "voc"
    labels = [path for path in index.texts if "labels" in PurePosixPath(path).parts[:-1]]
    unread = [path for path in index.odd if path.endswith(".txt") and "labels" in PurePosixPath(path).parts[:-1] and index.of_stem(path)]
    seen = any(yolo.looks(folder / path) for path in labels[:20] if path not in index.odd and (folder / path).stat().st_size)
    return "yolo" if seen or unread else None


def _index(folder: Path) -> _Index:
    found: dict[str, list[str]] = {"images": [], "json": [], "xml": [], "texts": []}
    odd, root = list[str](), os.path.realpath(folder)
    endings = {".json": "json", ".xml": "xml", ".txt": "texts"} | dict.fromkeys(SUFFIXES, "images")
    count = 0
    for place, below, files in os.walk(folder):
        below[:] = sorted(one for one in below if not one.startswith("."))
        for file in files:
            count += 1
            group = endings.get(os.path.splitext(file)[1].lower())
            if group and not file.startswith("."):
                path, shown = os.path.join(place, file), os.path.relpath(os.path.join(place, file), folder).replace(os.sep, "/")
                readable = group == "images" or os.path.isfile(path)
                found[group] += [shown] if readable else []
                odd += [shown] if not readable or group != "images" and _leads_out(path, root) else []
        if count > MOST_FILES:
            break
    by_name: dict[str, tuple[str, ...]] = {}
    for path in (ordered := sorted(found["images"], key=_natural)):
        stem = PurePosixPath(path).stem
        by_name[stem] = (*by_name.get(stem, ()), path)
    rest = {group: tuple(sorted(found[group], key=_natural)) for group in ("json", "xml", "texts")}
    return _Index(folder, tuple(ordered), rest["json"], rest["xml"], rest["texts"], by_name, tuple(odd), count <= MOST_FILES)


def _leads_out(path: str, root: str) -> bool:
    return os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(root)


# -- forms ------------------------------------------------------------------------------------------------------------


def _lists(index: _Index) -> list[str]:
    """JSON files that list objects: those called instances_* alone, where there are such. A file beside its images is read as a file."""
    found = [path for path in index.json if _tells(index.folder / path)]
    instances = [path for path in found if PurePosixPath(path).name.startswith("instances")]
    found = instances or found
    return [] if len(found) == 1 and "/" not in found[0] and not found[0].startswith("_") else found


def _tells(path: Path) -> bool:
    """Whether a JSON file says what COCO's do, at its beginning or its end: annotations and categories may stand in any order."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        ends = file.read(HEAD)
        file.seek(max(0, size - HEAD))
        ends += file.read(HEAD)
    return sum(key in ends for key in (b'"images"', b'"annotations"', b'"categories"')) >= 2


def _coco(index: _Index, name: str) -> tuple[list[Row], list[str]]:
    rows, files = list[Row](), _lists(index)
    splits = [_part_of(path) for path in files]
    if len(files) > 1 and (not all(splits) or len(set(splits)) < len(files)):
        raise DataError(
            name, expected="one file of annotations, or one for each part of the split", got=listing(files),
            fix="give one of them, with --set data.files=FOLDER for its images", code="several-files",
        )
    for path, split in zip(files, splits):
        place = index.folder / path
        if place.stat().st_size > MOST_JSON:
            raise DataError(f"{name}/{path}", expected="at most 1 GiB", got="more", fix="give a part of it", code="document-too-large")
        value = parse(place.read_text("utf-8-sig"), f"{name}/{path}")
        if not coco.fits(value):
            raise DataError(f"{name}/{path}", expected="images, annotations and categories", got="others", fix="check it", code="not-coco")
        near = str(PurePosixPath(path).parent)
        for row in coco.rows(value, f"{name}/{path}"):
            rows.append(row | {"image": index.image(row["image"], near) or row["image"], "split": split})
    return rows, [coco.NOTE, *_spare(index, rows, "that no list names")]


def _voc(index: _Index, name: str) -> tuple[list[Row], list[str]]:
    rows, lists = list[Row](), _image_sets(index)
    for path in index.xml:
        found = voc.read(index.folder / path, f"{name}/{path}")
        image = index.of_stem(path) or index.image(found["file"], str(PurePosixPath(path).parent))
        split = lists.get(PurePosixPath(path).stem, "") if lists else _part_of(image or path)
        sizes = {key: found[key] for key in ("width", "height")}
        rows.append({"image": image or found["file"] or path, **sizes, "boxes": found["boxes"], "split": split})
    notes = ["objects in images (Pascal VOC's form): an XML file for each image; corners as written, 'difficult' ones counted like others"]
    notes += _spare(index, rows, "without an XML file")
    if lists:
        outside = [row["image"] for row in rows if not row["split"]]
        notes += [f"passed over {counted(len(outside), 'image')} that no list of ImageSets names: {listing(outside, 3)}"] if outside else []
        rows = [row for row in rows if row["split"]]
    return rows, notes


def _spare(index: _Index, rows: Sequence[Row], why: str) -> list[str]:
    """A note about images of the folder that are no row."""
    taken = {row["image"] for row in rows}
    found = [path for path in index.images if path not in taken]
    return [f"passed over {counted(len(found), 'image')} {why}: {listing(found, 3)}"] if found else []


def _image_sets(index: _Index) -> dict[str, str]:
    """Image name -> train, val or test, where ImageSets/Main says so."""
    found: dict[str, str] = {}
    for path in index.texts:
        if path.lower().endswith(("imagesets/main/train.txt", "imagesets/main/val.txt", "imagesets/main/test.txt")):
            for line in (index.folder / path).read_text("utf-8", "replace").splitlines():
                found |= {line.split()[0]: PurePosixPath(path).stem} if line.strip() else {}
    return found if "train" in found.values() else {}


def _yolo(index: _Index, name: str) -> tuple[list[Row], list[str]]:
    places = sorted({PurePosixPath(path).parent for path in index.texts if "labels" in PurePosixPath(path).parts[:-1]})
    known = yolo.names([index.folder, *(index.folder / place for place in places)])
    rows, texts, without = list[Row](), set(index.texts), 0
    spare = {path for path in texts if "labels" in PurePosixPath(path).parts[:-1] and PurePosixPath(path).name not in yolo.LISTS}
    for path in index.images:
        label = _label_of(path)
        spare.discard(label)
        found = yolo.read(index.folder / label, f"{name}/{label}", known) if label in texts else []
        without += label not in texts
        rows.append({"image": path, "boxes": found, "split": _part_of(path)})
    notes = ["objects in images (YOLO's form): a text file for each image"]
    notes += [f"{counted(without, 'image')} without a text file: taken as without boxes"] if without else []
    notes += [f"passed over {counted(len(spare), 'text file')} without an image: {listing(sorted(spare), 3)}"] if spare else []
    notes += [] if known else ["no data.yaml or classes.txt says names: the classes are called by their numbers"]
    return rows, notes


def _label_of(path: str) -> str:
    parts = list(PurePosixPath(path).with_suffix(".txt").parts)
    places = [at for at, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return "/".join(parts)


# -- rows -------------------------------------------------------------------------------------------------------------


def _loaded(folder: Path, name: str, rows: Sequence[Row], notes: Sequence[str]) -> Loaded:
    parts = [row.pop("split", "") for row in rows]
    columns: dict[str, list[Any]] = {key: [row.get(key) for row in rows] for key in ("image", "width", "height", "boxes", "shapes")}
    columns = {key: values for key, values in columns.items() if any(value is not None for value in values)}
    more = list(notes)
    if all(parts) and "train" in parts and len(set(parts)) > 1:
        columns["split"] = parts
        more.append("folders or lists part the images: column 'split'")
    places = tuple(Part(f"{name}/{row['image']}", 1, single=True, folder=str(folder)) for row in rows)
    table = normalise(pa.table({key: column_of(key, values, name) for key, values in columns.items()}))
    return Loaded(table, True, tuple(more), (), places)


def _part_of(path: str) -> str:
    """train, validation or test, where a folder on the way (or the file of a list) says so."""
    words: Callable[[str], str] = lambda part: (PARTS.search(part.lower().rstrip("0123456789")) or ("", ""))[1]  # noqa: E731
    found = next((word for part in reversed(PurePosixPath(path).parts) if (word := words(PurePosixPath(part).stem))), "")
    return {"training": "train", "testing": "test", "eval": "validation", "val": "validation", "valid": "validation",
            "dev": "validation"}.get(found, found)


def _nearest(paths: Sequence[str], near: str) -> str | None:
    """Of several files the one whose path begins most like another's."""
    return max(paths, key=lambda path: len(os.path.commonprefix([path, near])), default=None)


def _natural(path: str) -> list[tuple[int, int | str]]:
    return [(0, int(piece)) if piece.isdigit() else (1, piece) for piece in re.findall(r"[0-9]+|[^0-9]+", path)]
