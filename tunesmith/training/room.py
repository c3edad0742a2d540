"""Room on the disk and in memory: asked for before the first step, and given up by halves where a pass took too much."""

from __future__ import annotations

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


def checkpoint_bytes(state: State) -> int:
    """Bytes of one checkpoint: the weights that learn, the optimiser's state, the moving averages."""
    settings = state.ready.plan.spec.train
    weights = sum(tensor.numel() * tensor.element_size() for tensor in state.weights().values())
    return weights * (1 + SLOTS[settings.optimizer] + bool(float(settings.ema)))


def require(state: State, folder: Path) -> None:
    """Raises ResourceError where checkpoints would not fit on the disk of `folder`."""
    need = int(SPARE * checkpoint_bytes(state))
    require_room(folder, need, f"checkpoints ({SPARE:g} times one of them)")


def learnt(folder: Path) -> tuple[float, bool]:
    """What kills for memory have taught: most tokens a pass (no bound where there were none), and whether layers are computed twice."""
    try:
        told = read_json(folder / MEMORY)
    except (OSError, ModelError):
        told = {}
    found = told.get("micro_tokens")
    return found if type(found) is int and found >= SMALLEST_MICRO else float("inf"), told.get("recompute") is True


def can_shrink(state: State) -> bool:
    """Whether there is a way left for passes to take less memory."""
    return state.micro_tokens > SMALLEST_MICRO or state.settings.gradient_checkpointing == "needed"


def smaller(state: State, work: Work, cause: str = "memory ran out") -> Adjusted:
    """Have passes take less memory: half the micro-batch, from the largest pass that there really is; of single rows, first the layers
    one by one. The gradient stays that of the batch."""
    longest = int(work.train.encoded.lengths_N.max(initial=1))
    if state.micro_tokens <= max(longest, SMALLEST_MICRO) and state.settings.gradient_checkpointing == "needed":
        state.recompute = True
        return Adjusted(state.total, "layers computed twice", f"{cause} with one row a pass; it takes longer, and gives the same")
    state.micro_tokens = max(SMALLEST_MICRO, int(min(state.micro_tokens, int(state.settings.batch) * longest)) // 2)
    return Adjusted(state.total, "micro-batch halved", f"{cause}; at most {state.micro_tokens} tokens a pass, same batch")


def after_kill(state: State, work: Work, folder: Path) -> Adjusted:
    """The same after a kill for memory, remembered for sittings to come."""
    said = smaller(state, work, "the system killed the process for memory")
    write_json(folder / MEMORY, {"micro_tokens": state.micro_tokens, "recompute": state.recompute})
    return said
