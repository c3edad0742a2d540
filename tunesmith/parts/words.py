"""A text and the words that it is tagged by, each known by its characters in the user's own text.

Axes: W words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

_SPACELESS = r"\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f\uff00-\uffef\U00020000-\U0003ffff"
"""Scripts that put no space between words: each character is a word."""
_UNSPACED = re.compile(f"[{_SPACELESS}]")
_FINE = re.compile(rf"[{_SPACELESS}]|(?:(?![{_SPACELESS}\d_])\w)+|\d+|[^\s]")
"""Letters, digits, or one sign: so fine that spans hardly ever end inside a word."""
_USUAL = re.compile(
    rf"[{_SPACELESS}]|https?://[^\s{_SPACELESS}]+|[@#]\w+|(?:(?![{_SPACELESS}])\w)+(?:[-.](?:(?![{_SPACELESS}])\w)+)*|['’]\w+|[^\s]"
)
"""As the usual corpora cut: links, @names and #tags whole, `I` and `'m` apart."""


@final
@dataclass(frozen=True)
class Words:
    """A text, and where its words are in it."""

    text: str
    span_W2: np.ndarray
    """int32: first character of each word, and the one behind its last."""

    def __len__(self) -> int:
        return len(self.span_W2)

    def pieces(self) -> list[str]:
        """The text in as many pieces as there are words: each with the space before it (and the last with all that follows)."""
        ends = [*self.span_W2[:-1, 1].tolist(), len(self.text)] if len(self) else [len(self.text)]
        return [self.text[start:end] for start, end in zip([0, *ends[:-1]], ends)]

    def strings(self) -> list[str]:
        """The words."""
        return [self.text[start:end] for start, end in self.span_W2.tolist()]

    def owner(self, start_T: np.ndarray) -> np.ndarray:
        """(T,) the word to whose piece each character belongs."""
        return np.minimum(np.searchsorted(self.span_W2[:, 1], start_T, side="right"), max(len(self) - 1, 0))


def of_text(text: str, fine: bool = True) -> Words:
    """The words of a plain text: `fine` ones for texts whose spans are known by characters, else as the usual corpora cut."""
    found = [match.span() for match in (_FINE if fine else _USUAL).finditer(text)]
    return Words(text, _spans(found))


def of_spaced(text: str) -> Words:
    """The tokens of a text that has spaces between them, in that very text."""
    return Words(text, _spans(match.span() for match in re.finditer(r"\S+", text)))


def of_tokens(tokens: Sequence[str]) -> Words:
    """Tokens as a text: with a space between, but for scripts that have none."""
    parts, spans, at = [], [], 0
    for token, before in zip(tokens, ["", *tokens[:-1]]):
        space = between(before, token)
        at += len(space)
        parts += [space, token]
        spans.append((at, at + len(token)))
        at += len(token)
    return Words("".join(parts), _spans(spans))


def between(before: str, word: str) -> str:
    """What keeps two words apart: a space, but for scripts that have none."""
    return " " if before and not (_UNSPACED.match(before[-1]) and _UNSPACED.match(word[:1] or " ")) else ""


def _spans(found: Iterable[tuple[int, int]]) -> np.ndarray:
    return np.array(list(found), np.int32).reshape(-1, 2)
