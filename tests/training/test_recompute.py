"""Layers that are computed again on the way back give the same bits of loss and gradient, and keep less; nothing of it stays behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tunesmith import testing
from tunesmith.models.outline import stacks
from tunesmith.training.events import Adjusted, Step
from tunesmith.training.loop import train
from tunesmith.training.stages import Work, gradient_of
from tunesmith.training.state import State

CASES = {
    "encoder": ("text-classification", "full", "tiny_bert", {"dropout": 0.2}),
    "encoder in bf16": ("text-classification", "full", "tiny_bert", {"dropout": 0.2, "precision": "bf16"}),
    "adapters": ("text-classification", "lora", "tiny_bert", {}),
    "learnt keys and values": ("text-classification", "prefix", "tiny_bert", {}),
    "rows compared": ("embedding", "full", "tiny_bert", {"dropout": 0.2}),
    "two draws a row": ("text-classification", "full", "tiny_bert", {"dropout": 0.2, "r_drop": 1.0}),
    "decoder": ("dialogue", "full", "tiny_llama", {}),
    "packed rows": ("dialogue", "full", "tiny_llama", {"packing": "on"}),
    "pair": ("translation", "full", "tiny_t5", {"dropout": 0.2}),
    "images": ("image-classification", "last-k", "tiny_vit", {"dropout": 0.2}),
    "sounds": ("audio-classification", "full", "tiny_wav2vec2", {"dropout": 0.2}),
    "pictures": ("image-generation", "full", "tiny_denoiser", {}),
}


def _started(case: str, again: str, folder: Path, request: pytest.FixtureRequest) -> State:
    task, strategy, model, settings = CASES[case]
    folder.mkdir()
    state = State.start(testing.ready(task, strategy, request.getfixturevalue(model), folder, gradient_checkpointing=again, **settings))
    while state.current.solve:
        state.stage += 1
    state.enter_stage()
    state.model.train()
    return state


def _kept(state: State) -> tuple[Any, dict[str, Any], int]:
    """A step's loss, the gradients, and the bytes that were kept on the way to the loss."""
    weights = {p.untyped_storage().data_ptr() for p in state.model.parameters()}
    held: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = gradient_of(state, Work.of(state), np.arange(8))
    return found, {n: p.grad for n, p in state.model.named_parameters() if p.grad is not None}, sum(held.values())


@pytest.mark.parametrize("case", CASES)
def test_a_step_is_the_same_to_the_bit(case: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    plain, again = (_kept(_started(case, on, tmp_path / on, request)) for on in ("off", "on"))
    assert again[0].loss == plain[0].loss and again[1].keys() == plain[1].keys() and plain[1]
    for name, gradient in plain[1].items():
        assert torch.equal(again[1][name], gradient), name


@pytest.mark.parametrize("case", ["encoder", "decoder", "packed rows", "pair", "sounds"])
def test_less_is_kept_and_nothing_stays_behind(case: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    plain = _kept(_started(case, "off", tmp_path / "off", request))[2]
    state = _started(case, "on", tmp_path / "on", request)
    assert _kept(state)[2] < 0.7 * plain
    assert not any("forward" in vars(block) for _, blocks in stacks(state.model.backbone) for block in blocks)


def test_where_one_row_is_too_much_layers_are_computed_twice(tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps are those of a run with memory enough for one row, losses up to the order of sums."""
    made = {}
    for room in ("enough", "little"):
        (tmp_path / room).mkdir()
        settings = {"dropout": 0.0, "micro_tokens": 12}
        state = State.start(testing.ready("text-classification", "full", tiny_bert, tmp_path / room, **settings))
        if room == "little":
            real = type(state.ready.task).loss

            def tight(self: Any, model: Any, batch: Any, state: State = state, real: Any = real) -> Any:
                if torch.is_grad_enabled() and not state.recompute:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                return real(self, model, batch)

            monkeypatch.setattr(type(state.ready.task), "loss", tight)
        made[room] = list(train(state, tmp_path / room / "checkpoints"))
    told = [event.what for event in made["little"] if isinstance(event, Adjusted)]
    assert "layers computed twice" in told and told.count("micro-batch halved") <= 1
    steps = {room: [event for event in events if isinstance(event, Step)] for room, events in made.items()}
    assert [step.loss for step in steps["little"]] == pytest.approx([step.loss for step in steps["enough"]], abs=1e-5)
    resumed, _ = State.resume(state.ready, tmp_path / "little" / "checkpoints")
    assert resumed.recompute and resumed.settings.gradient_checkpointing == "on"
