"""Sounds changed at random: by the row's own random numbers, within what labels and transcripts bear; cepstra that tell sounds apart."""

from __future__ import annotations

import numpy as np
import pytest

from tests import tiny_sounds
from tunesmith.errors import SpecError
from tunesmith.models.source import find, processor
from tunesmith.parts import cepstra, waves
from tunesmith.parts.frames import Frames

DATA = tiny_sounds.packed(tiny_sounds.tone(0.5))


@pytest.fixture(scope="module", params=["wav2vec2", "w2v-bert", "whisper", "ast"])
def ears(request, tmp_path_factory):
    folder = tiny_sounds.make(tmp_path_factory.mktemp("models") / request.param, request.param)
    return processor(find(str(folder), "audio"))


def drawn(ears, seed, ways=waves.WAYS, **more):
    return waves.encode(DATA, ears, 1, ways, np.random.default_rng(seed), **more)


def test_the_same_draw_gives_the_same_sound_and_another_another(ears):
    one, again, other, plain = drawn(ears, 1), drawn(ears, 1), drawn(ears, 2), waves.encode(DATA, ears, 1)
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one[ears.input_name], other[ears.input_name])
    assert plain.keys() == one.keys() - {"masked"} and not np.array_equal(one[ears.input_name], plain[ears.input_name])


def test_hidden_stretches_are_short(ears):
    for seed in range(20):
        hidden, plain = drawn(ears, seed, ("specaugment",)), waves.encode(DATA, ears, 1)
        if "masked" in hidden:
            assert hidden["masked"].mean() <= 2 * waves.HIDDEN[0] and len(hidden["masked"]) == hidden["frames"]
        else:
            assert (hidden[ears.input_name] != plain[ears.input_name]).mean() <= 2 * sum(waves.HIDDEN)


def test_another_speed_leaves_as_many_frames_as_the_transcript_needs(ears):
    plain = waves.encode(DATA, ears, 1)["frames"]
    counts = {drawn(ears, seed, ("speed",))["frames"] for seed in range(12)}
    assert counts == {1} if ears.frames.kind == "ast" else min(counts) < plain < max(counts)
    assert {drawn(ears, seed, ("speed",), least=plain)["frames"] for seed in range(12)} <= {n for n in counts if n >= plain}


def test_unknown_ways_are_refused():
    for bad in (("echo",), "noisy"):
        with pytest.raises(SpecError, match="specaugment"):
            waves.check_ways(bad)


REAL = Frames("samples", kernels=(10, 3, 3, 3, 3, 2, 2), strides=(5, 2, 2, 2, 2, 2, 2))


@pytest.mark.parametrize("frames", [REAL, Frames("mel"), Frames("whisper")])
def test_lengths_are_known_without_the_sound(frames):
    assert Frames.of(frames.plain()) == frames
    assert frames.count(16_000, 30) in (49, 50) and frames.count(1, 30) >= 1 and frames.count(10**9, 10) == frames.count(160_000, 10)
    assert frames.seconds(50) == pytest.approx(1.0)


def test_cepstra_tell_tones_apart_and_bear_any_length():
    one, again, other = (cepstra.summary(tiny_sounds.tone(s, h, seed=i)) for i, (s, h) in enumerate(((0.5, 300), (0.6, 300), (0.5, 1500))))
    assert np.linalg.norm(one - again) < 0.5 * np.linalg.norm(one - other)
    assert all(np.isfinite(cepstra.summary(np.zeros(n, np.float32))).all() for n in (0, 1, 399, 400, 5000))
