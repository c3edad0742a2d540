"""Plays the kernel that kills for memory: `python -m tests.faults.memory_server FOLDER MODEL` prints what came of each kind of end.

Everything is imported once; the keeper forks its child from here, as it does from a fresh command. A child that is to be killed raises
the count of kills (a file that stands for the kernel's) and then kills itself, as the kernel does it: first the count, then the signal.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

torch.set_num_threads(1)

from tests.runs import make_ready, write_rows  # noqa: E402
from tunesmith import finish, planning  # noqa: E402
from tunesmith.cli import COMMANDS, _keeper  # noqa: E402
from tunesmith.cli import fit as _fit  # noqa: E402, F401
from tunesmith.cli._guard import call  # noqa: E402
from tunesmith.run import Run  # noqa: E402
from tunesmith.training import loop  # noqa: E402
from tunesmith.training.state import State  # noqa: E402

WORDS = [
    "--strategy", "full", "--epochs", "2", "--batch", "8", "--lr", "1e-3", "--json", "--set", "train.dropout=0",
    "--set", "train.save_every=3", "--set", "train.threads=1", "--set", "evaluate.resamples=100", "--set", "evaluate.baselines=false",
]  # fmt: skip


def dies(owner: Any, name: str, at: int, counts: Path | None, times: int, how: int = signal.SIGKILL) -> Callable[[], None]:
    """Have the `at`-th call of a function end the process, in its first `times` sittings; `counts`: where the kernel counts it."""
    real = getattr(owner, name)

    def arm(sitting: int) -> None:
        calls: list[int] = []

        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            if len(calls) == at and sitting < times:
                if counts:
                    counts.write_text(f"nr_free_pages 7\noom_kill {sitting + 1}\n")
                os.kill(os.getpid(), how)
            return real(*args, **kwargs)

        setattr(owner, name, call)

    def disarm() -> None:
        setattr(owner, name, real)

    return _sittings(arm, disarm)


def _sittings(arm: Callable[[int], None], disarm: Callable[[], None]) -> Callable[[], None]:
    """Arms each child with the number of its sitting."""
    real, count = os.fork, [0]

    def fork() -> int:
        child = real()
        if child:
            count[0] += 1
        else:
            arm(count[0])
        return child

    os.fork = fork

    def undo() -> None:
        os.fork = real
        disarm()

    return undo


def kept(folder: Path, words: list[str]) -> tuple[int, str]:
    """Exit code and the parent's own words. The child leaves here."""
    mine, out, err = os.getpid(), io.StringIO(), io.StringIO()
    os.chdir(folder)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = _keeper.keep(lambda doing: call(COMMANDS, doing[0], doing[1:]), words)
        except BaseException:
            if os.getpid() == mine:
                raise
            code = 1
    if os.getpid() != mine:
        (folder / "child.txt").write_text(out.getvalue() + err.getvalue())
        os._exit(code)
    return code, out.getvalue() + err.getvalue()


def story(
    root: Path, name: str, model: Path, *fault: Any, counted: bool = True, times: int = 1, how: int = signal.SIGKILL
) -> dict[str, Any]:
    """One command with one fault: its exit code, what was said, what the run did."""
    folder = root / name
    folder.mkdir()
    counts = folder / "vmstat"
    counts.write_text("nr_free_pages 7\noom_kill 0\n")
    _keeper.COUNTERS = (counts,)
    write_rows(folder / "rows.csv", n=64)
    undo = dies(*fault, counts if counted else None, times, how) if fault else lambda: None
    code, said = kept(folder, ["fit", "rows.csv", "--model", str(model), *WORDS])
    undo()
    runs = list((folder / "runs").glob("*"))
    events = Run(runs[0]).events() if runs else []
    return {
        "code": code,
        "said": said,
        "steps": [(e["step"], e["tokens"], e["loss"]) for e in events if e["event"] == "step"],
        "adjusted": [e["why"] for e in events if e["event"] == "adjusted" and e["what"] == "micro-batch halved"],
        "finished": bool(runs) and Run(runs[0]).finished,
        "micro": json.loads((runs[0] / "checkpoints/memory.json").read_text()) if runs and code == 0 and times and fault else None,
    }


def main() -> None:
    """All stories."""
    root, model = Path(sys.argv[1]), Path(sys.argv[2])
    State.start(make_ready(root, model, strategy="full"))  # imports everything, PyTorch's compiler among it
    gc.freeze()  # no story looks through it for garbage
    finish.gate = lambda *_: None  # a fresh process for each story: seconds, and tested elsewhere
    tell = lambda name, *fault, **how: (name, story(root, name, model, *fault, **how))  # noqa: E731
    step = (loop, "gradient_of")
    found = [
        tell("unbroken"),
        tell("first step", *step, 1),
        tell("a later step", *step, 5),
        tell("three times", *step, 2, times=3),
        tell("validating", loop, "validate", 1),
        tell("after the last step", finish, "save", 1),
        tell("for ever", *step, 2, times=9),
        tell("before the first step", planning, "find", 1),
        tell("by a person", *step, 5, counted=False),
        tell("by a fault", *step, 5, counted=False, how=signal.SIGSEGV),
    ]
    print(json.dumps(dict(found)))


if __name__ == "__main__":
    main()
