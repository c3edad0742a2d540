"""`README.md` of the run folder: a model card without blanks. What is not known is said to be not known."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..judging import words
from ..registry import TASKS
from . import show, text
from .html import part_names, setting
from .read import story

MOST_NAMES = 100
"""Labels that the card lists."""
USES = {
    "classes": "chooses one label for a text", "flags": "chooses any number of labels for a text",
    "numbers": "reads a number off a text", "texts": "answers a text with a text", "other": "answers rows of data",
}
"""What a model does, by the kind of its answers, where its task does not say."""


def write(run_dir: str | Path) -> Path:
    """Write `README.md` of a finished run; returns its path. Raises RunError without report.json."""
    target = Path(run_dir) / "README.md"
    beside = target.with_suffix(".md.new")
    beside.write_text(card(story(run_dir)), encoding="utf-8", newline="\n")
    os.replace(beside, target)
    return target


def card(told: Mapping[str, Any]) -> str:
    """The whole card of what `read.story` gathered."""
    report = told["report"]
    sections = {
        "What it is": _what(told), "Data": _data(told["data"], report), "Scores": _scores(report), "Beside it": _ladder(report),
        "Limits": _limits(report),
        "How to use it": _use(told["path"], report.get("inputs", told["data"]["inputs"]), report["task"]) + _plainly(told["plain"]),
        "How it was trained": _training(told),
        "Licence": _licence(told["model"]), "Environment": _environment(told["env"]),
    }
    body = "\n\n".join(f"## {title}\n\n{words_}" for title, words_ in sections.items())
    return f"{_front(told)}\n# {show.markdown(told['name'])}\n\n**{show.markdown(report['sentence'])}**\n\n{body}\n"


def _front(told: Mapping[str, Any]) -> str:
    """The block that model hubs read: only what is known. JSON strings are YAML strings."""
    model, report = told["model"], told["report"]
    known = {"library_name": "tunesmith", "license": str(model.get("licence") or "").lower(), "base_model": model.get("name")}
    lines = [f"{key}: {json.dumps(str(value))}" for key, value in known.items() if value]
    unknown = [] if model.get("licence") or _new(model) else ["# license: the base model states none"]
    return "\n".join(["---", *lines, *unknown, f"tags: [{json.dumps(report['task'])}]", "---"])


def _what(told: Mapping[str, Any]) -> str:
    report, model = told["report"], told["model"]
    base = show.markdown(model.get("name") or "a pretrained model whose name was not recorded")
    names = [show.markdown(name) for name in report["names"][:MOST_NAMES]]
    more = f" and {len(report['names']) - MOST_NAMES:,} more" if len(report["names"]) > MOST_NAMES else ""
    noun = "Targets" if report["kind"] == "numbers" else "Labels"
    listed = f"\n\n{noun} ({len(report['names']):,}): {', '.join(names)}{more}." if names else ""
    does = _said(report["task"]) or USES[report["kind"]].replace("a text", show.read_by(report["task"]))
    made = f"trained from scratch ({base})" if _new(model) else f"fine-tuned from {base}"
    return f"A model that {does} (task `{report['task']}`), {made}.{listed}"


def _said(task: str) -> str:
    """What the task says of its models; nothing of one that did not come with the package: a report runs nobody else's code."""
    return str(TASKS.load(task).does) if task in TASKS.own_names() else ""


def _new(model: Mapping[str, Any]) -> bool:
    """Whether nothing was pretrained."""
    return str(model.get("name", "")).startswith("new:")


