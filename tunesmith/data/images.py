"""One image from a cell: opened safely, turned upright, as RGB. What is wrong with it is said, never painted over.

A cell is a path, a `data:` address, bytes, or an object with `path` or `bytes` (as Hugging Face data sets have it). What a file
holds is told by its content, never by its name. Only formats that are pictures and nothing else are opened: no SVG, no EPS, no PDF.
"""

# Axes: H height, W width.

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import floors
from ..errors import DataError, ResourceError, shorten

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif")
"""Endings by which a folder's images are known."""
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF")
"""Pillow's names of what is opened."""
NAMES = {"JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "PPM": (".ppm", ".pgm"), "TIFF": (".tif", ".tiff")}
MOST_PIXELS = 50_000_000
"""Pixels of one image; beyond it is refused before a pixel is decoded."""
MOST_BYTES = 256 << 20
"""Bytes of one file."""
LONGEST = 50
"""Long side over short side; beyond it, an image scaled to a model's short side would be larger than memory."""
CHECKED_SIDE = 64
"""Side to which a JPEG is decoded when it is only checked: every byte is read, few pixels are made."""
SMALL_SIDE = 16
BOX: Any = 4
"""Pillow's name for the mean of the pixels that a new one covers (`Image.Resampling.BOX`)."""
URI = "data:"
SHRINKS = ("RGB", "RGBA", "L", "LA")
"""Modes in which a mean of pixels, once upright on white, is the mean of the upright pixels."""
WHAT = "an image"
MANY = "images"


@dataclass(frozen=True)
class Seen:
    """What was found in one image."""

    content: str
    """Hash of the file's bytes (32 hex digits)."""
    width: int
    height: int
    format: str
    changes: tuple[str, ...] = ()
    """What `upright` did to it, in words."""
    small: bytes = b""
    """The upright image as SMALL_SIDE x SMALL_SIDE pixels in RGB, by which images that look alike are found (`likeness.py`)."""

    @property
    def extra(self) -> dict[str, int]:
        """What a resolved cell keeps beside path and content: nothing."""
        return {}


def payload(cell: Any, what: str = "an image") -> bytes:
    """The bytes behind a cell. Raises DataError for what is no plain file, is missing, or is too large. `what`: what it should be."""
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path") or ""
    if isinstance(cell, bytes):
        return cell
    if cell.startswith(URI):
        return _decoded(cell, what)
    return _read(cell, what)


def name_of(cell: Any, what: str = "an image") -> str:
    """What messages call the file of a cell: its path, else a word for its bytes."""
    if isinstance(cell, Mapping):
        cell = cell.get("path") or cell.get("bytes") or ""
    return f"{what} in the cell" if isinstance(cell, bytes) or cell.startswith(URI) else shorten(cell, 200)


def rgb(cell: Any, least: int = 0) -> Image:
    """The image of a cell, upright, in RGB. Raises DataError where it cannot be read whole.

    `least`: sides that are enough; above 0 a JPEG may come smaller than it is, which is quicker.
    """
    name, data = name_of(cell), payload(cell)
    image = _opened(data, name)
    if least:
        image.draft(image.mode, (least, least))
    return upright(_loaded(image, name), name)[0]


def plain(cell: Any) -> Image:
    """The image of a cell as its file holds it: no turning, no conversion. Raises DataError where it cannot be read whole."""
    name = name_of(cell)
    return _loaded(_opened(payload(cell), name), name)


def upright_size(cell: Any) -> tuple[int, int]:
    """Width and height once turned as EXIF says, from the header alone. Raises DataError as `rgb` does."""
    image = _opened(payload(cell), name_of(cell))
    try:
        sideways = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except Exception:  # broken metadata: the pixels may be sound
        sideways = False
    return (image.height, image.width) if sideways else (image.width, image.height)


def inspect(cell: Any) -> Seen:
    """What there is to know of an image, once every byte of it has been read. Raises DataError as `rgb` does."""
    name, data = name_of(cell), payload(cell)
    image = _opened(data, name)
    width, height, kind = *image.size, str(image.format)
    changes = _changes(image)
    image.draft(image.mode, (CHECKED_SIDE, CHECKED_SIDE))
    small = _small(_loaded(image, name), name).tobytes()
    return Seen(hashlib.blake2b(data, digest_size=16).hexdigest(), width, height, kind, changes, small)


def _small(image: Image, name: str) -> Image:
    """The upright image as SMALL_SIDE x SMALL_SIDE pixels. Where it comes to the same it is shrunk first: turned, converted and laid on
    white as a whole, one of MOST_PIXELS would take a gigabyte. (A TIFF forgets how it is turned; one colour of many may be transparent.)"""
    size = (SMALL_SIDE, SMALL_SIDE)
    if image.mode in SHRINKS and image.format != "TIFF" and "transparency" not in image.info:
        return upright(image.resize(size, BOX), name)[0]
    return upright(image, name)[0].resize(size, BOX)


def upright(image: Image, name: str = "an image") -> tuple[Image, tuple[str, ...]]:
    """A loaded image turned as its EXIF says, in RGB, transparency laid on white; and what was done. Raises DataError."""
    from PIL import ImageOps

    changes = _changes(image)
    turned: Any = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I") or turned.mode == "F":
        return _eight_bits(turned, name), changes
    if turned.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in turned.info:
        return _on_white(turned.convert("RGBA")), changes
    return (turned if turned.mode == "RGB" else turned.convert("RGB")), changes


def thumbnail(cell: Any, side: int = 112) -> str:
    """The image as a small `data:` address (JPEG, a few kilobytes), nothing where it cannot be read."""
    try:
        small = rgb(cell, least=side)
    except DataError:
        return ""
    small.thumbnail((side, side))
    packed = io.BytesIO()
    small.save(packed, "JPEG", quality=80)
    return f"{URI}image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode()}"


def address(data: bytes) -> str:
    """Bytes as a `data:` address, as JSON can hold them."""
    return f"{URI}application/octet-stream;base64,{base64.b64encode(data).decode()}"


def says_otherwise(seen: Seen, path: str) -> bool:
    """Whether a file's ending names another format than its content has."""
    suffix = Path(path).suffix.lower()
    return suffix in SUFFIXES and suffix not in NAMES.get(seen.format, (f".{seen.format.lower()}",))


# -- bytes ------------------------------------------------------------------------------------------------------------


def _decoded(uri: str, what: str) -> bytes:
    head, comma, body = uri.partition(",")
    try:
        if not comma or not head.endswith(";base64"):
            raise ValueError("no base64")
        return base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error):
        raise DataError(
            f"{what} in the cell", expected="data:TYPE;base64,...", got=shorten(uri, 60),
            fix="encode the file's bytes as base64", code="bad-data-address",
        ) from None


