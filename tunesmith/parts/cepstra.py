"""Mel-frequency cepstra of sounds with a linear model on top: what a tuned network must beat.

Davis and Mermelstein 1980: log energies in mel bands, decorrelated. Of a sound their means and deviations count, those of their changes,
and their means in each of five parts of the sound.

Axes: N rows of a set, S samples, T frames, M mel bands, K cepstra, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..data import sounds
from ..task import Outputs
from . import gradients

RATE = 16_000
FRAME, HOP, POINTS = 400, 160, 512
"""Samples of a frame, between frames, and of its Fourier transform."""
BANDS, KEPT, PARTS = 40, 20, 5
LEAST = 9
"""Fewest frames; shorter sounds are filled up with silence."""
MOST = 30 * RATE
"""Samples that are looked at."""


def class_outputs(train: Sequence[Any], class_N: np.ndarray, count: int, rows: Sequence[Any]) -> Outputs:
    """Logistic regression for one label of `count`."""
    return gradients.class_outputs(train, class_N, count, rows, features)


def features(cells: Sequence[Any]) -> np.ndarray:
    """(N, F) float32 of the sounds of these cells. Raises DataError where one cannot be read."""
    return np.stack([summary(sounds.wave(cell, RATE)) for cell in cells]) if len(cells) else np.zeros((0, 0), np.float32)


def summary(sound_S: np.ndarray) -> np.ndarray:
    """(F,) of one sound at 16 kHz."""
    cepstra_TK = cepstra(sound_S)
    change_TK = np.gradient(cepstra_TK, axis=0)
    parts = [part_TK.mean(0) for part_TK in np.array_split(cepstra_TK, PARTS)]
    whole = [cepstra_TK.mean(0), cepstra_TK.std(0), change_TK.std(0), np.abs(change_TK).mean(0)]
    return np.concatenate([*whole, *parts, [np.log(len(cepstra_TK))]]).astype(np.float32)


def cepstra(sound_S: np.ndarray) -> np.ndarray:
    """(T, K) mel-frequency cepstra of one sound at 16 kHz."""
    from scipy.fft import dct

    sound_S = np.append(sound_S[:1], sound_S[1:] - 0.97 * sound_S[:-1])[:MOST]
    sound_S = np.pad(sound_S, (0, max(0, FRAME + LEAST * HOP - len(sound_S))))
    frames_TS = np.lib.stride_tricks.sliding_window_view(sound_S, FRAME)[::HOP] * np.hamming(FRAME)
    power_TP = np.square(np.abs(np.fft.rfft(frames_TS, POINTS)))
    cepstra_TK: np.ndarray = dct(np.log(power_TP @ _bands() + 1e-8), norm="ortho", axis=1)[:, :KEPT]
    return cepstra_TK


@lru_cache(maxsize=1)
def _bands() -> np.ndarray:
    """(P, M) triangles, evenly spaced on the mel scale from 20 Hz to 7.6 kHz."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (20, 7600))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    place_P1 = np.linspace(0, RATE / 2, POINTS // 2 + 1)[:, None]
    rising, falling = (place_P1 - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - place_P1) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling))
