"""Answers that are pictures (masks), as files: a folder with a PNG for each row, named as its image, and answers.csv beside them."""

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

from ._show import jsonable

LONGEST = 40
"""Characters of a caption that name its picture."""
PNG = "data:image/png;base64,"
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
                    drawn = {key: _saved(value, row, partial, taken) for key, value in row.items() if _is_picture(key, value, prefix)}
                    kept = row | drawn
                    if not made:
                        made.append(csv.DictWriter(file, list(kept), lineterminator="\n"))
                        made[0].writeheader()
                    made[0].writerow({key: cell(_plain(value), ours=key.startswith(prefix)) for key, value in kept.items()})

            yield write
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _is_picture(key: str, value: Any, prefix: str) -> bool:
    return key.startswith(prefix) and isinstance(value, str) and value.startswith(PNG)


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
    (place / f"{name}.png").write_bytes(base64.b64decode(value.removeprefix(PNG)))
    return f"{name}.png"


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return "(bytes)"
    return json.dumps(jsonable(value), ensure_ascii=False) if isinstance(value, dict) else value
