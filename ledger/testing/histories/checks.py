"""Checks after a history: our rows with each other, and with Stripe's objects.

The sums over Stripe's balance are computed from the stand-in's file by plain SQL and arithmetic, without our
code for postings, days and requests: a fault in that code cannot hide itself.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core import mail as django_mail
from django.db import connection
from django.db.models import Q, Sum

from kikaku.days import day_bounds
from ledger.books import accounts
from ledger.books.order_buckets import tax_buckets
from ledger.books.periods import any_days, fiscal_year
from ledger.books.tax import value_of_pieces
from ledger.books.tax_rules import load_tax_rules
from ledger.books.trial_sheet import sheet
from ledger.closing import late_entries, verification
from ledger.models import (
    CheckoutAttempt,
    DailyClose,
    Discrepancy,
    JournalEntry,
    JournalLine,
    KeptMoney,
    Order,
    OrderLine,
    OutgoingMail,
    Payment,
    Refund,
    Shipment,
    StockItem,
    StockMovement,
    StripeEvent,
    TaxStatus,
)
from ledger.models.orders import OrderStatus
from ledger.sales.refund_failure import object_id, unsettled_money
from ledger.testing.histories import order_events

if TYPE_CHECKING:
    from ledger.testing.histories.world import World


def stripe_objects(state: Path, kind: str) -> list[dict[str, Any]]:
    """Read every object of a kind from the stand-in's file, oldest first."""
    with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT body FROM objects WHERE kind = ? ORDER BY created, seq", (kind,)).fetchall()
    return [json.loads(body) for (body,) in rows]


def unfinished_work(state: Path, now: datetime) -> list[str]:
    """Return what is unfinished at Stripe and here; refunds that wait for a customer are left out."""
    with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as db:
        pending = db.execute("SELECT COUNT(*) FROM deliveries WHERE state = 'pending'").fetchone()[0]
        horizon = (now + timedelta(days=10)).timestamp()
        planned = db.execute("SELECT task FROM agenda WHERE due < ?", (horizon,)).fetchall()
    return [
        *([f"{pending} events to be delivered"] if pending else []),
        *[f"Stripe will {task}" for (task,) in planned],
        *[f"event {e} {e.status} {e.last_error}" for e in StripeEvent.objects.unprocessed()],
        *[f"order {o} pending" for o in Order.objects.pending()],
        *[f"attempt {a} {a.status}" for a in CheckoutAttempt.objects.payable()],
        *[f"refund {r} {r.status}" for r in Refund.objects.filter(status__in=["requested", "pending"])],
        *[f"mail {m} queued" for m in OutgoingMail.objects.queued()],
    ]


def violations(world: "World") -> Iterator[str]:
    """Yield every violation in a settled world."""
    yield from map(str, verification.verify())
    yield from _balance_of_stripe(world)
    yield from _fees(world)
    yield from _closed_days(world)
    yield from _charges(world)
    yield from _refunds(world)
    yield from _orders()
    yield from _kept_money()
    yield from _parcels()
    yield from _late_entries()
    yield from _years()
    yield from _unsettled()
    yield from _stock()
    yield from _mails(world)
    yield from order_events.violations()
    for row in Discrepancy.objects.all():
        if not (_is_foreign(row, world) or _is_explained(row)):
            yield f"unexplained: {row.kind} {row.object_id} of {row.day}: {row.amount} {row.detail}"


REFUND_AGAIN = (Discrepancy.Kind.REFUND_FAILED, Discrepancy.Kind.WITHDRAWN_TO_DECIDE)
WITHDRAWN = (Discrepancy.Kind.REFUND_WITHDRAWN, Discrepancy.Kind.WITHDRAWN_TO_DECIDE)


def _is_true(row: Discrepancy, order: Order) -> bool:
    """Return whether a row asks for another refund only as long as money is to be refunded."""
    return row.kind not in REFUND_AGAIN or row.resolved_at is not None or unsettled_money(order) > 0


