"""What happens while training, as values. One event is one line of `events.jsonl`; progress bar, report and tests read the same."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

if TYPE_CHECKING:
    from ..data.finding import Finding
    from ..data.ledger import Entry


@dataclass(frozen=True)
class Event:
    """Abstract. `kind` names the child in JSON."""

    kind: ClassVar[str] = ""

    def as_json(self) -> dict[str, Any]:
        """A JSON-able dictionary; numbers that are not finite become null."""
        return {"event": self.kind} | _plain(dataclasses.asdict(self))


@final
@dataclass(frozen=True)
class Audited(Event):
    """The data was read: what its owner should know, and what was done to rows. `data.json` lists more rows of the ledger."""

    kind: ClassVar[str] = "audited"
    findings: tuple[Finding, ...]
    ledger: tuple[Entry, ...]


@final
@dataclass(frozen=True)
class Already(Event):
    """A run that was to go on is finished: nothing is done."""

    kind: ClassVar[str] = "already-finished"
    run: str


@final
@dataclass(frozen=True)
class Preparing(Event):
    """What is done before the first step (translating texts), how far it has come. `step` is where training stands."""

    kind: ClassVar[str] = "preparing"
    step: int
    what: str


@final
@dataclass(frozen=True)
class Started(Event):
    """Training begins or goes on. `step` is where it goes on from (0: from the start)."""

    kind: ClassVar[str] = "started"
    run: str
    step: int
    total_steps: int
    stages: tuple[str, ...]
    learning: int
    """Weights that learn in the last stage."""


@final
@dataclass(frozen=True)
class Step(Event):
    """One optimiser step. `seconds` is training time since the start of the run, earlier sittings included."""

    kind: ClassVar[str] = "step"
    step: int
    stage: str
    epoch: float
    loss: float
    lr: float
    grad_norm: float
    rows: int
    tokens: int
    seconds: float


@final
@dataclass(frozen=True)
class Evaluated(Event):
    """The validation rows were scored; `best` says that this is the best so far."""

    kind: ClassVar[str] = "evaluated"
    step: int
    stage: str
    epoch: float
    scores: Mapping[str, float]
    best: bool
    seconds: float


@final
@dataclass(frozen=True)
class Adjusted(Event):
    """Something was changed on the way (micro-batch halved, checkpoint passed over, time up), and why."""

    kind: ClassVar[str] = "adjusted"
    step: int
    what: str
    why: str


@final
@dataclass(frozen=True)
class Forecasted(Event):
    """What the whole run will take, in seconds, corrected by the first real steps of a stage; `planned` is what the plan said."""

    kind: ClassVar[str] = "forecast"
    step: int
    seconds: float
    planned: float
    why: str


@final
@dataclass(frozen=True)
class Saved(Event):
    """A checkpoint is whole on the disk."""

    kind: ClassVar[str] = "saved"
    step: int
    path: str


@final
@dataclass(frozen=True)
class Finished(Event):
    """Training ended: `reason` is `complete`, `early-stop`, `budget` or `stopped`."""

    kind: ClassVar[str] = "finished"
    step: int
    reason: str
    best_step: int
    best_stage: str
    scores: Mapping[str, float]
    seconds: float


@final
@dataclass(frozen=True)
class Judging(Event):
    """What is done after the last step: calibrating, reloading, baselines, the one look at the test rows."""

    kind: ClassVar[str] = "judging"
    what: str


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
