"""Sounds made for tests: tones and noise in every format that is read, and the ways in which files are broken."""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile

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
