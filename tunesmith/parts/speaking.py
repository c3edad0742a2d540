"""Rows of text and speech: their spectra, what is known of the speakers, what is refused; spoken answers, their scores and pictures.

Axes: N rows, B rows of a batch, U characters, T frames, S samples, M mel bands, E numbers of a speaker, K cepstra.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..data import arrays, sounds
from ..data.finding import LISTED, Finding, count, places
from ..errors import DataError, listing, shorten
from ..task import Batch, Example, Graded, Outputs, Truth
from . import pitch, spectra, spelling

if TYPE_CHECKING:
    from ..data.table import Table

WIDTH = 160
"""E of what is measured: means and deviations of 80 bands."""
MEASURED = 400
"""Training sounds of which spectra are averaged."""
HELD = 1_500_000
"""Frames (6.7 hours) up to which the spectra of all rows are held in memory."""
DIRECTIONS: Mapping[str, bool] = {"mcd": False, "length_ratio": True, "length_error": False}
HEARD: Mapping[bool, Mapping[str, bool]] = {True: {"wer": False, "cer": False}, False: {"cer": False}}
"""By whether the language puts spaces between words."""
TAUGHT: Mapping[str, bool] = {"spectrum_error": False}
ALIKE: Mapping[str, bool] = {"speaker_similarity": True}
SHOWN = 8
"""Seconds of a sound that the report plays."""
FAR = 20.0
"""Decibels of distortion that count as wholly wrong in the report's order."""

NO_VOCODER = "none was given: Griffin and Lim's method makes the sounds, with its rough and hollow ring, whatever is learned; the line \
`truth through the vocoder` tells what that costs"
NO_VOICE = "no checkpoint was given: `new-voice` knows these sounds alone, and guesses words and spellings that are rare in them by their \
letters; a SpeechT5 folder (microsoft/speecht5_tts, with microsoft/speecht5_hifigan as vocoder) knows the language"
"""What is out of reach without a checkpoint."""
BY_PRINTS = "the speaker encoder's vectors of their training sounds"
BY_BANDS = "mean and deviation of each mel band of their training sounds"
LENGTHS = "frames spoken over true frames, of all rows together; length_error: mean distance of each row's from 1"
EDITS = "fewest edits, as jiwer counts them; lower case, numbers in words, everything but letters, digits and apostrophes taken for a space"
LIKENESS = "cosine of the answer's vector and the mean of those of the speaker's training sounds"


# -- sounds -----------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class Speech:
    """A sound as it is learned."""

    spectrum_TM: np.ndarray
    pitch_T: np.ndarray
    """Hertz; 0 where nothing is voiced."""


def speech(cell: Any) -> Speech:
    """The spectrum and the pitch of a cell's sound, kept for a while. Raises DataError where it cannot be read whole."""
    return _speech(str(cell["path"]), str(cell["content"]))


@lru_cache(maxsize=2048)
def _speech(path: str, content: str) -> Speech:
    sound_S = sounds.wave({"path": path}, spectra.RATE)
    spectrum_TM = spectra.mel(sound_S)
    return Speech(spectrum_TM, pitch.pitch(sound_S, len(spectrum_TM)))


def frames_of(cells: Sequence[Any]) -> np.ndarray:
    """(N,) frames of the sounds of resolved cells, without reading them; 0 where there is none."""
    samples = [sounds.length(cell["samples"], cell["rate"], spectra.RATE) if cell else -1 for cell in cells]
    return np.array([spectra.frames(n) if n >= 0 else 0 for n in samples], np.int64)


@final
@dataclass(frozen=True)
class Measured:
    """What training sounds are like, for all rows and for each speaker."""

    mean_M: np.ndarray
    deviation_M: np.ndarray
    pitch: tuple[float, float]
    """Mean and deviation of the natural logarithm of hertz."""
    speakers_E: Mapping[str, np.ndarray]
    """How each speaker's mean and deviation of each band differ from those of all."""


