"""From texts to relations with two runs: one of token-classification finds the entities, one of relation-extraction relates them.

    chain = Chain.load("runs/entities", "runs/relations")
    chain.predict(["Anna was born in Rome."])          # entities and relations of each text
    chain.evaluate("test.jsonl")                       # relations counted as right only where both entities are

Axes: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast, final

import numpy as np

from .computing import AS_TRAINED, Computing
from .data.arrays import objects
from .data.ledger import Ledger
from .data.table import Table
from .errors import SpecError
from .parts.relating import directed
from .predictor import Predictor

if TYPE_CHECKING:
    from .task import Outputs, Task, Truth

Answer = dict[str, Any]
KINDS = ("relation", "boundary", "entity")
"""What is counted: relations whose entities have the right types too, those whose entities stand in the right place, entities."""


@final
@dataclass(frozen=True)
class Chain:
    """Two loaded runs that answer as one."""

    entities: Predictor
    relations: Predictor

    @classmethod
    def load(cls, entities: str | Path, relations: str | Path, computing: Computing = AS_TRAINED) -> Self:
        """Load both runs. Raises SpecError where one is of another task, RunError and ModelError as `Predictor.load`."""
        made = cls(Predictor.load(entities, computing=computing), Predictor.load(relations, computing=computing))
        for predictor, needed in ((made.entities, "token-classification"), (made.relations, "relation-extraction")):
            name = predictor.run.spec.task
            if name != needed:
                raise SpecError(
                    str(predictor.run.path), expected=f"a run of {needed}", got=name,
                    fix="--entities takes the run that finds the entities, RUN is the one that relates them", code="other-task",
                )
        return made

    def read(self, file: str | Path, ledger: Ledger | None = None, **settings: str) -> Table:
        """The rows of a file, read as `Predictor.read` of the relations' run does. Raises DataError where it has no text."""
        table = self.relations.read(file, ledger, **settings)
        table.require([self._text])
        return table

    def predict(self, rows: str | Sequence[Any] | Table) -> list[Answer]:
        """`entities` and `relations` of each text: of texts, of rows with the text's column, or of a table."""
        texts = self._texts(rows)
        found = self._entities(texts)
        related = self._many(texts, found) if self.relations.task.many else self._pairs(texts, found)  # type: ignore[attr-defined]
        return [{"entities": own, "relations": links} for own, links in zip(found, related, strict=True)]

    def evaluate(self, file: str | Path, level: float = 0.95, resamples: int = 1000, **settings: str) -> dict[str, Any]:
        """Scores with intervals on a file with the true entities and relations; a relation is right where both its entities were
        found, with their types (`boundary_f1`: whatever their types), and their relation is (arXiv 2010.12812). Rows that one of the runs
        was trained on, or chosen by, are counted (`met`) and warned of, with the scores without them (`unmet`).

        Raises SpecError where the relations' run did not learn from rows with entities and relations.
        """
        from .judging.judge import How, Judged, scores
        from .judging.met import met, told

        task: Any = self.relations.task
        if not task.many:
            fix = "train it on rows with `entities` and `relations`"
            raise SpecError(str(self.relations.run.path), expected="a run of texts with all their entities", got="one of single pairs",
                            fix=fix, code="single-pairs")
        ledger = Ledger()
        table = self.read(file, ledger, **settings)
        table.require([task.entities, task.relations])
        truth = objects([_true(said) for said in task.read(table)])
        outputs = {"found": objects([_found(answer) for answer in self.predict(table)])}
        how = How(level=level, resamples=resamples, seed=self.relations.run.spec.train.seed)
        judged, scorer = Judged(table, outputs, truth), cast("Task", _EndToEnd())
        both = [met(predictor, table) for predictor in (self.relations, self.entities)]
        known = told(scorer, judged, table, {part: both[0][part] | both[1][part] for part in both[0]}, how)
        known["findings"] = [finding.as_json() for finding in (*known["findings"], *task.unlearned(table))]
        return dict(scores(scorer, judged, how)) | known | {"file": str(file), "ledger": ledger.as_json()}

    @property
    def _text(self) -> str:
        return str(self.relations.task.text)  # type: ignore[attr-defined]

    def _texts(self, rows: str | Sequence[Any] | Table) -> list[str]:
        if isinstance(rows, Table):
            return ["" if cell is None else str(cell) for cell in rows.column(self._text)]
        given = [rows] if isinstance(rows, str) else list(rows)
        for row in given:
            if not isinstance(row, str) and not isinstance(row, Mapping | dict):
                raise SpecError("the request", expected="texts", got=type(row).__name__, fix="pass a list of texts", code="bad-row")
        return [row if isinstance(row, str) else str(row.get(self._text, "")) for row in given]

    def _entities(self, texts: Sequence[str]) -> list[list[Answer]]:
        """Each text's entities with places in that very text: a run that learned from tokens may have put spaces elsewhere."""
        task: Any = self.entities.task
        column = task.text or task.tokens
        answers = self.entities.predict([{column: text} for text in texts]) if texts else []
        moved = [_moved(answer.get("text", text), text) for answer, text in zip(answers, texts)]
        return [[_placed(one, to, text) for one in answer["entities"]] for answer, to, text in zip(answers, moved, texts)]

    def _many(self, texts: Sequence[str], found: Sequence[Sequence[Answer]]) -> list[list[Answer]]:
        task: Any = self.relations.task
        spans = [[{"start": one["start"], "end": one["end"], "label": one["type"]} for one in own] for own in found]
        rows = [{task.text: text, task.entities: own} for text, own in zip(texts, spans)]
        return [answer["relations"] for answer in self.relations.predict(rows)] if rows else []

    def _pairs(self, texts: Sequence[str], found: Sequence[Sequence[Answer]]) -> list[list[Answer]]:
        """Each two entities of a text as a row of the run's own form, the first of them the one that comes first."""
        asked = [(row, one, other) for row, own in enumerate(found) for at, one in enumerate(own) for other in own[at + 1 :]]
        answers = self.relations.predict([self._row(texts[row], one, other) for row, one, other in asked]) if asked else []
        related: list[list[Answer]] = [[] for _ in texts]
        for (row, one, other), answer in zip(asked, answers):
            if answer["relation"] != self.relations.task.none:  # type: ignore[attr-defined]
                related[row].append(_link(one, other, answer))
        return related

    def _row(self, text: str, one: Answer, other: Answer) -> dict[str, Any]:
        task: Any = self.relations.task
        if task.head:
            return {task.text: text, task.head: [one["start"], one["end"]], task.tail: [other["start"], other["end"]]}
        first, last = (f"<{name}>{text[span['start'] : span['end']]}</{name}>" for name, span in (("e1", one), ("e2", other)))
        return {task.text: f"{text[: one['start']]}{first}{text[one['end'] : other['start']]}{last}{text[other['end'] :]}"}


