"""Make pictures like those it was shown: of any kind, of a label's, or of a caption's.

Rows: `image` (path or bytes), and `caption` or `label` where pictures are to be asked for by these. Without a model a small one is made
and trained from scratch; `--model FOLDER` tunes a pipeline of diffusers, of pixels or latents: of captions Stable Diffusion 1, 2, XL and 3.
Their encoders and autoencoder are not changed. XL is told, as it was in pretraining, each image's height and width as it is seen (upright,
before it is resized), how far from top and left the square was cut, and the picture's size. Scores: KID first, by a stated description of
pictures; FID, the denoising loss, agreement with label or caption, copies. Beside it: noise, the pixels' normal distribution, training
pictures drawn again (an upper line), the untuned model. `predict RUN "a caption" --out FOLDER/`, a label, or a number of pictures.
"""
# Axes: N rows, B rows of a batch, K noise levels, C channels, H height, W width, D numbers of a description.

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..parts import batch, columns, likeness, linear, made, making, options, pictures, pixels
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Graded, Light, Outputs, Purpose, Row, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.finding import Finding
    from ..data.profile import Profile
    from ..data.table import Table
    from ..inference import Encoded
    from ..models.source import Backbone, Source


@final
@dataclass(frozen=True, kw_only=True)
class ImageGeneration(Task):
    """Pictures out of noise."""

    modality: ClassVar[str] = "image"
    models: ClassVar[str] = "diffusion"
    inputs: ClassVar[tuple[str, ...]] = ("caption", "label", "image")
    files: ClassVar[tuple[str, ...]] = ("image",)
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "makes pictures like those it was shown"
    exempt: ClassVar[Mapping[str, str]] = {"cached is as uncached": "noise differs each time: below no layer is there anything to keep"}
    oracles: ClassVar[frozenset[str]] = frozenset({made.ORACLE})

    image: str = "image"
    """Column with the images: paths, counted from the file that names them, or their bytes."""
    caption: str = ""
    """Column with what each image shows, in words; none: pictures of a label, or of any kind."""
    label: str = ""
    """Column with one label for each image; none: pictures of a caption, or of any kind."""
    side: int = 0
    """Pixels a side of a new model's pictures; 0: by the images' size and the time there is."""
    predicts: Literal["auto", "noise", "velocity"] = "auto"
    """What a new model predicts; `auto`: velocity (arXiv 2202.00512), of a pretrained model what it was trained for."""
    snr_most: float = 5.0
    """Noise levels count by their signal-to-noise ratio, at most this (arXiv 2303.09556); 0: all alike. Of flows (Stable Diffusion 3) all
    count alike, and those in the middle are drawn more often (arXiv 2403.03206)."""
    forgotten: float = 0.1
    """Share of training rows whose caption or label is left out, so that pictures can be guided."""
    guidance: float = 0.0
    """How far pictures are pulled towards caption or label (arXiv 2207.12598); 1: not at all; 0: 2 for new models, for others as their
    pipelines do: 7.5, of Stable Diffusion XL 5, of Stable Diffusion 3 7."""
    steps: int = 25
    """Steps from noise to a picture."""
    judged_pictures: int = 200
    """Most test rows for which a picture is made for the verdict."""
    watched_pictures: int = 25
    """Pictures made at each validation, from the same noise each time; 0: none."""
    augment: Literal["auto", "none", "flip"] = "auto"
    """How images are changed in each epoch; `auto`: mirrored where no caption or label would change its meaning."""
    text_encoder: str = "auto"
    """Pretrained encoder by which a new model reads captions; it is not changed."""
    describer: str = ""
    """Image encoder by whose vectors pictures are compared (folder or Hub id); none: a fixed description."""
    labels: tuple[str, ...] = fitted(())
    ways: tuple[str, ...] = fitted(())
    ways_why: str = fitted("")
    frame: int = fitted(0)
    tokens: int = fitted(1)
    rows: int = fitted(0)
    weights: int = fitted(0)
    new: bool = fitted(True)
    usual: float = fitted(0.0)
    means: tuple[float, ...] = fitted(())
    deviations: tuple[float, ...] = fitted(())
    probe_weight: tuple[tuple[float, ...], ...] = fitted(())
    probe_bias: tuple[float, ...] = fitted(())
    purpose: str = fitted("training")
    known: Any = fitted(compare=False)
    """Training pictures, while a verdict is made (`likeness.Known`): never saved."""

    def __post_init__(self) -> None:
        options.column("image", self.image)
        options.column("caption", self.caption, optional=True)
        options.column("label", self.label, optional=True)
        making.one_condition(self.caption, self.label)
        options.number("forgotten", self.forgotten, low=0, high=0.9)
        options.number("guidance", self.guidance, low=0, high=100)
        options.number("snr_most", self.snr_most, low=0)
        for name, least in (("side", 0), ("steps", 1), ("judged_pictures", 2), ("watched_pictures", 0)):
            options.number(name, getattr(self, name), low=least, high=10_000)

    @property
    def directions(self) -> Mapping[str, bool]:  # type: ignore[override]
        """Agreement is asked for only where there is something to agree with."""
        return made.directions(bool(self.caption or self.label))

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """Images that have neither labels nor masks beside them: alone, or with captions. With labels, only where it is asked for."""
        if columns.missing(profile, named, ("image", "caption", "label")):
            return None
        image = pixels.image_column(profile, named, ("caption", "label"))
        return making.claim(profile, named, image) if image else None

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles, captions or labels that are empty. Images are looked at elsewhere (`data.files`)."""
        return options.twice(self.columns(self.inputs)) or making.empty(table, self.caption or self.label)

    def wanted(self, train: Table, budget: float | None, flops: float) -> Choice[str]:
        """A new model, as large as the time allows."""
        from ..models.recipe import Recipe

        reader = self.text_encoder if self.caption else ""
        side = self.side or making.side(train.column(self.image))
        return making.recipe(side, bool(self.side), budget, flops, lambda s, w: Recipe(s, w, reader))

    def meet(self, source: Source) -> Self:
        """Whether the model is new, and how large."""
        return self.settle(new=source.kind == "new", weights=source.parameters)

    @property
    def did(self) -> bool:
        """A pretrained model painted before."""
        return not self.new

    def fit(self, train: Table) -> Self:
        """Learn the labels, and what changes leave them as they are."""
        labels = making.vocabulary(train.column(self.label)) if self.label else ()
        said = labels or tuple(map(str, train.column(self.caption)[: making.LOOKED] if self.caption else ()))
        ways, why = making.ways(self.augment, said)
        return self.settle(labels=labels, ways=ways, ways_why=why, rows=len(train))

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """The side of the model's pictures, what one costs, and how the training pictures are described at that size."""
        making.takes(processor, self.caption, self.label)
        few = train.take(np.unique(np.linspace(0, len(train) - 1, min(len(train), making.DESCRIBED)).astype(int)))
        framed = self.settle(frame=processor.side, tokens=limit, usual=2.0 if self.new else processor.guidance)
        plain_ND = framed._plain(framed._squares(few))
        means, deviations = likeness.scale(plain_ND)
        told = framed.settle(means=means, deviations=deviations)
        if not 1 < len(self.labels) <= making.PROBED:
            return told
        ids_N = np.array([self.labels.index(str(cell)) for cell in few.column(self.label)])
        found = linear.multinomial(told._standard(plain_ND), ids_N, len(self.labels), 1.0)
        weight_CD = np.round(found.weight_CD, 5).tolist()
        return told.settle(probe_weight=tuple(map(tuple, weight_CD)), probe_bias=tuple(np.round(found.bias_C, 5).tolist()))

    def suggested(self) -> Mapping[str, Choice[Any]]:
        """Many steps at a high rate for a new model, few for a pretrained one; the mean of the weights for both."""
        return making.suggested(self.new, self.rows, self.weights)

    def decided(self) -> Mapping[str, Choice[Any]]:
        """What is done to the images, for the ledger."""
        how = f"the middle square of each image, at {self.frame} x {self.frame} pixels, transparency laid on white"
        mirrored = f"in training {'mirrored at random' if self.ways else 'never mirrored'}: {self.ways_why}"
        return {"images": Choice(self.frame, f"{how}; {mirrored}")}

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Captions that are longer than the model reads, and labels that no training row has."""
        return making.lost(rows, processor, self.caption, self.label, self.labels)

    def effort(self, rows: int) -> float:
        """The passes behind each picture of a verdict."""
        passes = self.steps * (2 if self._guided > 1 and (self.caption or self.label) else 1)
        return passes * self.tokens / 3 * (1 + self.did) * rows

    def truth(self, rows: Table) -> Truth:
        """(N, D + 1): descriptions of the rows' own pictures, and their labels' numbers (-1: none, or unknown)."""
        real_ND = self.seen(self._squares(rows))
        named = {name: at for at, name in enumerate(self.labels)}
        ids_N = [named.get(str(cell), -1) for cell in rows.column(self.label)] if self.label in rows.names else [-1] * len(rows)
        return np.concatenate([real_ND, np.array(ids_N, np.float64)[:, None]], 1)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """`painted` (C, H, W) with `noise` (K, C, H, W) at each `level` (K,): drawn, or the same each time; `start` of a picture to make;
        `label`, or `caption` (L, D); for models that are told them `pooled` (P,), all of the caption, and `sizes` (6,) of the image."""
        drawn = draws or [None] * len(rows)
        return [self._example(row, processor, draw) for row, draw in zip(rows, drawn, strict=True)]

    def _example(self, row: Row, processor: Any, draw: Draw | None) -> Example:
        seen = self.image in row and self.purpose != "answering"
        key = pictures.content(row[self.image]) if seen else making.key(row, self.caption, self.label)
        found: Example = {}
        if draw is None:
            found["start"] = making.stream(key, 1).standard_normal(processor.grid, np.float32)
        if seen:
            found |= making.noised(row[self.image], key, processor, "flip" in self.ways, draw)
        forgotten = draw is not None and bool(draw.random() < self.forgotten)
        if self.label:
            known = str(row[self.label]) in self.labels and not forgotten
            found["label"] = self.labels.index(str(row[self.label])) if known else len(self.labels)
        if self.caption:
            found |= processor.nothing() if forgotten else processor.caption(str(row[self.caption] or ""))
        return found

    def light(self, rows: Table) -> Light:
        """Nothing but what a picture costs: all is made when a batch needs it."""
        return Light({}, np.full(len(rows), self.tokens, np.int64))

    @property
    def augments(self) -> bool:
        """Each epoch sees other noise."""
        return True

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Stacked."""
        return batch.collate(examples, {})

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """The denoiser, with vectors for labels where rows have some."""
        from ..models.diffuser import Diffuser

        velocity = {"noise": False, "velocity": True}.get(self.predicts)
        return Diffuser(backbone, len(self.labels) if self.label else 0, bool(self.caption), velocity)

    def weight(self, batch: Batch) -> float:
        """Rows."""
        return float(len(batch["level"]))

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Squared errors of what is predicted, each level by its weight."""
        error_BK, _ = model(batch)
        weight_BK = model.balance(batch["level"], self.snr_most) if self.snr_most else 1.0  # type: ignore[operator]
        total: torch.Tensor = (error_BK * weight_BK).mean(1).sum()
        return total

    def set_for(self, purpose: Purpose) -> Self:
        """Pictures are made for a verdict on some rows, and for each question."""
        return self.settle(purpose=purpose)

    def watching(self) -> Self:
        """A few pictures at each validation."""
        return self.settle(purpose="watching") if self.watched_pictures else self

    def before(self, encoded: Encoded) -> Encoded:
        """Which rows get a picture: so many, evenly spread."""
        most = {"judging": self.judged_pictures, "watching": self.watched_pictures, "answering": len(encoded)}.get(self.purpose, 0)
        return encoded.with_arrays(asked=making.spread(len(encoded), most))

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Any]:
        """`loss` (B, K): squared errors of the noise; `picture`: a PNG as a `data:` address for those rows that get one."""
        return making.outputs(model, batch, self.steps, self._guided)

    def sheet(self, outputs: Outputs) -> bytes:
        """The pictures side by side."""
        return pictures.sheet([pictures.opened(one) for one in outputs["picture"] if one])

    def knowing(self, train: Table) -> Self:
        """With the training pictures."""
        return self.settle(known=likeness.Known.of(train.column(self.image), self.frame))

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Descriptions of the pictures made, beside those of the rows' own; agreement and copies, row by row."""
        return outputs if "seen" in outputs else made.condense(self, outputs, truth)

    # -- answers ------------------------------------------------------------------------------------------------------

    def questions(self, asked: Sequence[Any]) -> list[dict[str, Any]]:
        """Captions or labels, or a number of pictures. Raises DataError for a label that was not learned, or what is no number."""
        return making.questions(asked, self.caption, self.label, self.labels)

    def asks(self) -> list[str]:
        """Caption or label; the image is what is made."""
        return self.columns(("caption", "label"))

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`picture`, a PNG as a `data:` address."""
        return [{"picture": one} for one in outputs.get("picture", ())]

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Scores over the rows with a picture; the denoising loss over all."""
        found = likeness.score(self.condense(outputs, truth))
        return {name: found[name] for name in self.directions}

    def chooses(self, headline: str) -> str:
        """The denoising loss on held-out rows: the same noise each time, while pictures are few and their scores rough."""
        return "denoising_loss" if headline in ("kid", "fid") else headline

    def rests_on(self, outputs: Outputs) -> Mapping[str, int]:
        """Scores of pictures rest on the rows that got one."""
        count = int(np.isfinite(outputs["seen"][:, 0]).sum())
        return {} if count == len(outputs["seen"]) else {name: count for name in self.directions if name != "denoising_loss"}

    def how_scored(self, truth: Truth) -> Mapping[str, str]:
        """By which description, and what each score says."""
        said = made.how_scored(self.describer, "label" if self.label else "caption", self._guided, self.steps)
        return {name: said[name] for name in self.directions}

    def grade(self, outputs: Outputs, truth: Truth) -> Graded:
        """Rows by how unlike any real picture what was made is."""
        return made.grade(self.condense(outputs, truth), truth, self.labels)

    def pictured(self, outputs: Outputs, truth: Truth, rows: Sequence[Row]) -> list[dict[str, str]]:
        """What was made, and the training picture nearest to it."""
        return made.pictured(outputs, self.known)

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """Noise, each pixel's normal distribution, and training pictures drawn again."""
        told = self.label if self.label and self.label in rows.names else ""
        return made.baselines(train, rows, self.image, told, self.frame)

    def as_json(self) -> dict[str, Any]:
        """Options and fitted fields, without the training pictures."""
        return {name: value for name, value in dataclasses.asdict(self.settle(known=None)).items() if name != "known"}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Bright squares on dark ground by day, dark ones on bright ground by night."""
        rng = np.random.default_rng(seed)
        return [{"image": pictures.toy(rng, at % 2 == 0), "label": ("day", "night")[at % 2]} for at in rng.permutation(n).tolist()]

    @property
    def _guided(self) -> float:
        return self.guidance or self.usual or (2.0 if self.new else 7.5)

    def seen(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        """(N, D): descriptions of pictures (H, W, 3), standardised over the training pictures."""
        return self._standard(self._plain(squares))

    def _squares(self, rows: Table) -> list[np.ndarray]:
        return [pictures.square(cell, self.frame) for cell in rows.column(self.image)]

    def _plain(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        if not squares:
            return np.zeros((0, len(self.means) or likeness.WIDTH))
        if not self.describer:
            return np.stack([likeness.describe(one) for one in squares])
        from ..models.describer import vectors

        return likeness.projected(vectors(self.describer, squares))

    def _standard(self, plain_ND: np.ndarray) -> np.ndarray:
        return likeness.held((plain_ND - np.array(self.means)) / np.array(self.deviations))


task = ImageGeneration
