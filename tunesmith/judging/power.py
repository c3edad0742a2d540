"""What the test rows can show at all: the smallest difference that is not noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from scipy import stats

from .intervals import finite


@final
@dataclass(frozen=True)
class Power:
    """How fine a difference this many rows can tell apart, in units of the score."""

    rows: int
    score: str
    noise: float
    """An observed difference below this lies within the interval around zero."""
    seen: float
    """A true difference of this size is found four times in five."""
    rows_for_half: int
    """Rows that would halve both: four times as many."""

    def as_json(self) -> dict[str, Any]:
        """JSON-able, with the sentence."""
        return {
            "rows": self.rows, "score": self.score, "noise": finite(self.noise), "seen": finite(self.seen),
            "rows_for_half": self.rows_for_half,
        }


def power(rows: int, spread: float, score: str, level: float = 0.95, chance: float = 0.8) -> Power:
    """From the standard error of the paired difference between two models on these rows."""
    noise = float(stats.norm.ppf((1 + level) / 2)) * spread
    return Power(rows, score, noise, noise + float(stats.norm.ppf(chance)) * spread, 4 * rows)
