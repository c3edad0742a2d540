"""Extractive QA: what it claims, what it refuses by row, and that right logits give the right words of the user's own text."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from tests.runs import write_lines
from tests.tiny_encoders import make
from tunesmith import api
from tunesmith.data.ledger import Ledger
from tunesmith.data.profile import Profile
from tunesmith.data.read import read
from tunesmith.data.table import Table
from tunesmith.errors import DataError, SpecError
from tunesmith.inference import encode
from tunesmith.parts import reading
from tunesmith.spec import Data
from tunesmith.tasks.extractive_qa import ExtractiveQa

CONTEXT = "the film was good and the book was bad and the room was cold and the meal was great and the service was poor"


def table(*rows, **columns) -> Table:
    return Table.of([{"question": "the film", "context": CONTEXT, "answers": list(row)} | columns for row in rows], "qa.json")


def at(word: str, move: int = 0) -> dict:
    return {"text": word, "answer_start": CONTEXT.index(word) + move}


@pytest.fixture(scope="module")
def tokenizer(tiny_bert):
    return AutoTokenizer.from_pretrained(tiny_bert)


# -- tables -----------------------------------------------------------------------------------------------------------


def test_it_claims_answers_that_stand_in_a_text_and_nothing_else():
    sample = Table.of(ExtractiveQa.sample(30, 0))
    found = ExtractiveQa.claim(Profile.of(sample), {})
    assert found and {role: choice.value for role, choice in found.columns.items()} == {
        "question": "question", "context": "context", "answer": "answers"}
    passages = [f"{n}. Anna lives in the old town of Rome, by the sea" for n in range(18)]
    flat = {"Query": ["who?", "where?"] * 9, "Passage": passages, "answer_text": ["Anna", "Rome"] * 9, "answer_start": [3, 33] * 9}
    found = ExtractiveQa.claim(Profile.of(Table.of(flat)), {})
    assert found and found.columns["answer_start"].value == "answer_start" and found.columns["context"].value == "Passage"


@pytest.mark.parametrize("answer", [["yes", "no"], [True, False], ["a different text", "another one"], [None, None]])
def test_it_leaves_pairs_with_labels_to_other_tasks(answer):
    passages = [f"{n}. Anna lives in the old town of Rome" * 2 for n in range(18)]
    rows = Table.of({"question": ["is it?", "was it?"] * 9, "passage": passages, "answer": answer * 9})
    assert ExtractiveQa.claim(Profile.of(rows), {}) is None


def test_findings_name_rows():
    task = ExtractiveQa()
    found = {f.code: f for f in task.check(table([at("good")], [at("bad", 3)], [], [{"text": "was", "answer_start": None}]))}
    assert found["offset-mended"].rows == (f"qa.json, row 2: offset {CONTEXT.index('bad') + 3}, now {CONTEXT.index('bad')}",)
    assert found["no-answer"].rows == ("qa.json, row 3",) and found["answer-ambiguous"].rows == ("qa.json, row 4",)
    assert not any(f.level == "error" for f in found.values())


@pytest.mark.parametrize("bad", [{"text": "London", "answer_start": 0}, {"text": "was", "answer_start": 0}])
def test_an_answer_that_cannot_be_placed_is_refused_by_row(bad):
    rows = table([at("good")], [bad])
    (finding,) = ExtractiveQa().check(rows)
    assert finding.level == "error" and finding.code == "answer-not-in-context" and finding.rows[0].startswith("qa.json, row 2")
    (finding,) = ExtractiveQa(lost_answers="skip").check(rows)
    assert finding.level == "warning" and finding.rows[0].startswith("qa.json, row 2")


def test_a_lost_answer_beside_a_sound_one_counts_in_scores_only():
    rows = table([at("good"), {"text": "very good", "answer_start": 3}])
    (finding,) = ExtractiveQa().check(rows)
    assert finding.code == "answer-elsewhere" and finding.level == "warning"
    (truth,) = ExtractiveQa().truth(rows)
    assert truth["answers"] == ["good", "very good"] and len(truth["spans"]) == 1


def test_unreadable_answers_are_refused_before_and_after_the_first_step():
    rows = Table.of({"question": ["a", "b"], "context": [CONTEXT] * 2, "answers": ["good", "bad"], "at": ["13", "here"]}, "qa.csv")
    task = ExtractiveQa(answer_start="at")
    (finding,) = task.check(rows)
    assert finding.code == "bad-answer" and finding.rows[0].startswith("qa.csv, row 2")
    with pytest.raises(DataError, match="qa.csv, row 2, column 'answers'"):
        task.truth(rows)


def test_no_answers_at_all_are_refused():
    (finding,) = ExtractiveQa().check(table([], []))
    assert finding.level == "error" and finding.code == "no-answers"


@pytest.mark.parametrize("bad", [{"rule": "words"}, {"stride": -1}, {"max_answer": 0}, {"max_tokens": 3}, {"lost_answers": "drop"}])
def test_bad_options_are_refused(bad):
    with pytest.raises(SpecError):
        ExtractiveQa(**bad)


# -- windows and answers ----------------------------------------------------------------------------------------------


def ideal(task: ExtractiveQa, rows: Table, tokenizer) -> dict:
    """Outputs of a model that knows the targets."""
    encoded = encode(task, tokenizer, rows)
    logits = np.empty(len(encoded), object)
    for window, example in enumerate(encoded.examples(range(len(encoded)))):
        value = np.zeros((len(example["reach"]), 2), np.float32)
        value[example["starts"], 0], value[example["ends"], 1] = 9, 9
        logits[window] = value[example["reach"].astype(bool)]
    return task.gather({"logits": logits}, encoded)


@pytest.mark.parametrize("most", [64, 24, 16])
def test_right_logits_give_the_right_words(most, tokenizer):
    words = ["good", "bad", "cold", "great", "poor", "good and the book was bad"]
    rows = table(*[[at(word)] for word in words], [])
    task = dataclasses.replace(ExtractiveQa(stride=8).fit(rows), tokens_kept=most)
    assert (len(encode(task, tokenizer, rows)) > len(rows)) == (most < 64)
    outputs = ideal(task, rows, tokenizer)
    found = task.answers(outputs)
    assert [one["answer"] for one in found] == [*words, ""] and found[-1]["start"] is None
    for one in [*found[:-1], *(other for row in found for other in row["alternatives"])]:
        assert CONTEXT[one["start"] : one["end"]] == one["answer"]
    scores = task.score(outputs, task.truth(rows))
    assert scores["f1"] == scores["exact_match"] == scores["no_answer_accuracy"] == 1 and json.dumps(found)


@pytest.mark.parametrize("family", ["roberta", "deberta-v2"])
def test_the_space_before_a_word_is_no_part_of_an_answer(family, tmp_path):
    words = ["good", "bad", "cold", "great", "poor", "good and the book was bad"]
    tokenizer = AutoTokenizer.from_pretrained(make(tmp_path / family, family))
    rows = table(*[[at(word)] for word in words], [])
    task = dataclasses.replace(ExtractiveQa(stride=12).fit(rows), tokens_kept=52)
    found = task.answers(ideal(task, rows, tokenizer))
    assert [(one["answer"], one["start"]) for one in found] == [*((word, CONTEXT.index(word)) for word in words), ("", None)]


def test_texts_of_any_script_come_back_letter_for_letter(tokenizer):
    context = "A naïve  résumé: 光荣开发了它。😀 \u202egood\u202c [SEP] \n\tthe end"
    rows = Table.of([{"question": "[CLS]", "context": context, "answers": [{"text": "good", "answer_start": context.index("good")}]}])
    task = ExtractiveQa().fit(rows)
    outputs = ideal(task, rows, tokenizer)
    assert outputs["context"].tolist() == [context] and task.answers(outputs)[0]["answer"] == "good"


def test_an_answer_cut_by_every_window_is_learned_by_none(tokenizer):
    rows = table([at("good and the book was bad and the room was cold and the meal was great")])
    encoded = encode(dataclasses.replace(ExtractiveQa(stride=2), tokens_kept=16), tokenizer, rows)
    assert all(example["starts"].tolist() == [0] for example in encoded.examples(range(len(encoded))))
    assert not np.asarray(encoded.arrays["row_weight"]).any(), "it is there: no window may teach that it is not"


def test_rows_whose_answer_no_window_holds_are_named(tokenizer):
    long, rest = at("good and the book was bad and the room was cold and the meal was great"), [[at("cold")], [], [at("poor")]]
    task = ExtractiveQa(stride=2).settle(tokens_kept=16)
    (found,) = task.lost(table(rest[0], [long], *rest[1:]), tokenizer)
    assert (found.level, found.code, found.rows) == ("warning", "answer-cut", ("qa.json, row 2",)) and "16 tokens" in found.message
    assert task.lost(table(*rest), tokenizer) == [] == task.settle(tokens_kept=64).lost(table([long]), tokenizer)
    assert task.lost(table([long], []), tokenizer)[0].level == "error"


def test_rows_that_say_nothing_sure_weigh_nothing(tokenizer):
    rows = table([at("good")], [{"text": "London", "answer_start": 0}], [])
    weights = [e["row_weight"] for e in ExtractiveQa(lost_answers="skip").encode(rows.rows(), tokenizer)]
    assert weights == [1.0, 0.0, 1.0]


def test_condensed_rows_score_alike_whatever_is_drawn(tokenizer):
    rows = Table.of(ExtractiveQa.sample(24, 1))
    task = ExtractiveQa().fit(rows)
    truth, rng = task.truth(rows), np.random.default_rng(0)
    outputs = task.baselines(rows, rows)["sentence that shares most words"]
    task = task.calibrate(outputs, truth)
    condensed = task.condense(outputs, truth)
    for drawn in (rng.integers(0, 24, 24) for _ in range(5)):
        one = task.score({k: v[drawn] for k, v in outputs.items()}, truth[drawn])
        assert one == pytest.approx(task.score({k: v[drawn] for k, v in condensed.items()}, truth[drawn]), nan_ok=True)


def test_without_silent_rows_there_always_is_an_answer():
    rows = table([at("good")], [at("bad")])
    task = ExtractiveQa().fit(rows)
    assert task.threshold is None and not task.silent
    found = task.calibrate(task.baselines(rows, rows)["first sentence"], task.truth(rows))
    assert found.threshold is None and "never an answer" not in task.baselines(rows, rows)
    assert all(one["answer"] for one in found.answers(task.baselines(rows, rows)["first sentence"]))


@pytest.mark.parametrize("sign", [False, True])
def test_a_mark_alone_is_an_answer_only_where_training_answers_are_such(sign):
    context = "Halt ! he said"
    learned = table([{"text": "!" if sign else "Halt", "answer_start": 5 if sign else 0}], context=context)
    places = np.array([(0, -1, -1), (0, 0, 4), (0, 5, 6), (0, 7, 9), (0, 10, 14)], np.float32)
    logits = np.array([(0, 0), (2, 0), (5, 5), (0, 0), (0, 1)], np.float32)
    outputs = {"places": reading.objects([places]), "logits": reading.objects([logits]), "context": reading.objects([context])}
    (found,) = ExtractiveQa(max_answer=10).fit(learned).answers(outputs)
    assert found["answer"] == ("!" if sign else "Halt !")


def test_rows_are_graded_with_both_spans_marked(tokenizer):
    rows = table([at("good")], [at("bad")])
    task = ExtractiveQa().fit(rows)
    graded = task.grade(ideal(task, rows, tokenizer), task.truth(table([at("good")], [at("cold")])))
    assert graded.right_N.tolist() == [True, False] and graded.answer == ["good", "bad"] and graded.truth == ["good", "cold"]
    assert {(m.of, CONTEXT[m.start : m.end]) for m in graded.marks[1]} == {("truth", "cold"), ("answer", "bad")}


def test_two_dropout_draws_are_compared_token_by_token(tiny_bert, tmp_path):
    from tunesmith import testing
    from tunesmith.training.stages import Work, gradient_of
    from tunesmith.training.state import State

    def norm(**train) -> float:
        state = State.start(testing.ready("extractive-qa", "full", tiny_bert, tmp_path, dropout=0.1, **train))
        state.enter_stage()
        state.model.train()
        return gradient_of(state, Work.of(state), np.arange(8)).norm

    plain, drawn = norm(), norm(r_drop=2.0)
    assert np.isfinite(drawn) and drawn != pytest.approx(plain)


# -- from a file to answers ------------------------------------------------------------------------------------------------


def squad_file(path: Path, rows: list[dict]) -> Path:
    """The rows as a SQuAD file, one paragraph each."""
    paragraphs = [{"context": r["context"], "qas": [{"question": r["question"], "answers": r["answers"]}]} for r in rows]
    path.write_text(json.dumps({"version": "v2.0", "data": [{"title": "toy", "paragraphs": paragraphs}]}))
    return path


def fit_spec(path: Path, model: Path, **settings):
    asked = {"train.epochs": 1, "train.batch": 8, "train.threads": 1, "evaluate.resamples": 100, "data.near_duplicates": 0.0} | settings
    return api.make_spec(str(path), model=str(model), runs=str(path.parent / "runs"), **asked)


@pytest.mark.parametrize("row", [3, 41])
def test_an_answer_not_in_its_context_is_refused_whichever_part_it_falls_into(row, tiny_bert, tmp_path):
    rows = ExtractiveQa.sample(60, 0)
    rows[row]["answers"] = [{"text": "London", "answer_start": 4}]
    with pytest.raises(DataError) as error:
        api.plan(fit_spec(squad_file(tmp_path / "qa.json", rows), tiny_bert))
    assert error.value.code == "answer-not-in-context" and f"qa.json, row {row + 1}: 'London'" in str(error.value)


def test_toy_answers_are_learned_to_the_letter(tiny_bert, tmp_path):
    import torch

    from tunesmith import testing
    from tunesmith.inference import collate, infer
    from tunesmith.training.stages import Work
    from tunesmith.training.state import State

    state = State.start(testing.ready("extractive-qa", "full", tiny_bert, tmp_path, dropout=0.0))
    work, task = Work.of(state), state.ready.task
    state.enter_stage()
    batch = collate(task, work.train.encoded, range(len(work.train.encoded)), work.pad)
    optimizer = torch.optim.AdamW(state.model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        (task.loss(state.model, batch) / task.weight(batch)).backward()
        optimizer.step()
    scores = task.score(infer(task, state.model, work.validation.encoded, pad=work.pad), work.validation.truth)
    assert scores["answerable_f1"] == 1


def test_a_squad_file_is_fitted_reported_and_asked(tiny_bert, tmp_path):
    run = api.fit(spec=fit_spec(squad_file(tmp_path / "qa.json", ExtractiveQa.sample(60, 0)), tiny_bert))
    report = run.report
    assert report["task"] == "extractive-qa" and report["kind"] == "texts" and report["metric"] == "f1"
    assert {rung["name"] for rung in report["ladder"]} >= {"tuned", "first sentence", "never an answer"}
    assert report["worst"] and all(set(one["marks"]) <= {"context"} for one in report["worst"])
    page = run.report_path.read_text("utf-8")
    assert '<mark class="truth' in page and "--row question=" in page
    row = {"question": "the film", "context": "the film was good and the book was bad"}
    (answer,) = run.predict([row])
    assert set(answer) == {"answer", "start", "end", "confidence", "alternatives"} and 0 <= answer["confidence"] <= 1
    with pytest.raises(DataError, match=r"expected a row with question, context, got one text alone; .*--row question=\.\.\."):
        run.predict(["the film"])
    with pytest.raises(DataError, match=r"more\.jsonl, row 2, column 'answers': expected an answer"):
        api.evaluate(run.path, write_lines(tmp_path / "more.jsonl", [row | {"answers": cell} for cell in (["film"], [None])]))


# -- real data --------------------------------------------------------------------------------------------------------


def test_real_chinese_offsets_are_mended_or_named():
    path = Path(__file__).parents[2] / ".." / "shared" / "data" / "extractive_qa/cmrc2018_zh/squad-style-data/cmrc2018_dev.json.gz"
    if not path.is_file():
        pytest.skip("no shared data here")
    rows = read(str(path), Data(), Ledger())
    found = {f.code: f for f in ExtractiveQa().check(rows)}
    assert set(found) == {"offset-mended", "answer-elsewhere"}
    assert ExtractiveQa().fit(rows).rule_kept == "cmrc"


def test_a_row_without_a_question_does_not_end_a_finished_training(tiny_bert, tmp_path):
    """Such a row is told of and kept; nobody could ask it, but the process that loads the model is handed it as it stands."""
    rows = ExtractiveQa.sample(60, 0)
    held = [row | {"question": None} if at == 3 else row for at, row in enumerate(ExtractiveQa.sample(20, 1))]
    files = [str(write_lines(tmp_path / f"{name}.jsonl", part)) for name, part in (("train", rows), ("validation", held))]
    settings = {"epochs": 1, "threads": 1, "resamples": 100, "near_duplicates": 0.0, "runs": str(tmp_path / "runs"), "test_share": 0.2}
    run = api.fit(files[0], validation=files[1], model=str(tiny_bert), task="extractive-qa", **settings)
    assert "half-empty-text" in {found["code"] for found in run.run.read("data.json")["findings"]}
