"""Sounds as log-mel spectra, as SpeechT5 and its vocoder have them, and back again without a model; how far two of them are apart.

A spectrum is the decimal logarithm of amplitudes in 80 mel bands (Slaney's scale and norm, 80 Hz to 7.6 kHz), 62.5 frames a second.
The way back is Griffin and Lim's with momentum (Perraudin, Balazs and Soendergaard 2013).

Axes: S samples, T frames, U frames of another sound, P points of the Fourier transform, M mel bands, K cepstra.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

RATE = 16_000
"""Samples a second."""
FRAME, HOP = 1024, 256
"""Samples of a frame, and from one to the next."""
BANDS = 80
"""M."""
LOW, HIGH = 80.0, 7600.0
"""Hertz between which the bands lie."""
FLOOR = 1e-10
"""Least amplitude of a band."""
QUIET = math.log10(FLOOR)
PASSES, MOMENTUM = 40, 0.99
"""Of Griffin and Lim."""
CEPSTRA = 13
"""K: coefficients 1 to 13; the loudness, coefficient 0, does not count."""
MCD = "mel-cepstral distortion (Kubichek 1993): 10/ln 10 * sqrt(2 * sum of squared differences of coefficients 1 to 13), in decibels, the \
mean over the path of dynamic time warping; coefficients: cosine transform of the natural logarithm of amplitudes in 80 mel bands, 62.5 \
frames a second"
"""How distortion is counted, in words."""


def mel(sound_S: np.ndarray) -> np.ndarray:
    """(T, M) float32 of a sound at 16 kHz: T = 1 + S // 256."""
    spectrum_TP = _transformed(np.asarray(sound_S, np.float64))
    bands_TM = np.abs(spectrum_TP) @ _bands()
    found: np.ndarray = np.log10(np.maximum(FLOOR, bands_TM)).astype(np.float32)
    return found


def frames(samples: int) -> int:
    """T of a sound of so many samples."""
    return 1 + max(samples, FRAME // 2 + 1) // HOP


def seconds(frames: int) -> float:
    """How long so many frames sound."""
    return max(0, frames - 1) * HOP / RATE


def wave(mel_TM: np.ndarray, passes: int = PASSES) -> np.ndarray:
    """(S,) float32: a sound whose spectrum is about this one, the same each time. S = (T - 1) * 256."""
    if len(mel_TM) < 3:
        return np.zeros(max(0, len(mel_TM) - 1) * HOP, np.float32)
    amplitude_TP = _amplitudes(mel_TM)
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, amplitude_TP.shape)
    guess_TP = amplitude_TP * np.exp(1j * phase)
    before_TP = np.zeros_like(guess_TP)
    for _ in range(passes):
        found_TP = _transformed(_sounding(guess_TP))
        ahead_TP = found_TP + MOMENTUM * (found_TP - before_TP)
        before_TP = found_TP
        guess_TP = amplitude_TP * ahead_TP / np.maximum(np.abs(ahead_TP), 1e-12)
    sound_S = _sounding(guess_TP)
    return (sound_S / max(1.0, float(np.abs(sound_S).max()))).astype(np.float32)


