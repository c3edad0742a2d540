"""A tuned model as a plain folder, and back.

config.json model.safetensors tokenizer*     the backbone: `AutoModel.from_pretrained(folder)` reads it
adapter/adapter_config.json *.safetensors    where a strategy added weights: `PeftModel.from_pretrained(model, "folder/adapter")`
adapter/bottlenecks.json *.safetensors       the same for bottlenecks, which peft does not have
head.json head.safetensors                   what lies on top: pooling, dropout, the linear map
pictures/                                    of rows with pictures, the encoder of these: a folder that transformers reads
1_Pooling/config.json sentence_bert_config.json   pooling and length as sentence-transformers writes them
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from ..errors import ModelError, listing, shorten
from . import (
    adapters,
    fusion,
    kinds,
    letters,
    pictures,
    pipelines,
    quantised,
    sound,
    tensors,
    vision,
    vocabulary,
    voices,
)
from .allow import check_adapter, read_json
from .canvas import canvas
from .embedder import sentence_files
from .heads import Chained, bare
from .loading import Undrawn, load_tokenizer, quiet
from .maps import saved_frame
from .outline import ADAPTER
from .recipe import public
from .source import Backbone, Source, find, load, modality_of

if TYPE_CHECKING:
    from peft import PeftConfig

State = Mapping[str, torch.Tensor]
FORMAT = 1
PEFT_TYPES = ("LORA", "IA3", "VERA", "PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING")
MAX_WIDTH = 65_536
"""Largest rank, width or number of learnt tokens: nothing sane is larger, and memory is taken for it."""
KINDS = {bool: bool, int: int | float, float: int | float}
MAX_TARGETS = 20_000
"""Most characters of an adapter's `target_modules`."""


class MakesModels(Protocol):
    """What `load_model` needs of a task."""

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """The backbone with the task's head."""


def save(model: nn.Module, processor: Any, folder: str | Path, says: tuple[str, Sequence[str]] = ("", ())) -> None:
    """Write backbone, adapter, head and tokenizer. What an earlier save left in the folder is replaced; the embedding is whole again
    after it, where training had left words out.

    `says`: what kind of problem the head solves, as transformers calls it, and the names of its outputs, for config.json.
    """
    vocabulary.join(model)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "adapter", ignore_errors=True)
    module, source = bare(model.backbone), model.source
    if model.pooling == pipelines.POOLING:
        model.save(folder)
        tensors.write(folder / "head.safetensors", {})
        return _write_json(folder / "head.json", _head(model, None))
    state = {**plain_state(model.backbone), **model.spare}
    if keeps_head(model):
        module, state = model.whole, language_state(model, state)
    module.config._name_or_path = _public(source)
    _name_outputs(module.config, model, *says)
    with quiet():
        module.save_pretrained(folder, state_dict=letters.with_head(model, module, sound.outer(module, state)))
        _save_tokenizer(processor, folder, source)
        letters.save(model, module, folder)
    sound.save_window(module, folder)
    pictures.save(model, folder)
    voices.save_vocoder(model, folder)
    kind = _save_adapter(model, folder / "adapter")
    tensors.write(folder / "head.safetensors", top_state(model))
    _write_json(folder / "head.json", _head(model, kind))
    if model.pooling in {"mean", "cls", "last"} and source.modality == "text":
        for name, values in sentence_files(model).items():
            _write_json(folder / name, values)


def _name_outputs(config: Any, model: Any, problem: str, names: Sequence[str]) -> None:
    """Whoever reads config.json learns what the linear head's outputs mean."""
    if problem and not keeps_head(model) and len(names) == getattr(getattr(model, "head", None), "out_features", 0):
        config.problem_type = problem
        config.id2label, config.label2id = dict(enumerate(names)), {name: number for number, name in enumerate(names)}


