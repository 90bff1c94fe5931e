"""Regressions: faults with books, Stripe, stock and orders that an earlier implementation had.

One test for each, through the public functions; most behaviours have deeper tests elsewhere. Faults of the
shop's pages and of operation are in `shop/tests/test_regressions.py` and `ops/tests/test_regressions.py`.
"""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command

from kikaku.sandbox import Sandbox
from kikaku.sandbox.state import StateFile, Transaction
from ledger.books import accounts
from ledger.books.discrepancies import note_discrepancy
from ledger.books.trial_balance import net_balance
from ledger.closing import evidence
from ledger.closing.daily_close import CloseFailed, CloseResult, close_day, close_days, open_days
from ledger.ingest import inbox
from ledger.models import (
    BalanceTransaction,
    ClosingBalance,
    DailyClose,
    Discrepancy,
    EvidenceFile,
    JournalEntry,
    JournalLine,
    Order,
    Payment,
    Refund,
    StockItem,
    StripeEvent,
)
from ledger.models.orders import OrderStatus
from ledger.sales import cancellation, checkout, refund_requests, refunds, stock
from ledger.sales.stock import SoldOut
from ledger.testing import build
from ledger.testing.closing import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    at,
    create_foreign_charge,
    night_after,
    set_clock,
)

pytestmark = pytest.mark.django_db

FAILS_LATER = "4000000000005126"


def sold(sandbox: Sandbox, *, shipped: bool = False, hour: int = 10) -> Order:
    """Sell `build.worked_order` (two tax rates, coupon, shipping fee: ¥12,130) on Monday."""
    now = set_clock(sandbox, at(MONDAY, hour))
    order = build.paid_order(sandbox, placed=build.worked_order(now=now), now=now)
    if shipped:
        build.ship(order, now=now)
    return order


def close(sandbox: Sandbox) -> CloseResult:
    """Close Monday at 01:00 JST of Tuesday."""
    return close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))


# ── Books ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_day_with_tax_closes(sandbox: Sandbox) -> None:
    sold(sandbox, shipped=True)
    result = close(sandbox)
    assert result.differences == 0
    assert [(row["rate"], row["item"], row["tax"]) for row in result.report["sales"]] == [
        (10, "goods", 958),
        (10, "shipping", 50),
        (8, "goods", 76),
    ]


def test_a_failed_close_stores_nothing(sandbox: Sandbox) -> None:
    order = sold(sandbox)
    broken = JournalEntry.objects.create(
        day=MONDAY,
        occurred_at=at(MONDAY, 12),
        source_type="entry",
        source_id="x",
        purpose="test",
        order=order,
        created_at=at(MONDAY, 12),
    )
    JournalLine.objects.create(entry=broken, position=1, account_id=accounts.SUSPENSE, debit=1)
    with pytest.raises(CloseFailed):
        close(sandbox)
    for table in (DailyClose, ClosingBalance, EvidenceFile, Discrepancy):
        assert not table.objects.exists()


@pytest.mark.parametrize(("hour", "minute", "days_later"), [(23, 59, 0), (0, 0, 1), (8, 59, 1), (9, 0, 1)])
def test_days_end_at_midnight_jst_and_each_payment_belongs_to_one_day(
    sandbox: Sandbox, hour: int, minute: int, days_later: int
) -> None:
    day = MONDAY + timedelta(days=days_later)
    now = set_clock(sandbox, at(day, hour, minute))
    build.paid_order(sandbox, now=now)
    results = list(
        close_days([MONDAY, TUESDAY], now=set_clock(sandbox, night_after(TUESDAY)))
    )  # 16:00 UTC of Tuesday
    assert [result.report["orders"]["paid"]["count"] for result in results] == [1 - days_later, days_later]
    assert [result.differences for result in results] == [0, 0]


