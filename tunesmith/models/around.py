"""A pipeline in memory: the denoiser that learns, and around it what never does; read from its folder, and saved so that diffusers
reads it.

Frozen parts compute in float32 wherever they are asked: what they say is kept in the cache for runs of any precision, and autoencoders that
say so (`force_upcast`) overflow in float16.

Axes: L tokens of a caption, D numbers of each.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ..errors import ModelError, shorten
from . import families, tensors
from .allow import check_folder, read_json
from .families import Family
from .pipelines import bad, family_of, index, part_config, weights, zeros_for_nothing
from .recipe import Recipe, diffusers

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .source import Source

SLACK = 5_000_000
"""Numbers that a model may hold beyond what is saved of it."""
ONCE = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""What maps of attention were called in files of before 2023 (Stable Diffusion 1), and are now."""


@final
@dataclass(frozen=True)
class Reader:
    """An encoder of captions and its tokenizer."""

    module: Any
    tokenizer: Any
    spare: Mapping[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    """Tensors that are not read: saved with it."""

    def __call__(self, ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **more: Any) -> Any:
        """What the encoder says of tokens, wherever it stands."""
        device = next(self.module.parameters()).device
        mask = None if attention_mask is None else attention_mask.to(device)
        return self.module(ids.to(device), attention_mask=mask, **more)


@final
@dataclass(frozen=True)
class Parts:
    """What stands around the denoiser and never learns: no part of the module, so that no strategy can touch it."""

    family: Family
    vae: Any = None
    """Turns pictures into latents and back; None: pictures are made pixel by pixel."""
    readers: tuple[Reader, ...] = ()
    """Turn captions into vectors."""
    text_width: int = 0
    """Numbers of a token's vector, as the denoiser is told it."""
    zeros: bool = False
    """Whether zeros stand for no caption, as the pipeline was trained; else the empty caption does."""

    @property
    def scale(self) -> float:
        """What latents are multiplied by so that their variance is about 1."""
        return float(getattr(self.vae.config, "scaling_factor", None) or 1.0) if self.vae is not None else 1.0

    @property
    def shift(self) -> float:
        """What is taken off latents before."""
        return float(getattr(self.vae.config, "shift_factor", None) or 0.0) if self.vae is not None and self.family.flow else 0.0

    def said(self, text: str) -> dict[str, torch.Tensor]:
        """`caption` (L, D), and `pooled` (P,) where the denoiser is told a vector of all of it."""
        assert self.family.said
        with exactly(*(reader.module for reader in self.readers)):
            return {name: value.float().cpu().clone() for name, value in self.family.said(self, text).items()}

    def nothing(self) -> dict[str, torch.Tensor]:
        """No caption, as the denoiser is told it."""
        said = self.said("")
        return {name: value.new_zeros(value.shape) for name, value in said.items()} if self.zeros else said

    def cut(self, text: str) -> bool:
        """Whether no encoder reads a caption to its end."""
        lengths = [families.TOKENS, families.TOKENS, families.LONG]
        return all(len(reader.tokenizer(text)["input_ids"]) > most for reader, most in zip(self.readers, lengths))


@contextmanager
def exactly(*modules: nn.Module) -> Iterator[None]:
    """Within, frozen modules compute in float32, without dropout and gradients."""
    import torch

    from .heads import evaluating

    device = next((parameter.device.type for module in modules for parameter in module.parameters()), "cpu")
    with evaluating(torch.nn.ModuleList(modules)), torch.inference_mode(), torch.autocast(device, enabled=False):
        yield


# -- read -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def parts(source: Source) -> Parts:
    """The frozen parts, read once a process. Raises ModelError."""
    folder, family = source.folder, family_of(source)
    if source.kind == "new":
        readers = (_reader(folder, folder, ""),) if Recipe.of(source.name).text else ()
        return Parts(family, readers=readers, text_width=readers[0].module.config.hidden_size if readers else 0)
    classes = index(folder)
    there = [part for part in family.readers if part in classes]
    readers = tuple(_reader(folder / part, folder / families.words(part), classes[part]) for part in there)
    vae = read_part(folder, family.vae, classes[family.vae]).eval() if family.vae else None
    wide = part_config(folder, family.denoiser).get("joint_attention_dim") if family.flow else None
    width = int(wide or (readers[0].module.config.hidden_size if readers else 0))
    return Parts(family, vae, readers, width, bool(readers) and zeros_for_nothing(folder))


def _reader(encoder: Path, words: Path, made_by: str) -> Reader:
    from .loading import load_config, load_module, quiet

    module, spare = load_module(encoder, made_by=_class_of(encoder, made_by))
    check_folder(words)
    from transformers.models.auto.tokenization_auto import AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(words, config=load_config(encoder), local_files_only=True, trust_remote_code=False)
    module.requires_grad_(False)
    return Reader(module, tokenizer, spare)


def _class_of(encoder: Path, made_by: str) -> Any:
    """CLIP's half that reads is no model of its own to transformers' list; for all others the list decides."""
    import transformers

    if made_by in families.PROJECTED:
        return transformers.CLIPTextModelWithProjection
    return transformers.CLIPTextModel if read_json(encoder / "config.json").get("model_type") in ("clip_text_model", "clip") else None


def schedule(source: Source, velocity: bool | None) -> Any:
    """The scheduler: a new model's, or the folder's in a form that takes no random steps. `velocity`: what a new model predicts."""
    if source.kind == "new":
        return Recipe.of(source.name).schedule(velocity is not False)
    family = family_of(source)
    with unlogged():
        return getattr(diffusers(), family.scheduler).from_config(part_config(source.folder, "scheduler") | dict(family.schedule))


def read_denoiser(folder: Path) -> nn.Module:
    """The part of a folder that learns."""
    classes = index(folder)
    part = families.FAMILIES[classes["_class_name"]].denoiser
    return read_part(folder, part, classes[part])


def read_part(folder: Path, part: str, made_by: str) -> nn.Module:
    """A denoiser or autoencoder, float32, every tensor accounted for. Raises ModelError."""
    config, files = part_config(folder, part), weights(folder / part)
    kind = getattr(diffusers(), made_by)
    make: Callable[[], nn.Module] = lambda: kind.from_config(config)  # noqa: E731
    state: dict[str, torch.Tensor] = {}
    for file in files:
        state |= tensors.read(file)
    try:
        with unlogged():
            _affordable(make, state, folder / part)
            module = make()
    except ModelError:
        raise
    except Exception as error:  # an architecture fails in its own way on settings that make no sense together
        raise bad(folder / part / "config.json", f"a config of {made_by}", shorten(f"{type(error).__name__} {error}", 160)) from None
    _fill(module, state, files[0])
    return module.float()


def _affordable(make: Callable[[], nn.Module], state: Mapping[str, torch.Tensor], folder: Path) -> None:
    import torch

    with torch.device("meta"):
        asked = sum(tensor.numel() for tensor in make().parameters())
    there = sum(tensor.numel() for tensor in state.values())
    if asked > 2 * there + SLACK:
        raise bad(folder / "config.json", f"a model of about {there:,} weights, as the file holds", f"settings that make {asked:,}")


def _fill(module: nn.Module, state: Mapping[str, torch.Tensor], file: Path) -> None:
    from .loading import unfit

    wanted = module.state_dict()
    state = {name if name in wanted else _now(name): tensor for name, tensor in state.items()}
    for name in sorted(wanted.keys() ^ state.keys()):
        raise unfit(file, "the tensors of the config", f"{name!r} {'missing' if name in wanted else 'beside them'}")
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            raise unfit(file, f"tensor {name!r} of shape {list(wanted[name].shape)}", f"{list(tensor.shape)}")
    module.load_state_dict(state)


def _now(name: str) -> str:
    block, _, map_ = name.rpartition(".")[0].rpartition(".")
    return f"{block}.{ONCE[map_]}.{name.rpartition('.')[2]}" if map_ in ONCE else name


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


def write(denoiser: nn.Module, around: Parts, scheduler: Any, folder: Path) -> None:
    """A folder that `DiffusionPipeline.from_pretrained` reads plainly."""
    from .loading import quiet

    with quiet(), unlogged():
        pipeline(denoiser, around, scheduler).save_pretrained(folder, safe_serialization=True)
        for part, reader in zip(around.family.readers, around.readers):
            if reader.spare:  # without them the library would make new ones, and warn
                reader.module.save_pretrained(folder / part, state_dict={**reader.module.state_dict(), **reader.spare})


def pipeline(denoiser: nn.Module, around: Parts, scheduler: Any) -> Any:
    """The pipeline of diffusers for these parts."""
    family = around.family
    made: dict[str, Any] = {family.denoiser: denoiser, "scheduler": scheduler, **family.extras}
    made |= {family.vae: around.vae} if family.vae else {}
    for part, reader in zip(family.readers, (*around.readers, *[None] * len(family.readers))):
        made |= {part: reader and reader.module, families.words(part): reader and reader.tokenizer}
    made |= {"force_zeros_for_empty_prompt": around.zeros} if family.sized else {}
    return getattr(diffusers(), family.pipeline)(**made)
