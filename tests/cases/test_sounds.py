"""Sounds that are damaged, empty, too long or lie about themselves: refused with file and row before a model is looked for (48 to 50)."""

# ruff: noqa: E501  sentences are written whole, as a user reads them
from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cases.conftest import write
from tests.cases.test_tables import accepted
from tests.tiny_sounds import floats, packed, tone, wav

GOOD = [packed(tone(0.2, 300 + 40 * (i % 2), seed=i)) for i in range(8)]
SKIP = ", or say --bad-rows skip to leave such rows out"


def table(bad: dict[str, bytes], labels: str = "label", said: dict[str, str] | None = None) -> str:
    """Forty rows that name eight good sounds, and rows for these."""
    names = [write(f"{i}.wav", data) for i, data in enumerate(GOOD)]
    names = [names[i % 8] for i in range(40)] + [write(name, data) for name, data in bad.items()]
    cells = [(said or {}).get(name, "ab"[i % 2]) for i, name in enumerate(names)]
    return write("a.csv", f"audio,{labels}\n" + "".join(f"{name},{cell}\n" for name, cell in zip(names, cells)))


REFUSED = {
    "49 no samples": (wav(), "empty-sound", "expected a sound, got one without samples; record or export it again"),
    "49 ten minutes in the header, one second in the file": (
        wav(b"\1\2" * 16_000, claimed=600 * 32_000), "damaged-sound",
        "expected a whole sound, got 1.00 s where its header says 600.00 s: cut or damaged; fetch or export it again",
    ),
    "49 NaN": (
        floats([0.1, np.nan, 0.2]), "bad-samples", "expected samples that are numbers, got 1 that are none (NaN or infinite); export it again",
    ),
    "50 three hours": (
        packed(np.zeros(1000 * 3600 * 3, np.int16), 1000, "FLAC"), "sound-too-long",
        "expected at most 2 hours and 100 million samples, got 180 minutes at 1,000 samples a second; cut it into parts",
    ),
    "50 a rate of 2^31": (
        wav(b"\1\2" * 9, rate=2**31), "damaged-sound",
        "expected a whole sound, got one that is cut or damaged (Internal error : SF_INFO struct incomplete.); fetch or export it again",
    ),
    "cut": (packed(tone(2), kind="MP3")[:-2000], "damaged-sound", "expected a whole sound, got one whose end is missing; fetch or export it again"),
    "a web page": (b"<html>" + b" " * 200, "not-a-sound", "expected a sound (WAV, FLAC, OGG, MP3), got a text; save it as WAV or FLAC"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_row_and_file(refused, here, case: str) -> None:
    data, code, sentence = REFUSED[case]
    message = refused("fit", table({"bad.wav": data}), "--model", "no/such", exit=3, code=code)
    assert message == f"a.csv, row 41: {here / 'bad.wav'}: {sentence}{SKIP}"


@pytest.mark.parametrize("said", ["", "...", "?!"])
def test_a_transcript_without_a_word_is_refused(refused, here, said: str) -> None:
    path = table({"new.wav": GOOD[0]}, "text", {"new.wav": said})
    message = refused("fit", path, "--task", "speech-recognition", "--model", "no/such", exit=3)
    assert "row 41" in message and "transcript" in message


def test_48_any_rate_and_channels_are_accepted_and_recorded(tunesmith, here) -> None:
    found = accepted(tunesmith, table({"slow.wav": packed(tone(0.2, rate=8_000), 8_000), "two.wav": packed(tone(0.2, rate=44_100, channels=2), 44_100)}))
    told = json.dumps(found["ledger"])
    assert "8,000 samples a second: resampled from there" in told and "44,100 samples a second" in told and "2 channels mixed to one" in told
