"""Speak texts in a voice that is learned from recordings.

Rows: `text`, `audio` (paths or bytes), `speaker` where there are several: files as for speech-recognition, so this task is asked for by
its name. Without a checkpoint `new-voice` learns from some minutes of speech alone; SpeechT5 is tuned. Sounds are made of spectra by
Griffin and Lim's method, or a vocoder. Scores: mel-cepstral distortion first; lengths; word error rate and likeness of the speaker where
models that tell these are named. Beside it: the mean spectrum, the untuned model; as an upper line the truth through the vocoder.
"""
# Axes: N rows, B rows of a batch, U characters, T frames, S samples, M mel bands, E numbers of a speaker.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..data import arrays
from ..parts import columns, languages, options, readings, spectra, transcripts, waves
from ..parts import speaking as said
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Graded, Light, Outputs, Purpose, Row, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.finding import Finding
    from ..data.profile import Profile
    from ..data.table import Table
    from ..models.source import Backbone, Form, Source

GRIFFIN_LIM = "griffin-lim"
SURE = 0.05
"""Too little to be taken unasked: speech-recognition takes such tables."""
NAMES = ("speaker", "speaker_id", "speaker_name", "voice", "spk")
STEPS, BATCH = 1000, 16
"""Optimiser steps after which `new-voice` stops gaining on a quarter of an hour of speech."""
TOO_LONG = 2.0
"""Times the usual length at which SpeechT5 is stopped if it does not stop by itself."""
TRUE = "truth through the vocoder"


