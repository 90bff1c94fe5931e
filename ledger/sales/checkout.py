"""Checkout: sending a customer to Stripe's payment page, and closing the page when its time is over.

An attempt is written with its own random idempotency key and its `expires_at` before Stripe hears of it, so that a
repeated call is the same session. An order has one live attempt at most: a new one is made only after the old one
is closed at Stripe, for a customer with two payable pages may pay twice. A customer who chose the convenience store
holds a voucher that nobody can revoke: the attempt waits until Stripe says that it was paid, or was not.
"""

import logging
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import IntegrityError
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from kikaku.days import business_day
from kikaku.transactions import unit_of_work
from ledger.books.discrepancies import note
from ledger.models import CheckoutAttempt, Discrepancy, Order, OrderLine, OutgoingMail, Payment
from ledger.models.orders import OrderStatus
from ledger.sales import mail, orders, payments
from ledger.sales.stock import StockRefused
from ledger.stripe import client, konbini
from ledger.stripe.client import StripeRefused, StripeUnavailable
from ledger.stripe.konbini import Voucher

logger = logging.getLogger(__name__)

ENOUGH = 3  # calls without an answer in a row: Stripe is down, the job comes again
MARGIN = timedelta(minutes=1)  # nobody is sent to a page that closes while it is being read
# after a voucher's deadline: Stripe tells by itself, we ask when its event was lost
GRACE = timedelta(hours=1)
# time to put a wrong key right, before a page that Stripe does not know is given up
UNKNOWN = timedelta(days=1)


class PaymentUnavailable(Exception):
    """Stripe does not answer; the order stays open and can be paid later."""


class NotPayable(Exception):
    """The order does not wait for a payment: it is paid, cancelled, or its time is over."""


class Outcome(StrEnum):
    """How a session stood when it was closed."""

    EXPIRED = "expired"  # nobody can pay it any more
    LAPSED = "lapsed"  # a voucher was not paid in time, and the order has just ended with it
    PAID = "paid"
    WAITING = "waiting"  # a voucher is out: the money comes later or never


def _live(order: Order) -> CheckoutAttempt | None:
    return order.attempts.filter(status__in=payments.LIVE).first()


def start_payment(order: Order, *, now: datetime) -> str:
    """Give the address of Stripe's payment page for a pending order; a page that is still open is used again.

    Raises `NotPayable`, and `PaymentUnavailable` when Stripe does not answer or refuses (the order stays open).
    """
    try:
        return _start(order, now=now)
    except StripeUnavailable as error:
        logger.warning("Stripe does not answer for order %s: %s", order.number, error)
        raise PaymentUnavailable(str(error)) from error
    except StripeRefused as error:
        logger.error("Stripe refuses the payment page of order %s: %s", order.number, error)
        raise PaymentUnavailable(str(error)) from error


def _start(order: Order, *, now: datetime) -> str:
    attempt = _live(order)
    if attempt is not None and attempt.status == CheckoutAttempt.Status.OPEN:
        if attempt.expires_at > now + MARGIN and _is_pending(order):
            return attempt.url
        # the old page must be closed at Stripe before there is another
        close(attempt, now=now)
        attempt = None
    if attempt is not None:  # written, but Stripe's answer never came: the same key asks for the same page
        try:
            return _open(attempt)
        except StripeRefused as error:
            _give_up(attempt, error, now=now)
    attempt = _new_attempt(order, now=now)
    try:
        return _open(attempt)
    except StripeRefused as error:
        _mark_expired(attempt, last_error=str(error))
        raise


def _is_pending(order: Order) -> bool:
    return Order.objects.filter(pk=order.pk, status=OrderStatus.PENDING).exists()


def _new_attempt(order: Order, *, now: datetime) -> CheckoutAttempt:
    """Write an attempt for an order that is pending and holds its stock; a concurrent one is used instead.

    Raises `NotPayable`.
    """
    try:
        return _write_attempt(order.pk, now=now)
    except IntegrityError:
        attempt = _live(order)
        if attempt is None:
            raise
        return attempt


