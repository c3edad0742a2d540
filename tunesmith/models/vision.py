"""Image encoders of transformers: told apart by their config, loaded by the same safe path, their vectors pooled.

Axes: B rows of a batch, T tokens (patches, and what stands before them), D features, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, shorten
from . import facts, tensors
from .allow import check_folder, read_json

if TYPE_CHECKING:
    import torch
    from torch import nn

PROCESSOR = "preprocessor_config.json"
TOWERS = {
    "clip": "clip_vision_model", "siglip": "siglip_vision_model", "chinese_clip": "chinese_clip_vision_model",
    "metaclip_2": "metaclip_2_vision_model",
}
"""Models of two halves, and the image half of each."""
HALF = "vision_model."
"""How the names of the image half begin."""
CLS = frozenset(
    {"vit", "deit", "vit_msn", "dinov2", "dinov2_with_registers", "dinov3_vit", "pixio", "mlcd_vision_model"}
)
"""Families whose first token speaks for the image."""
MEAN = frozenset({"swin", "swinv2", "beit", "data2vec-vision", "ijepa", "dinat", "maskformer-swin"})
"""Families whose tokens do so together; all others pool by a part of their own (`pooler`)."""
SETS = frozenset({"detr", "conditional_detr", "deformable_detr", "rt_detr", "rt_detr_v2", "d_fine", "yolos"})
"""Detectors that answer a set of boxes, each with a loss of its own that needs neither torchvision nor timm."""
BEFORE = {"vit": 1, "deit": 2, "vit_msn": 1, "beit": 1, "data2vec-vision": 1, "clip_vision_model": 1, "pixio": 8}
"""Tokens before the patches; families of DINO say it themselves (registers)."""
PLAIN = "ViTImageProcessorPil"
"""Resize, scale, normalise: what stands in for processors that have no Pillow form (DINOv3), with the folder's own numbers."""
STRIDE = 16
"""Pixels a side for which a convolutional model counts one token: the work of one patch, within a factor of two."""
WIDEST = 4_096
"""Most numbers of an image's vector at several depths: as many layers as that holds, evenly spaced from what enters the first on."""
MOST_SIDE = 4096
"""Pixels a side of a model's input; more is a mistake, or an attack on memory."""


