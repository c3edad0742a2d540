"""A second of the model at hand, on this machine: what a token costs forward and backward, what it keeps, and whether bf16 pays.

A few layers are made from the model's config with weights of no meaning: time and memory are those of the real ones, nothing has to
be read, and nothing that is learnt depends on it. Passes are as large as those of training, and of reading: weights are cast, drawn from
and gone through once a pass, so that a pass of few rows costs a token more, in bf16 above all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, final

from . import disk
from .data import caches
from .errors import ResourceError
from .inference import READ_TOKENS, reading
from .models.source import Source
from .spent import lap
from .task import Batch

PASS_TOKENS = 1_280
"""Tokens of a training pass for each thread of a CPU: twice as many gain nothing (`docs/performance.md`), and half as many lose."""
USUAL_SECONDS = 2.0
"""Most time of a pass; where one of usual size takes longer, fewer rows are tried."""
WORDS = 1024
"""Vocabulary of the trial's model: looking a word up costs nothing beside the layers."""
CLEARLY = 1.2
"""How many times faster a step must be in bf16 to be trained so on a CPU. Below, results that do not depend on which machine happened
to make them are worth more."""
PAIRS = 3
UPDATED = 4_000_000
"""Weights of which an optimiser's step is tried: they do not stay in a core's own cache, as real ones do not."""
SMALL_SECONDS = 0.02
"""CPU seconds of a pass below which precision is not tried: such a model trains in no time, and noise would decide."""


@final
@dataclass(frozen=True)
class Trial:
    """Costs of a token through all layers; the embeddings and the head are left out."""

    forward: float
    """Seconds a token, in evaluation mode and float32, on a machine with nothing else to do."""
    both: float
    """Seconds a token, forward and backward, in training mode, in passes of the size and in the precision that training has."""
    kept: float
    """Bytes a token that the forward pass keeps for the backward pass, and what this works with beside it, where that is much."""
    update: float
    """Seconds a learning weight that one optimiser step takes, the gradient's norm included."""
    body: int
    """Weights of all layers."""
    whole: int = 0
    """All weights that are held, where the whole model was made: a file may hold more (a decoder); 0: as many as the file says."""
    bf16: float = 0.0
    """How many times faster a whole step of usual size is in bf16, the optimiser's part, which stays as it is, included; 0: not tried."""
    seen: float = 0.0
    """Seconds a token of passes that only read while the model learns, which are in its precision; 0: as `forward`."""

    @property
    def reading(self) -> float:
        """Seconds a token of a pass that only reads while the model learns."""
        return self.seen or self.forward


