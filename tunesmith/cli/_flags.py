"""Flags of the commands. A setting's type, default and help are written once, in `spec.py` (and in the tasks' own files); the
flags are made from there. `--set` reaches every setting that has no flag of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, final

import typer

from ..elsewhere import suggestion
from ..errors import SpecError
from ..registry import TASKS
from ._words import Setting, options, settings

if TYPE_CHECKING:
    from ..spec import Spec

COLUMNS, DATA, LEARNING, OUTPUT = "Columns", "Data", "Model and training", "Output"


@final
@dataclass(frozen=True)
class Flag:
    """One flag and the setting it sets. `many`: it may be given several times."""

    name: str
    path: str
    panel: str
    many: bool = False

    @property
    def word(self) -> str:
        """What the user types: `--text-pair`."""
        return "--" + self.name.replace("_", "-")


FLAGS = (
    Flag("label", "options.label", COLUMNS),
    Flag("text", "options.text", COLUMNS),
    Flag("text_pair", "options.text_pair", COLUMNS),
    Flag("target", "options.target", COLUMNS, many=True),
    Flag("labels", "options.labels", COLUMNS, many=True),
    Flag("group", "data.group", COLUMNS),
    Flag("time", "data.time", COLUMNS),
    Flag("test", "data.test", DATA, many=True),
    Flag("validation", "data.validation", DATA, many=True),
    Flag("documents", "options.documents", DATA),
    Flag("encoding", "data.encoding", DATA),
    Flag("delimiter", "data.delimiter", DATA),
    Flag("bad_rows", "data.bad_rows", DATA),
    Flag("empty", "data.empty", DATA),
    Flag("merge_labels", "data.merge_labels", DATA),
    Flag("limit", "data.limit", DATA),
    Flag("task", "task", LEARNING),
    Flag("model", "model", LEARNING),
    Flag("strategy", "strategy", LEARNING),
    Flag("budget", "train.budget", LEARNING),
    Flag("epochs", "train.epochs", LEARNING),
    Flag("lr", "train.lr", LEARNING),
    Flag("batch", "train.batch", LEARNING),
    Flag("seed", "train.seed", LEARNING),
    Flag("runs", "runs", OUTPUT),
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON lines for programs.", rich_help_panel=OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only what was asked for.", rich_help_panel=OUTPUT)]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT)]
RunPath = Annotated[str, typer.Argument(metavar="RUN", help="A run folder.")]

Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="auto|cpu|cuda", help="Where answers are computed; auto: on CUDA, if there, of runs that were trained on it."
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="fp32|bf16",
        help="bf16: products in half the bits, more than twice as fast on processors made for it; probabilities move in the third digit.",
    ),
]
Encoding = Annotated[str | None, typer.Option("--encoding", metavar="NAME", help="Text encoding of the file, where the run's own differs.")]
Delimiter = Annotated[str | None, typer.Option("--delimiter", metavar="TEXT", help="Character between cells of the CSV file.")]
BadRows = Annotated[
    str | None, typer.Option("--bad-rows", metavar="refuse|skip", help="Lines that cannot be read: stop, or skip, count and name them.")
]

Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE", help="Data: a file, a folder per label, several files, `hf://owner/name`, or a spec (.yaml)."
    ),
]
SpecFile = Annotated[
    str | None,
    typer.Option("--spec", metavar="FILE", help="YAML with settings; flags win over it.", rich_help_panel=OUTPUT),
]
Pairs = Sequence[str] | None


def parser(command: Callable[..., int | None], name: str) -> Any:
    """The parser of one command: its own parameters, `--debug`, and the help of its file."""
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    module = inspect.getmodule(inspect.unwrap(command))
    shown = _escape(inspect.getdoc(module) or "" if module else "")
    signature = inspect.signature(command, eval_str=True)
    debug = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)

    def callback(debug: bool, **values: Any) -> int | None:
        return command(**values)

    _wear(callback, [*signature.parameters.values(), debug])
    app.command(name, help=shown)(callback)
    return typer.main.get_command(app)


def takes_spec(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Give a command that wants a Spec the flags that make one: `command(spec, *, ...)` becomes `command(files, *, ..., label, ...)`."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    annotations = {flag.name: _annotation(flag) for flag in FLAGS}

    def with_flags(files: list[str] | None, spec: str | None, **values: Any) -> int | None:
        pairs = {key: values.pop(key) for key in ("settings", "option", "strategy_option")}
        flags = {flag: values.pop(flag.name) for flag in FLAGS}
        return command(make_spec(files or [], spec, flags, **pairs), **values)

    with_flags.__wrapped__ = command  # type: ignore[attr-defined]  # the parser takes the help of the command's own file
    _wear(
        with_flags,
        [
            inspect.Parameter("files", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Files),
            *(_keyword(name, annotation) for name, annotation in annotations.items()),
            _keyword(
                "settings",
                _pairs("--set", "PATH=VALUE", "Any setting of the reference (`train.warmup=0.06`).", LEARNING),
            ),
            _keyword("option", _pairs("--option", "KEY=VALUE", "An option of the task (`smoothing=0.1`).", LEARNING)),
            _keyword(
                "strategy_option",
                _pairs("--strategy-option", "KEY=VALUE", "An option of the strategy (`rank=16`).", LEARNING),
            ),
            _keyword("spec", SpecFile),
            *own,
        ],
    )
    return with_flags


def make_spec(
    files: Sequence[str],
    spec_file: str | None,
    flags: Mapping[Flag, Any],
    settings: Pairs = None,
    option: Pairs = None,
    strategy_option: Pairs = None,
) -> Spec:
    """The spec of a command line: the spec file, then the flags, then `--set`, each winning over the one before.

    Raises SpecError in the words of the command line.
    """
    from ..spec import Spec

    if spec_file is None and len(files) == 1 and files[0].endswith((".yaml", ".yml")):
        spec_file, files = files[0], []
    asked: dict[str, Any] = {"data.train": files[0] if len(files) == 1 else list(files)} if files else {}
    for flag, value in flags.items():
        if value not in (None, False, []):
            asked[flag.path] = _typed(flag.path, value)
    for word, prefix, pairs in (
        ("--option", "options.", option),
        ("--strategy-option", "strategy_options.", strategy_option),
        ("--set", "", settings),
    ):
        asked |= {
            prefix + key: _typed(prefix + key, value) for key, value in (_pair(word, pair) for pair in pairs or ())
        }
    base = Spec.load(spec_file) if spec_file else Spec()
    try:
        return base.changed(asked)
    except SpecError as error:
        raise _in_flags(error, asked) from None


def reading(**flags: str | None) -> dict[str, str]:
    """The settings of `data` that a file is to be read with. Raises SpecError in the words of the command line."""
    from ..spec import Spec

    asked = {f"data.{name}": value for name, value in flags.items() if value is not None}
    try:
        Spec().changed(asked)
    except SpecError as error:
        raise _in_flags(error, asked) from None
    return {path.removeprefix("data."): value for path, value in asked.items()}


def _pair(word: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SpecError(
            word, expected="KEY=VALUE", got=repr(text), fix=f"write it as {word} key=value", code="bad-pair"
        )
    if word == "--set" and not _settable(key.strip()):
        raise SpecError(
            f"--set {key}", expected="a setting", got=repr(key), fix=suggestion(key, settings()), code="unknown-key"
        )
    return key.strip(), value


def _settable(path: str) -> bool:
    return path in settings() or path.startswith(("options.", "strategy_options."))


def _typed(path: str, value: Any) -> Any:
    """The value in the setting's type: text stays as it was typed, everything else is read as YAML reads it."""
    if isinstance(value, (list, tuple)):
        return value[0] if len(value) == 1 else list(value)
    if not isinstance(value, str):
        return value
    from ..plain_yaml import parse_value

    found = _settings(path)
    if found and found[0].is_text and not (value.startswith("[") and any(setting.holds_list for setting in found)):
        return value
    return parse_value(value, next((flag.word for flag in FLAGS if flag.path == path), f"--set {path}"))


