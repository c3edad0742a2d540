"""Weights that do not change are cast once, and what is computed with them is the same to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.runs import make_ready
from tunesmith.inference import reading
from tunesmith.models.quick import Casts, Quick
from tunesmith.training import cache, device
from tunesmith.training.loop import gradient_of
from tunesmith.training.stages import Work, batches_from, frozen_cut, how_read, steps_in
from tunesmith.training.state import State

BF16 = torch.bfloat16


def small() -> nn.Sequential:
    """A convolution and two linear maps; the first two do not learn."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv1d(2, 3, 3), nn.GELU(), nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 4))
    for module in list(made)[:3]:
        module.requires_grad_(False)
    return made


def learnt(model: nn.Module, around: Any) -> list[torch.Tensor]:
    """What comes out and the gradients."""
    model.zero_grad()
    with torch.autocast("cpu", BF16), around:
        out = model(torch.linspace(-1, 1, 32).view(2, 2, 8))
    out.float().square().sum().backward()
    return [out.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    """To the bit."""
    return len(first) == len(second) and all(torch.equal(one, other) for one, other in zip(first, second))


def test_a_frozen_weight_is_cast_once_and_nothing_else_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    model, casts, made = small(), Casts(), list[torch.Size]()
    wanted = learnt(model, Quick(Casts()))
    plain = learnt(model, torch.enable_grad())
    usual = torch.Tensor.to

    def counted(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        made.append(tensor.shape)
        return usual(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", counted)
    assert all(equal(learnt(model, Quick(casts)), wanted) for _ in range(3)) and equal(wanted, plain)
    assert made == [model[0].weight.shape, model[2].weight.shape], "each frozen weight once, the learning one left to autocast"


def test_a_weight_that_was_changed_in_place_is_cast_again() -> None:
    model, casts = small(), Casts()
    learnt(model, Quick(casts))
    with torch.no_grad():
        model[2].weight.mul_(2)
    assert equal(learnt(model, Quick(casts)), learnt(model, torch.enable_grad()))
    casts.clear()
    assert not casts._kept


def test_another_weight_in_the_same_place_is_not_taken_for_the_old_one() -> None:
    """A number of an object that is gone may be given to another."""
    casts, old, new = Casts(), nn.Parameter(torch.ones(2, 2), False), nn.Parameter(torch.zeros(2, 2), False)
    with torch.autocast("cpu", BF16):
        casts.of(old)
        casts._kept[id(new)] = casts._kept.pop(id(old))
        assert torch.equal(casts.of(new), new.to(BF16))


def test_a_copy_made_while_reading_serves_learning() -> None:
    model, casts = small(), Casts()
    with torch.inference_mode(), torch.autocast("cpu", BF16), Quick(casts, learning=False):
        model(torch.ones(1, 2, 8))
    assert len(learnt(model, Quick(casts))) == 3


def test_reading_casts_learning_weights_too_and_tensors_that_are_none_never() -> None:
    model, within = small(), reading(torch.autocast("cpu", BF16))
    with torch.inference_mode(), torch.autocast("cpu", BF16):
        wanted = model(torch.ones(1, 2, 8))
    for _ in range(2):
        with within():
            assert torch.equal(model(torch.ones(1, 2, 8)), wanted)
            casts = Casts(reading=True)
            for weight in model.parameters():
                casts.of(weight)
            casts.of(torch.ones(2, 2))
    assert len(casts._kept) == len(list(model.parameters()))


def test_without_autocast_nothing_is_cast() -> None:
    weight = nn.Parameter(torch.ones(2, 2), requires_grad=False)
    assert Casts().of(weight) is weight


@pytest.mark.parametrize(("strategy", "options"), [("lora", {}), ("last-k", {"k": 1}), ("bitfit", {}), ("adapters", {})])
def test_steps_in_bf16_are_the_same_to_the_bit_without_kept_casts(
    strategy: str, options: dict[str, int], tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, train = [], {"precision": "bf16", "cache": "off"}
    for keeps in (True, False):
        state = State.start(make_ready(tmp_path, tiny_bert, strategy=strategy, strategy_options=options, train=train))
        state.enter_stage()
        work = Work.of(state)
        total, per_epoch = steps_in(state, work, state.current)
        if not keeps:
            monkeypatch.setattr(Casts, "of", lambda _, weight: weight)
        for positions, _ in zip(batches_from(state, work, per_epoch, total), range(2)):
            gradient_of(state, work, positions)
        found.append([p.grad.clone() for p in state.model.parameters() if p.grad is not None])
        assert bool(state.model.casts._kept) == keeps
        state.leave_stage()
    assert equal(*found) and found[0]


def test_where_layers_are_computed_again_no_copies_take_the_memory_that_this_saves(tiny_bert: Path, tmp_path: Path) -> None:
    train = {"precision": "bf16", "gradient_checkpointing": "on"}
    state = State.start(make_ready(tmp_path, tiny_bert, strategy="lora", train=train))
    state.enter_stage()
    work = Work.of(state)
    total, per_epoch = steps_in(state, work, state.current)
    gradient_of(state, work, next(iter(batches_from(state, work, per_epoch, total))))
    assert not state.model.casts._kept
    with torch.autocast("cpu", BF16):
        weight = nn.Parameter(torch.ones(2, 2), requires_grad=False)
        assert state.model.casts.of(weight) is weight


def test_frozen_layers_read_in_the_precision_of_the_steps_and_are_kept_apart(tiny_bert: Path, tmp_path: Path) -> None:
    """With a cache as without one; a file made in another precision is not met."""
    read = {}
    for precision in ("fp32", "bf16"):
        state = State.start(make_ready(tmp_path, tiny_bert, strategy="last-k", strategy_options={"k": 1}, train={"precision": precision}))
        state.enter_stage()
        work, cut = Work.of(state), frozen_cut(state, state.current)
        assert cut is not None
        how = how_read(state, work.pad)
        kept = cache.attach(state.ready.task, state.model, work.train.encoded, cut, how).arrays[cut.array]
        (longest,) = work.train.encoded.lengths_N.argsort()[-1:]
        batch = state.ready.task.collate(work.train.encoded.examples([longest]), work.pad)
        with device.autocast(state.settings):
            wanted = cut.below(batch)[0].float()
        read[precision] = torch.tensor(kept.take([longest]).values)
        torch.testing.assert_close(read[precision], wanted, atol=1e-5 if precision == "fp32" else 0.05, rtol=0.05)
    assert not torch.equal(read["fp32"], read["bf16"])
