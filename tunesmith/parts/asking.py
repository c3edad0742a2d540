"""Questions and documents brought together: where the answers stand, which passages hold them, and what is wrong with either.

What is found becomes columns of the table (`ADDED`), so that all that follows reads rows alone: the passage that answers, one that only
seems to, and the truth as JSON: `answers`, the texts that are right; `units`, what is to be found: each a list of stretches
(document, from, to) any of which will do; `how` their places were found.

Axes: P passages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from ..data.documents import Documents, of_texts
from ..data.finding import LISTED, Finding, count, have
from ..data.table import Table
from ..errors import shorten
from ..spec import Choice
from . import answers, bm25, passages
from .columns import same_name
from .passages import Library
from .tokens import as_text

if TYPE_CHECKING:
    from ..data.profile import Profile

PASSAGE, DISTRACTOR, DOCUMENT, TRUTH = "(passage)", "(distractor)", "(document)", "(truth)"
ADDED = (PASSAGE, DISTRACTOR, DOCUMENT, TRUTH)
AMBIGUOUS = 10
"""An answer that stands at more places, in documents that no row names, does not say where it was meant."""
TRIED = 50
"""Passages among which one is looked for that seems to answer and does not."""
Unit = list[list[Any]]


@final
@dataclass(frozen=True)
class Columns:
    """Which columns say what; empty: none."""

    question: str
    answer: str
    answer_start: str
    document: str
    context: str


# -- rows -------------------------------------------------------------------------------------------------------------


def own_documents(table: Table, columns: Columns) -> Documents:
    """The documents that rows bring along, each once."""
    cells = [as_text(cell) for cell in table.column(columns.context)]
    names = table.column(columns.document) if columns.document else [None] * len(table)
    return of_texts((_name(text, name), text) for text, name in zip(cells, names))


def _name(text: str, name: Any) -> str:
    """What a text that a row brings along is called: one name may stand for several texts (the parts of an article)."""
    return f"{name or 'text'} {hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def joined(table: Table, columns: Columns, library: Library, digest: str) -> Table:
    """The table with the columns of `ADDED`; row ids stay. Nothing raises here: `findings` says what is wrong. `digest`: of the documents,
    so that a run notices when they are no longer the same."""
    cells = [_cells(row, columns) for row in table.rows()]
    truths = [_truth(cell, columns, library) for cell in cells]
    shown = [_shown(cell["question"], truth, library) for cell, truth in zip(cells, truths)]  # each truth now knows its passage's place
    found = {
        PASSAGE: [one for one, _ in shown], DISTRACTOR: [other for _, other in shown],
        DOCUMENT: [_side(cell, truth) for cell, truth in zip(cells, truths)],
        TRUTH: [json.dumps(truth | {"documents": digest}, ensure_ascii=False) for truth in truths],
    }
    return table.beside({name: found[name] for name in ADDED})


def _side(cell: Mapping[str, Any], truth: Mapping[str, Any]) -> str:
    """What keeps rows on one side of a split: their document. A question that none answers, or any of several that it does not name, stands
    for itself."""
    units: list[Unit] = truth["units"]
    alone = f"question {cell['question']}"
    if units and not cell["documents"] and len({place[0] for place in units[0]}) > 1:
        return alone
    return str(units[0][0][0] if units else next(iter(cell["documents"]), alone))


def owners(cell: str) -> list[str]:
    """The documents that answer, of a cell of TRUTH."""
    return sorted({place[0] for unit in json.loads(cell)["units"] for place in unit})


def _cells(row: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    named = {"question": columns.question, "answer": columns.answer, "start": columns.answer_start}
    found = {role: row.get(name) if name else None for role, name in named.items()}
    if columns.context:
        text = as_text(row.get(columns.context))
        return found | {"documents": [_name(text, row.get(columns.document) if columns.document else None)] if text.strip() else []}
    return found | {"documents": _names(row.get(columns.document) if columns.document else None)}


def _names(cell: Any) -> list[str]:
    """The documents that a cell names: one, a list, or a list in JSON."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            found = json.loads(cell)
        except ValueError:
            found = cell
        cell = found
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return [str(one) for one in (cell if isinstance(cell, list) else [cell]) if one not in (None, "")]


def _truth(cell: Mapping[str, Any], columns: Columns, library: Library) -> dict[str, Any]:
    named = [library.names.get(name) for name in cell["documents"]]
    unknown = [name for name, known in zip(cell["documents"], named) if known is None]
    known = [name for name in named if name]
    whole: list[Unit] = [[[name, 0, len(library.document(name).text)]] for name in known]
    try:
        given = answers.parse(cell["answer"], cell["start"])
    except ValueError as error:
        return {"answers": [], "units": [], "how": "bad", "said": str(error)}
    truth = {"answers": list(dict.fromkeys(one.text for one in given)), "units": [], "how": "none", "said": ""}
    if unknown and not columns.context:
        return truth | {"how": "unknown", "said": unknown[0], "units": whole}
    if not given:
        return truth | ({} if columns.answer else {"units": whole, "how": "document" if whole else "none"})
    return truth | _placed(given, known, whole, library)


