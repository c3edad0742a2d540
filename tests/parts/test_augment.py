"""Changed texts: a function of the row's own random numbers, on training rows only, to the same bits after a stop."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.runs import assert_ends_alike, make_ready
from tunesmith.errors import SpecError
from tunesmith.inference import encode
from tunesmith.parts import augment
from tunesmith.registry import TASKS
from tunesmith.training.loop import train
from tunesmith.training.stages import Work, this_epoch
from tunesmith.training.state import State

TEXT = "A quiet, exact film that we saw again."
SETS = augment.by_word([("film", "movie", "picture"), ("quiet", "calm")])


def change(*ways: str, words: float = 0.3) -> augment.Change:
    return augment.Change(ways, words, SETS)


def draws(n: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(n)]


def test_swapped_words_are_the_same_words_in_the_same_spaces() -> None:
    for draw in draws(50):
        found = change("swap").text(f"  {TEXT}\n", draw)
        assert Counter(found.split()) == Counter(TEXT.split()) and found.startswith("  ") and found.endswith("\n")


def test_dropped_words_leave_some_and_their_order() -> None:
    for draw in draws(50):
        kept = change("drop", words=0.9).text(TEXT, draw).split()
        rest = iter(TEXT.split())
        assert 1 <= len(kept) < len(TEXT.split()) and all(word in rest for word in kept)


def test_synonyms_come_from_the_file_and_keep_marks_and_capitals() -> None:
    found = {change("synonym", words=0.9).text("Quiet, exact film.", draw) for draw in draws(50)}
    assert found == {"Calm, exact movie.", "Calm, exact picture."}
    assert change("synonym").text("nothing known here", draws(1)[0]) == "nothing known here"


def test_one_way_needs_no_list() -> None:
    assert TASKS.load("text-regression").build({"augment": "swap"}, "text-regression").augment == ("swap",)


def test_chinese_has_words_too() -> None:
    assert {change("swap").text("电影很好", draw) for draw in draws(30)} > {"影电很好"}


@pytest.mark.parametrize("cell", ["", "word", None, " "])
def test_what_has_no_two_words_stays(cell: str | None) -> None:
    assert change(*augment.WAYS).text(cell, draws(1)[0]) == cell


def test_the_share_of_changed_rows_is_the_one_asked_for_and_order_does_not_matter() -> None:
    cells, share = [TEXT] * 2000, [0.3] * 2000
    found = augment.texts(change("swap"), cells, share, draws(2000))
    assert 0.25 < sum(text != TEXT for text in found) / 2000 < 0.35
    assert augment.texts(change("swap"), cells, share, draws(2000)[::-1]) == found[::-1]
    assert augment.texts(change("swap"), cells, share, draws(2000, seed=1)) != found


def test_a_text_said_anew_takes_one_of_its_forms_and_without_any_another_way() -> None:
    forms = ["Seen again: quiet and exact.", "A calm film."]
    both = change("swap", augment.BACK)
    found = [both.text(TEXT, draw, forms) for draw in draws(400)]
    shares = {text: found.count(text) / 400 for text in forms}
    assert all(0.18 < share < 0.32 for share in shares.values())
    assert all(sorted(text.split()) == sorted(TEXT.split()) for text in found if text not in forms)
    assert [both.text(TEXT, draw) for draw in draws(20)] == [change("swap").text(TEXT, draw) for draw in draws(20)]
    assert change(augment.BACK).text(TEXT, draws(1)[0]) == TEXT
    assert change(augment.BACK).text("word", draws(1)[0], ["another"]) == "another"


@pytest.mark.parametrize("name", ["text-classification", "text-multilabel", "text-regression"])
def test_what_is_said_anew_is_what_may_be_changed_each_text_once_shortest_first(name: str) -> None:
    from tunesmith.data.table import Table

    options = {"augment": [augment.BACK], "back_translation": ["a", "b"], "text_pair": "other"}
    rows = Table.of({"text": ["two words", "one", "", None, "one"], "other": ["three more words", "one", " ", "two words", "x"]})
    rows = rows.with_column({"text-classification": "label", "text-multilabel": "labels"}.get(name, "target"), ["a", "b", "a", "b", "a"])
    found = TASKS.load(name).build(options, name).retelling(rows)
    assert found is not None and found.texts() == ["x", "one", "two words", "three more words"]
    assert found.cells["text"] == ["two words", "one", None, None, "one"]
    assert not TASKS.load(name).build(options | {"augment_rows": 0.0}, name).retelling(rows).texts()
    assert TASKS.load(name).build({"augment": ["swap"]}, name).retelling(rows) is None


def test_of_the_commonest_class_nothing_is_said_anew_where_the_rare_are_changed() -> None:
    from tunesmith.data.table import Table

    task = TASKS.load("text-classification").build(
        {"augment": [augment.BACK], "back_translation": ["a", "b"], "augment_rows": "rare"}, "text-classification"
    )
    rows = Table.of({"text": ["first", "second", "third", "fourth"], "label": ["a", "a", "b", "a"]})
    assert task.fit(rows).retelling(rows).texts() == ["third"]


def test_rare_classes_are_changed_more() -> None:
    assert augment.rare_shares([80, 20, 40]) == (0, 0.75, 0.5)


def test_rows_with_a_rare_label_are_changed_more_and_rows_without_labels_never() -> None:
    from tunesmith.data.table import Table

    labels = [["a"], ["a", "b"], ["a"], [], ["a"]]
    rows = Table.of({"text": [TEXT] * 5, "labels": labels})
    name = "text-multilabel"
    task = TASKS.load(name).build({"augment": ["swap"], "augment_rows": "rare"}, name).fit(rows)
    assert task.rare_shares == (0, 0.75)
    changed = [sum(task._texts([row], "text", [draw])[0] != TEXT for draw in draws(400)) / 400 for row in rows.rows()]
    assert changed[0] == changed[2] == changed[3] == 0 and 0.6 < changed[1] < 0.8
    assert task._texts([{"text": TEXT}], "text", None) == [TEXT]
    back = {"augment": [augment.BACK], "back_translation": ["a", "b"], "augment_rows": "rare"}
    rows = Table.of({"text": ["one word", "another", "third"], "labels": [["a"], ["a", "b"], ["a"]]})
    assert TASKS.load(name).build(back, name).fit(rows).retelling(rows).texts() == ["another"]


def test_files_of_synonyms_are_read_or_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeffgood, fine ,great\n\nbad,poor\n", "utf-8")
    assert augment.read_sets(str(path)) == (("good", "fine", "great"), ("bad", "poor"))
    path.write_text("good, fine\nalone\n")
    with pytest.raises(SpecError, match=r"words.txt, line 2: expected words that may stand for each other, with commas between, got alone"):
        augment.read_sets(str(path))
    with pytest.raises(SpecError, match="No such file"):
        augment.read_sets(str(tmp_path / "none.txt"))


BACK = {"augment": [augment.BACK], "back_translation": ["a", "b"]}
BAD = [
    {"augment": ["synonym"]}, {"synonyms": "a.txt"}, {"augment": ["shout"]}, {"augment_rows": 2.0}, {"augment_words": 1.0},
    {"augment": [augment.BACK]}, {"back_translation": ["a", "b"]}, BACK | {"back_translation": ["a"]}, BACK | {"back_translation": "a"},
    BACK | {"back_translation": ["a", "b", "c"]}, BACK | {"back_translation_languages": ["en"]},
    {"back_translation_languages": ["en", "de"]}, BACK | {"back_translation_forms": 0}, {"back_translation_forms": 2},
]  # fmt: skip


@pytest.mark.parametrize("options", BAD)
@pytest.mark.parametrize("name", ["text-classification", "text-multilabel", "text-regression"])
def test_options_that_cannot_be_used_are_refused(name: str, options: dict[str, object]) -> None:
    with pytest.raises(SpecError):
        TASKS.load(name).build(options, name)


# -- in training ------------------------------------------------------------------------------------------------------

SETTINGS = {"strategy": "full", "epochs": 2, "augment": ["swap", "drop"], "augment_rows": 0.9}


def ready(folder: Path, model: Path, **settings: object):
    folder.mkdir(exist_ok=True)
    return make_ready(folder, model, **(SETTINGS | settings))


def test_training_rows_change_with_the_epoch_and_judged_rows_never(tmp_path: Path, tiny_bert: Path) -> None:
    plan = ready(tmp_path, tiny_bert)
    state = State.start(plan)
    work = Work.of(state)
    state.enter_stage()
    rows = range(len(plan.data.train))
    plain = encode(plan.task, state.processor, plan.data.train)
    ids = lambda encoded: [e["input_ids"].tolist() for e in encoded.examples(rows)]  # noqa: E731
    first = ids(this_epoch(state, work))
    assert ids(this_epoch(state, work)) == first != ids(plain)
    assert [e["input_ids"].tolist() for e in this_epoch(state, work).examples(reversed(rows))] == first[::-1]
    state.step = 1000
    assert ids(this_epoch(state, work)) != first
    for part in ("validation", "calibration", "test"):
        table = plan.data.part(part)
        assert not encode(plan.task, state.processor, table).augmented
    assert not work.validation.encoded.augmented
    assert augment.changed(plan.task, [{"text": TEXT}], "text", [1.0], None) == [TEXT]
    assert [e["target"] for e in work.train.encoded.examples(rows)] == [e["target"] for e in plain.examples(rows)]


def test_a_stopped_run_ends_in_the_same_bits(tmp_path: Path, tiny_bert: Path) -> None:
    assert_ends_alike(ready(tmp_path, tiny_bert, train={"save_every": 3}), tmp_path, 8)


def test_the_cache_is_left_out_and_that_is_said(tmp_path: Path, tiny_bert: Path) -> None:
    plan = ready(tmp_path, tiny_bert, strategy="last-k", strategy_options={"k": 1}, epochs=1)
    told = [event for event in train(State.start(plan), tmp_path / "c") if getattr(event, "what", "") == "no activation cache"]
    assert told and told[0].why == "each epoch sees the rows otherwise (`augment`)"
