"""Chat templates, which come with a model and are programs of strangers: run in a sandbox, with limits on time and size.

jinja2's immutable sandbox keeps a template from reaching Python. On top of it: only the methods and filters that templates of chat
models use, no result of one operation beyond MAX_CHARS, and a meter woven into the template itself, read in every round of a loop,
every call and every text that is put out, so that neither time nor memory can run away.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, final

from ..errors import ModelError, shorten

MAX_CHARS = 1_000_000
"""Longest text that a template may make of one conversation, or on the way."""
MAX_SECONDS = 2.0
"""Longest time for one conversation; usual templates take a ten-thousandth of it."""
MAX_TEMPLATE = 200_000
"""Longest template, in characters; the longest in use have some 20,000."""
METHODS = frozenset(
    "strip lstrip rstrip startswith endswith split rsplit splitlines upper lower title capitalize replace find rfind index count join "
    "items keys values get append removeprefix removesuffix partition rpartition isdigit isspace".split()
)
"""Methods of texts, lists and mappings that templates call. `format`, `center` and their like are not among them: they can blow up."""
FILTERS = frozenset(
    "trim length count default d join list string upper lower capitalize title replace items first last map select reject selectattr "
    "rejectattr int float round abs sort unique reverse max min sum tojson safe e escape indent dictsort groupby slice".split()
)


class Refused(Exception):
    """The template itself says that it cannot take these messages (roles out of order). Final; the message is its own."""


def render(template: str, messages: Sequence[Mapping[str, Any]], *, prompt: bool, names: Mapping[str, Any]) -> str:
    """The conversation as the model reads it; `prompt`: with the beginning of the assistant's next turn.

    `names`: what else the template may use (`bos_token`, `eos_token`). Raises Refused for messages that the template does not take,
    ModelError (`bad-template`) for a template that is broken, or takes too much time or memory.
    """
    from jinja2 import TemplateError, TemplateSyntaxError

    try:
        with _metered():
            text: str = _compiled(template).render(messages=messages, add_generation_prompt=prompt, **names)
    except TemplateSyntaxError as error:
        raise _bad(f"line {error.lineno}: {error.message}") from None
    except _TooMuch as error:
        raise _bad(str(error)) from None
    except TemplateError as error:
        raise Refused(shorten(" ".join(str(error.message or error).split()), 200)) from None
    except RecursionError:
        raise _bad("calls of itself without end") from None
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        raise Refused(shorten(" ".join(str(error).split()), 200)) from None
    return text


class _TooMuch(Exception):
    """Too much time or memory. Final."""


@final
class _Meter:
    """What one conversation has taken so far."""

    def __init__(self) -> None:
        self.until, self.chars = time.monotonic() + MAX_SECONDS, 0

    def spend(self, chars: int = 0) -> None:
        """Count these characters, and look at the clock. Raises _TooMuch."""
        self.chars += chars
        if self.chars > MAX_CHARS:
            raise _TooMuch(f"a text of more than {MAX_CHARS:,} characters")
        if time.monotonic() > self.until:
            raise _TooMuch(f"more than {MAX_SECONDS:g} seconds")


_meter: ContextVar[_Meter] = ContextVar("meter")


@contextlib.contextmanager
def _metered() -> Iterator[None]:
    token = _meter.set(_Meter())
    try:
        yield
    finally:
        _meter.reset(token)


@lru_cache(maxsize=16)
def _compiled(template: str) -> Any:
    if len(template) > MAX_TEMPLATE:
        raise _bad(f"{len(template):,} characters")
    return _environment().from_string(template)


def _environment() -> Any:
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    @final
    class Generation(Extension):
        """`{% generation %}` marks what the assistant says; what is learned is found otherwise, so that it only groups."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)

    @final
    class Sandbox(ImmutableSandboxedEnvironment):
        """jinja2's sandbox with our limits."""

        intercepted_binops = frozenset(("*", "**", "+", "%"))

        def _parse(self, source: str, name: str | None, filename: str | None) -> Any:
            return _woven(super()._parse(source, name, filename))

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            """The operation, unless its result would be huge."""
            _meter.get().spend()
            _check_operation(operator, left, right)
            return super().call_binop(context, operator, left, right)

        def wrap_str_format(self, value: Any) -> Any:
            """Raises where a template would format a text: a width of a billion is four characters long."""
            if getattr(value, "__name__", "") in ("format", "format_map") and isinstance(getattr(value, "__self__", None), str):
                raise _TooMuch("an operation that chat templates do without: format")

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            """Only methods that templates need."""
            known = attr in METHODS or not isinstance(obj, str | bytes | list | tuple | dict | int | float)
            return known and bool(super().is_safe_attribute(obj, attr, value))

        def call(self, context: Any, function: Any, /, *args: Any, **named: Any) -> Any:
            """A call, unless its result would be huge."""
            _meter.get().spend()
            _check_call(getattr(function, "__name__", ""), getattr(function, "__self__", None), args)
            return super().call(context, function, *args, **named)

    made = Sandbox(optimized=False, trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters = {name: _guarded(name, made.filters[name]) for name in FILTERS if name in made.filters}
    made.filters |= {"tojson": _to_json, "_emitted": _emitted, "_joined": _joined, "_spent": _spent}
    made.globals = {k: v for k, v in made.globals.items() if k in ("range", "dict", "namespace")}
    made.globals |= {"raise_exception": _raise, "strftime_now": _now}
    return made


def _check_operation(operator: str, left: Any, right: Any) -> None:
    sizes = [len(side) for side in (left, right) if isinstance(side, str | list | tuple)]
    numbers = [abs(side) for side in (left, right) if isinstance(side, int | float)]
    if operator == "%" and isinstance(left, str):
        raise _TooMuch("an operation that chat templates do without: text % values")
    if operator == "**" and max(numbers, default=0) > 1000:
        raise _TooMuch("a power of large numbers")
    grown = sum(sizes) if operator == "+" else max(sizes, default=0) * max(numbers, default=1)
    if sizes and grown > MAX_CHARS:
        raise _TooMuch(f"a text of more than {MAX_CHARS:,} characters")


def _check_call(name: str, of: Any, args: Sequence[Any]) -> None:
    if name == "replace" and isinstance(of, str) and len(args) > 1 and isinstance(args[1], str):
        found = of.count(args[0]) if isinstance(args[0], str) else 0
        _check_size(len(of) + found * len(args[1]))
    if name == "join" and isinstance(of, str) and args and isinstance(args[0], list | tuple):
        _check_size(sum(len(str(part)) + len(of) for part in args[0]))


def _check_size(size: int) -> None:
    if size > MAX_CHARS:
        raise _TooMuch(f"a text of more than {MAX_CHARS:,} characters")


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose arguments cannot make it blow up."""
    if name == "replace":
        return lambda value, old, new, count=None: _replaced(str(value), str(old), str(new), -1 if count is None else int(count))
    if name == "indent":
        return lambda value, width=4, first=False, blank=False: _indented(str(value), width, first, blank)
    return function


def _replaced(text: str, old: str, new: str, count: int) -> str:
    _check_call("replace", text, (old, new))
    return text.replace(old, new, count)


def _indented(text: str, width: int | str, first: bool, blank: bool) -> str:
    start = width if isinstance(width, str) else " " * min(int(width), 100)
    _check_size(len(text) + len(start) * (text.count("\n") + 1))
    lines = text.split("\n")
    return "\n".join(start + line if (i or first) and (line or blank) else line for i, line in enumerate(lines))


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=None if indent is None else min(int(indent), 8))


def _raise(message: Any) -> Any:
    from jinja2 import TemplateError

    raise TemplateError(str(message))


def _now(form: str) -> str:
    """A fixed day: what a model learns must not depend on when it was trained."""
    return time.strftime(str(form)[:40], time.gmtime(1_735_689_600))  # 1 January 2025


def _emitted(value: Any) -> str:
    """A value on its way out."""
    text = str(value)
    _meter.get().spend(len(text))
    return text


def _joined(values: Sequence[Any]) -> str:
    """The operator `~`."""
    texts = [str(value) for value in values]
    _check_size(sum(map(len, texts)))
    return "".join(texts)


def _spent(chars: int) -> None:
    """Stands at the start of the bodies of loops and macros, with the length of what they say in any case."""
    _meter.get().spend(chars)


def _woven(tree: Any) -> Any:
    """The template's syntax tree with the meter in it."""
    from jinja2 import nodes
    from jinja2.visitor import NodeTransformer

    def through(node: Any, name: str) -> Any:
        return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)

    @final
    class Weaver(NodeTransformer):
        """Puts the meter into loops, macros, the operator `~` and what is put out."""

        def visit_Concat(self, node: Any) -> Any:
            made: Any = self.generic_visit(node)
            return through(nodes.List(made.nodes, lineno=node.lineno), "_joined")

        def visit_Output(self, node: Any) -> Any:
            made: Any = self.generic_visit(node)
            made.nodes = [n if isinstance(n, nodes.TemplateData) else through(n, "_emitted") for n in made.nodes]
            return made

        def visit_For(self, node: Any) -> Any:
            return self._counted(node)

        def visit_Macro(self, node: Any) -> Any:
            return self._counted(node)

        def _counted(self, node: Any) -> Any:
            said = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
            made: Any = self.generic_visit(node)
            count = through(nodes.Const(said + 1, lineno=node.lineno), "_spent")
            made.body = [nodes.ExprStmt(count, lineno=node.lineno), *made.body]
            return made

    return Weaver().visit(tree)


def _bad(got: str) -> ModelError:
    return ModelError(
        "the model's chat template",
        expected="a template that renders a conversation in little time and memory",
        got=got,
        fix="take it out of the model's folder (chat_template.jinja, or the key in tokenizer_config.json): a plain one is used then",
        code="bad-template",
    )
