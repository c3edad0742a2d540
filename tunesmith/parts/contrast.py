"""Vectors taught by comparison: which texts are no negatives of a row, and the losses.

A row's texts are K vectors: the anchor, its positive, and negatives if it has any. Texts are known by a hash of their words (`key`),
so that the same text is never a negative of its own, wherever it stands in the batch.

Axes: B rows of a batch, K texts of a row, D features, M texts that are right for a row, J = B (K - 1) candidates.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..task import Batch, Example
from .tokens import as_text

if TYPE_CHECKING:
    import torch

ANCHOR, POSITIVE, NEGATIVE = 0, 1, 2
SCALE = 20.0
"""By which CoSENT multiplies cosines (its author's, and that of sentence-transformers)."""
SAFE = 0.95
"""A mined negative is at most so similar to its anchor as this share of the positive's similarity (arXiv 2407.15831)."""
AMONG = 100
"""The nearest texts among which negatives are drawn."""


def key(text: Any) -> int:
    """A text's number; 0 for an empty cell."""
    words = " ".join(as_text(text).split())
    return int(np.int32(np.uint32(zlib.crc32(words.encode("utf-8", "surrogatepass")) or 1))) if words else 0


# -- batches ----------------------------------------------------------------------------------------------------------


def example(texts: Sequence[Example], keys: Sequence[int]) -> Example:
    """One row of K texts: their tokens end to end, how many each has (0: there is no such text), and their keys."""
    sizes = [len(one["input_ids"]) if number else 0 for one, number in zip(texts, keys)]
    ids = [one["input_ids"] for one, size in zip(texts, sizes) if size]
    return {
        "input_ids": np.concatenate(ids or [texts[0]["input_ids"]]), "sizes": np.array(sizes, np.int32), "key": np.array(keys, np.int32),
    }


def collate(examples: Sequence[Example], pad: int) -> Batch:
    """`input_ids` and `attention_mask` (B, K, T), `key` (B, K), and what else there is; where a row has fewer texts, zeros."""
    import torch

    sizes_BK = _filled([example["sizes"] for example in examples])
    ids_BKT = np.full((*sizes_BK.shape, max(int(sizes_BK.max()), 1)), pad, np.int64)
    mask_BKT = np.arange(ids_BKT.shape[2]) < sizes_BK[..., None]
    ids_BKT[mask_BKT] = np.concatenate([example["input_ids"][: example["sizes"].sum()] for example in examples])
    batch = {"input_ids": torch.from_numpy(ids_BKT), "attention_mask": torch.from_numpy(mask_BKT.astype(np.int64))}
    for name in examples[0].keys() - {"input_ids", "sizes"}:
        values = [example[name] for example in examples]
        array = _filled(values) if np.ndim(values[0]) else np.asarray(values)
        batch[name] = torch.from_numpy(array.astype(np.int64 if array.dtype.kind in "iu" else np.float32))
    return batch


def _filled(values: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of unlike length, filled with zeros."""
    found = np.zeros((len(values), max(len(value) for value in values)), np.int64)
    for row, value in enumerate(values):
        found[row, : len(value)] = value
    return found


def represent(model: Any, batch: Batch) -> torch.Tensor:
    """(B, K, D) vectors of the texts; zeros where there is none. Anchors and the others run apart: questions are shorter than texts."""
    ids_BKT, mask_BKT = batch["input_ids"], batch["attention_mask"]
    there_BK = mask_BKT.any(-1)
    parts, places = [], []
    for part in (slice(0, 1), slice(1, None)):
        here_BK = there_BK.clone()
        here_BK[:, : part.start] = False
        here_BK[:, part.stop if part.stop is not None else here_BK.shape[1] :] = False
        if here_BK.any():
            width = int(mask_BKT[here_BK].sum(-1).max())
            parts.append(model({"input_ids": ids_BKT[here_BK][:, :width], "attention_mask": mask_BKT[here_BK][:, :width]}))
            places.append(here_BK.flatten().nonzero()[:, 0])
    import torch

    vectors = torch.cat(parts).float()
    flat = vectors.new_zeros((there_BK.numel(), vectors.shape[1])).index_copy(0, torch.cat(places), vectors)
    return flat.view(*there_BK.shape, -1)


# -- losses -----------------------------------------------------------------------------------------------------------


def candidates(vectors_BKD: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cosines (B, J) of each anchor with all other texts of the batch, whether each may be a negative of it (B, J), and the place (B,) of
    its own positive. Never a negative: an empty text, the anchor's own words, and whatever is known to be right for it."""
    import torch

    key_BK = batch["key"]
    other_JD, key_J = vectors_BKD[:, 1:].flatten(0, 1), key_BK[:, 1:].flatten()
    known_BM = torch.cat([key_BK[:, :2], batch["known"]], 1) if "known" in batch else key_BK[:, :2]
    right_BJ = (known_BM[:, :, None] == key_J).any(1)
    if "group" in batch:
        group_J = batch["group"][:, None].expand(-1, key_BK.shape[1] - 1).flatten()
        right_BJ = right_BJ | (batch["group"][:, None] == group_J)
    own_B = torch.arange(len(key_BK), device=key_BK.device) * (key_BK.shape[1] - 1)
    return vectors_BKD[:, 0] @ other_JD.T, ~right_BJ & (key_J != 0), own_B


def infonce(vectors_BKD: torch.Tensor, batch: Batch, temperature: float) -> torch.Tensor:
    """(B,) cross-entropy of the own positive against all negatives in the batch (arXiv 1807.03748)."""
    import torch

    cosine_BJ, negative_BJ, own_B = candidates(vectors_BKD, batch)
    positive_B1 = cosine_BJ.gather(1, own_B[:, None]) / temperature
    logits_BJ = (cosine_BJ / temperature).masked_fill(~negative_BJ, float("-inf"))
    return (torch.cat([positive_B1, logits_BJ], 1).logsumexp(1) - positive_B1[:, 0]) * batch["row_weight"]


def triplet(vectors_BKD: torch.Tensor, batch: Batch, margin: float) -> torch.Tensor:
    """(B,) by how much the nearest negative in the batch comes too near (arXiv 1703.07737), in cosines."""
    cosine_BJ, negative_BJ, own_B = candidates(vectors_BKD, batch)
    nearest_B = cosine_BJ.masked_fill(~negative_BJ, -1.0).max(1).values
    return (margin - cosine_BJ.gather(1, own_B[:, None])[:, 0] + nearest_B).clamp_min(0) * batch["row_weight"]


def cosent(vectors_BKD: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(B,) the batch's loss, for each row: every two pairs of texts whose cosines stand in the wrong order (CoSENT, 2022)."""
    import torch

    cosine_B = _cosine(vectors_BKD) * SCALE
    higher_BB = (batch["target"][:, None] > batch["target"]) & (batch["row_weight"][:, None] * batch["row_weight"] > 0)
    gaps_BB = (cosine_B - cosine_B[:, None]).masked_fill(~higher_BB, float("-inf"))
    loss = torch.cat([cosine_B.new_zeros(1), gaps_BB.flatten()]).logsumexp(0)
    return loss * batch["row_weight"]


def cosine(vectors_BKD: torch.Tensor, batch: Batch, low: float, high: float) -> torch.Tensor:
    """(B,) squared distance of the cosine from the score, scaled from 0 to 1."""
    wanted_B = (batch["target"] - low) / max(high - low, 1e-9)
    return (_cosine(vectors_BKD) - wanted_B) ** 2 * batch["row_weight"]


def _cosine(vectors_BKD: torch.Tensor) -> torch.Tensor:
    return (vectors_BKD[:, 0] * vectors_BKD[:, 1]).sum(-1)


# -- what training rows know of each other ----------------------------------------------------------------------------


def known(key_N2: np.ndarray) -> list[np.ndarray]:
    """For each row the keys of all texts that are right for its anchor, in whatever row they stand."""
    right: dict[int, list[int]] = {}
    for anchor, positive in key_N2.tolist():
        right.setdefault(anchor, []).append(positive)
        right.setdefault(positive, []).append(anchor)
    return [np.unique(np.array(right[anchor], np.int32)) for anchor in key_N2[:, 0].tolist()]


def partners(group_N: np.ndarray, key_N: np.ndarray) -> np.ndarray:
    """For each row another one of its group and of other words: the next of them, in an order drawn once; -1 where there is none."""
    order_N = np.random.default_rng(len(group_N)).permutation(len(group_N))
    rows: dict[int, list[int]] = {}
    for row in order_N.tolist():
        rows.setdefault(int(group_N[row]), []).append(row)
    found_N = np.full(len(group_N), -1)
    for own in rows.values():
        for at, row in enumerate(own):
            others = (own[(at + step) % len(own)] for step in range(1, len(own)))
            found_N[row] = next((other for other in others if key_N[other] != key_N[row]), -1)
    return found_N


def mined(
    vectors_NKD: np.ndarray, key_NK: np.ndarray, right: Sequence[np.ndarray], count: int
) -> np.ndarray:
    """(N, count) rows whose positive is a hard negative of this row's anchor, nearest first; -1 where there are fewer.

    Never a text that is right for the anchor, nor one that comes so near that it may be (SAFE). `vectors_NKD`: of the untuned model.
    """
    _, first_U = np.unique(key_NK[:, 1], return_index=True)
    first_U = first_U[key_NK[first_U, 1] != 0]
    found_NC = np.full((len(key_NK), count), -1)
    for start in range(0, len(key_NK), 512):
        rows = np.arange(start, min(start + 512, len(key_NK)))
        cosine_BU = vectors_NKD[rows, 0] @ vectors_NKD[first_U, 1].T
        own_B = (vectors_NKD[rows, 0] * vectors_NKD[rows, 1]).sum(-1)
        near_BU = np.argsort(-cosine_BU, axis=1, kind="stable")[:, :AMONG]
        for at, row in enumerate(rows.tolist()):
            taken = {*right[row].tolist(), int(key_NK[row, 0]), int(key_NK[row, 1])}
            near_U = near_BU[at][cosine_BU[at, near_BU[at]] <= SAFE * own_B[at]]
            fits = [int(first_U[u]) for u in near_U if int(key_NK[first_U[u], 1]) not in taken]
            found_NC[row, : len(fits[:count])] = fits[:count]
    return found_NC


def joined(encoded: Any, source: Any, row_NC: np.ndarray, text: int = ANCHOR) -> Any:
    """The examples with one more text from each of these rows of `source` (-1: none): its anchor or its positive."""
    ids, sizes, keys = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    for at, others in enumerate(row_NC):
        more = [_text(source, int(other), text) for other in others]
        ids.append(np.concatenate([encoded.arrays["input_ids"][at], *(tokens_T for tokens_T, _ in more)]).astype(np.int32))
        sizes.append(np.array([*encoded.arrays["sizes"][at], *(len(tokens_T) for tokens_T, _ in more)], np.int32))
        keys.append(np.array([*encoded.arrays["key"][at], *(number for _, number in more)], np.int32))
    return encoded.with_rows(input_ids=ids, sizes=sizes, key=keys)


def _text(source: Any, row: int, text: int) -> tuple[np.ndarray, int]:
    if row < 0:
        return np.zeros(0, np.int32), 0
    size_K = source.arrays["sizes"][row]
    start = int(size_K[:text].sum())
    return source.arrays["input_ids"][row][start : start + int(size_K[text])], int(source.arrays["key"][row][text])
