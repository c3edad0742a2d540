"""What is wanted: the spec. Every setting is written once, here: its type, its default, and its unit in the docstring.

Flags, the reference page, the JSON schema and the checks are derived from these classes. Most defaults are `auto`: the plan
(`planning.py`) replaces each by a value and keeps the reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .elsewhere import suggestion
from .errors import SpecError, shorten
from .plain_yaml import read_yaml

T = TypeVar("T")
Auto = Literal["auto"]
Share = Annotated[float, Field(ge=0, lt=1, strict=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Factor = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A decided value and the reason for it, with its source where it has one."""

    value: T
    why: str


class Section(BaseModel):
    """Common rules of every section: nothing unknown, nothing changed after it was made, no silent casts."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Data(Section):
    """Where rows come from and how they are parted."""

    train: str | list[str] = ""
    """File, folder, several files, or `hf://owner/name` with the rows to learn from."""
    validation: str | list[str] = ""
    """File with rows that choose (early stopping, best checkpoint); else cut from the training rows."""
    test: str | list[str] = ""
    """File with rows that are looked at once, at the end; else cut from the training rows."""
    split: Literal["auto", "random", "stratified", "group", "time", "column"] = "auto"
    """How rows are parted where no file says so. `auto`: by the column, group or time that is named, else `random`. `random`: by a hash of
    what they say, so that new rows move no old one, and shares are met on average. `stratified`: each label (each range of a number) has
    its share in every part to the row; new rows may move others at the edge. Rows with several labels are parted at random."""
    split_column: str = ""
    """Column that holds train, validation, calibration or test for `split: column`."""
    group: str = ""
    """Column whose equal values stay on one side."""
    time: str = ""
    """Column to order by for `split: time`: the latest rows become the test rows."""
    test_share: Share = 0.15
    """Share of the rows kept for the sealed test, where no test file is given."""
    validation_share: Share = 0.1
    """Share of the rows that choose, where no validation file is given."""
    calibration_share: Share = 0.05
    """Share of the rows that fit the temperature and thresholds, at most 1,000 rows."""
    near_duplicates: Share = 0.8
    """Jaccard similarity of word 3-grams from which two rows count as near-duplicates and stay on one side; 0: only exact ones. Images that
    look alike do as well, by a measure of their own."""
    files: str = ""
    """Folder in which the files lie that cells name (images); else that of the data file."""
    encoding: str = "auto"
    """Text encoding of the files (`utf-8`, `latin-1`, `utf-16`...)."""
    delimiter: str = "auto"
    """Character between cells of a CSV file."""
    header: bool | Auto = "auto"
    """Whether the first line of a CSV file names the columns."""
    bad_rows: Literal["refuse", "skip"] = "refuse"
    """What to do with lines that cannot be read: stop, or skip, count and list them."""
    empty: Literal["refuse", "drop"] = "refuse"
    """What to do with rows whose label or text is empty: stop (for texts: above 5 % of the rows), or drop, count and list them."""
    merge_labels: bool = False
    """Merge labels that differ only in case or outer space (`Positive`, `positive `), and list what was merged."""
    limit: int | None = Field(default=None, ge=1)
    """Use at most this many rows of the training file, drawn by content hash; for a quick try."""


class Train(Section):
    """How the weights learn."""

    epochs: Positive | Auto = "auto"
    """Passes over the training rows."""
    lr: Positive | Auto = "auto"
    """Peak learning rate of the topmost learning layer; `find`-style range tests are `range_test`."""
    batch: Count | Auto = "auto"
    """Rows of one optimiser step, however many micro-batches they are computed in."""
    optimizer: Literal["adamw", "adam", "sgd", "adafactor", "lion", "rmsprop"] = "adamw"
    """Rule that turns gradients into steps."""
    schedule: Literal["linear", "constant", "cosine", "exponential", "polynomial", "one-cycle", "wsd"] = "linear"
    """How the rate falls after the warm-up."""
    warmup: Share = 0.1
    """Share of the steps in which the rate rises."""
    weight_decay: NotNegative = 0.01
    """Decoupled decay of weight matrices (not of biases and norms)."""
    l1: NotNegative = 0.0
    """L1 penalty on the learning weights, per step."""
    clip: NotNegative = 1.0
    """Largest norm of the gradient; 0: no clipping."""
    dropout: Share | Auto = "auto"
    """Dropout in the head and in the learning layers."""
    r_drop: NotNegative = 0.0
    """Weight of the R-Drop consistency loss (arXiv 2106.14448); 0: off."""
    ema: Annotated[float, Field(ge=0, lt=1)] | Auto = "auto"
    """Decay of a moving average of the weights, lower in the first steps; 0: off; `auto`: off, but for tasks that make pictures."""
    average: Count = 1
    """Average the weights of this many best checkpoints (a greedy soup, arXiv 2203.05482)."""
    balance: Literal["none", "weights", "oversample", "undersample"] = "none"
    """What to do about rare classes: weigh the loss, or repeat or leave out rows; refused where targets are no classes."""
    patience: int | Auto | None = "auto"
    """Evaluations without gain before stopping; `null`: never stop early."""
    evaluations: Count | Annotated[float, Field(gt=0, le=1)] | Auto = "auto"
    """Validations per epoch; 0.2: one in five epochs."""
    budget: str = ""
    """Longest time for training (`90s`, `10m`, `2h`); a usable model is always left."""
    range_test: bool = False
    """Find the rate by a range test (arXiv 1506.01186) before training."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Start of every random choice."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where tensors live."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the forward pass."""
    processes: Count | Auto = "auto"
    """Processes that share each batch (one a GPU, or a part of the CPU's cores): the same gradient, computed side by side."""
    threads: Count | Auto = "auto"
    """CPU threads; part of what makes a run repeatable to the bit."""
    micro_tokens: Count | Auto = "auto"
    """Most tokens, padding included, of one forward pass; halved when memory runs out."""
    gradient_checkpointing: Literal["off", "needed", "on"] = "needed"
    """Compute layers again on the way back instead of keeping activations (arXiv 1604.06174); `needed`: once one row alone is too much."""
    cache: Literal["auto", "on", "off"] = "auto"
    """Keep the activations below the lowest learning layer instead of computing them every epoch."""
    views: Count | Auto = "auto"
    """Views of each image that are computed once, where images change in each epoch and the encoder is frozen; epochs go round them."""
    quantise: Literal["none", "8bit", "4bit"] = "none"
    """Keep the frozen base under an adapter in 8 or 4 bits (arXiv 2305.14314); needs CUDA and `pip install 'tunesmith[quantise]'`."""
    packing: Literal["auto", "on", "off"] = "auto"
    """Compute a batch's rows end to end without padding, attention kept apart: texts of decoders and most encoders."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the layers one by one while they learn (`torch.compile`): half a minute or more before the first step, repaid by long
    training on CUDA if at all; needs triton there, and a C++ compiler on a CPU."""
    save_every: Count | Auto = "auto"
    """Optimiser steps between checkpoints from which `resume` goes on."""


