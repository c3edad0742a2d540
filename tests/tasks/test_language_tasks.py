"""Dialogue and text-generation from a file to answers, on tiny models: what is refused, what is claimed, what is saved and said."""

import json
import shutil

import numpy as np
import pytest

from tests.runs import write_lines
from tests.tiny_models import writer
from tunesmith import api
from tunesmith.errors import DataError, ModelError, SpecError
from tunesmith.registry import TASKS

QUICK = {"threads": 1, "batch": 8, "resamples": 100, "near_duplicates": 0.0}


def _talk(*texts):
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("writers")
    return {"chat": writer(root / "chat"), "plain": writer(root / "plain", "gpt2", chat=False)}


@pytest.fixture(scope="module")
def talker(models, tmp_path_factory):
    """A finished dialogue run whose answers are learnable."""
    folder = tmp_path_factory.mktemp("talk")
    data = write_lines(folder / "rows.jsonl", [_talk(f"say {word} {n}", word) for n in range(30) for word in ("yes", "no", "never")])
    settings = {"strategy": "full", "lr": 1e-2, "epochs": 40, "test_share": 0.2, **QUICK}
    return api.fit(data, model=str(models["plain"]), runs=str(folder / "runs"), max_new_tokens=12, **settings)


def test_a_file_of_messages_is_a_dialogue_and_the_model_learns_to_answer_and_to_stop(talker):
    report = talker.report
    assert report["task"] == "dialogue" and report["metric"] == "bits_per_byte"
    assert report["by_degree"] and "bits" in report["slice_score"], "rows that were not asked for a reply are not wrong"
    assert [rung["name"] for rung in report["ladder"]][-1] == "tuned" and "untuned" in [rung["name"] for rung in report["ladder"]]
    untuned = next(rung["scores"] for rung in report["ladder"] if rung["name"] == "untuned")
    assert talker.scores["bits_per_byte"] < 0.2 * untuned["bits_per_byte"]["value"]
    assert talker.scores["stops"] == 1.0 and talker.scores["exact_match"] > 0.9 > untuned["exact_match"]["value"]
    assert talker.predict("say never 77") == [{"text": "never", "stopped": True}]


def test_a_conversation_is_asked_as_a_text_as_messages_and_with_its_old_answer(talker):
    told = [_talk("say no 5"), _talk("say no 5", "wrong")]
    assert talker.predict(told) == talker.predict(["say no 5", "say no 5"]) == [{"text": "no", "stopped": True}] * 2


def test_answers_do_not_depend_on_the_rows_beside_them(talker):
    rows = [_talk(f"say {word} " + "9 " * n) for n, word in enumerate(("yes", "no", "never", "no"))]
    assert talker.predict(rows) == [talker.predict([row])[0] for row in rows]


def test_the_saved_folder_writes_and_stops_in_plain_transformers(talker):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = talker.path / "model"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(_talk("say never 77")["messages"], add_generation_prompt=True, return_tensors="pt")
    ids = model.generate(**prompt, do_sample=False, max_new_tokens=12)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == "never" and ids[-1] == tokenizer.eos_token_id


def test_evaluate_says_likelihoods_and_replies(talker, tmp_path):
    file = write_lines(tmp_path / "more.jsonl", [_talk(f"say {word} {n}", word) for n in range(31, 36) for word in ("yes", "never")])
    scores = api.evaluate(talker.path, file)["scores"]
    assert scores["bits_per_byte"]["value"] < 1 and scores["exact_match"]["value"] > 0.9


def test_long_texts_are_learned_in_blocks_and_all_bytes_count(models, tmp_path):
    rows = [{"text": f"{n} " + "the film was very good and we loved it " * (1 + n % 9)} for n in range(60)]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    run = api.fit(path, model=str(models["chat"]), runs=str(tmp_path / "runs"), strategy="lora", epochs=1, **QUICK)
    assert run.report["task"] == "text-generation"
    import pyarrow.parquet as pq

    found = pq.read_table(run.path / "predictions.parquet").to_pylist()
    texts = {row["text"] for row in rows}
    sizes = sorted(row["raw:bytes"][0] for row in found if row["part"] == "test")
    assert sizes and set(sizes) <= {len(text.encode()) for text in texts}
    answer = run.predict("the film was")[0]
    assert isinstance(answer["text"], str) and set(answer) == {"text", "stopped"}


