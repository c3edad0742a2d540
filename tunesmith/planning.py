"""From facts to choices: the spec with no `auto` left, each choice with its reason. Seconds; no weights are read.

One small function per `auto`. A reason names the fact that decided, and the source of the rule where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from .choices import balance, decide, refuse_undrawn, settle_training
from .claims import choose_task
from .data.dataset import Dataset, Sources, arrange, read_sources
from .data.files import resolve
from .data.finding import Finding, refuse
from .data.split import PARTS
from .early import refuse_words, seconds_of
from .errors import DataError, ModelError, SpecError, listing, nearest
from .facts import device_rate, measure
from .forecast import Forecast, descends, forecast
from .memory import give_back
from .models.source import Source, find, processor, seeing
from .registry import STRATEGIES, TASKS
from .spec import Choice, Data, Spec
from .strategy import Strategy
from .task import Task
from .translators import Translator, find_both, measured, told

CUT_SHARE = 0.02
"""Share of rows that lose their end from which it is told as a warning; `max_tokens: auto` cuts up to one in a hundred."""
SEEN = 20
"""Training rows among which a task finds the one that `check` shows."""
OF_TEXTS = frozenset(("half-empty-text",))
"""Findings that say nothing of rows of many cells."""
UNKNOWN_SHARE = 0.02
"""Share of unknown tokens from which it is told: in a language that the model knows, one in a thousand is much."""

SMALL = {
    "text": "a small encoder with good sentence vectors, at hand without a download",
    "image": "a small encoder whose vectors tell images of many kinds apart",
    "audio": "small, of many languages, hears and writes",
    "voice": "small enough to learn a voice from some minutes of speech, without a checkpoint",
}
"""Why a modality's model was taken where none was named."""


@final
@dataclass(frozen=True)
class Plan:
    """A spec without `auto`, and why each choice was made: dotted path -> reason."""

    spec: Spec
    why: Mapping[str, str]
    forecast: Forecast
    budget_seconds: float | None


@final
@dataclass(frozen=True)
class Ready:
    """All that training needs, decided; nothing is loaded yet."""

    plan: Plan
    task: Task
    strategy: Strategy
    source: Source
    data: Dataset
    translators: tuple[Translator, ...] = ()
    """Models that say training texts anew: there, and back."""
    asked: Spec = Spec()
    """What the plan was made from."""


