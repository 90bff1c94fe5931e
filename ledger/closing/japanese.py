"""What the checks found, in Japanese.

Findings are English in messages and in `verify_books`; discrepancies and the evidence have them, too, and
an accountant reads those.
"""

import re
from collections.abc import Mapping

from django.apps import apps
from django.utils.translation import override

from ledger.models import Refund

NUMBER = r"(-?\d+|None)"
# whole phrases of `Finding.expected` and `Finding.found`, the longer ones first
PHRASES: tuple[tuple[str, str], ...] = (
    (rf"{NUMBER} lines, debit {NUMBER}, credit {NUMBER}", r"\1 行、借方 \2、貸方 \3"),
    ("two lines or more, debit = credit", "2 行以上、借方＝貸方"),
    (rf"{NUMBER} beside the lines", r"明細の税額 \1"),
    (rf"{NUMBER} owed", r"残高 \1"),
    (rf"{NUMBER} recognised", r"計上 \1"),
    (rf"{NUMBER}, within 0 and {NUMBER}", r"\1（0〜\2）"),
    (r"(\d{4}-\d\d-\d\d) or later", r"\1 以降"),
    (rf"debit {NUMBER}", r"借方 \1"),
    (rf"fee tax {NUMBER}", r"手数料の税 \1"),
    (rf"fee {NUMBER}", r"手数料 \1"),
    ("sales and tax, standard rate", "売上と税（標準税率）"),
    ("sales and tax, reduced rate", "売上と税（軽減税率）"),
    ("no entry that it reverses", "取り消す仕訳なし"),
    ("no entry", "仕訳なし"),
    ("a stored balance transaction", "記録済みの残高取引"),
    (rf"kept money of order {NUMBER}", r"注文 \1 の雑収入への振替"),
    (rf"a parcel of order {NUMBER}", r"注文 \1 の出荷"),
    (rf"a refund of order {NUMBER}", r"注文 \1 の返金"),
    ("a withdrawn refund of its order", "その注文の取り消された返金"),
    ("a withdrawn refund", "取り消された返金"),
    ("a failed refund", "失敗した返金"),
    (rf"reverses entry {NUMBER}", r"仕訳 \1 の取消"),
    (rf"reverses {NUMBER}", r"仕訳 \1 の取消"),
    (rf"order {NUMBER}", r"注文 \1"),
    (rf"entry {NUMBER}", r"仕訳 \1"),
    (" or ", "、または "),
    ("nothing", "なし"),
    ("none", "なし"),
)
# values of the columns `source_type` and `purpose` of entries, and `status` of refunds
WORDS: Mapping[str, str] = {
    "balance_transaction": "残高取引",
    "shipment": "出荷",
    "entry": "仕訳",
    "capture": "入金",
    "refund_failure": "返金失敗",
    "refund": "返金",
    "recognition": "売上計上",
    "settled": "未払金（返金）の充当",
    "tax_correction": "税額調整",
    "suspense": "仮勘定",
    "reversal": "反対仕訳",
    "waiting": "返金待ち",
    "kept_money": "雑収入への振替",
    "kept": "振替",
    "failed": "失敗",
    "opening": "開始",
    "all": "すべて",
    "None": "なし",
}
ANY_PHRASE = re.compile("|".join(f"(?:{phrase})" for phrase, _japanese in PHRASES))
ANY_WORD = re.compile(rf"\b({'|'.join(WORDS)})\b")
NO_DETAILS = "（verify_books の結果を参照）"
ENGLISH = re.compile(r"[A-Za-z]{2,} [a-z]{2,}")  # two words of a sentence


def in_words(text: str) -> str:
    """Return what a finding expects or found in Japanese; for an unknown sentence a hint at the command."""
    text = object_name(ANY_PHRASE.sub(lambda found: _translate(found[0]), text))
    return NO_DETAILS if ENGLISH.search(text) else text


def object_name(text: str) -> str:
    """Return the name of an object, such as an entry and its source, with its words in Japanese."""
    return ANY_WORD.sub(lambda found: WORDS[found[0]], text)


def _translate(phrase: str) -> str:
    return next(
        re.sub(pattern, japanese, phrase) for pattern, japanese in PHRASES if re.fullmatch(pattern, phrase)
    )


def table_name(table: str) -> str:
    """Return the Japanese name of a table that a finding names."""
    try:
        model = apps.get_model("ledger", table)
    except LookupError:
        return table
    with override("ja"):
        return str(model._meta.verbose_name)


def refund_status(status: str) -> str:
    """Return the Japanese name of a status of a refund; Stripe's word for one that is not known."""
    with override("ja"):
        return str(Refund.Status(status).label) if status in Refund.Status.values else status
