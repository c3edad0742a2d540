"""How much disk a run's checkpoints take: asked before the first step, not found out at the last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..disk import require_room

if TYPE_CHECKING:
    from .state import State

SPARE = 2.2
"""Checkpoints that must fit: the newest, the one being written beside it, and a little for the rest of the run."""
SLOTS = {"adamw": 2, "adam": 2, "sgd": 1, "lion": 1, "rmsprop": 1, "adafactor": 1}
"""Tensors of the weights' size that an optimiser keeps."""


def checkpoint_bytes(state: State) -> int:
    """Bytes of one checkpoint: the weights that learn, the optimiser's state, the moving averages."""
    settings = state.ready.plan.spec.train
    weights = sum(tensor.numel() * tensor.element_size() for tensor in state.weights().values())
    return weights * (1 + SLOTS[settings.optimizer] + bool(settings.ema))


def require(state: State, folder: Path) -> None:
    """Raises ResourceError where checkpoints would not fit on the disk of `folder`."""
    need = int(SPARE * checkpoint_bytes(state))
    require_room(folder, need, f"checkpoints ({SPARE:g} times one of them)")
