"""Texts longer than the model reads, cut into overlapping windows of tokens; every token knows its characters in the user's text.

A text is a string, or a list of pieces that are tokenised apart: a token never spans two of them, and the text is the pieces joined.
Of a pair, the second part is cut (a question, then what may hold its answer); of the first, only what fits into half a window is kept.

Axes: T tokens of a window.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ..task import Example
from . import tokens

Text = str | Sequence[str]
FAR = 1 << 20
"""Context of a token whose part is not cut: more than any window has."""
_PARTS = re.compile(r"\w+|\s*[^\w\s]|\s+")
_SURROGATES = re.compile("[\ud800-\udfff]")


@final
@dataclass(frozen=True)
class Window:
    """A stretch of a row's tokens, with the template's special tokens around it."""

    row: int
    """Which text it is of."""
    ids_T: np.ndarray
    """int32: token ids."""
    segment_T: np.ndarray
    """uint8: segments, as BERT's `token_type_ids`."""
    part_T: np.ndarray
    """int8: 0 where the token is of the text (of a pair: its first part), 1 of the second part, -1 special tokens."""
    span_T2: np.ndarray
    """int32: first character of each token and the one behind its last, in its own part, outer space left out; 0, 0 for special ones."""
    context_T: np.ndarray
    """int32: tokens between this one and the nearest edge at which its text was cut; FAR where it was not."""

    def inputs(self, segments: bool = False) -> Example:
        """What the model reads: `input_ids`, and `token_type_ids` where asked for."""
        return {"input_ids": self.ids_T} | ({"token_type_ids": self.segment_T} if segments else {})


