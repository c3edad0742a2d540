"""Pipelines of diffusers: folders found, described and read safely, and the recipes of new models.

A folder is `model_index.json` and a folder for each part: `unet`, `scheduler`, and where there are any `vae`, `text_encoder` and
`tokenizer`. Only classes named here are made, from JSON that is read with limits and from safetensors; nothing is unpickled, no code
of a folder's own is run, nothing is downloaded beside what `find` was asked for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ..errors import ModelError, listing, shorten
from . import facts, tensors
from .allow import check_folder, read_json, refuse
from .recipe import NEW, WIDEST, Recipe, diffusers

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .source import Source

INDEX = "model_index.json"
MODALITY = "diffusion"
POOLING = "diffusion"
"""What stands for the kind of pooling in `head.json`: there is none."""
PIPELINES = ("DDPMPipeline", "DDIMPipeline", "IFPipeline", "StableDiffusionPipeline", "LDMPipeline")
"""Classes of pipelines whose denoiser can be tuned here."""
UNETS = ("UNet2DModel", "UNet2DConditionModel")
VAES = ("AutoencoderKL", "VQModel")
READERS = ("CLIPTextModel", "BertModel", "T5EncoderModel", "XLMRobertaModel", "RobertaModel", "MPNetModel", "DistilBertModel")
"""Classes of text encoders."""
WEIGHTS = "diffusion_pytorch_model.safetensors"
SLACK = 5_000_000
"""Numbers that a model may hold beyond what is saved of it."""
TOKENS = 77
"""Tokens of a caption, padding included, as the pipelines of diffusers read it."""


# -- found and described ----------------------------------------------------------------------------------------------


def find(name: str) -> Source:
    """The pipeline behind a folder, a Hub id or a recipe. Raises ModelError for what is none, or has parts that are not known."""
    from .source import Source

    if name.startswith(NEW):
        return _to_be_made(Recipe.of(name), name)
    from .places import look

    place = look(name, MODALITY)
    folder, index = place.folder, _index(place.folder)
    config = part_config(folder, "unet")
    entries = facts.headers([_weights(folder / "unet")])
    widths = config.get("block_out_channels")
    if not isinstance(widths, list) or not widths or not all(type(width) is int and 0 < width < 65_536 for width in widths):
        raise _bad(folder / "unet" / "config.json", "whole numbers as block_out_channels", shorten(repr(widths)))
    for part in ("vae", "vqvae", "text_encoder"):
        if part in index:
            facts.headers([_weights(folder / part)])
    return Source(
        name=place.name, folder=folder, kind=place.kind, model_type=index["unet"],
        parameters=sum(entry.size for entry in entries.values() if "F" in entry.dtype), layers=2 * len(widths) + 1, hidden=widths[-1],
        max_length=max(1, _side(config, folder) ** 2 // 4), positions=0, pooling=POOLING, decoder=False, licence=facts.licence(folder),
        modality=MODALITY, note=place.note,
    )


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
    index = _index(source.folder)
    files = [_weights(source.folder / part) for part in index if part not in ("scheduler", "tokenizer", "_class_name")]
    return hashlib.sha256(json.dumps([index, [facts.digest([file]) for file in files]]).encode()).hexdigest()


def _index(folder: Path) -> dict[str, str]:
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
    known = {"unet": UNETS, "vae": VAES, "vqvae": VAES, "text_encoder": READERS}
    found = {"_class_name": str(values.get("_class_name"))}
    for part, value in values.items():
        if isinstance(value, list) and len(value) == 2 and isinstance(value[1], str) and part in (*known, "scheduler", "tokenizer"):
            found[part] = value[1]
            if value[1] not in known.get(part, (value[1],)):
                raise _unsuitable(path, f"{part}: {value[1]}")
    if found["_class_name"] not in PIPELINES or "unet" not in found:
        raise _unsuitable(path, found["_class_name"])
    for part in found.keys() - {"_class_name"}:
        if not (folder / part).is_dir():
            raise _bad(path, f"a folder {part}/", "none")
        _checked(folder / part)
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
    return Recipe.of(source.name).side if source.kind == "new" else _side(part_config(source.folder, "unet"), source.folder)


def _side(config: Mapping[str, Any], folder: Path) -> int:
    size, coarser = config.get("sample_size"), 1
    for part in ("vae", "vqvae"):
        if (folder / part).is_dir():
            coarser = 2 ** (len(part_config(folder, part).get("block_out_channels", [1])) - 1)
    if type(size) is not int or not 0 < size * coarser <= 4 * WIDEST:
        raise _bad(folder / "unet" / "config.json", "a whole number as sample_size", shorten(repr(size)))
    return size * coarser


def _weights(folder: Path) -> Path:
    """The one file with a part's weights. Raises ModelError, in particular where there is a pickle alone."""
    for name in (WEIGHTS, "model.safetensors"):
        if (folder / name).exists():
            return tensors.within(folder / name, folder.parent)
    pickles = [path.name for path in sorted(folder.glob("*.bin"))]
    got = f"{pickles[0]} alone, a pickle, which can run code when read" if pickles else "none"
    raise ModelError(
        str(folder), expected=f"{WEIGHTS} or model.safetensors", got=got, fix="ask the author for safetensors in one file",
        code="no-such-file",
    )


