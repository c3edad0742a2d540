"""JSON's grammar, strictly: what RFC 8259 does not allow is refused with its line and column, and so is what would lose a value."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from ..errors import DataError, shorten

MAX_DEPTH = 100
"""Lists and objects within each other."""
_SPACE = re.compile(r"[ \t\n\r]*")
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]|[^\s,:\[\]{}"]+')


class _Refused(Exception):
    """A token that JSON's grammar allows, or Python's parser lets through, and we do not. Final."""

    def __init__(self, token: str, why: str, fix: str, code: str) -> None:
        self.token, self.why, self.fix, self.code = token, why, fix, code


def parse(text: str, name: str) -> Any:
    """Any JSON text, strictly. Raises DataError with line and column."""
    start = skip_space(text, 0)
    value, end = read_value(text, start, name)
    if skip_space(text, end) != len(text):
        fail(text, skip_space(text, end), name, "the end", "more after the value")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Refused(json.dumps(twice), f"the key {twice!r} twice in one object", "remove one", "duplicate-key")
    return made


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        got = f"an integer of {len(digits.lstrip('-')):,} digits" if len(digits) > 40 else digits
        raise _Refused(digits, got, "write it as text, in quotes", "number-too-large")
    return int(digits)


def _decimal(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _Refused(digits, f"{shorten(digits)}, beyond 64-bit", "write it as text, in quotes", "number-too-large")
    return value


def _constant(word: str) -> NoReturn:
    raise _Refused(word, word, "write null for an empty cell", "not-a-number")


_COMPLAINTS = (
    ("Expecting value", "a value", ""),
    ("Expecting ',' delimiter", "a comma or the bracket that closes", ""),
    ("Expecting ':' delimiter", "a colon", ""),
    ("Expecting property name", "a key in double quotes", ""),
    ("Illegal trailing comma", "a value or a key after the comma", "the bracket that closes"),
    ("Unterminated string", "a closing quote for the text that opens here", "none"),
    ("Invalid control character", "a text on one line", "a line end or a control character in it (write \\n)"),
    ("Invalid \\u", "four hexadecimal digits after \\u", ""),
    ("Invalid \\escape", "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u", ""),
)
"""How Python's parser begins a complaint, what should stand there, and what stands there where the text does not show it."""
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_decimal, parse_constant=_constant
)


def skip_space(text: str, at: int) -> int:
    """Where the space from `at` on ends."""
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def read_value(text: str, at: int, name: str) -> tuple[Any, int]:
    """The value that begins at `at`, and where it ends."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        _too_deep(text, at, name)
    except json.JSONDecodeError as error:
        _malformed(text, error, name)
    except _Refused as refused:
        where = _find_twin(text, at) if refused.code == "duplicate-key" else _find(text, at, refused.token)
        fail(text, where, name, "JSON that keeps its values", refused.why, refused.fix, refused.code)
    if text.count("[", at, end) + text.count("{", at, end) > MAX_DEPTH:
        _check_depth(text, at, end, name)
    return value, end


def _malformed(text: str, error: json.JSONDecodeError, name: str) -> NoReturn:
    """The parser's complaint as what stands there and what should."""
    wanted, got = next((found for start, *found in _COMPLAINTS if error.msg.startswith(start)), (f"JSON ({error.msg})", ""))
    fail(text, error.pos, name, wanted, got or shown(text, error.pos))


def shown(text: str, at: int) -> str:
    """What stands at `at`, for a message."""
    return repr(text[at : at + 20]) if at < len(text) else "the end of the text"


def _check_depth(text: str, at: int, end: int, name: str) -> None:
    depth = 0
    for token in _TOKENS.finditer(text, at, end):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            _too_deep(text, token.start(), name)


def _too_deep(text: str, at: int, name: str) -> NoReturn:
    fail(text, at, name, f"at most {MAX_DEPTH} levels of lists and objects", "more", "flatten it", "too-deep")


def _find(text: str, at: int, token: str) -> int:
    """Where a token stands first; the value's start where it is written in another way."""
    return next((found.start() for found in _TOKENS.finditer(text, at) if found[0] == token), at)


def _find_twin(text: str, at: int) -> int:
    """Where the first key stands that its object had before."""
    objects: list[set[str]] = []
    for token in _TOKENS.finditer(text, at):
        if token[0] == "{":
            objects.append(set())
        elif token[0] == "}":
            objects.pop()
        elif token[0][0] == '"' and text.startswith(":", skip_space(text, token.end())):
            key = json.loads(token[0])
            if key in objects[-1]:
                return token.start()
            objects[-1].add(key)
    return at


def fail(
    text: str, at: int, name: str, expected: str, got: str, fix: str = "mend the file there", code: str = "bad-json"
) -> NoReturn:
    """Raises DataError at line and column of `at`."""
    line, column = text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
    where = f"column {column}" if ", line " in name else f"line {line}, column {column}"
    raise DataError(f"{name}, {where}", expected=expected, got=got, fix=fix, code=code)
