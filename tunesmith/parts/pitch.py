"""How high a voice is, frame by frame, by autocorrelation (Boersma 1993), on the frames of `spectra`.

Axes: S samples, T frames, L lags.
"""

from __future__ import annotations

import numpy as np

from .spectra import FRAME, HOP, RATE

LOWEST, HIGHEST = 65.0, 500.0
"""Hertz between which voices are looked for."""
LIKE = 0.5
"""Least correlation with itself, one period later, of a voiced frame; of a frame that is wholly periodic it is 1."""
NEARLY = 0.87
"""Of several lags, the shortest whose correlation comes this near to the best: else every other octave would be too low."""
AUDIBLE = 0.03
"""Least loudness of a voiced frame, of the loudest one."""


def pitch(sound_S: np.ndarray, frames: int) -> np.ndarray:
    """(T,) float32 hertz of a sound at 16 kHz; 0 where nothing is voiced."""
    sound_S = np.pad(np.asarray(sound_S, np.float64), (FRAME // 2, FRAME + HOP))
    frames_TF = np.lib.stride_tricks.sliding_window_view(sound_S, FRAME)[: frames * HOP : HOP][:frames]
    frames_TF = frames_TF - frames_TF.mean(1, keepdims=True)
    loud_T = np.sqrt(np.square(frames_TF).mean(1))
    first, last = int(RATE / HIGHEST), int(RATE / LOWEST) + 1
    like_TL = _autocorrelation(frames_TF)[:, first - 1 : last + 1]
    inner_TL = like_TL[:, 1:-1]
    peak_TL = (inner_TL >= like_TL[:, :-2]) & (inner_TL >= like_TL[:, 2:])
    best_T = np.where(peak_TL, inner_TL, 0).max(1)
    lag_T = (peak_TL & (inner_TL >= NEARLY * best_T[:, None])).argmax(1)
    voiced_T = (best_T > LIKE) & (loud_T > AUDIBLE * max(float(loud_T.max(initial=0.0)), 1e-9))
    exact_T = first + lag_T + _between(like_TL, lag_T + 1)
    return np.where(voiced_T, RATE / np.maximum(exact_T, 1), 0).astype(np.float32)


def _autocorrelation(frames_TF: np.ndarray) -> np.ndarray:
    """(T, L) normalised, and divided by that of the window."""
    window_F = np.hanning(FRAME)
    power = lambda one: np.square(np.abs(np.fft.rfft(one, 2 * FRAME)))  # noqa: E731
    found_TL = np.fft.irfft(power(frames_TF * window_F))[:, : FRAME // 2]
    of_window_L = np.fft.irfft(power(window_F))[: FRAME // 2]
    found: np.ndarray = found_TL / np.maximum(found_TL[:, :1], 1e-12) / (of_window_L / of_window_L[0])
    return found


def _between(like_TL: np.ndarray, at_T: np.ndarray) -> np.ndarray:
    """Where, off the whole lag, a parabola through it and its neighbours is highest."""
    row_T = np.arange(len(at_T))
    left, here, right = (like_TL[row_T, at_T + step] for step in (-1, 0, 1))
    curve = left - 2 * here + right
    return np.where(curve < -1e-9, 0.5 * (left - right) / np.where(curve < -1e-9, curve, -1), 0).clip(-0.5, 0.5)
