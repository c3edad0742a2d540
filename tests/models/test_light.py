"""The quick start of a process that only answers: what it leaves out, and that the answers stay the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.runs import write_rows
from tests.source import ROOT
from tunesmith import api

NOT_NEEDED = {
    "torch._dynamo", "torch._inductor", "torch.distributed.tensor", "torch.distributed.fsdp", "sympy", "scipy", "sklearn", "pandas",
    "accelerate", "peft", "pyarrow.dataset", "pyarrow.parquet", "matplotlib", "transformers.trainer",
    "transformers.models.gpt2", "tunesmith.training.loop", "tunesmith.judging.judge", "tunesmith.planning",
}  # fmt: skip
TEXTS = ["the film was good", "a dull cold book"]
PREDICT = """
import json, sys
from tunesmith.cli import main
{before}
code = main(["predict", {run!r}, "--json", *{texts!r}])
{after}
print(json.dumps([code, sorted(sys.modules), found]))
"""


@pytest.fixture(scope="module")
def run(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a solved head."""
    folder = tmp_path_factory.mktemp("light")
    return api.fit(
        str(write_rows(folder / "rows.csv")), model=str(tiny_bert), runs=str(folder / "runs"), strategy="head-only",
        epochs=1, threads=1, baselines=False, resamples=200,
    ).path  # fmt: skip


def answered(run: Path, before: str = "", after: str = "found = None") -> tuple[list[dict], set[str], object]:
    """The answers of a fresh process, the modules that it holds, and what `after` found."""
    code = PREDICT.format(run=str(run), texts=TEXTS, before=before, after=after)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    *answers, last = map(json.loads, done.stdout.splitlines())
    assert last[0] == 0
    return answers, set(last[1]), last[2]


def test_a_prediction_imports_what_it_needs_and_answers_as_always(run: Path) -> None:
    answers, modules, _ = answered(run)
    assert modules & NOT_NEEDED == set()
    assert answers == api.predict(run, TEXTS), "the usual imports give the same bits"


def test_the_compiler_can_still_be_imported(run: Path) -> None:
    after = (
        "import torch; compiled = torch.compile(lambda x: x + 1, backend='eager');"
        "found = [hasattr(torch._dynamo, 'optimize'), compiled(torch.ones(1)).item()]"
    )
    assert answered(run, after=after)[2] == [True, 2.0]


def test_an_unknown_library_falls_back_to_the_usual_imports(run: Path) -> None:
    before = "from tunesmith.models import light\nlight._import_once = lambda: 1 / 0"
    after = "import torch.distributed; found = torch.distributed.is_available()"
    answers, modules, available = answered(run, before, after)
    assert available and "torch._dynamo" in modules
    assert answers == api.predict(run, TEXTS)


def test_a_run_with_peft_weights_or_a_task_of_ones_own_is_not_touched(run: Path, tmp_path: Path) -> None:
    from tunesmith.models import light

    (tmp_path / "model").mkdir()
    for adapter, task, plain in ((None, "text-classification", True), ("peft", "text-classification", False), (None, "./my.py", False)):
        (tmp_path / "model/head.json").write_text(json.dumps({"adapter": adapter}))
        (tmp_path / "task.json").write_text(json.dumps({"name": task}))
        assert light._plain(tmp_path) is plain


@pytest.mark.parametrize("architecture", ["tiny_bert", "tiny_llama", "tiny_vit", "tiny_t5"])
def test_weights_under_their_own_names_need_no_rules_for_old_ones(
    architecture: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buffers too: those that are in no file are made by the architecture, in the same way."""
    from tunesmith.models import loading

    folder = request.getfixturevalue(architecture)
    quick, _ = loading.load_module(folder)
    monkeypatch.setattr(loading, "_as_saved", lambda *_: None)
    usual, _ = loading.load_module(folder)
    for one, other in ((quick.state_dict(), usual.state_dict()), (dict(quick.named_buffers()), dict(usual.named_buffers()))):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    quick.config.name_or_path = usual.config.name_or_path = ""
    assert quick.training == usual.training and quick.config.to_dict() == usual.config.to_dict()


def test_names_are_kept_while_nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.models import light

    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    (models := tmp_path / "models").mkdir()
    made: list[str] = []

    def make(path: Path, prefix: str | None) -> light.Names:
        made.append(str(prefix))
        return {frozenset({"torch"}): {"bert": {"BertModel"}}, frozenset(): {"auto": {"AutoConfig"}}}

    first, again = (light._kept_names(make, models / "__init__.py", "models", "5") for _ in range(2))
    assert first == again and made == ["models"]
    light._kept_names(make, models, "models", "6")
    (models / "new_family").mkdir()
    light._kept_names(make, models, "models", "5")
    assert made == ["models"] * 3, "another version, and a folder that has changed, are read again"
    for kept in (tmp_path / "cache/names").iterdir():
        kept.write_text("[[")
    assert light._kept_names(make, models, "models", "5") == first and len(made) == 4
