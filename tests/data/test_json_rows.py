"""Strict JSON: what the grammar allows is accepted, everything else is refused with line and column."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.json_rows import parse
from tunesmith.errors import DataError

ACCEPTED = [
    "[]", "{}", "null", "true", "false", "0", "-0", "-1", "1.5", "-0.0", "1e5", "1E+2", "1e-2", "0e1",
    "123.456e78", '""', '"a"', ' [1 , 2]\n', "\t[\r\n]", '"\\u0041\\n\\t\\b\\f\\r\\/\\\\\\""',
    '"\\ud83d\\ude00"', '"\\u0000"', '"\x7f"', '"\u2028\u2029"', '"€𝄞"', '{"":0}', '{"a":[{"b":[[]]}]}',
    "[[] ]", '"\uffff"', "-9223372036854775808", "9223372036854775807", "1e-400", '{"a":{},"b":{}}',
    '{"\\u0000\\ud83d":0}'.replace("\\ud83d", ""), "[1,null,1]", '[" "]',
]
REFUSED = [
    "", " ", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1}", "{]", '{"a"}', '{"a":}',
    '{"a":1,}', '{"a" 1}', '{a:1}', "{'a':1}", '{"a":1 "b":2}', '{1:1}', '{,"a":1}', '{"a":1,,"b":2}',
    '{"a":1}{', '{"a":1}}', "[1]]", "[1]x", "nul", "nulll", "tru", "True", "FALSE", "NaN", "[NaN]", "-NaN",
    "Infinity", "[-Infinity]", "+1", "+Inf", "01", "-01", "1.", ".5", "-.5", "1.e1", "1e", "1e+", "1eE2", "0x1",
    "1_000", "1,000", "--1", "- 1", "-", "1 000", '"', '"a', '"\\', '"\\x41"', '"\\u12"', '"\\u12G4"', '"\\a"',
    '"\n"', '"\t"', '"\x00"', '"\x1f"', "'a'", "a", "é", "[\u00a01]", "\u2060[]", "[\u000b]", "[\x0c]",
    "// no\n1", "/* no */ 1", "[1] // no", "[1,2;3]", '["a":1]', '{"a":"b"]', "[\"a\", //\n1]", "<null>",
    "[1\x00]", "*", "[*]", "𝟏", "１", "\ufeff[]", '{"a":1,"a":2}', '[{"a":1,"a":1}]', "9223372036854775808",
    "-9223372036854775809", "1e999", "-1e999", "9" * 5000, "[" * 100_000, '{"":' * 100_000,
    "[" * 101 + "]" * 101, '{"\U0001f1e8\U0001f1ed"', '[\n"a",\n4\n,1,', '[""],', '"\\uD800\\', '"\\u"',
    "[\"\\u00A\"]",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_the_grammar_allows(text: str) -> None:
    assert parse(text, "f.json") == json.loads(text)


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[:20]))
def test_what_it_does_not_allow(text: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(text, "f.json")
    assert re.match(r"f\.json, line \d+, column \d+: expected .+, got .+; .+", str(caught.value)) and len(str(caught.value)) < 300


TEXT = st.text(st.characters(blacklist_categories=("Cs",)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_every_value_comes_back_exactly(value: object, ascii_only: bool, indent: int | None) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only, indent=indent), "f.json") == value


@given(VALUES, st.data())
def test_no_mutation_crashes(value: object, data: st.DataObject) -> None:
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text)))
    put = data.draw(st.sampled_from(["", '"', "{", "]", ",", "\\", "\x00", "9", "N"]))
    mutated = text[:at] + put + text[at + data.draw(st.integers(0, 3)) :]
    try:
        expected = json.loads(mutated)
    except ValueError:
        with pytest.raises(DataError):
            parse(mutated, "f.json")
    else:
        try:
            assert parse(mutated, "f.json") == expected
        except DataError as error:
            assert error.code in ("not-a-number", "number-too-large", "duplicate-key")


def test_positions_are_exact() -> None:
    cases = (
        ('{"a": 1,\n  "b": }', 2, 8), ("[1,\n2,\n 3 4]", 3, 4), ('{"k": {"k": 1}, "x": NaN}', 1, 22), ('["NaN", NaN]', 1, 9),
    )
    for text, line, column in cases:
        with pytest.raises(DataError) as caught:
            parse(text, "f.json")
        assert f"line {line}, column {column}:" in str(caught.value)
