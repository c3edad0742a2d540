"""All that is kept between runs, in one folder: converted tables, tokens, activations, trials. Bounded together, least recently used first.

An entry is a file or a folder whose name is a hash of what it was made from, so that removing one costs time and nothing else.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, final

import numpy as np

from ..disk import take_room

FILES = "files"
"""The room of images out of archives and cells: runs read them as long as they train."""
TRIALS = "trials"
"""The room of what was measured of models on this machine."""
NAMES = "names"
"""The room of libraries' lists of names, which take long to make."""
ROOMS = ("activations", "outputs", "tables", "tokens", "models", "latents", "translations", FILES, TRIALS, NAMES)
META = "meta.json"
"""In each entry that is a folder: bytes and crc32 of its other files."""
CHUNK_BYTES = 1 << 24
LARGE_BYTES = 1 << 25
"""Arrays of rows from this size on lie in a file while they are needed."""
LIMIT_BYTES = 20 * 2**30
"""Most bytes kept in all; TUNESMITH_CACHE_BYTES overrides."""
RECENT_SECONDS = 7 * 24 * 3600.0
"""Files used within that time are not removed to make room, since a run may be reading them; only when all is to go."""
UNFINISHED_SECONDS = 24 * 3600.0
"""Age from which a half-written entry (its writer was killed) is swept away."""


@final
@dataclass(frozen=True)
class Entry:
    """One thing kept: its files, their bytes, and when it was last used (seconds since 1970)."""

    room: str
    name: str
    bytes: int
    used: float
    paths: tuple[Path, ...]

    @property
    def unfinished(self) -> bool:
        """Whether somebody is (or was) still writing it."""
        return self.name.endswith(".tmp") or self.name.startswith((".", "reading-"))


def root() -> Path:
    """The folder of all caches: TUNESMITH_CACHE, else ~/.cache/tunesmith."""
    return Path(os.environ.get("TUNESMITH_CACHE") or "~/.cache/tunesmith").expanduser()


def limit() -> int:
    """Most bytes kept in all."""
    return int(os.environ.get("TUNESMITH_CACHE_BYTES", LIMIT_BYTES))


def entries() -> list[Entry]:
    """Everything kept, least recently used first."""
    return sorted((entry for room in ROOMS for entry in _in(room)), key=lambda entry: entry.used)


def prune(keep_bytes: int) -> int:
    """Remove the least recently used entries until at most so many bytes are left; returns the bytes freed.

    What is being written now is left alone, unless a day has passed since.
    """
    kept = entries()
    freed, total, now = 0, sum(entry.bytes for entry in kept), time.time()
    for entry in kept:
        dead = entry.unfinished and now - entry.used > UNFINISHED_SECONDS
        if entry.room == FILES and keep_bytes and now - entry.used < RECENT_SECONDS:
            continue
        if dead or (total - freed > keep_bytes and not entry.unfinished):
            _remove(entry)
            freed += entry.bytes
    return freed


def keep(place: Path, fill: Callable[[Path], None]) -> None:
    """Make the entry `place`: `fill` writes its files into a folder beside it, which then moves there, whole or not at all.

    Raises OSError where the disk is full; nothing is left behind then.
    """
    beside = place.with_name(f"{place.name}.{os.getpid()}.tmp")
    beside.mkdir(parents=True)
    try:
        fill(beside)
        marks = {file.name: [file.stat().st_size, _crc(file)] for file in sorted(beside.iterdir())}
        (beside / META).write_text(json.dumps({"files": marks, "made": time.time()}))
        if not place.exists():
            os.rename(beside, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    prune(limit())


def whole(place: Path) -> bool:
    """Whether the entry is there as it was written, and now used; a damaged one is removed."""
    try:
        marks = json.loads((place / META).read_text())["files"]
        if all((place / name).stat().st_size == size and _crc(place / name) == crc for name, (size, crc) in marks.items()):
            os.utime(place)
            return True
    except (OSError, ValueError, KeyError, TypeError):
        pass
    shutil.rmtree(place, ignore_errors=True)
    return False


def _crc(path: Path) -> int:
    value = 0
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            value = zlib.crc32(chunk, value)
    return value


def _in(room: str) -> Iterator[Entry]:
    """A table is two files of one name (`x.arrow`, `x.json`), activations are a folder."""
    found: dict[str, list[Path]] = {}
    for path in (root() / room).glob("*"):
        whole = path.is_dir() or path.name.endswith(".tmp")
        found.setdefault(path.name if whole else path.stem, []).append(path)
    for name, paths in found.items():
        files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
        stats = [status for status in map(_status, [*files, *paths]) if status is not None]
        if stats:
            size = sum(status.st_size for status in map(_status, files) if status is not None)
            yield Entry(room, name, size, max(status.st_mtime for status in stats), tuple(paths))


def _status(path: Path) -> os.stat_result | None:
    """None where another process has just removed it."""
    try:
        return path.stat() if not path.is_symlink() else None
    except OSError:
        return None


def _remove(entry: Entry) -> None:
    for path in entry.paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def scratch(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array to be filled: in memory; a large one in a file that has no name, so that it ends with the process. Whoever fills or reads it
    piece by piece calls `memory.let_go` in between. In memory, too, where the disk has too little room, and of objects."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE_BYTES or np.dtype(dtype).hasobject:
        return np.empty(shape, dtype)
    try:
        return _in_file(shape, dtype, size)
    except OSError:
        return np.empty(shape, dtype)


def nameless() -> IO[bytes]:
    """A file that ends with the process, on the disk of the caches. Raises OSError where that cannot be written."""
    folder = root() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder)


def _in_file(shape: tuple[int, ...], dtype: Any, size: int) -> np.ndarray:
    with nameless() as file:
        if size > shutil.disk_usage(file.fileno()).free // 2:
            raise OSError(f"{size:,} bytes are over half of what is free")
        take_room(file, size)
        return np.memmap(file, dtype, "r+", shape=shape)
