"""How much memory a piece of code takes at its peak, whatever the process held before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tunesmith import memory

MARK = Path("/proc/self/clear_refs")


@dataclass
class Peak:
    """What was taken beyond what was held at the start."""

    bytes: int = 0


@contextmanager
def peak() -> Iterator[Peak]:
    """The system's high-water mark is set back first: a process that was larger once would hide what is taken now."""
    if not MARK.exists():
        pytest.skip("the system does not set back what a process has held at most (Linux: /proc/self/clear_refs)")
    memory.give_back()
    MARK.write_text("5")
    found, before = Peak(), memory.held()
    yield found
    found.bytes = memory.most_held() - before
