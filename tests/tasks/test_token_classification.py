"""Token classification: what it claims, what it refuses by row, and that right labels give the user's own words back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tests.runs import write_lines
from tests.tiny_encoders import make
from tunesmith import api
from tunesmith.data.arrays import objects
from tunesmith.data.profile import Profile
from tunesmith.data.table import Table
from tunesmith.errors import DataError, SpecError
from tunesmith.inference import Encoded, encode
from tunesmith.parts import entities, marked, words
from tunesmith.tasks.text_multilabel import TextMultilabel
from tunesmith.tasks.token_classification import TokenClassification

TEXT = "Anna Bell lives in New York, not in Rome."


@pytest.fixture(scope="module")
def tokenizer(tiny_bert: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_bert)


@pytest.fixture(scope="module", params=["bert", "roberta", "deberta-v2"])
def any_tokenizer(request: pytest.FixtureRequest, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Tokenizers of words, of bytes, and of pieces that begin with their space."""
    folder = tiny_bert if request.param == "bert" else make(tmp_path_factory.mktemp("models") / request.param, request.param)
    return AutoTokenizer.from_pretrained(folder)


def _tagged(*rows: tuple[str, str]) -> Table:
    return Table.of([{"tokens": tokens.split(), "tags": tags.split()} for tokens, tags in rows], "a.conll")


def _spanned(*rows: list[Any], text: str = TEXT) -> Table:
    return Table.of([{"text": text, "spans": json.dumps(spans)} for spans in rows], "a.jsonl")


SPANNED = TokenClassification(text="text", spans="spans")


# -- tables -----------------------------------------------------------------------------------------------------------

TOKENS, TAGS = [["we", "saw", "Rome"], ["Anna", "Bell", "ate"], ["no"]] * 9, [["O", "O", "B-LOC"], ["B-PER", "I-PER", "O"], ["O"]] * 9
SPANS = [[{"start": 0, "end": 9, "label": "PER"}], [{"start": 19, "end": 27, "label": "LOC"}], []] * 9


@pytest.mark.parametrize("columns, named, roles", [
    ({"tokens": TOKENS, "ner_tags": TAGS}, {}, {"tokens": "tokens", "tags": "ner_tags"}),
    ({"tokens": list(map(json.dumps, TOKENS)), "tags": list(map(json.dumps, TAGS))}, {}, {"tokens": "tokens", "tags": "tags"}),
    ({"said": [" ".join(row) + f" {n}" for n, row in enumerate(TOKENS)], "slots": [" ".join(row) + " O" for row in TAGS]}, {},
     {"tokens": "said", "tags": "slots"}),
    ({"words": TOKENS, "pos": [["X"] * len(row) for row in TAGS]}, {}, {"tokens": "words", "tags": "pos"}),
    ({"text": [f"{TEXT} {n}" for n in range(27)], "entities": SPANS}, {}, {"text": "text", "spans": "entities"}),
    ({"text": [f"{TEXT} {n}" for n in range(27)], "label": ['[[0, 4, "PER"]]', "[]", '[[36, 40, "LOC"]]'] * 9}, {},
     {"text": "text", "spans": "label"}),
    ({"a": TOKENS, "b": TAGS, "c": TAGS}, {"tags": "c"}, {"tokens": "a", "tags": "c"}),
])
def test_it_claims_tags_and_spans(columns: dict[str, Any], named: dict[str, str], roles: dict[str, str]) -> None:
    profile = Profile.of(Table.of(columns))
    found = TokenClassification.claim(profile, named)
    assert found and {role: choice.value for role, choice in found.columns.items()} == roles
    other = TextMultilabel.claim(profile, {})
    assert other is None or other.sure < found.sure


@pytest.mark.parametrize("columns", [
    {"text": [f"{n} {TEXT}" for n in range(40)], "label": ["good", "bad"] * 20},
    {"text": [f"{n} {TEXT}" for n in range(40)], "labels": [["joy", "fear"], ["joy"]] * 20},
    {"text": [f"{n} {TEXT}" for n in range(40)], "score": [0.1 * n for n in range(40)]},
])
def test_it_leaves_other_tables_alone(columns: dict[str, Any]) -> None:
    assert TokenClassification.claim(Profile.of(Table.of(columns)), {}) is None