def _read(path: str, what: str) -> bytes:
    """The bytes of a plain file. A pipe or device is refused without waiting for it."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise _missing(path, error, what) from None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise _error(path, "a plain file", "a folder, pipe or device", "not-a-file")
    with os.fdopen(handle, "rb") as file:
        if status.st_size > MOST_BYTES:
            raise _error(path, f"at most {MOST_BYTES >> 20} MiB", f"{status.st_size / 2**20:,.0f} MiB", "file-too-large")
        return file.read()


def _missing(path: str, error: Exception, what: str) -> DataError:
    if path.startswith(("http://", "https://", "s3://", "gs://")):
        return _error(path, "a file here", "an address on the network", "no-such-file")
    got = "no permission to read it" if isinstance(error, PermissionError) else "no such file"
    return _error(path, what, got, "no-such-file")


# -- pixels -----------------------------------------------------------------------------------------------------------


def _opened(data: bytes, name: str) -> Image:
    """The image with its header read and no pixel decoded."""
    try:
        from PIL import Image, ImageFile
    except ImportError:
        raise ResourceError(
            name, expected="Pillow, which reads images", got="it is not installed",
            fix="pip install 'tunesmith[image]'", code="no-pillow",
        ) from None
    floors.require("pillow")
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have asked for grey in place of what is missing
    # Pillow warns of sizes that are refused below and of metadata that nobody reads. Not by `catch_warnings`: threads come here.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    if not data:
        raise _error(name, "an image", "an empty file", "damaged-image")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise _too_large(name, "far more") from None
    except Exception as error:  # headers from outside fail in many ways; each means that this is no image
        raise _no_image(data, name, error) from None
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_large(name, f"{width:,} x {height:,}")
    if max(width, height) > LONGEST * min(width, height):
        raise _error(
            name, f"a long side of at most {LONGEST} short ones", f"{width:,} x {height:,} pixels", "image-too-long"
        )
    return image


def _loaded(image: Image, name: str) -> Image:
    try:
        image.load()
    except Exception as error:  # decoders fail in many ways; each means that the file is cut or damaged
        raise _error(name, "a whole image", f"one that is cut or damaged ({shorten(str(error), 80)})", "damaged-image") from None
    return image


def _changes(image: Image) -> tuple[str, ...]:
    """What `upright` will do to an image, in words."""
    found, wide = [], image.mode.startswith("I") or image.mode == "F"
    deep = wide or _deep(image)  # before EXIF is asked for, which reads a PNG to its end and forgets how it was packed
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        found.append("animated: the first picture is taken")
    if _turned(image):
        found.append("turned upright, as EXIF says")
    if deep:
        found.append("16 bits a pixel or more: scaled to 8")
    if image.mode in ("P", "PA"):
        found.append("palette to RGB")
    elif not wide and image.mode not in ("RGB", "L", "1", "RGBA", "LA"):
        found.append(f"{image.mode} to RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        found.append("transparent: laid on white")
    return tuple(found)


def _deep(image: Image) -> bool:
    """Whether a file has 16 bits for each colour, of which Pillow reads the upper 8."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", None) or ())