def load_model(folder: str | Path, task: MakesModels | None = None) -> nn.Module:
    """The model that `save` wrote, in evaluation mode, bit for bit; without a task a `Pooled`.

    Raises ModelError with the tensor's name where one is missing, too many, or of another shape.
    """
    folder = Path(folder)
    head = _read_head(folder)
    source = dataclasses.replace(
        find(str(folder), modality(folder)), name=str(head["base"]), licence=str(head["licence"]), max_length=int(head["max_length"])
    )
    source = pictures.beside(source, folder, head["pictures"])
    backbone = load(source, own=True, form=kinds.FORMS.get(str(head["pooling"]), ""))
    dropout = float(head["dropout"])
    with Undrawn():
        if task is None:
            model: Any = kinds.built(backbone, head, dropout)
        else:
            model = task.model(backbone, dropout)
    _load_adapter(model, folder / "adapter", head["adapter"])
    _load_top(model, folder / "head.safetensors")
    return model.eval()


def load_processor(folder: str | Path) -> Any:
    """The tokenizer, or what prepares images or sounds (or texts and pictures), that `save` wrote. Raises ModelError."""
    if modality(folder) == pipelines.MODALITY:
        return canvas(pipelines.find(str(folder)))
    made_by: Any = {"image": vision, "audio": sound, "voice": voices}.get(modality(folder))
    return made_by.load_processor(Path(folder)) if made_by else pictures.reader(load_tokenizer(Path(folder)), Path(folder))


def modality(folder: str | Path) -> str:
    """What a saved model reads. Raises ModelError where its config cannot be read."""
    path = Path(folder) / "config.json"
    if (Path(folder) / pipelines.INDEX).is_file():
        return pipelines.MODALITY
    return modality_of(Path(folder), read_json(path)) if path.is_file() else "text"


def plain_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """The backbone's tensors under the names that they have without adapters."""
    state = quantised.plain(bare(module), bare(module).state_dict())
    return {name.replace(".base_layer.", "."): tensor for name, tensor in state.items() if not ADAPTER.search(name)}


def keeps_head(model: nn.Module) -> bool:
    """Whether the head came with the model, and is saved with it."""
    return bool(getattr(model, "keeps_head", False))


def top_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """What lies on top of the backbone, where it is saved apart from it."""
    state = {} if keeps_head(model) else model.state_dict()
    return {name: tensor for name, tensor in state.items() if not name.startswith(("backbone.", "sight."))}


def language_state(model: Any, state: State) -> dict[str, torch.Tensor]:
    """The decoder's tensors under the names of the architecture with its head, a tied head left out."""
    if model.pooling in kinds.WHOLE:
        return dict(state)
    prefix = model.whole.base_model_prefix
    own = {name: tensor for name, tensor in model.whole.state_dict().items() if not name.startswith(f"{prefix}.")}
    if model.tied:
        own = {name: tensor for name, tensor in own.items() if tensor.data_ptr() != model.head.weight.data_ptr()}
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()} | own


def _head(model: nn.Module, kind: str | None) -> dict[str, Any]:
    source = model.source
    return {
        "format": FORMAT,
        "pooling": model.pooling,
        "out": model.head.out_features if hasattr(model, "head") else 0,
        "dropout": model.dropout.p,
        "adapter": kind,
        "base": _public(source),
        "licence": source.licence,
        "max_length": source.max_length,
        "beside": fusion.sizes(model),
        "noises": 0 if getattr(model, "noise_K", None) is None else len(model.noise_K),
        "pictures": pictures.places_of(model),
        "chained": int(isinstance(getattr(model, "head", None), Chained)),
    } | ({"frame": model.frame} if model.pooling in kinds.FRAMED else {})


