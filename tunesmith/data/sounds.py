"""One sound from a cell: read safely, mixed to one channel, at the rate that is asked for. What is wrong with it is said, never filled up.

A cell is a path, a `data:` address, bytes, or an object with `path` or `bytes` (as Hugging Face data sets have it). What a file holds
is told by its content, never by its name. Sounds are resampled from the rate that their own file names.
"""

# Axes: T samples, C channels.

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, ResourceError, shorten
from . import containers, images

if TYPE_CHECKING:
    import soundfile

WHAT = "a sound"
MANY = "sounds"
SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".m4a", ".aac", ".wma")
"""Endings by which a folder's sounds are known; the last three are refused, rather than passed over."""
FOLDERS = ("", "wavs", "wav", "audio", "clips", "sounds")
"""Where, beside a table, the sounds may lie that it names without a folder."""
NAMES = {"WAV": (".wav",), "OGG": (".ogg", ".oga", ".opus"), "AIFF": (".aif", ".aiff"), "AU": (".au",)}
FORMATS = {
    "WAV": "WAV", "WAVEX": "WAV", "RF64": "WAV", "FLAC": "FLAC", "OGG": "OGG", "MP3": "MP3", "MPEG": "MP3", "AIFF": "AIFF", "AU": "AU",
}
"""libsndfile's names of what is opened."""
MOST_SECONDS = 2 * 3600
MOST_SAMPLES = 100_000_000
"""Samples of one channel: 38 minutes at 44.1 kHz, 104 at 16 kHz. Beyond it is refused before a sample is decoded."""
MOST_CHANNELS = 32
RATES = (1_000, 384_000)
"""Lowest and highest rate, samples a second, that a sound may say it has."""
USUAL = 16_000
"""Samples a second that models of speech are made for."""
BLOCK = 1 << 20
"""Samples of all channels decoded at a time."""
QUIET = 1e-4
"""Largest step away from the mean (full scale: 1) of a sound in which nothing can be heard: -80 dB."""
URI = images.URI


@dataclass(frozen=True)
class Seen:
    """What was found in one sound."""

    content: str
    """Hash of the file's bytes (32 hex digits)."""
    samples: int
    """Of each channel."""
    rate: int
    """Samples a second."""
    format: str
    changes: tuple[str, ...] = ()
    """What `wave` will do to it, in words."""
    silent: bool = False

    @property
    def extra(self) -> dict[str, int]:
        """What a resolved cell keeps beside path and content, so that lengths are known without reading the file again."""
        return {"samples": self.samples, "rate": self.rate}


def payload(cell: Any) -> bytes:
    """The bytes behind a cell. Raises DataError for what is no plain file, is missing, or is too large."""
    return images.payload(cell, WHAT)


def name_of(cell: Any) -> str:
    """What messages call the sound of a cell: its path, else a word for its bytes."""
    return images.name_of(cell, WHAT)


def wave(cell: Any, rate: int) -> np.ndarray:
    """(T,) float32, one channel, `rate` samples a second. Raises DataError where the sound cannot be read whole."""
    sound_T, own = _decoded(payload(cell), name_of(cell))
    return resampled(sound_T, own, rate)


