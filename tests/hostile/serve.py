"""Every try of every artefact, each in a fork of this process: `python -m tests.hostile.serve FOLDER` prints a JSON line per try.

Everything is imported before the first fork, so that what a try imports or runs is what the artefact made it.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import torch

torch.set_num_threads(1)
sys.dont_write_bytecode = True

from tests.cases.conftest import as_csv, rows  # noqa: E402
from tests.hostile.artefacts import ADAPTED, ARTEFACTS, CHAT, FIT, PREDICT, RESUME, clean  # noqa: E402
from tests.hostile.watch import CANARY, Outcome, watched  # noqa: E402
from tests.tiny_models import bert, writer  # noqa: E402
from tunesmith import api, finish, gate, predictor  # noqa: E402, F401  what a try would import otherwise
from tunesmith.cli import fit as fit_command  # noqa: E402, F401
from tunesmith.cli import main as command_line  # noqa: E402
from tunesmith.run import Run  # noqa: E402
from tunesmith.training.events import Started, Step  # noqa: E402
from tunesmith.training.loop import train  # noqa: E402
from tunesmith.training.state import State  # noqa: E402

SETTINGS = {"epochs": 1, "batch": 16, "threads": 1, "model": "m", "save_every": 2, "near_duplicates": 0.0}
"""Small, and without what needs a second process."""


def honest(folder: Path) -> None:
    """Data, an encoder, a writer with its chat template, a finished run, one with an adapter, and a stopped one."""
    os.chdir(folder)
    Path("a.csv").write_text(as_csv(rows()))
    talk = [{"role": "user", "content": "say yes"}, {"role": "assistant", "content": "yes"}]
    lines = [json.dumps({"messages": [*talk, {"role": "user", "content": f"{i}"}, talk[1]]}) + "\n" for i in range(60)]
    Path("chat.jsonl").write_text("".join(lines))
    State.start(api.plan(api.make_spec("a.csv", strategy="full", runs="runs", **SETTINGS)))  # imports, without gradients
    in_a_fork(runs)


def runs() -> None:
    """The runs, each with what it needs and no more."""
    for name, strategy in (("run", "full"), ("lora", "lora"), ("stopped", "full")):
        ready = api.plan(api.make_spec("a.csv", strategy=strategy, runs="runs", **SETTINGS))
        run, state = Run.create(ready), State.start(ready)
        for event in train(state, run.checkpoints):
            if name == "stopped" and isinstance(event, Step) and event.step == 5:
                break
        if name != "stopped":
            state.load_best(run.checkpoints)
            finish.save(run, ready, ready.task, state)
            shutil.rmtree(run.checkpoints)
        run.path.rename(name)


def resumed(words: tuple[str, ...]) -> int:
    """What `resume` does up to where training goes on; there it is left."""
    from tunesmith.cli._guard import _end

    try:
        events = api.resume_events(words[1])
        for event in events:
            if isinstance(event, Started):
                break
        events.close()
    except Exception as error:
        return _end(error, "resume", True)
    return 0


def act(words: tuple[str, ...]) -> int:
    """What the user does."""
    if words[0] == "resume":
        return resumed(words)
    return command_line([*words, "--json"])


def told(folder: Path, before: str, outcome: Outcome) -> dict[str, object]:
    """The outcome, with what lies about that should not."""
    left = [str(path) for place in (folder, folder.parent, Path("/tmp")) for path in place.glob(f"{CANARY}*") if path.suffix != ".py"]
    return asdict(outcome) | {"left": left}


def warm(base: Path) -> None:
    """Do here once what the tries do, so that they find everything imported. No gradients: their threads would not survive a fork."""
    os.chdir(base)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for words in (PREDICT, ADAPTED, RESUME, ("plan", *FIT[1:]), ("plan", *CHAT[1:])):
            assert act(words) == 0, words
    gc.freeze()  # what is known by now is not gone through again in each fork, which would copy it
    gc.disable()


def in_a_fork(work: object) -> None:
    """Run something whose threads must not be met by later forks."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status == 0, status


def main() -> None:
    """Make the honest folder, then every try in a copy of its own."""
    root = Path(sys.argv[1]).resolve()
    only = sys.argv[2:]
    base, folder, cache = root / "honest", root / "inner" / "try", root / "cache"
    for path in (base, cache):
        path.mkdir(parents=True)
    os.environ["TUNESMITH_CACHE"] = str(cache)
    bert(base / "m")
    writer(base / "w")
    honest(base)
    warm(base)
    for name, tries in ARTEFACTS.items():
        for number, one in enumerate(tries):
            if only and name not in only:
                continue
            clean(folder, base, one)
            one.make(folder)
            outcome = watched(lambda one=one: act(one.words), folder, cache)
            print(json.dumps({"name": name, "try": number} | told(folder, "", outcome)), flush=True)


if __name__ == "__main__":
    main()