def _late_entries() -> Iterator[str]:
    """Check that the list of each closed day adds up to what its balances lack: what was entered later."""
    nets: defaultdict[date, Counter[str]] = defaultdict(Counter)  # debit − credit by account
    for day, happened_at, account, debit, credit in JournalLine.objects.values_list(
        "entry__day", "entry__occurred_at", "account_id", "debit", "credit"
    ):
        happened_on = (happened_at + timedelta(hours=9)).date()
        if day < happened_on:
            yield f"an entry of {happened_on} lies on {day}"
        for offset in range((day - happened_on).days):
            nets[happened_on + timedelta(days=offset)][account] += debit - credit
    rules = load_tax_rules()  # no history keeps its books with tax included: the lists are net, too
    for day, net in nets.items():
        found = late_entries.read(any_days(day, day), rules)
        lacking = {line.code: line.debit - line.credit for line in found.lacking.lines}
        if lacking != {account: amount for account, amount in net.items() if amount}:
            yield f"{day} lacks {dict(net)}, its list has {lacking}"


def _years() -> Iterator[str]:
    """Check that each fiscal year's trial balance adds up, and has the year's sales and expenses alone."""
    rules = load_tax_rules()
    lines = list(JournalLine.objects.values_list("entry__day", "account_id", "debit", "credit"))
    for year in {fiscal_year(day, rules) for day, *_rest in lines}:
        found = sheet(year, rules)
        if (found.debit, found.debit_balance) != (found.credit, found.credit_balance):
            yield f"the trial balance of {year.label} does not add up"
        moved: Counter[str] = Counter()
        for day, account, debit, credit in lines:
            if account[0] in "46" and day in year:
                moved[account] += debit - credit
        for row in found.rows:
            if row.code and row.code[0] in "46" and (row.opening, row.closing) != (0, moved[row.code]):
                yield f"{row.code} of {year.label}: {row.opening} to {row.closing}, moved {moved[row.code]}"


def _unsettled() -> Iterator[str]:
    """Check that money that is to be refunded again is asked for."""
    for order in Order.objects.filter(refunds__status__in=Refund.FAILED_STATUSES).distinct():
        rows = Discrepancy.objects.unresolved().filter(
            kind__in=REFUND_AGAIN, object_id__in=[object_id(refund) for refund in order.refunds.failed()]
        )
        if unsettled_money(order) and not rows.exists():
            yield f"{order}: {unsettled_money(order)} are to be refunded again, and nobody is asked to"


def _is_foreign(row: Discrepancy, world: "World") -> bool:
    """Return whether a discrepancy is the only one about a charge of others, or about Stripe's reserve."""
    kinds = Discrepancy.Kind
    if row.kind in (kinds.MISSING_IN_BOOKS, kinds.FOREIGN_CURRENCY):
        return (
            row.object_id in world.foreign
            and Discrepancy.objects.filter(object_id=row.object_id).count() == 1
            and (row.amount == 0) == (row.kind == kinds.FOREIGN_CURRENCY)
        )
    # of the reserve: the leg of the other balance, and the leg of payments, which is in 9990 with it
    return row.kind in (kinds.OTHER_BALANCE, kinds.UNKNOWN_TYPE) and "reserve_hold" in row.detail


def _is_explained(row: Discrepancy) -> bool:
    """Return whether a discrepancy is correct: the actions of the history caused it."""
    kinds = Discrepancy.Kind
    if row.kind == kinds.PAID_AFTER_CANCELLATION:
        paid = Payment.objects.filter(
            payment_intent=row.object_id, order__status=OrderStatus.CANCELLED
        ).first()
        return paid is not None and (paid.order.paid_at is None or paid.order.payments.count() > 1)
    if row.kind == kinds.PAID_TWICE:
        paid = Payment.objects.filter(payment_intent=row.object_id).first()
        return paid is not None and paid.order.payments.count() > 1
    if row.kind == kinds.PAYMENT_MISSING:
        cancelled = Order.objects.filter(number=row.object_id, status=OrderStatus.CANCELLED)
        return row.resolved_at is not None or cancelled.exists()  # paid on another page, or cancelled
    if row.kind == kinds.MONEY_GONE:
        return Refund.objects.filter(order__number=row.object_id, actor="Stripe").exists()
    if row.kind in (kinds.REFUND_FAILED, kinds.REFUND_REPLACED, *WITHDRAWN):
        pk = row.object_id.removeprefix("refund ")
        which = Q(pk=pk) if pk.isdecimal() else Q(stripe_id=row.object_id)
        failed = Refund.objects.failed().filter(which, withdrawn=row.kind in WITHDRAWN)
        return failed.exists() and _is_true(row, failed[0].order)
    # An order out of balance at the end of a day: it was refunded in Stripe's dashboard on that day, and the
    # event came after shipments or refunds of ours were posted to the next day. With that day the order is in
    # balance.
    late = Refund.objects.filter(actor="Stripe", requested_at__gte=day_bounds(row.day)[1])
    return row.kind == kinds.INVARIANT and any(
        row.object_id.endswith(number) for number in late.values_list("order__number", flat=True)
    )


