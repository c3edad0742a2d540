"""A quick start for a process that only answers: transformers without what training, compiling and many machines need.

Loading one small encoder the usual way imports PyTorch's compiler, sharded tensors, SciPy and Accelerate, and reads the source of
every model file that transformers has: more than half of a cold start. None of it runs when rows are answered on one machine.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, final

from ..data import caches
from ..disk import write_json
from ..errors import ResourceError
from ..registry import TASKS

Names = dict[frozenset[str], dict[str, set[str]]]
"""What a name needs to be imported -> module -> names in it, as transformers lists them."""

ABSENT = ("scipy", "accelerate")
"""What transformers imports where it finds it: losses and placement, neither of which answers a row."""
COMPILER = "torch._dynamo"
MASKS = f"{COMPILER}._trace_wrapped_higher_order_op"
MARKS = ("assume_constant_result", "allow_in_graph", "forbid_in_graph", "disable")
"""Decorators that tell the compiler how to treat a function: without a compiler they change nothing."""


def answer_only(run: str | Path) -> bool:
    """Import what the model of a run folder needs to answer, and no more; whether that was done.

    For processes that end when they have answered: PyTorch counts as one without `torch.distributed` from here on. Adapters (peft
    reads all of transformers) and tasks of a user's own get the usual imports, as does everybody where a library is not as expected.
    """
    folder = Path(run) / "model"
    if "transformers" in sys.modules or not _plain(Path(run)):
        return False
    _arrow_without_pandas()
    import torch.distributed

    whole = torch.distributed.is_available
    torch.distributed.is_available = lambda: False
    try:
        with _absent(*ABSENT), _no_compiler():
            _import_once()
            from .loading import load_config, model_class

            model_class(load_config(folder), folder)
            importlib.import_module("transformers.models.auto.tokenization_auto")
        return True
    except Exception:  # an unknown version of a library: slow and sure
        torch.distributed.is_available = whole
        for name in [n for n in sys.modules if n.partition(".")[0] == "transformers"]:
            del sys.modules[name]
        return False


def _plain(run: Path) -> bool:
    try:
        head, task = (json.loads((run / name).read_text("utf-8")) for name in ("model/head.json", "task.json"))
        return head["adapter"] != "peft" and head.get("pooling") != "diffusion" and task["name"] in TASKS.own_names()
    except (OSError, ValueError, TypeError, KeyError):  # what is wrong with the run is said where it is loaded
        return False


def _arrow_without_pandas() -> None:
    """Have Arrow look for pandas now, and not find it: it would import pandas to make an array of a list."""
    import pyarrow as pa

    if "pandas" in sys.modules:
        return
    sys.meta_path.insert(0, _NoPandas())
    try:
        pa.array([""])
    finally:
        sys.meta_path.pop(0)


@final
class _NoPandas:
    """A finder that says that there is no pandas."""

    def find_spec(self, name: str, *_: Any) -> None:
        """Raises ModuleNotFoundError for pandas, leaves everything else to others."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


@contextmanager
def _absent(*names: str) -> Iterator[None]:
    """Within, these packages cannot be imported; those that are already are left alone."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: Python's own mark for "not there"
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def _no_compiler() -> Iterator[None]:
    """Within, marks for the compiler are read without importing it; whatever else is asked of it brings the real one."""
    if COMPILER in sys.modules:
        yield
        return
    import torch

    disable = torch.compiler.disable
    torch.compiler.disable = lambda fn=None, *_, **__: _unmarked(fn)
    sys.modules[COMPILER], sys.modules[MASKS] = _Compiler(), _masks()
    try:
        yield
    finally:
        torch.compiler.disable = disable
        _drop_stand_ins()


@final
class _Compiler(ModuleType):
    """Stands for `torch._dynamo` while its marks are read."""

    def __init__(self) -> None:
        super().__init__(COMPILER)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name in MARKS:
            return _unmarked
        if name.startswith("__"):
            raise AttributeError(name)
        _drop_stand_ins()
        return getattr(importlib.import_module(COMPILER), name)


def _unmarked(function: Any = None, *_: Any, **__: Any) -> Any:
    return function if callable(function) else (lambda found: found)


def _drop_stand_ins() -> None:
    import torch

    if isinstance(sys.modules.get(COMPILER), _Compiler):
        del sys.modules[COMPILER]
        vars(torch).pop("_dynamo", None)
        sys.modules.pop(MASKS, None)


def _masks() -> ModuleType:
    module = ModuleType(MASKS)
    module.TransformGetItemToIndex = _ItemToIndex  # type: ignore[attr-defined]
    return module


@final
class _ItemToIndex:
    """The compiler module's context of the same name, imported when it is entered: few masks need it."""

    def __enter__(self) -> Any:
        self.real = importlib.import_module(MASKS).TransformGetItemToIndex()
        return self.real.__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self.real.__exit__(*error)


def _import_once() -> None:
    """Import transformers with its list of all models' names as it was kept: to make it, two thousand files are read, three times."""
    found = importlib.util.find_spec("transformers")
    assert found is not None and found.submodule_search_locations
    shell = ModuleType("transformers")
    shell.__path__ = list(found.submodule_search_locations)
    shell.__version__ = importlib.metadata.version("transformers")  # type: ignore[attr-defined]
    sys.modules["transformers"] = shell
    listing = importlib.import_module("transformers.utils.import_utils")
    make = listing.define_import_structure
    listing.define_import_structure = lambda path, prefix=None: _kept_names(make, Path(path), prefix, shell.__version__)
    del sys.modules["transformers"]
    try:
        importlib.import_module("transformers")
        importlib.import_module("transformers.models")
        _processors()
    finally:
        listing.define_import_structure = make


def _processors() -> None:
    """Import the room of processors, which would otherwise import transformers a second time."""
    utils = importlib.import_module("transformers.utils")
    again = utils.direct_transformers_import
    utils.direct_transformers_import = lambda *_: sys.modules["transformers"]
    try:
        importlib.import_module("transformers.processing_utils")
    finally:
        utils.direct_transformers_import = again


def _kept_names(make: Callable[..., Names], path: Path, prefix: str | None, version: str) -> Names:
    """What `make` says of a folder: of the folder of all models as it was said before, while nothing has been installed since."""
    folder = path.parent if path.suffix else path
    if folder.name != "models":
        return make(path, prefix)
    mark = f"{version} {folder} {folder.stat().st_mtime_ns} {prefix}"
    place = caches.root() / caches.NAMES / f"{hashlib.sha256(mark.encode()).hexdigest()[:32]}.json"
    with suppress(OSError, ValueError, TypeError):
        return {frozenset(needs): {room: set(names) for room, names in rooms.items()} for needs, rooms in json.loads(place.read_bytes())}
    made = make(path, prefix)
    with suppress(OSError, ResourceError):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place, [[sorted(needs), {room: sorted(names) for room, names in rooms.items()}] for needs, rooms in made.items()])
    return made
