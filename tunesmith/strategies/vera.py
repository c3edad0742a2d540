"""Low-rank updates with shared frozen random matrices: only two small vectors a map learn, and the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from ..errors import SpecError
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

    rank: int = 256
    """Rank of the shared matrices."""
    dropout: float = 0.0
    """Dropout before the update."""
    targets: tuple[str, ...] = ()
    """Last parts of the names of the linear maps (`query`, `v_proj`); none: all in the layers."""
    layers: int = 0
    """Only this many upper layers get updates; 0: all."""

    def shape(self, model: nn.Module, seed: int) -> None:
        """Wrap the backbone. Raises SpecError for a bad option."""
        from peft import VeraConfig

        from ..models import adapters

        if self.rank < 1 or not 0 <= self.dropout < 1 or self.layers < 0:
            raise SpecError(
                "options of vera",
                expected="rank 1 or more, dropout from 0 to 1, layers 0 or more",
                got=f"rank {self.rank}, dropout {self.dropout:g}, layers {self.layers}",
                fix="mend them",
                code="bad-option",
            )
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
