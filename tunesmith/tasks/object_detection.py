"""Find things on images: a box around each, and what it is.

Rows: `image` and `boxes`; folders of COCO, Pascal VOC or YOLO, COCO's JSON, a table with a list of boxes for each image, or one with a box
on each line. Corners are in pixels of the image as it is seen (turned as its EXIF says), for data and answers alike. Scores: COCO's mAP
first, at overlaps of .50 and .75, and recall, by pycocotools. Beside it: each class's usual box, and the whole image. Models: detectors of
transformers (DETR and its kin, RT-DETR, D-FINE, YOLOS) as they are, or any image encoder with a dense head on its maps.
"""
# Axes: N rows, B rows of a batch, H height, W width, T places of the grid, C classes, M true boxes, K detections.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..parts import batch, boxed, columns, detections, options, pixels, regions, scenes
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Graded, Light, Outputs, Row, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.finding import Finding
    from ..data.ledger import Ledger
    from ..data.profile import Profile
    from ..data.table import Table
    from ..models.source import Backbone, Form, Source

SHOWN = 320
"""Pixels a side of the report's pictures."""
PASSES = 3_000
"""Images that training looks at, all epochs together: what a dense head on a pretrained encoder takes."""
EPOCHS = (10, 60)


@final
@dataclass(frozen=True, kw_only=True)
class ObjectDetection(Task):
    """Boxes of C classes."""

    modality: ClassVar[str] = "image"
    directions: ClassVar[Mapping[str, bool]] = detections.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("image",)
    files: ClassVar[tuple[str, ...]] = ("image",)
    targets: ClassVar[tuple[str, ...]] = ("boxes",)
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "finds things on images"

    image: str = "image"
    """Column with the images: paths, counted from the file that names them, or their bytes."""
    boxes: str = "boxes"
    """Column with a list of boxes for each image; of a table with a box on each line, the name that the gathered lists get."""
    corners: tuple[str, ...] = ()
    """Of a table with a box on each line: the columns of its left, top, right and bottom edge."""
    label: str = ""
    """Of a table with a box on each line: the column that says what it is around."""
    names: tuple[str, ...] = ()
    """Names of the classes, in order from 0 where boxes have numbers; others are refused. None: as the boxes say."""
    broken: Literal["refuse", "mend"] = "refuse"
    """Boxes that cannot be right (beyond the image, without an area, corners swapped, drawn on another size): listed, or mended where
    there is a way, each in the ledger."""
    side: int | Literal["auto"] = "auto"
    """Pixels of the longer side of what the model is shown; `auto`: what it was pretrained with, of encoders without fixed places 320."""
    augment: Literal["auto", "none"] | tuple[Literal["scale", "crop", "flip", "colour"], ...] = "auto"
    """How images and boxes are changed in each epoch; `auto`: all ways, mirrored where no class would change its meaning."""
    labels: tuple[str, ...] = fitted(())
    ways: tuple[str, ...] = fitted(())
    ways_why: str = fitted("")
    sides: tuple[int, ...] = fitted((0, 0))
    stretched: bool = fitted(False)
    detector: str = fitted("")
    free: bool = fitted(False)
    rows: int = fitted(0)
    threshold: float = fitted(detections.SURE)
    slope: float = fitted(1.0)
    offset: float = fitted(0.0)

    def __post_init__(self) -> None:
        options.column("image", self.image)
        options.column("boxes", self.boxes)
        pixels.check_ways(self.augment, scenes.WAYS)
        if self.side != "auto":
            options.number("side", self.side, low=32, high=2048, unit="pixels")

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """A column of boxes beside images, or columns of corners."""
        if columns.missing(profile, named, ("image", "label")):
            return None
        found = boxed.boxes_column(profile, {k: v for k, v in named.items() if k != "boxes" or v in profile.columns})
        if found is not None:
            image = pixels.image_column(profile, {**named, "boxes": found.value}, ("boxes",))
            return image and Claim({"image": image, "boxes": found}, 0.97, f"{found.why}: what is where on each image")
        lines, image = boxed.corner_columns(profile, named), pixels.image_column(profile, named, ("label", "corners"))
        if lines is None or image is None:
            return None
        return Claim({"image": image, **lines}, 0.97, f"{lines['corners'].why}: what is where on each image")

    def tidied(self, table: Table, ledger: Ledger) -> Table:
        """A row for each image, its boxes in pixels of the image as it is seen; mended where that was asked for."""
        if self.image not in table.names:
            return table
        if self.corners and self.boxes not in table.names:
            table = boxed.gathered(table, self.image, self.corners, self.label, self.boxes)
        if self.boxes not in table.names:
            return table
        return boxed.tidied(table, self.image, self.boxes, self.names, self.broken == "mend", ledger)

    def check(self, table: Table) -> list[Finding]:
        """Boxes that cannot be right, by row and file; images without boxes, counted."""
        found = options.twice([self.image, self.boxes])
        return found or boxed.check(table, self.image, self.boxes, self.names)

    def meet(self, source: Source) -> Self:
        """Which kind of model it is. Raises ModelError for a detector that needs a package which is not used here."""
        from ..models import setwise

        return self.settle(detector=setwise.kind_of(source), free=source.model_type in scenes.FREE)

    @property
    def form(self) -> Form:
        """A detector is loaded with its head."""
        return "detector" if self.detector else ""

    def fit(self, train: Table) -> Self:
        """Learn the classes. Raises DataError where there is no box at all, ResourceError where boxes cannot be judged here."""
        detections.evaluator()
        labels = boxed.learned(train, self.boxes, self.names)
        boxed.refuse_none(train, labels)
        ways, why = scenes.ways(self.augment, labels)
        return self.settle(labels=labels, ways=ways, ways_why=why, rows=len(train))

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle the frame of the model."""
        sides, stretched = scenes.sides(processor, self.side, self.detector, self.free)
        return self.settle(sides=sides, stretched=stretched)

    def suggested(self) -> Mapping[str, Choice[Any]]:
        """All weights learn, for as many epochs as boxes take."""
        epochs = float(np.clip(round(PASSES / max(1, self.rows)), *EPOCHS))
        why = "edges of boxes are learned by no head that has an optimum to solve for, and frozen maps tell them badly"
        return {
            "strategy": Choice("full", why),
            "train.epochs": Choice(epochs, f"{self.rows:,} images: about {PASSES:,} looks, within {EPOCHS[0]} to {EPOCHS[1]} epochs"),
            "train.batch": Choice(8, "several boxes an image: small batches make more steps"),
        }

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Images with boxes of classes that no training row has, or that are too small or too close to be told apart in the frame."""
        if self.boxes not in rows.names:
            return []
        found = boxed.unseen(rows, self.image, self.boxes, self.labels)
        return found + scenes.crowded(rows, self.image, self._arrays, self.boxes, self._frame, not self.detector)

    def truth(self, rows: Table) -> Truth:
        """(N,) objects: `boxes` (corners), `classes` (C: of no training row) and `crowds`, as JSON has them."""
        found = np.empty(len(rows), object)
        for at, cell in enumerate(rows.column(self.boxes)):
            corners_M4, class_M, crowd_M = self._arrays(cell)
            found[at] = {"boxes": corners_M4.tolist(), "classes": class_M.tolist(), "crowds": crowd_M.tolist()}
        return found

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """`pixel_values` (channel, height, width), `size` of the image, where it is (`pixel_mask`, of detectors), and where the row has
        boxes `target` (M, 5): class and corners in the frame."""
        drawn, known = draws or [None] * len(rows), bool(rows) and self.boxes in rows[0]
        found = []
        for row, draw in zip(rows, drawn):
            marks = self._learned(row[self.boxes]) if known else None
            pixels_CHW, seen_HW, size, target_M5 = scenes.encode(row[self.image], marks, self._frame, processor, self.ways, draw)
            example: Example = {"pixel_values": pixels_CHW, "size": np.array(size, np.int64)}
            example |= {"pixel_mask": seen_HW} if self.detector else {}
            found.append(example | ({} if target_M5 is None else {"target": target_M5}))
        return found

    def light(self, rows: Table) -> Light:
        """Sizes, and boxes in the frame; the images are read when a batch needs them."""
        cells, frame = rows.column(self.image), self._frame
        size_N2 = scenes.sizes(cells)
        known = {"size": size_N2}
        if self.boxes in rows.names:
            marks = [self._learned(cell) for cell in rows.column(self.boxes)]
            known["target"] = scenes.stacked([
                np.concatenate([class_M[:, None], frame.into(corners_M4, size, frame.inner(size))], 1)
                for (corners_M4, class_M), size in zip(marks, size_N2.tolist())
            ])
        down, across = self._grid
        return Light(known, np.full(len(rows), down * across, np.int64))

    @property
    def augments(self) -> bool:
        """Whether images are changed in training."""
        return bool(self.ways)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Stacked; targets padded with boxes of class -1."""
        import torch

        made = batch.collate([{name: value for name, value in one.items() if name != "target"} for one in examples], {})
        if "target" in examples[0]:
            made["target"] = torch.from_numpy(scenes.stacked([one["target"] for one in examples]))
        return made

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """The detector with a class head for these classes; or a dense head on the encoder's maps."""
        if self.detector:
            from ..models.setwise import SetDetector

            return SetDetector(backbone, self.labels, dropout)
        from ..models.detect import Detector

        height, width = self.sides
        return Detector(backbone, len(self.labels), (height, width), self._grid, dropout)

    def weight(self, batch: Batch) -> float:
        """Boxes; an image without any counts as one."""
        return float((batch["target"][..., 0] >= 0).sum(1).clamp(min=1).sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The detector's own matched loss, or focal loss of middles and generalised overlap of edges; summed over boxes."""
        if self.detector:
            return model.loss(batch)  # type: ignore[operator,no-any-return]
        from ..models import detect

        return detect.loss(model(batch), batch["target"], model.frame)  # type: ignore[arg-type]

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """`detections` (B, K, 6): class, score, corners in the images' own pixels; a score of 0: none there."""
        import torch

        from ..models import detect

        found_BK6 = model.found(batch) if self.detector else detect.found(model(batch), model.frame)  # type: ignore[operator,arg-type]
        sizes = batch["size"].cpu().tolist()
        made = [scenes.told(one.cpu().numpy(), self._frame, size, dense=not self.detector) for one, size in zip(found_BK6, sizes)]
        return {"detections": torch.from_numpy(np.stack(made))}

    def aligned(self, name: str, here: Any, there: Any) -> Any:
        """Detections that are all but equally sure may come in another order."""
        return detections.paired(*(np.asarray(one).reshape(-1, detections.WIDTH) for one in (here, there))).reshape(np.shape(here))

    # -- answers ------------------------------------------------------------------------------------------------------

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """The least score of an answer, by which F1 is best, and scores as confidences."""
        counts = self.condense(outputs, truth)
        least = detections.threshold(counts)
        slope, offset = detections.honest(counts, least / 2)
        return self.settle(threshold=least, slope=slope, offset=offset)

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Which detections are right at each overlap, by pycocotools, and how many there are to be found."""
        return detections.condense(outputs, truth, len(self.labels))

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`boxes`: label, confidence and `box` (left, top, right, bottom, in pixels of the image as it is seen), surest first; `count`."""
        told = self.threshold, self.slope, self.offset
        return [detections.answer(found_K6, self.labels, *told) for found_K6 in detections.shaped(outputs)]

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """COCO's scores, of all detections whatever the threshold."""
        return detections.score(self.condense(outputs, truth))

    def astray(self, outputs: Outputs, truth: Truth) -> bool:
        """Whether next to no box was found."""
        return detections.astray(self.score(outputs, truth))

    def by_heart(self, outputs: Outputs, truth: Truth, steps: int) -> str:
        """Whether the training images' boxes are found, and how near to them the nearest are."""
        return detections.by_heart(self.score(outputs, truth), detections.nearest(outputs, truth), len(truth), steps)

    def grade(self, outputs: Outputs, truth: Truth) -> Graded:
        """Rows with what is on them and what was found, counts of each class, and each found box judged by itself."""
        return detections.grade(self.condense(outputs, truth), self.labels, self.threshold, self.slope, self.offset)

    def pictured(self, outputs: Outputs, truth: Truth, rows: Sequence[Row]) -> list[dict[str, str]]:
        """True and found boxes drawn on the image."""
        found = []
        for row, one, answer in zip(rows, truth, self.answers(outputs)):
            true = [(kind, [*self.labels, "?"][kind], box) for kind, box in zip(one["classes"], one["boxes"])]
            told = [(self.labels.index(b["label"]), f"{b['label']} {b['confidence']:.2f}", b["box"]) for b in answer["boxes"]]
            found.append({name: scenes.outlined(row[self.image], marks, SHOWN) for name, marks in (("truth", true), ("answer", told))})
        return found

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """Each class's usual box in the middle of its sides, by how often it is there; the whole image."""
        marks = [self._learned(cell) for cell in train.column(self.boxes)]
        shares = scenes.usual(marks, scenes.sizes(train.column(self.image)), len(self.labels))
        size_N2 = scenes.sizes(rows.column(self.image))
        whole = shares.copy()
        whole[:, 2:] = 0, 0, 1, 1
        return {name: {"detections": scenes.everywhere(made, size_N2)} for name, made in (("usual box", shares), ("whole image", whole))}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """One or two reddish and bluish boxes on dark noise."""
        rng = np.random.default_rng(seed)
        return [scenes.drawn(rng) for _ in range(n)]

    @property
    def _frame(self) -> scenes.Frame:
        return scenes.Frame(*self.sides, self.stretched)

    @property
    def _grid(self) -> tuple[int, int]:
        return regions.Frame(*self.sides).grid

    def _arrays(self, cell: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return boxed.arrays(cell, self.labels)

    def _learned(self, cell: Any) -> tuple[np.ndarray, np.ndarray]:
        corners_M4, class_M, crowd_M = self._arrays(cell)
        known_M = (class_M < len(self.labels)) & ~crowd_M
        return corners_M4[known_M], class_M[known_M]


task = ObjectDetection
