"""Which columns a table task reads, and which tables it leaves to others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tunesmith.data.profile import Profile
from tunesmith.data.table import Table
from tunesmith.parts import roles
from tunesmith.registry import TASKS

N = 120
RNG = np.random.default_rng(0)
WORDS = "the film was very good but our meal cold and room small we came again because staff kind".split()
TEXT = [" ".join(RNG.choice(WORDS, 12)) + f" {i}" for i in range(N)]
SIZE, BEDS = RNG.integers(10, 900, N).tolist(), RNG.integers(1, 6, N).tolist()
KIND = RNG.choice(["flat", "house", "boat"], N).tolist()
PRICE = [f"${n:,.2f}" for n in RNG.integers(50, 4000, N).tolist()]
LABEL = ["good", "bad"] * (N // 2)
HOME: dict[str, Any] = {
    "id": list(range(N)), "size": SIZE, "beds": BEDS, "kind": KIND, "since": [f"20{10 + i % 12}-0{1 + i % 9}-11" for i in range(N)],
    "tags": ['["wifi", "tea"]', '["wifi"]'] * (N // 2), "rate": [f"{i % 90}%" for i in range(N)], "text": TEXT,
    "link": [f"https://example.org/{i}" for i in range(N)], "same": ["x"] * N, "photo": [f"{i}.jpg" for i in range(N)], "price": PRICE,
}


def _chosen(columns: dict[str, Any], **named: Any) -> str:
    """The task that `fit` would take."""
    profile = Profile.of(Table.of(columns))
    claims = {}
    for name in TASKS.names():
        task = TASKS.load(name)
        found = task.claim(profile, named) if set(named) <= set(task.options()) else None
        if found and not task.writes:
            claims[name] = found.sure
    return max(claims, key=lambda name: claims[name]) if claims and max(claims.values()) >= 0.1 else ""


def test_every_column_gets_a_role_or_a_reason() -> None:
    table = Table.of(HOME)
    found = roles.of(table, Profile.of(table), "price", {})
    assert {role: list(names) for role, names in found.names.items()} == {
        "numbers": ["size", "beds", "rate"], "categories": ["kind"], "dates": ["since"], "lists": ["tags"], "texts": ["text"],
        "images": ["photo"], "leave_out": ["id", "link", "same"],
    }
    assert all(word in found.reason("leave_out") for word in ("another value in each row", "web addresses", "the same"))


def test_quantities_with_units_make_a_table_as_plain_ones_do() -> None:
    prices = {"price": PRICE, "kind": KIND, "photo": HOME["photo"], "text": TEXT}
    units = {"area": [f"{n} m²" for n in range(N)], "tax": [f"{n / 7:.1f}%" for n in range(N)], "income": [f"{n + 20}k" for n in range(N)]}
    assert _chosen(prices | units) == "mixed"
    assert _chosen(prices | {name: [f"00{n}" for n in range(N)] for name in units}) != "mixed"  # codes are no quantities
    table = Table.of(units | {"code": [f"{n}" for n in RNG.permutation(N) + 50], "price": PRICE})
    found = roles.of(table, Profile.of(table), "price", {})
    assert list(found.names["numbers"]) == list(units) and list(found.names["leave_out"]) == ["code"]


def test_files_that_are_no_pictures_are_left_out_and_said() -> None:
    table = Table.of(HOME | {"song": [f"{i}.wav" for i in range(N)]})
    found = roles.of(table, Profile.of(table), "price", {})
    assert "song" in found.names["leave_out"] and "files that are no pictures" in found.reason("leave_out")


def test_named_roles_keep_exactly_what_was_named() -> None:
    table = Table.of(HOME)
    found = roles.of(table, Profile.of(table), "price", {"numbers": ["beds"], "categories": ["kind", "size"]})
    assert list(found.names["numbers"]) == ["beds"] and list(found.names["categories"]) == ["kind", "size"]


TABLE = {"size": SIZE, "beds": BEDS, "kind": KIND}


@pytest.mark.parametrize(
    ("columns", "named", "task"),
    [
        (HOME, {}, "mixed"),
        ({key: HOME[key] for key in HOME if key != "photo"}, {}, "mixed"),
        ({**TABLE, "price": PRICE}, {}, "mixed"),
        ({**TABLE, "price": SIZE[::-1]}, {}, "mixed"),
        ({**TABLE, "sold": LABEL}, {"label": "sold"}, "mixed"),
        ({**TABLE, "text": TEXT, "sold": SIZE[::-1]}, {"target": "sold"}, "mixed"),
        ({"text": TEXT, "label": LABEL}, {}, "text-classification"),
        ({"id": list(range(N)), "date": HOME["since"], "text": TEXT, "label": LABEL}, {}, "text-classification"),
        ({"text": TEXT, "stars": BEDS, "helpful": SIZE, "label": LABEL}, {"label": "label"}, "text-classification"),
        ({"text": TEXT, "price": SIZE}, {}, "text-regression"),
        ({"id": list(range(N)), "V": RNG.random(N).tolist(), "A": BEDS, "text": TEXT}, {"target": "V"}, "text-regression"),
        ({"text": TEXT, **{n: RNG.integers(0, 2, N).tolist() for n in ("toxic", "threat", "insult", "hate")}}, {}, "text-classification"),
        ({"text": TEXT, **{n: RNG.integers(0, 2, N).tolist() for n in "abcd"}, "label": LABEL}, {"label": "label"}, "text-classification"),
        ({"image": HOME["photo"], **TABLE, "label": LABEL}, {}, "image-classification"),
        ({"image": HOME["photo"], "width": SIZE, "height": SIZE, "class": KIND, **{n: SIZE for n in ("xmin", "ymin", "x_max", "y_max")}},
         {}, "image-classification"),
        ({**TABLE, "label": LABEL, "text": TEXT}, {"text": "text"}, "text-classification"),
        ({"a": RNG.random(N).tolist(), "b": RNG.random(N).tolist(), "c": RNG.random(N).tolist()}, {}, ""),
    ],
)
def test_each_table_goes_to_its_own_task(columns: dict[str, Any], named: dict[str, Any], task: str) -> None:
    assert _chosen(columns, **named) == task
