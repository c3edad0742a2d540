"""The committed page of `quality.jsonl`: what misses its mark first, then a table for each kind of set."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from recipes import RECIPES
from sets import MODEL, SETS, Set

Line = dict[str, Any]
LOWER = ("wer", "cer", "mcd", "kid", "mae", "bits_per_byte", "perplexity")
"""Scores of which less is better."""
AS_IT_CAME = ("probe", "untuned")
"""Models beside ours whose weights did not learn: under a new head, or as they came."""
TEXTS = ("text-classification", "text-regression", "text-multilabel")
WORDS = (
    "token-classification", "extractive-qa", "relation-extraction", "embedding", "knowledge-qa", "multi-task", "dialogue", "translation",
    "summarisation",
)  # fmt: skip
POINTS = 8
"""Validations shown of a training."""


@final
@dataclass(frozen=True)
class Measured:
    """A set, and all that was measured of it."""

    data: Set
    found: Sequence[Line]

    def of(self, *arms: str) -> list[Line]:
        """The measurements of these arms, the smallest score first."""
        return sorted((one for one in self.found if one["arm"] in arms), key=lambda one: float(one["score"]["value"]))

    def median(self, *arms: str) -> Line | None:
        """The measurement in the middle."""
        found = self.of(*arms)
        return found[(len(found) - 1) // 2] if found else None

    @property
    def mine(self) -> list[Line]:
        """Ours with nothing said."""
        return self.of("tunesmith")

    @property
    def middle(self) -> Line:
        """Its middle, where there is one."""
        found = self.median("tunesmith")
        assert found is not None
        return found

    def worse(self, value: float, than: float) -> bool:
        """Whether a score is worse than another."""
        return value > than if self.data.metric in LOWER else value < than


Cell = Callable[[Measured], Any]


def table(found: Sequence[Line]) -> str:
    """The page."""
    sets = [Measured(data, [one for one in found if one["set"] == name]) for name, data in SETS.items()]
    known = [one for one in sets if one.mine]
    pages = [
        _section("Texts to classes and numbers", TEXT_COLUMNS, [one for one in known if one.data.task in TEXTS]),
        _section("Words, spans, pairs, searches, written texts", WORD_COLUMNS, [one for one in known if one.data.task in WORDS]),
        _before_and_after(known),
        _shared(known),
        _section("Images, sounds, tables", OTHER_COLUMNS, [one for one in known if one.data.task not in TEXTS + WORDS]),
        _over_training(known),
    ]
    lines = [*_head(sets), "", *(f"- {line}" for line in misses(sets)), *(line for page in pages if page for line in ["", *page])]
    return "\n".join(lines) + "\n"


def _head(sets: Sequence[Measured]) -> list[str]:
    machines = sorted({one["machine"] for measured in sets for one in measured.found})
    drawn = [_drawn(one.data) for one in sets if one.data.most or one.data.judged or one.data.compared]
    return [
        "# Quality",
        "",
        f"Model {MODEL} (MiniLM-L6, 22.7 M weights) for texts that are read, CPU, nothing said but files and columns. Made by `python "
        "benchmarks/quality.py --table` from `quality.jsonl`, which holds every measurement with all its scores, its commit and its "
        "machine. *tunesmith*: the median seed with its interval, then the range over seeds, on all test rows as they come; *without "
        "leaked rows*: the same model on those that have no duplicate among the training rows. Beside it on the same rows: the frozen or "
        "untuned model, and the simple ones. *Recipe*: transformers' `Trainer` as its documented example has it (run_glue: "
        "rate 2e-5, batch 32, three epochs; run_ner: 5e-5, 8, three; run_qa: 3e-5, 12, two), on the same training rows and by the same "
        "scores, and ours with as many epochs; medians over seeds. *Rows*: those that taught, without those held back for validation, "
        "and test rows.",
        "",
        f"All rows but of: {'; '.join(drawn)}. They are drawn by content, the same for every arm, so that a run takes minutes of a CPU. "
        f"Also asked for: {', '.join(filter(None, (_asked(one.data) for one in sets)))}.",
        "",
        f"Measured on: {'; '.join(machines)} (as many cores as the process was given).",
    ]


def _drawn(data: Set) -> str:
    said = [
        f"{data.most:,} training rows" if data.most else "", f"{data.judged:,} test rows" if data.judged else "",
        f"{data.compared:,} where recipes are compared" if data.compared else "",
    ]  # fmt: skip
    return f"{data.name} ({', '.join(filter(None, said))})"


def _asked(data: Set) -> str:
    """Settings that decide how long a run takes."""
    said = [f"{name.removeprefix('train.')} {value}" for name, value in data.settings.items() if name in ("epochs", "train.budget")]
    return f"{data.name} ({', '.join(said)})" if said else ""


# -- what misses its mark ---------------------------------------------------------------------------------------------


def misses(sets: Iterable[Measured]) -> list[str]:
    """What is below its floor, its probe, the best beside it or the Trainer, in words; sets that were not measured."""
    said, missing = [], []
    for one in sets:
        missing += [] if one.mine else [one.data.name]
        said += [*_under(one), *_behind(one)] if one.mine else []
    said.sort(key=lambda line: "worse than the floor" not in line)
    said += [f"Not measured yet: {', '.join(missing)}."] if missing else []
    uncompared = [one.data.name for one in sets if one.data.task in RECIPES and one.mine and not _compared(one)]
    said += [f"Not compared with the Trainer yet: {', '.join(uncompared)}."] if uncompared else []
    return said or ["Every set is above its floor and its probe, and not below the Trainer."]


def _under(one: Measured) -> list[str]:
    data, middle, said = one.data, one.middle, []
    value, ladder, against = middle["score"]["value"], middle["ladder"], middle["verdict"]["against"]
    why = f": {data.why}" if data.why else ""
    if data.floor is not None and one.worse(value, data.floor):
        said.append(f"{data.name}: {value:.3f} is worse than the floor of {data.floor:.3f} ({data.floor_of}){why}.")
        why = ""
    probe = ladder.get("probe")
    if probe and not one.worse(probe["value"], value) and middle["verdict"]["word"] != "better":
        said.append(f"{data.name}: no better than the frozen probe ({probe['value']:.3f}); the probe was kept, or is as good{why}.")
    elif middle["verdict"]["word"] == "worse" and ladder.get(against):
        said.append(f"{data.name}: {value:.3f} is worse than {against} on the same rows ({ladder[against]['value']:.3f}){why}.")
    return said


def _compared(one: Measured) -> bool:
    return bool(one.of("tunesmith-3") and one.of("trainer", "trainer-5e-5"))


def _behind(one: Measured) -> list[str]:
    three, theirs = one.median("tunesmith-3"), one.of("trainer", "trainer-5e-5")
    if three is None or not theirs:
        return []
    lower, high = one.data.metric in LOWER, three["score"]["low" if one.data.metric in LOWER else "high"]
    best = (min if lower else max)(other["score"]["value"] for other in theirs)
    if not one.worse(high, best):
        return []
    return [f"{one.data.name}: the Trainer's {best:.3f} is beyond the interval of ours with as many epochs (up to {high:.3f})."]


# -- cells ------------------------------------------------------------------------------------------------------------


def _value(rung: Mapping[str, Any] | None) -> str:
    return f"{rung['value']:.3f}" if rung and rung.get("value") is not None else ""


def _arm(*names: str) -> Cell:
    return lambda one: _value((one.median(*names) or {}).get("score"))


def _rows(one: Measured) -> str:
    taught = one.middle.get("train_rows")
    return f"{f'{taught:,}' if taught else 'all'} / {one.middle['rows']:,}"


def _interval(one: Measured) -> str:
    score = one.middle["score"]
    return f"**{score['value']:.3f}** ({score['low']:.3f} to {score['high']:.3f})"


def _range(one: Measured) -> str:
    return f"{one.mine[0]['score']['value']:.3f} to {one.mine[-1]['score']['value']:.3f}"


def _clean(one: Measured) -> str:
    clean = one.middle.get("clean")
    return f"{_value(clean)} ({clean['rows']:,} rows)" if clean else ""


def _bag(one: Measured) -> str:
    return next((_value(rung) for name, rung in one.middle["ladder"].items() if "tf-idf" in name.lower()), "")


def _as_it_came(one: Measured) -> str:
    return ", ".join(f"{name} {_value(rung)}" for name, rung in one.middle["ladder"].items() if name in AS_IT_CAME and rung)


def _beside(one: Measured) -> str:
    """The simple models beside it, the best first."""
    simple = {n: r for n, r in one.middle["ladder"].items() if r and r.get("value") is not None and n not in (*AS_IT_CAME, "tuned")}
    order = sorted(simple, key=lambda name: float(simple[name]["value"]), reverse=one.data.metric not in LOWER)
    return ", ".join(f"{name} {_value(simple[name])}" for name in order)


def _cost(one: Measured) -> str:
    minutes = statistics.median(m.get("cpu_seconds", m["seconds"]) for m in one.mine) / 60
    return f"{minutes:.1f} ({one.middle['threads']})"


def _foretold(one: Measured) -> str:
    """Medians over seeds of what the plan said over what it took: of one thread CPU seconds where they were recorded, else the clock's."""
    known = [m for m in one.mine if m.get("forecast") and m["measured"].get("training_seconds")]
    if not known:
        return ""
    spent = lambda m: (m["threads"] == 1 and m["measured"].get("training_cpu_seconds")) or m["measured"]["training_seconds"]  # noqa: E731
    pairs = (("seconds", spent), ("memory_bytes", lambda m: m["measured"]["peak_memory_bytes"]))
    return ", ".join(f"{statistics.median(m['forecast'][name] / fact(m) for m in known):.2f}" for name, fact in pairs)


