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
    (re.compile(r"(://[^\s/:@]*:)[^\s/@]+@"), r"\1[password]@"),
    (re.compile(r"[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+"), "[e-mail]"),
)


def redact(text: str) -> str:
    """Replace order tokens, Stripe keys, payment page ids, passwords in URLs and e-mail addresses."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text
