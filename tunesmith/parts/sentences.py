"""Sentences that answer a question by words alone: what a tuned reader has to beat.

Axes: N rows, S sentences of all rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from .answers import Span

Guess = tuple[Span | None, float]
"""A sentence and how well it fits; none of an empty text."""
_END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s)|[。！？；]+[”’」』）]*|\n+")
_STOP = frozenset(
    "a an and are as at be by did do does for from had has have how in is it of on or that the this to was were what when where which "
    "who whom whose why will with".split()
)


def split(text: str) -> list[Span]:
    """Sentences as (first character, the one behind the last), outer space left out; all of a text without an end mark."""
    cuts = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    found = [_trimmed(text, start, end) for start, end in zip(cuts, cuts[1:])]
    return [span for span in found if span[0] < span[1]]


def first(texts: Sequence[str]) -> list[Guess]:
    """Each text's first sentence."""
    return [(next(iter(split(text)), None), 0.0) for text in texts]


def most_shared(questions: Sequence[str], texts: Sequence[str], by_character: bool) -> list[Guess]:
    """Each text's sentence with the largest share of the question's words (Chinese: characters), the earlier of equals."""
    return [_most_shared(_words(question, by_character), text, by_character) for question, text in zip(questions, texts)]


def most_similar(
    train: Sequence[str], questions: Sequence[str], texts: Sequence[str], by_character: bool
) -> list[Guess]:
    """Each text's sentence nearest to the question by TF-IDF, whose weights come from the training texts; with the cosine."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    shape: dict[str, Any] = {"analyzer": "char", "ngram_range": (1, 3)} if by_character else {"token_pattern": r"(?u)\b\w+\b"}
    vectorizer = TfidfVectorizer(sublinear_tf=True, **shape)
    try:
        vectorizer.fit(list(dict.fromkeys(train)))
    except ValueError:  # not one word
        return first(texts)
    spans = [split(text) for text in texts]
    sentences = vectorizer.transform([text[a:b] for text, own in zip(texts, spans) for a, b in own] or [""])
    row_S = np.repeat(np.arange(len(texts)), [len(own) for own in spans])
    asked = vectorizer.transform(list(questions))
    cosine_S = np.asarray(sentences[: len(row_S)].multiply(asked[row_S]).sum(1)).ravel()
    return [_highest(own, cosine_S[row_S == row]) for row, own in enumerate(spans)]


def _most_shared(asked: set[str], text: str, by_character: bool) -> Guess:
    spans = split(text)
    shared = [len(asked & _words(text[a:b], by_character)) / max(len(asked), 1) for a, b in spans]
    return _highest(spans, np.array(shared))


def _highest(spans: Sequence[Span], value: np.ndarray) -> Guess:
    if not spans:
        return None, 0.0
    at = int(value.argmax())
    return spans[at], float(value[at])


def _words(text: str, by_character: bool) -> set[str]:
    words = set(re.findall(r"\w" if by_character else r"\w+", text.lower()))
    return (words - _STOP) or words


def _trimmed(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - (len(part) - len(part.rstrip()))
