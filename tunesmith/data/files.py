"""Columns whose cells name files: every file found, read whole and hashed before anything is learned.

A path counts from the folder of the file that names it (or from `data.files`), and stays inside one of them, links included. A resolved
cell is an object: `path`, and `content`, the hash by which rows are told apart wherever the folder lies; of a sound also its length.
Bytes in cells (Parquet) become files of the data cache first.
"""

# Axes: N rows.

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import spec
from ..errors import DataError, listing, shorten
from ..spent import cores
from . import caches, images, likeness, sounds
from .finding import LISTED, Finding, count
from .ledger import Ledger
from .profile import ColumnProfile, Profile
from .spool import disk_error
from .table import Table

CHUNK = 512
"""Cells looked at together: bytes in cells are held only so long."""
ELSEWHERE = ", or name the files' folder (--set data.files=FOLDER)"
SKIP = ", or say --bad-rows skip to leave such rows out"
DROP = ", or say --empty drop to leave such rows out"
LONGEST_NAME = 200
"""Characters of a name without ending that is looked for among the sounds."""
TINY = 4
"""Pixels of the shorter side below which an image shows hardly anything."""


@dataclass
class _Found:
    """What was met in one column."""

    contents: list[str | None] = field(default_factory=list)
    paths: list[str | None] = field(default_factory=list)
    bad: dict[str, list[tuple[int, DataError]]] = field(default_factory=lambda: defaultdict(list))
    changed: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    extras: list[dict[str, int]] = field(default_factory=list)
    tiny: list[int] = field(default_factory=list)
    silent: list[int] = field(default_factory=list)


def resolve(
    table: Table, names: Sequence[str], options: spec.Data, ledger: Ledger, modality: str = "image", optional: bool = False
) -> tuple[Table, list[Finding]]:
    """The table with the files of these columns found and checked, and what is wrong with them.

    `modality`: `audio` or `voice` where they are sounds. `optional`: whether a cell may be empty; a file that is named must be there
    all the same.

    Rows with a bad file give findings of level `error`; with `bad_rows: skip` they are left out and stand in the ledger.
    """
    findings: list[Finding] = []
    for name in names:
        if not _resolved(table.kind(name)):
            table, found = _column(table, name, options, ledger, sounds if modality in ("audio", "voice") else images, optional)
            findings += found
    return table, findings


def named(profile: Profile, table: Table, asked: str) -> Profile:
    """The profile, with columns that name sounds without their endings (`LJ001-0001`) as columns of paths."""
    folder = asked or (table.folder(0) if len(table) else "")
    if not folder:
        return profile
    return replace(profile, columns={name: _with_endings(column, folder) for name, column in profile.columns.items()})


def _with_endings(column: ColumnProfile, folder: str) -> ColumnProfile:
    short = column.kind in ("text", "category", "id", "integer") and column.max_chars <= LONGEST_NAME
    cells = tuple(_digits(cell) for cell in column.examples) if short else ()
    cells = cells if all(isinstance(cell, str) for cell in cells) else ()
    found = tuple(sounds.locate(folder, cell) for cell in cells)
    return replace(column, kind="path", examples=found) if found and all(a != b for a, b in zip(found, cells)) else column


def _digits(cell: Any) -> Any:
    """A whole number as the name of a sound that it is (`17`)."""
    return str(cell) if isinstance(cell, int) and not isinstance(cell, bool) else cell


def small_images(tables: Iterable[Table], inputs: Sequence[str]) -> list[bytes] | None:
    """Of each row `images.Seen.small`, where rows are an image and nothing else, resolved; else None. Of very many rows nothing."""
    tables = list(tables)
    kinds = [table.kind(inputs[0]) for table in tables] if len(inputs) == 1 else []
    if not kinds or not all(_resolved(kind) and kind.num_fields == 2 for kind in kinds):  # sounds have more
        return None
    cells = (cell for table in tables for cell in table.each(inputs[0]))
    few = sum(map(len, tables)) <= likeness.MOST
    whole = (cell["path"] if cell and cell["content"] else "" for cell in cells)  # the others are refused later, with all findings
    return [_seen(images, path, *_stamp(path)).small if path else b"" for path in whole] if few else []


