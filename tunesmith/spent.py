"""What computing has at hand and has taken: apart from the clock, which other work on the machine holds up."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from typing import Any


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_seconds() -> float:
    """CPU seconds, user and system, of this process and of those that it started and that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def lap(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock and CPU seconds of this process that some work takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def alone(work: Callable[[], Any]) -> float:
    """Seconds that some work would take on a machine with nothing else to do: those of the clock, but no more than its CPU seconds, which
    waiting for others does not add to."""
    return min(lap(work))
