"""Checkout: open Stripe's payment page for an order, and close it when its time is over.

An attempt (`CheckoutAttempt`) is our row for one Checkout Session, whose URL is the payment page. It is
stored with a random idempotency key and its `expires_at` before Stripe is called, so that a repeated call
returns the same session. An order has at most one live attempt (one whose page may be open): a new one is
created only after the old one is closed at Stripe, because a customer with two open pages may pay twice. A
voucher (a payment that the customer makes later, such as at a convenience store) cannot be revoked: its
attempt waits until Stripe reports that it was paid or has expired.
"""

import logging
import secrets
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import translation

from kikaku.days import business_day
from kikaku.transactions import forbid_transaction, queued_writes, unit_of_work
from ledger.books.discrepancies import note_discrepancy
from ledger.models import CheckoutAttempt, Discrepancy, Order, OrderEvent, OrderLine, Payment
from ledger.models.orders import OrderStatus
from ledger.sales import history, holds
from ledger.sales.checkout_status import Outcome, cancel_unpaid, mark_expired, record_completed_session
from ledger.sales.order_pages import absolute, order_pages
from ledger.sales.stock import StockRefused
from ledger.stripe import client, methods
from ledger.stripe.client import StripeRefused, StripeUnavailable
from ledger.stripe.pages import is_stripe_page

logger = logging.getLogger(__name__)

MAX_CONSECUTIVE_FAILURES = 3  # then stop asking Stripe in this run
MIN_TIME_ON_PAGE = timedelta(minutes=1)  # a page that closes sooner is replaced instead of shown
# how long after a voucher's deadline we ask Stripe, in case the event of its expiry was lost
VOUCHER_GRACE = timedelta(hours=1)
# how long an attempt whose session Stripe does not know is kept: time to correct a wrong API key
UNKNOWN_SESSION_GRACE = timedelta(days=1)


class PaymentUnavailable(Exception):
    """Stripe does not answer; the order stays open and can be paid later."""


class NotPayable(Exception):
    """The order cannot be paid.

    It is paid or cancelled, has a completed payment page, its stock is not reserved, or its page was closed
    during the call.
    """


def start_payment(order: Order, *, now: datetime) -> str:
    """Return the address of Stripe's payment page for a pending order; a page that is still open is reused.

    Raises `NotPayable`, and `PaymentUnavailable` when Stripe does not answer or refuses, or when the address
    is not Stripe's; then the order stays open.
    """
    forbid_transaction()
    try:
        page = _start(order, now=now)
    except StripeUnavailable as error:
        logger.warning("Stripe does not answer for order %s: %s", order.number, error)
        raise PaymentUnavailable(str(error)) from error
    except StripeRefused as error:
        logger.error("Stripe refuses the payment page of order %s: %s", order.number, error)
        raise PaymentUnavailable(str(error)) from error
    if not is_stripe_page(page):
        logger.error("The payment page of order %s is not at Stripe: %.100s", order.number, page)
        raise PaymentUnavailable("the payment page is not at Stripe")
    return page


def _start(order: Order, *, now: datetime) -> str:
    attempt = _live_attempt(order)
    if attempt is not None and attempt.status == CheckoutAttempt.Status.OPEN:
        if attempt.expires_at > now + MIN_TIME_ON_PAGE and _is_pending(order):
            return attempt.url
        close(attempt, now=now)  # at Stripe, before another page is opened
        attempt = None
    if attempt is not None:  # stored, but Stripe's answer was lost: the same key returns the same session
        try:
            return _open_page(attempt, now=now)
        except StripeRefused as error:
            _expire_after_refusal(attempt, error, now=now)
    attempt = _create_attempt(order, now=now)
    try:
        return _open_page(attempt, now=now)
    except StripeRefused as error:
        _expire_in_transaction(attempt, str(error), now=now)
        raise


def _live_attempt(order: Order) -> CheckoutAttempt | None:
    return order.attempts.live().first()


def _is_pending(order: Order) -> bool:
    return Order.objects.pending().filter(pk=order.pk).exists()


def _create_attempt(order: Order, *, now: datetime) -> CheckoutAttempt:
    """Store and return an attempt for an order that is pending and holds its stock.

    When a concurrent request has stored one, that one is returned. Raises `NotPayable`.
    """
    try:
        return _insert_attempt(order.pk, now=now)
    except IntegrityError:
        attempt = _live_attempt(order)
        if attempt is None:
            raise
        return attempt


