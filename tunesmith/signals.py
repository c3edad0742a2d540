"""Asks to stop: SIGTERM and Ctrl-C.

One ask may arrive twice: a terminal and `kill` of a process group tell a command and the process that it keeps, and the first passes on
what it hears. What comes within half a second of an ask is its echo, not a second one.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

ECHO_SECONDS = 0.5
_heard = [float("-inf")]


class Stoppable(Protocol):
    """What can be asked to stop."""

    stop_asked: bool


def is_echo() -> bool:
    """Whether the signal that is being handled belongs to an ask that was heard a moment ago."""
    before, _heard[0] = _heard[0], time.monotonic()
    return _heard[0] - before < ECHO_SECONDS


def forget() -> None:
    """The next signal is a new ask."""
    _heard[0] = float("-inf")


@contextmanager
def gently(what: Stoppable) -> Iterator[None]:
    """Within, SIGTERM or Ctrl-C asks to save and stop; the second ask stops at once (KeyboardInterrupt)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: Any) -> None:
        echo = is_echo()
        if what.stop_asked and not echo:
            raise KeyboardInterrupt
        what.stop_asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
