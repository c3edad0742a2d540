"""Reading-comprehension JSON: articles with paragraphs with questions, as one row per question.

SQuAD 1 and 2 (`data` / `paragraphs` / `qas`), files that are a list of such articles or paragraphs, and CMRC 2018's own spelling
(`context_text`, `query_text`, answers as plain texts). Rows have `id`, `question`, `context` and, unless the file has none at all,
`answers`: a list of {"text", "answer_start"}, empty where the text does not answer the question (SQuAD 2's `is_impossible`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..errors import DataError, shorten

CONTEXT = ("context", "context_text")
QUESTION = ("question", "query_text")
ID = ("id", "query_id")
NOTE = "questions about texts (SQuAD's form): each question is a row"
KEPT = ("title", "type")
"""Keys of an article or a question that may tell rows apart, kept as columns where every row has a text there."""


def fits(value: Any) -> bool:
    """Whether this is an article, or a paragraph with questions: what a list of such is made of."""
    if not isinstance(value, dict):
        return False
    return _is_paragraph(value) or (isinstance(value.get("paragraphs"), list) and all(map(_is_paragraph, value["paragraphs"])))


def rows(articles: Iterable[Any], name: str) -> Iterator[dict[str, Any]]:
    """A row for each question, in the file's order. Raises DataError with article, paragraph and question where one is malformed."""
    for number, article in enumerate(articles, 1):
        place = f"{name}, article {number}"
        if not fits(article):
            raise _error(place, "an article with paragraphs that have a context and questions (`qas`)", article)
        paragraphs = article["paragraphs"] if "paragraphs" in article else [article]
        for at, paragraph in enumerate(paragraphs, 1):
            yield from _questions(article, paragraph, f"{place}, paragraph {at}")


def _is_paragraph(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("qas"), list) and any(key in value for key in CONTEXT)


def _questions(article: Mapping[str, Any], paragraph: Mapping[str, Any], place: str) -> Iterator[dict[str, Any]]:
    context = _text(paragraph, CONTEXT, place)
    for at, asked in enumerate(paragraph["qas"], 1):
        here = f"{place}, question {at}"
        if not isinstance(asked, dict):
            raise _error(here, "an object with a question", asked)
        row: dict[str, Any] = {"id": _id(asked), "question": _text(asked, QUESTION, here), "context": context}
        if "answers" in asked or "is_impossible" in asked:
            row["answers"] = _answers(asked, here)
        kept = {key: asked.get(key, article.get(key)) for key in KEPT}
        yield row | {key: value for key, value in kept.items() if isinstance(value, str)}


def _text(holder: Mapping[str, Any], keys: tuple[str, ...], place: str) -> str:
    value = next((holder[key] for key in keys if key in holder), None)
    if not isinstance(value, str):
        raise _error(place, f"a text under {keys[0]!r}", value)
    return value


def _id(asked: Mapping[str, Any]) -> str | None:
    value = next((asked[key] for key in ID if key in asked), None)
    return None if value is None else str(value)


def _answers(asked: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    given = asked.get("answers")
    if not isinstance(given, list | None):
        raise _error(place, "a list under 'answers'", given)
    found = [_answer(one, place) for one in given or []]
    if asked.get("is_impossible") is True and found:
        raise _error(place, "no answers where 'is_impossible' is true", found[0]["text"])
    return found


def _answer(one: Any, place: str) -> dict[str, Any]:
    text, start = (one.get("text"), one.get("answer_start")) if isinstance(one, dict) else (one, None)
    if not isinstance(text, str):
        raise _error(place, "an answer with a text", one)
    if not isinstance(start, int | None) or isinstance(start, bool):
        raise _error(place, "a whole number under 'answer_start'", start)
    return {"text": text} | ({} if start is None else {"answer_start": start})


def _error(place: str, expected: str, got: Any) -> DataError:
    shown = "nothing" if got is None else shorten(got)
    return DataError(place, expected=expected, got=shown, fix="mend the file there", code="not-squad")