def _commits(*arms: str) -> Cell:
    """The commits that measurements were made at, in the order in which they were."""
    made = lambda one: dict.fromkeys(m["commit"] for m in one.found if m["arm"] in arms)  # noqa: E731
    return lambda one: ", ".join(made(one)) or "none"


def _all_commits(*groups: tuple[str, ...]) -> Cell:
    return lambda one: "; ".join(_commits(*arms)(one) for arms in groups)


# -- tables -----------------------------------------------------------------------------------------------------------

BEGIN: dict[str, Cell] = {
    "set": lambda one: one.data.name,
    "score": lambda one: one.data.metric,
    "seeds": lambda one: len(one.mine),
    "rows: training / test": _rows,
    "tunesmith (95 % interval)": _interval,
    "range": _range,
    "without leaked rows": _clean,
}
BESIDE: dict[str, Cell] = {"frozen or untuned": _as_it_came, "simple models": _beside}
FLOOR: dict[str, Cell] = {"floor": lambda one: "" if one.data.floor is None else f"{one.data.floor:.3f}"}
AGAINST: dict[str, Cell] = {"ours, epochs of the recipe": _arm("tunesmith-3"), "recipe": _arm("trainer")}
COSTS: dict[str, Cell] = {
    "CPU minutes (threads)": _cost,
    "peak MiB": lambda one: f"{max(m['peak_bytes'] for m in one.mine) / 2**20:,.0f}",
    "forecast over fact: seconds, memory": _foretold,
    "gain over the best baseline": lambda one: one.middle["verdict"]["word"],
}
COMPARED = (("tunesmith",), ("tunesmith-3",), ("trainer", "trainer-5e-5"))
MADE: dict[str, Cell] = {"commits: as it comes; epochs of the recipe; recipe": _all_commits(*COMPARED)}
TEXT_COLUMNS = (
    BEGIN | {"probe": lambda one: _value(one.middle["ladder"].get("probe")), "TF-IDF": _bag} | FLOOR | AGAINST
    | {"recipe at 5e-5": _arm("trainer-5e-5")} | COSTS | MADE
)  # fmt: skip
WORD_COLUMNS = BEGIN | BESIDE | FLOOR | AGAINST | COSTS | MADE
DEPTHS: dict[str, Cell] = {"head alone": _arm("frozen"), "last layers": _arm("last-k"), "all layers": _arm("full")}
OTHER_COLUMNS = (
    BEGIN | BESIDE | FLOOR | DEPTHS | COSTS
    | {"commits: as it comes; head alone; last layers; all layers": _all_commits(("tunesmith",), ("frozen",), ("last-k",), ("full",))}
)  # fmt: skip


