"""Which task a table is for: the one that was named, or the one that is surest of it; and why none is, said about what keeps it away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .data.dataset import Sources
from .data.labels import each_text, twins
from .data.profile import Profile
from .elsewhere import suggestion
from .errors import DataError, SpecError, listing, nearest, shorten
from .parts.misfit import explain
from .registry import TASKS
from .spec import Choice, Spec
from .task import Claim, Task

LONE = 0.3
"""How sure a task that writes is of a file that holds nothing but texts."""
UNSURE = 0.1
"""How sure a task must be of a table to read it unasked."""
MANY = ("labels", "target")
"""Options that may name several columns, as a list or with commas between them."""


def choose_task(spec: Spec, sources: Sources) -> dict[str, Choice[Any]]:
    """The task and its columns: as named, or the surest claim of all tasks."""
    profile = _merged(sources) if spec.data.merge_labels else sources.profile
    spec = _listed(spec, sources.profile)
    if spec.task != "auto":
        task = TASKS.load(spec.task)
        options = task.checked(spec.options, spec.task)
        claim = task.claim(profile, options)
        if claim is None and not _has_columns(task, options, profile):
            raise _no_task(spec, sources)
        return {"task": Choice(spec.task, "as asked")} | _columns(options, claim)
    found = _surest(spec, profile)
    if found is None:
        raise _no_task(spec, sources)
    name, options, claim = found
    return {"task": Choice(name, claim.why)} | _columns(options, claim)


def _surest(spec: Spec, profile: Profile) -> tuple[str, dict[str, Any], Claim] | None:
    """The task that is surest of the table, with the options as it reads them; None where no task would take it."""
    claims = [(name, *found) for name, found in _claims(spec, profile) if found[1].sure >= UNSURE]
    if spec.model == "auto":  # a lone column of texts lacks its labels rather than asks to be written, unless a model that writes is named
        claims = [one for one in claims if one[2].sure > LONE or not TASKS.load(one[0]).writes]
    return max(claims, key=lambda one: one[2].sure, default=None)


def _claims(spec: Spec, profile: Profile) -> Iterator[tuple[str, tuple[dict[str, Any], Claim]]]:
    """Each task that would take the table, with the options as it reads them. Raises SpecError where none can read them."""
    refusals, read = list[SpecError](), False
    for name in TASKS.names():
        if not _accepts(name, spec):
            continue
        try:
            options = TASKS.load(name).checked(spec.options, name)
        except SpecError as error:
            refusals.append(error)
            continue
        read, claim = True, TASKS.load(name).claim(profile, options)
        if claim is not None:
            yield name, (options, claim)
    if refusals and not read:
        raise _misplaced(spec, profile) or refusals[0]


def _misplaced(spec: Spec, profile: Profile) -> SpecError | None:
    """The option that keeps the task from a table that it would else take: it has none of that name, or not with that value."""
    kept = {name: value for name, value in spec.options.items() if name in _roles()}
    found = _surest(spec.model_copy(update={"options": kept}), profile) if kept != spec.options else None
    if found is None:
        return None
    task, why = TASKS.load(found[0]), found[2].why
    try:
        task.checked(spec.options, found[0])
    except SpecError as error:
        if error.code != "unknown-option":
            return error
    name = next((name for name in spec.options if name not in task.options()), "")
    others = [other for other in TASKS.names() if name in TASKS.load(other).options()]
    return SpecError(
        f"option {name!r}", expected=f"an option of {found[0]}, the task that was found ({why})",
        got=f"{name}={shorten(spec.options[name])}, which only {listing(others)} {'have' if others[1:] else 'has'}",
        fix=f"leave it out, or name the task: --task {others[0] if others else 'NAME'}", code="unknown-option",
    ) if name else None  # fmt: skip


def _listed(spec: Spec, profile: Profile) -> Spec:
    """The spec with `a,b` written as a list where it names several columns and none is called so."""
    several = {name: value.split(",") for name, value in spec.options.items() if name in MANY and isinstance(value, str) and "," in value}
    parts = {name: [part.strip() for part in value] for name, value in several.items() if spec.options[name] not in profile.columns}
    return spec.model_copy(update={"options": {**spec.options, **parts}})


def _roles() -> set[str]:
    """Names of options that name columns, of all tasks."""
    return {role for name in TASKS.names() for role in (*TASKS.load(name).inputs, *TASKS.load(name).targets)}


def _has_columns(task: type[Task], options: Mapping[str, Any], profile: Profile) -> bool:
    """Whether the table has the columns that were named, and of those that were not the ones of the usual names."""
    fields = task.options()
    named = [options.get(role, fields[role].default) for role in (*task.inputs, *task.targets)]
    flat = [name for value in named for name in (value if isinstance(value, list | tuple) else (value,))]
    return all(name in profile.columns for name in flat if isinstance(name, str) and name)


def _merged(sources: Sources) -> Profile:
    """The profile with labels counted as they will be when twins (`Positive`, `positive `) are merged."""
    table, profile = sources.tables["train"], sources.profile
    columns = dict(profile.columns)
    for name, column in profile.columns.items():
        if column.kind == "category":
            cells = Counter(cell for cell in each_text(table, name) if cell)
            columns[name] = replace(column, distinct=len(cells) - len(twins(cells)))
    return replace(profile, columns=columns)


def _accepts(name: str, spec: Spec) -> bool:
    return set(spec.options) <= set(TASKS.load(name).options())


def _columns(options: Mapping[str, Any], claim: Claim | None) -> dict[str, Choice[Any]]:
    named = {f"options.{k}": Choice(list(v) if isinstance(v, tuple) else v, "as asked") for k, v in options.items()}
    claimed = {f"options.{k}": c for k, c in (claim.columns if claim else {}).items() if k not in options}
    return named | claimed


def _no_task(spec: Spec, sources: Sources) -> Exception:
    unknown = [o for o in spec.options if not any(o in TASKS.load(n).options() for n in TASKS.names())]
    if unknown:
        known = sorted({o for n in TASKS.names() for o in TASKS.load(n).options()})
        return SpecError(
            "options",
            expected="an option of a task",
            got=repr(unknown[0]),
            fix=suggestion(unknown[0], known),
            code="unknown-option",
        )
    if misplaced := _misplaced(spec, sources.profile):
        return misplaced
    values = [value for option, value in spec.options.items() if option in _roles()]
    named = [v for value in values for v in (value if isinstance(value, list | tuple) else (value,))]
    missing = [v for v in named if isinstance(v, str) and v not in sources.profile.columns]
    if missing:
        return DataError(
            sources.name,
            expected=f"a column {missing[0]!r}",
            got=f"columns {listing(list(sources.profile.columns), 12)}",
            fix=nearest(missing[0], sources.profile.columns),
            code="unknown-column",
        )
    task = TASKS.load(spec.task) if spec.task != "auto" else None
    files = task.files if task and not task.wide else ()
    return explain(sources.tables["train"], sources.profile, spec.options, sources.name, files)
