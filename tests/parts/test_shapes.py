"""Polygons and run lengths as masks: exact on what is known, the same as COCO's own form of the same mask, refused where they lie."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.errors import DataError
from tunesmith.parts import shapes
from tunesmith.parts.masks import VOID

NAMES = ["background", "cat", "dog"]


def _one(label="cat", crowd=False, **what):
    return {"label": label, "crowd": crowd, **what}


def _square(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def _packed(lengths):
    """COCO's own packing (rleToString of its C code), written down again."""
    text = ""
    for at, length in enumerate(lengths):
        value, more = length - (lengths[at - 2] if at > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != -1 if bits & 16 else value != 0
            text += chr((bits | 32 if more else bits) + 48)
    return text


def _lengths(mask_HW):
    flat = mask_HW.T.ravel().astype(int)
    ends = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *ends, len(flat)]).tolist()
    return [0, *lengths] if flat[0] else lengths


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.integers(1, 20))
def test_a_rectangle_covers_its_own_pixels_and_no_other(left, top, width, height):
    made = shapes.mask([_one(polygons=[_square(left, top, left + width, top + height)])], (40, 40), NAMES)
    wanted = np.zeros((40, 40), np.uint8)
    wanted[top : top + height, left : left + width] = 1
    assert np.array_equal(made, wanted)


def test_neighbours_share_no_pixel_and_leave_none():
    rng = np.random.default_rng(0)
    middle = (rng.uniform(5, 25), rng.uniform(5, 25))
    corners = [(0, 0), (30, 0), (30, 30), (0, 30)]
    parts = [shapes.polygon(np.array([a, b, middle]), (30, 30)) for a, b in zip(corners, corners[1:] + corners[:1])]
    assert np.array_equal(np.sum(parts, 0), np.ones((30, 30)))


@given(st.integers(0, 10**6))
def test_run_lengths_packed_or_plain_give_the_mask_back(seed):
    rng = np.random.default_rng(seed)
    mask_HW = rng.random((int(rng.integers(1, 12)), int(rng.integers(1, 70)))) < rng.uniform(0, 1)
    lengths = _lengths(mask_HW)
    for counts in (lengths, _packed(lengths)):
        assert np.array_equal(shapes.runs({"size": list(mask_HW.shape), "counts": counts}, mask_HW.shape, "x"), mask_HW)


def test_smaller_shapes_lie_on_top_and_crowds_below():
    large, small = _one("dog", polygons=[_square(0, 0, 10, 10)]), _one("cat", polygons=[_square(2, 2, 4, 4)])
    crowd = _one("cat", True, polygons=[_square(0, 0, 20, 20)])
    for order in ([large, small, crowd], [small, crowd, large]):
        made = shapes.mask(json.dumps(order), (20, 20), NAMES)
        assert (made[3, 3], made[6, 6], made[15, 15]) == (1, 2, VOID)
    assert not shapes.mask("[]", (5, 5), NAMES).any()


@pytest.mark.parametrize(
    ("code", "one", "said"),
    [
        ("short-polygon", _one(polygons=[[1, 1, 5, 5]]), "2"),
        ("short-polygon", _one(polygons=[[1, 1, 5, 5, 3, "a"]]), "3 points"),
        ("short-polygon", _one(polygons=[[1, 1, 5, 5, 3, float("nan")]]), "nan"),
        ("outside-polygon", _one(polygons=[[1, 1, 5, 5, 3, 22]]), "(3, 22)"),
        ("outside-polygon", _one(polygons=[_square(-9, 1, 5, 5)]), "(-9, 1)"),
        ("unknown-class", _one("horse", polygons=[_square(1, 1, 5, 5)]), "horse"),
        ("bad-shapes", _one(polygons=[]), "[]"),
        ("bad-runs", _one(rle={"size": [9, 9], "counts": [81]}), "[9, 9]"),
        ("bad-runs", _one(rle={"size": [20, 20], "counts": [100, 100]}), "200"),
        ("bad-runs", _one(rle={"size": [20, 20], "counts": "?"}), "add up"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_its_number(code, one, said):
    with pytest.raises(DataError, match="shape 2") as found:
        shapes.mask([_one(polygons=[_square(1, 1, 3, 3)]), one], (20, 20), NAMES)
    assert found.value.code == code and said in f"{found.value.expected} {found.value.got}"
