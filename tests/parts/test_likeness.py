"""KID and FID by a stated description, agreement, copies."""

from __future__ import annotations

import base64

import numpy as np

from tunesmith.parts import likeness, pictures


def some(count: int, seed: int, bright: bool = True) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [pictures.opened(pictures.toy(rng, bright, 32)) for _ in range(count)]


def described(squares: list[np.ndarray]) -> np.ndarray:
    plain_ND = np.stack([likeness.describe(one) for one in squares])
    means, deviations = likeness.scale(np.stack([likeness.describe(one) for one in some(40, 9) + some(40, 8, False)]))
    return likeness.held((plain_ND - np.array(means)) / np.array(deviations))


def test_pictures_of_one_kind_are_near_and_noise_is_far() -> None:
    rng, rows = np.random.default_rng(0), np.arange(30)
    real, same, other = described(some(30, 1)), described(some(30, 2)), described(some(30, 3, False))
    noise = described([rng.integers(0, 256, (32, 32, 3)).astype(np.uint8) for _ in rows])
    near, far, farther = (likeness.kid(one, real, rows) for one in (same, other, noise))
    assert abs(near) < 0.1 * far and far < farther
    assert likeness.fid(same, real) < 0.3 * likeness.fid(other, real) < likeness.fid(noise, real)


def test_a_row_drawn_twice_is_no_evidence_of_likeness_to_itself() -> None:
    real, same = described(some(40, 1)), described(some(40, 2))
    rng, rows = np.random.default_rng(0), np.arange(40)
    whole = likeness.kid(same, real, rows)
    drawn = [rng.integers(0, 40, 40) for _ in range(200)]
    again = np.array([likeness.kid(same[at], real[at], at) for at in drawn])
    naive = np.array([likeness.kid(same[at], real[at], rows) for at in drawn])
    assert abs(again.mean() - whole) < 0.25 * again.std()
    assert naive.mean() - whole > again.std()  # what the row numbers are for


def test_the_description_is_the_same_each_time_and_knows_mirrors_from_nothing() -> None:
    one = some(1, 1)[0]
    assert np.array_equal(likeness.describe(one), likeness.describe(one.copy())) and len(likeness.describe(one)) == likeness.WIDTH
    assert not np.allclose(likeness.describe(one), likeness.describe(255 - one))


def test_wide_vectors_are_turned_the_same_each_time_and_keep_their_lengths_about() -> None:
    wide = np.random.default_rng(0).normal(size=(50, 400))
    turned = likeness.projected(wide)
    assert turned.shape == (50, 64) and np.array_equal(turned, likeness.projected(wide))
    ratio = np.linalg.norm(turned, axis=1) / np.linalg.norm(wide, axis=1)
    assert abs(ratio.mean() - np.sqrt(64 / 400)) < 0.05
    assert likeness.projected(wide[:, :20]) is not None and likeness.projected(wide[:, :20]).shape == (50, 20)


def test_a_picture_is_matched_with_its_own_row() -> None:
    real = described(some(12, 1) + some(12, 2, False))
    assert likeness.matched(real, real).mean() > 0.95
    mixed = likeness.matched(np.random.default_rng(0).permutation(real), real).mean()
    assert 0.3 < mixed < 0.75


def test_copies_are_found_and_others_are_not() -> None:
    cells = [pictures.address(one) for one in some(30, 1)]
    known = likeness.Known.of(cells, 32)
    gap, which = known.nearest([pictures.opened(cells[7])])
    assert which[0] == 7 and gap[0] < 1e-6 <= known.near
    assert known.nearest(some(1, 5, False))[0][0] > known.near


def test_a_sheet_holds_every_picture() -> None:
    squares = [np.full((8, 8, 3), 10 * at, np.uint8) for at in range(5)]
    whole = pictures.opened(f"{pictures.PNG}{base64.b64encode(pictures.sheet(squares)).decode()}")
    assert whole.shape == (2 * 10 + 2, 3 * 10 + 2, 3)
    assert {10 * at for at in range(5)} <= set(np.unique(whole).tolist())
    assert pictures.sheet([]) == b"" and pictures.square(pictures.address(squares[3]), 4).mean() == 30
