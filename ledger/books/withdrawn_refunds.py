"""Refunds that were cancelled before any money moved: what was posted for them is taken back.

The refund's first entry is reversed, and its lines count no more (`Refund.withdrawn`). Two things may follow:
the tax of later refunds built on it, and what was shipped in between was sold for more than was recognised.
"""

from datetime import datetime

from kikaku.transactions import require_transaction
from ledger.books import journal, posting
from ledger.books.order_buckets import posted_tax_buckets_of, tax_buckets
from ledger.books.posting import Subject
from ledger.books.recognition import sold_values
from ledger.books.refunds_payable import unpaid_refund_entries
from ledger.books.tax_buckets import recognise, tax_to_correct
from ledger.books.tax_rules import load_tax_rules
from ledger.models import Refund


def withdraw(refund: Refund, *, now: datetime) -> None:
    """Take back what was posted for a refund, inside the transaction that marks it as cancelled.

    Its order is locked. Nothing is posted for a refund without an entry.
    """
    require_transaction()
    Refund.objects.filter(pk=refund.pk).update(withdrawn=True)
    refund.withdrawn = True
    entry = unpaid_refund_entries([refund]).first()
    if entry is not None:
        journal.reverse(entry, occurred_at=now, now=now)
        _correct_tax_of_later_refunds(refund, now=now)
    _recognise_what_was_shipped(refund, now=now)


def _correct_tax_of_later_refunds(refund: Refund, *, now: datetime) -> None:
    """Post the yen by which the tax of other refunds changes, since it is rounded over all of them."""
    buckets = posted_tax_buckets_of([refund.order])[refund.order_id]
    differences = [
        (tax_class, rate, difference)
        for tax_class, bucket in buckets.items()
        for rate, difference in tax_to_correct(bucket)
    ]
    draft = posting.tax_correction(
        str(refund.pk),
        occurred_at=now,
        subject=Subject.of(refund.order),
        differences=differences,
    )
    if draft.lines:
        journal.post(draft, now=now)


def _recognise_what_was_shipped(refund: Refund, *, now: datetime) -> None:
    """Recognise what pieces lack that were sold and shipped while the refund had reserved their money.

    Each was sold at the rate of the day of its parcel; the entry is dated on the day of the last one. What is
    left then is the money of pieces that are still to be shipped, or a person decides about it.
    """
    order = refund.order
    last = order.shipments.filter(gift="").order_by("shipped_at", "pk").last()
    if last is None:
        return
    rules = load_tax_rules()
    sold = sold_values(order, rules)
    sales = []
    for tax_class, bucket in tax_buckets(order).items():
        missing = max(0, sold[tax_class].total() - bucket.recognised)
        recognised = {portion.rate: portion.gross for portion in bucket.sold}
        after = bucket
        for rate, value in sold[tax_class].items():
            goods = min(missing, max(0, value - recognised.get(rate, 0)))
            after, sale = recognise(after, goods=goods, shipping=0, is_last=False, rate=rate)
            sales.append(sale)
            missing -= goods
    draft = posting.shipment(
        str(last.pk),
        occurred_at=last.shipped_at,
        subject=Subject.of(order),
        sales=sales,
        withdrawn_refund=str(refund.pk),
    )
    if draft.lines:
        journal.post(draft, now=now)
