"""From facts to choices: the spec with no `auto` left, each choice with its reason. Seconds; no weights are read.

One small function per `auto`. A reason names the fact that decided, and the source of the rule where there is one.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from .data.dataset import Dataset, Sources, arrange, read_sources
from .errors import DataError, SpecError, listing, nearest
from .models.source import Source, find, processor
from .registry import STRATEGIES, TASKS
from .spec import Choice, Spec, Train
from .strategy import Strategy
from .task import Claim, Task

LARGE = 1_000_000_000
"""Weights from which training all of them is out of reach of most machines."""
REFERENCE = 25_000_000
"""Weights of the encoders for which `Strategy.lr` is meant."""
SAMPLE = 512
"""Rows tokenised to learn how long rows are."""
STEPS = 1_300
"""Optimiser steps after which small encoders stop gaining on the sets in `benchmarks/`."""


@final
@dataclass(frozen=True)
class Forecast:
    """What a run will take: seconds of training and evaluation, bytes of memory at the peak."""

    seconds: float
    memory_bytes: int


@final
@dataclass(frozen=True)
class Plan:
    """A spec without `auto`, and why each choice was made: dotted path -> reason."""

    spec: Spec
    why: Mapping[str, str]
    forecast: Forecast
    budget_seconds: float | None


@final
@dataclass(frozen=True)
class Ready:
    """All that training needs, decided; nothing is loaded yet."""

    plan: Plan
    task: Task
    strategy: Strategy
    source: Source
    data: Dataset
    class_weights: np.ndarray | None = None


@final
@dataclass(frozen=True)
class Facts:
    """What the choices rest on."""

    rows: int
    tokens: float
    """Mean tokens of a training row."""
    source: Source
    cuda: bool
    cores: int
    flops: float
    """Measured rate of a plain float32 matrix product, per second."""


def prepare(spec: Spec) -> Ready:
    """Read, audit, split, decide. Raises what a user can mend, before anything is trained."""
    chosen, data = read(spec)
    stop_on_errors(data)
    name, options = chosen["task"].value, {k.removeprefix("options."): c.value for k, c in chosen.items() if k.startswith("options.")}
    task_class = TASKS.load(name)
    source = find(spec.model)
    chosen["model"] = Choice(source.name, _model_reason(spec, source))
    task = _fit_task(task_class.build({**spec.options, **options}, name), data, source, spec)
    facts = measure(spec, task, source, data)
    chosen |= decide(spec, facts)
    strategy_name = chosen["strategy"].value
    strategy_class = STRATEGIES.load(strategy_name)
    strategy = strategy_class.build(spec.strategy_options, strategy_name)
    chosen |= settle_training(spec, facts, strategy)
    chosen["evaluate.metric"] = _metric(spec, task)
    whole = spec.changed({path: choice.value for path, choice in chosen.items()})
    plan = Plan(whole, {p: c.why for p, c in chosen.items()}, forecast(whole, facts, strategy), seconds_of(spec.train.budget))
    return Ready(plan, task, strategy, source, data, _weights(task))


def read(spec: Spec) -> tuple[dict[str, Choice[Any]], Dataset]:
    """The rows, audited and parted, with the task and the columns that were chosen for them."""
    sources = read_sources(spec.data)
    chosen = choose_task(spec, sources)
    name = chosen["task"].value
    options = {k.removeprefix("options."): c.value for k, c in chosen.items() if k.startswith("options.")}
    task = TASKS.load(name).build({**spec.options, **options}, name)
    data = arrange(
        sources, spec.data, inputs=task.columns(task.inputs), targets=task.columns(task.targets), kind=task.target_kind,
        seed=spec.train.seed,
    )
    return chosen, data.with_findings(task.check(data.train))


def stop_on_errors(data: Dataset) -> None:
    """Raises DataError with the first finding of level `error`."""
    errors = [f for f in data.findings if f.level == "error"]
    if errors:
        first = errors[0]
        more = f" ({len(errors) - 1} more: see `tunesmith check`)" if len(errors) > 1 else ""
        raise DataError(
            first.place, expected=first.expected, got=first.got, fix=first.fix + more, code=first.code
        )


def choose_task(spec: Spec, sources: Sources) -> dict[str, Choice[Any]]:
    """The task and its columns: as named, or the surest claim of all tasks."""
    if spec.task != "auto":
        task = TASKS.load(spec.task)
        claim = task.claim(sources.profile, spec.options)
        chosen = {"task": Choice(spec.task, "as asked")}
        return chosen | _columns(spec, claim)
    claims = {name: TASKS.load(name).claim(sources.profile, spec.options) for name in TASKS.names() if _accepts(name, spec)}
    sure = {name: claim for name, claim in claims.items() if claim is not None}
    if not sure:
        raise _no_task(spec, sources)
    name = max(sure, key=lambda n: sure[n].sure)
    return {"task": Choice(name, sure[name].why)} | _columns(spec, sure[name])


def _accepts(name: str, spec: Spec) -> bool:
    return set(spec.options) <= set(TASKS.load(name).options())


def _columns(spec: Spec, claim: Claim | None) -> dict[str, Choice[Any]]:
    named = {f"options.{k}": Choice(v, "as asked") for k, v in spec.options.items()}
    claimed = {f"options.{k}": c for k, c in (claim.columns if claim else {}).items() if k not in spec.options}
    return named | claimed


def _no_task(spec: Spec, sources: Sources) -> Exception:
    unknown = [o for o in spec.options if not any(o in TASKS.load(n).options() for n in TASKS.names())]
    if unknown:
        known = sorted({o for n in TASKS.names() for o in TASKS.load(n).options()})
        return SpecError("options", expected="an option of a task", got=repr(unknown[0]), fix=nearest(unknown[0], known), code="unknown-option")
    missing = [v for v in spec.options.values() if isinstance(v, str) and v not in sources.profile.columns]
    if missing:
        return DataError(
            sources.name, expected=f"a column {missing[0]!r}", got=f"columns {listing(list(sources.profile.columns), 12)}",
            fix=nearest(missing[0], sources.profile.columns), code="unknown-column",
        )
    return DataError(
        sources.name, expected="a column of text and a column with a label or a number",
        got=f"columns {listing(list(sources.profile.columns), 12)}", fix="name them: --text COLUMN --label COLUMN",
        code="no-task-fits",
    )


def _model_reason(spec: Spec, source: Source) -> str:
    asked = "as asked" if spec.model != "auto" else "a small encoder with good sentence vectors, at hand without a download"
    return f"{asked}; {source.parameters / 1e6:.1f} M weights, {source.kind} {source.folder}" + (f"; {source.note}" if source.note else "")


def _fit_task(task: Task, data: Dataset, source: Source, spec: Spec) -> Task:
    """The task fitted on training rows only; what depends on the model's limits is settled here."""
    fitted = task.fit(data.train)
    return fitted.suit(data.train, processor(source), limit=source.max_length, balance=spec.train.balance)