def measured(cells: Sequence[Any], speakers: Sequence[str]) -> Measured:
    """From at most `MEASURED` of the sounds, as many of each speaker as can be."""
    chosen: dict[str, list[Speech]] = {}
    names = list(dict.fromkeys(speakers))
    for name in names:
        own = [at for at, one in enumerate(speakers) if one == name]
        some = np.unique(np.linspace(0, len(own) - 1, min(len(own), max(4, MEASURED // len(names)))).astype(int))
        chosen[name] = [speech(cells[own[at]]) for at in some]
    whole_TM = np.concatenate([one.spectrum_TM for found in chosen.values() for one in found]).astype(np.float64)
    mean_M, deviation_M = whole_TM.mean(0), np.maximum(whole_TM.std(0), 1e-3)
    high_T = np.concatenate([one.pitch_T[one.pitch_T > 0] for found in chosen.values() for one in found])
    height = (float(np.log(high_T).mean()), max(float(np.log(high_T).std()), 1e-2)) if len(high_T) else (5.0, 1.0)
    told = {}
    for name, found in chosen.items():
        own_TM = np.concatenate([one.spectrum_TM for one in found]).astype(np.float64)
        told[name] = np.concatenate([(own_TM.mean(0) - mean_M) / deviation_M, np.log(np.maximum(own_TM.std(0), 1e-3) / deviation_M)])
    return Measured(mean_M, deviation_M, height, told)


def pitch_of(pitch_T: np.ndarray, height: Sequence[float]) -> np.ndarray:
    """(T, 2) deviations from the mean of logarithms, 0 where unvoiced, and whether voiced."""
    voiced_T = pitch_T > 0
    high_T = (np.log(np.maximum(pitch_T, 1.0)) - height[0]) / height[1]
    return np.stack([np.where(voiced_T, high_T, 0.0), voiced_T], 1).astype(np.float32)


# -- what is refused --------------------------------------------------------------------------------------------------


def silent(table: Table, texts: Sequence[str]) -> list[Finding]:
    """Rows whose text has nothing to say."""
    empty = np.flatnonzero([not any(c.isalnum() for c in text) for text in texts])
    if not len(empty):
        return []
    message = f"expected a text in every row, got {count(len(empty))} without a letter"
    return [Finding("error", "empty-text", message, places(table, empty), "write down what is said, or take the rows out")]


def unfit(rows: Table, lengths: Sequence[int], frames_N: np.ndarray, most_characters: int, most_seconds: float) -> list[Finding]:
    """Rows that cannot be learned from: sounds with fewer frames than characters, sounds or texts that are too long."""
    limit, long_N = spectra.frames(int(most_seconds * spectra.RATE)), np.array(lengths)
    short_N = long_N > frames_N
    first = int(short_N.argmax()) if len(short_N) else 0
    short = f"{spectra.seconds(int(frames_N[first])):.2f} s for {lengths[first]:,} characters" if short_N.any() else ""
    long = f"one of {spectra.seconds(int(frames_N.max(initial=0))):.1f} s"
    fix = "check that sound and text belong together, or take the rows out"
    return [
        *_bad(rows, long_N > most_characters, f"texts of at most {most_characters:,} characters", f"one of {long_N.max(initial=0):,}",
              "cut text and sound", "text-too-long"),
        *_bad(rows, frames_N > limit, f"sounds of at most {most_seconds:.0f} s", long, "cut sound and text where nobody speaks",
              "sound-too-long"),
        *_bad(rows, short_N, "sounds long enough for their texts (16 ms a character)", short, fix, "sound-too-short"),
    ]  # fmt: skip


def _bad(rows: Table, bad_N: np.ndarray, expected: str, got: str, fix: str, code: str) -> list[Finding]:
    bad = np.flatnonzero(bad_N)
    if not len(bad):
        return []
    return [Finding("error", code, f"expected {expected}, got {got}; {count(len(bad))} in all", places(rows, bad[:LISTED]), fix)]


def strange(rows: Table, unknown: Sequence[set[str]]) -> list[Finding]:
    """Rows with characters that the voice was never taught: they are left out of what is spoken."""
    bad = [i for i, characters in enumerate(unknown) if characters]
    if not bad:
        return []
    letters = listing([repr(c) for c in sorted({c for i in bad for c in unknown[i]})], 8)
    message = f"{count(len(bad))} with characters that the voice does not know ({letters}): they are not spoken"
    return [Finding("warning", "unknown-characters", message, places(rows, bad[:LISTED]), "write them out in words, or add such rows")]


def strangers(rows: Table, names: Sequence[str], known: Sequence[str]) -> list[Finding]:
    """Rows of speakers whom training did not hear."""
    bad_N, known = np.array([name not in known for name in names]), list(known)
    first = repr(names[int(bad_N.argmax())]) if bad_N.any() else ""
    fix = "put rows of every speaker into the training part, or take these out"
    return _bad(rows, bad_N, f"speakers of the training rows ({listing(known, 8)})", first, fix, "unknown-speaker")


def unknown_speaker(name: Any, known: Sequence[str]) -> DataError:
    """A speaker whom training did not hear."""
    return DataError(
        "the speaker", expected=f"one of those who were learned ({listing(list(known), 8)})", got=shorten(repr(name)),
        fix="ask for one of these", code="unknown-speaker",
    )  # fmt: skip


def bad_text(text: str, length: int, most: int) -> DataError:
    """A text that cannot be spoken."""
    return DataError(
        "the text", expected=f"words, at most {most:,} characters", got=f"{length:,} characters" if length > most else shorten(repr(text)),
        fix="write what is to be said; cut long texts into sentences", code="bad-text",
    )  # fmt: skip


# -- batches ----------------------------------------------------------------------------------------------------------


def spelled(symbols: Sequence[str], text: str) -> np.ndarray:
    """(U,) numbers of characters, between marks of beginning (1) and end (2); those that training did not have are left out."""
    numbers = {symbol: at for at, symbol in enumerate(symbols, 3)}
    return np.array([1, *(numbers[c] for c in text if c in numbers), 2], np.int64)


def collated(examples: Sequence[Example], pad: int, speakers_SE: np.ndarray) -> Batch:
    """Padded: `input_ids` and `attention_mask` (B, U), `characters` (B,) how many, `speaker` (B, E), `speak` (B,) whether it is asked;
    where sounds are known `spectrum` (B, T, M), `frames` (B,) and `pitch` (B, T, 2)."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    ids = [torch.from_numpy(np.asarray(one["characters"], np.int64)) for one in examples]
    found = {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad), "characters": torch.tensor([len(one) for one in ids]),
        "attention_mask": pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
        "speaker": torch.from_numpy(speakers_SE[[int(one["who"]) for one in examples]]),
        "speak": torch.tensor([int(one["speak"]) for one in examples]),
    }  # fmt: skip
    if "spectrum" in examples[0]:
        true = [torch.from_numpy(np.asarray(one["spectrum"], np.float32)) for one in examples]
        height = [torch.from_numpy(np.asarray(one["pitch"], np.float32)) for one in examples]
        found |= {"spectrum": pad_sequence(true, batch_first=True), "pitch": pad_sequence(height, batch_first=True)}
        found["frames"] = torch.tensor([len(one) for one in true])
    return found


# -- truth and scores -------------------------------------------------------------------------------------------------


def truth(cells: Sequence[Any], texts: Sequence[str], speakers: Sequence[str]) -> Truth:
    """(N,) objects: `text`, `speaker`, `frames`, and the sound's `cepstra`, packed."""
    return arrays.objects([
        {"text": text, "speaker": speaker, "frames": len(heard.spectrum_TM), "cepstra": _packed(spectra.cepstra(heard.spectrum_TM))}
        for heard, text, speaker in zip(map(speech, cells), texts, speakers, strict=True)
    ])


def _packed(cepstra_TK: np.ndarray) -> str:
    return base64.b64encode(cepstra_TK.astype("<f2").tobytes()).decode()


def _unpacked(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f2").reshape(-1, spectra.CEPSTRA).astype(np.float32)


def compared(outputs: Outputs, truth: Truth) -> Outputs:
    """Of each row: `distortion` (decibels; NaN where nothing was spoken) and `frames` (N, 2), spoken and true; `error` as it is."""
    found: dict[str, np.ndarray] = {name: outputs[name] for name in ("error",) if name in outputs}
    distortion_N, frames_N2 = np.full(len(truth), np.nan), np.full((len(truth), 2), np.nan)
    for row, wanted in enumerate(truth if "spectrum" in outputs else ()):
        spectrum_TM = outputs["spectrum"][row]
        if len(spectrum_TM):
            total, steps = spectra.distortion(spectra.cepstra(np.asarray(spectrum_TM)), _unpacked(wanted["cepstra"]))
            distortion_N[row], frames_N2[row] = total / max(1, steps), (len(spectrum_TM), wanted["frames"])
    return {**found, "distortion": distortion_N, "frames": frames_N2}


def score(found: Outputs) -> dict[str, float]:
    """Scores of rows that were `compared`: means over rows; of lengths, of all rows together."""
    spoken_N, true_N = found["frames"].T
    ratio = float(np.nansum(spoken_N) / np.nansum(true_N)) if np.nansum(true_N) else float("nan")
    scores = {"mcd": _mean(found["distortion"]), "length_ratio": ratio, "length_error": _mean(np.abs(spoken_N - true_N) / true_N)}
    if "error" in found:
        scores["spectrum_error"] = _mean(found["error"])
    if "words" in found:
        rate = lambda name: float(np.nansum(found[name][:, 0]) / max(1.0, np.nansum(found[name][:, 1])))  # noqa: E731
        known = bool(np.isfinite(found["words"]).any())
        scores |= {"wer": rate("words") if known else float("nan"), "cer": rate("letters") if known else float("nan")}
    if "alike" in found:
        scores["speaker_similarity"] = _mean(found["alike"])
    return scores


def _mean(values_N: np.ndarray) -> float:
    known = values_N[np.isfinite(values_N)]
    return float(known.mean()) if len(known) else float("nan")


def edits(said: Sequence[str | None], wanted: Sequence[str], spaced: bool) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) each: wrong words and all words, wrong letters and all letters (spaces count where they part words); NaN where nobody
    listened."""
    words_N2, letters_N2 = np.full((len(said), 2), np.nan), np.full((len(said), 2), np.nan)
    for row, (heard, text) in enumerate(zip(said, wanted, strict=True)):
        if heard is not None:
            one, other = spelling.compared(text, "words", spaced), spelling.compared(heard, "words", spaced)
            words_N2[row] = sum(spelling.edits(one.split(), other.split())[:3]), len(one.split())
            letters_N2[row] = sum(spelling.edits(list(one), list(other))[:3]), len(one)
    return words_N2, letters_N2


def listened(model: str, most: int, spaced: bool) -> dict[str, str]:
    """Who wrote down what is spoken, beside the first score that rests on it."""
    how = f"what {short(model)} writes of at most {most} rows; {EDITS}{'' if spaced else '; spaces left out'}"
    return {next(iter(HEARD[spaced])): how} if model else {}


def short(model: str) -> str:
    """A model's name without this machine's folders."""
    return model.replace("\\", "/").rstrip("/").rpartition("/")[2]


def evenly(rows: int, most: int) -> np.ndarray:
    """At most so many positions, evenly spread over all rows."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(int)) if rows and most else np.zeros(0, int)


# -- baselines --------------------------------------------------------------------------------------------------------


def usual(mean_M: np.ndarray, pace: float, lengths: Sequence[int]) -> np.ndarray:
    """(N,) the mean spectrum for as long as so many characters usually take; `pace`: frames of a character."""
    made = [np.repeat(mean_M[None].astype(np.float32), max(1, round(pace * length)), 0) for length in lengths]
    return arrays.objects(made)


# -- answers ----------------------------------------------------------------------------------------------------------


def wav(sound_S: np.ndarray) -> str:
    """A sound as a `data:` address (WAV, 16 bits)."""
    import soundfile

    packed = io.BytesIO()
    soundfile.write(packed, np.clip(sound_S, -1, 1), spectra.RATE, format="WAV", subtype="PCM_16")
    return f"{sounds.URI}audio/wav;base64,{base64.b64encode(packed.getvalue()).decode()}"


def sound_of(outputs: Outputs, row: int) -> np.ndarray:
    """(S,) what a row sounds like: as the vocoder has it, else by Griffin and Lim's method."""
    if "sound" in outputs:
        return sounds.wave(str(outputs["sound"][row]), spectra.RATE)
    return _griffin_lim(np.ascontiguousarray(outputs["spectrum"][row], np.float32).tobytes())


def sample(outputs: Outputs) -> bytes:
    """The first sound that was spoken, as a WAV file, by Griffin and Lim's method: what a voice makes while it learns."""
    for row, spectrum_TM in enumerate(outputs["spectrum"]):
        if len(spectrum_TM):
            spoken = sound_of({"spectrum": outputs["spectrum"]}, row)[: SHOWN * spectra.RATE]
            return base64.b64decode(wav(spoken).partition(",")[2])
    return b""


@lru_cache(maxsize=1024)
def _griffin_lim(packed: bytes) -> np.ndarray:
    return spectra.wave(np.frombuffer(packed, np.float32).reshape(-1, spectra.BANDS))


def grade(found: Outputs, heard: Sequence[str | None], truth: Truth) -> Graded:
    """Rows as the report shows them, the furthest from their truth first."""
    said = [_told(found, row, heard[row]) for row in range(len(truth))]
    wanted = [f"{spectra.seconds(one['frames']):.1f} s: {shorten(one['text'], 300)}" for one in truth]
    loss_N = np.nan_to_num(found["distortion"] / FAR, nan=0.0).clip(0, 1)
    none_N = np.full(len(truth), np.nan)
    return Graded(wanted, said, loss_N <= np.median(loss_N) if len(loss_N) else loss_N > 0, loss_N, none_N, none_N, by_degree=True)


def _told(found: Outputs, row: int, heard: str | None) -> str:
    distortion, frames = found["distortion"][row], found["frames"][row, 0]
    if not np.isfinite(frames):
        return "not spoken"
    told = f"{spectra.seconds(int(frames)):.1f} s, {distortion:.1f} dB from the truth"
    return told if heard is None else f"{told}; heard as: {shorten(heard, 300) or '(nothing)'}"


def pictured(cell: Any, outputs: Outputs, row: int) -> dict[str, str]:
    """Spectra of the truth and of the answer, and the beginnings of both as sounds; nothing where nothing was spoken."""
    found_TM = outputs["spectrum"][row]
    if not len(found_TM):
        return {}
    heard = sounds.address(sound_of(outputs, row)[: SHOWN * spectra.RATE], spectra.RATE)
    return {
        "truth": picture(speech(cell).spectrum_TM), "answer": picture(found_TM), "truth sound": sounds.player(cell, SHOWN),
        "answer sound": heard,
    }  # fmt: skip


def picture(spectrum_TM: np.ndarray, low: float = -4.0, high: float = 1.0, height: int = 2) -> str:
    """A spectrum as a `data:` address (PNG): time to the right, pitch upwards, loud parts bright; decimal logarithms `low` to `high`."""
    level = ((np.asarray(spectrum_TM, np.float64).T[::-1] - low) / (high - low)).clip(0, 1)
    shade = np.round(255 * np.repeat(level, height, 0)).astype(np.uint8)
    return f"{sounds.URI}image/png;base64,{base64.b64encode(_png(shade)).decode()}"


def _png(shade_HW: np.ndarray) -> bytes:
    """A picture of one byte a pixel in colours from dark blue over red to yellow."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    step = np.linspace(0, 1, 256)[:, None]
    stops, colours = [0, 0.35, 0.7, 1], np.array([[8, 10, 40], [110, 20, 110], [230, 90, 60], [255, 245, 170]])
    palette = np.concatenate([np.interp(step, stops, colours[:, i]) for i in range(3)], 1).astype(np.uint8)
    lines = np.pad(shade_HW, ((0, 0), (1, 0))).tobytes()  # each line begins with its filter: none
    head = struct.pack(">IIBBBBB", shade_HW.shape[1], shade_HW.shape[0], 8, 3, 0, 0, 0)
    parts = (b"IHDR", head), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)