def test_columns_named_exclude_each_other() -> None:
    assert SPANNED.columns((*SPANNED.inputs, *SPANNED.targets)) == ["text", "spans"]
    spaced = TokenClassification(text="said", tags="slots")
    assert spaced.columns((*spaced.inputs, *spaced.targets)) == ["said", "slots"] and spaced.tokens == "said"
    with pytest.raises(SpecError):
        TokenClassification(scheme="BIOX")


# -- findings ---------------------------------------------------------------------------------------------------------


def test_tags_shorter_than_tokens_are_refused_by_row() -> None:
    table = _tagged(("we saw Rome", "O O B-LOC"), ("Anna ate", "B-PER"), ("he ate it", "O O O O"))
    found = next(f for f in TokenClassification().check(table) if f.level == "error")
    assert (found.level, found.code) == ("error", "tags-length") and found.rows == ("a.conll, row 2", "a.conll, row 3")
    assert "1 tag for 2 tokens" in found.message
    with pytest.raises(DataError, match="a.conll, row 2, column 'tags': expected a tag for each token, got 1 tag for 2 tokens"):
        TokenClassification().fit(table)


def test_a_tag_of_no_scheme_is_a_mistake_where_the_others_have_one() -> None:
    table = _tagged(("we saw Rome", "O O B-LOC"), ("Anna ate", "B-PER 0"))
    for task in (TokenClassification(), TokenClassification(broken="mend")):
        found = next(f for f in task.check(table) if f.level == "error")
        assert found.code == "unknown-tag" and found.rows == ("a.conll, row 2",) and "got '0' (token 2)" in found.message
    assert TokenClassification(scheme="IO").fit(table).types == ("0", "B-LOC", "B-PER")


def test_letters_alone_are_spans_of_one_kind(tokenizer: Any) -> None:
    table = _tagged(("good film yes", "O B O"), ("the red film", "B I I"))
    task = TokenClassification().fit(table).suit(table, tokenizer, 64, "none")
    assert (task.written, task.types) == ("BIO", ("_",)) and [row["spans"] for row in task.truth(table)] == [[[1, 2, "_"]], [[0, 3, "_"]]]
    assert [row["tags"] for row in task.answers(_says(task, encode(task, tokenizer, table)))] == table.column("tags")


def test_broken_sequences_are_refused_or_mended() -> None:
    table = _tagged(("we saw New York", "O O O I-LOC"), ("Anna Bell ate", "B-PER I-PER O"), ("Rome Rome", "B-LOC I-PER"))
    found = next(f for f in TokenClassification().check(table) if f.level == "error")
    assert found.code == "broken-tags" and found.rows == ("a.conll, row 1", "a.conll, row 3") and "broken=mend" in found.fix
    assert "'I-LOC' after 'O' (token 4)" in found.message
    mending = TokenClassification(broken="mend")
    assert not [f for f in mending.check(table) if f.level == "error"]
    assert mending.fit(table).truth(table)[0] == {"words": 4, "spans": [[3, 4, "LOC"]]}


@pytest.mark.parametrize("spans, code, message", [
    ([[0, 99, "PER"]], "span-range", "0 to 99 of 41 characters"), ([[4, 4, "PER"]], "span-range", "4 to 4"),
    ([[-1, 4, "PER"]], "span-range", "-1 to 4"), ([[0, 9, "PER"], [5, 9, "PER"]], "span-overlap", "'Anna Bell' (PER) and 'Bell' (PER)"),
    ([[9, 10, "PER"]], "span-empty", "space"), (["PER"], "bad-span", "'PER'"), ([{"start": 0, "label": "PER"}], "bad-span", "start"),
    ([{"start": 0, "end": 4, "label": "PER", "text": "Bell"}], "span-text", "'Bell' where the text has 'Anna'"),
    ([[0, 4, " "]], "empty-label", "0 to 4"), ([[0, 4.5, "PER"]], "bad-span", "4.5"), ([[True, 4, "PER"]], "bad-span", "True"),
])
def test_bad_spans_are_refused_by_row(spans: list[Any], code: str, message: str) -> None:
    table = _spanned([[0, 9, "PER"]], spans)
    (found,) = [f for f in SPANNED.check(table) if f.level == "error"]
    assert found.code == code and found.rows == ("a.jsonl, row 2",) and message in found.message
    with pytest.raises(DataError, match="row 2"):
        SPANNED.fit(table)


