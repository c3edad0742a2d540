"""A model's parameters by depth, found from its structure: the longest list of like blocks is its layers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import nn

from ..strategy import Outline
from .heads import bare

ADAPTER = re.compile(
    r"(^|\.)(lora_|ia3_l|vera_lambda|vera_[AB]|prompt_encoder\.|adalora_|bottleneck\.|lora_magnitude_vector)"
)
"""How peft and the bottlenecks of `adapters.py` name what they add."""


def layer_list(module: nn.Module) -> tuple[str, nn.ModuleList] | None:
    """Name and list of the blocks that the backbone runs in order; None where there is no such list.

    The longest ModuleList whose members are of one class; of equals the first. Shared layers (ALBERT) make a list of one.
    """
    found: list[tuple[str, nn.ModuleList]] = []
    for name, part in bare(module).named_modules():
        if isinstance(part, nn.ModuleList) and len(part) and len({type(block) for block in part}) == 1:
            found.append((name, part))
    return max(found, key=lambda item: len(item[1]), default=None)


def outline(model: nn.Module) -> Outline:
    """Depth of every parameter of a model with `.backbone`: 0 the embeddings, 1..L layers, L+1 what follows, L+2 all the rest.

    A backbone whose layers cannot be told counts as one layer.
    """
    module = model.backbone
    blocks = layer_list(module)
    count = len(blocks[1]) if blocks else 1
    inside = _depths(bare(module), blocks, count)
    depths = {name: inside.get(id(parameter), 0) for name, parameter in _all(model)}
    own = {id(parameter) for parameter in module.parameters()}
    depths |= {name: count + 2 for name, parameter in _all(model) if id(parameter) not in own}
    adapters = frozenset(name for name in depths if ADAPTER.search(name) and name.startswith("backbone."))
    return Outline(depths=depths, layers=count, adapters=adapters)


def _depths(module: nn.Module, blocks: tuple[str, nn.ModuleList] | None, count: int) -> dict[int, int]:
    """id of a parameter -> its depth. What is registered before the layers lies below them, what comes after lies above."""
    if blocks is None:
        return {id(parameter): 1 for parameter in module.parameters()}
    found: dict[int, int] = {}
    seen_layers = False
    for name, parameter in module.named_parameters():
        inside = name.startswith(f"{blocks[0]}.")
        seen_layers |= inside
        number = name[len(blocks[0]) + 1 :].split(".", 1)[0] if inside else ""
        found[id(parameter)] = int(number) + 1 if inside else count + 1 if seen_layers else 0
    return found


def _all(model: nn.Module) -> Iterable[tuple[str, nn.Parameter]]:
    return model.named_parameters()
