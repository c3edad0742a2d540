"""Numbers and dates as people write them: a column says how it is written, and no cell is guessed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.parts import quantities
from tunesmith.parts.quantities import Style, read, style

MANY = ["1,234", "2,345", "3,456", "12,345", "9,999", "12"]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["$1,234.00", "$85.00", "($5.00)", "-$3", "N/A"], [1234, 85, -5, -3, math.nan]),
        (["85%", "9 %"], [85, 9]),
        (["1.2k", "300", "4M"], [1200, 300, 4e6]),
        (["1.234,5", "2,5"], [1234.5, 2.5]),
        (["5 €", "1.000,50 €"], [5, 1000.5]),
        (["USD 1,000.50", "USD 7"], [1000.5, 7]),
        (["90 m²", "12.5 m²"], [90, 12.5]),
        (["$950k", "$1.2m", "$0.5 million", "$800,000"], [950e3, 1.2e6, 0.5e6, 800e3]),
        (["1.8 m", "2.5 m"], [1.8, 2.5]),
        (["$1,200", "950", "$85.50", "1,000"], [1200, 950, 85.5, 1000]),
        (["1200", "950 EUR", "30"], [1200, 950, 30]),
        (["$1,200.50/month", "$950/month"], [1200.5, 950]),
        (["£12.50 per hour", "£9 per hour"], [12.5, 9]),
        (["1 234", "12"], [1234, 12]),
        (["0,123", "1,500"], [0.123, 1.5]),
        ([1, 2.5, None, True], [1, 2.5, math.nan, 1]),
        (["1,2 Mio. €", "850 Tsd. €", "950.000 €", "3,5 Mrd €"], [1.2e6, 850e3, 950e3, 3.5e9]),
        (["850 Tsd.", "3,5 Mrd."], [850e3, 3.5e9]),
        (["1.5 Mio. €", "3.100 Mio. €"], [1.5e6, 3.1e6]),
        (["3 million", "850 thousand"], [3e6, 850e3]),
        (["1,2 Md€", "900 M€", "3 Millionen €"], [1.2e9, 900e6, 3e6]),
        (["$3 million per year", "$850k per year"], [3e6, 850e3]),
        (MANY, [1234, 2345, 3456, 12345, 9999, 12]),
    ],
)
def test_columns_are_read_as_they_are_written(cells: list[Any], values: list[float]) -> None:
    how = style(cells)
    assert how is not None
    assert [read(cell, how) for cell in cells] == pytest.approx(values, nan_ok=True)


@pytest.mark.parametrize(
    "cells",
    [["1,234"], ["2 baths", "1 bath"], ["12a", "b"], ["$5", "5 €"], [], ["N/A"], [["a"]], ["1,234", "1.234,5", "1,234.5"], ["1e999"],
     ["$900 pcm", "$200 pw"], ["$900/month", "$30/night"], ["$900", "$30 pw"], ["12%", "0.3"], ["1,2 Mio. €", "3 Mio. $"],
     ["1,2 Mio.", "3.4 Mio."], ["1.250 Mio. €", "3.100 Mio. €"], [f"{one},{one}34 Mrd. €" for one in range(1, 9)]],
)
def test_what_could_be_two_numbers_is_none(cells: list[Any]) -> None:
    assert style(cells) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=1, max_size=20))
def test_writing_and_reading_gives_the_same_number(values: list[float]) -> None:
    cells = [f"${value:,.2f}" for value in values]
    how = style(cells)
    assert how is not None
    assert [read(cell, how) for cell in cells] == pytest.approx([round(value, 2) for value in values], abs=0.006)


def test_cells_that_are_filled_but_no_numbers_are_named() -> None:
    cells = ["$1.50", "", "N/A", "cheap", None]
    assert quantities.unreadable(cells, quantities.read_all(cells, Style("$"))).tolist() == [3]