# -- in memory --------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class Parts:
    """What stands around the denoiser and never learns: no part of the module, so that no strategy can touch it."""

    vae: Any = None
    """Turns pictures into latents and back; None: pictures are made pixel by pixel."""
    reader: Any = None
    """Turns captions into vectors."""
    tokenizer: Any = None
    spare: Mapping[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    """Tensors of the reader that are not read: saved with it."""
    text_width: int = 0
    """Numbers of a caption's vector, one for each token."""

    @property
    def scale(self) -> float:
        """What latents are multiplied by so that their variance is about 1."""
        return float(getattr(self.vae.config, "scaling_factor", None) or 1.0) if self.vae is not None else 1.0


@lru_cache(maxsize=4)
def parts(source: Source) -> Parts:
    """The frozen parts, read once a process. Raises ModelError."""
    if source.kind == "new":
        return _reading(source.folder, source.folder) if Recipe.of(source.name).text else Parts()
    folder, index = source.folder, _index(source.folder)
    around = _reading(folder / "text_encoder", folder / "tokenizer") if "text_encoder" in index else Parts()
    name = next((part for part in ("vae", "vqvae") if part in index), "")
    return dataclasses.replace(around, vae=read_part(folder, name, index[name]).eval()) if name else around


def _reading(encoder: Path, words: Path) -> Parts:
    from .loading import load_config, load_module, quiet

    module, spare = load_module(encoder, made_by=_class_of(encoder))
    check_folder(words)
    from transformers.models.auto.tokenization_auto import AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(words, config=load_config(encoder), local_files_only=True, trust_remote_code=False)
    module.requires_grad_(False)
    return Parts(reader=module, tokenizer=tokenizer, spare=spare, text_width=int(module.config.hidden_size))


def _class_of(encoder: Path) -> Any:
    """CLIP's half that reads is no model of its own to transformers' list; for all others the list decides."""
    import transformers

    return transformers.CLIPTextModel if read_json(encoder / "config.json").get("model_type") in ("clip_text_model", "clip") else None


def schedule(source: Source, velocity: bool | None) -> Any:
    """The scheduler: a new model's, or the folder's in a form that takes no random steps. `velocity`: what a new model predicts."""
    if source.kind == "new":
        return Recipe.of(source.name).schedule(velocity is not False)
    made, config, index = diffusers(), part_config(source.folder, "scheduler"), _index(source.folder)
    if index["_class_name"] == "StableDiffusionPipeline":  # as it would set them itself, whatever the file says
        config |= {"steps_offset": 1, "clip_sample": False}
    stepwise = index["_class_name"] == "IFPipeline"  # it asks its scheduler for a kind of variance, which DDIM has not
    with unlogged():
        return (made.DPMSolverMultistepScheduler if stepwise else made.DDIMScheduler).from_config(config)


def read_part(folder: Path, part: str, made_by: str) -> nn.Module:
    """A denoiser or autoencoder, float32, every tensor accounted for. Raises ModelError."""
    config, file = part_config(folder, part), _weights(folder / part)
    kind = getattr(diffusers(), made_by)
    make: Callable[[], nn.Module] = lambda: kind.from_config(config)  # noqa: E731
    state = tensors.read(file)
    try:
        with unlogged():
            _affordable(make, state, folder / part)
            module = make()
    except ModelError:
        raise
    except Exception as error:  # an architecture fails in its own way on settings that make no sense together
        raise _bad(folder / part / "config.json", f"a config of {made_by}", shorten(f"{type(error).__name__} {error}", 160)) from None
    _fill(module, state, file)
    return module.float()


def read_unet(folder: Path) -> nn.Module:
    """The denoiser of a folder."""
    return read_part(folder, "unet", _index(folder)["unet"])


def _affordable(make: Callable[[], nn.Module], state: Mapping[str, torch.Tensor], folder: Path) -> None:
    import torch

    with torch.device("meta"):
        asked = sum(tensor.numel() for tensor in make().parameters())
    there = sum(tensor.numel() for tensor in state.values())
    if asked > 2 * there + SLACK:
        raise _bad(folder / "config.json", f"a model of about {there:,} weights, as the file holds", f"settings that make {asked:,}")


def _fill(module: nn.Module, state: Mapping[str, torch.Tensor], file: Path) -> None:
    from .loading import unfit

    wanted = module.state_dict()
    for name in sorted(wanted.keys() ^ state.keys()):
        raise unfit(file, "the tensors of the config", f"{name!r} {'missing' if name in wanted else 'beside them'}")
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            raise unfit(file, f"tensor {name!r} of shape {list(wanted[name].shape)}", f"{list(tensor.shape)}")
    module.load_state_dict(state)


class unlogged:
    """The library silent inside: what it would say of settings is checked here instead."""

    def __enter__(self) -> None:
        """Only what is broken is told."""
        logging = importlib.import_module("diffusers.utils.logging")
        self.level = logging.get_verbosity()
        logging.set_verbosity_error()

    def __exit__(self, *_: object) -> None:
        """As it was."""
        importlib.import_module("diffusers.utils.logging").set_verbosity(self.level)


# -- saved ------------------------------------------------------------------------------------------------------------


def write(unet: nn.Module, around: Parts, scheduler: Any, folder: Path) -> None:
    """A folder that `DiffusionPipeline.from_pretrained` reads plainly."""
    from .loading import quiet

    with quiet(), unlogged():
        pipeline(unet, around, scheduler).save_pretrained(folder, safe_serialization=True)
        if around.spare:  # without them the library would make new ones, and warn
            around.reader.save_pretrained(folder / "text_encoder", state_dict={**around.reader.state_dict(), **around.spare})


def pipeline(unet: nn.Module, around: Parts, scheduler: Any) -> Any:
    """The pipeline of diffusers for these parts."""
    made = diffusers()
    if around.vae is not None and around.reader is None:
        return made.LDMPipeline(vqvae=around.vae, unet=unet, scheduler=scheduler)
    if around.vae is not None:
        return made.StableDiffusionPipeline(
            vae=around.vae, text_encoder=around.reader, tokenizer=around.tokenizer, unet=unet, scheduler=scheduler,
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )
    if around.reader is not None:
        return made.IFPipeline(
            tokenizer=around.tokenizer, text_encoder=around.reader, unet=unet, scheduler=scheduler, safety_checker=None,
            feature_extractor=None, watermarker=None, requires_safety_checker=False,
        )
    return made.DDIMPipeline(unet=unet, scheduler=scheduler)


def _unsuitable(path: Path, got: str) -> ModelError:
    return ModelError(
        str(path), expected=f"a pipeline with a UNet ({listing(PIPELINES, 8)})", got=shorten(got),
        fix="pass another model, or leave --model out for a new one", code="unsuitable-architecture",
    )


def _bad(path: Path, expected: str, got: str) -> ModelError:
    return ModelError(str(path), expected=expected, got=got, fix="download or save the pipeline again", code="bad-config")
