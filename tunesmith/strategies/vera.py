"""Low-rank updates with shared frozen random matrices: only two small vectors a map learn, and the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from ..spec import Count, Share, Whole
from ..strategy import Outline, Stage, Strategy
from ._rates import adapted

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Vera(Strategy):
    """VeRA (arXiv 2310.11454)."""

    adapter: ClassVar[bool] = True
    lr: ClassVar[float] = 1e-2

    rank: Count = 256
    """Rank of the shared matrices."""
    dropout: Share = 0.0
    """Dropout before the update."""
    targets: tuple[str, ...] = ()
    """Last parts of the names of the linear maps (`query`, `v_proj`); none: all in the layers."""
    layers: Whole = 0
    """Only this many upper layers get updates; 0: all."""

    def shape(self, model: nn.Module, seed: int) -> None:
        """Wrap the backbone. Raises SpecError for targets that are none."""
        from peft import VeraConfig

        from ..models import adapters

        config = VeraConfig(
            task_type=adapters.TASK,
            r=self.rank,
            vera_dropout=self.dropout,
            projection_prng_key=seed,
            target_modules=adapters.linear_targets(model, self.targets, self.layers),
            fan_in_fan_out=adapters.has_conv1d(model),
        )
        adapters.wrap(model, config, seed)

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage."""
        return (Stage("vectors", adapted(outline)),)


strategy = Vera
