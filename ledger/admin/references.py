"""Links from what a discrepancy or an entry names to its order, payment, refund, entries and to Stripe."""

import re
from collections.abc import Iterator
from urllib.parse import quote

from django.conf import settings
from django.db.models import Model, Q
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from kikaku.admin.columns import link
from ledger.books import posting
from ledger.models import (
    BalanceTransaction,
    CheckoutAttempt,
    JournalEntry,
    KeptMoney,
    Order,
    Payment,
    Refund,
    Shipment,
)
from ledger.sales.refund_failure import refund_named

STRIPE_ID = re.compile(r"(txn|ch|py|pi|re|pyr|cs|evt|po)_[A-Za-z0-9_]+")
MAX_ENTRIES = 10


def row_link(row: Model, text: str) -> SafeString:
    """Return a link to the admin's page of a row."""
    return link(reverse(f"admin:ledger_{row._meta.model_name}_change", args=[row.pk]), text)


def stripe_link(object_id: str) -> SafeString:
    """Return a link to Stripe's dashboard, which finds an object by its id."""
    mode = "" if settings.PRODUCTION else "test/"
    address = f"https://dashboard.stripe.com/{mode}search?query={quote(object_id)}"
    return link(address, "Stripe", new_tab=True)


def links_of(object_id: str) -> SafeString | str:
    """Return links to everything that belongs to an object: by id at Stripe, order number or refund."""
    return format_html_join("", "<div>{}</div>", ((each,) for each in _links(object_id))) or "–"


def _links(object_id: str) -> Iterator[SafeString]:
    txn = BalanceTransaction.objects.filter(pk=object_id).first()
    source = txn.source if txn is not None else object_id
    refund = refund_named(source)
    payments = Payment.objects.filter(Q(charge=source) | Q(payment_intent=source)).select_related("order")
    payment = payments.first() if refund is None else refund.payment
    attempt = CheckoutAttempt.objects.filter(session_id=source).select_related("order").first()
    order = (
        payment.order
        if payment is not None
        else attempt.order
        if attempt is not None
        else Order.objects.filter(number=source).first()
    )
    if order is not None:
        yield row_link(order, f"{_('order')} {order.number}")
    if payment is not None:
        yield row_link(payment, f"{_('payment')} {payment.payment_intent}")
    if refund is not None:
        yield row_link(refund, f"{_('refund')} {refund}")
    if txn is not None:
        yield row_link(txn, f"{_('balance transaction')} {txn.pk}")
    names = {object_id, source} | {found.pk for found in BalanceTransaction.objects.filter(source=source)}
    entries = JournalEntry.objects.filter(
        Q(source_type=posting.BALANCE_TRANSACTION_SOURCE, source_id__in=sorted(names)[:50])
        | Q(source_type=posting.REFUND_SOURCE, source_id=str(refund.pk) if refund else "-")
    )
    for entry in entries.order_by("pk")[:MAX_ENTRIES]:
        yield row_link(entry, f"{_('journal entry')} {entry}")
    if STRIPE_ID.fullmatch(object_id):
        yield stripe_link(object_id)


def source_link(entry: JournalEntry) -> SafeString | str:
    """Return the source of an entry, linked to its row where it has one."""
    row: Model | None = None
    if entry.source_type == posting.BALANCE_TRANSACTION_SOURCE:
        row = BalanceTransaction.objects.filter(pk=entry.source_id).first()
    elif entry.source_id.isdecimal():
        model = {
            posting.REFUND_SOURCE: Refund,
            posting.KEPT_MONEY_SOURCE: KeptMoney,
            posting.SHIPMENT_SOURCE: Shipment,
            posting.ENTRY_SOURCE: JournalEntry,
        }.get(entry.source_type)
        row = model._default_manager.filter(pk=int(entry.source_id)).first() if model else None
    if row is None:
        return entry.source_id
    shown = row_link(row, row.voucher if isinstance(row, JournalEntry) else entry.source_id)
    is_of_stripe = isinstance(row, BalanceTransaction)
    return format_html("{} {}", shown, stripe_link(entry.source_id)) if is_of_stripe else shown
