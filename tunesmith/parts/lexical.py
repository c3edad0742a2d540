"""What words alone find and answer: BM25, and the sentence that shares most words with the question. The measure for what is tuned."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from . import bm25, sentences
from .passages import Library

HITS = 20


def found(
    library: Library, questions: Sequence[str], own: Sequence[Sequence[str]], read: int, by_character: bool
) -> list[str]:
    """For each question a JSON text as `knowing` reads it. `own`: documents that answer, left out for `hidden`; `read`: passages in which
    an answer is looked for."""
    return [json.dumps(_one(library, *one, read, by_character), ensure_ascii=False) for one in zip(questions, own)]


def _one(library: Library, question: str, own: Sequence[str], read: int, by_character: bool) -> dict[str, Any]:
    hits = _hits(library, question, ())
    spans = _spans(library, question, hits[:read], by_character)
    rows = [_row(library, at, score, spans[rank][5] if rank < len(spans) else "") for rank, (at, score) in enumerate(hits)]
    hidden = _spans(library, question, _hits(library, question, own)[:read], by_character) if own and read else None
    return {"hits": rows, "spans": spans, "hidden": hidden, "reply": None, "read": min(read, len(hits))}


def _hits(library: Library, question: str, without: Iterable[str]) -> list[tuple[int, float]]:
    score_P = library.index.scores(question)
    for name in without:
        rows = library.passages.rows.get(name, range(0))
        score_P[rows.start : rows.stop] = 0
    return [(int(at), float(score_P[at])) for at in bm25.best(score_P, HITS, 0.0)]


def _row(library: Library, at: int, score: float, sentence: str) -> list[Any]:
    passages = library.passages
    return [passages.documents[at], passages.place(at), *passages.spans_P2[at].tolist(), round(score, 4), 0.0, round(score, 4), sentence]


def sentence(rank: int, text: str, base: int, question: str, by_character: bool, cosine: float = 0.0) -> list[Any]:
    """The sentence of a passage (which begins at `base`) that shares most words with the question, as an entry of `spans`; its odds are
    four times the share of the question's words that it has."""
    (span, shared), *_ = sentences.most_shared([question], [text], by_character)
    start, end = span or (0, len(text))
    return [rank, base + start, base + end, text[start:end], round(4 * shared, 5), text[start:end], cosine, 1]


def _spans(library: Library, question: str, hits: Sequence[tuple[int, float]], by_character: bool) -> list[list[Any]]:
    """The nearest sentence of each passage."""
    spans_P2 = library.passages.spans_P2
    return [sentence(rank, library.passages.text(at), int(spans_P2[at, 0]), question, by_character) for rank, (at, _) in enumerate(hits)]