def cut(
    processor: Any, texts: Sequence[Text], pairs: Sequence[Text] | None = None, *, most: int, stride: int
) -> list[Window]:
    """Windows of at most `most` tokens, special ones included, in the rows' order and each row's from left to right.

    `stride`: tokens that neighbours share (a quarter of a window at most where a pair stands, half otherwise). Special tokens come from
    the template alone: `[SEP]` or `<|im_start|>` in a user's text is tokenised as the characters that it is made of. Every token of
    the text (of a pair: of its second part) stands in some window. All rows are strings, or all are lists of pieces.
    """
    tokenizer = tokens.tokenizer_of(processor)
    room = most - tokenizer.num_special_tokens_to_add(pair=pairs is not None)
    assert room >= 8, "a window needs room for some tokens beside the special ones"
    first = [_mended(text) for text in texts]
    if pairs is None:
        return _windows(tokenizer, first, None, most, min(stride, room // 2))
    short = _shortened(tokenizer, first, room // 2)
    return _windows(tokenizer, short, [_mended(pair) for pair in pairs], most, min(stride, room // 4))


def lengths(processor: Any, texts: Sequence[Text], pairs: Sequence[Text] | None = None) -> np.ndarray:
    """(N,) tokens of each row, uncut, special tokens included."""
    tokenizer = tokens.tokenizer_of(processor)
    second = None if pairs is None else [_mended(pair) for pair in pairs]
    found = _encoded(tokenizer, [_mended(text) for text in texts], second, None, 0)
    return np.array([len(encoding) for encoding, _ in found], np.int64)


def reads_segments(processor: Any) -> bool:
    """Whether the model knows segments (`token_type_ids`)."""
    return "token_type_ids" in getattr(tokens.tokenizer_of(processor), "model_input_names", ())


Pieces = tuple[tuple[str, ...], tuple[str, ...]]
"""The pieces of a row's text, and those of its second part."""


def _windows(tokenizer: Any, texts: list[Text], pairs: list[Text] | None, most: int, stride: int) -> list[Window]:
    found: list[Window] = []
    for row, (encoding, pieces) in enumerate(_encoded(tokenizer, texts, pairs, most, stride)):
        several = [encoding, *encoding.overflowing]
        parts = (_joined(texts[row]), _joined(pairs[row]) if pairs is not None else "")
        filled = tuple(_filled(part) for part in parts)
        for at, one in enumerate(several):
            window = _window(tokenizer, one, row, pieces, 0 if pairs is None else 1, (at > 0, at + 1 < len(several)))
            _trim(window.span_T2, window.part_T, filled)
            found.append(window)
    return found


def _joined(text: Text) -> str:
    return text if isinstance(text, str) else "".join(text)


def _filled(text: str) -> np.ndarray:
    """Places of all characters that are no space."""
    return np.array([at for at, character in enumerate(text) if not character.isspace()], np.int32)


def _trim(span_T2: np.ndarray, part_T: np.ndarray, filled: Sequence[np.ndarray]) -> None:
    """Leave outer space out of the spans, in place: some tokenizers count the space before a word as the word's."""
    for part, filled_K in enumerate(filled):
        own_T = np.flatnonzero(part_T == part)
        if len(own_T) and len(filled_K):
            first_T = np.searchsorted(filled_K, span_T2[own_T, 0])
            behind_T = np.searchsorted(filled_K, span_T2[own_T, 1])
            some_T = first_T < behind_T
            span_T2[own_T[some_T], 0] = filled_K[first_T[some_T]]
            span_T2[own_T[some_T], 1] = filled_K[behind_T[some_T] - 1] + 1


def _encoded(
    tokenizer: Any, texts: list[Text], pairs: list[Text] | None, most: int | None, stride: int
) -> list[tuple[Any, Pieces | None]]:
    """Each row's encoding, with its pieces where it was given (or had to be cut) in such."""
    if not texts:
        return []
    backend = tokens.backend_of(tokenizer)
    apart = not isinstance(texts[0], str)
    inputs: list[Any] = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
    known = [_pieces(one, pairs is not None) for one in inputs] if apart else [None] * len(inputs)
    with tokens.truncating(tokenizer, backend, most, stride, "longest_first" if pairs is None else "only_second"):
        found = backend.encode_batch(inputs, is_pretokenized=apart)
        for row in _suspects(tokenizer, found, pairs is not None):
            pieces = _pieces(inputs[row], pairs is not None)
            for shape in (_PARTS, re.compile(r"(?s)\s*.")):
                known[row] = (_split(pieces[0], shape), _split(pieces[1], shape))
                found[row] = _apart(backend, known[row], pairs is not None)
                if not _suspects(tokenizer, [found[row]], pairs is not None):
                    break
    return list(zip(found, known))


def _suspects(tokenizer: Any, encodings: Sequence[Any], paired: bool) -> list[int]:
    """Rows with more control tokens than the template adds, in any of their windows."""
    flat = [(row, one) for row, encoding in enumerate(encodings) for one in (encoding, *encoding.overflowing)]
    bad = tokens.controlled(tokenizer, [one for _, one in flat], paired)
    return sorted({flat[at][0] for at in bad})


def _apart(backend: Any, pieces: Pieces, paired: bool) -> Any:
    first, second = list(pieces[0]), list(pieces[1])
    return backend.encode(first, second, is_pretokenized=True) if paired else backend.encode(first, is_pretokenized=True)


def _pieces(given: Any, paired: bool) -> Pieces:
    first, second = given if paired else (given, ())
    return _as_pieces(first), _as_pieces(second)


def _as_pieces(text: Text) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def _split(pieces: Sequence[str], shape: re.Pattern[str]) -> tuple[str, ...]:
    """Pieces cut so small that no control string can be put together again; joined they are the same text."""
    return tuple(part for piece in pieces for part in _parted(piece, shape))


def _parted(piece: str, shape: re.Pattern[str]) -> Iterator[str]:
    end = 0
    for match in shape.finditer(piece):
        yield piece[end : match.end()]
        end = match.end()
    if end < len(piece):
        yield piece[end:]


def _window(tokenizer: Any, encoding: Any, row: int, pieces: Pieces | None, cut_part: int, cut: tuple[bool, bool]) -> Window:
    if not encoding.ids:
        return _empty(tokenizer, row)
    part_T = np.array([-1 if part is None else part for part in encoding.sequence_ids], np.int8)
    span_T2 = np.array(encoding.offsets, np.int32).reshape(-1, 2)
    if pieces is not None:
        span_T2 = span_T2 + _starts(encoding, part_T, pieces)[:, None]
    span_T2[part_T < 0] = 0
    return Window(
        row, np.array(encoding.ids, np.int32), np.array(encoding.type_ids, np.uint8), part_T, span_T2, _context(part_T == cut_part, cut),
    )


def _starts(encoding: Any, part_T: np.ndarray, pieces: Pieces) -> np.ndarray:
    """(T,) where each token's piece begins in its part."""
    word_T = np.array([0 if word is None else word for word in encoding.word_ids], np.int64)
    start_T = np.zeros(len(word_T), np.int32)
    for part, strings in enumerate(pieces):
        if strings:
            begin_P = np.concatenate([[0], np.cumsum([len(string) for string in strings])])
            start_T[part_T == part] = begin_P[word_T[part_T == part]]
    return start_T


def _context(cut_T: np.ndarray, cut: tuple[bool, bool]) -> np.ndarray:
    """(T,) tokens to the nearest cut edge, of tokens of the part that is cut."""
    place_T = np.cumsum(cut_T) - 1
    left_T = np.where(cut[0], place_T, FAR)
    right_T = np.where(cut[1], cut_T.sum() - 1 - place_T, FAR)
    return np.where(cut_T, np.minimum(left_T, right_T), FAR).astype(np.int32)


def _empty(tokenizer: Any, row: int) -> Window:
    nothing = np.array([-1], np.int8)
    ids_T = np.array([tokens.anchor(tokenizer)], np.int32)
    return Window(row, ids_T, np.zeros(1, np.uint8), nothing, np.zeros((1, 2), np.int32), np.full(1, FAR, np.int32))


def _shortened(tokenizer: Any, texts: list[Text], most: int) -> list[Text]:
    """Texts without what is beyond their first `most` tokens, so that a long first part leaves the second its room."""
    plain = tokenizer.num_special_tokens_to_add(pair=False)
    short = list(texts)
    for row, window in enumerate(_first_windows(tokenizer, texts, most + plain)):
        if window is not None:
            short[row] = _head(texts[row], int(window.span_T2[window.part_T == 0, 1].max(initial=0)))
    return short


def _first_windows(tokenizer: Any, texts: list[Text], most: int) -> list[Window | None]:
    """Each text's first window; None where the text is no longer than that."""
    found: list[Window | None] = [None] * len(texts)
    for window in reversed(_windows(tokenizer, texts, None, most, 0)):
        found[window.row] = window if (window.context_T < FAR).any() or found[window.row] else None
    return found


def _head(text: Text, end: int) -> Text:
    if isinstance(text, str):
        return text[:end]
    kept, start = [], 0
    for piece in text:
        kept.append(piece[: max(0, end - start)])
        start += len(piece)
    return kept


def _mended(text: Text) -> Text:
    """A lone surrogate is no Unicode text, and the tokenizer refuses it: a sign that stands for it, so that offsets stay."""
    if isinstance(text, str):
        return _SURROGATES.sub("\ufffd", text)
    return [_SURROGATES.sub("\ufffd", piece) for piece in text]
