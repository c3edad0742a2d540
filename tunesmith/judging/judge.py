"""The verdict on a finished run: everything that `report.json` holds (`schema.Report` says what).

Nothing here fits or trains. Whoever calls has the outputs of the tuned model, of the baselines and of the frozen probe
for the same test rows, and has counted the look (`looks.look`) before making them.

Axes: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast, final

import numpy as np

from ..task import Outputs, Task, Truth
from . import calibration, compare, pictures, words, worst
from .intervals import Candidate, Draws, resample, take
from .power import power
from .schema import VERSION, Part, Report, Rung, Verdict
from .slices import Rows, slices
from .view import View, view

TUNED = "tuned"
PROBE = "probe"
SHOWN = 8
"""Columns of a wide table that examples show."""
SINGLY = "each target alone"
"""The rung of models that learned one target each."""
SLICE_SCORES = {
    "classes": "share of rows answered right", "flags": "share of rows with every label right",
    "numbers": "mean error, in units of the target's spread", "texts": "share of rows answered right",
}


@final
@dataclass(frozen=True)
class Judged:
    """One set of rows with what the tuned model said of them."""

    rows: Rows
    outputs: Outputs
    truth: Truth
    groups_N: np.ndarray | None = None
    """Equal values: duplicates, drawn together in every interval."""
    condensed: bool = False
    """Whether the outputs are condensed already, so that `truth` is not looked at: any array of as many rows."""

    def candidate(self, task: Task) -> Candidate:
        """What is scored."""
        return Candidate(task, self.outputs) if self.condensed else Candidate.of(task, self.outputs, self.truth)


@final
@dataclass(frozen=True)
class How:
    """How the judging is done."""

    level: float = 0.95
    resamples: int = 1000
    seed: int = 0
    seconds: float = 30.0
    """Limit for the resampling of the test rows, a third of it for any other; beyond it fewer resamples are taken, and said."""
    looks: int = 1
    name: str = ""
    """The task's name as the user knows it."""
    metric: str = ""
    """The headline; empty: the task's first score."""
    strategy: str = ""
    """The strategy that tuned the model; one that keeps the frozen probe where that is better is not advised to those who took it."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """Seconds that a rung took to fit and answer."""
    by_heart: str = ""
    """What training rows say of a model that went astray (`Task.by_heart`)."""
    columns: Sequence[Mapping[str, Any]] = ()
    """What each column of a wide table is worth (`Report.columns`), the weightiest first: examples show these."""
    asked: Sequence[str] | None = None
    """Columns that a question must have, where these are not all inputs."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    """A rung's own calibrated task (its temperature and thresholds), where it is not the tuned model's."""


def judge(
    task: Task, parts: Mapping[str, Judged], baselines: Mapping[str, Outputs] | None = None,
    probe: Outputs | None = None, leaked: np.ndarray | Sequence[int] | None = None, how: How | None = None,
) -> Report:
    """Judge the tuned model. `parts` has `test` and, where there is one, `validation`; `baselines` and `probe` answer
    the test rows.

    `leaked`: positions among the test rows that have a duplicate among the training rows; the scores are then also
    given without. The tuned model is compared with every rung on the same rows; the strongest one decides the verdict.
    """
    how = how or How()
    test = parts["test"]
    if not len(test.truth):
        return _untested(task, parts, how)
    leaked_L = np.asarray([] if leaked is None else leaked, dtype=np.int64)
    said = _said(test, baselines or {}, probe)
    candidates = {name: Candidate.of(how.tasks.get(name, task), outputs, test.truth) for name, outputs in said.items()}
    here = view(task, test.outputs, test.truth)
    right = {name: _right(here if name == TUNED else view(candidates[name].task, outputs, test.truth)) for name, outputs in said.items()}
    draws = _resample(candidates, test, how)
    metric = how.metric or next(iter(draws.values[TUNED]))
    ladder = _ladder(draws, candidates, right, test, metric, task, how)
    scored = _all_parts(task, parts, draws, leaked_L, how)
    verdict, strongest = _verdict(ladder, metric, task.directions.get(metric, True), how.strategy)
    report: dict[str, Any] = {
        "version": VERSION, "kind": here.kind if here else "other", "task": how.name or type(task).__name__,
        "metric": metric, "directions": {name: task.directions.get(name, True) for name in draws.values[TUNED]},
        "level": how.level, "verdict": verdict, "names": list(here.names) if here else [], "parts": scored,
        "sentence": words.headline(metric, scored["test"]["scores"][metric], len(test.truth), verdict["sentence"]),
        "leaked": len(leaked_L), "ladder": ladder, "power": _power(draws, strongest, metric), "looks": how.looks,
    }
    said = _known(task, how, metric) | {"how_scored": dict(task.how_scored(test.truth))}
    said["sharing"] = _sharing(draws, candidates, test, task, how)
    return cast(Report, report | _details(task, here, test, how) | said)


def _right(here: View | None) -> np.ndarray | None:
    """Which rows a model answers rightly, where rows are right or wrong: all that is kept of those beside the tuned one."""
    return here.right_N if here and here.kind in ("classes", "flags", "texts") else None


def _sharing(draws: Draws, candidates: Mapping[str, Candidate], test: Judged, task: Task, how: How) -> list[dict[str, Any]]:
    """For each target the shared model against one of the target's own, where such were trained: paired, on the same rows."""
    if SINGLY not in candidates:
        return []
    ours, theirs = (TUNED, candidates[TUNED]), (SINGLY, candidates[SINGLY])
    found = []
    for target, score in task.headlines().items():
        higher = task.directions[score]
        compared = compare.judged(
            draws, ours, theirs, test.truth, score=score, higher=higher, seed=how.seed, seconds=how.seconds / 6
        ).as_json()
        found.append({"target": target, **compared, "sentence": words.sharing(target, compared, higher)})
    return found


