"""A sound as a model wants it, changed at random first where training asks for that.

Axes: S samples, T frames, M mel bands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..data import sounds
from ..data.finding import LISTED, Finding, count
from ..data.profile import ColumnProfile, Profile
from ..errors import SpecError, shorten
from ..spec import Choice
from ..task import Draw, Example, Light
from .frames import Frames

if TYPE_CHECKING:
    from ..data.table import Table

Way = Literal["gain", "noise", "speed", "specaugment"]
WAYS = ("speed", "gain", "noise", "specaugment")
"""In the order in which they are done."""
LOUDNESS = 6.0
"""Largest change of loudness, in decibels."""
NOISE = (15.0, 45.0)
"""Decibels by which a sound may be louder than the noise that is added to it."""
SPEEDS = ((10, 9), (1, 1), (10, 11))
"""Length afterwards to length before: 0.9, 1 and 1.1 times as fast (Ko et al. 2015)."""
STRETCHES = 2
"""Masks in time, and as many in frequency, that SpecAugment draws for a sound."""
HIDDEN = (0.1, 0.15)
"""Largest share of the frames, and of the mel bands, that one mask hides."""
SOUND_NAMES = ("audio", "sound", "speech", "recording", "clip", "wav", "file", "filename", "file_name", "path", "audio_path", "filepath")
ENDINGS = sounds.SUFFIXES

SUGGESTS: dict[str, Choice[Any]] = {
    "train.dropout": Choice(0.0, "what Whisper is pretrained with: its vectors do not bear it; sounds are changed in each epoch instead"),
}
"""What `auto` means where a model of sounds is tuned."""


# -- columns ----------------------------------------------------------------------------------------------------------


def sound_column(profile: Profile, named: Mapping[str, Any], other: Sequence[str]) -> Choice[Any] | None:
    """The column with sounds, for the option `audio` where the user did not name it; None where there is none.

    `other`: names of the options that name other columns.
    """
    if named.get("audio"):
        return Choice(named["audio"], "named by you")
    taken = {named.get(role) for role in other}
    found = [column for column in profile.columns.values() if column.name not in taken and _holds_sounds(column)]
    if not found:
        return None
    ranks = {name: rank for rank, name in enumerate(SOUND_NAMES)}
    best = min(found, key=lambda column: ranks.get(column.name.lower(), len(ranks)))
    why = "holds sounds" if best.kind == "files" else f"names sound files, such as {shorten(str(best.examples[0]), 40)!r}"
    return Choice(best.name, f"column {best.name!r} {why}")


def _holds_sounds(column: ColumnProfile) -> bool:
    if column.kind == "files":
        return "a sound" in column.examples
    seen = [str(value).lower() for value in column.examples]
    return column.kind in ("path", "constant") and bool(seen) and all(
        value.endswith(ENDINGS) or value.startswith("data:audio/") for value in seen
    )


# -- lengths ----------------------------------------------------------------------------------------------------------


def seconds_of(cells: Sequence[Any]) -> np.ndarray:
    """(N,) seconds of the sounds of resolved cells (`data.files`), 0 where there is none."""
    return np.array([cell["samples"] / cell["rate"] if cell else 0.0 for cell in cells], np.float64)


def samples_of(cells: Sequence[Any], rate: int) -> np.ndarray:
    """(N,) samples of these sounds at the model's rate."""
    return np.array([sounds.length(cell["samples"], cell["rate"], rate) if cell else 0 for cell in cells], np.int64)


def window(cells: Sequence[Any], asked: Any, most: int) -> Choice[int]:
    """Whole seconds that are read of a sound: as asked, or enough for 99 % of the training rows; at most what the model takes."""
    seconds_N = seconds_of(cells)
    needed = max(1, int(np.ceil(np.quantile(seconds_N, 0.99)))) if len(seconds_N) else 1
    if asked != "auto":
        return Choice(max(1, min(int(np.ceil(asked)), most)), "as asked" if asked <= most else f"as much as the model takes of {asked:g}")
    if needed > most:
        return Choice(most, f"the model takes {most} s at a time; 99 % of the training sounds have at most {needed} s")
    return Choice(needed, f"99 % of the training sounds have at most {needed} s")


