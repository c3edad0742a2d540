"""Say of each pixel of an image what it is.

Rows: `image` and `mask` (paths or bytes; folders images/ and masks/, or a table with both); masks are PNG files of class ids or of
colours, or shapes (COCO's polygons and run lengths). Images of any size are scaled into the model's frame and padded, or seen in tiles;
answers and scores are at each image's own size. A model with a decoder of its own keeps it. Scores: mean IoU first; mean Dice, pixel
accuracy, class accuracy. Beside it: the usual class at each place, and the frozen encoder with a linear head.
"""
# Axes: N rows, B rows of a batch, H height, W width, T cells of the grid, D features, C classes.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..parts import batch, columns, framed, linear, masks, options, pixels, regions, shapes, tiles
from ..spec import Choice
from ..task import PART, Batch, Claim, Draw, Example, Graded, Light, Outputs, Row, Solution, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.finding import Finding
    from ..data.ledger import Ledger
    from ..data.profile import Profile
    from ..data.table import Table
    from ..inference import Encoded
    from ..models.source import Backbone, Form, Source

LOOKED = 200
"""Images by whose sizes it is told whether they are seen in tiles."""
SOLVED = 40_000
"""Cells on which a linear head is solved; of more, an even part is taken."""
DICE = 0.5
"""Weight of the Dice loss beside the cross-entropy."""
SIDE = 200
"""Pixels a side of the report's overlays."""


