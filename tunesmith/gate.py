"""The fresh process of the reload gate: `python -m tunesmith.gate RUN < rows.json` prints the raw outputs of these rows as JSON."""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Load the run's model as any user would, answer the rows on standard input."""
    from .data.arrays import as_json
    from .data.table import Table
    from .models.light import answer_only
    from .predictor import Predictor

    answer_only(sys.argv[1])
    predictor = Predictor.load(sys.argv[1])
    rows = json.load(sys.stdin)
    # A language model says how likely the rows' own texts are: those are not questions, and are handed over as they stand.
    given = predictor.task.language or predictor.task.models  # a model of pictures is shown them, too, and says how likely they are
    table = Table.of(rows, name="the gate") if given else predictor.table(rows)
    outputs = predictor.outputs(table, "training")
    print(json.dumps({name: as_json(value) for name, value in outputs.items()}))


if __name__ == "__main__":
    main()
