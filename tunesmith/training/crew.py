"""Several processes compute one gradient.

The process that trains keeps everything that decides (weights, optimiser, validation, checkpoints). Each helper holds a copy of the
model and of the rows; for each step it is told the batch and the weights that learn, and answers with the gradient of its share.
What goes over the wire is what an all-reduce would send, and no two copies can drift apart: helpers decide nothing.

The result is the gradient of the nominal batch, as with one process, up to the order of sums.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
import torch.distributed as dist

from .. import aside
from ..errors import ResourceError
from ..inference import collate
from . import batches, device
from .step import Gradient, Sums, accumulate, finish

if TYPE_CHECKING:
    from .stages import Work
    from .state import State

STEP, LEAVE = 1, 2
HEAD = 7
"""Numbers that say what is to be done next."""
OUT_OF_MEMORY = 1.0
PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others: a validation of the first may take long."""
SEEDS_APART = 1 << 16
"""Micro-batches of one process whose dropout is drawn apart from the next process's."""


@final
@dataclass
class Crew:
    """The helpers of a run that trains; mutable, since it holds their processes."""

    world: int
    helpers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    shown: tuple[int, bool] = (-1, False)
    """Stage, and whether its rows are cached activations, of which the helpers have all weights."""

    @classmethod
    def gather(cls, run: Path, world: int, threads: int, kind: str) -> Crew:
        """Start `world - 1` helpers of this run and wait until they have read it. Raises ResourceError where one does not come."""
        store = Path(tempfile.mkdtemp(prefix="tunesmith-crew-")) / "store"
        env = aside.environment() | {"OMP_NUM_THREADS": str(threads)}
        command = aside.command("tunesmith.helper", str(run), str(world), str(store))
        made = cls(world, [subprocess.Popen([*command, str(rank)], env=env, stdin=subprocess.DEVNULL) for rank in range(1, world)])
        try:
            join(0, world, store, kind)
            dist.barrier()
        except RuntimeError as error:
            made.dismiss()
            raise _lost(error) from None
        return made

    def gradient(self, state: State, work: Work, positions: np.ndarray) -> Gradient:
        """The gradient of one nominal batch. Raises MemoryError where a process ran out of memory, ResourceError where one is gone."""
        place = state.accelerator.device
        head = [STEP, state.stage, state.step, state.micro_tokens, int(state.recompute), int(work.cached), len(positions)]
        try:
            dist.broadcast(torch.tensor(head, device=place), 0)
            if self.shown != (stage := (state.stage, work.cached)):
                _spread(list(state.weights().values()))
                self.shown = stage
            dist.broadcast(torch.from_numpy(positions.astype(np.int64)).to(place), 0)
            _spread(learning(state))
            sums, found = share(state, work, positions, 0, self.world)
            if found[-1]:
                raise MemoryError("a process ran out of memory")
        except RuntimeError as error:
            if device.out_of_memory(error):
                raise
            raise _lost(error) from None
        weight = float(found[1]) or 1.0
        for parameter in learning(state):
            if parameter.grad is not None:
                parameter.grad.div_(weight)
        loss = float(found[0]) / weight
        norm = finish(state.model, state.ready.plan.spec.train) if math.isfinite(loss) else math.nan
        return Gradient(loss, norm, int(found[2]), sums.bad)

    def dismiss(self) -> None:
        """Send the helpers home."""
        if dist.is_initialized():
            try:
                dist.broadcast(torch.tensor([LEAVE, *[0] * (HEAD - 1)]), 0)
            except RuntimeError:
                pass  # they are gone already
            dist.destroy_process_group()
        for helper in self.helpers:
            try:
                helper.wait(timeout=20)
            except subprocess.TimeoutExpired:
                helper.kill()
                helper.wait()


def join(rank: int, world: int, store: Path, kind: str) -> None:
    """Meet the other processes at a file."""
    backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=world, timeout=PATIENCE)


