"""The head learns first, then layer after layer joins from the top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from ..spec import Count, Factor
from ..strategy import Outline, Stage, Strategy
from ._rates import decayed


@final
@dataclass(frozen=True, kw_only=True)
class Gradual(Strategy):
    """Gradual unfreezing (arXiv 1801.06146): what the pretrained layers know is kept while the head is still poor."""

    lr: ClassVar[float] = 2e-4

    steps: Count = 3
    """Number of stages after the head's; the layers join in as many equal groups, the embeddings with the last."""
    decay: Factor = 0.9
    """Factor of the rate from a layer to the one below it."""

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """The head's stage and `steps` more, in equal shares of the epochs."""
        steps = max(1, min(self.steps, outline.layers))
        tops = [round(outline.layers * (1 - done / steps)) for done in range(1, steps + 1)]
        lowest = [outline.layers + 2, *(top + 1 for top in tops[:-1]), 0]
        share = 1 / len(lowest)
        return tuple(Stage(_name(depth, outline), decayed(outline, self.decay, depth), share) for depth in lowest)


def _name(depth: int, outline: Outline) -> str:
    if depth > outline.layers:
        return "head"
    return "all weights" if depth == 0 else f"layers {depth} to {outline.layers}"


strategy = Gradual
