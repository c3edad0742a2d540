"""Texts that break careless pages: markup, script, templates, formulas, controls, bidirectional tricks, unusual letters."""

NAUGHTY = [
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>",
    "\"><script>alert(1)</script>", "'><img src=x onerror=alert(1)>", "\" onmouseover=\"alert(1)", "' autofocus onfocus='alert(1)",
    "javascript:alert(1)", "</style><script>alert(1)</script>", "</title><script>alert(1)</script>", "<!-- unclosed", "--><b>out</b>",
    "]]><script>alert(1)</script>", "<iframe src=https://example.com></iframe>", "<a href=\"https://example.com\">x</a>",
    "<link rel=stylesheet href=//example.com/x.css>", "<base href=https://example.com>", "<meta http-equiv=refresh content=0>",
    "</text></svg><script>alert(1)</script>", "</td></tr></table><h1>out</h1>", "</p></li></section>", "<style>*{display:none}</style>",
    "&lt;script&gt;", "&#60;script&#62;", "&", "<", ">", "\"", "'", "<<<>>>", "{{ 7 * 7 }}", "{% raw %}", "{# note #}", "${7*7}",
    "#{7*7}", "%s %d %n", "\\", "\\u003cscript\\u003e", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\t=1+1", "=HYPERLINK(1)",
    "\u202etxt.exe", "\u2066isolate\u2069", "\u200bzero\u200dwidth\ufeff", "\u0000null\u0007bell\u001b[31mred", "\u2028line\u2029",
    "\ud800", "\udfff\ud800", "z" + "\u0301" * 1000, "ﷺ", "مرحبا", "漢字", "👩‍👩‍👧‍👦", "\U000e0041\U000e0042", "a" * 5000, "",
    " ", "NaN", "null", "None", "Infinity", "0x0", "1e999", "\u00ad\u034f\u3164",
    "| a | b |\n|---|---|", "# heading", "[x](javascript:alert(1))", "`code`", "**bold**", "~~~\nfence\n~~~",
]
