"""Mail to customers: rendered and written with the fact that it tells of, sent by a job after the commit."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db.models import F
from django.template.loader import render_to_string
from django.utils import translation

from kikaku.transactions import unit_of_work
from ledger.models import Order, OrderEvent, OutgoingMail
from ledger.models.orders import OrderStatus
from ledger.sales import history
from ledger.sales.order_pages import absolute, order_pages
from ledger.stripe.methods import VOUCHER_METHODS

logger = logging.getLogger(__name__)

TRIES = 8
# longer than any server takes to answer; a crashed worker's mail is taken up after it
LEASE = timedelta(minutes=10)
# doubled with each failure: the eighth try comes about two hours after the first
FIRST_DELAY = timedelta(minutes=1)


def queue(
    kind: OutgoingMail.Kind, order: Order, source: str, context: Mapping[str, Any], *, now: datetime
) -> OutgoingMail:
    """Render a mail in the order's language and write its row; the same kind and source are written once.

    Call it in the transaction of the fact. `context` goes to the templates beside order, lines and links.
    """
    existing = OutgoingMail.objects.filter(kind=kind, source=source).first()
    if existing is not None:
        return existing
    with translation.override(order.language):
        values = {
            "order": order,
            "lines": list(order.lines.order_by("position")),
            "order_url": absolute(order_pages().order(order)),
            "shop_url": absolute(order_pages().home()),
            "language": order.language,
            **context,
        }
        base = f"ledger/mail/{kind.value}"
        subject = " ".join(render_to_string(f"{base}.subject.txt", values).split())
        text = render_to_string(f"{base}.txt", values).strip() + "\n"
        html = render_to_string(f"{base}.html", values)
    mail, _created = OutgoingMail.objects.get_or_create(
        kind=kind,
        source=source,
        defaults={
            "order": order,
            "to": order.email,
            "language": order.language,
            "subject": subject[:200],
            "text": text,
            "html": html,
            "next_attempt_at": now,
            "created_at": now,
        },
    )
    return mail


def send_due(*, now: datetime, limit: int = 100) -> int:
    """Send what is due; returns how many were sent. Two workers never send the same mail at the same time.

    A failure is tried again after a growing delay and given up after eight tries. A mail that became wrong while it
    waited is dropped.
    """
    due = list(
        OutgoingMail.objects.filter(status=OutgoingMail.Status.QUEUED, next_attempt_at__lte=now).order_by(
            "next_attempt_at", "pk"
        )[:limit]
    )
    if not due:
        return 0
    sent = 0
    connection = get_connection()
    try:
        for mail in due:
            if mail.attempts >= TRIES:  # taken up that often, and never could we write down what became of it
                _store_failure(mail, gives_up=True, now=now)
                logger.error("Mail %d is given up after %d tries without an end", mail.pk, mail.attempts)
                continue
            claimed = OutgoingMail.objects.filter(
                pk=mail.pk, status=OutgoingMail.Status.QUEUED, next_attempt_at=mail.next_attempt_at
            ).update(next_attempt_at=now + LEASE, attempts=F("attempts") + 1)
            if claimed and _is_overtaken(mail):
                _drop(mail, now=now)
            elif claimed:
                sent += _send(mail, mail.attempts + 1, connection, now=now)
    finally:
        connection.close()
    return sent


def _is_overtaken(mail: OutgoingMail) -> bool:
    """Return whether a mail asks for the payment of an order that no longer waits for one."""
    asks_to_pay = any(mail.kind == method.voucher_mail for method in VOUCHER_METHODS.values())
    return asks_to_pay and not Order.objects.filter(pk=mail.order_id, status=OrderStatus.PENDING).exists()


def _send(mail: OutgoingMail, attempt: int, connection: Any, *, now: datetime) -> bool:
    """Send one claimed mail and write down how it went."""
    message = EmailMultiAlternatives(
        subject=mail.subject,
        body=mail.text,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[mail.to],
        connection=connection,
        headers={"Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(mail.html, "text/html")
    try:
        message.send()
    except Exception as error:  # whatever a mail server or the network says: the mail waits for its next try
        connection.close()
        gives_up = attempt >= TRIES
        _store_failure(
            mail,
            gives_up=gives_up,
            now=now,
            next_attempt_at=now + FIRST_DELAY * 2 ** (attempt - 1),
            last_error=f"{type(error).__name__}: {error}"[:300],
        )
        logger.log(
            logging.ERROR if gives_up else logging.WARNING,
            "Mail %d could not be sent (try %d of %d): %s",
            mail.pk,
            attempt,
            TRIES,
            type(error).__name__,
        )
        return False
    _store_sent(mail, now=now)
    return True


@unit_of_work
def _store_sent(mail: OutgoingMail, *, now: datetime) -> None:
    OutgoingMail.objects.filter(pk=mail.pk).update(
        status=OutgoingMail.Status.SENT, sent_at=now, last_error=""
    )
    _record(OrderEvent.Kind.MAIL_SENT, mail, actor=history.SYSTEM, now=now)


@unit_of_work
def _store_failure(mail: OutgoingMail, *, gives_up: bool, now: datetime, **fields: Any) -> None:
    """Store that a mail was not sent, unless it was sent meanwhile."""
    if gives_up:
        fields["status"] = OutgoingMail.Status.FAILED
    queued = OutgoingMail.objects.filter(pk=mail.pk, status=OutgoingMail.Status.QUEUED)
    if queued.update(**fields) and gives_up:
        _record(OrderEvent.Kind.MAIL_FAILED, mail, actor=history.SYSTEM, now=now)


@unit_of_work
def _drop(mail: OutgoingMail, *, now: datetime) -> None:
    """Delete a mail that is no longer true."""
    _record(OrderEvent.Kind.MAIL_DROPPED, mail, actor=history.SYSTEM, now=now)
    mail.delete()


@unit_of_work
def send_again(mail: OutgoingMail, *, actor: str, now: datetime) -> bool:
    """Queue a mail that was sent or given up once more; False when it is queued already."""
    queued = (
        OutgoingMail.objects.filter(pk=mail.pk)
        .exclude(status=OutgoingMail.Status.QUEUED)
        .update(status=OutgoingMail.Status.QUEUED, attempts=0, next_attempt_at=now, last_error="")
    )
    if queued:
        _record(OrderEvent.Kind.MAIL_QUEUED_AGAIN, mail, actor=actor, now=now)
    return bool(queued)


def _record(kind: OrderEvent.Kind, mail: OutgoingMail, *, actor: str, now: datetime) -> None:
    """Record in the order's history what became of a mail; it may be sent more than once."""
    fact = history.repeatable(f"mail:{mail.pk}", now)
    history.record(
        mail.order_id, kind, actor=actor, now=now, fact=fact, mail=mail.pk, mail_kind=str(mail.kind)
    )