@final
@dataclass(frozen=True)
class _EndToEnd:
    """The scores of answers that were found end to end."""

    directions = {f"{kind}_{score}": True for kind in KINDS for score in ("f1", "precision", "recall")}

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """(N, 3, 3): of each of KINDS the right, answered and true ones of a row."""
        if "counts" in outputs:
            return outputs
        rows = [[_counts(said[kind], true[kind]) for kind in KINDS] for said, true in zip(outputs["found"], truth)]
        return {"counts": np.array(rows, np.int64).reshape(len(truth), len(KINDS), 3)}

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """F1, precision and recall of each of KINDS over all rows."""
        made = {}
        for kind, (right, answered, true) in zip(KINDS, self.condense(outputs, truth)["counts"].sum(0).tolist()):
            made[f"{kind}_f1"] = 2 * right / max(answered + true, 1)
            made[f"{kind}_precision"], made[f"{kind}_recall"] = right / max(answered, 1), right / max(true, 1)
        return made

    def rests_on(self, outputs: Outputs) -> Mapping[str, int]:
        """All scores rest on all rows."""
        return {}


def _counts(said: Sequence[Any], true: Sequence[Any]) -> list[int]:
    one, other = ({tuple(item) for item in items} for items in (said, true))
    return [len(one & other), len(one), len(other)]


def _true(said: Any) -> dict[str, Any]:
    spans = [(span.start, span.end, span.type) for span in said.spans]
    return _kinds(spans, [(spans[link.head], spans[link.tail], link.type) for link in said.links])


def _found(answer: Answer) -> dict[str, Any]:
    spans = [(one["start"], one["end"], one["type"]) for one in answer["entities"]]
    ends = lambda link, side: (*link[f"{side}_span"], link[f"{side}_type"] or "")  # noqa: E731
    return _kinds(spans, [(ends(link, "head"), ends(link, "tail"), link["relation"]) for link in answer["relations"]])


def _kinds(spans: Sequence[Any], links: Sequence[Any]) -> dict[str, Any]:
    return {
        "relation": [(*head, *tail, kind) for head, tail, kind in links],
        "boundary": [(*head[:2], *tail[:2], kind) for head, tail, kind in links], "entity": list(spans),
    }


def _link(one: Answer, other: Answer, answer: Answer) -> Answer:
    name, way = directed(answer["relation"])
    head, tail = (other, one) if way == "e2,e1" else (one, other)
    return {
        "head": head["text"], "relation": name, "tail": tail["text"], "confidence": answer["confidence"],
        "head_span": [head["start"], head["end"]], "tail_span": [tail["start"], tail["end"]],
        "head_type": head["type"], "tail_type": tail["type"],
    }


def _moved(text: str, to: str) -> Sequence[int] | None:
    """(characters of `text`) where each stands in `to`, where both are the same but for spaces; None where they are the same."""
    if text == to:
        return None
    places = [at for at, letter in enumerate(to) if not letter.isspace()]
    before = np.cumsum([not letter.isspace() for letter in text])
    if [letter for letter in text if not letter.isspace()] != [to[at] for at in places]:
        fix = "ask for plain texts"
        raise SpecError("the entities' run", expected="the text as it was asked", got="another one", fix=fix, code="bad-row")
    return [places[max(int(count) - 1, 0)] for count in before]


def _placed(one: Answer, to: Sequence[int] | None, text: str) -> Answer:
    if to is None:
        return one
    start, end = to[one["start"]], to[one["end"] - 1] + 1
    return one | {"start": start, "end": end, "text": text[start:end]}

