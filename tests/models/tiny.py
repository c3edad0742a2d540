"""Tiny models of many families, made from configs with weights that depend on a seed alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from tunesmith.models.heads import Pooled
from tunesmith.models.source import Backbone, Source

COMMON = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
ENCODER = {**COMMON, "max_position_embeddings": 40, "pad_token_id": 1}
DECODER = {
    **COMMON,
    "num_key_value_heads": 1,
    "pad_token_id": 1,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "use_cache": False,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertConfig", ENCODER),
    "roberta": ("RobertaConfig", {**ENCODER, "bos_token_id": 0, "eos_token_id": 2}),
    "xlm-roberta": ("XLMRobertaConfig", {**ENCODER, "bos_token_id": 0, "eos_token_id": 2}),
    "electra": ("ElectraConfig", {**ENCODER, "embedding_size": 8}),
    "mpnet": ("MPNetConfig", {**ENCODER, "relative_attention_num_buckets": 32}),
    "distilbert": (
        "DistilBertConfig",
        {"vocab_size": 60, "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 40},
    ),
    "deberta-v2": (
        "DebertaV2Config",
        {**ENCODER, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8, "type_vocab_size": 0,
         "position_biased_input": False, "norm_rel_ebd": "layer_norm", "share_att_key": True, "conv_kernel_size": 0},
    ),
    "modernbert": (
        "ModernBertConfig",
        {**ENCODER, "global_attn_every_n_layers": 2, "local_attention": 4, "cls_token_id": 2, "sep_token_id": 3,
         "bos_token_id": 2, "eos_token_id": 3},
    ),
    "albert": ("AlbertConfig", {**ENCODER, "embedding_size": 8}),
    "gpt2": (
        "GPT2Config",
        {"vocab_size": 60, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 40, "bos_token_id": 2, "eos_token_id": 3,
         "pad_token_id": 1, "use_cache": False},
    ),
    "llama": ("LlamaConfig", DECODER),
    "qwen2": ("Qwen2Config", {**DECODER, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
    "t5": (
        "T5Config",
        {"vocab_size": 60, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 3, "num_heads": 2, "pad_token_id": 1},
    ),
}  # fmt: skip
DECODERS = {"gpt2", "llama", "qwen2"}


def module(family: str, seed: int = 0) -> torch.nn.Module:
    """A tiny model with generous weights, so that every layer matters."""
    config_name, values = CONFIGS[family]
    config = getattr(transformers, config_name)(**values)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "t5":
            model = transformers.T5EncoderModel(config)
        else:
            extra = (
                {"add_pooling_layer": False} if family in {"bert", "roberta", "xlm-roberta", "mpnet", "albert"} else {}
            )
            model = transformers.MODEL_MAPPING[type(config)](config, **extra)
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def source(family: str, **changes: Any) -> Source:
    """A Source as `find` would make it."""
    decoder = family in DECODERS
    values: dict[str, Any] = {
        "name": f"tiny-{family}", "folder": Path("nowhere"), "kind": "folder", "model_type": family, "parameters": 1, "layers": 3,
        "hidden": 16, "max_length": 32, "positions": 40, "pooling": "last" if decoder else "mean", "decoder": decoder, "licence": "",
    }  # fmt: skip
    return Source(**{**values, **changes})


def pooled(family: str, out: int = 3, seed: int = 0, dropout: float = 0.0) -> Pooled:
    """A tiny model with a head."""
    return Pooled(Backbone(module(family, seed), source(family), {}), out=out, dropout=dropout, seed=seed)


def batch(rows: int = 3, tokens: int = 7, seed: int = 1) -> dict[str, torch.Tensor]:
    """Rows of falling length, padded on the right with id 1."""
    generator = torch.Generator().manual_seed(seed)
    input_ids = torch.randint(4, 60, (rows, tokens), generator=generator)
    mask = torch.ones_like(input_ids)
    for row in range(rows):
        mask[row, max(2, tokens - 2 * row) :] = 0
    return {"input_ids": input_ids.where(mask.bool(), torch.tensor(1)), "attention_mask": mask}
