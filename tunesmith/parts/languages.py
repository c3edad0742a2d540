"""Codes of languages: as headers of columns, as models call them, and in English words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import SpecError, nearest
from . import tokens

NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian",
    "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian",
    "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean", "lo": "Lao", "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian",
    "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay", "my": "Burmese", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian",
    "pa": "Punjabi", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "si": "Sinhala", "sk": "Slovak",
    "sl": "Slovene", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai",
    "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "xh": "Xhosa", "yo": "Yoruba",
    "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip
"""Two letters (ISO 639-1) to English."""
CODES = frozenset(
    (
        "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu fa "
        "ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik in io is it iu iw ja ji jv jw ka kg ki kj kk kl "
        "km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om "
        "or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts "
        "tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
    ).split()
)
"""All two-letter codes (ISO 639-1), and those that were once."""
THREE = {
    "arb": "ar", "bul": "bg", "ces": "cs", "cze": "cs", "dan": "da", "deu": "de", "ger": "de", "ell": "el", "eng": "en", "est": "et",
    "fas": "fa", "pes": "fa", "fin": "fi", "fra": "fr", "fre": "fr", "heb": "he", "hin": "hi", "hun": "hu", "ind": "id", "ita": "it",
    "jpn": "ja", "kor": "ko", "lit": "lt", "lvs": "lv", "nld": "nl", "dut": "nl", "nob": "no", "pol": "pl", "por": "pt", "ron": "ro",
    "rum": "ro", "rus": "ru", "slk": "sk", "slv": "sl", "spa": "es", "swe": "sv", "tha": "th", "tur": "tr", "ukr": "uk", "vie": "vi",
    "zho": "zh", "chi": "zh",
}  # fmt: skip
"""Three letters (ISO 639-2, 639-3) to two, of the commoner ones."""
PREFERRED = ("zho_Hans", "arb_Arab", "pes_Arab", "nob_Latn", "lvs_Latn")
"""Of several varieties that a model has, the one that a two-letter code means."""
SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Thai and Lao, Burmese, Khmer, kana and Chinese characters: no space between words."""
LETTER = re.compile(rf"[^\W\d_]|{SPACELESS.pattern}")
MOST_SPACELESS = 0.3
"""Share of such letters above which texts count as written without spaces: a character says about as much as a word's letters."""
_CODE = re.compile(r"([a-z]{2,3})([_-][A-Za-z]{2,4})?")
_TOKEN = re.compile(r"(__)?([a-z]{2,3}([_-][A-Za-z]{2,4})?)(__)?")


def of_header(name: str) -> str:
    """The two-letter code that a column's name is (`en`, `en_XX`, `eng_Latn`, `EN`), or nothing."""
    match = _CODE.fullmatch(name.strip().lower() if len(name.strip()) <= 3 else name.strip())
    return _two(match[1]) if match else ""


def spaceless(texts: Sequence[Any]) -> bool:
    """Whether a good part of the letters are of scripts that put no space between words (a sample decides)."""
    return spaceless_share(texts) > MOST_SPACELESS


def spaceless_share(texts: Sequence[Any]) -> float:
    """Share of the letters, of a sample of the texts, that are of scripts without spaces between words."""
    sample = "".join(tokens.as_text(text)[:200] for text in texts[:: max(len(texts) // 500, 1)])
    return len(SPACELESS.findall(sample)) / max(len(LETTER.findall(sample)), 1)


def require(option: str, asked: str) -> None:
    """Raises SpecError (`unknown-language`) for two letters that are no language's; longer words may be names of languages."""
    code = asked.strip().lower().replace("-", "_").split("_")[0]
    if len(code) == 2 and code not in CODES:
        raise SpecError(
            f"option {option}", expected="the code of a language (ISO 639-1: en, de, ja, zh)", got=repr(asked),
            fix="write its code or its name; a country's code (jp, cn) is another", code="unknown-language",
        )  # fmt: skip


def word(code: str) -> str:
    """A language in English, as prompts name it: the code itself where it is not known."""
    return NAMES.get(_two(code.lower().replace("-", "_").split("_")[0]), code)


def token(processor: Any, option: str, asked: str) -> str:
    """How a model that knows languages calls this one; nothing for a model that does not.

    Raises SpecError (`unknown-language`) where it has no such language, or where none was said.
    """
    known = speaks(processor)
    if not known:
        return ""
    if asked in known:
        return known[asked]
    two = _two(asked.lower().replace("-", "_").split("_")[0]) if asked else ""
    fitting = sorted(code for code in known if two and _two(code.split("_")[0].split("-")[0]) == two)
    best = next((code for code in PREFERRED if code in fitting), fitting[0] if fitting else "")
    if not best:
        raise SpecError(
            f"option {option}",
            expected=f"one of the {len(known)} languages of this model",
            got=repr(asked) if asked else "none",
            fix=nearest(asked, known) if asked else f"name it: --set options.{option}=CODE, for example {min(known)}",
            code="unknown-language",
        )
    return known[best]


def speaks(processor: Any) -> dict[str, str]:
    """Language codes of a model that has a token for each -> what its tokenizer calls them; none of others."""
    tokenizer = tokens.tokenizer_of(processor)
    if not hasattr(tokenizer, "src_lang"):
        return {}
    codes = getattr(tokenizer, "lang_code_to_id", None) or getattr(tokenizer, "lang_code_to_token", None)
    found = [_TOKEN.fullmatch(str(name)) for name in codes or tokenizer.all_special_tokens]
    return {match[2]: match[2] for match in found if match}


def token_id(processor: Any, code: str) -> int | None:
    """The token that begins a target in this language."""
    tokenizer = tokens.tokenizer_of(processor)
    if not code:
        return None
    own = getattr(tokenizer, "get_lang_id", None)  # M2M100 writes `__en__`
    return int(own(code)) if own else int(tokenizer.convert_tokens_to_ids(code))


@contextmanager
def speaking(processor: Any, source: str, target: str, *, to: bool) -> Iterator[None]:
    """Special tokens as texts of the source have them, or (`to`) those of the target; they are the source's afterwards."""
    tokenizer = tokens.tokenizer_of(processor)
    if source:
        tokenizer.src_lang, tokenizer.tgt_lang = source, target
    if not to or not hasattr(tokenizer, "_switch_to_target_mode"):
        yield
        return
    tokenizer._switch_to_target_mode()
    try:
        yield
    finally:
        tokenizer._switch_to_input_mode()


def _two(code: str) -> str:
    return code if code in NAMES else THREE.get(code, "")
