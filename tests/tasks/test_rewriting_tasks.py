"""Translation and summarisation from a file to answers, on tiny models: what is claimed, found, refused, encoded, learned and said."""

import json

import numpy as np
import pytest

from tests.runs import write_lines
from tests.tiny_models import bert, writer
from tests.tiny_pairs import pair
from tunesmith import api
from tunesmith.errors import DataError, SpecError
from tunesmith.models.source import find, processor
from tunesmith.parts import languages
from tunesmith.registry import TASKS
from tunesmith.tasks.summarisation import ORACLE, Summarisation
from tunesmith.tasks.translation import Translation

QUICK = {"threads": 1, "batch": 8, "resamples": 100, "near_duplicates": 0.0}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Gives a tiny model's folder by its family, made once."""
    known, root = {}, tmp_path_factory.mktemp("models")

    def make(family):
        if family not in known:
            makes = {"bert": lambda f: bert(f, layers=1), "llama": writer, "plain": lambda f: writer(f, "gpt2", chat=False)}
            known[family] = makes.get(family, lambda f: pair(f, family))(root / family)
        return known[family]

    return make


@pytest.fixture(scope="module")
def run(models, tmp_path_factory):
    """A finished translation run; targets are lists, some of two."""
    folder = tmp_path_factory.mktemp("run")
    rows = Translation.sample(120, 0)
    rows = [row | {"target": [row["target"], "one two"][: 1 + (n % 9 == 0)]} for n, row in enumerate(rows)]
    settings = {"epochs": 4, "lr": 1e-2, "test_share": 0.2, "max_new_tokens": 12, **QUICK}
    return api.fit(write_lines(folder / "rows.jsonl", rows), model=str(models("t5")), runs=str(folder / "runs"), **settings)


def test_a_run_tells_bleu_with_its_signature_beside_the_baselines(run):
    report = run.report
    assert report["task"] == "translation" and report["metric"] == "bleu" and report["chosen_by"] == "bits_per_byte"
    assert report["how_scored"]["bleu"].startswith("nrefs:var|case:mixed|eff:no|tok:13a|")
    names = [rung["name"] for rung in report["ladder"]]
    assert {"the source as it is", "dictionary, word by word", "untuned", "tuned"} == set(names)
    untuned = next(rung for rung in report["ladder"] if rung["name"] == "untuned")
    assert run.scores["bits_per_byte"] < 0.6 * untuned["scores"]["bits_per_byte"]["value"]
    assert report["by_degree"] and report["worst"] and report["right"] and "sacrebleu" in (run.path / "report.html").read_text("utf-8")


def test_bleu_of_the_report_is_sacrebleus_on_the_saved_answers(run):
    import pyarrow.parquet as pq
    from sacrebleu.metrics import CHRF

    rows = [row for row in pq.read_table(run.path / "predictions.parquet").to_pylist() if row["part"] == "test"]
    said = [json.loads(row["answer"])["text"] for row in rows]
    truth = [json.loads(row["truth"]) for row in rows]
    most = max(map(len, truth))
    refs = [[one[i] if i < len(one) else None for one in truth] for i in range(most)]
    assert run.scores["chrf"] == pytest.approx(CHRF().corpus_score(said, refs).score, abs=1e-6)


def test_answers_keep_their_order_and_do_not_depend_on_each_other(run):
    rows = [row["source"] for row in Translation.sample(5, 3)]
    found = run.predict(rows)
    assert found == [run.predict([row])[0] for row in rows] == run.predict([{"source": row} for row in rows])
    assert all(set(one) == {"text", "stopped"} for one in found)


def test_the_runs_folder_translates_in_plain_transformers(run):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder, text = run.path / "model", "good film bad book 7"
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    asked = run.predictor.task.prefix + text
    ids = model.generate(**tokenizer(asked, return_tensors="pt"), num_beams=4, max_new_tokens=12, early_stopping=True)
    assert tokenizer.decode(ids[0], skip_special_tokens=True).strip() == run.predict([text])[0]["text"]


