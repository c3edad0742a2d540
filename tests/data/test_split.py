"""Splits: given ones are kept, ours follow shares, groups, times and caps; what cannot be done is refused."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tunesmith import spec
from tunesmith.data import cut, labels
from tunesmith.data.answers import Answers
from tunesmith.data.cut import PARTS
from tunesmith.data.split import Splits, split
from tunesmith.data.table import Table
from tunesmith.errors import DataError, SpecError

WORDS = [f"w{i}" for i in range(500)]


def texts_of(n: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=12)) for _ in range(n)]


def parted(columns: dict[str, list[object]], more: dict[str, Table] | None = None, seed: int = 0, **options: object) -> Splits:
    tables = {"train": Table.of(columns, "train.csv")} | (more or {})
    named = [labels.of_rows(t, ["label"], "label") if "label" in t.names else [[] for _ in range(len(t))] for t in tables.values()]
    class_M2, _ = Answers.of(row for rows in named for row in rows).memberships()
    texts = [text for table in tables.values() for text in table.column("text")]
    return split(tables, texts, class_M2, spec.Data(**options), seed)


def sizes(splits: Splits) -> dict[str, int]:
    return {name: len(splits.parts[name]) for name in PARTS}


def test_shares_are_met_on_average() -> None:
    found = sizes(parted({"text": texts_of(4000)}))
    for name, share in (("test", 0.15), ("validation", 0.1), ("calibration", 0.05)):
        assert abs(found[name] - 4000 * share) < 4 * (4000 * share * (1 - share)) ** 0.5
    assert sum(found.values()) == 4000


def test_seeds_give_other_splits_and_the_same_seed_the_same() -> None:
    one, again, other = (parted({"text": texts_of(400)}, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.parts["test"], again.parts["test"])
    assert len(np.intersect1d(one.parts["test"], other.parts["test"])) < 0.5 * len(one.parts["test"])


def test_calibration_and_validation_are_capped_and_test_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    free = parted({"text": texts_of(2000)})
    monkeypatch.setitem(cut.MOST, "validation", 60)
    monkeypatch.setitem(cut.MOST, "calibration", 30)
    capped = parted({"text": texts_of(2000)})
    assert 30 <= len(capped.parts["validation"]) <= 60 and 10 <= len(capped.parts["calibration"]) <= 30
    assert np.array_equal(free.parts["test"], capped.parts["test"])
    assert set(capped.parts["validation"]) < set(free.parts["validation"])


def test_a_test_file_is_kept_and_validation_comes_from_train() -> None:
    test = Table.of({"text": texts_of(100, 1)}, "test.csv")
    found = parted({"text": texts_of(1000)}, {"test": test})
    assert found.parts["test"].tolist() == list(range(1000, 1100))
    assert found.how.value == "files" and found.given == ("test",)
    assert all(len(found.parts[name]) and found.parts[name].max() < 1000 for name in ("train", "validation", "calibration"))


def test_leaks_of_the_users_split_are_told_and_never_used_for_our_own_parts() -> None:
    train = texts_of(600)
    test = texts_of(95, 1) + [train[i].upper() for i in range(3)] + [train[7] + " end", train[8] + " ."]
    found = parted({"text": train}, {"test": Table.of({"text": test}, "test.csv")})
    assert found.leaked_test.tolist() == [95, 96, 97, 98, 99] and found.leaked_exact == 4
    assert {0, 1, 2, 7, 8} <= set(found.parts["train"].tolist())
    assert len(found.parts["test"]) == 100


def test_a_column_that_says_so_is_used_unasked() -> None:
    said = ["train"] * 80 + ["dev"] * 10 + ["Test "] * 10
    found = parted({"text": texts_of(100), "split": said})
    assert found.how.value == "column" and found.given == ("validation", "test")
    assert found.parts["test"].tolist() == list(range(90, 100)) and found.parts["validation"].tolist() == list(range(80, 90))


def test_a_column_that_only_looks_like_one_is_not() -> None:
    assert parted({"text": texts_of(100), "split": ["left", "right"] * 50}).how.value == "random (by content)"


def test_a_word_that_is_no_part_is_refused_with_its_row() -> None:
    with pytest.raises(DataError, match=r"train.csv, row 3, column 'use'.*'tset'.*'test'"):
        parted({"text": texts_of(30), "use": ["train", "test", "tset"] * 10}, split_column="use")


def test_groups_stay_together_and_single_rows_without_group_too() -> None:
    users = [f"u{i % 40}" if i % 10 else None for i in range(800)]
    found = parted({"text": texts_of(800), "user": users}, group="user")
    where = {i: name for name, rows in found.parts.items() for i in rows}
    for user in set(users) - {None}:
        assert len({where[i] for i, u in enumerate(users) if u == user}) == 1
    assert found.how.value == "group" and all(sizes(found).values())


def test_few_groups_still_fill_test_and_validation() -> None:
    for seed in range(5):
        found = sizes(parted({"text": texts_of(90), "user": ["a", "b", "c"] * 30}, seed=seed, group="user"))
        assert found["test"] and found["validation"] and found["train"]


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(DataError, match="enough different values of 'user'"):
        parted({"text": texts_of(90), "user": ["a", "b"] * 45}, group="user")


def test_the_latest_rows_are_the_test_and_ties_stay_together() -> None:
    days = [f"2024-01-{1 + i % 28:02d}" for i in range(280)]
    found = parted({"text": texts_of(280), "day": days}, time="day")
    last = {name: (min(days[i] for i in rows), max(days[i] for i in rows)) for name, rows in found.parts.items()}
    assert last["train"][1] < last["validation"][0] and max(last["validation"][1], last["calibration"][1]) < last["test"][0]
    assert abs(len(found.parts["test"]) - 42) <= 10


@pytest.mark.parametrize("bad", ["soon", None, "03/04/2021"])
def test_times_that_are_none_are_refused(bad: str | None) -> None:
    with pytest.raises(DataError, match=r"row 2, column 'day'"):
        parted({"text": texts_of(30), "day": ["2024-01-01", bad, *["2024-02-02T10:00:00Z"] * 28]}, time="day")


def test_one_time_only_is_refused() -> None:
    with pytest.raises(DataError, match="enough different values of 'day'"):
        parted({"text": texts_of(30), "day": ["2024-01-01"] * 30}, time="day")


def test_a_chain_of_near_duplicates_is_not_one_part_and_its_test_rows_count_as_leaked() -> None:
    stem = " ".join(WORDS[:40])
    chain = [f"{stem} number {i}" for i in range(200)]
    found = parted({"text": chain + texts_of(200)})
    assert 20 <= len(found.parts["test"]) <= 110 and any("long chain" in note for note in found.notes)
    assert set(found.parts["test"][found.leaked_test].tolist()) == {i for i in found.parts["test"] if i < 200}


def test_a_text_that_is_most_of_the_rows_goes_to_train() -> None:
    found = parted({"text": ["same text again"] * 100 + texts_of(200)})
    assert set(range(100)) <= set(found.parts["train"].tolist()) and not len(found.leaked_test)


def test_each_class_has_a_training_row_and_the_shares_reached_are_told() -> None:
    rare = ["common"] * 290 + [f"rare{i}" for i in range(10)]
    found = parted({"text": texts_of(300), "label": rare})
    assert {rare[i] for i in found.parts["train"]} == set(rare)
    assert any("class shares of the test rows are within" in note for note in found.notes)


def test_what_is_said_of_a_split_is_what_was_done() -> None:
    columns: dict[str, list[object]] = {"text": texts_of(300), "label": ["a", "b", "c"] * 100}
    plain, random_, asked = parted(columns), parted(columns, split="random"), parted(columns, split="stratified")
    assert plain.how.value == random_.how.value == "random (by content)" and "moves no old one" in plain.how.why
    assert np.array_equal(plain.parts["test"], random_.parts["test"])
    assert asked.how.value == "stratified" and "may move others" in asked.how.why
    assert not np.array_equal(plain.parts["test"], asked.parts["test"])


def test_rows_with_several_labels_or_none_are_parted_at_random_and_that_is_said() -> None:
    class_M2 = np.array([(i, c) for i in range(200) for c in range(1 + i % 2)])
    for memberships in (class_M2, np.zeros((0, 2), np.int64)):
        found = split({"train": Table.of({"text": texts_of(200)})}, texts_of(200), memberships, spec.Data(split="stratified"), 0)
        assert found.how.value == "random (by content)" and "stratified was asked for, but" in found.how.why
        assert "stratified was asked for, but" in found.notes[0]


def test_ranges_of_a_number_are_met_within_one_row() -> None:
    number_N = np.random.default_rng(0).normal(size=400) ** 3
    table = Table.of({"text": texts_of(400)})
    found = split({"train": table}, texts_of(400), np.zeros((0, 2), np.int64), spec.Data(split="stratified"), 0, number_N=number_N)
    tenth_N = np.argsort(np.argsort(number_N)) // 40
    for name, share in (("test", 0.15), ("validation", 0.1), ("calibration", 0.05)):
        assert np.abs(np.bincount(tenth_N[found.parts[name]], minlength=10) - 40 * share).max() <= 1
    assert found.how.value == "stratified"


def test_a_stratified_validation_beside_a_given_test_file() -> None:
    test = Table.of({"text": texts_of(50, 1), "label": ["a", "b"] * 25}, "test.csv")
    found = parted({"text": texts_of(400), "label": ["a", "b", "b", "b"] * 100}, {"test": test}, split="stratified")
    assert found.how.value == "files" and np.bincount(found.parts["validation"] % 4, minlength=4)[0] == 10
    assert len(found.parts["validation"]) == 40


def test_rows_that_repeat_across_named_groups_are_set_aside() -> None:
    texts = texts_of(400)
    texts[:60] = ["thank you very much"] * 60
    found = parted({"text": texts, "user": [f"u{i % 80}" for i in range(400)]}, group="user")
    assert len(found.aside) and not np.isin(found.aside, np.concatenate(list(found.parts.values()))).any()
    assert set(found.parts["test"][found.leaked_test].tolist()) == {i for i in found.parts["test"] if i < 60}


@pytest.mark.parametrize(("n", "options"), [(9, {}), (1, {}), (5, {"group": "label"})])
def test_too_few_rows_are_refused(n: int, options: dict[str, str]) -> None:
    with pytest.raises(DataError, match="at least 10 rows"):
        parted({"text": texts_of(n), "label": ["a"] * n}, **options)


def test_ten_rows_are_enough() -> None:
    for seed in range(20):
        found = sizes(parted({"text": texts_of(10, seed), "label": ["a", "b"] * 5}, seed=seed))
        assert found["test"] >= 2 and found["validation"] >= 2 and found["train"] >= 2


def test_settings_that_contradict_each_other_are_refused() -> None:
    columns: dict[str, list[object]] = {"text": texts_of(20), "user": ["a", "b"] * 10, "use": ["train", "test"] * 10}
    for options in ({"split": "group"}, {"split": "time"}, {"group": "user", "time": "user"}, {"test_share": 0.9, "validation_share": 0.1}):
        with pytest.raises(SpecError):
            parted(columns, **options)
    with pytest.raises(SpecError, match="from a file or from column"):
        parted(columns, {"test": Table.of({"text": texts_of(5, 9)})}, split_column="use")


def test_no_share_no_part() -> None:
    found = sizes(parted({"text": texts_of(100)}, test_share=0.0, calibration_share=0.0))
    assert not found["test"] and not found["calibration"] and found["validation"]


@pytest.mark.slow
def test_binomial_shares_per_class_are_unbiased() -> None:
    """Over many seeds, each class puts its share into test: nobody is favoured, large groups included."""
    texts = [t for t in texts_of(300) for _ in range(1)] + [t + " twin" for t in texts_of(50)]
    counts = [len(parted({"text": texts}, seed=s).parts["test"]) for s in range(60)]
    assert abs(np.mean(counts) - 0.15 * len(texts)) < 3 * np.std(counts) / 60**0.5 + 1
