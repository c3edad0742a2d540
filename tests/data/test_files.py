"""Images named by cells, folders and archives: found, read whole, hashed; what is wrong is listed with its path (cases 42 to 47)."""

from __future__ import annotations

import base64
import io
import os
import struct
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.peaks import peak
from tests.runs import write_lines
from tunesmith.data import images
from tunesmith.data.files import resolve
from tunesmith.data.ledger import Ledger
from tunesmith.data.read import read
from tunesmith.data.table import Table
from tunesmith.errors import DataError
from tunesmith.spec import Data


def picture(seed: int = 0, side: int = 48) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))


def packed(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def table(tmp_path, cells, **options):
    """The rows of a CSV file that names these files, resolved: (table, findings, ledger)."""
    path = tmp_path / "rows.csv"
    path.write_text("image,label\n" + "".join(f"{cell},{'ab'[i % 2]}\n" for i, cell in enumerate(cells)), "utf-8")
    data, ledger = Data(train=str(path), **options), Ledger()
    return (*resolve(read(str(path), data, ledger), ["image"], data, ledger), ledger)


def codes(findings):
    return {f.code: f for f in findings if f.level == "error"}


@pytest.fixture
def photo(tmp_path):
    picture().save(tmp_path / "ok.png")
    return tmp_path


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.6, 0.05, 0.95])
def test_a_cut_image_is_listed_and_never_filled(photo, kind, share):
    data = packed(picture(side=300), kind)
    (photo / "cut.jpg").write_bytes(data[: int(len(data) * share)])
    _, findings, _ = table(photo, ["ok.png", "cut.jpg"])
    assert "row 2: " in codes(findings)["damaged-image"].rows[0] and "cut.jpg" in codes(findings)["damaged-image"].rows[0]
    with pytest.raises(DataError, match="cut or damaged"):
        images.rgb(str(photo / "cut.jpg"))


def test_a_progressive_jpeg_cut_after_its_first_scan_is_listed(photo):
    data = packed(picture(side=300), "JPEG", progressive=True)
    (photo / "cut.jpg").write_bytes(data[: int(len(data) * 0.6)])
    assert "damaged-image" in codes(table(photo, ["cut.jpg"])[1])


def png(header: bytes, body: bytes) -> bytes:
    """A PNG file of these bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds a few bytes."""
    return png(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"\0" * 1000)


@pytest.mark.parametrize("size", [(60_000, 60_000), (8_000, 8_000), (12_000, 10_000)])
def test_a_bomb_is_refused_before_a_pixel_is_decoded(photo, size):
    (photo / "bomb.png").write_bytes(bomb(*size))
    with peak() as taken:
        found = codes(table(photo, ["bomb.png"])[1])
    assert "image-too-large" in found and taken.bytes < 60_000 << 10