def test_prompts_and_completions(models, tmp_path):
    rows = [{"prompt": f"say {word} {n}", "completion": word} for n in range(30) for word in ("yes", "no")]
    settings = {"strategy": "full", "lr": 1e-2, "epochs": 30, "test_share": 0.2, **QUICK}
    path = write_lines(tmp_path / "rows.jsonl", rows)
    run = api.fit(path, model=str(models["chat"]), runs=str(tmp_path / "runs"), max_new_tokens=8, **settings)
    assert run.report["task"] == "text-generation" and run.scores["exact_match"] > 0.9
    assert run.predict(["say no 99"]) == run.predict([{"prompt": "say no 99"}]) == [{"text": "no", "stopped": True}]


def _check(path, **settings):
    return [(f.code, f.level, f.rows) for f in api.check(api.make_spec(str(path), **settings)).data.findings if f.level == "error"]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"messages": [{"role": "narrator", "content": "x"}, {"role": "assistant", "content": "y"}]}, "unknown-role"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]}, "role-order"),
        ({"messages": [{"role": "user", "content": "x"}]}, "no-reply"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}]}, "empty-reply"),
        ({"messages": []}, "bad-messages"),
    ],
)
def test_messages_that_cannot_be_learned_are_refused_with_their_row(row, code, tmp_path):
    rows = [_talk(f"say {n}", "yes") for n in range(40)]
    rows.insert(6, row)
    assert (code, "error", ("rows.jsonl, row 7",)) in _check(write_lines(tmp_path / "rows.jsonl", rows))


def test_an_empty_completion_is_refused(tmp_path):
    rows = [{"prompt": f"say {n}", "completion": "" if n == 4 else f"yes {n}"} for n in range(40)]
    assert ("empty-completion", "error", ("rows.jsonl, row 5",)) in _check(write_lines(tmp_path / "rows.jsonl", rows))


def test_one_row_is_shown_with_what_is_learned(models, tmp_path):
    path = write_lines(tmp_path / "rows.jsonl", [_talk(f"say {n}", "yes") for n in range(40)])
    marked = api.check(api.make_spec(str(path), model=str(models["chat"]))).marked
    assert [text for text, learned in marked if learned] == ["yes<|im_end|>"]
    assert "".join(text for text, _ in marked).startswith("<|im_start|>user\nsay ")


@pytest.mark.parametrize(
    ("rows", "task"),
    [
        ([_talk("a", "b")], "dialogue"),
        ([{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}], "dialogue"),
        ([{"user": "hello there", "assistant": "hi to you"}], "dialogue"),
        ([{"prompt": "what is this", "completion": "it is that"}], "text-generation"),
        ([{"instruction": "do this now", "output": "done it is"}], "text-generation"),
        ([{"text": "it is a good text of words", "label": "good"}, {"text": "it is a bad text", "label": "bad"}], "text-classification"),
        ([{"message": "it is a good text of words", "label": "good"}, {"message": "it is bad", "label": "bad"}], "text-classification"),
    ],
)
def test_tables_go_to_the_task_that_they_are_for(rows, task, tmp_path):
    from tunesmith.planning import choose_task, read_sources

    def said(value, n):
        if isinstance(value, str):
            return f"{value} {n}"
        return [{k: v if k in ("role", "from") else f"{v} {n}" for k, v in one.items()} for one in value]

    many = [{k: v if k == "label" else said(v, n) for k, v in row.items()} for n in range(30) for row in rows]
    spec = api.make_spec(str(write_lines(tmp_path / "rows.jsonl", many)))
    assert choose_task(spec, read_sources(spec.data))["task"].value == task


def _shown(path, model, **settings):
    """What is read of the first row, and what of it is learned."""
    marked = api.check(api.make_spec(str(path), model=str(model), near_duplicates=0.0, **settings)).marked
    return "".join(text for text, _ in marked), [text for text, learned in marked if learned]


def test_the_last_reply_alone_is_learned_where_that_is_asked(models, tmp_path):
    path = write_lines(tmp_path / "rows.jsonl", [_talk(f"say {n}", "yes", "really", "never") for n in range(40)])
    assert _shown(path, models["chat"])[1] == ["yes<|im_end|>", "never<|im_end|>"]
    assert _shown(path, models["chat"], learn="last")[1] == ["never<|im_end|>"]
    with pytest.raises(SpecError):
        TASKS.load("dialogue").build({"learn": "first"}, "dialogue")


