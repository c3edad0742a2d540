"""YAML as people write settings in it: nothing but plain values, nothing deep, nothing said twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from .errors import SpecError, shorten

MAX_SPEC_BYTES = 1_000_000
MAX_ALIASES = 100
MAX_DEPTH = 50
"""Levels of lists and mappings in a spec; PyYAML's time grows with the square of the depth."""


def parse_value(text: str, place: str = "a value") -> Any:
    """A value typed on the command line, as YAML would read it (`1e-4`, `true`, `[a, b]`, `auto`). Raises SpecError."""
    return _plain_yaml(text, place)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, read safely: no tags that make objects, bounded size and aliases."""
    if path.stat().st_size > MAX_SPEC_BYTES:
        raise SpecError(
            str(path),
            expected=f"at most {MAX_SPEC_BYTES:,} bytes",
            got=f"{path.stat().st_size:,}",
            fix="is this a spec?",
            code="spec-too-large",
        )
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad_yaml(str(path), str(error)) from None
    values = _plain_yaml(text, str(path))
    if not isinstance(values, dict):
        raise SpecError(
            str(path),
            expected="keys with values",
            got=type(values).__name__,
            fix="see docs/reference.md",
            code="bad-yaml",
        )
    return values


def _plain_yaml(text: str, place: str) -> Any:
    """What YAML says, once it is sure that it is neither deep nor a bomb of aliases. Raises SpecError."""
    aliases = depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            aliases += isinstance(event, yaml.AliasEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if aliases > MAX_ALIASES or depth > MAX_DEPTH:
                break
        else:
            return yaml.load(text, Loader=_Loader)
    except _Twice as twice:
        raise SpecError(
            f"{place}, line {twice.line}", expected="each key once", got=f"{twice.key!r} again (first in line {twice.first})",
            fix="leave one of them out, or write what is under both under one", code="duplicate-key",
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _bad_yaml(place, str(error)) from None
    if aliases > MAX_ALIASES:
        raise SpecError(
            place,
            expected=f"at most {MAX_ALIASES} aliases",
            got="more",
            fix="write the values out",
            code="yaml-aliases",
        )
    raise _bad_yaml(place, f"more than {MAX_DEPTH} levels of lists and keys")


def _bad_yaml(place: str, got: str) -> SpecError:
    return SpecError(
        place, expected="plain YAML", got=shorten(" ".join(got.split()), 200), fix="mend the file", code="bad-yaml"
    )


class _Twice(Exception):
    """A key that one mapping says in two lines, of which PyYAML would take the last."""

    def __init__(self, key: str, first: int, line: int) -> None:
        super().__init__(key)
        self.key, self.first, self.line = key, first, line


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses keys said twice, and also reads `2e-5` as a number, as people write it (YAML 1.1 wants `2.0e-5`)."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """The mapping as it is written, before any `<<` brings keys of another."""
        node = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            said, line = (key.tag, str(key.value)), key.start_mark.line + 1
            if said in seen:
                raise _Twice(said[1], seen[said], line)
            seen[said] = line
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
