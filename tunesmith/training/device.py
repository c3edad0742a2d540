"""Where tensors live, in which precision, with which seeds, and what running out of memory looks like."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from ..models.quick import Quick
from ..models.recompute import recomputing
from ..spec import Train


def accelerator(settings: Train) -> Accelerator:
    """Accelerate's placement and mixed precision for a plan's settings."""
    make_deterministic(int(settings.threads))
    precision = "bf16" if settings.precision == "bf16" else "no"
    if AcceleratorState._shared_state.get("_mixed_precision", precision) != precision:
        AcceleratorState._reset_state()  # it is kept for the whole process, and an earlier run had another precision
    return Accelerator(cpu=settings.device == "cpu", mixed_precision=precision)


def make_deterministic(threads: int) -> None:
    """Same bits for the same run: fixed threads, deterministic kernels (PyTorch's note on reproducibility).

    For training only: PyTorch imports its compiler for this, seconds that a single prediction need not wait.
    """
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    torch.utils.deterministic.fill_uninitialized_memory = False  # no kernel here reads what it has not written, and filling takes time
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False


def seed(*parts: int) -> None:
    """Seed torch by position: dropout is a function of (seed, stage, step, micro-batch), not of what ran before."""
    import numpy as np

    torch.manual_seed(int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1))


def out_of_memory(error: BaseException) -> bool:
    """Whether this is memory running out, on the CPU or a GPU."""
    words = ("out of memory", "not enough memory", "can't allocate memory", "DefaultCPUAllocator", "bad_alloc")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def autocast(settings: Train) -> Any:
    """The context of a forward pass outside Accelerate's own step."""
    if settings.precision != "bf16":
        return contextlib.nullcontext()
    return torch.autocast("cuda" if settings.device == "cuda" else "cpu", torch.bfloat16)


@contextlib.contextmanager
def computing(accelerator: Accelerator, model: Any, *, twice: bool = False) -> Iterator[None]:
    """The context of a forward pass of `model` that will be gone back through. `twice`: its layers are computed again then, uncompiled."""
    casts, compiled = getattr(model, "casts", None), getattr(model, "compiled", None)
    if compiled and not twice:
        with accelerator.autocast(), compiled:
            yield
        return
    if twice and casts is not None:
        casts.close()
    quick = partial(Quick, casts)
    with accelerator.autocast(), quick(), recomputing(model, quick) if twice else contextlib.nullcontext():
        yield
