"""Archives: unpacked into a folder of our own, or refused whole before a byte is written.

Refused: members with absolute paths, `..`, backslashes or drive letters; links and devices; encrypted archives; more
than MAX_ENTRIES members, MAX_BYTES bytes, or MAX_RATIO bytes out of one (counted while reading).
"""

from __future__ import annotations

import gzip
import os
import re
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from ..errors import DataError, listing, nearest, shorten
from . import caches
from .beside import one_table
from .images import SUFFIXES as IMAGES
from .ledger import Ledger
from .sounds import SUFFIXES as SOUNDS
from .source import READABLE, Source, refuse_code
from .spool import content_key, disk_error

MAX_ENTRIES = 200_000
MAX_BYTES = 10 << 30
MAX_RATIO = 100
FREE_BYTES = 32 << 20
"""Up to here the ratio does not matter."""
CHUNK = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError, RuntimeError, ValueError)


def unpack_gzip(source: Source, folder: Path) -> Source:
    """The file within a .gz. Raises DataError where it is damaged or a bomb."""
    name = source.path.name.removesuffix(".gz").removesuffix(".GZ") or "rows"
    if name.lower().endswith(".tar"):
        raise DataError(
            source.name, expected="one file in gzip", got="a tar archive", fix="unpack it first", code="tar-archive"
        )
    refuse_code(source.name, name)
    target = folder / "unpacked"
    with gzip.open(source.path) as packed:
        _copy(packed, target, source.name, source.path.stat().st_size)
    return Source(source.name, target, Path(name).suffix.lower())


def unpack_zip(source: Source, folder: Path, ledger: Ledger, member: str = "") -> list[Source]:
    """The files within a .zip with the rows of one table, or one named `member`. Raises DataError for archives that are refused."""
    infos = check_members(source)
    wanted = _wanted(source, infos, member, ledger)
    made = []
    with zipfile.ZipFile(source.path) as archive:
        for i, info in enumerate(wanted):
            # The name inside the archive never becomes a path.
            target = folder / str(i)
            name = f"{source.name}/{info.filename}"
            with _open(archive, info, name) as packed:
                _copy(packed, target, name, info.compress_size)
            made.append(Source(name, target, PurePosixPath(info.filename).suffix.lower()))
    return [_unpack_inner(source, folder) if source.suffix == ".gz" else source for source in made]


def holds_files(source: Source) -> bool:
    """Whether a ZIP file has images or sounds in it, which cells or folders name. Raises DataError for archives that are refused."""
    return any(PurePosixPath(info.filename).suffix.lower() in (*IMAGES, *SOUNDS) for info in check_members(source))


def unpack_all(source: Source) -> Path:
    """The whole archive as a folder of the data cache, named by its content: unpacked once, and read again when rows are encoded."""
    infos = [info for info in check_members(source) if not _hidden(PurePosixPath(info.filename))]
    home = caches.root() / caches.FILES / f"zip-{content_key(source.path)}"
    if home.is_dir():
        os.utime(home)
    else:
        beside = home.with_name(f"{home.name}.{os.getpid()}.tmp")
        with zipfile.ZipFile(source.path) as archive:
            for info in infos:
                _unpack_one(archive, info, beside / info.filename, f"{source.name}/{info.filename}")
        os.replace(beside, home)
    return _descended(home)


def _unpack_one(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, name: str) -> None:
    refuse_code(name, info.filename)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _open(archive, info, name) as packed:
        _copy(packed, target, name, info.compress_size)


def _descended(folder: Path) -> Path:
    """The folder, or the one folder that is all there is in it: archives often hold one, named like themselves."""
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _unpack_inner(source: Source, folder: Path) -> Source:
    inner = folder / f"{source.path.name}-unpacked"
    with gzip.open(source.path) as packed:
        _copy(packed, inner, source.name, source.path.stat().st_size)
    return Source(source.name, inner, PurePosixPath(source.name.lower().removesuffix(".gz")).suffix)


