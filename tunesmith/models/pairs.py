"""Encoder-decoders from folders, and one made of an encoder: its layers twice, with a new attention from the one to the other
(arXiv 1907.12461)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import ModelError, listing
from .loading import (
    BUFFERS,
    affordable,
    bad_config,
    load_config,
    load_module,
    quiet,
    read_weights,
    unfit,
    without_pooler,
)

KIND = "encoder-decoder"
"""What transformers calls two models joined."""
State = Mapping[str, torch.Tensor]
POOLER = "encoder.pooler."


def seq2seq_class(config: Any, folder: Path) -> Any:
    """The architecture's class with encoder, decoder and head. Raises ModelError where it has none."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING

    if type(config) not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        raise ModelError(
            f"{folder / 'config.json'}, key 'model_type'",
            expected="an encoder-decoder",
            got=repr(config.model_type),
            fix="use a model such as T5, BART, Marian, mBART or NLLB, or an encoder such as BERT",
            code="unsuitable-architecture",
        )
    return MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING[type(config)]


def load_pair(folder: Path, own: bool = False) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """The encoder-decoder of a folder and its spare tensors. Raises ModelError where a tensor is missing, too many, of another shape."""
    config = load_config(folder)
    if config.model_type != KIND:
        return load_module(folder, own, made_by=seq2seq_class(config, folder))
    state = read_weights(folder)
    try:
        affordable(lambda: _joined(config), state, folder)
        with quiet():
            made = _joined(config)
    except ModelError:
        raise
    except Exception as error:  # an architecture fails in its own way on settings that make no sense together
        raise bad_config(folder / "config.json", config.model_type, error) from None
    spare = {name: tensor for name, tensor in state.items() if name.startswith(POOLER)}
    missing = _put(made, {name: tensor for name, tensor in state.items() if name not in spare}, folder)
    if missing:
        raise unfit(folder, f"tensor {missing[0]!r}", f"none ({listing(missing)} missing)")
    return made.float().eval(), spare


def warm(folder: Path, tokenizer: Any) -> tuple[nn.Module, dict[str, torch.Tensor], tuple[str, ...]]:
    """The encoder of a folder, twice, as an encoder-decoder; its spare tensors; names of the weights that are new.

    Raises ModelError (`unsuitable-architecture`) for a family that cannot attend across.
    """
    encoder, spare = load_module(folder)
    decoder_class = _decoder_class(load_config(folder), folder)
    with quiet():
        config = _twice(encoder.config, tokenizer, folder)
        made = _joined(config, encoder, decoder_class(config.decoder))
    state = read_weights(folder)
    prefix = made.decoder.base_model_prefix
    body = {f"decoder.{prefix}.{n}": t for n, t in encoder.state_dict().items()}
    heads = {f"decoder.{n}": t for n, t in state.items() if n.startswith(("cls.predictions.", "lm_head."))}
    twice = {f"encoder.{n}": t for n, t in encoder.state_dict().items()}
    known = made.state_dict()
    fresh = _put(made, twice | body | {n: t for n, t in heads.items() if n in known and known[n].shape == t.shape}, folder)
    made.tie_weights()
    learns = {name for name, _ in made.named_parameters()}
    poolers = {f"encoder.{name}": tensor for name, tensor in spare.items()} or _blank(config.encoder)
    return made.float().eval(), poolers, tuple(name for name in fresh if name in learns)


def untrained(folder: Path, tokenizer: Any) -> nn.Module:
    """The encoder-decoder of a folder, or the one that is made of its encoder, with weights of no meaning."""
    config = load_config(folder)
    with quiet():
        if config.model_type == KIND:
            return _joined(config)  # type: ignore[no-any-return]
        if config.is_encoder_decoder:
            return seq2seq_class(config, folder)(config)  # type: ignore[no-any-return]
        return _joined(_twice(config, tokenizer, folder))  # type: ignore[no-any-return]


def _twice(config: Any, tokenizer: Any, folder: Path) -> Any:
    """An encoder's config for both halves."""
    from transformers import EncoderDecoderConfig

    made = EncoderDecoderConfig.from_encoder_decoder_configs(config, load_config(folder))
    made.decoder.tie_word_embeddings = made.decoder.is_decoder = True
    _tokens(made, tokenizer, folder)
    return made


def _decoder_class(config: Any, folder: Path) -> Any:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    found = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    reads = found is not None and "encoder_hidden_states" in inspect.signature(found.forward).parameters
    if not reads or not hasattr(config, "add_cross_attention"):
        raise ModelError(
            f"{folder / 'config.json'}, key 'model_type'",
            expected="an encoder-decoder, a language model, or an encoder that can be made to write",
            got=repr(config.model_type),
            fix="use T5, BART, Marian, mBART or NLLB, or BERT, RoBERTa, XLM-RoBERTa or ELECTRA",
            code="unsuitable-architecture",
        )
    return found


def _joined(config: Any, encoder: Any = None, decoder: Any = None) -> Any:
    """The two as one, without a pooler, which nothing reads."""
    from transformers import EncoderDecoderModel
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_MAPPING

    if encoder is None:
        made_by = MODEL_MAPPING[type(config.encoder)]
        encoder = made_by(config.encoder, **without_pooler(made_by))
        decoder = MODEL_FOR_CAUSAL_LM_MAPPING[type(config.decoder)](config.decoder)
    return EncoderDecoderModel(config=config, encoder=encoder, decoder=decoder)


def _tokens(config: Any, tokenizer: Any, folder: Path) -> None:
    """The tokens that begin, end and fill a target. Raises ModelError where the tokenizer has none to begin or end with."""
    first = next((i for i in (tokenizer.cls_token_id, tokenizer.bos_token_id) if i is not None), None)
    last = next((i for i in (tokenizer.sep_token_id, tokenizer.eos_token_id) if i is not None), None)
    if first is None or last is None:
        raise ModelError(
            str(folder), expected="a tokenizer with a token that begins a text and one that ends it", got="none",
            fix="name them in tokenizer_config.json", code="no-end-token",
        )
    config.decoder_start_token_id, config.eos_token_id = int(first), int(last)
    config.pad_token_id, config.vocab_size = int(tokenizer.pad_token_id), config.decoder.vocab_size


def _blank(config: Any) -> dict[str, torch.Tensor]:
    """A pooler of zeros, which nothing reads: without it transformers would say that it had to make one up."""
    if config.model_type not in {"bert", "roberta", "xlm-roberta", "camembert"}:
        return {}
    size = config.hidden_size
    return {f"{POOLER}dense.weight": torch.zeros(size, size), f"{POOLER}dense.bias": torch.zeros(size)}


def _put(module: Any, state: State, folder: Path) -> list[str]:
    """Load what is there; names of what is not. Raises ModelError for tensors too many or of another shape."""
    known = module.state_dict()
    for name, tensor in state.items():
        if name not in known and not BUFFERS.search(name):
            raise unfit(folder, "only tensors of the architecture", f"tensor {name!r}")
        if name in known and known[name].shape != tensor.shape:
            raise unfit(folder, f"tensor {name!r} of shape {list(known[name].shape)}", f"{list(tensor.shape)}")
    kept = {name: tensor for name, tensor in state.items() if name in known}
    module.load_state_dict({**known, **kept})
    storages = {known[name].data_ptr() for name in kept}
    return [name for name, tensor in known.items() if tensor.data_ptr() not in storages and not BUFFERS.search(name)]
