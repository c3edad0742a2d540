"""Images that look alike: found through scaling and saving anew, in any order; others are not joined."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.runs import write_lines
from tunesmith.data import duplicates, images, likeness
from tunesmith.data.dataset import arrange, read_sources
from tunesmith.data.files import resolve
from tunesmith.data.ledger import Ledger
from tunesmith.spec import Data


def photo(seed, side=96):
    """Blobs of colour with noise on them."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    return Image.fromarray(np.clip(np.asarray(coarse, np.int64) + rng.integers(-12, 13, (side, side, 3)), 0, 255).astype(np.uint8))


def saved(image, kind="PNG", **how):
    packed = io.BytesIO()
    image.save(packed, kind, **how)
    return packed.getvalue()


def small(data):
    return images.inspect(data).small


CHANGED = {
    "saved anew": lambda image: saved(image, "JPEG", quality=50),
    "half as large": lambda image: saved(image.resize((48, 48), Image.Resampling.LANCZOS)),
    "squeezed": lambda image: saved(image.resize((70, 96))),
    "brighter": lambda image: saved(image.point(lambda value: min(255, int(value * 1.05)))),
    "lying on its side": lambda image: saved(image.rotate(90), "JPEG", quality=95, exif=_exif(6)),
}


def _exif(orientation):
    found = Image.Exif()
    found[0x0112] = orientation
    return found


@pytest.mark.parametrize("how", CHANGED)
def test_the_same_picture_is_found_and_no_other(how):
    originals = [photo(seed) for seed in range(20)]
    prints = [small(saved(one)) for one in originals] + [small(CHANGED[how](one)) for one in originals]
    pairs, like = likeness.pairs(prints)
    assert {tuple(pair) for pair in pairs.tolist()} == {(n, n + 20) for n in range(20)} and (like >= likeness.LIKE).all()


def test_order_does_not_matter_and_images_of_one_colour_say_nothing(monkeypatch):
    monkeypatch.setattr(likeness, "BLOCK", 3)
    flat = [small(saved(Image.new("RGB", (20, 20), (9, 9, level)))) for level in (9, 10, 11)]
    prints = [*flat, b"", *(small(saved(photo(seed // 2, 90 + seed % 2))) for seed in range(10))]
    order = np.random.default_rng(0).permutation(len(prints))
    plain, mixed = (likeness.pairs(some)[0] for some in (prints, [prints[i] for i in order]))
    joined = {frozenset(pair) for pair in plain.tolist()}
    assert joined == {frozenset(order[pair].tolist()) for pair in mixed} and all(min(pair) > 3 for pair in joined)
    assert likeness.pairs([]) [0].shape == (0, 2) and likeness.pairs([b"", b""])[0].shape == (0, 2)


def test_a_kind_of_picture_is_not_taken_for_copies():
    prints = [small(saved(photo(0, 96 + n))) for n in range(6)] + [small(saved(photo(n))) for n in range(1, 10)]
    found = duplicates.find([f"content {n}" for n in range(15)], 0.8, prints)
    assert found.near == 0 and "6 of 15 images look alike" in found.note
    found = duplicates.find([f"content {n}" for n in range(100)], 0.8, prints + [small(saved(photo(n))) for n in range(50, 135)])
    assert found.near == 5 and len(set(found.group_N[:6].tolist())) == 1 and not found.note and found.examples[0][2] >= likeness.LIKE


def test_images_that_look_alike_stay_on_one_side_or_are_said_to_be_in_both(tmp_path):
    for seed in range(60):
        (tmp_path / f"{seed}.png").write_bytes(saved(photo(seed)))
        (tmp_path / f"{seed}.jpg").write_bytes(CHANGED["saved anew"](photo(seed)))
    rows = [{"image": f"{seed}.{kind}", "label": "ab"[seed % 2]} for seed in range(60) for kind in ("png", "jpg")]

    def parts(**files):
        data = Data(**{name: str(write_lines(tmp_path / f"{name}.jsonl", some)) for name, some in files.items()})
        sources = read_sources(data)
        sources.tables.update({name: resolve(table, ["image"], data, Ledger())[0] for name, table in sources.tables.items()})
        return arrange(sources, data, inputs=["image"], targets=["label"], kind="label", seed=0)

    made = parts(train=rows)
    sides = [{row["image"]["path"].rsplit("/")[-1].split(".")[0] for row in made.part(part).rows()} for part in ("train", "test")]
    assert made.splits.duplicates.near == 60 and not sides[0] & sides[1] and not len(made.splits.leaked_test)
    given = parts(train=rows[:80], test=rows[79:])
    assert len(given.splits.leaked_test) == 1 and any(one.code == "leaked-test" for one in given.findings)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_an_image_is_as_small_as_its_upright_self_would_be(mode, kind):
    image = photo(0).convert(mode)
    if mode.endswith("A"):
        image.putalpha(photo(1).convert("L"))
    data = saved(image, kind, exif=_exif(6))
    whole = images.rgb(data).resize((images.SMALL_SIDE, images.SMALL_SIDE), images.BOX)
    assert np.abs(np.frombuffer(small(data), np.uint8).astype(int) - np.frombuffer(whole.tobytes(), np.uint8)).max() <= 2


def test_likeness_is_the_correlation_to_the_last_bit_in_any_order():
    value_ND = np.random.default_rng(0).integers(0, 256, (40, 768), np.uint8)
    value_ND[20:] = np.clip(value_ND[:20].astype(int) + 9, 0, 255)
    forth, back = (likeness.pairs([one.tobytes() for one in order])[1] for order in (value_ND, value_ND[::-1]))
    assert len(forth) == 20 and sorted(forth) == sorted(back)
    exact = [np.corrcoef(value_ND[n], value_ND[n + 20])[0, 1] for n in range(20)]
    np.testing.assert_allclose(forth, exact, rtol=1e-12)
