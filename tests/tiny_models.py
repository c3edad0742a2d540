"""A tiny encoder with its tokenizer as a model folder, made from a config: no download, a second to make."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = (
    "good bad fine awful great poor nice dull warm cold the a film book meal was is very not so and it room service plot red blue "
    "one two three four five yes no we they loved hated liked ate saw read again never always"
).split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The template of ChatML, as a model folder carries it."""


def writer(folder: Path, family: str = "llama", seed: int = 0, chat: bool = True, tied: bool = True) -> Path:
    """A decoder with its language-model head: `llama`, `gpt2` or `qwen2`; two layers, width 32, a byte-level tokenizer trained here."""
    from tokenizers import decoders, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(WORDS), *WORDS], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=128
    )
    if chat:
        fast.chat_template = CHAT
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _writer(family, tokenizer.get_vocab_size(), tied)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def _writer(family: str, words: int, tied: bool) -> torch.nn.Module:
    import transformers as hf

    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": tied}
    if family == "gpt2":
        return hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=words, n_embd=32, n_layer=2, n_head=2, n_positions=128, **ids))
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    kinds = {"llama": (hf.LlamaConfig, hf.LlamaForCausalLM), "qwen2": (hf.Qwen2Config, hf.Qwen2ForCausalLM)}
    config, model = kinds[family]
    return model(config(vocab_size=words, max_position_embeddings=128, **size, **ids))


def bert(folder: Path, seed: int = 0, layers: int = 2, width: int = 32) -> Path:
    """A BERT of `layers` layers with a word tokenizer, saved as transformers saves it."""
    return reader(folder, "bert", seed, layers, width)


def reader(folder: Path, family: str, seed: int = 0, layers: int = 2, width: int = 32) -> Path:
    """An encoder with a word tokenizer: `bert`, `roberta`, `deberta-v2` or `modernbert`."""
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*SPECIAL, *WORDS, *map(chr, range(97, 123))]))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ids = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _reader(family, len(vocabulary), layers, width)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def _reader(family: str, words: int, layers: int, width: int) -> torch.nn.Module:
    import transformers as hf

    size = {"vocab_size": words, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 2,
            "intermediate_size": 2 * width, "max_position_embeddings": 64, "pad_token_id": 0}  # fmt: skip
    if family == "bert":
        return hf.BertModel(hf.BertConfig(**size), add_pooling_layer=False)
    if family == "roberta":  # its places are counted from behind the padding's id
        size |= {"max_position_embeddings": 66, "bos_token_id": 2, "eos_token_id": 3}
        return hf.RobertaModel(hf.RobertaConfig(type_vocab_size=2, **size), add_pooling_layer=False)
    if family == "deberta-v2":
        ways = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8, "norm_rel_ebd": "layer_norm",
                "share_att_key": True, "position_biased_input": False, "type_vocab_size": 0}  # fmt: skip
        return hf.DebertaV2Model(hf.DebertaV2Config(**size, **ways))
    ends = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    return hf.ModernBertModel(hf.ModernBertConfig(**size, **ends, local_attention=8, global_attn_every_n_layers=2))
