"""Each check finds the row that violates it, and nothing in correct books."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries

from kikaku.sandbox import Sandbox
from ledger.books import triggers
from ledger.books.trial_balance import account_balances
from ledger.closing import checks
from ledger.closing.findings import Check, Finding
from ledger.models import JournalEntry, JournalLine, Order, Refund, RefundLine, StockItem
from ledger.testing import build
from ledger.testing.closing import MONDAY, TUESDAY, run_business_day, set_clock
from ledger.testing.closing import at as at_hour

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)


@pytest.fixture
def order(sandbox: Sandbox) -> Order:
    """Return the shipped and partly refunded order of a business day; a second order waits."""
    placed = run_business_day(sandbox, MONDAY)
    build.fetch(sandbox)
    return placed


def all_findings() -> Iterator[tuple[Check, str]]:
    """Return (check, object) of every finding."""
    return ((finding.check, finding.object_id) for finding in checks.check_everything())


def entry(account: str, *, day: date = MONDAY, at: datetime | None = None, debit: int = 5) -> JournalEntry:
    """Write a balanced entry without the journal's functions."""
    written = JournalEntry.objects.create(
        day=day,
        occurred_at=at or at_hour(day),
        source_type="entry",
        source_id=f"{account} {day}",
        purpose="test",
        created_at=NOW,
    )
    JournalLine.objects.create(entry=written, position=1, account_id=account, debit=debit)
    JournalLine.objects.create(entry=written, position=2, account_id="6120", credit=debit)
    return written


def without_document(entry: JournalEntry) -> tuple[Check, str]:
    """Return the finding that an entry of these tests stands for no document."""
    name = f"{entry.voucher} ({entry.source_type} {entry.source_id} {entry.purpose})"
    return Check.ENTRY_SOURCE, name


def test_correct_books_have_no_findings(order: Order) -> None:
    assert list(all_findings()) == []
    assert checks.check_day(MONDAY, account_balances(MONDAY)) == []
    assert checks.check_day(TUESDAY, account_balances(TUESDAY)) == []


def test_an_entry_without_lines_and_one_with_one_line_are_found(order: Order) -> None:
    empty = JournalEntry.objects.create(
        day=MONDAY,
        occurred_at=at_hour(MONDAY),
        source_type="entry",
        source_id="1",
        purpose="x",
        created_at=NOW,
    )
    found = list(checks.entries.unbalanced_entries(JournalEntry.objects.filter(day=MONDAY)))
    assert [finding.object_id for finding in found] == [f"{empty.voucher} (entry 1 x)"]
    assert found[0].found == "0 lines, debit 0, credit 0"
    assert list(checks.entries.unbalanced_entries(JournalEntry.objects.filter(day=TUESDAY))) == []


def test_an_entry_in_1150_without_a_transaction_is_found(order: Order) -> None:
    written = entry("1150")
    assert list(all_findings()) == [(Check.STRIPE_BALANCE_SOURCE, written.voucher), without_document(written)]
    assert [finding.check for finding in checks.check_day(MONDAY, account_balances(MONDAY))] == [
        Check.STRIPE_BALANCE_SOURCE,
        Check.ENTRY_SOURCE,
    ]
    assert checks.check_day(TUESDAY, account_balances(TUESDAY)) == []


def test_an_entry_dated_before_its_fact_is_found(order: Order) -> None:
    written = entry("6120", at=at_hour(TUESDAY, 0, 1))
    assert list(all_findings()) == [without_document(written), (Check.ENTRY_DAY, written.voucher)]
    assert [finding.check for finding in checks.check_day(MONDAY, account_balances(MONDAY))] == [
        Check.ENTRY_SOURCE,
        Check.ENTRY_DAY,
    ]


def test_a_late_entry_is_no_finding(order: Order) -> None:
    written = entry("6120", day=TUESDAY, at=at_hour(MONDAY))
    assert list(all_findings()) == [without_document(written)]


def test_an_entry_for_a_transaction_that_is_not_stored_is_found(order: Order) -> None:
    JournalEntry.objects.create(
        day=MONDAY,
        occurred_at=at_hour(MONDAY),
        source_type="balance_transaction",
        source_id="txn_nowhere",
        purpose="capture",
        created_at=NOW,
    )
    written = JournalEntry.objects.get(source_id="txn_nowhere")
    JournalLine.objects.create(entry=written, position=1, account_id="1150", debit=5)
    JournalLine.objects.create(entry=written, position=2, account_id="6120", credit=5)
    assert (Check.TRANSACTION_ENTRY, "txn_nowhere") in list(all_findings())


