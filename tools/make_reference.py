"""Makes `docs/reference.md` from the text of the settings, tasks, strategies and commands; nothing in it is written twice.

python tools/make_reference.py            writes the page
python tools/make_reference.py --check    exit code 1 where the page is not what this script makes
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from itertools import groupby

from tunesmith.cli import COMMANDS, EXIT_CODES, overview_order
from tunesmith.cli._words import PACKAGE, Setting, options, page, settings
from tunesmith.registry import STRATEGIES, TASKS, Registry

TARGET = PACKAGE.parent / "docs" / "reference.md"
HEAD = """\
# Reference

Made by `tools/make_reference.py` from the source (`make docs`): change a docstring there, not this page.

Every setting can be written in a YAML spec (`tunesmith fit --spec reviews.yaml`), set on the command line
(`--set train.warmup=0.06`; the common ones have flags of their own, see `tunesmith fit --help`), or passed in Python
(`tunesmith.fit("reviews.csv", warmup=0.06)`). `auto` means: the plan decides and says why.

Types: `Auto` is the word `auto`; `Count` a whole number from 1, `Whole` one from 0; `Positive` a number above 0, `NotNegative` one
from 0; `Share` a number from 0 to below 1; `Literal[...]` one of the words listed.
"""


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    text = reference()
    if "--check" in arguments:
        return int(not TARGET.is_file() or TARGET.read_text("utf-8") != text)
    TARGET.write_text(text, "utf-8")
    return 0


def reference() -> str:
    """The whole page."""
    parts = [
        HEAD,
        spec_part(),
        entries_part("Tasks", TASKS),
        entries_part("Strategies", STRATEGIES),
        commands_part(),
        errors_part(),
    ]
    return "\n".join(parts)


def spec_part() -> str:
    """A table per section of the spec."""
    lines = ["## Settings", ""]
    for section, found in groupby(settings().values(), key=lambda s: s.path.rpartition(".")[0]):
        lines += [f"### {section or 'top level'}", "", *table(found), ""]
    return "\n".join(lines)


def entries_part(title: str, registry: Registry) -> str:
    """Each task or strategy with its docstring and its options."""
    lines = [f"## {title}", ""]
    for name in registry.names():
        lines += [f"### {name}", "", page(registry, name), ""]
        found = options(registry, name)
        lines += [*table(found.values()), ""] if found else ["No options.", ""]
    return "\n".join(lines)


def commands_part() -> str:
    """Each command with its docstring."""
    lines = ["## Commands", "", "`tunesmith COMMAND --help` lists a command's flags.", ""]
    for name in overview_order():
        lines += [f"### tunesmith {name}", "", page(COMMANDS, name), ""]
    return "\n".join([*lines, "## Exit codes", "", EXIT_CODES, ""])


def errors_part() -> str:
    """The tree of errors, as `errors.py` draws it."""
    text = ast.get_docstring(ast.parse((PACKAGE / "errors.py").read_text("utf-8"))) or ""
    tree = [line for line in text.splitlines() if line.startswith("    ")]
    return "\n".join(
        ["## Errors", "", "What can be mended is raised as one of these, before the first step:", "", *tree, ""]
    )


def table(found: Iterable[Setting]) -> list[str]:
    """Rows of a Markdown table."""
    head = ["| setting | type | default | what it does |", "|---|---|---|---|"]
    return head + [f"| `{s.path}` | {code(s.type)} | {code(s.default)} | {cell(s.help)} |" for s in found]


def code(text: str) -> str:
    """Source text as a table cell."""
    return f"`{cell(text)}`" if text else ""


def cell(text: str) -> str:
    """Text that does not break out of its cell."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
