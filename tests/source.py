"""The package's source as syntax trees, for the tests about the source itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tunesmith"


@dataclass(frozen=True)
class Module:
    """One file of the package. `room` is its place in docs/design.md: `errors`, or `data/` for all of a folder."""

    path: Path
    tree: ast.Module

    @property
    def name(self) -> str:
        return ".".join(("tunesmith", *self.path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")

    @property
    def room(self) -> str:
        return room(self.name)

    def where(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def room(module: str) -> str:
    """`tunesmith.data.read` -> `data/`, `tunesmith.errors` -> `errors`."""
    first = module.split(".")[1] if "." in module else "__init__"
    return f"{first}/" if (PACKAGE / first).is_dir() else first


@cache
def modules() -> tuple[Module, ...]:
    """Every Python file of the package."""
    return tuple(Module(p, ast.parse(p.read_text("utf-8"))) for p in sorted(PACKAGE.rglob("*.py")))


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that run: blocks for type checkers are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from running(node)


def imports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """(node, dotted name) of everything a module imports when it runs, relative names resolved."""
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in running(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node, f"{base}.{alias.name}") for alias in node.names)
