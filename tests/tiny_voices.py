"""Voices made for tests from configs: our own, SpeechT5 with the kind of tokenizer that it is published with, and a vocoder."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers as hf

from tunesmith.models.voice import Voice, VoiceConfig

SPEECHT5 = {
    "hidden_size": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "speech_decoder_prenet_units": 16, "speech_decoder_postnet_units": 16,
    "speech_decoder_postnet_layers": 2, "speaker_embedding_dim": 24, "max_speech_positions": 200, "max_text_positions": 60,
    "encoder_max_relative_position": 20, "guided_attention_loss_num_heads": 2,
}  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyz',.ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def voice(folder: Path, seed: int = 0) -> Path:
    """Our own network, as `new-voice` has it, in small."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = Voice(VoiceConfig(width=16, encoder_layers=1, foretelling_layers=1, decoder_layers=1, vocab_size=64))
    made.save_pretrained(folder, made.state_dict())
    return folder


def speecht5(folder: Path, seed: int = 0, vocoder: bool = False) -> Path:
    """SpeechT5 for speaking, with its processor (sentencepiece of characters); with `vocoder`, a HiFi-GAN beside it."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    lines = iter([" ".join(LETTERS), LETTERS] * 5)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_prefix=str(folder / "spm_char"), model_type="char", vocab_size=62, bos_id=0, pad_id=1, eos_id=2,
        unk_id=3, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (folder / "spm_char.vocab").unlink()
    tokenizer = hf.SpeechT5Tokenizer(str(folder / "spm_char.model"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = hf.SpeechT5ForTextToSpeech(hf.SpeechT5Config(vocab_size=len(tokenizer), **SPEECHT5))
    made.save_pretrained(folder)
    hf.SpeechT5Processor(hf.SpeechT5FeatureExtractor(), tokenizer).save_pretrained(folder)
    if vocoder:
        hifigan(folder / "vocoder", seed)
    return folder


def hifigan(folder: Path, seed: int = 0) -> Path:
    """SpeechT5's vocoder, 256 samples a frame."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = hf.SpeechT5HifiGanConfig(
            upsample_initial_channel=16, upsample_rates=[16, 16], upsample_kernel_sizes=[32, 32], resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1]],
        )  # fmt: skip
        hf.SpeechT5HifiGan(config).save_pretrained(folder)
    return folder
