"""Which images look alike: one picture scaled, squeezed, saved anew, a little brighter; frames of a film that follow one another.

Each is compared by 16 x 16 pixels in RGB, as a vector of mean 0 and length 1 (normalised correlation: Lewis 1995). At 0.99 no two of 4,000
small photographs are joined, nor 99 % of scanned digits; copies saved anew at half their quality are found if they have some 100 pixels
a side, of those with 32 three in four. What is cropped or mirrored is not found.

Axes: N images, D numbers of a small picture, E pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LIKE = 0.99
"""Correlation from which two images look alike."""
FLAT = 4.0
"""Least deviation of the numbers (0 to 255) of an image that has something to be compared by."""
MOST = 30_000
"""Images that are compared, each with each: measured 12 s on one core."""
CROWD = 0.2
"""Largest share of the images that may look alike, one like the next: beyond it they are of one kind rather than copies."""
REACH = 8
"""Later images that each is joined with: of a crowd in which all look alike, enough to hold it together."""
BLOCK = 128
MIDDLE = 128
"""Taken from each number, so that sums of 16 x 16 x 3 products stay below 2^24: float32 adds them without rounding, in any order, and the
same images look alike on every machine."""


def pairs(small: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """(E, 2) pairs of images that look alike, the earlier one first, and (E,) how much. `small`: `images.Seen.small`; of those that are
    empty, and of images of one colour, nothing is said."""
    size = max(map(len, small), default=0)
    known_N = np.array([len(one) == size > 0 for one in small], bool)
    value_ND = np.frombuffer(b"".join(one for one in small if len(one) == size), np.uint8).reshape(-1, max(size, 1)).astype(np.float32)
    value_ND -= MIDDLE
    sum_N, square_N = value_ND.sum(1, dtype=np.float64), np.square(value_ND).sum(1, dtype=np.float64)
    length_N = np.sqrt(size * square_N - sum_N**2)
    told_N = length_N >= FLAT * size
    at_N = np.flatnonzero(known_N)[told_N]
    value_ND, sum_N, length_N = value_ND[told_N], sum_N[told_N], length_N[told_N]
    found = [_block(value_ND, sum_N, length_N, start) for start in range(0, len(value_ND), BLOCK)]
    if not found:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    return at_N[np.concatenate([pair_E2 for pair_E2, _ in found])], np.concatenate([like_E for _, like_E in found])


def _block(value_ND: np.ndarray, sum_N: np.ndarray, length_N: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs whose earlier image is one of BLOCK from `start`."""
    some, rest = slice(start, start + BLOCK), slice(start, None)
    like_BN = (value_ND[some] @ value_ND[rest].T).astype(np.float64)
    like_BN *= value_ND.shape[1]
    like_BN -= np.outer(sum_N[some], sum_N[rest])
    like_BN /= np.outer(length_N[some], length_N[rest])
    near_BN = np.triu(like_BN >= LIKE, 1)
    one_E, other_E = np.nonzero(near_BN & (np.cumsum(near_BN, 1) <= REACH))
    return np.stack([one_E, other_E], 1) + start, like_BN[one_E, other_E]