def _column(
    table: Table, name: str, options: spec.Data, ledger: Ledger, kind: Any, optional: bool
) -> tuple[Table, list[Finding]]:
    found = _looked_at(table, name, options, kind, optional)
    told = kind is images and options.near_duplicates
    alike = "where rows are nothing else, those that look alike do, too" if told else "near-duplicates are not looked for"
    ledger.note(f"{kind.MANY} of column {name!r}: equal files stay on one side of the split; {alike}")
    for what, rows in found.changed.items():
        ledger.add("cast", f"{kind.MANY} of column {name!r}: {what}", table.places(rows))
    each = zip(found.paths, found.contents, found.extras)
    cells = [None if p is None else {"path": p, "content": c or ""} | extra for p, c, extra in each]
    changed = table.with_column(name, cells) if any(cells) else table
    if options.bad_rows != "skip":
        return changed, _findings(table, found)
    bad = sorted({row for rows in found.bad.values() for row, _ in rows})
    if bad:
        ledger.add("skipped", "files that could not be used, and skipping was asked for", [
            _line(table, row, error) for rows in found.bad.values() for row, error in rows
        ])
        changed = changed.take(np.setdiff1d(np.arange(len(table)), bad))
    return changed, [f for f in _findings(table, found) if f.level != "error"]


def _looked_at(table: Table, name: str, options: spec.Data, kind: Any, optional: bool) -> _Found:
    found, roots = _Found(), _Roots(options.files, kind)
    for row, (cell, path, seen) in enumerate(_inspected(table, name, roots)):
        found.paths.append(path)
        whole = seen if isinstance(seen, images.Seen | sounds.Seen) else None
        found.contents.append(whole.content if whole else None)
        found.extras.append(whole.extra if whole else {})
        if seen is None and options.empty != "drop" and not optional:
            seen = DataError(table.place(row), expected=f"{kind.WHAT} in column {name!r} of every row", got="an empty cell",
                fix=f"fill it{DROP}", code=f"empty-{kind.WHAT.split()[-1]}")
        if isinstance(seen, DataError):
            found.bad[seen.code].append((row, seen))
        elif seen is not None:
            _note(found, row, seen, kind.name_of(cell), kind)
    return found


def _note(found: _Found, row: int, seen: Any, name: str, kind: Any) -> None:
    for change in seen.changes:
        found.changed[change].append(row)
    if kind.says_otherwise(seen, name):
        found.changed["the name says another format than the content; the content decides"].append(row)
    if isinstance(seen, images.Seen) and min(seen.width, seen.height) < TINY:
        found.tiny.append(row)
    if isinstance(seen, sounds.Seen) and seen.silent:
        found.silent.append(row)


Inspected = tuple[Any, str | None, images.Seen | sounds.Seen | DataError | None]
"""A cell, its path once found, and what the file is or what is wrong with it; None for an empty cell."""


def _inspected(table: Table, name: str, roots: _Roots) -> Iterator[Inspected]:
    """Every cell in order, a chunk at a time, on all cores."""
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(table), CHUNK):
            part = table.take(np.arange(start, min(start + CHUNK, len(table))))
            folders = [part.folder(i) for i in range(len(part))]
            yield from pool.map(roots.inspect, part.column(name), folders)


