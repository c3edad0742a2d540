"""A narrow two-layer network after each layer learns, and the head; the model itself is untouched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, final

from ..spec import Count
from ..strategy import Outline, Stage, Strategy
from ._rates import adapted

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Adapters(Strategy):
    """Bottleneck adapters (arXiv 1902.00751, 2005.00052)."""

    adapter: ClassVar[bool] = True
    lr: ClassVar[float] = 2e-3

    width: Count = 48
    """Features of the narrow middle."""
    places: Literal["layer", "both"] = "layer"
    """After each layer (arXiv 2005.00052), or after its attention as well (arXiv 1902.00751)."""

    def shape(self, model: nn.Module, seed: int) -> None:
        """Add the bottlenecks. Raises ModelError where layers or attention cannot be told."""
        from ..models.adapters import add_bottlenecks

        add_bottlenecks(model, self.width, self.places, seed)

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage."""
        return (Stage("bottlenecks", adapted(outline)),)


strategy = Adapters
