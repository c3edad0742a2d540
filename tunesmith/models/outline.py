"""A model's parameters by depth, found from its structure: the longest list of like blocks is its layers."""

from __future__ import annotations

import re

from torch import nn

from ..strategy import Outline
from .heads import bare

ADAPTER = re.compile(
    r"(^|\.)(lora_|ia3_l|vera_lambda|vera_[AB]|prompt_encoder\.|adalora_|bottleneck\.(down|up)\.|lora_magnitude_vector)"
)
"""How peft and the bottlenecks of `adapters.py` name what they add."""

FOLLOWS = re.compile(
    r"(^|\.)(norm|ln_f|final_norm|final_layer_norm|final_layernorm|layer_norm|layernorm|emb_layer_norm_after|pooler|"
    r"post_layernorm|top_conv|top_bn)\.|^head\."
)
"""Names of what follows the last layer. What stands outside the layers under another name counts as below them, which is
always right for a cache: DeBERTa's `rel_embeddings` and MPNet's `relative_attention_bias` are read by every layer."""


TOP = re.compile(r"(^|\.)(lm_head|cls|generator_predictions|generator_lm_head)\.")
"""Names of what stands on top of a decoder, where it is part of the module."""


def layer_list(module: nn.Module) -> tuple[str, nn.ModuleList] | None:
    """Name and list of the blocks that the backbone runs in order; None where there is no such list.

    The longest ModuleList whose members are of one class, of equals the first; lists inside such a list (the blocks of a stage) are
    its business. Shared layers (ALBERT) make a list of one.
    """
    found: list[tuple[str, nn.ModuleList]] = []
    for name, part in bare(module).named_modules():
        inner = any(name.startswith(f"{outer}.") for outer, blocks in found if len(blocks) > 1)
        if name.endswith("conv_layers"):
            continue  # what turns samples into frames stands below the layers
        if isinstance(part, nn.ModuleList) and len(part) and len({type(block) for block in part}) == 1 and not inner:
            found.append((name, part))
    return max(found, key=lambda item: len(item[1]), default=None)


def stacks(module: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    """The lists of blocks, lowest first: one, or of an encoder-decoder the encoder's and the decoder's."""
    whole = bare(module)
    if not getattr(getattr(whole, "config", None), "is_encoder_decoder", False) or not hasattr(whole, "get_decoder"):
        found = layer_list(module)
        return [found] if found else []
    halves = [layer_list(half) for half in (whole.get_encoder(), whole.get_decoder())]
    names = {id(part): name for name, part in whole.named_modules()}
    found = {id(half[1]): (names[id(half[1])], half[1]) for half in halves if half}
    return list(found.values())  # an encoder taken out of such a model calls itself both halves


def outline(model: nn.Module) -> Outline:
    """Depth of every parameter of a model with `.backbone`: 0 the embeddings, 1..L layers, L+1 what follows, L+2 all the rest.

    A backbone whose layers cannot be told counts as one layer. A head that was pretrained with the model (`keeps_head`) is no new
    one: it stands with what follows the layers, so that adapters leave it alone.
    """
    module = model.backbone
    if hasattr(model, "depths"):
        return _told(model)
    blocks = stacks(module)
    count = sum(len(layers) for _, layers in blocks) or 1
    own = {id(parameter): 0 for parameter in module.parameters()} | _depths(bare(module), blocks, count)
    above = tuple(getattr(model, "above", ()))
    own |= {id(parameter): count + 1 for name, parameter in bare(module).named_parameters() if above and name.startswith(above)}
    own |= {id(parameter): count + 2 for parameter in _fresh(model)} | _seeing(model, count)
    rest = count + (1 if getattr(model, "keeps_head", False) else 2)
    depths = {name: own.get(id(parameter), rest) for name, parameter in model.named_parameters()}
    adapters = frozenset(name for name in depths if ADAPTER.search(name) and name.startswith("backbone."))
    return Outline(depths=depths, layers=count, adapters=adapters)


def _seeing(model: nn.Module, count: int) -> dict[int, int]:
    """Depths of an image encoder beside the backbone, its layers spread over the backbone's: what learns of both begins as deep."""
    sight = getattr(model, "sight", None)
    if sight is None:
        return {}
    blocks = stacks(sight.module)
    own = sum(len(layers) for _, layers in blocks) or 1
    depths = {id(parameter): 0 for parameter in sight.module.parameters()} | _depths(sight.module, blocks, own)
    return {key: count + 1 if depth > own else -(-depth * count // own) for key, depth in depths.items()}


def _told(model: nn.Module) -> Outline:
    """The outline of a model whose layers stand in no one list, and which therefore says its depths itself."""
    layers, depths = model.depths()
    own = {id(dict(bare(model.backbone).named_parameters())[name]): depth for name, depth in depths.items()}
    found = {name: own.get(id(parameter), layers + 1) for name, parameter in model.named_parameters()}
    return Outline(found, layers, frozenset(name for name in found if ADAPTER.search(name)))


def _fresh(model: nn.Module) -> list[nn.Parameter]:
    """Weights that pretraining did not have, of a model that keeps its head: they are its new part, as a head is of others."""
    names = set(getattr(model, "fresh", ()))
    named = bare(model.backbone).named_parameters() if names else ()
    return [parameter for name, parameter in named if name.replace(".base_layer.", ".") in names]


def _depths(module: nn.Module, blocks: list[tuple[str, nn.ModuleList]], count: int) -> dict[int, int]:
    """id of a parameter -> its depth."""
    if not blocks:
        return {id(parameter): 1 for parameter in module.parameters()}
    inside, below = list[tuple[str, int]](), 0
    for name, layers in blocks:
        inside.append((f"{name}.", below))
        below += len(layers)
    return {id(parameter): _depth(name, inside, count) for name, parameter in module.named_parameters()}


def _depth(name: str, inside: list[tuple[str, int]], count: int) -> int:
    for start, below in inside:
        if name.startswith(start):
            return below + int(name[len(start) :].split(".", 1)[0]) + 1
    if len(inside) > 1 and TOP.search(name):
        return count + 1
    return count + 1 if FOLLOWS.search(name) and not name.startswith("embeddings.") else 0
