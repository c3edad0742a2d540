"""Sounds from folder, table and bytes to answers: claims, refusals, long sounds in windows, reports that can be listened to."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import tiny_sounds
from tests.tiny_sounds import packed, tone
from tunesmith import api, testing
from tunesmith.data import sounds
from tunesmith.data.dataset import read_sources
from tunesmith.errors import DataError, ModelError, SpecError
from tunesmith.planning import choose_task, read
from tunesmith.registry import TASKS
from tunesmith.spec import Spec

FAST = {
    "train.epochs": 1, "train.batch": 8, "train.threads": 1, "data.near_duplicates": 0.0, "evaluate.resamples": 100, "train.evaluations": 1,
}


def labelled(folder, rows: int = 40, seed: int = 0):
    """A folder per label of the task's own toy sounds."""
    for i, row in enumerate(TASKS.load("audio-classification").sample(rows, seed)):
        (folder / row["label"]).mkdir(parents=True, exist_ok=True)
        (folder / row["label"] / f"{i}.wav").write_bytes(sounds.payload(row["audio"]))
    return folder


def spoken(folder, rows: int = 40, seed: int = 0):
    """A folder of toy sounds with transcripts beside them."""
    folder.mkdir(parents=True)
    for i, row in enumerate(TASKS.load("speech-recognition").sample(rows, seed)):
        (folder / f"{i}.wav").write_bytes(sounds.payload(row["audio"]))
        (folder / f"{i}.txt").write_text(row["text"])
    return folder


def chosen(path, **options):
    spec = Spec.of({"data": {"train": str(path)}, "options": options})
    return choose_task(spec, read_sources(spec.data))


# -- claims -----------------------------------------------------------------------------------------------------------


def test_folders_and_tables_find_their_task(tmp_path):
    assert chosen(labelled(tmp_path / "tones", 8))["task"].value == "audio-classification"
    assert chosen(spoken(tmp_path / "speech", 8))["task"].value == "speech-recognition"
    rows = [f"clips/{i}.mp3,{'cat' if i % 2 else 'dog'}" for i in range(40)]
    (tmp_path / "labels.csv").write_text("clip,animal\n" + "\n".join(rows))
    assert chosen(tmp_path / "labels.csv")["task"].value == "audio-classification"
    lines = [{"audio_path": f"{i}.flac", "sentence": f"word number {i} of them", "speaker": f"s{i % 3}"} for i in range(40)]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = chosen(tmp_path / "manifest.jsonl")
    assert found["task"].value == "speech-recognition" and found["options.text"].value == "sentence"
    cells = pa.array([{"bytes": packed(tone(0.1, seed=i)), "path": None} for i in range(40)])
    pq.write_table(pa.table({"audio": cells, "label": ["a", "b"] * 20}), tmp_path / "rows.parquet")
    assert chosen(tmp_path / "rows.parquet")["task"].value == "audio-classification"


@pytest.mark.parametrize("header", ["id|text|normalised\n", ""])
def test_names_without_endings_are_known_by_the_sounds_that_they_find(header, tmp_path):
    (tmp_path / "wavs").mkdir()
    for i in range(24):
        (tmp_path / "wavs" / f"one-{i}.wav").write_bytes(packed(tone(0.1, seed=i)))
    lines = "".join(f"one-{i}|all of this is said in line {i}.|all of this is said in line {i}.\n" for i in range(24))
    (tmp_path / "metadata.csv").write_text(header + lines)
    for place in (tmp_path, tmp_path / "metadata.csv"):
        found = chosen(place)
        assert found["task"].value == "speech-recognition" and found["options.audio"].value == ("id" if header else "column_1")


@pytest.mark.parametrize("name", ["{}", "{:04d}", "10{:02d}"])
def test_names_that_are_digits_are_known_by_the_sounds_that_they_find(name, tmp_path):
    (tmp_path / "wavs").mkdir()
    for i in range(24):
        (tmp_path / "wavs" / f"{name.format(i)}.wav").write_bytes(packed(tone(0.3, seed=i)))
    lines = "".join(f"{name.format(i)},all of this is said in line {i}\n" for i in range(24))
    (tmp_path / "rows.csv").write_text("number,text\n" + lines)
    found = chosen(tmp_path / "rows.csv")
    assert found["task"].value == "speech-recognition" and found["options.audio"].value == "number"
    _, data = read(Spec.of({"data": {"train": str(tmp_path / "rows.csv")}}))
    assert len(data.train) and not [one for one in data.findings if one.level == "error"]


