"""What is imported when: asserted by module, not by clock."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

from tests.source import ROOT, modules

HEAVY = {
    "torch", "transformers", "peft", "accelerate", "sklearn", "scipy", "numpy", "pandas", "polars", "pyarrow", "pydantic",
    "yaml", "jinja2", "typer", "rich", "click",
}  # fmt: skip
OF_TYPER = {"typer", "rich", "click", "pydantic"}
"""The parser and what it imports itself."""
OPTIONAL = {"pandas", "polars", "openpyxl"}


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh process holds after running `code`."""
    script = f"{code}\nimport sys, json\nprint()\nprint(json.dumps(sorted({{n.split('.')[0] for n in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_tunesmith_is_light() -> None:
    assert loaded_after("import tunesmith") & HEAVY == set()


def test_help_is_light() -> None:
    assert loaded_after("from tunesmith.cli import main; main(['--help'])") & HEAVY == set()


@pytest.mark.parametrize("command", ["fit", "predict", "plan", "runs"])
def test_the_help_of_a_command_needs_no_numbers_and_no_spec(command: str) -> None:
    code = f"from tunesmith.cli import main; assert main([{command!r}, '--help']) == 0"
    assert loaded_after(code) & (HEAVY - OF_TYPER) == set()


def test_lists_of_tasks_and_strategies_import_none_of_them() -> None:
    code = "from tunesmith.cli import main; main(['tasks']); main(['strategies'])"
    assert loaded_after(code) & (HEAVY - OF_TYPER) == set()


def test_floors_0_and_1_import_no_torch() -> None:
    names = [m.name for m in modules() if m.room in ("errors", "spec", "registry", "data/")]
    code = "import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in names)
    assert loaded_after(code) & ({"torch", "transformers", "peft", "accelerate"} | OPTIONAL) == set()


@pytest.mark.parametrize("name", [m.name for m in modules() if m.name != "tunesmith.__main__"])
def test_every_module_can_be_imported(name: str) -> None:
    importlib.import_module(name)
