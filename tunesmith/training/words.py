"""Only the words that training meets are weights: see `models/vocabulary.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from .. import choices
from ..inference import Ragged
from ..memory import let_go
from ..models import vocabulary
from .events import Adjusted

if TYPE_CHECKING:
    from .stages import Work
    from .state import State

CHUNK = 1 << 20
"""Tokens looked at at a time: the rows may lie in a file."""


def part(state: State, work: Work) -> Iterator[Adjusted]:
    """From this stage's first step on, leave the words that no training row has out of what is trained, where all stages to come train
    the embedding."""
    name = vocabulary.name_of(state.model)
    if name is None or state.step or not all(f"{name}.weight" in stage.rates for stage in state.stages[state.stage :]):
        return
    size = state.model.get_submodule(name).num_embeddings
    used = None if int(state.ready.plan.spec.train.processes) > 1 else _used(work, size)
    if used is None or len(used) > choices.MOST_WORDS * size:
        return
    vocabulary.part(state.model, name, used)
    state.enter_stage()
    yield Adjusted(
        state.total, "unused words left alone", f"{len(used):,} of {size:,} words are in the training rows: the others have no gradient"
    )


def _used(work: Work, size: int) -> torch.Tensor | None:
    """Ids of the training rows and of padding, in order; None where rows may yet have others."""
    ids = work.train.encoded.arrays.get("input_ids")
    if work.train.encoded.later is not None or not isinstance(ids, Ragged):
        return None
    seen = np.zeros(size, bool)
    for start in range(0, len(ids.values), CHUNK):
        seen[ids.values[start : start + CHUNK]] = True
        let_go(ids.values)
    seen[work.pad] = True
    return torch.from_numpy(np.flatnonzero(seen))
