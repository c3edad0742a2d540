"""How much of one text stands in another: BLEU, chrF and ROUGE, kept as counts of each row, so that a thousand resamples are sums.

BLEU and chrF are sacrebleu's (arXiv 1804.08771), from 0 to 100; ROUGE is rouge-score's (Lin 2004), from 0 to 1.

Axes: N rows, K counts of a row, O orders of n-grams.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, final

import numpy as np

from ..errors import ResourceError
from . import sentences

ORDERS = 6
"""Longest n-grams of characters that chrF counts."""
BETA = 2.0
"""How many times recall counts for precision in chrF."""
SCORES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
JAPANESE = re.compile(r"[\u3040-\u30ff]")
HAN = re.compile(r"[\u3400-\u9fff]")
UNSPACED = re.compile(r"[\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff]")
"""Thai, Lao, Burmese, Khmer: no space between words."""
HANGUL = re.compile(r"[\uac00-\ud7af]")
_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W_\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+")
_SPELT = re.compile(r"[a-z]{4,}")


# -- BLEU --------------------------------------------------------------------------------------------------------------


def tokeniser_for(language: str, texts: Sequence[str]) -> tuple[str, str]:
    """sacrebleu's tokeniser for a language (a two-letter code, or empty: told by the script of these texts), and why.

    Japanese and Korean have their own, which need MeCab: without it, characters.
    """
    code = language.lower().replace("-", "_").split("_")[0][:3]
    code = {"zho": "zh", "jpn": "ja", "kor": "ko", "tha": "th", "lao": "lo", "khm": "km", "mya": "my"}.get(code, code[:2]) or _script(texts)
    if code == "zh":
        return "zh", "Chinese: characters, other words whole"
    if code in ("ja", "ko"):
        name = f"{code}-mecab"
        if _has_mecab(code):
            return name, "the language's own words, by MeCab"
        return "char", f"characters, as MeCab is not installed; papers often use {name}: do not compare with those"
    if code in ("th", "lo", "km", "my"):
        return "char", "characters: the script puts no space between words"
    return "13a", "sacrebleu's usual one"


def bleu_rows(said: Sequence[str], wanted: Sequence[Sequence[str]], tokeniser: str) -> np.ndarray:
    """(N, 10) lengths of output and nearest reference, matches and n-grams of orders 1 to 4: BLEU is made of their sums."""
    metric = _bleu(tokeniser)
    found = [metric.sentence_score(text, list(refs)) for text, refs in zip(said, wanted, strict=True)]
    return np.array([[one.sys_len, one.ref_len, *one.counts, *one.totals] for one in found], np.float64).reshape(len(found), 10)


def bleu(sums_K: np.ndarray) -> float:
    """BLEU of summed counts; smoothed as sacrebleu does unless told otherwise (exp)."""
    lengths, matches, totals = sums_K[:2], sums_K[2:6], sums_K[6:10]
    if not totals[0]:
        return 0.0
    whole = [int(round(float(value))) for value in (*lengths, *matches, *totals)]
    return float(_sacrebleu().BLEU.compute_bleu(whole[2:6], whole[6:10], whole[0], whole[1], smooth_method="exp").score)


def signatures(references: int, tokeniser: str) -> dict[str, str]:
    """sacrebleu's own words for how BLEU and chrF were counted; `references`: most of a row."""
    import sacrebleu

    many = str(references) if references > 0 else "var"
    version = sacrebleu.__version__
    return {
        "bleu": f"nrefs:{many}|case:mixed|eff:no|tok:{tokeniser}|smooth:exp|version:{version}",
        "chrf": f"nrefs:{many}|case:mixed|eff:yes|nc:{ORDERS}|nw:0|space:no|version:{version}",
    }


# -- chrF --------------------------------------------------------------------------------------------------------------


def chrf_rows(said: Sequence[str], wanted: Sequence[Sequence[str]]) -> np.ndarray:
    """(N, 3 x O) n-grams of output and reference and those in both, by order, against the best reference (arXiv W15-3049)."""
    found = []
    for text, refs in zip(said, wanted, strict=True):
        mine = _grams(text)
        tried = [_matches(mine, _grams(ref)) for ref in refs]
        found.append(max(tried, key=chrf) if tried else np.zeros(3 * ORDERS))
    return np.array(found, np.float64).reshape(len(found), 3 * ORDERS)


def chrf(sums_K: np.ndarray) -> float:
    """chrF of summed counts: mean precision and recall over the orders that both have."""
    said_O, wanted_O, both_O = sums_K.reshape(ORDERS, 3).T
    there_O = (said_O > 0) & (wanted_O > 0)
    if not there_O.any():
        return 0.0
    precision, recall = float((both_O[there_O] / said_O[there_O]).mean()), float((both_O[there_O] / wanted_O[there_O]).mean())
    if not precision + recall:
        return 0.0
    return 100 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)