def _untested(task: Task, parts: Mapping[str, Judged], how: How) -> Report:
    """Without test rows there is no honest score: null everywhere, the validation scores beside it, and a sentence that says so."""
    metric = how.metric or next(iter(task.directions))
    none: dict[str, Any] = {name: {"value": None, "low": None, "high": None, "method": "fixed"} for name in task.directions}
    found = {name: scores(task, judged, how) for name, judged in parts.items() if len(judged.truth)}
    empty = Part(rows=0, groups=0, resamples=0, capped=False, scores=none)
    rung = Rung(name=TUNED, title=words.rung(TUNED), tuned=True, scores=none, seconds=how.costs.get(TUNED), comparison=None, oracle=False)
    verdict, _ = _verdict([rung], metric, True, how.strategy)
    sentence = "There are no test rows. Scores on validation rows flatter, because those rows chose the checkpoint."
    report: dict[str, Any] = {
        "version": VERSION, "kind": "other", "task": how.name or type(task).__name__, "metric": metric,
        "directions": dict(task.directions), "level": how.level, "verdict": verdict, "names": [], "parts": found | {"test": empty},
        "sentence": sentence, "leaked": 0, "ladder": [rung], "power": None, "looks": how.looks,
    }
    said = _known(task, how, metric) | {"how_scored": {}, "sharing": []}
    return cast(Report, report | _details(task, None, parts["test"], how) | said)


def scores(task: Task, judged: Judged, how: How | None = None) -> Part:
    """Scores with intervals of one set of rows: what `tunesmith evaluate` shows."""
    how = how or How()
    return _part(_resample({TUNED: judged.candidate(task)}, judged, how), TUNED)


def _said(test: Judged, baselines: Mapping[str, Outputs], probe: Outputs | None) -> dict[str, Outputs]:
    """What each model said of the test rows, the tuned one first."""
    return {TUNED: test.outputs} | dict(baselines) | ({PROBE: probe} if probe is not None else {})


def _resample(candidates: Mapping[str, Candidate], judged: Judged, how: How) -> Draws:
    return resample(
        candidates, judged.truth, groups_N=judged.groups_N, resamples=how.resamples, level=how.level, seed=how.seed,
        seconds=how.seconds,
    )


def _part(draws: Draws, name: str) -> Part:
    groups = draws.rows if draws.groups_N is None else len(np.unique(draws.groups_N))
    return Part(
        rows=draws.rows, groups=groups, resamples=draws.resamples, capped=draws.capped, scores=_scores(draws, name),
    )


def _scores(draws: Draws, name: str) -> dict[str, Any]:
    return {score: draws.interval(name, score).as_json() for score in draws.values[name]}


def _all_parts(
    task: Task, parts: Mapping[str, Judged], draws: Draws, leaked_L: np.ndarray, how: How
) -> dict[str, Part]:
    brief = replace(how, seconds=how.seconds / 3)
    found = {name: scores(task, judged, brief) for name, judged in parts.items() if name != "test" and len(judged.truth)}
    found["test"] = _part(draws, TUNED)
    test = parts["test"]
    if 0 < len(leaked_L) < len(test.truth):
        kept = np.setdiff1d(np.arange(len(test.truth)), leaked_L)
        groups_N = None if test.groups_N is None else np.asarray(test.groups_N)[kept]
        clean = Judged(test.rows, take(test.outputs, kept), test.truth[kept], groups_N)
        found["test without leaked rows"] = scores(task, clean, brief)
    return found


def _ladder(
    draws: Draws, candidates: Mapping[str, Candidate], right: Mapping[str, np.ndarray | None], test: Judged, metric: str, task: Task,
    how: How,
) -> list[Rung]:
    """Weakest first, the tuned model last."""
    higher = task.directions.get(metric, True)
    ordered = sorted(
        (name for name in candidates if name != TUNED),
        key=lambda name: compare.rank(draws.values[name].get(metric, np.nan), higher),
    )
    rungs = [_rung(name, draws, candidates, right, test, metric, higher, how) for name in ordered]
    tuned = Rung(
        name=TUNED, title=words.rung(TUNED), tuned=True, scores=_scores(draws, TUNED), seconds=how.costs.get(TUNED),
        comparison=None, oracle=False,
    )
    return [*rungs, tuned]


