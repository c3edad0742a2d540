"""Colours and edges: seen, and enough for a linear model where they tell."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from tunesmith.data import images
from tunesmith.parts import gradients


def stripes(angle: float, rng: np.random.Generator) -> str:
    """Grey waves in one direction, of random phase."""
    y, x = np.mgrid[:48, :48]
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.6 + rng.uniform(0, 6))
    packed = io.BytesIO()
    Image.fromarray(np.uint8(127 + 90 * wave + rng.normal(0, 10, wave.shape))).save(packed, "PNG")
    return images.address(packed.getvalue())


def shade(value: int) -> str:
    packed = io.BytesIO()
    Image.new("RGB", (40, 30), (value, value, value)).save(packed, "PNG")
    return images.address(packed.getvalue())


def test_directions_are_told_apart_by_edges_alone():
    rng = np.random.default_rng(0)
    class_N = np.arange(60) % 3
    cells = [stripes(np.pi * c / 3, rng) for c in class_N]
    found = gradients.class_outputs(cells[:45], class_N[:45], 3, cells[45:])
    assert (found["logits"].argmax(1) == class_N[45:]).mean() > 0.9


def test_numbers_that_colours_tell_are_found_where_there_are_any():
    value_N = np.linspace(20, 230, 40)
    target_NC = np.stack([value_N / 3, np.full(40, np.nan)], 1)
    found = gradients.number_outputs([shade(int(v)) for v in value_N], target_NC, [shade(100), shade(200)])["numbers"]
    assert np.allclose(found[:, 0], [100 / 3, 200 / 3], atol=6) and (found[:, 1] == 0).all()


def test_one_class_and_few_rows_are_answered():
    cells = [shade(v) for v in (10, 200, 30)]
    assert gradients.class_outputs(cells, np.zeros(3, int), 2, cells)["logits"].shape == (3, 2)
    assert np.isfinite(gradients.class_outputs(cells, np.array([0, 1, -1]), 2, cells)["logits"]).all()