def is_image(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether a model reads images: it has channels and no words, or is one of the known models of two halves."""
    kind = str(config.get("model_type"))
    if kind in TOWERS:
        return True
    sees = {"num_channels", "image_size", "patch_size"} & config.keys() or (folder / PROCESSOR).is_file()
    return bool(sees) and "vocab_size" not in config and "text_config" not in config and not _hears(folder)


def _hears(folder: Path) -> bool:
    path = folder / PROCESSOR
    return path.is_file() and "sampling_rate" in read_json(path)


def half(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the part that sees."""
    kind = str(config.get("model_type"))
    if kind not in TOWERS:
        return dict(config)
    return {**config.get("vision_config", {}), "model_type": TOWERS[kind]}


def describe(folder: Path, config: Mapping[str, Any], entries: Mapping[str, tensors.Entry]) -> dict[str, Any]:
    """What `Source` wants to know of an image model. Raises ModelError where its width cannot be told."""
    seeing = half(config)
    own = {n: e for n, e in entries.items() if str(config.get("model_type")) not in TOWERS or n.startswith(HALF)}
    width = _width(seeing)
    if not width:
        raise unsuitable(folder, str(config.get("model_type")))
    kind = str(seeing["model_type"])
    return {
        "modality": "image", "parameters": sum(e.size for e in own.values() if "F" in e.dtype), "layers": _layers(seeing),
        "hidden": width, "max_length": tokens(folder, seeing), "positions": 0, "decoder": False,
        "pooling": "cls" if kind in CLS else "mean" if kind in MEAN else "pooler",
    }


def _width(config: Mapping[str, Any]) -> int:
    own = ("d_model",) if config.get("model_type") in SETS else ()
    for name in ("hidden_dim", "hidden_size", "hidden_sizes", "embed_dims", "embed_dim", *own):
        value = config.get(name)
        if isinstance(value, list) and value and type(value[-1]) is int:
            return value[-1]
        if type(value) is int:
            return value * 2 ** (len(config.get("depths", [0])) - 1) if name == "embed_dim" else value
    return 0


def _layers(config: Mapping[str, Any]) -> int:
    depths = config.get("depths")
    return facts.layers(config) or (sum(depths) if isinstance(depths, list) else 0) or 16


def tokens(folder: Path, config: Mapping[str, Any]) -> int:
    """Tokens of one image at the size to which the processor brings it."""
    height, width = input_size(folder, config)
    patch = config.get("patch_size")
    if type(patch) is not int or "num_hidden_layers" not in config:
        return max(1, math.ceil(height / STRIDE) * math.ceil(width / STRIDE))
    registers = config.get("num_register_tokens")
    before = BEFORE.get(str(config["model_type"]), 1 if "dino" in str(config["model_type"]) else 0)
    return (height // patch) * (width // patch) + before + (registers if type(registers) is int else 0)


def input_size(folder: Path, config: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of what the model is shown."""
    values = read_json(folder / PROCESSOR) if (folder / PROCESSOR).is_file() else {}
    size = values.get("crop_size") if values.get("do_center_crop") else None
    size = size or values.get("size") or config.get("image_size") or 224
    if isinstance(size, dict):
        edge = size.get("shortest_edge", 224)
        size = [size.get("height", edge), size.get("width", edge)]
    pair = size if isinstance(size, list) and len(size) == 2 else [size, size]
    if not all(type(side) is int and 0 < side <= MOST_SIDE for side in pair):
        raise _bad_processor(folder, f"a size of 1 to {MOST_SIDE:,} pixels", repr(pair))
    return pair[0], pair[1]


# -- loading ----------------------------------------------------------------------------------------------------------


def seeing(config: Any) -> Any:
    """The loaded config of the part that sees."""
    return config.vision_config if config.model_type in TOWERS else config


def only(config: Any, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of a model of two halves the tensors of the part that sees, under the names of that part alone."""
    halves = config.model_type in TOWERS or config.model_type in TOWERS.values()
    if not halves or not any(name.startswith(HALF) for name in state):
        return dict(state)
    return {name.removeprefix(HALF): tensor for name, tensor in state.items() if name.startswith(HALF)}


def load_processor(folder: Path) -> Any:
    """The folder's image processor, in its form that needs Pillow alone. Raises ModelError.

    What it makes of any image has one size: where only the short side is given, the middle is cut out.
    """
    check_folder(folder)
    path = folder / PROCESSOR
    if not path.is_file():
        raise _bad_processor(folder, f"an image processor ({PROCESSOR})", "none: what the model was shown is not known")
    values = read_json(tensors.within(path, folder))
    height, width = input_size(folder, half(read_json(folder / "config.json")))
    made_by = _processor_class(folder, values)
    known = set(made_by.valid_kwargs.__annotations__)
    from .loading import quiet

    try:
        with quiet():
            processor = made_by(**{key: value for key, value in values.items() if key in known})
    except Exception as error:  # the library's validators raise their own kinds; all of them mean the file is wrong
        raise _bad_processor(folder, "usable settings", shorten(" ".join(str(error).split()), 160)) from None
    if not processor.do_center_crop and "shortest_edge" in (values.get("size") or {}) and not hasattr(processor, "crop_pct"):
        processor.do_center_crop = True
        processor.crop_size = type(processor.size)(height=height, width=width)
    return processor


def _processor_class(folder: Path, values: Mapping[str, Any]) -> Any:
    """The Pillow form of the class that the file names, or that belongs to the architecture."""
    from .loading import quiet

    with quiet():
        from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES as names
        from transformers.models.auto.image_processing_auto import get_image_processor_class_from_name as named

        said = str(values.get("image_processor_type") or values.get("feature_extractor_type") or "")
        base = said.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")
        ours = [by["pil"] for by in names.values() if by.get("pil") and base in (by["pil"], by["pil"].removesuffix("Pil"))]
        kind = str(read_json(folder / "config.json").get("model_type"))
        chosen = next(iter(ours), None) or (None if base else names.get(kind, {}).get("pil"))
        if chosen is None and base in names.get(kind, {}).values():
            chosen = PLAIN  # it has a form for torchvision alone
        found = named(chosen) if chosen else None
    if found is None or not hasattr(found, "valid_kwargs"):
        raise _bad_processor(folder, "an image processor of transformers", repr(said or kind))
    return found


# -- vectors ----------------------------------------------------------------------------------------------------------


def pool(output: Any, how: str) -> torch.Tensor:
    """One vector of an image from what the backbone answers, float32 (B, D).

    `cls`: the first token; `mean`: of all tokens or places; `pooler`: the architecture's own, or the mean where it has none.
    """
    pooled = getattr(output, "pooler_output", None)
    if how == "pooler" and pooled is not None:
        return pooled.flatten(1).float()
    last = output.last_hidden_state.float()
    if last.dim() == 4:
        return last.mean((-2, -1))
    return last[:, 0] if how == "cls" else last.mean(1)


def at_depths(output: Any, how: str) -> torch.Tensor:
    """The means of hidden states over the image, from the first on, then the vector that `pool` gives: float32 (B, D)."""
    import torch

    own_BD = pool(output, how)
    means = [one.float().mean((-2, -1) if one.dim() == 4 else 1) for one in getattr(output, "hidden_states", None) or ()]
    for count in range(len(means), 0, -1):
        chosen = [means[round(i * (len(means) - 1) / max(1, count - 1))] for i in range(count)]
        if sum(one.shape[1] for one in chosen) + own_BD.shape[1] <= WIDEST:
            return torch.cat([*chosen, own_BD], 1)
    return own_BD


def width_at_depths(module: nn.Module, how: str) -> int:
    """How many numbers `at_depths` gives, found out with one grey image."""
    import torch

    with torch.no_grad():
        return int(at_depths(module(pixel_values=blank(module), output_hidden_states=True), how).shape[1])


def blank(module: nn.Module, rows: int = 1) -> torch.Tensor:
    """Grey images of the size that the module was made for: (B, C, H, W)."""
    import torch

    config: Any = module.config
    size = getattr(config, "image_size", 64)
    height, width = size if isinstance(size, list | tuple) else (size, size)
    like = next(module.parameters())
    return torch.zeros(rows, getattr(config, "num_channels", 3), int(height), int(width), device=like.device)


def freeze_statistics(module: nn.Module) -> None:
    """Batch norm by what pretraining saw, in training too: a step does not depend on how rows are cut into passes, nor on their number."""
    from torch import nn

    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()


def unsuitable(folder: Path, kind: str) -> ModelError:
    """The error for an architecture that gives no vector of an image."""
    return ModelError(
        f"{folder / 'config.json'}, key 'model_type'", expected="an image encoder", got=shorten(repr(kind)),
        fix="use a model such as DINOv2, ViT, ConvNeXt, Swin, ResNet, EfficientNet, CLIP or SigLIP", code="unsuitable-architecture",
    )


def _bad_processor(folder: Path, expected: str, got: str) -> ModelError:
    return ModelError(
        str(folder / PROCESSOR), expected=expected, got=got, fix="download the model again", code="bad-image-processor"
    )
