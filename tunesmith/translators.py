"""Models that say training texts anew: found and refused before the first step, asked part by part, each part's answers kept.

There and back (arXiv 1511.06709): the first model translates the texts, the second translates what came of them back. Each direction is
a run of `translation`, or an encoder-decoder as that task would ask it; answers are kept by the content of model, settings and texts.

Axes: N texts.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

from .data import caches
from .data.table import Table
from .disk import write_json
from .errors import ModelError, ResourceError, SpecError
from .inference import collate, encode, pad_id, passes
from .models import facts
from .models.source import Source, find, load, processor
from .parts import languages, rewriting, rewritten, tokens
from .registry import TASKS
from .spec import Choice

if TYPE_CHECKING:
    from .parts.augment import Retelling

ROOM = "translations"
"""The cache's room."""
PART = 128
"""Texts that are translated, and kept, at a time: a stopped run loses no more."""
TOKENS = 4096
"""Tokens of sources, padding included, of one pass; not what the machine would like best, since bits follow from the batch."""
TEMPERATURE = 0.8
"""At which several forms are drawn: some are odd, most keep the meaning (arXiv 1904.12848)."""
TASK = "translation"
SUCH_AS = "such as Helsinki-NLP/opus-mt-en-de, or a run of `tunesmith fit --task translation`"
EFFICIENCY = 0.3
"""Share of the matrix rate that short texts reach."""
WRITING = 3.0
"""Time that a token takes which is written over that of one which goes through half of the weights."""
_SAID = frozenset((".json", ".safetensors", ".spm", ".model", ".txt"))
"""Files on which a translation depends."""


@final
@dataclass(frozen=True)
class Translator:
    """One direction: which model, and how it is asked."""

    name: str
    """As the user named it."""
    source: Source
    task: Any
    """`translation`, met with the model; of a run as it was tuned."""
    run: bool

    @property
    def digest(self) -> str:
        """sha256 over all that the answers follow from."""
        found = [*self.source.folder.glob("*"), *self.source.folder.glob("adapter/*")]
        return facts.digest(path for path in found if path.suffix in _SAID and path.is_file())


def find_both(retelling: Retelling | None) -> tuple[Translator, ...]:
    """There and back; none where nothing is to be said anew.

    Raises ModelError for a model that is not there or is no encoder-decoder, SpecError for a run that does not translate or a language
    that is missing or unknown.
    """
    if retelling is None:
        return ()
    ways = (retelling.languages, retelling.languages[::-1])
    return tuple(_found(name, way) for name, way in zip(retelling.models, ways, strict=True))


def told(both: Sequence[Translator], retelling: Retelling | None, takes: float) -> dict[str, Choice[Any]]:
    """What will be done, for the plan. `takes`: seconds."""
    if retelling is None:
        return {}
    each = " and back by ".join(f"{one.name} ({one.source.parameters / 1e6:.1f} M weights)" for one in both)
    count, forms = len(retelling.texts()), retelling.forms
    how = "the likeliest of four" if forms == 1 else f"{forms} forms of each, drawn at temperature {TEMPERATURE:g}"
    minutes = "less than a minute" if takes < 60 else f"some {round(takes / 60):,} minutes"
    why = f"{count:,} training texts go there by {each}, once, before the first step: {how}; {minutes} where no earlier run kept them"
    return {"options.back_translation": Choice(list(retelling.models), why)}


def measured(both: Sequence[Translator], retelling: Retelling | None, mean_tokens: float, rate: float) -> dict[str, Any]:
    """`translating`, the seconds that all texts should take where nothing is kept: half the weights read, half write; `translator`, the
    larger model's weights. `rate`: operations a second."""
    if retelling is None:
        return {}
    texts = len(retelling.texts())
    each = [one.source.parameters * mean_tokens * (1 + WRITING * (_beams(one, retelling.forms) if at == 0 else _beams(one, 1)))
            for at, one in enumerate(both)]  # fmt: skip
    takes = texts * retelling.forms * sum(each) / (EFFICIENCY * rate)
    return {"translating": takes, "translator": max(one.source.parameters for one in both)}


def _beams(translator: Translator, forms: int) -> int:
    return 1 if forms > 1 else int(rewritten.search(translator.task)["beams"])


# -- finding -----------------------------------------------------------------------------------------------------------


def _found(name: str, way: Sequence[str]) -> Translator:
    run = Path(name).expanduser()
    if (run / "task.json").is_file():
        return Translator(name, find(str(run / "model")), _of_run(run), run=True) if _tuned(run) else _refuse_run(run)
    try:
        source = find(name)
    except ModelError as error:
        if error.code != "model-not-found":
            raise
        raise ModelError(
            f"option back_translation: {name}", expected=error.expected, got=error.got,
            fix=f"download a translation model where there is a network, {SUCH_AS}", code=error.code,
        ) from None
    if not source.encoder_decoder:
        raise ModelError(
            f"option back_translation: {name}", expected="an encoder-decoder that translates", got=f"a {source.model_type}",
            fix=f"name one, {SUCH_AS}",
            code="unsuitable-architecture",
        )  # fmt: skip
    _refuse_unnamed(name, source, way)
    spoken = dict(zip(("source_language", "target_language"), way))
    return Translator(name, source, TASKS.load(TASK).build(spoken, TASK).meet(source), run=False)


