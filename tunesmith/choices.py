"""The rules behind `auto`: one small function per setting, from facts to a choice and its reason.

A reason names the fact that decided, and the source of the rule where there is one.
"""

from __future__ import annotations

from typing import Any

from .data import caches
from .early import seconds_of
from .errors import SpecError
from .facts import FEW, GPU, Facts, usual_batch
from .spec import Choice, Spec, Train
from .strategy import Strategy
from .task import Task
from .trial import CLEARLY, PASS_TOKENS

LARGE = 1_000_000_000
"""Weights from which training all of them is out of reach of most machines."""
REFERENCE = 22_700_000
"""Weights of the encoders for which `Strategy.lr` is meant."""
VIEWS = 4
"""Views of changed images that are kept where nobody asks otherwise."""
STEPS = 1_050
"""Optimiser steps after which small encoders stop gaining on the sets in `benchmarks/`, and may lose (`docs/notes.md`)."""
MOST_WORDS = 0.8
"""Share of the vocabulary in use up to which it pays to leave the other words out of training (`training/words.py`)."""
REPAID = 300.0
"""Seconds of training from which half a minute of compiling is repaid if steps then take a tenth less."""


# -- choices ----------------------------------------------------------------------------------------------------------


def decide(spec: Spec, facts: Facts) -> dict[str, Choice[Any]]:
    """Which weights learn."""
    return {"strategy": choose_strategy(spec, facts)}


def balance(spec: Spec, task: Task) -> str:
    """What is done about rare classes. Raises SpecError where the task's targets cannot be balanced so: it would change nothing."""
    asked, ways = spec.train.balance, task.balances
    if asked == "none" or asked in ways:
        return asked
    has = "no single class" if ways else "no class that could be balanced"
    instead = "weights, which weighs the classes in the loss" if ways else "none; repeat or leave out rows in the file itself"
    raise SpecError(
        "train.balance", expected=f"{' or '.join(('none', *ways))}, for a row of this task has {has}", got=repr(asked),
        fix=f"say --set train.balance={instead}", code="unsuitable-balance",
    )


def refuse_undrawn(spec: Spec) -> None:
    """Raises SpecError where rows are to be drawn by class, but none are drawn: a head that is solved sees every row at once."""
    if spec.train.balance in ("oversample", "undersample"):
        raise SpecError(
            "train.balance", expected=f"weights or none, for strategy {spec.strategy!r} solves the head from all rows at once",
            got=repr(spec.train.balance), fix="say --set train.balance=weights", code="unsuitable-balance",
        )  # fmt: skip


def choose_strategy(spec: Spec, facts: Facts) -> Choice[str]:
    """`probe-then-tune` unless the model is too large or the budget too short."""
    if spec.strategy != "auto":
        return Choice(spec.strategy, "as asked")
    if facts.source.parameters > LARGE:
        return Choice(
            "lora",
            f"{facts.source.parameters / 1e9:.1f} G weights: adapters learn nearly as well in a tenth of the memory (arXiv 2106.09685)",
        )
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
        "epochs": choose_epochs,
        "lr": choose_lr,
        "batch": choose_batch,
        "dropout": choose_dropout,
        "ema": choose_ema,
        "patience": choose_patience,
        "evaluations": choose_evaluations,
        "device": choose_device,
        "precision": choose_precision,
        "processes": choose_processes,
        "threads": choose_threads,
        "micro_tokens": choose_micro_tokens,
        "views": choose_views,
        "packing": choose_packing,
        "compile": choose_compile,
    }
    found = {}
    for name, rule in rules.items():
        asked = getattr(spec.train, name)
        found[f"train.{name}"] = rule(spec.train, facts, strategy) if asked == "auto" else Choice(asked, "as asked")
    return found