def _read_head(folder: Path) -> dict[str, Any]:
    path = folder / "head.json"
    if not path.is_file():
        expected, fix = "a model that tunesmith saved", "pass a run's folder"
        raise ModelError(str(folder), expected=expected, got="no head.json", fix=fix, code="no-head")
    typed = {"format": int, "pooling": str, "out": int, "dropout": int | float, "base": str, "licence": str, "max_length": int}
    values = read_json(path)
    for key, kind in typed.items():
        if not isinstance(values.get(key), kind):
            raise _bad_file(path, f"key {key!r}", "a value", shorten(repr(values.get(key))))
    if values["pooling"] not in kinds.known() or values.get("adapter") not in {None, "peft", "bottlenecks"}:
        raise _bad_file(path, "key 'pooling' or 'adapter'", "a known word", f"{values['pooling']!r}, {values.get('adapter')!r}")
    if values["format"] != FORMAT or not 0 <= values["out"] < 10**6 or not 0 <= values["dropout"] < 1:
        raise _bad_file(path, "keys 'format', 'out', 'dropout'", f"format {FORMAT} and sane numbers", "others")
    if not fusion.sane(values.get("beside")):
        raise _bad_file(path, "key 'beside'", "two whole numbers, or none", shorten(repr(values["beside"])))
    if values["pooling"] in kinds.FRAMED and not saved_frame(values.get("frame")):
        raise _bad_file(path, "key 'frame'", "four sane whole numbers", shorten(repr(values.get("frame"))))
    for key, most in {"noises": MAX_WIDTH, "pictures": pictures.MOST, "chained": 1}.items():
        if type(values.get(key, 0)) is not int or not 0 <= values.get(key, 0) <= most:
            raise _bad_file(path, f"key {key!r}", "a whole number", shorten(repr(values[key])))
    return {"adapter": None, "beside": None, "noises": 0, "pictures": 0, "chained": 0, **values}


def _save_adapter(model: nn.Module, folder: Path) -> str | None:
    bottlenecks = getattr(bare(model.backbone), "tunesmith_bottlenecks", None)
    if bottlenecks:
        state = bare(model.backbone).state_dict()
        tensors.write(folder / "bottlenecks.safetensors", {n: t for n, t in state.items() if ".bottleneck." in n})
        _write_json(folder / "bottlenecks.json", bottlenecks)
        return "bottlenecks"
    if not hasattr(model.backbone, "peft_config"):
        return None
    from peft import get_peft_model_state_dict

    config = model.backbone.peft_config["default"].to_dict()
    config = {key: _plain(value) for key, value in config.items() if value is not None and not key.startswith("megatron")}
    # The weights saved beside the adapter are those it was trained on: nothing is to be initialised from them again.
    named = model.source.name if model.source.kind in ("hub", "package") else None  # a folder's path is this machine's business
    config |= {"inference_mode": True, "base_model_name_or_path": named}
    config |= {"init_lora_weights": True} if "init_lora_weights" in config else {}
    with quiet():
        state = get_peft_model_state_dict(model.backbone, save_embedding_layers=False)
    if keeps_head(model):
        config, state = adapters.around(config, model), adapters.renamed(state, "", adapters.inside(model))
    tensors.write(folder / "adapter_model.safetensors", state)
    _write_json(folder / "adapter_config.json", config)
    return "peft"


def _load_adapter(model: nn.Module, folder: Path, kind: str | None) -> None:
    if kind == "bottlenecks":
        _load_bottlenecks(model, folder)
    if kind == "peft":
        config = _adapter_config(folder / "adapter_config.json")
        state = tensors.read(folder / "adapter_model.safetensors")
        if keeps_head(model):
            state = adapters.renamed(state, adapters.inside(model), "")
            adapters.within(config, model)
        adapters.wrap(model, config, seed=0)
        load_adapter_state(model, state, str(folder / "adapter_model.safetensors"))


