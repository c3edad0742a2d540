"""Where a model can be cut: the layers below a cut are computed once, the layers above from their output.

Axes: B rows of a batch, T tokens, D features.

The upper half is a shallow copy of the backbone that shares every parameter. Its lower layers pass their input on, and the
layer at the cut is handed the cached hidden states instead of what reaches it. Everything else (masks, positions, the final
norm) is the architecture's own code, so nothing here knows a family by name; a family for which this is not exact is found
out by trying, and cannot be cut.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import nn

from . import vision
from .heads import bare, evaluating, inputs, virtual_tokens
from .outline import layer_list
from .sound import is_sound

Batch = Mapping[str, torch.Tensor]
TOLERANCE = 1e-5
"""Largest difference of a hidden state between the whole and the cut model, tried once when the cut is made."""
HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_hooks",
    "_backward_pre_hooks",
)
NOT_ABOVE = frozenset({"input_ids", "token_type_ids", "inputs_embeds", "pixel_values"})
"""Entries that only the embeddings read."""


class _Reached(Exception):
    """The layer at the cut was reached: what lies above need not be computed."""


@final
class Cut:
    """A backbone cut below one of its layers."""

    def __init__(self, module: nn.Module, layer: int) -> None:
        """`layer`: number of layers below the cut, 0 to L - 1. Use `cut`, which proves the result exact."""
        self.module, self.layer = module, layer
        self._given: torch.Tensor | None = None
        self._twins: list[tuple[nn.Module, nn.Module]] = []
        name, layers = _layers(module)
        shapes = _shapes(module, layers)
        blocks = [_passing(block, shape) for block, shape in zip(layers[:layer], shapes)]
        blocks += [_replaced(layers[layer], self._from_cache(layers[layer])), *layers[layer + 1 :]]
        self._upper = self._copied(bare(module), name.split("."), blocks)

    def __deepcopy__(self, memo: dict[int, Any]) -> Cut:
        """The copy's own cut: functions are not copied, so those of this one would go on using this one's weights."""
        return Cut(copy.deepcopy(self.module, memo), self.layer)

    def below(self, batch: Batch) -> torch.Tensor:
        """Hidden states that enter the layer at the cut: (B, T, D), without dropout, without gradient."""
        found: list[torch.Tensor] = []

        def stop(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found.append(args[0] if args else kwargs["hidden_states"])
            raise _Reached

        handle = _layers(self.module)[1][self.layer].register_forward_pre_hook(stop, with_kwargs=True, prepend=True)
        try:
            with evaluating(self.module), torch.inference_mode():
                self.module(**inputs(self.module, batch))
        except _Reached:
            pass
        finally:
            handle.remove()
        return found[0].clone()  # a copy made outside inference mode may take part in a backward pass

    def above(self, batch: Batch) -> torch.Tensor:
        """The backbone's last hidden states from `hidden_BTD` and `attention_mask`: (B, T, D)."""
        return self.answer(batch).last_hidden_state

    def answer(self, batch: Batch) -> Any:
        """The same, as the backbone's whole output."""
        self._given = batch["hidden_BTD"]
        for twin, original in self._twins:
            twin.training = original.training
        rest = {name: tensor for name, tensor in inputs(self.module, batch).items() if name not in NOT_ABOVE}
        try:
            return self._upper(**self._unused(), **rest)
        finally:
            self._given = None

    def _unused(self) -> dict[str, torch.Tensor]:
        """Something for the embeddings to read, whose outcome nobody does."""
        assert self._given is not None
        if sees(self.module):
            return {"pixel_values": vision.blank(bare(self.module), len(self._given))}
        width = bare(self.module).get_input_embeddings().weight.shape[1]
        return {"inputs_embeds": self._given.new_zeros(1).expand(*self._given.shape[:2], width)}

    def _from_cache(self, block: nn.Module) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            return block(self._given, *args[1:], **{k: v for k, v in kwargs.items() if args or k != "hidden_states"})

        return forward

    def _copied(self, module: nn.Module, path: list[str], blocks: list[nn.Module]) -> nn.Module:
        """The module with the list at `path` replaced; only the modules on the path are copied, and those shallowly."""
        twin = copy.copy(module)
        twin._modules = dict(module._modules)
        inner = nn.ModuleList(blocks) if len(path) == 1 else self._copied(module._modules[path[0]], path[1:], blocks)
        twin._modules[path[0]] = inner
        self._twins.append((twin, module))
        return twin