def test_what_a_file_is_its_content_says(photo):
    (photo / "text.jpg").write_text("just words, many of them")
    (photo / "drawing.png").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    (photo / "page.png").write_text("<!DOCTYPE html><script>alert(1)</script>")
    (photo / "nothing.png").write_bytes(b"")
    (photo / "really.jpg").write_bytes(packed(picture(1)))
    (photo / "post.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    rows, findings, ledger = table(photo, ["text.jpg", "drawing.png", "page.png", "nothing.png", "really.jpg", "post.png"])
    found = codes(findings)
    assert len(found["not-an-image"].rows) == 4 and len(found["damaged-image"].rows) == 1
    assert "SVG" in found["not-an-image"].message and "web page" in found["not-an-image"].message
    assert any("name says another format" in entry.why for entry in ledger.entries)
    assert images.rgb(rows.column("image")[4]).size == (48, 48)


def test_sizes_that_no_model_can_use(photo):
    picture().resize((20_000, 1)).save(photo / "long.png")
    picture().resize((1, 1)).save(photo / "dot.png")
    _, findings, _ = table(photo, ["long.png", "dot.png"])
    assert "image-too-long" in codes(findings) and "long.png" in codes(findings)["image-too-long"].rows[0]
    assert [f.rows for f in findings if f.code == "tiny-image"] == [("rows.csv, row 2",)]


@pytest.mark.parametrize("name", ["\x00", "a\x00.png", "x" * 20_000, "x" * 300, "/".join("ab" * 4000)])
@pytest.mark.parametrize("modality", ["image", "audio"])
def test_names_that_no_file_can_have_are_refused_like_missing_files(photo, name, modality):
    path = write_lines(photo / "rows.jsonl", [{"file": name, "label": "a"}])
    data = Data(train=str(path))
    _, findings = resolve(read(str(path), data, Ledger()), ["file"], data, Ledger(), modality)
    assert [one.code for one in findings if one.level == "error"] == ["no-such-file"]


@pytest.mark.parametrize("cell", [7, 1e308, [], ["a.png"], [{}], True, {"path": 7}, {"bytes": "AAAA", "path": None}])
@pytest.mark.parametrize("modality", ["image", "audio"])
def test_cells_that_cannot_lead_to_a_file_are_refused_before_they_are_opened(photo, cell, modality):
    data = Data(train=str(write_lines(photo / "rows.jsonl", [{"file": cell, "label": "a"}] * 3)))
    _, findings = resolve(read(data.train, data, Ledger()), ["file"], data, Ledger(), modality)
    found = {one.code for one in findings if one.level == "error"}
    assert found and found <= {"no-such-file", "empty-image", "empty-sound"}


def test_paths_stay_in_their_folder_and_lead_to_plain_files(photo):
    home = photo / "data"
    home.mkdir()
    (home / "link.png").symlink_to(photo / "ok.png")
    (home / "inner.png").write_bytes((photo / "ok.png").read_bytes())
    (home / "inlink.png").symlink_to(home / "inner.png")
    os.mkfifo(home / "pipe.png")
    (home / "folder.png").mkdir()
    names = ["../ok.png", "link.png", "pipe.png", "missing.png", "inlink.png"]
    cells = [*names, str(photo / "ok.png"), "https://x.org/a.png", "", "folder.png"]
    _, findings, _ = table(home, cells)
    found = codes(findings)
    assert len(found["outside-folder"].rows) == 3 and len(found["not-a-file"].rows) == 2 and len(found["no-such-file"].rows) == 2
    assert found["empty-image"].rows == ("rows.csv, row 8: rows.csv, row 8",) or "row 8" in found["empty-image"].rows[0]
    assert not any("inlink" in row for f in findings for row in f.rows)


def test_a_named_folder_is_where_paths_start(photo):
    other = photo / "elsewhere"
    other.mkdir()
    assert not codes(table(other, ["ok.png"], files=str(photo))[1])
    assert "outside-folder" in codes(table(other, ["../secret.png"], files=str(photo))[1])


def test_bad_files_are_left_out_only_when_asked_and_listed(photo):
    (photo / "bad.png").write_text("no")
    rows, findings, ledger = table(photo, ["ok.png", "bad.png", "ok.png"], bad_rows="skip")
    assert len(rows) == 2 and not codes(findings)
    assert [entry.rows for entry in ledger.entries if entry.action == "skipped"] == [("rows.csv, row 2: " + str(photo / "bad.png"),)]


# -- what is converted ------------------------------------------------------------------------------------------------


def test_a_turned_photo_stands_upright(photo):
    wide = Image.new("RGB", (60, 40), "red")
    wide.paste("blue", (0, 0, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    wide.save(photo / "turned.jpg", exif=exif, quality=95)
    rows, findings, ledger = table(photo, ["turned.jpg"])
    image = images.rgb(rows.column("image")[0])
    assert image.size == (40, 60) and image.getpixel((20, 5))[2] > 200 and image.getpixel((20, 55))[0] > 200
    assert not findings and [e.rows for e in ledger.entries if "EXIF" in e.why] == [("rows.csv, row 1",)]


def deep() -> bytes:
    """A PNG of 16 bits for each of three colours."""
    body = bytes([0, *[value for _ in range(8) for level in (0, 0x7FFF, 0xFFFF) for value in level.to_bytes(2, "big")]]) * 8
    return png(struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0), body)


def test_every_kind_of_pixel_becomes_rgb_and_is_recorded(photo):
    grey16 = Image.fromarray(np.linspace(0, 65535, 48 * 48).reshape(48, 48).astype(np.uint16))
    seen = picture().convert("RGBA")
    seen.putalpha(Image.new("L", seen.size, 0))
    made = {
        "cmyk.jpg": packed(picture().convert("CMYK"), "JPEG"), "deep.png": packed(grey16), "alpha.png": packed(seen),
        "palette.png": packed(seen.quantize(8), "PNG", transparency=0), "flat.png": packed(picture().quantize(8)),
        "deep.colour.png": deep(),
        "move.gif": packed(picture(), "GIF", save_all=True, append_images=[picture(2)]),
        "move.webp": packed(picture(), "WEBP", save_all=True, append_images=[picture(2)]), "grey.png": packed(picture().convert("L")),
        "float.tiff": packed(Image.fromarray(np.full((9, 9), 0.5, np.float32)), "TIFF"), "bit.png": packed(picture().convert("1")),
    }
    for name, data in made.items():
        (photo / name).write_bytes(data)
    rows, findings, ledger = table(photo, list(made))
    assert not findings
    found = dict(zip(made, (np.asarray(images.rgb(cell)) for cell in rows.column("image"))))
    assert all(array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8 for array in found.values())
    assert found["deep.png"][0, 0, 0] == 0 and found["deep.png"][-1, -1, 0] == 255 and abs(int(found["deep.png"][24, 0, 0]) - 128) < 4
    assert (found["alpha.png"] == 255).all() and (found["float.tiff"] == 128).all()
    said = " ".join(entry.why for entry in ledger.entries)
    assert all(words in said for words in ("CMYK to RGB", "scaled to 8", "laid on white", "first picture", "palette to RGB"))
    changed = {entry.why.partition(": ")[2]: set(entry.rows) for entry in ledger.entries if entry.action == "cast"}
    flat, colour = (f"rows.csv, row {list(made).index(name) + 1}" for name in ("flat.png", "deep.colour.png"))
    assert flat in changed["palette to RGB"] and colour in changed["16 bits a pixel or more: scaled to 8"]
    assert found["deep.colour.png"][0, 0].tolist() == [0, 127, 255]


def test_decimals_out_of_range_are_refused(photo):
    Image.fromarray(np.full((9, 9), 300.0, np.float32)).save(photo / "x.tiff")
    assert "bad-pixel-range" in codes(table(photo, ["x.tiff"])[1])


# -- where images come from -------------------------------------------------------------------------------------------


def labelled(folder, count=3):
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            picture(i + 10 * (label == "dog")).save(folder / label / f"{i}.png")
    return folder


def test_a_folder_per_label(tmp_path):
    folder = labelled(tmp_path / "pets")
    (folder / "README.txt").write_text("about")
    rows, findings = resolve(read(str(folder), Data(), Ledger()), ["image"], Data(), Ledger())
    assert rows.column("label") == ["cat"] * 3 + ["dog"] * 3 and not findings and rows.place(3) == "pets/dog/0.png"


def test_files_of_a_folder_that_become_no_row_are_named(tmp_path):
    folder, ledger = labelled(tmp_path / "pets"), Ledger()
    for path in ("cat/more/deep.png", "bird/more/lost.png", "root.png", "cat/odd.heic", "cat/.hidden.png"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(packed(picture(99)))
    (folder / "linked").symlink_to(tmp_path)
    assert len(read(str(folder), Data(), ledger)) == 6
    said = ledger.entries[-1].why
    assert "passed over 5 other files: " in said and "linked" in said and "hidden" not in said
    assert all(name in said for name in ("root.png", "cat/odd.heic", "cat/more/deep.png", "bird/more/lost.png"))


def test_a_table_beside_its_images_is_read_as_a_table(tmp_path):
    (tmp_path / "images").mkdir()
    picture().save(tmp_path / "images" / "a.png")
    (tmp_path / "labels.csv").write_text("image,label\nimages/a.png,x\n")
    assert read(str(tmp_path), Data(), Ledger()).column("label") == ["x"]


def test_an_unlabelled_folder_and_advice_for_nested_ones(tmp_path):
    picture().save(tmp_path / "a.png")
    assert read(str(tmp_path), Data(), Ledger()).names == ("image",)
    labelled(tmp_path / "set" / "train")
    labelled(tmp_path / "set" / "test")
    with pytest.raises(DataError, match="give train/ of it"):
        read(str(tmp_path / "set"), Data(), Ledger())


@pytest.mark.parametrize("top", ["", "pets/"])
def test_a_zip_of_labelled_folders_equals_the_folder(tmp_path, top):
    folder = labelled(tmp_path / "pets")
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, f"{top}{path.relative_to(folder)}")
    one, other = (
        resolve(read(str(tmp_path / name), Data(), Ledger()), ["image"], Data(), Ledger())[0] for name in ("pets", "pets.zip")
    )
    assert (one.row_ids == other.row_ids).all() and one.digest() == other.digest()


def test_bytes_in_parquet_and_data_addresses_are_the_same_rows(tmp_path):
    data = [packed(picture(i)) for i in range(3)]
    plain = pa.table({"image": pa.array(data, pa.binary()), "label": ["a", "b", "a"]})
    nested = plain.set_column(0, "image", pa.array([{"bytes": one, "path": None} for one in data]))
    addresses = [f"data:image/png;base64,{base64.b64encode(one).decode()}" for one in data]
    ids = []
    for i, made in enumerate((plain, nested)):
        pq.write_table(made, tmp_path / f"{i}.parquet")
        ids.append(resolve(read(str(tmp_path / f"{i}.parquet"), Data(), Ledger()), ["image"], Data(), Ledger())[0].row_ids)
    ids.append(resolve(Table.of({"image": addresses, "label": ["a", "b", "a"]}), ["image"], Data(), Ledger())[0].row_ids)
    assert (ids[0] == ids[1]).all() and (ids[0] == ids[2]).all() and len(set(ids[0])) == 3


def test_rows_keep_their_ids_when_the_folder_moves(tmp_path):
    folder = labelled(tmp_path / "a")
    first = resolve(read(str(folder), Data(), Ledger()), ["image"], Data(), Ledger())[0].row_ids
    folder.rename(tmp_path / "b")
    assert (resolve(read(str(tmp_path / "b"), Data(), Ledger()), ["image"], Data(), Ledger())[0].row_ids == first).all()
