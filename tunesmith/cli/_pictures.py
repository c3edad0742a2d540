"""Answers that are pictures (masks) or sounds, as files: a folder with a PNG or WAV for each row, and answers.csv beside them; one WAV."""

from __future__ import annotations

import base64
import contextlib
import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import SpecError
from ._show import jsonable

KINDS = {"data:image/png;base64,": "png", "data:audio/wav;base64,": "wav"}
"""How such an answer begins, and the ending of its file."""
LONGEST = 40
"""Characters of a caption that name its picture."""
Row = dict[str, Any]


@contextlib.contextmanager
def folder(partial: Path, cell: Callable[..., Any], prefix: str) -> Iterator[Callable[[list[Row]], None]]:
    """A function that adds rows to a new folder; the folder goes where it is not made whole."""
    partial.mkdir()
    taken: set[str] = set()
    try:
        with (partial / "answers.csv").open("w", encoding="utf-8", newline="") as file:
            made: list[csv.DictWriter[str]] = []

            def write(rows: list[Row]) -> None:
                for row in rows:
                    drawn = {key: _saved(value, row, partial, taken) for key, value in row.items() if _is_file(key, value, prefix)}
                    kept = row | drawn
                    if not made:
                        made.append(csv.DictWriter(file, list(kept), lineterminator="\n"))
                        made[0].writeheader()
                    made[0].writerow({key: cell(_plain(value), ours=key.startswith(prefix)) for key, value in kept.items()})

            yield write
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextlib.contextmanager
def sound(partial: Path, prefix: str) -> Iterator[Callable[[list[Row]], None]]:
    """A function that writes the one sound of the one row. Raises SpecError for several rows, or an answer without a sound."""

    def write(rows: list[Row]) -> None:
        found = [value for row in rows for key, value in row.items() if _is_file(key, value, prefix) and _parted(value)[1] == "wav"]
        if len(rows) != 1 or len(found) != 1 or partial.exists():
            raise SpecError(
                "--out", expected="one text that is spoken, for one .wav file", got=f"{len(rows):,} answers with {len(found):,} sounds",
                fix="name a new folder (FOLDER/) for several", code="unknown-format",
            )
        partial.write_bytes(base64.b64decode(_parted(found[0])[0]))

    yield write


def _is_file(key: str, value: Any, prefix: str) -> bool:
    return key.startswith(prefix) and isinstance(value, str) and value.startswith(tuple(KINDS))


def _parted(value: str) -> tuple[str, str]:
    """What stands behind the beginning, and the ending of its file."""
    begin = next(one for one in KINDS if value.startswith(one))
    return value.removeprefix(begin), KINDS[begin]


def _saved(value: str, row: Row, place: Path, taken: set[str]) -> str:
    """The picture's file name: that of the row's own image, with a number where two would be the same."""
    texts = [cell for key, cell in row.items() if isinstance(cell, str) and not cell.startswith("data:")]
    own = next((Path(cell).stem for cell in texts if Path(cell).suffix), texts[0][:LONGEST] if len(texts) == 1 else "")
    stem = re.sub(r"[^\w.-]+", "_", own).strip("._") or f"row-{len(taken) + 1}"
    name, number = stem, 1
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.lower())
    packed, ending = _parted(value)
    (place / f"{name}.{ending}").write_bytes(base64.b64decode(packed))
    return f"{name}.{ending}"


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return "(bytes)"
    return json.dumps(jsonable(value), ensure_ascii=False) if isinstance(value, dict) else value