def _rung(
    name: str, draws: Draws, candidates: Mapping[str, Candidate], right: Mapping[str, np.ndarray | None], test: Judged, metric: str,
    higher: bool, how: How,
) -> Rung:
    compared = compare.judged(
        draws, (TUNED, candidates[TUNED]), (name, candidates[name]), test.truth, score=metric, higher=higher,
        seed=how.seed, seconds=how.seconds / 6,
    ).as_json()
    ours, theirs = right[TUNED], right[name]
    if ours is not None and theirs is not None:
        compared["mcnemar"] = compare.mcnemar(ours, theirs).as_json()
    return Rung(
        name=name, title=words.rung(name), tuned=False, scores=_scores(draws, name), seconds=how.costs.get(name),
        comparison=compared, oracle=name in candidates[name].task.oracles,
    )


def _verdict(ladder: Sequence[Rung], metric: str, higher: bool, strategy: str) -> tuple[Verdict, str]:
    """The verdict against the strongest baseline, and that baseline's name; the frozen probe is named beside it where it is better."""
    others = [rung for rung in ladder if not rung["tuned"] and not rung["oracle"]]
    if not others:
        sentence = "No baseline was fitted, so no gain can be claimed."
        return Verdict(against="", word="no baseline", sentence=sentence), ""
    best = others[-1]
    compared = best["comparison"] or {}
    sentence = words.gain(metric, best["title"], compared, higher)
    probe = next((rung["comparison"] for rung in others if rung["name"] == PROBE), None)
    if probe and compare.rank(probe["theirs"] or 0.0, higher) > compare.rank(probe["ours"] or 0.0, higher):
        sentence += words.probe(probe, strategy, best["name"] == PROBE)
    return Verdict(against=best["name"], word=compared["verdict"], sentence=sentence), best["name"]


def _power(draws: Draws, strongest: str, metric: str) -> dict[str, Any] | None:
    """What these rows could show; None where nothing stands beside the model, or what does never differs from it."""
    spread = draws.spread(TUNED, strongest, metric) if strongest else 0.0
    if not spread:
        return None
    found = power(draws.rows, spread, metric, draws.level)
    return found.as_json() | {"sentence": words.power(metric, draws.rows, found.noise, found.seen)}


def _known(task: Task, how: How, metric: str) -> dict[str, Any]:
    """What the report tells of any run, judged or not."""
    sections = [[title, list(scores)] for title, scores in task.sections().items()]
    asked = task.columns(task.inputs) if how.asked is None else how.asked
    told = {"inputs": list(asked), "columns": list(how.columns), "chosen_by": task.chooses(metric), "sections": sections}
    return told | {"by_heart": how.by_heart}


def _shown(how: How, inputs: Sequence[str]) -> Sequence[str]:
    """The input columns that examples show: all, of a wide table those worth most."""
    worth = [name for column in how.columns[:SHOWN] for name in str(column["name"]).split(", ")]
    return [name for name in worth if name in inputs] or inputs


def _details(task: Task, here: View | None, test: Judged, how: How) -> dict[str, Any]:
    empty: dict[str, Any] = {
        "calibration": None, "confusion": None, "per_label": [], "numbers": [], "slices": [], "slice_score": "",
        "overall": None, "worst": [], "right": [], "by_degree": False,
    }
    if here is None:
        return empty
    inputs, targets = task.columns(task.inputs), task.columns(task.targets)
    overall = here.loss_N if here.measured else here.right_N
    common = {
        "slices": slices(here, test.rows, inputs, targets, level=how.level),
        "slice_score": here.degree if here.by_degree else SLICE_SCORES[here.kind], "by_degree": here.by_degree,
        "overall": float(overall.mean()), "worst": _examples(task, here, test, _shown(how, inputs), worst.worst_at(here)),
        "right": _examples(task, here, test, _shown(how, inputs), worst.right_at(here, seed=how.seed)),
    }
    if here.kind == "numbers":
        return empty | common | {"numbers": pictures.numbers(here, level=how.level, seed=how.seed)}
    if here.probability_NC is not None or (here.pieces is not None and len(here.pieces.sure_M)):
        common["calibration"] = calibration.report(here, test.groups_N, level=how.level, resamples=how.resamples, seed=how.seed)
    if here.kind == "texts":
        return empty | common | {"per_label": pictures.per_kind(here, level=how.level, seed=how.seed)}
    return empty | common | {
        "per_label": pictures.per_label(here, level=how.level, seed=how.seed),
        "confusion": pictures.confusion(here) if here.kind == "classes" else None,
    }


def _examples(task: Task, here: View, test: Judged, inputs: Sequence[str], at: Sequence[int]) -> list[dict[str, Any]]:
    """These rows to look at, with the task's own pictures of them beside those of their inputs."""
    found = [worst.example(here, test.rows, inputs, row) for row in at]
    graded = bool(at) and here.kind == "texts"
    drawn = task.pictured(take(test.outputs, np.array(at, np.int64)), test.truth[list(at)], test.rows.rows(at)) if graded else []
    for one, more in zip(found, drawn):
        one["pictures"] |= {name: picture for name, picture in more.items() if picture}
    return found