@pytest.mark.parametrize(
    ("rows", "task"),
    [
        ({"source": "we saw the good film there", "target": "wir sahen den guten film dort"}, "translation"),
        ({"en": "we saw the film there", "de": "wir sahen den film dort"}, "translation"),
        ({"ja": "私 は 本 を 読み ます", "en": "i read books each day"}, "translation"),
        ({"document": "a long text of many words that goes on and on", "summary": "a short text of it"}, "summarisation"),
        ({"article": "a long text of many words that goes on and on", "highlights": "a short text of it"}, "summarisation"),
        ({"source": ["one sentence here .", "and another one ."], "target": ["a short text of it", "one more text"]}, "summarisation"),
        ({"source": "the mail that somebody wrote to us", "target": "spam"}, "text-classification"),
        ({"text": "it is a good long text of words", "summary": "a short text of it", "label": "good"}, "text-classification"),
        ({"prompt": "what is this then", "completion": "it is that there"}, "text-generation"),
    ],
)
def test_tables_go_to_the_task_that_they_are_for(rows, task, tmp_path):
    from tunesmith.planning import choose_task, read_sources

    labels = {"spam": ("spam", "ham"), "good": ("good", "bad")}
    vary = lambda v, n: [vary(one, n) for one in v] if isinstance(v, list) else labels[v][n % 2] if v in labels else f"{v} {n}"  # noqa: E731
    many = [{name: vary(value, n) for name, value in rows.items()} for n in range(60)]
    spec = api.make_spec(str(write_lines(tmp_path / "rows.jsonl", many)))
    assert choose_task(spec, read_sources(spec.data))["task"].value == task


def _findings(task, rows):
    from tunesmith.data.table import Table

    return {found.code: (found.level, [place.rsplit(" ", 1)[1] for place in found.rows]) for found in task.check(Table.of(rows))}


def test_rows_that_cannot_be_right_are_told_with_their_numbers():
    rows = [{"source": f"we saw film {n} there", "target": f"мы видели фильм {n} там"} for n in range(40)]
    rows[3]["target"], rows[5]["source"] = " ", ""
    rows[7] = {"source": rows[7]["target"], "target": rows[7]["source"]}
    rows[9]["target"] = rows[9]["source"]
    rows[11]["target"] *= 9
    found = _findings(Translation(), rows)
    assert found["empty-target"] == ("error", ["4"]) and found["empty-source"] == ("warning", ["6"])
    assert found["swapped-columns"] == ("warning", ["8"]) and found["target-is-source"] == ("warning", ["10"])
    assert found["length-ratio"] == ("warning", ["12"])


def test_summaries_longer_than_their_documents_are_told():
    rows = [{"document": f"a long text {n} of many words . and more", "summary": f"text {n}"} for n in range(30)]
    rows[2]["summary"] *= 20
    assert _findings(Summarisation(), rows) == {"length-ratio": ("warning", ["3"])}
    turned = [{"document": row["summary"], "summary": row["document"]} for row in rows]
    assert "swapped-columns" in _findings(Summarisation(), turned)


def _suited(task, model, rows):
    from tunesmith.data.table import Table

    source, table = find(str(model)), Table.of(rows)
    reader = processor(source)
    return task.meet(source).fit(table).suit(table, reader, source.max_length, "off"), reader, table


@pytest.mark.parametrize(("family", "lengths"), [("t5", {"train": 96}), ("llama", {"train": 128})])
def test_long_sources_are_cut_and_told_while_targets_stay_whole(family, lengths, models):
    rows = [{"source": "so " * (200 if n in (2, 5) else 3) + str(n), "target": f"yes {n}"} for n in range(30)]
    task, reader, table = _suited(Translation(), models(family), rows)
    found = task.lost(table, reader)
    assert [(one.code, one.level, one.rows) for one in found] == [("source-cut", "warning", ("rows, row 3", "rows, row 6"))]
    example = task.encode([rows[2]], reader)[0]
    assert len(example["input_ids"]) <= lengths["train"]
    whole = task.encode([rows[3]], reader)[0]
    learned = [int(np.sum(np.asarray(one["learn"]))) if "learn" in one else len(one["labels"]) for one in (example, whole)]
    assert learned[0] == learned[1]


def test_a_target_that_the_model_cannot_hold_is_refused_before_the_first_step(models, tmp_path):
    rows = [{"source": f"so {n}", "target": "so " * (400 if n == 4 else 3) + str(n)} for n in range(60)]
    with pytest.raises(DataError) as caught:
        api.plan(api.make_spec(str(write_lines(tmp_path / "rows.jsonl", rows)), model=str(models("bart")), near_duplicates=0.0))
    assert caught.value.code == "target-too-long" and "row 5" in caught.value.place


def test_languages_stand_where_the_model_expects_them(models):
    rows = [{"en": f"the film {n}", "fr": f"blue book {n}"} for n in range(20)]
    task, reader, _ = _suited(Translation(source="en", target="fr"), models("mbart"), rows)
    example = task.encode([rows[0]], reader)[0]
    name = lambda i: reader.convert_ids_to_tokens(int(i))  # noqa: E731
    assert (name(example["input_ids"][0]), name(example["labels"][0]), name(example["labels"][-1])) == ("en_XX", "fr_XX", "</s>")
    assert name(task.first) == "fr_XX" and reader.src_lang == "en_XX"


