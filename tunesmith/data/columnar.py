"""Parquet and Arrow files: read batch by batch, every byte checked before it is believed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ..errors import DataError, shorten
from ..spec import Data
from .cells import normalise
from .dialect import check_names
from .source import Loaded, Source
from .spool import Spool

BATCH = 50_000
BATCH_BYTES = 64 << 20
"""Bytes of a Parquet file that are read at once, where rows hold images."""
_PANDAS_INDEX = "__index_level_0__"


def load_parquet(source: Source, options: Data, spool: Spool) -> Loaded:
    """The rows of a Parquet file. Raises DataError where it is cut, damaged or encrypted."""
    return _load(source, spool, _parquet(source), "Parquet")


def load_arrow(source: Source, options: Data, spool: Spool) -> Loaded:
    """The rows of an Arrow (Feather 2) file or stream. Raises DataError where it is cut or damaged."""
    return _load(source, spool, _arrow(source), "Arrow")


def _load(source: Source, spool: Spool, batches: Iterator[pa.Table], format_name: str) -> Loaded:
    try:
        for batch in batches:
            check_names(batch.column_names, source.name)
            # Offsets and UTF-8 of a file from outside are claims: unchecked, they would crash the process later.
            batch.validate(full=True)
            spool.add(_without_index(normalise(batch)))
        table = spool.finish()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DataError(
            source.name, expected=f"a whole {format_name} file", got=shorten(" ".join(str(error).split()).rstrip("."), 160),
            fix="it is cut or damaged, or of a kind that is not read: write it again", code="damaged-file",
        ) from None
    if not table.num_rows or not table.num_columns:
        raise DataError(source.name, expected="rows", got="0 rows", fix="check the file", code="no-rows")
    return Loaded(table)


def _without_index(table: pa.Table) -> pa.Table:
    return table.drop_columns([_PANDAS_INDEX]) if _PANDAS_INDEX in table.column_names else table


def _parquet(source: Source) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(source.path) as file:
        check_names(file.schema_arrow.names, source.name)
        for batch in file.iter_batches(batch_size=_rows_at_once(file.metadata)):
            yield pa.Table.from_batches([batch])


def _rows_at_once(metadata: Any) -> int:
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    return int(max(16, min(BATCH, BATCH_BYTES * max(metadata.num_rows, 1) // max(size, 1))))


def _arrow(source: Source) -> Iterator[pa.Table]:
    with open(source.path, "rb") as file:
        stream = file.read(6) != b"ARROW1"
    with pa.memory_map(str(source.path)) as data:
        if stream:
            yield from (pa.Table.from_batches([batch]) for batch in pa.ipc.open_stream(data))
            return
        reader = pa.ipc.open_file(data)
        for i in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(i)])
