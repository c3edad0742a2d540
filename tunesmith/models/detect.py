"""An image encoder that finds boxes: its maps on one grid, a light tower of convolutions, and for each place how sure it is that the middle
of something is there, and where its edges are (CenterNet, arXiv 1904.07850; targets and weights as in TTFNet, arXiv 1909.00700).

Every place within the middle part of a box learns its edges, so that a few hundred images suffice; a transformer that matches a set of
queries to boxes takes thousands of epochs from so few.

Axes: B images, T = G x G places in reading order, D features, H hidden, C classes, M boxes, K detections.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self, final

import torch
from torch import nn
from torch.nn import functional

from . import vision
from .maps import Maps
from .source import Backbone

Batch = Mapping[str, torch.Tensor]
POOLING = "boxes"
"""How `head.json` calls this head."""
HIDDEN = 96
"""H."""
GROUPS = 8
"""Groups of the norms, which see one image alone: a row's answer does not depend on the rows beside it."""
REACH = (1, 2, 4)
"""Steps between the places that each layer of the tower sees: the last one sees 14 places away, half an image (arXiv 2103.09460)."""
RARE = 0.01
"""How sure the untrained head is that something is at a place (arXiv 1708.02002)."""
MIDDLE = 0.54
"""Share of a box, from its middle, whose places learn its edges (TTFNet's alpha)."""
EDGES = 5.0
"""Weight of the edges beside the middles (TTFNet)."""
FAR = 4.0
"""Largest logarithm of a distance over a quarter of the frame; beyond it a box would leave any frame."""
MOST = 100
"""K."""


@final
class Tower(nn.Module):
    """(B, H, G, G) of maps (B, D, G, G)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into = nn.Conv2d(width, HIDDEN, 1)
        self.first = nn.GroupNorm(GROUPS, HIDDEN)
        self.layers = nn.ModuleList(nn.Conv2d(HIDDEN, HIDDEN, 3, padding=step, dilation=step) for step in REACH)
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, HIDDEN) for _ in REACH)

    def forward(self, maps_BDGG: torch.Tensor) -> torch.Tensor:
        """What the head reads of each place."""
        hidden = functional.gelu(self.first(self.into(maps_BDGG)))
        for layer, norm in zip(self.layers, self.norms):
            hidden = hidden + functional.gelu(norm(layer(hidden)))
        return hidden


@final
class Detector(nn.Module):
    """`model(batch)` -> (B, T, C + 4): for each place a logit of each class, and logarithms of the distances of the four edges. A batch
    with `features_BTD` runs what lies above the encoder only."""

    per_token = True

    def __init__(
        self, backbone: Backbone, classes: int, sides: tuple[int, int], grid: tuple[int, int], dropout: float = 0.1, seed: int = 0
    ) -> None:
        """`sides`: height and width of what the encoder is shown. `grid`: places down and across."""
        super().__init__()
        self.backbone: Any = backbone.module
        self.source, self.spare = backbone.source, backbone.spare
        self.pooling, self.cut = POOLING, None
        self.maps = Maps(backbone, sides, grid)
        self.frame = self.maps.frame
        self.dropout = nn.Dropout(dropout)
        self.tower = Tower(self.maps.width)
        self.head = nn.utils.skip_init(nn.Linear, HIDDEN, classes + 4)
        self.reset_head(seed)

    @property
    def whole_only(self) -> bool:
        """Whether the encoder's answer below a cut is needed, so that it cannot be cut between its layers."""
        return self.maps.staged

    def forward(self, batch: Batch) -> torch.Tensor:
        """(B, T, C + 4)."""
        found: torch.Tensor = self.head(self.dropout(self.tower(self.maps.laid(self.features(batch))).flatten(2).transpose(1, 2)))
        return found

    def features(self, batch: Batch) -> torch.Tensor:
        """What the tower reads of each place: (B, T, D), float32."""
        return self.maps.features(self.backbone, batch, self.cut)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but batch norm keeps the statistics of pretraining."""
        super().train(mode)
        vision.freeze_statistics(self.backbone)
        return self

    def reset_head(self, seed: int) -> None:
        """A new tower and head: weights that depend on `seed` alone. Nothing is found yet, and every box is half the frame."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in (self.tower.into, *self.tower.layers):
                width = math.sqrt(3 / layer.weight[0].numel())
                layer.weight.copy_(torch.empty(layer.weight.shape).uniform_(-width, width, generator=generator))
                layer.bias.zero_()
            self.head.weight.copy_(torch.empty(self.head.weight.shape).normal_(0.0, 0.01, generator=generator))
            self.head.bias.zero_()
            self.head.bias[:-4] = -math.log((1 - RARE) / RARE)


# -- boxes on the grid ------------------------------------------------------------------------------------------------


def middles(frame: list[int], like: torch.Tensor) -> torch.Tensor:
    """(T, 2) pixels across and down of the middle of each place."""
    height, width, down, across = frame
    y, x = ((torch.arange(count, device=like.device) + 0.5) * (side / count) for count, side in ((down, height), (across, width)))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)