@final
@dataclass(frozen=True)
class Usual:
    """What training passes will be like."""

    rows: int
    """Rows of a nominal batch."""
    tokens: float
    """Mean tokens of a row."""
    micro_tokens: int
    """Most tokens of a pass."""

    @property
    def passing(self) -> int:
        """Rows of one pass: a batch is cut in as few parts as it takes, of like size."""
        parts = math.ceil(self.rows / max(1, int(self.micro_tokens // max(1.0, self.tokens))))
        return math.ceil(self.rows / parts)


Precision = Literal["fp32", "bf16", "auto"]


def trial(source: Source, usual: Usual, flops: float, threads: int, precision: Precision) -> Trial | None:
    """Measured on rows of this many tokens; None for a model whose layers cannot be made alone.

    `flops`: rate of a plain matrix product, from which the size of a pass is limited. `precision`: the one that training will have;
    `auto`: both are tried, and the costs are those of the one that is to be taken. What bf16 gains is kept: on one machine the same model
    is trained in the same precision, however busy the machine was the second time. What a pass takes is not, since that is what was
    foretold.
    """
    if getattr(source, "modality", "text") != "text":
        return None
    kept = _place(source, usual, threads)
    known = _remembered(kept) if precision == "auto" else None
    asked = precision if known is None else _chosen(known)
    tried = _trial(source.folder, source.layers, usual.passing, max(8, round(usual.tokens)), round(flops / 1e10), threads, asked)
    if tried is None or precision != "auto":
        return tried.by[asked] if tried else None
    if known is None:
        known = round(_whole_steps(tried, usual, source.parameters), 2)
        _remember(kept, known)
    return replace(tried.by[_chosen(known)], bf16=known)


@final
@dataclass(frozen=True)
class Tried:
    """Costs in each precision that was tried, and how many times less CPU time the passes alone take in bf16, 0 where not both were."""

    by: Mapping[Precision, Trial]
    gain: float = 0.0


def _chosen(faster: float) -> Precision:
    return "bf16" if faster >= CLEARLY else "fp32"


def _whole_steps(tried: Tried, usual: Usual, parameters: int) -> float:
    """How many times faster a whole step is in bf16."""
    plain = tried.by["fp32"]
    passes, update = plain.both * usual.tokens * usual.rows, plain.update * parameters
    return (passes + update) / (passes / tried.gain + update) if tried.gain else 0.0


def _place(source: Source, usual: Usual, threads: int) -> Path:
    """By what the figure depends on; of the passes, by how many rows of which length they have, roughly."""
    import torch

    machine = [version("tunesmith"), torch.__version__, chip(), torch.backends.cpu.get_cpu_capability(), threads]
    size = [round(math.log2(number)) for number in (max(8.0, usual.tokens), usual.passing)]
    about = [(source.folder / "config.json").read_text("utf-8"), *size, *machine]
    return caches.root() / caches.TRIALS / f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]}.json"


def chip() -> str:
    """What the processor calls itself."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor()


def _remembered(place: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return float(json.loads(place.read_text())["bf16"])
    return None


def _remember(place: Path, faster: float) -> None:
    """Where the cache cannot be written, the next plan measures again."""
    with contextlib.suppress(OSError, ResourceError):
        place.parent.mkdir(parents=True, exist_ok=True)
        disk.write_json(place, {"bf16": faster})


@lru_cache(maxsize=32)
def _trial(folder: Path, layers: int, rows: int, tokens: int, speed: int, threads: int, precision: Precision) -> Tried | None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            model, some = _few_layers(folder, layers)
            body = sum(p.numel() for n, p in model.named_parameters() if "embed" not in n and "pooler" not in n)
            most = int(USUAL_SECONDS * 0.5 * speed * 1e10 / (6 * body * tokens))
            sizes = [max(1, min(some_rows, most)) for some_rows in (rows, READ_TOKENS * threads // tokens)]
            return _measured(model, layers / some, body, [_batch(size, tokens) for size in sizes], precision)
    except Exception:  # a config that cannot be cut or asks for more than ids: the forecast does without
        return None
    finally:
        torch.set_num_threads(before)


def _few_layers(folder: Path, layers: int) -> tuple[Any, int]:
    """The bare model with at most three layers and a small vocabulary, and how many layers it has."""
    from .models import dropout
    from .models.loading import load_config, model_class

    config = load_config(folder)
    some = min(layers, 3)
    config.num_hidden_layers, config.vocab_size, config.pad_token_id = some, WORDS, 0
    model = model_class(config, folder)(config)
    dropout.quicken(model)
    return model, some


def _measured(model: Any, scale: float, body: int, batches: Sequence[Batch], precision: Precision) -> Tried:
    """`scale`: how many times the layers of the trial the model has. `batches`: of a pass of training, and of one that reads."""
    usual, read = batches
    count, seen = (batch["input_ids"].numel() / scale for batch in batches)
    kept = kept_by(model, lambda: _pass(model, usual))[0] / count
    both, gain = _both(lambda half: _pass(model, usual, half), precision)
    update = update_seconds(model)
    model.eval()
    forward = {half: _reading(model, read, half) / seen for half in {False, "bf16" in both}}
    by = {
        name: Trial(forward[False], seconds / count, kept, update, int(body * scale), seen=forward[name == "bf16"])
        for name, seconds in both.items()
    }
    return Tried(by, gain)


def _both(work: Callable[[bool], Any], precision: Precision) -> tuple[dict[Precision, float], float]:
    """Seconds of `work(in bf16)` by precision, and how many times less CPU time it takes in bf16: the median of some pairs of laps; of one
    lap where bf16 takes three times as long, and then only float32 counts.

    Pairs, and CPU time: what else the machine does at this moment must not decide in which precision a model is trained.
    """
    if precision != "auto":
        return {precision: undisturbed(lambda: work(precision == "bf16"))[0]}, 0.0
    plain, enough = lap(lambda: work(False))
    if enough <= SMALL_SECONDS:
        return {"fp32": undisturbed(lambda: work(False))[0]}, 0.0
    if (first := lap(lambda: work(True))[1]) > 3 * enough:
        return {"fp32": min(plain, enough)}, enough / first
    pairs = [[lap(lambda: work(half)) for half in (False, True)] for _ in range(PAIRS)]  # noqa: B023
    plain, narrow = (statistics.median(min(pair[at]) for pair in pairs) for at in (0, 1))
    return {"fp32": plain, "bf16": narrow}, statistics.median(pair[0][1] / pair[1][1] for pair in pairs)


def _reading(model: Any, batch: Batch, half: bool) -> float:
    """Seconds of a pass that only reads; in bf16 weights are cast once for many such passes."""
    import torch

    within = reading(torch.autocast("cpu", torch.bfloat16) if half else None)

    def work() -> None:
        with within():
            model(**batch)

    return undisturbed(work)[0]


def _batch(rows: int, tokens: int) -> Batch:
    import torch

    ids_BT = torch.randint(5, WORDS, (rows, tokens))
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[-1, -1] = 0  # padding as in real batches: without it a faster kernel may be chosen
    return {"input_ids": ids_BT, "attention_mask": mask_BT}


def _pass(model: Any, batch: Any, half: bool = False) -> None:
    import torch

    from .models.quick import Quick

    with torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext(), Quick():
        loss = model(**batch)[0].float().square().mean()
    loss.backward()
    model.zero_grad()


def kept_by(model: Any, work: Callable[[], Any]) -> tuple[int, int]:
    """Bytes that the forward pass of some work in training mode keeps, weights not counted, and those of its largest part. It warms the
    machine up, too."""
    import torch

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    return sum(found.values()), max(found.values(), default=0)


def update_seconds(model: Any) -> float:
    """Seconds a weight of AdamW's step with the gradient's norm, on this model's own weights or some of them."""
    import torch

    some, size = list[Any](), 0
    for weight in model.parameters():
        if size < UPDATED:
            some, size = [*some, torch.nn.Parameter(torch.zeros_like(weight))], size + weight.numel()
            some[-1].grad = torch.ones_like(weight)
    optimizer = torch.optim.AdamW(some, fused=True)
    return undisturbed(lambda: (torch.nn.utils.get_total_norm([weight.grad for weight in some]), optimizer.step()))[0] / size


def undisturbed(work: Callable[[], Any], laps: int = 3) -> tuple[float, float]:
    """Seconds on a machine with nothing else to do (by the clock, but no more than on the CPU: waiting for other work costs nothing of
    it), and CPU seconds: medians of some laps after one to warm up."""
    taken = [lap(work) for _ in range(laps + 1)][1:]
    return statistics.median(map(min, taken)), statistics.median(cpu for _, cpu in taken)
