"""Settings that cannot be used: the key, what was found, what may stand there; nothing is read or written before."""

# ruff: noqa: E501  sentences are written whole, as a user reads them
from __future__ import annotations

import json

import pytest

from tests.cases.conftest import as_csv, rows, write
from tests.cases.test_tables import matches
from tunesmith.plain_yaml import parse_value

TASKS = "text-classification"
REFUSED: dict[str, tuple[str, tuple[str, ...], str, str]] = {
    # case -> spec.yaml, more words, code, the sentence
    "59 unknown key": ("lern: 1\n", (), "unknown-key", "s.yaml, key 'lern': expected a known setting, got 'lern'; use one of task, options, model, …"),
    "59 near key": ("train: {epoch: 1}\n", (), "unknown-key", "s.yaml, key 'train.epoch': expected a known setting, got 'epoch'; did you mean 'epochs'?"),
    "59 near flag": ("", ("--set", "train.lrr=1"), "unknown-key", "--set train.lrr: expected a setting, got 'train.lrr'; did you mean 'train.lr'?"),
    "59 a number with a space": ("train: {lr: '2e-5 '}\n", (), "bad-value", "s.yaml, key 'train.lr': expected a number above 0 or \"auto\", got '2e-5 '; see docs/reference.md"),
    "59 epochs": ("train: {epochs: -1}\n", (), "bad-value", "s.yaml, key 'train.epochs': expected a number above 0 or \"auto\", got -1; …"),
    "59 batch": ("train: {batch: 0}\n", (), "bad-value", "s.yaml, key 'train.batch': expected a whole number at least 1 or \"auto\", got 0; …"),
    "59 NaN": ("train: {lr: .nan}\n", (), "bad-value", "s.yaml, key 'train.lr': expected a number above 0 or \"auto\", got nan; …"),
    "59 true for a number": ("train: {epochs: true}\n", (), "bad-value", "s.yaml, key 'train.epochs': expected a number above 0 or \"auto\", got True; …"),
    "strategy option": ("strategy: lora\nstrategy_options: {rank: x}\n", (), "bad-option", "option 'rank' of lora: expected a whole number at least 1, got 'x'; …"),
    "strategy option unknown": ("strategy: lora\nstrategy_options: {rnk: 3}\n", (), "unknown-option", "options of lora: expected an option of the strategy, got 'rnk'; did you mean 'rank'?"),
    "task": ("task: text-clasification\n", (), "unknown-task", "task: expected the name of a task, got 'text-clasification'; did you mean 'text-classification'?"),
    "strategy": ("strategy: lorra\n", (), "unknown-strategy", "strategy: expected the name of a strategy, got 'lorra'; did you mean 'lora'?"),
    "a budget of nothing": ("", ("--budget", "0s"), "bad-budget", "train.budget: expected a time such as 90s, 10m or 2h, got '0s'; say more than nothing"),
    "a budget without unit": ("", ("--budget", "10"), "bad-budget", "train.budget: expected a time such as 90s, 10m or 2h, got '10'; add the unit"),
    "a budget in words": ("", ("--budget", "soon"), "bad-budget", "train.budget: expected a time such as 90s, 10m or 2h, got 'soon'; write a number and its unit"),
    "metric": ("evaluate: {metric: f1}\n", (), "unknown-metric", "evaluate.metric: expected a score of the task (macro_f1, …), got 'f1'; …"),
    "option of no task": ("options: {colour: red}\n", (), "unknown-option", "options: expected an option of a task, got 'colour'; …"),
    "option of a type": (f"task: {TASKS}\noptions: {{smoothing: a}}\n", (), "bad-option", "option 'smoothing' of text-classification: expected a number, got 'a'; see docs/reference.md"),
    "option, any task": ("options: {text: [a, {b: c}]}\n", (), "bad-option", "option 'text' of …: expected a text, got ('a', {'b': 'c'}); see docs/reference.md"),
    "option beyond its limits": (f"task: {TASKS}\noptions: {{smoothing: 2.0}}\n", (), "bad-value", "option smoothing: expected a number from 0 to 0.9, got 2.0; …"),
    "option that is a choice": (f"task: {TASKS}\noptions: {{loss_kind: focl}}\n", (), "bad-option", "option 'loss_kind' of text-classification: expected …\"focal\"…, got 'focl'; …"),
    "code in YAML": ("a: !!python/object/apply:os.system ['touch evil']\n", (), "bad-yaml", "s.yaml: expected plain YAML, got could not determine a constructor for the tag …; mend the file"),
    "YAML that is none": ("[1,2", (), "bad-yaml", "s.yaml: expected plain YAML, got …; mend the file"),
    "a section twice": ("data: {test: b.csv}\ntrain: {lr: 1e-4}\n'data': {limit: 9}\n", (), "duplicate-key", "s.yaml, line 3: expected each key once, got 'data' again (first in line 1); leave one of them out, …"),
    "a key twice": ("train:\n  lr: 1e-4\n  lr: 1e-3\n", (), "duplicate-key", "s.yaml, line 3: expected each key once, got 'lr' again (first in line 2); …"),
    "a key twice in words": ("", ("--set", "options={text: a, text: b}"), "duplicate-key", "--set options, line 1: expected each key once, got 'text' again …"),
    "a list": ("- 1\n", (), "bad-yaml", "s.yaml: expected keys with values, got list; …"),
    "aliases": ("a: &a [x]\nb: [" + ", ".join(["*a"] * 200) + "]\n", (), "yaml-aliases", "s.yaml: expected at most 100 aliases, got more; write the values out"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_key(refused, tiny_bert, case: str) -> None:
    content, words, code, sentence = REFUSED[case]
    write("s.yaml", content)
    spec = ("--spec", "s.yaml") if content else ()
    write("a.csv", as_csv(rows()))
    message = refused("fit", "a.csv", "--model", tiny_bert, *spec, *words, exit=2, code=code)
    assert matches(sentence, message), message


MISPLACED = {
    # option -> column, cell of row i, the sentence
    "loss_kind=focal": ("labels", lambda i: json.dumps(["a", *["b"] * (i % 2), *["c"] * (i % 3 == 0)]), "option 'loss_kind' of text-multilabel: expected \"bce\", \"asymmetric\", got 'focal'; …"),
    "loss_kind=foo": ("target", lambda i: f"{i * 0.37 % 5:.3f}", "option 'loss_kind' of text-regression: expected \"mse\", \"mae\", \"huber\", got 'foo'; …"),
    "label_names=x": ("target", lambda i: f"{i * 0.37 % 5:.3f}", "option 'label_names': expected an option of text-regression, the task that was found (…), got label_names=x, which only text-multilabel has; …"),
    "augment=[swap, dorp]": ("label", lambda i: "ab"[i % 2], "option 'augment' of text-classification: expected a list of …\"swap\"…, got ('swap', 'dorp'); …"),
}  # fmt: skip


@pytest.mark.parametrize("option", MISPLACED)
def test_an_option_that_does_not_suit_is_named_with_the_task_that_was_found(refused, tiny_bert, option: str) -> None:
    column, cell, sentence = MISPLACED[option]
    write("a.csv", as_csv([(text, cell(i)) for i, (text, _) in enumerate(rows())], f"text,{column}"))
    message = refused("plan", "a.csv", "--model", tiny_bert, "--option", option, exit=2)
    assert matches(sentence, message), message


def test_several_columns_are_named_with_commas_or_as_a_list(tunesmith, here, tiny_bert) -> None:
    cells = [(text, *(str(int(i % n == 0)) for n in (2, 3, 5))) for i, (text, _) in enumerate(rows())]
    write("a.csv", as_csv(cells, "text,red,big,old"))
    for words in (["--labels", "red,big,old"], ["--labels", "red", "--labels", "big", "--labels", "old"], ["--option", "labels=[red, big, old]"]):
        said = tunesmith("plan", "a.csv", "--model", tiny_bert, "--json", *words)
        assert said.code == 0 and said.json[0]["spec"]["options"]["labels"] == ["red", "big", "old"], said.err
    write("b.csv", as_csv([(text, '["a"]' if i % 2 else '["a", "b"]') for i, (text, _) in enumerate(rows())], 'text,"red,big"'))
    said = tunesmith("plan", "b.csv", "--model", tiny_bert, "--json", "--labels", "red,big")
    assert said.code == 0 and said.json[0]["spec"]["options"]["labels"] == "red,big", "a column may be called so"


def test_a_list_of_ways_can_be_typed_without_naming_the_task(tunesmith, here, tiny_bert) -> None:
    write("a.csv", as_csv(rows()))
    said = tunesmith("plan", "a.csv", "--model", tiny_bert, "--json", "--option", "augment=[swap, drop]")
    assert said.code == 0 and said.json[0]["spec"]["options"]["augment"] == ["swap", "drop"], said.err


@pytest.mark.parametrize("words", [("--budget", "0s"), ("--strategy", "lorra"), ("--task", "texts"), ("--set", "evaluate.metric=f1")])
def test_what_words_alone_tell_is_told_before_a_model_is_looked_at(refused, monkeypatch, tiny_bert, words) -> None:
    from tunesmith import planning

    def looked(*_: object) -> None:
        raise AssertionError("a model was looked for")

    monkeypatch.setattr(planning, "find", looked)
    write("a.csv", as_csv(rows()))
    if words[0] != "--set":
        monkeypatch.setattr(planning, "read_sources", looked)
    for command in ("fit", "plan"):
        refused(command, "a.csv", "--model", tiny_bert, *words, exit=2)


def test_a_column_or_label_called_by_a_number_is_that(tunesmith, here, tiny_bert) -> None:
    write("a.jsonl", "".join(json.dumps({"text": text, "3": label}) + "\n" for text, label in rows(labels=("0", "1"))))
    said = tunesmith("plan", "a.jsonl", "--model", tiny_bert, "--json", "--set", "options.label=3", "--set", "options.positive=1")
    assert said.code == 0 and said.json[0]["spec"]["options"]["label"] == "3", said.err


def test_59_a_folder_of_runs_is_only_a_path(tunesmith, here, tiny_bert) -> None:
    write("a.csv", as_csv(rows()))
    name = "; rm -rf ~ $(touch evil)"
    words = ("--model", tiny_bert, "--epochs", "1", "--strategy", "head-only", "--set", "evaluate.resamples=100", "--set", f"runs={name}")
    said = tunesmith("fit", "a.csv", *words, "--quiet")
    assert said.code == 0, said.err
    assert sorted(path.name for path in here.iterdir()) == [name, "a.csv"] and (here / said.out.strip() / "report.json").is_file()


def test_59_a_second_process_gets_a_lock_error(tunesmith, here, tmp_path_factory) -> None:
    from tunesmith.errors import RunError
    from tunesmith.run import Lock

    with Lock(here), pytest.raises(RunError, match="another process at work in it; wait for it, or stop it") as caught, Lock(here):
        pass
    assert caught.value.exit_code == 2 and caught.value.code == "run-locked"


def test_a_key_may_replace_one_that_is_merged_in() -> None:
    assert parse_value("[&a {x: 1, y: 1}, &b {<<: *a, x: 2}, {<<: [*b, *a], y: 3}]")[1:] == [{"x": 2, "y": 1}, {"x": 2, "y": 3}]
