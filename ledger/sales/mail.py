"""Mail to customers: rendered and queued in the transaction of its cause, sent by a job after the commit."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr
from smtplib import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPDataError,
    SMTPException,
    SMTPHeloError,
    SMTPRecipientsRefused,
    SMTPServerDisconnected,
)
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import IntegrityError, transaction
from django.db.models import F
from django.template.loader import render_to_string
from django.utils import translation

from kikaku.transactions import forbid_transaction, require_transaction, unit_of_work
from ledger.models import Order, OrderEvent, OutgoingMail
from ledger.models.orders import OrderStatus
from ledger.sales import history
from ledger.sales.order_pages import absolute, order_pages
from ledger.stripe.methods import VOUCHER_METHODS

logger = logging.getLogger(__name__)

MAX_SEND_ATTEMPTS = 8
# longer than a server takes to answer; then another worker may send the mail
SEND_LEASE = timedelta(minutes=10)
# doubled after each failure: the last attempt is two hours after the first
FIRST_RETRY_DELAY = timedelta(minutes=1)
MAX_CONSECUTIVE_CONNECTION_FAILURES = 3  # then the run ends; each may take `EMAIL_TIMEOUT`
NO_CONNECTION = (SMTPConnectError, SMTPHeloError, SMTPAuthenticationError, SMTPServerDisconnected)


@dataclass(frozen=True, kw_only=True)
class RenderedMail:
    """The content of a mail, in the language of its order."""

    subject: str
    text: str
    html: str


def render(kind: OutgoingMail.Kind, order: Order, context: Mapping[str, Any]) -> RenderedMail:
    """Return the content of a mail about an order, in the order's language.

    The templates `ledger/mail/KIND.*` get `context`, the order, its lines, and the addresses of its page and
    the shop.
    """
    with translation.override(order.language):
        values = {
            "order": order,
            "lines": list(order.lines.order_by("position")),
            "order_url": absolute(order_pages().order(order)),
            **context,
        }
    return _render(kind, order.language, values)


def _render(kind: OutgoingMail.Kind, language: str, context: Mapping[str, Any]) -> RenderedMail:
    template = f"ledger/mail/{kind.value}"
    with translation.override(language):
        values = {"shop_url": absolute(order_pages().home()), "language": language, **context}
        return RenderedMail(
            subject=" ".join(render_to_string(f"{template}.subject.txt", values).split()),
            text=render_to_string(f"{template}.txt", values).strip() + "\n",
            html=render_to_string(f"{template}.html", values),
        )


def queue(
    kind: OutgoingMail.Kind, order: Order, source: str, context: Mapping[str, Any], *, now: datetime
) -> OutgoingMail | None:
    """Store a mail about an order, once for each kind and source, as part of the caller's transaction.

    `source` names the cause (order:7, refund:9); `context` is for the templates, see `render`. Returns None
    for one about an unpaid order whose address has got `UNSOLICITED_MAILS_A_DAY` already.
    """
    require_transaction()
    existing = OutgoingMail.objects.filter(kind=kind, source=source).first()
    if existing is not None:
        return existing
    may_be_unpaid = order.status in (OrderStatus.PENDING, OrderStatus.CANCELLED)
    if may_be_unpaid and _has_had_enough(order.email, now=now) and not order.payments.exists():
        fact, mail_kind = f"{kind.value} {source}", str(kind)
        history.record(
            order,
            OrderEvent.Kind.MAIL_WITHHELD,
            actor=history.SYSTEM,
            now=now,
            fact=fact,
            mail_kind=mail_kind,
        )
        return None
    fields = {"order": order, "to": order.email, "language": order.language}
    return _store(kind, source, render(kind, order, context), fields, now=now)


def queue_without_order(
    kind: OutgoingMail.Kind,
    to: str,
    language: str,
    source: str,
    context: Mapping[str, Any],
    *,
    unsolicited: bool,
    now: datetime,
) -> OutgoingMail | None:
    """Store a mail that is about no order.

    If it is `unsolicited` (anybody may have typed the address) it is limited as `queue` limits one about an
    unpaid order. A mail to the merchant is not.
    """
    require_transaction()
    if unsolicited and _has_had_enough(to, now=now):
        return None
    return _store(kind, source, _render(kind, language, context), {"to": to, "language": language}, now=now)


def _has_had_enough(to: str, *, now: datetime) -> bool:
    """Return whether an address got as many mails within a day as one may that has paid for nothing."""
    recent = OutgoingMail.objects.unsolicited().filter(created_at__gt=now - timedelta(days=1))
    return recent.filter(to__iexact=to).count() >= settings.UNSOLICITED_MAILS_A_DAY


def _store(
    kind: OutgoingMail.Kind, source: str, rendered: RenderedMail, fields: Mapping[str, Any], *, now: datetime
) -> OutgoingMail:
    try:
        with transaction.atomic():
            return OutgoingMail.objects.create(
                kind=kind,
                source=source,
                **fields,
                subject=rendered.subject[:200],
                text=rendered.text,
                html=rendered.html,
                next_attempt_at=now,
                created_at=now,
            )
    except IntegrityError:  # another transaction has stored it at this moment
        return OutgoingMail.objects.get(kind=kind, source=source)


def send_due(*, now: datetime, limit: int = 100) -> int:
    """Send the mails that are due and return how many were sent; a lease keeps two workers off the same mail.

    After a failure a mail is retried with a growing delay, `MAX_SEND_ATTEMPTS` times in all; one that the
    server refuses for good is given up at once. One that is no longer true is deleted instead. A run ends
    after `MAX_CONSECUTIVE_CONNECTION_FAILURES`, so that a hanging server holds no other job back for long.
    """
    forbid_transaction()
    due = list(OutgoingMail.objects.due(now).order_by("next_attempt_at", "pk")[:limit])
    sent = failures = 0
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
            if not claimed:
                continue
            if _is_obsolete(mail):
                _drop(mail, now=now)
                continue
            error = _send(mail, connection)
            if error is None:
                _store_sent(mail, now=now)
                sent += 1
            else:
                connection.close()
                _note_failure(mail, mail.attempts + 1, error, now=now)
            failures = failures + 1 if error is not None and is_connection_error(error) else 0
            if failures >= MAX_CONSECUTIVE_CONNECTION_FAILURES:
                logger.warning("The mail server cannot be reached; the next run continues")
                break
    finally:
        connection.close()
    return sent


def _is_obsolete(mail: OutgoingMail) -> bool:
    """Return whether a mail asks for the payment of an order that no longer waits for one."""
    asks_to_pay = any(mail.kind == method.voucher_mail for method in VOUCHER_METHODS.values())
    return (
        asks_to_pay
        and mail.order_id is not None
        and not Order.objects.pending().filter(pk=mail.order_id).exists()
    )


def message_id(mail: OutgoingMail) -> str:
    """Return the Message-ID of a mail: the same at every attempt, so that a second copy is recognised."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    seed = f"{mail.pk} {mail.kind} {mail.source} {mail.created_at.timestamp()}"
    return f"<{mail.pk}.{hashlib.sha256(seed.encode()).hexdigest()[:24]}@{domain}>"


