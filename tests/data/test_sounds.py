"""Sounds named by cells, folders and archives: found, read whole, hashed; what is wrong is listed with its path (cases 48 to 50)."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.peaks import peak
from tests.tiny_sounds import FORMATS, floats, packed, tone, wav
from tunesmith.data import mpeg, sounds
from tunesmith.data.files import resolve
from tunesmith.data.ledger import Ledger
from tunesmith.data.read import read
from tunesmith.errors import DataError
from tunesmith.spec import Data

GOOD = packed(tone())


def resolved(path, column="audio", **options):
    """The rows of a file or folder with their sounds found: (table, findings, ledger)."""
    data, ledger = Data(train=str(path), **options), Ledger()
    return (*resolve(read(str(path), data, ledger), [column], data, ledger, "audio"), ledger)


def table(tmp_path, files, **options):
    """The rows of a CSV file that names these files."""
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "rows.csv").write_text("audio,label\n" + "".join(f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(files)))
    return resolved(tmp_path / "rows.csv", **options)


def test_every_format_gives_the_same_sound():
    sound_T = tone(0.6)
    for kind in FORMATS:
        found_T = sounds.wave(packed(sound_T, kind=kind), 16_000)
        assert abs(len(found_T) - len(sound_T)) <= 1152 and found_T.dtype == np.float32
        most = min(len(found_T), len(sound_T))
        assert np.abs(found_T[:most] - sound_T[:most]).max() < (0.1 if kind in ("OGG", "MP3") else 1e-4), kind


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_051, 44_100, 48_000])
def test_a_sound_is_resampled_from_its_own_rate_to_the_length_that_was_said(rate):
    data = packed(tone(0.5, rate=rate, channels=2), rate)
    seen, sound_T = sounds.inspect(data), sounds.wave(data, 16_000)
    assert len(sound_T) == sounds.length(seen.samples, seen.rate, 16_000) and abs(len(sound_T) - 8_000) <= 2
    peak = np.abs(np.fft.rfft(sound_T)).argmax() * 16_000 / len(sound_T)
    assert abs(peak - 440) < 3, "the tone stays where it was"
    assert f"{rate:,} samples a second: resampled from there" in seen.changes and "2 channels mixed to one" in seen.changes


BAD = {
    "cut.wav": (GOOD[:-3000], "damaged-sound"), "lies.wav": (wav(b"\1\2" * 16_000, claimed=600 * 32_000), "damaged-sound"),
    "cut.flac": (packed(tone(), kind="FLAC")[:-300], "damaged-sound"), "cut.ogg": (packed(tone(), kind="OGG")[:-300], "damaged-sound"),
    "cut.mp3": (packed(tone(2), kind="MP3")[:-3000], "damaged-sound"), "cut.aiff": (packed(tone(), kind="AIFF")[:-3000], "damaged-sound"),
    "none.wav": (wav(), "empty-sound"), "empty.wav": (b"", "damaged-sound"), "nan.wav": (floats([0.1, np.nan]), "bad-samples"),
    "inf.wav": (floats([0.1, -np.inf]), "bad-samples"), "rate.wav": (wav(b"\1\2" * 9, rate=2**31), "damaged-sound"),
    "fast.wav": (wav(b"\1\2" * 9, rate=10**6), "bad-rate"), "wide.wav": (wav(b"\1\2" * 600, channels=300), "too-many-channels"),
    "text.wav": (b"no sound at all " * 9, "not-a-sound"), "page.mp3": (b"<html>" + b" " * 300, "not-a-sound"),
    "film.mp3": (b"\0\0\0\x20ftypM4A " + bytes(90), "not-a-sound"), "noise.wav": (np.random.default_rng(0).bytes(4000), "not-a-sound"),
    "riff.wav": (b"RIFF\x10\0\0\0WAVE" + np.random.default_rng(0).bytes(400), "damaged-sound"),
    "long.flac": (packed(np.zeros(1000 * 7300, np.int16), 1000, "FLAC"), "sound-too-long"),
    "long.wav": (wav(bytes(2), claimed=2 * 16_000 * 3600 * 3), "damaged-sound"),
}


def test_twenty_bad_sounds_are_listed_with_row_path_and_reason(tmp_path):
    _, findings, _ = table(tmp_path, {"ok.wav": GOOD} | {name: data for name, (data, _) in BAD.items()})
    listed = {f.code: " ".join(f.rows) for f in findings if f.level == "error"}
    for row, (name, (_, code)) in enumerate(BAD.items(), 2):
        assert code in listed, name
        if len([n for n, (_, c) in BAD.items() if c == code]) <= 5:
            assert f"row {row}: " in listed[code] and name in listed[code], name
    assert "ok.wav" not in " ".join(listed.values())


@pytest.mark.parametrize(("rate", "channels", "frame"), [(16_000, 1, 576), (24_000, 2, 576), (44_100, 2, 1152), (8_000, 1, 576)])
def test_an_mp3_without_an_index_is_read_to_its_last_frame(rate, channels, frame):
    whole = packed(tone(2, rate=rate, channels=channels), rate, "MP3")
    found = mpeg.frames(whole)
    bare = whole[found.first :]
    tagged = b"ID3\3\0\0\0\0\1\0" + bytes(128) + bare + b"TAG" + bytes(125)
    all_of_them = (bare, tagged, whole + bare, whole)
    lengths = [len(sounds.wave(data, rate)) for data in all_of_them]
    assert lengths[0] == lengths[1] and found.count * frame - lengths[0] in range(frame) and lengths[3] == 2 * rate
    assert 2 * found.count * frame - lengths[2] in range(frame), "an index that tells of one half is not believed"
    assert all(sounds.inspect(data).samples == length for data, length in zip(all_of_them, lengths))


def test_an_mp3_that_is_cut_is_found_wherever_a_frame_tells():
    whole = packed(tone(2), kind="MP3")
    bare = whole[mpeg.frames(whole).first :]
    starts, at = [], 0
    while at < len(bare):
        starts, at = [*starts, at], at + mpeg.size(bare, at)
    for stop in range(1, len(bare), 7):
        for data in (bare[:stop], bare[:stop] + b"TAG" + bytes(125)):
            if stop in starts[1:]:
                assert sounds.inspect(data).samples == len(sounds.wave(data, 16_000)) <= starts.index(stop) * 576
                continue
            with pytest.raises(DataError) as caught:
                sounds.inspect(data)
            assert caught.value.code in ("damaged-sound", "not-a-sound")
    with pytest.raises(DataError, match="in whose middle something is missing"):
        sounds.inspect(bare[: starts[9] + 20] + bare[starts[20] - 30 :])
    assert sounds.inspect(bare + b"some other thing" * 9).samples == sounds.inspect(bare).samples


def test_bad_sounds_can_be_skipped_and_stand_in_the_ledger(tmp_path):
    found, findings, ledger = table(tmp_path, {"a.wav": GOOD, "b.wav": GOOD[:-9000], "c.wav": GOOD}, bad_rows="skip")
    assert len(found) == 2 and not [f for f in findings if f.level == "error"] and ledger.count("skipped") == 1


def test_silence_is_a_warning_and_a_lying_name_is_recorded(tmp_path):
    _, findings, ledger = table(tmp_path, {"a.wav": packed(np.zeros(9000)), "b.mp3": GOOD})
    assert [f.code for f in findings] == ["silent-sound"]
    assert any("another format" in entry.action + entry.why for entry in ledger.entries)


def test_a_sound_of_three_hours_takes_no_memory():
    with peak() as taken, pytest.raises(DataError, match="at most 2 hours"):
        sounds.inspect(BAD["long.flac"][0])
    assert taken.bytes < 64 << 20


# -- where sounds come from -------------------------------------------------------------------------------------------


def test_a_folder_per_label_alone_and_zipped(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for i in range(6):
            name = f"{'ab'[i % 2]}/{i}.wav"
            (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "set" / name).write_bytes(packed(tone(seed=i)))
            archive.writestr(name, packed(tone(seed=i)))
    for place in ("set", "all.zip"):
        found, findings, _ = resolved(tmp_path / place)
        assert found.names == ("audio", "label") and not findings and found.column("label") == ["a"] * 3 + ["b"] * 3
        assert {row["audio"]["samples"] for row in found.rows()} == {8000}


def test_bytes_in_parquet_are_known_as_sounds(tmp_path):
    from tunesmith.data.profile import Profile

    cells = [{"bytes": packed(tone(seed=i), kind="FLAC"), "path": f"{i}.flac"} for i in range(4)]
    pq.write_table(pa.table({"audio": pa.array(cells), "label": list("abab")}), tmp_path / "rows.parquet")
    found, findings, _ = resolved(tmp_path / "rows.parquet")
    assert not findings and len({row["audio"]["content"] for row in found.rows()}) == 4
    profile = Profile.of(read(str(tmp_path / "rows.parquet"), Data(), Ledger()))
    assert profile.columns["audio"].examples == ("a sound",)


def test_transcripts_beside_sounds_and_in_lines(tmp_path):
    beside, lines = tmp_path / "beside", tmp_path / "lines" / "84" / "1"
    for folder in (beside, lines):
        folder.mkdir(parents=True)
        for i in range(3):
            (folder / f"84-1-{i}.flac").write_bytes(packed(tone(seed=i), kind="FLAC"))
    for i, said in enumerate(("ONE", "TWO  THREE\n", "")):
        (beside / f"84-1-{i}.txt").write_text(said)
    (lines / "84-1.trans.txt").write_text("84-1-0 ONE\n84-1-1 TWO THREE\n84-1-2 FOUR\n")
    found = resolved(beside)[0]
    assert found.names == ("audio", "text") and found.column("text") == ["ONE", "TWO THREE", None]
    assert resolved(tmp_path / "lines")[0].column("text") == ["ONE", "TWO THREE", "FOUR"]
    (lines / "84-1.trans.txt").write_text("84-1-0 ONE\n84-1-9 TWO\n84-1-2 FOUR\n")
    with pytest.raises(DataError, match=r"84-1\.trans\.txt, line 2: .*'84-1-9'"):
        read(str(tmp_path / "lines"), Data(), Ledger())


def test_a_bare_name_finds_its_sound(tmp_path):
    (tmp_path / "wavs").mkdir()
    (tmp_path / "wavs" / "LJ001.ogg").write_bytes(packed(tone(), kind="OGG"))
    for cell in ("LJ001", "LJ001.ogg"):
        (tmp_path / "metadata.csv").write_text(f"id|text\n{cell}|hello there\n")
        assert resolved(tmp_path / "metadata.csv", "id")[0].rows()[0]["id"]["path"] == str(tmp_path / "wavs" / "LJ001.ogg")
    (tmp_path / "metadata.csv").write_text("id|text\nLJ002.ogg|hello there\n")
    assert str(tmp_path / "LJ002.ogg") in resolved(tmp_path / "metadata.csv", "id")[1][0].rows[0]


def test_files_beside_their_table_are_found_where_another_folder_was_named(tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "a.wav").write_bytes(GOOD)
    (tmp_path / "b.wav").write_bytes(GOOD)
    (tmp_path / "rows.csv").write_text("audio,label\na.wav,a\nb.wav,b\n")
    found, findings, _ = resolved(tmp_path / "rows.csv", files=str(tmp_path / "named"))
    assert not findings and [row["audio"]["path"] for row in found.rows()] == [str(tmp_path / p) for p in ("named/a.wav", "b.wav")]


def test_a_path_out_of_the_table_s_folder_leads_into_the_one_that_was_named(tmp_path):
    for name in ("tables", "wavs"):
        (tmp_path / name).mkdir()
    (tmp_path / "wavs" / "a.wav").write_bytes(GOOD)
    (tmp_path / "tables" / "rows.csv").write_text("audio,label\n../wavs/a.wav,a\n")
    path = tmp_path / "tables" / "rows.csv"
    assert [f.code for f in resolved(path)[1]] == ["outside-folder"]
    for files in (tmp_path, tmp_path / "wavs"):
        found, findings, _ = resolved(path, files=str(files))
        assert not findings and found.rows()[0]["audio"]["path"] == str(tmp_path / "wavs" / "a.wav")
    (tmp_path / "named").mkdir()
    assert [f.code for f in resolved(path, files=str(tmp_path / "named"))[1]] == ["outside-folder"]


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *args, **options):
        if name == "soundfile":
            raise ImportError
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Exception, match=r"tunesmith\[sound\]"):
        sounds.inspect(GOOD)


def test_a_player_is_small_and_the_same_each_time():
    import base64

    import soundfile

    one, two = (sounds.player(packed(tone(20))) for _ in range(2))
    data = base64.b64decode(one.partition(",")[2])
    assert one == two and len(one) < 60_000 and abs(soundfile.info(io.BytesIO(data)).duration - 8) < 0.1
