"""Pipelines of diffusers: folders found, described and read safely, and the recipes of new models.

A folder is `model_index.json` and a folder for each part: a denoiser, `scheduler`, and where there are any `vae`, `text_encoder` and
`tokenizer`, numbered from the second on. Only classes that `families.py` names are made, from JSON that is read with limits and from
safetensors; nothing is unpickled, no code of a folder's own is run, nothing is downloaded beside what `find` was asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, listing, shorten
from . import facts, tensors
from .allow import check_folder, read_json, refuse
from .families import FAMILIES, PIXELS, TOKENS, TOLD, Family, words
from .recipe import NEW, WIDEST, Recipe, diffusers

if TYPE_CHECKING:
    from .source import Source

INDEX = "model_index.json"
MODALITY = "diffusion"
POOLING = "diffusion"
"""What stands for the kind of pooling in `head.json`: there is none."""
STEMS = ("diffusion_pytorch_model", "model")
"""How files with weights are called."""
FLOWS = "FlowMatchEulerDiscreteScheduler"
PREDICTED = (None, "epsilon", "v_prediction")
"""What a denoiser may predict; nothing said: noise."""


# -- found and described ----------------------------------------------------------------------------------------------


def find(name: str) -> Source:
    """The pipeline behind a folder, a Hub id or a recipe. Raises ModelError for what is none, or has parts that are not known."""
    from .source import Source

    if name.startswith(NEW):
        return _to_be_made(Recipe.of(name), name)
    from .places import look

    place = look(name, MODALITY)
    folder, classes = place.folder, index(place.folder)
    family = FAMILIES[classes["_class_name"]]
    config = part_config(folder, family.denoiser)
    entries = facts.headers(weights(folder / family.denoiser))
    layers, hidden = _stature(config, folder / family.denoiser / "config.json")
    for part in classes.keys() & {family.vae, *family.readers}:
        facts.headers(weights(folder / part))
    _agree(folder, family, classes)
    return Source(
        name=place.name, folder=folder, kind=place.kind, model_type=classes[family.denoiser],
        parameters=sum(entry.size for entry in entries.values() if "F" in entry.dtype), layers=layers, hidden=hidden,
        max_length=max(1, _side(config, folder, family) ** 2 // 4), positions=0, pooling=POOLING, decoder=False,
        licence=facts.licence(folder), modality=MODALITY, note=place.note,
    )


def _stature(config: Mapping[str, Any], path: Path) -> tuple[int, int]:
    """Layers and width of a UNet, or of a transformer. Raises ModelError."""
    widths = config.get("block_out_channels")
    whole = lambda value: type(value) is int and 0 < value < 65_536  # noqa: E731
    if isinstance(widths, list) and widths and all(map(whole, widths)):
        return 2 * len(widths) + 1, widths[-1]
    sizes = [config.get(name) for name in ("num_layers", "num_attention_heads", "attention_head_dim")]
    if widths is not None or not all(map(whole, sizes)):
        raise bad(path, "whole numbers as block_out_channels, or as layers and heads", shorten(repr(widths or sizes)))
    layers, heads, width = sizes
    return layers, heads * width  # type: ignore[return-value,operator]


def _agree(folder: Path, family: Family, classes: Mapping[str, str]) -> None:
    """Raises ModelError where parts do not belong together, or noise is laid on pictures in a way that is not known here."""
    told = lambda part: part_config(folder, part) if part in classes else {}  # noqa: E731
    for part, key, expected, got in family.checks(told):
        if expected is not None and got != expected:
            raise unsuitable(folder / part / "config.json", f"{key} {expected}", f"{key} {shorten(repr(got))}")
    kind, path, config = classes["scheduler"], folder / "scheduler" / "scheduler_config.json", told("scheduler")
    if kind.startswith("EDM") or (kind == FLOWS) != family.flow:
        raise unsuitable(path, FLOWS if family.flow else "a scheduler of a diffusion that predicts noise or velocity", kind)
    if config.get("prediction_type") not in PREDICTED:
        raise unsuitable(path, "prediction_type epsilon or v_prediction", shorten(repr(config["prediction_type"])))
    if config.get("use_dynamic_shifting"):
        raise unsuitable(path, "the same noise levels for pictures of every size", "use_dynamic_shifting")


def _to_be_made(recipe: Recipe, name: str) -> Source:
    from .source import Source
    from .source import find as find_reader

    diffusers()
    reader = find_reader(recipe.text) if recipe.text else None
    if reader and 0 < reader.positions < TOKENS:
        raise ModelError(
            f"option text_encoder, {reader.name!r}", expected=f"an encoder that reads {TOKENS} tokens or more", got=f"{reader.positions}",
            fix="name another, or leave the option out", code="text-too-long",
        )
    return Source(
        name=name, folder=reader.folder if reader else Path(), kind="new", model_type="UNet2DConditionModel" if reader else "UNet2DModel",
        parameters=_count(recipe, reader.hidden if reader else 0), layers=2 * len(recipe.widths) + 1, hidden=recipe.widths[-1],
        max_length=max(1, recipe.side**2 // 4), positions=0, pooling=POOLING, decoder=False,
        licence=reader.licence if reader else "", modality=MODALITY,
        note="nothing was pretrained" + (f", but for {reader.name}, which reads the captions and is not changed" if reader else ""),
    )


@lru_cache(maxsize=64)
def _count(recipe: Recipe, text_width: int) -> int:
    import torch

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in recipe.unet(0, text_width).parameters())


def digest(source: Source) -> str:
    """sha256 over what a model was: its files, or its recipe and the text encoder's files."""
    if source.kind == "new":
        reader = facts.digest(facts.weights(source.folder)) if Recipe.of(source.name).text else ""
        return hashlib.sha256(f"{source.name}{reader}".encode()).hexdigest()
    classes = index(source.folder)
    files = [weights(source.folder / part) for part in classes if part in family_of(source).parts]
    said = [classes, [facts.digest(some) for some in files], *([] if zeros_for_nothing(source.folder) else ["the empty caption"])]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def family_of(source: Source) -> Family:
    """How a model's pipeline is put together and asked."""
    if source.kind == "new":
        return TOLD if Recipe.of(source.name).text else PIXELS
    return FAMILIES[index(source.folder)["_class_name"]]


