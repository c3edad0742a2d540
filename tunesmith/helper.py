"""A helper of a run that trains in several processes: `python -m tunesmith.helper RUN WORLD STORE RANK`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path


def main() -> None:
    """Read the run as its first process did, then compute gradients until it is sent home."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the first process answers signals; this one ends with it
    path, world, store, rank = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    import torch

    from .planning import prepare
    from .run import Run
    from .training import crew, retold
    from .training.stages import Work
    from .training.state import State

    if torch.cuda.is_available():
        torch.cuda.set_device(rank % torch.cuda.device_count())
    ready = prepare(Run(path).spec)
    state = State.start(ready)
    work = retold.ended(retold.retold(state, Work.of(state)))
    crew.join(rank, world, store, state.accelerator.device.type)
    try:
        crew.serve(state, work, rank, world)
    except RuntimeError as error:
        if "Connection closed" not in str(error) and "Connection reset" not in str(error):
            raise  # else: the first process is gone, and says itself why


if __name__ == "__main__":
    main()
