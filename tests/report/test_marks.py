"""Stretches of a text are pointed out, escaped; a row is asked for as its task reads it."""

from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.registry import TASKS
from tunesmith.report import show

MARKS = st.lists(st.tuples(st.integers(-2, 14), st.integers(-2, 14), st.sampled_from(["truth", "answer"]), st.sampled_from(["", "<PER>"])))


@given(st.text("ab<&> ", max_size=10), MARKS)
def test_marks_change_no_letter_and_escape_all(text, marks):
    found = str(show.marked(text, [list(mark) for mark in marks]))
    assert "<PER>" not in found
    bare = re.sub(r"<sub>.*?</sub>", "", found)
    assert html.unescape(re.sub(r"</?mark[^>]*>", "", bare)) == text


def test_true_and_found_are_told_apart_where_they_overlap():
    found = str(show.marked("one two three", [[0, 7, "truth", ""], [4, 13, "answer", "X"]]))
    assert found == (
        '<mark class="truth" title="true">one </mark><mark class="truth answer" title="true and found">two</mark>'
        '<mark class="answer" title="found"> three</mark><sub>X</sub>'
    )


def test_hidden_characters_inside_a_mark_are_named():
    assert ">U+202E<" in str(show.marked("a\u202eb", [[0, 3, "answer", ""]]))


def test_a_row_is_asked_for_as_its_task_reads_it():
    assert show.asked(["text"]) == show.asked([]) == '"your text"'
    reads_images = [name for name in TASKS.names() if TASKS.load(name).modality == "image" and name != "image-generation"]
    assert "object-detection" in reads_images and {show.asked(["image"], task=name) for name in reads_images} == {'"photo.jpg"'}
    assert show.asked(["question", "my context"]) == "--row question=... --row 'my context=...'"
    assert show.asked(["question", "context"], python=True) == "{'question': ..., 'context': ...}"
