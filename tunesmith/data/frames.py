"""Frames from Python (pandas, polars, Arrow) as files, so that a spec can name them and a run can be repeated."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import DataError
from . import content
from .cells import REFUSALS, normalise
from .dialect import check_names
from .spool import write_table

NAMES = frozenset({"DataFrame", "LazyFrame", "Table", "RecordBatch"})
"""Of the classes that hold columns by name."""


def write_frame(frame: Any, folder: Path | str) -> Path:
    """Store a frame in `folder` as an Arrow file named by its content; a frame stored before is not stored again.

    `frame`: a pandas or polars frame, an Arrow table or record batch, a list of row dictionaries, or columns by name. A
    pandas index with a name becomes a column. Raises DataError for anything else, and for frames without rows.
    """
    table = to_arrow(frame)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    named = hashlib.sha256(f"{table.schema}{content.digest(table)}".encode()).hexdigest()[:16]
    path = folder / f"frame-{named}.arrow"
    if not path.exists():
        write_table(path, table.schema, iter([table]))
    return path


def is_frame(value: Any) -> bool:
    """Whether this is a frame of pandas or polars, or a table of Arrow: none of these libraries is imported to tell."""
    kind = type(value)
    return kind.__module__.partition(".")[0] in ("pandas", "polars", "pyarrow") and kind.__name__ in NAMES


def to_arrow(frame: Any) -> pa.Table:
    """A frame's rows as a normalised Arrow table, without its names' types or its index's numbers."""
    try:
        table = _convert(frame)
    except REFUSALS as error:
        raise DataError(
            "frame", expected="columns of one kind", got=" ".join(str(error).split()),
            fix="write each column in one way", code="mixed-types",
        ) from None
    check_names(table.column_names, "frame")
    if not table.num_rows or not table.num_columns:
        raise DataError("frame", expected="rows", got="0 rows", fix="check the frame", code="no-rows")
    return normalise(table).replace_schema_metadata(None)


def _convert(frame: Any) -> pa.Table:
    module = type(frame).__module__.partition(".")[0]
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if module == "pandas":
        return _pandas(frame)
    if module == "polars":
        return (frame.collect() if hasattr(frame, "collect") else frame).to_arrow()
    if isinstance(frame, list | dict):
        from .table import Table

        return Table.of(frame, "frame").to_arrow()
    raise DataError(
        "frame", expected="a path, or a pandas, polars or Arrow frame", got=type(frame).__name__,
        fix="give the path of a file, or a frame", code="not-a-frame",
    )


def _pandas(frame: Any) -> pa.Table:
    if not hasattr(frame, "columns"):
        frame = frame.to_frame(name=frame.name or "value")
    check_names([str(name) for name in frame.columns], "frame")
    named = frame.index.name is not None or frame.index.nlevels > 1
    flat = frame.reset_index() if named else frame
    flat = flat.set_axis([str(name) for name in flat.columns], axis=1)
    return pa.Table.from_pandas(flat, preserve_index=False)
