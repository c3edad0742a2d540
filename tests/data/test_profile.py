"""Profiles: facts over all rows, and one clear rule per kind."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from tunesmith.data.profile import Profile
from tunesmith.data.table import Table

N = 200
WORDS = ["river", "stone", "quiet", "letter", "garden", "winter", "copper", "signal"]


def sentence(i: int) -> str:
    return " ".join(WORDS[(i * k + k) % 8] for k in range(1, 9)) + f" {i}"


KINDS: dict[str, tuple[str, list[object]]] = {
    "sentences": ("text", [sentence(i) for i in range(N)]),
    "chinese": ("text", [f"这部电影很好看我喜欢{chr(0x4E00 + i)}{chr(0x5E00 + 3 * i)}" for i in range(N)]),
    "single_words": ("text", [f"{WORDS[i % 8]}{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(N)]),
    "labels": ("category", [WORDS[i % 3] for i in range(N)]),
    "intents": ("category", [f"intent_{i % 77}" for i in range(N)]),
    "yes_no": ("category", ["yes" if i % 3 else "no" for i in range(N)]),
    "cities": ("category", [["Paris, France", "Rome, Italy", "Bonn, Germany"][i % 3] for i in range(N)]),
    "true_false": ("boolean", ["true" if i % 3 else "False" for i in range(N)]),
    "flags": ("boolean", [bool(i % 2) for i in range(N)]),
    "stars": ("integer", [i % 5 for i in range(N)]),
    "years": ("integer", [1900 + (i * 37) % 5000 for i in range(N)]),
    "score": ("number", [i / 7 for i in range(N)]),
    "index": ("id", list(range(N))),
    "user_id": ("id", [10_000_019 * i % 999_983 for i in range(N)]),
    "comment": ("id", [f"ed{i:05x}" for i in range(N)]),
    "image": ("path", [f"images/{i} of many.jpg" for i in range(N)]),
    "day": ("date", [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(N)]),
    "when": ("date", [datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=i) for i in range(N)]),
    "tags": ("list", ["|".join(WORDS[j] for j in range(8) if (i >> j) & 1) or None for i in range(N)]),
    "numbers_of_labels": ("list", [f"{i % 28},{(i * 5) % 28}" if i % 6 == 0 else str(i % 28) for i in range(N)]),
    "json_lists": ("list", [f'["{WORDS[i % 8]}"]' for i in range(N)]),
    "lists": ("list", [[WORDS[i % 8]] for i in range(N)]),
    "same": ("constant", ["x"] * N),
    "nothing": ("constant", [None] * N),
    "paid": ("integer", [i * 3 for i in range(N)]),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds(name: str) -> None:
    kind, values = KINDS[name]
    assert Profile.of(Table.of({name: values})).columns[name].kind == kind


def test_few_rows_of_text_are_text() -> None:
    profile = Profile.of(Table.of({"text": ["Good film.", "Bad film."], "label": ["pos", "neg"]}))
    assert profile.columns["text"].kind == "text"


def test_four_rows_show_a_category() -> None:
    profile = Profile.of(Table.of({"text": ["a b", "c d", "e f", "g h"], "label": ["pos", "neg", "neg", "pos"]}))
    assert {name: column.kind for name, column in profile.columns.items()} == {"text": "text", "label": "category"}


def test_facts_are_of_filled_cells() -> None:
    profile = Profile.of(Table.of({"t": ["a bc", None, "def 文文", "a bc"], "x": [1.5, -2.0, None, None]}))
    text, number = profile.columns["t"], profile.columns["x"]
    assert profile.rows == 4
    assert (text.distinct, text.empty, text.mean_chars, text.max_chars) == (2, 1, pytest.approx(14 / 3), 6)
    assert text.mean_words == pytest.approx(7 / 3) and text.examples == ("a bc", "def 文文")
    assert (number.low, number.high, number.empty, number.distinct) == (-2.0, 1.5, 2, 2)


def test_a_view_is_profiled_by_its_rows() -> None:
    view = Table.of({"label": ["a", "a", "b", "c"]}).take([0, 1])
    column = Profile.of(view).columns["label"]
    assert (column.distinct, column.kind) == (1, "constant")


def test_an_empty_table_has_a_profile() -> None:
    assert Profile.of(Table.of({"a": []})).columns["a"].kind == "constant"


def test_facts_do_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    table = Table.of({name: values for name, (_, values) in KINDS.items() if name not in ("index",)})
    there, mixed = Profile.of(table), Profile.of(table.take(rng.permutation(N)))
    for name in table.names:
        one, other = there.columns[name], mixed.columns[name]
        assert (one.kind, one.distinct, one.max_chars, one.low) == (other.kind, other.distinct, other.max_chars, other.low), name
        assert one.mean_words == pytest.approx(other.mean_words)