def _tuned(run: Path) -> bool:
    """Whether a run folder holds a finished encoder-decoder that translates."""
    saved = json.loads((run / "task.json").read_text("utf-8"))
    return saved.get("name") == TASK and (run / "model" / "head.json").is_file() and saved["values"].get("kind") != "language"


def _of_run(run: Path) -> Any:
    return TASKS.load(TASK).from_json(json.loads((run / "task.json").read_text("utf-8"))["values"])


def _refuse_run(run: Path) -> Translator:
    name = json.loads((run / "task.json").read_text("utf-8")).get("name")
    whole = (run / "model" / "head.json").is_file()
    got = f"a run of {name}" if name != TASK else "one of a language model" if whole else "one that has not ended"
    raise SpecError(
        f"option back_translation: {run}", expected=f"a finished run of {TASK} with an encoder-decoder", got=got,
        fix="name another run, or a model's folder or Hub id", code="unsuitable-run",
    )  # fmt: skip


def _refuse_unnamed(name: str, source: Source, way: Sequence[str]) -> None:
    """Raises SpecError where a model has to be told its languages and is not, or does not know them."""
    reader = processor(source)
    if not way and (languages.speaks(reader) or source.model_type == "t5"):
        raise SpecError(
            "option back_translation_languages", expected=f"two codes, since {name} knows many languages", got="none",
            fix="say --option 'back_translation_languages=[CODE OF THE TEXTS, CODE BETWEEN]', such as [en, de]", code="unknown-language",
        )  # fmt: skip
    for code in way:
        languages.token(reader, "back_translation_languages", code)


# -- asking ------------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class Direction:
    """A translator that is to say these texts: `known` needs no weights, `said` does."""

    translator: Translator
    reader: Any
    """Its tokenizer."""
    task: Any
    """Suited to the texts: how much is read and written."""
    forms: int
    key: str
    """What all answers follow from, apart from the texts."""

    @classmethod
    def of(cls, translator: Translator, texts: Sequence[str], forms: int) -> Self:
        """`texts`: all that will be asked (at least one). More than one form of each is drawn at random."""
        reader, task, limit = processor(translator.source), translator.task, translator.source.max_length
        suited = task.suit(Table.of({task.source: texts, task.target: texts}), reader, limit, "none")
        most = min(limit, tokens.limit(reader))
        whole = suited.settle(tokens_kept=most if task.max_tokens == "auto" else min(int(task.max_tokens), most))
        versions = [importlib.metadata.version(name) for name in ("tunesmith", "torch", "transformers", "tokenizers")]
        said = [1, translator.digest, whole.as_json(), forms, TEMPERATURE, TOKENS, versions]
        key = hashlib.blake2b(json.dumps(said, sort_keys=True, default=str).encode(), digest_size=20).hexdigest()
        return cls(translator, reader, whole.set_for("answering"), forms, key)

    def known(self, texts: Sequence[str]) -> list[list[str]] | None:
        """What an earlier run kept: of each text its translations."""
        place = self._place(texts)
        if not caches.whole(place):
            return None
        found: list[list[str]] = json.loads((place / "texts.json").read_text("utf-8"))
        return found

    def load(self, device: Any) -> Any:
        """The model. Raises ModelError."""
        if self.translator.run:
            from .models.save import load_model

            return load_model(self.translator.source.folder, self.translator.task).to(device)
        return self.translator.task.model(load(self.translator.source, form=self.translator.task.form), dropout=0.0).eval().to(device)

    def said(self, model: Any, texts: Sequence[str], budget: int = TOKENS) -> list[list[str]]:
        """Translations of each text, different ones; none where the model reads or writes less than all of it. They are kept.

        `budget`: tokens of one pass.
        """
        drawn = [{"beams": 1, "temperature": TEMPERATURE, "seed": seed} for seed in range(self.forms)] if self.forms > 1 else [{}]
        forms_F = [self._written(model, texts, how, budget) for how in drawn]
        found = [list(dict.fromkeys(text for text in forms if text)) for forms in zip(*forms_F, strict=True)]
        with contextlib.suppress(OSError, ResourceError):  # a full disk costs the next run these minutes, this one nothing
            caches.keep(self._place(texts), lambda beside: write_json(beside / "texts.json", found))
        return found

    def _written(self, model: Any, texts: Sequence[str], how: Mapping[str, Any], budget: int) -> list[str]:
        """(N,) translations; empty where one is not whole."""
        task, device = self.task, next(model.parameters()).device
        uncut = [len(ids) <= task.tokens_kept for ids in rewriting.source_ids(texts, self.reader, task, 10**6)]
        encoded, found = encode(task, self.reader, Table.of({task.source: texts})), [""] * len(texts)
        for positions in passes(encoded, budget):
            batch = collate(task, encoded, positions, pad_id(self.reader), device)
            written = model.write(batch["input_ids"], batch["attention_mask"], {**rewritten.search(task), **how})
            for at, one in zip(positions.tolist(), written, strict=True):
                if one.stopped and uncut[at]:
                    found[at] = self.reader.decode(list(one.ids), skip_special_tokens=True).strip()
        return found

    def _place(self, texts: Sequence[str]) -> Path:
        named = hashlib.blake2b(json.dumps([self.key, list(texts)]).encode(), digest_size=20).hexdigest()
        return caches.root() / ROOM / named
