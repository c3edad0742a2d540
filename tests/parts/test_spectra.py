"""Spectra as SpeechT5's own extractor makes them, sounds made of them again, distances along the best path."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tiny_sounds import tone
from tunesmith.parts import pitch, spectra


def voice(seconds: float = 0.6, hertz: float = 180.0, seed: int = 0) -> np.ndarray:
    """A buzz with harmonics and a little noise."""
    rng, time_S = np.random.default_rng(seed), np.arange(int(seconds * 16_000)) / 16_000
    return 0.2 * sum(np.sin(2 * np.pi * hertz * k * time_S) / k for k in range(1, 12)) + rng.normal(0, 0.003, len(time_S))


@pytest.mark.parametrize("seconds", [0.1, 0.5, 0.777])
def test_spectra_are_those_of_the_library(seconds):
    from transformers import SpeechT5FeatureExtractor

    sound_S = tone(seconds, 300).astype(np.float32)
    wanted_TM = SpeechT5FeatureExtractor()(audio_target=sound_S, sampling_rate=16_000)["input_values"][0]
    found_TM = spectra.mel(sound_S)
    np.testing.assert_allclose(found_TM, wanted_TM, atol=1e-5)
    assert len(found_TM) == spectra.frames(len(sound_S))


def test_a_sound_made_of_its_spectrum_is_near_it_and_the_same_each_time():
    wanted_TM = spectra.mel(voice())
    found_S = spectra.wave(wanted_TM)
    np.testing.assert_array_equal(found_S, spectra.wave(wanted_TM))
    assert len(found_S) == (len(wanted_TM) - 1) * spectra.HOP
    total, steps = spectra.distortion(spectra.cepstra(spectra.mel(found_S)), spectra.cepstra(wanted_TM))
    other, _ = spectra.distortion(spectra.cepstra(spectra.mel(tone(0.6, 900))), spectra.cepstra(wanted_TM))
    assert total / steps < 1.5 < 5 < other / steps
    assert not len(spectra.wave(wanted_TM[:0])) and len(spectra.wave(wanted_TM[:2])) == spectra.HOP


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (6, 1), (4, 7), (9, 3), (5, 5)])
def test_paths_are_those_of_going_through_every_cell(shape):
    cost = np.random.default_rng(sum(shape)).integers(0, 4, shape).astype(float)
    best = {(-1, -1): (0.0, 0)}
    for i in range(shape[0]):
        for j in range(shape[1]):
            total, steps = min(best[before] for before in [(i - 1, j), (i, j - 1), (i - 1, j - 1)] if before in best)
            best[i, j] = total + cost[i, j], steps + 1
    assert spectra.warped(cost) == best[shape[0] - 1, shape[1] - 1]


def test_distortion_counts_neither_loudness_nor_pace():
    spectrum_TM = spectra.mel(voice())
    own_TK = spectra.cepstra(spectrum_TM)
    for other_TM in (spectrum_TM + 0.5, np.repeat(spectrum_TM, 2, 0), spectrum_TM[1:-1]):
        total, steps = spectra.distortion(own_TK, spectra.cepstra(other_TM))
        assert total / steps < 0.35
    tilted_TK = spectra.cepstra(spectrum_TM + np.cos(np.pi * (np.arange(80) + 0.5) / 80) * 2 / 20)  # 2 dB at most, coefficient 1 alone
    total, steps = spectra.distortion(own_TK[:1], tilted_TK[:1])
    assert total / steps == pytest.approx(2 / np.sqrt(2), rel=1e-3)  # the root of the mean square of a cosine


@pytest.mark.parametrize("hertz", [80, 193, 390])
def test_pitch_of_a_buzz_and_none_of_noise(hertz):
    found_T = pitch.pitch(voice(0.5, hertz), 32)
    assert np.abs(found_T[4:-4] / hertz - 1).max() < 0.01
    rng = np.random.default_rng(0)
    assert not pitch.pitch(rng.normal(0, 0.1, 8000), 32).any() and not pitch.pitch(np.zeros(8000), 32).any()
