"""Lists of tasks and strategies, and the page of one, read from their files without importing them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ..errors import SpecError, nearest
from ..registry import Registry
from ._show import console, print_json, rows_into, table
from ._words import options, page


def show(registry: Registry, name: str | None, *, as_json: bool) -> int:
    """All entries, or one. Raises SpecError for a name that is not there."""
    if name is None:
        return _list(registry, as_json)
    if name not in registry.names() and not Path(name).is_file():
        raise SpecError(
            registry.kind,
            expected=f"the name of a {registry.kind}",
            got=repr(name),
            fix=nearest(name, registry.names()),
            code=f"unknown-{registry.kind}",
        )
    found = options(registry, name).values()
    if as_json:
        print_json({"name": name, "help": page(registry, name), "options": [asdict(o) for o in found]})
        return 0
    out = console()
    out.print(page(registry, name), soft_wrap=True)
    if found:
        out.print(
            rows_into(
                table("option", "type", "default", "what it does"), ((o.path, o.type, o.default, o.help) for o in found)
            )
        )
    return 0


def _list(registry: Registry, as_json: bool) -> int:
    entries = [(name, registry.help(name)) for name in registry.names()]
    if as_json:
        for name, text in entries:
            print_json({"name": name, "help": text})
    else:
        console().print(rows_into(table(registry.kind, "what it does"), entries))
    return 0
