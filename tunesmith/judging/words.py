"""Scores and verdicts in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

TITLES = {
    "macro_f1": "macro-F1", "micro_f1": "micro-F1", "f1": "F1", "weighted_f1": "weighted F1",
    "samples_f1": "F1 per row",
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "subset_accuracy": "all labels right",
    "auroc": "AUROC",
    "precision": "precision", "recall": "recall", "macro_precision": "macro-precision", "macro_recall": "macro-recall",
    "micro_precision": "micro-precision", "micro_recall": "micro-recall", "mcc": "MCC", "brier": "Brier score",
    "ece": "ECE",
    "map": "mAP", "map_50": "mAP at IoU .50", "map_75": "mAP at IoU .75", "mar_100": "recall at 100 boxes",
    "log_loss": "log loss", "nll": "log loss", "r2": "R²", "mse": "MSE", "rmse": "RMSE", "mae": "MAE",
    "reward_accuracy": "reward accuracy", "reward_margin": "reward margin", "win_rate": "win rate",
    "bits_per_byte": "bits per byte", "perplexity": "perplexity per token", "byte_perplexity": "perplexity per byte",
    "rouge_l": "ROUGE-L", "stops": "stops by itself", "bleu": "BLEU", "chrf": "chrF", "rouge1": "ROUGE-1", "rouge2": "ROUGE-2",
    "rouge_lsum": "ROUGE-Lsum", "length_ratio": "length ratio",
    "answer_f1": "answer F1", "recall_5": "recall@5", "recall_20": "recall@20", "citation_precision": "citations that hold the answer",
    "refusal_accuracy": "refusals where they are due",
    "ndcg_10": "nDCG@10", "recall_1": "recall@1", "recall_10": "recall@10", "mrr": "MRR",
    "pearson": "Pearson r", "spearman": "Spearman ρ", "hamming": "Hamming loss",
    "entity_f1": "entity F1", "partial_f1": "F1 with partial matches", "token_accuracy": "token accuracy",
    "exact_match": "exact match", "answerable_f1": "F1 of answerable questions",
    "no_answer_accuracy": "no-answer accuracy",
    "wer": "word error rate", "cer": "character error rate", "substituted": "words substituted", "deleted": "words deleted",
    "inserted": "words inserted",
    "mcd": "mel-cepstral distortion", "length_error": "length error", "spectrum_error": "taught error",
    "speaker_similarity": "speaker similarity",
    "kid": "KID", "fid": "FID", "denoising_loss": "denoising loss", "copies": "copies of training pictures",
    "miou": "mean IoU", "dice": "mean Dice", "pixel_accuracy": "pixel accuracy", "class_accuracy": "mean accuracy of the classes",
}
RUNGS = {
    "majority": "Majority label", "prior": "Label prior", "mean": "Mean of the training rows", "tuned": "Tuned model",
    "most frequent transcript": "The most frequent transcript", "mfcc + linear": "MFCC + linear",
    "mean spectrum": "The mean spectrum", "truth through the vocoder": "The truth through the vocoder",
    "random noise": "Random noise", "each pixel by itself": "Each pixel by itself (its own mean and deviation)",
    "training pictures drawn again": "Training pictures drawn again",
    "untuned": "The model untuned", "byte unigrams": "Bytes by their frequency",
    "the source as it is": "The source as it is", "dictionary, word by word": "Dictionary, word by word",
    "first sentence": "First sentence", "first three sentences": "First three sentences",
    "oracle: the best sentences, chosen by the references": "Oracle: the best sentences, chosen by the references",
    "linear on the pictures": "Frozen image encoder + linear on the pictures alone",
    "probe": "Frozen encoder + linear", "frozen": "Frozen encoder + linear", "tfidf": "TF-IDF + linear",
    "tf-idf": "TF-IDF + linear", "tfidf-linear": "TF-IDF + linear", "tfidf_linear": "TF-IDF + linear", "tf-idf + linear": "TF-IDF + linear",
}


def title(score: str) -> str:
    """`macro_f1` as a reader writes it: macro-F1. A target's own score keeps the target's name: `valence R²`."""
    if score in TITLES:
        return TITLES[score]
    for mark in (":", "/", ".", " "):
        target, _, own = score.rpartition(mark)
        if target and own in TITLES:
            return f"{target} {TITLES[own]}"
        own, _, target = score.partition(mark)
        if target and own in TITLES:
            return f"{target} {TITLES[own]}"
    return score.replace("_", " ")


def rung(name: str) -> str:
    """A baseline's name as a reader writes it."""
    return RUNGS.get(name.lower(), name.replace("_", " "))


LARGE = 10_000
MAGNITUDES = ((1e12, " trillion"), (1e9, " billion"), (1e6, " million"))


def number(value: float | None, digits: int = 3) -> str:
    """A score: three decimals, or four digits where it is large; `n/a` where it is not finite."""
    if value is None or not math.isfinite(value):
        return "n/a"
    if abs(value) >= 1000:
        return _minus(large(value))
    return _minus(f"{value:.{digits}f}" if abs(value) < 10 else f"{value:.4g}")


def large(value: float) -> str:
    """From 10,000 on no more than four digits that count: `12,350`, `1.235 billion`, `1.235e+16`."""
    if abs(value) < LARGE:
        return f"{value:,.0f}"
    value = float(f"{value:.4g}")
    if abs(value) >= 1e15:
        return f"{value:.4g}"
    size, name = next(((size, name) for size, name in MAGNITUDES if abs(value) >= size), (1.0, ""))
    return f"{value / size:.4g}{name}" if name else f"{value:,.0f}"


