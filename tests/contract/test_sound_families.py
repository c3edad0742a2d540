"""Each architecture that hears or speaks learns from a file, stops and goes on to the same bits, and is saved and read back."""

import pytest

from tests import tiny_sounds, tiny_voices
from tunesmith import testing

CHECKS = ("a stopped run resumes to the same bits", "the saved model answers alike")
SPELLING = [name for name in tiny_sounds.FAMILIES if name not in ("ast", "whisper")]
"""Spectrogram transformers answer no frames to spell with; Whisper writes with its decoder."""
NAMED = [
    *(("audio-classification", name) for name in tiny_sounds.FAMILIES), *(("speech-recognition", name) for name in (*SPELLING, "decoder")),
    ("speech-synthesis", "speecht5"),
]  # fmt: skip


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    """Gives the family's tiny model, made once; of SpeechT5 with a vocoder."""
    known, root = {}, tmp_path_factory.mktemp("families")
    others = {"decoder": tiny_sounds.whisper, "speecht5": lambda folder: tiny_voices.speecht5(folder, vocoder=True)}

    def make(family):
        if family not in known:
            known[family] = others[family](root / family) if family in others else tiny_sounds.make(root / family, family)
        return known[family]

    return make


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("task", "family"), NAMED)
def test_family(task, family, check, tmp_path, model_of):
    testing.run(check, task, "full", model_of(family), tmp_path)
