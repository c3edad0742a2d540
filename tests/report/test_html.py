"""The page: one file, whole, valid, and deaf to whatever users write."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from naughty import NAUGHTY

from tunesmith.errors import RunError
from tunesmith.report import read
from tunesmith.report.card import card
from tunesmith.report.html import page, split, write
from tunesmith.report.text import summary

VOID = {"meta", "br", "img", "link", "input", "hr", "base", "path", "line", "circle", "rect"}
SECTIONS = ("gain", "scores", "learning", "answers", "slices", "examples", "data", "plan", "cost", "use", "environment")
KINDS = ("binary", "many", "multilabel", "regression", "two-numbers")


class Reader(HTMLParser):
    """Checks that tags close in order, and keeps what a browser would fetch or run, the ids and the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.fetched += [values[key] or "" for key in ("src", "srcset", "data", "action", "poster", "xlink:href") if key in values]
        self.handlers += [key for key in values if key.startswith("on")]
        self.ids += [values["id"]] if "id" in values else []
        if tag == "a":
            self.links.append(values["href"])
        elif "href" in values:
            self.fetched.append(values["href"])
        if tag not in VOID or tag in ("path", "line", "circle", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        self.text.append(data)


def _read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_whole_and_valid(make_run, kind):
    path = write(make_run(kind))
    assert path.name == "report.html"
    reader = _read(path.read_text("utf-8"))
    assert set(SECTIONS) <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert ("confidence" in reader.ids) == (kind in ("binary", "many", "multilabel"))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_fetched_and_nothing_runs(make_run, kind):
    html = page(read.story(make_run(kind)))
    reader = _read(html)
    assert reader.fetched == []
    assert reader.handlers == []
    assert not {"script", "iframe", "object", "embed", "link", "base", "form", "img"} & set(reader.tags)
    assert "default-src 'none'" in html
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style
    assert not re.search(r"""(src|href|action)\s*=\s*["']?\s*(https?:)?//""", html)


def test_no_naughty_text_becomes_markup(make_run):
    """The same page with calm and with naughty texts has the same tags, and shows each text."""
    labels = ["<b>bold</b>", "\u202eevil", "\"quoted\" & 'so'", "{{ x }}", "</svg>"]
    reader = _read(page(read.story(make_run("binary", texts=NAUGHTY, rows=len(NAUGHTY) * 4, labels=labels))))
    assert not {"script", "img", "iframe", "base", "h4"} & set(reader.tags)
    assert reader.handlers == [] and reader.fetched == []
    text = "".join(reader.text)
    assert "<b>bold</b>" in text
    assert "{{ x }}" in text
    assert "[U+202E]evil" in text or "U+202Eevil" in text


@pytest.mark.parametrize("naughty", NAUGHTY, ids=range(len(NAUGHTY)))
def test_each_naughty_text_in_every_place(make_run, naughty, monkeypatch):
    """As label, cell, column, finding, reason, file, model and run name at once: the page stays the same page."""
    told = read.story(make_run("binary"))
    plain = _read(page(told))
    told = json.loads(json.dumps(told))
    report = told["report"]
    report["worst"][0] |= {"truth": naughty, "answer": naughty, "place": naughty, "inputs": {naughty: naughty, "b": naughty}}
    report["slices"][0] |= {"by": naughty, "value": naughty}
    report["per_label"][0]["label"] = report["confusion"]["labels"][0] = naughty
    told["data"]["findings"][0] |= {"message": naughty, "rows": [naughty], "fix": naughty}
    told["data"]["ledger"][0] |= {"why": naughty, "rows": [naughty]}
    told["plan"][0] |= {"value": naughty, "why": naughty}
    told |= {"name": naughty, "path": naughty, "model": {"name": naughty}}
    told["env"][0][1] = naughty
    html = page(told)
    html.encode("utf-8")
    reader = _read(html)
    assert sorted(set(reader.tags)) == sorted(set(plain.tags) | {"b"} if "b" in reader.tags else set(plain.tags))
    assert reader.handlers == [] and reader.fetched == []
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\ufeff\x00-\x08\x0b-\x1f]", html)
    assert all(len(marks) <= 4 for marks in re.findall("\u0301+", html))


