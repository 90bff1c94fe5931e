"""Refunds in the journal: where their money comes from, and what is owed (2120) while it has not moved."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import QuerySet

from kikaku.days import business_day
from kikaku.transactions import require_transaction
from ledger.books import journal, posting
from ledger.books.order_buckets import posted_tax_buckets_of, unallocated_money
from ledger.books.posting import RefundPart, Subject
from ledger.books.returned_pieces import amounts_by_rate
from ledger.books.tax_buckets import ReturnedSale, refund_recognised
from ledger.books.tax_rules import TaxRules, load_tax_rules
from ledger.models import BalanceTransaction, JournalEntry, Order, Refund, RefundLine


def post_waiting_refund(refund: Refund, *, since: datetime, now: datetime) -> JournalEntry | None:
    """Post a refund that waits for the customer's bank account: it is owed (2120) until the money moves.

    It is owed since the refund was created at Stripe (`since`), because its money may move before we hear of
    it. Does nothing when it was posted before. Inside the transaction that marks the refund as waiting.
    """
    require_transaction()
    return _post_unpaid_refund(refund, posting.WAITING_PURPOSE, occurred_at=since, now=now)


def post_failed_refund(refund: Refund, *, now: datetime) -> JournalEntry | None:
    """Post a refund that failed or was cancelled before any money moved: its amount is owed (2120).

    A refund that waited is owed already. Does nothing when Stripe's balance had moved for it: then the
    failure has a balance transaction. Inside the transaction that marks the refund as failed.
    """
    require_transaction()
    return _post_unpaid_refund(refund, posting.FAILED_PURPOSE, occurred_at=now, now=now)


def has_moved(refund: Refund) -> bool:
    """Return whether Stripe's balance is known to have moved for a refund."""
    return bool(refund.stripe_id) and BalanceTransaction.objects.filter(source=refund.stripe_id).exists()


def _post_unpaid_refund(
    refund: Refund, purpose: str, *, occurred_at: datetime, now: datetime
) -> JournalEntry | None:
    if has_moved(refund):
        return None
    posted = unpaid_refund_entries([refund]).first()
    if posted is not None:
        return posted
    rules = load_tax_rules()
    draft = posting.unpaid_refund(
        str(refund.pk),
        purpose,
        occurred_at=occurred_at,
        subject=Subject.of(refund.order),
        parts=refund_parts([(refund, occurred_at)], rules)[refund.pk],
    )
    return journal.post(draft, now=now, rules=rules) if draft.lines else None


def settle_overdrawn(failed: Refund, *, now: datetime) -> None:
    """Settle what the failed refund owes with what other refunds took beyond the order's money.

    A refund in Stripe's dashboard took the money reserved for our refund. Stripe refused ours, so its amount
    is owed; the other one could only be taken from 2130. The entry moves its amount to 2120. Inside the
    transaction that marks `failed`, with the order locked.
    """
    require_transaction()
    unallocated = unallocated_money(failed.order)
    amount = min(unallocated.overdrawn, unallocated.owed)
    if amount:
        draft = posting.settlement(
            str(failed.pk),
            amount=amount,
            occurred_at=now,
            subject=Subject.of(failed.order),
        )
        journal.post(draft, now=now)


def unpaid_refund_entries(refunds: Iterable[Refund]) -> QuerySet[JournalEntry]:
    """Return the entries of refunds that were posted before, or without, any money moving."""
    return JournalEntry.objects.filter(
        source_type=posting.REFUND_SOURCE,
        source_id__in=[str(refund.pk) for refund in refunds],
        purpose__in=posting.UNPAID_REFUND_PURPOSES,
    )


def refund_parts(made: Sequence[tuple[Refund, datetime]], rules: TaxRules) -> dict[int, list[RefundPart]]:
    """Return the parts of refunds with their tax by refund id; each tax builds on the refunds before it.

    `made` are refunds and when each happened: an exempt merchant reverses no tax. Locks the orders, so that
    no concurrent refund computes their tax. Seven queries, however many refunds; three more for orders that
    were sold at several rates.
    """
    if not made:
        return {}
    refunds = [refund for refund, _at in made]
    orders = Order.objects.select_for_update().filter(pk__in={refund.order_id for refund in refunds})
    locked = {order.pk: order for order in orders.order_by("pk")}
    posted_as_owed = set(unpaid_refund_entries(refunds).values_list("source_id", flat=True))
    lines: defaultdict[int, defaultdict[str, list[RefundLine]]] = defaultdict(lambda: defaultdict(list))
    taxed_orders = set()
    for line in RefundLine.objects.filter(refund__in=refunds).select_related("refund").order_by("pk"):
        lines[line.refund_id][line.tax_class].append(line)
        if line.recognised and line.tax_class:
            taxed_orders.add(line.refund.order_id)
    buckets = posted_tax_buckets_of([locked[pk] for pk in sorted(taxed_orders)]) if taxed_orders else {}
    at_several_rates = [
        line
        for of_refund in lines.values()
        for tax_class, of_class in of_refund.items()
        for line in of_class
        if line.recognised and tax_class and len(buckets[line.refund.order_id][tax_class].sold) > 1
    ]
    wanted = amounts_by_rate(at_several_rates) if at_several_rates else {}
    parts: dict[int, list[RefundPart]] = {}
    for refund, at in made:
        if str(refund.pk) in posted_as_owed:
            parts[refund.pk] = [RefundPart("", payable=refund.amount)]
            continue
        parts[refund.pk] = []
        for tax_class, of_class in lines[refund.pk].items():
            recognised = sum(line.recognised for line in of_class)
            returned: list[ReturnedSale] = []
            if recognised and tax_class:
                of_order = buckets[refund.order_id]
                rates: Counter[int | None] = Counter()
                for line in of_class:
                    rates.update(wanted.get(line.pk, {}))
                of_order[tax_class], returned = refund_recognised(
                    of_order[tax_class],
                    recognised,
                    wanted=rates,
                    is_exempt=rules.status_on(business_day(at)).is_exempt,
                )
            parts[refund.pk].append(
                RefundPart(
                    tax_class,
                    prepaid=sum(line.prepaid for line in of_class),
                    returned=tuple(returned),
                    payable=sum(line.payable for line in of_class),
                )
            )
    return parts
