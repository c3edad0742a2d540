"""A pretrained model, found and described before it is loaded.

`find` reads small files and headers only. `load` and `processor` bring it into memory (`loading.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ModelError, shorten
from . import facts, pipelines, renamed, sound, tensors, vision, voices
from .allow import check_folder, read_json
from .places import look

if TYPE_CHECKING:
    import torch
    from torch import nn


Form = Literal["", "language", "seq2seq", "speech", "segments", "voice", "detector"]
"""The bare model; a decoder with its language-model head; an encoder-decoder with its head, made of an encoder where it is one; a
recogniser; a model of images with the decoder that answers each place; a model that speaks; a detector of boxes."""
SEGMENTERS = {
    "segformer": "SegformerForSemanticSegmentation", "upernet": "UperNetForSemanticSegmentation",
    "mask2former": "Mask2FormerForUniversalSegmentation",
}
"""Families whose segmentation decoder is kept, and the class that has it."""
DECODERS = ("decode_head.", "class_predictor.")
"""How names of a segmentation decoder's weights begin."""


@dataclass(frozen=True)
class Source:
    """Where a model's weights lie, and what its small files say of it."""

    name: str
    """As asked for: `sentence-transformers/all-MiniLM-L6-v2`, a folder, a package."""
    folder: Path
    kind: str
    """`folder`, `package`, `hub` or `new`."""
    model_type: str
    """The architecture's family, as transformers calls it: `bert`, `llama`."""
    parameters: int
    """Number of weights, heads that the file may carry included."""
    layers: int
    hidden: int
    """Width of a token's vector."""
    max_length: int
    """Most tokens of one text, special ones included, for which the model was made."""
    positions: int
    """Most tokens that the architecture can place; 0: no fixed limit."""
    pooling: str
    """How a text's vector is made of its tokens' vectors: `mean`, `cls` or `last`."""
    decoder: bool
    """Whether a token sees only what stands before it."""
    licence: str
    """As the model card names it; `` where it does not."""
    modality: str = "text"
    """What the model reads: `text`, `image` or `audio`; `voice`: it reads texts aloud."""
    note: str = ""
    """What a user may want to know about how the name was read."""
    encoder_decoder: bool = False
    """Whether it is an encoder and a decoder that attends to it."""
    segments: bool = False
    """Whether an image model's weights have a segmentation decoder of one of the families that are kept whole."""
    picture: Source | None = None
    """The image encoder beside a model of texts, for rows that have pictures as well."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files with weights."""
        return facts.weights(self.folder)

    @property
    def digest(self) -> str:
        """sha256 over config and weights, those of the encoder of pictures included; hashed once per process."""
        if self.modality == pipelines.MODALITY:
            return pipelines.digest(self)
        files = (self.folder / "config.json", *self.files)
        return facts.digest(files + ((self.picture.folder / "config.json", *self.picture.files) if self.picture else ()))


@dataclass
class Backbone:
    """A pretrained module in memory."""

    module: nn.Module
    source: Source
    spare: dict[str, torch.Tensor]
    """Pretrained tensors that no task reads (a BERT's pooler): kept out of the module, saved with it."""
    whole: nn.Module | None = None
    """The language model around the module, with its head, where one was asked for."""
    fresh: tuple[str, ...] = ()
    """Names of weights that pretraining did not have."""
    picture: Backbone | None = None
    """The image encoder beside it."""
    own: bool = False
    """Whether the folder is one that `save` wrote."""


