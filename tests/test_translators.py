"""Who translates training texts there and back: found, refused in the user's words, asked as the model wants it."""

import json

import pytest

from tests.tiny_pairs import pair
from tunesmith import api
from tunesmith.errors import ModelError, SpecError
from tunesmith.parts.augment import Retelling
from tunesmith.registry import TASKS
from tunesmith.translators import Direction, find_both, measured

TEXTS = ["a good film", "the book was bad"]


def wanted(*models, languages=(), forms=1):
    """What a task would ask for."""
    return Retelling(tuple(map(str, models)), tuple(languages), forms, {"text": TEXTS})


@pytest.fixture(scope="module")
def mbart(tmp_path_factory):
    """A tiny model of three languages."""
    return pair(tmp_path_factory.mktemp("models") / "mbart", "mbart")


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_translators):
    """A finished run of `translation` with an adapter."""
    folder = tmp_path_factory.mktemp("run")
    rows = TASKS.load("translation").sample(60, 0)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    settings = {"epochs": 1, "threads": 1, "batch": 8, "resamples": 100, "near_duplicates": 0.0, "max_new_tokens": 12, "strategy": "lora"}
    return api.fit(folder / "rows.jsonl", model=str(tiny_translators[0]), runs=str(folder / "runs"), **settings)


def test_models_that_cannot_translate_are_refused_before_anything_is_loaded(tiny_bert, tiny_translators, tmp_path):
    assert find_both(None) == ()
    with pytest.raises(ModelError, match=r"option back_translation: .*nowhere: .*; download a translation model where there is a network"):
        find_both(wanted(tmp_path / "nowhere", tiny_translators[1]))
    with pytest.raises(ModelError, match=r"option back_translation: .*tiny-bert: expected an encoder-decoder that translates, got a bert"):
        find_both(wanted(tiny_translators[0], tiny_bert))


def test_a_model_of_many_languages_is_told_two_that_it_knows(mbart, tiny_t5, tiny_translators):
    there, back = find_both(wanted(mbart, mbart, languages=("en_XX", "fr")))
    assert (there.task.source_language, there.task.target_language) == ("en_XX", "fr")
    assert (back.task.source_language, back.task.target_language) == ("fr", "en_XX")
    first = [Direction.of(one, TEXTS, 1) for one in (there, back)]
    assert [one.task.speaks_to for one in first] == ["fr_XX", "en_XX"] and first[0].key != first[1].key
    with pytest.raises(SpecError, match=r"option back_translation_languages: expected one of the \d+ languages of this model, got 'qq'"):
        find_both(wanted(mbart, mbart, languages=("en", "qq")))
    for many in (mbart, tiny_t5):
        with pytest.raises(SpecError, match="expected two codes, since .* knows many languages, got none"):
            find_both(wanted(many, tiny_translators[1]))
    assert find_both(wanted(*tiny_translators))[0].task.source_language == ""
    asked = find_both(wanted(tiny_t5, tiny_t5, languages=("en", "de")))[0]
    assert Direction.of(asked, TEXTS, 1).task.prefix == "translate English to German: "


def test_a_run_of_ours_translates_as_it_does_for_its_user(run, tiny_translators):
    there, _ = find_both(wanted(run.path, tiny_translators[1]))
    direction = Direction.of(there, TEXTS, 1)
    model = direction.load("cpu")
    assert (run.path / "model" / "adapter").is_dir() and there.run
    answers = [one["text"] if one["stopped"] else "" for one in run.predict(TEXTS)]
    assert direction.said(model, TEXTS) == [[text] if text else [] for text in answers] and any(answers)


def test_runs_that_do_not_translate_are_refused(run, tmp_path, tiny_translators):
    said = json.loads((run.path / "task.json").read_text("utf-8"))
    for changed, got in ((said | {"name": "summarisation"}, "a run of summarisation"), (said, "one that has not ended")):
        (tmp_path / "task.json").write_text(json.dumps(changed), "utf-8")
        with pytest.raises(SpecError, match=f"expected a finished run of translation with an encoder-decoder, got {got}"):
            find_both(wanted(tiny_translators[0], tmp_path))


def test_a_text_longer_than_the_model_reads_and_one_that_does_not_end_are_not_translated(tiny_translators, monkeypatch):
    there, _ = find_both(wanted(*tiny_translators))
    texts = ["a good film", "so " * 200]
    direction = Direction.of(there, texts, 1)
    model = direction.load("cpu")
    found = direction.said(model, texts)
    assert found[0] and not found[1]
    monkeypatch.setattr("tunesmith.parts.rewritten.search", lambda task: {"most": 1, "beams": 1})
    assert direction.said(model, texts) == [[], []]


def test_more_texts_forms_and_larger_models_take_longer(tiny_translators):
    both = find_both(wanted(*tiny_translators))
    takes = lambda tokens, **more: measured(both, wanted(*tiny_translators, **more), tokens, 1e9)["translating"]  # noqa: E731
    assert 0 < takes(10.0) < takes(10.0, forms=8) and takes(20.0) == pytest.approx(2 * takes(10.0))
    assert measured((), None, 10.0, 1e9) == {}
