"""What a task may answer besides what it must (`task.py`): each of these has a default that suits most tasks.

A task that needs one of them writes it; everybody else need not know that it is there.

Axes: N rows of a set, B rows of a batch, T tokens, D features, C labels or targets.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .spec import Choice

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from torch import nn

    from .data.finding import Finding
    from .data.ledger import Ledger
    from .data.profile import Profile
    from .data.table import Table
    from .graded import Graded, Light, Solution
    from .inference import Encoded
    from .models.source import Form, Source
    from .parts.augment import Retelling
    from .task import Batch, Draw, Example, Outputs, Purpose, Row, Task, Truth


class Hooks(ABC):  # noqa: B024  no part of it has to be written
    """Abstract: the base of `Task`, which is the only one."""

    does: ClassVar[str] = ""
    """What its models do, as the model card says it: "A model that ...". Empty: the kind of the answers says it, and so it does of a
    task that did not come with the package, whose code a report does not run."""
    modality: ClassVar[str] = "text"
    """text, image, audio or mixed: which models and which baselines suit."""
    models: ClassVar[str] = ""
    """Which models suit, where the modality of the rows does not tell: `diffusion`."""
    joint: ClassVar[bool] = False
    """Whether a row's loss depends on the rows beside it: `represent` and `joint_loss` make it (`training/joint.py`)."""
    mines: ClassVar[bool] = False
    """Whether `mine` adds to the training rows what the untuned model finds among them."""
    alone: ClassVar[bool] = False
    """Whether a row may be asked with the first of its inputs only."""
    stocks: ClassVar[bool] = False
    """Whether answers need more than the tuned weights: a `shelf` with documents and a reader, filled once these are final (`stock.py`)."""
    grouped: ClassVar[str] = ""
    """Column whose equal cells stay on one side of the split."""
    spread: ClassVar[str] = ""
    """Option that names a column whose values all parts of a split are to have alike, where the targets are no labels."""
    lists: ClassVar[bool] = False
    """Whether a cell of an input column may be a list (tokens)."""
    writes: ClassVar[bool] = False
    """Whether the model keeps the head that it was pretrained with and writes text: a decoder (`models.language.Language`)."""
    halves: ClassVar[bool] = False
    """Whether an encoder-decoder, or an encoder made into one, writes as well as a decoder (`models.seq2seq.Seq2Seq`)."""
    oracles: ClassVar[frozenset[str]] = frozenset()
    """Names of baselines that look at the truth: an upper line, against which nothing is claimed."""
    taught: ClassVar[bool] = False
    """Whether what is measured while training needs the targets (spectra, with the true frames before each)."""
    partial: ClassVar[bool] = False
    """Whether rows may lack some of the targets, and files their columns."""
    wide: ClassVar[bool] = False
    """Whether a row is many cells of any kind (numbers, dates, texts), each of which may be empty or not given."""
    solved: ClassVar[int] = 0
    """Most vectors on which a head is solved, where a row has many; 0: all of them."""
    suggests: ClassVar[Mapping[str, Choice[Any]]] = {}
    """Settings of the spec that `auto` means for this task, with reasons (`{"strategy": Choice("lora", why)}`)."""
    of_learning: ClassVar[frozenset[str]] = frozenset()
    """Codes of `check`'s findings that say that there is nothing, or too little, to learn: other parts than the training rows may well
    hold none of it, where they were cut from the same file."""
    files: ClassVar[tuple[str, ...]] = ()
    """Names of the options, among `inputs`, that name columns of files (images): found and checked before the first step."""

    # -- rows ------------------------------------------------------------------------------------------------------------

    def noticed(self, table: Table, profile: Profile) -> Mapping[str, Choice[Any]]:
        """Options that all rows of the training file decide, where a profile does not say enough: option -> its value and why."""
        return {}

    def unfolded(self, table: Table, skip: bool, ledger: Ledger) -> tuple[Table, list[Finding]]:
        """A table just read, before its files are looked for, with cells that stand for files made into their bytes (shapes into masks),
        and what is wrong with these. `skip`: whether bad rows are left out. Most tasks have no such cells."""
        return table, []

    def tidied(self, table: Table, ledger: Ledger) -> Table:
        """A table just read, with cells as the task takes them, every change in the ledger: most tasks take cells as they are."""
        return table

    def decided(self) -> Mapping[str, Choice[Any]]:
        """What fitting decided: a setting (`options.log`) for the plan, and what else is to be told (`column 'beds'`) for the ledger."""
        return {}

    def read_as(self) -> Mapping[str, tuple[str, slice]]:
        """Of a wide task, each column (or what is read as one): how it is read, in words, and where it stands in what the head reads."""
        return {}

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """What of these rows the suited task's model will not see, row by row, where that is to be said of each."""
        return []

    def unlearned(self, rows: Table) -> list[Finding]:
        """A warning that names what these rows' targets hold and the training rows never showed, where that is more than a label: it cannot
        be answered, and counts as wrong."""
        return []

    def remarks(self, rows: Table) -> list[dict[str, Any]]:
        """What to tell beside each row's answer of a row that could not be read as a whole; nothing (`[]`) for most tasks."""
        return []

    def questions(self, asked: Sequence[Any]) -> list[dict[str, Any]] | None:
        """The rows behind what a user asks (texts, rows); None: a text is the one input column's cell."""
        return None

    def light(self, rows: Table) -> Light | None:
        """Where examples are large (images): all but the inputs, so that rows are encoded batch by batch. None: all at once."""
        return None

    @property
    def augments(self) -> bool:
        """Whether `encode` does something with `draws`: then each epoch sees the rows otherwise."""
        return False

    def retelling(self, train: Table) -> Retelling | None:
        """Training texts that other models say anew once, before the first step (`training/retold.py`): `encode` finds the forms beside
        each row, in the columns `augment.beside`. None: that is not asked for."""
        return None

    def at_rest(self) -> Self:
        """The task as a finished run keeps it: without what of the training rows nobody needs who asks the model."""
        return self

    def mix(self, one: Example, other: Example, draw: Draw) -> Example:
        """An example blended with one of another row, drawn from all training rows; most tasks leave it as it is."""
        return one

    @property
    def mixes(self) -> bool:
        """Whether `mix` does something."""
        return False

    def marked(self, rows: Sequence[Row], processor: Any) -> list[tuple[str, bool]]:
        """One of these rows as the model reads it, in stretches, each with whether it is learned; none where that is plain."""
        return []

    # -- the model -------------------------------------------------------------------------------------------------------

    def wanted(self, train: Table, budget: float | None, flops: float) -> Choice[str] | None:
        """The model that `auto` means for these rows, a new one say; `budget`: seconds, `flops`: this machine's rate. None: as usual."""
        return None

    def meet(self, source: Source) -> Self:
        """The task as a kind of model does it, known before its processor: where an encoder-decoder reads other rows than a decoder."""
        return self

    def at(self, folder: Path) -> Self:
        """The task of a saved model, told in which folder that lies."""
        return self

    @property
    def form(self) -> Form:
        """With which head the model is loaded."""
        return "language" if self.writes else ""

    @property
    def did(self) -> bool:
        """Whether the model could do the task before it was tuned, so that it stands beside the tuned one."""
        return self.writes

    @property
    def sees(self) -> str:
        """Name of the image encoder that reads pictures beside the model's texts (`auto`: a small one); nothing for most tasks."""
        return ""

    def rehearsed(self) -> Self:
        """The task as its costs are measured, with a model of no meaning: where it says when an answer ends, one of the usual length."""
        return self

    def as_it_came(self) -> Self:
        """The task in the way in which the untuned model does it best, where tuning makes that cheaper (shorter windows of sounds)."""
        return self

    def suggested(self) -> Mapping[str, Choice[Any]]:
        """What `auto` means for this task with the model that it has met."""
        return self.suggests

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """The task suited to a model: how much of a row is read (`limit`: most tokens that the model takes), the classes' weights."""
        return self

    def singles(self) -> Mapping[str, Task]:
        """Tasks that are to be trained alone on the rows that they have, to stand beside this one, which answers all of them."""
        return {}

    def headlines(self) -> Mapping[str, str]:
        """The score of each target that its own model is compared in, where there are several targets: target -> score."""
        return {}

    # -- learning --------------------------------------------------------------------------------------------------------

    def learned(self, encoded: Encoded) -> Encoded:
        """The training examples that are learned from: all, unless the task leaves some out (most pairs that nothing relates) or tells
        each what it has to know of the others."""
        return encoded

    def drawn(self, encoded: Encoded) -> tuple[np.ndarray, np.ndarray] | None:
        """The group that each training example is of, and how many of each group an epoch sees; None: every example once."""
        return None

    def solve(
        self, features_ND: np.ndarray, truth: Truth, strength: float, start: Solution | None = None
    ) -> Solution | None:
        """The optimal linear head on frozen features at one L2 `strength`, rows weighted by the task's own class weights where it has any;
        None where the task has no linear head. `start`: a solution nearby. Where the model speaks of tokens (`PerToken`), features and
        truth are those of the tokens whose `tags` are 0 or more."""
        return None

    def left_out(self, features_ND: np.ndarray, truth: Truth, strengths: Sequence[float]) -> Iterator[Outputs]:
        """For each L2 strength what a head says of each of these rows that is solved on all the others, where a closed form tells that
        (numbers); nothing for most tasks."""
        return iter(())

    def units(self, encoded: Encoded, truth: Truth) -> tuple[np.ndarray, Truth] | None:
        """Features (M, D) and truth of what `solve` answers, from rows that have their features, where several heads read them
        differently; None: rows, or tokens with a tag."""
        return None

    def joined(self, solutions: Mapping[str, Solution]) -> Solution:
        """One solution, each target's part of it from its own: where there are several targets."""
        return next(iter(solutions.values()))

    def apart(self) -> Mapping[str, slice]:
        """Parts of what the head reads on which a linear head alone is a baseline (pictures of a table): name of the rung -> where."""
        return {}

    def chooses(self, headline: str) -> str:
        """The score by which validation rows choose the weights, where the headline takes long to make."""
        return headline

    def watching(self) -> Self:
        """The task as validations while training see it, where a look at what the model makes is worth its time."""
        return self

    def sheet(self, outputs: Outputs) -> bytes:
        """What such a look shows, as one PNG or WAV file that is kept in the run folder; nothing for most."""
        return b""

    def stream(self, model: nn.Module, batch: Batch) -> Iterator[Outputs]:
        """Outputs of a batch of one row while its answer is written, growing, at last those of `outputs`: for tasks that write text."""
        return iter(())

    def set_for(self, purpose: Purpose) -> Self:
        """The task with `encode` and `outputs` as the purpose asks, where that makes a difference (writing text takes long)."""
        return self

    def before(self, encoded: Encoded) -> Encoded:
        """Examples of a whole set just before outputs are made of them: where few rows are to get costly outputs, they are told here."""
        return encoded

    def gather(self, outputs: Outputs, encoded: Encoded) -> Outputs:
        """Outputs of the rows from those of their examples: the same, unless `encode` makes windows."""
        return outputs

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Outputs of these very rows in the smallest form that `score` reads: made once before hundreds of resamples, say counts of
        each row that scores are sums of. As they are, where scoring is quick."""
        return outputs

    def by_part(self, rows: Table) -> Self | None:
        """The task whose `condense` may be asked of these rows part by part: what it says of a part is what it says of it among all, and
        `score` reads nothing beside. None where rows are judged among each other, or are not condensed."""
        return None

    # -- a verdict, and answers ------------------------------------------------------------------------------------------

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """The task with temperature and thresholds fitted on the calibration rows."""
        return self

    def astray(self, outputs: Outputs, truth: Truth) -> bool:
        """Whether these validation rows got next to nothing right, so that some training rows are asked as well (`by_heart`)."""
        return False

    def by_heart(self, outputs: Outputs, truth: Truth, steps: int) -> str:
        """Whether a model that went astray knows these training rows, after so many steps, and what follows from that: sentences."""
        return ""

    def knowing(self, train: Table) -> Self:
        """The task with the training rows at hand while a verdict is made: what may have been copied. It is not saved so."""
        return self

    def effort(self, rows: int) -> float:
        """Tokens that a verdict on so many test rows writes, over all models and all texts followed at a time."""
        return 0.0

    def afterwards(self) -> float:
        """Tokens that are read once the weights are final, those that are learned for thrice their number (documents and their reader)."""
        return 0.0

    def lengths(self, encoded: Encoded) -> np.ndarray | None:
        """(N, K) tokens of each row's texts where those of a batch go through the model one after the other; None: all of a row at once."""
        return None

    def trees(self) -> tuple[int, int]:
        """Trees that are grown on a table beside the model, and the columns that each of them looks at."""
        return 0, 0

    def head_size(self) -> int:
        """Outputs of the head, for the cost of solving and scoring it."""
        return max(1, len(getattr(self, "labels", None) or getattr(self, "vocabulary", None) or ()))

    def how_scored(self, truth: Truth) -> Mapping[str, str]:
        """Score name -> how it is counted for these rows, where there are several ways (tokenisers, references)."""
        return {}

    def sections(self) -> Mapping[str, Sequence[str]]:
        """Scores that speak of different things, to be shown in tables of their own: title -> scores; nothing (`{}`): one table."""
        return {}

    def rests_on(self, outputs: Outputs) -> Mapping[str, int]:
        """Scores that rest on a part of the rows alone (those that were asked for a reply): name -> how many. Others rest on all."""
        return {}

    def grade(self, outputs: Outputs, truth: Truth) -> Graded | None:
        """Rows as the report shows them, where answers are neither labels nor numbers (those it knows by their shapes)."""
        return None

    def pictured(self, outputs: Outputs, truth: Truth, rows: Sequence[Row]) -> list[dict[str, str]]:
        """Pictures of these few rows for the report: name (`truth`, `answer`) -> a small image as a `data:` address; none for most."""
        return []

    def aligned(self, name: str, here: Any, there: Any) -> Any:
        """One row's output as made a second time, in the order of the first, where rounding decides the order of its parts (boxes)."""
        return there
