"""From a path to a table: the one door through which rows come in.

    read("reviews.csv", options, ledger)      one file: CSV, TSV, JSON, JSONL, CoNLL, Parquet, Arrow, Excel; plain, .gz or .zip
    read("texts/", ...)                       a folder per label with a .txt file per text, or the shards of one table
    read(["a.csv", "b.csv"], ...)             several files with the same columns
    read("archive.zip/train.tsv", ...)        one member of an archive
    read("hf://owner/name", ...)              a data set of the Hugging Face Hub

What a file holds is told by its first bytes; a name that says otherwise is an error. Nothing in a file is executed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import final

from ..errors import DataError
from ..spec import Data
from . import archive, columnar, conll, delimited, excel, folder, hub, json_rows, semeval
from .ledger import Ledger
from .source import Loaded, Source, kind_of, locate, refuse_code
from .spool import LARGE, Spool, cache_folder, content_key, recall, remember
from .table import Table
from .together import Lacking, Named, join

READERS: dict[str, Callable[[Source, Data, Spool], Loaded]] = {
    "delimited": delimited.load,
    "conll": conll.load,
    "semeval": semeval.load,
    "json": json_rows.load,
    "parquet": columnar.load_parquet,
    "arrow": columnar.load_arrow,
    "excel": excel.load,
}


def read(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], options: Data, ledger: Ledger, *,
    names: Sequence[str] = (), lacking: Lacking = MappingProxyType({}),
) -> Table:
    """The rows at a path, or at several paths together.

    How each file was understood and every row that was not loaded is written to the ledger. `names`: column names for
    files without header (those of the training file, when a test file is read); `lacking`: columns that a file may lack.
    Raises DataError, with file, row or line, column and value, where something cannot be read as it stands; ResourceError
    where the disk is full.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    if not paths:
        raise DataError("data", expected="a path", got="none", fix="give the path of a file", code="bad-path")
    with ExitStack() as stack:
        reading = _Reading(options, stack, ledger)
        files = [file for one in paths for file in reading.path(os.fspath(one))]
    for name, loaded in files:
        _tell(name, loaded, ledger)
    return join(files, names, ledger, lacking)


def _tell(name: str, loaded: Loaded, ledger: Ledger) -> None:
    for note in loaded.notes:
        ledger.note(f"{name}: {note}")
    if loaded.skipped:
        rows = [f"{name}, row {s.row}" + (f" (line {s.line})" if s.line else "") + f": {s.why}" for s in loaded.skipped]
        ledger.add("skipped", f"{name}: could not be read, and skipping was asked for", rows)


@final
class _Reading:
    """One call of `read`: its options, its ledger, and a scratch folder for what is unpacked, made when first needed."""

    def __init__(self, options: Data, stack: ExitStack, ledger: Ledger) -> None:
        self._options, self._stack, self._ledger = options, stack, ledger
        self._scratch: Path | None = None
        self._folders = 0

    def path(self, path: str) -> Iterator[Named]:
        """What is at a path: one file, several, or a folder."""
        if path.startswith(hub.PREFIX):
            for name, kept in hub.fetch(path):
                yield from self._file(Source(name, kept, Path(name).suffix.lower()))
            return
        packed, member = _member(path)
        refuse_code(path, packed)
        found = locate(packed)
        if found.is_dir():
            yield from self._folder(found)
        elif member:
            source = _source(found, found.name)
            kind_of(source)
            for inner in archive.unpack_zip(source, self._new_folder(), self._ledger, member):
                yield from self._file(inner)
        else:
            yield from self._file(_source(found, found.name))

    def _folder(self, found: Path, name: str = "") -> Iterator[Named]:
        name = name or found.name or str(found)
        files = folder.shards(found, name, self._ledger)
        for file in files:
            yield from self._file(_source(locate(str(file)), f"{name}/{file.name}"))
        if not files:
            yield name, folder.load(found, name, self._options)

    def _file(self, source: Source, depth: int = 0) -> Iterator[Named]:
        kind = kind_of(source)
        if kind not in ("gzip", "zip"):
            yield source.name, replace(_load(source, kind, self._options), folder=str(source.path.parent.absolute()))
            return
        if kind == "zip" and not depth and archive.holds_files(source):
            yield from self._folder(archive.unpack_all(source), source.name)
            return
        if depth:
            raise DataError(
                source.name, expected="a file with rows", got="an archive within an archive", fix="unpack it first",
                code="nested-archive",
            )
        into = self._new_folder()
        packed = archive.unpack_zip(source, into, self._ledger) if kind == "zip" else [archive.unpack_gzip(source, into)]
        for inner in packed:
            yield from self._file(inner, depth + 1)

    def _new_folder(self) -> Path:
        if self._scratch is None:
            made = tempfile.TemporaryDirectory(prefix="unpacked-", dir=cache_folder())
            self._scratch = Path(self._stack.enter_context(made))
        self._folders += 1
        made_folder = self._scratch / str(self._folders)
        made_folder.mkdir(mode=0o700)
        return made_folder


def _source(path: Path, name: str) -> Source:
    return Source(name, path, path.suffix.lower())


def _member(path: str) -> tuple[str, str]:
    """A path into an archive as the archive and the member: `a.zip/b.csv`; the member is empty for other paths."""
    before, found, member = path.partition(".zip/")
    archive_path = f"{before}.zip"
    return (archive_path, member) if found and member and os.path.isfile(archive_path) else (path, "")


def _load(source: Source, kind: str, options: Data) -> Loaded:
    """The rows of a plain file; of a large one from the cache, where they were read before with the same options."""
    if source.path.stat().st_size <= LARGE:
        with Spool() as spool:
            return READERS[kind](source, options, spool)
    settings = (kind, source.suffix, options.encoding, options.delimiter, options.header, options.bad_rows)
    kept = cache_folder() / f"{content_key(source.path, *settings)}.arrow"
    loaded = recall(kept)
    if loaded is None:
        with Spool(kept) as spool:
            loaded = READERS[kind](source, options, spool)
        remember(kept, loaded)
    return loaded