def _transformed(sound_S: np.ndarray) -> np.ndarray:
    """(T, P) short-time Fourier transform, frames centred, ends mirrored."""
    sound_S = np.pad(sound_S, (0, max(0, FRAME // 2 + 1 - len(sound_S))))
    padded_S = np.pad(sound_S, FRAME // 2, mode="reflect")
    frames_TF = np.lib.stride_tricks.sliding_window_view(padded_S, FRAME)[::HOP]
    found: np.ndarray = np.fft.rfft(frames_TF * _window())
    return found


def _sounding(spectrum_TP: np.ndarray) -> np.ndarray:
    """(S,) the inverse: frames laid over each other."""
    frames_TF = np.fft.irfft(spectrum_TP, FRAME) * _window()
    count, parts = len(frames_TF), FRAME // HOP
    whole_XH, square_XH = np.zeros((count + parts - 1, HOP)), np.zeros((count + parts - 1, HOP))
    window_F = np.square(_window())
    for part in range(parts):
        here = slice(part * HOP, (part + 1) * HOP)
        whole_XH[part : part + count] += frames_TF[:, here]
        square_XH[part : part + count] += window_F[here]
    sound_S = (whole_XH / np.maximum(square_XH, 1e-8)).ravel()
    return sound_S[FRAME // 2 : FRAME // 2 + (count - 1) * HOP]


def _amplitudes(mel_TM: np.ndarray) -> np.ndarray:
    """(T, P) amplitudes, none below 0, whose bands are about these (multiplicative updates: Lee and Seung 2001)."""
    bands_PM, wanted_TM = _bands(), 10.0 ** np.clip(mel_TM.astype(np.float64), QUIET, 4.0)
    found_TP = np.maximum(wanted_TM @ _inverse(), 1e-8)
    for _ in range(8):
        found_TP *= (wanted_TM @ bands_PM.T) / np.maximum((found_TP @ bands_PM) @ bands_PM.T, 1e-12)
    return found_TP


@lru_cache(maxsize=1)
def _window() -> np.ndarray:
    """Hann's, periodic."""
    found: np.ndarray = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    return found


@lru_cache(maxsize=1)
def _inverse() -> np.ndarray:
    return np.linalg.pinv(_bands())


def _hertz(mels: np.ndarray) -> np.ndarray:
    """Slaney's scale: even below 1 kHz, logarithmic above."""
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * math.log(6.4) / 27))


@lru_cache(maxsize=1)
def _bands() -> np.ndarray:
    """(P, M) triangles of equal area."""
    low, high = (h * 3 / 200 if h < 1000 else 15 + 27 * math.log(h / 1000) / math.log(6.4) for h in (LOW, HIGH))
    edges = _hertz(np.linspace(low, high, BANDS + 2))
    place_P1 = np.linspace(0, RATE / 2, FRAME // 2 + 1)[:, None]
    rising, falling = (place_P1 - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - place_P1) / np.diff(edges)[1:]
    found: np.ndarray = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))
    return found


# -- distances --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """(M, K): one-sided cepstra 1 to K of natural logarithms, of decimal ones."""
    place_M1, order_K = np.arange(BANDS)[:, None] + 0.5, np.arange(1, CEPSTRA + 1)
    return 2 / BANDS * math.log(10) * np.cos(np.pi * place_M1 * order_K / BANDS)


def cepstra(mel_TM: np.ndarray) -> np.ndarray:
    """(T, K) coefficients 1 to 13."""
    found: np.ndarray = (mel_TM.astype(np.float64) @ _cosines()).astype(np.float32)
    return found


def distortion(one_TK: np.ndarray, other_UK: np.ndarray) -> tuple[float, int]:
    """Sum of the distances (decibels) of two sounds' cepstra along the best warping path, and how long that path is."""
    one, other = one_TK.astype(np.float64), other_UK.astype(np.float64)
    square_TU = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return warped(10 / math.log(10) * np.sqrt(2 * np.maximum(square_TU, 0)))


def warped(cost_TU: np.ndarray) -> tuple[float, int]:
    """Least sum of costs over paths from corner to corner, by steps ahead in one, the other or both; and the length of that path.

    Of equal sums the shorter path. Cells are filled one slanting line after another, so that a line is one operation.
    """
    rows, columns = cost_TU.shape
    if not rows or not columns:
        return 0.0, 0
    flat, best, last = cost_TU.ravel(), _line(rows), _line(rows)
    for at in range(rows + columns - 1):
        low, high = max(0, at - columns + 1), min(rows, at + 1)
        here = _line(rows)
        cost = flat[low * columns + at - low : (high - 1) * columns + at - high + 2 : columns - 1] if columns > 1 else flat[low:high]
        found = np.stack([best[0, low:high], best[0, low + 1 : high + 1], last[0, low:high]])
        steps = np.stack([best[1, low:high], best[1, low + 1 : high + 1], last[1, low:high]])
        if at == 0:
            found[2], steps[2] = 0.0, 0.0
        which = np.lexsort((steps, found), axis=0)[0]
        each = np.arange(high - low)
        here[0, low + 1 : high + 1], here[1, low + 1 : high + 1] = found[which, each] + cost, steps[which, each] + 1
        best, last = here, best
    return float(best[0, rows]), int(best[1, rows])


def _line(rows: int) -> np.ndarray:
    """(2, rows + 1): sums and lengths of the paths that end on a slanting line, by row; nothing has come there yet."""
    return np.stack([np.full(rows + 1, np.inf), np.zeros(rows + 1)])
