"""Detectors whose backbone is a ResNet of timm, a package that is not used here: transformers' own ResNet under other names.

`config` rewrites what config.json says of the backbone and `weights` the names of its tensors, both while they are read: what is made of
them, and saved, is a model of transformers alone. Sources: timm 1.0, `models/resnet.py`; transformers 5, `modeling_resnet.py` and the
`ConvEncoder` of each family, which freezes batch norm alike for both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, listing, shorten
from . import vision
from .allow import read_json

if TYPE_CHECKING:
    import torch

Values = Mapping[str, Any]

FAMILIES: dict[str, Callable[[Values], list[int]]] = {
    "detr": lambda values: [4],
    "conditional_detr": lambda values: [4],
    "deformable_detr": lambda values: [4] if values.get("num_feature_levels") == 1 else [2, 3, 4],
}
"""Families whose old configs mean timm's ResNet-50 where they name no backbone, and the stages that they then read."""


def _sizes(layer: str, depths: list[int], wide: int) -> dict[str, Any]:
    return {"layer_type": layer, "depths": depths, "hidden_sizes": [64 * wide * 2**stage for stage in range(4)], "embedding_size": 64}


RESNETS = {
    "resnet18": _sizes("basic", [2, 2, 2, 2], 1),
    "resnet34": _sizes("basic", [3, 4, 6, 3], 1),
    "resnet50": _sizes("bottleneck", [3, 4, 6, 3], 4),
    "resnet101": _sizes("bottleneck", [3, 4, 23, 3], 4),
}
"""timm's name of an architecture, and the sizes of `ResNetConfig` that make it."""
WORDS = {"in_chans": "num_channels"}
"""What `backbone_kwargs` call otherwise than `backbone_config`."""
UNDILATED = (None, 32)
"""Values of `output_stride` that leave the last stage as it is."""
PLACE = re.compile(r"((?:.*\.)?backbone\.(?:conv_encoder\.)?model\.)(?:_backbone\.)?(.+)")
"""Where a detector's file has its backbone: `model.backbone.conv_encoder.model.layer1.0.conv1.weight`."""
NORM = ("weight", "bias", "running_mean", "running_var")
COUNT = ".num_batches_tracked"
"""How the name of a count of batches ends, which old files have of some norms and frozen ones do not use."""


# -- config -----------------------------------------------------------------------------------------------------------


def of_timm(values: Values) -> bool:
    """Whether a detector's config names a backbone of timm, or none where that means the same."""
    inner, kind = values.get("backbone_config"), str(values.get("model_type"))
    if kind not in vision.SETS:
        return False
    if isinstance(inner, Mapping):
        return inner.get("model_type") == "timm_backbone"
    return bool(values.get("use_timm_backbone", kind in FAMILIES))


def config(values: dict[str, Any], place: str) -> dict[str, Any]:
    """The config with transformers' ResNet in place of timm's; as it is where it names no backbone of timm.

    Raises ModelError (`unsuitable-architecture`) for a backbone that is not known here.
    """
    if not of_timm(values):
        return values
    said = _said(values)
    if wrong := _wrong(values, said):
        raise ModelError(
            place, expected=f"a backbone of transformers, or of timm {', '.join(RESNETS)}, for images of 3 channels and without dilation",
            got=f"a {values['model_type']} with {wrong}", code="unsuitable-architecture",
            fix="use a DETR with one of these, RT-DETR, D-FINE, YOLOS, or an image encoder",
        )
    inner = {
        "model_type": "resnet", **RESNETS[_name(said)], "num_channels": 3, "hidden_act": "relu", "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False, "out_features": [f"stage{index % 5}" for index in said["out_indices"]],
    }
    dropped = ("backbone_kwargs", "use_pretrained_backbone")
    kept = {key: value for key, value in values.items() if key not in dropped}
    return {**kept, "backbone_config": inner, "backbone": None, "use_timm_backbone": False}


def note(values: Values) -> str:
    """What a user may want to know of how the model is read; nothing where its backbone is not of timm."""
    if not of_timm(values):
        return ""
    name = shorten(_name(_said(values)), 40)
    return f"its backbone, {name} of timm, is read as the ResNet of transformers: the same weights, whose names were rewritten"