def test_a_coupon_and_a_shipping_fee_cause_no_difference(sandbox: Sandbox) -> None:
    order = sold(sandbox)
    assert (order.goods_total, order.discount, order.shipping_fee) == (12_080, 500, 550)
    assert close(sandbox).report["discrepancies"] == []


def test_the_report_has_the_fees_that_stripe_charged(sandbox: Sandbox) -> None:
    sold(sandbox)
    jcb = build.worked_order(now=at(MONDAY, 10))
    build.paid_order(sandbox, placed=jcb, card="3566002020360505", now=at(MONDAY, 10))
    fees = close(sandbox).report["fees"]
    assert fees == {"exempt": 437, "taxable": 437, "input_tax": 44}


def test_the_evidence_holds_stripes_answers_even_where_our_tables_differ(sandbox: Sandbox) -> None:
    create_foreign_charge(sandbox, set_clock(sandbox, at(MONDAY, 10)))
    result = close(sandbox)
    stripe_evidence = evidence.read(f"{result.folder}/stripe-evidence.json").decode()
    assert not Payment.objects.exists()
    assert '"amount": 11500' in stripe_evidence
    assert result.exit_code == 2


def test_a_refund_after_shipment_reverses_its_tax(sandbox: Sandbox) -> None:
    build.refund(sold(sandbox, shipped=True), now=at(MONDAY, 11))
    result = close(sandbox)
    assert [row["tax"] for row in result.report["sales"] if row["item"] == "returns"] == [1_008, 76]
    assert net_balance(accounts.OUTPUT_TAX_STANDARD) == net_balance(accounts.OUTPUT_TAX_REDUCED) == 0


def test_the_report_keeps_the_sales_of_a_refunded_order_and_lists_the_refund(sandbox: Sandbox) -> None:
    build.refund(sold(sandbox, shipped=True), now=at(MONDAY, 11))
    sales = close(sandbox).report["sales"]
    assert [(row["class"], row["item"], row["gross"]) for row in sales] == [
        ("standard", "goods", 10_545),
        ("standard", "shipping", 550),
        ("standard", "returns", 11_095),
        ("reduced", "goods", 1_035),
        ("reduced", "returns", 1_035),
    ]


def test_a_closed_day_cannot_be_closed_again(sandbox: Sandbox) -> None:
    sold(sandbox)
    first = close(sandbox)
    before = list(JournalEntry.objects.values_list("pk", flat=True))
    content = evidence.read(f"{first.folder}/report.json")
    again = close(sandbox)
    assert (again.state, again.manifest_sha256) == ("already closed", first.manifest_sha256)
    assert list(JournalEntry.objects.values_list("pk", flat=True)) == before
    assert evidence.read(f"{first.folder}/report.json") == content
    with pytest.raises(TypeError, match="force"):  # there is no such option
        call_command("daily_close", force=True)


def test_a_later_run_closes_missed_days(sandbox: Sandbox) -> None:
    sold(sandbox)
    now = set_clock(sandbox, night_after(WEDNESDAY))
    assert [result.day for result in close_days(open_days(WEDNESDAY), now=now)] == [
        MONDAY,
        TUESDAY,
        WEDNESDAY,
    ]
    assert DailyClose.objects.count() == 3


# ── Stripe ───────────────────────────────────────────────────────────────────────────────────────────────


def received(sandbox: Sandbox, kind: str) -> StripeEvent:
    """Store the waiting events without processing them; return the one of a type."""
    for delivery in sandbox.pending_deliveries():
        inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=build.now_of(sandbox))
    return StripeEvent.objects.get(type=kind)


def test_a_failed_event_is_handled_by_a_retry(sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))
    event = received(sandbox, "payment_intent.succeeded")
    intent = event.payload["data"]["object"]
    StripeEvent.objects.filter(pk=event.pk).update(payload={**event.payload, "data": {"object": {}}})
    now = build.now_of(sandbox)
    inbox.process_pending(now=now)
    event.refresh_from_db()
    assert event.status == StripeEvent.Status.FAILED
    StripeEvent.objects.filter(pk=event.pk).update(payload={**event.payload, "data": {"object": intent}})
    assert inbox.process_pending(now=now + timedelta(minutes=2)) == 1
    assert Payment.objects.get().order == order