def check_members(source: Source) -> list[zipfile.ZipInfo]:
    """The members of a ZIP file, folders left out. Raises DataError where one is a reason to refuse it whole."""
    try:
        with zipfile.ZipFile(source.path) as archive:
            infos = archive.infolist()
    except _DAMAGED as error:
        raise _damaged(source.name, error) from None
    if len(infos) > MAX_ENTRIES:
        raise _refused(source.name, f"at most {MAX_ENTRIES:,} entries", f"{len(infos):,}", "zip-bomb")
    for info in infos:
        _check_member(source.name, info)
    # Members may overlap: what is packed is the file on disk, not the sum of what they claim.
    _check_size(source.name, sum(info.file_size for info in infos), source.path.stat().st_size)
    return [info for info in infos if not info.is_dir()]


def _check_member(name: str, info: zipfile.ZipInfo) -> None:
    path, mode = info.orig_filename, info.external_attr >> 16
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or re.match(r"[A-Za-z]:", path):
        raise _refused(name, "members inside the archive's own folder", shorten(path), "zip-slip")
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(name, "plain files", f"a link or device ({shorten(path)})", "zip-link")
    if info.flag_bits & 1:
        raise _refused(name, "members without a password", f"{shorten(path)}, which is encrypted", "zip-encrypted")
    _check_size(f"{name}/{path}", info.file_size, info.compress_size)


def _check_size(name: str, unpacked: int, packed: int) -> None:
    if unpacked > MAX_BYTES:
        raise _refused(name, f"at most {MAX_BYTES >> 30} GiB unpacked", f"{unpacked / 2**30:,.1f} GiB", "zip-bomb")
    if unpacked > FREE_BYTES and unpacked > MAX_RATIO * max(packed, 1):
        ratio = unpacked // max(packed, 1)
        raise _refused(name, f"at most {MAX_RATIO} bytes from each packed byte", f"{ratio:,}", "zip-bomb")


def _wanted(source: Source, infos: list[zipfile.ZipInfo], member: str, ledger: Ledger) -> list[zipfile.ZipInfo]:
    shown = [info for info in infos if not _hidden(PurePosixPath(info.filename))]
    for info in shown:
        refuse_code(f"{source.name}/{info.filename}", info.filename)
    if member:
        named = [info for info in shown if info.filename == member]
        if not named:
            fix = nearest(member, [info.filename for info in shown])
            raise DataError(source.name, expected=f"a member {member!r}", got="none", fix=fix, code="no-such-member")
        return named
    readable = [info for info in shown if info.filename.lower().removesuffix(".gz").endswith(READABLE)]
    if not readable:
        raise DataError(
            source.name, expected=f"a file with rows ({listing(READABLE, 20)})",
            got=listing([info.filename for info in shown]) or "an empty archive", fix="put one in",
            code="nothing-to-read",
        )
    kept = one_table(source.name, sorted(info.filename for info in readable), ledger)
    return sorted((info for info in readable if info.filename in kept), key=lambda info: info.filename)


def _hidden(path: PurePosixPath) -> bool:
    return path.name.startswith(".") or "__MACOSX" in path.parts


def _open(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> IO[bytes]:
    try:
        return archive.open(info)
    except (*_DAMAGED, OSError) as error:
        raise _damaged(name, error) from None


def _copy(packed: IO[bytes] | gzip.GzipFile, target: Path, name: str, packed_size: int) -> None:
    done = 0
    try:
        with open(target, "xb") as out:
            while chunk := _read(packed, name):
                done += len(chunk)
                _check_size(name, done, packed_size)
                out.write(chunk)
    except OSError as error:
        raise disk_error(target, error) from None


def _read(packed: IO[bytes] | gzip.GzipFile, name: str) -> bytes:
    try:
        return packed.read(CHUNK)
    except (*_DAMAGED, OSError) as error:
        raise _damaged(name, error) from None


def _refused(name: str, expected: str, got: str, code: str) -> DataError:
    fix = "the whole archive is refused: unpack it yourself if you trust it"
    return DataError(name, expected=expected, got=got, fix=fix, code=code)


def _damaged(name: str, error: Exception) -> DataError:
    return DataError(
        name, expected="a whole archive", got=shorten(str(error) or type(error).__name__, 100),
        fix="it is cut or damaged: fetch or pack it again", code="damaged-file",
    )