def _settings(path: str) -> list[Setting]:
    """The settings behind a path; for `options.label`, those of all tasks that have it: the task may not be known yet."""
    section, _, name = path.partition(".")
    if section == "options":
        return [found[name] for task in TASKS.names() if name in (found := options(TASKS, task))]
    return [settings()[path]] if path in settings() else []


def _in_flags(error: SpecError, asked: Mapping[str, Any]) -> SpecError:
    """The same error, saying `--lr` where the user typed `--lr`."""
    path = error.place.partition("key ")[2].strip("'")
    words = {flag.path: flag.word for flag in FLAGS} | {"data.train": "FILE"}
    place = words.get(path, f"--set {path}") if path in asked else error.place
    return SpecError(place, expected=error.expected, got=error.got, fix=error.fix, code=error.code)


def _annotation(flag: Flag) -> Any:
    """A typer annotation made from the setting's type and docstring."""
    setting = next(iter(_settings(flag.path)), None)
    kind = setting.type if setting else "str"
    default = (
        ""
        if setting is None or setting.default in ("", "''", "None", "False")
        else f" [default: {setting.default.strip(chr(39))}]"
    )
    shown = _escape((setting.help if setting else f"Option `{flag.name}` of the task.") + default)
    if kind == "bool":
        return Annotated[bool, typer.Option(flag.word, help=shown, rich_help_panel=flag.panel)]
    option = typer.Option(flag.word, help=shown, metavar=_metavar(flag, kind), rich_help_panel=flag.panel)
    return Annotated[list[str] | None, option] if flag.many else Annotated[str | None, option]


def _metavar(flag: Flag, kind: str) -> str:
    if kind.startswith("Literal["):
        return "|".join(part.strip(" '\"") for part in kind[len("Literal[") : -1].split(","))
    if flag.panel == COLUMNS:
        return "COLUMN"
    return {
        "test": "FILE",
        "validation": "FILE",
        "runs": "FOLDER",
        "documents": "FOLDER",
        "task": "NAME",
        "model": "NAME",
        "strategy": "NAME",
    }.get(flag.name, "TEXT" if kind.startswith("str") else "NUMBER")


def _pairs(word: str, metavar: str, text: str, panel: str) -> Any:
    return Annotated[list[str] | None, typer.Option(word, metavar=metavar, help=text, rich_help_panel=panel)]


def _keyword(name: str, annotation: Any) -> inspect.Parameter:
    default = False if annotation.__origin__ is bool else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _wear(function: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> None:
    """Give a function the signature that typer reads."""
    function.__signature__ = inspect.Signature(list(parameters))  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in parameters}


def _escape(text: str) -> str:
    return text.replace("[", "\\[")
