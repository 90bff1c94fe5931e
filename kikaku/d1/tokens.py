"""SQLite's tokens: what a statement says, apart from its texts, quoted names and comments."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

TokenKind: TypeAlias = Literal["word", "name", "text", "blob", "number", "symbol"]

# as in SQLite's tokenize.c: every character above ASCII may be part of a name
_TOKEN = re.compile(
    r"""
    (?P<space>[\ \t\n\f\r]+|--[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<blob>[xX]'[^']*(?:'|\Z))
  | (?P<text>'[^']*(?:''[^']*)*(?:'|\Z))
  | (?P<name>"[^"]*(?:""[^"]*)*(?:"|\Z)|`[^`]*(?:``[^`]*)*(?:`|\Z)|\[[^]]*(?:]|\Z))
  | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
  | (?P<number>\.?[0-9](?:[eE][+-]|[A-Za-z0-9_.])*)
  | (?P<symbol>.)
    """,
    re.DOTALL | re.VERBOSE,
)


class Token(NamedTuple):
    """One token: a `name` is quoted, a `word` is a keyword or a name without quotes."""

    kind: TokenKind
    source: str  # as in the statement
    start: int  # position in the statement
    depth: int  # number of parentheses around it; a parenthesis counts as outside of itself

    @property
    def value(self) -> str:
        """The name or text without its quotes."""
        if self.kind not in ("name", "text"):
            return self.source
        quote = "]" if self.source[0] == "[" else self.source[0]
        return self.source[1:].removesuffix(quote).replace(quote * 2, quote)

    @property
    def keyword(self) -> str:
        """The word in upper case; empty for every other token."""
        return self.source.upper() if self.kind == "word" else ""


def tokenize(sql: str) -> Iterator[Token]:
    """Yield the tokens of a statement, without spaces and comments."""
    depth = 0
    for found in _TOKEN.finditer(sql):
        kind, source = found.lastgroup, found[0]
        if kind == "space":
            continue
        if source == ")":
            depth -= 1
        yield Token(kind, source, found.start(), depth)  # type: ignore[arg-type]  # a group of the pattern
        if source == "(":
            depth += 1
