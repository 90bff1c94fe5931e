"""Each entry is matched with its row: close and `verify_books` name every entry that stands for nothing."""

from datetime import datetime

import pytest
from django.db import transaction
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.books import journal
from ledger.closing import verification
from ledger.closing.daily_close import close_day
from ledger.models import JournalEntry, JournalLine, Order
from ledger.testing import build
from ledger.testing.closing import MONDAY, at, night_after, run_business_day, set_clock
from ledger.testing.tampering import tamper

pytestmark = [pytest.mark.django_db, pytest.mark.engine_independent]


@pytest.fixture
def order(sandbox: Sandbox) -> Order:
    """Return the order of a business day that is still open."""
    sold = run_business_day(sandbox, MONDAY)
    build.fetch(sandbox)
    return sold


def forge(source: str, source_id: str, purpose: str, **more: object) -> JournalEntry:
    """Write a balanced entry into the open day, past the functions of the journal."""
    entry = JournalEntry.objects.create(
        day=MONDAY,
        occurred_at=at(MONDAY, 15),
        source_type=source,
        source_id=source_id,
        purpose=purpose,
        description="出荷",
        created_at=timezone.now(),
        **more,
    )
    JournalLine.objects.create(entry=entry, position=1, account_id="6110", debit=1_000)
    JournalLine.objects.create(entry=entry, position=2, account_id="4110", credit=1_000)
    return entry


def names(entry: JournalEntry) -> bool:
    """Return whether both the close and `verify_books` name an entry."""
    verified = [
        finding for finding in verification.verify() if finding.object_id.startswith(f"{entry.voucher} (")
    ]
    closed = close_day(MONDAY, now=night_after(MONDAY))
    noted = [row for row in closed.report["discrepancies"] if f"{entry.voucher} (" in row["object"]]
    assert bool(verified) == bool(noted)
    assert closed.exit_code == (2 if noted else 0)
    return bool(noted)


@pytest.mark.parametrize(
    ("source", "source_id", "purpose"),
    [
        ("shipment", "99999", "recognition"),
        ("shipment", "not a number", "recognition"),
        ("refund", "99999", "failed"),
        ("refund", "99999", "settled"),
        ("entry", "99999", "reversal"),
        ("manual", "1", "correction"),
        ("shipment", "1", "again"),
    ],
)
def test_an_entry_without_a_document_is_a_finding(
    order: Order, sandbox: Sandbox, source: str, source_id: str, purpose: str
) -> None:
    set_clock(sandbox, night_after(MONDAY))
    assert names(forge(source, source_id, purpose))


def test_an_entry_of_another_orders_parcel_is_a_finding(order: Order, sandbox: Sandbox) -> None:
    other = build.order(now=at(MONDAY))
    parcel = order.shipments.get()
    tamper(f"UPDATE ledger_journalentry SET order_id = {other.pk} WHERE source_type = 'shipment'")
    set_clock(sandbox, night_after(MONDAY))
    assert names(JournalEntry.objects.get(source_type="shipment", source_id=str(parcel.pk)))


def test_a_second_entry_of_a_balance_transaction_is_a_finding(order: Order, sandbox: Sandbox) -> None:
    captured = order.entries.get(purpose="capture")
    set_clock(sandbox, night_after(MONDAY))
    assert names(forge("balance_transaction", captured.source_id, "refund"))


def test_a_parcel_that_recognises_less_than_its_pieces_is_a_finding(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, [build.line(quantity=3, price=2_200)], now=now)
    build.fetch(sandbox)
    build.ship(order, {order.lines.get().pk: 1}, now=now)
    assert list(verification.verify()) == []
    entry = order.entries.get(source_type="shipment")
    for account, side, amount in (("2130", "debit", 110), ("4110", "credit", 100), ("2150", "credit", 10)):
        tamper(
            f"UPDATE ledger_journalline SET {side} = {side} - {amount} "
            f"WHERE entry_id = {entry.pk} AND account_id = '{account}'"
        )
    set_clock(sandbox, night_after(MONDAY))
    assert names(entry)


def test_the_entry_of_a_refund_takes_what_the_refunds_lines_say(order: Order, sandbox: Sandbox) -> None:
    entry = order.entries.get(purpose="refund")
    tamper(
        f"UPDATE ledger_journalline SET account_id = '2130' "
        f"WHERE entry_id = {entry.pk} AND account_id = '2150'"
    )
    set_clock(sandbox, night_after(MONDAY))
    assert names(entry)


def reverse(entry: JournalEntry, now: datetime) -> JournalEntry:
    with transaction.atomic():
        return journal.reverse(entry, occurred_at=now, now=now)


def test_a_reversal_needs_its_original_with_the_sides_exchanged(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, now=now)
    build.fetch(sandbox)
    build.ship(order, now=now)
    reversal = reverse(order.entries.get(source_type="shipment"), now)

    def found() -> list[str]:
        return [f.expected for f in verification.verify() if f.object_id.startswith(f"{reversal.voucher} (")]

    assert found() == []
    tamper(f"UPDATE ledger_journalline SET debit = debit + 1 WHERE entry_id = {reversal.pk} AND debit > 0")
    assert len(found()) == 2  # unbalanced, and not what it reverses
    tamper(f"UPDATE ledger_journalentry SET reverses_id = NULL WHERE id = {reversal.pk}")
    assert f"reverses entry {reversal.source_id}" in found()
