"""Tiny encoders of the families that read texts otherwise than BERT, as model folders: each with a tokenizer of its own kind."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from tests.models import tiny
from tests.tiny_models import WORDS

FAMILIES = ("roberta", "deberta-v2", "modernbert")
LENGTH = 64
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
"""In the order of RoBERTa's ids, by which its places are counted."""


def make(folder: Path, family: str, seed: int = 0) -> Path:
    """A model folder: bytes joined to pieces for RoBERTa and ModernBERT, pieces that begin with their space for DeBERTa."""
    tokenizer = _pieces() if family == "deberta-v2" else _bytes()
    ends = [(mark, tokenizer.token_to_id(mark)) for mark in ("<s>", "</s>")]
    pair = "<s> $A </s> </s> $B </s>" if family == "roberta" else "<s> $A </s> $B </s>"
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair=pair, special_tokens=ends)
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
             "mask_token": "<mask>"}  # fmt: skip
    inputs = ["input_ids", "attention_mask"]
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LENGTH, model_input_names=inputs, **names)
    config_name, values = tiny.CONFIGS[family]
    sizes = {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": LENGTH + 2 * (family == "roberta")}
    config = getattr(transformers, config_name)(**{**values, **sizes, "num_hidden_layers": 2})
    extra = {"add_pooling_layer": False} if family == "roberta" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.MODEL_MAPPING[type(config)](config, **extra)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def _bytes() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _train(tokenizer, trainers.BpeTrainer(vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False))
    return tokenizer


def _pieces() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    _train(tokenizer, trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False))
    return tokenizer


def _train(tokenizer: Tokenizer, trainer: trainers.Trainer) -> None:
    tokenizer.train_from_iterator([" ".join(WORDS), *WORDS], trainer)
