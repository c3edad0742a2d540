"""How fast, beside the loops that people use: every arm in a process of its own, arms interleaved, the same rows for all.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/speed.py            # measures and writes speed.jsonl, speed.md, speed.svg
    OMP_NUM_THREADS=2 python benchmarks/speed.py "predict on two cores"  # with nothing beside it
    python benchmarks/speed.py --rows 6000 --repeats 5                   # hours: all of SST-2
    python benchmarks/speed.py --table                                   # writes the table and the plot again

Ratios are of CPU seconds (user + system, children included): on a core that is shared with other work they are the honest figure,
and with one thread in both arms they are what the wall clock of a quiet machine would say.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from sets import SETS  # noqa: E402
from speed_arms import ARMS, CASES, MODEL, files_of  # noqa: E402

LOG = HERE / "speed.jsonl"
LINES = (
    # case, other arm, figure, words, at least
    ("full", "trainer", "whole_cpu", "full fine-tune, SST-2, whole process to saved model", 2.2),
    ("full", "trainer, best flags", "whole_cpu", "the same, `Trainer` with length grouping and fused optimiser", 1.2),
    ("full", "trainer, best flags, bf16", "whole_cpu", "the same, `Trainer` told to use bf16, too", None),
    ("full", "trainer", "train_cpu", "the same, training alone", None),
    ("full", "trainer, best flags", "train_cpu", "the same, training alone, best flags", None),
    ("head", "trainer", "whole_cpu", "head only, 10 epochs, banking77, whole process", 30),
    ("head", "trainer", "train_cpu", "the same, training alone", None),
    ("last2", "trainer", "whole_cpu", "last 2 of 6 layers, 5 epochs, SST-2, whole process", 3.2),
    ("last2", "trainer", "train_cpu", "the same, training alone", None),
    ("lora", "trainer", "whole_cpu", "LoRA on SmolLM2-135M, ragged chat rows, whole process", None),
    ("lora", "trainer", "train_cpu", "the same, training alone", 1.8),
    ("image", "trainer", "whole_cpu", "image head only, 10 epochs, cifar10 subset, whole process", 12),
    ("image", "trainer", "train_cpu", "the same, training alone", None),
    ("predict", "pipeline, batch 32", "train_cpu", "batch prediction, model loaded", 2),
    ("predict on two cores", "pipeline, batch 32", "train_wall", "the same, two threads on two idle cores, by the clock", 2),
    ("predict in bf16", "pipeline, batch 32", "train_cpu", "the same, told `precision=bf16`", 2),
    ("predict in bf16", "pipeline, batch 32, bf16", "train_cpu", "the same, the pipeline's weights in bf16, too", None),
)
WHOLE = 5_000
"""Rows from which a case counts as the whole set: below, the start of a process, alike in both arms, hides what is measured."""
NO_PRECISION = "not recorded (useful operations at a higher rate than a float32 product, as below, are bf16)"
NEEDS = {"lora": "TUNESMITH_LM: the folder of SmolLM2-135M", "image": "TUNESMITH_IMAGE_MODEL: the folder of an image encoder"}
"""Cases that need a model which no package registry has as such."""


def main() -> None:
    """Measure, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {list(ARMS)}; default: all")
    parser.add_argument("--rows", type=int, default=1_000, help="training rows of each case; prediction answers twice as many")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="seed of the first repeat: others are in the log already")
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if not asked.table:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), asked.rows)
            measure(Path(folder), asked.cases or list(ARMS), asked.rows, range(asked.first, asked.first + asked.repeats))
    found = [json.loads(line) for line in LOG.read_text().splitlines()]
    (HERE / "speed.md").write_text(table(found))
    (HERE / "speed.svg").write_text(plot(found))


