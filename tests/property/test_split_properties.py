"""The split is a pure function of row content: for any rows, any order, any addition."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith import spec
from tunesmith.data import cut, labels
from tunesmith.data.split import PARTS, Splits, split
from tunesmith.data.table import Table

SEEDS = st.integers(0, 2**31 - 1)


def rows_of(n: int, seed: int, classes: int = 3, repeats: float = 0.1) -> list[dict[str, str]]:
    draw = random.Random(seed)
    rows: list[dict[str, str]] = []
    for _ in range(n):
        text = " ".join(str(draw.randrange(10**6)) for _ in range(8))
        if rows and draw.random() < repeats:
            text = draw.choice(rows)["text"].upper() + "!"
        rows.append({"text": text, "label": str(draw.randrange(classes)), "user": str(draw.randrange(max(2, n // 5)))})
    return rows


def parted(rows: list[dict[str, str]], seed: int, **options: object) -> Splits:
    table = Table.of(rows)
    class_M2, _ = labels.of_rows(table, ["label"], "label").memberships()
    return split({"train": table}, table.column("text"), class_M2, spec.Data(**options), seed)


def part_of_rows(splits: Splits, n: int) -> np.ndarray:
    part_N = np.full(n, -1)
    for i, name in enumerate(PARTS):
        part_N[splits.parts[name]] = i
    return part_N


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(120, 400), st.integers(1, 200))
def test_adding_rows_moves_no_old_row(seed: int, n: int, more: int) -> None:
    """Rows that a rule of `cut.py` had to move, and rows whose group grew, are the only exceptions."""
    old, new = rows_of(n, seed), rows_of(more, seed + 1)
    before, after = parted(old, seed), parted(old + new, seed)
    stays = ~np.isin(np.arange(n), np.concatenate([before.moved, after.moved]))
    assert np.array_equal(part_of_rows(before, n)[stays], part_of_rows(after, n + more)[:n][stays])
    assert stays.mean() > 0.9


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(10, 150), st.randoms(use_true_random=False))
def test_order_does_not_matter(seed: int, n: int, draw: random.Random) -> None:
    rows = rows_of(n, seed)
    order = draw.sample(range(n), n)
    plain = part_of_rows(parted(rows, seed), n)
    assert np.array_equal(plain[order], part_of_rows(parted([rows[i] for i in order], seed), n))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(40, 200), st.integers(2, 12))
def test_parts_are_whole_disjoint_and_free_of_leaks(seed: int, n: int, classes: int) -> None:
    splits = parted(rows_of(n, seed, classes, repeats=0.3), seed)
    part_N = part_of_rows(splits, n)
    assert sorted(np.concatenate(list(splits.parts.values())).tolist()) == list(range(n))
    for group in range(splits.duplicates.group_N.max() + 1):
        assert len(set(part_N[splits.duplicates.group_N == group])) == 1, "a group was torn apart"
    assert not len(splits.leaked_test)
    assert len(splits.parts["test"]) and len(splits.parts["validation"]) and len(splits.parts["train"])


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(30, 400), st.integers(2, 30), st.sampled_from([0.0, 0.2]))
def test_stratified_shares_are_met_within_one_row_in_every_label(seed: int, n: int, classes: int, repeats: float) -> None:
    """Repeated rows stay together: where there are some, a share may be missed by as many rows as the largest group has."""
    rows = rows_of(n, seed, classes, repeats)
    splits = parted(rows, seed, split="stratified")
    group_N, part_N, moved = splits.duplicates.group_N, part_of_rows(splits, n), len(splits.moved)
    slack = 1 + moved + (int(np.bincount(group_N).max()) if splits.duplicates.exact else 0)
    for label in {row["label"] for row in rows}:
        mine_N = np.array([row["label"] == label for row in rows])
        assert (part_N[mine_N] == PARTS.index("train")).any(), "every label can be learned"
        for name, share in (("test", 0.15), ("validation", 0.1), ("calibration", 0.05)):
            there = int((part_N[mine_N] == PARTS.index(name)).sum())
            assert abs(there - share * mine_N.sum()) <= slack
            assert there or name == "calibration" or mine_N.sum() < 5 or repeats or moved, "five rows are enough to be judged"
    assert all(len(set(part_N[group_N == group])) == 1 for group in set(group_N.tolist())), "a group was torn apart"


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(30, 150), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_to_strata(seed: int, n: int, draw: random.Random) -> None:
    rows = rows_of(n, seed)
    order = draw.sample(range(n), n)
    plain = part_of_rows(parted(rows, seed, split="stratified"), n)
    assert np.array_equal(plain[order], part_of_rows(parted([rows[i] for i in order], seed, split="stratified"), n))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(60, 200), st.integers(2, 20))
def test_every_class_has_a_training_row(seed: int, n: int, classes: int) -> None:
    rows = rows_of(n, seed, classes)
    here = {rows[i]["label"] for i in parted(rows, seed).parts["train"]}
    assert here == {row["label"] for row in rows}


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(40, 300))
def test_named_groups_stay_together_and_no_row_of_ours_repeats(seed: int, n: int) -> None:
    rows = rows_of(n, seed)
    splits = parted(rows, seed, group="user")
    part_N = part_of_rows(splits, n)
    for user in {row["user"] for row in rows}:
        mine = {int(p) for p, row in zip(part_N, rows, strict=True) if row["user"] == user} - {-1}
        assert len(mine) <= 1
    group_N = splits.duplicates.group_N
    for part in ("validation", "calibration"):
        mine = splits.parts[part]
        if len(mine) and not np.isin(group_N[mine], group_N[part_N != PARTS.index(part)]).all():
            others = np.isin(part_N, [PARTS.index("train"), PARTS.index("test")])
            assert not np.isin(group_N[mine], group_N[others]).any()


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(0, 2**31 - 1))
def test_seeds_give_unrelated_uniform_numbers(seed: int, other: int) -> None:
    key_N = np.arange(4000, dtype=np.uint64)
    u_N = cut.unit(key_N, seed)
    assert 0 <= u_N.min() and u_N.max() < 1 and abs(u_N.mean() - 0.5) < 0.03
    if seed != other:
        assert abs(np.corrcoef(u_N, cut.unit(key_N, other))[0, 1]) < 0.1