def light(cells: Sequence[Any], frames: Frames, seconds: int, known: Mapping[str, np.ndarray]) -> Light:
    """What is known of sounds before they are read: `known`, frames, and what they cost."""
    samples = samples_of(cells, frames.rate)
    count_N = np.array([frames.count(int(n), seconds) for n in samples], np.int64)
    return Light({**known, "frames": count_N}, np.array([frames.cost(int(n), seconds) for n in samples], np.int64))


def pads(frames: Frames) -> dict[str, int]:
    """What fills the short rows of a batch: silence, where the model reads sounds of any length."""
    return {} if frames.fixed else {"input_values": 0, "input_features": 0, "masked": 0}


def cut_finding(table: Table, column: str, seconds: int) -> list[Finding]:
    """A note where sounds are longer than what is read of them."""
    found = [i for i, s in enumerate(seconds_of(table.column(column))) if s > seconds]
    if not found:
        return []
    message = f"{count(len(found), 'sound')} longer than the {seconds} s that are read of each: the rest is not heard"
    rows, fix = tuple(table.place(i) for i in found[:LISTED]), "cut them, or say --set options.seconds=N"
    return [Finding("warning" if len(found) > 0.02 * len(table) else "note", "sounds-cut", message, rows, fix)]


# -- augmentation -----------------------------------------------------------------------------------------------------


def ways(asked: Any, auto: Sequence[str], why: str) -> tuple[tuple[str, ...], str]:
    """How sounds are changed in training, and why."""
    if asked != "auto":
        return ((), "as asked") if asked == "none" else (tuple(dict.fromkeys(asked)), "as asked")
    return tuple(auto), why


def check_ways(asked: Any) -> None:
    """Raises SpecError where the option `augment` is none of its words."""
    if asked in ("auto", "none"):
        return
    bad = [way for way in asked if way not in WAYS] if isinstance(asked, tuple) else [asked]
    if bad:
        raise SpecError(
            "option augment", expected=f"auto, none, or some of {', '.join(WAYS)}", got=shorten(repr(bad[0])),
            fix="write [noise, specaugment]", code="bad-value",
        )


def encode(cell: Any, ears: Any, seconds: int, chosen: Sequence[str] = (), draw: Draw | None = None, least: int = 0) -> Example:
    """What the model reads of a sound (`models.sound.Ears.encode`), at most `seconds` of it; with a draw, changed in the chosen ways first.

    Of a longer sound the beginning is read, in training any part. `least`: frames that must be left whatever its speed. `masked` (T,):
    frames that are to be hidden. Raises DataError where the sound cannot be read whole.
    """
    sound_S = sounds.wave(cell, ears.rate)
    return ears.encode(sound_S, seconds) if draw is None else changed(sound_S, ears, seconds, chosen, draw, least)


def changed(sound_S: np.ndarray, ears: Any, seconds: int, chosen: Sequence[str], draw: Draw, least: int = 0) -> Example:
    """The same of samples at the model's rate, with a draw."""
    for way in WAYS[:3]:
        changed_S = _CHANGES[way](sound_S, draw) if way in chosen else sound_S
        fits = ears.frames.count(len(changed_S), seconds) >= least and len(changed_S) <= max(len(sound_S), seconds * ears.rate)
        sound_S = changed_S if fits else sound_S
    example = ears.encode(_part(sound_S, seconds * ears.rate, draw), seconds)
    return _hidden(example, ears, draw) if "specaugment" in chosen else example


def _part(sound_S: np.ndarray, most: int, draw: Draw) -> np.ndarray:
    start = int(draw.integers(len(sound_S) - most + 1)) if len(sound_S) > most else 0
    return sound_S[start : start + most]