def _section(title: str, columns: Mapping[str, Cell], sets: Sequence[Measured]) -> list[str]:
    if not sets:
        return []
    return [f"## {title}", "", *_lines(list(columns), ([cell(one) for cell in columns.values()] for one in sets))]


def _lines(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    said = ["| " + " | ".join(map(str, cells)) + " |" for cells in rows]
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names), *said]


WRITTEN = {
    "perplexity": "perplexity", "bits per byte": "bits_per_byte", "ROUGE-L": "rouge_l", "BLEU": "bleu", "chrF": "chrf",
    "stops by itself": "stops", "WER": "wer", "CER": "cer",
}  # fmt: skip


def _before_and_after(sets: Sequence[Measured]) -> list[str]:
    """Other scores of models that write, before tuning and after it."""
    rows = [one for one in sets if one.data.task in ("dialogue", "translation", "summarisation", "speech-recognition")]
    rows = [one for one in rows if one.middle.get("others")]
    if not rows:
        return []
    lines = _lines(["set", *WRITTEN], ([one.data.name, *(_moved(one.middle, score) for score in WRITTEN.values())] for one in rows))
    return ["Models that write, before and after (the median seed):", "", *lines]


def _moved(line: Line, score: str) -> str:
    before, after = line["others"].get("untuned", {}).get(score), line["scores"].get(score)
    if after is None:
        return ""
    return f"{after:.3f}" if before is None else f"{before:.3f} → {after:.3f}"