def _data(data: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    if not data["parts"]:
        return f"The sizes of the training parts were not recorded; {report['parts']['test']['rows']:,} rows were kept for the test."
    name = f"`{show.visible(data['name']).replace('`', '')}`: " if data["name"] else ""
    parts = ", ".join(f"{one['rows']:,} {one['part']}" for one in data["parts"])
    how = f" Parted by: {show.markdown(data['how'].get('value'))}." if data["how"].get("value") else ""
    twins = data["duplicates"]
    same = f" {twins.get('exact', 0):,} exact and {twins.get('near', 0):,} near-duplicates stay on one side." if twins else ""
    changed = [f"- {show.markdown(one['action'])} {one['count']:,}: {show.markdown(one['why'])}" for one in data["ledger"] if one["count"]]
    notes = [f"- {show.markdown(one['why'])}" for one in data["ledger"] if not one["count"]]
    ledger = "\n\nRows changed or left out:\n\n" + "\n".join(changed) if changed else "\n\nNo row was changed or left out."
    read = "\n\nHow the data was read:\n\n" + "\n".join(notes) if notes else ""
    return f"{name}{parts} rows.{how}{same}{ledger}{read}"


def _scores(report: Mapping[str, Any]) -> str:
    parts = part_names(report)
    rows = [
        [words.title(name) + (" ↑" if report["directions"][name] else " ↓"), *(_cell(report, part, name) for part in parts)]
        for name in report["parts"]["test"]["scores"]
    ]
    heads = ["score", *(f"{part} ({report['parts'][part]['rows']:,} rows)" for part in parts)]
    note = f"In brackets the {show.percent(report['level'])} interval. The test rows were looked at {_times(report['looks'])}."
    still = any(words.unmoved(score) for part in parts for score in report["parts"][part]["scores"].values())
    return f"{_table(heads, rows)}\n\n{note} Validation rows chose the checkpoint.{f' {words.UNMOVED}' if still else ''}"


def _ladder(report: Mapping[str, Any]) -> str:
    if len(report["ladder"]) < 2:
        return "No baseline was fitted."
    heads = ["model", f"{words.title(report['metric'])} on the test rows", "against the tuned model"]
    return _table(heads, [list(row) for row in text.table(report)])


def _limits(report: Mapping[str, Any]) -> str:
    found = [show.markdown(sentence) for sentence in text.beware(report)]
    found.append("It was judged on rows like those it learned from; on other kinds of rows the scores do not hold.")
    if report["kind"] in ("classes", "flags"):
        found.append("It knows only the labels listed above.")
    return "\n".join(f"- {sentence}" for sentence in found)


def _use(path: str, inputs: Sequence[str], task: str) -> str:
    return (f"```\ntunesmith predict {shlex.quote(show.visible(path))} {show.asked(inputs, task=task)}\n```\n\n"
            f"```python\nimport tunesmith\n\ntunesmith.load({show.visible(path)!r}).predict([{show.asked(inputs, True, task)}])\n```")


def _plainly(recipe: str) -> str:
    """The same in plain transformers, where that is possible."""
    if not recipe:
        return ""
    why = ("In plain transformers and safetensors, the same answers (`AutoModelForSequenceClassification` would not do: it reads no "
           "`head.safetensors` and puts a head of random weights on top; a pooler that is told to be missing is not used):")
    return f"\n\n{why}\n\n```python\n{recipe}\n```"


def _training(told: Mapping[str, Any]) -> str:
    rows = [[f"`{one['path']}`", setting(one["value"]), one["why"]] for one in told["plan"]]
    cost = f"Training took {show.seconds(told['cost']['seconds'][1])}." if told["cost"]["seconds"][1] is not None else ""
    if not rows:
        return cost or "The plan was not recorded."
    return f"{_table(['setting', 'value', 'why'], rows)}\n\n{cost}".rstrip()


def _licence(model: Mapping[str, Any]) -> str:
    name = show.markdown(model.get("name") or "the base model")
    if _new(model) and not model.get("licence"):
        return "The weights were trained from scratch on the training rows: no other model's licence binds them."
    if model.get("licence"):
        return f"The base model {name} is under {show.markdown(model['licence'])}; this model's weights derive from it."
    return f"{name} does not state a licence; ask whoever published it before passing this model on."


def _environment(env: Sequence[tuple[str, str]]) -> str:
    return _table(["what", "value"], [[key, value or "not known"] for key, value in env]) if env else "It was not recorded."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_inside(cell) for cell in line) + " |" for line in lines)


def _inside(cell: str) -> str:
    """A cell; one that is code already, or a rule, is left as it is."""
    return cell if re.fullmatch(r"`[\w.-]+`|---", cell) else show.markdown(cell)


def _cell(report: Mapping[str, Any], part: str, name: str) -> str:
    return words.scored(report["parts"][part]["scores"][name])


def _times(looks: int) -> str:
    return "once" if looks == 1 else f"{looks} times"
