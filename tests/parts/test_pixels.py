"""Images as the model's processor makes them, and changes that follow from their draw alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.tiny_images import SIDE
from tunesmith.data import images
from tunesmith.errors import SpecError
from tunesmith.models.source import find, processor
from tunesmith.parts import pixels

EVERY = (*pixels.ALONE,)


@pytest.fixture(scope="module")
def made(tiny_vit):
    return processor(find(str(tiny_vit), "image"))


def cell(seed: int = 0) -> str:
    return pixels.drawn((120, 60, 200), np.random.default_rng(seed))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_without_a_draw_the_image_is_the_processors_own(made):
    expected = made.preprocess([images.rgb(cell())])["pixel_values"][0]
    found = pixels.encode(cell(), made, EVERY, None)
    assert found.dtype == np.float32 and np.array_equal(found, expected.astype(np.float32))


@pytest.mark.parametrize("way", EVERY)
def test_a_change_follows_from_its_draw_alone(made, way):
    plain = pixels.encode(cell(), made)
    found = [pixels.encode(cell(), made, (way,), rng(seed)) for seed in range(8)]
    again = [pixels.encode(cell(), made, (way,), rng(seed)) for seed in range(8)]
    assert all(np.array_equal(a, b) for a, b in zip(found, again)) and all(one.shape == (3, SIDE, SIDE) for one in found)
    assert any(not np.array_equal(one, plain) for one in found)


@pytest.mark.parametrize("size", [(1, 1), (2, 60), (300, 7)])
def test_changes_bear_any_size(size):
    image = Image.new("RGB", size, "green")
    for seed in range(30):
        draw = rng(seed)
        for way in pixels.ALONE:
            assert pixels.CHANGES[way](image, draw).mode == "RGB"


def test_a_mirror_is_a_mirror():
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    both = {np.asarray(pixels.CHANGES["flip"](image, rng(seed))).tobytes() for seed in range(20)}
    assert both == {np.asarray(image).tobytes(), np.asarray(image)[:, ::-1].tobytes()}


def test_the_share_of_a_pasted_image_is_that_of_its_pixels():
    one, other = ({"pixel_values": np.full((3, 20, 30), value, np.float32)} for value in (1.0, 0.0))
    for seed in range(40):
        image, share = pixels.blend(one, other, ("cutmix",), rng(seed))
        assert abs(image.mean() - share) < 1e-6
        image, share = pixels.blend(one, other, ("mixup",), rng(seed))
        assert np.allclose(image, share, atol=1e-6)
    assert (one["pixel_values"] == 1).all()


@pytest.mark.parametrize(
    ("labels", "expected"), [(("cat", "dog"), ("crop", "flip")), (("3", "8"), ("crop",)), (("turn left", "turn right"), ("crop",))]
)
def test_images_are_mirrored_where_no_label_changes_its_meaning(labels, expected):
    assert pixels.ways("auto", labels)[0] == expected and pixels.ways("none", labels)[0] == ()


def test_unknown_ways_are_refused():
    with pytest.raises(SpecError, match="flip"):
        pixels.check_ways(("flip", "spin"), pixels.ALONE)
