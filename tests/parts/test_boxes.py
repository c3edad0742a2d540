"""Boxes: every form is the same box, turning follows the pixels, what cannot be right is called by its name and mended where it can be."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from PIL import Image, ImageOps

from tunesmith.data.ledger import Ledger
from tunesmith.data.table import Table
from tunesmith.errors import DataError
from tunesmith.parts import boxed, boxes

SIZE = (100, 50)
WANTED = (10.0, 5.0, 30.0, 45.0)


@pytest.mark.parametrize(
    "cell",
    [
        [{"label": "a", "box": [10, 5, 30, 45]}],
        [{"category": "a", "bbox": [10, 5, 20, 40]}],
        [{"class": "a", "yolo": [0.2, 0.5, 0.2, 0.8]}],
        [{"name": "a", "xmin": 10, "ymin": 5, "xmax": "30", "ymax": 45}],
        [{"label": "a", "x": 10, "y": 5, "width": 20, "height": 40}],
        {"bbox": [[10, 5, 20, 40]], "category": ["a"], "id": [7]},
        json.dumps([{"label": "a", "box": [10, 5, 30, 45]}]),
        [{"category_id": 1, "bbox": [10, 5, 20, 40]}],
    ],
)
def test_every_form_is_the_same_box(cell):
    (found,) = boxes.read(cell, SIZE, names=("b", "a"))
    assert found.label == "a" and found.corners == pytest.approx(WANTED) and not found.wrong
    assert boxes.read([found.cell()], SIZE) == [found]


@pytest.mark.parametrize("cell", ["not json", [1, 2], {"bbox": [[1, 2, 3, 4]], "category": []}, [{"label": "a"}], 7, '{"a": 1}'])
def test_what_holds_no_boxes_is_refused(cell):
    with pytest.raises(DataError) as caught:
        boxes.read(cell, SIZE)
    assert caught.value.code == "bad-boxes" and not boxes.looks(cell)


@pytest.mark.parametrize(
    ("corners", "code", "mended"),
    [
        ((30, 5, 10, 45), "swapped-box", WANTED),
        ((10, 45, 30, 5), "swapped-box", WANTED),
        ((10, 5, 10, 45), "empty-box", None),
        ((90, 5, 120, 45), "outside-box", (90, 5, 100, 45)),
        ((110, 5, 120, 45), "outside-box", None),
        ((-9, -9, 30, 45), "outside-box", (0, 0, 30, 45)),
        ((math.nan, 5, 30, 45), "bad-number", None),
        ((math.inf, 5, 30, 45), "bad-number", None),
        ((10, 5, "wide", 45), "bad-number", None),
        ((-0.6, 5, 100.9, 45), "", (0, 5, 100, 45)),
    ],
)
def test_a_box_that_cannot_be_right_is_called_by_its_name(corners, code, mended):
    (found,) = boxes.read([{"label": "a", "box": list(corners)}], SIZE)
    assert found.wrong == code
    made = boxes.mended(found, SIZE, None)
    assert (made and made.corners) == mended and not (made and made.wrong)


@pytest.mark.parametrize("turn", range(1, 9))
def test_boxes_turn_as_pixels_do(turn):
    image = Image.new("L", (12, 7))
    image.paste(255, (2, 1, 5, 6))
    image.getexif()[0x0112] = turn
    seen = np.asarray(ImageOps.exif_transpose(image))
    rows, columns = np.nonzero(seen)
    assert boxes.turned((2, 1, 5, 6), (12, 7), turn) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_what_is_mended_is_right_and_stays_as_it_is():
    for corners in np.random.default_rng(0).uniform(-60, 160, (400, 4)).round(1).tolist():
        (found,) = boxes.read([{"label": "a", "box": corners}], SIZE)
        made = boxes.mended(found, SIZE, None)
        if made:
            assert not boxes.judged(made, SIZE, 0.0).wrong and boxes.mended(made, SIZE, None) == made


def test_lines_are_gathered_into_images_and_wrong_ones_keep_their_line(tmp_path):
    for name in ("p.png", "q.png"):
        Image.new("RGB", SIZE).save(tmp_path / name)
    lines = [("p", 10, 5, 30, 45), ("q", 0, 0, 100, 50), ("p", 32, 5, 12, 45), ("q", None, None, None, None)]
    rows = [dict(zip(("file", "xmin", "ymin", "xmax", "ymax"), (str(tmp_path / f"{n}.png"), *c))) | {"class": "a"} for n, *c in lines]
    table = boxed.gathered(Table.of(rows, "t.csv"), "file", ("xmin", "ymin", "xmax", "ymax"), "class", "boxes")
    assert [len(cell) for cell in table.column("boxes")] == [2, 1]
    found = boxed.check(boxed.tidied(table, "file", "boxes", (), False, Ledger()), "file", "boxes", ())
    assert [f.code for f in found] == ["swapped-box"] and "t.csv, row 3" in found[0].rows[0]
    ledger = Ledger()
    mended = boxed.tidied(table, "file", "boxes", (), True, ledger)
    assert boxed.check(mended, "file", "boxes", ()) == [] and "t.csv, row 3" in str(ledger.entries[0].rows)


def test_a_declared_size_is_held_against_the_image_as_it_is_seen(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 50)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (50, 25)).save(tmp_path / "half.png")
    Image.new("RGB", (60, 60)).save(tmp_path / "other.png")
    mark = {"label": "a", "box": [10.0, 5.0, 30.0, 45.0]}
    rows = [{"image": str(tmp_path / n), "width": 100, "height": 50, "boxes": [mark]} for n in ("turned.jpg", "half.png", "other.png")]
    table = Table.of(rows)
    found = boxed.check(boxed.tidied(table, "image", "boxes", (), False, Ledger()), "image", "boxes", ())
    assert [(f.code, len(f.rows)) for f in found] == [("turned-image", 1), ("size-differs", 2)]
    mended = boxed.tidied(table, "image", "boxes", (), True, Ledger())
    assert [cell[0]["box"] for cell in mended.column("boxes")][:2] == [[5, 10, 45, 30], [5, 2.5, 15, 22.5]]
    left = boxed.check(mended, "image", "boxes", ())
    assert [f.code for f in left] == ["size-differs"] and "other.png" in left[0].rows[0]