def test_a_table_without_sounds_is_told_so(tmp_path):
    (tmp_path / "rows.csv").write_text("name,text\n" + "".join(f"one-{i},what is said in line {i}\n" for i in range(24)))
    for task in ("audio-classification", "speech-recognition", "speech-synthesis"):
        spec = Spec.of({"task": task, "data": {"train": str(tmp_path / "rows.csv")}})
        with pytest.raises(DataError, match="names of files") as caught:
            choose_task(spec, read_sources(spec.data))
        assert caught.value.code == "no-files" and "--option audio=COLUMN" in str(caught.value)


def test_texts_beside_names_of_sounds_stay_texts(tmp_path):
    rows = [f'"a rather long review number {i} of a film",{"good" if i % 2 else "bad"},clip_{i}.wav' for i in range(40)]
    (tmp_path / "rows.csv").write_text("review,label,trailer\n" + "\n".join(rows))
    assert chosen(tmp_path / "rows.csv")["task"].value == "text-classification"


# -- refusals ---------------------------------------------------------------------------------------------------------


def planned(path, model, **options):
    return api.plan(api.make_spec(str(path), model=str(model), **{f"options.{name}": value for name, value in options.items()}))


def test_a_bad_sound_stops_the_run_before_the_model_is_looked_for(tmp_path):
    folder = labelled(tmp_path / "tones")
    victim = next((folder / "low").iterdir())
    victim.write_bytes(victim.read_bytes()[:-900])
    with pytest.raises(DataError, match=victim.name) as caught:
        planned(folder, "no/such-model")
    assert caught.value.code == "damaged-sound"


def test_transcripts_that_cannot_be_learned_are_refused_with_their_rows(tiny_wav2vec2, tmp_path):
    folder = spoken(tmp_path / "speech")
    for i in range(20):  # some of them are drawn for training
        (folder / f"{i}.txt").write_text(f"far more letters than short sound {i} has frames " * 9)
    with pytest.raises(DataError, match=r"\.wav: .*frames for") as caught:
        planned(folder, tiny_wav2vec2)
    assert caught.value.code == "sound-too-short"
    (folder / "3.txt").write_text("...")
    with pytest.raises(DataError, match=r"without a word"):
        planned(folder, tiny_wav2vec2)
    for i in range(20):
        (folder / f"{i}.txt").write_text(f"lo {i}")
        (folder / f"{i}.wav").write_bytes(packed(tone(1.5, seed=i)))
    with pytest.raises(DataError, match=r"at most 1 s to learn from"):
        planned(folder, tiny_wav2vec2, seconds=1.0)


def test_models_that_cannot_do_it_are_refused(tiny_wav2vec2, tmp_path):
    folder = spoken(tmp_path / "speech")
    with pytest.raises(ModelError, match="expected Whisper, got a wav2vec2"):
        planned(folder, tiny_wav2vec2, way="seq2seq")
    with pytest.raises(ModelError, match="answers each frame"):
        planned(folder, tiny_sounds.make(tmp_path / "ast", "ast"))
    several = tiny_sounds.whisper(tmp_path / "several", languages=("en", "de"))
    with pytest.raises(SpecError, match="--option language=en"):
        planned(folder, several)
    ready = planned(folder, several, language="de")
    words = api_words(several)
    assert ready.task.start == tuple(words[f"<|{one}|>"] for one in ("startoftranscript", "de", "transcribe", "notimestamps"))


def api_words(folder):
    from tunesmith.models.source import find, processor

    return processor(find(str(folder), "audio")).tokenizer.get_vocab()


