"""Optimisers and schedules. A schedule is a pure function of the step, so that nothing of it has to be saved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, final

import torch
from torch import nn

from ..spec import Train

Group = dict[str, Any]


def make(settings: Train, model: nn.Module, rates: Mapping[str, float]) -> torch.optim.Optimizer:
    """The optimiser over the parameters named in `rates`, grouped by rate and by whether they decay."""
    groups: dict[tuple[float, bool], Group] = {}
    for name, parameter in model.named_parameters():
        if name in rates:
            decays = parameter.ndim >= 2
            group = groups.setdefault(
                (rates[name], decays), _group(rates[name], settings.weight_decay if decays else 0.0)
            )
            group["params"].append(parameter)
            group["names"].append(name)
    kind = settings.optimizer
    return _KINDS[kind](list(groups.values()), float(settings.lr))


def set_rate(optimizer: torch.optim.Optimizer, peak: float, factor: float) -> None:
    """Give each group its rate for this step."""
    for group in optimizer.param_groups:
        group["lr"] = peak * factor * group["rate"]


def factor(schedule: str, step: int, total: int, warmup: float) -> float:
    """Share of the peak rate at `step` of `total` (counted from 0), after a linear rise over `warmup` of the steps."""
    rising = max(1, round(warmup * total)) if warmup else 0
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    return _FALL[schedule](done)


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's state as named tensors: `encoder.layer.0.weight|exp_avg`."""
    found = {}
    for name, parameter in _named(optimizer):
        for key, value in optimizer.state.get(parameter, {}).items():
            found[f"{name}|{key}"] = torch.as_tensor(value)
    return found


def load_state_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `state_tensors` took."""
    parameters = dict(_named(optimizer))
    for path, value in tensors.items():
        name, key = path.rsplit("|", 1)
        where = value if value.ndim == 0 else value.to(parameters[name].device)
        optimizer.state[parameters[name]][key] = where.clone()


def _named(optimizer: torch.optim.Optimizer) -> Iterable[tuple[str, nn.Parameter]]:
    for group in optimizer.param_groups:
        yield from zip(group["names"], group["params"])


def _group(rate: float, decay: float) -> Group:
    return {"params": [], "names": [], "rate": rate, "weight_decay": decay}


def _fused(groups: list[Group]) -> bool:
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for g in groups for p in g["params"])


@final
class Lion(torch.optim.Optimizer):
    """Lion: sign of an interpolated momentum, decoupled decay (arXiv 2302.06675, algorithm 2)."""

    def __init__(self, params: list[Group], lr: float, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step for every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, parameter: nn.Parameter, group: Group) -> None:
        near, far = group["betas"]
        momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(momentum.lerp(parameter.grad, 1 - near).sign_(), alpha=group["lr"])
        momentum.lerp_(parameter.grad, 1 - far)


_KINDS: dict[str, Any] = {
    "adamw": lambda groups, lr: torch.optim.AdamW(groups, lr=lr, fused=_fused(groups)),
    "adam": lambda groups, lr: torch.optim.Adam(groups, lr=lr, fused=_fused(groups)),
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9),
    "rmsprop": lambda groups, lr: torch.optim.RMSprop(groups, lr=lr),
    "adafactor": lambda groups, lr: torch.optim.Adafactor(groups, lr=lr),
    "lion": Lion,
}


def _wsd(done: float) -> float:
    """Warm-up, stable, decay: flat for four fifths, then straight down (arXiv 2404.06395)."""
    return 1.0 if done < 0.8 else max(0.0, (1 - done) / 0.2)


def _one_cycle(done: float) -> float:
    """The falling half of a one-cycle schedule: cosine to 1/10,000 of the peak (arXiv 1708.07120)."""
    return 1e-4 + (1 - 1e-4) * 0.5 * (1 + math.cos(math.pi * done))


_FALL: dict[str, Any] = {
    "linear": lambda done: max(0.0, 1 - done),
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * min(1.0, done))),
    "exponential": lambda done: 0.01**done,
    "polynomial": lambda done: max(0.0, 1 - done) ** 2,
    "one-cycle": _one_cycle,
    "wsd": _wsd,
}
