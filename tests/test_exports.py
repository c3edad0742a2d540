"""The public names: what `__all__` says, what type checkers see, and what is there are the same."""

from __future__ import annotations

import ast
import types

import pytest

import tunesmith
from tests.source import PACKAGE, modules


def test_all_is_sorted_and_is_the_namespace() -> None:
    assert list(tunesmith.__all__) == sorted(tunesmith.__all__)
    assert dir(tunesmith) == list(tunesmith.__all__)
    assert set(tunesmith._HOMES) == set(tunesmith.__all__)


def test_type_checkers_see_the_same_names_from_the_same_homes() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    seen = {a.asname: n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level for a in n.names}
    assert seen == tunesmith._HOMES


@pytest.mark.parametrize("name", tunesmith.__all__)
def test_each_name_is_a_thing_and_not_a_module_of_that_name(name: str) -> None:
    import importlib

    for module in modules():
        if module.name == f"tunesmith.{name}":
            importlib.import_module(module.name)
    value = getattr(tunesmith, name)
    assert callable(value) and not isinstance(value, types.ModuleType)
    assert value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = tunesmith.nothing_like_this
