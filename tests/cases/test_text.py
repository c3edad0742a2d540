"""Odd text: kept to the byte, shown escaped, read as text; never taken for control."""


from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cases.conftest import as_csv, as_jsonl, rows, write
from tests.cases.test_labels import codes
from tests.cases.test_tables import accepted
from tests.data.files import load


@pytest.mark.parametrize("half", ["\\ud800x", "ok \\udfff", "\\udc00\\ud800", "\\ud83d\\ude00 \\ude00"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_39_half_a_surrogate_is_kept_to_the_byte_and_said(tunesmith, here, half: str, name: str) -> None:
    lines = as_jsonl(rows()) + f'{{"text": "{half}", "label": "yes"}}\n'
    write(name, lines if name == "a.jsonl" else f"[{','.join(lines.splitlines())}]")
    kept = load(here / name).column("text")[-1]
    assert kept == half.replace("\\ud83d\\ude00", "\U0001f600"), "the bytes of the file; a whole pair is a character"
    assert load(here / name, bad_rows="skip").column("text")[-1] == kept, "it is no bad row"
    told = [e["why"] for e in accepted(tunesmith, name)["ledger"] if "surrogate" in e["why"]]
    why = "1 row has half of a surrogate pair (row 121), which is no character: it is kept as the escape that stands for it in the file"
    assert told == [f"{name}: {why}"]


def test_39_half_a_surrogate_in_a_request_is_answered_as_in_a_file() -> None:
    from tunesmith.data.table import Table

    asked = Table.of([{"text": "a \ud800", "tags": ["\udfff", "x"]}, {"text": "b", "tags": []}])
    assert asked.column("text") == ["a \\ud800", "b"] and "\\udfff" in str(asked.column("tags")[0])


def test_39_whole_surrogate_pairs_are_characters(here) -> None:
    write("a.jsonl", '{"text": "\\ud83d\\ude00 \\\\ud800"}\n')
    assert load(here / "a.jsonl", bad_rows="skip").column("text") == ["\U0001f600 \\ud800"]


ODD = ["\u202eevil", "zero\u200bwidth", "e" + "\u0301" * 1000, "\u2066x\u2069", "\x1b[31mred", "\x85\u2028\u2029"]


@pytest.mark.parametrize("text", ODD)
def test_39_odd_characters_are_kept_and_shown_escaped(tunesmith, here, text: str) -> None:
    cells = [(t, text if i % 2 else "plain") for i, (t, _) in enumerate(rows())]
    write("a.csv", as_csv(cells))
    assert set(load(here / "a.csv").column("label")) == {text, "plain"}
    write("a.csv", as_csv([*cells[:-1], (cells[-1][0], "rare " + text)]))
    out = tunesmith("check", "a.csv", "--label", "label").out
    assert "rare" in out and all(line.isprintable() for line in out.splitlines()), ascii(out)


@pytest.mark.parametrize("control", ["[SEP]", "[CLS] [PAD]", "[MASK]", "<|im_start|>system", "</s>"])
def test_40_control_strings_are_read_as_text(tiny_bert, control: str) -> None:
    from transformers import AutoTokenizer

    from tunesmith.parts import tokens

    processor = AutoTokenizer.from_pretrained(tiny_bert)
    ids = tokens.encode(processor, [f"a good {control} film"], most=64)[0]["input_ids"]
    special = [i for i in processor.all_special_ids if i != processor.unk_token_id]
    assert np.isin(ids, special).sum() == 2, "the template's own two, none of the user's"
    assert len(ids) > 5


def test_41_few_empty_texts_are_counted_and_many_are_refused(tunesmith, refused) -> None:
    cells = rows()
    for n, i in enumerate([3, 50, 51, 77]):
        cells[i] = ([" \t", "", "\u3000", "\n"][n], cells[i][1])
    write("a.csv", as_csv(cells))
    told = codes(accepted(tunesmith, "a.csv"))["empty-text"]
    assert told["level"] == "warning" and told["message"].startswith("4 rows of train have an empty text")
    assert told["rows"] == ["a.csv, row 4", "a.csv, row 51", "a.csv, row 52", "a.csv, row 78"]
    write("a.csv", as_csv([("" if i < 14 else t, y) for i, (t, y) in enumerate(rows())]))
    message = refused("fit", "a.csv", exit=3, code="empty-text")
    assert message.startswith("a.csv, row 1: expected a text in every row, got an empty one in 14 rows of train (also a.csv, row 2, ")
    assert message.endswith("fill them, or say --empty drop to leave these rows out")
    dropped = [e for e in accepted(tunesmith, "a.csv", "--empty", "drop")["ledger"] if e["action"] == "dropped"]
    assert [e["count"] for e in dropped] == [14]


def test_15_formulas_are_kept_as_data(here) -> None:
    cells = ["=cmd|' /C calc'!A0", "@SUM(1+1)*cmd|'!A0", "+1+1", "-1+1", "\t=1+1", "=HYPERLINK(\"http://x\")"]
    write("a.csv", as_csv([(cell, "x") for cell in cells]))
    write("a.jsonl", "".join(json.dumps({"text": cell}) + "\n" for cell in cells))
    assert load(here / "a.csv").column("text") == load(here / "a.jsonl").column("text") == cells
