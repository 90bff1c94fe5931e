"""Refunds: stored in one transaction, sent to Stripe after its commit, updated as Stripe reports them."""

import logging
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from django.db import IntegrityError
from django.db.models import Q

from kikaku.transactions import forbid_transaction, unit_of_work
from ledger.books.tax_rules import TaxStatusMissing
from ledger.models import Order, Refund
from ledger.sales.ceiling import require_within_ceiling
from ledger.sales.order_end import end_after_refund
from ledger.sales.refund_plan import RefundRefused, RefundRequest, Side, SideMissing
from ledger.sales.refund_requests import store_refund
from ledger.sales.refund_status import apply_stripe_refund, fail_refund
from ledger.stripe import client
from ledger.stripe.client import StripeRefused, StripeUnavailable

__all__ = [
    "RefundRefused",
    "RefundRequest",
    "Sending",
    "Side",
    "SideMissing",
    "request_refund",
    "send_refund",
    "send_requested",
    "update_waiting",
]

logger = logging.getLogger(__name__)

MAX_CONSECUTIVE_FAILURES = 3  # then stop asking Stripe in this run
RESEND_DELAY = timedelta(minutes=2)  # a younger refund is left to the request that stored it
POLL_INTERVAL = timedelta(days=1)  # a customer may take weeks to give a bank account


def request_refund(
    *,
    order: Order,
    request: RefundRequest,
    nonce: str,
    actor: str,
    now: datetime,
    confirmed: str = "",
    ceiling: int | None = None,
) -> Refund:
    """Store a refund and send it to Stripe after the commit; the same nonce returns the same refund.

    Without an answer from Stripe the refund stays `requested`, and the job `refunds` sends it. A refund that
    Stripe refuses is returned as `failed`, with the reason. `confirmed` is the plan of the preview that a
    person has confirmed; `ceiling` is what all refunds of the order may come to (JPY). Raises `RefundRefused`
    when the order does not have what is asked for, `AboveCeiling`, and `OrderChanged` when the plan is
    another one now; then nothing changed.
    """
    forbid_transaction()
    try:
        refund = _store_and_update_order(
            order, request, nonce=nonce, actor=actor, now=now, confirmed=confirmed, ceiling=ceiling
        )
    except IntegrityError:
        stored = Refund.objects.filter(nonce=nonce, order=order).first()
        if stored is None:
            raise
        refund = stored
    if refund.status == Refund.Status.REQUESTED:
        send_refund(refund, now=now)
        refund.refresh_from_db()
    return refund


@unit_of_work
def _store_and_update_order(
    order: Order,
    request: RefundRequest,
    *,
    nonce: str,
    actor: str,
    now: datetime,
    confirmed: str,
    ceiling: int | None,
) -> Refund:
    """Store a refund; an order of which it leaves nothing to ship ends."""
    order = Order.objects.lock(order.pk)
    refund = store_refund(
        order=order, request=request, nonce=nonce, actor=actor, now=now, confirmed=confirmed
    )
    require_within_ceiling(order, ceiling)
    end_after_refund(order, actor=actor, now=now)
    return refund


