"""Files that are whole or not there, and what to say when they cannot be written.

A file is written beside its place, synced, and renamed: whoever reads it sees the old or the new content, never half of it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from .errors import ResourceError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_json(path: Path, values: Any) -> None:
    """Replace a JSON file at once. Raises ResourceError when the disk is full."""
    write_bytes(path, (json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace a file at once. Raises ResourceError when the disk is full."""
    beside = path.with_name(f".{path.name}.tmp")
    try:
        write_synced(beside, [content])
        os.replace(beside, path)
        sync_folder(path.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise cannot_write(error, path, len(content)) from None


def append(path: Path, content: bytes) -> None:
    """Add to a file's end, or leave it as it was. Raises ResourceError when the disk is full."""
    with open(path, "ab", buffering=0) as file:
        before = os.fstat(file.fileno()).st_size
        try:
            rest = memoryview(content)
            while len(rest):
                rest = rest[file.write(rest) :]
        except OSError as error:
            file.truncate(before)
            raise cannot_write(error, path, len(content)) from None


def write_synced(path: Path, content: Iterable[bytes | memoryview]) -> dict[str, Any]:
    """Write a file down to the disk, piece after piece; its size in bytes and sha256."""
    size, found = 0, hashlib.sha256()
    with open(path, "wb") as file:
        for piece in content:
            file.write(piece)
            found.update(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": size, "sha256": found.hexdigest()}


def measured(path: Path) -> dict[str, Any]:
    """Size in bytes and sha256 of a file, read piece by piece."""
    with open(path, "rb") as file:
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def take_room(file: IO[bytes], size: int) -> None:
    """Make a file so many bytes long, all of them taken: writing to the memory map of a full disk would kill the process (SIGBUS). Raises
    OSError where the disk has no room; where the system cannot promise it, the file is made longer only."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut."""
    _sync(folder)


def swap(beside: Path, folder: Path) -> None:
    """Rename a folder into place. An older one of the same name is moved off first; between the two renames `folder` is absent:
    `recover` puts the older one back."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    try:
        os.rename(beside, folder)
    except OSError:
        recover(folder.parent)
        raise
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover(parent: Path) -> None:
    """Put back folders that were moved off for newer ones of the same name which never came."""
    for old in parent.glob(".*.old"):
        folder = old.with_name(old.name[1:].removesuffix(".old"))
        if old.is_dir() and not folder.exists():
            os.rename(old, folder)


def replaced(folder: Path, write: Callable[[Path], None]) -> None:
    """Have `write` fill a new folder, and put that in the place of `folder` once all of it is on the disk.

    Raises ResourceError where it cannot be written; what was there before is then still there, and whole.
    """
    beside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        write(beside)
        for path in beside.rglob("*"):
            _sync(path)
        swap(beside, folder)
    except Exception as error:
        need = sum(path.stat().st_size for path in beside.rglob("*") if path.is_file())
        shutil.rmtree(beside, ignore_errors=True)
        if (found := as_os_error(error)) is None:
            raise
        raise cannot_write(found, folder, need) from None


def as_os_error(error: Exception) -> OSError | None:
    """The system's error that a library has put into words of its own (`... (os error 28)`); None where it is another kind."""
    if isinstance(error, OSError):
        return error
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require_room(folder: Path, need: int, what: str) -> None:
    """Raises ResourceError where the disk of a folder (which need not exist yet) has fewer free bytes than `need`."""
    free = free_bytes(folder)
    if free < need:
        raise ResourceError(
            str(folder), expected=f"{size(need)} of free disk for {what}", got=f"{size(free)}",
            fix="free some space, or name a folder on another disk: --set runs=FOLDER", code="disk-full",
        )  # fmt: skip


def free_bytes(path: Path) -> int:
    """Free bytes of the disk that a path is or would be on."""
    place = path.absolute()
    return shutil.disk_usage(next((p for p in (place, *place.parents) if p.exists()), Path("/"))).free


def cannot_write(error: OSError, path: Path, need: int) -> ResourceError:
    """The error for a file or folder that could not be written: its path, what it needed and what is free, in bytes."""
    full = error.errno in FULL
    return ResourceError(
        f"saving {path}",
        expected=f"{size(need)} that can be written",
        got=f"{'a full disk' if full else error.strerror} ({size(free_bytes(path))} free)",
        code="disk-full" if full else "cannot-write",
        fix="free space and run `tunesmith resume`; earlier checkpoints are intact",
    )


def size(count: int) -> str:
    """Bytes in words: `3.4 MiB`."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count} B"