class Evaluate(Section):
    """How the result is judged."""

    metric: str = "auto"
    """Score that decides which checkpoint is best; `auto`: the task's headline."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Level of every interval."""
    resamples: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap resamples behind the intervals."""
    calibrate: bool = True
    """Fit a temperature on rows kept for it."""
    baselines: bool = True
    """Fit the simple models that the tuned one must beat."""


class Spec(Section):
    """Everything that was asked for. `Spec.load` reads it from YAML; `spec.dump()` writes it."""

    task: str = "auto"
    """Name of a task (`tunesmith tasks`), or the path of your own task's file."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the task: its columns (`label: stars`) and its settings (`loss_kind: focal`)."""
    model: str = "auto"
    """Pretrained model: a Hub id, a folder, or an installed package."""
    strategy: str = "auto"
    """Which weights learn: a name (`tunesmith strategies`), or the path of your own strategy's file."""
    strategy_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the strategy (`rank: 16`)."""
    data: Data = Data()
    """Where rows come from and how they are parted."""
    train: Train = Train()
    """How the weights learn."""
    evaluate: Evaluate = Evaluate()
    """How the result is judged."""
    runs: str = "runs"
    """Folder in which run folders are made."""

    @classmethod
    def load(cls, path: str | Path) -> Spec:
        """The spec in a YAML file, or in the `plan.yaml` of a run. Raises SpecError with the file, the key, and the nearest name."""
        path = Path(path)
        if not path.is_file():
            raise SpecError(
                str(path), expected="a YAML file", got="no such file", fix="check the path", code="no-such-file"
            )
        values = read_yaml(path)
        whole = values["spec"] if {"spec", "why"} <= values.keys() and isinstance(values["spec"], dict) else values
        return cls.of(whole, place=str(path))

    @classmethod
    def of(cls, values: Mapping[str, Any], *, place: str = "spec") -> Spec:
        """The spec with these nested values. Raises SpecError where a key or value cannot be used."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _explain(error, place) from None

    def dump(self) -> str:
        """YAML of what differs from the defaults."""
        return yaml.safe_dump(self.model_dump(exclude_defaults=True), sort_keys=False, allow_unicode=True) or "{}\n"

    def changed(self, assignments: Mapping[str, Any]) -> Spec:
        """A new spec with dotted paths set: `spec.changed({"train.lr": 1e-4})`."""
        values = self.model_dump(exclude_defaults=True)
        for path, value in assignments.items():
            *above, last = path.split(".")
            here = values
            for key in above:
                here = here.setdefault(key, {})
                if not isinstance(here, dict):
                    raise SpecError(
                        path, expected="a section", got=f"the setting {key!r}", fix="check the path", code="unknown-key"
                    )
            here[last] = value
        return Spec.of(values, place="settings")


