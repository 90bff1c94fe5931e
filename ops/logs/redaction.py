"""Redaction: what no log line and no error report may hold is replaced in its finished text."""

import re

# an address may come in capitals, with double slashes, and with codes for any letter
_SLASHES = r"(?:[/\\]|%2f|%5c)+"
_REDACTIONS: tuple[tuple[re.Pattern[str], str], ...] = (
    # the token alone gives access to the order
    (re.compile(rf"{_SLASHES}orders{_SLASHES}[a-z0-9_\-%]{{6,}}", re.IGNORECASE), "/orders/[token]"),
    (re.compile(rf"{_SLASHES}c{_SLASHES}pay{_SLASHES}[a-z0-9_\-#%.]+", re.IGNORECASE), "/c/pay/[session]"),
    (re.compile(r"\b((?:sk|rk|pk)_(?:live|test)_)[A-Za-z0-9_*]+"), r"\1[key]"),
    (re.compile(r"\b(whsec_)[A-Za-z0-9+/=]+"), r"\1[key]"),
    # whoever has the address of Slack's webhook may write to the channel
    (re.compile(r"(/services/)T[A-Z0-9]*/B[A-Z0-9]*/[A-Za-z0-9]+"), r"\1[webhook]"),
    # PostgreSQL names the values of a row that it refuses
    (re.compile(r"(Failing row contains )\(.*?\)\.", re.DOTALL), r"\1([row])."),
    (re.compile(r"(Key \([^)]*\)=)\(.*?\)(?= (?:already|is not|is still|conflicts))"), r"\1([value])"),
    (re.compile(r"(://[^\s/:@]*:)[^\s/@]+@"), r"\1[password]@"),
    (re.compile(r"[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+"), "[e-mail]"),
    # of Japan: 03-1234-5678, 09012345678, +81 90 1234 5678; 〒100-0001 with what follows it on the line
    (re.compile(r"(?<![\w.\-])(?:\+81[ \-]?|0)\d{1,4}[ \-]?\d{1,4}[ \-]?\d{3,4}(?![\w\-])"), "[phone]"),
    (re.compile(r"〒\s*\d{3}-?\d{4}[^\"\n]*"), "[address]"),
)


def redact(text: str) -> str:
    """Replace order tokens, keys, payment page ids, passwords in URLs, values of rows, personal data."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text