def _weights(task: Task) -> np.ndarray | None:
    return None


def _metric(spec: Spec, task: Task) -> Choice[str]:
    asked = spec.evaluate.metric
    if asked == "auto":
        return Choice(next(iter(task.directions)), "the task's headline score")
    if asked not in task.directions:
        raise SpecError(
            "evaluate.metric", expected=f"a score of the task ({listing(list(task.directions), 20)})", got=repr(asked),
            fix=nearest(asked, task.directions), code="unknown-metric",
        )
    return Choice(asked, "as asked")


# -- facts ------------------------------------------------------------------------------------------------------------


def measure(spec: Spec, task: Task, source: Source, data: Dataset) -> Facts:
    """Row lengths from a sample, and what this machine is."""
    rows = data.train.rows(range(min(SAMPLE, len(data.train))))
    examples = task.encode(rows, processor(source))
    tokens = float(np.mean([len(e["input_ids"]) if "input_ids" in e else 1 for e in examples]))
    cuda = _cuda() if spec.train.device != "cpu" else False
    if spec.train.device == "cuda" and not cuda:
        from .errors import ResourceError

        raise ResourceError("train.device", expected="a CUDA device", got="none", fix="leave --set train.device out", code="no-cuda")
    cores = os.process_cpu_count() if hasattr(os, "process_cpu_count") else len(os.sched_getaffinity(0))
    return Facts(len(data.train), tokens, source, cuda, cores or 1, matrix_rate())


def matrix_rate(size: int = 768, seconds: float = 0.15) -> float:
    """Floating-point operations per second of a plain float32 matrix product here, the better of a few."""
    import torch

    a, b = torch.ones(size, size), torch.ones(size, size)
    best, until = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()


# -- choices ----------------------------------------------------------------------------------------------------------


def decide(spec: Spec, facts: Facts) -> dict[str, Choice[Any]]:
    """Which weights learn."""
    return {"strategy": choose_strategy(spec, facts)}


def choose_strategy(spec: Spec, facts: Facts) -> Choice[str]:
    """`probe-then-tune` unless the model is too large or the budget too short."""
    if spec.strategy != "auto":
        return Choice(spec.strategy, "as asked")
    if facts.source.parameters > LARGE:
        return Choice("lora", f"{facts.source.parameters / 1e9:.1f} G weights: adapters learn nearly as well in a tenth of the memory (arXiv 2106.09685)")
    budget = seconds_of(spec.train.budget)
    epoch = seconds_per_row(facts) * facts.rows
    if budget is not None and budget < 1.2 * epoch:
        return Choice("head-only", f"one epoch of all weights takes about {epoch:.0f} s, the budget is {budget:.0f} s")
    return Choice(
        "probe-then-tune",
        "a head solved on the frozen encoder first, then all weights from there: never worse than the probe on validation "
        "rows, and features are not distorted by a random head (arXiv 2202.10054)",
    )


def settle_training(spec: Spec, facts: Facts, strategy: Strategy) -> dict[str, Choice[Any]]:
    """Every `auto` of the `train` section."""
    rules = {
        "epochs": choose_epochs, "lr": choose_lr, "batch": choose_batch, "dropout": choose_dropout, "patience": choose_patience,
        "evaluations": choose_evaluations, "device": choose_device, "precision": choose_precision, "threads": choose_threads,
        "micro_tokens": choose_micro_tokens,
    }
    found = {}
    for name, rule in rules.items():
        asked = getattr(spec.train, name)
        found[f"train.{name}"] = rule(spec.train, facts, strategy) if asked == "auto" else Choice(asked, "as asked")
    return found


