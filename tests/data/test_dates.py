"""Dates in the usual forms: a column says which part is the day, and one that does not is refused where rows are ordered by it."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.data import dates
from tunesmith.data.table import Table
from tunesmith.errors import DataError


def test_dates_say_themselves_which_part_is_the_day() -> None:
    assert dates.day_first(["13/4/2021", "1/2/2021"]) and not dates.day_first(["4/13/2021", "1/2/2021"])
    assert dates.day_first(["3.4.2021"]) and not dates.day_first(["3/4/2021"])
    for cell, first in (("13/4/2021", True), ("4/13/2021", False), ("2021-04-13", False), ("2021-04-13T00:00:00Z", True)):
        assert str(dates.moment(cell, first)) == "2021-04-13 00:00:00"
    assert all(dates.moment(cell, False) is None for cell in ("soon", None, 5, "31/31/2021"))


def test_rows_are_ordered_by_dates_as_people_write_them() -> None:
    iso = ["2021-01-03", "2021-01-29", "2021-02-01", "2021-12-24"]
    told_N = dates.seconds(Table.of({"day": iso}), "day")
    assert (np.diff(told_N) > 0).all()
    for form in ("{2}/{1}/{0}", "{1}/{2}/{0}", "{2}.{1}.{0}", "{0}/{1}/{2}"):
        cells = [form.format(*day.split("-")) for day in iso]
        np.testing.assert_array_equal(dates.seconds(Table.of({"day": cells}), "day"), told_N, form)
    later = dates.seconds(Table.of({"day": ["2021-01-01T00:00:00+02:00", "2021-01-01 00:00:00"]}), "day")
    assert later[1] - later[0] == 7200


@pytest.mark.parametrize("cell", ["3/4/2021", "soon", "31/31/2021"])
def test_rows_are_not_ordered_by_what_could_be_two_dates_or_is_none(cell: str) -> None:
    with pytest.raises(DataError, match="row 2.*2021-04-03") as found:
        dates.seconds(Table.of({"day": ["2021-01-03", cell]}), "day")
    assert found.value.code == "bad-time" and ("could be two dates" in found.value.got) == (cell == "3/4/2021")