def find(name: str, modality: str = "text") -> Source:
    """The model behind a folder, an installed package's name, a Hub id, or `auto`; for rows of this modality.

    Raises ModelError: where it looked and how to mend it; a config that names code; weights that are no sound safetensors.
    """
    if modality == pipelines.MODALITY:
        return pipelines.find(name)
    place = look(name, modality)
    folder, path = place.folder, place.folder / "config.json"
    if not path.exists():
        raise _no_config(folder)
    config = read_json(tensors.within(path, folder))
    check_folder(folder)
    _one_model(folder, config)
    entries = facts.headers(facts.weights(folder))
    reads = modality_of(folder, config)
    told_by = facts.flat(config)
    facts.check_sizes(_sized(reads, config, told_by), entries, str(path))
    if reads != modality:
        raise _other_modality(name, modality, reads, str(config["model_type"]))
    if reads != "text":
        told = _told(reads, folder, config, entries)
        licence = facts.licence(folder)
        told["segments"] = config["model_type"] in SEGMENTERS and any(name.startswith(DECODERS) for name in entries)
        note = "; ".join(filter(None, [place.note, renamed.note(config)]))
        return Source(place.name, folder, place.kind, str(config["model_type"]), **told, licence=licence, note=note)
    return Source(
        name=place.name,
        folder=folder,
        kind=place.kind,
        note=place.note,
        model_type=str(config["model_type"]),
        parameters=sum(entry.size for entry in entries.values() if "F" in entry.dtype),
        layers=facts.layers(told_by),
        hidden=facts.hidden(told_by),
        max_length=facts.max_length(folder, told_by),
        positions=facts.positions(told_by),
        pooling=facts.pooling(folder, told_by),
        decoder=facts.is_decoder(told_by),
        encoder_decoder=facts.is_pair(config),
        licence=facts.licence(folder),
    )


def _told(reads: str, folder: Path, config: dict[str, Any], entries: Any) -> dict[str, Any]:
    if reads == "image":
        return vision.describe(folder, config, entries)
    return (voices if reads == "voice" else sound).describe(config, entries, str(folder / "config.json"))


def modality_of(folder: Path, config: dict[str, Any]) -> str:
    """What a model reads: `text`, `image` or `audio`; `voice` where it reads texts aloud."""
    if voices.is_voice(config):
        return "voice"
    return "audio" if sound.is_sound(config) else "image" if vision.is_image(folder, config) else "text"


def _sized(reads: str, config: dict[str, Any], text: Any) -> Any:
    """The part of a config whose sizes the weights must have; a saved encoder of sounds has lost its decoder's words."""
    if reads in ("audio", "voice"):
        return {key: value for key, value in config.items() if key != "vocab_size"}
    return vision.half(config) if reads == "image" else text


def processor(source: Source) -> Any:
    """The model's tokenizer, padding on the right, with a padding token; of a model of images or sounds what prepares these.

    Raises ModelError.
    """
    if source.modality == pipelines.MODALITY:
        from .canvas import canvas

        return canvas(source)
    if source.modality == "image":
        return vision.load_processor(source.folder)
    if source.modality == "audio":
        return sound.load_processor(source.folder)
    if source.modality == "voice":
        return voices.load_processor(source.folder)
    from .loading import load_tokenizer, refuse_beyond

    tokenizer = load_tokenizer(source.folder)
    refuse_beyond(tokenizer, source.folder)
    if source.picture is None:
        return tokenizer
    from .pictures import Both

    return Both(tokenizer, vision.load_processor(source.picture.folder), source.picture)


def seeing(source: Source, name: str) -> Source:
    """The model with an image encoder beside it; `name`: as for `find`, or nothing. Raises ModelError that says what to do without."""
    if not name:
        return source
    try:
        return replace(source, picture=find(name, "image"))
    except ModelError as error:
        fix = f"{error.fix}; name an encoder with --set options.image_model=FOLDER, or leave its columns out with options.leave_out"
        raise ModelError(error.place, expected=error.expected, got=error.got, fix=fix, code=error.code) from None


def load(source: Source, *, own: bool = False, form: Form = "") -> Backbone:
    """The model in float32, in evaluation mode, every tensor accounted for. Raises ModelError (`weights-do-not-fit`).

    `own`: a folder that `save` wrote, in which not even a head of pretraining may stand.
    """
    from .loading import load_module

    if source.modality == pipelines.MODALITY:
        from .around import read_denoiser

        return Backbone(nothing() if source.kind == "new" else read_denoiser(source.folder), source, {})
    if form == "seq2seq":
        return _pair(source, own)
    if form == "voice":
        return Backbone(voices.load_module(source.folder, own), source, {}, own=own)
    if form == "speech":
        module, spare = load_module(source.folder, own, made_by=sound.recogniser_class())
        return Backbone(module, source, spare)
    if form == "segments":
        from .segmenters import made_by

        module, spare = load_module(source.folder, own, made_by=made_by(source.model_type))
        return Backbone(module, source, spare)
    if form == "detector":
        from .loading import load_config
        from .setwise import model_class

        module, spare = load_module(source.folder, own, made_by=model_class(load_config(source.folder)))
        return Backbone(module, source, spare)
    module, spare = load_module(source.folder, own, form == "language")
    if form == "language":
        return Backbone(module.base_model, source, spare, module)
    return Backbone(module, source, spare, picture=load(source.picture, own=own) if source.picture else None)


