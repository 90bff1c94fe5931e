"""Backfill: payments and refunds whose webhook has not arrived are asked for at Stripe and recorded."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any, TypeVar

from kikaku.transactions import forbid_transaction, unit_of_work
from ledger.ingest.readings import ChargeReading, RefundReading
from ledger.models import Payment, Refund
from ledger.sales import payments, refund_status
from ledger.stripe import captures, client
from ledger.stripe.captures import CapturedPayment
from ledger.stripe.client import StripeRefused

logger = logging.getLogger(__name__)

IDS_PER_QUERY = 100  # Cloudflare D1 binds no more parameters

Reading = TypeVar("Reading")


@dataclass(frozen=True)
class StripeAnswers:
    """Charges and refunds as Stripe answered with them; whole objects, so personal data is among them."""

    charges: list[dict[str, Any]]
    refunds: list[dict[str, Any]]


def ask(*, charges: Iterable[str], refunds: Iterable[str]) -> StripeAnswers:
    """Ask Stripe for charges and refunds by their ids, one call each.

    The charge of each refund is asked for, too: the refund may be posted before any webhook of either
    arrives. An object that Stripe refuses to show is left out. Raises `StripeUnavailable`.
    """
    forbid_transaction()
    found = list(_retrieve_each(dict.fromkeys(refunds), client.retrieve_refund))
    wanted = dict.fromkeys([*charges, *(refund["charge"] for refund in found if refund["charge"])])
    return StripeAnswers(charges=list(_retrieve_each(wanted, client.retrieve_charge)), refunds=found)


def _retrieve_each(ids: Iterable[str], retrieve: Callable[[str], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for object_id in ids:
        try:
            yield retrieve(object_id)
        except StripeRefused as error:
            logger.warning("Stripe does not show %s: %s", object_id, error)


def backfill(answers: StripeAnswers, *, now: datetime, day: date | None = None) -> None:
    """Record payments and refunds whose webhook has not arrived. Objects that are not ours are skipped.

    `day` is the business day whose close asked for the answers.
    """
    for charge in answers.charges:
        captured = captures.read_charge(charge)
        if captured is not None and payments.find_attempt(captured.metadata) is not None:
            _record_payment(captured, now=now)
    for refund in answers.refunds:
        with suppress(refund_status.UnknownPayment):
            _apply_stripe_refund(refund, now=now, day=day)


@unit_of_work
def _record_payment(captured: CapturedPayment, *, now: datetime) -> None:
    payments.record_payment(captured, now=now)


@unit_of_work
def _apply_stripe_refund(stripe_refund: Mapping[str, Any], *, now: datetime, day: date | None) -> None:
    refund_status.apply_stripe_refund(stripe_refund, now=now, day=day)


# ── What our rows do not agree with ──────────────────────────────────────────────────────────────────────


def unmatched_charges(charges: Iterable[ChargeReading]) -> Iterator[tuple[ChargeReading, int | None]]:
    """Yield each captured charge that no payment of ours equals, with the amount that our payment says."""
    for chunk in _chunks({charge.id: charge for charge in charges if charge.has_money}):
        amounts = dict(Payment.objects.filter(charge__in=chunk).values_list("charge", "amount"))
        for charge in chunk.values():
            if amounts.get(charge.id) != charge.amount_captured or charge.currency != "jpy":
                yield charge, amounts.get(charge.id)


def without_payment(charges: Iterable[str]) -> list[str]:
    """Return the charges that no payment of ours has."""
    unknown: list[str] = []
    for chunk in _chunks(dict.fromkeys(charges)):
        known = set(Payment.objects.filter(charge__in=chunk).values_list("charge", flat=True))
        unknown += [charge for charge in chunk if charge not in known]
    return unknown


def unmatched_refunds(refunds: Iterable[RefundReading]) -> Iterator[tuple[RefundReading, Refund | None]]:
    """Yield each refund that no refund of ours equals, with our refund: its amount, or whether it failed."""
    for chunk in _chunks({refund.id: refund for refund in refunds}):
        rows = {str(row.stripe_id): row for row in Refund.objects.filter(stripe_id__in=chunk)}
        for refund in chunk.values():
            row = rows.get(refund.id)
            if (
                row is None
                or row.amount != refund.amount
                or (row.status in Refund.FAILED_STATUSES) != (refund.status in Refund.FAILED_STATUSES)
            ):
                yield refund, row


def _chunks(objects: Mapping[str, Reading]) -> Iterator[dict[str, Reading]]:
    rest = iter(objects.items())
    while chunk := dict(islice(rest, IDS_PER_QUERY)):
        yield chunk
