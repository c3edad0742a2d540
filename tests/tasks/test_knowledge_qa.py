"""knowledge-qa: what it claims, whole runs over a folder of documents, readers of both kinds, and what is refused before the first step."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunesmith
from tunesmith import api, stock
from tunesmith.data.profile import Profile
from tunesmith.data.table import Table
from tunesmith.errors import DataError, RunError, TunesmithError
from tunesmith.inference import encode, infer
from tunesmith.models.save import save
from tunesmith.models.source import find
from tunesmith.parts import readers
from tunesmith.planning import choose_task
from tunesmith.predictor import Predictor
from tunesmith.shelf import Shelf
from tunesmith.spec import Spec
from tunesmith.tasks.knowledge_qa import KnowledgeQa
from tunesmith.training.events import Judging
from tunesmith.training.loop import train
from tunesmith.training.state import State

THINGS = ["film", "book", "meal", "room", "service", "plot", "story", "scene"]
WORDS = ["good", "bad", "nice", "dull", "warm", "cold", "great", "poor"]
FAST = {"train.threads": 1, "data.near_duplicates": 0.0, "epochs": 1.0, "batch": 16, "reader_epochs": 1.0, "data.calibration_share": 0.15}


def _write(folder: Path, answered: bool = True) -> Path:
    """Eight documents of eight sentences, five questions of each; the questions' file lies beside their folder."""
    (folder / "docs" / "more").mkdir(parents=True)
    lines = ["question,answer,document" if answered else "question,document"]
    for number in range(8):
        said = [f"The {thing} of visit {number} was {WORDS[(number + at) % 8]}." for at, thing in enumerate(THINGS)]
        name = f"more/visit{number}.md" if number % 2 else f"visit{number}.txt"
        (folder / "docs" / name).write_text(f"# Visit {number}\n\n" + "\n\n".join(said))
        for at in range(5):
            answer = [WORDS[(number + at) % 8]] if answered else []
            lines.append(",".join([f"how was the {THINGS[at]} of visit {number}", *answer, f"visit{number}"]))
    path = folder / "questions.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> tunesmith.Result:
    """A run with a tuned reader, which a process began and another one, from when the reader was to learn, went on with."""
    folder = tmp_path_factory.mktemp("knowing")
    path = _write(folder)
    settings: dict[str, Any] = FAST | {"passage": 120, "overlap": 40}
    asked = api.make_spec(str(path), documents=str(folder / "docs"), model=str(tiny_bert), runs=str(folder / "runs"), **settings)
    started = ""
    for event in api.fit_events(asked):
        started = getattr(event, "run", started)
        if isinstance(event, Judging):
            break
    return api.resume(started)


# -- claims -----------------------------------------------------------------------------------------------------------


def test_it_takes_questions_for_those_who_name_documents_and_nobody_elses_table() -> None:
    columns = {"question": [f"what is {n}" for n in range(40)], "context": [f"It is {n}. " * 30 for n in range(40)],
               "answers": [str(n) for n in range(40)]}  # fmt: skip
    profile = Profile.of(Table.of(columns))
    found = KnowledgeQa.claim(profile, {"documents": "docs"})
    assert found and found.sure > 0.95 and {role: one.value for role, one in found.columns.items()} == {"question": "question",
        "answer": "answers"}  # fmt: skip
    asked = KnowledgeQa.claim(profile, {})
    assert asked and asked.sure < 0.1 and asked.columns["context"].value == "context"
    assert KnowledgeQa.claim(Profile.of(Table.of({"text": ["a", "b"], "label": ["x", "y"]})), {}) is None


def test_documents_choose_the_task(tmp_path: Path) -> None:
    from tunesmith.data.dataset import read_sources

    spec = Spec().changed({"data.train": str(_write(tmp_path)), "options.documents": str(tmp_path / "docs")})
    chosen = choose_task(spec, read_sources(spec.data))
    assert chosen["task"].value == "knowledge-qa" and chosen["options.document"].value == "document"


# -- a whole run ------------------------------------------------------------------------------------------------------


def test_scores_stand_apart_beside_their_baselines(run: tunesmith.Result) -> None:
    report = run.report
    assert [title for title, _ in report["sections"]] == ["Answers", "Passages", "Citations and refusals"]
    assert report["metric"] == "answer_f1" and set(report["directions"]) == {one for _, names in report["sections"] for one in names}
    beside = {"untuned", "BM25 and the sentence that shares most words", "The tuned vectors without full text"}
    assert {rung["name"] for rung in report["ladder"]} == beside | {"tuned"}
    assert "vectors weigh" in report["how_scored"]["ndcg_10"]
    assert "<b>Passages.</b>" in run.report_path.read_text("utf-8")
    shown = [one["answer"] for one in report["worst"] + report["right"]]
    assert any("visit" in one and "“" in one for one in shown)