def test_a_system_column_beside_messages_is_read(models, tmp_path):
    path = write_lines(tmp_path / "rows.jsonl", [_talk(f"say {n}", "yes") | {"system": f"be nice {n}" if n % 2 else ""} for n in range(40)])
    made = api.plan(api.make_spec(str(path), model=str(models["chat"]), near_duplicates=0.0)).task
    texts = [made._read(row)[0] for row in ({**_talk("a", "b"), "system": one} for one in ("be nice", "", None))]
    assert made.system == "system" and texts[0][0] == {"role": "system", "content": "be nice"} and len(texts[1]) == len(texts[2]) == 2
    twice = {"messages": [{"role": "system", "content": "x"}, *_talk("a", "b")["messages"]], "system": "be nice"}
    assert made._read(twice)[1] == "role-order"


def test_prompts_and_completions_of_messages_are_a_dialogue_whose_prompt_is_not_learned(models, tmp_path):
    rows = [
        {"prompt": _talk(f"say {n}", "yes", "really")["messages"], "completion": [{"role": "assistant", "content": f"never {n}"}]}
        for n in range(40)
    ]
    whole, learned = _shown(write_lines(tmp_path / "rows.jsonl", rows), models["chat"])
    assert "yes<|im_end|>" in whole and len(learned) == 1 and learned[0].startswith("never ")


@pytest.mark.parametrize("word", ["the word 1", "the word {}"])
def test_what_an_instruction_is_about_stands_behind_it(word, models, tmp_path):
    rows = [{"instruction": f"say this {n}", "input": word.format(n) if n % 2 else "", "output": f"yes {n}"} for n in range(40)]
    made = api.plan(api.make_spec(str(write_lines(tmp_path / "rows.jsonl", rows)), model=str(models["chat"]), near_duplicates=0.0)).task
    assert (made.prompt, made.context, made.completion) == ("instruction", "input", "output")
    assert made._pair(rows[1]) == ("say this 1\nthe word 1\n", "yes 1") and made._pair(rows[2]) == ("say this 2\n", "yes 2")
    assert made.asks() == ["instruction"]


def test_texts_alone_are_learned_only_where_a_model_that_writes_is_named(models, tmp_path):
    from tunesmith.errors import DataError
    from tunesmith.planning import choose_task, read_sources

    path = str(write_lines(tmp_path / "rows.jsonl", [{"text": f"it is a long text of words {n}"} for n in range(30)]))
    named, silent = api.make_spec(path, model=str(models["plain"])), api.make_spec(path)
    assert choose_task(named, read_sources(named.data))["task"].value == "text-generation"
    with pytest.raises(DataError):
        choose_task(silent, read_sources(silent.data))


def test_an_encoder_and_a_head_alone_are_refused(models, tiny_bert, tmp_path):
    path = write_lines(tmp_path / "rows.jsonl", [_talk(f"say {n}", "yes") for n in range(40)])
    with pytest.raises(ModelError) as caught:
        api.fit(path, model=str(tiny_bert), runs=str(tmp_path / "runs"))
    assert caught.value.code == "unsuitable-architecture"
    with pytest.raises(SpecError) as idle:
        api.fit(path, model=str(models["chat"]), strategy="head-only", runs=str(tmp_path / "runs"), **QUICK)
    assert idle.value.code == "nothing-learns"


def test_what_would_be_cut_away_is_refused_before_the_first_step(models, tmp_path):
    rows = [_talk("so " * (400 if n == 3 else 2) + str(n), "yes") for n in range(40)]
    with pytest.raises(DataError) as caught:
        api.fit(write_lines(tmp_path / "rows.jsonl", rows), model=str(models["chat"]), runs=str(tmp_path / "runs"), validation_share=0.1)
    assert caught.value.code == "answer-cut"


@pytest.mark.parametrize("name", ["dialogue", "text-generation", "preference", "unpaired-preference"])
def test_a_reply_that_loses_its_end_is_told_and_one_that_is_lost_is_refused_in_every_part(name, models, tmp_path):
    long = "yes " * 300

    def row(asked, said):
        rows = {
            "dialogue": _talk(asked, said), "text-generation": {"prompt": asked, "completion": said},
            "preference": {"prompt": asked, "chosen": said, "rejected": "never"},
            "unpaired-preference": {"prompt": asked, "completion": said, "label": asked[-1] in "13579"},
        }
        return rows[name]

    path = write_lines(tmp_path / "rows.jsonl", [row(f"say {n}", long if n == 3 else f"yes {n}") for n in range(40)])
    test = write_lines(tmp_path / "test.jsonl", [row("so " * 300, "yes"), row("say 98", "yes"), row("say 99", "no")])
    told = api.check(api.make_spec(str(path), task=name, model=str(models["chat"]), validation_share=0.1)).data.findings
    assert [(f.code, f.level, f.rows) for f in told if "cut" in f.code] == [("reply-cut", "warning", ("rows.jsonl, row 4",))]
    with pytest.raises(DataError, match=r"test\.jsonl, row 1") as caught:
        api.fit(path, task=name, model=str(models["chat"]), test=str(test), runs=str(tmp_path / "runs"), **QUICK)
    assert caught.value.code == "answer-cut" and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["dialogue", "text-generation"])