def choose_epochs(train: Train, facts: Facts, strategy: Strategy) -> Choice[float]:
    """As many as make about STEPS steps, within 2 to 10; fewer where the budget asks."""
    batch = choose_batch(train, facts, strategy).value if train.batch == "auto" else int(train.batch)
    epochs = facts.epochs or float(min(10, max(2, round(STEPS * batch / facts.rows))))
    why = f"{facts.rows:,} training rows: about {STEPS:,} steps, within 2 to 10 epochs"
    why = "what the task asks for" if facts.epochs else why
    budget = seconds_of(train.budget)
    if budget is None:
        return Choice(epochs, why)
    possible = 0.7 * budget / (seconds_per_row(facts) * facts.rows)
    return (
        Choice(epochs, why)
        if possible >= epochs
        else Choice(max(0.05, round(possible, 2)), f"what fits into the budget of {budget:.0f} s")
    )


def choose_lr(train: Train, facts: Facts, strategy: Strategy) -> Choice[float]:
    """The strategy's rate, lower for larger models.

    The exponents meet the published rates: all weights, 2e-5 to 5e-5 at 110 M and 1e-5 to 3e-5 at 355 M (arXiv 1810.04805 A.3,
    1907.11692 table 10); LoRA, 5e-4 at 125 M and 2e-4 for the largest (2106.09685 D).
    """
    power = 0.5 if strategy.adapter else 0.85
    scale = min(1.5, max(0.02, (REFERENCE / max(1, facts.source.parameters)) ** power))
    value = float(f"{strategy.lr * scale:.2g}")
    return Choice(
        value,
        f"{strategy.lr:g} suits this strategy at {REFERENCE / 1e6:.1f} M weights; scaled to {facts.source.parameters / 1e6:.1f} M "
        f"by the ratio to the power of {power:g}",
    )


def choose_batch(train: Train, facts: Facts, strategy: Strategy) -> Choice[int]:
    """32; 16 where there are few rows, so that there are steps enough."""
    few = facts.rows < FEW
    why = f"fewer than {FEW:,} rows: smaller batches make more steps" if few else "the usual size for fine-tuning encoders"
    return Choice(usual_batch(facts.rows), why)


def choose_dropout(train: Train, facts: Facts, strategy: Strategy) -> Choice[float]:
    """What the model was pretrained with."""
    return Choice(0.1, "what encoders are pretrained with")


def choose_ema(train: Train, facts: Facts, strategy: Strategy) -> Choice[float]:
    """Off: the falling rate does what a mean of weights would."""
    return Choice(0.0, "off: the rate falls to nothing, which averages as well")


def choose_patience(train: Train, facts: Facts, strategy: Strategy) -> Choice[int | None]:
    """None: the planned epochs are few, and the falling rate is part of the plan."""
    return Choice(
        None, "the rate falls to the planned end and the best part comes last; weights that are worse at the end are not kept anyway"
    )