@unit_of_work
def _write_attempt(order_id: int, *, now: datetime) -> CheckoutAttempt:
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.status != OrderStatus.PENDING:
        raise NotPayable(f"order {order.number} is {order.status}")
    done = (CheckoutAttempt.Status.WAITING, CheckoutAttempt.Status.COMPLETE)
    own = Order.objects.filter(pk=order_id)  # asked under the lock, in one query
    paid, complete, short = own.values_list(
        Exists(Payment.objects.filter(order=OuterRef("pk"))),
        Exists(CheckoutAttempt.objects.filter(order=OuterRef("pk"), status__in=done)),
        Exists(OrderLine.objects.filter(order=OuterRef("pk")).exclude(quantity=F("reserved"))),
    ).get()
    if paid or complete:
        raise NotPayable(f"order {order.number} has a completed payment page")
    if short:
        raise NotPayable(f"order {order.number} no longer holds its stock")
    return CheckoutAttempt.objects.create(
        order=order,
        idempotency_key=secrets.token_urlsafe(24),
        created_at=now,
        # whole seconds, as Stripe takes them
        expires_at=now.replace(microsecond=0) + timedelta(minutes=settings.CHECKOUT_MINUTES),
    )


def _open(attempt: CheckoutAttempt) -> str:
    """Create (or, with the same key, find again) the session of an attempt and store it; outside transactions."""
    session = client.create_session(attempt)
    CheckoutAttempt.objects.filter(pk=attempt.pk, status=CheckoutAttempt.Status.CREATED).update(
        session_id=session["id"], url=session["url"] or "", status=CheckoutAttempt.Status.OPEN, last_error=""
    )
    attempt = CheckoutAttempt.objects.select_related("order").get(pk=attempt.pk)
    if attempt.status != CheckoutAttempt.Status.OPEN or attempt.order.status != OrderStatus.PENDING:
        # cancelled, paid or closed while Stripe was asked: the fresh page must not stay payable
        CheckoutAttempt.objects.filter(pk=attempt.pk, session_id=None).update(session_id=session["id"])
        if session["status"] == "open" and attempt.status != CheckoutAttempt.Status.COMPLETE:
            try:
                client.expire_session(session["id"])
                _mark_expired(attempt)
            except StripeRefused:
                logger.info("Session %s was no longer open", session["id"])
        raise NotPayable(f"order {attempt.order.number} does not wait for a payment")
    return attempt.url


def _unpaid(attempt: CheckoutAttempt) -> QuerySet[CheckoutAttempt]:
    """Select the attempt as long as it may still be paid."""
    return CheckoutAttempt.objects.filter(pk=attempt.pk, status__in=payments.UNPAID)


def _mark_expired(attempt: CheckoutAttempt, *, last_error: str | None = None) -> None:
    fields: dict[str, Any] = {} if last_error is None else {"last_error": last_error[:300]}
    _unpaid(attempt).update(status=CheckoutAttempt.Status.EXPIRED, **fields)


def _give_up(attempt: CheckoutAttempt, refusal: StripeRefused, *, now: datetime) -> None:
    """Expire an attempt whose session Stripe refuses to make: it replays a successful answer before it looks at the
    parameters, so no page exists for the key.

    Raises `StripeUnavailable` in the one case in which there may be one: the key was used with other parameters (by
    an older version of this code), and the time of that page is not over.
    """
    if refusal.code == "idempotency_error" and attempt.expires_at > now:
        raise StripeUnavailable(str(refusal)) from refusal
    _mark_expired(attempt, last_error=str(refusal))