@unit_of_work
def _insert_attempt(order_id: int, *, now: datetime) -> CheckoutAttempt:
    order = Order.objects.lock(order_id)
    if order.status != OrderStatus.PENDING:
        raise NotPayable(f"order {order.number} is {order.status}")
    completed = (CheckoutAttempt.Status.WAITING, CheckoutAttempt.Status.COMPLETE)
    # under the order's lock, in one query
    lines = list(
        OrderLine.objects.filter(order=order_id)
        .order_by()
        .values_list(
            "item_id",
            "quantity",
            "reserved",
            Exists(Payment.objects.filter(order=OuterRef("order"))),
            Exists(CheckoutAttempt.objects.filter(order=OuterRef("order"), status__in=completed)),
        )
    )
    wanted: Counter[int] = Counter()
    for item_id, quantity, reserved, has_payment, has_completed_page in lines:
        if has_payment or has_completed_page:
            raise NotPayable(f"order {order.number} has a completed payment page")
        if quantity != reserved:
            raise NotPayable(f"order {order.number} no longer holds its stock")
        wanted[item_id] += quantity
    offers_vouchers = holds.offers_voucher(order, wanted)
    with queued_writes():  # a second live attempt fails at the commit
        attempt = CheckoutAttempt.objects.create(
            order=order,
            idempotency_key=secrets.token_urlsafe(24),
            created_at=now,
            # Stripe's timestamps are whole seconds
            expires_at=now.replace(microsecond=0) + timedelta(minutes=settings.CHECKOUT_MINUTES),
            offers_vouchers=offers_vouchers,
        )
    history.record(
        order,
        OrderEvent.Kind.PAYMENT_STARTED,
        actor=history.CUSTOMER,
        now=now,
        fact=f"attempt:{attempt.pk}",  # the event is stored once for each kind and fact
        attempt=attempt.pk,
        expires_at=attempt.expires_at,
    )
    return attempt


def _create_session(attempt: CheckoutAttempt) -> dict[str, Any]:
    """Create the attempt's session at Stripe; a repeated call returns the same, by the idempotency key."""
    pages = order_pages()
    with translation.override(attempt.order.language):
        return client.create_session(
            attempt,
            success_url=absolute(pages.thanks(attempt.order)),
            cancel_url=absolute(pages.order(attempt.order)),
        )


def _open_page(attempt: CheckoutAttempt, *, now: datetime) -> str:
    """Create the attempt's session at Stripe, store it, and return the address of its page."""
    session = _create_session(attempt)
    CheckoutAttempt.objects.filter(pk=attempt.pk, status=CheckoutAttempt.Status.CREATED).update(
        session_id=session["id"], url=session["url"] or "", status=CheckoutAttempt.Status.OPEN, last_error=""
    )
    attempt = CheckoutAttempt.objects.select_related("order").get(pk=attempt.pk)
    if attempt.status != CheckoutAttempt.Status.OPEN or attempt.order.status != OrderStatus.PENDING:
        # cancelled, paid or closed during the call: the new page must not stay open
        CheckoutAttempt.objects.filter(pk=attempt.pk, session_id=None).update(session_id=session["id"])
        if session["status"] == "open" and attempt.status != CheckoutAttempt.Status.COMPLETE:
            try:
                client.expire_session(session["id"])
                _expire_in_transaction(attempt, now=now)
            except StripeRefused:
                logger.info("Session %s was no longer open", session["id"])
        raise NotPayable(f"order {attempt.order.number} does not wait for a payment")
    return attempt.url


@unit_of_work
def _expire_in_transaction(attempt: CheckoutAttempt, refusal: str = "", *, now: datetime) -> None:
    """Mark an attempt expired, in a transaction of its own.

    `refusal` is Stripe's error, if it refused the session.
    """
    Order.objects.lock(attempt.order_id)
    mark_expired(attempt, refusal, actor=history.SYSTEM, now=now)


def _expire_after_refusal(attempt: CheckoutAttempt, refusal: StripeRefused, *, now: datetime) -> None:
    """Expire an attempt whose session Stripe refused to create.

    A refusal means that no session exists for the key: Stripe returns the stored result of an earlier success
    before it checks parameters. Only `idempotency_error` differs: an older release used the key with other
    parameters, and that session may be open until `expires_at`. Until then this raises `StripeUnavailable`.
    """
    if refusal.code == "idempotency_error" and attempt.expires_at > now:
        raise StripeUnavailable(str(refusal)) from refusal
    _expire_in_transaction(attempt, str(refusal), now=now)


def close(attempt: CheckoutAttempt, *, now: datetime) -> Outcome:
    """Close an attempt's page at Stripe and return what was found there.

    The order is cancelled, and its stock released, only for `VOUCHER_EXPIRED`; otherwise the caller decides
    about the order.

    Raises `StripeUnavailable`: the state at Stripe is unknown, and at most the session's id was stored here.
    Raises `StripeRefused` when Stripe does not know the session.
    """
    forbid_transaction()
    if attempt.session_id is None:
        # Stripe's answer may be lost: the same key returns the session, or a new one that is closed below
        try:
            session = _create_session(attempt)
        except StripeRefused as error:
            _expire_after_refusal(attempt, error, now=now)
            return Outcome.EXPIRED
        CheckoutAttempt.objects.filter(pk=attempt.pk, session_id=None).update(session_id=session["id"])
        attempt.session_id = session["id"]
    session = client.retrieve_session(str(attempt.session_id))
    if session["status"] == "open":
        try:
            client.expire_session(session["id"])
            session["status"] = "expired"
        except StripeRefused:  # paid or expired between the two calls
            session = client.retrieve_session(session["id"])
    if session["status"] == "open":
        raise StripeUnavailable(f"session {session['id']} cannot be closed")
    if session["status"] == "expired":
        _expire_in_transaction(attempt, now=now)
        return Outcome.EXPIRED
    return store_completed_session(attempt, session, now=now)