def test_whispers_encoder_can_spell_too(tmp_path):
    from tunesmith.inference import encode, infer
    from tunesmith.models.source import load, processor

    ready = planned(spoken(tmp_path / "speech"), tiny_sounds.whisper(tmp_path / "m"), way="ctc")
    (tmp_path / "long.wav").write_bytes(packed(tone(3.3)))
    rows = ready.data.test.take([0, 0]).with_column("audio", [ready.data.test.rows([0])[0]["audio"], long_cell(tmp_path / "long.wav")])
    task, model = ready.task, ready.task.model(load(ready.source), 0.0)
    encoded = encode(task, processor(ready.source), rows)
    together, alone = (infer(task, model, encoded, pad=0, micro_tokens=n) for n in (10**6, 1))
    assert list(together["reply"]) == list(alone["reply"]) and encoded.lengths_N[1] == 165
    batch = task.collate(encoded.examples([0, 1]), 0)
    assert float(task.loss(model, batch).detach()) > 0 and model.features(batch).shape[:2] == (2, 165)


def long_cell(path):
    seen = sounds.inspect(str(path))
    return {"path": str(path), "content": seen.content} | seen.extra


@pytest.mark.parametrize("check", ["alone is as in a batch", "the saved model answers alike", "sums add up"])
def test_whisper_meets_the_contract_too(check, tmp_path):
    testing.run(check, "speech-recognition", "lora", tiny_sounds.whisper(tmp_path / "m"), tmp_path)


# -- whole runs -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heard(tiny_wav2vec2, tmp_path_factory):
    root = tmp_path_factory.mktemp("sound-run")
    path = labelled(root / "tones", 60)
    return root, api.fit(str(path), model=str(tiny_wav2vec2), runs=str(root / "runs"), strategy="head-only", **FAST)


def test_a_folder_becomes_a_run_with_sounds_in_its_report(heard):
    _, result = heard
    report = json.loads((result.path / "report.json").read_text())
    assert {rung["name"] for rung in report["ladder"]} >= {"majority", "MFCC + linear", "tuned"}
    shown = [*report["worst"], *report["right"]]
    assert shown and all(one["pictures"]["audio"].startswith("data:audio/mpeg;base64,") for one in shown)
    page = (result.path / "report.html").read_text()
    assert page.count('<audio controls preload="metadata" src="data:audio/mpeg') >= 1 and "media-src data:" in page
    assert "sound.wav" in page and "for a sound" in (result.path / "README.md").read_text()


def test_every_way_of_asking_gives_the_same_answer(heard, tmp_path):
    root, result = heard
    path = next((root / "tones" / "low").iterdir())
    data = path.read_bytes()
    asked = (str(path), [path], [data], [{"audio": {"bytes": data}}])
    answers = [result.predict(one)[0] for one in asked]
    assert all(answer["label"] == answers[0]["label"] for answer in answers)
    with pytest.raises(DataError, match="no such file"):
        result.predict("missing.wav")
    (tmp_path / "x.wav").write_bytes(data[:-500])
    with pytest.raises(DataError, match="header says"):
        result.predict(str(tmp_path / "x.wav"))


@pytest.fixture(scope="module")
def written(tiny_wav2vec2, tmp_path_factory):
    root = tmp_path_factory.mktemp("speech-run")
    path = spoken(root / "speech", 60)
    options = FAST | {"train.epochs": 12, "train.lr": 3e-3}
    return root, api.fit(str(path), model=str(tiny_wav2vec2), runs=str(root / "runs"), **options)


def test_speech_becomes_text_and_a_report_with_edits(written):
    root, result = written
    report = json.loads((result.path / "report.json").read_text())
    assert report["metric"] == "wer" and {rung["name"] for rung in report["ladder"]} == {"most frequent transcript", "tuned"}
    assert "lower case" in report["how_scored"]["wer"] and report["worst"][0]["pictures"]["audio"].startswith("data:audio/")
    answer = result.predict(str(root / "speech" / "0.wav"))[0]
    assert set(answer) == {"text", "confidence", "segments"} and "writes down what is said" in (result.path / "README.md").read_text()


