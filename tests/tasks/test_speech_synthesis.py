"""Voices from table to sound: asked for by name, refused with rows, heard again by other models, saved so that transformers speaks."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import soundfile
import torch

from tests import tiny_sounds, tiny_voices
from tunesmith import api, testing
from tunesmith.cli import main
from tunesmith.data.dataset import read_sources
from tunesmith.errors import DataError, ModelError
from tunesmith.inference import collate, encode
from tunesmith.models.source import processor
from tunesmith.parts import speaking, spectra
from tunesmith.planning import choose_task
from tunesmith.registry import TASKS
from tunesmith.spec import Spec

FAST = {
    "train.epochs": 1, "train.batch": 8, "train.threads": 1, "data.near_duplicates": 0.0, "evaluate.resamples": 100, "train.dropout": 0.0,
}  # fmt: skip


WORDS = [f"{one} {two}" for one in ("lo", "hi", "la", "lu", "ha", "he") for two in ("lo", "hi", "la", "lu", "ha", "he")]
"""Texts of which no two are alike: those that are stay in one part."""

CHINESE = [words.translate(str.maketrans("lohiaue ", "天气明好下雨今很")) for words in WORDS]


def table(folder, rows: int = 36, **cells: list) -> str:
    """A CSV of the task's toy sounds, with these cells in place of, or beside, the usual ones."""
    toys = TASKS.load("speech-synthesis").sample(rows, 0)
    made = [row | {name: values[i % len(values)] for name, values in cells.items()} for i, row in enumerate(toys)]
    return str(testing.write_rows(made, folder / "rows.csv"))


def settings(model, folder, **more):
    return {"task": "speech-synthesis", "model": str(model), "runs": str(folder / "runs"), **FAST, **more}


def planned(path: str, model, folder, **more):
    return api.plan(api.make_spec(path, **settings(model, folder, **more)))


# -- claims, refusals -------------------------------------------------------------------------------------------------


def test_recognition_keeps_such_tables_unless_synthesis_is_named(tmp_path):
    lines = [{"audio_path": f"{i}.flac", "sentence": f"word number {i} of them", "speaker": f"s{i % 3}"} for i in range(40)]
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for task, wanted in (("auto", "speech-recognition"), ("speech-synthesis", "speech-synthesis")):
        spec = Spec.of({"data": {"train": str(path)}, "task": task})
        found = choose_task(spec, read_sources(spec.data))
        assert found["task"].value == wanted
        assert (found["options.audio"].value, found["options.text"].value) == ("audio_path", "sentence")
    assert found["options.speaker"].value == "speaker"


@pytest.mark.parametrize(
    ("cells", "code", "said"),
    [
        ({"text": ["?!", *WORDS[1:]]}, "", "without a letter"),
        ({"text": ["lo hi la " * 8, *WORDS[1:]]}, "sound-too-short", "long enough"),
        ({"text": ["lo " * 400, *WORDS[1:]]}, "text-too-long", "at most 1,000 characters"),
    ],
)
def test_rows_that_cannot_be_learned_are_refused_before_the_first_step(cells, code, said, tiny_voice, tmp_path):
    with pytest.raises(DataError, match=said) as found:
        planned(table(tmp_path, **cells), tiny_voice, tmp_path)
    assert "row" in str(found.value)
    assert code in ("", found.value.code)


def test_sounds_that_are_none_are_refused_by_row(tiny_voice, tmp_path):
    (tmp_path / "bad.wav").write_bytes(tiny_sounds.floats([0.1, np.nan] * 4000))
    usual = [row["audio"] for row in TASKS.load("speech-synthesis").sample(19, 0)]
    with pytest.raises(DataError, match="row 20") as found:
        planned(table(tmp_path, 20, text=WORDS, audio=[*usual, "bad.wav"]), tiny_voice, tmp_path)
    assert found.value.code == "bad-samples"


def test_numbers_are_read_aloud_and_strange_characters_are_told(tiny_voice, tmp_path):
    path = table(tmp_path, 36, text=[one + " 2" * (i % 2) for i, one in enumerate(WORDS)])
    made = planned(path, tiny_voice, tmp_path, **{"options.reading": "en"})
    assert made.task.rules == "en" and set("two") <= set(made.task.symbols) and "2" not in made.task.symbols
    told = json.dumps(made.data.ledger.as_json())
    assert f"of {len(made.data.train)} changed" in told and f"{made.task.changed:,} of" in told
    assert "no checkpoint was given" in told and "Griffin and Lim" in told
    assert "whole and decimal numbers" in made.plan.why["options.reading"]
    plain = planned(path, tiny_voice, tmp_path, **{"options.reading": "none"})
    assert "2" in plain.task.symbols