def close(attempt: CheckoutAttempt, *, now: datetime) -> Outcome:
    """Ask Stripe how an attempt stands, and make sure that nobody can pay it any more. No stock is released here.

    Outside transactions. Raises `StripeUnavailable`; then nothing is known and nothing changed.
    """
    if attempt.session_id is None:
        # Stripe's answer may have been lost: the same key tells, or makes a page that we close at once
        try:
            session = client.create_session(attempt)
        except StripeRefused as error:
            _give_up(attempt, error, now=now)
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
        raise StripeUnavailable(f"session {session['id']} can not be closed")
    if session["status"] == "expired":
        _mark_expired(attempt)
        return Outcome.EXPIRED
    return unit_of_work(completed)(attempt, session, occurred_at=now, now=now)


def completed(
    attempt: CheckoutAttempt, session: dict[str, Any], *, occurred_at: datetime, now: datetime
) -> Outcome:
    """Follow a session that is complete at Stripe, inside the caller's transaction: only a paid one is money.

    An unpaid one is a voucher. A retrieved session brings its intent and so tells how the voucher stands.
    """
    # the order is locked before anything else is written, here and everywhere: no two of us wait for each other
    Order.objects.select_for_update().get(pk=attempt.order_id)
    captured = payments.of_session(session, occurred_at=occurred_at)
    if captured is not None:
        _unpaid(attempt).update(status=CheckoutAttempt.Status.COMPLETE)
        payments.record(captured, now=now)
        return Outcome.PAID
    intent = session["payment_intent"]
    if intent is None or isinstance(intent, str):
        handed_out(attempt, None, now=now)
    elif intent["status"] in ("requires_payment_method", "canceled"):
        return Outcome.LAPSED if lapsed(attempt, now=now) else Outcome.EXPIRED
    else:
        handed_out(attempt, konbini.of_intent(intent), now=now)
    return Outcome.WAITING


def handed_out(attempt: CheckoutAttempt, voucher: Voucher | None, *, now: datetime) -> None:
    """Follow a customer who chose the convenience store, inside the caller's transaction: the order waits.

    Two events tell of it, in any order; one of them brings the voucher, which is written down and mailed once.
    """
    order = Order.objects.select_for_update().get(pk=attempt.order_id)
    _unpaid(attempt).update(status=CheckoutAttempt.Status.WAITING)
    if voucher is None:
        return
    fresh = CheckoutAttempt.objects.filter(
        pk=attempt.pk, status=CheckoutAttempt.Status.WAITING, voucher_expires_at=None
    ).update(voucher_url=voucher.url, voucher_expires_at=voucher.expires_at, voucher_codes=voucher.codes)
    if fresh and order.status == OrderStatus.PENDING:
        attempt.refresh_from_db()
        mail.queue(OutgoingMail.Kind.VOUCHER, order, f"attempt:{attempt.pk}", {"attempt": attempt}, now=now)


def lapsed(attempt: CheckoutAttempt, *, now: datetime) -> bool:
    """Follow a voucher that can not be paid any more, inside the caller's transaction: the order ends with it.

    Returns whether it did just now; a cancelled order has ended before.
    """
    order = Order.objects.select_for_update().get(pk=attempt.order_id)
    _mark_expired(attempt)
    ended = _end_unpaid(order, now=now)
    if ended:
        mail.queue(OutgoingMail.Kind.VOUCHER_LAPSED, order, f"order:{order.pk}", {}, now=now)
    return ended


def expired(attempt: CheckoutAttempt, *, now: datetime) -> None:
    """Follow a session that is known to be expired at Stripe, inside the caller's transaction.

    When its time is over the order ends with it; a page that we closed early leaves the order to who closed it.
    """
    order = Order.objects.select_for_update().get(pk=attempt.order_id)
    _mark_expired(attempt)
    if attempt.expires_at <= now:
        _end_unpaid(order, now=now)


def _end_unpaid(order: Order, *, now: datetime) -> bool:
    """End a locked order that nobody can pay any more and for which no money is on its way."""
    if order.status != OrderStatus.PENDING:
        return False
    if order.attempts.exclude(status=CheckoutAttempt.Status.EXPIRED).exists() or order.payments.exists():
        return False
    return orders.end(order, reason=Order.CancelReason.EXPIRED, now=now)


