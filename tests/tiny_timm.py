"""A ResNet in plain torch under the names of timm's, and detectors' folders as they were written when that was their backbone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests import tiny_detectors
from tests.tiny_images import _spread_statistics
from tunesmith.models import tensors

SIZES: dict[str, dict[str, Any]] = {
    "resnet18": {"layer_type": "basic", "depths": [1, 2, 1, 1], "hidden_sizes": [8, 8, 16, 16], "embedding_size": 8},
    "resnet50": {"layer_type": "bottleneck", "depths": [2, 1, 1, 2], "hidden_sizes": [16, 32, 32, 64], "embedding_size": 8},
}
"""What stands for the real sizes in tests."""
PREFIX = "model.backbone.conv_encoder.model."
SILENT = ("backbone_config", "backbone", "use_timm_backbone")
"""Keys that the oldest configs do not have."""


class Block(nn.Module):
    """A layer of two or three convolutions; the one of 3 x 3, or the first of two, takes the stride."""

    def __init__(self, before: int, after: int, stride: int, layer_type: str) -> None:
        super().__init__()
        narrow = after // 4
        kinds = [(before, after, 3, stride), (after, after, 3, 1)]
        if layer_type == "bottleneck":
            kinds = [(before, narrow, 1, 1), (narrow, narrow, 3, stride), (narrow, after, 1, 1)]
        self.parts = len(kinds)
        for number, (inside, outside, side, step) in enumerate(kinds, 1):
            setattr(self, f"conv{number}", nn.Conv2d(inside, outside, side, step, side // 2, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(outside))
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = self.downsample(x) if hasattr(self, "downsample") else x
        for number in range(1, self.parts + 1):
            x = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x))
            x = x.relu() if number < self.parts else (x + kept).relu()
        return x


class ResNet(nn.Module):
    """`model(images)` -> the maps of its four stages."""

    def __init__(self, layer_type: str, depths: list[int], hidden_sizes: list[int], embedding_size: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, embedding_size, 7, 2, 3, bias=False), nn.BatchNorm2d(embedding_size)
        self.pool = nn.MaxPool2d(3, 2, 1)
        for stage, (depth, after) in enumerate(zip(depths, hidden_sizes)):
            before = hidden_sizes[stage - 1] if stage else embedding_size
            blocks = [Block(after if at else before, after, 2 if stage and not at else 1, layer_type) for at in range(depth)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x, maps = self.pool(self.bn1(self.conv1(x)).relu()), []
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            maps.append(x)
        return maps

    def kept(self) -> dict[str, torch.Tensor]:
        """The tensors that old files have of it: of the counts of batches those of its shortcuts alone."""
        return {name: value for name, value in self.state_dict().items() if "num_batches" not in name or "downsample" in name}


def reference(name: str) -> ResNet:
    """A ResNet of these sizes, with weights and statistics as after training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = ResNet(**SIZES[name])
        for part in made.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.weight.data.uniform_(0.5, 1.5)
                part.bias.data.normal_(0, 0.1)
    scale = [(part, part.weight.data.clone()) for part in made.modules() if isinstance(part, nn.BatchNorm2d)]
    _spread_statistics(made)
    for part, weight in scale:
        part.weight.data = weight
    return made.eval()


def make(folder: Path, family: str, said: dict[str, Any], name: str = "resnet50", prefix: str = PREFIX) -> Path:
    """An old folder: what its config says of the backbone, and the backbone's tensors under timm's names."""
    stages = range(2, 5) if family == "deformable_detr" else [4]
    changes = {"num_feature_levels": 4, "two_stage": False, "with_box_refine": False} if family == "deformable_detr" else {}
    tiny_detectors.make(folder, family, resnet=SIZES[name] | {"out_features": [f"stage{stage}" for stage in stages]}, **changes)
    values = json.loads((folder / "config.json").read_text())
    write_config(folder, {key: value for key, value in values.items() if key not in SILENT} | said)
    rest = {key: value for key, value in tensors.read(folder / "model.safetensors").items() if not key.startswith(PREFIX)}
    tensors.write(folder / "model.safetensors", rest | {prefix + key: value for key, value in reference(name).kept().items()})
    return folder


def write_config(folder: Path, values: dict[str, Any]) -> None:
    """config.json with these values."""
    (folder / "config.json").write_text(json.dumps(values))