def cut(model: nn.Module, layer: int) -> Cut | None:
    """The model's backbone cut below `layer` (0: after the embeddings), or None where that is not possible exactly.

    A `layer` past the last one is the last one: what follows the layers is cheap. Make the cut after a strategy has shaped the
    model, and again if the backbone is wrapped anew.
    """
    module = model.backbone
    found = layer_list(module)
    if found is None or not (sees(module) or hasattr(bare(module).config, "vocab_size")):
        return None
    if is_sound(bare(module).config.to_dict()):
        return None  # below the layers every epoch would pay the convolutions again
    if virtual_tokens(module):
        return None  # they learn below every layer
    try:
        made = Cut(module, min(layer, len(found[1]) - 1))
        return made if _exact(made, module) else None
    except (RuntimeError, TypeError, ValueError, KeyError, IndexError, AttributeError):
        return None  # the architecture hands more from layer to layer than hidden states


def sees(module: nn.Module) -> bool:
    """Whether a backbone reads images."""
    return getattr(bare(module), "main_input_name", "") == "pixel_values"


def _exact(made: Cut, module: nn.Module) -> bool:
    batch = _tiny(bare(module))
    with evaluating(module), torch.no_grad():
        whole_BTD = module(**inputs(module, batch)).last_hidden_state
        parts_BTD = made.above({**batch, "hidden_BTD": made.below(batch)})
    difference = whole_BTD - parts_BTD
    difference = difference[batch["attention_mask"].bool()] if "attention_mask" in batch else difference
    return whole_BTD.dim() == 3 and bool(difference.abs().max() < TOLERANCE)


def _tiny(module: nn.Module) -> dict[str, torch.Tensor]:
    """Two rows of five and three tokens, none of which is padding by its id; or two images."""
    device = next(module.parameters()).device
    if sees(module):
        generator = torch.Generator().manual_seed(0)
        return {"pixel_values": torch.randn(vision.blank(module, 2).shape, generator=generator).to(device)}
    pad, most = module.config.pad_token_id, module.config.vocab_size
    ids = [n for n in range(min(most, 16)) if n != pad][-5:]
    input_ids = torch.tensor([(ids * 5)[:5], (ids[::-1] * 5)[:3] + [pad or 0] * 2], device=device)
    return {"input_ids": input_ids, "attention_mask": torch.tensor([[1] * 5, [1, 1, 1, 0, 0]], device=device)}


def _shapes(module: nn.Module, layers: nn.ModuleList) -> list[int]:
    """How each layer answers: 0 for a tensor, n for a tuple of n."""
    seen: list[int] = []

    def note(_: nn.Module, __: Any, output: Any) -> None:
        seen.append(len(output) if isinstance(output, tuple) else 0)

    handles = [block.register_forward_hook(note) for block in layers]
    try:
        with evaluating(module), torch.no_grad():
            module(**inputs(module, _tiny(bare(module))))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _passing(block: nn.Module, answer: int) -> nn.Module:
    """A stand-in for a layer below the cut: its attributes, none of its work."""

    def forward(hidden_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        return (hidden_states, *[None] * (answer - 1)) if answer else hidden_states

    return _replaced(block, forward)


def _replaced(block: nn.Module, forward: Callable[..., Any]) -> nn.Module:
    twin = copy.copy(block)
    for name in HOOKS:
        setattr(twin, name, OrderedDict())
    twin.forward = forward
    return twin


def _layers(module: nn.Module) -> tuple[str, nn.ModuleList]:
    found = layer_list(module)
    assert found is not None
    return found