def expire_due(*, now: datetime, limit: int = 200) -> int:
    """Close the payment pages whose time is over and end their orders; returns how many orders ended.

    Time alone releases nothing: Stripe is asked for each, and for each voucher whose deadline is well over or that
    nobody told us of. When it does not answer, the rest waits for the next run. A page that it does not know is given
    up a day later, with a discrepancy.
    """
    ended = unanswered = 0
    attempts = CheckoutAttempt.objects.select_related("order").order_by("expires_at")
    due = attempts.filter(status__in=payments.LIVE, expires_at__lte=now)
    overdue = attempts.filter(
        Q(voucher_expires_at=None) | Q(voucher_expires_at__lte=now - GRACE),
        status=CheckoutAttempt.Status.WAITING,
    )
    for attempt in [*due[:limit], *overdue[:limit]]:
        try:
            outcome = close(attempt, now=now)
        except StripeUnavailable as error:
            logger.warning("Stripe does not answer, checkout attempt %s stays open: %s", attempt.pk, error)
            unanswered += 1
            if unanswered >= ENOUGH:
                break
            continue
        except StripeRefused as error:
            logger.error("Checkout attempt %s can not be closed: %s", attempt.pk, error)
            if error.code == "resource_missing" and _last_moment(attempt) + UNKNOWN <= now:
                ended += _write_off(attempt, error, now=now)
            continue
        except StockRefused as error:
            logger.error("Order %s can not let its goods go: %s", attempt.order.number, error)
            continue
        unanswered = 0
        ended += outcome is Outcome.LAPSED
        if outcome is Outcome.EXPIRED:
            ended += _end_locked(attempt.order_id, now=now)
    # orders without a live page: closed early, or never begun
    recent = CheckoutAttempt.objects.filter(order=OuterRef("pk")).exclude(
        status=CheckoutAttempt.Status.EXPIRED, expires_at__lte=now
    )
    stranded = Order.objects.filter(
        ~Exists(recent),
        status=OrderStatus.PENDING,
        placed_at__lte=now - timedelta(minutes=settings.CHECKOUT_MINUTES),
    )
    for order_id in stranded.order_by("placed_at").values_list("pk", flat=True)[:limit]:
        ended += _end_locked(order_id, now=now)
    return ended


def _last_moment(attempt: CheckoutAttempt) -> datetime:
    """Say until when an attempt may have been paid, whatever Stripe knows of it."""
    if attempt.voucher_expires_at is not None:
        return attempt.voucher_expires_at
    waits = attempt.status == CheckoutAttempt.Status.WAITING
    return attempt.expires_at + timedelta(days=settings.KONBINI_DAYS + 1 if waits else 0)


@unit_of_work
def _write_off(attempt: CheckoutAttempt, refusal: StripeRefused, *, now: datetime) -> bool:
    """End an attempt that Stripe does not know (another account's, another mode's) and that nobody can pay any more.

    The goods can be sold again. Whether it was paid where it was made only a person can see: the discrepancy asks.
    Returns whether the order ended with it.
    """
    order = Order.objects.select_for_update().get(pk=attempt.order_id)
    _mark_expired(attempt, last_error=str(refusal))
    note(
        Discrepancy.Kind.MISSING_AT_STRIPE,
        attempt.session_id or f"attempt {attempt.pk}",
        day=business_day(now),
        detail=f"{order.number}: its payment page is not known at Stripe (another account, another key?); {refusal}",
        now=now,
    )
    return _end_unpaid(order, now=now)


def _end_locked(order_id: int, *, now: datetime) -> bool:
    """End an order that nobody can pay any more; one whose stock does not add up must not hold up the others."""
    try:
        return _lock_and_end(order_id, now=now)
    except StockRefused as error:
        logger.error("Order %d can not let its goods go: %s", order_id, error)
        return False


@unit_of_work
def _lock_and_end(order_id: int, *, now: datetime) -> bool:
    return _end_unpaid(Order.objects.select_for_update().get(pk=order_id), now=now)