def prepare(folder: Path, rows: int) -> None:
    """Write the rows that every arm reads, cleaned by one plan, and the run that answers texts."""
    from tunesmith import api

    for case in {case.data: case for case in CASES.values()}.values():
        data = SETS[case.data]
        files = data.prepare(folder / "whole")
        spec = api.make_spec(
            files["train"], model=case.model, task=data.task, test=files["test"], validation=files.get("validation", ""),
            calibration_share=0.0, limit=None, **data.options, **files_of(data),
        )  # fmt: skip
        ready, most = api.plan(spec), min(rows, case.most or rows)
        for part, count in (("train", most), ("validation", max(50, most // 5)), ("test", None if case.most is None else 200)):
            table = getattr(ready.data, part)
            kept = [tuple(row[name] for name in data.header) for row in table.rows()]
            kept = _spread([tuple(map(_cell, cells)) for cells in kept], count)
            _write(folder / f"{case.data}-{part}.csv", kept, data.header)
            if case.data == "sgd":
                _tokens(folder, part, ready, [dict(zip(data.header, cells)) for cells in kept])
    texts = [row for row in _read(folder / "sst2-test.csv")] + _read(folder / "sst2-train.csv")
    _write(folder / "predict.csv", texts[: 2 * rows])
    _write(folder / "few.csv", _read(folder / "sst2-train.csv")[:300])
    api.fit(
        str(folder / "few.csv"), model=MODEL, text="text", label="label", strategy="head-only", baselines=False, resamples=100,
        runs=str(folder / "predict-runs"),
    )  # fmt: skip


def _cell(cell: Any) -> str:
    """As it stands in a file: of an image that was found its path."""
    if isinstance(cell, dict) and "path" in cell:
        return str(cell["path"])
    return cell if isinstance(cell, str) else json.dumps(cell)


def _tokens(folder: Path, part: str, ready: Any, rows: list[dict[str, str]]) -> None:
    """Conversations as our side reads them, for the other side and for the score."""
    from tunesmith.models.source import processor

    examples = ready.task.encode([row | {"messages": json.loads(row["messages"])} for row in rows], processor(ready.source))
    plain = [{name: [int(i) for i in example[name]] for name in ("input_ids", "learn")} for example in examples]
    (folder / f"sgd-{part}.tokens.json").write_text(json.dumps(plain))


def _spread(rows: list[Any], most: int | None) -> list[Any]:
    """At most so many rows, evenly from the whole."""
    if most is None or len(rows) <= most:
        return rows
    return [rows[i * len(rows) // most] for i in range(most)]


def _read(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def _write(path: Path, rows: list[Any], header: Sequence[str] = ("text", "label")) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def measure(folder: Path, cases: list[str], rows: int, seeds: Sequence[int]) -> None:
    """Interleaved: one measurement of every arm, then again. Each is a line of the log."""
    for seed in seeds:
        for case in cases:
            for arm in ARMS[case]:
                done = subprocess.run(
                    [sys.executable, str(HERE / "speed_arms.py"), str(folder), case, arm, str(seed)], capture_output=True, text=True
                )
                if done.returncode:
                    print(f"{case}, {arm} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
                    continue
                line = {"case": case, "arm": arm, "seed": seed, "asked_rows": rows, **_where()} | json.loads(done.stdout.splitlines()[-1])
                with open(LOG, "a") as file:
                    file.write(json.dumps(line) + "\n")
                print(f"{case:8} {arm:20} {line['whole_cpu']:7.1f} s, {line['train_cpu']:7.1f} s of it at work", flush=True)


def _where() -> dict[str, Any]:
    import importlib.metadata

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout.strip()
    names = ("torch", "transformers", "accelerate", "tokenizers", "numpy")
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "commit": commit, "versions": {n: importlib.metadata.version(n) for n in names}, "machine": name,
        "cores": len(os.sched_getaffinity(0)), "threads": int(os.environ.get("OMP_NUM_THREADS", 0)), "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


# -- the table --------------------------------------------------------------------------------------------------------


def of(found: list[dict[str, Any]], case: str, arm: str, figure: str) -> list[float]:
    """All measurements of a figure, in the order of their seeds."""
    return [m[figure] for m in found if m["case"] == case and m["arm"] == arm and figure in m]


def ratios(found: list[dict[str, Any]], case: str, arm: str, figure: str) -> list[float]:
    """The other arm's figure over ours, repeat by repeat."""
    return [theirs / mine for theirs, mine in zip(of(found, case, arm, figure), of(found, case, "tunesmith", figure))]


def table(found: list[dict[str, Any]]) -> str:
    """The committed table."""
    alone = [m for m in found if m["threads"] == 1]
    last = alone[-1]
    head = [
        "# Speed",
        "",
        f"Model {MODEL} (MiniLM-L6, 22.7 M weights), {last['threads']} thread, batch 32, the same rows, epochs and rate in "
        "both arms, arms interleaved, each in a process of its own. The `Trainer` computes in float32 as it comes; our arm in what its "
        "plan chose after trying the model on the machine (weights and optimiser in float32 always): "
        f"{_precisions(found)}. Made by `python benchmarks/speed.py`; every measurement is in "
        "`speed.jsonl`.",
        "",
        f"Machine: one core of {last['machine']}, shared with other work (load {min(m['load'] for m in alone):g} to "
        f"{max(m['load'] for m in alone):g}), so figures are **CPU seconds** and ratios of them, but where a line says otherwise. "
        + ", ".join(f"{name} {version}" for name, version in last["versions"].items())
        + f". Commits: {_commits(found)}.",
        "",
        "| case | rows | against | ours, s | theirs, s | times faster: median (least to most) | at least "
        "| peak memory, theirs over ours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines = [_line(found, *line) for line in LINES if of(found, line[0], line[1], line[2])]
    return "\n".join([*head, *lines, "", *_shares(found), "", *_scores(found), "", "Not measured:", ""]
                     + [f"- {words}." for words in _missing(found)]) + "\n"  # fmt: skip


def _precisions(found: list[dict[str, Any]]) -> str:
    said = [f"{case} {one}" for case, one in {m["case"]: m["precision"] for m in found if m.get("precision")}.items()]
    trained = {m["case"] for m in found if m["arm"] == "tunesmith" and not m["case"].startswith("predict")}
    silent = trained - {m["case"] for m in found if m.get("precision")}
    return ", ".join([*said, *([f"of {', '.join(sorted(silent))} {NO_PRECISION}"] if silent else [])])


def _commits(found: list[dict[str, Any]]) -> str:
    cases: dict[str, set[str]] = {}
    for m in found:
        cases.setdefault(m["commit"], set()).add(m["case"])
    return "; ".join(f"{commit} ({', '.join(sorted(names))})" for commit, names in cases.items())


def _missing(found: list[dict[str, Any]]) -> list[str]:
    said = [f"{line[3]}" + (f" (needs {NEEDS[line[0]]})" if line[0] in NEEDS else "") for line in LINES if not of(found, *line[:3])]
    return [*said, "anything on a GPU: none was at hand"]


def _line(found: list[dict[str, Any]], case: str, arm: str, figure: str, words: str, least: float | None) -> str:
    found_ratios = ratios(found, case, arm, figure)
    mine, theirs = (statistics.median(of(found, case, a, figure)) for a in ("tunesmith", arm))
    memory = statistics.median(ratios(found, case, arm, "peak_bytes"))
    middle = statistics.median(found_ratios)
    rows = int(of(found, case, "tunesmith", "rows")[0])
    small = rows < WHOLE and not case.startswith("predict")
    verdict = "of the whole set" if small else "reached" if least and middle >= least else "NOT REACHED"
    goal = "" if least is None else f"{least:g} ({verdict})"
    spread = f"**{middle:.2f}** ({min(found_ratios):.2f} to {max(found_ratios):.2f}, {len(found_ratios)} repeats)"
    return f"| {words} | {rows:,} | {arm} | {mine:.1f} | {theirs:.1f} | {spread} | {goal} | {memory:.2f} |"


def _shares(found: list[dict[str, Any]]) -> list[str]:
    shares = [m["useful_flops"] / m["matrix_flops"] for m in found if m["case"] == "full" and "useful_flops" in m]
    if not shares:
        return []
    rates = [m[k] / 1e9 for k in ("useful_flops", "matrix_flops") for m in found if m["case"] == "full" and k in m]
    useful, plain = rates[: len(shares)], rates[len(shares) :]
    return [
        f"Useful operations of full fine-tuning (6 for each weight outside the embeddings and token that is no padding): "
        f"{statistics.median(useful):.0f} GFLOP/s beside {statistics.median(plain):.0f} of a plain float32 product in the same process, "
        f"**{statistics.median(shares):.0%}** ({min(shares):.0%} to {max(shares):.0%}); the goal is 75 %."
    ]


def _scores(found: list[dict[str, Any]]) -> list[str]:
    said = "accuracy on the test rows; of lora nats for each token of replies, of which fewer are better"
    lines = [f"| case | arm | {said}; by seed (95 % interval of the first) |", "|---|---|---|"]
    for case, arm in sorted({(m["case"], m["arm"]) for m in found}):
        scores = of(found, case, arm, "score")
        if scores:
            values = ", ".join(f"{s['value']:.3f}" for s in scores)  # type: ignore[index]
            lines.append(f"| {case} | {arm} | {values} ({scores[0]['low']:.3f} to {scores[0]['high']:.3f}) |")  # type: ignore[index]
    return lines


def plot(found: list[dict[str, Any]]) -> str:
    """Bars of how many times faster, with the goal as a mark; logarithmic."""
    import math

    lines = [line for line in LINES if of(found, line[0], line[1], line[2])]
    place = lambda value: 380 + 110 * math.log2(max(value, 0.5))  # noqa: E731
    parts = [f'<line x1="{place(v):.0f}" x2="{place(v):.0f}" y1="24" y2="{30 + 30 * len(lines)}" stroke="#ddd"/>'
             f'<text x="{place(v):.0f}" y="16" text-anchor="middle" fill="#555">{v} x</text>' for v in (1, 2, 4, 8, 16, 32)]  # fmt: skip
    for i, (case, arm, figure, words, least) in enumerate(lines):
        y, values = 32 + 30 * i, ratios(found, case, arm, figure)
        middle = statistics.median(values)
        left, right = sorted((place(1), place(middle)))
        parts.append(f'<text x="370" y="{y + 14}" text-anchor="end" fill="#222">{words.replace("`", "")}</text>')
        parts.append(f'<rect x="{left:.0f}" y="{y}" width="{right - left:.0f}" height="20" fill="#4a7ab5"/>')
        parts.append(f'<line x1="{place(min(values)):.0f}" x2="{place(max(values)):.0f}" y1="{y + 10}" y2="{y + 10}" stroke="#222"/>')
        parts.append(f'<text x="{right + 8:.0f}" y="{y + 14}" fill="#222">{middle:.1f}</text>')
        if least:
            x = f"{place(least):.0f}"
            parts.append(f'<line x1="{x}" x2="{x}" y1="{y - 3}" y2="{y + 23}" stroke="#c0392b" stroke-width="3"/>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="{60 + 30 * len(lines)}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n'
        f'<text x="380" y="{52 + 30 * len(lines)}" fill="#555">times faster, CPU seconds or as said; red: the goal</text>\n</svg>\n'
    )


if __name__ == "__main__":
    main()
