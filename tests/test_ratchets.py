"""Budgets that only tighten: lengths of files and functions, kinds of classes, words about every public thing."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.source import Module, modules

FILE_LINES, MEDIAN_LINES, LONG_LINES = 400, 10, 50
ABSTRACT = {"ABC", "Protocol", "TypedDict", "NamedTuple", "Exception", "RuntimeError"}


def classes() -> list[tuple[Module, ast.ClassDef]]:
    return [(m, n) for m in modules() for n in ast.walk(m.tree) if isinstance(n, ast.ClassDef)]


def functions() -> Iterator[tuple[Module, ast.FunctionDef]]:
    for module in modules():
        yield from (
            (module, n) for n in ast.walk(module.tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
        )


def bases(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(b).split("[")[0].rsplit(".", 1)[-1] for b in node.bases]


def is_final(node: ast.ClassDef) -> bool:
    return any(ast.unparse(d) in ("final", "typing.final") for d in node.decorator_list)


def length(node: ast.FunctionDef) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


@pytest.mark.parametrize("module", modules(), ids=lambda m: m.name)
def test_a_file_is_short_enough_to_read(module: Module) -> None:
    assert len(module.path.read_text("utf-8").splitlines()) < FILE_LINES


def test_functions_are_short() -> None:
    lengths = sorted(length(node) for _, node in functions())
    assert lengths[len(lengths) // 2] <= MEDIAN_LINES
    assert lengths[int(len(lengths) * 0.95)] < LONG_LINES


def test_no_function_is_very_long() -> None:
    assert [f"{m.where(n)} {n.name}: {length(n)} lines" for m, n in functions() if length(n) > 2 * LONG_LINES] == []


def test_every_class_is_abstract_or_final() -> None:
    """Abstract: others inherit from it, or it is an ABC, a protocol or a typed dictionary. Final: nobody does, and it may say so."""
    parents = Counter(b for _, node in classes() for b in bases(node))
    both = [m.where(n) for m, n in classes() if is_final(n) and parents[n.name]]
    assert both == []


def test_inheritance_is_not_deeper_than_one() -> None:
    ours = {node.name: node for _, node in classes()}
    deep = [
        f"{m.where(n)}: {n.name} < {b} < {top}"
        for m, n in classes()
        for b in bases(n)
        if b in ours
        for top in bases(ours[b])
        if top in ours and not set(bases(ours[top])) & ABSTRACT and top != b
    ]
    assert deep == []


def test_public_things_have_docstrings() -> None:
    mute = [m.where(m.tree) for m in modules() if not ast.get_docstring(m.tree) and m.path.name != "__init__.py"]
    mute += [f"{m.where(n)} {n.name}" for m, n in classes() if not n.name.startswith("_") and not ast.get_docstring(n)]
    public = [(m, n) for m, n in functions() if not n.name.startswith("_") and n in m.tree.body]
    mute += [f"{m.where(n)} {n.name}" for m, n in public if not ast.get_docstring(n)]
    assert mute == []


def test_public_functions_are_typed() -> None:
    bare = [
        f"{m.where(n)} {n.name}"
        for m, n in functions()
        if n in m.tree.body and not n.name.startswith("_")
        if n.returns is None or any(a.annotation is None for a in [*n.args.args, *n.args.kwonlyargs])
    ]
    assert bare == []