def choose_evaluations(train: Train, facts: Facts, strategy: Strategy) -> Choice[int]:
    """Once an epoch; more often where epochs are long."""
    per_epoch = max(1, min(8, facts.rows // 16_000))
    return Choice(per_epoch, "once an epoch" if per_epoch == 1 else "epochs are long: about every 16,000 rows")


def choose_device(train: Train, facts: Facts, strategy: Strategy) -> Choice[str]:
    """CUDA where there is one."""
    return Choice("cuda", "a CUDA device is there") if facts.cuda else Choice("cpu", "no CUDA device is there")


def choose_precision(train: Train, facts: Facts, strategy: Strategy) -> Choice[str]:
    """bf16 on CUDA, and on a CPU where a trial showed it clearly faster; else float32."""
    if facts.cuda:
        return Choice("bf16", "CUDA matrix units are made for it")
    faster = facts.trial.bf16 if facts.trial else 0.0
    if faster >= CLEARLY:
        return Choice("bf16", f"tried on this model and machine: passes of {faster:.2f} times the speed of fp32")
    tried = f"tried on this model and machine: bf16 has {faster:.2f} times the speed, {CLEARLY:g} is asked; " if faster else ""
    return Choice("fp32", tried + "repeatable to the bit")


def choose_processes(train: Train, facts: Facts, strategy: Strategy) -> Choice[int]:
    """One: several are worth their traffic on several GPUs, and then are asked for."""
    return Choice(1, "one process; `--set train.processes=N` shares each batch among N (one for each GPU)")


def choose_threads(train: Train, facts: Facts, strategy: Strategy) -> Choice[int]:
    """All cores that the process may use, shared where there are several processes."""
    processes = 1 if train.processes == "auto" else int(train.processes)
    return Choice(
        max(1, facts.cores // processes),
        "all cores that this process may use; fixed, because the number changes the last bits of sums",
    )


def choose_micro_tokens(train: Train, facts: Facts, strategy: Strategy) -> Choice[int]:
    """What keeps the device busy without holding much memory."""
    if facts.cuda:
        return Choice(65_536, "fills a GPU")
    if facts.source.modality != "text":
        return Choice(4_096, "a CPU gains nothing from larger passes")
    threads = int(choose_threads(train, facts, strategy).value if train.threads == "auto" else train.threads)
    return Choice(PASS_TOKENS * threads, f"{PASS_TOKENS:,} tokens for each thread: larger passes gain nothing and take memory")


def choose_views(train: Train, facts: Facts, strategy: Strategy) -> Choice[int]:
    """A few, as far as the caches have room; one where rows look alike in every epoch."""
    if not facts.augments:
        return Choice(1, "no image changes from epoch to epoch")
    size = int(facts.rows * facts.tokens * facts.source.hidden * 4)
    views = max(1, min(VIEWS, caches.limit() // max(1, size)))
    return Choice(views, f"under a frozen encoder so many views of each image are computed once, of at most {size / 2**20:,.0f} MiB each")


def choose_packing(train: Train, facts: Facts, strategy: Strategy) -> Choice[str]:
    """On a GPU for decoders, whose attention has no dropout; off where rows of like length together leave nothing to gain."""
    source = facts.source
    if source.modality != "text" or source.encoder_decoder:
        return Choice("off", "only texts of decoders and encoders are packed")
    if not facts.cuda:
        return Choice("off", "rows of like length stand together, so that a CPU has little padding to save")
    if not source.decoder:
        return Choice("off", "the GPU's kernel for rows of unlike length has no dropout inside attention, which encoders learn with")
    return Choice("on", "a GPU computes rows of unlike length end to end, without padding")


def choose_compile(train: Train, facts: Facts, strategy: Strategy) -> Choice[str]:
    """On CUDA where training is long; off on a CPU, where it gained nothing."""
    if not facts.cuda:
        return Choice("off", "compiling takes half a minute or more, and layers of MiniLM had .91 times the speed on a CPU after it")
    from .models.compiled import hindrance

    if missing := hindrance(train, "cuda", facts.joint):
        return Choice("off", f"compiling asks for {missing[0]}; here: {missing[1]}")
    epochs = choose_epochs(train, facts, strategy).value if train.epochs == "auto" else float(train.epochs)
    seconds = epochs * facts.rows * seconds_per_row(facts) / GPU
    if seconds < REPAID:
        return Choice("off", f"about {seconds:,.0f} s of training: from {REPAID:g} s on, half a minute of compiling may be repaid")
    return Choice("on", f"about {seconds:,.0f} s of training may repay half a minute of compiling; not measured on a GPU")


# -- time -------------------------------------------------------------------------------------------------------------

EFFICIENCY = 0.6
"""Share of the matrix rate that training a small encoder reaches where it could not be tried."""


def seconds_per_token(facts: Facts) -> float:
    """Forward and backward of one token through all layers and, of a decoder, the head: as tried, else 6 operations a weight."""
    if facts.trial is not None:
        return facts.trial.both * facts.headed
    body = max(1, facts.source.parameters * 0.5 if facts.source.parameters < 60e6 else facts.source.parameters * 0.8)
    return 6 * body / (EFFICIENCY * facts.flops)


def seconds_per_row(facts: Facts) -> float:
    """Forward and backward of one row through all weights, with its share of an optimiser step of 32 rows."""
    update = facts.trial.update * facts.source.parameters / 32 if facts.trial else 0.0
    return seconds_per_token(facts) * facts.tokens + update
