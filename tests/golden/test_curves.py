"""Loss curves of small runs, kept in a file: a change that moves them is seen, and has to be meant.

To write them anew after a change that is meant: `TUNESMITH_GOLDEN=write pytest tests/golden`. Tolerance: other processors sum in
another order.
"""

import json
import os
from pathlib import Path

import pytest

from tests.runs import make_ready
from tunesmith.training.events import Evaluated, Step
from tunesmith.training.loop import train
from tunesmith.training.state import State

FILE = Path(__file__).with_name("curves.json")
STRATEGIES = ["full", "probe-then-tune", "lora", "last-k"]


def curve(folder, model, strategy):
    """Losses of all steps, and the headline of every validation."""
    ready = make_ready(folder, model, strategy=strategy)
    events = list(train(State.start(ready), folder / "c"))
    losses = [round(e.loss, 5) for e in events if isinstance(e, Step)]
    return {"loss": losses, "macro_f1": [round(e.scores["macro_f1"], 4) for e in events if isinstance(e, Evaluated)]}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_curve_is_the_kept_one(tmp_path, tiny_bert, strategy):
    found = curve(tmp_path, tiny_bert, strategy)
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("TUNESMITH_GOLDEN") == "write":
        FILE.write_text(json.dumps(kept | {strategy: found}, indent=1) + "\n")
        return
    assert found["loss"] == pytest.approx(kept[strategy]["loss"], abs=2e-3)
    assert len(found["macro_f1"]) == len(kept[strategy]["macro_f1"])
