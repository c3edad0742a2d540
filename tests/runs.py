"""Small runs for tests: rows, specs, and a fingerprint of everything that a run leaves."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np

from tunesmith import api
from tunesmith.training import checkpoint, optim
from tunesmith.training.state import State

GOOD, BAD = "good fine great nice warm loved liked".split(), "bad awful poor dull cold hated".split()
FILL = "the film was so very and it book meal room service plot we saw read again one two three red blue".split()
SETTINGS = {"strategy": "probe-then-tune", "epochs": 2, "batch": 8, "lr": 1e-3, "threads": 1, "evaluations": 2}


def write_rows(path: Path, n: int = 96, seed: int = 0, noise: float = 0.1) -> Path:
    """Rows of two classes told apart by one word, of unlike length, a tenth of them mislabelled."""
    rng = np.random.default_rng(seed)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for index in range(n):
            good = index % 2 == 0
            words = [
                *rng.choice(FILL, rng.integers(2, 14)),
                rng.choice(GOOD if good else BAD),
                f"{chr(97 + index % 26)}",
            ]
            writer.writerow([" ".join(rng.permutation(words)), "yes" if good != (rng.random() < noise) else "no"])
    return path


def write_lines(path: Path, rows: list[dict]) -> Path:
    """The rows as JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def refers_to_the_untouched(run, question: str) -> bool:
    """Whether what a tuned run says of the model before is what that one says, and its answers to a question need none of it."""
    found = run.predictor
    rows = found.read(run.path.parents[1] / "rows.jsonl").take(range(5))
    outputs = found.outputs(rows, "judging")
    with found.model.backbone.disable_adapter():
        before = found.outputs(rows, "judging")
    apart = np.allclose(outputs["reference"], before["logp"], atol=1e-4) and not np.allclose(outputs["logp"], before["logp"], atol=1e-2)
    answer = run.predict(question)[0]
    return apart and set(answer) == {"text", "stopped"} and "".join(run.stream(question)) == answer["text"]


def make_ready(folder: Path, model: Path, *, train: dict | None = None, **settings):
    """A plan over `write_rows`, ready to train."""
    data = folder / "rows.csv"
    if not data.exists():
        write_rows(data)
    paths = {f"train.{name}": value for name, value in (train or {}).items()}
    values = SETTINGS | {"model": str(model), "runs": str(folder / "runs")} | settings
    return api.plan(api.make_spec(str(data), **values, **paths))


def events_until(events, kind, count: int = 1) -> str:
    """Follow events to the `count`th of this kind, then leave them; returns the run's path."""
    path = ""
    for event in events:
        path = getattr(event, "run", path)
        if isinstance(event, kind):
            count -= 1
        if not count:
            break
    events.close()
    return path


def assert_ends_alike(ready, folder: Path, steps: int) -> None:
    """A run that is stopped after so many steps and resumed ends in the same bits as one that is not."""
    from tunesmith.training.events import Step
    from tunesmith.training.loop import train

    whole = State.start(ready)
    list(train(whole, folder / "whole"))
    events_until(train(State.start(ready), folder / "cut"), Step, steps)
    again, _ = State.resume(ready, folder / "cut")
    assert 0 < again.total < steps
    list(train(again, folder / "cut"))
    assert fingerprint(again, folder / "cut") == fingerprint(whole, folder / "whole")


def fingerprint(state: State, folder: Path) -> str:
    """sha256 over the weights, the optimiser, the averages, the position and the best weights."""
    digest = hashlib.sha256()
    tensors = {**state.weights(), **state.ema, **(optim.state_tensors(state.optimizer) if state.optimizer else {})}
    best, _ = checkpoint.read(state.best_path(folder))
    for name, tensor in [*sorted(tensors.items()), *sorted(best["model"].items())]:
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(f"{state.stage} {state.step} {state.total} {state.best}".encode())
    return digest.hexdigest()