def untrained(source: Source, form: Form = "") -> Backbone:
    """A model of images, sounds or texts with weights of no meaning, made from its config alone: what it costs, without reading what it
    knows. Raises ModelError, or what the architecture raises, where it cannot be made so."""
    from .loading import load_config, model_class, quiet, without_pooler

    if form == "seq2seq":
        from . import pairs

        return Backbone(pairs.untrained(source.folder, processor(source)), source, {})
    if source.kind == "new":
        return load(source, form=form)
    if form not in ("", "speech", "segments", "detector"):
        raise ModelError(source.name, expected="a bare model", got=form, fix="train it as it is", code="no-trial")
    config = vision.seeing(load_config(source.folder))
    made_by = _with_head(form, config) or sound.model_class(config) or model_class(config, source.folder)
    with quiet():
        module = made_by(config, **without_pooler(made_by))
    sound.settle(module)
    return Backbone(module, source, {}, picture=untrained(source.picture) if source.picture else None)


def _with_head(form: Form, config: Any) -> Any:
    """The class of a model that keeps its head; None for a bare one."""
    if form == "speech":
        return sound.recogniser_class()
    if form == "segments":
        from .segmenters import made_by

        return made_by(config.model_type)
    if form == "detector":
        from .setwise import model_class

        return model_class(config)
    return None


def nothing() -> nn.Module:
    """What stands for a model that is yet to be made."""
    from torch import nn

    return nn.Identity()


def _pair(source: Source, own: bool) -> Backbone:
    from .pairs import load_pair, warm

    if source.encoder_decoder:
        module, spare = load_pair(source.folder, own)
        return Backbone(module, source, spare)
    module, spare, fresh = warm(source.folder, processor(source))
    return Backbone(module, source, spare, fresh=fresh)


def _one_model(folder: Path, config: dict[str, Any]) -> None:
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            str(folder),
            expected="a model without an adapter beside it",
            got="adapter_config.json",
            code="adapter-in-folder",
            fix="pass the base model, or merge the adapter first",
        )
    if not isinstance(config.get("model_type"), str):
        raise ModelError(
            f"{folder / 'config.json'}, key 'model_type'",
            expected="an architecture of transformers",
            got="none",
            fix="is this a transformers model?",
            code="no-model-type",
        )


def _other_modality(name: str, modality: str, reads: str, kind: str) -> ModelError:
    many = {"text": "texts", "image": "images", "audio": "sounds", "voice": "texts aloud"}
    return ModelError(
        f"model {name!r}",
        expected=f"a model that reads {many.get(modality, modality)}",
        got=f"a {kind}, which reads {many[reads]}",
        fix="leave --model out, or name one for this task",
        code="other-modality",
    )


def _no_config(folder: Path) -> ModelError:
    path = folder / "adapter_config.json"
    if path.exists():
        base = read_json(tensors.within(path, folder)).get("base_model_name_or_path")
        named = isinstance(base, str) and base
        model = f"--model {shorten(str(base))}" if named else "the model that it was trained on"
        return ModelError(
            str(folder),
            expected="a whole model",
            got=f"an adapter of {shorten(repr(base))} alone" if named else "an adapter alone",
            fix=f"pass its base ({model}), or merge the adapter into it first (`tunesmith merge RUN`, or peft's `merge_and_unload`)",
            code="adapter-alone",
        )
    return ModelError(
        str(folder), expected="config.json", got="none", fix="pass a transformers model's folder", code="no-config"
    )
