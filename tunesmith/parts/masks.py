"""Masks: what each pixel of an image is, read from PNG files of class ids or of colours, and the book that says which is which.

Ids: grey levels, palette indices, 16-bit numbers, or grey saved as colour. Colours are packed into one number. 255 means "not labelled"
wherever there are two other ids; so do classes called void, ignore or unlabelled.

Axes: H height, W width.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import images
from ..errors import DataError, SpecError, shorten

VOID, UNKNOWN = 255, 254
"""In a truth: a pixel that counts for nothing, and one of a class that training never saw."""
MOST = 254
"""Classes of one set; more are the colours of a photograph, or of a mask that was smoothed."""
NO_CLASS = ("void", "ignore", "ignored", "unlabelled", "unlabeled")
"""Names of what is no class."""
MOST_BYTES = 1 << 20
"""Bytes of a label map."""


@dataclass(frozen=True)
class Book:
    """Which number of a mask is which class."""

    labels: tuple[str, ...]
    keys: tuple[int, ...]
    """The id or the packed colour of each label."""
    ignored: tuple[int, ...]
    coloured: bool

    def classes(self, values_HW: np.ndarray) -> np.ndarray:
        """(H, W) uint8 class numbers; VOID and UNKNOWN where there is none."""
        known = np.array([*self.keys, *self.ignored], np.int64)
        order = np.argsort(known)
        number = np.array([*range(len(self.keys)), *[VOID] * len(self.ignored)], np.uint8)[order]
        at = np.minimum(np.searchsorted(known[order], values_HW), len(known) - 1)
        return np.where(known[order][at] == values_HW, number[at], UNKNOWN).astype(np.uint8)

    def unknown(self, keys: Sequence[int]) -> list[str]:
        """Of these numbers those that stand for nothing, as a reader knows them."""
        return [word(key, self.coloured) for key in keys if key not in self.keys and key not in self.ignored]


def word(key: int, coloured: bool) -> str:
    """An id or a colour in words."""
    return f"#{key:06x}" if coloured else f"{key}"


# -- files ------------------------------------------------------------------------------------------------------------


def read(cell: Any, coloured: bool) -> np.ndarray:
    """(H, W) int32: ids, or packed colours. Raises DataError for what is no mask: a JPEG (its edges are no classes), a photograph."""
    image = images.plain(cell)
    if image.format == "JPEG":
        raise _bad(cell, "a mask saved without loss (PNG)", "a JPEG, whose edges are blurred", "lossy-mask", "export it as PNG")
    if coloured:
        packed_HW3 = np.asarray(image.convert("RGB")).astype(np.int32)
        return (packed_HW3[..., 0] << 16) | (packed_HW3[..., 1] << 8) | packed_HW3[..., 2]
    if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
        return np.asarray(image).astype(np.int32)
    level_HW3 = np.asarray(image.convert("RGB"))
    if not _grey(level_HW3):
        fix = "say which colour is which with options.label_map (name,r,g,b), or save class ids"
        raise _bad(cell, "a mask of class ids", "one of colours", "unknown-class", fix)
    return level_HW3[..., 0].astype(np.int32)


def is_coloured(cells: Sequence[Any]) -> bool:
    """Whether some of these masks have true colours (palettes are ids)."""
    for cell in cells:
        image = images.plain(cell)
        if image.mode not in ("1", "L", "P", "F") and not image.mode.startswith("I") and not _grey(np.asarray(image.convert("RGB"))):
            return True
    return False


def size(cell: Any) -> tuple[int, int]:
    """Height and width of an image, upright, from its header."""
    width, height = images.upright_size(cell)
    return height, width


def packed(class_HW: np.ndarray, palette: bool = False) -> str:
    """A mask as a `data:` address (PNG); with a palette, so that classes can be told apart by eye."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(class_HW, np.uint8))
    if palette:
        image.putpalette(colours().reshape(-1).tolist())
    made = io.BytesIO()
    image.save(made, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(made.getvalue()).decode()}"


def unpacked(address: str) -> np.ndarray:
    """(H, W) uint8: the mask of a `data:` address that `packed` made."""
    return np.array(images.plain(address))


def colours() -> np.ndarray:
    """(256, 3) uint8: a colour for each class, far apart for neighbours; dark grey for what is no class."""
    import colorsys

    hue = (np.arange(256) * 0.618034) % 1
    light = 0.42 + 0.22 * (np.arange(256) % 3) / 2
    made = np.array([colorsys.hls_to_rgb(h, v, 0.75) for h, v in zip(hue, light)])
    made[VOID] = 0.25
    return np.round(made * 255).astype(np.uint8)


# -- the book ---------------------------------------------------------------------------------------------------------


