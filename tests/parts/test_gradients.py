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
    return png(np.uint8(127 + 90 * wave + rng.normal(0, 10, wave.shape)))


def png(pixel_HW: np.ndarray) -> str:
    packed = io.BytesIO()
    Image.fromarray(pixel_HW).save(packed, "PNG")
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


def test_a_line_through_brightness_is_found_among_many_edges():
    """Few images whose edges say nothing and whose brightness says all but a little: as good as the line itself, or nearly."""
    rng = np.random.default_rng(1)
    pixel_NHW = np.clip(rng.uniform(60, 190, 80)[:, None, None] + rng.normal(0, 40, (80, 48, 48)), 0, 255).astype(np.uint8)
    mean_N = pixel_NHW.mean((1, 2))
    target_N = 3 * mean_N + rng.normal(0, 4, 80)
    cells = [png(pixel_HW) for pixel_HW in pixel_NHW]
    found_N = gradients.number_outputs(cells[:50], target_N[:50, None], cells[50:])["numbers"][:, 0]
    line_N = np.polyval(np.polyfit(mean_N[:50], target_N[:50], 1), mean_N[50:])
    assert np.abs(found_N - target_N[50:]).mean() < 1.5 * np.abs(line_N - target_N[50:]).mean()


def test_one_class_and_few_rows_are_answered():
    cells = [shade(v) for v in (10, 200, 30)]
    assert gradients.class_outputs(cells, np.zeros(3, int), 2, cells)["logits"].shape == (3, 2)
    assert np.isfinite(gradients.class_outputs(cells, np.array([0, 1, -1]), 2, cells)["logits"]).all()
