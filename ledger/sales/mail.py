"""Mail to customers: rendered and queued in the transaction of its cause, sent by a job after the commit."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db.models import F
from django.template.loader import render_to_string
from django.utils import translation

from kikaku.transactions import forbid_transaction, require_transaction, unit_of_work
from ledger.models import Order, OrderEvent, OutgoingMail
from ledger.sales import history
from ledger.sales.order_pages import absolute, order_pages
from ledger.stripe.methods import VOUCHER_METHODS

logger = logging.getLogger(__name__)

MAX_SEND_ATTEMPTS = 8
# longer than a server takes to answer; then another worker may send the mail
SEND_LEASE = timedelta(minutes=10)
# doubled after each failure: the last attempt is two hours after the first
FIRST_RETRY_DELAY = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class RenderedMail:
    """The content of a mail, in the language of its order."""

    subject: str
    text: str
    html: str


def render(kind: OutgoingMail.Kind, order: Order, context: Mapping[str, Any]) -> RenderedMail:
    """Return a mail's content in the order's language.

    The templates `ledger/mail/KIND.*` get `context`, the order, its lines, and the addresses of its page and
    the shop.
    """
    template = f"ledger/mail/{kind.value}"
    with translation.override(order.language):
        values = {
            "order": order,
            "lines": list(order.lines.order_by("position")),
            "order_url": absolute(order_pages().order(order)),
            "shop_url": absolute(order_pages().home()),
            "language": order.language,
            **context,
        }
        return RenderedMail(
            subject=" ".join(render_to_string(f"{template}.subject.txt", values).split()),
            text=render_to_string(f"{template}.txt", values).strip() + "\n",
            html=render_to_string(f"{template}.html", values),
        )


def queue(
    kind: OutgoingMail.Kind, order: Order, source: str, context: Mapping[str, Any], *, now: datetime
) -> OutgoingMail:
    """Store a mail to the customer, once for each kind and source, as part of the caller's transaction.

    `source` names the cause (order:7, refund:9); `context` is for the templates, see `render`.
    """
    require_transaction()
    existing = OutgoingMail.objects.filter(kind=kind, source=source).first()
    if existing is not None:
        return existing
    rendered = render(kind, order, context)
    mail, _created = OutgoingMail.objects.get_or_create(
        kind=kind,
        source=source,
        defaults={
            "order": order,
            "to": order.email,
            "language": order.language,
            "subject": rendered.subject[:200],
            "text": rendered.text,
            "html": rendered.html,
            "next_attempt_at": now,
            "created_at": now,
        },
    )
    return mail


def send_due(*, now: datetime, limit: int = 100) -> int:
    """Send the mails that are due and return how many were sent; a lease keeps two workers off the same mail.

    After a failure a mail is retried with a growing delay, `MAX_SEND_ATTEMPTS` times in all. One that is no
    longer true is deleted instead.
    """
    forbid_transaction()
    due = list(OutgoingMail.objects.due(now).order_by("next_attempt_at", "pk")[:limit])
    if not due:
        return 0
    sent = 0
    connection = get_connection()
    try:
        for mail in due:
            if mail.attempts >= MAX_SEND_ATTEMPTS:  # the results of its attempts could not be stored
                _store_failure(mail, gives_up=True, now=now)
                logger.error(
                    "Mail %d is given up: the result of %d attempts is unknown", mail.pk, mail.attempts
                )
                continue
            claimed = OutgoingMail.objects.filter(
                pk=mail.pk, status=OutgoingMail.Status.QUEUED, next_attempt_at=mail.next_attempt_at
            ).update(next_attempt_at=now + SEND_LEASE, attempts=F("attempts") + 1)
            if claimed and _is_obsolete(mail):
                _drop(mail, now=now)
            elif claimed:
                sent += _send(mail, mail.attempts + 1, connection, now=now)
    finally:
        connection.close()
    return sent


def _is_obsolete(mail: OutgoingMail) -> bool:
    """Return whether a mail asks for the payment of an order that no longer waits for one."""
    asks_to_pay = any(mail.kind == method.voucher_mail for method in VOUCHER_METHODS.values())
    return asks_to_pay and not Order.objects.pending().filter(pk=mail.order_id).exists()


def _send(mail: OutgoingMail, attempt: int, connection: Any, *, now: datetime) -> bool:
    """Send a claimed mail and store the result; return whether it was sent."""
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
    except Exception as error:  # of the mail server or the network, of whatever type: the mail is retried
        connection.close()
        gives_up = attempt >= MAX_SEND_ATTEMPTS
        _store_failure(
            mail,
            gives_up=gives_up,
            now=now,
            next_attempt_at=now + FIRST_RETRY_DELAY * 2 ** (attempt - 1),
            last_error=f"{type(error).__name__}: {error}"[:300],
        )
        logger.log(
            logging.ERROR if gives_up else logging.WARNING,
            "Mail %d could not be sent (attempt %d of %d): %s",
            mail.pk,
            attempt,
            MAX_SEND_ATTEMPTS,
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
    """Store that a mail was not sent, unless another worker has sent it."""
    if gives_up:
        fields["status"] = OutgoingMail.Status.FAILED
    queued = OutgoingMail.objects.queued().filter(pk=mail.pk)
    if queued.update(**fields) and gives_up:
        _record(OrderEvent.Kind.MAIL_FAILED, mail, actor=history.SYSTEM, now=now)


@unit_of_work
def _drop(mail: OutgoingMail, *, now: datetime) -> None:
    """Delete a mail that is no longer true."""
    _record(OrderEvent.Kind.MAIL_DROPPED, mail, actor=history.SYSTEM, now=now)
    mail.delete()


@unit_of_work
def queue_again(mail: OutgoingMail, *, actor: str, now: datetime) -> bool:
    """Queue a mail that was sent or given up once more; return False when it is queued already."""
    queued = (
        OutgoingMail.objects.filter(pk=mail.pk)
        .exclude(status=OutgoingMail.Status.QUEUED)
        .update(status=OutgoingMail.Status.QUEUED, attempts=0, next_attempt_at=now, last_error="")
    )
    if queued:
        _record(OrderEvent.Kind.MAIL_QUEUED_AGAIN, mail, actor=actor, now=now)
    return bool(queued)


def _record(kind: OrderEvent.Kind, mail: OutgoingMail, *, actor: str, now: datetime) -> None:
    history.store(mail_event(kind, mail, actor=actor, now=now))


def mail_event(kind: OrderEvent.Kind, mail: OutgoingMail, *, actor: str, now: datetime) -> OrderEvent:
    """Return the event of an act on a mail, in its order's history; the same act may happen again later."""
    fact = history.repeatable(f"mail:{mail.pk}", now)
    mail_kind = str(mail.kind)
    return history.build(
        mail.order_id, kind, actor=actor, now=now, fact=fact, mail=mail.pk, mail_kind=mail_kind
    )
