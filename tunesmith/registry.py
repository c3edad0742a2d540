"""A folder as a registry: a file's name is the thing's name.

`tunesmith/tasks/text_classification.py` holds the task `text-classification`: the module's attribute named like the registry's
`kind` (`task = TextClassification`). Names and one-line helps are read from the source text, so that listing imports nothing.
A user's own file (`./my_task.py`) and installed entry points (group `tunesmith.tasks`) work the same way.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import zlib
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from .errors import SpecError, nearest

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Registry:
    """One folder of the package whose files are its entries. `kind` is the attribute each file must define."""

    folder: str
    kind: str

    def names(self) -> tuple[str, ...]:
        """All names, in the alphabet's order, without importing one."""
        return tuple(sorted([*self._files(), *self._entry_points()]))

    def own_names(self) -> tuple[str, ...]:
        """Names of the entries that come with the package."""
        return tuple(sorted(self._files()))

    def help(self, name: str) -> str:
        """The first line of the entry's docstring."""
        file = self._files().get(name)
        text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) if file else None
        return (text or "").split("\n", 1)[0]

    def load(self, name: str) -> Any:
        """The entry itself, by name, by path of a Python file, or by entry point.

        Raises SpecError where there is no such name, or where the file does not define what it should.
        """
        if name.endswith(".py"):
            return self._attribute(_import_file(Path(name), self.kind), name)
        if name in self._files():
            return self._attribute(importlib.import_module(f"tunesmith.{self.folder}.{name.replace('-', '_')}"), name)
        if name in self._entry_points():
            return self._entry_points()[name].load()
        raise SpecError(
            self.kind,
            expected=f"the name of a {self.kind}",
            got=repr(name),
            fix=nearest(name, self.names()),
            code=f"unknown-{self.kind}",
        )

    def _files(self) -> dict[str, Path]:
        folder = HERE / self.folder
        return {p.stem.replace("_", "-"): p for p in folder.glob("*.py") if not p.stem.startswith("_")}

    def _entry_points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=f"tunesmith.{self.folder}")}

    def _attribute(self, module: Any, name: str) -> Any:
        if not hasattr(module, self.kind):
            raise SpecError(
                name,
                expected=f"a module-level name `{self.kind}`",
                got="none",
                code=f"no-{self.kind}-in-file",
                fix=f"end the file with `{self.kind} = YourClass`",
            )
        return getattr(module, self.kind)


def _import_file(path: Path, kind: str) -> Any:
    if not path.is_file():
        raise SpecError(
            str(path),
            expected=f"a Python file that defines `{kind}`",
            got="no such file",
            fix="check the path",
            code="no-such-file",
        )
    name = f"tunesmith_user_{path.stem}_{zlib.crc32(str(path.resolve()).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise SpecError(
            str(path),
            expected=f"a Python file that defines `{kind}`",
            got=f"{type(error).__name__}: {error}",
            fix="mend the file",
            code="bad-plugin",
        ) from error
    return module


TASKS = Registry("tasks", "task")
STRATEGIES = Registry("strategies", "strategy")
EXPORTERS = Registry("export", "exporter")