def load_adapter_state(model: nn.Module, state: State, place: str) -> None:
    """Put saved weights into a peft adapter. Raises ModelError where they were made for another base or rank."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    with quiet():
        _fits(
            state,
            get_peft_model_state_dict(model.backbone, save_embedding_layers=False),
            f"{place} on {model.source.name}",
        )
        set_peft_model_state_dict(model.backbone, dict(state))


def _adapter_config(path: Path) -> PeftConfig:
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    values = read_json(tensors.within(path, path.parent))
    check_adapter(values, str(path))
    kind = values.get("peft_type")
    if kind not in PEFT_TYPES or len(str(values.get("target_modules", ""))) > MAX_TARGETS:
        raise _bad_file(path, "keys 'peft_type' and 'target_modules'", f"one of {', '.join(PEFT_TYPES)}", repr(kind))
    made_by = PEFT_TYPE_TO_CONFIG_MAPPING[kind]
    known = {field.name for field in dataclasses.fields(made_by)} - {"auto_mapping", "peft_type", "base_model_name_or_path"}
    # A nested setting asks for more than a structure: a download, an import, another way to initialise.
    plain = {key: value for key, value in values.items() if key in known and not isinstance(value, dict)}
    plain |= {"init_lora_weights": True} if "init_lora_weights" in known else {}
    defaults = {field.name: field.default for field in dataclasses.fields(made_by)}
    for key, value in plain.items():
        if type(defaults[key]) in KINDS and not isinstance(value, KINDS[type(defaults[key])]):
            raise _bad_file(path, f"key {key!r}", f"a value like {defaults[key]!r}", shorten(repr(value)))
        if type(value) is int and value > MAX_WIDTH:
            raise _bad_file(path, f"key {key!r}", f"at most {MAX_WIDTH:,}", f"{value:,}")
    try:
        return made_by(**plain)
    except (TypeError, ValueError) as error:
        raise _bad_file(path, f"a config of {kind}", "usable settings", shorten(str(error), 120)) from None


def _load_bottlenecks(model: nn.Module, folder: Path) -> None:
    path = folder / "bottlenecks.json"
    values = read_json(path)
    width, places = values.get("width"), values.get("places")
    if type(width) is not int or not 0 < width <= MAX_WIDTH or places not in {"layer", "both"}:
        raise _bad_file(path, "keys 'width' and 'places'", "a whole number, and layer or both", f"{width!r}, {places!r}")
    state = tensors.read(folder / "bottlenecks.safetensors")
    adapters.add_bottlenecks(model, width, places, seed=0)
    module = bare(model.backbone)
    _fits(state, {n: t for n, t in module.state_dict().items() if ".bottleneck." in n}, str(folder / "bottlenecks.safetensors"))
    module.load_state_dict(state, strict=False)


def _load_top(model: nn.Module, path: Path) -> None:
    state = tensors.read(tensors.within(path, path.parent))
    _fits(state, top_state(model), str(path))
    model.load_state_dict(state, strict=False)


def _fits(state: State, wanted: State, place: str) -> None:
    """Raises ModelError where names or shapes differ."""
    missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing:
        raise _unfit(place, f"tensor {missing[0]!r}", f"none ({listing(missing)} missing)")
    if extra:
        raise _unfit(place, "only tensors of this model", f"tensor {extra[0]!r}")
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            raise _unfit(place, f"tensor {name!r} of shape {list(wanted[name].shape)}", f"{list(tensor.shape)}")


def _save_tokenizer(processor: Any, folder: Path, source: Source) -> None:
    if processor is None:
        return
    processor.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    if path.is_file():  # where the tokenizer was read from is this machine's business
        values = json.loads(path.read_text("utf-8"))
        _write_json(path, {key: value for key, value in values.items() if key not in {"name_or_path", "local_files_only"}})


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")


def _plain(value: Any) -> Any:
    """A setting of peft's as JSON has it: sets sorted, enumerations by value."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    return (
        value
        if isinstance(value, str | int | float | bool | list | dict) and not hasattr(value, "value")
        else str(value.value)
    )


def _public(source: Source) -> str:
    """The base model's name without this machine's folders."""
    if source.kind == "new":
        return public(source.name)
    return source.folder.name if source.kind == "folder" and Path(source.name).name != source.name else source.name


def _unfit(place: str, expected: str, got: str) -> ModelError:
    fix = "it belongs to another model: use the one it was saved with"
    return ModelError(place, expected=expected, got=got, fix=fix, code="weights-do-not-fit")


def _bad_file(path: Path, key: str, expected: str, got: str) -> ModelError:
    return ModelError(f"{path}, {key}", expected=expected, got=got, fix="save the model again", code="bad-model-file")
