"""Bring a checked folder into memory: float32, strict, silent, without the network and without code of its own."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import logging
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..errors import ModelError, listing, nearest, shorten
from . import facts, renamed, sound, tensors, vision
from .allow import check_folder, filtered, read_json

HEADS = re.compile(
    r"^(cls|lm_head|vocab_(transform|layer_norm|projector)|(discriminator|generator|mask|lm)_predictions|generator_lm_head|"
    r"predictions|sop_classifier|qa_outputs|classifier|score|embed_out|head|decoder|dropout)\b"
)
"""Names of what pretraining or an earlier task put on top: known, and not wanted."""
POOLER = re.compile(r"^pooler\.")
BUFFERS = re.compile(r"(position_ids|token_type_ids|inv_freq|masked_bias|attn\.bias|final_logits_bias)$")
SLACK = 5_000_000
"""Numbers that a model may hold beyond what is saved of it (tables of positions)."""
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "spm_char.model",
    "sentencepiece.bpe.model",
)
"""Files of which a tokenizer needs one."""
ENCODERS = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
"""Families with two halves of which the first is a good encoder."""


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no log lines from the libraries; what they would say is checked by us instead."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as library

    bars, hub_bars, level = library.is_progress_bar_enabled(), not are_progress_bars_disabled(), library.get_verbosity()
    library.disable_progress_bar()
    disable_progress_bars()
    library.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        library.set_verbosity(level)
        if bars:
            library.enable_progress_bar()
        (enable_progress_bars if hub_bars else disable_progress_bars)()


@final
class Undrawn(TorchFunctionMode):
    """No values for tensors without storage: PyTorch would import its compiler to "compute" these, a third of a cold start."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The function's own result, or a tensor of its shape where that is all there is to it."""
        kwargs = kwargs or {}
        if function is nn.init.normal_ and kwargs["tensor"].is_meta:
            return kwargs["tensor"]
        if function is torch.arange and torch.device(kwargs.get("device") or "cpu").type == "meta":
            return torch.arange(*args, **{**kwargs, "device": "cpu"}).to("meta")
        if function is torch.empty_like and args[0].is_meta:
            return torch.empty(args[0].shape, dtype=args[0].dtype, **kwargs)
        return function(*args, **kwargs)


def load_config(folder: Path) -> Any:
    """The folder's config as its own class makes it from the keys that may pass. Raises ModelError."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    path = folder / "config.json"
    values = renamed.config(read_json(tensors.within(path, folder)), str(path))
    kind = str(values.get("model_type"))
    if kind not in CONFIG_MAPPING:
        raise ModelError(
            f"{path}, key 'model_type'",
            expected="an architecture that this transformers version has",
            got=shorten(repr(kind)),
            fix=nearest(kind, CONFIG_MAPPING),
            code="unknown-architecture",
        )
    made_by = CONFIG_MAPPING[kind]
    if kind == "encoder-decoder":
        values |= {half: _half(values.get(half), half, path) for half in ("encoder", "decoder")}
    fields = {field.name for field in dataclasses.fields(made_by)} | set(made_by.attribute_map)
    values = filtered(values, fields, str(path))
    try:
        with quiet():
            return made_by.from_dict({key: value for key, value in values.items() if key != "model_type"})
    except Exception as error:  # the library's validators raise their own kinds; all of them mean the file is wrong
        raise bad_config(path, kind, error) from None


def _half(values: Any, name: str, path: Path) -> dict[str, Any]:
    """The config of one of two models that were joined, from the keys that may pass."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = str(values.get("model_type")) if isinstance(values, dict) else ""
    if kind not in CONFIG_MAPPING or kind == "encoder-decoder":
        raise ModelError(
            f"{path}, key {name!r}",
            expected="the config of a model",
            got=shorten(repr(kind)),
            fix="download the model again",
            code="bad-config",
        )
    made_by = CONFIG_MAPPING[kind]
    return filtered(values, {field.name for field in dataclasses.fields(made_by)} | set(made_by.attribute_map), f"{path}, key {name!r}")