def test_questions_of_one_document_stay_on_one_side(run: tunesmith.Result) -> None:
    told = json.loads((run.path / "data.json").read_text("utf-8"))
    assert told["splits"]["how"]["value"] == "group"
    assert any("all documents are searched" in entry["why"] for entry in told["ledger"])


def test_a_question_gets_an_answer_or_a_refusal_with_its_sources(run: tunesmith.Result) -> None:
    (answer,) = run.predict("how was the film of visit 3")
    assert set(answer) == {"answer", "refused", "confidence", "sources"} and 0 <= answer["confidence"] <= 1
    assert answer["refused"] == (not answer["answer"])
    for source in answer["sources"]:
        path = run.path.parents[1] / "docs" / source["file"]
        assert source["text"] in path.read_text()[source["start"] : source["end"]]
    assert any(source["place"] == "Visit 3" for source in answer["sources"])


def test_a_moved_run_answers_alike_without_its_documents(run: tunesmith.Result, tmp_path: Path) -> None:
    questions = [f"how was the {thing} of visit 5" for thing in THINGS]
    before = run.predict(questions)
    moved = shutil.copytree(run.path, tmp_path / "moved")
    assert "docs" not in json.loads((moved / "task.json").read_text())["values"]["store"]
    assert Predictor.load(moved).predict(questions) == before == [run.predict(question)[0] for question in questions]


def test_a_file_of_questions_is_judged_against_the_store(run: tunesmith.Result, tmp_path: Path) -> None:
    path = tmp_path / "more.csv"
    path.write_text("question,answer,document\nhow was the scene of visit 2,good,visit2\nhow was the cook of visit 2,,\n")
    part = api.evaluate(run.path, path)
    assert part["rows"] == 2 and part["scores"]["recall_20"]["value"] == 1.0
    bare = tmp_path / "bare.csv"
    bare.write_text("question,answer\nhow was the scene of visit 2,good\n")
    assert api.evaluate(run.path, bare)["scores"]["recall_20"]["value"] == 1.0, "whichever document it stands in"
    assert run.predict(run.read(path)) == run.predict(["how was the scene of visit 2", "how was the cook of visit 2"])


def test_the_store_is_sealed(run: tunesmith.Result, tmp_path: Path) -> None:
    moved = shutil.copytree(run.path, tmp_path / "moved")
    path = moved / "model" / "store" / "vectors.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(TunesmithError) as caught:
        Predictor.load(moved)
    assert caught.value.code == "changed-model"


def test_another_weight_is_taken_only_where_it_is_better_in_most_documents() -> None:
    document_N = np.repeat(np.array(list("abcdef")), 4)
    gains = {weight: np.full(24, 0.5) for weight in stock.WEIGHTS}
    assert stock._best(gains, document_N) == 0.5
    better = gains | {0.75: np.full(24, 0.5) + 0.1 * (np.arange(24) % 3 > 0)}
    assert stock._best(better, document_N) == 0.75
    assert stock._best(better, np.repeat(np.array(["a", "b"]), 12)) == 0.5
    one = np.full(24, 0.5)
    one[:4] = 1.0  # one document alone
    assert stock._best(gains | {0.25: one}, document_N) == 0.5
    assert stock._best(dict.fromkeys(stock.WEIGHTS, np.zeros(0)), np.zeros(0, str)) == 0.5