@pytest.mark.parametrize("option", ["source_language", "target_language"])
@pytest.mark.parametrize("kind", [Translation, Summarisation])
def test_two_letters_that_are_no_language_are_refused_whatever_the_model(kind, option):
    for code in ("xx", "jp", "XX_ab"):
        with pytest.raises(SpecError, match="code of a language"):
            kind(**{option: code})
    for code in ("ja", "oc", "pt-BR", "zh_CN", "eng_Latn", "en_XX", "Occitan", ""):
        assert getattr(kind(**{option: code}), option) == code
    assert set(languages.NAMES) <= languages.CODES and set(languages.THREE.values()) <= languages.CODES


@pytest.mark.parametrize(("options", "got"), [({"target_language": "tlh"}, "'tlh'"), ({}, "none")])
def test_a_language_that_the_model_does_not_know_is_refused(options, got, models):
    rows = [{"source": f"the film {n}", "target": f"blue book {n}"} for n in range(20)]
    with pytest.raises(SpecError) as caught:
        _suited(Translation(source_language="en" if options else "", **options), models("mbart"), rows)
    assert caught.value.code == "unknown-language" and got in str(caught.value)


@pytest.mark.parametrize("family", ["t5", "bart", "marian", "mbart", "llama"])
def test_control_strings_in_sources_and_targets_are_text(family, models):
    """Each example has the special tokens of any other, whatever its texts say (reliability case 40)."""
    plain = [{"source": f"the film {n}", "target": f"blue book {n}"} for n in range(8)]
    hostile = [{name: f"{text} </s> <pad> de_DE <|im_end|>" for name, text in row.items()} for row in plain]
    named = {"source_language": "en", "target_language": "de"} if family == "mbart" else {}
    task, reader, _ = _suited(Translation(**named), models(family), [*hostile, *plain])
    special = {*reader.all_special_ids} - {reader.unk_token_id}
    one, other = (task.encode(rows[:1], reader)[0] for rows in (plain, hostile))
    for name in one.keys() & {"input_ids", "labels"}:
        assert [i for i in one[name] if i in special] == [i for i in other[name] if i in special] != []


def test_t5_is_told_what_to_do_and_others_are_not(models):
    rows = [{"en": f"the film {n}", "de": f"blue book {n}"} for n in range(20)]
    told = [_suited(Translation(source="en", target="de"), models(family), rows)[0].prefix for family in ("t5", "bart", "llama")]
    assert told == ["translate English to German: ", "", "Translate from English to German:\n\n"]


def test_several_targets_are_an_example_each_and_one_answer_together(models):
    rows = [{"source": "the film", "target": ["blue", "red book"]}, {"source": "the book", "target": "red"}]
    task, reader, table = _suited(Translation(), models("t5"), [rows[0], {**rows[1], "target": ["red"]}])
    made = task.encode(table.rows(), reader)
    assert [example["row"] for example in made] == [0, 0, 1]
    assert [list(refs) for refs in task.truth(table)] == [["blue", "red book"], ["red"]]
    from tunesmith.inference import encode

    asked = task.set_for("judging").before(encode(task, reader, table))
    assert list(asked.arrays["asked"]) == [0, 1, 1]


@pytest.mark.filterwarnings("ignore:Recommended")  # pip install sacremoses: says the library where the tokenizer is made here
def test_a_tokenizer_in_python_with_a_vocabulary_for_each_side_is_read(tmp_path):
    spm = pytest.importorskip("sentencepiece")
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    for side, text in (("source", "the film was good and the book was bad "), ("target", "der film war gut und das buch war schlecht ")):
        (tmp_path / f"{side}.txt").write_text("".join(f"{text}{n}\n" for n in range(60)), "utf-8")
        where = {"input": str(tmp_path / f"{side}.txt"), "model_prefix": str(tmp_path / side)}
        spm.SentencePieceTrainer.train(**where, vocab_size=60, hard_vocab_limit=False, minloglevel=2)
    pieces = [spm.SentencePieceProcessor(str(tmp_path / f"{side}.model")) for side in ("source", "target")]
    known = dict.fromkeys(["</s>", "<unk>", *(one.id_to_piece(i) for one in pieces for i in range(3, len(one))), "<pad>"])
    (tmp_path / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(known)}), "utf-8")
    files = [str(tmp_path / name) for name in ("source.model", "target.model", "vocab.json")]
    made, folder = MarianTokenizer(*files, model_max_length=64), tmp_path / "marian"
    ends = {"pad_token_id": made.pad_token_id, "eos_token_id": 0, "decoder_start_token_id": made.pad_token_id, "forced_eos_token_id": None}
    size = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    MarianMTModel(MarianConfig(vocab_size=len(made), encoder_ffn_dim=8, decoder_ffn_dim=8, **size, **ends)).save_pretrained(folder)
    made.save_pretrained(folder)
    rows = [{"source": f"the film was good {n}", "target": f"das buch war </s> gut {n}"} for n in range(20)]
    task, reader, table = _suited(Translation(), folder, rows)
    example = task.encode([rows[0]], reader)[0]
    said = [reader.convert_ids_to_tokens(example[name].tolist()) for name in ("input_ids", "labels")]
    texts = ["".join(one[:-1]).replace("▁", " ") for one in said]
    assert "film was good" in texts[0] and "h war " in texts[1] and [one.count("</s>") for one in said] == [1, 1]
    assert [found.code for found in task.lost(table, reader)] == ["unknown-target-tokens"]


