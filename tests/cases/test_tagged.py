"""Tagged words and spans: refused with the rows, before a weight is read; each through the command line."""

# ruff: noqa: E501  sentences are written whole, as a user reads them
from __future__ import annotations

import json

import pytest

from tests.cases.conftest import rows, write
from tests.cases.test_tables import matches


def conll(broken: dict[int, str], n: int = 60) -> str:
    """Good sentences of three words, others at these positions."""
    return "\n".join(broken.get(i, f"{text.split()[0]}\tB-X\n{text.split()[1]}\tI-X\n{i}\tO\n") for i, (text, _) in enumerate(rows(n)))


def listed(broken: dict[int, list[str]], n: int = 60) -> str:
    """The same as JSON lines, with other tags at these positions."""
    tokens = [[*text.split()[:2], str(i)] for i, (text, _) in enumerate(rows(n))]
    return "".join(json.dumps({"tokens": row, "tags": broken.get(i, ["B-X", "I-X", "O"])}) + "\n" for i, row in enumerate(tokens))


def spanned(broken: dict[int, list], n: int = 60) -> str:
    """Texts with a span each, other ones at these positions."""
    return "".join(json.dumps({"text": text, "label": broken.get(i, [[0, 5, "X"]])}) + "\n" for i, (text, _) in enumerate(rows(n)))


REFUSED: dict[str, tuple[str, str, str, str]] = {
    # case -> file, content, code, the sentence
    "36 tags shorter than tokens": (
        "a.jsonl", listed({3: ["B-X", "O"]}), "tags-length",
        "a.jsonl, row 4: expected a tag for each token, got 2 tags for 3 tokens; mend the rows: a token with a space in it may have been cut",
    ),
    "a cell too few": (
        "a.conll", conll({5: "Rome\nx\tO\n"}), "ragged-row",
        "a.conll, line 21: expected 2 columns between tabs, as most lines have, got 1 (Rome); mend the line, or say --bad-rows skip to leave such sentences out",
    ),
    "BIO that breaks": (
        "a.conll", conll({5: "x\tO\ny\tI-X\n"}), "broken-tags",
        "a.conll, row 6 (line 21): expected tags that keep the BIO scheme, got 'I-X' after 'O' (token 2); mend them, or fit with --set options.broken=mend, which reads such a tag as the beginning of a span",
    ),
    "spans over one another": (
        "a.jsonl", spanned({7: [[0, 9, "X"], [2, 4, "Y"]]}), "span-overlap",
        "a.jsonl, row 8: expected spans that do not overlap, got *; keep one of them: a word has one label",
    ),
    "a span out of its text": (
        "a.jsonl", spanned({7: [[0, 900, "X"]]}), "span-range",
        "a.jsonl, row 8: expected spans within their text, the end behind the start, got 0 to 900 of * characters; mend the offsets",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_rows(refused, here, case: str) -> None:
    name, content, code, sentence = REFUSED[case]
    message = refused("fit", write(name, content), exit=3, code=code)
    start, _, end = sentence.partition("*")
    assert message.startswith(start) and message.endswith(end) if "*" in sentence else matches(sentence, message), message