UNMOVED = "No interval: every resample of the rows gives the same score, so that they cannot tell how sure it is."


def scored(score: Mapping[str, Any]) -> str:
    """`0.912 (0.895–0.927)`; `0.500 (no interval)` where no resample moves it."""
    if unmoved(score):
        return f"{number(score['value'])} (no interval)"
    if score.get("low") is None or score["low"] == score["high"]:
        return number(score["value"])
    return f"{number(score['value'])} ({span(score['low'], score['high'])})"


def unmoved(score: Mapping[str, Any]) -> bool:
    """Whether a score has no interval because every resample gives the same (`UNMOVED`)."""
    return score.get("method") == "fixed" and score.get("value") is not None


def span(low: float | None, high: float | None) -> str:
    """`0.895–0.927`; with a negative end `−0.010 to 0.020`."""
    if low is None or high is None:
        return "n/a"
    return f"{number(low)} to {number(high)}" if low < 0 or high < 0 else f"{number(low)}–{number(high)}"


def headline(metric: str, score: Mapping[str, Any], rows: int, verdict: str) -> str:
    """The first sentence of the report."""
    return f"{title(metric)} {scored(score)} on {rows:,} sealed test rows. {verdict}"


def gain(metric: str, against: str, comparison: Mapping[str, Any], higher: bool) -> str:
    """`It beats X, the strongest baseline, by 0.041 (0.020–0.062): the gain is real.`"""
    difference, against = comparison["difference"], _inside(against)
    sign = 1 if higher else -1
    low, high = sorted(sign * end for end in (difference["low"] or 0.0, difference["high"] or 0.0))
    size = f"{number(abs(difference['value'] or 0))} ({span(low, high)})"
    if comparison["verdict"] == "better":
        return f"It beats {against}, the strongest baseline, by {size}: the gain is real."
    if comparison["verdict"] == "worse":
        size = f"{number(abs(difference['value'] or 0))} ({span(-high, -low)})"
        return f"It is worse than {against} by {size}: use {against} instead."
    way = "ahead of" if (difference["value"] or 0) * sign >= 0 else "behind"
    if difference["value"] == 0:
        return f"It scores the same as {against}, the strongest baseline: no gain can be claimed."
    if doubt := unconfirmed(comparison):
        size = f"{number(abs(difference['value'] or 0))} {way} {against}, the strongest baseline ({span(low, high)})"
        return f"It is {size}; {doubt}: no {'gain' if way == 'ahead of' else 'difference'} can be claimed."
    return (f"It is {number(abs(difference['value'] or 0))} {way} {against}, the strongest baseline, which may be "
            f"chance ({span(low, high)}): no gain can be claimed.")


KEEPS = ("", "probe-then-tune", "head-only")
"""Strategies that end with the frozen probe where validation rows say that it is better."""


def probe(comparison: Mapping[str, Any], strategy: str, named: bool) -> str:
    """What to add of the frozen probe where it is better than the tuned model; `named`: the sentence before has spoken of it."""
    chance = "" if comparison["verdict"] == "worse" else ", which may be chance"
    told = "" if named else f" The frozen encoder with a linear head has {number(comparison['theirs'])} on the same rows{chance}."
    keeps = " Say --strategy probe-then-tune: it keeps the better of tuning and the frozen encoder."
    return told + ("" if strategy in KEEPS else keeps)


def unconfirmed(comparison: Mapping[str, Any]) -> str:
    """What to say of a difference that is none by the paired test although its interval lies on one side of zero; else nothing."""
    low, high = (comparison["difference"].get(end) or 0.0 for end in ("low", "high"))
    if comparison["verdict"] != "not distinguishable" or low <= 0 <= high or comparison.get("p") is None:
        return ""
    return f"the interval excludes no difference, but the paired test (p = {number(comparison['p'])}) does not confirm it"


def sharing(target: str, comparison: Mapping[str, Any], higher: bool) -> str:
    """`intent: sharing helped, macro-F1 0.911 against 0.874 alone, a difference of 0.037 (0.010–0.063).`"""
    difference = comparison["difference"]
    told = {"better": "sharing helped", "worse": "sharing hurt"}
    verdict = told.get(comparison["verdict"], "sharing made no difference that can be told")
    score = title(comparison["score"].removeprefix(f"{target} "))
    size = f"{number(difference['value'])} ({span(difference['low'], difference['high'])})"
    ours, theirs = number(comparison["ours"]), number(comparison["theirs"])
    doubt = unconfirmed(comparison)
    return f"{target}: {verdict}, {score} {ours} against {theirs} alone, a difference of {size}{f'; {doubt}' if doubt else ''}."


def _inside(name: str) -> str:
    """A rung's name in the middle of a sentence."""
    return name if name[1:2].isupper() else name[:1].lower() + name[1:]


def _minus(text: str) -> str:
    return f"−{text[1:]}" if text.startswith("-") else text


def power(metric: str, rows: int, noise: float, seen: float) -> str:
    """What the test rows can show."""
    return (f"With {rows:,} test rows, a difference in {title(metric)} under {number(noise)} is noise; "
            f"a true difference of {number(seen)} would be found four times in five.")
