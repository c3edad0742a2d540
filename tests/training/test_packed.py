"""Steps over packed rows are steps over padded ones; a plan that wants them of a model that does not take them says so and goes on."""

import numpy as np
import pytest
import torch

from tunesmith import choices, testing
from tunesmith.registry import STRATEGIES
from tunesmith.spec import Train
from tunesmith.training.loop import train
from tunesmith.training.stages import Work, gradient_of
from tunesmith.training.state import State


def _started(task, model, folder, packing):
    folder.mkdir(exist_ok=True)
    return State.start(testing.ready(task, "full", model, folder, packing=packing))


@pytest.mark.parametrize("task", ["dialogue", "text-classification"])
def test_a_step_has_the_same_loss_and_gradient(task, tiny_llama, tiny_bert, tmp_path):
    found = {}
    for packing in ("off", "on"):
        state = _started(task, tiny_llama if task == "dialogue" else tiny_bert, tmp_path / packing, packing)
        assert (state.model.packed is not None) == (packing == "on") and not state.padded
        state.enter_stage()
        state.model.train()
        made = gradient_of(state, Work.of(state), np.arange(12))
        found[packing] = made.loss, {n: p.grad for n, p in state.model.named_parameters()}
    assert found["on"][0] == pytest.approx(found["off"][0], rel=1e-6)
    for name, grad in found["off"][1].items():
        assert torch.allclose(found["on"][1][name], grad, atol=1e-6, rtol=1e-5), name


def test_a_model_that_is_not_packed_is_padded_and_that_is_told(tiny_t5, tmp_path):
    state = _started("translation", tiny_t5, tmp_path, "on")
    events = train(state, tmp_path / "checkpoints")
    next(events)
    told = next(events)
    events.close()
    assert told.what == "rows are padded" and "encoders and decoders" in told.why


@pytest.mark.parametrize(
    ("cuda", "decoder", "pair", "value"),
    [(False, True, False, "off"), (True, True, False, "on"), (True, False, False, "off"), (True, False, True, "off")],
)
def test_auto(cuda, decoder, pair, value):
    from types import SimpleNamespace

    source = SimpleNamespace(modality="text", decoder=decoder, encoder_decoder=pair)
    found = choices.choose_packing(Train(), SimpleNamespace(cuda=cuda, source=source), STRATEGIES.load("full")())
    assert found.value == value and found.why
