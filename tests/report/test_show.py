"""Foreign text is shown as it is, minus its tricks."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.judging import words
from tunesmith.report.show import (
    amount,
    html,
    markdown,
    moment,
    number,
    percent,
    places,
    seconds,
    size,
    span,
    unbroken,
    visible,
)

TEXTS = st.text(alphabet=st.characters(), max_size=80)


@given(TEXTS)
def test_nothing_hidden_is_left(text):
    shown = visible(text)
    shown.encode("utf-8")
    for char in shown:
        assert char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs", "Cn", "Co"), hex(ord(char))
        assert ord(char) not in (0x202E, 0x2066, 0x200B, 0xFEFF), hex(ord(char))


@given(TEXTS)
def test_html_never_opens_a_tag_of_the_text(text):
    shown = html(text).replace('<b class="esc">', "").replace("</b>", "")
    assert "<" not in shown and ">" not in shown


@given(st.text(alphabet="abc äöü ñ 漢字 مرحبا 👍", max_size=60))
def test_ordinary_writing_is_untouched(text):
    assert visible(text) == text


def test_what_is_hidden_is_named():
    assert visible("a\u202eb") == "a[U+202E]b"
    assert visible("\ud800") == "[U+D800]"
    assert visible("e\u0301") == "e\u0301"
    assert visible("z" + "\u0301" * 1000) == "z" + "\u0301" * 4 + "[+996 combining marks]"
    assert visible("👨‍👩‍👧") == "👨‍👩‍👧"
    assert visible("a\u200db") == "a[U+200D]b"


def test_markdown_does_nothing():
    assert markdown("**b** <i> [x](y) `c` a|b\nnext") == "\\*\\*b\\*\\* &lt;i&gt; \\[x\\](y) \\`c\\` a\\|b next"


def test_numbers_for_people():
    assert [number(v) for v in (None, float("nan"), 0.9121, -0.5, 12345, 123.456)] == ["–", "–", "0.912", "−0.500", "12,345", "123.5"]
    prices = [9876.54, 12345.6, -12345678901.234, 999_999.9, 3.2e17]
    shown = ["9,876.5", "12,350", "−12.35 billion", "1 million", "3.2e+17"]
    assert [number(v) for v in prices] == shown and [words.number(v) for v in prices] == ["9,877", *shown[1:]]
    assert [amount(v) for v in (0.09412, -21.956, 12345.6, None)] == ["0.0941", "−22", "12,300", "–"]
    assert [percent(v) for v in (0.5, 0.997, 0.9999, 1.0, 0.001, None)] == ["50 %", "99.7 %", "99.9 %", "100 %", "0.1 %", "–"]
    assert [seconds(v) for v in (None, 3.14159, 45, 240, 272.4, 7500)] == ["–", "3.1 s", "45 s", "4 min", "4 min 32 s", "2 h 5 min"]
    assert [size(v) for v in (None, 5e6, 1.48e9)] == ["–", "5 MB", "1.5 GB"]
    assert span({"low": 0.1, "high": 0.2}) == "0.100–0.200"
    assert span({"low": -0.1, "high": 0.2}) == "−0.100 to 0.200"
    assert span({"low": None, "high": None}) == ""


def test_places_name_the_file_once():
    assert places(["a.csv, row 1", "a.csv, row 2"]) == "a.csv, rows 1, 2"
    assert places(["a.csv, row 1", "b.csv, row 2"]) == "a.csv, row 1, b.csv, row 2"
    assert places([17]) == "row 17"
    assert places([f"a.csv, row {i}" for i in range(9)]).endswith("and 3 more")
    assert places([]) == ""


def test_moments():
    assert moment("2026-11-21T16:40:02+00:00") == "21 Nov 2026, 16:40 UTC"
    assert moment("no time") == "no time"


def test_intervals_do_not_break_over_lines():
    assert '<span class="nb">(0.1–0.2)</span>' in unbroken("0.15 (0.1–0.2) <b>")
    assert "<b>" not in unbroken("0.15 (0.1–0.2) <b>")
