"""Strict JSON, class by class: documents made from the grammar, each broken in every way that parsers are known to let pass.

The classes are those of a well-known collection for JSON parsers (structure, array, object, number, string, and what implementations
may choose); the documents are made here.
"""

# ruff: noqa: E501  documents in tables, many to a line
from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.files import load, write
from tunesmith.data.json_rows import parse
from tunesmith.errors import DataError, TunesmithError

SPACE = ("", " ", "\t", "\n", "\r\n", " \n\t")
SCALARS = ("0", "-0", "1", "-12", "1.5", "-0.25", "1e3", "1E-2", "2.5e+3", "true", "false", "null", '""', '"a"', '"\\u20ac"')
ESCAPES = ('\\"', "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u0041", "\\uD834\\uDD1E", "\\u0000", "\\u2028", "\\uFFFF")
BAD_NUMBERS = (
    "01", "-01", "00", "+1", ".5", "-.5", "1.", "-1.", "1.e3", "1e", "1e+", "1E-", "1ee2", "1e2.5", "0x1F", "0X1", "0b1", "0o7", "1_000",
    "1,5", "--1", "-", "+", "- 1", "1 2", "NaN", "-NaN", "nan", "Infinity", "-Infinity", "+Inf", "inf", "1a", "1.2.3", "0e", "0.e1",
    "\u0661", "\uff11", "1f", "1L", "٠", "1/2", "0.3e+", "9.e+", "-2.", "-foo", "1e1.", "1.2a-3", "Inf", "-0x",
)  # fmt: skip
BAD_STRINGS = (
    '"', '"a', 'a"', "'a'", '"\\"', '"\\x41"', '"\\a"', '"\\v"', '"\\0"', '"\\u"', '"\\u1"', '"\\u12"', '"\\u123"', '"\\u123g"', '"\\U0041"',
    '"\\ "', '"\\\n"', '"\n"', '"\t"', '"\r"', '"\x00"', '"\x1f"', '"\x01"', "a", "é", "`a`", '"a"b', '"\\', '"\\u00', '\\u0020"a"',
    '"\\uD834\\u"', "\u201ca\u201d", '"\\é"', '"a\\', '"\x08"',
)  # fmt: skip
BAD_WORDS = ("True", "FALSE", "nul", "nulll", "tru", "truee", "fals", "undefined", "None", "yes", "t", "n", "truth", "<null>", "null-")
BAD_ARRAYS = (
    "[", "]", "[1", "[1,", "[1,]", "[,]", "[,1]", "[1,,2]", "[1 2]", "[1;2]", "[1:2]", "[1]]", "[[1]", "[1}", "(1)", "[1,\n2", '["a"', '["a",',
    "[1] [2]", "[1]x", "[1],", "[1]#", "[1]//c", "[/*c*/1]", "[1 true]", "[*]", "[<1>]", "[\u00a01]", "[1\x0c]", "[\x0b1]", "[\u20601]", "[...[1]]",
    '["x"]]', "[1,\n1\n,1", "[{}", "[][]", "[1]\u00e9", "[--1]", '[""', '["",]',
)  # fmt: skip
BAD_OBJECTS = (
    "{", "}", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', "{,}", '{,"a":1}', '{"a":1,,"b":2}', '{"a" 1}', '{"a"::1}', '{"a"=1}', "{a:1}",
    "{'a':1}", "{1:1}", "{null:1}", "{[1]:1}", '{"a":1 "b":2}', '{"a":1;"b":2}', '{"a":1]', '{"a":1}}', '{"a":1}{', '{"a":1}x', '{"a":/*c*/1}',
    '{"a":1}//c', '{"a":1}#c', '{"a"}', '{"a","b"}', '{:1}', '{"a":a}', '{ $a: 1}', '{\u201ca\u201d:1}', '{"x"x:1}', '{"a":1,"b"}', '{"a":true false}',
)  # fmt: skip
BAD_STRUCTURES = ("", " ", "\n", "\ufeff", "\ufeff{}", "\u2060[]", "\x00", "\x0c", "*", ",", ":", "//c\n1", "/*c*/", "#c", "<!--1-->", "1 2", "1,2", '{"a":1}[]', "[]{}",
                  "\u00a01", "@", "[\\u000A1]", "\\n", "{}null", "[\ud7ff", "å", "<.>", "[<null>]")  # fmt: skip


