"""Stripe's objects as the books read them: the fields that we keep, no personal data. JPY, UTC instants."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from sys import intern
from typing import Any

from ledger.stripe.timestamps import from_timestamp

FEE_TAX_PERCENT = 10  # of Stripe's fees in Japan; a rate that changes makes fees doubtful, not wrong
MAX_COMBINATIONS = 64  # of the parts of a fee that are tried


@dataclass(frozen=True, slots=True)
class TransactionReading:
    """A balance transaction of Stripe."""

    id: str
    type: str
    source: str
    amount: int
    fee: int
    fee_tax: int
    fee_taxed: bool  # `fee_details` has a line of tax, be it of ¥0
    taxable_fee: int  # the part of the fee that is taxed, without its tax
    net: int
    currency: str
    created: datetime
    available_on: datetime
    description: str
    other_balance: str = ""  # such as risk_reserved; empty: the balance of payments, which account 1150 is
    # no part of the fee has this tax: the taxable part was computed from it, and a person should look
    is_fee_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class ChargeReading:
    """A charge of Stripe; only what does not change later."""

    id: str
    amount: int
    amount_captured: int
    currency: str
    status: str
    captured: bool  # false: an authorisation only
    payment_intent: str
    brand: str
    created: datetime

    @property
    def has_money(self) -> bool:
        """Return whether the charge captured money."""
        return self.captured and self.status == "succeeded"


@dataclass(frozen=True, slots=True)
class RefundReading:
    """A refund of Stripe."""

    id: str
    amount: int
    currency: str
    status: str
    charge: str
    failure_reason: str
    created: datetime


def read_transaction(answer: Mapping[str, Any]) -> TransactionReading:
    """Return what we keep of a balance transaction."""
    taxes = [detail["amount"] for detail in answer["fee_details"] if detail["type"] == "tax"]
    fees = [detail["amount"] for detail in answer["fee_details"] if detail["type"] != "tax"]
    taxable_fee, is_doubtful = split_fee(fees, sum(taxes), is_taxed=bool(taxes))
    return TransactionReading(
        id=answer["id"],
        type=intern(answer["type"]),
        source=answer["source"] or "",
        amount=answer["amount"],
        fee=answer["fee"],
        fee_tax=sum(taxes),
        fee_taxed=bool(taxes),
        taxable_fee=taxable_fee,
        is_fee_doubtful=is_doubtful,
        net=answer["net"],
        currency=intern(answer["currency"]),
        created=from_timestamp(answer["created"]),
        available_on=from_timestamp(answer["available_on"]),
        description=answer["description"] or "",
        other_balance="" if answer["balance_type"] in (None, "payments") else intern(answer["balance_type"]),
    )


def split_fee(fees: Sequence[int], tax: int, *, is_taxed: bool) -> tuple[int, bool]:
    """Return the taxable part (JPY, without tax) of a fee, and whether that is doubtful.

    `fees` are the parts of `fee_details` other than tax, which do not say what is taxed. Taxed is everything,
    or the parts, whose tax is `tax` within a yen; if none fit, the amount whose tax it is, which is doubtful.
    """
    whole = sum(fees)
    if not is_taxed:
        return 0, False
    chosen = [fees, *(some for size in range(len(fees) - 1, 0, -1) for some in combinations(fees, size))]
    for some in chosen[:MAX_COMBINATIONS]:
        if abs(sum(some) * FEE_TAX_PERCENT - tax * 100) <= 100:
            return sum(some), False
    taxable = tax * 100 // FEE_TAX_PERCENT
    return (taxable if 0 <= taxable <= whole else whole), True


def read_charge(answer: Mapping[str, Any]) -> ChargeReading:
    """Return what we keep of a charge."""
    card = (answer["payment_method_details"] or {}).get("card") or {}
    return ChargeReading(
        id=answer["id"],
        amount=answer["amount"],
        amount_captured=answer["amount_captured"],
        currency=intern(answer["currency"]),
        status=intern(answer["status"]),
        captured=answer["captured"],
        payment_intent=answer["payment_intent"] or "",
        brand=intern(card.get("brand") or ""),
        created=from_timestamp(answer["created"]),
    )


def read_refund(answer: Mapping[str, Any]) -> RefundReading:
    """Return what we keep of a refund."""
    return RefundReading(
        id=answer["id"],
        amount=answer["amount"],
        currency=answer["currency"],
        status=answer["status"] or "",
        charge=answer["charge"] or "",
        failure_reason=answer.get("failure_reason") or "",
        created=from_timestamp(answer["created"]),
    )


def net_change(transactions: Iterable[TransactionReading]) -> int:
    """Return by how much transactions changed Stripe's JPY balance of payments."""
    return sum(
        reading.net for reading in transactions if reading.currency == "jpy" and not reading.other_balance
    )