def _grams(text: str) -> list[Counter[str]]:
    flat = "".join(text.split())
    return [Counter(flat[i : i + n] for i in range(len(flat) - n + 1)) for n in range(1, ORDERS + 1)]


def _matches(said: Sequence[Counter[str]], wanted: Sequence[Counter[str]]) -> np.ndarray:
    rows = [(sum(a.values()) if b else 0, sum(b.values()), sum((a & b).values())) for a, b in zip(said, wanted)]
    return np.array(rows, np.float64).ravel()


# -- ROUGE -------------------------------------------------------------------------------------------------------------


def rouge_rows(said: Sequence[str], wanted: Sequence[Sequence[str]], stem: bool) -> np.ndarray:
    """(N, 4) F-measures of ROUGE-1, 2, L and Lsum, each the best over a row's references."""
    scorer = _rouge(stem)
    found = np.zeros((len(said), len(SCORES)))
    for row, (text, refs) in enumerate(zip(said, wanted, strict=True)):
        lines = by_line(text)
        for ref in refs:
            made = scorer.score(by_line(ref), lines)
            found[row] = np.maximum(found[row], [made[name].fmeasure for name in SCORES])
    return found


def rouge_words(stem: bool, references: int) -> str:
    """In words, how ROUGE was counted."""
    from importlib.metadata import version

    stems = "English stems (Porter)" if stem else "not stemmed"
    best = f"; best of up to {references} references, each score apart" if references > 1 else ""
    by = f"F-measure by rouge-score {version('rouge-score')}"
    return f"{by}: words in lower case, {stems}; Chinese, Japanese and Thai by characters{best}"


def by_line(text: str) -> str:
    """A sentence a line: what ROUGE-Lsum takes for sentences."""
    return "\n".join(text[start:end].replace("\n", " ") for start, end in sentences.split(text))


def words_of(text: str) -> list[str]:
    """Words in lower case; Chinese, Japanese and Thai by characters."""
    return _WORD.findall(text.lower())


def is_unspaced(text: str) -> bool:
    """Whether a text has letters of a script without spaces between words."""
    return bool(JAPANESE.search(text) or HAN.search(text) or UNSPACED.search(text))


def ratio(said: float, wanted: float) -> float:
    """Length of outputs over that of references."""
    return said / wanted if wanted else math.nan


@final
class _Words:
    """What rouge-score asks of a tokeniser."""

    def __init__(self, stem: bool) -> None:
        self._stem = _stemmer() if stem else None

    def tokenize(self, text: str) -> list[str]:
        """Words of a text."""
        stem = self._stem
        if stem is None:
            return words_of(text)
        return [stem(word) if _SPELT.fullmatch(word) else word for word in words_of(text)]


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer().stem


@lru_cache(maxsize=2)
def _rouge(stem: bool) -> Any:
    try:
        from rouge_score import rouge_scorer
    except ImportError:
        raise _missing("ROUGE", "rouge-score") from None
    made: Any = rouge_scorer.RougeScorer
    return made(list(SCORES), tokenizer=_Words(stem))


@lru_cache(maxsize=8)
def _bleu(tokeniser: str) -> Any:
    # Effective order changes no count; without it the library warns that it scores a sentence.
    return _sacrebleu().BLEU(tokenize=tokeniser, effective_order=True)


@lru_cache(maxsize=1)
def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError:
        raise _missing("BLEU", "sacrebleu") from None
    return metrics


@lru_cache(maxsize=2)
def _has_mecab(code: str) -> bool:
    try:
        _sacrebleu().BLEU(tokenize=f"{code}-mecab")
    except (RuntimeError, ImportError):
        return False
    return True


def _script(texts: Sequence[str]) -> str:
    """Of most texts: `ja`, `ko`, `zh`, `th`, or nothing."""
    found: Counter[str] = Counter()
    for text in texts[:500]:
        known = (("ja", JAPANESE), ("ko", HANGUL), ("zh", HAN), ("th", UNSPACED))
        found[next((code for code, script in known if script.search(text)), "")] += 1
    if found["ja"] > 0.2 * sum(found.values()):  # a short Japanese text may have Chinese characters alone
        return "ja"
    return found.most_common(1)[0][0] if found else ""


def _missing(what: str, package: str) -> ResourceError:
    return ResourceError(what, expected=f"the package {package}", got="none", fix="pip install 'tunesmith[text]'", code="missing-extra")
