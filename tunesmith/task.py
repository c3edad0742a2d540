"""What every task answers: a handful of questions about rows, batches and scores.

A task is a frozen dataclass in a file of its own (`tasks/`). Its fields are its options; fields made by `fitted()` are learned
from the training rows only (`fit`) or from the calibration rows only (`calibrate`) and travel in `task.json`.

Axes: N rows of a set, B rows of a batch, T tokens, D features, C labels or targets.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_origin, get_type_hints

import numpy as np

from .elsewhere import suggestion
from .errors import SpecError
from .graded import Graded as Graded
from .graded import Light as Light
from .graded import Mark as Mark
from .graded import Pieces as Pieces
from .graded import Solution as Solution
from .hooks import Hooks
from .spec import Choice, checked

if TYPE_CHECKING:

    import torch
    from torch import nn

    from .data.audit import Finding
    from .data.profile import Profile
    from .data.table import Table
    from .models.source import Backbone

Row = Mapping[str, Any]
"""One row of data: column name -> value."""
Example = dict[str, Any]
"""One encoded row: name -> number, list of ints, or numpy array; `input_ids` (T,) where the input is text."""
Batch = dict[str, "torch.Tensor"]
"""A collated batch: name -> tensor whose first axis is B."""
Outputs = dict[str, np.ndarray]
"""What the model said of N rows, before calibration: name -> array whose first axis is N, in the rows' order; of dtype object where
rows are of unlike shape (an array of tags, a text).
Baselines add their own `temperature` (N, 1) and `threshold` where they have them; `score` takes these before the task's."""
Truth = np.ndarray
"""What the rows say, encoded for scoring: (N,) class ids (-1: a label unknown to training), (N, C) 0/1 flags or numbers, or (N,)
objects that JSON can hold (texts, lists of spans)."""
Draw = np.random.Generator
"""Random numbers for augmenting one row, seeded by (seed, epoch, row id); None outside training."""
PART = "#part"
"""Key under which a row says which of its examples is meant, where rows that are encoded late give several (tiles, windows)."""
Purpose = Literal["training", "judging", "answering"]
"""What outputs are for: choosing weights while training (cheap), a verdict on rows with a truth, or a user's question without one."""


def fitted(default: Any = None, *, compare: bool = True) -> Any:
    """A field that is learned, not asked for: absent from flags and from the spec. `compare`: whether tasks differ where it does."""
    return dataclasses.field(default=default, compare=compare, metadata={"fitted": True})


@dataclass(frozen=True)
class Claim:
    """A task's offer to read a table: which option gets which column, why, and how sure it is (0 to 1)."""

    columns: dict[str, Choice[Any]]
    sure: float
    why: str


