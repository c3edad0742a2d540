"""A second of the model at hand, on this machine: what a token costs forward and backward, what it keeps, and whether bf16 pays.

A few layers are made from the model's config with weights of no meaning: time and memory are those of the real ones, nothing has to
be read, and nothing that is learnt depends on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from . import disk
from .data import caches
from .errors import ResourceError
from .models.source import Source
from .spent import lap

PASS_SECONDS = 0.25
"""Most time of one pass: long enough to be told from noise, short enough that a plan stays a matter of seconds."""
PASS_TOKENS = 1_280
"""Tokens of a training pass for each thread of a CPU: twice as many gain nothing (`docs/performance.md`), and half as many lose."""
USUAL_SECONDS = 2.0
"""Most time of a pass over a batch of usual size, which alone tells what bf16 gains: weights are cast once a pass, however many rows."""
WORDS = 1024
"""Vocabulary of the trial's model: looking a word up costs nothing beside the layers."""
CLEARLY = 1.2
"""How many times faster a step must be in bf16 to be trained so on a CPU. Below, results that do not depend on which machine happened
to make them are worth more."""
ROWS = 32
"""Rows of a step of usual size."""
PAIRS = 3
SMALL_SECONDS = 0.02
"""CPU seconds of a pass below which precision is not tried: such a model trains in no time, and noise would decide."""


@final
@dataclass(frozen=True)
class Trial:
    """Costs of a token through all layers; the embeddings and the head are left out."""

    forward: float
    """Seconds a token, in evaluation mode, on a machine with nothing else to do."""
    both: float
    """Seconds a token, forward and backward, in training mode."""
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


def trial(source: Source, tokens: float, flops: float, threads: int, *, bf16: bool) -> Trial | None:
    """Measured on rows of this many tokens; None for a model whose layers cannot be made alone.

    `flops`: rate of a plain matrix product, from which the size of a pass is chosen. `bf16`: whether to try that too. What was found of
    bf16 is kept: on one machine the same model is trained in the same precision, however busy the machine was the second time.
    """
    if getattr(source, "modality", "text") != "text":
        return None
    kept = _place(source, tokens, threads)
    known = _remembered(kept) if bf16 else None
    found = _trial(source.folder, source.layers, max(8, round(tokens)), round(flops / 1e10), threads, bf16 and known is None)
    if found is None or not bf16:
        return found
    faster = round(_whole_steps(found, tokens, source.parameters), 2) if known is None else known
    if known is None:
        _remember(kept, faster)
    return replace(found, bf16=faster)


def _whole_steps(found: Trial, tokens: float, parameters: int) -> float:
    passes, update = found.both * tokens * ROWS, found.update * parameters
    return (passes + update) / (passes / found.bf16 + update) if found.bf16 else 0.0


def _place(source: Source, tokens: float, threads: int) -> Path:
    """By what the figure depends on; of the rows, by how long they are, roughly."""
    import torch

    machine = [version("tunesmith"), torch.__version__, chip(), torch.backends.cpu.get_cpu_capability(), threads]
    about = [(source.folder / "config.json").read_text("utf-8"), round(math.log2(max(8, tokens))), *machine]
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
def _trial(folder: Path, layers: int, tokens: int, speed: int, threads: int, bf16: bool) -> Trial | None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            model, some = _few_layers(folder, layers)
            return _measured(model, layers / some, tokens, speed * 1e10, bf16)
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


def _measured(model: Any, scale: float, tokens: int, flops: float, bf16: bool) -> Trial:
    """`scale`: how many times the layers of the trial the model has."""
    import torch

    body = sum(p.numel() for n, p in model.named_parameters() if "embed" not in n and "pooler" not in n)
    rows = lambda seconds: max(1, min(PASS_TOKENS // tokens, ROWS, int(seconds * 0.5 * flops / (6 * body * tokens))))  # noqa: E731
    usual = _batch(rows(USUAL_SECONDS), tokens)
    batch = {name: tensor[-rows(PASS_SECONDS) :] for name, tensor in usual.items()}
    kept = kept_by(model, lambda: _pass(model, batch))[0]
    count = batch["input_ids"].numel() / scale
    both, cpu = undisturbed(lambda: _pass(model, batch))
    share = len(usual["input_ids"]) / len(batch["input_ids"])
    faster = _faster(lambda half: _pass(model, usual, half), cpu * share) if bf16 and cpu > SMALL_SECONDS else 0.0
    model.eval()
    with torch.inference_mode():
        forward, _ = undisturbed(lambda: model(**batch))
    return Trial(forward / count, both / count, kept / count, update_seconds(), int(body * scale), bf16=faster)


def _batch(rows: int, tokens: int) -> dict[str, Any]:
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


def update_seconds(size: int = 2_000_000) -> float:
    """Seconds a weight of AdamW's step with the gradient's norm."""
    import torch

    weight = torch.nn.Parameter(torch.ones(size))
    optimizer = torch.optim.AdamW([weight], fused=True)

    def step() -> None:
        weight.grad = torch.ones(size)
        torch.nn.utils.clip_grad_norm_([weight], 1.0)
        optimizer.step()

    return undisturbed(step)[0] / size


def undisturbed(work: Callable[[], Any], laps: int = 3) -> tuple[float, float]:
    """Seconds on a machine with nothing else to do (by the clock, but no more than on the CPU: waiting for other work costs nothing of
    it), and CPU seconds: medians of some laps after one to warm up."""
    taken = [lap(work) for _ in range(laps + 1)][1:]
    return statistics.median(map(min, taken)), statistics.median(cpu for _, cpu in taken)


def _faster(work: Callable[[bool], Any], enough: float) -> float:
    """How many times less CPU time `work(True)` takes: the median of three pairs of laps, of one where it takes three times `enough`.

    Pairs, and CPU time: what else the machine does at this moment must not decide in which precision a model is trained.
    """
    if (first := lap(lambda: work(True))[1]) > 3 * enough:
        return enough / first
    return statistics.median(lap(lambda: work(False))[1] / lap(lambda: work(True))[1] for _ in range(PAIRS))