def corners(raw_BT4: torch.Tensor, frame: list[int]) -> torch.Tensor:
    """(B, T, 4) left, top, right, bottom in pixels of the frame."""
    unit = max(frame[:2]) / 4
    away_BT4 = raw_BT4.float().clamp(-FAR, FAR).exp() * unit
    place_T2 = middles(frame, raw_BT4)
    return torch.cat([place_T2 - away_BT4[..., :2], place_T2 + away_BT4[..., 2:]], -1)


def aims(target_BM5: torch.Tensor, classes: int, frame: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of targets (class, corners; class -1: none): heat (B, C, T), 1 where a middle is and less around it; weight (B, M, T) of each place
    for a box's edges, which add up to 1 for each box; and (B, M) bool: which boxes there are. A place is the smallest box's."""
    there_BM = (target_BM5[..., 0] >= 0) & (target_BM5[..., 0] < classes)
    box_BM4 = target_BM5[..., 1:]
    place_T2 = middles(frame, target_BM5)
    step = place_T2.new_tensor([frame[1] / frame[3], frame[0] / frame[2]])
    middle_BM2 = ((box_BM4[..., :2] + box_BM4[..., 2:]) / 2 / step).floor()
    middle_BM2 = torch.minimum(middle_BM2.clamp(min=0), middle_BM2.new_tensor([frame[3] - 1, frame[2] - 1]))
    reach_BM2 = ((box_BM4[..., 2:] - box_BM4[..., :2]) / step * MIDDLE / 2).clamp(min=0)
    away_BMT2 = ((place_T2 / step).floor()[None, None] - middle_BM2[:, :, None]).abs()
    spread_BM2 = (2 * reach_BM2.floor() + 1) / 6
    heat_BMT = (-(away_BMT2.square() / (2 * spread_BM2[:, :, None].square())).sum(-1)).exp()
    inside_BMT = (away_BMT2 <= reach_BM2[:, :, None].floor()).all(-1) & there_BM[..., None]
    heat_BMT = heat_BMT * inside_BMT
    area_BM = (box_BM4[..., 2:] - box_BM4[..., :2]).prod(-1).masked_fill(~there_BM, torch.inf)
    owner_BT = torch.where(inside_BMT, area_BM[..., None], torch.inf).min(1)
    own_BMT = inside_BMT & (torch.arange(target_BM5.shape[1], device=target_BM5.device)[:, None] == owner_BT.indices[:, None])
    weight_BMT = heat_BMT * own_BMT
    weight_BMT = weight_BMT / weight_BMT.sum(-1, keepdim=True).clamp(min=1e-6)
    hot_BMC = functional.one_hot(target_BM5[..., 0].long().clamp(0, classes - 1), classes) * there_BM[..., None]
    heat_BCT = (heat_BMT[:, :, None] * hot_BMC[..., None]).amax(1)
    return heat_BCT, weight_BMT, there_BM


def loss(raw_BTO: torch.Tensor, target_BM5: torch.Tensor, frame: list[int]) -> torch.Tensor:
    """SUM over images and boxes: focal loss of the middles (arXiv 1904.07850, eq. 1) and generalised overlap of the edges (1902.09630)."""
    raw_BTO = raw_BTO.float()
    classes = raw_BTO.shape[-1] - 4
    heat_BCT, weight_BMT, _ = aims(target_BM5, classes, frame)
    logit_BCT = raw_BTO[..., :-4].transpose(1, 2)
    yes, no, sure = functional.logsigmoid(logit_BCT), functional.logsigmoid(-logit_BCT), logit_BCT.sigmoid()
    middle_BCT = heat_BCT >= 1
    focal = torch.where(middle_BCT, (1 - sure) ** 2 * yes, (1 - heat_BCT) ** 4 * sure**2 * no)
    overlap_BMT = generalised(corners(raw_BTO[..., -4:], frame)[:, None], target_BM5[:, :, None, 1:])
    return EDGES * (weight_BMT * (1 - overlap_BMT)).sum() - focal.sum()


def generalised(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Generalised overlap (..., ) of corners (..., 4): from -1, far apart, to 1, equal."""
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    either = (one[..., 2:] - one[..., :2]).prod(-1) + (other[..., 2:] - other[..., :2]).prod(-1) - both
    around = (torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])).prod(-1)
    return both / either.clamp(min=1e-6) - (around - either) / around.clamp(min=1e-6)


def found(raw_BTO: torch.Tensor, frame: list[int]) -> torch.Tensor:
    """(B, 2 K, 6) candidates: class, score, corners in pixels of the frame: the surest places that are surer than those around them."""
    raw_BTO = raw_BTO.float()
    sure_BCT = raw_BTO[..., :-4].sigmoid().transpose(1, 2)
    sure_BCGG = sure_BCT.unflatten(2, tuple(frame[2:]))
    peak = functional.max_pool2d(sure_BCGG, 3, stride=1, padding=1) == sure_BCGG
    flat_BX = (sure_BCGG * peak).flatten(1)
    best = flat_BX.topk(min(2 * MOST, flat_BX.shape[1]), 1)
    kind, place = best.indices // sure_BCT.shape[2], best.indices % sure_BCT.shape[2]
    corner_BK4 = corners(raw_BTO[..., -4:], frame).gather(1, place[..., None].expand(-1, -1, 4))
    return torch.cat([kind[..., None].float(), best.values[..., None], corner_BK4], -1)
