"""The words of the shop: what of a text the search reads, and what of a query it looks for."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from kikaku.text import fold_words, without_long_vowels

MAX_TERMS = 8  # of a query; the rest is ignored

# Words in which a shorter one means something else: who looks for 電球 does not mean 電球色. Each is one
# sign, and all ways of writing it are the same one.
_COMPOUNDS = {
    word: chr(0xE010 + place)
    for place, words in enumerate(
        (
            ("電球色", "でんきゅうしょく"),
            ("昼白色", "ちゅうはくしょく"),
            ("昼光色", "ちゅうこうしょく"),
            ("温白色", "おんぱくしょく"),
            ("白色", "はくしょく"),
            ("白熱電球", "はくねつでんきゅう", "白熱球"),
        )
    )
    for word in words
}
_COMPOUND = re.compile("|".join(sorted(_COMPOUNDS, key=len, reverse=True)))
_UNITS = {
    "わっと": "w ", "るーめん": "lm ", "けるびん": "k ", "ぼると": "v ", "めーとる": "m ", "せんち": "cm ",
    "みり": "mm ", "りっとる": "l ", "じょう": "畳", "型": "形",
}  # fmt: skip
_UNIT = re.compile(f"(?<=\\d )(?:{'|'.join(sorted(_UNITS, key=len, reverse=True))})")

# A query is split where the script changes: LED|電球, 6畳|シーリング.
_COUNTERS = (
    "畳|帖|じょう|形|型|灯|角|年|本|枚|個|缶|袋|段|度"
    "|ワット|ルーメン|ケルビン|ボルト|メートル|センチ|ミリ|リットル"
)
_PIECE = re.compile(
    f"(?P<compound>{_COMPOUND.pattern})"
    f"|[^ァ-ヺーぁ-ゖ一-鿿々〆]+(?:{_COUNTERS})?"
    r"|[ァ-ヺー]+"
    r"|(?P<native>[ぁ-ゖ一-鿿々〆ー]+?(?=[^ぁ-ゖ一-鿿々〆ー]|$|" + _COMPOUND.pattern + "))"
)
_NUMBER_AND_UNIT = re.compile(
    rf"(\d)\s+(?=(?:{_COUNTERS}|[WKVL]|lm|mm|cm|m)(?:\s|$|[^A-Za-z]))", re.IGNORECASE
)
_LONG_VOWEL = re.compile("(?<=[ぁ-ゖァ-ヺ])[-‐‑‒–—―−－─━]+(?=[ぁ-ゖァ-ヺ一-鿿\\s]|$)")  # typed as a hyphen
_POSSESSIVE = re.compile(r"(?:^|(?<=[一-鿿]))の(?=[一-鿿]|$)")  # 和室の照明, but not きのこ
_PURPOSE = re.compile(r"(?:用|向け|対応|付きの?|できる|可能な?)(?![品途])")  # 玄関用, 調光できる
_HEADS = re.compile("(.+)(照明器具|照明|電球|電源|器具|ライト|ランプ|スタンド|らいと|らんぷ)")
_FOUR_KANJI = re.compile("([一-鿿]{2})([一-鿿]{2})")


def read_as(text: str) -> str:
    """Return a text as the search compares it."""
    folded = _UNIT.sub(lambda unit: _UNITS[unit[0]], fold_words(text))
    return _COMPOUND.sub(lambda word: _COMPOUNDS[word[0]], folded)


def readable(texts: Iterable[object]) -> str:
    """Return what the search reads of texts: each as it is, and again without its long vowels."""
    lines = [read_as(str(text)) for text in texts if text]
    return "\n".join(dict.fromkeys([*lines, *map(without_long_vowels, lines)]))


def term(text: str) -> str:
    """Return what a product must contain so that a piece of a query is found in it; empty for blanks.

    Numbers and units are whole ("6畳" is not in 16畳), other words may go on ("dimm" is in "dimmable").
    """
    looked_for = read_as(text)
    if re.search(r"[a-z] $", looked_for) and not re.search(r"\d [a-z]+ $", looked_for):
        looked_for = re.sub(r"(?<=[a-z]{3})s $", " ", looked_for).rstrip()
    short = without_long_vowels(looked_for)
    return short if len(short) > 2 else looked_for


def terms(query: str) -> tuple[str, ...]:
    """Return what a product must contain, all of it, to be found by a query."""
    found: list[str] = []
    query = _LONG_VOWEL.sub("ー", _NUMBER_AND_UNIT.sub(r"\1", query))
    for word in query.split():
        for piece in _PIECE.finditer(word):
            parts = [piece[0]] if piece["compound"] else _parts(piece[0], alone=piece[0] == word)
            found += (term(part) for part in parts)
    return tuple(dict.fromkeys(one for one in found if one.strip()))[:MAX_TERMS]


def _parts(piece: str, *, alone: bool) -> Sequence[str]:
    """Return the words of a piece in one script: 和室の照明 → 和室, 照明; デスクランプ → デスク, ランプ."""
    parts: list[str] = []
    for one in _POSSESSIVE.split(piece):
        for part in _PURPOSE.split(one) if not alone or len(one) > 2 else [one]:
            head = _HEADS.fullmatch(part) or _FOUR_KANJI.fullmatch(part)
            parts += head.groups() if head else [part]
    return parts


def grams(query: str) -> tuple[str, ...]:
    """Return the shortest parts of a query, by which what is near to it is found: pairs of signs, numbers."""
    found: list[str] = []
    for one in terms(query):
        for run in re.split(r"(\s[a-z\d. ]+)", one):
            found += [run] if run.startswith(" ") or len(run) < 3 else map("".join, pairwise(run))
    return tuple(dict.fromkeys(one for one in found if one.strip()))[: 2 * MAX_TERMS]


def expand(text: str, groups: Iterable[Sequence[str]]) -> str:
    """Return the synonyms of the words in a readable text; `groups` hold words of one meaning."""
    added = [group for group in groups if any(term(word) in text for word in group)]
    return readable(word for group in added for word in group)
