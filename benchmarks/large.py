"""What large files and cold starts take: from a file to the first step, many short texts answered, a command from nothing.

    python benchmarks/large.py                   # measures everything and writes large.jsonl and large.md (a quarter of an hour, two cores)
    python benchmarks/large.py csv --repeats 3   # one case
    python benchmarks/large.py --table           # writes the page again

Each measurement is a process of its own, with a cache that begins empty; its memory is the most that this process held (`VmHWM`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
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
from speed_arms import MODEL, cpu_seconds, peak_bytes  # noqa: E402

LOG = HERE / "large.jsonl"
LINES = {
    # case: words, most seconds by the clock, most MiB
    "csv": ("1,000,000 rows of CSV (about 200 MB), from the file to the first step", 120.0, 2048),
    "parquet": ("5,000,000 rows of Parquet, from the file to the first step", None, 2048),
    "judge 1": ("1,000,000 rows of two labels scored, with intervals", None, None),
    "judge 8": ("8,000,000 rows of two labels scored, with intervals", None, None),
    "predict": ("100,000 short texts answered (`tunesmith predict --file`)", None, None),
    "help": ("`tunesmith --help`", 0.2, None),
    "word": ("`tunesmith predict RUN TEXT`, cold", 3.5, None),
}
WORDS = [f"{a}{b}" for a in "ba ce di fo gu la me ni po ru sa te".split() for b in "la mer nit pol rum sat tes vin wok zan".split()]


def main() -> None:
    """Measure, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {list(LINES)}; default: all")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("CASE", "FOLDER"), help="measure one thing in this process and print it")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(ONE[asked.one[0].split()[0]](Path(asked.one[1]), asked.one[0])))
        return
    if not asked.table:
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(asked.repeats):
                for case in asked.cases or LINES:
                    _log(case, Path(folder))
    (HERE / "large.md").write_text(table([json.loads(line) for line in LOG.read_text().splitlines()]))


def _log(case: str, folder: Path) -> None:
    prepare(case, folder)
    env = os.environ | {"TUNESMITH_CACHE": tempfile.mkdtemp(dir=folder), "HF_HUB_OFFLINE": "1"}
    found = _command(case, folder, env) if case in ("help", "word", "predict") else _child(case, folder, env)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout.strip()
    with open(LOG, "a") as file:
        file.write(json.dumps({"case": case, "commit": commit, "cores": len(os.sched_getaffinity(0))} | found) + "\n")
    print(case, found, flush=True)


def _child(case: str, folder: Path, env: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, "--one", case, str(folder)], capture_output=True, text=True, check=True, env=env)
    return json.loads(done.stdout.splitlines()[-1])


def _command(case: str, folder: Path, env: dict[str, str]) -> dict[str, Any]:
    """A command as a user types it; its memory is not its own process's here and is left out."""
    run = str(next((folder / "runs").iterdir())) if case != "help" else ""
    words = {
        "help": ["--help"], "word": ["predict", run, "A quiet, exact film."],
        "predict": ["predict", run, "--file", str(folder / "ask.csv"), "--out", str(folder / "answers.csv")],
    }[case]  # fmt: skip
    command, start = [str(Path(sys.executable).with_name("tunesmith")), *words], time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    told = [line for line in done.stderr.splitlines() if "left" in line]
    return {"seconds": time.monotonic() - start, "told": told[-1:] if case == "predict" else []}


# -- what is measured -------------------------------------------------------------------------------------------------


