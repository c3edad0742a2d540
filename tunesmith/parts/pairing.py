"""Pairs of spans as a model reads them: markers around both, of characters that every vocabulary has, and a window around the spans.

`@ Anna @ was born in # Rome #`; with types `@ * person * Anna @ ... # ^ city ^ Rome #` (arXiv 2102.01373, where these did as well as
or better than new tokens, which would have to be learned from nothing and could not be by a frozen model).

Axes: T tokens of a text, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ..task import Example
from . import tokens, windows
from .relating import Said, Span

HEAD, TAIL = 1, 2
"""Bits of `spans` (T,): the token is of the head, of the tail; their markers are of them."""
SIGNS = {HEAD: ("@", "*"), TAIL: ("#", "^")}
WHOLE = 1 << 30
"""More tokens than any text has."""
FAR = 24
"""Characters per token of a window beyond which a long text is not even tokenised."""


@final
@dataclass(frozen=True)
class Asked:
    """A text and the two of its spans that a relation is asked of."""

    text: str
    head: Span
    tail: Span


def candidates(said: Said, types: Sequence[tuple[str, str]] | None) -> list[tuple[int, int]]:
    """All ordered pairs of different spans; with `types` only those of these types."""
    known, spans = None if types is None else set(types), said.spans
    every = ((one, other) for one in range(len(spans)) for other in range(len(spans)) if one != other)
    return [(one, other) for one, other in every if known is None or (spans[one].type, spans[other].type) in known]


def encode(processor: Any, asked: Sequence[Asked], most: int) -> list[Example]:
    """`input_ids`, and `spans` (T,) with the bits of each token. Where a text is longer than `most` tokens, those are kept that stand
    nearest to the two spans."""
    made = [_pieces(_near(one, most)) for one in asked]
    segments = windows.reads_segments(processor)
    found = windows.cut(processor, [[piece for piece, _ in pieces] for pieces in made], most=WHOLE, stride=0)
    examples = []
    for window, pieces in zip(found, made, strict=True):
        bit_T = _bits(window, pieces)
        keep_T = kept(bit_T, window.part_T >= 0, most)
        inputs = {name: value[keep_T] for name, value in window.inputs(segments).items()}
        examples.append(inputs | {"spans": bit_T[keep_T]})
    return examples


def lengths(processor: Any, asked: Sequence[Asked]) -> np.ndarray:
    """(N,) tokens of each pair's text with its markers, uncut."""
    return windows.lengths(processor, [[piece for piece, _ in _pieces(one)] for one in asked])


def kept(bit_T: np.ndarray, own_T: np.ndarray, most: int) -> np.ndarray:
    """(T,) bool: the tokens that a window of `most` holds: all special ones, the spans, what is between them where it fits, and the
    nearest to these on both sides."""
    if len(bit_T) <= most:
        return np.ones(len(bit_T), bool)
    place_T, room = np.flatnonzero(own_T), most - int((~own_T).sum())
    marked_M = np.flatnonzero(bit_T[place_T])
    if not len(marked_M):
        marked_M = np.array([0])
    here_T = np.arange(len(place_T))
    after_T = np.searchsorted(marked_M, here_T)
    left_T = here_T - marked_M[np.maximum(after_T - 1, 0)]
    right_T = marked_M[np.minimum(after_T, len(marked_M) - 1)] - here_T
    far_T = np.where(after_T == 0, right_T, np.where(after_T == len(marked_M), left_T, np.minimum(np.abs(left_T), np.abs(right_T))))
    first, last = int(marked_M[0]), int(marked_M[-1])
    if last + 1 - first <= room:
        far_T[first : last + 1] = 0
    keep_T = ~own_T
    keep_T[place_T[np.argsort(far_T, kind="stable")[:room]]] = True
    return keep_T


def _near(asked: Asked, most: int) -> Asked:
    """The text without what is so far from both spans that no window holds it."""
    first, last = min(asked.head.start, asked.tail.start), max(asked.head.end, asked.tail.end)
    start, end = max(0, first - FAR * most), last + FAR * most
    if start == 0 and end >= len(asked.text):
        return asked
    head, tail = (Span(span.start - start, span.end - start, span.type) for span in (asked.head, asked.tail))
    return Asked(asked.text[start:end], head, tail)


def _pieces(asked: Asked) -> list[tuple[str, int]]:
    """The text with its markers, in pieces that are tokenised apart, each with its bits."""
    found: list[tuple[str, int]] = []
    bits, at = 0, 0
    for place, opens, bit, marker in _markers(asked):
        _add(found, asked.text[at:place], bits)
        bits, at = bits | bit, place
        _add(found, marker, bits)
        bits = bits if opens else bits & ~bit
    _add(found, asked.text[at:], bits)
    return found


def _add(found: list[tuple[str, int]], text: str, bits: int) -> None:
    if text.strip():
        found.append((f" {text.strip()}" if found else text.strip(), bits))


def _markers(asked: Asked) -> Iterator[tuple[int, bool, int, str]]:
    """(place, opens, bit, marker) from left to right: what ends somewhere before what begins there, the inner span within the outer."""
    found = []
    for bit, span in ((HEAD, asked.head), (TAIL, asked.tail)):
        sign, around = SIGNS[bit]
        kind = f" {around} {span.type.replace('_', ' ').lower()} {around}" if span.type else ""
        found.append(((span.start, 1, -span.end, bit), (span.start, True, bit, sign + kind)))
        found.append(((span.end, 0, -span.start, -bit), (span.end, False, bit, sign)))
    return (marker for _, marker in sorted(found))


def _bits(window: windows.Window, pieces: Sequence[tuple[str, int]]) -> np.ndarray:
    end_P = np.cumsum([len(piece) for piece, _ in pieces])
    bit_P = np.array([bits for _, bits in pieces], np.uint8)
    piece_T = np.minimum(np.searchsorted(end_P, window.span_T2[:, 0], side="right"), len(pieces) - 1)
    return np.where(window.part_T >= 0, bit_P[piece_T], 0).astype(np.uint8)


def settle(processor: Any, asked: Sequence[Asked], wanted: int | str, limit: int) -> dict[str, Any]:
    """The fitted fields `tokens_kept` and `tokens_why`, from a sample of the training pairs."""
    lengths_N = lengths(processor, [asked[at] for at in tokens.sample_positions(len(asked))])
    chosen = tokens.choose_limit(lengths_N, wanted, min(limit, tokens.limit(processor)))
    longer, _ = tokens.cut(lengths_N, chosen.value)
    why = f"{chosen.why}; of {longer:,} longer ones the tokens nearest to the two spans are read" if longer else chosen.why
    return {"tokens_kept": chosen.value, "tokens_why": why}
