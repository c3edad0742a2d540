"""Texts as sets of hashed pieces, for whole blocks of texts at once.

Axes: N texts, P characters of a block, W words, S pieces (shingles).

Every piece is a substring, and the hash of a substring falls out of prefix sums of a polynomial modulo 2^64 (Karp and
Rabin 1987): no loop over texts, words or pieces.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np

WORDS = 3
"""Words of one piece."""
CHARACTERS = 5
"""Characters of one piece, for short texts and for scripts that put no spaces between words."""
SHORT = 6
"""Texts with fewer words are compared by characters: word 3-grams of so few words, one of them changed, never reach .8.
"""
UNSPACED = 0.3
"""Share of characters from scripts without spaces from which a text is compared by characters."""
BLOCK = 2_000_000
"""Characters that are hashed at once: bounds the memory to about 200 MB."""

_SCRIPTS = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0xA4CF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
)
"""Thai and Lao, Burmese, Khmer, kana and Han and Yi, Han compatibility, Han extensions; Hangul is written with spaces.
"""
_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))


@dataclass(frozen=True)
class Pieces:
    """The pieces of N texts: those of text i are `hash_S[start_N[i]:start_N[i + 1]]`; repeats are kept."""

    hash_S: np.ndarray
    start_N: np.ndarray


def fold(text: str) -> str:
    """The text after NFKC, case folding and white-space folding (single spaces, trimmed)."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def words(text: str) -> str:
    """The text's letters, marks and numbers, folded, with one space for what is between; empty for `:)`."""
    if text.isascii():
        return " ".join(text.encode().translate(_ASCII).decode().split())
    return " ".join(fold(text).translate(_LETTERS).split())


@final
class _Letters(dict[int, int | None]):
    """Code point -> itself for a letter, mark or number, None (no character at all) for an invisible one, else a space.

    Filled as characters are met. Invisible: joiners, soft hyphens, and the selectors that colour an emoji.
    """

    def __missing__(self, code: int) -> int | None:
        kind = unicodedata.category(chr(code))
        invisible = kind == "Cf" or 0xFE00 <= code <= 0xFE0F
        self[code] = None if invisible else code if kind[0] in "LMN" else 32
        return self[code]


_ASCII = bytes(ord(chr(code).lower()) if chr(code).isalnum() else 32 for code in range(128)) + bytes(128)
"""Byte -> the letter or number that it is folded to, else a space."""
_LETTERS = _Letters()


def key(text: str) -> int:
    """A 64-bit content hash (BLAKE2b), the same on every machine and in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def mix(values: np.ndarray) -> np.ndarray:
    """Scatter uint64 values (the finaliser of SplitMix64, Steele et al. 2014): equal ones stay equal."""
    mixed = values + _BASE
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def blocks(lengths_N: np.ndarray) -> Iterator[slice]:
    """Runs of texts of about BLOCK characters, at least one text each."""
    ends_N = np.cumsum(lengths_N)
    start = 0
    while start < len(lengths_N):
        done = ends_N[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends_N, done + BLOCK, side="right")))
        yield slice(start, stop)
        start = stop


def pieces(texts: Sequence[str]) -> Pieces:
    """The hashed pieces of texts that `words` folded: word 3-grams, or character 5-grams where words do not serve."""
    code_P = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    text_P = np.repeat(np.arange(len(texts)), np.fromiter(map(len, texts), np.int64, len(texts)))
    if not len(code_P):
        return Pieces(np.zeros(0, np.uint64), np.zeros(len(texts) + 1, np.int64))
    begin_W, end_W = _words(code_P, text_P)
    by_letter_N = _by_letter(code_P, text_P, text_P[begin_W], len(texts))
    spans = [_word_spans(begin_W, end_W, text_P, by_letter_N), _letter_spans(text_P, by_letter_N)]
    begin_S, end_S = (np.concatenate(side) for side in zip(*spans, strict=True))
    text_S = text_P[begin_S]
    order_S = np.argsort(text_S, kind="stable")
    start_N = np.concatenate([[0], np.cumsum(np.bincount(text_S, minlength=len(texts)))])
    return Pieces(_hashes(code_P, begin_S[order_S], end_S[order_S]), start_N)


def _words(code_P: np.ndarray, text_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where words begin and end (one past the last letter)."""
    space_P = code_P == 32
    new_P = np.concatenate([[True], text_P[1:] != text_P[:-1]])
    begin_P = new_P | np.concatenate([[True], space_P[:-1]])
    end_P = np.concatenate([new_P[1:] | space_P[1:], [True]])
    return np.flatnonzero(begin_P & ~space_P), np.flatnonzero(end_P & ~space_P) + 1


def _by_letter(code_P: np.ndarray, text_P: np.ndarray, text_W: np.ndarray, n: int) -> np.ndarray:
    """Which texts are compared by characters."""
    unspaced_P = np.zeros(len(code_P), bool)
    for low, high in _SCRIPTS:
        unspaced_P |= (code_P >= low) & (code_P <= high)
    length_N = np.maximum(np.bincount(text_P, minlength=n), 1)
    share_N = np.bincount(text_P, unspaced_P, minlength=n) / length_N
    return (np.bincount(text_W, minlength=n) < SHORT) | (share_N > UNSPACED)


def _word_spans(
    begin_W: np.ndarray, end_W: np.ndarray, text_P: np.ndarray, by_letter_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    reach = WORDS - 1
    if len(begin_W) <= reach:
        return begin_W[:0], end_W[:0]
    first_S, last_S = begin_W[:-reach], end_W[reach:]
    kept_S = (text_P[first_S] == text_P[last_S - 1]) & ~by_letter_N[text_P[first_S]]
    return first_S[kept_S], last_S[kept_S]


def _letter_spans(text_P: np.ndarray, by_letter_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Character 5-grams; a text shorter than that is one piece."""
    last_N = np.searchsorted(text_P, np.arange(len(by_letter_N)), side="right")
    begin_S = np.flatnonzero(by_letter_N[text_P])
    end_S = begin_S + CHARACTERS
    first_P = np.concatenate([[True], text_P[1:] != text_P[:-1]])
    kept_S = (end_S <= last_N[text_P[begin_S]]) | first_P[begin_S]
    begin_S = begin_S[kept_S]
    return begin_S, np.minimum(begin_S + CHARACTERS, last_N[text_P[begin_S]])


def _hashes(code_P: np.ndarray, begin_S: np.ndarray, end_S: np.ndarray) -> np.ndarray:
    power_P, inverse_P = _powers(1 << int(len(code_P)).bit_length())
    sum_P = np.zeros(len(code_P) + 1, np.uint64)
    np.cumsum(mix(code_P.astype(np.uint64)) * power_P[: len(code_P)], out=sum_P[1:])
    return mix((sum_P[end_S] - sum_P[begin_S]) * inverse_P[begin_S])


@lru_cache(maxsize=2)
def _powers(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Powers 0..n-1 of the base and of its inverse, modulo 2^64."""
    base_P, inverse_P = np.full(n, _BASE), np.full(n, _INVERSE)
    base_P[0] = inverse_P[0] = 1
    return np.multiply.accumulate(base_P), np.multiply.accumulate(inverse_P)
