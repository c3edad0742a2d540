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
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_type_hints

import numpy as np

from .errors import SpecError, nearest
from .graded import Graded as Graded
from .graded import Mark as Mark
from .graded import Pieces as Pieces
from .spec import Choice, checked

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .data.audit import Finding
    from .data.ledger import Ledger
    from .data.profile import Profile
    from .data.table import Table
    from .inference import Encoded
    from .models.source import Backbone, Form, Source

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
Purpose = Literal["training", "judging", "answering"]
"""What outputs are for: choosing weights while training (cheap), a verdict on rows with a truth, or a user's question without one."""


def fitted(default: Any = None) -> Any:
    """A field that is learned, not asked for: absent from flags and from the spec."""
    return dataclasses.field(default=default, metadata={"fitted": True})


@dataclass(frozen=True)
class Claim:
    """A task's offer to read a table: which option gets which column, why, and how sure it is (0 to 1)."""

    columns: dict[str, Choice[Any]]
    sure: float
    why: str


@dataclass(frozen=True)
class Solution:
    """A linear head solved to its optimum on frozen features: logits = features @ weight.T + bias."""

    weight_CD: np.ndarray
    bias_C: np.ndarray


@dataclass(frozen=True)
class Light:
    """What is known of rows that are encoded only when a batch needs them, since encoded they would fill the memory."""

    arrays: dict[str, np.ndarray]
    """What examples hold besides their inputs (targets, weights): name -> (N, ...)."""
    lengths_N: np.ndarray
    """Tokens of each row: what batches are cut by."""


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """Abstract. Children are final."""

    modality: ClassVar[str] = "text"
    """text, image, audio or mixed: which models and which baselines suit."""
    joint: ClassVar[bool] = False
    """Whether a row's loss depends on the rows beside it: `represent` and `joint_loss` make it (`training/joint.py`)."""
    mines: ClassVar[bool] = False
    """Whether `mine` adds to the training rows what the untuned model finds among them."""
    alone: ClassVar[bool] = False
    """Whether a row may be asked with the first of its inputs only."""
    grouped: ClassVar[str] = ""
    """Column whose equal cells stay on one side of the split."""
    directions: ClassVar[Mapping[str, bool]] = {}
    """Score name -> True where higher is better. The first is the headline."""
    inputs: ClassVar[tuple[str, ...]] = ()
    """Names of the options that name input columns (needed to predict)."""
    targets: ClassVar[tuple[str, ...]] = ()
    """Names of the options that name target columns (needed to train and evaluate)."""

    lists: ClassVar[bool] = False
    """Whether a cell of an input column may be a list (tokens)."""
    language: ClassVar[bool] = False
    """Whether the model keeps the head that it was pretrained with and writes text: a decoder (`models.language.Language`)."""
    halves: ClassVar[bool] = False
    """Whether an encoder-decoder, or an encoder made into one, writes as well as a decoder (`models.seq2seq.Seq2Seq`)."""
    oracles: ClassVar[frozenset[str]] = frozenset()
    """Names of baselines that look at the truth: an upper line, against which nothing is claimed."""
    wide: ClassVar[bool] = False
    """Whether a row is many cells of any kind (numbers, dates, texts), each of which may be empty or not given."""
    suggests: ClassVar[Mapping[str, Choice[Any]]] = {}
    """Settings of the spec that `auto` means for this task, with reasons (`{"strategy": Choice("lora", why)}`)."""

    target_kind: ClassVar[str] = ""
    """`label` (one of C), `labels` (any of C), `number`, or `other` (spans, texts): which audits suit the target."""

    files: ClassVar[tuple[str, ...]] = ()
    """Names of the options, among `inputs`, that name columns of files (images): found and checked before the first step."""

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """Which columns this task would take, given the ones the user named; None where the table does not suit."""

    def noticed(self, table: Table, profile: Profile) -> Mapping[str, Choice[Any]]:
        """Options that all rows of the training file decide, where a profile does not say enough: option -> its value and why."""
        return {}

    def tidied(self, table: Table, ledger: Ledger) -> Table:
        """A table just read, with cells as the task takes them, every change in the ledger: most tasks take cells as they are."""
        return table

    @abstractmethod
    def check(self, table: Table) -> list[Finding]:
        """What is wrong with the rows for this task, with row numbers; findings of level `error` stop the run."""

    @abstractmethod
    def fit(self, train: Table) -> Self:
        """The task with its fitted fields learned from the training rows alone."""

    def meet(self, source: Source) -> Self:
        """The task as a kind of model does it, known before its processor: where an encoder-decoder reads other rows than a decoder."""
        return self

    @property
    def form(self) -> Form:
        """With which head the model is loaded."""
        return "language" if self.language else ""

    @property
    def did(self) -> bool:
        """Whether the model could do the task before it was tuned, so that it stands beside the tuned one."""
        return self.language

    def as_it_came(self) -> Self:
        """The task in the way in which the untuned model does it best, where tuning makes that cheaper (shorter windows of sounds)."""
        return self

    def suggested(self) -> Mapping[str, Choice[Any]]:
        """What `auto` means for this task with the model that it has met."""
        return self.suggests

    def chooses(self, headline: str) -> str:
        """The score by which validation rows choose the weights, where the headline takes long to make."""
        return headline

    def effort(self) -> float:
        """Tokens that a verdict writes of each test row, over all models and all texts followed at a time."""
        return 0.0

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """What of these rows the suited task's model will not see, row by row, where that is to be said of each."""
        return []

    def how_scored(self, truth: Truth) -> Mapping[str, str]:
        """Score name -> how it is counted for these rows, where there are several ways (tokenisers, references)."""
        return {}

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """The task suited to a model: how much of a row is read (`limit`: most tokens that the model takes), the classes' weights."""
        return self

    def decided(self) -> Mapping[str, Choice[Any]]:
        """What fitting decided: a setting (`options.log`) for the plan, and what else is to be told (`column 'beds'`) for the ledger."""
        return {}

    def read_as(self) -> Mapping[str, tuple[str, slice]]:
        """Of a wide task, each column (or what is read as one): how it is read, in words, and where it stands in what the head reads."""
        return {}

    def remarks(self, rows: Table) -> list[dict[str, Any]]:
        """What to tell beside each row's answer of a row that could not be read as a whole; nothing (`[]`) for most tasks."""
        return []

    @abstractmethod
    def truth(self, rows: Table) -> Truth:
        """Targets of the rows, encoded for `score`."""

    @abstractmethod
    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Rows to examples, targets included where the row has them. Pure: the same rows give the same examples. A row too long for
        the model may give several (windows): then each says under `row` which of `rows` it is of, and `gather` puts outputs together."""

    def light(self, rows: Table) -> Light | None:
        """Where examples are large (images): all but the inputs, so that rows are encoded batch by batch. None: all at once."""
        return None

    @property
    def augments(self) -> bool:
        """Whether `encode` does something with `draws`: then each epoch sees the rows otherwise."""
        return False

    def mix(self, one: Example, other: Example, draw: Draw) -> Example:
        """An example blended with one of another row, drawn from all training rows; most tasks leave it as it is."""
        return one

    @property
    def mixes(self) -> bool:
        """Whether `mix` does something."""
        return False

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

    def set_for(self, purpose: Purpose) -> Self:
        """The task with `encode` and `outputs` as the purpose asks, where that makes a difference (writing text takes long)."""
        return self

    def before(self, encoded: Encoded) -> Encoded:
        """Examples of a whole set just before outputs are made of them: where few rows are to get costly outputs, they are told here."""
        return encoded

    def marked(self, rows: Sequence[Row], processor: Any) -> list[tuple[str, bool]]:
        """One of these rows as the model reads it, in stretches, each with whether it is learned; none where that is plain."""
        return []

    def learned(self, encoded: Encoded) -> Encoded:
        """The training examples that are learned from: all, unless the task leaves some out (most pairs that nothing relates) or tells
        each what it has to know of the others."""
        return encoded

    def gather(self, outputs: Outputs, encoded: Encoded) -> Outputs:
        """Outputs of the rows from those of their examples: the same, unless `encode` makes windows."""
        return outputs

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Outputs of these very rows in the smallest form that `score` reads: made once before hundreds of resamples, say counts of
        each row that scores are sums of. As they are, where scoring is quick."""
        return outputs

    def solve(
        self, features_ND: np.ndarray, truth: Truth, weight_N: np.ndarray | None, strength: float, start: Solution | None = None
    ) -> Solution | None:
        """The optimal linear head on frozen features at one L2 `strength`; None where the task has no linear head. `weight_N`: weights
        of the rows; None: the task's own class weights, if it has any. `start`: a solution nearby. Where the model speaks of tokens
        (`PerToken`), features and truth are those of the tokens whose `tags` are 0 or more."""
        return None

    def units(self, encoded: Encoded, truth: Truth) -> tuple[np.ndarray, Truth] | None:
        """Features (M, D) and truth of what `solve` answers, from rows that have their features, where several heads read them
        differently; None: rows, or tokens with a tag."""
        return None

    def drawn(self, encoded: Encoded) -> tuple[np.ndarray, np.ndarray] | None:
        """The group that each training example is of, and how many of each group an epoch sees; None: every example once."""
        return None

    def singles(self) -> Mapping[str, Task]:
        """Tasks that are to be trained alone on the rows that they have, to stand beside this one, which answers all of them."""
        return {}

    def headlines(self) -> Mapping[str, str]:
        """The score of each target that its own model is compared in, where there are several targets: target -> score."""
        return {}

    def joined(self, solutions: Mapping[str, Solution]) -> Solution:
        """One solution, each target's part of it from its own: where there are several targets."""
        return next(iter(solutions.values()))

    # -- answers ------------------------------------------------------------------------------------------------------

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """The task with temperature and thresholds fitted on the calibration rows."""
        return self

    @abstractmethod
    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """What the user sees of each row: JSON-able, calibrated (`label`, `confidence`...)."""

    @abstractmethod
    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """All scores over these rows, headline first, keyed as in `directions`."""

    def pictured(self, outputs: Outputs, truth: Truth, rows: Sequence[Row]) -> list[dict[str, str]]:
        """Pictures of these few rows for the report: name (`truth`, `answer`) -> a small image as a `data:` address; none for most."""
        return []

    def aligned(self, name: str, here: Any, there: Any) -> Any:
        """One row's output as made a second time, in the order of the first, where rounding decides the order of its parts (boxes)."""
        return there

    def rests_on(self, outputs: Outputs) -> Mapping[str, int]:
        """Scores that rest on a part of the rows alone (those that were asked for a reply): name -> how many. Others rest on all."""
        return {}

    def grade(self, outputs: Outputs, truth: Truth) -> Graded | None:
        """Rows as the report shows them, where answers are neither labels nor numbers (those it knows by their shapes)."""
        return None

    @abstractmethod
    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """Simple models fitted on the training rows: name -> their outputs for `rows`, in the form `score` reads."""

    @staticmethod
    @abstractmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Learnable toy rows with this task's default column names."""

    # -- the same for all ---------------------------------------------------------------------------------------------

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
        """The options, each of its type: lists as tuples, a number as text where text is wanted (a column or a label called 3). Raises
        SpecError as `build` does."""
        for key in options:
            if key not in cls.options():
                fix = nearest(key, cls.options())
                raise SpecError(f"options of {name}", expected="an option of the task", got=repr(key), fix=fix, code="unknown-option")
        kinds = get_type_hints(cls, include_extras=True)
        values = {k: str(v) if kinds[k] is str and type(v) in (int, float) else v for k, v in options.items()}
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
