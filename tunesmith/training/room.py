"""Room on the disk and in memory: asked for before the first step, and given up by halves where a pass took too much."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path
from typing import TYPE_CHECKING

from ..disk import require_room, write_json
from ..errors import ModelError
from ..models.allow import read_json
from .events import Adjusted

if TYPE_CHECKING:
    from .stages import Work
    from .state import State

SMALLEST_MICRO = 8
"""Tokens below which a micro-batch is not cut further."""
MEMORY = "memory.json"
"""Beside the checkpoints: what the system's kills for memory have taught. It outlives a sitting that is killed before it saves."""

SPARE = 2.2
"""Checkpoints that must fit: the newest, the one being written beside it, and a little for the rest of the run."""
SLOTS = {"adamw": 2, "adam": 2, "sgd": 1, "lion": 1, "rmsprop": 1, "adafactor": 1}
"""Tensors of the weights' size that an optimiser keeps."""


def give_back() -> None:
    """Return memory that lies free to the system, where the C library can (glibc): what a plan tried and read is not needed any more."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def checkpoint_bytes(state: State) -> int:
    """Bytes of one checkpoint: the weights that learn, the optimiser's state, the moving averages."""
    settings = state.ready.plan.spec.train
    weights = sum(tensor.numel() * tensor.element_size() for tensor in state.weights().values())
    return weights * (1 + SLOTS[settings.optimizer] + bool(float(settings.ema)))


def require(state: State, folder: Path) -> None:
    """Raises ResourceError where checkpoints would not fit on the disk of `folder`."""
    need = int(SPARE * checkpoint_bytes(state))
    require_room(folder, need, f"checkpoints ({SPARE:g} times one of them)")


def most_tokens(folder: Path) -> float:
    """Most tokens a pass after kills for memory; no bound where there were none."""
    try:
        found = read_json(folder / MEMORY).get("micro_tokens")
    except (OSError, ModelError):
        found = None
    return found if type(found) is int and found >= SMALLEST_MICRO else float("inf")


def halve(state: State, work: Work, folder: Path) -> Adjusted:
    """Halve the micro-batch, from the largest pass that there really is, and remember it for sittings to come."""
    largest = int(state.ready.plan.spec.train.batch) * int(work.train.encoded.lengths_N.max(initial=1))
    state.micro_tokens = max(SMALLEST_MICRO, int(min(state.micro_tokens, largest)) // 2)
    write_json(folder / MEMORY, {"micro_tokens": state.micro_tokens})
    why = f"the system killed the process for memory; at most {state.micro_tokens} tokens a pass, same batch"
    return Adjusted(state.total, "micro-batch halved", why)
