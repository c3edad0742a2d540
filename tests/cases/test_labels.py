"""Labels and splits: refused with the rows, or told with what follows from them; each through the command line."""

# ruff: noqa: E501  sentences are written whole, as a user reads them
from __future__ import annotations

import json

import pytest

from tests.cases.conftest import as_csv, as_jsonl, rows, write
from tests.cases.test_tables import accepted, ledger_of, matches


def changed(cells: dict[int, str], n: int = 120) -> list[tuple[str, ...]]:
    """Good rows, with other labels at these positions."""
    return [(text, cells.get(i, label)) for i, (text, label) in enumerate(rows(n))]


def numbers(cells: dict[int, str]) -> str:
    """Texts with a price each, other ones at these positions."""
    return as_csv([(text, cells.get(i, f"{i / 7:.4f}")) for i, (text, _) in enumerate(rows())], "text,price")


UNKNOWN = as_csv(rows(30, ("yes", "maybe"), start=300))
REFUSED: dict[str, tuple[dict[str, str], tuple[str, ...], str, str]] = {
    # case -> files, more words, code, the sentence
    "25 empty labels": (
        {"a.csv": as_csv(changed({3: "", 10: "  ", 40: "nan"}))}, (), "empty-label",
        "a.csv, row 4: expected a label in every row, got an empty cell (or NaN) in 3 rows of train (also a.csv, row 11, a.csv, row 41); fill them, or say --empty drop to leave these rows out",
    ),
    "27 a label without a training row": (
        {"a.csv": as_csv(rows()), "b.csv": UNKNOWN}, ("--test", "b.csv"), "unknown-label",
        "b.csv, row 2: expected labels that the training rows have, got 'maybe' in 15 rows of test (also b.csv, row 4, b.csv, row 6, b.csv, row 8…); add training rows for it, or take these rows out",
    ),
    "28 one label": (
        {"a.csv": as_csv([(t, "a") for t, _ in rows()])}, (), "one-class",
        "a.csv: expected a label that differs between rows, got column 'label' with only 'a' in all 120 rows; there is nothing to tell apart: check the column",
    ),
    "28 one label, named": (
        {"a.csv": as_csv([(t, "a") for t, _ in rows()])}, ("--label", "label"), "one-class",
        "data: expected at least 2 labels, got only 'a' in 120 rows; check the label column: there is nothing to tell apart",
    ),
    "30 two kinds in one file": (
        {"a.jsonl": "".join(json.dumps({"text": t, "label": [str(i % 2), i % 2][i % 2]}) + "\n" for i, (t, _) in enumerate(rows()))}, (), "mixed-types",
        "a.jsonl, row 2, column 'label': expected a text, as in row 1, got a number (1); write the column in one way",
    ),
    "31 infinite": ({"a.csv": numbers({5: "inf"})}, (), "bad-number", "a.csv, row 6: expected plain numbers in column 'price', got 'inf' in 1 row; mend or remove these rows"),
    "31 beyond a double": (
        {"a.csv": numbers({5: "-1e400"})}, ("--task", "text-regression"), "bad-number",
        "a.csv, row 6: expected plain numbers in column 'price', got '-1e400' in 1 row; mend or remove these rows",
    ),
    "31 1e308": ({"a.csv": numbers({5: "1e308"})}, (), "bad-number", "a.csv, row 6: expected numbers below 1e+30 in column 'price', got 1e+308 in 1 row; mend or remove these rows"),
    "31 a word among numbers": ({"a.csv": numbers({5: "n/a"})}, (), "bad-number", "a.csv, row 6: expected plain numbers in column 'price', got 'n/a' in 1 row; mend or remove these rows"),
    "32 an id in both": (
        {
            "a.csv": as_csv([(f"u{i}", *row) for i, row in enumerate(rows())], "id,text,label"),
            "b.csv": as_csv([("u7" if i == 3 else f"v{i}", *row) for i, row in enumerate(rows(30, start=300))], "id,text,label"),
        }, ("--test", "b.csv"), "id-in-both",
        "b.csv, row 4: expected each 'id' in one file only, got 1 id in both train and test: 'u7'; take these rows out of one of the files",
    ),
    "33 the same file twice": (
        {"a.csv": as_csv(rows())}, ("--test", "a.csv"), "same-file",
        "a.csv, row 1: expected test rows of their own, got exactly the train rows (120 rows); give another file for test, or none: then rows are kept for it",
    ),
    "35 an unknown tag": (
        {
            "a.csv": as_csv([(t, ["a", "b|c", "c|a", "c"][i % 4]) for i, (t, _) in enumerate(rows())], "text,tags"),
            "b.csv": as_csv([(t, ["a|b", "z|c"][i % 2]) for i, (t, _) in enumerate(rows(30, start=300))], "text,tags"),
        }, ("--test", "b.csv"), "unknown-label",
        "b.csv, row 2: expected labels that the training rows have, got 'z' in 15 rows of test (also …); add training rows for it, or take these rows out",
    ),
    "a label in each row": (
        {"a.csv": as_csv([(t, f"l{i}") for i, (t, _) in enumerate(rows())])}, ("--label", "label"), "label-per-row",
        "data: expected labels that repeat, got a different one in each of 120 rows; name the label column with --label, or use --task text-regression for numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_rows(refused, case: str) -> None:
    files, words, code, sentence = REFUSED[case]
    names = [write(name, content) for name, content in files.items()]
    message = refused("fit", names[0], *words, exit=3, code=code)
    assert matches(sentence, message), message


def codes(found: dict) -> dict[str, dict]:
    return {finding["code"]: finding for finding in found["findings"]}


def test_25_dropped_rows_are_counted_and_listed(tunesmith, here) -> None:
    write("a.csv", as_csv(changed({3: "", 10: "NaN"})))
    dropped = [e for e in accepted(tunesmith, "a.csv", "--empty", "drop")["ledger"] if e["action"] == "dropped"]
    assert [(e["count"], e["rows"]) for e in dropped] == [(2, ["a.csv, row 4", "a.csv, row 11"])]
    assert "a.csv, rows 4, 11" in tunesmith("check", "a.csv", "--empty", "drop").out


@pytest.mark.parametrize("label", ["none", "NA", "null", "n/a"])
def test_25_labels_that_may_be_meant_stay_labels(tunesmith, here, label: str) -> None:
    write("a.csv", as_csv(rows(labels=("yes", label))))
    assert "empty-label" not in codes(accepted(tunesmith, "a.csv"))


def test_26_twins_are_told_with_the_merge_and_merged_only_when_asked(tunesmith, here) -> None:
    write("a.csv", as_csv(changed({3: "Yes", 10: "yes ", 40: "YES"})))
    told = codes(accepted(tunesmith, "a.csv"))["label-twins"]
    assert told["level"] == "warning" and told["fix"] == "say --merge-labels to merge them, or mend the cells"
    assert "'YES' → 'yes', 'Yes' → 'yes', 'yes ' → 'yes'" in told["message"] and told["rows"] == ["a.csv, row 4", "a.csv, row 11", "a.csv, row 41"]
    merged = accepted(tunesmith, "a.csv", "--merge-labels")
    assert "label-twins" not in codes(merged) and [e["count"] for e in merged["ledger"] if e["action"] == "merged"] == [3]


def test_26_the_plan_counts_labels_as_they_will_be_learned(tunesmith, here, tiny_bert) -> None:
    write("a.csv", as_csv(changed({3: "Yes", 10: "yes ", 40: "YES"})))
    why = [tunesmith("plan", "a.csv", "--model", tiny_bert, "--json", *words).json[0]["why"]["task"] for words in ((), ("--merge-labels",))]
    assert "holds 5 different values" in why[0] and "holds 2 different values" in why[1], why


def test_29_a_class_of_one_row_is_told_and_learned(tunesmith, here) -> None:
    write("a.csv", as_csv(changed({7: "rare"})))
    told = codes(accepted(tunesmith, "a.csv"))["single-row-class"]
    assert told["message"] == "1 label with one row (rare): it goes to train, and no score speaks of it" and told["rows"] == ["a.csv, row 8"]


def test_30_text_in_one_file_and_numbers_in_the_other_are_one_label_and_that_is_said(tunesmith, here) -> None:
    write("a.jsonl", as_jsonl(rows(labels=("0", "1"))))
    write("b.csv", as_csv(rows(40, ("0", "1"), start=300)))
    told = codes(accepted(tunesmith, "a.jsonl", "--test", "b.csv"))["label-types"]
    assert told["message"].startswith("column 'label' is text in train and whole numbers in test: labels are compared as texts")


def test_33_near_duplicates_across_files_are_told_with_their_twins(tunesmith, here) -> None:
    train = rows()
    write("a.csv", as_csv(train))
    write("b.csv", as_csv([(train[4][0] + " too", "yes"), (train[9][0].upper(), "no"), *rows(30, start=300)]))
    told = codes(accepted(tunesmith, "a.csv", "--test", "b.csv"))["leaked-test"]
    assert told["level"] == "warning" and told["rows"] == ["b.csv, row 1 (as a.csv, row 5)", "b.csv, row 2 (as a.csv, row 10)"]
    assert "2 of 32 test rows" in told["message"] and "scores are given without them too" in told["message"]


def test_34_a_copied_label_is_told(tunesmith, here) -> None:
    write("a.csv", as_csv([(t, "p" if y == "yes" else "q", y) for t, y in rows()], "text,copy,label"))
    told = codes(accepted(tunesmith, "a.csv", "--label", "label", "--text", "text"))["column-predicts-label"]
    assert told["message"] == "column 'copy' predicts label alone at 100%; it is not an input here"


def test_35_no_tag_is_an_answer(tunesmith, here) -> None:
    write("a.csv", as_csv([(t, ["a", "b|c", "", "c|a"][i % 4]) for i, (t, _) in enumerate(rows())], "text,tags"))
    found = accepted(tunesmith, "a.csv")
    assert not {"empty-label", "unknown-label"} & set(codes(found)), found
    write("b.jsonl", "".join(json.dumps({"text": t, "tags": [["a"], ["b", "c"], [], ["c"]][i % 4]}) + "\n" for i, (t, _) in enumerate(rows())))
    assert not {"empty-label", "unknown-label"} & set(codes(accepted(tunesmith, "b.jsonl")))


@pytest.mark.parametrize(("long", "said"), [(120, "all training rows are longer than the 64 tokens"), (40, "% of the training rows are longer than the")])
def test_38_texts_longer_than_the_model_reads_are_a_warning_with_their_share(tunesmith, here, tiny_bert, long: int, said: str) -> None:
    write("a.csv", as_csv([(t if i >= long else " ".join([t] * 12), y) for i, (t, y) in enumerate(rows())]))
    found = tunesmith("plan", "a.csv", "--model", tiny_bert, "--json").json[0]
    told = codes(found)["texts-cut"]
    assert told["level"] == "warning" and said in told["message"] and "a model that reads more" in told["fix"]
    assert "rows lose their end" in found["why"]["options.max_tokens"]


def test_38_nothing_is_said_where_nothing_is_cut(tunesmith, here, tiny_bert) -> None:
    write("a.csv", as_csv(rows()))
    assert "texts-cut" not in codes(tunesmith("plan", "a.csv", "--model", tiny_bert, "--json").json[0])


@pytest.mark.parametrize("strategy", ["prompt", "prefix", "p-tuning"])
def test_38_learnt_tokens_take_their_place_from_the_text(tunesmith, here, tiny_bert, strategy: str) -> None:
    write("a.csv", as_csv([(" ".join([t] * 12), y) for t, y in rows()]))
    found = tunesmith("plan", "a.csv", "--model", tiny_bert, "--strategy", strategy, "--json").json[0]
    assert found["spec"]["options"]["max_tokens"] == 64 - 20
    assert "learnt tokens take 20 of its 64 positions" in found["why"]["options.max_tokens"]


def test_the_ledger_says_how_files_were_read(tunesmith, here) -> None:
    write("a.csv", as_csv(rows()))
    assert ledger_of(accepted(tunesmith, "a.csv")).startswith("a.csv: delimiter comma; the first line names the columns")