class Sending(Enum):
    """What became of a refund that was sent to Stripe."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NO_ANSWER = "no answer"
    NOT_POSTED = "not posted"  # Stripe has it, but the tax status is missing


def send_refund(refund: Refund, *, now: datetime) -> Sending:
    """Send a stored refund to Stripe and apply the answer; without one the refund stays `requested`.

    So it does when the answer cannot be posted, because the tax status is missing. It is sent again with the
    same key, which moves no money twice.
    """
    forbid_transaction()
    try:
        return _send(refund, now=now)
    except StripeUnavailable as error:
        logger.warning("Refund %d waits, Stripe does not answer: %s", refund.pk, error)
        return Sending.NO_ANSWER
    except TaxStatusMissing as error:
        logger.warning("Refund %d is at Stripe, but not posted: %s", refund.pk, error)
        return Sending.NOT_POSTED


def _send(refund: Refund, *, now: datetime) -> Sending:
    try:
        stripe_refund = _create_or_find(refund)
    except StripeRefused as error:
        logger.error("Refund %d was refused by Stripe: %s", refund.pk, error)
        _fail(refund, error, now=now)
        return Sending.REFUSED
    _apply(stripe_refund, now=now)
    return Sending.ACCEPTED


@unit_of_work
def _apply(stripe_refund: Mapping[str, Any], *, now: datetime) -> Refund:
    return apply_stripe_refund(stripe_refund, now=now)


@unit_of_work
def _fail(refund: Refund, refusal: StripeRefused, *, now: datetime) -> None:
    fail_refund(refund, reason=str(refusal), now=now)


def _create_or_find(refund: Refund) -> dict[str, Any]:
    """Return the refund at Stripe: created now, or found when Stripe refuses to create it.

    The answer to an earlier call may have been lost, and new details of the payment may have changed the
    parameters: then Stripe refuses the idempotency key, but the refund exists. Raises `StripeUnavailable`,
    `StripeRefused`.
    """
    try:
        return client.create_refund(refund)
    except StripeRefused:
        found = client.find_refund(refund)
        if found is None:
            raise
        return found


def send_requested(*, now: datetime, limit: int = 100) -> Counter[Sending]:
    """Send the refunds that are not known to have reached Stripe; return how many had which outcome.

    Each is looked up first: its answer may have been lost, and Stripe keeps idempotency keys for a day only.
    After `MAX_CONSECUTIVE_FAILURES` without an answer, or not posted, the next run continues. Raises
    `TaxStatusMissing` when one that is found cannot be posted.
    """
    forbid_transaction()
    outcomes: Counter[Sending] = Counter()
    due = Refund.objects.requested().filter(requested_at__lte=now - RESEND_DELAY)
    failures = 0
    for refund in due.select_related("payment", "order").order_by("requested_at", "pk")[:limit]:
        try:
            found = client.find_refund(refund)
        except StripeUnavailable as error:
            logger.warning("Refund %d waits, Stripe does not answer: %s", refund.pk, error)
            outcome = Sending.NO_ANSWER
        except StripeRefused as error:
            logger.error("Refund %d cannot be looked up: %s", refund.pk, error)
            continue
        else:
            if found is not None:
                _apply(found, now=now)
            outcome = Sending.ACCEPTED if found is not None else send_refund(refund, now=now)
        outcomes[outcome] += 1
        failures = failures + 1 if outcome in (Sending.NO_ANSWER, Sending.NOT_POSTED) else 0
        if failures >= MAX_CONSECUTIVE_FAILURES:
            break
    return outcomes


def update_waiting(*, now: datetime, limit: int = 50) -> int:
    """Ask Stripe once a day for each waiting refund, in case its event was lost; return how many ended.

    One for which Stripe does not answer is asked for again in the next run.
    """
    forbid_transaction()
    asked_before = now - POLL_INTERVAL
    due = Refund.objects.waiting().filter(
        Q(asked_at=None, requested_at__lte=asked_before) | Q(asked_at__lte=asked_before),
        stripe_id__isnull=False,
    )
    ended = failures = 0
    for refund in due.order_by("requested_at", "pk")[:limit]:
        claim = Refund.objects.filter(pk=refund.pk)
        if not claim.filter(asked_at=refund.asked_at).update(asked_at=now):
            continue  # another worker asks
        try:
            stripe_refund = client.retrieve_refund(str(refund.stripe_id))
        except StripeUnavailable as error:
            logger.warning("Refund %d waits, Stripe does not answer: %s", refund.pk, error)
            claim.filter(asked_at=now).update(asked_at=refund.asked_at)
            failures += 1
            if failures >= MAX_CONSECUTIVE_FAILURES:
                break
            continue
        except StripeRefused as error:
            logger.error("Refund %d waits, Stripe does not show it: %s", refund.pk, error)
        else:
            ended += _apply(stripe_refund, now=now).status not in Refund.WAITING_STATUSES
        failures = 0
    return ended