def _shared(sets: Sequence[Measured]) -> list[str]:
    """Each target of a shared model beside a model of its own."""
    rows = [
        (one.data.name, each["target"], each["score"], f"{each['ours']:.3f}", f"{each['theirs']:.3f}", _difference(each), each["verdict"])
        for one in sets for each in one.middle.get("sharing", [])
    ]  # fmt: skip
    if not rows:
        return []
    names = ["set", "target", "score", "shared", "alone", "difference (95 % interval)", "verdict"]
    return ["Several targets in one model, each beside a model of its own (the median seed, the same test rows):", "", *_lines(names, rows)]


def _difference(each: Mapping[str, Any]) -> str:
    size = each["difference"]
    return f"{size['value']:+.3f} ({size['low']:+.3f} to {size['high']:+.3f})"


def _over_training(sets: Sequence[Measured]) -> list[str]:
    """Validation scores of generators while they learned."""
    rows = [
        (one.data.name, score, ", ".join(f"{epoch:g}: {value:.3f}" for epoch, value in course))
        for one in sets if one.data.task in ("image-generation", "speech-synthesis")
        for score, course in _courses(one.middle).items()
    ]  # fmt: skip
    if not rows:
        return []
    return ["On validation rows over training, by epoch (the median seed):", "", *_lines(["set", "score", "epoch: value"], rows)]


def _courses(line: Line) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for one in line.get("history", []):
        for score, value in one["scores"].items():
            if value is not None:
                found.setdefault(score, []).append((round(one["epoch"], 1), value))
    return {score: course[:: -(-len(course) // POINTS)] for score, course in found.items()}