def choose_epochs(train: Train, facts: Facts, strategy: Strategy) -> Choice[float]:
    """As many as make about STEPS steps, within 2 to 10; fewer where the budget asks."""
    batch = choose_batch(train, facts, strategy).value if train.batch == "auto" else int(train.batch)
    epochs = float(min(10, max(2, round(STEPS * batch / facts.rows))))
    why = f"{facts.rows:,} training rows: about {STEPS:,} steps, within 2 to 10 epochs"
    budget = seconds_of(train.budget)
    if budget is None:
        return Choice(epochs, why)
    possible = 0.7 * budget / (seconds_per_row(facts) * facts.rows)
    return Choice(epochs, why) if possible >= epochs else Choice(max(0.05, round(possible, 2)), f"what fits into the budget of {budget:.0f} s")


def choose_lr(train: Train, facts: Facts, strategy: Strategy) -> Choice[float]:
    """The strategy's rate, lower for larger models."""
    scale = min(1.5, max(0.1, math.sqrt(REFERENCE / max(1, facts.source.parameters))))
    value = float(f"{strategy.lr * scale:.2g}")
    return Choice(value, f"{strategy.lr:g} suits this strategy at {REFERENCE // 10**6} M weights; scaled to {facts.source.parameters / 1e6:.1f} M by the root of the ratio")


def choose_batch(train: Train, facts: Facts, strategy: Strategy) -> Choice[int]:
    """32; 16 where there are few rows, so that there are steps enough."""
    return Choice(16, "few rows: smaller batches make more steps") if facts.rows < 1_000 else Choice(32, "the usual size for fine-tuning encoders")


def choose_dropout(train: Train, facts: Facts, strategy: Strategy) -> Choice[float]:
    """What the model was pretrained with."""
    return Choice(0.1, "what encoders are pretrained with")


def choose_patience(train: Train, facts: Facts, strategy: Strategy) -> Choice[int | None]:
    """Patience in validations."""
    return Choice(4, "the rate falls to the planned end; stopping sooner than four validations without gain cuts the best part off")


def choose_evaluations(train: Train, facts: Facts, strategy: Strategy) -> Choice[int]:
    """Once an epoch; more often where epochs are long."""
    per_epoch = max(1, min(8, facts.rows // 16_000))
    return Choice(per_epoch, "once an epoch" if per_epoch == 1 else "epochs are long: about every 16,000 rows")


def choose_device(train: Train, facts: Facts, strategy: Strategy) -> Choice[str]:
    """CUDA where there is one."""
    return Choice("cuda", "a CUDA device is there") if facts.cuda else Choice("cpu", "no CUDA device is there")


def choose_precision(train: Train, facts: Facts, strategy: Strategy) -> Choice[str]:
    """bf16 on CUDA, float32 on the CPU."""
    if facts.cuda:
        return Choice("bf16", "CUDA matrix units are made for it")
    return Choice("fp32", "repeatable to the bit, and CPUs without bf16 matrix tiles are slower in bf16")


def choose_threads(train: Train, facts: Facts, strategy: Strategy) -> Choice[int]:
    """All cores that the process may use."""
    return Choice(facts.cores, "all cores that this process may use; fixed, because the number changes the last bits of sums")


def choose_micro_tokens(train: Train, facts: Facts, strategy: Strategy) -> Choice[int]:
    """What keeps the device busy without holding much memory."""
    return Choice(65_536, "fills a GPU") if facts.cuda else Choice(4_096, "a CPU gains nothing from larger passes")


# -- forecast ---------------------------------------------------------------------------------------------------------

EFFICIENCY = 0.6
"""Share of the matrix rate that training a small encoder reaches, measured over `benchmarks/`."""


def seconds_per_row(facts: Facts) -> float:
    """Forward and backward of one row through all weights: 6 operations per weight and token."""
    body = max(1, facts.source.parameters * 0.5 if facts.source.parameters < 60e6 else facts.source.parameters * 0.8)
    return 6 * body * facts.tokens / (EFFICIENCY * facts.flops)


def forecast(spec: Spec, facts: Facts, strategy: Strategy) -> Forecast:
    """Time and memory of the whole run."""
    train = spec.train
    seconds = seconds_per_row(facts) * facts.rows * (float(train.epochs) + 0.6)
    weights = facts.source.parameters * 4
    activations = int(train.micro_tokens) * facts.source.hidden * 34 * facts.source.layers * 4
    return Forecast(round(seconds, 1), int(weights * 4 + activations + 400e6))


def seconds_of(text: str) -> float | None:
    """`90s`, `10m`, `1.5h` -> seconds; nothing -> None. Raises SpecError."""
    if not text:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text)
    if not match or float(match[1]) == 0:
        raise SpecError("train.budget", expected="a time such as 90s, 10m or 2h", got=repr(text), fix="add the unit", code="bad-budget")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
