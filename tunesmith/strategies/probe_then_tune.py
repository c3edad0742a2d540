"""The head is solved on frozen vectors first, then every weight is tuned from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from ..spec import Factor
from ..strategy import Outline, Stage, Strategy
from ._rates import decayed, even


@final
@dataclass(frozen=True, kw_only=True)
class ProbeThenTune(Strategy):
    """Linear probing, then fine-tuning (arXiv 2202.10054): a good head distorts the layers less."""

    lr: ClassVar[float] = 2e-4

    decay: Factor = 0.9
    """Factor of the rate from a layer to the one below it; 1: the same for all."""

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """The solved head, then all weights."""
        return (
            Stage("probe", even(outline.head), share=0.0, solve=True),
            Stage("tune", decayed(outline, self.decay)),
        )


strategy = ProbeThenTune