def test_odd_rows_are_told() -> None:
    inside = _spanned([[0, 3, "PER"]], [[0, 4, "PER"]], [[36, 40, "LOC"]])
    codes = {f.code: f for f in SPANNED.check(inside)}
    assert codes["span-inside-word"].rows == ("a.jsonl, row 1",) and codes["single-row-class"].rows == ("a.jsonl, row 3",)
    assert {f.code for f in TokenClassification().check(_tagged(("a b", "O O")))} == {"no-entities"}
    hollow = Table.of({"tokens": [["a"], ["b", "", " "]], "tags": [["B-X"], ["O", "B-X", "O"]]}, "a.jsonl")
    assert [(f.code, f.rows) for f in TokenClassification().check(hollow)] == [("empty-token", ("a.jsonl, row 2",))]
    missing = Table.of({"tokens": [["a"], ["b"]], "tags": [["B-X"], None]}, "a.jsonl")
    assert [(f.code, f.rows) for f in TokenClassification().check(missing) if f.level == "error"] == [("empty-tags", ("a.jsonl, row 2",))]


def test_types_that_training_never_saw_are_named_before_the_first_step_and_when_judged(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [{"tokens": ["Anna", "saw", f"film{n}"], "tags": ["B-PER", "O", "O"]} for n in range(40)]
    train = write_lines(tmp_path / "train.jsonl", rows[:36])
    test = write_lines(tmp_path / "test.jsonl", [row | {"tags": ["B-PER", "O", "B-NEW"]} for row in rows[36:38]] + rows[38:])
    spec = api.make_spec(str(train), test=str(test), model=str(tiny_bert), **{"data.near_duplicates": 0.0})
    ready = api.plan(spec)
    (found,) = [f for f in ready.data.findings if f.code == "unknown-label"]
    assert found.level == "warning" and found.message.startswith("test: 2 rows with types") and "'NEW' (2)" in found.message
    assert found.rows == ("test.jsonl, row 1", "test.jsonl, row 2")
    loaded = SimpleNamespace(task=ready.task, processor=None)
    finished: Any = SimpleNamespace(predictor=loaded, read=lambda *_: ready.data.test, run=SimpleNamespace(spec=ready.plan.spec))
    assert [f.message for f in api._labelled(finished, test, {}).findings] == [found.message.removeprefix("test: ")]
    assert ready.task.unlearned(ready.data.train) == []


# -- rows there and back ----------------------------------------------------------------------------------------------


def _says(task: TokenClassification, encoded: Encoded) -> dict[str, np.ndarray]:
    """What a model says that knows every label: one score for each word's token, by windows."""
    count = len(entities.labels(task.types, task.written == "plain"))
    tags, own = encoded.arrays["tags"], encoded.arrays["words"]
    logits = [9.0 * np.eye(count, dtype=np.float32)[tags[at][own[at] >= 0]] for at in range(len(encoded))]
    return task.gather({"logits": objects(logits)}, encoded)


WORD = st.sampled_from(["good", "film", "xyz", "[SEP]", "北", "京", "don't", "a-b", "😀", "é", "the"])
KIND = st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(st.tuples(WORD, KIND), max_size=60), min_size=1, max_size=4))
def test_right_labels_give_the_users_words_whatever_the_windows(any_tokenizer: Any, rows: list[list[tuple[str, str]]]) -> None:
    rows = [*rows, [("good", "B-X")]]
    table = Table.of({"tokens": [[word for word, _ in row] for row in rows], "tags": [[tag for _, tag in row] for row in rows]})
    task = TokenClassification(broken="mend", max_tokens=16).fit(table).suit(table, any_tokenizer, 64, "none")
    encoded, truth = encode(task, any_tokenizer, table), task.truth(table)
    assert encoded.lengths_N.max() <= 16
    outputs = _says(task, encoded)
    assert set(task.score(outputs, truth).values()) == {1.0}
    for answer, said, true in zip(task.answers(outputs), table.column("tokens"), truth):
        own = words.of_tokens(said)
        assert answer["text"] == own.text and len(answer["tags"]) == len(said)
        found = [(one["start"], one["end"], one["type"]) for one in answer["entities"]]
        assert found == [(own.span_W2[a][0], own.span_W2[b - 1][1], kind) for a, b, kind in true["spans"]]
        assert all(one["text"] == own.text[one["start"] : one["end"]] and 0.9 < one["confidence"] <= 1 for one in answer["entities"])