def declared(names: Sequence[str], path: str) -> dict[str, int] | None:
    """Name -> id or packed colour, as the user says; None where nothing is said. Raises SpecError for a map that cannot be read."""
    if names:
        return {name: at for at, name in enumerate(names)}
    return _label_map(Path(path).expanduser()) if path else None


def says_colours(names: Sequence[str], path: str) -> bool:
    """Whether a label map is one of colours."""
    return bool(path) and not names and any(not isinstance(value, int) for value in _entries(Path(path).expanduser()).values())


def learn(seen: Sequence[int], coloured: bool, said: Mapping[str, int] | None, ignore: Sequence[str]) -> Book:
    """The book of these numbers. Raises SpecError where `ignore` names nothing that is there, or where there are too many classes."""
    named = dict(said) if said is not None else {_called(key, coloured): key for key in seen}
    ignored = {key for name, key in named.items() if name.lower() in NO_CLASS} | {_key(one, named, coloured) for one in ignore}
    if not coloured and VOID not in named.values() and (said is not None or len(set(seen) - {VOID}) > 1):
        ignored.add(VOID)
    if said is None and not coloured and VOID in seen and len(set(seen) - {VOID} - ignored) > 1:
        ignored.add(VOID)
    labels = {name: key for name, key in named.items() if key not in ignored}
    if not 2 <= len(labels) <= MOST:
        raise DataError(
            "the masks", expected=f"2 to {MOST} classes", got=f"{len(labels):,}", code="bad-classes",
            fix="save class ids or flat colours without smoothing, or give options.label_map" if labels else "label some pixels",
        )
    return Book(tuple(labels), tuple(labels.values()), tuple(sorted(ignored)), coloured)


def _called(key: int, coloured: bool) -> str:
    return word(key, True) if coloured else f"class {key}"


def _key(asked: str, named: Mapping[str, int], coloured: bool) -> int:
    if asked in named:
        return named[asked]
    if coloured and len(asked) == 7 and asked.startswith("#"):
        return int(asked[1:], 16)
    if not coloured and asked.isdigit():
        return int(asked)
    raise SpecError(
        "option ignore", expected="names of classes, ids or colours (#rrggbb)", got=repr(asked), fix="write [255] or [void]",
        code="bad-value",
    )


def _label_map(path: Path) -> dict[str, int]:
    found = _entries(path)
    if len({isinstance(value, int) for value in found.values()}) > 1:
        raise _bad_map(path, "ids or colours", "some of both")
    return {name: value if isinstance(value, int) else value[0] << 16 | value[1] << 8 | value[2] for name, value in found.items()}


def _entries(path: Path) -> dict[str, int | tuple[int, ...]]:
    """Name -> id, or three levels of a colour."""
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise _bad_map(path, "a file with the classes", "no such file" if not path.exists() else "no plain or no small file")
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix.lower() == ".json":
            made = json.loads(text)
            pairs = made.items() if isinstance(made, dict) else enumerate(made)
            rows = [[str(name), *(v if isinstance(v, list) else [v])] for name, v in pairs]
        else:
            rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(row) and not row[0].startswith("#")]
        return dict(_entry(row, at) for at, row in enumerate(rows if not _heading(rows) else rows[1:]))
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise _bad_map(path, "lines `name`, `id,name` or `name,r,g,b`", shorten(str(error), 80)) from None


def _heading(rows: Sequence[Sequence[Any]]) -> bool:
    return len(rows) > 1 and len(rows[0]) > 1 and not any(str(cell).isdigit() for cell in rows[0]) and any(
        str(cell).isdigit() for cell in rows[1]
    )


def _entry(row: Sequence[Any], at: int) -> tuple[str, int | tuple[int, ...]]:
    numbers = [int(cell) for cell in row if str(cell).isdigit()]
    words = [str(cell) for cell in row if not str(cell).isdigit()]
    if len(numbers) >= 3:
        levels = tuple(numbers[-3:])
        if max(levels) > 255:
            raise ValueError(f"a colour of {levels}")
        return words[0], levels
    return (words[0] if words else str(row[0])), numbers[0] if numbers else at


def _grey(level_HW3: np.ndarray) -> bool:
    return bool((level_HW3[..., 0] == level_HW3[..., 1]).all() and (level_HW3[..., 0] == level_HW3[..., 2]).all())


def _bad(cell: Any, expected: str, got: str, code: str, fix: str) -> DataError:
    return DataError(images.name_of(cell, "a mask"), expected=expected, got=got, fix=fix, code=code)


def _bad_map(path: Path, expected: str, got: str) -> SpecError:
    fix = "write a CSV file: name,r,g,b or id,name"
    return SpecError(f"option label_map, {path}", expected=expected, got=got, fix=fix, code="bad-label-map")
