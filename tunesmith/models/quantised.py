"""A frozen base in 8 or 4 bits under an adapter (QLoRA, arXiv 2305.14314): a quarter or an eighth of the memory, by bitsandbytes on CUDA.

What is saved is the base as it computed, in plain numbers again: the run's folder loads everywhere, without the package.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..errors import ResourceError, SpecError
from .outline import layer_list

PACKAGE = "bitsandbytes"
KINDS = ("8bit", "4bit")
LEVELS = 127.0
"""Of 8 bits with a sign; a row's largest weight has this one."""


def require(kind: str, adapter: bool, strategy: str, modality: str) -> None:
    """Raises SpecError where the base is to learn or reads no texts, ResourceError where the device or the package is missing."""
    if kind == "none":
        return
    place = f"train.quantise: {kind}"
    if not adapter:
        raise SpecError(
            place, expected="a strategy that leaves the base as it is", got=repr(strategy),
            fix="say --strategy lora, or leave train.quantise out", code="quantised-base-learns",
        )  # fmt: skip
    if modality != "text":
        raise SpecError(place, expected="a model of texts", got=modality, fix="leave train.quantise out", code="quantised-modality")
    if not torch.cuda.is_available():
        raise ResourceError(
            place, expected="a CUDA device, which computes with few bits", got="none",
            fix="leave train.quantise out, or run where there is a GPU", code="no-cuda",
        )  # fmt: skip
    if importlib.util.find_spec(PACKAGE) is None:
        raise ResourceError(
            place, expected=f"the package {PACKAGE}", got="none", fix="pip install 'tunesmith[quantise]'", code="missing-extra"
        )


def quantise(module: nn.Module, kind: str) -> int:
    """Put the linear maps inside the layers into 8 or 4 bits, in place; their number. They are cut when the model moves to its device."""
    if kind == "none":
        return 0
    bits = importlib.import_module(PACKAGE)
    found = layer_list(module)
    assert found is not None, "an architecture whose layers can be told"
    count = 0
    for block in found[1]:
        for name, inner in [(n, m) for n, m in block.named_modules() if type(m) is nn.Linear]:
            parent = block.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], _smaller(bits, inner, kind))
            count += 1
    setattr(module, f"is_loaded_in_{kind}", True)  # peft asks for it
    return count


def _smaller(bits: Any, linear: nn.Linear, kind: str) -> nn.Module:
    sizes = (linear.in_features, linear.out_features, linear.bias is not None)
    weight = linear.weight.detach()
    if kind == "8bit":
        made = bits.nn.Linear8bitLt(*sizes, has_fp16_weights=False)
        made.weight = bits.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    else:
        # Computing in float32 is what the reload gate compares with; in bf16 the autocast of training does its part around it.
        made = bits.nn.Linear4bit(*sizes, compute_dtype=torch.float32, quant_type="nf4", compress_statistics=True)
        made.weight = bits.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", compress_statistics=True)
    if linear.bias is not None:
        made.bias = nn.Parameter(linear.bias.detach(), requires_grad=False)
    return made


def plain(module: nn.Module, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state with the weights of few bits as the float32 that they stand for, and without what only bitsandbytes reads."""
    small = {name: part for name, part in module.named_modules() if type(part).__name__ in ("Linear4bit", "Linear8bitLt")}
    if not small:
        return dict(state)
    beside = tuple(f"{name}.weight." for name in small) + tuple(f"{name}.{key}" for name in small for key in ("SCB", "weight_format"))
    found = {name: tensor for name, tensor in state.items() if not name.startswith(beside)}
    return found | {f"{name}.weight": _whole(part) for name, part in small.items()}


def _whole(part: Any) -> torch.Tensor:
    weight = part.weight
    if type(part).__name__ == "Linear4bit":
        functional = importlib.import_module(f"{PACKAGE}.functional")
        whole: torch.Tensor = functional.dequantize_4bit(weight.data, weight.quant_state).float()
        return whole
    scale = part.state.SCB if weight.SCB is None else weight.SCB
    rows: torch.Tensor = weight.data.float() * scale.float().unsqueeze(1) / LEVELS
    return rows
