"""Masks: every way of writing ids reads alike, the book says what counts, what is no mask is refused."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from tunesmith.errors import DataError, SpecError
from tunesmith.parts import masks

IDS = np.array([[0, 1, 2], [2, 255, 1]], np.uint8)
COLOURS = np.array([(0, 0, 0), (128, 64, 32), (1, 2, 3)], np.uint8)


def saved(array: np.ndarray, kind: str = "PNG", palette: bool = False, mode: str = "") -> bytes:
    image = Image.fromarray(array)
    if palette:
        image.putpalette(list(range(256)) * 3)
    image = image.convert(mode) if mode else image
    made = io.BytesIO()
    image.save(made, kind)
    return made.getvalue()


@pytest.mark.parametrize(
    "data", [saved(IDS), saved(IDS, palette=True), saved(IDS, mode="RGB"), saved(IDS.astype(np.uint16)), saved(IDS, "TIFF")]
)
def test_ids_are_ids_however_they_are_saved(data):
    assert np.array_equal(masks.read(data, coloured=False), IDS)


def test_colours_are_packed_and_told_apart_from_ids():
    data = saved(COLOURS[np.minimum(IDS, 2)])
    assert masks.is_coloured([data]) and not masks.is_coloured([saved(IDS), saved(IDS, mode="RGB"), saved(IDS, palette=True)])
    assert set(np.unique(masks.read(data, coloured=True)).tolist()) == {0, 0x804020, 0x010203}
    with pytest.raises(DataError, match="one of colours"):
        masks.read(data, coloured=False)


def test_a_jpeg_is_no_mask():
    with pytest.raises(DataError, match="JPEG") as caught:
        masks.read(saved(IDS, "JPEG"), coloured=False)
    assert caught.value.code == "lossy-mask"


def test_255_counts_for_nothing_unless_it_is_half_of_two():
    assert masks.learn([0, 1, 255], False, None, ()).ignored == (255,)
    assert masks.learn([0, 255], False, None, ()).keys == (0, 255)
    assert masks.learn([0, 1, 11, 255], False, None, ("11",)).ignored == (11, 255)


def test_the_book_numbers_what_it_knows_and_nothing_else():
    book = masks.learn([], False, {"sky": 7, "void": 3, "road": 1}, ())
    assert book.labels == ("sky", "road") and book.ignored == (3, 255)
    found = book.classes(np.array([[7, 1, 3], [255, 9, 7]]))
    assert found.tolist() == [[0, 1, masks.VOID], [masks.VOID, masks.UNKNOWN, 0]]
    assert book.unknown([7, 9, 3]) == ["9"]


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.csv", "name,r,g,b\nsky,0,0,9\nroad,1,2,3\n", {"sky": 9, "road": 0x010203}),
        ("a.csv", "id,name\n4,sky\n2,road\n", {"sky": 4, "road": 2}),
        ("a.txt", "sky\nroad\n", {"sky": 0, "road": 1}),
        ("a.json", json.dumps({"sky": [0, 0, 9], "road": [1, 2, 3]}), {"sky": 9, "road": 0x010203}),
        ("a.json", json.dumps({"sky": 4, "road": 2}), {"sky": 4, "road": 2}),
    ],
)
def test_label_maps_in_the_ways_that_people_write_them(tmp_path, name, text, wanted):
    (tmp_path / name).write_text(text)
    assert masks.declared((), str(tmp_path / name)) == wanted
    assert masks.says_colours((), str(tmp_path / name)) == (max(wanted.values()) > 4)


def test_a_bad_label_map_is_said(tmp_path):
    (tmp_path / "a.csv").write_text("sky,0,0,9\nroad,3\n")
    for path in (tmp_path / "a.csv", tmp_path / "none.csv"):
        with pytest.raises(SpecError) as caught:
            masks.declared((), str(path))
        assert caught.value.code == "bad-label-map"


def test_a_photograph_is_no_mask():
    with pytest.raises(DataError, match="classes"):
        masks.learn(list(range(1000)), True, None, ())


def test_packed_masks_come_back():
    for palette in (False, True):
        assert np.array_equal(masks.unpacked(masks.packed(IDS, palette)), IDS)