def test_loss_is_the_mean_of_transformers_over_learned_tokens(name, models, tmp_path):
    import torch

    from tunesmith import testing
    from tunesmith.inference import collate
    from tunesmith.training.stages import Work
    from tunesmith.training.state import State

    state = State.start(testing.ready(name, "full", models["chat"], tmp_path))
    work = Work.of(state)
    batch = collate(state.ready.task, work.train.encoded, range(8), work.pad)
    labels = batch["input_ids"].masked_fill(batch["learn"] == 0, -100)
    labels[:, 0] = -100
    with torch.no_grad():
        whole = state.model.whole(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
        ours = state.ready.task.loss(state.model.eval(), batch) / state.ready.task.weight(batch)
    assert float(ours) == pytest.approx(float(whole), abs=1e-5)


@pytest.mark.parametrize("name", ["dialogue", "text-generation"])
def test_options_of_writing_are_checked(name):
    for option, value in (("temperature", -1.0), ("top_p", 0.0), ("max_new_tokens", 0), ("judged_replies", -1)):
        with pytest.raises(SpecError):
            TASKS.load(name).build({option: value}, name)


def test_reading_back_predictions_gives_the_same_scores(talker):
    compared = api.compare(talker.path, talker.path)
    assert np.isfinite(compared["scores"]["bits_per_byte"]["a"]["value"] if "scores" in compared else 0.0)


def test_contents_of_parts_beside_contents_of_text_are_read(models, tmp_path):
    told = [{"type": "text", "text": "say "}, {"type": "text", "text": "it"}]
    rows = [_talk(f"say {n}", f"yes {n}") for n in range(40)]
    for row in rows[1::2]:
        row["messages"][0]["content"] = told
    path = write_lines(tmp_path / "rows.jsonl", rows)
    assert _check(path) == []
    whole, learned = _shown(path, models["chat"])
    assert "say" in whole and learned[0].startswith("yes ")


def _with_template(model, folder, template):
    """The model again, with another chat template."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}), "utf-8")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    return str(folder)


PLAIN = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"


def test_thoughts_that_the_template_does_not_write_are_told_of(models, tmp_path):
    rows = [_talk(f"say {n}", f"yes {n}") for n in range(40)]
    for row in rows[::4]:
        row["messages"][1]["thinking"] = "hm, well"
    path = str(write_lines(tmp_path / "rows.jsonl", rows))
    thinks = PLAIN.replace("+ m.content", "+ (m.reasoning_content or '') + m.content")
    found = {}
    for name, template in (("mute", PLAIN), ("thinks", thinks)):
        model = _with_template(models["chat"], tmp_path / name, template + PROMPT)
        ready = api.plan(api.make_spec(path, model=model, near_duplicates=0.0))
        found[name] = [one for one in ready.data.findings if one.code == "thoughts-unlearned"]
    assert not found["thinks"], "whichever of its names the thoughts have in the file"
    assert sum(len(one.rows) for one in found["mute"]) == 10 and all(one.level == "warning" for one in found["mute"])
    assert "rows.jsonl, row 1" in {row for one in found["mute"] for row in one.rows}


def test_a_test_row_that_the_template_refuses_is_refused_before_the_first_step(models, tmp_path):
    rows = [_talk(f"say {n}", "yes") for n in range(40)]
    told = [{"messages": [{"role": "system", "content": "be nice"}, *row["messages"]]} for row in rows[:3]]
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system, please') }}{% endif %}" + PLAIN + PROMPT
    files = {"data": write_lines(tmp_path / "train.jsonl", rows), "test": write_lines(tmp_path / "test.jsonl", [*rows[3:20], *told])}
    model = _with_template(models["chat"], tmp_path / "strict", refusing)
    with pytest.raises(DataError, match=r"test.*(?s:.)*no system, please") as caught:
        api.plan(api.make_spec(**{name: str(path) for name, path in files.items()}, model=model, near_duplicates=0.0))
    assert caught.value.code == "template-refused" and "test.jsonl, row 18" in str(caught.value)