@dataclass(frozen=True)
class _Roots:
    """Where paths start, and what they may not leave."""

    asked: str
    kind: Any = images
    """The module that knows the files: `images` or `sounds`."""

    def inspect(self, cell: Any, folder: str) -> Inspected:
        if cell is None or cell == "" or (isinstance(cell, dict) and not cell.get("bytes") and not cell.get("path")):
            return cell, None, None
        cell = _digits(cell) if self.kind is sounds else cell
        if not _nameable(cell):
            name = shorten(str(cell), 200)
            return cell, name, self.kind.error(name, "the name of a file, or its bytes", f"a {type(cell).__name__}", "no-such-file")
        try:
            if isinstance(cell, str) and not cell.startswith(images.URI):
                path = self._path(cell, folder)
                return cell, path, _seen(self.kind, path, *_stamp(path))
            seen = self.kind.inspect(cell)
            return cell, cell if isinstance(cell, str) else _kept(self.kind.payload(cell), seen), seen
        except DataError as error:
            return cell, cell if isinstance(cell, str) else self.kind.name_of(cell), error

    def _path(self, cell: str, folder: str) -> str:
        try:
            return self._inside(cell, self._root(cell, folder))
        except (OSError, ValueError):  # too long, or with a character of none
            name = self.kind.name_of(cell)
            raise self.kind.error(name, "the name of a file", "one that no file can have", "no-such-file") from None

    def _root(self, cell: str, folder: str) -> str:
        """The folder that was named, unless the file lies beside the table that names it and not there: a folder that is given to
        `predict` is no part of the one that training read."""
        if not self.asked or not folder:
            return self.asked or folder
        there, here = (os.path.exists(os.path.join(root, cell)) for root in (self.asked, folder))
        return folder if here and not there else self.asked

    def _inside(self, cell: str, root: str) -> str:
        """The path of a cell. A caller's own paths (no root) lead anywhere; those that a file names stay in its folder."""
        if not root:
            return os.path.abspath(os.path.expanduser(cell))
        cell = sounds.locate(root, cell) if self.kind is sounds else cell
        path = os.path.normpath(os.path.join(root, cell))
        real = Path(os.path.realpath(path))
        # `../wavs/1.wav` in a table leads out of the table's folder, and may lead into the one that was named.
        if not any(real.is_relative_to(os.path.realpath(one)) for one in {root, self.asked or root}):
            raise self.kind.error(self.kind.name_of(cell), f"a file inside {root}", "a path or link that leads out of it", "outside-folder")
        return os.path.abspath(path)


def _nameable(cell: Any) -> bool:
    """Whether a cell can lead to a file: numbers and lists cannot."""
    if isinstance(cell, dict):
        return isinstance(cell.get("bytes"), bytes | None) and isinstance(cell.get("path"), str | None)
    return isinstance(cell, str | bytes)


def _kept(data: bytes, seen: images.Seen | sounds.Seen) -> str:
    """Bytes of a cell as a file of the data cache, named by its content: tables stay small, and every cell is read alike."""
    path = caches.root() / caches.FILES / seen.content[:2] / f"{seen.content}.{seen.format.lower()}"
    if path.is_file():
        os.utime(path)
    else:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            beside.write_bytes(data)
            os.replace(beside, path)
        except OSError as error:
            raise disk_error(path, error) from None
    return str(path)


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return 0, 0
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=1 << 17)
def _seen(kind: Any, path: str, size: int, mtime_ns: int) -> Any:
    """`inspect`, once per file and process."""
    return kind.inspect(path)


def _resolved(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and {"path", "content"} <= {field.name for field in kind}


def _findings(table: Table, found: _Found) -> list[Finding]:
    made = [_finding(table, code, rows) for code, rows in found.bad.items()]
    if found.tiny:
        message = f"{count(len(found.tiny), 'image')} less than {TINY} pixels wide or high: hardly anything can be seen on them"
        made.append(Finding(
            "warning", "tiny-image", message,
            tuple(table.place(i) for i in found.tiny[:LISTED]), "look at them",
        ))
    if found.silent:
        message = f"{count(len(found.silent), 'sound')} in which nothing can be heard"
        made.append(Finding(
            "warning", "silent-sound", message, tuple(table.place(i) for i in found.silent[:LISTED]), "listen to them",
        ))
    return made


def _finding(table: Table, code: str, rows: Sequence[tuple[int, DataError]]) -> Finding:
    first = rows[0][1]
    kinds = list(dict.fromkeys(error.got for _, error in rows))
    got = kinds[0] if len(rows) == 1 else f"{count(len(rows), 'row')} with {listing(kinds, 3)}"
    return Finding(
        "error", code, f"expected {first.expected}, got {got}", tuple(_line(table, row, error) for row, error in rows[:LISTED]),
        first.fix + (ELSEWHERE if code == "no-such-file" else "") + SKIP,
    )


def _line(table: Table, row: int, error: DataError) -> str:
    place = table.place(row)
    return place if place.endswith(error.place) else f"{place}: {error.place}"