@final
@dataclass(frozen=True, kw_only=True)
class ImageSegmentation(Task):
    """One of C classes for each pixel."""

    modality: ClassVar[str] = "image"
    directions: ClassVar[Mapping[str, bool]] = regions.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("image",)
    files: ClassVar[tuple[str, ...]] = ("image", "mask")
    targets: ClassVar[tuple[str, ...]] = ("mask",)
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "gives each pixel of an image a class"
    solved: ClassVar[int] = SOLVED

    image: str = "image"
    """Column with the images: paths, counted from the file that names them, or their bytes."""
    mask: str = "mask"
    """Column with the masks: PNG files as large as their images, of class ids or of colours."""
    names: tuple[str, ...] = ()
    """Names of the classes where masks hold ids, in order from 0."""
    label_map: str = ""
    """File that says which id or colour is which class: a CSV with name,r,g,b or id,name, a text with a name a line, or JSON."""
    ignore: tuple[str, ...] = ()
    """Classes that count for nothing (names, ids, colours as #rrggbb); 255 and those called void, ignore or unlabelled always do."""
    augment: Literal["auto", "none"] | tuple[pixels.Way, ...] = "auto"
    """How images and masks are changed in each epoch; `auto`: crops, and mirrored where no class would change its meaning."""
    tiles: Literal["auto", "on", "off"] = "auto"
    """Large images in tiles of the model's size, rather than scaled down; `auto`: where they are more than twice as large a side."""
    dice_weight: float = DICE
    """Weight of the Dice loss beside the cross-entropy; 0: none."""
    labels: tuple[str, ...] = fitted(())
    keys: tuple[int, ...] = fitted(())
    ignored: tuple[int, ...] = fitted(())
    coloured: bool = fitted(False)
    ways: tuple[str, ...] = fitted(())
    ways_why: str = fitted("")
    sides: tuple[int, ...] = fitted((0, 0))
    native: bool = fitted(False)
    zoom: float = fitted(0.0)
    zoom_why: str = fitted("")
    class_weights: tuple[float, ...] = fitted(())

    def __post_init__(self) -> None:
        options.column("image", self.image)
        options.column("mask", self.mask)
        pixels.check_ways(self.augment, framed.WAYS)
        options.one_of("tiles", self.tiles, ("auto", "on", "off"))
        options.number("dice_weight", self.dice_weight, low=0, high=100)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """A column of masks beside one of images."""
        if columns.missing(profile, named, ("image", "mask")):
            return None
        mask = framed.mask_column(profile, named)
        image = mask and pixels.image_column(profile, {**named, "mask": mask.value}, ("mask",))
        if mask is None or image is None:
            return None
        sure = 0.6 if "boxes" in profile.columns and not named.get("mask") else 0.95  # boxes are asked for as often
        return Claim({"image": image, "mask": mask}, sure, f"{mask.why}: what each pixel is")

    def noticed(self, table: Table, profile: Profile) -> Mapping[str, Choice[Any]]:
        """The classes, where shapes name them."""
        if self.names or not shapes.are(table, self.mask):
            return {}
        found = shapes.names(table, self.mask)
        return {"names": Choice(found, f"{shapes.BACKGROUND!r}, and the labels of the training rows' shapes")}

    def unfolded(self, table: Table, skip: bool, ledger: Ledger) -> tuple[Table, list[Finding]]:
        """Shapes drawn as masks."""
        if not shapes.are(table, self.mask):
            return table, []
        return shapes.drawn(table, self.mask, self.names or self.labels, skip, ledger)

    def check(self, table: Table) -> list[Finding]:
        """Rows that cannot be used: masks of another size than their image, of unknown ids or colours, or with nothing labelled."""
        found = options.twice([self.image, self.mask])
        return found or framed.check(table, self.image, self.mask, self._said(), self.ignore, self._colours())

    def fit(self, train: Table) -> Self:
        """Learn the classes. Raises DataError where there are not two, SpecError where options name none that are there."""
        said, coloured = self._said(), self._colours()
        cells = train.column(self.mask)
        coloured = masks.is_coloured(cells[: framed.LOOKED]) if coloured is None else coloured
        book = masks.learn(framed.keys(cells, coloured), coloured, said, self.ignore)
        ways, why = pixels.ways(self.augment, book.labels)
        return self.settle(
            labels=book.labels, keys=book.keys, ignored=book.ignored, coloured=coloured, ways=ways, ways_why=why
        )

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle the frame of the model, and the classes' weights."""
        sides, at = framed.sides(processor), np.unique(np.linspace(0, len(train) - 1, min(len(train), LOOKED)).astype(np.int64))
        zoom, why = tiles.choose(self.tiles, sides, [masks.size(cell) for cell in train.take(at).column(self.image)])
        made = self.settle(sides=sides, zoom=zoom, zoom_why=why.why)
        if balance != "weights":
            return made
        count_C = np.zeros(len(self.labels))
        for cell in train.column(self.mask):
            target_HW = made._target(cell)
            count_C += np.bincount(target_HW[target_HW < len(count_C)], minlength=len(count_C))
        return made.settle(class_weights=tuple((count_C.sum() / (np.maximum(count_C, 1) * len(count_C))).clip(0.1, 10.0).tolist()))

    def meet(self, source: Source) -> Self:
        """Whether the model has a segmentation decoder, which is kept."""
        return self.settle(native=source.segments)

    @property
    def form(self) -> Form:
        """With its decoder, where it has one."""
        return "segments" if self.native else ""

    def decided(self) -> Mapping[str, Choice[Any]]:
        """Which decoder answers, and whether images are seen in tiles."""
        own = {"decoder": Choice[Any]("own", "the decoder that the model was pretrained with is kept")} if self.native else {}
        return own | {"options.tiles": Choice[Any]("on" if self.zoom else "off", self.zoom_why)}

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Rows with ids or colours that no training mask has: these pixels count as wrong."""
        return framed.unseen(rows, self.mask, self._book) if self.mask in rows.names else []

    def truth(self, rows: Table) -> Truth:
        """(N,) texts: masks of class numbers at their own size, as `data:` addresses (PNG)."""
        found = np.empty(len(rows), object)
        for at, cell in enumerate(rows.column(self.mask)):
            found[at] = masks.packed(self._book.classes(masks.read(cell, self.coloured)))
        return found

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """`pixel_values` (channel, height, width), `size` of the image, and where the row has a mask `target`; of a frame or a tile."""
        drawn, masked = draws or [None] * len(rows), bool(rows) and self.mask in rows[0]
        if self.zoom:
            return [example for at, (row, draw) in enumerate(zip(rows, drawn)) for example in self._tiled(row, at, masked, processor, draw)]
        found = []
        for row, draw in zip(rows, drawn):
            class_HW = self._book.classes(masks.read(row[self.mask], self.coloured)) if masked else None
            pixels_CHW, size, changed_HW = framed.encode(row[self.image], class_HW, self._frame, processor, self.ways, draw)
            example: Example = {"pixel_values": pixels_CHW, "size": np.array(size, np.int64)}
            if changed_HW is not None:
                example["target"] = self._frame.sampled(changed_HW, regions.FINER)
            found.append(example)
        return found

    def light(self, rows: Table) -> Light:
        """Sizes, and masks in the frame; the images are read when a batch needs them. `tags`: the cells on which a head is solved."""
        cells, down_across = rows.column(self.image), self._frame.grid
        lengths_N = np.full(len(rows), down_across[0] * down_across[1], np.int64)
        known = {"size": np.array([masks.size(cell) for cell in cells], np.int64).reshape(-1, 2)}
        if self.zoom:
            return self._light_tiles(rows, known["size"])
        if self.mask not in rows.names:
            return Light(known, lengths_N)
        target = [self._target(cell) for cell in rows.column(self.mask)]
        known["target"] = np.array(target, np.uint8).reshape(len(rows), *(side * regions.FINER for side in down_across))
        known["tags"] = framed.tags(known["target"], len(self.labels), SOLVED)
        return Light(known, lengths_N)

    @property
    def augments(self) -> bool:
        """Whether images are changed in training."""
        return bool(self.ways)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Stacked."""
        return batch.collate([{name: value for name, value in one.items() if name != "tags"} for one in examples], {})

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head and a light decoder on the encoder's maps; or the decoder that came with the model."""
        from ..models.segment import Segmenter

        height, width = self.sides
        if self.native:
            from ..models.segmenters import Native

            return Native(backbone, (height, width), self._frame.grid, dropout, self.labels)
        return Segmenter(backbone, len(self.labels), (height, width), self._frame.grid, dropout)

    def weight(self, batch: Batch) -> float:
        """Labelled targets, times their classes' weights."""
        return float(regions.target_weights(batch["target"], self.class_weights, len(self.labels)).double().sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy and Dice; what is not labelled counts for nothing. Of a model that answers sets of masks, its own loss; of one with
        an auxiliary head, the cross-entropy of that as well."""
        if getattr(model, "sets", False):
            weight_B = regions.target_weights(batch["target"], self.class_weights, len(self.labels))
            return model.set_loss(batch, len(self.labels), weight_B)  # type: ignore[operator,no-any-return]
        told = (batch["target"], self.class_weights)
        if not getattr(model, "auxiliary", 0.0):
            return regions.loss(self._grid(model(batch)), *told, self.dice_weight)
        decoded, beside = map(self._grid, model.with_auxiliary(batch))  # type: ignore[operator]
        return regions.loss(decoded, *told, self.dice_weight) + model.auxiliary * regions.loss(beside, *told, 0.0)  # type: ignore[operator,no-any-return]

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """Logits (B, C, G, G) on the frame's grid, and the image's `size`."""
        return {"logits": self._grid(model(batch)), "size": batch["size"]}

    def solve(
        self, features_ND: np.ndarray, truth: Truth, strength: float, start: Solution | None = None
    ) -> Solution:
        """Multinomial logistic regression on the cells' vectors."""
        weight_N = np.array(self.class_weights)[np.maximum(truth, 0)] if self.class_weights else None
        return linear.multinomial(features_ND, truth, len(self.labels), strength, weight_N=weight_N, start=start, passes=100)

    # -- answers ------------------------------------------------------------------------------------------------------

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Counts of each row, of which all scores are made."""
        return regions.condense(outputs, truth, self._classes, len(self.labels))

    def by_part(self, rows: Table) -> Self:
        """Rows are counted one by one."""
        return self

    def gather(self, outputs: Outputs, encoded: Encoded) -> Outputs:
        """Of tiles the mean over those that see a place."""
        if not self.zoom:
            return outputs
        return tiles.gather(outputs, encoded.row_N, np.asarray(encoded.arrays["place"]), self._tiling, len(self.labels))

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`mask`, of class numbers at the image's own size (PNG, `data:` address), and the `share` of each class that is there."""
        return [self._answer(outputs, row) for row in range(len(outputs.get("logits", ())))]

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Scores over all pixels at the images' own sizes."""
        return regions.score(self.condense(outputs, truth)["counts"])

    def grade(self, outputs: Outputs, truth: Truth) -> Graded:
        """Rows with what covers most of them, and counts of each class."""
        return regions.grade(self.condense(outputs, truth)["counts"], self.labels)

    def pictured(self, outputs: Outputs, truth: Truth, rows: Sequence[Row]) -> list[dict[str, str]]:
        """Truth and answer laid over the image."""
        made = []
        for row, cells in enumerate(rows):
            true_HW = masks.unpacked(truth[row])
            pair = {"truth": true_HW, "answer": self._classes(outputs, row, true_HW.shape)}
            made.append({name: regions.overlay(cells[self.image], mask_HW, SIDE) for name, mask_HW in pair.items()})
        return made

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """The usual class at each place of the image."""
        target = np.array([self._target(cell) for cell in train.column(self.mask)], np.uint8)
        logits_CGG = regions.prior(target, len(self.labels))
        size_N2 = np.array([masks.size(cell) for cell in rows.column(self.image)], np.int64).reshape(-1, 2)
        return {"usual class of a place": {"logits": np.repeat(logits_CGG[None], len(rows), 0), "size": size_N2}}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """A reddish square on bluish noise."""
        rng = np.random.default_rng(seed)
        return [framed.drawn(rng) for _ in range(n)]

    @property
    def _book(self) -> masks.Book:
        return masks.Book(self.labels, self.keys, self.ignored, self.coloured)

    @property
    def _frame(self) -> regions.Frame:
        return regions.Frame(*self.sides)

    def _said(self) -> dict[str, int] | None:
        return masks.declared(self.names, self.label_map)

    def _colours(self) -> bool | None:
        said = self._said()
        return masks.says_colours(self.names, self.label_map) if said is not None else None

    def _target(self, cell: Any) -> np.ndarray:
        return self._frame.sampled(self._book.classes(masks.read(cell, self.coloured)), regions.FINER)

    def _grid(self, logits_BTC: torch.Tensor) -> torch.Tensor:
        return logits_BTC.transpose(1, 2).unflatten(2, self._frame.grid)

    @property
    def _tiling(self) -> tiles.Tiling:
        return tiles.Tiling(self._frame, self.zoom)

    def _tiled(self, row: Row, at: int, masked: bool, processor: Any, draw: Draw | None) -> Iterator[Example]:
        """The tile of a row that is meant, or all of them."""
        class_HW = self._book.classes(masks.read(row[self.mask], self.coloured)) if masked else None
        size = masks.size(row[self.image])
        places = self._tiling.places(size)
        for place in places if PART not in row else [places[row[PART]]]:
            pixels_CHW, target = tiles.encode(row[self.image], class_HW, self._tiling, processor, self.ways, draw, place)
            example: Example = {"pixel_values": pixels_CHW, "size": np.array(size, np.int64), "place": np.array(place, np.int64)}
            yield example | ({} if target is None else {"target": target}) | ({} if PART in row else {"row": at})

    def _light_tiles(self, rows: Table, size_N2: np.ndarray) -> Light:
        """Of each tile of each row."""
        places = [self._tiling.places((int(height), int(width))) for height, width in size_N2]
        row_E = np.repeat(np.arange(len(rows)), [len(some) for some in places]).astype(np.int64)
        place_E2 = np.array([place for some in places for place in some], np.int64).reshape(-1, 2)
        known, down_across = {"size": size_N2[row_E], "place": place_E2}, self._frame.grid
        lengths_E = np.full(len(row_E), down_across[0] * down_across[1], np.int64)
        if self.mask not in rows.names:
            return Light(known, lengths_E, row_E)
        classes = (self._book.classes(masks.read(cell, self.coloured)) for cell in rows.column(self.mask))
        target = [tiles.target(class_HW, self._tiling, place) for class_HW, some in zip(classes, places) for place in some]
        known["target"] = np.array(target, np.uint8).reshape(len(row_E), *(side * regions.FINER for side in down_across))
        known["tags"] = framed.tags(known["target"], len(self.labels), SOLVED)
        return Light(known, lengths_E, row_E)

    def _classes(self, outputs: Outputs, row: int, own: Sequence[int]) -> np.ndarray:
        if outputs["logits"].dtype == object:
            size = (own[0], own[1]) if "size" not in outputs else (int(outputs["size"][row][0]), int(outputs["size"][row][1]))
            return self._tiling.classes(np.asarray(outputs["logits"][row]), size, own)
        return self._frame.classes(regions.grid_of(outputs, row, self._frame, len(self.labels)), own)

    def _answer(self, outputs: Outputs, row: int) -> dict[str, Any]:
        class_HW = self._classes(outputs, row, [int(side) for side in outputs["size"][row]])
        share_C = np.bincount(class_HW.ravel(), minlength=len(self.labels)) / class_HW.size
        share = {self.labels[i]: round(float(share_C[i]), 4) for i in np.argsort(-share_C, kind="stable") if share_C[i]}
        return {"mask": masks.packed(class_HW, palette=True), "share": share}


task = ImageSegmentation
