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
"""Images that are compared, each with each: half a minute on one core."""
CROWD = 0.2
"""Largest share of the images that may look alike, one like the next: beyond it they are of one kind rather than copies."""
REACH = 8
"""Later images that each is joined with: of a crowd in which all look alike, enough to hold it together."""
BLOCK = 256


def pairs(small: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """(E, 2) pairs of images that look alike, the earlier one first, and (E,) how much. `small`: `images.Seen.small`; of those that are
    empty, and of images of one colour, nothing is said."""
    size = max(map(len, small), default=0)
    known_N = np.array([len(one) == size > 0 for one in small], bool)
    value_ND = np.frombuffer(b"".join(one for one in small if len(one) == size), np.uint8).reshape(-1, max(size, 1)).astype(np.float32)
    value_ND -= value_ND.mean(1, keepdims=True)
    length_N = np.linalg.norm(value_ND, axis=1)
    told_N = length_N >= FLAT * np.sqrt(size)
    at_N = np.flatnonzero(known_N)[told_N]
    value_ND = value_ND[told_N] / length_N[told_N, None]
    found = [_block(value_ND, start) for start in range(0, len(value_ND), BLOCK)]
    if not found:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    return at_N[np.concatenate([pair_E2 for pair_E2, _ in found])], np.concatenate([like_E for _, like_E in found])


def _block(value_ND: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs whose earlier image is one of BLOCK from `start`."""
    like_BN = value_ND[start : start + BLOCK] @ value_ND[start:].T
    near_BN = np.triu(like_BN >= LIKE, 1)
    one_E, other_E = np.nonzero(near_BN & (np.cumsum(near_BN, 1) <= REACH))
    return np.stack([one_E, other_E], 1) + start, like_BN[one_E, other_E].astype(np.float64)
