"""The gradient of a nominal batch does not depend on how it is cut; memory running out changes nothing; NaN is caught at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator

import tunesmith
from tests.runs import fingerprint, make_ready
from tunesmith.inference import collate
from tunesmith.training import batches, step
from tunesmith.training.events import Adjusted, Step
from tunesmith.training.loop import train
from tunesmith.training.stages import Work
from tunesmith.training.state import State


@pytest.fixture
def still(tmp_path, tiny_bert):
    """A ready plan without dropout, so that only the cutting differs."""
    return make_ready(tmp_path, tiny_bert, train={"dropout": 0.0, "threads": 1}, strategy="full")


def gradients(state, work, positions, micro_tokens):
    settings = state.ready.plan.spec.train
    parts = batches.micro_batches(positions, work.train.encoded.lengths_N, micro_tokens)
    made = [collate(state.ready.task, work.train.encoded, part, work.pad) for part in parts]
    state.model.zero_grad()
    found = step.gradient(
        state.ready.task, state.model, made, settings.model_copy(update={"clip": 0.0}), state.accelerator, (0, 0, 0)
    )
    return len(parts), found.loss, [p.grad.clone() for p in state.model.parameters() if p.grad is not None]


@pytest.mark.parametrize("micro_tokens", [1, 20, 60])
def test_accumulation_is_the_big_batch(still, micro_tokens):
    state = State.start(still)
    state.enter_stage()
    state.model.train()
    work, positions = Work.of(state), np.arange(16)
    one, loss, whole = gradients(state, work, positions, 10**9)
    many, other, pieces = gradients(state, work, positions, micro_tokens)
    assert one == 1 < many
    assert other == pytest.approx(loss, abs=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(whole, pieces, strict=True))


NO_MEMORY = [
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("std::bad_alloc"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
]
PASSES = {
    "the first forward pass": [("task.loss", 1)],
    "a later forward pass": [("task.loss", 5)],
    "the middle of a batch": [("backward", 6)],
    "a backward pass, and again": [("backward", 2), ("backward", 9)],
    "while validating": [("task.outputs", 2)],
}


@pytest.fixture(scope="module")
def calm(tmp_path_factory, tiny_bert):
    """A plan whose batches take several passes, and what it does while there is memory."""
    folder = tmp_path_factory.mktemp("calm")
    settings = {"dropout": 0.0, "threads": 1, "micro_tokens": 120}
    ready = make_ready(folder, tiny_bert, train=settings, strategy="full", epochs=1)
    return ready, [e for e in train(State.start(ready), folder / "c") if isinstance(e, Step)]


@pytest.mark.parametrize("place", PASSES)
@pytest.mark.parametrize("error", NO_MEMORY, ids=lambda error: type(error).__name__ + str(error)[:12])
def test_memory_running_out_changes_no_step(calm, tmp_path, monkeypatch, error, place):
    """The same steps with the same rows and tokens in the same order, and the same losses up to the order of sums."""
    ready, whole = calm
    owners = {"task": type(ready.task), "accelerator": Accelerator}
    for name, at in PASSES[place]:
        owner, method = owners["task" if "." in name else "accelerator"], name.removeprefix("task.")
        monkeypatch.setattr(owner, method, _failing(getattr(owner, method), at, error))
    state = State.start(ready)
    events = list(train(state, tmp_path / "tight"))
    halved = [e for e in events if isinstance(e, Adjusted) and "halved" in e.what]
    assert len(halved) == len(PASSES[place]) and state.micro_tokens == 120 // 2 ** len(halved)
    tight = [e for e in events if isinstance(e, Step)]
    assert [(e.step, e.rows, e.tokens) for e in tight] == [(e.step, e.rows, e.tokens) for e in whole]
    assert max(abs(a.loss - b.loss) for a, b in zip(tight, whole, strict=True)) < 1e-5


def _failing(real, at, error):
    """The method, whose `at`-th call finds no memory."""
    calls = []

    def method(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == at:
            raise error
        return real(self, *args, **kwargs)

    return method


def test_a_real_fault_is_not_taken_for_memory(still, tmp_path, monkeypatch):
    def broken(*args):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("tunesmith.training.stages.gradient", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(train(State.start(still), tmp_path / "c"))


@pytest.mark.parametrize("poison", ["loss", "weight"])
def test_a_number_that_is_not_finite_ends_the_step_and_is_never_saved(still, tmp_path, monkeypatch, poison):
    state = State.start(still)
    events = train(state, tmp_path / "c")
    for event in events:
        if isinstance(event, Step) and event.step == 2:
            break
    if poison == "weight":
        next(p for n, p in state.model.named_parameters() if n.endswith("layer.0.attention.self.query.weight")).data[
            0, 0
        ] = math.inf
    else:
        real = type(still.task).loss
        monkeypatch.setattr(
            type(still.task), "loss", lambda self, model, batch: real(self, model, batch) * _poison(batch, state)
        )
    taken = [2]
    with pytest.raises(tunesmith.DivergedError) as caught:
        for event in events:
            taken.append(event.step if isinstance(event, Step) else taken[-1])
    assert caught.value.exit_code == 6 and f"step {taken[-1] + 1}:" in str(caught.value) and "rows.csv, row" in str(caught.value)
    assert poison == "weight" or "these rows alone" in str(caught.value)
    for file in (tmp_path / "c").rglob("*.safetensors"):
        from safetensors.torch import load_file

        assert all(torch.isfinite(t).all() for t in load_file(file).values())


def _poison(batch, state):
    """NaN for a batch that holds the shortest row of the training set, alone or with others."""
    lengths = batch["attention_mask"].sum(1)
    return torch.where((lengths <= 8).any(), torch.tensor(math.nan), torch.tensor(1.0))


def test_cached_activations_change_no_loss(tmp_path, tiny_bert):
    made = {}
    for cache in ("on", "off"):
        ready = make_ready(
            tmp_path, tiny_bert, strategy="last-k", strategy_options={"k": 1}, train={"cache": cache, "dropout": 0.0}
        )
        state = State.start(ready)
        made[cache] = [e for e in train(state, tmp_path / cache) if isinstance(e, Step)]
        assert any(isinstance(e, Step) for e in made[cache])
    assert [e.loss for e in made["on"]] == pytest.approx([e.loss for e in made["off"]], abs=1e-5)
    assert [e.grad_norm for e in made["on"]] == pytest.approx([e.grad_norm for e in made["off"]], rel=1e-4)


def test_the_budget_leaves_a_usable_model(tmp_path, tiny_bert):
    ready = make_ready(tmp_path, tiny_bert, budget="1s", epochs=500, train={"patience": 10**6})
    state = State.start(ready)
    events = list(train(state, tmp_path / "c"))
    assert state.done == "budget" and state.best is not None
    state.load_best(tmp_path / "c")
    assert events[-1].reason == "budget" and fingerprint(state, tmp_path / "c")
