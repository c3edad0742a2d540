"""What tasks share that make one text of another (a translation, a summary): rows as examples for three kinds of models, outputs, answers.

An encoder-decoder reads `input_ids` and learns `labels`; so does an encoder made into one (`warm`). A language model reads a question and
its answer, by its chat template. A row with several targets is one example with each; what is written for it stands with its last one.

Axes: N rows of a set, B rows of a batch, T tokens of a source, U tokens of a target.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np

from ..data.finding import Finding, count, places
from ..errors import SpecError
from ..spec import Choice
from ..task import Batch, Example, Row, Truth
from . import batch as batches
from . import chat, extracts, languages, options, tokens, writing

if TYPE_CHECKING:
    from ..data.table import Table

BEAMS = 4
"""Texts that an encoder-decoder follows at a time unless told otherwise: more gain little (arXiv 1409.3215, 1609.08144)."""
ROOM = 1.3
"""Times the tokens of the longest usual target that may be written."""
UNKNOWN = 0.02
"""Share of unknown tokens among those of targets from which it is told."""
SPECIAL = 16
"""Most special tokens of a text."""
SUGGESTS: Mapping[str, Mapping[str, Choice[Any]]] = {
    "language": writing.SUGGESTS,
    "seq2seq": {"strategy": Choice("full", "encoder-decoders gain most when all weights learn (arXiv 1910.10683)")},
    "warm": {
        "strategy": Choice("full", "the attention from decoder to encoder is new: it learns with all that it connects (arXiv 1907.12461)"),
        "train.lr": Choice(5e-4, "an encoder made into an encoder-decoder has new weights, which need a higher rate"),
    },
}
"""What `auto` means for each kind of model."""


class Rewriter(Protocol):
    """The settings of a task that makes one text of another."""

    source: str
    target: str
    source_language: str
    target_language: str
    instruction: str
    label_smoothing: float
    max_tokens: int | str
    max_new_tokens: int | str
    min_new_tokens: int
    beams: int | str
    length_penalty: float
    no_repeat_ngram: int
    choose_by: str
    validation_rows: int
    kind: str
    family: str
    positions: int
    tokens_kept: int
    new_kept: int
    prefix: str
    limit: int
    ends: tuple[int, ...]
    drops: int
    speaks: str
    speaks_to: str
    first: int
    unknown: float
    purpose: str


@final
@dataclass(frozen=True)
class Reply:
    """How a language model answers: `writing.Writer`."""

    max_new_tokens: int
    purpose: str
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    judged_replies: int = 0


def check(task: Rewriter, scores: Sequence[str]) -> None:
    """Raises SpecError for settings that make no sense."""
    options.column("source", task.source)
    options.column("target", task.target)
    for option in ("source_language", "target_language"):
        languages.require(option, getattr(task, option))
    options.max_tokens(task.max_tokens)
    if task.max_new_tokens != "auto":
        options.number("max_new_tokens", task.max_new_tokens, low=1, high=100_000, unit="a whole number")
    if task.beams != "auto":
        options.number("beams", task.beams, low=1, high=64, unit="a whole number")
    options.number("min_new_tokens", task.min_new_tokens, low=0, high=100_000, unit="a whole number")
    options.number("label_smoothing", task.label_smoothing, low=0, high=0.9)
    options.number("length_penalty", task.length_penalty, low=-10, high=10)
    options.number("no_repeat_ngram", task.no_repeat_ngram, low=0, high=100, unit="a whole number")
    options.number("validation_rows", task.validation_rows, low=1, high=1_000_000, unit="a whole number")
    options.one_of("choose_by", task.choose_by, ("bits_per_byte", *scores))


def kind_of(source: Any) -> str:
    """What a model is here: `seq2seq`, `language`, or `warm`, an encoder that becomes both halves."""
    return "seq2seq" if source.encoder_decoder else "language" if source.decoder else "warm"


# -- rows --------------------------------------------------------------------------------------------------------------


def cell_of(cell: Any) -> Any:
    """A cell as it is, or the list that a CSV file's cell holds as JSON."""
    if isinstance(cell, str) and cell.lstrip().startswith('["') and cell.rstrip().endswith("]"):
        try:
            found = json.loads(cell)
        except ValueError:
            return cell
        return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else cell
    return cell


