"""Sounds made for tests: tones and noise in every format that is read, and the ways in which files are broken."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import soundfile
import torch
import transformers as hf

FORMATS = {"WAV": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III", "AIFF": "PCM_16"}


def tone(seconds: float = 0.5, hertz: float = 440.0, rate: int = 16_000, seed: int = 0, channels: int = 1) -> np.ndarray:
    """(T,) or (T, channels): a tone with a little noise."""
    rng = np.random.default_rng(seed)
    time_T = np.arange(int(seconds * rate)) / rate
    sound_T = 0.4 * np.sin(2 * np.pi * hertz * time_T) + rng.normal(0, 0.01, len(time_T))
    return sound_T if channels == 1 else np.repeat(sound_T[:, None], channels, 1)


def packed(sound: np.ndarray, rate: int = 16_000, kind: str = "WAV", subtype: str = "") -> bytes:
    """The bytes of a file of this kind."""
    out = io.BytesIO()
    soundfile.write(out, sound, rate, format=kind, subtype=subtype or FORMATS.get(kind))
    return out.getvalue()


def wav(data: bytes = b"", *, rate: int = 16_000, channels: int = 1, bits: int = 16, claimed: int | None = None, code: int = 1) -> bytes:
    """A WAV file by hand, with a header that may lie: `claimed` bytes of samples, any rate, any number of channels."""
    width = channels * bits // 8
    size = len(data) if claimed is None else claimed
    head = struct.pack("<HHIIHH", code, channels, rate, rate * width % 2**32, width % 2**16, bits)
    start = b"RIFF" + struct.pack("<I", (36 + size) % 2**32) + b"WAVEfmt " + struct.pack("<I", 16)
    return start + head + b"data" + struct.pack("<I", size) + data


def floats(sound: np.ndarray) -> bytes:
    """A WAV file of 32-bit decimals, NaN and infinity included."""
    return wav(np.asarray(sound, "<f4").tobytes(), bits=32, code=3)


WAVES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 3), "conv_stride": (10, 4, 4), "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2, "vocab_size": 32, "layerdrop": 0.1,
}
"""A hundred frames a second, so that short sounds have some."""
LAYERED = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
MEL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "feature_projection_input_dim": 160,
    "vocab_size": 32, "conv_depthwise_kernel_size": 5, "left_max_position_embeddings": 8, "right_max_position_embeddings": 4,
}
WHISPER = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_source_positions": 100, "max_target_positions": 64, "vocab_size": 64,
    "num_mel_bins": 80, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, "decoder_start_token_id": 1,
}
AST = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "max_length": 64, "num_mel_bins": 32,
    "frequency_stride": 16, "time_stride": 16,
}
FAMILIES = {
    "wav2vec2": ("Wav2Vec2Config", "Wav2Vec2Model", WAVES, "Wav2Vec2FeatureExtractor", {}),
    "wav2vec2-large": ("Wav2Vec2Config", "Wav2Vec2Model", {**WAVES, **LAYERED}, "Wav2Vec2FeatureExtractor", {}),
    "hubert": ("HubertConfig", "HubertModel", WAVES, "Wav2Vec2FeatureExtractor", {}),
    "wavlm": ("WavLMConfig", "WavLMModel", {**WAVES, "num_buckets": 8, "max_bucket_distance": 20}, "Wav2Vec2FeatureExtractor", {}),
    "unispeech": ("UniSpeechConfig", "UniSpeechModel", WAVES, "Wav2Vec2FeatureExtractor", {}),
    "unispeech-sat": ("UniSpeechSatConfig", "UniSpeechSatModel", WAVES, "Wav2Vec2FeatureExtractor", {}),
    "w2v-bert": ("Wav2Vec2BertConfig", "Wav2Vec2BertModel", MEL, "SeamlessM4TFeatureExtractor", {}),
    "whisper": ("WhisperConfig", "WhisperModel", WHISPER, "WhisperFeatureExtractor", {"chunk_length": 2}),
    "ast": ("ASTConfig", "ASTModel", AST, "ASTFeatureExtractor", {"max_length": 64, "num_mel_bins": 32}),
}
"""Name -> config class, model class, settings, feature extractor, its settings."""


def make(folder: Path, family: str = "wavlm", seed: int = 0) -> Path:
    """A model folder as transformers saves it, made from a config: no download, a second to make."""
    config, model, settings, extractor, sizes = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = getattr(hf, model)(getattr(hf, config)(**settings))
    made.save_pretrained(folder)
    getattr(hf, extractor)(**sizes).save_pretrained(folder)
    return folder


def whisper(folder: Path, seed: int = 0, languages: tuple[str, ...] = ()) -> Path:
    """A whole Whisper with a byte-level tokenizer, windows of two seconds; with languages, one that wants to be told which."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{one}|>" for one in languages)]
    special += [*(["<|translate|>", "<|transcribe|>"] if languages else []), "<|notimestamps|>", "<|0.00|>"]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate([*letters, *special])}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    ids = {"bos_token": special[0], "eos_token": special[0], "pad_token": special[0]}
    fast = hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=special[1:], **ids)
    end, numbers_of = len(letters), fast.get_vocab()
    numbers = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": end + 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = hf.WhisperForConditionalGeneration(hf.WhisperConfig(**{**WHISPER, **numbers, "vocab_size": end + len(special)}))
    made.generation_config._from_model_config = False  # else what follows is not read again
    made.generation_config.is_multilingual = bool(languages)
    made.generation_config.no_timestamps_token_id = numbers_of["<|notimestamps|>"]
    if languages:
        made.generation_config.lang_to_id = {f"<|{one}|>": numbers_of[f"<|{one}|>"] for one in languages}
        made.generation_config.task_to_id = {one: numbers_of[f"<|{one}|>"] for one in ("translate", "transcribe")}
    made.generation_config.suppress_tokens = made.generation_config.begin_suppress_tokens = None
    made.save_pretrained(folder)
    fast.save_pretrained(folder)
    hf.WhisperFeatureExtractor(chunk_length=2).save_pretrained(folder)
    return folder
