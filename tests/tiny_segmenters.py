"""Tiny segmentation models with decoders of their own, made from configs: SegFormer, UperNet, Mask2Former."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers as hf

SIDE = 32
STAGES = ["stage1", "stage2", "stage3", "stage4"]
NAMES = {0: "sky", 1: "road", 2: "car"}
PROCESSORS = {"segformer": "SegformerImageProcessor", "upernet": "SegformerImageProcessor", "mask2former": "Mask2FormerImageProcessor"}


def make(folder: Path, family: str) -> Path:
    """A model folder of three classes, with the processor file that the Hub's models of this family carry."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = {"segformer": _segformer, "upernet": _upernet, "mask2former": _mask2former}[family]()
    model.save_pretrained(folder)
    values = {"do_resize": True, "do_rescale": True, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    values |= {"image_processor_type": PROCESSORS[family], "size": {"height": SIDE, "width": SIDE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return folder


def _segformer() -> torch.nn.Module:
    sizes = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 16}
    return hf.SegformerForSemanticSegmentation(hf.SegformerConfig(**sizes, id2label=NAMES))


def _upernet() -> torch.nn.Module:
    backbone = hf.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], out_features=STAGES)
    sizes = {"hidden_size": 16, "auxiliary_in_channels": 24, "auxiliary_channels": 8}
    return hf.UperNetForSemanticSegmentation(hf.UperNetConfig(backbone_config=backbone, **sizes, id2label=NAMES))


def _mask2former() -> torch.nn.Module:
    sizes = {"image_size": SIDE, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 2}
    wide = dict.fromkeys(("feature_size", "mask_feature_size", "hidden_dim", "encoder_feedforward_dim", "dim_feedforward"), 32)
    few = {"num_queries": 6, "decoder_layers": 3, "encoder_layers": 1, "num_attention_heads": 2, "train_num_points": 64}
    backbone = hf.SwinConfig(**sizes, out_features=STAGES)
    return hf.Mask2FormerForUniversalSegmentation(hf.Mask2FormerConfig(backbone_config=backbone, **wide, **few, id2label=NAMES))