def test_search_is_exact_whatever_the_blocks(run: tunesmith.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf.load(run.path / "model")
    vectors_BD = shelf.vectors_PD[:3].astype("float32")
    whole = shelf.ranked(["film", "book", "meal"], vectors_BD)
    monkeypatch.setattr("tunesmith.shelf.BLOCK", 5)
    again = shelf.ranked(["film", "book", "meal"], vectors_BD)
    assert [[hit[0] for hit in hits] for hits in again] == [[hit[0] for hit in hits] for hits in whole]


def test_changed_documents_are_noticed(run: tunesmith.Result) -> None:
    path = run.path.parents[1] / "docs" / "visit0.txt"
    before = path.read_text()
    api.refuse_drift(run.run, api.plan(run.run.spec))
    path.write_text(before.replace("The film", "A film"))
    try:
        with pytest.raises(RunError) as caught:
            api.refuse_drift(run.run, api.plan(run.run.spec))
    finally:
        path.write_text(before)
    assert caught.value.code == "run-drift"


# -- readers ----------------------------------------------------------------------------------------------------------


def test_a_reader_that_was_stopped_goes_on_to_the_same_bits(run: tunesmith.Result, tmp_path: Path) -> None:
    ready = api.plan(run.run.spec)
    made = stock.reading(ready, tmp_path)
    assert made is not None
    for event in train(State.start(made), tmp_path / "checkpoints"):
        if event.kind == "step":
            break  # the process ends here
    reader = stock._tuned(ready, tmp_path)
    assert reader is not None
    save(reader.model, reader.processor, tmp_path / "again")
    for name in ("model.safetensors", "head.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (run.path / "model" / "reader" / name).read_bytes()


def test_without_answers_passages_are_the_answer(tmp_path: Path, tiny_bert: Path) -> None:
    path = _write(tmp_path, answered=False)
    ready = api.plan(api.make_spec(str(path), documents=str(tmp_path / "docs"), model=str(tiny_bert), **FAST))
    state = State.start(ready)
    said = list(stock.fill(ready, state, tmp_path / "reader"))
    assert state.model.shelf.reader is None and "vectors weigh" in said[-1].what  # type: ignore[attr-defined]
    task = ready.task.set_for("judging")
    outputs = infer(task, state.model, encode(task, state.processor, ready.data.test), pad=0)
    scores = task.score(outputs, task.truth(ready.data.test))
    assert list(scores) == ["ndcg_10", "recall_1", "recall_5", "recall_20", "mrr"] and scores["recall_20"] == 1.0
    assert all(set(answer) == {"sources"} and len(answer["sources"]) == 5 for answer in task.answers(outputs))
    assert task.grade(outputs, task.truth(ready.data.test)) is not None


def test_a_language_model_may_answer_and_cites(run: tunesmith.Result, tiny_llama: Path, tmp_path: Path) -> None:
    shelf = dataclasses.replace(Shelf.load(run.path / "model"), reader=stock._given(str(tiny_llama)), read=2)
    question, vector_BD = ["how was the film of visit 3"], shelf.vectors_PD[:1].astype("float32")
    (found,) = shelf.found(question, vector_BD, [["more/visit3.md"]])
    one = json.loads(found)
    assert one["reply"]["odds"] < 0 and not one["spans"] and isinstance(one["hidden"]["text"], str)
    assert all(0 <= at < 2 for at in one["reply"]["cites"])
    save_to = tmp_path / "model"
    shelf.save(save_to)
    assert Shelf.load(save_to).found(question, vector_BD, [["more/visit3.md"]]) == [found]


def test_a_finished_run_may_read(run: tunesmith.Result, tmp_path: Path) -> None:
    """The tuned reader lies in its folder as a run's model does."""
    other = tmp_path / "reader"
    shutil.copytree(run.path / "model" / "reader", other / "model")
    shutil.copy(run.path / "model" / "reader" / "task.json", other)
    readers.refuse(str(other), find)
    shelf = Shelf.load(run.path / "model")
    twin = dataclasses.replace(shelf, reader=stock._given(str(other)))
    asked = ["how was the film of visit 3"], shelf.vectors_PD[:1].astype("float32")
    assert twin.found(*asked) == shelf.found(*asked)
    with pytest.raises(TunesmithError) as caught:
        readers.refuse(str(run.path), find)
    assert caught.value.code == "unsuitable-reader"


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change, code", [
    (("visit3", "visit33"), "unknown-document"), ((",dull,visit3", ",missing,visit3"), "answer-not-in-documents"),
])
def test_rows_that_do_not_fit_the_documents_are_refused_with_their_rows(tmp_path: Path, tiny_bert: Path, change: Any, code: str) -> None:
    path = _write(tmp_path)
    text = path.read_text()
    path.write_text(text.replace(change[0], change[1], 1) if code != "unknown-document" else text.replace(",visit3", ",visit33", 1))
    with pytest.raises(DataError) as caught:
        api.plan(api.make_spec(str(path), documents=str(tmp_path / "docs"), model=str(tiny_bert)))
    assert caught.value.code == code and "questions.csv, row" in caught.value.place


@pytest.mark.parametrize("reader, code", [("nowhere/at-all", ""), ("bert", "unsuitable-reader")])
def test_a_reader_that_cannot_answer_is_refused(tmp_path: Path, tiny_bert: Path, reader: str, code: str) -> None:
    path = _write(tmp_path)
    asked = str(tiny_bert) if reader == "bert" else reader
    with pytest.raises(TunesmithError) as caught:
        api.plan(api.make_spec(str(path), documents=str(tmp_path / "docs"), model=str(tiny_bert), reader=asked))
    assert not code or caught.value.code == code


def test_an_empty_folder_is_refused(tmp_path: Path, tiny_bert: Path) -> None:
    path = _write(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError) as caught:
        api.plan(api.make_spec(str(path), documents=str(tmp_path / "none"), model=str(tiny_bert)))
    assert caught.value.code == "no-documents"
