"""Detectors of transformers that answer a set of boxes (DETR and its kin): their own matched losses, and class heads for other classes.

They keep their heads: the folder is the architecture's own, which `AutoModelForObjectDetection` reads. A loss is computed image by image,
each weighed by its boxes: the library's loss of a batch divides by what that very batch holds, which would change with how it is cut.

Axes: B images, Q queries, C classes, M boxes, K detections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, final

import torch
from torch import nn

from ..errors import ModelError
from . import renamed, vision
from .allow import read_json
from .heads import bare, inputs
from .source import Backbone, Source

Batch = Mapping[str, torch.Tensor]
POOLING = "set"
"""How `head.json` calls a detector with its own heads."""
OTHERS = frozenset({
    "table-transformer", "deta", "dab-detr", "owlvit", "owlv2", "grounding-dino", "mm-grounding-dino", "omdet-turbo", "lw_detr", "rf_detr",
    "deimv2",
})
"""Detectors that are known and not tuned here."""
MOST = 100
"""K."""
NO_NUMBERS = ("must be in [x0, y0, x1, y1]", "invalid numeric entries")
"""What transformers and SciPy say where boxes, or what they are matched by, are no numbers."""


def kind_of(source: Source) -> str:
    """The family of a detector; nothing for an encoder. Raises ModelError for one that cannot be tuned here, and says why."""
    kind = source.model_type
    if kind in OTHERS:
        raise ModelError(
            f"model {source.name!r}", expected="a detector that can be tuned here", got=f"a {kind}, which is not tuned here",
            fix="use DETR or its kin, RT-DETR, D-FINE or YOLOS, or an image encoder", code="unsuitable-architecture",
        )
    path = source.folder / "config.json"
    renamed.config(read_json(path), str(path))
    return kind if kind in vision.SETS else ""


def model_class(config: Any) -> Any:
    """The class with the heads of boxes."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING

    return MODEL_FOR_OBJECT_DETECTION_MAPPING[type(config)]


@final
class SetDetector(nn.Module):
    """`model(batch)` -> logits (B, Q, C or C + 1) and boxes (B, Q, 4), middle and sides as shares of the frame."""

    keeps_head = True
    cuttable = False
    per_token = True

    def __init__(self, backbone: Backbone, labels: Sequence[str], dropout: float = 0.0, seed: int = 0) -> None:
        """`labels`: the classes. Where the detector knows others, its class heads are new, but for classes that it knows by name."""
        super().__init__()
        self.backbone: Any = backbone.module
        self.source, self.spare = backbone.source, backbone.spare
        self.pooling, self.cut = POOLING, None
        self.dropout = nn.Dropout(dropout)
        self.labels = tuple(labels)
        self.fresh = relabelled(self.backbone, self.labels, seed)

    @property
    def whole(self) -> Any:
        """The detector with its heads."""
        return bare(self.backbone)

    def forward(self, batch: Batch) -> Any:
        """The library's output. Adapters stand within its layers: a wrapper around it would pass on what it does not know."""
        return self.whole(**inputs(self.backbone, {k: v for k, v in batch.items() if k in ("pixel_values", "pixel_mask")}))

    def train(self, mode: bool = True) -> Self:
        """As of any module, but batch norm keeps the statistics of pretraining."""
        super().train(mode)
        vision.freeze_statistics(self.backbone)
        return self

    def reset_head(self, seed: int) -> None:
        """New weights for new rows of class heads, which depend on `seed` alone: made when the model was."""

    def loss(self, batch: Batch) -> torch.Tensor:
        """SUM over images of the library's own loss of each, times its boxes (one where there are none)."""
        total = batch["pixel_values"].new_zeros(())
        height, width = batch["pixel_values"].shape[-2:]
        for row, target_M5 in enumerate(batch["target"]):
            there_M5 = target_M5[target_M5[:, 0] >= 0]
            label = {"class_labels": there_M5[:, 0].long(), "boxes": shares(there_M5[:, 1:], height, width)}
            alone = {name: batch[name][row : row + 1] for name in ("pixel_values", "pixel_mask") if name in batch}
            total = total + self._compared(alone, label) * max(1, len(there_M5))
        return total

    def _compared(self, alone: Batch, label: dict[str, torch.Tensor]) -> torch.Tensor:
        """The library's loss of one image; no number where boxes are none, once training diverged: it refuses to compare them."""
        try:
            loss: torch.Tensor = self.whole(**inputs(self.backbone, alone), labels=[label]).loss
        except ValueError as error:
            if not any(words in str(error) for words in NO_NUMBERS):
                raise
            return next(weight for weight in self.parameters() if weight.requires_grad).sum() * torch.nan
        return loss

    def found(self, batch: Batch) -> torch.Tensor:
        """(B, K, 6): class, score, corners in pixels of the frame, surest first."""
        answer = self(batch)
        logits = answer.logits.float()
        sure_BQC = logits.softmax(-1)[..., :-1] if logits.shape[-1] == len(self.labels) + 1 else logits.sigmoid()
        best = sure_BQC.flatten(1).topk(min(MOST, sure_BQC[0].numel()), 1)
        kind, query = best.indices % sure_BQC.shape[2], best.indices // sure_BQC.shape[2]
        middle_BK4 = answer.pred_boxes.float().gather(1, query[..., None].expand(-1, -1, 4))
        half_BK2 = middle_BK4[..., 2:] / 2
        height, width = batch["pixel_values"].shape[-2:]
        scale = middle_BK4.new_tensor([width, height] * 2)
        corner_BK4 = torch.cat([middle_BK4[..., :2] - half_BK2, middle_BK4[..., :2] + half_BK2], -1) * scale
        return torch.cat([kind[..., None].float(), best.values[..., None], corner_BK4], -1)


