"""Tiles: every pixel is seen, cells lie where their pixels are, answers of tiles are those of the whole; whole runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tunesmith import api, testing
from tunesmith.errors import SpecError
from tunesmith.parts import tiles
from tunesmith.parts.regions import Frame
from tunesmith.registry import TASKS


def one_hot(class_GG, classes):
    return 9.0 * (class_GG[None] == np.arange(classes)[:, None, None])


SIDES = st.integers(1, 300)


@given(SIDES, SIDES, st.sampled_from([1.0, 1.25, 2.0, 3.5]))
def test_tiles_cover_the_image_and_overlap(height, width, zoom):
    tiling = tiles.Tiling(Frame(32, 64), zoom)
    seen = np.zeros((height, width), int)
    down, across = tiling.shape((height, width))
    for place in tiling.places((height, width)):
        left, top, right, bottom = tiling.box((height, width), place)
        assert left < right <= width and top < bottom <= height
        inside = tiling.inside((left, top, right, bottom))
        assert inside[0] <= 32 and inside[1] <= 64 and place[0] + 4 <= down and place[1] + 8 <= across
        seen[top:bottom, left:right] += 1
    assert seen.min() >= 1


@given(st.integers(33, 200), st.integers(33, 200), st.integers(0, 10**6))
def test_true_answers_of_tiles_make_the_true_mask(height, width, seed):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 3, (-(-height // 40), -(-width // 40)), dtype=np.uint8)
    class_HW = np.kron(blocks, np.ones((40, 40), np.uint8))[:height, :width]
    tiling = tiles.Tiling(Frame(32, 32), 1.0)
    places = tiling.places((height, width))
    logits = np.array([one_hot(tiles.target(class_HW, tiling, place)[::2, ::2], 3) for place in places])
    size = np.repeat([[height, width]], len(places), 0)
    found = tiles.gather({"logits": logits, "size": size}, np.zeros(len(places), int), np.array(places), tiling, 3)
    answer_HW = tiling.classes(found["logits"][0], (height, width))
    assert answer_HW.shape == (height, width) and (answer_HW == class_HW).mean() > 0.8


def test_tiles_are_chosen_where_images_are_large_and_said():
    zoom, why = tiles.choose("auto", (224, 224), [(240, 320)] * 3)
    assert zoom == 0 and why.value == "off" and "seen whole" in why.why
    zoom, why = tiles.choose("auto", (224, 224), [(800, 1000)] * 3)
    assert zoom == 1 and why.value == "on" and "4.5 times" in why.why
    assert tiles.choose("auto", (224, 224), [(4000, 6000)])[0] > 2 and tiles.choose("off", (224, 224), [(4000, 6000)])[0] == 0
    assert tiles.choose("auto", (518, 518), [(4000, 6000)])[0] == 0
    with pytest.raises(SpecError, match="multiples of 8"):
        tiles.choose("on", (518, 518), [(4000, 6000)])


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Toy rows of 80 x 100 pixels with small squares that a model of 32 x 32 sees in tiles."""
    folder = tmp_path_factory.mktemp("wide")
    for place in ("images", "masks"):
        (folder / place).mkdir()
    rng = np.random.default_rng(0)
    for i in range(20):
        class_HW = np.zeros((80, 100), np.uint8)
        for _ in range(3):
            top, left = rng.integers(0, 64), rng.integers(0, 84)
            class_HW[top : top + 16, left : left + 16] = 1
        shade = np.array([(60, 60, 200), (200, 60, 60)])[class_HW] + rng.normal(0, 20, (80, 100, 3))
        Image.fromarray(shade.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{i}.png")
        Image.fromarray(class_HW).save(folder / "masks" / f"{i}.png")
    return folder


SETTINGS = {"train.epochs": 0.5, "train.threads": 1, "data.near_duplicates": 0.0, "evaluate.resamples": 100, "train.dropout": 0.0}


def test_a_run_in_tiles_says_so_and_answers_at_the_image_s_own_size(wide, tiny_vit, tmp_path):
    result = api.fit(str(wide), model=str(tiny_vit), runs=str(tmp_path), strategy="head-only", **SETTINGS)
    assert "a tile at random in training" in (result.path / "plan.yaml").read_text("utf-8")
    ladder = {rung["name"]: rung["scores"]["miou"]["value"] for rung in result.report["ladder"]}
    assert ladder["tuned"] > ladder["usual class of a place"] and {"probe", "tuned"} <= ladder.keys()
    answer = result.predict([str(wide / "images" / "3.png")])[0]
    from tunesmith.parts.masks import unpacked

    assert unpacked(answer["mask"]).shape == (80, 100)


@pytest.mark.parametrize("check", ["a stopped run resumes to the same bits", "alone is as in a batch"])
def test_tiles_meet_the_contract(check, wide, tiny_vit, tmp_path):
    learning = {"strategy": "last-k", "strategy_options": {"k": 1}}
    made = api.plan(api.make_spec(str(wide), model=str(tiny_vit), runs=str(tmp_path), **learning, **SETTINGS))
    testing.CHECKS[check](made, tmp_path)


def test_each_epoch_sees_other_tiles_and_the_same_ones_again(wide, tiny_vit, tmp_path):
    from tunesmith.inference import encode
    from tunesmith.models.source import processor

    made = api.plan(api.make_spec(str(wide), model=str(tiny_vit), runs=str(tmp_path), **SETTINGS))
    encoded = encode(made.task, processor(made.source), made.data.train)
    assert len(encoded) > 6 * len(made.data.train) and (np.diff(encoded.row_N) >= 0).all()
    seen = [encoded.at(0, epoch).examples([0, 1, 9]) for epoch in (0, 1, 0)]
    same = lambda one, other: [np.array_equal(a["pixel_values"], b["pixel_values"]) for a, b in zip(one, other)]  # noqa: E731
    assert same(seen[0], seen[2]) == [True] * 3 and same(seen[0], seen[1]) == [False] * 3 and not same(seen[0][:1], seen[0][1:2])[0]
    assert TASKS.load("image-segmentation") is type(made.task)
