"""Texts in the form in which they are compared: one function folds what was written and what is searched.

Folded are width (ＬＥＤ, ｼｰﾘﾝｸﾞ), case, katakana to hiragana, the many signs for a hyphen and a long vowel,
variants of kanji in names (髙橋), thousands separators, blanks. The standard library is enough: jaconv would
save two tables, and neologdn made 「― ライト」 into 「ーライト」.
"""

import re
import unicodedata

# Signs that stand alone become marks that NFKC joins with the kana before them: か゛ → が.
_SOUND_MARKS = {0x309B: "\u3099", 0x309C: "\u309a"}
# Old and personal forms that NFKC leaves, by the form that people type.
_KANJI = {
    ord(variant): plain
    for plain, variants in {
        "高": "髙", "崎": "﨑嵜碕", "吉": "𠮷", "浜": "濱濵", "辺": "邊邉", "斉": "斎齋齊", "沢": "澤",
        "桜": "櫻", "広": "廣", "国": "國", "島": "嶋嶌", "恵": "惠", "真": "眞", "徳": "德", "瀬": "瀨",
        "増": "增", "栄": "榮", "寿": "壽", "竜": "龍", "滝": "瀧", "万": "萬", "学": "學", "円": "圓",
        "富": "冨", "峰": "峯", "柳": "栁", "館": "舘", "曽": "曾", "条": "條", "黒": "黑", "関": "關",
        "藤": "籐", "畳": "帖疊",
    }.items()
    for variant in variants
}  # fmt: skip
_KATAKANA = {ord("ァ") + place: chr(ord("ぁ") + place) for place in range(ord("ヶ") - ord("ァ") + 1)}
_FOLDED = str.maketrans({**_KANJI, **_KATAKANA, ord("〜"): "~", ord("・"): " ", ord("〒"): " "})
_INVISIBLE = re.compile("[\u00ad\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")
_DASH = "-‐‑‒–—―−─━ー"
HYPHENS_IN_NUMBERS = re.compile(f"[{_DASH}~〜]")  # what keyboards and programs have for one, in NFKC
_LONG_VOWEL = re.compile(f"(?<=[ぁ-ゖ])[{_DASH}]+(?=[ぁ-ゖ一-鿿\\s]|$)")
_OTHER_DASH = re.compile(f"(?<![ぁ-ゖ])ー|[{_DASH.replace('ー', '')}]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_RUN = re.compile(r"(\d+(?:\.\d+)?|[a-z]+)")  # a number, or Latin letters
_BLANK_IN_JAPANESE = re.compile(r"(?<=[^a-z\d ]) (?=[^a-z\d ])")


def fold(text: str) -> str:
    """Return a text as it is compared, without blanks and hyphens: 髙木 誠 → 高木誠, 090-0000 → 0900000."""
    return re.sub(r"[\s-]+", "", _fold_signs(text))


def fold_words(text: str) -> str:
    """Return a text as it is compared, with a blank around each number and each run of Latin letters.

    So 6畳 is not found in 16畳, nor "led" in "filled": LED 電球 E26 → " led 電球 e 26 ".
    """
    spaced = re.sub(r"\s+", " ", _RUN.sub(r" \1 ", _fold_signs(text).replace("-", " ")))
    joined = _BLANK_IN_JAPANESE.sub("", spaced)
    starts, ends = _RUN.match(joined.lstrip()), re.search(r"[a-z\d] *$", joined)
    return f"{' ' if starts else ''}{joined.strip()}{' ' if ends else ''}"


def fold_number(text: str) -> str:
    """Return the digits of a telephone number or postal code, of which +81 is 0; empty for other texts."""
    number = re.sub(r"[().]", "", fold(text))
    return re.sub(r"^\+81", "0", number) if re.fullmatch(r"(\+81)?\d+", number) else ""


def without_long_vowels(text: str) -> str:
    """Return a folded text without its long-vowel marks: せんさー → せんさ."""
    return text.replace("ー", "")


def _fold_signs(text: str) -> str:
    """Return a text with each sign folded; blanks stay, each hyphen is `-` and each long vowel ー."""
    text = unicodedata.normalize("NFKC", text.translate(_SOUND_MARKS))
    text = _INVISIBLE.sub("", unicodedata.normalize("NFC", text.casefold())).translate(_FOLDED)
    text = _OTHER_DASH.sub("-", _LONG_VOWEL.sub("ー", text))
    return _THOUSANDS.sub("", text)


_LINK = re.compile(r"://|\bwww\.", re.IGNORECASE)
# evil.com or EVIL.COM, but not St.John and not J.R
_DOMAIN = re.compile(r"[^\W_]{2,}\.(?:[a-z]{2,}|[A-Z]{2,})(?![A-Za-z])")


def has_link(text: str) -> bool:
    """Return whether a text holds an address of the web that a mail program would make a link."""
    return bool(_LINK.search(_with_plain_dots(text)))


def has_web_address(text: str) -> bool:
    """Return whether a name holds an address of the web, with http:// or without."""
    return has_link(text) or bool(_DOMAIN.search(_with_plain_dots(text)))


def _with_plain_dots(text: str) -> str:
    """Return a text in NFKC with the full stops that browsers read as dots."""
    return re.sub("[。｡]", ".", _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)))