def _said(values: Values) -> dict[str, Any]:
    """What a config says of its backbone, in the words of transformers' `TimmBackboneConfig`, whatever form it has."""
    inner, more = values.get("backbone_config"), values.get("backbone_kwargs")
    if isinstance(inner, Mapping):
        usual: dict[str, Any] = {"out_indices": [-1]}
    else:
        stages = FAMILIES.get(str(values["model_type"]), lambda values: [])(values)
        usual = {"backbone": values.get("backbone") or "resnet50", "out_indices": stages, "num_channels": values.get("num_channels") or 3}
        inner = {WORDS.get(key, key): value for key, value in more.items()} if isinstance(more, Mapping) else {}
    return usual | {key: value for key, value in inner.items() if value is not None}


def _name(said: Values) -> str:
    """The architecture without the tag of its pretraining: `resnet50.a1_in1k` is a resnet50."""
    return str(said.get("backbone")).partition(".")[0]


def _wrong(values: Values, said: Values) -> str:
    """What keeps a backbone of timm from being read here; nothing where it can be."""
    named, indices = f"{shorten(_name(said), 40)} of timm", said["out_indices"]
    if values["model_type"] not in FAMILIES or _name(said) not in RESNETS:
        return named
    if values.get("dilation") or said.get("output_stride") not in UNDILATED:
        return f"{named}, dilated (DC5)"
    if said.get("num_channels", 3) != 3:
        return f"{named} for {shorten(repr(said['num_channels']))} channels"
    whole = isinstance(indices, list) and bool(indices) and all(type(one) is int and -4 <= one <= 4 and one != 0 for one in indices)
    return "" if whole else f"stages {shorten(repr(indices))} of {named}"


# -- weights ----------------------------------------------------------------------------------------------------------


def weights(folder: Path, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """A folder's tensors, those of a backbone of timm under the names of transformers.

    Raises ModelError (`weights-do-not-fit`) for one of the backbone that is missing, or that it does not have.
    """
    values = read_json(folder / "config.json")
    if not of_timm(values):
        return state
    name = _name(_said(values))
    known = dict(_names(RESNETS[name]))
    found: dict[str, torch.Tensor] = {}
    missing = set(known)
    for old, tensor in state.items():
        place = PLACE.fullmatch(old)
        if place is None:
            found[old] = tensor
        elif place[2] in missing:
            missing.remove(place[2])
            found[place[1] + known[place[2]]] = tensor
        elif not place[2].endswith(COUNT):
            raise _unfit(folder, old, name, "one that it does not have")
    if missing:
        raise _unfit(folder, min(missing), name, f"none ({listing(sorted(missing))} missing)")
    return found


def _names(sizes: Values) -> Iterator[tuple[str, str]]:
    """timm's and transformers' names of each tensor of a ResNet."""
    yield from _pair("conv1", "bn1", "embedder.embedder")
    for stage, depth in enumerate(sizes["depths"]):
        for layer in range(depth):
            old, new = f"layer{stage + 1}.{layer}", f"encoder.stages.{stage}.layers.{layer}"
            for part in range(3 if sizes["layer_type"] == "bottleneck" else 2):
                yield from _pair(f"{old}.conv{part + 1}", f"{old}.bn{part + 1}", f"{new}.layer.{part}")
        if stage or sizes["embedding_size"] != sizes["hidden_sizes"][0]:
            first = f"layer{stage + 1}.0.downsample"
            yield from _pair(f"{first}.0", f"{first}.1", f"encoder.stages.{stage}.layers.0.shortcut")


def _pair(convolution: str, norm: str, new: str) -> Iterator[tuple[str, str]]:
    yield f"{convolution}.weight", f"{new}.convolution.weight"
    for field in NORM:
        yield f"{norm}.{field}", f"{new}.normalization.{field}"


def _unfit(folder: Path, tensor: str, name: str, got: str) -> ModelError:
    return ModelError(
        f"{folder}, tensor {shorten(tensor, 120)!r}", expected=f"the backbone's tensors, those of {name} of timm", got=got,
        fix="config and weights do not belong together: download or save the model again", code="weights-do-not-fit",
    )
