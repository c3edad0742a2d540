"""Folders of images with masks: images/ and masks/ side by side, a mask for each image by its name.

    images/a.jpg masks/a.png        also: imgs, img, jpegimages; mask, labels, annotations, segmentationclass
    masks/a_mask.png                endings that say what the file is are left out: _mask, _label, _seg, _gt, _L
"""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from ..errors import DataError, listing
from .beside import left_over
from .finding import count
from .images import SUFFIXES
from .source import Loaded
from .table import Part

IMAGES = ("images", "image", "imgs", "img", "jpegimages")
MASKS = ("masks", "mask", "labels", "annotations", "annots", "segmentations", "segmentationclass")
SAYS = re.compile(r"[_-](mask|masks|label|labels|labelids|seg|gt|l)$", re.IGNORECASE)
MAPS = re.compile(r"class|label|map|colou?r|palette|codes|names", re.IGNORECASE)
"""Names of tables that say what the classes are, rather than list rows."""


def folders(folder: Path) -> tuple[Path, Path] | None:
    """The folder's images/ and masks/; None where it has not both."""
    below = {path.name.lower(): path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()}
    found = [next((below[name] for name in names if name in below), None) for names in (IMAGES, MASKS)]
    if found[0] is None or found[1] is None or not _files(found[0]) or not _files(found[1]):
        return None
    return found[0], found[1]


def only_maps(files: list[Path]) -> bool:
    """Whether these tables beside the folders are class lists."""
    return all(MAPS.search(path.stem) for path in files)


def load(folder: Path, name: str) -> Loaded | None:
    """Columns `image` and `mask`, in order of the names, an empty cell where a mask is missing; None where the folder is none of these.

    Raises DataError where two files of one folder have the same name, or none of the masks belongs to an image.
    """
    pair = folders(folder)
    if pair is None:
        return None
    pictures, masks = (_named(place, name, mask=place == pair[1]) for place in pair)
    if not pictures.keys() & masks.keys():
        raise DataError(
            name, expected=f"a mask in {pair[1].name}/ for each image in {pair[0].name}/, with its name",
            got=f"{listing(sorted(p.name for p in masks.values()), 3)} beside {listing(sorted(p.name for p in pictures.values()), 3)}",
            fix="name the masks as their images, or give a table with columns image and mask", code="no-masks",
        )
    columns: dict[str, list[str | None]] = {
        "image": [path.relative_to(folder).as_posix() for path in pictures.values()],
        "mask": [masks[key].relative_to(folder).as_posix() if key in masks else None for key in pictures],
    }
    spare = [path.name for key, path in masks.items() if key not in pictures]
    notes = [f"a folder of {len(pictures):,} images with masks"]
    notes += [f"passed over {count(len(spare), 'mask')} without an image: {listing(spare, 5)}"] if spare else []
    notes += [f"{place.name}/: {note}" for place in pair for note in left_over(place, set(_files(place)))]
    parts = tuple(Part(f"{name}/{path}", 1, single=True, folder=str(folder)) for path in columns["image"])
    table = pa.table({key: pa.array(cells, pa.large_string()) for key, cells in columns.items()})
    return Loaded(table, True, tuple(notes), (), parts)


def _named(place: Path, name: str, mask: bool) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in _files(place):
        key = SAYS.sub("", path.stem) if mask else path.stem
        if key in found:
            raise DataError(
                f"{name}/{place.name}", expected="one file of each name", got=listing([found[key].name, path.name]),
                fix="take one of them out", code="two-masks" if mask else "two-images",
            )
        found[key] = path
    return found


def _files(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