def fields_of(section: type[BaseModel] = Spec, prefix: str = "") -> dict[str, Any]:
    """Dotted path -> pydantic FieldInfo (type, default, docstring) of every leaf setting."""
    found: dict[str, Any] = {}
    for name, info in section.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            found |= fields_of(kind, f"{prefix}{name}.")
        else:
            found[prefix + name] = info
    return found


def checked(kind: Any, value: Any, place: str) -> Any:
    """The value, once it is sure that a type (`Count`, `Literal["a", "b"]`) allows it; a list becomes a tuple. Raises SpecError."""
    value = tuple(value) if isinstance(value, list) else value
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError:
        schema = adapter.json_schema()
        wanted = " or ".join(_words(option) for option in schema.get("anyOf", [schema]))
        raise SpecError(
            place, expected=wanted, got=shorten(repr(value)), fix="see docs/reference.md", code="bad-option"
        ) from None


def _explain(error: ValidationError, place: str) -> SpecError:
    first = error.errors()[0]
    location = [part for part in first["loc"] if isinstance(part, str)]
    section, names = _walk(location)
    key = ".".join(names)
    if first["type"] == "extra_forbidden":
        known = list(section.model_fields)
        return SpecError(
            f"{place}, key {key!r}",
            expected="a known setting",
            got=repr(names[-1]),
            fix=suggestion(names[-1], known),
            code="unknown-key",
        )
    wanted = _wanted(section, names[-1]) if names else first["msg"]
    return SpecError(
        f"{place}, key {key!r}",
        expected=wanted,
        got=shorten(repr(first["input"])),
        fix="see docs/reference.md",
        code="bad-value",
    )


def _walk(location: list[str]) -> tuple[type[BaseModel], list[str]]:
    """The section a location lies in, and the names on the way (pydantic adds the branch of a union: left out)."""
    section: type[BaseModel] = Spec
    names: list[str] = []
    for part in location:
        names.append(part)
        info = section.model_fields.get(part)
        if info is None or not (isinstance(info.annotation, type) and issubclass(info.annotation, Section)):
            break
        section = info.annotation
    return section, names


def _wanted(section: type[BaseModel], name: str) -> str:
    schema = section.model_json_schema()["properties"].get(name, {})
    return " or ".join(_words(option) for option in schema.get("anyOf", [schema]))


def _words(schema: dict[str, Any]) -> str:
    if "const" in schema or "enum" in schema:
        return ", ".join(json.dumps(v) for v in schema.get("enum", [schema.get("const")]))
    if "enum" in schema.get("items", {}):
        return f"a list of {_words(schema['items'])}"
    limits = {
        "exclusiveMinimum": "above",
        "minimum": "at least",
        "exclusiveMaximum": "below",
        "maximum": "at most",
    }
    kind = {
        "number": "a number",
        "integer": "a whole number",
        "string": "a text",
        "boolean": "true or false",
        "array": "a list",
        "null": "null",
        "object": "keys with values",
    }.get(schema.get("type", ""), "a value")
    return " ".join([kind, *(f"{word} {schema[key]:g}" for key, word in limits.items() if key in schema)])
