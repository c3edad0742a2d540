"""What a message tells its reader to type can be typed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.source import Module, modules
from tunesmith.cli import COMMANDS
from tunesmith.cli._flags import parser
from tunesmith.cli._words import options, settings
from tunesmith.registry import STRATEGIES, TASKS

OF_OTHERS = {"--upgrade", "--force-reinstall", "--version"}
"""Flags of pip, and of `tunesmith` without a command."""


def texts(module: Module) -> Iterator[str]:
    """Strings of a module that are no docstrings; of an f-string its words, with braces where values stand."""
    docstrings = {id(n.value) for n in ast.walk(module.tree) if isinstance(n, ast.Expr)}
    inner = {id(part) for n in ast.walk(module.tree) if isinstance(n, ast.JoinedStr) for part in n.values}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docstrings | inner):
            yield node.value


def flags(command: str) -> set[str]:
    """The flags of a command."""
    return {word for p in parser(COMMANDS.load(command), command).params for word in (*p.opts, *p.secondary_opts)} | {"--help"}


TEXTS = [(m.name, text) for m in modules() for text in texts(m) if re.search(r"--[a-z]|\b(train|data|evaluate)\.\w", text)]


@pytest.fixture(scope="module")
def known() -> set[str]:
    return {flag for name in COMMANDS.names() for flag in flags(name)} | OF_OTHERS


def test_messages_with_flags_are_found() -> None:
    assert len(TEXTS) > 100 and any("--set train.balance=weights" in text for _, text in TEXTS)


def test_every_flag_that_is_named_is_one_of_a_command(known: set[str]) -> None:
    named = {(name, flag) for name, text in TEXTS for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text)}
    assert [one for one in sorted(named) if one[1] not in known] == []


def test_every_setting_that_is_named_is_there() -> None:
    found = {f"options.{option}" for task in TASKS.names() for option in options(TASKS, task)} | set(settings())
    found |= {f"strategy_options.{option}" for name in STRATEGIES.names() for option in options(STRATEGIES, name)}
    ways = (("--set", ""), ("--option", "options."), ("--strategy-option", "strategy_options."))
    named = {
        (name, prefix + key) for name, text in TEXTS for word, prefix in ways
        for key in re.findall(rf"{word} [\"']?([a-z][a-z_.]*)=", text)
    }  # fmt: skip
    assert len(named) > 15 and [one for one in sorted(named) if one[1] not in found] == []


@pytest.mark.parametrize(("command", "wanted"), [
    ("predict", {"--encoding", "--delimiter", "--bad-rows"}), ("evaluate", {"--encoding", "--delimiter", "--bad-rows", "--empty"}),
])  # fmt: skip
def test_commands_that_read_files_have_the_flags_that_reading_names(command: str, wanted: set[str]) -> None:
    assert wanted <= flags(command)
