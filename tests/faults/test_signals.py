"""SIGTERM saves and stops with exit code 75; `resume` finishes; two processes do not write to one run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runs import write_rows

ROOT = Path(__file__).resolve().parents[2]
WORDS = [
    "--strategy",
    "full",
    "--batch",
    "4",
    "--lr",
    "1e-3",
    "--set",
    "train.threads=1",
    "--set",
    "evaluate.resamples=100",
]


def start(folder, *words):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TUNESMITH_CACHE": str(folder / "cache")}
    return subprocess.Popen(
        [sys.executable, "-m", "tunesmith", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ends_well(child):
    _, complaint = child.communicate(timeout=240)
    assert child.returncode == 0, complaint


def wait_for(path, condition, seconds=120):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for file in path.glob("*/events.jsonl"):
            if condition(file.read_text()):
                return file.parent
        time.sleep(0.05)
    raise AssertionError("training did not get there in time")


def children(process):
    """The processes that one has started."""
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.slow
def test_sigterm_saves_and_what_is_killed_takes_its_child_with_it(tmp_path, tiny_bert):
    rows = write_rows(tmp_path / "rows.csv", n=120)
    child = start(
        tmp_path, "fit", str(rows), "--model", str(tiny_bert), "--epochs", "200", "--set", "train.patience=null", *WORDS
    )
    run = wait_for(tmp_path / "runs", lambda text: text.count('"step", "step"') > 3)
    locked = start(tmp_path, "resume", str(run))
    _, complaint = locked.communicate(timeout=120)
    assert locked.returncode == 2 and "another process" in complaint, complaint
    (trains,) = children(child.pid)
    os.kill(trains, signal.SIGTERM)  # as a service manager or `timeout` does: one ask, told to both
    child.send_signal(signal.SIGTERM)
    started = time.monotonic()
    _, complaint = child.communicate(timeout=60)
    assert child.returncode == 75 and "tunesmith resume" in complaint, complaint
    assert time.monotonic() - started < 25
    last = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    steps = max(event["step"] for event in last if event["event"] == "step")
    assert any(event["event"] == "saved" and event["step"] == steps for event in last), "no step is lost"
    assert last[-1]["reason"] == "stopped" and not (run / "report.json").exists()
    again = start(tmp_path, "resume", str(run))
    until = time.monotonic() + 30
    while not children(again.pid) and time.monotonic() < until:
        time.sleep(0.05)
    (trains,) = children(again.pid)
    again.send_signal(signal.SIGKILL)  # wherever it is: nothing is torn
    again.communicate(timeout=60)
    while Path(f"/proc/{trains}/status").exists() and time.monotonic() < until:
        time.sleep(0.05)  # killed with the command that kept it
    assert not Path(f"/proc/{trains}/status").exists()
    spec = (run / "spec.yaml").read_text()
    assert "epochs: 200" in spec


@pytest.mark.slow
def test_a_stopped_short_run_ends_like_an_unbroken_one(tmp_path, tiny_bert):
    rows = write_rows(tmp_path / "rows.csv", n=120)
    words = ["fit", str(rows), "--model", str(tiny_bert), "--epochs", "3", *WORDS]
    child = start(tmp_path, *words)
    run = wait_for(tmp_path / "runs", lambda text: text.count('"step", "step"') > 3)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    if child.returncode == 75:
        ends_well(start(tmp_path, "resume", str(run)))
    ends_well(start(tmp_path, *words))
    finished = [path.parent for path in (tmp_path / "runs").glob("*/report.json")]
    assert len(finished) == 2
    weights = {(path / "model" / "model.safetensors").read_bytes() for path in finished}
    assert len(weights) == 1, "the same bits"
