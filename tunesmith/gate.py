"""The fresh process of the reload gate: `python -m tunesmith.gate RUN < rows.json` prints the raw outputs of these rows as JSON.

A second argument names a folder whose model answers in the place of the run's own.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Load the run's model as any user would, answer the rows on standard input."""
    from .data.arrays import as_json
    from .fresh import outputs
    from .models.light import answer_only
    from .predictor import Predictor

    run, *model = sys.argv[1:]
    if not model:
        answer_only(run)
    found = outputs(Predictor.load(run, *model), json.load(sys.stdin))
    print(json.dumps({name: as_json(value) for name, value in found.items()}))


if __name__ == "__main__":
    main()
