"""Predict a label or a number from the columns of a table: quantities, categories, dates, lists, texts and pictures together.

Rows: `label` or `target` (a number), and columns that tell it; each is read by its kind, pictures by an image encoder of their own. Scores:
those of text-classification, or those of text-regression in the target's own unit. Beside it: majority or mean, boosted trees on the
table without texts and pictures, TF-IDF with a linear model on the texts alone, a linear head on the pictures alone, and the frozen
encoders and the table with a linear head.
"""
# Axes: N rows, B rows of a batch, D features, F numbers of a table, K columns of pictures, C labels or targets.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..errors import SpecError
from ..parts import amounts, batch, classes, fields, linear, numbers, one_label, options, photos, roles, tokens
from ..parts import giveaways as tells
from ..parts import trees as boosted
from ..parts.amounts import Scale
from ..parts.fields import Field
from ..parts.one_label import OneLabel
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Light, Outputs, Row, Solution, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.finding import Finding
    from ..data.ledger import Ledger
    from ..data.profile import Profile
    from ..data.table import Table
    from ..models.source import Backbone

Columns = str | tuple[str, ...]
KINDS: dict[str, fields.Kind] = {"numbers": "number", "categories": "category", "dates": "date", "lists": "list"}


@final
@dataclass(frozen=True, kw_only=True)
class Mixed(Task):
    """A label of C, or a number."""

    inputs: ClassVar[tuple[str, ...]] = roles.ROLES
    targets: ClassVar[tuple[str, ...]] = ("label", "target")
    files: ClassVar[tuple[str, ...]] = ("images",)
    wide: ClassVar[bool] = True
    suggests: ClassVar[Mapping[str, Choice[Any]]] = {
        "strategy": Choice(
            "head-only",
            "what is new here reads the table and the frozen encoder's vectors together, which are made once; tuning the encoder as well "
            "takes many times as long and is worth it where the texts say most (`--strategy probe-then-tune`)",
        )
    }

    label: str = ""
    """Column with the label; either this or `target`."""
    target: str = ""
    """Column with the number; `$1,234.00`, `85%` and `1.2k` are read as such."""
    numbers: Columns = "auto"
    """Columns of quantities; `auto`: all that look like it, as for the other kinds."""
    categories: Columns = "auto"
    """Columns of values that repeat."""
    dates: Columns = "auto"
    """Columns of dates or times."""
    lists: Columns = "auto"
    """Columns whose cells are lists."""
    texts: Columns = "auto"
    """Columns of texts, read one after another by the model."""
    images: Columns = "auto"
    """Columns of pictures (paths, counted from the file that names them, or bytes); a cell may be empty."""
    image_model: str = "auto"
    """The image encoder that reads pictures: a folder, an installed package, a Hub id; `auto`: a small one."""
    leave_out: Columns = ()
    """Columns that are not read, though they could be."""
    log: Literal["auto", "yes", "no"] = "auto"
    """Learn the number's logarithm; `auto`: where it is positive and a few are far larger than most."""
    unit: str = ""
    """Unit that the target's cells are written with (`$`, `%`)."""
    comma: Literal["", "thousands", "decimal"] = ""
    """What a comma in the target's cells means."""
    loss_kind: Literal["huber", "mse", "mae"] = "huber"
    """Of numbers: squared error up to one standard deviation and straight beyond, squared, or absolute error."""
    smoothing: float = 0.1
    """Of labels: share of the target that is spread evenly over all of them."""
    interval: float = 0.9
    """Share of new rows whose number the answers' interval holds (split conformal prediction); 0: no interval."""
    hidden: int = 128
    """Units of the network that reads columns and texts together."""
    max_tokens: int | str = "auto"
    """Most tokens of a row's texts that are read; `auto`: enough for 99 % of the training rows, within the model's limit."""
    labels: tuple[str, ...] = fitted(())
    sought: str = fitted("")
    scale: Scale | None = fitted(None)
    half_width: float = fitted(0.0)
    fields: tuple[Field, ...] = fitted(())
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    cut_share: float = fitted(0.0)
    gaps: tuple[int, ...] = fitted(())
    picture_width: int = fitted(0)
    picture_tokens: int = fitted(0)
    class_weights: tuple[float, ...] = fitted(())
    temperature: float = fitted(1.0)

    def __post_init__(self) -> None:
        for name in self.targets:
            options.column(name, getattr(self, name), optional=True)
        for name in (*self.inputs, "leave_out"):
            if getattr(self, name):
                options.column(name, getattr(self, name), many=True)
        options.one_of("loss_kind", self.loss_kind, ("huber", "mse", "mae"))
        options.number("smoothing", self.smoothing, low=0, high=0.9)
        options.number("interval", self.interval, low=0, high=0.999)
        options.number("hidden", self.hidden, low=1, high=4096)
        options.max_tokens(self.max_tokens)

    @property
    def target_kind(self) -> str:  # type: ignore[override]
        """`label` or `number`, as the target was named."""
        return "label" if self.label else "number"

    @property
    def directions(self) -> Mapping[str, bool]:  # type: ignore[override]
        """The scores of classification or of regression."""
        if self.label:
            return classes.DIRECTIONS
        return amounts.DIRECTIONS if self.scale is not None and self.scale.logged else numbers.DIRECTIONS

    @property
    def sees(self) -> str:
        """The encoder of pictures, where there are any."""
        return self.image_model if roles.flat(self.images) else ""

    def chooses(self, headline: str) -> str:
        """Of a number with a long tail, R2 of the logarithms: the few largest would decide R2 itself alone."""
        return "r2_log" if headline == "r2" and self.scale is not None and self.scale.logged else headline

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """A target that was named, or has a target's name, beside several columns that may tell it."""
        flat = [name for role in (*cls.inputs, *cls.targets) if role in named and named[role] != "auto" for name in roles.flat(named[role])]
        found = roles.target(profile, named)
        if roles.missing(profile, flat):
            return None
        if found is None:  # asked for by name, the task says itself what it lacks
            return Claim({}, 0.0, "no column has a target's name")
        name, is_label, why = found
        count, others, files = roles.telling(profile, name)
        option = {"label" if is_label else "target": Choice[Any](name, why)}
        clear = count >= roles.ENOUGH[others] and not files
        sure = 0.0 if not clear else 0.86 if named.get("label") else 0.92
        return Claim(option, sure, f"{count:,} columns of quantities, categories or dates beside {name!r}: a table to read as a whole")

    def noticed(self, table: Table, profile: Profile) -> Mapping[str, Choice[Any]]:
        """The role of each column, and how the target is written, from all cells."""
        name = self.label or self.target
        if not name or (self.label and self.target):
            raise SpecError(
                "the target of mixed", expected="one column, as --label (one of several) or as --target (a number)",
                got="both" if name else "none", fix=f"the columns are {roles.shown(list(profile.columns))}", code="no-target",
            )
        named = {role: roles.flat(given) for role in (*self.inputs, "leave_out") if (given := getattr(self, role)) not in ("auto", ())}
        found = roles.of(table, profile, name, named)  # type: ignore[arg-type]
        free = [role for role in (*roles.ROLES, "leave_out") if role not in named]
        chosen = {str(role): Choice[Any](list(found.names[role]), found.reason(role)) for role in free}  # type: ignore[index,arg-type]
        return chosen | (amounts.written(table.column(name), name) if self.target and not self.unit else {})

    def tidied(self, table: Table, ledger: Ledger) -> Table:
        """Targets written with units or separators as numbers; what cannot be read stays, to be refused."""
        return amounts.tidied(table, self.target, self.unit, self.comma, ledger) if self.target in table.names else table

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles, cells that are no quantities or dates, quantities and texts that give the target away."""
        found = options.twice(self.columns((*self.inputs, *self.targets)))
        read = [(name, KINDS[role]) for role in ("numbers", "dates") for name in roles.flat(getattr(self, role))]
        found += amounts.unreadable(table, read)
        written, texts = roles.flat(self.numbers), roles.flat(self.texts)
        return found + (tells.of_number(table, written, texts, self.target) if self.target else tells.of_label(table, written, self.label))

    def fit(self, train: Table) -> Self:
        """Learn how each column is read, and the labels or the target's scale."""
        chosen = [(name, kind) for role, kind in KINDS.items() for name in roles.flat(getattr(self, role))]
        made = tuple(fields.fit(name, kind, train.column(name)) for name, kind in chosen)
        gaps = tuple(sum(not photos.there(cell) for cell in train.column(name)) for name in roles.flat(self.images))
        if self.target:
            return self.settle(fields=made, gaps=gaps, scale=Scale.of(amounts.column(train.column(self.target)), self.log))
        return self.settle(fields=made, gaps=gaps, **one_label.learn(self, train)[0])

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how many tokens are read, and the classes' weights."""
        weights = self._one.balanced(self.truth(train), balance) if self.label else ()
        part = train.take(tokens.sample_positions(len(train))).rows()
        sizes = {"picture_width": processor.width + 1, "picture_tokens": processor.tokens} if self.sees else {}
        kept = tokens.settled([self._text(row) for row in part], processor, self.max_tokens, limit)
        return self.settle(class_weights=weights, **sizes, **kept)

    def decided(self) -> Mapping[str, Choice[Any]]:
        """Whether the logarithm is learned, and how each column is read."""
        log = {} if self.scale is None else {"options.log": Choice[Any]("yes" if self.scale.logged else "no", self.scale.why)}
        known = {f"column {field.name!r}": Choice[Any](field.kind, field.describe()) for field in self.fields}
        read = {f"column {name!r}": Choice[Any]("text", "text, read by the encoder") for name in roles.flat(self.texts)}
        seen = photos.told(roles.flat(self.images), self.image_model, self.gaps)
        return log | known | seen | (read or {"texts": Choice(None, "no column of texts: the encoder reads nothing, the table decides")})

    def truth(self, rows: Table) -> Truth:
        """(N,) class ids, -1 for a label unknown to training; or (N, 1) numbers in the data's unit."""
        if self.label:
            return classes.encode_column(rows.arrow(self.label), self.labels)
        return amounts.column(rows.column(self.target))[:, None]

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Token ids of the texts, `table` (F,), pictures where the table has any, and where rows have a target this and their weight."""
        texts = [self._text(row) for row in rows]
        examples = tokens.encode(processor, texts, most=self.tokens_kept or tokens.limit(processor))
        table_NF = fields.table(self.fields, {field.name: [row.get(field.name) for row in rows] for field in self.fields}, len(rows))
        examples = [example | {"table": table_F} for example, table_F in zip(examples, table_NF, strict=True)]
        if self.sees:
            examples = [a | b for a, b in zip(examples, photos.encode(rows, roles.flat(self.images), processor), strict=True)]
        name = self.label or self.target
        if not rows or name not in rows[0]:
            return examples
        known = self._known([row[name] for row in rows])
        return [example | {key: value[i] for key, value in known.items()} for i, example in enumerate(examples)]

    def light(self, rows: Table) -> Light | None:
        """With pictures: the table and the targets; texts and pictures are encoded when a batch needs them. Without: all at once."""
        if not self.sees:
            return None
        known = {"table": fields.table(self.fields, {field.name: rows.column(field.name) for field in self.fields}, len(rows))}
        if (name := self.label or self.target) in rows.names:
            known |= {key: np.asarray(value) for key, value in self._known(rows.column(name)).items()}
        columns = [rows.column(name) for name in roles.flat(self.images)]
        return Light(known, photos.lengths([self._text(row) for row in rows.rows()], self.tokens_kept, columns, self.picture_tokens))

    def remarks(self, rows: Table) -> list[dict[str, Any]]:
        """`remarks`: cells that were not given or could not be read, and categories that training never saw."""
        columns = {name: rows.column(name) if name in rows.names else None for name in self.columns(self.inputs)}
        return [{"remarks": "; ".join(said)} for said in amounts.remarks(self.fields, columns, len(rows))]

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        return batch.collate(examples, batch.text_pads(pad))

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head on text, pictures and table, and a network beside it; of numbers, it speaks in standard deviations."""
        from ..models.fusion import Fusion
        from ..models.heads import Pooled
        from ..models.pictures import sight_of

        out, sight = len(self.labels) or 1, sight_of(backbone, len(roles.flat(self.images)))
        width = sum(field.width for field in self.fields)
        beside = Fusion(backbone.source.hidden, width, out, self.hidden, dropout, sight.width if sight else 0)
        return Pooled(backbone, out, dropout, beside=beside, sight=sight)

    def weight(self, batch: Batch) -> float:
        """Rows, times their weights."""
        return float(batch["row_weight"].sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy, or a loss of standardised targets."""
        if self.label:
            return self._one.loss(model(batch), batch)
        return numbers.loss(model(batch), batch["target"], batch["row_weight"], kind=self.loss_kind)

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """Logits (B, C), or numbers (B, 1) in the data's unit."""
        found_BC = model(batch)
        return {"logits": found_BC} if self.scale is None else {"numbers": self.scale.undone(found_BC)}

    def solve(
        self, features_ND: np.ndarray, truth: Truth, strength: float, start: Solution | None = None
    ) -> Solution:
        """Logistic or ridge regression on text and table side by side."""
        if self.scale is None:
            return self._one.solve(features_ND, truth, strength, start)
        target_N1 = self.scale.standard(truth)
        weight_N = (~np.isnan(target_N1[:, 0])).astype(np.float64)
        return linear.ridge(features_ND, np.nan_to_num(target_N1), strength, weight_N=weight_N)

    def read_as(self) -> Mapping[str, tuple[str, slice]]:
        """The texts, from the front to where pictures and the table's columns begin, and each of these, counted from the end."""
        seen = photos.told(roles.flat(self.images), self.image_model, self.gaps).values()
        named = [*zip(roles.flat(self.images), (choice.why for choice in seen)), *((one.name, one.describe()) for one in self.fields)]
        widths = [self.picture_width] * len(seen) + [field.width for field in self.fields]
        starts = [sum(widths[i:]) for i in range(len(widths))]
        texts = roles.flat(self.texts)
        told = {", ".join(texts): ("texts, read by the encoder", slice(None, -starts[0] if starts else None))} if texts else {}
        return told | {name: (how, slice(-at, width - at or None)) for (name, how), at, width in zip(named, starts, widths)}

    def apart(self) -> Mapping[str, slice]:
        """The pictures, all columns of them."""
        names, places = roles.flat(self.images), self.read_as()
        return {"linear on the pictures": slice(places[names[0]][1].start, places[names[-1]][1].stop)} if names else {}

    # -- answers ------------------------------------------------------------------------------------------------------

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """Temperature, or the width of the answers' intervals."""
        if self.scale is None:
            return self.settle(**self._one.calibrated(outputs, truth))
        return self.settle(half_width=self.scale.half_width(outputs, truth, self.interval) if self.interval else 0.0)

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`label`, `confidence`, `probabilities`; or `value`, `low`, `high`, and the unit where the data name one."""
        if self.scale is not None:
            return self.scale.answers(outputs, self.half_width, self.unit)
        return self._one.answers(outputs)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """As text-classification or text-regression; of a number whose logarithm is learned, R2 of the logarithms as well."""
        if self.scale is None:
            return self._one.score(outputs, truth)
        return self.scale.score(outputs, truth)

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """Majority or mean; trees on the table without its texts; TF-IDF with a linear model on the texts alone."""
        own, other = ([self._text(row) for row in table.rows()] for table in (train, rows))
        raw = [[field.raw(table.column(field.name)) for field in self.fields] for table in (train, rows)]
        levelled_F = np.array([field.kind == "category" for field, part in zip(self.fields, raw[0]) for _ in part.T], bool)
        own_NF, other_NF = (np.concatenate([np.zeros((len(table), 0)), *parts], 1) for table, parts in zip((train, rows), raw))
        if self.scale is None:
            return boosted.class_ladder((own, own_NF), self.truth(train), len(self.labels), (other, other_NF), levelled_F)
        return boosted.number_ladder((own, own_NF), self.truth(train), (other, other_NF), levelled_F, self.scale)

    def trees(self) -> tuple[int, int]:
        """One of each round, of several labels one for each of them."""
        return boosted.ROUNDS * (len(self.labels) if len(self.labels) > 2 else 1), len(self.fields)

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Rooms with a size, a kind, a date and a sentence, and what they cost."""
        rng = np.random.default_rng(seed)
        marks, kinds = {"quiet": 12.0, "noisy": -8.0, "bright": 6.0}, {"flat": 10.0, "house": 30.0, "boat": 0.0}
        rows = []
        for _ in range(n):
            mark, kind, size = rng.choice(list(marks)), rng.choice(list(kinds)), int(rng.integers(10, 90))
            price = 20 + size + marks[mark] + kinds[kind] + rng.standard_normal()
            row = {"size": size if rng.random() > 0.1 else "", "kind": str(kind), "since": f"2021-{rng.integers(1, 13):02d}-15"}
            said = f"a {mark} room near the park, number {rng.integers(1, 1000)}"
            rows.append(row | {"beds": int(rng.integers(1, 4)), "text": said, "target": f"${price:.2f}"})
        return rows

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The task that `as_json` wrote."""
        made = tuple(Field.of_json(field) for field in values["fields"])
        return super().from_json(values | {"fields": made, "scale": Scale(**values["scale"]) if values["scale"] else None})

    def _text(self, row: Row) -> str:
        names = roles.flat(self.texts)
        cells = {name: tokens.as_text(row.get(name)) for name in names}
        return "\n".join(f"{name}: {cell}" if len(names) > 1 else cell for name, cell in cells.items() if cell.strip())

    def _known(self, cells: Sequence[Any]) -> dict[str, np.ndarray]:
        if self.scale is None:
            return self._one.aims(classes.encode(cells, self.labels))
        target_N1 = self.scale.standard(amounts.column(cells)[:, None])
        return {"target": target_N1.astype(np.float32), "row_weight": (~np.isnan(target_N1)).any(1).astype(np.float64)}

    @property
    def _one(self) -> OneLabel:
        return OneLabel.of(self)


task = Mixed
