"""Things that the source must not hold: every way to run code out of data, and paths of one machine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source import ROOT

FILES = [p for folder in ("tunesmith", "tools", "benchmarks") for p in sorted((ROOT / folder).rglob("*.py"))]
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "joblib",
    "cloudpickle",
    "shelve",
    "marshal",
    "torchvision",
    "timm",
    "telnetlib",
    "ftplib",
}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__", "breakpoint"}
FORBIDDEN_CALLS = {
    "torch.load", "torch.save", "os.system", "os.popen", "tempfile.mktemp", "yaml.unsafe_load", "yaml.full_load",
    "pandas.read_pickle", "pd.read_pickle",
}  # fmt: skip
FORBIDDEN_METHODS = {"extractall", "register_for_checkpointing"}
SAFE_LOADERS = {"_Loader", "yaml.SafeLoader", "SafeLoader", "yaml.CSafeLoader"}
PRINTERS = ("cli/", "gate.py")
"""Where `print` is a way to talk; elsewhere events and errors are."""


def _asks_for_grey(node: ast.Assign | ast.AnnAssign) -> bool:
    """Whether Pillow is told to fill what is missing of an image; forbidding it is welcome."""
    forbids = isinstance(node.value, ast.Constant) and node.value.value is False
    return "LOAD_TRUNCATED_IMAGES" in ast.unparse(node) and not forbids


def broken(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, rule) of everything forbidden in a tree."""
    yield from ((line, "load_state_dict(strict=False)") for line in partial_loads(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES)
        if (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and (node.module or "").split(".")[0] in FORBIDDEN_MODULES
        ):
            yield node.lineno, str(node.module)
        if isinstance(node, ast.Call):
            yield from ((node.lineno, rule) for rule in broken_call(node))
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node.lineno, "bare except"
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and _asks_for_grey(node):
            yield node.lineno, "LOAD_TRUNCATED_IMAGES"
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and "MAX_IMAGE_PIXELS = None" in ast.unparse(node):
            yield node.lineno, "MAX_IMAGE_PIXELS"


def partial_loads(tree: ast.AST) -> Iterator[int]:
    """Lines that load weights without strictness in a function that has not compared names and shapes (`_fits`) itself."""
    for function in (n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.Module))):
        calls = [n for n in walk_own(function) if isinstance(n, ast.Call)]
        if not any(ast.unparse(c.func) == "_fits" for c in calls):
            yield from (c.lineno for c in calls if ast.unparse(c.func).endswith("load_state_dict") and not is_strict(c))


def walk_own(function: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a function, those of functions inside it left out."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef):
            yield node
            yield from walk_own(node)


def is_strict(call: ast.Call) -> bool:
    """Whether a call of load_state_dict refuses missing and unexpected names."""
    asked = [ast.unparse(k.value) for k in call.keywords if k.arg == "strict"] + [
        ast.unparse(a) for a in call.args[1:2]
    ]
    return "False" not in asked


def broken_call(node: ast.Call) -> Iterator[str]:
    """The rules that one call breaks."""
    name = ast.unparse(node.func)
    named = {k.arg: ast.unparse(k.value) for k in node.keywords}
    if isinstance(node.func, ast.Name) and name in FORBIDDEN_NAMES:
        yield name
    if name in FORBIDDEN_CALLS:
        yield name
    if isinstance(node.func, ast.Attribute) and node.func.attr in FORBIDDEN_METHODS:
        yield node.func.attr
    if name == "yaml.load" and named.get("Loader") not in SAFE_LOADERS:
        yield "yaml.load without a safe loader"
    yield from (f"{key}=True" for key in ("shell", "trust_remote_code", "allow_pickle") if named.get(key) == "True")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_forbidden_construct(path: Path) -> None:
    assert list(broken(ast.parse(path.read_text("utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "eval('1')",
        "import torch\ntorch.load('x')",
        "import yaml\nyaml.load('x')",
        "subprocess.run('x', shell=True)",
        "zipfile.ZipFile('x').extractall()",
        "AutoModel.from_pretrained('x', trust_remote_code=True)",
        "model.load_state_dict(w, strict=False)",
        "model.load_state_dict(w, False)",
        "np.load('x', allow_pickle=True)",
        "try:\n  x\nexcept:\n  y",
    ],
)
def test_the_rules_bite(code: str) -> None:
    assert list(broken(ast.parse(code))) != []


def test_only_the_command_line_prints() -> None:
    package = ROOT / "tunesmith"
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in package.rglob("*.py")
        if not str(path.relative_to(package)).startswith(PRINTERS)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert found == []


def test_no_path_of_one_machine() -> None:
    texts = [
        *FILES,
        *sorted((ROOT / "docs").rglob("*.md")),
        *ROOT.glob("*.md"),
        ROOT / "Makefile",
        ROOT / "pyproject.toml",
    ]
    private = re.compile(r"(?<![\w.])/(work|home|root|Users)/\w")
    assert [str(p.relative_to(ROOT)) for p in texts if p.is_file() and private.search(p.read_text("utf-8"))] == []