def test_a_recogniser_or_vocoder_that_is_none_is_refused_at_once(tiny_voice, tiny_wav2vec2, tmp_path):
    path = table(tmp_path, 20, text=WORDS)
    unfit = "unsuitable-architecture"
    for option, code in (("recogniser", unfit), ("speaker_encoder", "config-lies"), ("vocoder", "no-vocoder")):
        with pytest.raises(ModelError) as found:
            planned(path, tiny_voice, tmp_path, **{f"options.{option}": str(tiny_wav2vec2)})
        assert found.value.code == code


@pytest.mark.parametrize(("words", "score"), [(WORDS, "wer"), (CHINESE, "cer")])
def test_what_is_heard_is_counted_by_words_only_where_spaces_part_them(words, score, tiny_voice, tmp_path):
    whisper = str(tiny_sounds.whisper(tmp_path / "whisper"))
    made = planned(table(tmp_path, 20, text=words), tiny_voice, tmp_path, **{"options.recogniser": whisper})
    assert [name for name in made.task.directions if name in ("wer", "cer")][0] == score and score in made.task.how_scored(None)
    assert ("wer" in made.task.directions) is (score == "wer")
    spaced = speaking.edits(["今天 天气"], ["今天天气"], score == "wer")
    assert spaced[1][0].tolist() == ([1, 4] if score == "wer" else [0, 4])


def test_many_sounds_are_read_batch_by_batch_and_are_the_same(tiny_voice, tmp_path, monkeypatch):
    made = planned(table(tmp_path, 20, text=WORDS), tiny_voice, tmp_path)
    mouth, rows = processor(made.source), made.data.train
    held = encode(made.task, mouth, rows)
    monkeypatch.setattr(speaking, "HELD", 0)
    later = encode(made.task, mouth, rows)
    assert held.later is None and later.later is not None and held.lengths_N.tolist() == later.lengths_N.tolist()
    one, other = (collate(made.task, encoded, [3, 0, 5], 0) for encoded in (held, later))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# -- whole runs -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_voice):
    """A finished run of two speakers, heard by a Whisper."""
    folder = tmp_path_factory.mktemp("voice")
    whisper = tiny_sounds.whisper(folder / "whisper")
    path = table(folder, 24, text=WORDS, speaker=["low", "high"])
    options = {"options.recogniser": str(whisper), "options.heard": 3, "options.speaker": "speaker"}
    return api.fit(path, **settings(tiny_voice, folder, **options))


def test_a_run_is_judged_heard_and_shown(run):
    report = run.report
    rungs = {rung["name"]: rung for rung in report["ladder"]}
    assert rungs["truth through the vocoder"]["oracle"] and report["verdict"]["against"] == "mean spectrum"
    scores = report["parts"]["test"]["scores"]
    assert np.isfinite(scores["mcd"]["value"]) and np.isfinite(scores["wer"]["value"]) and scores["mcd"]["low"] < scores["mcd"]["high"]
    assert rungs["truth through the vocoder"]["scores"]["mcd"]["value"] < 2 < scores["mcd"]["value"]
    assert "Kubichek" in report["how_scored"]["mcd"] and report["how_scored"]["wer"].startswith("what whisper writes of at most 3 rows")
    shown = report["worst"][0]["pictures"]
    assert shown["truth"].startswith("data:image/png") and shown["answer sound"].startswith("data:audio/mpeg")
    page = (run.path / "report.html").read_text("utf-8")
    assert page.count("<audio") >= 2 * len(report["worst"]) and "no checkpoint was given" in page
    heard = sorted((run.path / "samples").glob("*.wav"))
    assert heard and page.count("Spoken at step") == len(heard)
    assert all(0 < soundfile.info(path).duration <= 8 for path in heard)