def prepare(spec: Spec) -> Ready:
    """Read, audit, split, decide. Raises what a user can mend, before anything is trained."""
    chosen, data = read(spec)
    refuse(data.findings)
    name, options = (
        chosen["task"].value,
        {k.removeprefix("options."): c.value for k, c in chosen.items() if k.startswith("options.")},
    )
    task_class = TASKS.load(name)
    asked = task_class.build({**spec.options, **options}, name)
    if isinstance(getattr(task_class, "directions", None), Mapping):  # of others they follow from the rows
        _metric(spec, asked)
    wanted = asked.wanted(data.train, seconds_of(spec.train.budget), device_rate(spec)) if spec.model == "auto" else None
    source = seeing(find(wanted.value if wanted else spec.model, asked.models or asked.modality), asked.sees)
    chosen["model"] = wanted or Choice(source.name, _model_reason(spec, source))
    if source.picture:
        chosen["options.image_model"] = Choice(source.picture.name, _sight_reason(asked.sees, source.picture))
        asked = task_class.build({**spec.options, **options, "image_model": source.picture.name}, name)
    _refuse_silent(task_class, source, name)
    task = _fit_task(asked, data, source, spec)
    retelling = task.retelling(data.train)
    both = find_both(retelling)
    steps = True
    if spec.strategy != "auto":
        built = STRATEGIES.load(spec.strategy).build(spec.strategy_options, spec.strategy)  # what is wrong with it is said at once
        steps = not task.solvable or task.wide or descends(built, source.layers)
    if not steps:
        refuse_undrawn(spec)
    facts = measure(spec, task, source, data, steps)
    facts = replace(facts, **measured(both, retelling, facts.tokens, device_rate(spec))) if steps else facts
    chosen |= told(both, retelling, facts.translating)
    suggested = _suggested(task, spec)
    chosen |= decide(spec, facts) | {k: c for k, c in suggested.items() if k == "strategy"}
    strategy_name = chosen["strategy"].value
    strategy_class = STRATEGIES.load(strategy_name)
    strategy = strategy_class.build(spec.strategy_options, strategy_name)
    if spec.train.quantise != "none":
        from .models.quantised import require

        require(spec.train.quantise, strategy.adapter and not strategy.positions(), strategy_name, source.modality)
    if spec.train.compile == "on":
        from .models.compiled import require as require_compiler

        require_compiler(spec.train, "cuda" if facts.cuda else "cpu", facts.joint)
    task = _beside_learnt_tokens(task, strategy, data, source, spec)
    chosen |= settle_training(spec, facts, strategy) | {k: c for k, c in suggested.items() if k != "strategy"}
    chosen["evaluate.metric"] = suggested.get("evaluate.metric") or _metric(spec, task)
    unseen = lost(task, data, source)
    refuse(unseen)
    data = data.with_findings([*_cut_findings(task, source), *_unknown_findings(facts.unknown, source), *unseen, *_unlearned(task, data)])
    for found in (one for one in unseen if one.rows):
        data.ledger.add("cut", found.message, found.rows)
    chosen |= _told(task, data)
    if getattr(task, "tokens_kept", 0):
        chosen["options.max_tokens"] = Choice(task.tokens_kept, task.tokens_why)  # type: ignore[attr-defined]
    whole = spec.changed({path: choice.value for path, choice in chosen.items()})
    give_back()  # the forecast of memory begins with what is held
    plan = Plan(
        whole, {p: c.why for p, c in chosen.items()}, forecast(whole, facts, strategy, data, task.head_size()),
        seconds_of(spec.train.budget),
    )
    return Ready(plan, task, strategy, source, data, translators=both, asked=spec)


def read(spec: Spec) -> tuple[dict[str, Choice[Any]], Dataset]:
    """The rows, audited and parted, with the task and the columns that were chosen for them."""
    refuse_words(spec)
    sources = read_sources(spec.data, lacking=_partial(spec))
    chosen = choose_task(spec, sources)
    name = chosen["task"].value
    options = {k.removeprefix("options."): c.value for k, c in chosen.items() if k.startswith("options.")}
    task = TASKS.load(name).build({**spec.options, **options}, name)
    noticed = task.noticed(sources.tables["train"], sources.profile)
    chosen |= {f"options.{key}": choice for key, choice in noticed.items()}
    task = TASKS.load(name).build({**spec.options, **options, **{key: choice.value for key, choice in noticed.items()}}, name)
    sources, bad = _with_files(task, sources, spec)
    try:
        data = arrange(
            sources,
            _split_by(spec, task),
            inputs=task.columns(task.inputs),
            targets=task.columns(task.targets),
            kind=task.target_kind,
            seed=spec.train.seed,
            spread=task.columns([task.spread])[0] if task.spread else "",
        )
    except DataError:
        refuse(bad)  # files that are missing explain more than that rows without them cannot be parted
        raise
    if task.wide:
        data = replace(data, findings=tuple(finding for finding in data.findings if finding.code not in OF_TEXTS))
    return chosen, data.with_findings([*bad, *(f for part in PARTS for f in _of_part(task.check(data.part(part)), task, part, spec))])


def _of_part(findings: Sequence[Finding], task: Task, part: str, spec: Spec) -> Iterator[Finding]:
    """What is wrong with a part's rows. Where the part was cut here, having nothing to learn in it is no error: its scores say little."""
    for found in findings:
        if part == "train" or found.code not in task.of_learning or (found.level == "error" and getattr(spec.data, part, "")):
            yield found
        elif found.level == "error" and part != "calibration":
            fix = "add rows, or give files of your own for validation and test"
            yield replace(found, level="warning", message=f"{found.message} that were kept for {part}: scores on them say little", fix=fix)


