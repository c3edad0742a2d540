"""Optimisers and schedules against their references."""

import pytest
import torch
from torch import nn

from tunesmith.spec import Spec
from tunesmith.training import optim

SCHEDULES = ["linear", "constant", "cosine", "exponential", "polynomial", "one-cycle", "wsd"]
OPTIMISERS = ["adamw", "adam", "sgd", "adafactor", "lion", "rmsprop"]


def settings(**train):
    return Spec.of({"train": {"lr": 0.01} | train}).train


def steps(optimizer, model, n, peak=0.01):
    for index in range(n):
        optim.set_rate(optimizer, peak, 1.0)
        torch.manual_seed(index)
        model(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_rises_then_never_rises_again(schedule):
    values = [optim.factor(schedule, step, 100, 0.1) for step in range(100)]
    assert values[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert all(a >= b for a, b in zip(values[10:], values[11:], strict=False)) and 0 <= min(values) and max(values) == 1


def test_linear_ends_near_nothing():
    assert optim.factor("linear", 99, 100, 0.1) == pytest.approx(1 / 90)


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_state_is_put_back_to_the_bit(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    rates = {name: 1.0 for name, _ in model.named_parameters()}
    optimizer = optim.make(settings(optimizer=kind), model, rates)
    steps(optimizer, model, 3)
    twin = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    twin.load_state_dict(model.state_dict())
    other = optim.make(settings(optimizer=kind), twin, rates)
    optim.load_state_tensors(other, optim.state_tensors(optimizer))
    for which, net in ((optimizer, model), (other, twin)):
        steps(which, net, 2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_frozen_weights_and_rates():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = optim.make(settings(optimizer="sgd", weight_decay=0.0), model, {"1.weight": 1.0, "1.bias": 0.5})
    assert sorted(group["rate"] for group in optimizer.param_groups) == [0.5, 1.0]
    steps(optimizer, model, 1)
    moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert moved == [False, False, True, True]


def test_biases_do_not_decay():
    model = nn.Linear(4, 4)
    optimizer = optim.make(settings(weight_decay=0.1), model, {"weight": 1.0, "bias": 1.0})
    decays = {tuple(g["names"]): g["weight_decay"] for g in optimizer.param_groups}
    assert decays == {("weight",): 0.1, ("bias",): 0.0}


def test_lion_is_its_paper():
    """arXiv 2302.06675, algorithm 2, written out for two steps of one weight."""
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    lion = optim.Lion([{"params": [weight], "names": ["w"], "rate": 1.0, "weight_decay": 0.1}], lr=0.5)
    expected, momentum = weight.detach().clone(), torch.zeros(2)
    for grad in (torch.tensor([0.3, -0.1]), torch.tensor([-0.2, 0.4])):
        weight.grad = grad
        lion.step()
        update = (0.9 * momentum + 0.1 * grad).sign()
        expected = expected - 0.5 * (update + 0.1 * expected)
        momentum = 0.99 * momentum + 0.01 * grad
    assert torch.allclose(weight.detach(), expected, atol=1e-6)