@unit_of_work
def store_completed_session(attempt: CheckoutAttempt, session: dict[str, Any], *, now: datetime) -> Outcome:
    """Record a retrieved session that is complete, in a transaction of its own."""
    return record_completed_session(attempt, session, occurred_at=now, now=now)


def expire_due(*, now: datetime, limit: int = 200) -> int:
    """Close the payment pages whose time is over and cancel their orders; return how many were cancelled.

    No order is cancelled without asking Stripe: about each page whose time is over, and about each voucher
    whose deadline is unknown or more than `VOUCHER_GRACE` ago. When Stripe does not answer, the next run
    continues. An attempt whose session Stripe does not know is kept for `UNKNOWN_SESSION_GRACE`, and then
    expired with a discrepancy.
    """
    forbid_transaction()
    cancelled = failures = 0
    attempts = CheckoutAttempt.objects.select_related("order").order_by("expires_at")
    due_pages = attempts.live().filter(expires_at__lte=now)
    overdue_vouchers = attempts.filter(
        Q(voucher_expires_at=None) | Q(voucher_expires_at__lte=now - VOUCHER_GRACE),
        status=CheckoutAttempt.Status.WAITING,
    )
    for attempt in [*due_pages[:limit], *overdue_vouchers[:limit]]:
        try:
            outcome = close(attempt, now=now)
        except StripeUnavailable as error:
            logger.warning("Stripe does not answer, checkout attempt %s stays open: %s", attempt.pk, error)
            failures += 1
            if failures >= MAX_CONSECUTIVE_FAILURES:
                break
            continue
        except StripeRefused as error:
            logger.error("Checkout attempt %s cannot be closed: %s", attempt.pk, error)
            if error.code == "resource_missing" and _payable_until(attempt) + UNKNOWN_SESSION_GRACE <= now:
                cancelled += _cancel_unknown(attempt, error, now=now)
            continue
        except StockRefused as error:
            logger.error("The stock of order %s cannot be released: %s", attempt.order.number, error)
            continue
        failures = 0
        cancelled += outcome is Outcome.VOUCHER_EXPIRED
        if outcome is Outcome.EXPIRED:
            cancelled += _try_to_cancel(attempt.order_id, now=now)
    for order_id in _orders_without_page(now).values_list("pk", flat=True)[:limit]:
        cancelled += _try_to_cancel(order_id, now=now)
    return cancelled


def _orders_without_page(now: datetime) -> QuerySet[Order]:
    """Return the pending orders whose page was closed early or never opened, and whose time is over."""
    blocking = CheckoutAttempt.objects.filter(order=OuterRef("pk")).exclude(
        status=CheckoutAttempt.Status.EXPIRED, expires_at__lte=now
    )
    return Order.objects.filter(
        ~Exists(blocking),
        status=OrderStatus.PENDING,
        placed_at__lte=now - timedelta(minutes=settings.CHECKOUT_MINUTES),
    ).order_by("placed_at")


def _payable_until(attempt: CheckoutAttempt) -> datetime:
    """Return the latest time at which an attempt can have been paid, without asking Stripe."""
    if attempt.voucher_expires_at is not None:
        return attempt.voucher_expires_at
    if attempt.status != CheckoutAttempt.Status.WAITING:
        return attempt.expires_at
    method = methods.method_of_voucher(attempt)
    days = methods.days_to_pay_later() if method is None else method.days_to_pay()
    return attempt.expires_at + timedelta(days=days + 1)


@unit_of_work
def _cancel_unknown(attempt: CheckoutAttempt, refusal: StripeRefused, *, now: datetime) -> bool:
    """Expire an attempt whose session Stripe does not know, and cancel its unpaid order.

    The session belongs to another account or mode, and cannot be paid any more. The discrepancy asks staff
    whether it was paid in the other account. Returns whether the order was cancelled.
    """
    order = Order.objects.lock(attempt.order_id)
    mark_expired(attempt, str(refusal), actor=history.SYSTEM, now=now)
    note_discrepancy(
        Discrepancy.Kind.MISSING_AT_STRIPE,
        attempt.session_id or f"attempt {attempt.pk}",
        day=business_day(now),
        detail=(
            f"{order.number}: Stripe がこの注文の支払いページを知らない"
            "（別のアカウントか別のキー？）。Stripe の返答は注文のページに"
        ),
        now=now,
    )
    return cancel_unpaid(order, now=now)


def _try_to_cancel(order_id: int, *, now: datetime) -> bool:
    """Cancel an order that cannot be paid any more; inconsistent stock is logged without stopping the job."""
    try:
        return _lock_and_cancel(order_id, now=now)
    except StockRefused as error:
        logger.error("The stock of order %d cannot be released: %s", order_id, error)
        return False


@unit_of_work
def _lock_and_cancel(order_id: int, *, now: datetime) -> bool:
    return cancel_unpaid(Order.objects.lock(order_id), now=now)
