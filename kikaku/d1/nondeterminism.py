"""Find the clock and random numbers in a statement, which give another result when it runs again."""

import re

from .tokens import Token, tokenize

CLOCK_WORDS = ("CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME")
RANDOM_FUNCTIONS = ("random", "randomblob")
# functions of a time, with the number of arguments before the first time
TIME_FUNCTIONS = {
    "date": 0,
    "time": 0,
    "datetime": 0,
    "julianday": 0,
    "unixepoch": 0,
    "timediff": 0,
    "strftime": 1,
}
# SQLite takes these texts for the current time; the latter two also are modifiers of another time
NOW, FRACTIONS = "now", ("subsec", "subsecond")
# a statement without any of these needs no tokens; more than the functions may match
_MAY_BE = re.compile(
    r"random|current_(?:time|date)|(?:date|time|julianday|unixepoch|strftime|timediff)[\"`\]]?\s*(?:\(|/\*|--)",
    re.IGNORECASE,
)


def nondeterministic(sql: str) -> str | None:
    """Return the first word by which a statement reads the clock or a random number, if any.

    `sql` has its values as literals: a text is data unless it is an argument of a function of time.
    """
    if not _MAY_BE.search(sql):
        return None
    tokens = list(tokenize(sql))
    for at, token in enumerate(tokens):
        before = tokens[at - 1] if at else None
        after = tokens[at + 1].source if at + 1 < len(tokens) else ""
        if token.keyword in CLOCK_WORDS:
            # SQLite takes it for a name after AS and beside a dot
            if not (before and (before.keyword == "AS" or before.source == ".")) and after != ".":
                return token.source
        elif token.kind in ("word", "name") and after == "(":
            function = token.value.lower()
            if function in RANDOM_FUNCTIONS:
                return f"{function}()"
            if function in TIME_FUNCTIONS and _reads_clock(function, tokens, at + 1):
                return f"{function}('now')"
    return None


def _reads_clock(function: str, tokens: list[Token], opening: int) -> bool:
    """Return whether a call reads the clock; `opening` is the position of its parenthesis."""
    depth = tokens[opening].depth
    argument, is_first_token, is_empty = 0, True, True
    for token in tokens[opening + 1 :]:
        if token.source == ")" and token.depth == depth:
            break
        is_empty = False
        if token.source == "," and token.depth == depth + 1:
            argument, is_first_token = argument + 1, True
            continue
        # in double quotes it is a text where no column has that name; a blob is read as a text
        if (token.kind in ("text", "name") and token.value.lower() == NOW) or token.kind == "blob":
            return True
        is_time = argument == TIME_FUNCTIONS[function] or function == "timediff"
        if is_time and is_first_token and token.kind in ("text", "name") and token.value.lower() in FRACTIONS:
            return True
        is_first_token = False
    return is_empty or argument < TIME_FUNCTIONS[function]
