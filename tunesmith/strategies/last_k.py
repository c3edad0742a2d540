"""The last k layers and the head learn; what lies below is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from ..errors import SpecError
from ..spec import Whole
from ..strategy import Outline, Stage, Strategy
from ._rates import even


@final
@dataclass(frozen=True, kw_only=True)
class LastK(Strategy):
    """Cheap and steady for few rows: lower layers hold what most texts share."""

    lr: ClassVar[float] = 2e-4

    k: Whole = 2
    """Number of upper layers that learn."""

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage. Raises SpecError where the model has fewer layers."""
        if not 0 <= self.k <= outline.layers:
            raise SpecError(
                "option 'k' of last-k",
                expected=f"0 to {outline.layers}, the model's layers",
                got=str(self.k),
                fix="use fewer",
                code="bad-option",
            )
        return (Stage(f"last {self.k} layers", even(outline.at_least(outline.layers - self.k + 1))),)


strategy = LastK
