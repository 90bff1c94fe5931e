"""`verify_books` finds every row and file that was tampered with."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.books.accounts import PREPAYMENTS
from ledger.closing import evidence, verification
from ledger.closing.daily_close import close_days
from ledger.models import BalanceTransaction, DailyClose, JournalLine, Order, OrderLine, StockItem
from ledger.stripe import client as stripe_client
from ledger.testing import build
from ledger.testing.closing import MONDAY, TUESDAY, at, night_after, run_business_day, set_clock
from ledger.testing.tampering import tamper

pytestmark = pytest.mark.django_db
# for the tests that compare evidence and rows: each closes two days, which takes seconds on D1
engine_independent = pytest.mark.engine_independent


@pytest.fixture
def books(sandbox: Sandbox) -> None:
    """Close Monday and Tuesday; Wednesday, with a payment, stays open."""
    run_business_day(sandbox, MONDAY)
    run_business_day(sandbox, TUESDAY)
    now = set_clock(sandbox, night_after(TUESDAY))
    assert [result.differences for result in close_days([MONDAY, TUESDAY], now=now)] == [0, 0]
    now = set_clock(sandbox, at(TUESDAY + timedelta(days=1)))
    build.paid_order(sandbox, now=now)
    build.fetch(sandbox)


@pytest.fixture(autouse=True)
def without_deferred_constraints() -> Iterator[None]:
    """Make PostgreSQL check foreign keys now: it refuses to drop a trigger while checks are deferred."""
    if connection.vendor == "postgresql":
        connection.check_constraints()
    yield


def finding_rows() -> list[tuple[str, str, str, str]]:
    """Return (table, id, expected, found) of every finding."""
    return [(f.table, f.object_id, f.expected, f.found) for f in verification.verify()]


def finding_text() -> str:
    """Return all findings as one text."""
    return "\n".join(str(finding) for finding in verification.verify())


def test_clean_books_have_no_findings(books: None) -> None:
    assert finding_text() == ""


def test_empty_books_have_no_findings() -> None:
    assert finding_text() == ""


@engine_independent
def test_a_changed_amount_in_a_closed_day_is_reported(books: None) -> None:
    line = JournalLine.objects.filter(entry__day=MONDAY, account_id="2130", credit__gt=0).earliest("pk")
    tamper(f"UPDATE ledger_journalline SET credit = credit + 1 WHERE id = {line.pk}")
    text = finding_text()
    assert f"entry balanced: JournalEntry {line.entry.voucher} " in text
    assert "trial balance" in text
    assert f"journal of a closed day: JournalLine {MONDAY} voucher {line.entry.voucher} " in text


@engine_independent
def test_a_change_that_keeps_the_entry_balanced_is_reported_too(books: None) -> None:
    line = JournalLine.objects.filter(entry__day=MONDAY, account_id="4110").earliest("pk")
    tamper(f"UPDATE ledger_journalline SET account_id = '4111' WHERE id = {line.pk}")
    text = finding_text()
    assert f"{MONDAY} voucher {line.entry.voucher} 出荷 {line.entry.source_id} line {line.position}" in text
    assert "tax 10% posted: Order" in text


@engine_independent
def test_a_deleted_entry_is_reported(books: None) -> None:
    entry = Order.objects.earliest("pk").entries.filter(purpose="capture").get()
    tamper(f"DELETE FROM ledger_journalline WHERE entry_id = {entry.pk}")
    tamper(f"DELETE FROM ledger_journalentry WHERE id = {entry.pk}")
    text = finding_text()
    assert f"entry of a transaction: BalanceTransaction {entry.source_id}" in text
    assert "1150 at the cut: DailyClose 2026-11-16" in text
    assert f"sub-ledger of 2130: Order {entry.order and entry.order.number}" in text


@engine_independent
def test_a_close_that_differs_from_its_report_is_reported(books: None) -> None:
    tamper("UPDATE ledger_dailyclose SET differences = 5 WHERE day = '2026-11-16'")
    assert [(table, key) for table, key, _expected, _found in finding_rows()] == [
        ("DailyClose", "2026-11-16")
    ]


@engine_independent
def test_a_deleted_shipment_entry_of_an_open_day_is_reported(books: None) -> None:
    wednesday = at(TUESDAY + timedelta(days=1))
    order = Order.objects.latest("pk")
    OrderLine.objects.filter(order=order).update(quantity=2, reserved=2, unit_price=5_500)
    StockItem.objects.filter(order_lines__order=order).update(reserved=F("reserved") + 1)
    shipment = build.ship(order, {order.lines.get().pk: 1}, now=wednesday)
    entry = order.entries.get(source_type="shipment").pk
    assert finding_text() == ""
    tamper(f"DELETE FROM ledger_journalline WHERE entry_id = {entry}")
    tamper(f"DELETE FROM ledger_journalentry WHERE id = {entry}")
    assert [(table, key) for table, key, _expected, _found in finding_rows()] == [
        ("Shipment", f"{shipment.pk} ({order.number})")
    ]


@engine_independent
def test_a_deleted_entry_of_a_refused_refund_is_reported(books: None) -> None:
    order = Order.objects.latest("pk")
    stripe_client.client().v1.refunds.create(  # its event is not delivered, so our refund is too large
        {"payment_intent": order.payments.get().payment_intent, "amount": 500}
    )
    refund = build.refund(order, now=at(TUESDAY + timedelta(days=1)))
    assert (refund.status, refund.stripe_id) == ("failed", None)
    assert finding_text() == ""
    entry = order.entries.get(source_type="refund").pk
    tamper(f"DELETE FROM ledger_journalline WHERE entry_id = {entry}")
    tamper(f"DELETE FROM ledger_journalentry WHERE id = {entry}")
    assert "entry of an unpaid refund" in finding_text()


@pytest.mark.parametrize("column", ["debit", "open_orders"])
@engine_independent
def test_a_changed_closing_balance_is_reported(books: None, column: str) -> None:
    tamper(
        f"UPDATE ledger_closingbalance SET {column} = {column} + 1 "
        f"WHERE close_id = '{TUESDAY}' AND account_id = '{PREPAYMENTS}'"
    )
    assert [line.split(": expected")[0] for line in finding_text().splitlines()] == [
        f"closing balance: ClosingBalance {TUESDAY} {PREPAYMENTS}"
    ]


@engine_independent
def test_a_changed_balance_transaction_is_reported_with_its_field(books: None) -> None:
    txn = BalanceTransaction.objects.filter(day=MONDAY).earliest("pk")
    tamper(f"UPDATE ledger_balancetransaction SET fee = fee + 1, net = net - 1 WHERE id = '{txn.pk}'")
    assert ("BalanceTransaction", f"{txn.pk} fee", str(txn.fee), str(txn.fee + 1)) in finding_rows()


@engine_independent
def test_an_order_total_that_was_changed_is_reported(books: None) -> None:
    order = Order.objects.earliest("pk")
    Order.objects.filter(pk=order.pk).update(tax_standard=order.tax_standard + 1)
    assert [row[:2] for row in finding_rows()] == [("Order", order.number)]


@engine_independent
def test_wrong_stock_is_reported_with_its_sku(books: None) -> None:
    StockItem.objects.filter(sku="DESK").update(on_hand=1_000)
    assert [row[:2] for row in finding_rows()] == [("StockItem", "DESK")]


@engine_independent
def test_shipped_pieces_without_a_shipment_are_reported(books: None) -> None:
    line = OrderLine.objects.filter(sku="DESK").earliest("pk")
    OrderLine.objects.filter(pk=line.pk).update(reserved=0, shipped=1)
    assert {row[0] for row in finding_rows()} == {"OrderLine", "StockItem"}


@pytest.mark.parametrize(
    "name", ["report.json", "report.html", "journal.csv", "stripe-evidence.json", "manifest.json"]
)
@engine_independent
def test_a_changed_file_is_reported(books: None, settings: Settings, name: str) -> None:
    path = f"daily-close/{MONDAY}/1/{name}"
    with (settings.EVIDENCE_ROOT / path).open("ab") as file:
        file.write(b" ")
    assert [row[:2] for row in finding_rows()] == [("EvidenceFile", path)]


@engine_independent
def test_a_deleted_file_is_reported(books: None) -> None:
    path = f"daily-close/{TUESDAY}/1/journal.csv"
    storages["evidence"].delete(path)
    assert [(row[1], row[3]) for row in finding_rows()] == [(path, "the file is gone")]


@engine_independent
def test_a_forged_file_with_a_forged_row_breaks_the_manifest(books: None, settings: Settings) -> None:
    path = f"daily-close/{MONDAY}/1/report.json"
    forged = (settings.EVIDENCE_ROOT / path).read_bytes().replace(b'"count": 2', b'"count": 3')
    (settings.EVIDENCE_ROOT / path).write_bytes(forged)
    tamper(f"UPDATE ledger_evidencefile SET sha256 = '{evidence.sha256(forged)}' WHERE path = '{path}'")
    assert [row[:2] for row in finding_rows()] == [("EvidenceFile", path)]


@engine_independent
def test_a_forged_manifest_checksum_is_reported(books: None) -> None:
    tamper(f"UPDATE ledger_dailyclose SET manifest_sha256 = '{'0' * 64}' WHERE day = '{MONDAY}'")
    assert {row[1] for row in finding_rows()} == {
        str(MONDAY),
        str(TUESDAY),
        f"daily-close/{TUESDAY}/1/manifest.json",
    }


@engine_independent
def test_a_missing_day_between_closes_is_reported(books: None) -> None:
    DailyClose.objects.create(
        day=TUESDAY + timedelta(days=2),
        run=1,
        stripe_balance=0,
        book_balance=0,
        differences=0,
        manifest_sha256="0" * 64,
        closed_at=night_after(TUESDAY),
    )
    assert ("DailyClose", "2026-11-19", "2026-11-18", "2026-11-19") in finding_rows()


@pytest.mark.django_db(transaction=False)  # the rollback restores them
def test_a_missing_and_an_altered_trigger_are_reported() -> None:
    table = "ledger_journalline"
    altered = f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table}"
    expected = [(f"{table}_no_delete", "altered"), (f"{table}_no_update", "missing")]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"DROP TRIGGER {table}_no_update ON {table}")
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_no_truncate")
            cursor.execute(f"DROP TRIGGER {table}_no_delete ON {table}")
            cursor.execute(f"{altered} FOR EACH ROW WHEN (false) EXECUTE FUNCTION ledger_append_only()")
            expected.insert(1, (f"{table}_no_truncate", "disabled"))
        else:
            cursor.execute(f"DROP TRIGGER {table}_no_update")
            cursor.execute(f"DROP TRIGGER {table}_no_delete")
            cursor.execute(f"{altered} BEGIN SELECT 1; END")
    assert [(row[1], row[3]) for row in finding_rows()] == expected


def test_the_test_database_table_is_reported_in_another_database() -> None:
    name = connection.settings_dict["NAME"]
    connection.ensure_connection()
    connection.settings_dict["NAME"] = "/srv/shop.sqlite3"
    try:
        assert [row[0] for row in finding_rows()] == ["ledger_test_database"]
    finally:
        connection.settings_dict["NAME"] = name


@engine_independent
def test_the_command_exits_with_0_for_clean_books_and_1_for_broken_ones(
    books: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("verify_books")
    assert "The books are clean" in capsys.readouterr().out
    StockItem.objects.filter(sku="DESK").update(on_hand=1_000)
    with pytest.raises(SystemExit) as ended:
        call_command("verify_books", "--json")
    report = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1
    assert (report["clean"], report["findings"][0]["object_id"]) == (False, "DESK")