def test_every_picture_says_what_it_shows(make_run):
    for kind in KINDS:
        html = page(read.story(make_run(kind)))
        pictures = re.findall(r"<svg[^>]*>", html)
        assert len(pictures) > 8
        assert all('role="img"' in picture and 'aria-label="' in picture for picture in pictures)


def test_tables_have_captions_or_named_regions(make_run):
    html = page(read.story(make_run("binary")))
    for table in re.findall(r"<table.*?</table>", html, flags=re.S):
        assert "<th" in table
        assert "<caption>" in table or "pairs" in table or 'scope="col"' in table


def test_numbers_on_the_page_are_the_reports(make_run):
    run = make_run("binary")
    report = json.loads((run / "report.json").read_text())
    text = " ".join("".join(_read(page(read.story(run))).text).split())
    for rung in report["ladder"]:
        score = rung["scores"]["macro_f1"]
        assert f"{rung['title']}" in text
        assert f"{score['value']:.3f}" in text
    assert f"{report['parts']['test without leaked rows']['scores']['macro_f1']['value']:.3f}" in text
    assert "micro-batch halved" in text
    assert "scaled to 22.7 M by the root of the ratio" in text


def test_a_folder_with_nothing_but_the_report_still_renders(make_run, tmp_path):
    (tmp_path / "report.json").write_bytes((make_run("binary") / "report.json").read_bytes())
    reader = _read(write(tmp_path).read_text("utf-8"))
    assert set(SECTIONS) <= set(reader.ids)


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="report.json"):
        write(tmp_path)


def test_torn_events_are_passed_over_and_repeated_steps_replaced(make_run, tmp_path):
    lines = [{"event": "started", "step": 0}, {"event": "step", "step": 1}, {"event": "step", "step": 2},
             {"event": "started", "step": 1}, {"event": "step", "step": 2}]
    (tmp_path / "report.json").write_bytes((make_run("binary") / "report.json").read_bytes())
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"event": "st')
    steps = [e["step"] for e in read.story(tmp_path)["events"] if e["event"] == "step"]
    assert steps == [1, 2]


def test_a_report_without_test_rows_still_renders(make_run):
    told = read.story(make_run("binary"))
    scores = {name: {"value": None, "low": None, "high": None, "method": "fixed"} for name in told["report"]["directions"]}
    part = {"rows": 0, "groups": 0, "resamples": 0, "capped": False, "scores": scores}
    ladder = [told["report"]["ladder"][-1] | {"scores": scores}]
    gone = {"per_label": [], "slices": [], "worst": [], "right": [], "calibration": None, "confusion": None, "overall": None}
    told["report"] = told["report"] | gone | {
        "kind": "other", "ladder": ladder, "power": None, "leaked": 0, "parts": told["report"]["parts"] | {"test": part},
        "sentence": "There are no test rows. Scores on validation rows flatter, because those rows chose the checkpoint.",
    }
    assert "There are no test rows." in "".join(_read(page(told)).text)
    assert "n/a" in card(told) and "n/a" in summary(told["report"])


def test_no_user_baseline_no_claim(make_run):
    told = read.story(make_run("binary"))
    told["report"] = told["report"] | {"ladder": [rung for rung in told["report"]["ladder"] if rung["tuned"]], "power": None}
    _read(page(told))


def test_the_headline_is_split_into_score_and_verdict():
    assert split("macro-F1 0.9 on 830 sealed test rows. It beats all.") == ("macro-F1 0.9 on 830 sealed test rows.", "It beats all.")
    assert split("whatever") == ("whatever", "")
