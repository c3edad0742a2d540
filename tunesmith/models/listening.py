"""Other models that judge speech: one that writes down what it hears, one that tells speakers apart.

What they said of a sound is remembered by its content, since the same sounds are scored several times.

Axes: S samples, E numbers of a speaker.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..data import sounds as waves
from ..errors import ModelError
from ..parts import speaking, spectra, transcripts
from ..task import Outputs
from .source import Source, find, load, processor

REMEMBERED = 4096
ENOUGH = 16
"""Sounds that tell who a speaker is."""
_known: dict[tuple[str, str], Any] = {}


def recogniser(folder: str) -> Source:
    """The model that listens. Raises ModelError where there is none, or it does not write by itself."""
    source = find(folder, "audio")
    if source.model_type != "whisper":
        raise ModelError(
            f"option recogniser {folder!r}", expected="Whisper", got=f"a {source.model_type}",
            fix="name one: openai/whisper-tiny.en, or its folder", code="unsuitable-architecture",
        )  # fmt: skip
    return source


def heard(folder: str, sounds: Sequence[np.ndarray], language: str) -> list[str]:
    """What Whisper writes of each sound (S,) at 16 kHz."""
    return [str(one) for one in _each(f"heard {folder} {language}", sounds, lambda: _listening(folder, language))]


def speakers(folder: str, sounds: Sequence[np.ndarray]) -> np.ndarray:
    """(N, E) vectors of length 1 that are alike for one speaker, by a model with an x-vector head (WavLMForXVector)."""
    return np.stack(_each(f"speaker {folder}", sounds, lambda: _telling(folder))) if len(sounds) else np.zeros((0, 0))


def written(folder: str, outputs: Outputs, rows: int, most: int, language: str) -> list[str | None]:
    """What Whisper writes of at most so many of the rows, evenly spread; None of others, and of all where nothing is `final`."""
    found: list[str | None] = [None] * rows
    if folder and outputs["final"].any():
        at = [int(i) for i in speaking.evenly(rows, most) if len(outputs["spectrum"][i])]
        for i, text in zip(at, heard(folder, [speaking.sound_of(outputs, i) for i in at], language), strict=True):
            found[i] = text
    return found


def likeness(folder: str, outputs: Outputs, wanted: Sequence[Sequence[float]]) -> np.ndarray:
    """(N,) cosine of each answer's vector and the wanted one; NaN where nothing is `final`."""
    alike_N = np.full(len(wanted), np.nan)
    if outputs["final"].any():
        at = [i for i in range(len(wanted)) if len(outputs["spectrum"][i])]
        for i, vector_E in zip(at, speakers(folder, [speaking.sound_of(outputs, i) for i in at]), strict=True):
            alike_N[i] = float(vector_E @ np.array(wanted[i]) / max(1e-12, float(np.linalg.norm(wanted[i]))))
    return alike_N


def prints(folder: str, cells: Sequence[Any], names: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """(speakers, E) the mean vector of each known speaker, of at most `ENOUGH` of its sounds."""
    found = []
    for name in known:
        own = [cell for cell, one in zip(cells, names, strict=True) if one == name]
        some = np.unique(np.linspace(0, len(own) - 1, min(len(own), ENOUGH)).astype(int))
        found.append(speakers(folder, [waves.wave(own[at], spectra.RATE) for at in some]).mean(0))
    return np.stack(found)


def _each(what: str, sounds: Sequence[np.ndarray], make: Callable[[], Callable[[np.ndarray], Any]]) -> list[Any]:
    found, answer = [], None
    for sound_S in sounds:
        key = what, hashlib.blake2b(np.ascontiguousarray(sound_S, np.float32).tobytes(), digest_size=16).hexdigest()
        if key not in _known:
            answer = answer or make()
            while len(_known) >= REMEMBERED:
                _known.pop(next(iter(_known)))
            _known[key] = answer(np.asarray(sound_S, np.float32))
        found.append(_known[key])
    return found


@lru_cache(maxsize=1)
def _listening(folder: str, language: str) -> Callable[[np.ndarray], str]:
    import torch

    from .whisper import Recogniser, prompt

    source = recogniser(folder)
    ears, model = processor(source), Recogniser(load(source, form="speech")).eval()
    start = torch.tensor([list(prompt(ears, language if language != "none" else "en", "transcribe"))])

    def answer(sound_S: np.ndarray) -> str:
        features = ears.encode(sound_S, ears.frames.most_seconds)["input_features"]
        ids, _ = model.write({"input_features": torch.from_numpy(features)[None], "prompt": start}, transcripts.MOST_TOKENS // 2)[0]
        return " ".join(model.tokenizer.decode(ids, skip_special_tokens=True).split())

    return answer


@lru_cache(maxsize=1)
def _telling(folder: str) -> Callable[[np.ndarray], np.ndarray]:
    import torch
    from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_XVECTOR_MAPPING

    from .loading import load_config, load_module

    source = find(folder, "audio")
    config = load_config(source.folder)
    if type(config) not in MODEL_FOR_AUDIO_XVECTOR_MAPPING:
        raise ModelError(
            f"option speaker_encoder {folder!r}", expected="a model with an x-vector head", got=f"a {source.model_type}",
            fix="name one: microsoft/wavlm-base-plus-sv, or its folder", code="unsuitable-architecture",
        )  # fmt: skip
    module: Any = load_module(Path(source.folder), made_by=MODEL_FOR_AUDIO_XVECTOR_MAPPING[type(config)])[0]
    ears, least = processor(source), spectra.RATE // 2

    def answer(sound_S: np.ndarray) -> np.ndarray:
        sound_S = np.pad(sound_S, (0, max(0, least - len(sound_S))))
        with torch.inference_mode():
            inputs = torch.from_numpy(ears.encode(sound_S, ears.frames.most_seconds)["input_values"])[None]
            vector_E = module(inputs).embeddings[0].numpy().astype(np.float64)
        found: np.ndarray = vector_E / max(float(np.linalg.norm(vector_E)), 1e-12)
        return found

    return answer
