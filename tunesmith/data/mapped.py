"""Arrow files read where they lie: a process holds the pages that it looks at, and gives them back.

Pages of a mapped file count as the process's memory from the first look on, though the system could take them back: after a look at every
row of a large table they would be all of it. `rest` lets them go; they stay in the system's cache of files, and a second look is cheap.
"""

from __future__ import annotations

import mmap
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

TOGETHER = 8192
"""Cells that become Python values together."""
_OPEN: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def open_table(path: Path) -> pa.Table:
    """The table of an Arrow file, mapped. Raises OSError, ValueError or ArrowInvalid for a file that is none."""
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    _OPEN.add(mapped)
    return pa.ipc.open_file(pa.py_buffer(mapped)).read_all()


def each(cells: pa.Array) -> Iterator[Any]:
    """The cells as Python values, one after the other, of which few thousand are in memory."""
    for start in range(0, len(cells), TOGETHER):
        yield from cells.slice(start, TOGETHER).to_pylist()
        rest()


def rest() -> None:
    """Let go of the pages of all mapped tables that were looked at; nothing is lost."""
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if advice is not None:
        for mapped in list(_OPEN):
            mapped.madvise(advice)
