"""Stripe's objects as the books read them: the fields that we keep, no personal data. JPY, UTC instants."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any

from ledger.stripe.timestamps import from_timestamp


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
    net: int
    currency: str
    created: datetime
    available_on: datetime
    description: str
    other_balance: str = ""  # such as risk_reserved; empty: the balance of payments, which account 1150 is


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
    return TransactionReading(
        id=answer["id"],
        type=intern(answer["type"]),
        source=answer["source"] or "",
        amount=answer["amount"],
        fee=answer["fee"],
        fee_tax=sum(taxes),
        fee_taxed=bool(taxes),
        net=answer["net"],
        currency=intern(answer["currency"]),
        created=from_timestamp(answer["created"]),
        available_on=from_timestamp(answer["available_on"]),
        description=answer["description"] or "",
        other_balance="" if answer["balance_type"] in (None, "payments") else intern(answer["balance_type"]),
    )


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
