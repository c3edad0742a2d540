"""Write down what is said.

Rows: `audio` (a path, or the sound's bytes) and `text`; a table or JSON lines with paths, a folder with a text beside each sound or
with LibriSpeech's lists, Parquet with bytes, or a ZIP of these. Models that hear are given letters of the training transcripts to
write (CTC: wav2vec 2.0, HuBERT, WavLM, w2v-BERT); Whisper writes with its own words. Scores: word error rate first; character error
rate, words substituted, deleted and inserted, exact match; of languages without spaces between words (Chinese, Japanese, Thai and
their like) those of characters. Beside it: the most frequent transcript, and Whisper before tuning.
"""
# Axes: N rows, B rows of a batch, T frames, U symbols of a transcript, V symbols of the vocabulary, W windows.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..data.finding import Finding, count, places
from ..errors import ModelError
from ..parts import batch, columns, languages, options, spelling, transcripts, waves
from ..parts.frames import Frames
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Graded, Light, Outputs, Row, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.profile import Profile
    from ..data.table import Table
    from ..models.source import Backbone, Form, Source

CTC_EPOCHS = Choice(20.0, "a new layer of letters needs many passes; with few rows hundreds of steps")
WHISPER_RATE = Choice(2e-5, "between 1e-5 and 4e-5, a fortieth of what small Whispers were pretrained with")
WITHOUT_SPACES = "are of scripts without spaces between words: there is no word to count errors by"
PROMPT = 4
"""Most tokens before a transcript."""