def _partial(spec: Spec) -> list[str]:
    """Targets that not every file need have: those that are named for a task whose rows may lack them."""
    named = spec.options.get("target", ())
    names = [str(name).strip() for name in (named.split(",") if isinstance(named, str) else named)]
    return names if len(names) > 1 and (spec.task == "auto" or TASKS.load(spec.task).partial) else []


def _split_by(spec: Spec, task: Task) -> Data:
    """How the rows are split: as asked, else so that what the task says belongs together stays together."""
    plain = spec.data.split == "auto" and not (spec.data.group or spec.data.time or spec.data.split_column)
    return spec.data.model_copy(update={"group": task.grouped}) if task.grouped and plain else spec.data


def seen(spec: Spec, chosen: Mapping[str, Choice[Any]], data: Dataset) -> tuple[list[tuple[str, bool]], list[Finding]]:
    """The first training row as the model reads it, and what it will not see, where the task learns parts of rows and a model was named."""
    name = chosen["task"].value
    if not TASKS.load(name).writes or spec.model == "auto":
        return [], []
    options = {k.removeprefix("options."): c.value for k, c in chosen.items() if k.startswith("options.")}
    source = find(spec.model)
    _refuse_silent(TASKS.load(name), source, name)
    task = _fit_task(TASKS.load(name).build({**spec.options, **options}, name), data, source, spec)
    return task.marked(data.train.rows(range(min(SEEN, len(data.train)))), processor(source)), lost(task, data, source)


def lost(task: Task, data: Dataset, source: Source) -> list[Finding]:
    """What of each part's rows a suited task's model will not see; what is not about rows is said once."""
    if type(task).lost is Task.lost:
        return []
    reader, found = processor(source), dict[tuple[str, ...], Finding]()
    for part in PARTS:
        rows = data.part(part)
        for one in task.lost(rows, reader) if len(rows) else ():
            said = f"{part}: {one.message}" if one.rows and one.level != "error" else one.message
            found.setdefault((one.code, part if one.rows else ""), replace(one, message=said))
    return list(found.values())


def _unlearned(task: Task, data: Dataset) -> list[Finding]:
    """What no training row shows of that which the other parts hold."""
    parts = [(part, data.part(part)) for part in PARTS if part != "train"]
    return [replace(one, message=f"{part}: {one.message}") for part, rows in parts if len(rows) for one in task.unlearned(rows)]


def _with_files(task: Task, sources: Sources, spec: Spec) -> tuple[Sources, list[Finding]]:
    """The sources with the files that their cells name found and read whole, and what is wrong with these."""
    names, tables, bad = task.columns(task.files), dict(sources.tables), list[Finding]()
    for part, table in tables.items() if names else ():
        table.require(names)
        table, wrong = task.unfolded(table, spec.data.bad_rows == "skip", sources.ledger)
        bad += wrong
        if wrong:
            continue
        tables[part], found = resolve(table, names, spec.data, sources.ledger, task.modality, optional=task.wide)
        bad += found
    return replace(sources, tables={part: task.tidied(table, sources.ledger) for part, table in tables.items()}), bad


def _model_reason(spec: Spec, source: Source) -> str:
    asked = "as asked" if spec.model != "auto" else SMALL[source.modality]
    where = "new" if source.kind == "new" else f"{source.kind} {source.folder}"
    return f"{asked}; {source.parameters / 1e6:.1f} M weights, {where}" + (
        f"; {source.note}" if source.note else ""
    )


def _sight_reason(asked: str, source: Source) -> str:
    why = "as asked" if asked != "auto" else SMALL["image"]
    return f"{why}; {source.parameters / 1e6:.1f} M weights beside the model's own, {source.kind} {source.folder}"


def _fit_task(task: Task, data: Dataset, source: Source, spec: Spec) -> Task:
    """The task fitted on training rows only; what depends on the model's limits is settled here."""
    fitted = task.meet(source).fit(data.train)
    return fitted.suit(data.train, processor(source), limit=source.max_length, balance=balance(spec, fitted))


