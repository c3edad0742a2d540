"""The one object that changes while training: model, optimiser, position, best. It saves and loads to the same bits.

No random state is kept: every draw is a function of (seed, stage, epoch, step, micro-batch).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

import torch
from torch import nn

from .. import memory
from ..errors import DataError, ModelError, SpecError
from ..models import vocabulary
from ..models.heads import bare, set_dropout
from ..models.outline import outline
from ..models.quantised import quantise
from ..models.source import load, processor
from ..spec import Train
from ..spent import cpu_seconds
from ..strategy import Outline, Stage
from ..task import Solution
from . import checkpoint, device, faster, optim, room

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ..planning import Ready
    from .crew import Crew


@final
@dataclass(frozen=True)
class Best:
    """The best validation so far."""

    value: float
    step: int
    stage: str
    scores: Mapping[str, float]
    peak: float
    """The best value seen so far, which may be another step's: see `loop.taken`."""

    @property
    def folder(self) -> str:
        """Name of the folder with these weights."""
        return f"best-{self.step:08d}-{self.stage}"


@final
@dataclass
class State:
    """Mutable on purpose; made by `start` or `resume`."""

    ready: Ready
    model: nn.Module
    processor: Any
    accelerator: Accelerator
    outline: Outline
    stages: tuple[Stage, ...]
    micro_tokens: int
    optimizer: torch.optim.Optimizer | None = None
    stage: int = 0
    step: int = 0
    """Optimiser steps done in this stage."""
    total: int = 0
    """Optimiser steps done in all."""
    best: Best | None = None
    anchor: Best | None = None
    """The solved head on the untouched backbone, where a stage made one: kept to blend with."""
    tops: tuple[Best, ...] = ()
    """The best few, best first, where they are to be averaged."""
    peak_rate: float = 0.0
    """Peak learning rate: the plan's, or what a range test found."""
    without_gain: int = 0
    """Validations since the best."""
    spent: float = 0.0
    """Seconds of earlier sittings."""
    spent_cpu: float | None = 0.0
    """CPU seconds of earlier sittings; None where one of them did not say."""
    ema: dict[str, torch.Tensor] = field(default_factory=dict)
    probe: Solution | None = None
    """The best head on frozen features, where a stage solved it in this sitting."""
    done: str = ""
    """Why training ended; empty while it goes on."""
    stop_asked: bool = False
    """Set by a signal handler: save and stop after this step."""
    recompute: bool = False
    """Memory ran out with one row a pass: layers are computed again on the way back."""
    smaller: bool = False
    """The sitting before was killed for memory: this one takes less at a time (`room.after_kill`)."""
    padded: str = ""
    """Why rows are padded although they were to be packed; empty where they are not."""
    since: float = field(default_factory=time.monotonic)
    since_cpu: float = field(default_factory=cpu_seconds)
    crew: Crew | None = None
    """Processes that share each batch, where there are several."""
    carried: tuple[str, ...] = ()
    """Names of the parameters that some stage changes: what checkpoints hold."""

    @classmethod
    def start(cls, ready: Ready) -> Self:
        """The untrained model, ready for its first step."""
        settings = ready.plan.spec.train
        accelerator = device.accelerator(settings)
        device.seed(settings.seed)
        model = ready.task.model(load(ready.source, form=ready.task.form), dropout=float(settings.dropout))
        set_dropout(model, float(settings.dropout))
        model.reset_head(settings.seed)
        if quantise(bare(model.backbone) if settings.quantise != "none" else model, settings.quantise):
            model.to(accelerator.device)  # adapters are shaped on the base as it will compute
        ready.strategy.shape(model, settings.seed)
        faster.compute(model, ready)
        model.to(accelerator.device)
        padded = faster.pack(model, settings)
        shape = outline(model)
        stages = _possible(ready.strategy.stages(shape), ready.task.solvable)
        _refuse_idle(stages, ready)
        _refuse_unlearnt(stages, shape, ready)
        _refuse_apart(ready)
        names = [n for n in shape.depths if n in shape.adapters or any(_learns(stage, n, shape) for stage in stages)]
        return cls(
            ready,
            model,
            processor(ready.source),
            accelerator,
            shape,
            stages,
            int(settings.micro_tokens),
            carried=tuple(names),
            peak_rate=float(settings.lr),
            padded=padded,
        )

    @classmethod
    def resume(cls, ready: Ready, folder: Path) -> tuple[Self, list[Path]]:
        """The state of the newest whole checkpoint in `folder`, and the damaged ones passed over.

        Raises ModelError where checkpoints exist but none is whole.
        """
        state = cls.start(ready)
        checkpoint.recover(folder)
        saved = checkpoint.steps_saved(folder, "last")
        found, passed = checkpoint.newest_whole(saved)
        if found is None and passed:
            raise ModelError(
                str(folder),
                expected="one whole checkpoint",
                got=f"{len(passed)} damaged",
                code="no-whole-checkpoint",
                fix="restore one from a backup, or start again with `tunesmith fit`",
            )
        if found is not None:
            state._restore(*checkpoint.read(found))
        most, twice = room.learnt(folder)
        state.micro_tokens, state.recompute = min(state.micro_tokens, most), state.recompute or twice
        return state, passed

    @property
    def settings(self) -> Train:
        """How it learns now: as planned, but for what memory running out has changed."""
        train = self.ready.plan.spec.train
        return train.model_copy(update={"gradient_checkpointing": "on"}) if self.recompute else train

    @property
    def seconds(self) -> float:
        """Training time, earlier sittings included."""
        return self.spent + time.monotonic() - self.since

    @property
    def cpu_seconds(self) -> float | None:
        """CPU seconds in that time, of this process and of those that it started and that have ended."""
        return None if self.spent_cpu is None else self.spent_cpu + cpu_seconds() - self.since_cpu

    @property
    def current(self) -> Stage:
        """The stage that is being trained."""
        return self.stages[self.stage]

    def enter_stage(self) -> None:
        """Free and freeze as the stage says, and make its optimiser (none for a stage that solves)."""
        rates = self.current.rates
        self.model.casts.clear()
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in rates)
        self.optimizer = None if self.current.solve else optim.make(self.ready.plan.spec.train, self.model, rates)

    def leave_stage(self) -> None:
        """Go to the next stage's start."""
        self.stage, self.step, self.without_gain, self.optimizer, self.ema = self.stage + 1, 0, 0, None, {}

    def save(self, folder: Path) -> Path:
        """Write everything that `resume` needs, and drop what no kept checkpoint refers to."""
        tensors = {
            "model": self.weights(),
            "optimizer": optim.state_tensors(self.optimizer) if self.optimizer else {},
            "ema": self.ema,
            "words": vocabulary.parted(self.model),
        }
        path = checkpoint.write(folder / f"last-{self.total:08d}-{self.stage}", tensors, self._values())
        _prune(folder)
        return path

    def save_weights(self, folder: Path, best: Best) -> Path:
        """Write the weights alone, under the name that belongs to `best`."""
        return checkpoint.write(folder / best.folder, {"model": self.weights(averaged=True)}, self._values())

    def best_path(self, folder: Path) -> Path:
        """Where the best weights are. Raises DataError where no validation gave a number to choose by."""
        if self.best is None:
            raise DataError(
                "the validation rows", expected="rows whose score says which weights are best", got="a score that was no number each time",
                fix="give more of them (--set data.validation_share=0.3), or choose by another score (evaluate.metric)", code="no-score",
            )  # fmt: skip
        return folder / self.best.folder

    def load_best(self, folder: Path) -> None:
        """Put the best weights into the model, with every word it knew."""
        memory.give_back()
        self.model.compiled = None  # what is judged, saved and copied from here on is not computed so
        self.put(self.read(folder, self.best_path(folder).name))
        vocabulary.join(self.model)

    def read(self, folder: Path, name: str) -> dict[str, torch.Tensor]:
        """Weights that `save_weights` wrote; of those from before words were left alone, the words in use."""
        tensors = checkpoint.read(folder / name)[0]["model"]
        sizes = dict(self.model.named_parameters())
        for weight, used_U in vocabulary.parted(self.model).items():
            if len(tensors.get(weight, ())) > len(sizes[weight]):
                tensors[weight] = tensors[weight][used_U.cpu()]
        return tensors

    def weights(self, averaged: bool = False) -> dict[str, torch.Tensor]:
        """The weights that training changes (with their moving averages where asked and kept), and all buffers."""
        named = dict(self.model.named_parameters())
        found = {n: (self.ema.get(n, named[n]) if averaged else named[n]).detach() for n in self.carried}
        return found | {f"buffer:{n}": b for n, b in self.model.named_buffers() if b.is_floating_point()}

    def put(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Load what `weights` gave; every name must be there, none beside. Raises ModelError naming the first that is off."""
        here = self.weights()
        for name in sorted(set(here) ^ set(tensors)):
            raise ModelError(
                f"checkpoint, tensor {name!r}",
                expected="the same tensors as the plan's model",
                got="one missing" if name in here else "one too many",
                code="checkpoint-keys",
                fix="resume with the plan that made the checkpoint",
            )
        with torch.no_grad():
            for name, tensor in here.items():
                tensor.copy_(tensors[name])

    def _values(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "step": self.step,
            "total": self.total,
            "without_gain": self.without_gain,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "micro_tokens": self.micro_tokens,
            "recompute": self.recompute,
            "done": self.done,
            "best": dataclasses.asdict(self.best) if self.best else None,
            "tops": [dataclasses.asdict(top) for top in self.tops],
            "peak_rate": self.peak_rate,
            "anchor": dataclasses.asdict(self.anchor) if self.anchor else None,
        }

    def _restore(self, tensors: Mapping[str, Mapping[str, torch.Tensor]], values: Mapping[str, Any]) -> None:
        for name, used_U in tensors.get("words", {}).items():
            vocabulary.part(self.model, name.removesuffix(".weight"), used_U)
        self.put(tensors["model"])
        self.stage, self.step, self.total = values["stage"], values["step"], values["total"]
        self.without_gain, self.spent, self.done = values["without_gain"], values["seconds"], values["done"]
        self.spent_cpu = values.get("cpu_seconds")
        self.micro_tokens, self.recompute = values["micro_tokens"], values.get("recompute", False)
        self.best = Best(**values["best"]) if values["best"] else None
        self.anchor = Best(**values["anchor"]) if values["anchor"] else None
        self.tops, self.peak_rate = tuple(Best(**top) for top in values["tops"]), values["peak_rate"]
        self.ema = {name: tensor.clone() for name, tensor in tensors["ema"].items()}
        if self.stage < len(self.stages):
            self.enter_stage()
            if self.optimizer is not None:
                optim.load_state_tensors(self.optimizer, tensors["optimizer"])


def _possible(stages: Sequence[Stage], solve: bool) -> tuple[Stage, ...]:
    """Where the head has no optimum to solve for, stages that would only solve it are left out, and others descend."""
    if solve:
        return tuple(stages)
    return tuple(dataclasses.replace(stage, solve=False) for stage in stages if not stage.solve or stage.share)


def _refuse_idle(stages: Sequence[Stage], ready: Ready) -> None:
    """Raises SpecError where no stage has a weight to learn: a model that keeps its own head has no new one."""
    if not any(stage.rates for stage in stages):
        raise SpecError(
            f"strategy {ready.plan.spec.strategy!r}",
            expected="weights that learn",
            got="none: this task keeps the head that the model was pretrained with",
            fix="use `lora`, `last-k` or `full`",
            code="nothing-learns",
        )


def _refuse_unlearnt(stages: Sequence[Stage], shape: Outline, ready: Ready) -> None:
    """Raises SpecError where weights of a new model would stay as chance made them."""
    left = set(shape.depths) - {name for stage in stages for name in stage.rates}
    if ready.source.kind == "new" and left:
        raise SpecError(
            f"strategy {ready.plan.spec.strategy!r}",
            expected="all weights to learn, since the model is new",
            got=f"{len(left):,} weight matrices and vectors that would stay random",
            fix="leave --strategy out, or name a pretrained pipeline: --model FOLDER",
            code="new-model",
        )


def _refuse_apart(ready: Ready) -> None:
    """Raises SpecError where rows that the loss compares with each other would be parted, among processes or from their second draw."""
    train = ready.plan.spec.train
    for name, value, alone, fix in (
        ("processes", int(train.processes), 1, "leave it out; `train.micro_tokens` bounds the memory of a large batch"),
        ("r_drop", train.r_drop, 0, "leave it out, or set a larger `train.dropout`"),
    ):
        if ready.task.joint and value > alone:
            raise SpecError(
                f"train.{name}",
                expected=f"{alone} for a task whose rows are compared with each other",
                got=str(value),
                fix=fix,
                code="joint-loss",
            )


def _learns(stage: Stage, name: str, shape: Outline) -> bool:
    return name in stage.rates or (stage.solve and name in shape.head)


def _prune(folder: Path) -> None:
    """Keep the two newest checkpoints and the best weights that they refer to: one may turn out damaged."""
    lasts = checkpoint.steps_saved(folder, "last")
    for old in lasts[:-2]:
        _remove(old)
    kept = [_named(path) for path in lasts[-2:]]
    if None not in kept:
        for old in checkpoint.steps_saved(folder, "best"):
            if not any(old.name in names for names in kept if names is not None):
                _remove(old)


def _named(path: Path) -> set[str] | None:
    """Names of the weights that a checkpoint refers to; None where it cannot be read: then nothing is removed."""
    try:
        values = checkpoint.read_values(path)
    except ModelError:
        return None
    return {Best(**best).folder for best in [values["best"], values["anchor"], *values["tops"]] if best}


def _remove(path: Path) -> None:
    """Take the manifest first: a half-removed checkpoint must not look whole."""
    import shutil

    (path / checkpoint.MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