@final
@dataclass(frozen=True, kw_only=True)
class SpeechRecognition(Task):
    """Text from sound."""

    modality: ClassVar[str] = "audio"
    inputs: ClassVar[tuple[str, ...]] = ("audio",)
    files: ClassVar[tuple[str, ...]] = ("audio",)
    targets: ClassVar[tuple[str, ...]] = ("text",)
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "writes down what is said"

    audio: str = "audio"
    """Column with the sounds: paths, counted from the file that names them, or their bytes."""
    text: str = "text"
    """Column with what is said in them."""
    way: Literal["auto", "ctc", "seq2seq"] = "auto"
    """`ctc`: letters, frame by frame; `seq2seq`: Whisper's words, one after another. `auto`: the latter for Whisper."""
    normaliser: spelling.Normaliser = "words"
    """How transcripts and answers are brought to one form before they are compared, and for CTC learned: `words` or `none`."""
    language: str = ""
    """Language that is spoken (`en`, `de`), for a Whisper that knows several."""
    goal: Literal["transcribe", "translate"] = "transcribe"
    """What such a Whisper is told to do: write the language that is spoken, or English."""
    augment: Literal["auto", "none"] | tuple[waves.Way, ...] = "auto"
    """How sounds are changed in each epoch; `auto`: louder or softer, slower or faster, with noise, parts hidden (SpecAugment)."""
    seconds: float | Literal["auto"] = "auto"
    """Longest sound of one pass; `auto`: that of the training rows, within what the model takes. Longer ones are heard in windows."""
    symbols: tuple[str, ...] = fitted(())
    common: str = fitted("")
    kind: str = fitted("")
    ways: tuple[str, ...] = fitted(())
    ways_why: str = fitted("")
    frames: tuple[Any, ...] = fitted(())
    window: int = fitted(0)
    window_why: str = fitted("")
    start: tuple[int, ...] = fitted(())
    most: int = fitted(0)
    usual: int = fitted(0)
    spaced: bool = fitted(True)
    spaced_why: str = fitted("")

    def __post_init__(self) -> None:
        options.column("audio", self.audio)
        options.column("text", self.text)
        options.one_of("way", self.way, ("auto", "ctc", "seq2seq"))
        options.one_of("normaliser", self.normaliser, ("words", "none"))
        options.one_of("goal", self.goal, ("transcribe", "translate"))
        waves.check_ways(self.augment)
        if self.seconds != "auto":
            options.number("seconds", self.seconds, low=0.1, high=600)

    @property
    def directions(self) -> Mapping[str, bool]:  # type: ignore[override]
        """Errors of words first; where no space parts words, those of characters."""
        return spelling.DIRECTIONS if self.spaced else spelling.BY_LETTERS

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """A column of texts beside sounds."""
        if columns.missing(profile, named, ("audio", "text")):
            return None
        audio = waves.sound_column(profile, named, ("text",))
        text = transcripts.column(profile, named, [audio.value]) if audio else None
        if audio is None or text is None:
            return None
        choice, sure = text
        return Claim({"audio": audio, "text": choice}, sure, f"{choice.why}: what is said in each sound")

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles, transcripts that are empty once they are normalised."""
        found = options.twice(self.columns((*self.inputs, *self.targets)))
        empty = np.flatnonzero([not one for one in self._said(table)])
        if not len(empty):
            return found
        message = f"expected a transcript in every row, got {count(len(empty))} without a word"
        fix = "write down what is said, or take the rows out"
        return [*found, Finding("error", "empty-transcript", message, places(table, empty), fix)]

    def meet(self, source: Source) -> Self:
        """Letters or words, by the kind of model. Raises ModelError where the model cannot do what is asked."""
        whisper = source.model_type == "whisper"
        kind = ("seq2seq" if whisper else "ctc") if self.way == "auto" else self.way
        if kind == "seq2seq" and not whisper or source.pooling == "pooler":
            raise ModelError(
                f"model {source.name!r}", expected="Whisper" if kind == "seq2seq" else "a model that answers each frame",
                got=f"a {source.model_type}", fix="name one: --model openai/whisper-tiny, or a wav2vec 2.0, HuBERT or WavLM",
                code="unsuitable-architecture",
            )
        return self.settle(kind=kind)

    def fit(self, train: Table) -> Self:
        """Learn the letters, and which transcript is the most frequent."""
        said = self._said(train)
        why = "loudness, speed, noise and hidden parts leave the words as they are"
        ways, why = waves.ways(self.augment, waves.WAYS, why)
        symbols, common = spelling.vocabulary(said), transcripts.most_common(train.column(self.text), said)
        share = languages.spaceless_share(said)
        task = self.settle(spaced=share <= languages.MOST_SPACELESS, spaced_why=f"{share:.0%} of the letters {WITHOUT_SPACES}")
        return task.settle(symbols=symbols, common=common, ways=ways, ways_why=why)

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """How long a window is, what a transcript begins with. Raises DataError for rows that cannot be learned, with their numbers."""
        longest = transcripts.window(train.column(self.audio), self.seconds, processor.frames)
        task = self.settle(window=longest.value, window_why=longest.why, frames=processor.frames.plain())
        if self.kind == "seq2seq":
            from ..models.whisper import prompt

            task = task.settle(start=prompt(processor, self.language, self.goal))
        tokens = [task._ids(row, processor) for row in train.rows()]
        task._refuse_unlearnable(train, tokens)
        lengths = [len(ids) for ids in tokens]
        return task.settle(most=2 * max(lengths) + 8, usual=1 + round(sum(lengths) / len(lengths)))

    def rehearsed(self) -> Self:
        """Answers of the usual number of tokens: a model of no meaning does not stop by itself."""
        return self.settle(most=self.usual or self.most)

    def _refuse_unlearnable(self, train: Table, tokens: Sequence[np.ndarray]) -> None:
        frames, cells = Frames.of(self.frames), train.column(self.audio)
        transcripts.refuse_long(train, waves.seconds_of(cells), self.window)
        if self.kind == "seq2seq":
            transcripts.refuse_wordy(train, [len(ids) for ids in tokens], transcripts.MOST_TOKENS - PROMPT)
            return
        lengths = [frames.count(int(n), self.window) for n in waves.samples_of(cells, frames.rate)]
        transcripts.refuse_short(train, lengths, [spelling.needed(ids) for ids in tokens])

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Letters that no training transcript has, for CTC."""
        return transcripts.strange(rows, self._said(rows), self.symbols) if self.kind == "ctc" else []

    def truth(self, rows: Table) -> Truth:
        """(N,) transcripts as they stand."""
        return transcripts.texts(["" if cell is None else str(cell) for cell in rows.column(self.text)])

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """The windows of each sound, how many frames they have, and where the rows have transcripts the ids of these."""
        drawn = draws or [None] * len(rows)
        return [self._example(row, processor, draw) for row, draw in zip(rows, drawn, strict=True)]

    def _example(self, row: Row, processor: Any, draw: Draw | None) -> Example:
        known = {"target_ids": self._ids(row, processor), "row_weight": 1.0} if self.text in row else {}
        least = spelling.needed(known["target_ids"]) if known and self.kind == "ctc" else 0
        return transcripts.encode(row[self.audio], processor, self.window, self.ways, draw, least) | known

    def light(self, rows: Table) -> Light:
        """Lengths, and for CTC the transcripts' letters; the sounds are read when a batch needs them."""
        known = {"row_weight": np.ones(len(rows))} if self.text in rows.names else {}
        if known and self.kind == "ctc":
            known["target_ids"] = transcripts.ragged([spelling.spelled(said, self._numbers) for said in self._said(rows)])
        return transcripts.light(rows.column(self.audio), Frames.of(self.frames), self.window, self.kind, known)

    @property
    def augments(self) -> bool:
        """Whether sounds are changed in training."""
        return bool(self.ways)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """All windows of all rows, padded to the longest; transcripts padded with -100."""
        return transcripts.collate(examples, Frames.of(self.frames), self.start, batch.collate)

    # -- model --------------------------------------------------------------------------------------------------------

    @property
    def form(self) -> Form:
        """Whisper comes with its decoder."""
        return "speech" if self.kind == "seq2seq" else ""

    @property
    def did(self) -> bool:
        """Whisper could do it before."""
        return self.kind == "seq2seq"

    def as_it_came(self) -> Self:
        """Untuned, Whisper wants the window that it was pretrained with: in shorter ones it repeats itself."""
        return self.settle(window=Frames.of(self.frames).most_seconds)

    def suggested(self) -> Mapping[str, Choice[Any]]:
        """No dropout; for letters more epochs, and all weights at once: there is no head to be solved. Errors of characters lead where
        words are not parted."""
        more: dict[str, Choice[Any]] = {"strategy": Choice("full", "all weights: letters are learned with the frames they stand on")}
        more |= {} if self.spaced else {"evaluate.metric": Choice("cer", self.spaced_why)}
        return waves.SUGGESTS | more | ({"train.epochs": CTC_EPOCHS} if self.kind == "ctc" else {"train.lr": WHISPER_RATE})

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head on each frame, or Whisper with its own."""
        from ..models.heads import Pooled
        from ..models.sound import shorten_window
        from ..models.whisper import Recogniser

        if self.kind == "seq2seq":
            return Recogniser(backbone, dropout, self.window, (self.language, self.goal) if len(self.start) > 2 else None)
        shorten_window(backbone.module, self.window)
        return Pooled(backbone, len(self.symbols), dropout, pooling="tokens", symbols=self.symbols)

    def weight(self, batch: Batch) -> float:
        """Symbols of transcripts."""
        return float((batch["labels"] >= 0).sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Nats of the transcripts: CTC over all ways to spell them, or the decoder's cross-entropy."""
        if self.kind == "seq2seq":
            found: torch.Tensor = model(batch).sum()
            return found
        return spelling.ctc_loss(model(batch), batch["labels"], batch["length"])

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Any]:
        """`reply`, `sure` (B,), `times` (2 W,) seconds: beginnings and ends of the words, or of Whisper's windows, each on a line."""
        if self.kind == "seq2seq":
            return transcripts.written(model, batch, self.most)
        return transcripts.read_off(model(batch), batch["length"], self.symbols, Frames.of(self.frames))

    def by_part(self, rows: Table) -> Self:
        """Rows are counted one by one."""
        return self

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Edits of each row."""
        return spelling.condense(outputs, truth, self.normaliser, self.spaced)

    # -- answers ------------------------------------------------------------------------------------------------------

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`text`, `confidence`, and `segments` with their times."""
        return transcripts.answers(outputs, self.kind)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Rates over all words and characters of the rows together."""
        return spelling.score(outputs, truth, self.normaliser, self.spaced)

    def how_scored(self, truth: Truth) -> Mapping[str, str]:
        """What is done to transcripts before they are compared."""
        how = f"fewest edits, as jiwer counts them; both sides normalised by `{self.normaliser}`: {spelling.SAID[self.normaliser]}"
        return {"wer": how, "cer": f"{how}; a space is a character"} if self.spaced else {"cer": f"{how}; spaces left out"}

    def grade(self, outputs: Outputs, truth: Truth) -> Graded | None:
        """Rows for the report, the most edits first, answers aligned with the truth."""
        return transcripts.grade(outputs, truth, self.normaliser, self.spaced)

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """The most frequent transcript."""
        return {"most frequent transcript": transcripts.same(self.common, len(rows))}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Low and high tones, called `lo` and `hi`."""
        rng = np.random.default_rng(seed)
        words = [rng.choice(["lo", "hi"], rng.integers(1, 4)).tolist() for _ in range(n)]
        tones = {"lo": 300, "hi": 1200}
        return [{"audio": waves.spoken([tones[w] for w in said], rng, 0.12), "text": " ".join(said)} for said in words]

    def _said(self, rows: Table) -> list[str]:
        return [spelling.normalised(cell, self.normaliser) for cell in rows.column(self.text)]

    @property
    def _numbers(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols)}

    def _ids(self, row: Row, processor: Any) -> np.ndarray:
        """Ids of a row's transcript: letters, or Whisper's tokens with the end."""
        if self.kind == "ctc":
            return spelling.spelled(spelling.normalised(row[self.text], self.normaliser), self._numbers)
        return transcripts.tokens(processor.tokenizer, str(row[self.text]))


task = SpeechRecognition
