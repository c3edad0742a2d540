"""The words that training meets, and they alone, as weights.

A row of an embedding that no training text looks up has no gradient, yet an optimiser reads and writes it, its moments and its
gradient of zeros in every step: with 30,000 words half of a small encoder, with 250,000 most of a multilingual one. Here only the rows
that are looked up are a parameter; the others stay as they came (no decay either), and answer where a text outside training has them.

Axes: V words of the vocabulary, U words in use, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import nn
from torch.nn import functional

from .heads import Pooled, bare


@final
class Used(nn.Module):
    """An embedding in two parts: `weight` (U, D), which learns, and the whole of before, which answers for every other word."""

    def __init__(self, whole: nn.Embedding, used_U: torch.Tensor) -> None:
        super().__init__()
        self.whole_VD = whole.weight.detach()
        self.used_U = used_U.to(self.whole_VD.device)
        self.place_V = torch.full((len(self.whole_VD),), -1, device=self.whole_VD.device)
        self.place_V[self.used_U] = torch.arange(len(used_U), device=self.whole_VD.device)
        self.pad = None if whole.padding_idx is None else int(self.place_V[whole.padding_idx])
        self.padding_idx = whole.padding_idx
        self.weight = nn.Parameter(self.whole_VD[self.used_U], requires_grad=whole.weight.requires_grad)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Vectors (..., D) of ids (...). In training every word is one in use: another is an error."""
        place = self.place_V[ids]
        if self.training:
            return functional.embedding(place, self.weight, self.pad)
        vectors = functional.embedding(place.clamp(min=0), self.weight)
        return torch.where((place >= 0).unsqueeze(-1), vectors, functional.embedding(ids, self.whole_VD).to(vectors.dtype))

    def whole(self) -> nn.Embedding:
        """The embedding as it was, with what was learned."""
        weight_VD = self.whole_VD.clone()
        weight_VD[self.used_U] = self.weight.detach().to(weight_VD.dtype)
        made = nn.Embedding(*weight_VD.shape, padding_idx=self.padding_idx, _weight=weight_VD)
        return made.requires_grad_(self.weight.requires_grad)

    def _apply(self, function: Callable[..., torch.Tensor], recurse: bool = True) -> Used:
        super()._apply(function, recurse)
        self.whole_VD, self.used_U, self.place_V = (function(t) for t in (self.whole_VD, self.used_U, self.place_V))
        return self


def name_of(model: nn.Module) -> str | None:
    """Name of the module that looks words up, where its weights serve nothing else and are alike for every word."""
    if not isinstance(model, Pooled) or model.source.modality != "text":
        return None
    here = bare(model.backbone).get_input_embeddings()
    if type(here) is not nn.Embedding or here.max_norm is not None or here.sparse or here.scale_grad_by_freq:
        return None
    owners = [name for name, weight in model.named_parameters(remove_duplicate=False) if weight is here.weight]
    return owners[0].removesuffix(".weight") if len(owners) == 1 else None


def part(model: nn.Module, name: str, used_U: torch.Tensor) -> None:
    """Put a `Used` in the place of the embedding of this name."""
    whole = model.get_submodule(name)
    assert isinstance(whole, nn.Embedding)
    _put(model, name, Used(whole, used_U))


def join(model: nn.Module) -> None:
    """Put whole embeddings back."""
    for name, module in list(model.named_modules()):
        if isinstance(module, Used):
            _put(model, name, module.whole())


def parted(model: nn.Module) -> dict[str, torch.Tensor]:
    """Name of the weight -> the words in use (U,), of each embedding that is in two parts."""
    return {f"{name}.weight": module.used_U for name, module in model.named_modules() if isinstance(module, Used)}


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    module.train(model.training)
    setattr(model.get_submodule(parent), own, module)