# ── Stripe's balance, without our code ────────────────────────────────────────────────────────────────


def _balance_of_stripe(world: "World") -> Iterator[str]:
    """Check that account 1150 is the sum of Stripe's balance transactions, now and for each closed day."""
    by_day: defaultdict[date, int] = defaultdict(int)
    for txn in stripe_objects(world.sandbox.state_path, "balance_transaction"):
        if (txn["currency"], txn["balance_type"]) != ("jpy", "payments"):
            continue
        japanese_day = (txn["created"] + 9 * 3600) // 86_400
        by_day[date(1970, 1, 1) + timedelta(days=japanese_day)] += txn["amount"] - txn["fee"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.day, SUM(l.debit) - SUM(l.credit) FROM ledger_journalline l"
            " JOIN ledger_journalentry e ON e.id = l.entry_id WHERE l.account_id = '1150' GROUP BY e.day"
        )
        booked = {
            day if isinstance(day, date) else date.fromisoformat(day): int(sum_)
            for day, sum_ in cursor.fetchall()
        }
    if sum(booked.values()) != sum(by_day.values()):
        yield f"account 1150 is {sum(booked.values())}, the sum at Stripe is {sum(by_day.values())}"
    for close in DailyClose.objects.order_by("day"):
        cutoff = sum(net for day, net in by_day.items() if day <= close.day)
        ours = sum(net for day, net in booked.items() if day <= close.day)
        if not cutoff == ours == close.stripe_balance == close.book_balance:
            yield (
                f"at the end of {close.day} Stripe's transactions add up to {cutoff}, 1150 to {ours}; "
                f"the close says {close.stripe_balance} and {close.book_balance}"
            )


def _fees(world: "World") -> Iterator[str]:
    """Check that fees are exempt or taxable by whether Stripe's details have a line of tax, be it of ¥0.

    On days on which the merchant is exempt, the tax is a part of the expense.
    """
    expected = Counter({"6110": 0, "6111": 0, "1410": 0})
    statuses = list(TaxStatus.objects.order_by("from_day", "id").values_list("from_day", "liability"))
    for txn in stripe_objects(world.sandbox.state_path, "balance_transaction"):
        if txn["currency"] != "jpy":
            continue
        taxes = [part["amount"] for part in txn["fee_details"] if part["type"] == "tax"]
        day = date(1970, 1, 1) + timedelta(days=(txn["created"] + 9 * 3600) // 86_400)
        is_exempt = [liability for first, liability in statuses if first <= day][-1] == "exempt"
        expected["6111" if taxes else "6110"] += txn["fee"] - sum(taxes)
        expected["6111" if is_exempt else "1410"] += sum(taxes)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT account_id, SUM(debit) - SUM(credit) FROM ledger_journalline"
            " WHERE account_id IN ('6110', '6111', '1410') GROUP BY account_id"
        )
        booked = {**dict.fromkeys(expected, 0), **{code: int(sum_) for code, sum_ in cursor.fetchall()}}
    if booked != expected:
        yield f"fees are booked as {booked}, by Stripe's details they are {dict(expected)}"


def _closed_days(world: "World") -> Iterator[str]:
    """Check that closed days neither gained nor lost entries, and that every day with entries is closed."""
    for day, entries in world.closed.items():
        now = set(JournalEntry.objects.filter(day=day).values_list("pk", flat=True))
        if now != entries:
            yield f"{day} was closed with entries {sorted(entries)} and has {sorted(now)}"
    last = max(world.closed)
    for entry in JournalEntry.objects.filter(day__gt=last):
        yield f"entry {entry.pk} lies on {entry.day}, the last closed day is {last}"


# ── Stripe's objects and our rows ────────────────────────────────────────────────────────────────────────