def shares(corner_M4: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Middle and sides as shares of the frame, of corners in its pixels."""
    low, high = corner_M4[:, :2], corner_M4[:, 2:]
    return torch.cat([(low + high) / 2, high - low], 1) / corner_M4.new_tensor([width, height] * 2)


# -- other classes ----------------------------------------------------------------------------------------------------


def relabelled(module: nn.Module, labels: Sequence[str], seed: int) -> tuple[str, ...]:
    """Give a detector these classes, in place; returns the names of the weights that are new, none where its classes are these already.

    Rows of classes that it knows by name are kept, and those for `no object`. Which weights speak of classes is told by making the
    architecture twice, with two numbers of classes, and comparing shapes: no family is known by name here.
    """
    config: Any = module.config
    old = [str(config.id2label.get(number, number)) for number in range(config.num_labels)]
    if old == list(labels):
        return ()
    known = {name.lower(): number for number, name in enumerate(old)}
    rows = [known.get(label.lower()) for label in labels]
    generator, fresh, tied = torch.Generator().manual_seed(seed), list[str](), dict[int, tuple[nn.Parameter, nn.Parameter]]()
    for name, part in _speaking(module, len(old)):
        fresh += _replace(part, rows, len(old), generator, name, tied)
    config.id2label, config.label2id = dict(enumerate(labels)), {label: number for number, label in enumerate(labels)}
    config.num_labels = len(labels)
    for part in module.modules():
        if getattr(part, "num_labels", None) == len(old):
            part.num_labels = len(labels)
    return tuple(fresh)


def _speaking(module: nn.Module, classes: int) -> list[tuple[str, nn.Module]]:
    """Parts with a row for each class."""
    import copy

    from .loading import Undrawn, quiet

    other = copy.deepcopy(module.config)
    other.id2label, other.label2id = {n: str(n) for n in range(classes + 7)}, {str(n): n for n in range(classes + 7)}
    other.num_labels = classes + 7
    with quiet(), Undrawn(), torch.device("meta"):
        twin = type(module)(other)
    shapes = {name: parameter.shape for name, parameter in twin.named_parameters(remove_duplicate=False)}
    differ = {
        name.rpartition(".")[0] for name, parameter in module.named_parameters(remove_duplicate=False) if parameter.shape != shapes[name]
    }
    seen, found = set[int](), []
    for name, part in module.named_modules(remove_duplicate=False):
        if name in differ and id(part) not in seen:
            seen.add(id(part))
            found.append((name, part))
    return found


def _replace(
    part: Any, rows: Sequence[int | None], old: int, generator: torch.Generator, name: str, tied: dict[int, tuple[Any, Any]]
) -> list[str]:
    """New rows for a linear map or a table; what stands behind the classes (`no object`, padding) is kept. `tied`: what became of
    weights that several parts share, and go on sharing."""
    made = []
    for field in ("weight", "bias"):
        given = getattr(part, field, None)
        if given is None:
            continue
        if id(given) not in tied:
            fresh = torch.empty(len(rows), *given.shape[1:]).normal_(0.0, 0.02, generator=generator)
            if field == "bias":
                fresh = given.detach()[:old].mean().expand(len(rows)).clone()
            kept = [given.detach()[row] if row is not None else fresh[at] for at, row in enumerate(rows)]
            tied[id(given)] = given, nn.Parameter(torch.cat([torch.stack(kept), given.detach()[old:]]))
        setattr(part, field, tied[id(given)][1])
        made.append(f"{name}.{field}")
    if isinstance(part, nn.Linear):
        part.out_features = len(part.weight)
    elif isinstance(part, nn.Embedding):
        part.num_embeddings = len(part.weight)
        part.padding_idx = None if part.padding_idx is None else len(part.weight) - 1
    return made


