"""Tiny image encoders of every family named, with their processors, made from configs: no download, a second to make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers as hf

SIDE = 32
PATCHES = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64, "image_size": SIDE, "patch_size": 8,
}
STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
WORDS = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 30}
PLAIN = {"size": {"height": SIDE, "width": SIDE}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
CROPPED = {"size": {"shortest_edge": SIDE + 4}, "crop_size": {"height": SIDE, "width": SIDE}, "do_center_crop": True}

Config = tuple[str, str, dict[str, Any], str, dict[str, Any]]
FAMILIES: dict[str, Config] = {
    "vit": ("ViTConfig", "ViTModel", PATCHES, "ViTImageProcessor", PLAIN),
    "dinov2": ("Dinov2Config", "Dinov2Model", {**PATCHES, "mlp_ratio": 2}, "BitImageProcessor", CROPPED),
    "dinov3": ("DINOv3ViTConfig", "DINOv3ViTModel", {**PATCHES, "num_register_tokens": 2}, "DINOv3ViTImageProcessorFast", PLAIN),
    "convnext": ("ConvNextConfig", "ConvNextModel", STAGES, "ConvNextImageProcessor", {"size": {"shortest_edge": SIDE}}),
    "swin": (
        "SwinConfig", "SwinModel",
        {"embed_dim": 16, "depths": [1, 2], "num_heads": [2, 2], "window_size": 2, "image_size": SIDE, "patch_size": 4},
        "ViTImageProcessor", PLAIN,
    ),
    "resnet": (
        "ResNetConfig", "ResNetModel", {"embedding_size": 8, **STAGES}, "ConvNextImageProcessor", {"size": {"shortest_edge": SIDE}},
    ),
    "efficientnet": (
        "EfficientNetConfig", "EfficientNetModel",
        {"width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 128, "image_size": SIDE, "dropout_rate": 0.0},
        "EfficientNetImageProcessor", {"size": {"height": SIDE, "width": SIDE}},
    ),
    "clip": ("CLIPVisionConfig", "CLIPVisionModel", PATCHES, "CLIPImageProcessor", CROPPED),
    "siglip": ("SiglipVisionConfig", "SiglipVisionModel", PATCHES, "SiglipImageProcessor", PLAIN),
    "clip-both": (
        "CLIPConfig", "CLIPModel", {"vision_config": PATCHES, "text_config": WORDS, "projection_dim": 8}, "CLIPImageProcessor", CROPPED,
    ),
    "siglip-both": ("SiglipConfig", "SiglipModel", {"vision_config": PATCHES, "text_config": WORDS}, "SiglipImageProcessor", PLAIN),
}
"""Name -> config class, model class, settings, processor class, its settings."""


def make(folder: Path, family: str, seed: int = 0, headed: bool = False) -> Path:
    """A model folder as transformers saves it, with the processor file that the Hub's models of this family carry.

    `headed`: with the head of an earlier task (ViT, ConvNeXt, ResNet...), which is known and not wanted.
    """
    config_class, model_class, settings, processor, sizes = FAMILIES[family]
    name = model_class.replace("Model", "ForImageClassification") if headed else model_class
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(hf, name)(getattr(hf, config_class)(**settings))
    _spread_statistics(model)
    model.save_pretrained(folder)
    values = {"do_resize": True, "do_rescale": True, "do_normalize": True, "image_processor_type": processor, **sizes}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return folder


def _spread_statistics(model: torch.nn.Module) -> None:
    """Convolutions and batch norm as after training: at their start they pass next to nothing on, and hide what depends on them."""
    generator = torch.Generator().manual_seed(1)
    for part in model.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.ones_(part.weight)
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight, generator=generator)
