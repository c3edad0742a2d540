"""What an assistant may call: descriptions of functions, and calls of them in messages, in the forms about, as chat templates take them.

A tool is `{"type": "function", "function": {"name", "description", "parameters"}}`, a call `{"type": "function", "function": {"name",
"arguments"}}` with the arguments as an object (OpenAI writes them as JSON text).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import shorten

Found = tuple[list[dict[str, Any]], str]
"""What was read, and what is wrong with it; one of the two is empty."""


def read(cell: Any) -> Found:
    """Tools of a cell: a list of descriptions, JSON of one, or nothing."""
    if isinstance(cell, str) and cell.strip():
        cell = _parsed(cell) or shorten(cell)
    if cell in (None, "", [], ()):
        return [], ""
    if not isinstance(cell, list | tuple):
        return [], shorten(repr(cell))
    made = [_tool(one) for one in cell]
    bad = next((one for one, tool in zip(cell, made) if tool is None), None)
    return ([], shorten(repr(bad))) if bad is not None else ([tool for tool in made if tool], "")


def _tool(one: Any) -> dict[str, Any] | None:
    one = _parsed(one) if isinstance(one, str) else one
    inner = one.get("function", one) if isinstance(one, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str) or not inner["name"]:
        return None
    return {"type": "function", "function": _bare(inner)}


def calls(message: Mapping[str, Any]) -> Found:
    """Calls of a message: `tool_calls`, or the older `function_call`."""
    asked = message.get("tool_calls") or ([message["function_call"]] if message.get("function_call") else [])
    asked = _parsed(asked) if isinstance(asked, str) else asked
    if not isinstance(asked, list | tuple):
        return [], shorten(repr(asked))
    found = []
    for one in asked:
        made = call(one)
        if made is None:
            return [], f"the call {shorten(repr(one))}"
        found.append(made)
    return found, ""


def call(one: Any) -> dict[str, Any] | None:
    """One call, its arguments as an object; None where it is none. JSON of a call counts as one."""
    one = _parsed(one) if isinstance(one, str) else one
    inner = one.get("function", one) if isinstance(one, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str) or not inner["name"]:
        return None
    given = inner.get("arguments", inner.get("parameters"))
    given = _parsed(given) if isinstance(given, str) else {} if given is None else given
    if not isinstance(given, Mapping):
        return None
    named = {"id": one["id"]} if isinstance(one.get("id"), str) else {}
    return {"type": "function", **named, "function": {"name": inner["name"], "arguments": _bare(given)}}


def said(made: Sequence[Mapping[str, Any]]) -> str:
    """Calls as text, a line of JSON each: how a reply that calls is compared and shown."""
    return "\n".join(json.dumps(one["function"], ensure_ascii=False) for one in made)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _bare(value: Any) -> Any:
    """Without entries that say nothing: a table's rows all have the entries that any of them has."""
    if isinstance(value, Mapping):
        return {str(key): _bare(part) for key, part in value.items() if part is not None}
    return [_bare(part) for part in value] if isinstance(value, list | tuple) else value
