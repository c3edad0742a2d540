"""Segmentation models of transformers with the decoder that they were pretrained with: SegFormer, UperNet, Mask2Former.

Their answers are brought to the task's grid. Where the classes are not the model's own, what names them is new; all else is kept.
Mask2Former answers a set of masks, each with its class: the answer of a place is the sum over masks of probability times presence, and it
learns by its own loss of sets (arXiv 2112.01527). The saved folder is the architecture's own, with the names of the classes.

Axes: B rows of a batch, Q masks of a set, C classes, G cells of the grid a side, T = G x G cells in reading order, H height, W width.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, final

import torch
from torch import nn

from . import vision
from .heads import START, bare
from .maps import on
from .source import SEGMENTERS, Backbone

Batch = Mapping[str, torch.Tensor]
POOLING = "segments"
"""How `head.json` calls a decoder that came with the model."""
LEAST = 1e-6
"""Least probability of a class, so that its logarithm is a number."""
NAMERS = ("classifier", "class_predictor")
"""Names of what tells the classes apart."""
ABOVE = ("decode_head.", "auxiliary_head.", "class_predictor.")
"""How the names of what lies above all layers begin."""


@final
class Native(nn.Module):
    """`model(batch)` -> logits (B, T, C)."""

    keeps_head = True
    """The decoder came with the model: it is saved with it."""
    per_token = True
    pooling = POOLING
    cuttable = False
    """Encoders in stages and decoders that read all of them: there is no one place to cut."""
    above = ABOVE

    def __init__(
        self, backbone: Backbone, sides: tuple[int, int], grid: tuple[int, int], dropout: float = 0.1, labels: Sequence[str] | None = None
    ) -> None:
        """`backbone`: loaded with `form="segments"`. `sides`, `grid`: as of a `Segmenter`. `labels`: C classes; None: the model's own."""
        super().__init__()
        self.backbone: Any = backbone.module
        self.dropout = nn.Dropout(dropout)
        self.source, self.spare, self.cut = backbone.source, backbone.spare, None
        self.grid, self.frame = grid, [*sides, *grid]
        self.fresh = tuple(_renamed(self.whole, labels)) if labels is not None and list(labels) != _named(self.whole) else ()

    @property
    def whole(self) -> Any:
        """The architecture's own model, without adapters."""
        return bare(self.backbone)

    @property
    def sets(self) -> bool:
        """Whether it answers sets of masks."""
        return hasattr(self.whole, "criterion")

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits (B, T, C)."""
        found = self.backbone(pixel_values=batch["pixel_values"])
        return self._cells(_together(found) if self.sets else found.logits.float())

    @property
    def auxiliary(self) -> float:
        """Weight of the loss of a head beside the decoder, which only learns (UperNet's; arXiv 1612.01105); 0: there is none."""
        return float(self.whole.config.auxiliary_loss_weight) if getattr(self.whole, "auxiliary_head", None) is not None else 0.0

    def with_auxiliary(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, T, C) of the decoder and of the head beside it."""
        said: list[torch.Tensor] = []
        handle = self.whole.auxiliary_head.register_forward_hook(lambda module, args, made: said.append(made))
        try:
            return self(batch), self._cells(said[0].float())
        finally:
            handle.remove()

    def set_loss(self, batch: Batch, classes: int, weight_B: torch.Tensor) -> torch.Tensor:
        """SUM over rows of the loss of sets times `weight_B`; `batch["target"]` (B, H, W), beyond `classes` where nothing is labelled.

        Each row has its own points, drawn by its target alone, so that parts of a batch add up and epochs differ as their crops do.
        """
        target_BHW = batch["target"]
        found = self.backbone(pixel_values=batch["pixel_values"], output_auxiliary_logits=True)
        total = found.masks_queries_logits.new_zeros(())
        for row, target_HW in enumerate(target_BHW):
            present_P = target_HW[target_HW < classes].unique()
            if not len(present_P):
                continue
            masks_PHW = (target_HW[None] == present_P[:, None, None]).float()
            one = slice(row, row + 1)
            auxiliary = [{name: part[one] for name, part in level.items()} for level in found.auxiliary_logits or ()]
            with torch.random.fork_rng(devices=_devices(target_HW)):
                torch.manual_seed(_seed(target_HW))
                parts = self.whole.get_loss_dict(
                    found.masks_queries_logits[one], found.class_queries_logits[one], [masks_PHW], [present_P], auxiliary
                )
            total = total + weight_B[row] * self.whole.get_loss(parts)
        return total

    def train(self, mode: bool = True) -> Self:
        """As of any module, but batch norm keeps the statistics of pretraining."""
        super().train(mode)
        vision.freeze_statistics(self.backbone)
        return self

    def reset_head(self, seed: int) -> None:
        """New weights of what names new classes, which depend on `seed` alone."""
        generator = torch.Generator().manual_seed(seed)
        named = dict(self.whole.named_parameters())
        with torch.no_grad():
            for name in self.fresh:
                if name.endswith("bias"):
                    named[name].zero_()
                else:
                    named[name].copy_(torch.empty(named[name].shape).normal_(0.0, START, generator=generator))

    def features(self, batch: Batch) -> torch.Tensor:
        """Not asked: `cuttable` says so."""
        raise NotImplementedError

    def _cells(self, logits_BCHW: torch.Tensor) -> torch.Tensor:
        return on(logits_BCHW, self.grid).flatten(2).transpose(1, 2)


def made_by(source_type: str) -> Any:
    """The architecture's class with its decoder."""
    import transformers

    return getattr(transformers, SEGMENTERS[source_type])


def _together(found: Any) -> torch.Tensor:
    """(B, C, H, W) logarithms of what masks say of each place; the last class of each is `nothing`."""
    probability_BQC = found.class_queries_logits.float().softmax(-1)[..., :-1]
    presence_BQHW = found.masks_queries_logits.float().sigmoid()
    return torch.einsum("bqc,bqhw->bchw", probability_BQC, presence_BQHW).clamp(min=LEAST).log()


def _named(module: Any) -> list[str]:
    """The model's own classes, in order."""
    said = module.config.id2label or {}
    return [said[at] for at in sorted(said)]


def _renamed(module: Any, labels: Sequence[str]) -> Iterable[str]:
    """Put new classes in place of the model's own; the names of the new weights."""
    beside = 1 if hasattr(module, "criterion") else 0  # `nothing` is one more class of sets
    module.config.id2label = dict(enumerate(labels))
    module.config.label2id = {label: at for at, label in enumerate(labels)}
    for name, part in list(module.named_modules()):
        if name.rpartition(".")[2] in NAMERS and isinstance(part, nn.Linear | nn.Conv2d):
            _replace(module, name, part, len(labels) + beside)
            yield from (f"{name}.{own}" for own in ("weight", "bias") if getattr(module.get_submodule(name), own) is not None)
    if beside:
        module.criterion = type(module.criterion)(config=module.config, weight_dict=module.weight_dict)


def _replace(module: nn.Module, name: str, part: nn.Linear | nn.Conv2d, out: int) -> None:
    """A layer like this one, with other outputs."""
    made = copy.deepcopy(part)
    made.weight = nn.Parameter(part.weight.new_zeros(out, *part.weight.shape[1:]))
    if part.bias is not None:
        made.bias = nn.Parameter(part.bias.new_zeros(out))
    setattr(made, "out_channels" if isinstance(part, nn.Conv2d) else "out_features", out)
    owner, _, own = name.rpartition(".")
    setattr(module.get_submodule(owner), own, made)


def _seed(target_HW: torch.Tensor) -> int:
    flat = target_HW.flatten().long().cpu()
    return int((flat * (torch.arange(len(flat)) % 9973 + 1)).sum()) % (1 << 31)


def _devices(like: torch.Tensor) -> list[Any]:
    return [like.device] if like.is_cuda else []