def test_answers_are_sounds_of_the_asked_speaker_and_repeat(run):
    low, high, again = (run.predict([{"text": "lo hi", "speaker": who}])[0] for who in ("low", "high", "low"))
    assert low == again and low != high
    sound_S, rate = soundfile.read(io.BytesIO(base64.b64decode(low["audio"].partition("base64,")[2])))
    assert rate == 16_000 and len(sound_S) / rate == pytest.approx(low["seconds"], abs=1e-3)
    for row, code in (({"text": "lo", "speaker": "nobody"}, "unknown-speaker"), ({"text": "...", "speaker": "low"}, "bad-text")):
        with pytest.raises(DataError) as found:
            run.predict([row])
        assert found.value.code == code


def test_a_new_voice_is_learned_saved_and_speaks_again(tmp_path):
    """Not the small one of the other tests: the name that a run without a checkpoint has goes all its way."""
    found = api.fit(table(tmp_path, 12, text=WORDS), **settings("new-voice", tmp_path, epochs=1, baselines=False))
    head = json.loads((found.path / "model" / "head.json").read_text())
    assert head["base"] == "new-voice" and found.predict("lo hi")[0]["seconds"] > 0


def test_the_command_writes_sounds(run, tmp_path, capsys):
    who = ["--row", "text=lo", "--row", "speaker=low"]
    assert main(["predict", str(run.path), *who]) == 0 and "kB" in capsys.readouterr().out
    assert main(["predict", str(run.path), *who, "--out", str(tmp_path / "lo.wav")]) == 0
    assert soundfile.info(tmp_path / "lo.wav").samplerate == 16_000
    (tmp_path / "ask.csv").write_text("text,speaker\nlo hi,low\nhi,high\n")
    assert main(["predict", str(run.path), "--file", str(tmp_path / "ask.csv"), "--out", f"{tmp_path}/made/", "--quiet"]) == 0
    assert sorted(one.name for one in (tmp_path / "made").iterdir()) == ["answers.csv", "row-1.wav", "row-2.wav"]
    assert main(["predict", str(run.path), "--file", str(tmp_path / "ask.csv"), "--out", str(tmp_path / "two.wav"), "--quiet"]) != 0


def test_speecht5_is_tuned_judged_and_saved_so_that_transformers_speaks(tmp_path):
    import transformers as hf

    model = tiny_voices.speecht5(tmp_path / "model", vocoder=True)
    found = api.fit(table(tmp_path, 20, text=WORDS), **settings(model, tmp_path, **{"options.spoken": 2}))
    scores = found.report["parts"]["test"]["scores"]
    assert all(np.isfinite(scores[name]["value"]) for name in ("mcd", "spectrum_error", "length_ratio"))
    assert {"untuned", "mean spectrum"} <= {rung["name"] for rung in found.report["ladder"]}
    folder = found.path / "model"
    plain, reader = hf.SpeechT5ForTextToSpeech.from_pretrained(folder), hf.SpeechT5Processor.from_pretrained(folder)
    vocoder, task = hf.SpeechT5HifiGan.from_pretrained(folder / "vocoder"), found.predictor.task
    ids = reader(text="lo hi", return_tensors="pt")["input_ids"]
    torch.manual_seed(0)
    spectrum_TM = plain.generate_speech(ids, torch.tensor(task.voices[:1]), maxlenratio=2 * task.longest)
    wanted = speaking.wav(vocoder(spectrum_TM).detach().numpy())
    answer = found.predict("lo hi")[0]
    assert answer["audio"] == wanted and answer["seconds"] == round(spectra.seconds(len(spectrum_TM)), 3)


def test_speakers_are_told_apart_by_vectors_of_another_model(tiny_voice, tmp_path):
    import transformers as hf

    folder = tmp_path / "xvector"
    heads = {"tdnn_dim": [16, 16], "tdnn_kernel": [3, 1], "tdnn_dilation": [1, 1], "xvector_output_dim": 8}
    sizes = tiny_sounds.FAMILIES["wavlm"][2] | heads
    hf.WavLMForXVector(hf.WavLMConfig(**sizes)).save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    options = {"options.speaker_encoder": str(folder), "options.speaker": "speaker"}
    made = planned(table(tmp_path, 20, text=WORDS, speaker=["low", "high"]), tiny_voice, tmp_path, **options)
    assert len(made.task.prints) == 2 and len(made.task.prints[0]) == 8 and "speaker_similarity" in made.task.directions
    rows = made.data.test
    outputs = made.task.baselines(made.data.train, rows)["truth through the vocoder"]
    scores = made.task.score(outputs, made.task.truth(rows))
    assert 0.5 < scores["speaker_similarity"] <= 1.0
