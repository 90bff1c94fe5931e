"""The test cards, with numbers and behaviour as in https://docs.stripe.com/testing."""

import unicodedata
from dataclasses import dataclass
from typing import Literal

Behaviour = Literal["succeeds", "declines", "authenticates"]
RefundBehaviour = Literal["succeeds", "fails later", "waits"]


@dataclass(frozen=True)
class Card:
    """One test card."""

    number: str
    brand: str  # as in Stripe's payment_method_details
    label: tuple[str, str]  # its purpose in Japanese and English
    behaviour: Behaviour = "succeeds"
    decline_code: str = ""
    refund: RefundBehaviour = "succeeds"


_CARDS = (
    Card("4242424242424242", "visa", ("Visa · 支払い成功", "Visa · succeeds")),
    Card("5555555555554444", "mastercard", ("Mastercard · 支払い成功", "Mastercard · succeeds")),
    Card("3566002020360505", "jcb", ("JCB · 支払い成功", "JCB · succeeds")),
    Card("378282246310005", "amex", ("American Express · 支払い成功", "American Express · succeeds")),
    Card("4000000000000002", "visa", ("カード拒否", "Declined"), "declines", "generic_decline"),
    Card("4000000000009995", "visa", ("残高不足", "Insufficient funds"), "declines", "insufficient_funds"),
    Card("4000002760003184", "visa", ("本人認証が必要", "Needs authentication"), "authenticates"),
    Card("4000000000005126", "visa", ("返金が後から失敗", "Refund fails later"), refund="fails later"),
    Card("4000000000007726", "visa", ("返金が保留", "Refund waits"), refund="waits"),
)
CARDS = {card.number: card for card in _CARDS}


def normalise_number(number: str) -> str:
    """Return a card number as typed, in ASCII digits and without spaces and hyphens."""
    plain = unicodedata.normalize("NFKC", number)
    return "".join(c for c in plain if not c.isspace() and unicodedata.category(c) != "Pd" and c != "\u2212")


def has_valid_check_digit(number: str) -> bool:
    """Return whether a number has the length of a card number and a correct Luhn check digit."""
    if not (number.isascii() and number.isdecimal() and 12 <= len(number) <= 19):
        return False
    digits = [int(digit) for digit in reversed(number)]
    total = sum(digits[0::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return total % 10 == 0
