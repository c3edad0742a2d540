"""Kills training at random instants and resumes it: `python -m tests.faults.kill_server FOLDER MODEL KILLS SEED`.

Everything is imported once; each try is a fork of this process, so that a kill costs a fraction of a second. Nothing is computed with
gradients before the forks: PyTorch's autograd threads would not survive them.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

torch.set_num_threads(1)

from tests.runs import fingerprint, make_ready, write_rows  # noqa: E402
from tunesmith.training import checkpoint  # noqa: E402
from tunesmith.training.loop import train  # noqa: E402
from tunesmith.training.state import State  # noqa: E402

KINDS = [signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV]


def work(ready: object, folder: Path) -> None:
    """Train to the end from wherever the folder stands, and write the fingerprint."""
    state, _ = State.resume(ready, folder)
    for _ in train(state, folder):
        pass
    checkpoint.write_json(folder / "done.json", fingerprint(state, folder))


def fork(ready: object, folder: Path) -> int:
    """A child at work in the folder; its process id."""
    child = os.fork()
    if child:
        return child
    sys.stderr.close()
    code = 1
    try:
        work(ready, folder)
        code = 0
    finally:
        os._exit(code)


def finish(ready: object, folder: Path) -> str:
    """Train to the end undisturbed; the fingerprint."""
    _, status = os.waitpid(fork(ready, folder), 0)
    return json.loads((folder / "done.json").read_text()) if status == 0 else f"failed with status {status}"


def disturbed(ready: object, folder: Path, chance: random.Random, longest: float, kills: int) -> tuple[str, int]:
    """Kill up to `kills` times at random instants, resume each time, end undisturbed: (fingerprint, kills that hit)."""
    hit = 0
    for _ in range(kills):
        child = fork(ready, folder)
        time.sleep(chance.uniform(0, longest))
        os.kill(child, chance.choice(KINDS))
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        hit += 1
    return finish(ready, folder), hit


def main() -> None:
    """Print {"kills", "runs", "wrong", "whole"} as JSON."""
    folder, model, kills, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    write_rows(folder / "rows.csv", n=64)
    ready = make_ready(folder, model, train={"save_every": 3})
    State.start(ready)  # imports everything that a try needs, PyTorch's compiler among it, before the first fork
    gc.freeze()  # no try looks through it for garbage
    start = time.monotonic()
    whole = finish(ready, folder / "whole")
    longest, chance = time.monotonic() - start, random.Random(seed)
    hits, wrong, runs = 0, [], 0
    while hits < kills:
        found, hit = disturbed(ready, folder / f"run-{runs}", chance, longest, min(5, kills - hits))
        hits, runs = hits + hit, runs + 1
        if found != whole:
            wrong.append((runs, found))
    print(json.dumps({"kills": hits, "runs": runs, "wrong": wrong, "whole": whole}))


if __name__ == "__main__":
    main()
