"""Keeps the process that trains: what the system kills for memory goes on from its last checkpoint, with half the micro-batch.

On Linux the kernel ends a process that asked for more memory than there is, and the process cannot know (SIGKILL). So `fit` and
`resume` on the command line fork before anything heavy is imported: the child does everything, and this process, a few megabytes,
waits. Where the child was killed and the kernel's own count of such kills rose at that time, it is begun again as `resume`, three times at
most. A kill of another kind is told and left alone.

    signals     a terminal tells both processes; what is sent to this one alone is passed on
    exit code   the child's own; 128 and the signal's number where one ended it
    parent gone the child is killed with it, as if they were one
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

KEPT = ("fit", "resume")
"""Commands that train."""
RETRIES = 3
COUNTERS = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
"""Where the kernel counts its kills for memory (`oom_kill N`): the machine's, and the container's. All can be read by everybody."""
POLL_SECONDS = 2.0
WINDOW_SECONDS = 30.0
"""How long before the end of a process a kill may have been counted: a large one takes a while to go."""
PASSED_ON = (signal.SIGTERM, signal.SIGINT)
WAITED_FOR = {*PASSED_ON, signal.SIGCHLD}
FLAGS = ("--json", "--quiet", "-q", "--debug")
_told: list[int] = []
"""In the child: where to tell the run's folder."""


@final
@dataclass(frozen=True)
class End:
    """How the child ended: its exit code, or the signal that ended it, and whether that was the system's for memory."""

    code: int
    signal: int
    memory: bool


def keeps(words: Sequence[str]) -> bool:
    """Whether this command line is kept: one that trains, on Linux, with nothing imported yet that a fork would not survive."""
    alone = sys.platform == "linux" and "torch" not in sys.modules
    return alone and words[0] in KEPT and not {"--help", "-h"} & set(words)


def keep(act: Callable[[list[str]], int], words: Sequence[str]) -> int:
    """The exit code of a command that trains; `act` runs it, in a process of its own."""
    doing, flags = list(words), [word for word in words if word in FLAGS]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
    for attempt in range(RETRIES + 1):
        reading, writing = os.pipe()
        child = _fork(before)
        if not child:
            os.close(reading)
            _told[:] = [writing]
            return act(doing)
        os.close(writing)
        end = _wait(child)
        run = _said(reading)
        if not end.memory:
            break
        _mend_screen()
        if not run or attempt == RETRIES:
            break
        _tell(run, attempt + 1, "--json" in flags)
        doing = ["resume", run, "--smaller", *flags]
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return _ended(end, run, words)


def tell(run: str) -> None:
    """In the child: which run it is, so that it can be gone on with. Nothing where no one keeps this process."""
    for pipe in _told:
        os.write(pipe, f"{run}\n".encode())


def kills() -> int:
    """How many processes the kernel has killed for memory, by all counts that can be read."""
    found = 0
    for path in COUNTERS:
        with contextlib.suppress(OSError, ValueError):
            lines = [line.split() for line in path.read_text().splitlines()]
            found += sum(int(words[1]) for words in lines if words[0] == "oom_kill")
    return found


def _fork(mask: set[signal.Signals]) -> int:
    """Fork; the child has the signals it had before, and does not outlive this process."""
    parent = os.getpid()
    child = os.fork()
    if not child:
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(128 + signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return child


def _wait(child: int) -> End:
    """Wait for the child, pass signals on, and look at the kernel's count all the while."""
    counts = [(time.monotonic(), kills())]
    while True:
        heard = signal.sigtimedwait(WAITED_FOR, POLL_SECONDS)
        # A positive code: the terminal's, which the child has heard too. Others come from a process, which named this one.
        if heard and heard.si_signo in PASSED_ON and heard.si_code <= 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, heard.si_signo)
        found, status = os.waitpid(child, os.WNOHANG)
        if found and os.WIFSIGNALED(status):
            ended = os.WTERMSIG(status)
            return End(128 + ended, ended, ended == signal.SIGKILL and kills() > counts[0][1])
        if found:
            return End(os.waitstatus_to_exitcode(status), 0, False)
        now = time.monotonic()
        counts = [*(count for count in counts if now - count[0] < WINDOW_SECONDS), (now, kills())]


def _said(pipe: int) -> str:
    with os.fdopen(pipe, "rb") as file:
        lines = file.read().decode().splitlines()
    return lines[-1] if lines else ""


def _mend_screen() -> None:
    """Show the cursor that the progress bar of a killed process had hidden."""
    if sys.stderr.isatty():
        print("\x1b[?25h", file=sys.stderr)


def _tell(run: str, attempt: int, as_json: bool) -> None:
    from ._show import print_json, safe

    if as_json:
        print_json({"event": "killed-for-memory", "run": run, "retry": attempt, "retries": RETRIES})
    words = f"killed by the system for memory; going on from the last checkpoint with half the micro-batch, try {attempt} of {RETRIES}"
    print(f"{safe(run)}: {words}", file=sys.stderr, flush=True)


def _ended(end: End, run: str, words: Sequence[str]) -> int:
    """The exit code, with a sentence where the child could not say one."""
    from ..errors import STOPPED_RESUMABLE, ResourceError
    from ._guard import _end, _fail

    if not end.signal:
        return end.code
    as_json = "--json" in words
    if end.memory:
        when = f"{RETRIES} more times, at ever smaller micro-batches" if run else "before the first step"
        fix = "give it more memory, or a smaller model, fewer or shorter rows"
        error = ResourceError(
            run or "memory", expected="enough memory for this run", got=f"a kill by the system for memory, {when}" if not run
            else f"a kill by the system for memory, and {when}", fix=fix, code="out-of-memory",
        )  # fmt: skip
        return _end(error, words[0], as_json)
    if end.signal == signal.SIGTERM and not run:
        print("stopped before anything was begun: the same command starts it again", file=sys.stderr)
        return STOPPED_RESUMABLE
    name = signal.Signals(end.signal).name
    place = run or "the process that trains"
    fix = f"`tunesmith resume {run}` goes on from the last checkpoint" if run else "the same command starts it again"
    return _fail(f"{place}: expected it to end by itself, got an end by {name}, not for memory as far as the system tells; {fix}",
                 "killed", end.code, as_json)  # fmt: skip