def _gain(sound_S: np.ndarray, draw: Draw) -> np.ndarray:
    return (sound_S * 10 ** (draw.uniform(-LOUDNESS, LOUDNESS) / 20)).astype(np.float32)


def _noise(sound_S: np.ndarray, draw: Draw) -> np.ndarray:
    """To every other sound: noise at a drawn distance below its own loudness, white or falling by 3 dB an octave (pink)."""
    if draw.random() < 0.5:
        return sound_S
    power = float(np.square(sound_S, dtype=np.float64).mean())
    white_S = draw.standard_normal(len(sound_S))
    if draw.random() < 0.5:
        spectrum = np.fft.rfft(white_S)
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
        white_S = np.fft.irfft(spectrum, len(sound_S))
        white_S /= white_S.std() or 1.0
    return (sound_S + white_S * np.sqrt(power * 10 ** (-draw.uniform(*NOISE) / 10))).astype(np.float32)


def _speed(sound_S: np.ndarray, draw: Draw) -> np.ndarray:
    """Faster or slower, as a tape would be: the pitch goes with it."""
    up, down = SPEEDS[int(draw.integers(len(SPEEDS)))]
    return sounds.resampled(sound_S, down, up)


_CHANGES: Mapping[str, Callable[[np.ndarray, Draw], np.ndarray]] = {"gain": _gain, "noise": _noise, "speed": _speed}


def _hidden(example: Example, ears: Any, draw: Draw) -> Example:
    """SpecAugment (arXiv 1904.08779): stretches of time hidden, and of mel frames bands as well."""
    mel = example[ears.input_name]
    frames = int(example["frames"])
    if mel.ndim == 1:
        masked_T = np.zeros(frames, np.int64)
        for start, stop in _stretches(frames, HIDDEN[0], draw):
            masked_T[start:stop] = 1
        return example | {"masked": masked_T}
    mel = mel.copy()
    whisper = ears.frames.kind == "whisper"
    time, heard = (1, min(mel.shape[1], 2 * frames)) if whisper else (0, len(mel))
    fill = float(mel.mean())
    for axis, length, share in ((time, heard, HIDDEN[0]), (1 - time, mel.shape[1 - time], HIDDEN[1])):
        for start, stop in _stretches(length, share, draw):
            mel[(slice(start, stop), slice(None)) if axis == 0 else (slice(None), slice(start, stop))] = fill
    return example | {ears.input_name: mel}


def _stretches(length: int, share: float, draw: Draw) -> list[tuple[int, int]]:
    found = []
    for _ in range(STRETCHES):
        width = int(draw.integers(int(length * share) + 1))
        start = int(draw.integers(length - width + 1))
        found.append((start, start + width))
    return found


def tones(hertz: Mapping[str, float], n: int, seed: int, seconds: float = 0.2, rate: int = 16_000) -> list[tuple[str, str]]:
    """(`data:` address of a WAV file, name) of tones with noise: toy sounds that a CSV cell can hold, as many of each name."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.resize(list(hertz), n)).tolist()
    return [(spoken([hertz[name]], rng, seconds, rate), name) for name in names]


def spoken(hertz: Sequence[float], rng: np.random.Generator, seconds: float, rate: int = 16_000) -> str:
    """Tones one after another, of `seconds` each, as a `data:` address."""
    import base64
    import io

    import soundfile

    time_S = np.arange(int(seconds * rate)) / rate
    parts = [0.3 * np.sin(2 * np.pi * one * rng.uniform(0.97, 1.03) * time_S) * np.hanning(len(time_S)) for one in hertz]
    sound_S = np.concatenate(parts)
    sound_S = sound_S + rng.normal(0, 0.005, len(sound_S))
    packed = io.BytesIO()
    soundfile.write(packed, sound_S, rate, format="WAV", subtype="PCM_16")
    return f"{sounds.URI}audio/wav;base64,{base64.b64encode(packed.getvalue()).decode()}"
