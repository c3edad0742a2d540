"""The pages say what the source says."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import pytest

from tests.source import ROOT
from tunesmith.cli import COMMANDS
from tunesmith.cli._words import options, settings
from tunesmith.registry import STRATEGIES, TASKS

PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]


@pytest.mark.parametrize("script", ["make_reference.py", "make_example.py"])
def test_what_a_script_makes_is_up_to_date(script: str) -> None:
    done = subprocess.run([sys.executable, ROOT / "tools" / script, "--check"], cwd=ROOT)
    assert done.returncode == 0, f"run python tools/{script}"


def test_every_setting_and_option_has_a_docstring() -> None:
    mute = [path for path, setting in settings().items() if not setting.help]
    mute += [
        f"{r.kind} {n}: {o.path}"
        for r in (TASKS, STRATEGIES)
        for n in r.names()
        for o in options(r, n).values()
        if not o.help
    ]
    assert mute == []


@pytest.mark.parametrize("registry", [TASKS, STRATEGIES, COMMANDS], ids=lambda r: r.folder)
def test_every_entry_has_a_one_line_help(registry) -> None:
    assert [
        n for n in registry.names() if not registry.help(n).endswith((".", ";")) or len(registry.help(n)) > 140
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page) -> None:
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text("utf-8"))
    assert [t for t in targets if not (page.parent / t).exists() and t not in ("report.png", "docs/report.png")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_flags_in_the_pages_are_real(page) -> None:
    from tunesmith.cli._flags import FLAGS

    known = {f.word for f in FLAGS} | {
        "--set", "--option", "--strategy-option", "--spec", "--json", "--quiet", "--debug", "--help", "--file", "--out", "--row",
        "--replace", "--open", "--version", "--stream", "--entities",
    }  # fmt: skip
    for line in re.findall(r"^\s*(?:\$ )?tunesmith (.*)$", page.read_text("utf-8"), re.M):
        words = line.split("#")[0].split()
        assert not words or words[0] in {*COMMANDS.names(), "COMMAND", "--help"}, line
        assert [w for w in words if w.startswith("--") and w.split("=")[0].strip("`.,)") not in known] == [], line


def test_the_example_task_in_the_page_is_the_file() -> None:
    text = (ROOT / "docs" / "add-a-task.md").read_text("utf-8")
    assert (ROOT / "docs" / "examples" / "text_grade.py").read_text("utf-8").rstrip() in text


def test_the_example_task_is_tuned_from_beginning_to_end(tmp_path, tiny_bert) -> None:
    import csv

    import tunesmith
    from tunesmith.registry import TASKS

    file = str(ROOT / "docs" / "examples" / "text_grade.py")
    rows = TASKS.load(file).sample(120, seed=0)
    data = tmp_path / "films.csv"
    with data.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, ["text", "grade"])
        writer.writeheader()
        writer.writerows(rows)
    run = tunesmith.fit(
        str(data),
        task=file,
        model=str(tiny_bert),
        strategy="full",
        epochs=12,
        lr=3e-3,
        batch=8,
        threads=1,
        runs=str(tmp_path / "runs"),
    )
    assert run.scores["kappa"] > 0.5
    assert run.predict(["superb superb film, number 3"])[0]["grade"] in (4, 5)


def test_the_table_of_quality_is_that_of_its_measurements_and_names_commits_and_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ROOT / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    quality = importlib.import_module("quality")
    found, text = quality.logged(), (folder / "quality.md").read_text("utf-8")
    assert text == quality.table(found)
    rows: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("| "):
            rows[line.split("|")[1].strip()] = rows.get(line.split("|")[1].strip(), "") + line
    assert found and all(one["commit"] in rows[one["set"]] and one["machine"] in text for one in found)
    lows = [line for line in text.splitlines() if "worse than the floor" in line]
    assert all(quality.SETS[line[2:].split(":")[0]].why in line for line in lows)