def test_each_word_has_one_label_over_all_windows(tokenizer: Any) -> None:
    table = _tagged((" ".join(["good", "xyz"] * 40), " ".join(["O", "B-X"] * 40)))
    task = TokenClassification(max_tokens=16).fit(table).suit(table, tokenizer, 64, "none")
    encoded = encode(task, tokenizer, table)
    assert len(encoded) > 5 and (encoded.row_N == 0).all()
    own = encoded.arrays["words"].values
    assert sorted(own[own >= 0].tolist()) == list(range(80))
    assert int((encoded.arrays["tags"].values >= 0).sum()) == 80, "the loss counts each word once"


def test_spans_of_characters_come_back_as_they_were(tokenizer: Any) -> None:
    table = _spanned([[0, 9, "PER"], [19, 27, "LOC"]], [], [[36, 40, "LOC"], [0, 4, "PER"]])
    task = SPANNED.fit(table).suit(table, tokenizer, 64, "none")
    found = task.answers(_says(task, encode(task, tokenizer, table)))
    assert [[(e["text"], e["type"], e["start"], e["end"]) for e in row["entities"]] for row in found] == [
        [("Anna Bell", "PER", 0, 9), ("New York", "LOC", 19, 27)], [], [("Anna", "PER", 0, 4), ("Rome", "LOC", 36, 40)],
    ]


@pytest.mark.parametrize("text", ["[the]  film\twas good ", "我 在  北 京 good"])
def test_tokens_between_spaces_keep_their_places_in_the_users_own_text(tokenizer: Any, text: str) -> None:
    tags = " ".join(["O"] * (len(text.split()) - 2) + ["B-X", "I-X"])
    table = Table.of([{"tokens": text, "tags": tags}, {"tokens": "a film", "tags": "O B-X"}], "a.csv")
    task = TokenClassification().fit(table).suit(table, tokenizer, 64, "none")
    answer = task.answers(_says(task, encode(task, tokenizer, table)))[0]
    (found,) = answer["entities"]
    assert task.spaced and answer["text"] == text and found["text"] == text[found["start"] : found["end"]]
    assert found["text"].split() == text.split()[-2:] and answer["tags"] == tags.split()


def test_a_text_that_begins_with_a_bracket_is_a_text(tokenizer: Any) -> None:
    table = _tagged(("we saw Rome", "O O B-LOC"))
    task = TokenClassification().fit(table).suit(table, tokenizer, 64, "none")
    (example,) = task.encode([{"tokens": "[Rome]  it is."}], tokenizer)
    assert example["span"].tolist() == [[0, 1], [1, 5], [5, 6], [8, 10], [11, 13], [13, 14]]


def test_spans_of_tokens() -> None:
    table = Table.of({"tokens": [["Anna", "Bell", "ate"]], "entities": [[{"start": 0, "end": 2, "type": "PER"}]]})
    task = TokenClassification(tokens="tokens", spans="entities")
    assert task.fit(table).truth(table)[0] == {"words": 3, "spans": [[0, 2, "PER"]]}
    assert [f.code for f in task.check(table.with_column("entities", [[{"start": 0, "end": 9, "type": "PER"}]]))] == ["span-range"]


def test_answers_are_written_in_the_users_scheme(tokenizer: Any) -> None:
    table = _tagged(("we saw New York", "O O B-LOC E-LOC"), ("Rome", "S-LOC"))
    task = TokenClassification().fit(table).suit(table, tokenizer, 64, "none")
    assert task.written == "BIOES"
    assert [row["tags"] for row in task.answers(_says(task, encode(task, tokenizer, table)))] == table.column("tags")


def test_numbered_tags_need_names(tokenizer: Any) -> None:
    table = Table.of({"tokens": [["we", "saw", "Rome"]] * 2, "tags": [[0, 0, 1]] * 2})
    task = TokenClassification(tag_names=("O", "B-LOC", "I-LOC"))
    assert task.fit(table).truth(table)[0] == {"words": 3, "spans": [[2, 3, "LOC"]]}
    assert [f.code for f in task.check(table.with_column("tags", [[0, 0, 7]] * 2))] == ["unknown-tag"]
    (found,) = TokenClassification().check(table)
    assert (found.level, found.code) == ("error", "numbered-tags") and "(0, 1)" in found.message
    assert not [f for f in TokenClassification(scheme="plain").check(table) if f.level == "error"], "parts of speech may be numbers"