def load_module(
    folder: Path, own: bool = False, language: bool = False, made_by: Any = None
) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """The bare model and its spare tensors (a pooler); `language`: the model with its language-model head; `made_by`: another class.

    Raises ModelError where a tensor is missing, too many, or of another shape. `own`: not even a pretraining head may be there.
    """
    config = load_config(folder)
    config, state = vision.seeing(config), vision.only(config, renamed.weights(folder, read_weights(folder)))
    state = state if made_by else sound.only(config, state)
    made_by = made_by or sound.model_class(config) or (language_class(config, folder) if language else model_class(config, folder))
    prefix = f"{made_by.base_model_prefix}." if made_by.base_model_prefix else ""
    spare = _spare(state, prefix)
    wanted = {name: tensor for name, tensor in state.items() if name.removeprefix(prefix) not in spare}
    extra = without_pooler(made_by)
    try:
        affordable(lambda: made_by(config, **extra), wanted, folder)
        if exact := _as_saved(lambda: made_by(config, **extra), wanted):
            sound.settle(exact)
            return finite(exact.float().eval(), folder), spare
        with quiet(), Undrawn():
            module, info = made_by.from_pretrained(
                None,
                config=config,
                state_dict=wanted,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                local_files_only=True,
                **extra,
            )
    except ModelError:
        raise
    except Exception as error:  # an architecture fails in its own way on settings that make no sense together
        raise bad_config(folder / "config.json", config.model_type, error) from None
    _strict(info, folder, spared=not extra, own=own)
    sound.settle(module)
    return finite(module.float().eval(), folder), spare


def finite(module: nn.Module, folder: Path) -> nn.Module:
    """The model, once it is sure that all its weights are numbers. Raises ModelError with the first tensor's name: one weight that is
    none makes all answers none, and says so late."""
    for name, weight in module.named_parameters():
        if not weight.detach().sum().isfinite() and not bool((known := weight.detach().isfinite()).all()):
            count = int((~known).sum())
            raise ModelError(
                f"{folder}, tensor {shorten(name)!r}",
                expected="numbers",
                got=f"NaN or infinity in {count:,} of {weight.numel():,} places",
                fix="its training diverged, or the file is damaged: download or save the model again",
                code="weights-not-finite",
            )
    return module


def _as_saved(make: Callable[[], nn.Module], state: Mapping[str, torch.Tensor]) -> nn.Module | None:
    """The model with these weights, where they have its own names and shapes: no rule of the library's for old names is needed then,
    and making a thousand of those is half of loading a small model."""
    from transformers.initialization import no_init_weights

    with quiet(), no_init_weights():
        made = make()
    own = made.state_dict()
    if own.keys() != state.keys() or any(own[name].shape != tensor.shape for name, tensor in state.items()):
        return None
    made.load_state_dict(state, assign=True)
    return made


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder's weight files. Raises ModelError for a damaged one."""
    state: dict[str, torch.Tensor] = {}
    for file in facts.weights(folder):
        state |= tensors.read(file)
    return state