def prepare(case: str, folder: Path) -> None:
    """Write what a case reads, once."""
    if case == "csv" and not (folder / "rows.csv").exists():
        with open(folder / "rows.csv", "w") as file:
            file.write("text,label\n")
            file.writelines(f"{text},{label}\n" for text, label in rows(1_000_000))
    if case == "parquet" and not (folder / "rows.parquet").exists():
        _parquet(folder / "rows.parquet", 5_000_000)
    if case == "predict":
        (folder / "ask.csv").write_text("text\n" + "".join(f"{text[:60]}\n" for text, _ in rows(100_000)))
    if case in ("predict", "word") and not (folder / "runs").exists():
        import tunesmith

        (folder / "few.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows(300)))
        tunesmith.fit(
            str(folder / "few.csv"), model=MODEL, strategy="head-only", baselines=False, resamples=100, runs=str(folder / "runs")
        )


def rows(count: int) -> Any:
    """Texts of some 200 characters that are all different, with a label that a word of theirs says."""
    draw = random.Random(0)
    for number in range(count):
        label = "good" if draw.random() < 0.5 else "bad"
        yield f"{number} {' '.join(draw.choices(WORDS, k=34))} {label}ly {' '.join(draw.choices(WORDS, k=3))}", label


def _parquet(path: Path, count: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, pa.schema([("text", pa.string()), ("label", pa.string())])) as file:
        held: list[tuple[str, str]] = []
        for at, row in enumerate(rows(count), 1):
            held.append(row)
            if len(held) == 100_000 or at == count:
                file.write_table(pa.table({"text": [text for text, _ in held], "label": [label for _, label in held]}))
                held = []


def first_step(folder: Path, case: str) -> dict[str, Any]:
    """From the file to the first step of all weights (heads on frozen layers read all rows first), nothing else said."""
    from tunesmith import api
    from tunesmith.training.events import Step

    begun = time.monotonic()
    spec = api.make_spec(str(folder / f"rows.{case}"), model=MODEL, strategy="full", runs=str(folder / f"{case}-runs"))
    for event in api.fit_events(spec):
        if isinstance(event, Step):
            break
    return {"seconds": time.monotonic() - begun, "cpu_seconds": cpu_seconds(), "peak_bytes": peak_bytes()}


def judge(folder: Path, case: str) -> dict[str, Any]:
    """Every score of two labels, with intervals; the logits and labels of the rows themselves (16 bytes of each) are in memory."""
    import numpy as np

    from tunesmith.judging.judge import How, Judged, scores
    from tunesmith.tasks.text_classification import task

    rng, count = np.random.default_rng(0), int(case.split()[1]) * 1_000_000
    truth_N, logits_NC = rng.integers(0, 2, count), rng.normal(size=(count, 2)).astype(np.float32)
    begun = time.monotonic()
    scores(task(labels=("a", "b")), Judged(None, {"logits": logits_NC}, truth_N), How())
    return {"seconds": time.monotonic() - begun, "cpu_seconds": cpu_seconds(), "peak_bytes": peak_bytes()}


ONE: dict[str, Callable[[Path, str], dict[str, Any]]] = {"csv": first_step, "parquet": first_step, "judge": judge}


def table(found: list[dict[str, Any]]) -> str:
    """The committed page."""
    lines = [
        "# Large files and cold starts", "",
        f"Model {MODEL} (MiniLM-L6), nothing said but file and model (and `strategy=full` of the first two). Seconds by the clock "
        "(median, least and most), of a machine that other work may have shared: CPU seconds beside them. Made by `benchmarks/large.py`; "
        "every measurement is in `large.jsonl`.", "",
        "| what | times | seconds | at most | CPU seconds | peak MiB | at most | cores | commits |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    return "\n".join([*lines, *(_line(case, [m for m in found if m["case"] == case]) for case in LINES)]) + "\n"


def _line(case: str, found: list[dict[str, Any]]) -> str:
    words, seconds, memory = LINES[case]
    if not found:
        return f"| {words} | not measured | | | | | | | |"
    took = [m["seconds"] for m in found]
    held, used = ([m[name] for m in found if name in m] for name in ("peak_bytes", "cpu_seconds"))
    cells = (
        words, len(found), f"{statistics.median(took):.2f} ({min(took):.2f} to {max(took):.2f})", seconds or "",
        f"{statistics.median(used):.1f}" if used else "", f"{max(held) / 2**20:,.0f}" if held else "", memory or "", found[-1]["cores"],
        ", ".join(dict.fromkeys(m["commit"] for m in found)),
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