def accepted() -> Iterator[str]:
    """Documents that the grammar allows."""
    yield from SCALARS
    yield from (f'"{escape}"' for escape in ESCAPES)
    yield from (f'"{one}{other}"' for one, other in itertools.pairwise(ESCAPES))
    yield from (f"{a}[{b}{scalar}{a},{b}{scalar}{a}]{b}" for (a, b), scalar in zip(itertools.product(SPACE, SPACE), itertools.cycle(SCALARS)))
    yield from (f'{a}{{{b}"k"{a}:{b}{scalar}{a},{b}"{i}":{scalar}}}' for i, ((a, b), scalar) in enumerate(zip(itertools.product(SPACE, SPACE), itertools.cycle(SCALARS))))
    yield from ("[]", "{}", "[[]]", "[{}]", '{"":{}}', '{"a":[]}', "[" * 90 + "]" * 90, '{"a":' * 90 + "1" + "}" * 90, '"' + "x" * 100_000 + '"')
    yield from (f'"{chr(point)}"' for point in (0x20, 0x7F, 0x80, 0xA0, 0x2028, 0x2029, 0x2060, 0xFDD0, 0xFEFF, 0xFFFE, 0xFFFF, 0x1D11E, 0x10FFFF))
    yield from ('{"\\u0000":0}', '{"a\\u0000b":0}', '{"\u20ac":1}', '"\\\\u0041"', '"\\"\\\\\\""', '"// no comment"', '"/* */"', "-9223372036854775808", "1e-400", "0e+1", "-0.0e-0")


def refused() -> Iterator[str]:
    """Documents that it does not."""
    wrong = (*BAD_NUMBERS, *BAD_STRINGS, *BAD_WORDS, *BAD_ARRAYS, *BAD_OBJECTS)
    yield from wrong
    yield from BAD_STRUCTURES
    inner = (*BAD_NUMBERS, *BAD_STRINGS, *BAD_WORDS)
    yield from (f"[{bad}]" for bad in inner if bad not in ("1,5",))
    yield from (f'{{"a":{bad}}}' for bad in inner)
    yield from ("[" * 100_000, '{"":' * 100_000, "[" * 100_000 + "]" * 100_000, '[{"":' * 50_000 + "\n")


CHOICES = (
    "[123.456e-789]", "[0.4e00669999999999999999999999999999999999]", "[-1e+9999]", "[1.5e+9999]", "[123e-10000000]", "[-123123123123123123123123123123]",
    "[100000000000000000000]", '{"\\uDFAA":0}', '["\\uDADA"]', '["\\uD888\\u1234"]', '["\\uD800\\n"]', '["\\uDd1ea"]', '["\\uDd1e\\uD834"]',
    "[" * 500 + "]" * 500, "\ufeff{}", '{"a":1,"a":2}', '{"a":1,"a":1}',
)  # fmt: skip
BYTES = (
    b'["\xff"]', b'["\xe9"]', b'["\xed\xa0\x80"]', b'["\xf8\x88\x80\x80\x80"]', b'["\xc0\xaf"]', b'["\xe0\xff"]', b'["\x80"]', b'["\xf4\xbf\xbf\xbf"]',
    b"\xff\xfe[\x00]\x00", b"\xfe\xff\x00[\x00]", b"[\x00\"\x00\xe9\x00\"\x00]\x00", b"\x00[\x00]", b"\xef\xbb\xbf{}", b"\xef\xbb", b"\xef", b"[\xff]", b'{"\xb9":"0"}',
)  # fmt: skip


def test_there_are_enough_of_each() -> None:
    assert len(set(accepted())) >= 95 and len(set(refused())) >= 188 and len(CHOICES) + len(BYTES) >= 34


def test_what_the_grammar_allows_is_read_to_the_letter() -> None:
    for text in accepted():
        assert parse(text, "f.json") == json.loads(text), ascii(text[:60])


def test_what_it_does_not_allow_is_refused_with_line_and_column() -> None:
    for text in refused():
        with pytest.raises(DataError) as caught:
            parse(text, "f.json")
        message = str(caught.value)
        assert re.match(r"f\.json, line \d+, column \d+: expected .+, got .+; .+", message, re.S) and len(message) < 300, ascii(text[:60])


def test_what_is_left_open_is_read_or_refused_but_never_changed() -> None:
    for text in CHOICES:
        try:
            assert parse(text, "f.json") == json.loads(text), ascii(text[:60])
        except DataError as error:
            assert error.code in ("number-too-large", "too-deep", "duplicate-key", "lone-surrogate", "bad-json"), ascii(text[:60])


def test_as_files_none_crashes_and_none_that_is_broken_is_read(tmp_path: Path) -> None:
    samples = [text.encode() for text in itertools.islice(refused(), 0, None, 5) if len(text) < 1000]
    for content in [*samples, *BYTES]:
        for name in ("f.json", "f.jsonl"):
            try:
                load(write(tmp_path / name, content))
            except TunesmithError as error:
                assert error.exit_code == 3 and str(error).isprintable()
            else:
                assert content in BYTES, content