def test_a_prepayment_that_no_payment_explains_is_found(order: Order) -> None:
    written = JournalEntry.objects.create(
        day=MONDAY,
        occurred_at=at_hour(MONDAY),
        source_type="entry",
        source_id="9",
        purpose="x",
        order=order,
        created_at=NOW,
    )
    JournalLine.objects.create(entry=written, position=1, account_id="6120", debit=5)
    JournalLine.objects.create(entry=written, position=2, account_id="2130", credit=5)
    assert [str(finding) for finding in checks.orders.order_balances(Order.objects.all(), until=None)] == [
        f"sub-ledger of 2130: Order {order.number}: expected 0 owed, found 5 owed"
    ]


def test_the_sub_ledger_can_be_checked_up_to_a_day(order: Order) -> None:
    assert list(checks.orders.order_balances(Order.objects.all(), until=MONDAY - timedelta(days=1))) == []
    assert list(checks.orders.order_balances(Order.objects.all(), until=MONDAY)) == []


def test_a_shipped_order_whose_prepayment_is_not_used_up_is_found(order: Order) -> None:
    editor = connection.schema_editor()
    triggers.remove(editor)
    recognition = order.entries.get(source_type="shipment")
    JournalLine.objects.filter(entry=recognition, account_id="2130").update(debit=12_000)
    triggers.install(editor)
    assert [str(finding) for finding in checks.orders.shipped_orders(Order.objects.all())] == [
        f"2130 of a shipped order: Order {order.number}: expected 12130 recognised, found 12000 recognised"
    ]


def test_tax_that_was_not_posted_in_full_is_found(order: Order) -> None:
    editor = connection.schema_editor()
    triggers.remove(editor)
    recognition = order.entries.get(source_type="shipment")
    JournalLine.objects.filter(entry=recognition, account_id="2151").update(credit=75)
    JournalLine.objects.filter(entry=recognition, account_id="4111").update(credit=960)
    triggers.install(editor)
    assert list(all_findings()) == [
        (Check.LINE_TAX, f"{recognition.voucher} (shipment {recognition.source_id} recognition)"),
        (Check.TAX_REDUCED_POSTED, order.number),
    ]


def test_more_refunded_than_captured_is_found(order: Order) -> None:
    payment = order.payments.get()
    refund = Refund.objects.create(
        order=order, payment=payment, nonce="n", amount=12_130, requested_at=NOW, status="pending"
    )
    RefundLine.objects.create(refund=refund, prepaid=12_130)
    found = list(checks.orders.refunded_payments(Order.objects.all()))
    assert [(finding.table, finding.object_id) for finding in found] == [("Payment", payment.payment_intent)]


def test_a_refund_whose_parts_do_not_add_up_is_found(order: Order) -> None:
    line = RefundLine.objects.filter(recognised__gt=0).earliest("pk")
    RefundLine.objects.filter(pk=line.pk).update(recognised=line.recognised + 1)
    found = list(checks.orders.refund_parts(Order.objects.all()))
    assert [(finding.check, finding.expected, finding.found) for finding in found] == [
        (Check.REFUND_PARTS, "3000", "3001")
    ]


def test_a_paid_order_without_its_payment_is_found(order: Order) -> None:
    order.payments.update(amount=1)
    found = list(checks.orders.paid_orders(Order.objects.filter(pk=order.pk)))
    assert Check.PAID_ORDER in [finding.check for finding in found]


def test_stock_that_its_movements_do_not_explain_is_found(order: Order) -> None:
    item = StockItem.objects.get(sku="DESK")
    StockItem.objects.filter(pk=item.pk).update(on_hand=item.on_hand + 1, reserved=item.reserved + 1)
    assert list(checks.stock.stock_items()) == [
        Finding(
            Check.STOCK,
            "StockItem",
            "DESK",
            f"on hand {item.on_hand}, reserved {item.reserved}",
            f"on hand {item.on_hand + 1}, reserved {item.reserved + 1}",
        )
    ]


def test_checking_everything_takes_a_fixed_number_of_queries(
    sandbox: Sandbox, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    now = set_clock(sandbox, at_hour(MONDAY))
    for _number in range(3):
        build.ship(build.paid_order(sandbox, now=now), now=now)
    build.fetch(sandbox)
    with transaction.atomic(), django_assert_num_queries(41):
        assert list(all_findings()) == []