def _beside_learnt_tokens(task: Task, strategy: Strategy, data: Dataset, source: Source, spec: Spec) -> Task:
    """The task with its texts cut to what is left of the model's positions when learnt tokens have taken theirs."""
    taken = strategy.positions()
    room = source.positions - taken
    if not taken or not source.positions or getattr(task, "tokens_kept", 0) <= room or room < 1:
        return task
    shorter = task.suit(data.train, processor(source), limit=room, balance=spec.train.balance)
    why = getattr(shorter, "tokens_why", "")
    return shorter.settle(tokens_why=f"{why}; learnt tokens take {taken} of its {source.positions:,} positions")


def _cut_findings(task: Task, source: Source) -> list[Finding]:
    """A warning where texts lose their end: the model never sees it."""
    share, kept = getattr(task, "cut_share", 0.0), getattr(task, "tokens_kept", 0)
    if share < CUT_SHARE:
        return []
    most = "all training rows" if share == 1 else f"{share:.0%} of the training rows"
    fix = "use a model that reads more" if kept >= source.max_length else f"say --set options.max_tokens={source.max_length}"
    message = f"{most} are longer than the {kept:,} tokens that are read of each: their ends are not seen"
    return [Finding("warning", "texts-cut", message, (), f"{fix}, or shorten the texts")]


def _unknown_findings(share: float, source: Source) -> list[Finding]:
    """A warning where the model cannot read what it is given."""
    if share < UNKNOWN_SHARE:
        return []
    message = f"{share:.0%} of the tokens are unknown to {source.name}: it was made for another language or script"
    return [Finding("warning", "unknown-tokens", message, (), "use a model of the texts' language, or a multilingual one: --model NAME")]


def _suggested(task: Task, spec: Spec) -> dict[str, Choice[Any]]:
    """What the task knows better than the general rules, for settings that are still `auto`; a budget decides on epochs itself."""
    found = {path: choice for path, choice in task.suggested().items() if _value(spec, path) == "auto"}
    suited = ("auto", *(c.value for path, c in task.suggested().items() if path == "strategy"))
    idle = {"train.epochs": bool(spec.train.budget), "train.lr": spec.strategy not in suited}  # a rate suits the strategy it comes with
    return {path: choice for path, choice in found.items() if not idle.get(path)}


def _value(spec: Spec, path: str) -> Any:
    here: Any = spec
    for key in path.split("."):
        here = getattr(here, key)
    return here


def _refuse_silent(task: type[Task], source: Source, name: str) -> None:
    """Raises ModelError where a task that writes text is given a model that only reads."""
    if task.writes and not source.decoder and not task.halves:
        raise ModelError(
            f"model {source.name!r}",
            expected=f"a language model that writes from left to right, for {name}",
            got=f"{source.model_type}, which only reads",
            fix="name one: --model HuggingFaceTB/SmolLM2-135M-Instruct, or a Llama, Qwen, Gemma or GPT-2",
            code="unsuitable-architecture",
        )


def _told(task: Task, data: Dataset) -> dict[str, Choice[Any]]:
    """Settings that fitting decided; what else there is to tell of it goes into the ledger."""
    found = task.decided()
    for what, choice in found.items():
        if not what.startswith("options."):
            data.ledger.note(f"{what}: {choice.why}")
    return {path: choice for path, choice in found.items() if path.startswith("options.")}


def _metric(spec: Spec, task: Task) -> Choice[str]:
    asked = spec.evaluate.metric
    if asked == "auto":
        return Choice(next(iter(task.directions)), "the task's headline score")
    if asked not in task.directions:
        raise SpecError(
            "evaluate.metric",
            expected=f"a score of the task ({listing(list(task.directions), 20)})",
            got=repr(asked),
            fix=nearest(asked, task.directions),
            code="unknown-metric",
        )
    return Choice(asked, "as asked")
