"""How good are the results: each real set, three seeds, beside its floor, the frozen probe, and transformers' own Trainer.

    python benchmarks/quality.py sst2 rte --seeds 0 1 2            # measures what is not yet in benchmarks/quality.jsonl
    python benchmarks/quality.py --table                           # writes benchmarks/quality.md from it

Arms: `tunesmith` with nothing said but files and columns (and what the set's `settings` say); `trainer`, the recipe of transformers'
documented example on the same training rows: run_glue (new head, rate 2e-5, batch 32, three epochs), run_ner (5e-5, batch 8, three
epochs) or run_qa (3e-5, batch 12, two epochs, windows of 384 tokens), each with a rate that falls in a line (`recipes.py`);
`tunesmith-3`, ours with as many epochs as that recipe; `trainer-5e-5`, run_glue at the Trainer's default rate; of images to labels
and numbers also `frozen` (the head alone), `last-k` and `full`, ours with that strategy. Where a CPU would take hours over all rows,
every arm has the same draw of them (`Set.most`, `Set.judged`). Each measurement runs in a process of its own, so that its peak
memory is its own, with `--threads` threads: pin it to as many cores (`taskset`), and measure nothing else there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from recipes import RECIPES, trainer  # noqa: E402
from sets import MODEL, SETS, Set  # noqa: E402
from tables import table  # noqa: E402

LOG = HERE / "quality.jsonl"


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
            **{**data.settings, **data.drawn(), **asked},
        )
        seconds = time.monotonic() - start
        planned = yaml.safe_load((run.path / "plan.yaml").read_text("utf-8"))
        return _told(data, run.report) | {
            "train_rows": json.loads((run.path / "data.json").read_text("utf-8"))["splits"]["parts"]["train"]["rows"],
            "history": _history(run.path),
            "seconds": round(seconds, 1),
            "forecast": {name: planned["forecast"][name] for name in ("seconds", "memory_bytes")},
            "precision": planned["spec"]["train"]["precision"],
            "strategy": planned["spec"]["strategy"],
        }


def _told(data: Set, report: dict[str, Any]) -> dict[str, Any]:
    """What a report says. `ladder`: the set's score of each model beside the tuned one; `others`: all their scores."""
    scores = report["parts"]["test"]["scores"]
    clean = report["parts"].get("test without leaked rows")
    rungs = report["ladder"]
    return {
        "score": scores[data.metric],
        "scores": {n: s["value"] for n, s in scores.items()},
        "rows": report["parts"]["test"]["rows"],
        "clean": clean and clean["scores"][data.metric] | {"rows": clean["rows"]},
        "ladder": {rung["name"]: rung["scores"].get(data.metric) for rung in rungs},
        "others": {rung["name"]: {n: s["value"] for n, s in rung["scores"].items()} for rung in rungs if not rung["tuned"]},
        "sharing": report.get("sharing", []),
        "verdict": report["verdict"],
        "measured": report.get("measured", {}),
    }


def _history(run: Path) -> list[dict[str, Any]]:
    """Validation scores over training."""
    events = [json.loads(line) for line in (run / "events.jsonl").read_text("utf-8").splitlines()]
    return [{name: one[name] for name in ("step", "stage", "epoch", "scores")} for one in events if one["event"] == "evaluated"]


def _as_long(data: Set, seed: int, threads: int) -> dict[str, Any]:
    """Ours with as many epochs as the recipe that it is compared with."""
    return ours(data, seed, threads=threads, epochs=RECIPES[data.task].epochs, baselines=False, **data.drawn(compared=True))


def _by(strategy: str) -> Arm:
    return lambda data, seed, threads: ours(data, seed, threads=threads, strategy=strategy, baselines=False)


Arm = Callable[[Set, int, int], dict[str, Any]]
"""(set, seed, threads) -> what was measured."""
ARMS: dict[str, Arm] = {
    "tunesmith": lambda data, seed, threads: ours(data, seed, threads=threads),
    "tunesmith-3": _as_long,
    "trainer": trainer,
    "trainer-5e-5": lambda data, seed, threads: trainer(data, seed, threads, 5e-5),
    "frozen": _by("head-only"),
    "last-k": _by("last-k"),
    "full": _by("full"),
}
DEPTHS = ("frozen", "last-k", "full")
PICTURES = ("image-classification", "image-regression")
"""Tasks of which `DEPTHS` are measured."""


def suits(data: Set, arm: str) -> bool:
    """Whether an arm can be measured on a set: there is a recipe of its task, or it is one of those whose depths are compared."""
    if arm == "tunesmith":
        return True
    return data.task in (PICTURES if arm in DEPTHS else RECIPES)


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
                if (name, seed, arm) in done or not suits(SETS[name], arm):
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


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    return found.stdout.strip()


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{len(os.sched_getaffinity(0))} cores of {name}"


if __name__ == "__main__":
    main()
