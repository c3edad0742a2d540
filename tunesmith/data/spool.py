"""Batches of rows on their way to a table: in memory while small, in a memory-mapped Arrow file once large.

The file lies in the data cache (`TUNESMITH_CACHE`, else ~/.cache/tunesmith), named by the content it was read from, so
that a large file is parsed once. Memory stays at a few batches, whatever the size.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import pyarrow as pa

from ..errors import ResourceError
from . import caches
from .cells import unify
from .mapped import open_table
from .source import Loaded, Skip

LARGE = 64 << 20
"""Bytes of a file, or of its rows in memory, from which they are kept on disk."""
SEGMENT = 32 << 20
"""Bytes of rows that are written at once."""
VERSION = 2
"""Part of the names in the cache: raise it when the readers' rules change."""


def cache_folder() -> Path:
    """The folder for converted data, made for its owner only. Raises ResourceError where it cannot be made."""
    folder = caches.root() / "tables"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(folder, error) from None
    return folder


def content_key(path: Path, *settings: Any) -> str:
    """A name for the rows that these settings read from a file: a hash of both (40 hex digits)."""
    made = hashlib.blake2b(json.dumps([VERSION, *settings]).encode(), digest_size=20)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            made.update(chunk)
    return made.hexdigest()


@final
class Spool:
    """Takes batches of normalised rows, and gives one table with the columns and types of all of them."""

    def __init__(self, target: Path | None = None) -> None:
        """`target`: the file to write once the rows are large; None: a file without a name, gone when the table is."""
        self._target = target
        self._batches: list[pa.Table] = []
        self._bytes = 0
        self._segments: list[Path] = []
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._scratch is not None:
            self._scratch.cleanup()

    @property
    def large(self) -> bool:
        """Whether rows went to disk."""
        return bool(self._segments)

    def add(self, batch: pa.Table) -> None:
        """Take a batch. Raises ResourceError where the disk is full."""
        self._batches.append(batch)
        self._bytes += batch.nbytes
        if self._bytes > (SEGMENT if self._segments else LARGE):
            self._flush()

    def finish(self, change: Callable[[pa.Table], pa.Table] = lambda batch: batch) -> pa.Table:
        """All rows as one table, each batch passed through `change` (a cast of columns).

        Raises ResourceError where the disk is full.
        """
        if not self._segments:
            return _concat([change(batch) for batch in self._batches])
        self._flush()
        schema = unify([change(batch.slice(0, 0)).schema for batch in self._stored()])
        path = self._target or Path(self._folder()) / "table.arrow"
        return write_table(path, schema, (change(batch) for batch in self._stored()))

    def clear(self) -> None:
        """Forget all batches."""
        self._batches, self._bytes, self._segments = [], 0, []

    def _flush(self) -> None:
        if not self._batches:
            return
        table = _concat(self._batches)
        path = Path(self._folder()) / f"{len(self._segments)}.arrow"
        _write(path, table.schema, iter([table]))
        self._segments.append(path)
        self._batches, self._bytes = [], 0

    def _stored(self) -> Iterator[pa.Table]:
        for path in self._segments:
            yield open_table(path)

    def _folder(self) -> str:
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="reading-", dir=cache_folder())
        return self._scratch.name


def _concat(batches: list[pa.Table]) -> pa.Table:
    if not batches:
        return pa.table({})
    schema = unify([batch.schema for batch in batches])
    return pa.concat_tables([conform(batch, schema) for batch in batches])


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table's rows under a schema that `unify` made: missing columns are empty, types are widened."""
    there = set(table.column_names)
    columns = [
        table.column(field.name).cast(field.type) if field.name in there else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema.remove_metadata())


def write_table(path: Path, schema: pa.Schema, batches: Iterator[pa.Table]) -> pa.Table:
    """Write batches beside `path`, rename, and give them memory-mapped. Raises ResourceError where the disk is full."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        _write(beside, schema.remove_metadata(), batches)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return open_table(path)


def _write(path: Path, schema: pa.Schema, batches: Iterator[pa.Table]) -> None:
    try:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                writer.write_table(conform(batch, schema))
    except OSError as error:
        raise disk_error(path, error) from None


def disk_error(path: Path, error: OSError) -> ResourceError:
    """The error for a disk that is full or may not be written to."""
    return ResourceError(
        str(path.parent), expected="room for converted data", got=error.strerror or str(error),
        fix="free some space, or set TUNESMITH_CACHE to a folder on another disk", code="cache-unwritable",
    )


# -- what is kept beside the rows -------------------------------------------------------------------------------------


def remember(path: Path, loaded: Loaded) -> None:
    """Keep what was said about the rows at `path`, where they were large enough to be written there."""
    if not path.is_file():
        return
    about = {"headed": loaded.headed, "notes": loaded.notes, "skipped": [asdict(skip) for skip in loaded.skipped]}
    beside = path.with_suffix(f".{os.getpid()}.part")
    beside.write_text(json.dumps(about), "utf-8")
    os.replace(beside, path.with_suffix(".json"))
    caches.prune(caches.limit())


def recall(path: Path) -> Loaded | None:
    """What was read before and kept at `path`; None where nothing (whole) is there."""
    try:
        kept = json.loads(path.with_suffix(".json").read_text("utf-8"))
        skipped = tuple(Skip(**skip) for skip in kept["skipped"])
        table = open_table(path)
        os.utime(path)  # the least recently used go first
    except (pa.ArrowInvalid, OSError, KeyError, TypeError, ValueError):
        return None
    return Loaded(table, kept["headed"], tuple(kept["notes"]), skipped)
