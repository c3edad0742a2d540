"""An image as the model's own processor makes it, changed at random first where training asks for that.

Axes: C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..data import images
from ..data.profile import ColumnProfile, Profile
from ..errors import SpecError, shorten
from ..spec import Choice
from ..task import Draw, Example
from . import columns

if TYPE_CHECKING:
    from PIL.Image import Image

Way = Literal["flip", "crop", "colour", "randaugment", "mixup", "cutmix"]
ALONE = ("crop", "colour", "randaugment", "flip")
"""Ways that change one image, in the order in which they are done."""
BLENDS = ("mixup", "cutmix")
"""Ways that take a second image."""
SMALLEST = 0.5
"""Least share of the image's area that a crop keeps."""
STRENGTH = 0.3
"""Largest change of brightness, contrast and saturation, as a share."""
BILINEAR = 2
"""Pillow's number of the interpolation where a processor names none."""
OPERATIONS = 2
"""Operations that RandAugment draws for an image."""
SIDED = ("left", "right", "links", "rechts", "gauche", "droite", "east", "west")
"""Words in labels whose meaning a mirror turns round."""
IMAGE_NAMES = ("image", "img", "picture", "photo", "file", "filename", "file_name", "path", "image_path", "filepath")


# -- columns ----------------------------------------------------------------------------------------------------------


def image_column(profile: Profile, named: Mapping[str, Any], other: Sequence[str]) -> Choice[Any] | None:
    """The column with images, for the option `image` where the user did not name it; None where there is none.

    `other`: names of the options that name other columns.
    """
    if named.get("image"):
        return Choice(named["image"], "named by you")
    taken = {name for role in other for name in _flat(named.get(role))}
    found = [column for column in profile.columns.values() if column.name not in taken and holds_images(column)]
    if not found:
        return None
    ranks = {name: rank for rank, name in enumerate(IMAGE_NAMES)}
    best = min(found, key=lambda column: ranks.get(column.name.lower(), len(ranks)))
    why = "holds images" if best.kind == "files" else f"names image files, such as {shorten(str(best.examples[0]), 40)!r}"
    return Choice(best.name, f"column {best.name!r} {why}")


def text_beside(profile: Profile, taken: Sequence[Any]) -> bool:
    """Whether a column of texts stands beside the images: then what is asked is less sure."""
    texts = [column for name, column in profile.columns.items() if name not in taken and column.kind == "text"]
    return any(column.mean_words >= 4 and not columns.is_split(column) for column in texts)