def test_an_event_whose_handler_crashed_is_handled_after_its_lease(sandbox: Sandbox) -> None:
    sandbox.pay(build.session_of(build.order()))
    event = received(sandbox, "payment_intent.succeeded")
    now = build.now_of(sandbox)
    assert inbox.claim(event.pk, now=now) is not None  # and the process dies
    inbox.process_pending(now=now)
    event.refresh_from_db()
    assert event.status == StripeEvent.Status.PENDING
    inbox.process_pending(now=now + timedelta(minutes=6))
    event.refresh_from_db()
    assert event.status == StripeEvent.Status.DONE


def test_a_payment_does_not_reopen_a_cancelled_order(sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))
    Order.objects.filter(pk=order.pk).update(status=OrderStatus.CANCELLED)
    build.deliver(sandbox)
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED
    assert Discrepancy.objects.get().kind == Discrepancy.Kind.PAID_AFTER_CANCELLATION
    assert order.refunds.get().amount == order.total


def test_a_completed_session_of_a_delayed_method_is_not_paid(sandbox: Sandbox) -> None:
    order = build.order()
    session = build.session_of(order)
    sandbox.choose_konbini(session)
    build.deliver(sandbox)
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING
    assert not Payment.objects.exists()
    sandbox.pay_voucher(session)
    build.deliver(sandbox)
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID


def test_a_refund_that_fails_later_no_longer_counts(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, card=FAILS_LATER, now=now)
    build.refund(order, 1_000, now=now)
    set_clock(sandbox, at(MONDAY, 11))
    build.deliver(sandbox)
    build.fetch(sandbox)
    assert order.refunds.get().status == Refund.Status.FAILED
    assert refund_requests.refundable_amount(order.payments.get()) == order.total
    assert net_balance(accounts.REFUNDS_PAYABLE, order=order) == -1_000