def test_new_rows_may_be_texts_lists_or_json(tokenizer: Any) -> None:
    table = _tagged(("we saw Rome", "O O B-LOC"))
    task = TokenClassification().fit(table).suit(table, tokenizer, 64, "none")
    for cell in ("we saw Rome!", ["we", "saw", "Rome", "!"], '["we", "saw", "Rome", "!"]'):
        examples = task.encode([{"tokens": cell}], tokenizer)
        assert "tags" not in examples[0] and len(examples[0]["span"]) == 4
    with pytest.raises(DataError, match="row 1, column 'tokens': expected a list of tokens"):
        task.encode([{"tokens": [["a"]]}], tokenizer)


def test_baselines_remember_words_and_entities() -> None:
    train = _tagged(("Anna Bell saw New York", "B-PER I-PER O B-LOC I-LOC"), ("Anna ate in May", "B-PER O O B-X"), ("you may go", "O O O"))
    rows = _tagged(("anna bell likes new york", "B-PER I-PER O B-LOC I-LOC"), ("new may go", "O O O"))
    task = TokenClassification().fit(train)
    found = task.baselines(train, rows)
    scores = {name: task.score(outputs, task.truth(rows)) for name, outputs in found.items()}
    assert scores["gazetteer"]["entity_f1"] == 1.0
    assert scores["usual tag of a word"]["entity_f1"] < 1.0, "new alone is no place, but its usual tag says so"


def test_balanced_weights_add_up(tokenizer: Any) -> None:
    import torch

    table = _tagged(("we saw Rome", "O O B-LOC"), ("no one ate", "O O O"))
    task = TokenClassification().fit(table).suit(table, tokenizer, 64, "weights")
    made = task.collate(task.encode(table.rows(), tokenizer), 0)
    logits = torch.zeros(*made["tags"].shape, 3)
    assert task.weight(made) == pytest.approx(6.0), "one on average over the words"
    assert float(task.loss(lambda _: logits, made)) == pytest.approx(6.0 * np.log(3), rel=1e-5)


def test_the_report_marks_counts_and_orders(tokenizer: Any) -> None:
    table = _spanned([[0, 9, "PER"], [36, 40, "LOC"]], [[19, 27, "LOC"]], [])
    task = SPANNED.fit(table).suit(table, tokenizer, 64, "none")
    outputs = _says(task, encode(task, tokenizer, table))
    wrong = dict(outputs) | {"logits": objects([outputs["logits"][0], outputs["logits"][2], outputs["logits"][2]])}
    found = task.grade(wrong, task.truth(table))
    assert found.right_N.tolist() == [True, False, True] and found.loss_N.argmax() == 1
    assert found.truth[1] == "New York (LOC)" and found.answer[1] == "none"
    assert {(m.start, m.end, m.of, m.label) for m in found.marks[0]} == {
        (0, 9, "truth", "PER"), (0, 9, "answer", "PER"), (36, 40, "truth", "LOC"), (36, 40, "answer", "LOC"),
    }
    assert found.counts_NK3 is not None and found.counts_NK3.sum(0).tolist() == [[1, 1, 2], [1, 1, 1]]
    assert found.pieces is not None and found.pieces.right_M.all() and found.pieces.row_M.tolist() == [0, 0]
    assert task.grade(task.condense(wrong, task.truth(table)), task.truth(table)).right_N.tolist() == [True, False, True]


def test_options_travel_in_json() -> None:
    task = dataclasses.replace(SPANNED, types=("A",), written="BIO", temperature=1.5)
    assert TokenClassification.from_json(json.loads(json.dumps(task.as_json()))) == task


def test_cells_as_people_write_them() -> None:
    forms = ['[{"start": 0, "end": 4, "label": "PER"}]', [{"start_offset": 0, "end_offset": 4, "type": "PER"}], [[0, 4, "PER"]]]
    assert {marked.mentions(form)[0] for form in forms} == {marked.Mention(0, 4, "PER")} and marked.mentions(None) == []
