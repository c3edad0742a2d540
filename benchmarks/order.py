"""Do batches of rows of like length cost anything in the result: five seeds of them beside five of random batches.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/order.py --rows 2000 --seeds 5       # writes order.jsonl and order.md

Everything else is the same: rows, epochs, rate, and the rows of each test. Arms run in turns, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from scipy import stats  # noqa: E402
from sets import SETS  # noqa: E402
from speed_arms import MODEL, accuracy, cpu_seconds  # noqa: E402

LOG = HERE / "order.jsonl"
ARMS = {"rows of like length": 50, "random batches": 1}
"""Batches within which rows are sorted by length; of one batch alone nothing is left to sort but the rows in it."""


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("ARM", "SEED"), help="measure one thing in this process and print it")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one[0], int(asked.one[1]), asked.rows)))
        return
    for seed in range(asked.seeds):
        for arm in ARMS:
            one = [sys.executable, __file__, "--one", arm, str(seed), "--rows", str(asked.rows)]
            done = subprocess.run(one, capture_output=True, text=True, check=True)
            with open(LOG, "a") as file:
                file.write(done.stdout.splitlines()[-1] + "\n")
            print(done.stdout.splitlines()[-1], flush=True)
    (HERE / "order.md").write_text(table([json.loads(line) for line in LOG.read_text().splitlines()]))


def measure(arm: str, seed: int, rows: int) -> dict[str, Any]:
    """Accuracy on all test rows of SST-2 after two epochs of the first `rows` rows."""
    import tunesmith
    from tunesmith.training import batches

    batches.WINDOW = ARMS[arm]
    with tempfile.TemporaryDirectory() as folder:
        data = SETS["sst2"]
        files = data.prepare(Path(folder))
        run = tunesmith.fit(
            files["train"], model=MODEL, task=data.task, seed=seed, runs=f"{folder}/runs", test=files["test"],
            validation=files["validation"],
            strategy="full", epochs=2, lr=1e-4, batch=32, baselines=False, resamples=100, threads=1, limit=rows, **data.options,
        )  # fmt: skip
        part = run.report["parts"]["test"]
        right = round(part["scores"]["accuracy"]["value"] * part["rows"])
        return {"arm": arm, "seed": seed, "rows": rows, "score": accuracy(right, part["rows"]), "cpu_seconds": round(cpu_seconds(), 1)}


def table(found: list[dict[str, Any]]) -> str:
    """The committed page."""
    values = {arm: [m["score"]["value"] for m in found if m["arm"] == arm] for arm in ARMS}
    apart = [a - b for a, b in zip(*values.values(), strict=True)]
    middle, half = statistics.mean(apart), stats.t.ppf(0.975, len(apart) - 1) * statistics.stdev(apart) / math.sqrt(len(apart))
    lines = [
        "# Order of rows", "",
        f"SST-2, {found[0]['rows']:,} training rows, two epochs, all weights of {MODEL}, accuracy on the whole test set. "
        "Made by `benchmarks/order.py`.", "",
        "| seed | " + " | ".join(ARMS) + " |", "|---|---|---|",
        *(f"| {seed} | {a:.4f} | {b:.4f} |" for seed, (a, b) in enumerate(zip(*values.values(), strict=True))),
        "| mean | " + " | ".join(f"{statistics.mean(v):.4f}" for v in values.values()) + " |", "",
        f"Difference, seed by seed: {middle:+.4f} (95 %: {middle - half:+.4f} to {middle + half:+.4f}). The interval of a single score is "
        f"{found[0]['score']['low']:.3f} to {found[0]['score']['high']:.3f}. CPU seconds of the whole process, medians: "
        + ", ".join(f"{arm} {statistics.median(m['cpu_seconds'] for m in found if m['arm'] == arm):.0f}" for arm in ARMS) + ".",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