def test_an_encoder_learns_targets_without_the_token_that_begins_them(models):
    task, reader, table = _suited(Translation(), models("bert"), [{"source": "the film", "target": "the book"}] * 4)
    labels = task.encode(table.rows([0]), reader)[0]["labels"]
    assert reader.convert_ids_to_tokens(labels.tolist()) == ["the", "book", "[SEP]"] and not task.did


def test_an_oracle_is_no_baseline_to_beat(models, tmp_path):
    from tunesmith.data.table import Table
    from tunesmith.judging.judge import How, Judged, judge

    rows = Table.of(Summarisation.sample(40, 0))
    task = Summarisation()
    simple = task.baselines(rows, rows)
    truth = task.truth(rows)
    report = judge(task, {"test": Judged(rows, simple["first sentence"], truth)}, simple, how=How(resamples=100))
    marked = {rung["name"]: rung["oracle"] for rung in report["ladder"]}
    assert marked[ORACLE] and sum(marked.values()) == 1
    scores = {rung["name"]: rung["scores"]["rouge_l"]["value"] for rung in report["ladder"]}
    assert scores[ORACLE] == max(scores.values()) and report["verdict"]["against"] != ORACLE
    assert "best of" not in report["how_scored"]["rouge_l"] and "by characters" in report["how_scored"]["rouge_l"]


def test_settings_that_do_not_fit_are_refused(models):
    for bad in ({"beams": 0}, {"label_smoothing": 1.0}, {"choose_by": "rouge"}, {"max_new_tokens": "many"}):
        with pytest.raises(SpecError):
            Translation.build(bad, "translation")
    rows = [{"source": f"the film {n}", "target": f"blue book {n}"} for n in range(20)]
    with pytest.raises(SpecError) as caught:
        _suited(Translation(beams=4), models("llama"), rows)
    assert caught.value.code == "not-with-language-model"


@pytest.mark.parametrize(("family", "name"), [("llama", "summarisation"), ("plain", "translation")])
def test_a_language_model_does_it_as_well(family, name, models, tmp_path):
    from tunesmith import testing

    made = testing.ready(name, "lora", models(family), tmp_path)
    assert made.task.kind == "language" and made.plan.spec.train.epochs == 2
    testing.CHECKS["scores are those promised"](made, tmp_path)
    state, work = testing._start(made)
    task = made.task.set_for("judging")
    from tunesmith.inference import infer

    outputs = infer(task, state.model, work.validation.encoded, pad=work.pad)
    scores = task.score(outputs, work.validation.truth)
    assert np.isfinite(scores[next(iter(task.directions))]) and all(np.asarray(outputs["asked"]).ravel() == 1)


def test_weights_may_be_chosen_by_what_is_written(models, tmp_path):
    from tunesmith import testing
    from tunesmith.training.stages import validate

    made = testing.ready("translation", "full", models("t5"), tmp_path)
    task = TASKS.load("translation").from_json({**made.task.as_json(), "choose_by": "chrf", "validation_rows": 3, "new_kept": 5})
    import dataclasses

    state, work = testing._start(dataclasses.replace(made, task=task))
    scores, _, _ = validate(state, work)
    assert next(iter(scores)) == "chrf" and np.isfinite(scores["chrf"])


def test_check_names_rows_that_a_named_model_cannot_see_whole_and_plan_counts_what_is_written(models, tmp_path):
    rows = [{"source": "so " * (200 if n == 2 else 3) + str(n), "target": f"yes {n}"} for n in range(60)]
    spec = api.make_spec(str(write_lines(tmp_path / "rows.jsonl", rows)), model=str(models("t5")), near_duplicates=0.0)
    told = [found.rows for found in api.check(spec).data.findings if found.code == "source-cut"]
    ready = api.plan(spec)
    assert told == [("rows.jsonl, row 3",)] == [found.rows for found in ready.data.findings if found.code == "source-cut"]
    assert [entry.rows for entry in ready.data.ledger.entries if entry.action == "cut"] == [("rows.jsonl, row 3",)]
    assert "writing" in ready.plan.forecast.parts  # which is there where it is more than nothing, be it rounded to .00 seconds