def test_several_events_of_one_payment_store_it_once(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    types = {"checkout.session.completed", "payment_intent.succeeded", "charge.succeeded"}
    assert types <= set(StripeEvent.objects.filter(status="done").values_list("type", flat=True))
    assert Payment.objects.get().order == order


def test_a_repeated_refund_request_is_executed_once(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    first = build.refund(order, 1_000, nonce="one-form")
    assert build.refund(order, 1_000, nonce="one-form") == first
    Refund.objects.filter(pk=first.pk).update(status=Refund.Status.REQUESTED, stripe_id=None)
    first.refresh_from_db()
    # as after a crash before the answer was stored
    refunds.send_refund(first, now=build.now_of(sandbox))
    build.fetch(sandbox)
    assert [txn.amount for txn in BalanceTransaction.objects.filter(type="refund")] == [-1_000]


@pytest.mark.parametrize(
    ("kind", "source", "amount", "fee"),
    [("adjustment", "du_1", -12_130, 1_500), ("payout", "po_1", -9_000, 0)],
)
def test_disputes_and_payouts_are_posted_to_suspense_and_reported(
    sandbox: Sandbox, kind: str, source: str, amount: int, fee: int
) -> None:
    sold(sandbox)
    change_balance(sandbox, kind=kind, source=source, amount=amount, fee=fee)
    result = close(sandbox)
    assert result.report["proof"]["difference"] == 0  # account 1150 is correct nevertheless
    assert net_balance(accounts.SUSPENSE) == -amount
    assert [(row["kind"], row["amount"]) for row in result.report["discrepancies"]] == [
        ("unknown_type", amount)
    ]


def change_balance(sandbox: Sandbox, *, kind: str, source: str, amount: int, fee: int) -> None:
    """Insert a balance transaction of a kind that the stand-in does not support."""
    with StateFile(sandbox.state_path).connection(write=True) as db:
        tx = Transaction(db, now=at(MONDAY, 14).timestamp(), api_version=sandbox.api_version)
        like = tx.page("balance_transaction", limit=1).data[0]
        detail = {**like["fee_details"][0], "amount": fee}
        tx.insert(
            "balance_transaction",
            {
                **like,
                "id": "txn_other",
                "type": kind,
                "reporting_category": kind,
                "source": source,
                "amount": amount,
                "fee": fee,
                "fee_details": [detail] if fee else [],
                "net": amount - fee,
                "created": tx.second,
            },
            net=amount - fee,
            available_on=like["available_on"],
        )


# ── Stock and orders ─────────────────────────────────────────────────────────────────────────────────────


def test_an_abandoned_checkout_releases_its_stock(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, datetime(2026, 11, 16, 3, 0, tzinfo=UTC))
    order = build.order(now=now)
    build.session_of(order, now=now)
    checkout.expire_due(now=set_clock(sandbox, now + timedelta(hours=1)))
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED
    assert StockItem.objects.get().reserved == 0


def test_cancelling_twice_releases_the_stock_once(sandbox: Sandbox) -> None:
    lamp = [build.line(on_hand=2)]
    build.order(lamp)
    order = build.order(lamp)
    for _twice in range(2):
        cancellation.cancel(
            order=order, reason=Order.CancelReason.STAFF, actor="staff", now=build.now_of(sandbox)
        )
    build.deliver(sandbox)  # Stripe also sends the event of the closed page
    assert StockItem.objects.get().reserved == 1


def test_a_late_payment_takes_no_stock_of_another_order(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    last = [build.line(on_hand=1)]
    late = build.order(last, now=now)
    sandbox.choose_konbini(session := build.session_of(late, now=now))
    build.deliver(sandbox)
    cancellation.cancel(order=late, reason=Order.CancelReason.STAFF, actor="staff", now=now)
    other = build.paid_order(sandbox, last, now=now)
    sandbox.pay_voucher(session)
    build.deliver(sandbox)
    late.refresh_from_db()
    assert (late.status, other.status) == (OrderStatus.CANCELLED, OrderStatus.PAID)
    assert late.refunds.get().amount == late.total
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (1, 1)


def test_the_last_piece_is_reserved_once() -> None:
    last = [build.line(on_hand=1)]
    build.order(last)
    with pytest.raises(SoldOut):
        build.order(last)


def test_an_order_line_keeps_title_price_and_rate_as_they_were() -> None:
    order = build.order([build.line(title="シーリングライト まどか", price=11_000)])
    line = order.lines.get()
    assert (line.title, line.sku, line.unit_price, line.tax_class) == (
        "シーリングライト まどか",
        "CL-08",
        11_000,
        "standard",
    )


def test_tax_is_rounded_once_per_rate_and_not_per_line() -> None:
    order = build.order([build.line(f"S{number}", price=105) for number in range(3)], shipping_fee=0)
    assert order.tax_standard == 315 * 10 // 110 == 28
    assert order.tax_standard != 3 * (105 * 10 // 110)


def test_a_repeated_stock_receipt_counts_once() -> None:
    item = build.item(on_hand=3)
    for _twice in range(2):
        stock.receive(item, 4, source="delivery-7", actor="staff", now=at(MONDAY))
    item.refresh_from_db()
    assert item.on_hand == 7


def test_a_discrepancy_is_stored_once_and_stays_until_it_is_resolved(sandbox: Sandbox) -> None:
    for _twice in range(2):
        note_discrepancy(Discrepancy.Kind.AMOUNT, "ch_1", day=MONDAY, amount=5, now=at(MONDAY))
    assert close(sandbox).differences == 1
    assert Discrepancy.objects.get().resolved_at is None
