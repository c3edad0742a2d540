"""Rows of tokens by a fixed width go to Parquet as numbers and come back the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data import arrays


def _objects(values):
    found = np.empty(len(values), object)
    for at, value in enumerate(values):
        found[at] = value
    return found


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(1, 4), st.integers(0, 9))
def test_rows_of_unlike_length_and_like_width_are_numbers_in_parquet(sizes, width, seed):
    rng = np.random.default_rng(seed)
    kept = _objects([rng.normal(size=(size, width)).astype(np.float32) for size in sizes])
    column = arrays.to_arrow(kept, np.float32)
    assert not pa.types.is_string(column.type)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables([pa.table({"a": column})] * 2), sink)
    back = arrays.from_arrow(pq.read_table(pa.BufferReader(sink.getvalue()))["a"].slice(1), np.float32)
    for one, other in zip([*kept[1:], *kept], back, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other) and one.shape == other.shape


def test_rows_of_unlike_width_stay_json():
    kept = _objects([np.ones((1, 2), np.float32), np.ones((1, 3), np.float32)])
    assert pa.types.is_string(arrays.to_arrow(kept, np.float32).type)
