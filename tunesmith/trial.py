"""A second of the model at hand, on this machine: what a token costs forward and backward, what it keeps, and whether bf16 pays.

A few layers are made from the model's config with weights of no meaning: time and memory are those of the real ones, nothing has to
be read, and nothing that is learnt depends on it. Passes are as large as those of training and of reading, and each of another length:
weights are cast and gone through once a pass, so that one of few rows costs a token more, and for each new shape products are compiled,
in bf16 above all. The optimiser's part is timed between passes, which take its numbers out of the caches, and leave it new gradients.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import platform
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self, final

import numpy as np

from . import disk
from .data import caches
from .errors import ResourceError
from .inference import READ_TOKENS, reading
from .memory import give_back, held
from .models.source import Source
from .spent import alone, lap
from .task import Batch

PASS_TOKENS = 1_280
"""Tokens of a training pass for each thread of a CPU: twice as many gain nothing (`docs/performance.md`), and half as many lose."""
USUAL_SECONDS = 2.0
"""Most time of a pass; where one of usual size takes longer, fewer rows are tried."""
SLOW_SECONDS = 0.5
"""Time of a pass from which fewer are made."""
WORDS = 1024
"""Vocabulary of the trial's model: looking a word up costs nothing beside the layers."""
CLEARLY = 1.2
"""How many times faster a step must be in bf16 to be trained so on a CPU. Below, results that do not depend on which machine happened
to make them are worth more."""
UPDATED = 8_000_000
"""Most weights, roughly, of which an optimiser's step is tried."""
LENGTHS, SOME = 5, 3
"""Lengths of which passes are tried, and how many of them where passes are slow."""
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

    left: int = 0
    """Bytes that the trial leaves behind: compiled products, of which a bounded number is kept."""

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
    lengths: tuple[int, ...]
    """Tokens of a row in batches from all over, short and long."""
    micro_tokens: int
    """Most tokens of a pass."""
    texts: int = 1
    """Texts of a row that go through the model one after the other; the lengths are of one."""
    widest: int = 0
    """Tokens of the longest text of a row in the batches of the longest rows; 0: the longest of the lengths."""

    @classmethod
    def of(cls, rows: int, texts_NK: np.ndarray, micro_tokens: int) -> Self:
        """Rows of like length stand together: of each of some parts of them, from the shortest to the longest, the mean. `texts_NK`: tokens
        of each row's texts that go through the model one after the other."""
        texts_NK = texts_NK[np.argsort(texts_NK.sum(1), kind="stable")]
        parts = np.array_split(texts_NK, min(LENGTHS, len(texts_NK)))
        lengths = tuple(max(2, round(float(part.mean()))) for part in parts)
        return cls(rows, lengths, micro_tokens, texts_NK.shape[1], max(2, round(float(parts[-1].max(1).mean()))))

    @property
    def tokens(self) -> float:
        """Mean tokens of a row, or of one of its texts."""
        return statistics.fmean(self.lengths)

    def passing(self, length: int) -> int:
        """Rows of one pass: a batch is cut in as few parts as it takes, of like size."""
        parts = math.ceil(self.rows / max(1, self.micro_tokens // (length * self.texts)))
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
    tried = _trial(source.folder, source.layers, usual, round(flops / 1e10), threads, asked)
    if tried is None or precision != "auto":
        return replace(tried.by[asked], left=tried.left) if tried else None
    if known is None:
        known = round(_whole_steps(tried, usual, source.parameters), 2)
        _remember(kept, known)
    return replace(tried.by[_chosen(known)], bf16=known, left=tried.left)


@final
@dataclass(frozen=True)
class Tried:
    """Costs in each precision that was tried, and how many times less CPU time the passes alone take in bf16, 0 where not both were."""

    by: Mapping[Precision, Trial]
    gain: float = 0.0
    left: int = 0


def _chosen(faster: float) -> Precision:
    return "bf16" if faster >= CLEARLY else "fp32"


def _whole_steps(tried: Tried, usual: Usual, parameters: int) -> float:
    """How many times faster a whole step is in bf16."""
    plain = tried.by["fp32"]
    passes, update = plain.both * usual.tokens * usual.texts * usual.rows, plain.update * parameters
    return (passes + update) / (passes / tried.gain + update) if tried.gain else 0.0


def _place(source: Source, usual: Usual, threads: int) -> Path:
    """By what the figure depends on; of the passes, by how many rows of which length they have, roughly."""
    import torch

    machine = [version("tunesmith"), torch.__version__, chip(), torch.backends.cpu.get_cpu_capability(), threads]
    size = [round(math.log2(number)) for number in (usual.tokens, usual.passing(round(usual.tokens)))]
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
def _trial(folder: Path, layers: int, usual: Usual, speed: int, threads: int, precision: Precision) -> Tried | None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            model, some = _few_layers(folder, layers)
            give_back()
            before_it = held()
            longest = _batch(2, usual.widest or max(usual.lengths))
            found = _measured(model, layers / some, _passes(model, usual, speed * 1e10, threads), longest, precision)
            give_back()
            return replace(found, left=max(0, held() - before_it))
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


def _passes(model: Any, usual: Usual, flops: float, threads: int) -> list[tuple[Batch, Batch]]:
    """For each length, from the middle outwards, a pass of training and one that reads, of usual size as far as that takes no long time."""
    found = []
    for length in sorted(usual.lengths, key=lambda length: abs(length - usual.tokens)):
        most = int(USUAL_SECONDS * 0.5 * flops / (6 * _body(model) * length))
        sizes = (usual.passing(length), READ_TOKENS * threads // (length * usual.texts))
        found.append(tuple(_batch(max(1, min(size, most)), length) for size in sizes))
    return found  # type: ignore[return-value]


def _body(model: Any) -> int:
    return sum(p.numel() for n, p in model.named_parameters() if "embed" not in n and "pooler" not in n)


def _measured(model: Any, scale: float, passes: Sequence[tuple[Batch, Batch]], longest: Batch, precision: Precision) -> Tried:
    """`scale`: how many times the layers of the trial the model has; `longest`: rows as long as the longest batches have them, of which
    attention keeps most for each token."""
    usual, read = ([pair[at] for pair in passes] for at in (0, 1))
    kept = kept_by(model, lambda: _pass(model, longest))[0] / longest["input_ids"].numel()
    both, gain, update = _both(_Steps(model), usual, precision)
    model.eval()
    forward = {half: _reading(model, read, half) * scale for half in {False, "bf16" in both}}
    by = {
        name: Trial(forward[False], token * scale, kept * scale, update, int(_body(model) * scale), seen=forward[name == "bf16"])
        for name, token in both.items()
    }
    return Tried(by, gain)


@final
class _Steps:
    """Steps of a model, with an optimiser of its own for some of its weights. Mutable: it adds up what that took."""

    def __init__(self, model: Any) -> None:
        self.model, self.update = model, list[float]()
        self.some = [weight for weight in _first(model.parameters(), UPDATED)]
        self.optimizer = _adamw(self.some)

    def __call__(self, batch: Batch, half: bool) -> tuple[float, float]:
        """Seconds by the clock and CPU seconds of a pass forth and back; the optimiser's part comes after it."""
        taken = lap(lambda: _pass(self.model, batch, half))
        size = sum(weight.numel() for weight in self.some if weight.grad is not None)
        self.update.append(alone(lambda: _updated(self.some, self.optimizer)) / max(1, size))
        self.model.zero_grad()
        return taken


def _both(step: _Steps, batches: Sequence[Batch], precision: Precision) -> tuple[dict[Precision, float], float, float]:
    """Seconds a token of passes by precision; how many times less CPU time they take in bf16, the median of pairs on the same rows (of one
    where bf16 takes three times as long, and then only float32 counts); and seconds a weight of the optimiser's part.

    Pairs, and CPU time: what else the machine does at this moment must not decide in which precision a model is trained.
    """
    first, enough = step(batches[0], precision == "bf16")
    batches = batches if enough < SLOW_SECONDS else batches[:SOME]
    tokens, gain, tried = sum(batch["input_ids"].numel() for batch in batches), 0.0, [precision == "bf16"]
    if precision == "auto" and enough > SMALL_SECONDS:
        narrow = step(batches[0], True)[1]
        tried, gain = ([False], enough / narrow) if narrow > 3 * enough else ([False, True], 0.0)
    laps = [{half: step(batch, half) for half in tried} for batch in batches]
    both: dict[Precision, float] = {"bf16" if half else "fp32": sum(min(pair[half]) for pair in laps) / tokens for half in tried}
    gain = gain or (statistics.median(pair[False][1] / pair[True][1] for pair in laps) if len(tried) == 2 else 0.0)
    return both, gain, statistics.median(step.update[1:])


def _reading(model: Any, batches: Sequence[Batch], half: bool) -> float:
    """Seconds a token of passes that only read; in bf16 weights are cast once for all of them."""
    import torch

    within = reading(torch.autocast("cpu", torch.bfloat16) if half else None)

    def work(batch: Batch) -> None:
        with within():
            model(**batch)

    work(batches[0])
    return sum(alone(lambda: work(batch)) for batch in batches) / sum(batch["input_ids"].numel() for batch in batches)  # noqa: B023


def _batch(rows: int, tokens: int) -> Batch:
    import torch

    ids_BT = torch.randint(5, WORDS, (rows, tokens))
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[-1, -1] = 0  # padding as in real batches: without it a faster kernel may be chosen
    return {"input_ids": ids_BT, "attention_mask": mask_BT}


def _pass(model: Any, batch: Any, half: bool = False) -> None:
    with learning(half):
        loss = model(**batch)[0].float().square().mean()
    loss.backward()


@contextlib.contextmanager
def learning(half: bool) -> Iterator[None]:
    """The context of a pass that will be gone back through, as training has it."""
    import torch

    from .models.quick import Quick

    with torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext(), Quick():
        yield


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
    """Seconds a weight of AdamW's step with the gradient's norm, on weights like some of this model's."""
    import torch

    some = [torch.nn.Parameter(torch.zeros_like(weight)) for weight in _first(model.parameters(), UPDATED)]
    for weight in some:
        weight.grad = torch.ones_like(weight)
    optimizer = _adamw(some)
    return undisturbed(lambda: _updated(some, optimizer))[0] / sum(weight.numel() for weight in some)


def _first(weights: Iterable[Any], most: int) -> Iterator[Any]:
    """The first weights, until they have so many numbers."""
    for weight in weights:
        if most <= 0:
            return
        most -= weight.numel()
        yield weight


def _adamw(weights: Sequence[Any]) -> Any:
    import torch

    return torch.optim.AdamW(weights, lr=1e-6, fused=True)


def _updated(weights: Sequence[Any], optimizer: Any) -> None:
    import torch

    torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    optimizer.step()


def undisturbed(work: Callable[[], Any], laps: int = 3) -> tuple[float, float]:
    """Seconds on a machine with nothing else to do (by the clock, but no more than on the CPU: waiting for other work costs nothing of
    it), and CPU seconds: medians of some laps after one to warm up."""
    taken = [lap(work) for _ in range(laps + 1)][1:]
    return statistics.median(map(min, taken)), statistics.median(cpu for _, cpu in taken)
