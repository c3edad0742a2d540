"""Columns as numbers: learned from training rows alone, the same alone and together, finite whatever a cell holds."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from tunesmith.parts import fields
from tunesmith.parts.fields import Field, fit

COLUMNS: dict[str, tuple[Any, list[Any]]] = {
    "size": ("number", [*range(40), None, "", "N/A"]),
    "price": ("number", [f"${n},000.00" for n in range(1, 41)]),
    "kind": ("category", ["a", "b", "c", None] * 10 + ["rare"]),
    "since": ("date", [f"2021-{1 + n % 12:02d}-0{1 + n % 9}" for n in range(40)] + [None]),
    "tags": ("list", ['["x", "y"]', "['x']", "", "x|z"] * 10),
    "always": ("number", [3] * 40),
}
ODD = [None, "", "no idea", "1e400", -1e300, 1e29, True, "2021-05-05", "[]", float("nan")]


@pytest.mark.parametrize("name", COLUMNS)
def test_any_cell_gives_finite_numbers_alone_as_together(name: str) -> None:
    kind, cells = COLUMNS[name]
    field = fit(name, kind, cells)
    together = field.encode([*cells, *ODD])
    assert together.shape == (len(cells) + len(ODD), field.width) and np.isfinite(together).all()
    assert np.array_equal(together, np.concatenate([field.encode([cell]) for cell in [*cells, *ODD]]))
    assert len(field.raw([*cells, *ODD])) == len(together) and field.describe()


@pytest.mark.parametrize("name", COLUMNS)
def test_a_field_survives_json(name: str) -> None:
    field = fit(name, *COLUMNS[name])
    assert Field.of_json(json.loads(json.dumps(dataclasses.asdict(field)))) == field


def test_quantities_keep_their_order_and_empty_ones_have_a_flag() -> None:
    field = fit("size", *COLUMNS["size"])
    told = field.encode([1, 7, 20, 39])
    assert (np.diff(told[:, :-1].sum(1)) > 0).all() and not told[:, -1].any()
    assert field.encode([None])[0, -1] == 1 and field.empty == 3 and "with a flag" in field.describe()


def test_dates_have_places_only_on_circles_that_training_went_round_twice() -> None:
    days = ["2021-01-01", "2021-03-01", "2021-04-01"]
    assert fit("day", "date", days).turns == (7.0,) and fit("day", "date", days[:1]).turns == ()
    assert fit("day", "date", ["2021-01-01", "2023-05-01T10:30:00"]).turns == (365.2425, 7.0, 1.0)
    assert "place in the week" in fit("day", "date", days).describe()


def test_levels_that_training_did_not_see_share_a_place_and_none_has_its_own() -> None:
    field = fit("kind", *COLUMNS["kind"])
    assert field.levels == ("a", "b", "c")
    rows = field.encode(["rare", "new", None, "a"])
    assert np.array_equal(rows[0], rows[1]) and not np.array_equal(rows[0], rows[2]) and (rows.sum(1) == 1).all()


def test_whole_numbers_are_the_same_level_however_they_are_typed() -> None:
    field = fit("code", "category", [1, 2, 3] * 5)
    assert np.array_equal(field.encode(["1"]), field.encode([1])) and np.array_equal(field.encode([1.0]), field.encode([1]))


def test_a_table_without_fields_has_no_width() -> None:
    assert fields.table([], {}, 3).shape == (3, 0)
