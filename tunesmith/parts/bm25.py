"""Full-text search: BM25 (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009), weights of words ready in an index.

Score of a passage for a question: the sum over the question's words of ln(1 + (P - n + 0.5) / (n + 0.5)) f (k1 + 1) / (f + k1 (1 - b +
b l / mean l)), where f is how often the word stands in the passage, n in how many passages, l the passage's words.

Axes: P passages, V words, E entries of the index (a word in a passage), Q words of a question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

import numpy as np

K1, B = 1.2, 0.75
WORD = re.compile(r"[^\W_]+")
SPACELESS = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+)")
"""Scripts whose words are not parted by spaces."""
FILES = ("starts", "passages", "weights")


def words(text: str) -> list[str]:
    """Words without case; of scripts without spaces every two neighbouring characters."""
    found: list[str] = []
    for word in WORD.findall(text.casefold()):
        for at, piece in enumerate(SPACELESS.split(word)):
            if at % 2:
                found += [piece[i : i + 2] for i in range(max(len(piece) - 1, 1))]
            elif piece:
                found.append(piece)
    return found


@final
@dataclass(frozen=True)
class Index:
    """`vocabulary`: word -> place; its entries are `passages_E` and `weights_E` from `starts_V[place]` to the next start."""

    vocabulary: dict[str, int]
    starts_V: np.ndarray
    passages_E: np.ndarray
    weights_E: np.ndarray
    size: int
    """P."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """The index of these passages."""
        vocabulary: dict[str, int] = {}
        told = [np.array([vocabulary.setdefault(word, len(vocabulary)) for word in words(text)], np.int64) for text in texts]
        length_P = np.array([len(one) for one in told], np.float64)
        entry = np.repeat(np.arange(len(texts)), length_P.astype(np.int64)), np.concatenate([*told, np.zeros(0, np.int64)])
        key, often = np.unique(entry[1] * max(len(texts), 1) + entry[0], return_counts=True)
        word_E, passage_E = np.divmod(key, max(len(texts), 1))
        known_V = np.bincount(word_E, minlength=len(vocabulary))
        rare_V = np.log1p((len(texts) - known_V + 0.5) / (known_V + 0.5))
        share_P = 1 - B + B * length_P / max(length_P.mean() if len(texts) else 0.0, 1e-9)
        weight_E = rare_V[word_E] * often * (K1 + 1) / (often + K1 * share_P[passage_E])
        starts_V = np.concatenate([[0], np.cumsum(known_V)])
        return cls(vocabulary, starts_V, passage_E.astype(np.int32), weight_E.astype(np.float32), len(texts))

    def scores(self, question: str) -> np.ndarray:
        """(P,) BM25 of each passage; a word that stands twice in the question counts twice."""
        score_P = np.zeros(self.size)
        for word in words(question):
            place = self.vocabulary.get(word)
            if place is not None:
                entries = slice(int(self.starts_V[place]), int(self.starts_V[place + 1]))
                score_P[self.passages_E[entries]] += self.weights_E[entries]
        return score_P

    def save(self, folder: Path) -> None:
        """Arrays as `.npy` files, words as JSON."""
        for name, array in zip(FILES, (self.starts_V, self.passages_E, self.weights_E)):
            np.save(folder / f"words-{name}.npy", array, allow_pickle=False)
        (folder / "words.json").write_text(json.dumps([self.size, list(self.vocabulary)], ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote, memory-mapped."""
        size, vocabulary = json.loads((folder / "words.json").read_text("utf-8"))
        arrays = [np.load(folder / f"words-{name}.npy", mmap_mode="r", allow_pickle=False) for name in FILES]
        return cls({word: at for at, word in enumerate(vocabulary)}, arrays[0], arrays[1], arrays[2], int(size))


def best(score_P: np.ndarray, count: int, above: float = -np.inf) -> np.ndarray:
    """Places of the highest scores above a bound, highest first, the earlier of equals first."""
    if len(score_P) > 4 * count > 0:
        bound = np.partition(score_P, len(score_P) - count)[len(score_P) - count]
        place = np.flatnonzero(score_P >= bound)
    else:
        place = np.arange(len(score_P))
    place = place[score_P[place] > above]
    return place[np.argsort(-score_P[place], kind="stable")][:count]
