"""The audit: planted leaks are found, clean sets give no alarm, cells and labels are judged with row numbers."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tests.data import planted
from tunesmith import spec
from tunesmith.data import dataset, labels, leaks, noise
from tunesmith.data.answers import Answers
from tunesmith.data.dataset import Dataset, Sources, arrange
from tunesmith.data.finding import Finding, refuse
from tunesmith.data.ledger import Ledger
from tunesmith.data.profile import Profile
from tunesmith.data.table import Table
from tunesmith.errors import DataError


def arranged(
    train: Any, test: Any = None, kind: str = "label", targets: tuple[str, ...] = ("label",), inputs: tuple[str, ...] = ("text",),
    **options: Any,
) -> Dataset:
    tables = {"train": Table.of(train, "train.csv")} | ({} if test is None else {"test": Table.of(test, "test.csv")})
    sources = Sources(tables, Profile.of(tables["train"]), Ledger())
    return arrange(sources, spec.Data(**options), inputs=inputs, targets=targets, kind=kind, seed=0)


def codes(data: Dataset) -> set[str]:
    return {finding.code for finding in data.findings}


def finding(data: Dataset, code: str) -> Finding:
    assert code in codes(data), f"{code} is not among {sorted(codes(data))}"
    return next(f for f in data.findings if f.code == code)


# -- leaks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", planted.KINDS)
def test_planted_leaks_are_found(kind: str) -> None:
    plant, expected = planted.KINDS[kind]
    for seed in range(5):
        train, test = planted.clean(400, 2 * seed), planted.clean(100, 2 * seed + 1)
        plant(train, test, random.Random(seed))
        found = codes(arranged(train, test, group="author", time="day", split="group"))
        assert expected <= found, f"{kind}, seed {seed}: {sorted(found)}"


def test_clean_sets_give_no_alarm() -> None:
    alarms = []
    for seed in range(20):
        train, test = planted.clean(300 + 10 * seed, 2 * seed), planted.clean(100, 2 * seed + 1)
        alarms += sorted(codes(arranged(train, test, group="author", time="day", split="group")) & planted.ALARMS)
    assert not alarms


def test_leaked_rows_are_told_with_their_twins() -> None:
    train, test = planted.clean(100, 0), planted.clean(40, 1)
    test[4]["text"] = train[30]["text"].upper()
    assert finding(arranged(train, test), "leaked-test").rows == ("test.csv, row 5 (as train.csv, row 31)",)


def test_counters_that_restart_are_no_leak_but_the_same_rows_are() -> None:
    train, test = planted.clean(200, 0), planted.clean(60, 1)
    for rows in (train, test):
        for i, row in enumerate(rows):
            row["id"] = i
    found = arranged(train, test)
    assert "ids-restart" in codes(found) and "id-in-both" not in codes(found)
    for i in range(40):
        test[i] = dict(train[i])
    assert finding(arranged(train, test), "id-in-both").level == "error"


def test_shared_ids_are_told_with_rows() -> None:
    train, test = planted.clean(200, 0), planted.clean(60, 1)
    test[11]["id"] = train[3]["id"]
    with pytest.raises(DataError, match=r"^test.csv, row 12: expected each 'id' in one file only, got 1 id in both train and test"):
        refuse(arranged(train, test).findings)


def test_the_same_file_twice_is_refused() -> None:
    rows = planted.clean(50, 0)
    with pytest.raises(DataError, match="exactly the train rows"):
        arranged(rows, rows[::-1])


def test_possible_groups_are_noted_where_none_was_named() -> None:
    assert "'author'" in finding(arranged(planted.clean(200, 0)), "possible-group").message


def test_dates_are_noted_where_rows_are_parted_by_chance_and_no_time_was_named() -> None:
    rows = planted.clean(200, 0)
    told = finding(arranged(rows), "possible-time")
    assert "'day'" in told.message and told.level == "note" and "--time day" in told.fix
    assert "possible-time" not in codes(arranged(rows, time="day", split="time"))
    assert "possible-time" not in codes(arranged([row | {"day": "soon"} for row in rows]))


def test_labels_that_shift_between_files_are_told() -> None:
    train, test = planted.clean(300, 0), planted.clean(200, 1)
    test = [row for row in test if row["label"] == "food"] + [row for row in test if row["label"] != "food"][:5]
    assert "'food'" in finding(arranged(train, test), "labels-shift").message


def test_a_copied_number_is_found_and_an_honest_one_is_not() -> None:
    draw = random.Random(0)
    rows = [{"text": f"text {i} of {draw.random()}", "price": draw.random() * 100, "rooms": draw.randint(1, 9)} for i in range(200)]
    assert "column-predicts-label" not in codes(arranged(rows, kind="number", targets=("price",)))
    for row in rows:
        row["cents"] = round(row["price"] * 100)
    assert "'cents'" in finding(arranged(rows, kind="number", targets=("price",)), "column-predicts-label").message


def test_a_number_that_the_label_was_cut_from_is_found_and_one_with_gaps_only_where_these_tell() -> None:
    draw = random.Random(0)
    rows = sorted((row | {"level": draw.random()} for row in rows_of(300)), key=lambda row: str(row["label"]))
    rows = [row | {"seen": draw.choice(["yes", ""]), "zero": 0.0 if i % 2 else draw.random()} for i, row in enumerate(rows)]
    assert "column-predicts-label" not in codes(arranged(rows)), "rows sorted by label"
    cut = sorted(row["level"] for row in rows)[200]
    rows = [row | {"label": "high" if row["level"] > cut else "low"} for row in rows]
    assert "'level'" in finding(arranged(rows), "column-predicts-label").message
    rows = [{name: cell for name, cell in row.items() if name != "level"} for row in rows]
    rows = [row | {"on": f"2024-05-{1 + i % 28:02d}" if row["label"] == "high" else ""} for i, row in enumerate(rows)]
    assert finding(arranged(rows), "column-predicts-label").message.startswith("whether column 'on' is filled predicts label")


@pytest.mark.parametrize("name", ["label_id", "target_idx", "key"])
def test_a_copy_of_the_label_that_is_named_like_an_id_is_found_and_an_id_is_not(name: str) -> None:
    rows = sorted(rows_of(200), key=lambda row: str(row["label"]))
    assert "column-predicts-label" not in codes(arranged([row | {name: i} for i, row in enumerate(rows)])), "rows sorted by label"
    copied = [row | {name: sorted(planted.TOPICS).index(row["label"])} for row in rows]
    assert repr(name) in finding(arranged(copied), "column-predicts-label").message


def test_what_a_column_knows_is_judged_without_the_row_itself() -> None:
    draw = random.Random(0)
    answers = [draw.choice("ab") for _ in range(400)]
    assert leaks.knows(range(400), answers) == 0, "a different value in each row knows nothing"
    assert leaks.knows(answers, answers) == 1
    assert leaks.knows(["x"] * 400, answers) < 0.1
    half = [a if i % 2 else "?" for i, a in enumerate(answers)]
    assert 0.3 < leaks.knows(half, answers) < 0.7


# -- cells --------------------------------------------------------------------------------------------------------------


def rows_of(n: int = 60) -> list[dict[str, Any]]:
    return [{k: row[k] for k in ("text", "label")} for row in planted.clean(n, 7)]


def test_empty_labels_are_refused_with_rows_or_dropped_and_listed() -> None:
    rows = rows_of()
    for i in (3, 10, 40):
        rows[i]["label"] = None if i != 10 else "  "
    with pytest.raises(DataError, match=r"train.csv, row 4: expected a label in every row, got an empty cell \(or NaN\) in 3 rows"):
        refuse(arranged(rows).findings)
    data = arranged(rows, empty="drop")
    assert "empty-label" not in codes(data)
    entry = next(e for e in data.ledger.entries if e.action == "dropped")
    assert entry.count == 3 and entry.rows == ("train.csv, row 4", "train.csv, row 11", "train.csv, row 41")


def test_few_empty_texts_are_told_and_many_are_refused() -> None:
    rows = rows_of(100)
    rows[5]["text"] = " \t"
    assert finding(arranged(rows), "empty-text").level == "warning"
    for i in range(8):
        rows[i]["text"] = None
    assert finding(arranged(rows), "empty-text").level == "error"
    assert sum(map(len, (arranged(rows, empty="drop").part(p) for p in ("train", "validation", "calibration", "test")))) == 92


def test_a_test_file_without_labels_is_for_predict() -> None:
    test = [{"text": row["text"], "label": None} for row in planted.clean(20, 3)]
    assert "tunesmith predict" in finding(arranged(rows_of(), test), "no-labels").fix


def test_texts_cut_at_a_round_length_are_told() -> None:
    rows = rows_of()
    for row in rows[:12]:
        row["text"] = (row["text"] * 9)[:255]
    assert finding(arranged(rows), "cut-texts").rows[0] in {f"train.csv, row {i}" for i in range(1, 13)}


def test_rounded_ids_are_told() -> None:
    rows = rows_of()
    for row in rows:
        row["order_id"] = "1.23457E+17"
    assert "fell together" in finding(arranged(rows), "rounded-ids").message


def test_constant_columns_are_told() -> None:
    rows = [row | {"kind": "x"} for row in rows_of()]
    assert "'kind'" in finding(arranged(rows), "constant-columns").message
    assert "constant-input" in codes(arranged(rows, inputs=("text", "kind")))


# -- labels -------------------------------------------------------------------------------------------------------------


def test_twins_are_proposed_and_merged_only_when_asked() -> None:
    rows = rows_of()
    rows[2]["label"], rows[9]["label"] = "Food", "food "
    told = finding(arranged(rows), "label-twins")
    assert told.level == "warning" and told.rows == ("train.csv, row 3", "train.csv, row 10") and "--merge-labels" in told.fix
    data = arranged(rows, merge_labels=True)
    assert set(labels.texts(data.train, "label")) <= {"sport", "food", "money"}
    assert [(e.count, e.rows) for e in data.ledger.entries if e.action == "merged"] == [(2, told.rows)]


def test_rows_without_a_token_are_told_as_those_without_a_text() -> None:
    words, none = [["a", str(at)] for at in range(60)], [[] for _ in range(4)]
    for more, level in ((1, "warning"), (4, "error")):
        table = Table.of({"tokens": [*words, *none[:more]], "tags": [["O"] * 2] * 60 + none[:more]}, "a.jsonl")
        kept, found = dataset.cleaned(table, "train", False, ["tokens"], ["tags"], "other", Ledger())
        assert [(one.code, one.level, one.rows[0]) for one in found] == [("empty-text", level, "a.jsonl, row 61")]
        assert len(kept) == 60 + more
        assert len(dataset.cleaned(table, "train", True, ["tokens"], ["tags"], "other", Ledger())[0]) == 60
    beside = table.with_column("text", ["word"] * len(table))
    assert dataset.cleaned(beside, "train", False, ["text", "tokens"], ["tags"], "other", Ledger())[1] == [], "no entity is no lack"


def test_one_class_and_a_class_per_row_are_refused() -> None:
    assert finding(arranged([row | {"label": "a"} for row in rows_of()]), "one-class").level == "error"
    numbered = [row | {"label": f"l{i}"} for i, row in enumerate(rows_of())]
    with pytest.raises(DataError, match="got a different one in each"):
        refuse(arranged(numbered).findings)


def test_a_class_with_one_row_is_told_and_learned() -> None:
    rows = rows_of()
    rows[7]["label"] = "rare"
    data = arranged(rows)
    assert finding(data, "single-row-class").rows == ("train.csv, row 8",)
    assert "rare" in data.train.column("label")


def test_a_label_that_chance_left_out_of_the_test_is_told_with_the_remedy_and_the_remedy_helps() -> None:
    rows = rows_of(400)
    for row in rows[:6] + rows[100:106]:
        row["label"] = "rare" if row in rows[:6] else "seldom"
    plain = arranged(rows, split="random")
    absent = {part: {"rare", "seldom"} - set(plain.part(part).column("label")) for part in ("test", "validation")}
    told = [f.message for f in plain.findings if f.code == "label-not-judged"]
    assert any(absent.values()) and len(told) == sum(map(bool, absent.values()))
    assert all(any(part in m and all(label in m for label in gone) for m in told) for part, gone in absent.items() if gone)
    assert finding(plain, "label-not-judged").level == "warning" and "data.split=stratified" in finding(plain, "label-not-judged").fix
    assert "label-not-judged" not in codes(arranged(rows, split="stratified"))


def test_imbalance_is_told() -> None:
    rows = [row | {"label": "a" if i % 20 else "b"} for i, row in enumerate(rows_of(200))]
    assert "'a' has 190" in finding(arranged(rows), "imbalance").message


def test_labels_unknown_to_training_are_refused_with_rows() -> None:
    test = rows_of(30)
    test[4]["label"] = "travel"
    told = finding(arranged(planted.clean(100, 9), test), "unknown-label")
    assert told.level == "error" and told.rows == ("test.csv, row 5",) and "'travel'" in told.message
    test[4]["label"] = "FOOD"
    assert "--merge-labels" in finding(arranged(planted.clean(100, 9), test), "unknown-label").fix


def test_numbers_in_one_file_and_text_in_the_other_are_the_same_labels() -> None:
    train = [{"text": row["text"], "label": i % 2} for i, row in enumerate(rows_of(80))]
    test = [{"text": row["text"], "label": str(i % 2)} for i, row in enumerate(planted.clean(20, 3))]
    data = arranged(train, test)
    assert {"label-types"} <= codes(data) and not any(f.level == "error" for f in data.findings)


def test_whole_decimals_are_classes_and_said() -> None:
    rows = [row | {"label": [0.0, 1.0, None][i % 3]} for i, row in enumerate(rows_of(90))]
    data = arranged(rows, empty="drop")
    assert finding(data, "decimals-as-classes").level == "note"
    assert set(labels.texts(data.train, "label")) == {"0", "1"}
    assert "classes-as-numbers" in codes(arranged(rows, kind="number", empty="drop"))


@pytest.mark.parametrize(("cells", "code"), [
    (["1,234", "2,345.5"], "locale-number"), (["1.234,5", "99,5"], "locale-number"), (["12", "n/a"], "bad-number"),
    ([1.0, float("inf")], "bad-number"), ([1.0, 1e308], "bad-number"), (["1e999", "3"], "bad-number"), ([2.0, 2.0], "constant-target"),
])
def test_targets_that_are_no_numbers_are_refused(cells: list[Any], code: str) -> None:
    rows = [{"text": row["text"], "y": cells[i % 2]} for i, row in enumerate(rows_of(40))]
    assert finding(arranged(rows, kind="number", targets=("y",)), code).level == "error"


@pytest.mark.parametrize(("cells", "fix"), [(["$9k", "607 EUR"], "in one unit"), (["12"] * 5 + ["left"], "mend or remove")])
def test_targets_that_are_hardly_ever_numbers_are_to_be_written_anew_and_single_ones_mended(cells: list[str], fix: str) -> None:
    rows = [{"text": row["text"], "y": cells[i % len(cells)]} for i, row in enumerate(rows_of(60))]
    assert fix in finding(arranged(rows, kind="number", targets=("y",)), "bad-number").fix


def test_locale_numbers_are_not_taken_for_classes() -> None:
    rows = [row | {"label": f"{1 + i % 30},{i % 7}5"} for i, row in enumerate(rows_of(120))]
    with pytest.raises(DataError, match="got numbers such as '1,05'.*task text-regression"):
        refuse(arranged(rows).findings)


def test_texts_of_numbers_become_numbers_and_that_is_written_down() -> None:
    rows = [{"text": row["text"], "y": f" {i / 4} "} for i, row in enumerate(rows_of(40))]
    data = arranged(rows, kind="number", targets=("y",))
    assert all(isinstance(cell, float) for cell in data.train.column("y"))
    assert [(e.action, e.count) for e in data.ledger.entries if e.action == "cast"] == [("cast", 40)]


def test_multilabel_cells() -> None:
    rows = [{"text": row["text"], "label": ["a", "b|c", "", "c"][i % 4] or None} for i, row in enumerate(rows_of(80))]
    data = arranged(rows, kind="labels")
    assert {tag for row in labels.tags(data.train, "label") for tag in row} == {"a", "b", "c"}
    assert not any(f.level == "error" for f in data.findings), "an empty cell is an answer: none of the labels"
    unknown = [{"text": row["text"], "label": "a|z"} for row in planted.clean(10, 4)]
    assert finding(arranged(rows, unknown, kind="labels"), "unknown-label").rows[0] == "test.csv, row 1"


@pytest.mark.parametrize("kind", ["label", "labels"])
@pytest.mark.parametrize("broken", ['["sport", "food"', "sport, food", '["sport" "food"]'])
def test_cells_that_are_no_lists_among_lists_are_refused_with_rows(kind: str, broken: str) -> None:
    rows = [row | {"label": '["sport", "food"] ' if i % 2 else '["food"]'} for i, row in enumerate(rows_of(60))]
    assert "broken-list" not in codes(arranged(rows, kind=kind))
    rows[16]["label"] = rows[40]["label"] = broken
    found = finding(arranged(rows, kind=kind), "broken-list")
    assert found.level == "error" and found.rows == ("train.csv, row 17", "train.csv, row 41") and broken in found.message
    test = [{"text": f"another {i}", "label": "[food]" if i else "[food"} for i in range(20)]
    assert finding(arranged(rows[:16], test, kind=kind), "broken-list").rows == ("test.csv, row 1",)


def test_labels_of_which_few_begin_with_a_bracket_are_labels() -> None:
    rows = [row | {"label": "[sic]" if i % 4 else row["label"]} for i, row in enumerate(rows_of(60))]
    assert "broken-list" not in codes(arranged(rows))


def test_equal_texts_with_other_labels_are_told() -> None:
    rows = rows_of(80)
    rows[1] = {"text": rows[0]["text"].upper(), "label": "sport" if rows[0]["label"] != "sport" else "food"}
    data = arranged(rows)
    both = [row for row in data.train.column("text") if row.lower() == rows[0]["text"]]
    assert len(both) in (0, 2), "equal texts stay on one side"
    assert ("conflicting-labels" in codes(data)) == bool(both)


# -- suspected wrong labels -----------------------------------------------------------------------------------------------


def test_wrong_labels_come_first_among_the_suspects() -> None:
    draw = random.Random(0)
    topics = {"sport": "match team goal coach", "food": "bread soup salt dinner", "money": "bank loan price tax"}
    truth = [draw.choice(list(topics)) for _ in range(900)]
    texts = [" ".join(draw.choices(topics[t].split(), k=3) + draw.choices([f"w{i}" for i in range(60)], k=6)) for t in truth]
    wrong = set(draw.sample(range(900), 30))
    given = [draw.choice([t for t in topics if t != label]) if i in wrong else label for i, label in enumerate(truth)]
    key_N = np.array([draw.getrandbits(64) for _ in texts], np.uint64)
    doubts = noise.suspects(texts, Answers.of([one] for one in given), key_N)
    hits = [s for s in doubts.suspects if s.position in wrong]
    assert len(hits) >= 24 and len(hits) >= 0.9 * len(doubts.suspects) and doubts.agreement > 0.95
    assert all(s.suggested == truth[s.position] for s in hits)
    assert noise.suspects(texts, Answers.of([one] for one in given), key_N) == doubts, "the same rows must give the same doubts"
    assert not noise.suspects(texts, Answers.of([one] for one in truth), key_N).suspects


def test_doubts_of_many_rows_come_from_a_process_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(2)
    texts = [draw.choice(["match team", "bread soup"]) + f" w{draw.randrange(40)}" for _ in range(200)]
    given = [draw.choice("ab") if draw.random() < 0.1 else "ab"["bread" in text] for text in texts]
    key_N = np.array([draw.getrandbits(64) for _ in texts], np.uint64)
    here = noise.suspects(texts, Answers.of([one] for one in given), key_N)
    monkeypatch.setattr(noise, "APART", 1)
    monkeypatch.delitem(sys.modules, "sklearn")
    monkeypatch.setattr(noise, "_by_folds", lambda *_: pytest.fail("computed here"))
    assert noise.suspects(texts, Answers.of([one] for one in given), key_N) == here and here.suspects
    monkeypatch.undo()
    monkeypatch.setattr(noise, "APART", 1)
    monkeypatch.delitem(sys.modules, "sklearn")
    monkeypatch.setattr(noise.aside, "run", lambda *_, **__: subprocess.CompletedProcess([], -9, "", ""))
    again = noise.suspects(texts, Answers.of([one] for one in given), key_N)
    assert again == here, "where that process is killed, the rows are looked at here"


def test_labels_that_texts_do_not_explain_raise_no_warning() -> None:
    draw = random.Random(1)
    rows = [row | {"label": draw.choice("ab")} for row in rows_of(400)]
    assert all(f.level == "note" for f in arranged(rows).findings if f.code == "suspected-labels")


def test_too_few_rows_are_not_doubted() -> None:
    assert noise.suspects(["a b"] * 20, Answers.of([["x"], ["y"]] * 10), np.arange(20, dtype=np.uint64)).looked_at == 0


def test_a_column_without_lists_is_not_read_to_its_end_for_them() -> None:
    looked, table = list[str](), Table.of({"label": ["yes", "no"] * 500})
    assert labels._unread(table, "label", lambda cell: bool(looked.append(cell))) == []
    assert len(looked) == labels.BROKEN * len(table) + 1