@final
@dataclass(frozen=True, kw_only=True)
class SpeechSynthesis(Task):
    """Sound from text."""

    modality: ClassVar[str] = "voice"
    inputs: ClassVar[tuple[str, ...]] = ("text", "speaker")
    targets: ClassVar[tuple[str, ...]] = ("audio",)
    files: ClassVar[tuple[str, ...]] = ("audio",)
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "speaks texts in the voice it learned"
    oracles: ClassVar[frozenset[str]] = frozenset({TRUE})

    text: str = "text"
    """Column with what is said."""
    audio: str = "audio"
    """Column with the sounds: paths, counted from the file that names them, or their bytes."""
    speaker: str = ""
    """Column that says who speaks; without one all rows are of one voice."""
    reading: Literal["auto", "en", "de", "none"] = "auto"
    """By whose rules numbers, money, abbreviations and signs are read aloud; `none`: as they stand. `auto`: told by common words."""
    vocoder: str = "auto"
    """What makes sounds of spectra: `griffin-lim`, or the folder of a SpeechT5HifiGan. `auto`: that of the model's folder, if any."""
    recogniser: str = ""
    """Whisper's folder or name: it writes down what is spoken, for the word error rate of test rows."""
    speaker_encoder: str = ""
    """Folder of a model with an x-vector head (WavLM): its vectors tell a SpeechT5 who speaks, and score how alike speakers sound."""
    heard: int = 24
    """Most test rows to which the recogniser listens."""
    spoken: int = 200
    """Most test rows that SpeechT5 speaks for its scores, frame by frame; `new-voice` speaks all."""
    kind: str = fitted("")
    purpose: str = fitted("training")
    rules: str = fitted("none")
    spaced: bool = fitted(True)
    rules_why: str = fitted("")
    changed: int = fitted(0)
    symbols: tuple[str, ...] = fitted(())
    speakers: tuple[str, ...] = fitted(())
    voices: tuple[tuple[float, ...], ...] = fitted(())
    prints: tuple[tuple[float, ...], ...] = fitted(())
    mean: tuple[float, ...] = fitted(())
    deviation: tuple[float, ...] = fitted(())
    height: tuple[float, ...] = fitted((5.0, 1.0))
    pace: float = fitted(0.0)
    longest: float = fitted(0.0)
    rows: int = fitted(0)
    through: str = fitted("")

    def __post_init__(self) -> None:
        options.column("text", self.text)
        options.column("audio", self.audio)
        options.one_of("reading", self.reading, ("auto", "en", "de", "none"))
        options.number("heard", self.heard, low=0, high=100_000)
        options.number("spoken", self.spoken, low=1, high=1_000_000)

    @property
    def directions(self) -> Mapping[str, bool]:  # type: ignore[override]
        """Distortion and lengths; what the recogniser and the speaker encoder say, where they are named; of SpeechT5 the taught error."""
        more = {"wer": bool(self.recogniser), "speaker_similarity": bool(self.speaker_encoder), "spectrum_error": self.kind == "speecht5"}
        named = {"wer": said.HEARD[self.spaced], "speaker_similarity": said.ALIKE, "spectrum_error": said.TAUGHT}
        return dict(said.DIRECTIONS) | {score: up for key, asked in more.items() if asked for score, up in named[key].items()}

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """A column of texts beside sounds; never unasked."""
        if columns.missing(profile, named, ("text", "audio", "speaker")):
            return None
        audio = waves.sound_column(profile, named, ("text", "speaker"))
        text = transcripts.column(profile, named, [audio.value, named.get("speaker")]) if audio else None
        if audio is None or text is None:
            return None
        found: dict[str, Choice[Any]] = {"text": text[0], "audio": audio}
        free = [name for name in profile.columns if name.lower() in NAMES]
        if free and not named.get("speaker") and 1 < profile.columns[free[0]].distinct < 0.5 * profile.rows:
            found["speaker"] = Choice(free[0], f"column {free[0]!r} is named like a speaker's")
        return Claim(found, SURE, "texts and sounds; asked for by name")

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles, rows with nothing to say."""
        return options.twice(self.columns((*self.inputs, *self.targets))) or said.silent(table, self._texts(table))

    def meet(self, source: Source) -> Self:
        """Which kind of voice it is. Raises ModelError where a model that judges was named and is none."""
        from ..models import listening, voices

        if self.recogniser:
            listening.recogniser(self.recogniser)
        return self.settle(kind="speecht5" if source.model_type == voices.SPEECHT5 else "new")

    def fit(self, train: Table) -> Self:
        """Learn the language, the characters, who speaks, and what the sounds are like."""
        plain = train.column(self.text)
        rules = readings.guessed(plain) if self.reading == "auto" else Choice(self.reading, "as asked")
        task = self.settle(rules=rules.value, rules_why=rules.why, rows=len(train), spaced=not languages.spaceless(plain))
        texts, cells, names = task._texts(train), train.column(self.audio), task._names(train)
        found = said.measured(cells, names)
        plainly = [readings.read_aloud(cell, "none") for cell in plain]
        changed = sum(one != text for one, text in zip(plainly, task._read(plain, rules.value), strict=True))
        speakers, voices = tuple(found.speakers_E), tuple(tuple(one.tolist()) for one in found.speakers_E.values())
        return task.settle(
            symbols=tuple(sorted(set("".join(texts)))), speakers=speakers, voices=voices, height=found.pitch, changed=changed,
            prints=task._prints(cells, names, speakers), mean=tuple(found.mean_M.tolist()), deviation=tuple(found.deviation_M.tolist()),
        )

    def _prints(self, cells: Sequence[Any], names: Sequence[str], known: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        if not self.speaker_encoder:
            return ()
        from ..models.listening import prints

        return tuple(map(tuple, prints(self.speaker_encoder, cells, names, known).tolist()))

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """The pace, and through what it speaks. Raises ModelError where the vocoder is none."""
        from ..models import voices

        through = {"auto": processor.vocoder, GRIFFIN_LIM: ""}.get(self.vocoder, self.vocoder)
        voices.sounded(through, np.full((8, spectra.BANDS), spectra.QUIET, np.float32))
        frames_N, lengths_N = said.frames_of(train.column(self.audio)), self._lengths(train, processor)
        wide = tuple((*one, *[0.0] * processor.speaker_dim)[: processor.speaker_dim] for one in self.prints or self.voices)
        pace = float(frames_N.sum() / max(1, lengths_N.sum()))
        longest = float((frames_N / np.maximum(1, lengths_N)).max(initial=1.0))
        return self.settle(pace=pace, longest=longest, through=through, voices=wide)

    def decided(self) -> Mapping[str, Choice[Any]]:
        """The rules of reading for the plan; for the ledger what it does to texts, and what is out of reach without a checkpoint."""
        found: dict[str, Choice[Any]] = {"options.reading": Choice(self.rules, f"{self.rules_why}; {readings.SAID[self.rules]}")}
        found["texts"] = Choice(self.changed, f"read aloud by the rules of {self.rules!r}: {self.changed:,} of {self.rows:,} changed")
        many = f"{len(self.speakers):,} speakers, told apart by" if len(self.speakers) > 1 else "one speaker, known by"
        found["speakers"] = Choice(len(self.speakers), f"{many} {said.BY_PRINTS if self.prints else said.BY_BANDS}")
        missing = {"vocoder": "" if self.through else said.NO_VOCODER, "voice": said.NO_VOICE if self.kind == "new" else ""}
        return found | {name: Choice(name, why) for name, why in missing.items() if why}

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Characters that the voice does not know; rows that cannot be learned."""
        unknown = processor.unknown if self.kind == "speecht5" else lambda text: set(text) - {*self.symbols, " "}
        frames_N, lengths = said.frames_of(rows.column(self.audio)), self._lengths(rows, processor).tolist()
        bad = said.unfit(rows, lengths, frames_N, processor.most_characters, processor.most_seconds)
        bad += said.strangers(rows, self._names(rows), self.speakers)
        return [*bad, *said.strange(rows, [unknown(text) for text in self._texts(rows)])]

    def truth(self, rows: Table) -> Truth:
        """(N,) objects: what is said, by whom, the sound's cepstra and its length."""
        return said.truth(rows.column(self.audio), self._texts(rows), self._names(rows))

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """`spectrum` (T, M) and `pitch` (T, 2) where the row has a sound, `characters` (U,), `who`: the speaker's number."""
        return [self._example(row, processor) for row in rows]

    def _example(self, row: Row, processor: Any) -> Example:
        found: Example = {}
        if row.get(self.audio) is not None:
            speech = said.speech(row[self.audio])
            found = {"spectrum": self._scaled(speech.spectrum_TM), "pitch": said.pitch_of(speech.pitch_T, self.height)}
        text, name = self._read([row[self.text]], self.rules)[0], str(row[self.speaker]) if self.speaker else ""
        if name not in self.speakers:
            raise said.unknown_speaker(name, self.speakers)
        ids = self._ids(text, processor)
        asked = self.purpose != "training"  # rows to learn from were looked at, all of them, before
        if asked and (not any(c.isalnum() for c in text) or len(ids) > processor.most_characters):
            raise said.bad_text(text, len(ids), processor.most_characters)
        return found | {"characters": ids, "who": self.speakers.index(name), "speak": 1}

    def light(self, rows: Table) -> Light | None:
        """Lengths alone, where the spectra of all rows would fill the memory."""
        frames_N = said.frames_of(rows.column(self.audio)) if self.audio in rows.names else np.zeros(0, np.int64)
        return Light({}, frames_N) if frames_N.sum() > said.HELD else None

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded: `input_ids`, `attention_mask`, `characters` (how many), `speaker` (B, E), `spectrum`, `frames`, `pitch`."""
        return said.collated(examples, pad, np.array(self.voices, np.float32))

    # -- model --------------------------------------------------------------------------------------------------------

    @property
    def form(self) -> Form:
        """A network that speaks."""
        return "voice"

    @property
    def taught(self) -> bool:  # type: ignore[override]
        """What is measured of SpeechT5 while it trains needs the true sounds."""
        return self.kind == "speecht5"

    @property
    def did(self) -> bool:
        """SpeechT5 could speak before."""
        return self.kind == "speecht5"

    def suggested(self) -> Mapping[str, Choice[Any]]:
        """All weights; for `new-voice` as many epochs as make `STEPS` steps, at the rate of a network that begins from nothing."""
        whole = {"strategy": Choice("full", "all weights: there is no head to be solved")}
        if self.kind == "speecht5":
            return whole | {"train.lr": Choice(1e-5, "what SpeechT5 is usually tuned with")}
        epochs = float(min(400, max(4, round(STEPS * BATCH / max(1, self.rows)))))
        return whole | {
            "train.epochs": Choice(epochs, f"about {STEPS:,} steps of {BATCH} rows: it begins from nothing"),
            "train.lr": Choice(2e-3, "a small network that begins from nothing"), "train.batch": Choice(BATCH, "many steps of few rows"),
            "train.warmup": Choice(0.08, "the first paths through the sounds are guesses"),
        }  # fmt: skip

    def chooses(self, headline: str) -> str:
        """Of SpeechT5, which speaks slowly, the error with true frames before."""
        return "spectrum_error" if self.kind == "speecht5" and headline == "mcd" else headline

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """The voice with its vocoder: as asked; of a saved voice the one that lies beside it."""
        from ..models.speaker import Speaker
        from ..models.voices import load_vocoder

        return Speaker(backbone, dropout, load_vocoder(self.through) if self.through and not backbone.own else None)

    def weight(self, batch: Batch) -> float:
        """Frames."""
        return float(batch["frames"].sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Spectrum and stop, or duration and pitch: means over each row's frames, times its frames."""
        return sum(one.sum() for one in model(batch).values())  # type: ignore[return-value]

    def set_for(self, purpose: Purpose) -> Self:
        """While SpeechT5 trains nothing is spoken; users get sounds."""
        return self.settle(purpose=purpose)

    def before(self, encoded: Any) -> Any:
        """Tell which rows SpeechT5 speaks, where it would take long to speak all."""
        if self.purpose != "judging" or self.kind != "speecht5" or encoded.later is not None:
            return encoded
        return encoded.with_arrays(speak=np.isin(np.arange(len(encoded)), said.evenly(len(encoded), self.spoken)).astype(np.int64))

    def outputs(self, model: Any, batch: Batch) -> dict[str, Any]:
        """`spectrum` (T, M) of each row, `sound` (WAV) where there is a vocoder; of SpeechT5 while it trains only the
        `error`. `final` (B,): whether this is what it is judged by."""
        found: dict[str, Any] = {"error": model.error(batch)} if self.kind == "speecht5" and "spectrum" in batch else {}
        final = self.purpose != "training"
        asked = batch | ({"speak": 0 * batch["speak"]} if self.kind == "speecht5" and not final else {})
        found |= {"spectrum": [self._raw(one) for one in self._spoken(model, asked)], "final": batch["speak"] * final}
        if model.vocoder is not None:
            found["sound"] = [said.wav(model.sound(one).cpu().numpy()) if final and len(one) else "" for one in found["spectrum"]]
        return found

    def sheet(self, outputs: Outputs) -> bytes:
        """The first validation row that is spoken, as a WAV file."""
        return said.sample(outputs)

    def _spoken(self, model: Any, batch: Batch) -> list[torch.Tensor]:
        """The asked rows' spectra; of others an empty one."""
        chosen = batch["speak"].nonzero().flatten()
        some = iter(model.speak({k: v[chosen] for k, v in batch.items()}, TOO_LONG * self.longest) if len(chosen) else ())
        none = batch["speaker"].new_zeros(0, len(self.mean))
        return [next(some) if asked else none for asked in (batch["speak"] > 0).tolist()]

    def _raw(self, spectrum_TM: torch.Tensor) -> torch.Tensor:
        mean_M, deviation_M = (spectrum_TM.new_tensor(one) for one in (self.mean, self.deviation))
        return spectrum_TM if self.kind == "speecht5" else spectrum_TM * deviation_M + mean_M

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Distortion, lengths, wrong words and likeness of each row."""
        if "distortion" in outputs:
            return outputs
        found = dict(said.compared(outputs, truth))
        if self.recogniser:
            heard = [None if one is None else readings.read_aloud(one, self.rules) for one in self._heard(outputs, len(truth))]
            found["words"], found["letters"] = said.edits(heard, [one["text"] for one in truth], self.spaced)
        if self.speaker_encoder:
            from ..models.listening import likeness

            wanted = [self.prints[self.speakers.index(one["speaker"])] for one in truth]
            found["alike"] = likeness(self.speaker_encoder, outputs, wanted)
        return found

    def _heard(self, outputs: Outputs, rows: int) -> list[str | None]:
        from ..models import listening

        return listening.written(self.recogniser, outputs, rows, self.heard, self.rules)

    # -- answers ------------------------------------------------------------------------------------------------------

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`seconds`; for users also `audio`, a WAV file as a `data:` address."""
        made = []
        for row, spectrum_TM in enumerate(outputs.get("spectrum", ())):
            more = {"audio": said.wav(said.sound_of(outputs, row))} if self.purpose == "answering" else {}
            made.append(more | {"seconds": round(spectra.seconds(len(spectrum_TM)), 3)})
        return made or [{"seconds": None} for _ in range(len(outputs.get("error", ())))]

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Means over rows; error rates over all words."""
        found = said.score(self.condense(outputs, truth))
        return {name: found.get(name, float("nan")) for name in self.directions}

    def rests_on(self, outputs: Outputs) -> Mapping[str, int]:
        """Scores of the rows that were spoken, and heard."""
        spoken, words = np.isfinite(outputs["distortion"]), outputs.get("words")
        found = {} if spoken.all() else dict.fromkeys(said.DIRECTIONS, int(spoken.sum()))
        heard = {} if words is None else dict.fromkeys(said.HEARD[self.spaced], int(np.isfinite(words[:, 0]).sum()))
        return found | heard

    def how_scored(self, truth: Truth) -> Mapping[str, str]:
        """Formulas, and who listened."""
        found = {"mcd": spectra.MCD, "length_ratio": said.LENGTHS} | said.listened(self.recogniser, self.heard, self.spaced)
        return found | ({"speaker_similarity": f"{said.short(self.speaker_encoder)}: {said.LIKENESS}"} if self.speaker_encoder else {})

    def grade(self, outputs: Outputs, truth: Truth) -> Graded | None:
        """Rows for the report, the furthest from their truth first."""
        return said.grade(said.compared(outputs, truth), self._heard(outputs, len(truth)), truth) if len(truth) else None

    def pictured(self, outputs: Outputs, truth: Truth, rows: Sequence[Row]) -> list[dict[str, str]]:
        """Spectra and players of truth and answer."""
        return [said.pictured(row[self.audio], outputs, at) for at, row in enumerate(rows)]

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """The mean spectrum for as long as texts usually take; and what is left of the truth behind the vocoder: an upper line."""
        from ..models import voices

        lengths = [len(text) + 2 for text in self._texts(rows)]
        usual = said.usual(np.array(self.mean), self.pace, lengths)
        found = [voices.sounded(self.through, said.speech(cell).spectrum_TM) for cell in rows.column(self.audio)]
        true = {"spectrum": arrays.objects([spectra.mel(one) for one in found]), "sound": arrays.objects([said.wav(one) for one in found])}
        final = {"final": np.ones(len(rows), np.int64)}
        return {"mean spectrum": {"spectrum": usual, **final}, TRUE: true | final}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Low and high tones, called `lo` and `hi`."""
        rng, tones = np.random.default_rng(seed), {"lo": 300, "hi": 1200}
        words = [rng.choice(list(tones), rng.integers(1, 4)).tolist() for _ in range(n)]
        return [{"text": " ".join(one), "audio": waves.spoken([tones[w] for w in one], rng, 0.2)} for one in words]

    # -- within -------------------------------------------------------------------------------------------------------

    def _read(self, cells: Sequence[Any], rules: str) -> list[str]:
        return [readings.read_aloud(cell, rules) for cell in cells]

    def _texts(self, rows: Table) -> list[str]:
        """Texts as they are spoken; for `new-voice` in small letters."""
        found = self._read(rows.column(self.text), self.rules)
        return found if self.kind == "speecht5" else [text.lower() for text in found]

    def _names(self, rows: Table) -> list[str]:
        return [str(cell) for cell in rows.column(self.speaker)] if self.speaker else [""] * len(rows)

    def _ids(self, text: str, processor: Any) -> np.ndarray:
        return processor.ids(text) if self.kind == "speecht5" else said.spelled(self.symbols, text.lower())  # type: ignore[no-any-return]

    def _lengths(self, rows: Table, processor: Any) -> np.ndarray:
        return np.array([len(self._ids(text, processor)) for text in self._texts(rows)], np.int64)

    def _scaled(self, spectrum_TM: np.ndarray) -> np.ndarray:
        scaled_TM = ((spectrum_TM - np.array(self.mean)) / np.array(self.deviation)).astype(np.float32)
        return spectrum_TM if self.kind == "speecht5" else scaled_TM


task = SpeechSynthesis
