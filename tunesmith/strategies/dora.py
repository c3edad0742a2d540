"""LoRA that learns each weight's direction and size apart: closer to full tuning, a little slower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from ..spec import Count, Positive, Share, Whole
from ..strategy import Outline, Stage, Strategy
from .lora import Lora

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Dora(Strategy):
    """DoRA (arXiv 2402.09353): `lora` with `variant: dora`."""

    adapter: ClassVar[bool] = True
    lr: ClassVar[float] = 2e-3

    rank: Count = 8
    """Rank of the updates."""
    alpha: Positive = 16.0
    """The update is scaled by alpha / rank."""
    dropout: Share = 0.0
    """Dropout before the update."""
    targets: tuple[str, ...] = ()
    """Last parts of the names of the linear maps (`query`, `v_proj`); none: all in the layers."""
    layers: Whole = 0
    """Only this many upper layers get updates; 0: all."""

    def shape(self, model: nn.Module, seed: int) -> None:
        """Wrap the backbone. Raises SpecError for targets that are none."""
        self._lora().shape(model, seed)

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage."""
        return self._lora().stages(outline)

    def _lora(self) -> Lora:
        return Lora(
            rank=self.rank,
            alpha=self.alpha,
            dropout=self.dropout,
            targets=self.targets,
            layers=self.layers,
            variant="dora",
        )


strategy = Dora
