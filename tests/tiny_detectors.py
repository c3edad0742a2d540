"""Tiny detectors of every family named, with their processors, made from configs: no download, a second to make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from tests.tiny_images import _spread_statistics

SIDE = 64
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "layer_type": "basic"}
HALVES: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_queries": 12, "dropout": 0.0,
}
REAL_TIME: dict[str, Any] = {
    "d_model": 32, "encoder_hidden_dim": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_queries": 12, "num_denoising": 4,
    "encoder_in_channels": [8, 16, 16], "decoder_in_channels": [32, 32, 32], "hidden_expansion": 0.5, "decoder_n_points": 2,
}
PROCESSOR = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_resize": True, "do_rescale": True, "do_normalize": True}
LETTERED = {"size": {"shortest_edge": SIDE, "longest_edge": 2 * SIDE}, "do_pad": True}
FILLED = {"size": {"height": SIDE, "width": SIDE}}

Config = tuple[str, str, dict[str, Any], str, dict[str, Any]]


FAMILIES: dict[str, Config] = {
    "detr": ("DetrConfig", "DetrForObjectDetection", HALVES, "DetrImageProcessor", LETTERED),
    "conditional_detr": (
        "ConditionalDetrConfig", "ConditionalDetrForObjectDetection", HALVES, "ConditionalDetrImageProcessor", LETTERED,
    ),
    "deformable_detr": (
        "DeformableDetrConfig", "DeformableDetrForObjectDetection",
        {**HALVES, "num_feature_levels": 2, "encoder_n_points": 2, "decoder_n_points": 2, "two_stage": True, "with_box_refine": True,
         "two_stage_num_proposals": 12},
        "DeformableDetrImageProcessor", LETTERED,
    ),
    "rt_detr": ("RTDetrConfig", "RTDetrForObjectDetection", REAL_TIME, "RTDetrImageProcessor", FILLED),
    "rt_detr_v2": ("RTDetrV2Config", "RTDetrV2ForObjectDetection", REAL_TIME, "RTDetrImageProcessor", FILLED),
    "d_fine": (
        "DFineConfig", "DFineForObjectDetection", {**REAL_TIME, "decoder_n_points": [2, 2, 2], "depth_mult": 0.34},
        "RTDetrImageProcessor", FILLED,
    ),
    "yolos": (
        "YolosConfig", "YolosForObjectDetection",
        {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "image_size": [SIDE, SIDE],
         "patch_size": 16, "num_detection_tokens": 12},
        "YolosImageProcessor", LETTERED,
    ),
}
"""Name -> config class, model class, settings, processor class, its settings."""
LABELS = ("person", "red", "dog")
"""Classes that a tiny detector knows: one of them is one of the toy rows'."""


def make(folder: Path, family: str, seed: int = 0, resnet: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A detector's folder as transformers saves it, with its processor's file. `resnet`: a DETR's backbone; `changes`: settings."""
    config_class, model_class, settings, processor, sizes = FAMILIES[family]
    settings = settings | changes
    if family in ("detr", "conditional_detr", "deformable_detr"):
        outs = {"out_features": ["stage3", "stage4"] if family == "deformable_detr" else ["stage4"]}
        settings |= {"backbone_config": hf.ResNetConfig(**RESNET | outs | (resnet or {})), "use_timm_backbone": False, "backbone": None}
    elif family == "d_fine":
        settings["backbone_config"] = hf.HGNetV2Config(**STEM_HG)
    elif family != "yolos":
        settings["backbone_config"] = hf.RTDetrResNetConfig(**RESNET, out_features=["stage2", "stage3", "stage4"])
    named = {"id2label": dict(enumerate(LABELS)), "label2id": {label: n for n, label in enumerate(LABELS)}}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(hf, model_class)(getattr(hf, config_class)(**settings, **named))
    _spread_statistics(model)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, "image_processor_type": processor, **sizes}))
    return folder


STEM_HG: dict[str, Any] = {
    "embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "stem_channels": [3, 8, 8],
    "stage_in_channels": [8, 8, 8, 16], "stage_mid_channels": [8, 8, 8, 8], "stage_out_channels": [8, 8, 16, 16],
    "stage_num_blocks": [1, 1, 1, 1], "stage_downsample": [False, True, True, True], "stage_light_block": [False, False, True, True],
    "stage_kernel_size": [3, 3, 3, 3], "stage_numb_of_layers": [2, 2, 2, 2], "out_features": ["stage2", "stage3", "stage4"],
}
