"""Every weight learns, lower layers more slowly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from ..spec import Factor
from ..strategy import Outline, Stage, Strategy
from ._rates import decayed


@final
@dataclass(frozen=True, kw_only=True)
class LayerWise(Strategy):
    """Each layer's rate is `decay` times that of the layer above (arXiv 1801.06146; 2006.05987 finds it steadier)."""

    lr: ClassVar[float] = 2e-4

    decay: Factor = 0.9
    """Factor from a layer to the one below it."""

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage."""
        return (Stage("all weights, lower ones slower", decayed(outline, self.decay)),)


strategy = LayerWise
