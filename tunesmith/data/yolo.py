"""YOLO's text files of objects in an image: a line `class x y width height` for each, the numbers as shares of the image's sides.

Lines with more numbers are outlines (`class x1 y1 x2 y2 ...`): the box around them is taken. Names of the classes stand in data.yaml
(`names`), classes.txt or obj.names; without these the numbers are the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError, SpecError, shorten
from ..plain_yaml import read_yaml

LISTS = ("classes.txt", "obj.names", "labels.txt", "names.txt")
MOST_BYTES = 4 << 20
"""Bytes of one file of boxes, or of names."""
Row = dict[str, Any]


def looks(path: Path) -> bool:
    """Whether the first line of a file is a class with numbers."""
    with open(path, "rb") as file:
        parts = file.readline(4096).split()
    return len(parts) >= 5 and parts[0].isdigit()


def names(folders: Sequence[Path]) -> dict[int, str]:
    """Names of the classes by their numbers, from the first of these folders that says them. Raises DataError for a malformed file."""
    for folder in folders:
        for path in sorted(folder.glob("*.y*ml")):
            found = _of_yaml(path) if path.is_file() else {}
            if found:
                return found
        for name in LISTS:
            if (folder / name).is_file():
                lines = _text(folder / name, name).splitlines()
                return dict(enumerate(line.strip() for line in lines if line.strip()))
    return {}


def read(path: Path, name: str, known: Mapping[int, str]) -> list[Row]:
    """{"label", "yolo": [x, y, width, height], "crowd"} of each line. Raises DataError with the line."""
    return [_box(line.split(), f"{name}, line {n}", known) for n, line in enumerate(_text(path, name).splitlines(), 1) if line.strip()]


def _box(parts: list[str], place: str, known: Mapping[int, str]) -> Row:
    try:
        kind, numbers = int(parts[0]), [float(part) for part in parts[1:]]
    except ValueError:
        raise _error(place, "a class number and numbers behind it", " ".join(parts)) from None
    if known and kind not in known:
        raise _error(place, f"a class from {min(known)} to {max(known)}, as the names say", str(kind), "unknown-class")
    label = known.get(kind, str(kind))
    if len(numbers) == 4:
        return {"label": label, "yolo": numbers, "crowd": False}
    if len(numbers) < 6 or len(numbers) % 2:
        raise _error(place, "class, x, y, width, height", f"{len(parts)} numbers")
    across, down = numbers[::2], numbers[1::2]
    middle = [(min(across) + max(across)) / 2, (min(down) + max(down)) / 2]
    return {"label": label, "yolo": [*middle, max(across) - min(across), max(down) - min(down)], "crowd": False}


def _of_yaml(path: Path) -> dict[int, str]:
    try:
        said = read_yaml(path).get("names")
    except SpecError as error:
        raise DataError(error.place, expected=error.expected, got=error.got, fix=error.fix, code=error.code) from None
    if isinstance(said, list):
        return {number: str(name) for number, name in enumerate(said)}
    if isinstance(said, dict) and all(isinstance(number, int) for number in said):
        return {number: str(name) for number, name in said.items()}
    return {}


def _text(path: Path, name: str) -> str:
    if path.stat().st_size > MOST_BYTES:
        raise _error(name, f"at most {MOST_BYTES >> 20} MiB", "more")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(name, "a text in UTF-8", shorten(str(error), 80)) from None


def _error(place: str, expected: str, got: str, code: str = "not-yolo") -> DataError:
    return DataError(place, expected=expected, got=shorten(got), fix="mend the file there", code=code)
