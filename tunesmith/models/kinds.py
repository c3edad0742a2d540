"""Every kind of model that is saved, by what its `head.json` calls its pooling: with which head it is loaded, and what it is made of.

A new kind of model is a line in `FORMS`, in `BUILT`, or in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from . import diffuser, embedder, fusion, heads, language, pictures, pipelines, seq2seq, setwise, speaker, whisper
from .detect import POOLING as BOXES
from .detect import Detector
from .maps import saved_frame
from .segment import POOLING as PLACES
from .segment import Segmenter
from .segmenters import POOLING as SEGMENTS
from .segmenters import Native
from .source import Backbone, Form

Head = Mapping[str, Any]
"""What `head.json` says."""
FORMS: Mapping[str, Form] = {
    language.POOLING: "language", seq2seq.POOLING: "seq2seq", whisper.POOLING: "speech", SEGMENTS: "segments",
    speaker.POOLING: "voice", setwise.POOLING: "detector",
}  # fmt: skip
"""With which head of its own a model is loaded; the others have none."""
FRAMED = (PLACES, SEGMENTS, BOXES)
"""Models that answer each place of a frame, which `head.json` keeps."""
WHOLE = (seq2seq.POOLING, whisper.POOLING, SEGMENTS, speaker.POOLING, setwise.POOLING)
"""Models with a head of their own whose module is the whole of it."""


def known() -> set[str]:
    """All names."""
    return {"mean", "cls", "last", "tokens", "pooler", heads.DEPTHS, heads.SPANS, *FORMS, *BUILT}


def built(backbone: Backbone, head: Head, dropout: float) -> Any:
    """The model of a saved folder without the task that made it."""
    if make := BUILT.get(str(head["pooling"])):
        return make(backbone, head, dropout)
    if not head["out"]:
        return embedder.Embedder(backbone, dropout)
    beside, sight = fusion.saved(backbone.source.hidden, head), pictures.sight_of(backbone, head["pictures"])
    more: dict[str, Any] = {"pooling": str(head["pooling"]), "beside": beside, "noises": head["noises"], "sight": sight}
    return heads.Pooled(backbone, int(head["out"]), dropout, chained=bool(head["chained"]), **more)


def _boxes(backbone: Backbone, head: Head, dropout: float) -> nn.Module:
    """Four of the head's numbers are the box."""
    return Detector(backbone, int(head["out"]) - 4, *saved_frame(head["frame"]), dropout)


BUILT: Mapping[str, Callable[[Backbone, Head, float], nn.Module]] = {
    language.POOLING: lambda backbone, head, dropout: language.Language(backbone, dropout),
    seq2seq.POOLING: lambda backbone, head, dropout: seq2seq.Seq2Seq(backbone, dropout),
    whisper.POOLING: lambda backbone, head, dropout: whisper.Recogniser(backbone, dropout),
    speaker.POOLING: lambda backbone, head, dropout: speaker.Speaker(backbone, dropout),
    pipelines.POOLING: lambda backbone, head, dropout: diffuser.Diffuser(backbone),
    setwise.POOLING: lambda backbone, head, dropout: setwise.SetDetector(
        backbone, tuple(backbone.module.config.id2label.values()), dropout
    ),
    SEGMENTS: lambda backbone, head, dropout: Native(backbone, *saved_frame(head["frame"]), dropout),
    PLACES: lambda backbone, head, dropout: Segmenter(backbone, int(head["out"]), *saved_frame(head["frame"]), dropout),
    BOXES: _boxes,
}
