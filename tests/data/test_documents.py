"""Documents: every kind of file in nested folders, where things stand in them, and what is refused before it can harm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data import markup, pages
from tunesmith.data.documents import Document, read
from tunesmith.errors import DataError
from tunesmith.spec import Data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "fees.md").write_text("# Fees\n\nA passport costs 38 euros.\n\n## Cards\n\nA card costs 22 euros.\n")
    (tmp_path / "sub" / "open.html").write_text(
        "<html><head><title>t</title><style>p{color:red}</style></head><body><h1>Open&shy;ing</h1><p>From <b>8</b> to 12.<script>alert(1)"
        "</script><p>Closed on<br>Friday.</body></html>"
    )
    (tmp_path / "sub" / "deep" / "note.txt").write_bytes(b"Dogs stay out.\r\nCats too.")
    (tmp_path / "faq.csv").write_text("id,text\n7,Bikes are free.\n8,Cars pay.\n")
    return tmp_path


def _pdf(path: Path, texts: list[str], padding: int = 0, password: str = "") -> Path:
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    for text in texts:
        page = writer.add_blank_page(300, 300)
        names = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
        font = DictionaryObject({NameObject(key): NameObject(value) for key, value in names.items()})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 10 200 Td ({text}) Tj ET".encode() + b" " * padding)
        page[NameObject("/Contents")] = writer._add_object(stream.flate_encode())
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    writer.write(path)
    return path


def _refusal(path: Path, **more: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read(str(path), Data(), **more)
    return caught.value


def test_every_kind_of_file_is_a_document_and_rows_of_tables_are(folder: Path) -> None:
    _pdf(folder / "sub" / "park.pdf", ["Parking costs two euros.", "Nights are free."])
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    found = read(str(folder), Data())
    by_name = {document.name: document for document in found.of}
    assert list(by_name) == ["fees.md", "sub/open.html", "sub/park.pdf", "sub/deep/note.txt", "faq.csv: 7", "faq.csv: 8"]
    assert by_name["faq.csv: 8"].text == "Cars pay." and by_name["sub/deep/note.txt"].text == "Dogs stay out.\nCats too."
    assert by_name["sub/park.pdf"].place(by_name["sub/park.pdf"].text.index("Nights")) == "page 2"
    assert by_name["fees.md"].place(by_name["fees.md"].text.index("22")) == "Cards"
    assert found.notes == ("documents: passed over 1 files of other kinds: photo.jpg",)


def test_of_a_page_what_people_read_is_kept_with_its_headings(folder: Path) -> None:
    page = next(one for one in read(str(folder), Data()).of if one.name.endswith("html"))
    assert page.text.split("\n\n") == ["Open\u00ading", "From 8 to 12.", "Closed on\nFriday.", ""] or "alert" not in page.text
    assert "alert" not in page.text and "color" not in page.text and "From 8 to 12." in page.text
    assert page.place(page.text.index("Friday")) == "Open\u00ading"


@pytest.mark.parametrize("source, text", [
    ("<p>one<p>two", "one\n\ntwo"), ("a <i>b</i>  c", "a b c"), ("<head><title>x</title><body>seen", "seen"), ("<script>never closed", ""),
    ("1 < 2 & 3", "1 < 2 & 3"), ("<pre>a\n  b</pre>", "a\n  b"), ("<ul><li>x<li>y</ul>", "x\ny"),
])
def test_broken_pages_are_read_as_browsers_read_them(source: str, text: str) -> None:
    assert markup.html(source)[0].strip() == text


def test_headings_in_fenced_code_are_none() -> None:
    assert markup.markdown("# A\n```\n# not\n```\n## B ##\n")[1] == [(0, "A"), (18, "B")]


def test_a_document_without_headings_has_no_places() -> None:
    assert Document("a", "text").place(2) == ""


def test_a_table_is_one_document_a_row(tmp_path: Path) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_text('{"docno": "a", "body": "one text"}\n{"docno": "b", "body": "another"}\n')
    assert [(one.name, one.text) for one in read(str(path), Data()).of] == [("a", "one text"), ("b", "another")]
    assert [one.name for one in read(str(path), Data(), text="docno", name="body").of] == ["one text", "another"]
    assert _refusal(path, name="titel").code == "unknown-column"


@pytest.mark.parametrize("content, code", [({}, "no-documents"), ({"a.txt": "  \n"}, "no-documents"), ({"a.jpg": "x"}, "no-documents")])
def test_a_folder_without_text_is_refused(tmp_path: Path, content: dict[str, str], code: str) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    assert _refusal(tmp_path).code == code
    assert _refusal(tmp_path / "nowhere").code == "no-documents"


def test_a_document_without_text_is_told(folder: Path) -> None:
    (folder / "empty.txt").write_text("")
    (finding,) = read(str(folder), Data()).findings
    assert (finding.level, finding.code, finding.rows) == ("warning", "empty-document", ("empty.txt",))


def test_names_that_stand_for_two_documents_are_refused(tmp_path: Path) -> None:
    (tmp_path / "faq.csv").write_text("name,text\na,one\na,two\n")
    assert _refusal(tmp_path / "faq.csv", name="name").code == "same-document"


def test_links_out_of_the_folder_and_pipes_are_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text("secret")
    (folder / "in.txt").symlink_to(outside / "secret.txt")
    assert _refusal(folder).code == "outside-folder"
    (folder / "in.txt").unlink()
    (folder / "linked").symlink_to(outside)
    assert _refusal(folder).code == "outside-folder"
    (folder / "linked").unlink()
    os.mkfifo(folder / "pipe.txt")
    assert _refusal(folder).code == "not-a-file"


def test_bytes_that_are_no_text_are_refused_with_their_line(folder: Path) -> None:
    (folder / "old.txt").write_bytes(b"fine\ncaf\xe9")
    error = _refusal(folder)
    assert error.code == "bad-encoding" and error.place == "old.txt, line 2"
    assert "--option documents_encoding=latin-1" in error.fix, "the table's own --encoding does not reach the documents"
    texts = {one.name: one.text for one in read(str(folder), Data(encoding="latin-1")).of}
    assert texts["old.txt"] == "fine\ncafé"


def test_changed_documents_have_another_digest_and_are_read_anew(folder: Path) -> None:
    before = read(str(folder), Data())
    assert read(str(folder), Data()) is before
    (folder / "sub" / "deep" / "note.txt").write_text("Dogs are welcome here.")
    assert read(str(folder), Data()).digest() != before.digest()


# -- PDF --------------------------------------------------------------------------------------------------------------


def test_harmful_and_broken_pdf_files_are_refused_and_the_others_read(tmp_path: Path) -> None:
    fine = _pdf(tmp_path / "fine.pdf", ["Fine."])
    (tmp_path / "cut.pdf").write_bytes(fine.read_bytes()[:300])
    files = [_pdf(tmp_path / "locked.pdf", ["x"], password="secret"), _pdf(tmp_path / "bomb.pdf", ["x"], padding=2 * pages.MOST_UNPACKED),
             tmp_path / "cut.pdf", fine]  # fmt: skip
    *bad, good = pages.read(files, [path.name for path in files])
    assert [one.code for one in bad if isinstance(one, DataError)] == ["pdf-encrypted", "pdf-too-heavy", "pdf-broken"]
    assert [one.place for one in bad if isinstance(one, DataError)] == ["locked.pdf", "bomb.pdf", "cut.pdf"]
    assert isinstance(good, list) and good[0].strip() == "Fine."


@pytest.mark.parametrize("where", ["names", "open", "touch", "link"])
def test_a_pdf_that_would_run_something_is_refused_and_a_link_is_not(tmp_path: Path, where: str) -> None:
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import ArrayObject, DictionaryObject, NameObject, TextStringObject

    writer = PdfWriter(PdfReader(_pdf(tmp_path / "plain.pdf", ["Fees are low."])))
    script = ("/JavaScript", "/JS", "app.alert(1)")
    told = {"link": ("/URI", "/URI", "https://example.org"), "touch": ("/Launch", "/F", "calc")}.get(where, script)
    action = DictionaryObject({NameObject("/S"): NameObject(told[0]), NameObject(told[1]): TextStringObject(told[2])})
    if where == "names":
        tree = DictionaryObject({NameObject("/Names"): ArrayObject([TextStringObject("a"), writer._add_object(action)])})
        writer.root_object[NameObject("/Names")] = DictionaryObject({NameObject("/JavaScript"): tree})
    elif where == "open":
        writer.root_object[NameObject("/OpenAction")] = writer._add_object(action)
    else:
        note = DictionaryObject({NameObject("/Subtype"): NameObject("/Link"), NameObject("/A"): action})
        writer.pages[0][NameObject("/Annots")] = ArrayObject([writer._add_object(note)])
    writer.write(tmp_path / "acts.pdf")
    (found,) = pages.read([tmp_path / "acts.pdf"], ["acts.pdf"])
    if where == "link":
        assert found == ["Fees are low."]
    else:
        assert isinstance(found, DataError) and found.code == "pdf-script" and found.place == "acts.pdf"


def test_a_file_at_which_the_process_dies_is_refused_and_the_next_one_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [_pdf(tmp_path / f"{name}.pdf", [name]) for name in "ab"]
    real, calls = pages.subprocess.run, []

    def run(*asked: Any, **how: Any) -> Any:
        calls.append(how["input"])
        done = real(*asked, **how)
        return type("Done", (), {"stdout": ""})() if len(calls) == 1 else done  # the first process dies at its first file

    monkeypatch.setattr(pages.subprocess, "run", run)
    first, second = pages.read(files, ["a", "b"])
    assert isinstance(first, DataError) and first.code == "pdf-too-heavy" and isinstance(second, list) and len(calls) == 2


def test_too_many_pages_are_refused() -> None:
    class Reader:
        pages = range(pages.MOST_PAGES + 1)

    assert pages._pages(Reader())["code"] == "pdf-too-heavy"


def test_without_the_package_the_error_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _pdf(folder / "a.pdf", ["x"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    error = _refusal(folder)
    assert error.code == "missing-package" and "tunesmith[documents]" in error.fix