def test_where_no_space_parts_words_characters_lead(tiny_wav2vec2, tmp_path):
    path, said = spoken(tmp_path / "speech", 40), {"lo": "低低", "hi": "高"}
    for one in path.glob("*.txt"):
        one.write_text("".join(said[word] for word in one.read_text().split()))
    options = FAST | {"train.epochs": 2, "train.lr": 3e-3, "train.evaluations": 2}
    result = api.fit(str(path), model=str(tiny_wav2vec2), runs=str(tmp_path / "runs"), **options)
    report = json.loads((result.path / "report.json").read_text())
    assert report["metric"] == "cer" and list(report["directions"]) == ["cer", "exact_match"] and list(report["how_scored"]) == ["cer"]
    assert "scripts without spaces" in (result.path / "plan.yaml").read_text()


def test_a_long_sound_is_heard_in_windows_with_times(written, tmp_path):
    _, result = written
    time = np.arange(int(0.12 * 16_000)) / 16_000
    word = 0.3 * np.sin(2 * np.pi * 300 * time) * np.hanning(len(time))
    (tmp_path / "long.wav").write_bytes(packed(np.tile(np.concatenate([word, np.zeros(3000)]), 12)))
    answer = result.predict(str(tmp_path / "long.wav"))[0]
    starts = [segment["start"] for segment in answer["segments"]]
    assert starts == sorted(starts) and all(0 <= one["start"] <= one["end"] <= 3.8 for one in answer["segments"])
    assert " ".join(one["text"] for one in answer["segments"]) == answer["text"]


def test_the_saved_letters_load_plainly(written):
    import torch
    import transformers

    root, result = written
    folder = result.path / "model"
    model = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    tokenizer, ears = transformers.AutoTokenizer.from_pretrained(folder), transformers.AutoFeatureExtractor.from_pretrained(folder)
    for i in range(4):
        sound = sounds.wave(str(root / "speech" / f"{i}.wav"), 16_000)
        with torch.no_grad():
            ids = model(ears(sound, sampling_rate=16_000, return_tensors="pt")["input_values"]).logits.argmax(-1)
        assert tokenizer.batch_decode(ids)[0].strip() == result.predict(str(root / "speech" / f"{i}.wav"))[0]["text"]


def test_whisper_becomes_a_run_beside_itself_untuned(tmp_path):
    model = tiny_sounds.whisper(tmp_path / "m")
    path = spoken(tmp_path / "speech", 48)
    result = api.fit(str(path), model=str(model), runs=str(tmp_path / "runs"), **FAST)
    report = json.loads((result.path / "report.json").read_text())
    assert {rung["name"] for rung in report["ladder"]} == {"most frequent transcript", "untuned", "tuned"}
    (tmp_path / "long.wav").write_bytes(packed(tone(5)))
    answer = result.predict(str(tmp_path / "long.wav"))[0]
    assert len(answer["segments"]) == 3 and answer["segments"][1]["start"] == answer["segments"][0]["end"]


@pytest.mark.parametrize("languages", [(), ("en", "de")])
def test_the_saved_whisper_writes_plainly_what_it_answers(languages, tmp_path):
    import transformers

    model = tiny_sounds.whisper(tmp_path / "m", languages=languages)
    more = {"train.epochs": 2, "train.lr": 3e-3} | ({"options.language": "de"} if languages else {})
    result = api.fit(str(spoken(tmp_path / "speech", 32)), model=str(model), runs=str(tmp_path / "runs"), **FAST | more, baselines=False)
    folder = result.path / "model"
    plain, reader = transformers.WhisperForConditionalGeneration.from_pretrained(folder), transformers.AutoProcessor.from_pretrained(folder)
    told = tuple(getattr(plain.generation_config, name, None) for name in ("language", "task"))
    assert told == (("<|de|>", "transcribe") if languages else (None, None))
    marks = [one for one in reader.tokenizer.all_special_ids if one != reader.tokenizer.eos_token_id]  # a model of no meaning writes them
    asked = {"max_new_tokens": result.predictor.task.most, "suppress_tokens": marks}
    for i in range(4):
        path = str(tmp_path / "speech" / f"{i}.wav")
        heard = reader(sounds.wave(path, 16_000), sampling_rate=16_000, return_tensors="pt")["input_features"]
        said = reader.batch_decode(plain.generate(heard, **asked), skip_special_tokens=True)[0]
        assert " ".join(said.split()) == result.predict(path)[0]["text"]
    assert plain.generate(heard, return_timestamps=True, max_new_tokens=4) is not None