def zeros_for_nothing(folder: Path) -> bool:
    """Whether a pipeline that may have it so is told zeros where there is no caption."""
    values = read_json(tensors.within(folder / INDEX, folder))
    return values.get("_class_name") == "StableDiffusionXLPipeline" and values.get("force_zeros_for_empty_prompt") is not False


def index(folder: Path) -> dict[str, str]:
    """Part -> class, of the parts that are known, and `_class_name`. Raises ModelError."""
    diffusers()
    path = folder / INDEX
    if not path.is_file():
        raise ModelError(
            str(folder), expected=f"a pipeline of diffusers ({INDEX})", got="none",
            fix="pass a folder that a pipeline was saved to, or leave --model out for a new model", code="no-pipeline",
        )
    values = read_json(tensors.within(path, folder))
    refuse(values, str(path))
    name = str(values.get("_class_name"))
    if name not in FAMILIES:
        raise unsuitable(path, f"a pipeline whose denoiser can be tuned ({listing(tuple(FAMILIES), 12)})", name)
    found = {"_class_name": name} | _classes(FAMILIES[name], values, path)
    for part in found.keys() - {"_class_name"}:
        if not (folder / part).is_dir():
            raise bad(path, f"a folder {part}/", "none")
        _checked(folder / part)
    return found


def _classes(family: Family, values: Mapping[str, Any], path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for part, value in values.items():
        if part in family.folders and isinstance(value, list) and len(value) == 2 and isinstance(value[1], str):
            found[part] = value[1]
            if value[1] not in family.parts.get(part, (value[1],)):
                raise unsuitable(path, f"{part}: {listing(family.parts[part], 8)}", value[1])
    needed = [part for part in family.folders if part not in family.optional] + [words(part) for part in family.readers if part in found]
    for part in needed:
        if part not in found:
            raise unsuitable(path, f"a {family.pipeline} with {part}", "none")
    return found


def _checked(folder: Path) -> None:
    check_folder(folder)
    for path in folder.glob("*.json"):
        if path.name.endswith("config.json"):
            refuse(read_json(tensors.within(path, folder)), str(path))


def part_config(folder: Path, part: str) -> dict[str, Any]:
    """The config of one part, keys of its own alone (`_class_name` and the like left out). Raises ModelError."""
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    values = read_json(tensors.within(folder / part / name, folder))
    refuse(values, str(folder / part / name))
    return {key: value for key, value in values.items() if not key.startswith("_")}


def side(source: Source) -> int:
    """Pixels a side of the pictures."""
    if source.kind == "new":
        return Recipe.of(source.name).side
    family = family_of(source)
    return _side(part_config(source.folder, family.denoiser), source.folder, family)


def _side(config: Mapping[str, Any], folder: Path, family: Family) -> int:
    size, coarser = config.get("sample_size"), 1
    if family.vae:
        coarser = 2 ** (len(part_config(folder, family.vae).get("block_out_channels", [1])) - 1)
    if type(size) is not int or not 0 < size * coarser <= 4 * WIDEST:
        raise bad(folder / family.denoiser / "config.json", "a whole number as sample_size", shorten(repr(size)))
    return size * coarser


def weights(folder: Path) -> tuple[Path, ...]:
    """The files that together hold a part's weights. Raises ModelError, in particular where there is a pickle alone."""
    for stem in STEMS:
        if found := facts.named(folder, stem, folder.parent):
            return found
    pickles = [path.name for path in sorted(folder.glob("*.bin"))]
    got = f"{pickles[0]} alone, a pickle, which can run code when read" if pickles else "none"
    raise ModelError(
        str(folder), expected=f"{' or '.join(f'{stem}.safetensors' for stem in STEMS)}", got=got,
        fix="ask the author for safetensors", code="no-such-file",
    )


def unsuitable(path: Path, expected: str, got: str) -> ModelError:
    """A pipeline that is sound, and cannot be tuned here."""
    return ModelError(
        str(path), expected=expected, got=shorten(got), fix="pass another model, or leave --model out for a new one",
        code="unsuitable-architecture",
    )


def bad(path: Path, expected: str, got: str) -> ModelError:
    """A pipeline that is none."""
    return ModelError(str(path), expected=expected, got=got, fix="download or save the pipeline again", code="bad-config")
