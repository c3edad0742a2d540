"""The layers of a model compiled one by one (`torch.compile`), while it learns: what is validated, saved and asked stays as it is.

Compiled are the layers as PyTorch and peft compute them. What this package computes otherwise to be quick (`quick.py`, `dropout.py`,
`updates.py`) is left out then: a compiler would break its graphs there, and joins such passes itself.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import Any, final

from torch import nn

from ..errors import SpecError
from ..spec import Train
from .heads import bare
from .outline import stacks

BACKEND = "inductor"
"""The compiler, as PyTorch calls it."""
MADE = "_compiled_call_impl"
"""Where a module keeps what `nn.Module.compile` made; PyTorch leaves it out of copies and of what is saved."""


@final
class Compiled:
    """The layers of a backbone; while it is entered they are computed compiled, for any length of rows. Made at the first pass."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        self._layers: list[tuple[dict[str, Any], Any]] = []
        for block in blocks:
            block.compile(dynamic=True, backend=BACKEND)
            self._layers.append((vars(block), vars(block).pop(MADE)))

    def __enter__(self) -> None:
        for own, made in self._layers:
            own[MADE] = made

    def __exit__(self, *_: object) -> None:
        for own, _ in self._layers:
            own.pop(MADE)


def layers(module: nn.Module, *, asked: bool) -> Compiled | None:
    """A backbone's layers; None where none can be told. `asked`: raises SpecError then."""
    blocks = [block for _, blocks in stacks(bare(module)) for block in blocks]
    if not blocks and asked:
        raise SpecError(
            "train.compile: on", expected="a model whose layers can be told", got=type(bare(module)).__name__,
            fix="leave train.compile out", code="not-compiled",
        )  # fmt: skip
    return Compiled(blocks) if blocks else None


def hindrance(settings: Train, device: str, joint: bool) -> tuple[str, str, str] | None:
    """Why layers cannot be compiled for `device`, as (expected, got, what to do); None where nothing is known to be in the way.

    `joint`: whether the loss compares rows, whose second pass must draw the dropout of the first: compiled passes need not.
    """
    cpp, c = os.environ.get("CXX") or "g++", os.environ.get("CC") or "gcc"
    if settings.gradient_checkpointing == "on":
        return "layers that are computed once", "train.gradient_checkpointing: on", "leave one of the two out"
    if settings.processes != "auto" and int(settings.processes) > 1:
        return "one process", f"train.processes: {settings.processes}", "leave one of the two out"
    if joint:
        return "a task that judges each row by itself", "rows that are compared with each other", "leave train.compile out"
    if device == "cuda" and find_spec("triton") is None:
        return "the package triton", "none", "pip install triton, or leave train.compile out"
    wanted = [c, "clang"] if device == "cuda" else [cpp]
    if not any(shutil.which(name.split()[0]) for name in wanted):
        name = "a C compiler (gcc)" if device == "cuda" else f"a C++ compiler ({cpp})"
        return name, "none", "install one, or leave train.compile out"
    return None


def require(settings: Train, device: str, joint: bool) -> None:
    """Raises SpecError where layers are to be compiled and cannot."""
    found = hindrance(settings, device, joint) if settings.compile == "on" else None
    if found:
        raise SpecError("train.compile: on", expected=found[0], got=found[1], fix=found[2], code="no-compiler")


def failed(error: BaseException) -> bool:
    """Whether this is the compiler's error rather than the model's."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))


def refusal(error: BaseException) -> SpecError:
    """That a model's layers do not compile, said before its first step."""
    said = " ".join(str(error).split())
    return SpecError(
        "train.compile: on", expected="layers that compile", got=f"{type(error).__name__}: {said[:200]}",
        fix="leave train.compile out: they are then computed as they are", code="not-compiled",
    )  # fmt: skip
