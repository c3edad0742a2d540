"""The fresh process of the reload gate: `python -m tunesmith.gate RUN < rows.json` prints the raw outputs of these rows as JSON."""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Load the run's model as any user would, answer the rows on standard input."""
    from .data.arrays import as_json
    from .predictor import Predictor

    predictor = Predictor.load(sys.argv[1])
    outputs = predictor.outputs(predictor.table(json.load(sys.stdin)))
    print(json.dumps({name: as_json(value) for name, value in outputs.items()}))


if __name__ == "__main__":
    main()