def _placed(given: Sequence[answers.Answer], known: Sequence[str], whole: list[Unit], library: Library) -> dict[str, Any]:
    """Where answers stand: in the documents that are named, else in all."""
    of = [library.document(name) for name in known] if known else library.all()
    places = [passages.located(of, one) for one in given]
    spans = [list(span) for one in places for span in one]
    if not spans:
        return {"units": whole, "how": "lost", "said": given[0].text}
    if not known and len(spans) > AMBIGUOUS:
        return {"units": [], "how": "anywhere", "said": given[0].text}
    first, wanted = places[0], given[0].start
    if wanted is None or not first or first[0][1] == wanted:
        return {"units": [spans], "how": "given" if len(spans) <= len(given) else "several"}
    if len(first) == 1:
        return {"units": [spans], "how": "mended", "said": f"offset {wanted:,}, now {first[0][1]:,}"}
    return {"units": [spans], "how": "doubtful", "said": f"offset {wanted:,}, one of {len(first):,} places"}


def _shown(question: Any, truth: dict[str, Any], library: Library) -> tuple[str, str]:
    """Of the passages that answer the one nearest to the question's words (its place goes into the truth, `at`), and the nearest that does
    not answer (arXiv 2004.04906)."""
    right = sorted({at for unit in truth["units"] for name, start, end in unit for at in library.holding((start, end), name)})
    if not right:
        return "", ""
    score_P = library.index.scores(as_text(question))
    passage = max(right, key=lambda at: score_P[at])
    truth["at"] = [library.passages.documents[passage], *library.passages.spans_P2[passage].tolist()]
    texts = [text for text in truth["answers"] if text.strip()]
    for at in bm25.best(score_P, TRIED).tolist():
        text = library.passages.text(at)
        if at not in right and not any(answer in text for answer in texts):
            return library.passages.text(passage), text
    return library.passages.text(passage), ""


# -- findings ---------------------------------------------------------------------------------------------------------


def findings(table: Table, library: Library, skip: bool) -> list[Finding]:
    """What is wrong with rows: answers that cannot be read or stand nowhere, documents that are not there, wrong offsets."""
    truths = [json.loads(cell) for cell in table.column(TRUTH)]
    listed: Callable[[str], list[str]] = lambda how: [  # noqa: E731
        table.place(at) + (f": {shorten(one['said'])}" if one["said"] else "") for at, one in enumerate(truths) if one["how"] == how
    ]
    found = list[Finding]()
    for how, level, code, message, fix in KINDS:
        rows = listed(how)
        if how == "lost" and skip and rows:
            level, message = "warning", "{have} an answer that stands in no document: nothing is learned from where it stands"
        if rows:
            found.append(Finding(level, code, message.format(n=count(len(rows)), have=have(len(rows))), tuple(rows[:LISTED]), fix))  # type: ignore[arg-type]
    silent = [table.place(at) for at, one in enumerate(truths) if one["how"] == "none"]
    if truths and len(silent) == len(truths):
        message = f"expected answers, or documents that hold them, got neither in {count(len(truths))}"
        fix = "name the columns: --option answer=COLUMN, --option document=COLUMN"
        found.append(Finding("error", "no-answers", message, tuple(silent[:1]), fix))
    elif silent:
        message = f"{have(len(silent))} no answer: the right one is to refuse"
        found.append(Finding("note", "no-answer", message, tuple(silent[:LISTED])))
    return found


KINDS = (
    ("bad", "error", "bad-answer", "expected an answer as a text, a list of texts, or {{\"text\": ..., \"answer_start\": ...}}, got "
     "something else in {n}", "mend the cells"),
    ("unknown", "error", "unknown-document", "expected documents that are there, got others in {n}", "name files as they lie in the "
     "folder (with or without folders and endings), or rows by their id column"),
    ("lost", "error", "answer-not-in-documents", "expected answers that stand in a document, got others in {n}", "mend these rows, or "
     "say --option lost_answers=skip to go on without their places"),
    ("mended", "warning", "offset-mended", "{have} an answer whose offset was wrong; it stands once in its document, and that place is "
     "used", "correct the offsets"),
    ("doubtful", "warning", "offset-doubtful", "{have} an answer whose offset was wrong and which stands several times: any of the "
     "places counts as right", "correct the offsets"),
    ("anywhere", "note", "answer-anywhere", "{have} an answer that stands at more than ten places, and no document named: the answer "
     "is judged, not where it is found", "name the document in a column"),
    ("several", "note", "answer-ambiguous", "{have} an answer that stands several times: any of the places counts as right",
     "give offsets, or name the document in a column"),
)
"""How a row's places were found -> level, code, message and fix of its finding."""


def of_library(library: Library) -> list[Finding]:
    """What is to be said of the documents."""
    found = list(library.documents.findings) if library.documents else []
    exact, near = passages.repeated(library.passages)
    if exact + near:
        message = f"{count(exact, 'passage')} say the same as an earlier one, {near:,} further ones nearly the same"
        found.append(Finding("note", "repeated-passages", message, (), "take copies of documents out"))
    return found


def columns(profile: Profile, named: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> dict[str, Choice[Any]]:
    """The column of each role: as named, or of a usual name, none for two roles."""
    found: dict[str, Choice[Any]] = {}
    for role, usual in names.items():
        asked = named.get(role)
        free = [name for name in profile.columns if name not in {choice.value for choice in found.values()} | set(map(str, named.values()))]
        column = asked or next((name for wanted in usual for name in free if same_name(name, wanted)), None)
        if column in profile.columns and role not in named or asked in profile.columns:
            found[role] = Choice(column, "named by you" if asked else "its name")
    return found