def serve(state: State, work: Work, rank: int, world: int) -> None:
    """A helper's life: gradients of its share of each batch, until it is sent home or the one who trains is gone."""
    from .stages import with_cache

    place, shown = state.accelerator.device, (-1, False)
    here = work
    dist.barrier()
    while True:
        head = torch.zeros(HEAD, dtype=torch.int64, device=place)
        dist.broadcast(head, 0)
        order, stage, step, micro_tokens, recompute, cached, count = head.tolist()
        if order == LEAVE:
            return
        state.micro_tokens, state.recompute, state.step = micro_tokens, bool(recompute), step
        if shown != (stage, bool(cached)):
            state.stage, shown = stage, (stage, bool(cached))
            state.enter_stage()
            _spread(list(state.weights().values()))
            here = with_cache(state, work, math.inf)[0] if cached else work
        positions = torch.zeros(count, dtype=torch.int64, device=place)
        dist.broadcast(positions, 0)
        _spread(learning(state))
        state.model.train()
        share(state, here, positions.cpu().numpy(), rank, world)
        state.model.zero_grad()


def share(state: State, work: Work, positions: np.ndarray, rank: int, world: int) -> tuple[Sums, list[float]]:
    """This process's part of the batch, then the sum over all: (own sums, [loss, weight, tokens, failed] of all).

    Gradients of the whole batch, not yet divided by its weight, are in the first process's parameters.
    """
    place = state.accelerator.device
    sums, failed = Sums(), 0.0
    try:
        sums = _own(state, work, positions, rank, world)
    except (RuntimeError, MemoryError) as error:
        if not device.out_of_memory(error):
            raise
        failed = OUT_OF_MEMORY
    told = torch.tensor([sums.loss, sums.weight, float(sums.tokens), failed], dtype=torch.float64, device=place)
    dist.all_reduce(told)
    found = told.tolist()
    if not found[-1]:
        _collect(learning(state))
    return sums, found


def _own(state: State, work: Work, positions: np.ndarray, rank: int, world: int) -> Sums:
    from .stages import this_epoch

    encoded, task, settings = this_epoch(state, work), state.ready.task, state.settings
    mine = np.sort(positions)[np.argsort(encoded.lengths_N[np.sort(positions)], kind="stable")][rank::world]
    parts = batches.micro_batches(mine, encoded.lengths_N, state.micro_tokens)
    made = [collate(task, encoded, part, work.pad, state.accelerator.device) for part in parts]
    seeds = (settings.seed, state.stage, state.step)
    return accumulate(task, state.model, made, settings, state.accelerator, seeds, whole=1.0, first=SEEDS_APART * rank)


def learning(state: State) -> list[Any]:
    """The parameters that learn in this stage, in one order for all."""
    return [p for _, p in sorted(state.model.named_parameters(), key=lambda item: item[0]) if p.requires_grad]


def _spread(parameters: Sequence[torch.Tensor]) -> None:
    """The first process's weights to all, in one piece."""
    flat = _flat(p.detach().float() for p in parameters)
    dist.broadcast(flat, 0)
    if dist.get_rank():
        with torch.no_grad():
            for parameter, values in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
                parameter.copy_(values.view_as(parameter))


def _collect(parameters: Sequence[Any]) -> None:
    """All gradients to the first process, summed."""
    flat = _flat(torch.zeros_like(p) if p.grad is None else p.grad for p in parameters)
    dist.reduce(flat, 0)
    if not dist.get_rank():
        for parameter, values in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = values.view_as(parameter).clone()


def _flat(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.cat([t.reshape(-1) for t in tensors])


def _lost(error: Exception) -> ResourceError:
    return ResourceError(
        "train.processes",
        expected="all processes to the end",
        got=f"one that is gone ({str(error).splitlines()[0][:160]})",
        fix="look at its message above; `tunesmith resume` goes on from the last checkpoint",
        code="process-lost",
    )