def affordable(make: Callable[[], Any], state: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Raises ModelError (`config-lies`) where the model of a config is far larger than the weights, before memory is taken."""
    with quiet(), Undrawn(), torch.device("meta"):
        empty = make()
    asked = sum(tensor.numel() for tensor in (*empty.parameters(), *empty.buffers()))
    there = sum(tensor.numel() for tensor in state.values())
    if asked > 2 * there + SLACK:
        raise ModelError(
            str(folder / "config.json"),
            expected=f"a model of about {there:,} weights, as the files hold",
            got=f"settings that make {asked:,}",
            fix="config and weights do not belong together: download the model again",
            code="config-lies",
        )


def without_pooler(made_by: Any) -> dict[str, bool]:
    """What an architecture is told so that it makes no pooler, where it would."""
    takes = "add_pooling_layer" in inspect.signature(made_by.__init__).parameters
    return {"add_pooling_layer": False} if takes else {}


def bad_config(path: Path, kind: str, error: Exception) -> ModelError:
    """An architecture's own failure on its settings, in a sentence."""
    return ModelError(
        str(path),
        expected=f"a config of {kind}",
        got=shorten(" ".join(f"{type(error).__name__} {error}".split()), 200),
        fix="download the model again",
        code="bad-config",
    )


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, padding and cutting on the right, with a padding token. Raises ModelError."""
    from transformers.models.auto.tokenization_auto import AutoTokenizer

    check_folder(folder)
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise _no_tokenizer(folder, "none of " + ", ".join(VOCABULARIES))  # the library would make an empty one
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                folder,
                config=load_config(folder),
                local_files_only=True,
                trust_remote_code=False,
            )
    except ModelError:
        raise
    except Exception as error:  # many kinds, all of which mean that no tokenizer could be made of these files
        raise _no_tokenizer(folder, shorten(" ".join(str(error).split()), 200)) from None
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    if tokenizer.pad_token is None:
        # Padding is masked out: which known token stands there changes nothing. A new one would need a new row of weights.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def refuse_beyond(tokenizer: Any, folder: Path) -> None:
    """Raises ModelError where a tokenizer gives ids for which the model has no vector."""
    config = load_config(folder)
    rows = getattr(getattr(config, "encoder", config), "vocab_size", None)
    word, last = max(tokenizer.get_vocab().items(), key=operator.itemgetter(1), default=("", -1))
    if isinstance(rows, int) and last >= rows:
        raise ModelError(
            f"the tokenizer in {folder}",
            expected=f"ids below {rows:,}, for which the model has vectors (`vocab_size` of config.json)",
            got=f"{last:,} for {shorten(repr(word))}",
            fix="tokenizer and weights do not belong together: save or download both again; where tokens were added to the tokenizer, "
            "resize the model's embeddings and save it",
            code="tokenizer-beyond-model",
        )


def model_class(config: Any, folder: Path) -> Any:
    """The bare model's class that belongs to a config. Raises ModelError where the architecture gives no vectors of tokens."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    if config.model_type in ENCODERS:
        family = importlib.import_module(f"transformers.models.{config.model_type}")
        return getattr(family, ENCODERS[config.model_type])
    if getattr(config, "is_encoder_decoder", False) or type(config) not in MODEL_MAPPING:
        raise ModelError(
            f"{folder / 'config.json'}, key 'model_type'",
            expected="an encoder or a decoder",
            got=repr(config.model_type),
            fix="use a model such as BERT, RoBERTa, ModernBERT, Llama or Qwen",
            code="unsuitable-architecture",
        )
    made_by = MODEL_MAPPING[type(config)]
    return made_by[0] if isinstance(made_by, tuple) else made_by


def language_class(config: Any, folder: Path) -> Any:
    """The class with a language-model head. Raises ModelError where the architecture does not write from left to right."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    values = read_json(folder / "config.json")
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or not facts.is_decoder(values):
        raise ModelError(
            f"{folder / 'config.json'}, key 'model_type'",
            expected="a language model that writes from left to right",
            got=repr(config.model_type),
            fix="use a model such as SmolLM2, Llama, Qwen, Gemma or GPT-2",
            code="unsuitable-architecture",
        )
    return MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]


def _spare(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    bare = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return {name: tensor for name, tensor in bare.items() if POOLER.match(name)}


def _strict(info: Mapping[str, Any], folder: Path, spared: bool, own: bool) -> None:
    """Raises ModelError for tensors that are missing, unknown, or of another shape."""
    shapes = sorted((str(name), got, wanted) for name, got, wanted in info["mismatched_keys"])
    if shapes:
        name, got, wanted = shapes[0]
        raise unfit(folder, f"tensor {name!r} of shape {list(wanted)}", f"{list(got)}")
    missing = sorted(
        name for name in info["missing_keys"] if not BUFFERS.search(name) and not (spared and "pooler" in name)
    )
    if missing:
        raise unfit(folder, f"tensor {missing[0]!r}", f"none ({listing(missing)} missing)")
    unknown = sorted(
        name for name in info["unexpected_keys"] if (own or not HEADS.match(name)) and not BUFFERS.search(name)
    )
    if unknown:
        raise unfit(folder, "only tensors of the architecture", f"tensor {unknown[0]!r} ({listing(unknown)})")


def unfit(folder: Path, expected: str, got: str) -> ModelError:
    """Weights that are not those of the config."""
    return ModelError(
        str(folder),
        expected=expected,
        got=got,
        fix="config and weights do not belong together: download or save the model again",
        code="weights-do-not-fit",
    )


def _no_tokenizer(folder: Path, got: str) -> ModelError:
    return ModelError(
        str(folder),
        expected="a tokenizer (tokenizer.json)",
        got=got,
        fix="pass a folder that has one",
        code="no-tokenizer",
    )