def _charges(world: "World") -> Iterator[str]:
    """Check that captured charges and our payments correspond one to one."""
    theirs = Counter(
        (charge["id"], charge["payment_intent"], charge["amount_captured"])
        for charge in stripe_objects(world.sandbox.state_path, "charge")
        if charge["status"] == "succeeded" and charge["id"] not in world.foreign
    )
    ours = Counter(Payment.objects.values_list("charge", "payment_intent", "amount"))
    for what in theirs - ours:
        yield f"charge at Stripe, not ours: {what}"
    for what in ours - theirs:
        yield f"payment of ours, not at Stripe: {what}"


def _refunds(world: "World") -> Iterator[str]:
    """Check that Stripe's refunds are ours, with amount and status; refunds unknown to Stripe have failed."""
    theirs = Counter(
        (refund["id"], refund["payment_intent"], refund["amount"], refund["status"])
        for refund in stripe_objects(world.sandbox.state_path, "refund")
    )
    ours = Counter(
        Refund.objects.exclude(stripe_id=None).values_list(
            "stripe_id", "payment__payment_intent", "amount", "status"
        )
    )
    for what in theirs - ours:
        yield f"refund at Stripe, not so ours: {what}"
    for what in ours - theirs:
        yield f"refund of ours, not so at Stripe: {what}"
    for refund in Refund.objects.filter(stripe_id=None).exclude(status=Refund.Status.FAILED):
        yield f"refund {refund.pk} is {refund.status} and was never at Stripe"


def _orders() -> Iterator[str]:
    """Check that cancelled orders keep no money and no stock, and paid ones reserve what is unshipped."""
    for order in Order.objects.prefetch_related("lines", "payments", "refunds"):
        paid = sum(payment.amount for payment in order.payments.all())
        asked = sum(refund.amount for refund in order.refunds.all())
        back = sum(
            refund.amount for refund in order.refunds.all() if refund.status == Refund.Status.SUCCEEDED
        )
        spent = sum(
            refund.lines.exclude(tax_class="")
            .filter(refund__withdrawn=False)
            .aggregate(s=Sum("prepaid"))["s"]
            or 0
            for refund in order.refunds.all()
        )
        held = sum(line.reserved for line in order.lines.all())
        to_ship = sum(line.shippable for line in order.lines.all())
        withdrawn = sum(refund.amount for refund in order.refunds.all() if refund.withdrawn)
        kept = order.kept_money.aggregate(sum=Sum("amount"))["sum"] or 0
        if order.status == OrderStatus.CANCELLED:
            if held or to_ship:
                yield f"{order}: cancelled, holds {held} pieces, would ship {to_ship}"
            if asked + kept < paid or back + kept > paid:
                yield f"{order}: cancelled, {paid} paid, {asked} asked, {back} given back, {kept} kept"
        elif order.status == OrderStatus.PAID and spent >= order.total:
            yield f"{order}: paid, and all of its money was refunded"
        elif paid - (asked - withdrawn) > order.total + withdrawn or back > paid:
            yield f"{order}: {order.status}, {paid} paid, {back} given back, of {order.total}"
        elif held != to_ship or (order.status == OrderStatus.SHIPPED) != (to_ship == 0):
            yield f"{order}: {order.status}, holds {held} pieces, {to_ship} to ship"