def _send(mail: OutgoingMail, connection: Any) -> Exception | None:
    """Send a claimed mail; return the error if it was not sent."""
    message = EmailMultiAlternatives(
        subject=mail.subject,
        body=mail.text,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[mail.to],
        connection=connection,
        headers={"Auto-Submitted": "auto-generated", "Message-ID": message_id(mail)},
    )
    message.attach_alternative(mail.html, "text/html")
    try:
        message.send()
    except Exception as error:  # of the mail server or the network, of whatever type
        return error
    return None


def is_connection_error(error: Exception) -> bool:
    """Return whether an error says that the server cannot be reached, or takes no mail of ours at all."""
    if isinstance(error, SMTPException):
        return isinstance(error, NO_CONNECTION)
    return isinstance(error, OSError)


def is_permanent(error: Exception) -> bool:
    """Return whether the server refused this mail for good (a code from 500), not us or the moment.

    A refused login or sender concerns every mail and is for a person to mend: those are retried.
    """
    if isinstance(error, SMTPRecipientsRefused):
        codes = [code for code, _text in error.recipients.values()]
    elif isinstance(error, SMTPDataError):
        codes = [error.smtp_code]
    else:
        return False
    return bool(codes) and all(code >= 500 for code in codes)


def _note_failure(mail: OutgoingMail, attempt: int, error: Exception, *, now: datetime) -> None:
    """Store and log that an attempt failed."""
    gives_up = attempt >= MAX_SEND_ATTEMPTS or is_permanent(error)
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
    if mail.order_id is not None:
        history.store(mail_event(kind, mail, mail.order_id, actor=actor, now=now))


def mail_event(
    kind: OrderEvent.Kind, mail: OutgoingMail, order_id: int, *, actor: str, now: datetime
) -> OrderEvent:
    """Return the event of an act on a mail, in its order's history; the same act may happen again later."""
    fact = history.repeatable(f"mail:{mail.pk}", now)
    mail_kind = str(mail.kind)
    return history.build(order_id, kind, actor=actor, now=now, fact=fact, mail=mail.pk, mail_kind=mail_kind)