def _turned(image: Image) -> bool:
    try:
        return image.getexif().get(0x0112, 1) not in (0, 1)
    except Exception:  # broken metadata: the pixels may be sound
        return False


def _on_white(image: Image) -> Image:
    from PIL import Image as pillow

    white = pillow.new("RGBA", image.size, (255, 255, 255, 255))
    return pillow.alpha_composite(white, image).convert("RGB")


def _eight_bits(image: Image, name: str) -> Image:
    """16-bit whole numbers over their full range, or decimals from 0 to 1, as 8 bits."""
    from PIL import Image as pillow

    value_HW = np.asarray(image).astype(np.float64)
    most = 1.0 if image.mode == "F" else 65535.0
    if not np.isfinite(value_HW).all() or value_HW.min() < 0 or value_HW.max() > most:
        raise _error(
            name, f"pixels from 0 to {most:g}", f"{value_HW.min():g} to {value_HW.max():g}", "bad-pixel-range"
        )
    return pillow.fromarray(np.round(value_HW * (255 / most)).astype(np.uint8)).convert("RGB")


def _no_image(data: bytes, name: str, error: Exception) -> DataError:
    head = data[:400].lstrip().lower()
    if head.startswith((b"<svg", b"<?xml")) or b"<svg" in head:
        return _error(name, "an image", "an SVG drawing, which can hold programs", "not-an-image")
    if head.startswith((b"<!doctype", b"<html")):
        return _error(name, "an image", "a web page", "not-an-image")
    if b"\0" not in data[:1000] and data[:64].isascii():
        return _error(name, "an image", "a text", "not-an-image")
    known = head.startswith((b"\xff\xd8", b"\x89png", b"gif8", b"riff", b"bm", b"ii*\0", b"mm\0*"))
    got = "one that is cut or damaged" if known else "another kind of file"
    return _error(name, "an image (JPEG, PNG, GIF, WebP, BMP, TIFF)", got, "damaged-image" if known else "not-an-image")


def _too_large(name: str, got: str) -> DataError:
    return _error(name, f"at most {MOST_PIXELS / 1e6:.0f} million pixels", f"{got} pixels", "image-too-large")


FIXES = {
    "not-a-file": "put the file itself there", "no-such-file": "check the path", "file-too-large": "make it smaller",
    "image-too-large": "scale it down first", "image-too-long": "cut it into parts",
    "damaged-image": "fetch or export it again", "not-an-image": "save it as JPEG or PNG",
    "bad-pixel-range": "save it with 8 or 16 bits", "outside-folder": "copy it there, or name its folder (--set data.files=FOLDER)",
}
"""What to do about each code."""


def _error(name: str, expected: str, got: str, code: str) -> DataError:
    return DataError(name, expected=expected, got=got, fix=FIXES[code], code=code)


error = _error
