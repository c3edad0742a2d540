"""Say what `fit` would do and why, with time and memory; nothing is run.

Exit code 3 where the data has errors that would stop the run.

Example: tunesmith plan reviews.csv --strategy lora
"""

from __future__ import annotations

from typing import Any

from ._flags import Json, takes_spec


@takes_spec
def command(spec: Any, *, json: Json = False) -> int:
    """Plan."""
    from .. import api
    from ._findings import as_values, has_errors, show_data
    from ._show import print_json
    from .fit import _with_data

    ready = api.plan(_with_data(spec))
    findings = ready.data.findings
    if json:
        print_json(
            {
                "spec": ready.plan.spec.model_dump(mode="json"),
                "why": ready.plan.why,
                "forecast": ready.plan.forecast,
                "findings": as_values(findings),
                "ledger": ready.data.ledger.as_json(),
            }
        )
    else:
        show_plan(ready.plan)
        show_data(findings, ready.data.ledger)
    return 3 if has_errors(findings) else 0


def show_plan(plan: Any) -> None:
    """Each choice with its reason, then the forecast."""
    from ._show import console, duration, rows_into, size, table

    values = flat(plan.spec.model_dump(mode="json"))
    out = console()
    rows = ((path, values.get(path, ""), reason) for path, reason in plan.why.items())
    out.print(rows_into(table("setting", "chosen", "why"), rows))
    out.print(
        f"forecast: {duration(plan.forecast.seconds)}, {size(plan.forecast.memory_bytes)} of memory; on {plan.forecast.assumes}",
        soft_wrap=True,
    )


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings to dotted paths; the inner dictionaries stay reachable under their own path too."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found[prefix + key] = value
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
    return found