def text_of(cell: Any) -> str:
    """A source: a text, or a list of its sentences."""
    cell = cell_of(cell)
    return str(tokens.mended(extracts.join(extracts.parts(cell)) if isinstance(cell, list | tuple) else tokens.as_text(cell)))


def targets_of(cell: Any) -> list[str]:
    """The targets of a row, all of them right: a text, or a list of texts; those that are empty are none."""
    cell = cell_of(cell)
    found = [tokens.as_text(one) for one in cell] if isinstance(cell, list | tuple) else [tokens.as_text(cell)]
    return [str(tokens.mended(text)) for text in found if text.strip()]


def truth(rows: Table, target: str) -> Truth:
    """(N,) objects: lists of targets, empty where there is none."""
    found = np.empty(len(rows), object)
    for at, cell in enumerate(rows.column(target) if target in rows.names else [None] * len(rows)):
        found[at] = targets_of(cell)
    return found


# -- examples ----------------------------------------------------------------------------------------------------------


def encode(rows: Sequence[Row], processor: Any, task: Rewriter) -> list[Example]:
    """One example of each row and target; to answer: of the source alone."""
    asking = task.purpose == "answering" or (bool(rows) and task.target not in rows[0])
    sources = [text_of(row[task.source]) for row in rows]
    targets = [[""] if asking else targets_of(row[task.target]) or [""] for row in rows]
    made = _told if task.kind == "language" else _paired
    return made(sources, targets, processor, task, asking)


def _paired(sources: Sequence[str], targets: Sequence[Sequence[str]], processor: Any, task: Rewriter, asking: bool) -> list[Example]:
    ids = source_ids(sources, processor, task, task.tokens_kept or tokens.limit(processor))
    labels = iter(target_ids([text for several in targets for text in several], processor, task))
    found: list[Example] = []
    for at, several in enumerate(targets):
        for text in several:
            label_U = next(labels)
            label_U, size = (label_U[:0], 0) if asking else (label_U, len(text.encode("utf-8", "replace")))
            found.append({"input_ids": ids[at], "labels": label_U, "bytes": size, "asked": int(asking), "row": at})
    return found


def _told(sources: Sequence[str], targets: Sequence[Sequence[str]], processor: Any, task: Rewriter, asking: bool) -> list[Example]:
    chat.dress(processor)
    shown = shortened(sources, processor, task.tokens_kept) if task.tokens_kept else list(sources)
    most, found = task.limit or tokens.limit(processor), list[Example]()
    for at, several in enumerate(targets):
        for text in several:
            said = messages(task, shown[at], text)
            if asking:
                ids_T = chat.ids_of(processor, chat.asked(processor, said[:1]))
                made = writing.question(ids_T.tolist(), writing.room(most, task.new_kept or 1))
            else:
                made = writing.told(chat.example(processor, chat.turns(processor, said)[-1], most), prompted=True)
            found.append(made | {"row": at})
    return found


def messages(task: Rewriter, source: str, target: str) -> list[dict[str, str]]:
    """What a language model is asked, and what it should say."""
    return [{"role": "user", "content": task.prefix + source}, {"role": "assistant", "content": target}]


def source_ids(texts: Sequence[str], processor: Any, task: Rewriter, most: int) -> list[np.ndarray]:
    """(T,) ids of each source, special tokens and the words before it included."""
    with languages.speaking(processor, task.speaks, task.speaks_to, to=False):
        return _ids(processor, [task.prefix + text for text in texts], most)