def resampled(sound_T: np.ndarray, own: int, rate: int) -> np.ndarray:
    """The sound at another rate, by a polyphase filter; `length` says how long it is."""
    if own == rate:
        return sound_T
    from scipy.signal import resample_poly

    common = math.gcd(own, rate)
    return np.asarray(resample_poly(sound_T, rate // common, own // common), np.float32)


def length(samples: int, own: int, rate: int) -> int:
    """Samples of a sound once it has been resampled."""
    common = math.gcd(own, rate)
    return -(-samples * (rate // common) // (own // common))


def inspect(cell: Any) -> Seen:
    """What there is to know of a sound, once every sample of it has been read. Raises DataError as `wave` does."""
    name, data = name_of(cell), payload(cell)
    with _opened(data, name) as file:
        rate, channels, kind = file.samplerate, file.channels, FORMATS[file.format]
        sound_T = _whole(file, data, name)
    loud = float(np.abs(sound_T).max())
    changes = [f"{channels} channels mixed to one"] if channels > 1 else []
    changes += [f"{rate:,} samples a second: resampled from there"] if rate != USUAL else []
    changes += ["louder than full scale: kept as it is"] if loud > 1.01 else []
    silent = bool(np.abs(sound_T - sound_T.mean()).max() < QUIET)
    return Seen(hashlib.blake2b(data, digest_size=16).hexdigest(), len(sound_T), rate, kind, tuple(changes), silent)


def player(cell: Any, seconds: float = 8.0, rate: int = 16_000) -> str:
    """The sound's beginning as a small `data:` address (MP3, some 3 kilobytes a second), nothing where it cannot be read."""
    try:
        sound_T = wave(cell, rate)[: int(seconds * rate)]
    except (DataError, ResourceError):
        return ""
    return address(sound_T, rate)


def address(sound_T: np.ndarray, rate: int) -> str:
    """A sound as a `data:` address (MP3)."""
    import base64

    import soundfile

    packed = io.BytesIO()
    soundfile.write(packed, np.clip(sound_T, -1, 1), rate, format="MP3", subtype="MPEG_LAYER_III")
    return f"{URI}audio/mpeg;base64,{base64.b64encode(packed.getvalue()).decode()}"


def says_otherwise(seen: Seen, path: str) -> bool:
    """Whether a file's ending names another format than its content has."""
    suffix = Path(path).suffix.lower()
    return suffix in SUFFIXES and suffix not in NAMES.get(seen.format, (f".{seen.format.lower()}",))


def locate(root: str, cell: str) -> str:
    """The file that a bare name means (`LJ001-0001`, `clip_17.mp3`): beside the table, or in its folder `wavs`, `audio` or `clips`."""
    if len(Path(cell).parts) != 1 or (Path(root) / cell).exists():
        return cell
    endings = ("",) if Path(cell).suffix.lower() in SUFFIXES else SUFFIXES
    found = (Path(folder) / f"{cell}{ending}" for folder in FOLDERS for ending in endings)
    return next((str(path) for path in found if (Path(root) / path).is_file()), cell)


# -- samples ----------------------------------------------------------------------------------------------------------


def _decoded(data: bytes, name: str) -> tuple[np.ndarray, int]:
    with _opened(data, name) as file:
        return _whole(file, data, name), file.samplerate


def _library() -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the package without its library
        raise ResourceError(
            "sounds", expected="soundfile, which reads sounds", got="it is not installed",
            fix="pip install 'tunesmith[sound]'", code="missing-extra",
        ) from None
    return soundfile


def _opened(data: bytes, name: str) -> soundfile.SoundFile:
    """The sound with its header read and checked, and no sample decoded."""
    library = _library()
    if not data:
        raise _error(name, WHAT, "an empty file", "damaged-sound")
    if (other := containers.refused(data)) is not None:
        raise _error(name, "a sound (WAV, FLAC, OGG, MP3)", other, "not-a-sound")
    whole, damage = containers.looked(data)
    if damage:
        raise _error(name, "a whole sound", damage, "damaged-sound")
    try:
        file = library.SoundFile(io.BytesIO(whole))
    except Exception as error:  # headers from outside fail in many ways; each means that this is no sound
        raise _no_sound(data, name, error) from None
    try:
        _check(file, name)
    except DataError:
        file.close()
        raise
    return file


def _check(file: soundfile.SoundFile, name: str) -> None:
    if file.format not in FORMATS:
        raise _error(name, "a sound (WAV, FLAC, OGG, MP3)", f"one in the format {file.format}", "not-a-sound")
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise _error(name, f"{RATES[0]:,} to {RATES[1]:,} samples a second", f"{file.samplerate:,}", "bad-rate")
    if not 1 <= file.channels <= MOST_CHANNELS:
        raise _error(name, f"at most {MOST_CHANNELS} channels", f"{file.channels:,}", "too-many-channels")
    if file.frames > min(MOST_SAMPLES, MOST_SECONDS * file.samplerate):
        raise _too_long(name, file.frames, file.samplerate)


def _whole(file: soundfile.SoundFile, data: bytes, name: str) -> np.ndarray:
    """(T,) all samples, channels mixed. Raises DataError where there are fewer than the header promises, or none, or no numbers."""
    said = containers.promised(data, file.frames)
    try:
        blocks, total = [], 0
        for block_TC in file.blocks(max(1, BLOCK // file.channels), dtype="float32", always_2d=True):
            total += len(block_TC)
            if total > min(MOST_SAMPLES, MOST_SECONDS * file.samplerate):
                raise _too_long(name, total, file.samplerate)
            blocks.append(block_TC.mean(1) if file.channels > 1 else block_TC[:, 0].copy())
    except DataError:
        raise
    except Exception as error:  # decoders fail in many ways; each means that the file is cut or damaged
        raise _error(name, "a whole sound", f"one that is cut or damaged ({shorten(str(error), 80)})", "damaged-sound") from None
    if not total:
        raise _error(name, WHAT, "one without samples", "empty-sound")
    if said is not None and total < said:
        got = f"{total / file.samplerate:,.2f} s where its header says {said / file.samplerate:,.2f} s: cut or damaged"
        raise _error(name, "a whole sound", got, "damaged-sound")
    sound_T = np.concatenate(blocks)
    if not np.isfinite(sound_T).all():
        bad = int((~np.isfinite(sound_T)).sum())
        raise _error(name, "samples that are numbers", f"{bad:,} that are none (NaN or infinite)", "bad-samples")
    return sound_T


def _no_sound(data: bytes, name: str, error: Exception) -> DataError:
    known = containers.known(data)
    if "NaN" in str(error) or known:
        return _error(name, "a whole sound", f"one that is cut or damaged ({shorten(_reason(error), 80)})", "damaged-sound")
    what = "a text" if b"\0" not in data[:1000] and data[:64].isascii() else "another kind of file"
    return _error(name, "a sound (WAV, FLAC, OGG, MP3)", what, "not-a-sound")


def _reason(error: Exception) -> str:
    """What the library says, without the address of the object that it read from."""
    return str(getattr(error, "error_string", "") or error)


def _too_long(name: str, samples: int, rate: int) -> DataError:
    most = f"at most {MOST_SECONDS // 3600} hours and {MOST_SAMPLES / 1e6:.0f} million samples"
    return _error(name, most, f"{samples / rate / 60:,.0f} minutes at {rate:,} samples a second", "sound-too-long")


FIXES = {
    "not-a-file": "put the file itself there", "no-such-file": "check the path", "file-too-large": "cut it into parts",
    "sound-too-long": "cut it into parts", "damaged-sound": "fetch or export it again", "empty-sound": "record or export it again",
    "not-a-sound": "save it as WAV or FLAC", "bad-rate": "its header is damaged: export it again",
    "too-many-channels": "mix it down first", "bad-samples": "export it again",
    "outside-folder": "copy it there, or name its folder (--set data.files=FOLDER)",
}
"""What to do about each code."""


def _error(name: str, expected: str, got: str, code: str) -> DataError:
    return DataError(name, expected=expected, got=got, fix=FIXES[code], code=code)


error = _error
