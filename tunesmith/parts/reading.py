"""Reading an answer out of a text: which table is for it, what is wrong with its rows, rows to windows and windows back to rows.

Axes: N rows, T tokens (of a window, or of all windows of a row), K spans, 2 start and end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..data.finding import LISTED, Finding, count, have
from ..errors import shorten
from ..spec import Choice
from ..task import Claim, Example, Outputs
from . import answers, pointing
from .answers import Place, Span
from .columns import same_name
from .tokens import as_text
from .windows import Window

if TYPE_CHECKING:
    from ..data.profile import Profile
    from ..data.table import Table
    from .sentences import Guess

NAMES = {
    "question": ("question", "query", "question_text", "q"),
    "context": ("context", "passage", "paragraph", "document", "article", "text", "body", "context_text"),
    "answer": ("answers", "answer", "answer_text", "answer_span", "span"),
    "answer_start": ("answer_start", "answer_offset", "start", "answer_begin"),
}
OFFSETS = ("first", "behind", "letters")
"""What an example knows beside what the model reads: characters of its tokens, and (a row's first window) the context itself."""


@final
@dataclass(frozen=True)
class Known:
    """What a row says: its right answers, and where those stand that could be found. `lost`: the texts that could not."""

    texts: tuple[str, ...]
    places: tuple[Place, ...]
    lost: tuple[str, ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """Where the answers stand, each once."""
        return tuple(dict.fromkeys(span for place in self.places for span in place.spans))

    @property
    def learnable(self) -> bool:
        """Whether the row says what to answer: nothing, or something that stands in the context."""
        return not self.texts or bool(self.spans)


@final
@dataclass(frozen=True)
class Decided:
    """What a row is answered: `text` "" where it is nothing; `share` of the belief, `odds` of the best span against no answer."""

    text: str
    start: int
    end: int
    share: float
    odds: float
    spans: pointing.Spans
    share_K: np.ndarray


# -- tables -----------------------------------------------------------------------------------------------------------


def claim(profile: Profile, named: Mapping[str, Any]) -> Claim | None:
    """Columns called like a question, a text and an answer, where most answers stand in the texts."""
    found: dict[str, Choice[Any]] = {}
    for role, names in NAMES.items():
        column = named.get(role) or next((c for name in names for c in profile.columns if same_name(c, name)), None)
        if column in profile.columns:
            found[role] = Choice(column, "named by you" if named.get(role) else "its name")
    if not {"question", "context", "answer"} <= set(found) or len({choice.value for choice in found.values()}) < len(found):
        return None
    asked, text, answer = (profile.columns[found[role].value] for role in ("question", "context", "answer"))
    if answer.kind in ("boolean", "constant") or text.max_chars <= 40 or "answer" not in named and not _stand(text, answer):
        return None
    why = f"column {answer.name!r} holds stretches of {text.name!r} that answer {asked.name!r}"
    return Claim(found, 0.95, why)


def _stand(text: Any, answer: Any) -> bool:
    """Whether an answer among the first few stands in one of the first few texts."""
    try:
        known = [one.text for cell in answer.examples for one in answers.parse(cell)]
    except ValueError:
        return False
    return any(len(one) > 1 and one in str(context) for one in known for context in text.examples)


def known(context: Any, cell: Any, start: Any = None) -> Known:
    """What a row says. Raises ValueError where its answer cannot be read."""
    given = answers.parse(cell, start)
    places = [answers.locate(as_text(context), one) for one in given]
    lost = tuple(one.text for one, place in zip(given, places) if place.how == "lost")
    return Known(tuple(dict.fromkeys(one.text for one in given)), tuple(places), lost)


def findings(table: Table, cells: Sequence[tuple[Any, Any, Any]], skip: bool) -> list[Finding]:
    """What is wrong with answers: unreadable, nowhere in their context, at another place than they say, at several, or none at all.

    `cells`: context, answer and offset of each row; `skip`: rows without a usable answer are listed, not refused.
    """
    rows: list[Known | None] = []
    bad: list[str] = []
    for at, row in enumerate(cells):
        try:
            rows.append(known(*row))
        except ValueError as error:
            rows.append(None)
            bad.append(f"{table.place(at)}: {shorten(str(error))}")
    if bad:
        wanted = "expected an answer as a text, a list of texts, or {\"text\": ..., \"answer_start\": ...}"
        return [Finding("error", "bad-answer", f"{wanted}, got something else in {count(len(bad))}", tuple(bad[:LISTED]), "mend the cells")]
    return _placed(table, cells, [row for row in rows if row is not None], skip)


def _placed(table: Table, cells: Sequence[tuple[Any, Any, Any]], rows: Sequence[Known], skip: bool) -> list[Finding]:
    lost = [f"{table.place(at)}: {shorten(row.lost[0])!r}" for at, row in enumerate(rows) if not row.learnable]
    some = [f"{table.place(at)}: {shorten(row.lost[0])!r}" for at, row in enumerate(rows) if row.lost and row.learnable]
    mended = [f"{table.place(at)}: {move}" for at, row in enumerate(rows) for move in _moves(row, cells[at])]
    several = [table.place(at) for at, row in enumerate(rows) if any(place.how == "several" for place in row.places)]
    none = [table.place(at) for at, row in enumerate(rows) if not row.texts]
    if rows and len(none) == len(rows):
        return [Finding("error", "no-answers", f"expected answers, got none in {count(len(rows))}", tuple(none[:1]), "check the column")]
    found = [_lost(lost, skip)] if lost else []
    for level, code, which, message, fix in (
        ("warning", "answer-elsewhere", some, "an answer that does not stand in their context beside one that does: it counts in "
         "scores, and is not learned", "mend or remove these answers"),
        ("warning", "offset-mended", mended, "an answer whose offset was wrong; it stands once in the context, and that place is used",
         "correct the offsets"),
        ("note", "answer-ambiguous", several, "an answer without offset that stands several times: any of the places is learned as "
         "right", "give offsets"),
        ("note", "no-answer", none, "no answer: the model learns to say so there", ""),
    ):
        if which:
            found.append(Finding(level, code, f"{have(len(which))} {message}", tuple(which[:LISTED]), fix))  # type: ignore[arg-type]
    return found


def _lost(lost: Sequence[str], skip: bool) -> Finding:
    if skip:
        message = f"{have(len(lost))} an answer that stands nowhere in the context, or whose wrong offset cannot be mended: skipped"
        return Finding("warning", "answer-not-in-context", message, tuple(lost[:LISTED]), "mend or remove these rows")
    message = (
        f"expected answers that stand in their context, got others in {count(len(lost))} (nowhere in it, or with a wrong offset and at "
        "several places)"
    )
    fix = "mend these rows, or say --option lost_answers=skip to learn nothing from them"
    return Finding("error", "answer-not-in-context", message, tuple(lost[:LISTED]), fix)


def _moves(row: Known, cells: tuple[Any, Any, Any]) -> Iterator[str]:
    """`offset 12, now 15` of a row's mended answers, at most the first."""
    given = answers.parse(*cells[1:])
    for answer, place in zip(given, row.places):
        if place.how == "mended" and place.spans:
            yield f"{'no offset' if answer.start is None else f'offset {answer.start:,}'}, now {place.spans[0][0]:,}"
            return


# -- windows ----------------------------------------------------------------------------------------------------------


def examples(made: Sequence[Window], contexts: Sequence[str], rows: Sequence[Known] | None, segments: bool) -> list[Example]:
    """One example per window; which row it is of is said where some row has several."""
    several = [window.row for window in made] != list(range(len(contexts)))
    found: list[Example] = []
    for at, window in enumerate(made):
        first = at == 0 or made[at - 1].row != window.row
        last = at + 1 == len(made) or made[at + 1].row != window.row
        inside_T = _inside(window)
        example = window.inputs(segments) | {
            "reach": _reach(inside_T), "first": window.span_T2[:, 0], "behind": window.span_T2[:, 1],
            "letters": _letters(contexts[window.row] if first else ""),
        }
        if rows is not None:
            row = rows[window.row]
            starts, ends = pointing.targets(window.span_T2, inside_T, row.spans, (first, last))
            example |= {"starts": np.array(starts, np.int32), "ends": np.array(ends, np.int32), "row_weight": float(row.learnable)}
        found.append(example | ({"row": window.row} if several else {}))
    for at in _cut(made, found, rows) if rows is not None else ():
        found[at]["row_weight"] = 0.0
    return found


def _cut(made: Sequence[Window], found: Sequence[Example], rows: Sequence[Known]) -> list[int]:
    """Windows of rows whose answers stand whole in none of them: they would teach that there is no answer."""
    held = {window.row for window, one in zip(made, found) if one["starts"][0] > 0}
    return [at for at, window in enumerate(made) if rows[window.row].spans and window.row not in held]


def too_long(rows: Sequence[Known], size: int) -> list[int]:
    """Rows with an answer of more than `size` bytes: a token has one at least."""
    return [at for at, row in enumerate(rows) if any(len(text.encode("utf-8", "surrogatepass")) > size for text in row.texts if row.spans)]


def lost_to_windows(table: Table, lost: Sequence[int], answered: int, size: int) -> list[Finding]:
    """What is said of rows whose answer no window of `size` tokens holds whole; an error where that is so of all that have one."""
    if not lost:
        return []
    message = f"{count(len(lost))} with an answer that no window of {size:,} tokens holds whole: such answers are neither learned nor found"
    level: Any = "error" if len(lost) == answered else "warning"
    fix = "longer windows hold more (--option max_tokens=512, where the model takes them); or shorten these answers"
    return [Finding(level, "answer-cut", message, tuple(table.place(at) for at in lost[:LISTED]), fix)]


def gather(logits: np.ndarray, encoded: Any) -> Outputs:
    """Outputs of rows from those of their windows."""
    arrays, row_W = encoded.arrays, encoded.row_N
    rows = int(row_W.max()) + 1 if len(row_W) else 0
    made: dict[str, list[list[Any]]] = {name: [[] for _ in range(rows)] for name in ("logits", "places", "context")}
    for at, row in enumerate(row_W):
        own = made["places"][row]
        reach_T = arrays["reach"][at].astype(bool)
        place_T3 = np.stack([np.full(len(reach_T), len(own)), arrays["first"][at], arrays["behind"][at]], 1)
        place_T3[0, 1:] = pointing.ABSENT
        own.append(place_T3[reach_T])
        made["logits"][row].append(logits[at])
        made["context"][row].append(_text(arrays["letters"][at]))
    return {
        "logits": objects([np.concatenate(parts) for parts in made["logits"]]),
        "places": objects([np.concatenate(parts).astype(np.float32) for parts in made["places"]]),
        "context": objects(["".join(parts) for parts in made["context"]]),
    }


def _inside(window: Window) -> np.ndarray:
    """Tokens of the context; the window's first token stands for no answer whatever it is."""
    inside_T: np.ndarray = window.part_T == 1
    inside_T[0] = False
    return inside_T


def _reach(inside_T: np.ndarray) -> np.ndarray:
    reach_T = inside_T.astype(np.uint8)
    reach_T[0] = 1
    return reach_T


def _letters(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int32)


def _text(letters: np.ndarray) -> str:
    return letters.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def objects(values: Sequence[Any]) -> np.ndarray:
    """(N,) array of dtype object that holds these values as they are."""
    found = np.empty(len(values), object)
    for at, value in enumerate(values):
        found[at] = value
    return found


# -- answers ----------------------------------------------------------------------------------------------------------


def decide(outputs: Outputs, longest: int, threshold: float | None, worded: bool = False) -> list[Decided]:
    """Each row's best span, or nothing where its odds do not reach the threshold (None: there always is an answer).

    `worded`: only spans that hold a letter or a digit.
    """
    parts = zip(outputs["places"], outputs["logits"], map(str, outputs["context"]))
    return [
        _decided(pointing.best(np.asarray(p), np.asarray(x), longest, _words(text) if worded else None), text, threshold)
        for p, x, text in parts
    ]


def _words(text: str) -> np.ndarray:
    """(X + 1,) how many letters and digits stand before each character, and before the end."""
    return np.cumsum([0, *map(str.isalnum, text)])


def _decided(spans: pointing.Spans, context: str, threshold: float | None) -> Decided:
    share_K = pointing.shares(spans, threshold)
    odds = float(spans.odds_K[0]) if len(spans.odds_K) else -np.inf
    if not len(spans.odds_K) or (threshold is not None and odds <= threshold):
        return Decided("", pointing.ABSENT, pointing.ABSENT, float(share_K[-1]), odds, spans, share_K)
    start, end = int(spans.start_K[0]), int(spans.end_K[0])
    return Decided(context[start:end], start, end, float(share_K[0]), odds, spans, share_K)


def answer(one: Decided, context: str, slope: float, offset: float, most: int) -> dict[str, Any]:
    """`answer`, `start`, `end` (None where there is none), `confidence`, and the best other spans under `alternatives`."""
    sure_K = pointing.confidence(one.share_K, slope, offset)
    spans = list(zip(one.spans.start_K.tolist(), one.spans.end_K.tolist(), sure_K.tolist()))
    others = [
        {"answer": context[start:end], "start": start, "end": end, "confidence": sure}
        for start, end, sure in spans if (start, end) != (one.start, one.end)
    ]
    found = one.start >= 0
    sure = sure_K[0] if found else sure_K[-1]
    return {
        "answer": one.text, "start": one.start if found else None, "end": one.end if found else None, "confidence": float(sure),
        "alternatives": others[:most],
    }


def guessed(contexts: Sequence[str], guesses: Sequence[Guess]) -> Outputs:
    """Outputs in which one span of each row was chosen by something else, with its odds; none where there is no span."""
    places, logits = [], []
    for span, odds in guesses:
        places.append(np.array([[0, -1, -1]] + ([[0, *span]] if span else []), np.float32))
        logits.append(np.array([[0, 0]] + ([[odds, 0]] if span else []), np.float32))
    return {"logits": objects(logits), "places": objects(places), "context": objects(list(contexts))}
