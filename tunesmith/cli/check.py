"""Look for mistakes in the data: empty cells, label twins, duplicates, leaks, likely wrong labels, each with row numbers.

Exit code 3 where there are errors that would stop a run.

Example: tunesmith check reviews.csv --label stars
"""

from __future__ import annotations

from typing import Any

from ._flags import Json, takes_spec


@takes_spec
def command(spec: Any, *, json: Json = False) -> int:
    """Check."""
    from .. import api
    from ._findings import as_values, has_errors, show_data, show_marked
    from ._show import print_json
    from .fit import _with_data

    ready = api.check(_with_data(spec))
    findings = ready.data.findings
    if json:
        marked = [{"text": text, "learned": learned} for text, learned in ready.marked]
        print_json({"findings": as_values(findings), "ledger": ready.data.ledger.as_json()} | ({"marked": marked} if marked else {}))
    else:
        show_data(findings, ready.data.ledger)
        show_marked(ready.marked)
    return 3 if has_errors(findings) else 0