def target_ids(texts: Sequence[str], processor: Any, task: Rewriter) -> list[np.ndarray]:
    """(U,) ids of each target, uncut; without the token that the decoder begins with anyhow."""
    with languages.speaking(processor, task.speaks, task.speaks_to, to=True):
        found = _ids(processor, texts, 10**6)
    return [ids[1:] if len(ids) > 1 and ids[0] == task.drops else ids for ids in found]


def _ids(processor: Any, texts: Sequence[str], most: int) -> list[np.ndarray]:
    tokenizer = tokens.tokenizer_of(processor)
    if not texts:
        return []
    if getattr(tokenizer, "backend_tokenizer", None) is not None:
        return [example["input_ids"] for example in tokens.encode(processor, texts, most=most)]
    made = tokenizer(list(texts), truncation=True, max_length=most, split_special_tokens=True)  # Marian and M2M100: Python alone
    return [np.array(ids, np.int32) for ids in made["input_ids"]]


def shortened(texts: Sequence[str], processor: Any, most: int) -> list[str]:
    """Texts up to their first so many tokens."""
    tokenizer = tokens.tokenizer_of(processor)
    backend = tokens.backend_of(tokenizer)
    with tokens.truncating(tokenizer, backend, None):
        made = backend.encode_batch(list(texts), add_special_tokens=False)
    return [text if len(one.ids) <= most else text[: one.offsets[most - 1][1]] for text, one in zip(texts, made, strict=True)]


def collate(examples: Sequence[Example], pad: int) -> Batch:
    """Padded to the longest."""
    return batches.collate(examples, {**writing.pads(pad), "labels": -100})


# -- the model's limits ------------------------------------------------------------------------------------------------


def suited(task: Rewriter, train: Table, processor: Any, limit: int, prefix: str) -> dict[str, Any]:
    """Fitted fields: how much is read and written, languages, tokens that begin and end. `prefix`: words before each source.

    Raises SpecError for a language or a setting that the model does not have, DataError where no target could be learned.
    """
    if task.kind == "language" and (task.beams not in ("auto", 1) or task.no_repeat_ngram or task.min_new_tokens):
        raise SpecError(
            "options beams, no_repeat_ngram, min_new_tokens", expected="their defaults with a language model, which writes word after word",
            got="others", fix="leave them out, or use an encoder-decoder such as T5, BART, Marian or mBART", code="not-with-language-model",
        )
    spoken = _spoken(task, processor)
    task = replace(task, prefix=prefix, tokens_kept=0, **spoken)  # type: ignore[type-var]  # tasks are dataclasses
    part = train.take(tokens.sample_positions(len(train)))
    sources = [text_of(cell) for cell in part.column(task.source)]
    wanted = [text for cell in part.column(task.target) for text in targets_of(cell)] or [""]
    source_N = np.array([len(ids) for ids in source_ids(sources, processor, task, 10**6)])
    made = target_ids(wanted, processor, task)
    target_N = np.array([len(ids) for ids in made])
    most = _most_read(task, processor, limit, target_N)
    asked = most if task.max_tokens == "auto" else min(int(task.max_tokens), most)
    longest = max(int(source_N.max()), tokens.ROOM)
    new = math.ceil(ROOM * float(np.percentile(target_N, 99))) + 8 if task.max_new_tokens == "auto" else int(task.max_new_tokens)
    missing = getattr(tokens.tokenizer_of(processor), "unk_token_id", None)
    unknown = 0.0 if missing is None else float(np.mean(np.concatenate(made) == missing))
    why = f"the longest training source has {int(source_N.max()):,} tokens; the model takes {most:,}"
    return {
        **spoken, "prefix": prefix, "limit": limit, "tokens_kept": min(asked, longest), "tokens_why": why,
        "new_kept": max(1, min(new, _most_written(task, limit))), "unknown": unknown,
    }  # fmt: skip


