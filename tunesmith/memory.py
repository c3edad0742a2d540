"""Memory that this process holds, and giving back what lies free."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import resource
from pathlib import Path
from typing import Any


def give_back() -> None:
    """Return memory that lies free to the system, garbage collected first: what a plan tried and read is not needed any more."""
    gc.collect()
    trim()


def trim() -> None:
    """Return memory that lies free to the system, where the C library can (glibc): between the arrays of batches of unlike shapes far more
    lies free than a batch needs. Takes some milliseconds, and the next batch gets its memory anew: not after each."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def held() -> int:
    """Bytes that this process holds now; where the system does not say (no `/proc`), the most that it has held."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return most_held()


def most_held() -> int:
    """The most bytes that it has held; where the system does not say (no `/proc`), no less than what its parent held when it began."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def let_go(array: Any) -> None:
    """Give back the memory in which parts of a mapped file lie; they stay in the system's cache of files. Without it, reading row after row
    would count as memory until all of the file does."""
    mapped, advice = getattr(array, "_mmap", None), getattr(mmap, "MADV_DONTNEED", None)
    if mapped is not None and advice is not None:
        mapped.madvise(advice)
