"""A model's parameters by depth, found from its structure: the longest list of like blocks is its layers."""

from __future__ import annotations

import re

from torch import nn

from ..strategy import Outline
from .heads import bare

ADAPTER = re.compile(
    r"(^|\.)(lora_|ia3_l|vera_lambda|vera_[AB]|prompt_encoder\.|adalora_|bottleneck\.|lora_magnitude_vector)"
)
"""How peft and the bottlenecks of `adapters.py` name what they add."""

FOLLOWS = re.compile(
    r"(^|\.)(norm|ln_f|final_norm|final_layer_norm|final_layernorm|layer_norm|layernorm|emb_layer_norm_after|pooler|"
    r"post_layernorm|top_conv|top_bn)\.|^head\."
)
"""Names of what follows the last layer. What stands outside the layers under another name counts as below them, which is
always right for a cache: DeBERTa's `rel_embeddings` and MPNet's `relative_attention_bias` are read by every layer."""


def layer_list(module: nn.Module) -> tuple[str, nn.ModuleList] | None:
    """Name and list of the blocks that the backbone runs in order; None where there is no such list.

    The longest ModuleList whose members are of one class, of equals the first; lists inside such a list (the blocks of a stage) are
    its business. Shared layers (ALBERT) make a list of one.
    """
    found: list[tuple[str, nn.ModuleList]] = []
    for name, part in bare(module).named_modules():
        inner = any(name.startswith(f"{outer}.") for outer, blocks in found if len(blocks) > 1)
        if isinstance(part, nn.ModuleList) and len(part) and len({type(block) for block in part}) == 1 and not inner:
            found.append((name, part))
    return max(found, key=lambda item: len(item[1]), default=None)


def outline(model: nn.Module) -> Outline:
    """Depth of every parameter of a model with `.backbone`: 0 the embeddings, 1..L layers, L+1 what follows, L+2 all the rest.

    A backbone whose layers cannot be told counts as one layer. A head that was pretrained with the model (`keeps_head`) is no new
    one: it stands with what follows the layers, so that adapters leave it alone.
    """
    module = model.backbone
    blocks = layer_list(module)
    count = len(blocks[1]) if blocks else 1
    own = {id(parameter): 0 for parameter in module.parameters()} | _depths(bare(module), blocks, count)
    rest = count + (1 if getattr(model, "keeps_head", False) else 2)
    depths = {name: own.get(id(parameter), rest) for name, parameter in model.named_parameters()}
    adapters = frozenset(name for name in depths if ADAPTER.search(name) and name.startswith("backbone."))
    return Outline(depths=depths, layers=count, adapters=adapters)


def _depths(module: nn.Module, blocks: tuple[str, nn.ModuleList] | None, count: int) -> dict[int, int]:
    """id of a parameter -> its depth."""
    if blocks is None:
        return {id(parameter): 1 for parameter in module.parameters()}
    inside = f"{blocks[0]}."
    return {id(parameter): _depth(name, inside, count) for name, parameter in module.named_parameters()}


def _depth(name: str, inside: str, count: int) -> int:
    if name.startswith(inside):
        return int(name[len(inside) :].split(".", 1)[0]) + 1
    return count + 1 if FOLLOWS.search(name) and not name.startswith("embeddings.") else 0
