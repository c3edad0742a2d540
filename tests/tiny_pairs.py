"""Tiny encoder-decoders with their tokenizers as model folders, made from configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tests.tiny_models import WORDS

SPECIAL = ["<pad>", "</s>", "<s>", "<unk>", "en_XX", "de_DE", "fr_XX"]
SIZE = {"d_model": 32, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
        "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 96}  # fmt: skip


def pair(folder: Path, family: str = "t5", seed: int = 0, layers: int = 1) -> Path:
    """`t5`, `bart`, `marian`, `mbart` (with languages en_XX, de_DE and fr_XX) or `m2m_100`: so many layers each, width 32."""
    tokenizer = _tokenizer(family)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model(family, len(tokenizer), layers)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(family: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator([" ".join(WORDS), *WORDS], trainer)
    if family in ("mbart", "m2m_100"):
        return _speaking(made)
    single = "<s> $A </s>" if family == "bart" else "$A </s>"
    made.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 2), ("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=96, **_names())


def _names() -> dict[str, str]:
    return {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def _speaking(made: Tokenizer) -> Any:
    """mBART-50's way: the language first, the end last, the language of the moment in the template."""
    from transformers import MBart50Tokenizer

    known = sorted(made.get_vocab().items(), key=lambda item: item[1])
    vocabulary = [(token, -float(at)) for token, at in known]
    return MBart50Tokenizer(vocab=vocabulary, src_lang="en_XX", tgt_lang="de_DE", model_max_length=96, **_names())


def _model(family: str, words: int, layers: int) -> Any:
    import transformers as hf

    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    if family == "t5":
        size = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": layers, "num_heads": 2, "dropout_rate": 0.0}
        return hf.T5ForConditionalGeneration(hf.T5Config(vocab_size=words, decoder_start_token_id=0, **size, **ids))
    kinds = {
        "bart": (hf.BartConfig, hf.BartForConditionalGeneration, 1), "marian": (hf.MarianConfig, hf.MarianMTModel, 0),
        "mbart": (hf.MBartConfig, hf.MBartForConditionalGeneration, 1),
        "m2m_100": (hf.M2M100Config, hf.M2M100ForConditionalGeneration, 1),
    }  # fmt: skip
    config, made_by, start = kinds[family]
    depth = {"encoder_layers": layers, "decoder_layers": layers}
    return made_by(config(vocab_size=words, decoder_start_token_id=start, forced_eos_token_id=None, **depth, **SIZE, **ids))


def taught(folder: Path, rows: list[tuple[str, str]], family: str = "marian", steps: int = 60, seed: int = 0) -> Path:
    """A tiny encoder-decoder that has learned these few pairs of short texts, and when to stop."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    pair(folder, family, seed)
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    read = tokenizer([text for text, _ in rows], padding=True, return_tensors="pt")
    labels_BU = tokenizer([target for _, target in rows], padding=True, return_tensors="pt").input_ids
    labels_BU[labels_BU == tokenizer.pad_token_id] = -100
    step = torch.optim.AdamW(model.parameters(), lr=1e-2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.eval()  # few pairs, learned by heart: dropout would only take longer
        for _ in range(steps):
            loss = model(input_ids=read.input_ids, attention_mask=read.attention_mask, labels=labels_BU).loss
            step.zero_grad()
            loss.backward()
            step.step()
    model.save_pretrained(folder)
    return folder
