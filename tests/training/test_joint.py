"""Gradient caching gives the gradient of the uncut batch: all weights, any cut, with dropout the same in both passes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from transformers import AutoTokenizer

from tunesmith.data.table import Table
from tunesmith.inference import Encoded, collate, encode
from tunesmith.models.source import find, load
from tunesmith.tasks.embedding import Embedding
from tunesmith.training import device, joint
from tunesmith.training.step import gradient


def _made(folder: Path, **options: Any) -> tuple[Embedding, Encoded, Any]:
    rows = [row | {"negative": "we ate again" if at % 3 else None} for at, row in enumerate(Embedding.sample(12, 0))]
    if "similarity" in options:
        rows = [{"text": row["anchor"], "text_pair": row["positive"], "s": float(at % 5)} for at, row in enumerate(rows)]
    table, tokenizer = Table.of(rows), AutoTokenizer.from_pretrained(folder)
    task = Embedding(**options).fit(table).suit(table, tokenizer, 64, "none")
    return task, task.learned(encode(task, tokenizer, table)), task.model(load(find(str(folder))), 0.0)


def _gradients(
    task: Embedding, encoded: Encoded, model: Any, cuts: list[list[int]], seed: int = 5
) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    settings = SimpleNamespace(gradient_checkpointing="off", r_drop=0.0, l1=0.0, clip=0.0)
    batches = [collate(task, encoded, part, 0) for part in cuts]
    found = gradient(task, model, batches, settings, Accelerator(cpu=True), (seed, 0, 0))  # type: ignore[arg-type]
    return found.loss, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("options", [
    {"negative": "negative"}, {"negative": "negative", "loss_kind": "triplet"}, {"text": "text", "similarity": "s"},
])
def test_any_cut_gives_the_gradient_of_the_whole(tiny_bert: Path, options: dict[str, Any]) -> None:
    task, encoded, model = _made(tiny_bert, **options)
    model.eval()
    value, whole = _gradients(task, encoded, model, [list(range(12))])
    for cuts in ([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10, 11]], [[row] for row in range(12)]):
        again, parts = _gradients(task, encoded, model, cuts)
        assert again == pytest.approx(value, rel=1e-5) and parts.keys() == whole.keys()
        for name, gradient_of in whole.items():
            torch.testing.assert_close(parts[name], gradient_of, atol=1e-6, rtol=1e-4)
    alone = sum(float(task.loss(model, collate(task, encoded, [row], 0)).detach()) for row in range(12))
    assert alone != pytest.approx(12 * value, rel=1e-2)  # rows apart have no negatives: the loss is joint indeed


def test_both_passes_drop_the_same(tiny_bert: Path) -> None:
    """With dropout the cached gradient is that of the vectors which the second pass makes again."""
    task, encoded, model = _made(tiny_bert, negative="negative")
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.3
    model.train()
    cuts = [list(range(6)), list(range(6, 12))]
    _, cached = _gradients(task, encoded, model, cuts)
    model.zero_grad()
    vectors, batches = [], [collate(task, encoded, part, 0) for part in cuts]
    for index, batch in enumerate(batches):  # the same loss with all activations held
        device.seed(5, 0, 0, index)
        with device.computing(Accelerator(cpu=True), model):
            vectors.append(task.represent(model, batch))
    (task.joint_loss(torch.cat(vectors), joint.merged(batches)).sum() / 12).backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(cached[name], parameter.grad, atol=1e-6, rtol=1e-4)


def test_additive_losses_are_left_alone(tiny_bert: Path) -> None:
    task, encoded, model = _made(tiny_bert, text="text", similarity="s", loss_kind="cosine")
    assert not task.joint
    value, _ = _gradients(task, encoded, model.eval(), [list(range(12))])
    apart, _ = _gradients(task, encoded, model, [[row] for row in range(12)])
    assert np.isclose(value, apart, rtol=1e-5)
