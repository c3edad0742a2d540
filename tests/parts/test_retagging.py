"""Changed tagged rows: entities stay whole and of their type, other rows stay, judged rows always; to the same bits after a stop."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.runs import assert_ends_alike, write_lines
from tunesmith import api
from tunesmith.data.table import Table
from tunesmith.errors import SpecError
from tunesmith.inference import Later, encode
from tunesmith.models.source import processor
from tunesmith.parts import augment, retagging, words
from tunesmith.tasks.token_classification import TokenClassification
from tunesmith.training.stages import Work, this_epoch
from tunesmith.training.state import State

TEXTS = [
    ("Well, Anna Bell (of Rome) met B-52 pilots, in New York-Paris trains.", ["Anna Bell", "Rome", "B-52", "New York", "Paris"]),
    ("在北京 Paris 和上海，Anna Bell 很好 now", ["北京", "上海", "Anna Bell"]),
    ("Rome", ["Rome"]), ("we saw nothing of it", []), ("", []),
]  # fmt: skip
KINDS = {"Anna Bell": "PER", "B-52": "THING"}
WAYS = ("swap", "drop", "synonym", "mention")


def read(text: str, names: Sequence[str]) -> retagging.Read:
    said, spans = words.of_text(text), []
    for name in names:
        at = text.index(name)
        start, end = said.span_W2[:, 0].searchsorted(at), said.span_W2[:, 0].searchsorted(at + len(name))
        spans.append((int(start), int(end), KINDS.get(name, "LOC")))
    return said, sorted(spans)


def change(*ways: str, share: float = 0.5, tagged: bool = False) -> retagging.Change:
    rows = [read(*one) for one in TEXTS]
    found = dict(zip(("LOC", "PER"), retagging.gathered([*rows, read("Bo-Li, Anna Bell", ["Anna Bell"])], ("LOC", "PER"))))
    return retagging.Change(ways, share, augment.by_word([("well", "so"), ("met", "saw", "ran into")]), found, tagged)


def draws(n: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(n)]


def entities(row: retagging.Read) -> list[tuple[str, str]]:
    said, spans = row
    return [(said.text[said.span_W2[start][0] : said.span_W2[end - 1][1]], kind) for start, end, kind in spans]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_entities_stay_whole_in_their_order_and_words_stay_apart(text: tuple[str, list[str]], way: str) -> None:
    row = read(*text)
    for draw in draws(60):
        said, spans = change(way).row(*row, draw)
        assert [kind for *_, kind in spans] == [kind for *_, kind in row[1]]
        assert all(one[1] <= other[0] for one, other in zip(spans, spans[1:])) and all(0 <= s < e <= len(said) for s, e, _ in spans)
        if way != "synonym":  # which may be of several words
            np.testing.assert_array_equal(said.span_W2, words.of_text(said.text).span_W2)
        if way in ("drop", "synonym"):
            assert entities((said, spans)) == entities(row)
        if way == "swap":
            parts = lambda found: [(Counter(name.replace(" ", "")), kind) for name, kind in entities(found)]  # noqa: E731
            assert parts((said, spans)) == parts(row) and Counter(said.strings()) == Counter(row[0].strings())


def test_each_way_changes_a_row_that_allows_it_and_what_it_says_it_does() -> None:
    row = read(*TEXTS[0])
    for way in WAYS:
        assert {change(way).row(*row, draw)[0].text for draw in draws(60)} - {row[0].text}, way
    outside = lambda one: [w for at, w in enumerate(one[0].strings()) if not any(s <= at < e for s, e, _ in one[1])]  # noqa: E731
    for draw in draws(60):
        named = change("mention").row(*row, draw)
        assert outside(named) == outside(row)
        assert {name for name, kind in entities(named) if kind == "LOC"} <= {"Rome", "New York", "Paris", "北京", "上海"}
        rest = iter(outside(row))
        assert all(word in rest for word in outside(change("drop").row(*row, draw)))
        assert set(outside(change("synonym").row(*row, draw))) - set(outside(row)) <= {"So", "saw", "ran into"}


def test_an_entity_is_replaced_by_another_of_its_type_never_by_itself() -> None:
    row = read("we saw Rome", ["Rome"])
    found = Counter(entities(change("mention").row(*row, draw))[0] for draw in draws(400))
    assert set(found) == {("New York", "LOC"), ("Paris", "LOC"), ("北京", "LOC"), ("上海", "LOC")} and min(found.values()) > 70
    assert change("mention").row(*read("Anna Bell", ["Anna Bell"]), draws(1)[0])[0].text == "Anna Bell"  # the only one of its type


def test_where_each_word_has_a_tag_synonyms_keep_it() -> None:
    said, spans = words.of_tokens(["We", "met", "here"]), [(0, 1, "PRON"), (1, 2, "VERB"), (2, 3, "ADV")]
    made, kept = change("synonym", tagged=True).row(said, spans, draws(1)[0])
    assert made.strings()[1] in ("saw", "ran into") and list(kept) == spans


# -- the task ---------------------------------------------------------------------------------------------------------

NAMES = ["Anna Bell", "Bo Li", "Cy", "Dora Maria Stone"]


def rows(n: int, long: Sequence[int] = ()) -> list[dict[str, list[str]]]:
    found = []
    for at in range(n):
        name = NAMES[at % 4].split()
        rest = [f"w{at}", "then", "met", str(at)] * (12 if at in long else 1)
        found.append({"tokens": ["we", "saw", *name, *rest], "tags": ["O", "O", "B-PER", *["I-PER"] * (len(name) - 1), *["O"] * len(rest)]})
    return found


def test_rows_that_are_read_in_windows_stay_and_the_others_change_alone_or_together(tiny_bert: Path) -> None:
    from tunesmith.models.source import find

    reader, table = processor(find(str(tiny_bert))), Table.of(rows(8, long=(2, 5)))
    task = TokenClassification(augment=("mention", "drop"), augment_rows=1.0).fit(table).settle(tokens_kept=32)
    whole = encode(task, reader, table)
    assert len(whole) > len(table)
    epoch = whole.changing(task, reader, table).at(0, 1)
    positions = range(len(whole))
    made, plain = epoch.examples(positions), whole.examples(positions)
    counts = Counter(whole.row_N.tolist())
    for at, (one, other) in enumerate(zip(made, plain)):
        same = np.array_equal(one["input_ids"], other["input_ids"]) and np.array_equal(one["tags"], other["tags"])
        assert same == (counts[int(whole.row_N[at])] > 1)
        assert "row" not in one and (np.asarray(one["tags"]) >= 0).sum() == (np.asarray(one["words"]) >= 0).sum()
    again = epoch.examples(reversed(positions))[::-1]
    assert all(np.array_equal(one["input_ids"], other["input_ids"]) for one, other in zip(made, again))


def test_a_change_that_needs_a_second_window_is_not_made(tiny_bert: Path) -> None:
    from tunesmith.models.source import find

    reader, table = processor(find(str(tiny_bert))), Table.of(rows(4))
    task = TokenClassification(augment=("mention",), augment_rows=1.0).fit(table)
    plain = encode(task.settle(tokens_kept=64), reader, table)
    tight = task.settle(tokens_kept=int(plain.lengths_N.max()))
    for epoch in range(5):
        made = Later(tight, reader, table, drawn=(0, epoch)).examples(range(4))
        assert len(made) == 4 and max(len(one["input_ids"]) for one in made) <= tight.tokens_kept


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augment": ["back-translation"]}, "option 'augment' of token-classification"),
        ({"augment": ["synonym"]}, "expected a file for `augment: .synonym.`"),
        ({"augment": ["drop"], "scheme": "plain"}, "expected `synonym` or `mention` where each word has a tag of its own"),
        ({"augment": ["swap"], "scheme": "plain"}, "leave `swap` out"),
        ({"augment": ["mention"]}, "a type with two different entities in the training rows, got none"),
        ({"augment": ["drop"], "augment_rows": 2.0}, "augment_rows"),
    ],
)
def test_ways_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    table = Table.of([{"tokens": ["we", "saw", "Cy"], "tags": ["O", "O", "B-PER"]}] * 4)
    with pytest.raises(SpecError, match=message):
        TokenClassification.build(options, "token-classification").fit(table)


VALUES = {"train.epochs": 2, "train.batch": 8, "train.threads": 1, "train.save_every": 3, "data.near_duplicates": 0.0, "strategy": "full"}
OPTIONS = {"augment": ["mention", "swap", "drop"], "augment_rows": 0.9}


def asked(folder: Path, model: Path, **options: object) -> tuple[str, dict[str, object]]:
    values = VALUES | {"model": str(model), "runs": str(folder / "runs"), "options": OPTIONS | options}
    return str(write_lines(folder / "rows.jsonl", rows(60))), values


def test_training_rows_change_with_the_epoch_and_a_stopped_run_ends_in_the_same_bits(tmp_path: Path, tiny_bert: Path) -> None:
    data, values = asked(tmp_path, tiny_bert)
    plan = api.plan(api.make_spec(data, **values))
    whole = State.start(plan)
    work = Work.of(whole)
    whole.enter_stage()
    ids = lambda encoded: [e["input_ids"].tolist() for e in encoded.examples(range(len(plan.data.train)))]  # noqa: E731
    first = ids(this_epoch(whole, work))
    whole.step = 1000
    assert first != ids(this_epoch(whole, work)) and not work.validation.encoded.augmented
    assert_ends_alike(plan, tmp_path, 8)


def test_a_finished_run_does_not_hold_the_training_rows_entities(tmp_path: Path, tiny_bert: Path) -> None:
    data, values = asked(tmp_path, tiny_bert, crf=True)
    run = api.fit(data, **values)
    kept = json.loads((run.path / "task.json").read_text("utf-8"))["values"]
    assert kept["mentions"] == [] and kept["types"] == ["PER"] and kept["augment"] == ["mention", "swap", "drop"]
    assert "entities" in run.predict(["we saw Anna Bell then"])[0]


def test_the_task_comes_back_from_its_json() -> None:
    task = TokenClassification(augment=("mention",)).fit(Table.of(rows(8)))
    assert TokenClassification.from_json(json.loads(json.dumps(task.as_json()))) == task
    assert dataclasses.replace(task, mentions=()) == task.at_rest()