def _kept_money() -> Iterator[str]:
    """Check that other income is what was kept, and that nothing was kept beyond what was paid."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(SUM(credit) - SUM(debit), 0) FROM ledger_journalline WHERE account_id = '4910'"
        )
        booked = int(cursor.fetchone()[0])
    kept = dict(KeptMoney.objects.order_by().values_list("order").annotate(sum=Sum("amount")))
    if booked != sum(kept.values()):
        yield f"account 4910 is {booked}, {sum(kept.values())} were kept"
    for order_id, amount in kept.items():
        if amount < 0:
            yield f"order {order_id}: {-amount} more taken back than was kept"


def _parcels() -> Iterator[str]:
    """Check that gifts have no entry, and that what is sold brings sales while its class has money."""
    entries = JournalEntry.objects.filter(source_type="shipment", purpose="recognition")
    sold = JournalLine.objects.filter(entry__in=entries)
    sales = set(entries.values_list("order_id", flat=True))
    shipped: Counter[int] = Counter()  # pieces of a line in earlier parcels
    for parcel in Shipment.objects.order_by("pk").prefetch_related("lines__order_line"):
        values: Counter[str] = Counter()  # JPY by tax class
        for part in parcel.lines.all():
            line = part.order_line
            values[line.tax_class] += value_of_pieces(
                line.total, line.quantity, shipped[line.pk], part.quantity
            )
            shipped[line.pk] += part.quantity
        goods = [accounts.SALES_ACCOUNTS[tax_class] for tax_class in values]
        costs = all(part.order_line.total for part in parcel.lines.all())
        if parcel.gift and costs and sold.filter(entry__source_id=str(parcel.pk), account__in=goods).exists():
            yield f"parcel {parcel.pk} is a gift and its goods have sales"
        for part in parcel.lines.all():
            if bool(part.gift) != (part.order_line.total == 0):
                yield f"parcel {parcel.pk}: {part} has the reason {part.gift}"
        if parcel.gift or parcel.order_id in sales:
            continue
        buckets = tax_buckets(parcel.order)
        if any(value and buckets[tax_class].deliverable for tax_class, value in values.items()):
            yield f"parcel {parcel.pk} was sold, and its order has no sales"


def _stock() -> Iterator[str]:
    """Check that stock on hand is the sum of its movements, and reserved stock the sum of the order lines."""
    moved = dict(StockMovement.objects.values_list("item").annotate(sum=Sum("quantity")).order_by())
    held = dict(OrderLine.objects.values_list("item").annotate(sum=Sum("reserved")).order_by())
    for item in StockItem.objects.all():
        if (item.on_hand, item.reserved) != (moved.get(item.pk, 0), held.get(item.pk, 0)):
            yield f"{item}: {item.on_hand} on hand, {item.reserved} reserved; moved {moved}, held {held}"
        if not 0 <= item.reserved <= item.on_hand:
            yield f"{item}: {item.reserved} reserved of {item.on_hand}"


def assert_voucher_cap(world: "World", session_id: str) -> None:
    """Check that a new page offers vouchers only while all of them hold a third of each item at most.

    Computed from Stripe's sessions and the order lines, without our columns and functions for it.
    """
    offering = {
        session["id"]
        for session in stripe_objects(world.sandbox.state_path, "checkout.session")
        if "konbini" in session["payment_method_types"]
    }
    if session_id not in offering:
        return
    orders = CheckoutAttempt.objects.filter(
        session_id__in=offering, status__in=("created", "open", "waiting"), order__status=OrderStatus.PENDING
    ).values("order")
    held = (
        OrderLine.objects.filter(order__in=orders)
        .values_list("item")
        .annotate(sum=Sum("reserved"))
        .order_by()
    )
    own = set(OrderLine.objects.filter(order__attempts__session_id=session_id).values_list("item", flat=True))
    for item_id, pieces in held:
        on_hand = StockItem.objects.get(pk=item_id).on_hand
        assert item_id not in own or pieces <= max(3, on_hand // 3), f"vouchers hold {pieces} of {on_hand}"


# ── Mail ─────────────────────────────────────────────────────────────────────────────────────────────────


def _mails(world: "World") -> Iterator[str]:
    """Check that each fact has its mail and each mail was sent once, or again after a power cut."""
    kinds = OutgoingMail.Kind
    stored = set(OutgoingMail.objects.values_list("kind", "source"))
    for kind, facts, name in (
        (kinds.ORDER_CONFIRMATION, Order.objects.exclude(paid_at=None), "order"),
        (kinds.SHIPPED, Shipment.objects.all(), "shipment"),
        (kinds.REFUNDED, Refund.objects.filter(status=Refund.Status.SUCCEEDED), "refund"),
    ):
        for pk in facts.values_list("pk", flat=True):
            if (kind.value, f"{name}:{pk}") not in stored:
                yield f"{name} {pk} has no mail {kind.value}"
    written = Counter(OutgoingMail.objects.values_list("subject", "text"))
    sent = Counter((str(message.subject), str(message.body)) for message in django_mail.outbox)
    for (subject, _text), count in (written - sent).items():
        yield f"{count} × not sent: {subject}"
    surplus = sum((sent - written).values())
    if surplus > world.mails_in_doubt:
        yield f"{surplus} mails too many, {world.mails_in_doubt} are explained by power cuts"