def _flat(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def holds_images(column: ColumnProfile) -> bool:
    """Whether a column's cells are images, or name image files."""
    if column.kind == "files":
        return "a sound" not in column.examples
    seen = [str(value).lower() for value in column.examples]
    return column.kind in ("path", "constant") and bool(seen) and all(
        value.endswith(images.SUFFIXES) or value.startswith("data:image/") for value in seen
    )


# -- augmentation -----------------------------------------------------------------------------------------------------


def ways(asked: Any, labels: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """How images are changed in training, and why. `auto`: crops, and mirrored where no label would change its meaning."""
    if asked != "auto":
        return ((), "as asked") if asked == "none" else (tuple(dict.fromkeys(asked)), "as asked")
    fixed = [label for label in labels if label.isdigit() or len(label) == 1 or any(word in label.lower() for word in SIDED)]
    if fixed:
        return ("crop",), f"crops alone: mirrored, {shorten(fixed[0])!r} could mean something else"
    return ("crop", "flip"), "crops and mirrors keep what these labels mean"


def check_ways(asked: Any, allowed: Sequence[str]) -> None:
    """Raises SpecError where the option `augment` is none of its words."""
    if asked in ("auto", "none"):
        return
    bad = [way for way in _flat(asked) if way not in allowed]
    if bad or not isinstance(asked, tuple):
        raise SpecError(
            "option augment", expected=f"auto, none, or some of {', '.join(allowed)}", got=shorten(repr(bad[0] if bad else asked)),
            fix="write [crop, flip]", code="bad-value",
        )


def encode(cell: Any, processor: Any, chosen: Sequence[str] = (), draw: Draw | None = None, *, whole: bool = False) -> np.ndarray:
    """(C, H, W) float32: the image of a cell as the model wants it; with a draw, changed in the chosen ways first.

    `whole`: nothing is cut off, where the processor would cut the middle out. Raises DataError where the image cannot be read whole.
    """
    image = images.rgb(cell)
    if draw is not None:
        for way in ALONE:
            image = CHANGES[way](image, draw) if way in chosen else image
    settings: dict[str, Any] = {}
    if whole:
        height, width = sides(processor)
        image = image.resize((width, height), int(getattr(processor, "resample", None) or BILINEAR))
        settings = {"do_resize": False, "do_center_crop": False}
    return np.asarray(processor.preprocess([image], **settings)["pixel_values"][0], np.float32)


def sides(processor: Any) -> tuple[int, int]:
    """Height and width of what the processor makes of an image."""
    chosen = processor.crop_size if getattr(processor, "do_center_crop", False) else processor.size
    edge = side_of(chosen, "shortest_edge", 224)
    return side_of(chosen, "height", edge), side_of(chosen, "width", edge)


def side_of(size: Any, name: str, otherwise: int) -> int:
    """A side that a processor names (`height`, `width`, `shortest_edge`), where it names it."""
    found = size.get(name) if hasattr(size, "get") else getattr(size, name, None)
    return int(found) if found else otherwise


def blend(one: Example, other: Example, chosen: Sequence[str], draw: Draw) -> tuple[np.ndarray, float]:
    """Two encoded images as one, and the share of the first: mixup (arXiv 1710.09412) or CutMix (1905.04899), drawn where both are."""
    way = [name for name in BLENDS if name in chosen][int(draw.integers(sum(name in chosen for name in BLENDS)))]
    share = float(draw.beta(0.2, 0.2) if way == "mixup" else draw.beta(1.0, 1.0))
    first, second = one["pixel_values"], other["pixel_values"]
    if way == "mixup":
        return (share * first + (1 - share) * second).astype(np.float32), share
    height, width = first.shape[1:]
    sides = (np.array([height, width]) * np.sqrt(1 - share)).astype(int)
    top, left = (int(draw.integers(0, room + 1)) for room in (height - sides[0], width - sides[1]))
    pasted = first.copy()
    pasted[:, top : top + sides[0], left : left + sides[1]] = second[:, top : top + sides[0], left : left + sides[1]]
    return pasted, 1 - sides[0] * sides[1] / (height * width)


def _flip(image: Image, draw: Draw) -> Image:
    from PIL import ImageOps

    return ImageOps.mirror(image) if draw.random() < 0.5 else image


def _crop(image: Image, draw: Draw) -> Image:
    """A part of random size and shape (arXiv 1409.4842), brought back to the image's own size."""
    area = image.width * image.height * draw.uniform(SMALLEST, 1.0)
    shape = np.exp(draw.uniform(np.log(3 / 4), np.log(4 / 3))) * image.width / image.height
    width, height = min(image.width, max(1, round(np.sqrt(area * shape)))), min(image.height, max(1, round(np.sqrt(area / shape))))
    left, top = int(draw.integers(0, image.width - width + 1)), int(draw.integers(0, image.height - height + 1))
    return image.resize(image.size, 2, box=(left, top, left + width, top + height))


def _colour(image: Image, draw: Draw) -> Image:
    from PIL import ImageEnhance

    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = kind(image).enhance(draw.uniform(1 - STRENGTH, 1 + STRENGTH))
    return image


def _randaugment(image: Image, draw: Draw) -> Image:
    """RandAugment (arXiv 1909.13719) at magnitude 9 of 30."""
    for at in draw.integers(0, len(_OPERATIONS), OPERATIONS):
        sign = 1 if draw.random() < 0.5 else -1
        image = _OPERATIONS[int(at)](image, sign)
    return image


CHANGES: Mapping[str, Callable[[Image, Draw], Image]] = {
    "flip": _flip, "crop": _crop, "colour": _colour, "randaugment": _randaugment,
}


def _enhanced(kind: str) -> Callable[[Image, int], Image]:
    def change(image: Image, sign: int) -> Image:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, kind)(image).enhance(1 + sign * 0.27)  # type: ignore[no-any-return]

    return change


def _moved(across: float, down: float, shear_across: float = 0.0, shear_down: float = 0.0) -> Callable[[Image, int], Image]:
    def change(image: Image, sign: int) -> Image:
        from PIL import Image as pillow

        shift = (across * image.width, down * image.height)
        matrix = (1, sign * shear_across, sign * shift[0], sign * shear_down, 1, sign * shift[1])
        return image.transform(image.size, pillow.Transform.AFFINE, matrix, 2, fillcolor=(128, 128, 128))

    return change


def _operation(name: str, *settings: Any) -> Callable[[Image, int], Image]:
    def change(image: Image, sign: int) -> Image:
        from PIL import ImageOps

        return getattr(ImageOps, name)(image, *settings)  # type: ignore[no-any-return]

    return change


def _rotated(image: Image, sign: int) -> Image:
    return image.rotate(sign * 9, 2, fillcolor=(128, 128, 128))


_OPERATIONS: tuple[Callable[[Image, int], Image], ...] = (
    lambda image, sign: image, _operation("autocontrast"), _operation("equalize"), _operation("posterize", 6),
    _operation("solarize", 180), _rotated, _enhanced("Color"), _enhanced("Contrast"), _enhanced("Brightness"),
    _enhanced("Sharpness"), _moved(0, 0, 0.09), _moved(0, 0, 0, 0.09), _moved(0.1, 0), _moved(0, 0.1),
)


def drawn(shade: Sequence[int], rng: np.random.Generator, side: int = 32) -> str:
    """A square of one shade with noise on it, as a `data:` address (PNG): a toy image that a CSV cell can hold."""
    import base64
    import io

    from PIL import Image as pillow

    noisy_HW3 = np.clip(np.array(shade) + rng.normal(0, 30, (side, side, 3)), 0, 255).astype(np.uint8)
    packed = io.BytesIO()
    pillow.fromarray(noisy_HW3).save(packed, "PNG")
    return f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}"
