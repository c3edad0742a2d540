"""The settings' names, types, defaults and docstrings, read from the text of `spec.py` and of the entries of a registry.

Reading the text instead of importing it keeps `--help` and the reference page free of heavy imports.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import final

from ..registry import Registry

PACKAGE = Path(__file__).parent.parent
SPEC = PACKAGE / "spec.py"


@final
@dataclass(frozen=True)
class Setting:
    """One knob as it is written in the source: everything is text."""

    path: str
    type: str
    default: str
    help: str

    @property
    def is_text(self) -> bool:
        """Whether a value typed by the user is to be taken as it stands (a column called `2024` stays text)."""
        return self.type.startswith(("str", "Literal", "Column"))

    @property
    def holds_list(self) -> bool:
        """Whether its value may be a list."""
        return bool(re.search(r"\b(list|tuple|Columns)\b", self.type))


@cache
def settings() -> dict[str, Setting]:
    """Dotted path -> every leaf setting of the spec, in the order of the source."""
    classes = {node.name: node for node in ast.parse(SPEC.read_text("utf-8")).body if isinstance(node, ast.ClassDef)}
    return {found.path: found for found in _leaves(classes, "Spec", "")}


def options(registry: Registry, name: str) -> dict[str, Setting]:
    """Option name -> the options of a task or a strategy, fitted fields left out."""
    tree = _tree(registry, name)
    entry = next((n.value.id for n in tree.body if _assigns(n, registry.kind) and isinstance(n.value, ast.Name)), "")
    node = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == entry), None)
    return {s.path: s for s in _fields(node) if not s.default.startswith("fitted(")} if node else {}


def page(registry: Registry, name: str) -> str:
    """The whole docstring of an entry's file."""
    return ast.get_docstring(_tree(registry, name)) or ""


def _tree(registry: Registry, name: str) -> ast.Module:
    """The syntax tree of an entry's file; empty for an entry that another package brings."""
    file = Path(name) if name.endswith(".py") else PACKAGE / registry.folder / f"{name.replace('-', '_')}.py"
    return ast.parse(file.read_text("utf-8")) if file.is_file() else ast.Module([], [])


def _leaves(classes: dict[str, ast.ClassDef], name: str, prefix: str) -> list[Setting]:
    found: list[Setting] = []
    for field in _fields(classes[name]):
        if field.type in classes:
            found += _leaves(classes, field.type, f"{prefix}{field.path}.")
        else:
            found.append(Setting(prefix + field.path, field.type, field.default, field.help))
    return found


def _fields(node: ast.ClassDef) -> list[Setting]:
    found = []
    for here, following in zip(node.body, [*node.body[1:], None]):
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name) and _is_field(here):
            default = _default(here.value)
            found.append(Setting(here.target.id, ast.unparse(here.annotation), default, _docstring(following)))
    return found


def _is_field(node: ast.AnnAssign) -> bool:
    return not ast.unparse(node.annotation).startswith("ClassVar")


def _default(value: ast.expr | None) -> str:
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "Field":
        named = {k.arg: ast.unparse(k.value) for k in value.keywords}
        return named.get("default", {"dict": "{}"}.get(named.get("default_factory", ""), ""))
    return ast.unparse(value) if value else ""


def _docstring(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def _assigns(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
