"""Where a loaded run computes its answers, and how exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final, get_args

from .errors import ResourceError, SpecError
from .spent import cores

if TYPE_CHECKING:
    from torch import nn

    from .spec import Train

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16"]


@final
@dataclass(frozen=True)
class Computing:
    """Raises SpecError for a device or precision that is none."""

    device: Device = "auto"
    """`auto`: CUDA where the run was trained on it and there is one, else the CPU."""
    precision: Precision = "fp32"
    """`bf16`: products in half the bits, on processors made for it more than twice as fast; probabilities move in their third digit."""

    def __post_init__(self) -> None:
        for name, kinds in (("device", Device), ("precision", Precision)):
            asked, known = getattr(self, name), get_args(kinds)
            if asked not in known:
                raise SpecError(name, expected=" or ".join(known), got=repr(asked), fix=f"write {known[0]}", code="bad-value")

    def place(self, model: nn.Module, trained: Train) -> str:
        """Put the model where it is to answer; returns where. No more threads than there are cores: the run may come from elsewhere.

        Raises ResourceError where CUDA is asked for and there is none.
        """
        import torch

        torch.set_num_threads(min(int(trained.threads), cores()))
        wanted = trained.device if self.device == "auto" else self.device
        there = wanted == "cuda" and torch.cuda.is_available()
        if self.device == "cuda" and not there:
            raise ResourceError("device", expected="a CUDA device", got="none", fix="leave --device out", code="no-cuda")
        device = "cuda" if there else "cpu"
        if next(model.parameters()).device.type != device:  # quantised weights are where they belong already
            model.to(device)
        return device

    def autocast(self, device: str) -> Any:
        """What passes are made within: None, or the context that computes products in the asked precision."""
        import torch

        return torch.autocast(device, torch.bfloat16) if self.precision == "bf16" else None


AS_TRAINED = Computing()