def _spoken(task: Rewriter, processor: Any) -> dict[str, Any]:
    """Tokens that begin, end and name languages."""
    if task.kind == "language":
        return {"ends": (chat.end_of_turn(processor),), "speaks": "", "speaks_to": "", "first": -1, "drops": -1}
    source = languages.token(processor, "source_language", task.source_language or languages.of_header(task.source))
    target = languages.token(processor, "target_language", task.target_language or languages.of_header(task.target))
    tokenizer, first = tokens.tokenizer_of(processor), languages.token_id(processor, target)
    begins = next((i for i in (tokenizer.cls_token_id, tokenizer.bos_token_id) if i is not None), -1) if task.kind == "warm" else -1
    return {"ends": (), "speaks": source, "speaks_to": target, "first": -1 if first is None else first, "drops": int(begins)}


def _most_read(task: Rewriter, processor: Any, limit: int, target_N: np.ndarray) -> int:
    """Tokens of a source that the model can take; a language model has to take the target as well."""
    most = min(limit, tokens.limit(processor))
    if task.kind != "language":
        return most
    frame = len(chat.ids_of(processor, chat.asked(processor, messages(task, "", "")[:1])))
    return max(8, most - frame - int(np.percentile(target_N, 99)) - SPECIAL)


def _most_written(task: Rewriter, limit: int) -> int:
    """Tokens of a target that the model can place."""
    return (limit // 2 if task.kind == "language" else task.positions - 2 if task.positions else limit) or limit


def lost(task: Rewriter, rows: Table, processor: Any) -> list[Finding]:
    """Rows whose source loses its end, or whose target the model cannot hold (an error); targets in letters that it does not know."""
    found, most = list[Finding](), _most_written(task, task.limit)
    sources = [text_of(cell) for cell in rows.column(task.source)]
    long = _longer(sources, task.tokens_kept, lambda texts: source_ids(texts, processor, task, 10**6))
    if len(long):
        message = (
            f"{count(len(long))} of {len(rows):,} have a source of more than the {task.tokens_kept:,} tokens that are read of it: "
            "the end is not seen"
        )
        fix = f"shorten them, or {'use a model that reads more' if task.max_tokens == 'auto' else 'leave options.max_tokens out'}"
        found.append(Finding("warning", "source-cut", message, tuple(rows.place(int(i)) for i in long), fix))
    wanted = [(at, text) for at, cell in enumerate(rows.column(task.target)) for text in targets_of(cell)]
    over = _longer([text for _, text in wanted], most, lambda texts: target_ids(texts, processor, task))
    if len(over):
        at = sorted({wanted[int(i)][0] for i in over})
        message = f"expected targets of at most {most:,} tokens, as many as the model can write, got longer ones in {count(len(at))}"
        found.append(Finding("error", "target-too-long", message, places(rows, at), "shorten them, or use a model that writes more"))
    if task.unknown >= UNKNOWN:
        message = f"{task.unknown:.0%} of the targets' tokens are unknown to the model: it can neither learn nor write these"
        found.append(Finding("warning", "unknown-target-tokens", message, (), "use a model of the targets' language: --model NAME"))
    return found


def _longer(texts: Sequence[str], most: int, ids: Any) -> np.ndarray:
    """Positions of texts of more than `most` tokens; a token is at least one byte, so that most need not be tokenised."""
    able = [at for at, text in enumerate(texts) if len(text.encode("utf-8", "replace")) + SPECIAL > most // 2]
    sizes = [len(one) for one in ids([texts[at] for at in able])] if able else []
    return np.array([at for at, size in zip(able, sizes) if size > most], np.int64)


def marked(rows: Sequence[Row], task: Rewriter) -> list[tuple[str, bool]]:
    """The first row: what is read, what is learned."""
    return [(task.prefix + text_of(rows[0][task.source]), False), ("\n", False), ((targets_of(rows[0][task.target]) or [""])[0], True)]
