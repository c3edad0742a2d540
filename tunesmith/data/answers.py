"""The labels of many rows: each list of labels that occurs is kept once, and a small number for each row.

Axes: N rows, K different lists, C classes, M memberships (row, class).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, final

import numpy as np

from .mapped import TOGETHER

Row = tuple[str, ...]


@final
class Answers(Sequence[Row]):
    """N rows' labels, as lists of them that do not change: five million rows of two labels take 20 MB, not a gigabyte."""

    def __init__(self, kinds: Sequence[Row], kind_N: np.ndarray) -> None:
        """`kinds`: K lists, no two alike; `kind_N`: which of them each row has."""
        self.kinds, self.kind_N = tuple(kinds), kind_N

    @classmethod
    def of(cls, rows: Iterable[Sequence[str]]) -> Answers:
        """These rows."""
        number: dict[Row, int] = {}
        kind_N = np.fromiter((number.setdefault(tuple(row), len(number)) for row in rows), np.int32)
        return cls(tuple(number), kind_N)

    @classmethod
    def joined(cls, parts: Iterable[Answers]) -> Answers:
        """The rows of all parts, one part after the other."""
        return cls.of(chain.from_iterable(parts))

    def __len__(self) -> int:
        return len(self.kind_N)

    def __getitem__(self, at: Any) -> Any:
        return [self.kinds[k] for k in self.kind_N[at].tolist()] if isinstance(at, slice) else self.kinds[self.kind_N[at]]

    def __iter__(self) -> Iterator[Row]:
        for start in range(0, len(self), TOGETHER):
            yield from map(self.kinds.__getitem__, self.kind_N[start : start + TOGETHER].tolist())

    def take(self, index_K: np.ndarray) -> Answers:
        """The rows at these positions."""
        return Answers(self.kinds, self.kind_N[index_K])

    def occurring(self) -> dict[Row, int]:
        """Each list of labels that a row has, and how many have it."""
        count_K = np.bincount(self.kind_N, minlength=len(self.kinds)).tolist()
        return {kind: count for kind, count in zip(self.kinds, count_K, strict=True) if count}

    def counts(self) -> Counter[str]:
        """How often each label occurs."""
        found: Counter[str] = Counter()
        for kind, count in self.occurring().items():
            for label in kind:
                found[label] += count
        return found

    def where(self, test: Callable[[Row], bool]) -> np.ndarray:
        """Positions of the rows whose labels pass a test, ascending."""
        passed_K = np.fromiter(map(test, self.kinds), bool, len(self.kinds))
        return np.flatnonzero(passed_K[self.kind_N]) if len(self.kinds) else np.zeros(0, np.int64)

    def having(self, labels: Container[str]) -> np.ndarray:
        """Positions of the rows that have one of these labels, ascending."""
        return self.where(lambda row: any(label in labels for label in row))

    def memberships(self) -> tuple[np.ndarray, list[str]]:
        """(M, 2) int32 pairs (row, class), row by row, and the classes in order."""
        names = sorted(self.counts())
        number = {name: i for i, name in enumerate(names)}
        size_K = np.fromiter(map(len, self.kinds), np.int64, len(self.kinds))
        class_of = np.array([number.get(label, -1) for kind in self.kinds for label in kind], np.int64)
        size_N = size_K[self.kind_N] if len(size_K) else np.zeros(0, np.int64)
        pair_M2 = np.empty((int(size_N.sum()), 2), np.int32)
        pair_M2[:, 0] = np.repeat(np.arange(len(size_N), dtype=np.int32), size_N)
        first_K = np.cumsum([0, *size_K[:-1]]) if len(size_K) else size_K
        within_M = np.arange(len(pair_M2)) - np.repeat(np.cumsum(size_N) - size_N, size_N)
        pair_M2[:, 1] = class_of[np.repeat(first_K[self.kind_N], size_N) + within_M] if len(pair_M2) else 0
        return pair_M2, names
