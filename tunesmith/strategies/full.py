"""Every weight learns at one rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from ..strategy import Outline, Stage, Strategy
from ._rates import even


@final
@dataclass(frozen=True, kw_only=True)
class Full(Strategy):
    """The usual way: best where rows are many, forgetful where they are few."""

    lr: ClassVar[float] = 2e-4

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage."""
        return (Stage("all weights", even(outline.at_least(0))),)


strategy = Full