@dataclass(frozen=True, kw_only=True)
class Task(Hooks, ABC):
    """Abstract. Children are final."""

    directions: ClassVar[Mapping[str, bool]] = {}
    """Score name -> True where higher is better. The first is the headline."""
    inputs: ClassVar[tuple[str, ...]] = ()
    """Names of the options that name input columns (needed to predict)."""
    targets: ClassVar[tuple[str, ...]] = ()
    """Names of the options that name target columns (needed to train and evaluate)."""
    target_kind: ClassVar[str] = ""
    """`label` (one of C), `labels` (any of C), `number`, or `other` (spans, texts): which audits suit the target."""

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """Which columns this task would take, given the ones the user named; None where the table does not suit."""

    @abstractmethod
    def check(self, table: Table) -> list[Finding]:
        """What is wrong with the rows for this task, with row numbers; findings of level `error` stop the run."""

    @abstractmethod
    def fit(self, train: Table) -> Self:
        """The task with its fitted fields learned from the training rows alone."""

    @abstractmethod
    def truth(self, rows: Table) -> Truth:
        """Targets of the rows, encoded for `score`."""

    @abstractmethod
    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Rows to examples, targets included where the row has them. Pure: the same rows give the same examples. A row too long for
        the model may give several (windows): then each says under `row` which of `rows` it is of, and `gather` puts outputs together."""

    @abstractmethod
    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Examples to one batch, padded to its longest."""

    # -- model --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """The backbone with this task's head. `model(batch)` gives what `loss` and `outputs` read."""

    @abstractmethod
    def weight(self, batch: Batch) -> float:
        """What the batch counts in the step's mean (rows, or tokens, times their weights)."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """SUM over the batch of weighted losses, so that micro-batches add up to the nominal batch exactly."""

    @abstractmethod
    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """Raw outputs of a batch (logits, numbers), before calibration. A list of B tensors or texts where they are of unlike shape."""

    # -- answers ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """What the user sees of each row: JSON-able, calibrated (`label`, `confidence`...)."""

    @abstractmethod
    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """All scores over these rows, headline first, keyed as in `directions`."""

    @abstractmethod
    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """Simple models fitted on the training rows: name -> their outputs for `rows`, in the form `score` reads."""

    @staticmethod
    @abstractmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Learnable toy rows with this task's default column names."""

    # -- the same for all ---------------------------------------------------------------------------------------------

    def asks(self) -> list[str]:
        """The columns that a question must have: those of the inputs, of a task `alone` the first."""
        return self.columns(self.inputs)[: 1 if self.alone else None]

    @property
    def solvable(self) -> bool:
        """Whether the task has a linear head with a known optimum, and the model no head of its own."""
        return type(self).solve is not Task.solve and not self.form

    @property
    def probed(self) -> bool:
        """Whether a head that is solved on the frozen model stands beside the tuned one."""
        return self.solvable and not self.did

    @property
    def balances(self) -> tuple[str, ...]:
        """Ways of `train.balance` that change what is learned: classes weigh in the loss; rows are drawn by class where each has one."""
        classed = hasattr(self, "class_weights") and self.target_kind != "number"
        if classed and self.target_kind == "label":
            return "weights", "oversample", "undersample"
        return ("weights",) if classed or any("weights" in part.balances for part in getattr(self, "parts", ())) else ()

    def settle(self, **fitted_fields: Any) -> Self:
        """A copy with fitted fields set."""
        return dataclasses.replace(self, **fitted_fields)

    @classmethod
    def options(cls) -> dict[str, dataclasses.Field[Any]]:
        """The options a user may set."""
        return {f.name: f for f in dataclasses.fields(cls) if not f.metadata.get("fitted")}

    @classmethod
    def build(cls, options: Mapping[str, Any], name: str) -> Self:
        """The task with these options. Raises SpecError for an unknown one, or one whose value its type does not allow."""
        return cls(**cls.checked(options, name))

    @classmethod
    def checked(cls, options: Mapping[str, Any], name: str) -> dict[str, Any]:
        """The options, each of its type: lists as tuples, one text as a list of it, a number as text where text is wanted (a column or a
        label called 3). Raises SpecError as `build` does."""
        for key in options:
            if key not in cls.options():
                fix = suggestion(key, cls.options())
                raise SpecError(f"options of {name}", expected="an option of the task", got=repr(key), fix=fix, code="unknown-option")
        kinds = get_type_hints(cls, include_extras=True)
        values = {k: str(v) if kinds[k] is str and type(v) in (int, float) else v for k, v in options.items()}
        values = {k: (v,) if get_origin(kinds[k]) is tuple and isinstance(v, str) else v for k, v in values.items()}
        return {k: checked(kinds[k], v, f"option {k!r} of {name}") for k, v in values.items()}

    def columns(self, roles: Sequence[str]) -> list[str]:
        """The column names behind these roles (`self.inputs`, `self.targets`), empty ones left out."""
        values = [getattr(self, role) for role in roles]
        return [v for value in values for v in (value if isinstance(value, tuple) else (value,)) if v]

    def as_json(self) -> dict[str, Any]:
        """Options and fitted fields, as `task.json` keeps them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The task that `as_json` wrote."""
        return cls(**{k: _freeze(v) for k, v in values.items()})


def _freeze(value: Any) -> Any:
    return tuple(_freeze(v) for v in value) if isinstance(value, list) else value
