"""The first real steps of a stage against the plan's forecast: what the whole run will take, known better."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from ..forecast import corrected
from .events import Forecasted

if TYPE_CHECKING:
    from .stages import Work
    from .state import State

STEPS = 3
"""Steps measured, after one to warm up."""


@final
@dataclass
class Watch:
    """Counts seconds and tokens of a stage's first steps. Mutable: it lives as long as the stage."""

    since: float = 0.0
    steps: int = 0
    tokens: int = 0

    def step(self, state: State, work: Work, positions: np.ndarray, total: int) -> list[Forecasted]:
        """After each step of a stage of `total` steps; once, the corrected forecast."""
        self.steps += 1
        if self.steps == 1:
            self.since = time.monotonic()
        elif self.steps <= 1 + STEPS:
            self.tokens += int(work.train.encoded.lengths_N[positions].sum())
        if self.steps != 1 + STEPS:
            return []
        return self._told(state, work, total)

    def _told(self, state: State, work: Work, total: int) -> list[Forecasted]:
        planned, settings = state.ready.plan.forecast, state.ready.plan.spec.train
        usual = float(work.train.encoded.lengths_N.mean()) * int(settings.batch)
        expected = planned.parts["training"] / max(1, total) * self.tokens / usual
        if expected <= 0:
            return []
        ratio = (time.monotonic() - self.since) / expected
        seconds = corrected(planned, state.seconds, state.step / total, ratio)
        return [Forecasted(state.total, seconds, planned.seconds, f"{STEPS} real steps took {ratio:.2f} times what was planned")]
