"""Boxes stay around what they are around, however the image is brought into the frame and changed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests import tiny_images
from tunesmith.data.table import Table
from tunesmith.models.source import find, processor
from tunesmith.parts import boxed, scenes


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return processor(find(str(tiny_images.make(tmp_path_factory.mktemp("m") / "m", "resnet")), "image"))


def scene(width: int, height: int, box: tuple[int, int, int, int]) -> dict:
    image = Image.new("RGB", (width, height))
    image.paste((255, 255, 255), box)
    return image


def around(pixels_CHW: np.ndarray) -> np.ndarray:
    """The box around what is bright."""
    rows, columns = np.nonzero(pixels_CHW.mean(0) > 0)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


@pytest.mark.parametrize("stretched", [False, True])
@pytest.mark.parametrize("ways", [(), scenes.WAYS[:3]])
def test_the_target_is_around_the_pixels(tmp_path, reader, ways, stretched):
    scene(200, 120, (40, 30, 110, 90)).save(tmp_path / "a.png")
    frame, known = scenes.Frame(128, 128, stretched), (np.array([[40.0, 30, 110, 90]]), np.array([2]))
    looks = set()
    for seed in range(12 if ways else 1):
        draw = np.random.default_rng(seed) if ways else None
        pixels_CHW, seen_HW, size, target_M5 = scenes.encode(str(tmp_path / "a.png"), known, frame, reader, ways, draw)
        assert size == (120, 200) and target_M5[0, 0] == 2 and not pixels_CHW[:, ~seen_HW].any()
        assert np.abs(around(np.where(seen_HW, pixels_CHW, -1)) - target_M5[0, 1:]).max() <= 1.5
        looks.add(tuple(target_M5[0].round(3)))
    assert len(looks) == (12 if ways else 1)


def test_the_same_draw_gives_the_same_scene(tmp_path, reader):
    scene(90, 120, (10, 10, 60, 90)).save(tmp_path / "a.png")
    known, frame = (np.array([[10.0, 10, 60, 90]]), np.array([0])), scenes.Frame(64, 64)
    made = [
        scenes.encode(str(tmp_path / "a.png"), known, frame, reader, scenes.WAYS, np.random.default_rng(seed)) for seed in (5, 5, 6)
    ]
    assert np.array_equal(made[0][0], made[1][0]) and np.array_equal(made[0][3], made[1][3])
    assert not np.array_equal(made[0][0], made[2][0])


@pytest.mark.parametrize("stretched", [False, True])
@pytest.mark.parametrize("size", [(50, 300), (300, 50), (64, 64)])
def test_into_the_frame_and_back(size, stretched):
    frame = scenes.Frame(64, 96, stretched)
    corners = np.array([[3.0, 5, 40, 45]])
    assert np.allclose(frame.back(frame.into(corners, size, frame.inner(size)), size), corners)


def test_what_a_crop_leaves_little_of_is_dropped():
    kept, left = scenes.cropped(np.array([[0.0, 0, 10, 10], [0, 0, 30, 30], [50, 50, 60, 60]]), (8, 8, 40, 40))
    assert left.tolist() == [False, True, False] and kept[1].tolist() == [0, 0, 22, 22]


def test_boxes_that_the_frame_cannot_hold_are_told(tmp_path):
    scene(200, 100, (0, 0, 9, 9)).save(tmp_path / "a.png")
    marks = [[0, 0, 5, 5], [50, 10, 150, 90], [52, 10, 150, 90], [50, 12, 150, 90]]
    cell = [{"label": "ab"[at == 3], "box": [float(side) for side in box]} for at, box in enumerate(marks)]
    table = Table.of([{"image": str(tmp_path / "a.png"), "boxes": cell}])
    told = [
        scenes.crowded(table, "image", lambda cell: boxed.arrays(cell, ("a", "b")), "boxes", scenes.Frame(64, 64), dense)
        for dense in (True, False)
    ]
    assert [[found.code for found in one] for one in told] == [["tiny-boxes", "close-boxes"], ["tiny-boxes"]]
    assert all(found.message.startswith("1 ") and found.rows for found in told[0])


def test_mirrored_twice_is_as_before():
    corners = np.array([[3.0, 5, 40, 45]])
    assert np.array_equal(scenes.mirrored(scenes.mirrored(corners, 100), 100), corners)
