"""`verify_books` names each manipulation of rows that may change, and each loss of rows that may not."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import User
from django.core import mail as django_mail
from django.core.management import call_command
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.books.discrepancies import note_discrepancy
from ledger.closing import evidence, verification
from ledger.closing.daily_close import close_day, close_days
from ledger.ingest.snapshot import StripeSnapshot
from ledger.models import DailyClose, Discrepancy, OutgoingMail, Payment, StripeEvent
from ledger.sales import mail
from ledger.testing import build
from ledger.testing.closing import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    at,
    create_foreign_charge,
    night_after,
    run_business_day,
    set_clock,
)
from ledger.testing.tampering import tamper

pytestmark = [pytest.mark.django_db, pytest.mark.engine_independent]


@pytest.fixture
def books(sandbox: Sandbox) -> Iterator[None]:
    """Close Monday, with a discrepancy, and Tuesday."""
    run_business_day(sandbox, MONDAY)
    create_foreign_charge(sandbox, set_clock(sandbox, at(MONDAY, 18)))
    run_business_day(sandbox, TUESDAY)
    list(close_days([MONDAY, TUESDAY], now=set_clock(sandbox, night_after(TUESDAY))))
    assert findings() == ""
    yield


def findings() -> str:
    return "\n".join(str(finding) for finding in verification.verify())


DELETE_CLOSE = [
    f"DELETE FROM ledger_{table} WHERE close_id = '{TUESDAY}'" for table in ("evidencefile", "closingbalance")
] + [f"DELETE FROM ledger_dailyclose WHERE day = '{TUESDAY}'"]


def test_a_deleted_last_day_is_named(books: None) -> None:
    for statement in DELETE_CLOSE:
        tamper(statement)
    assert (
        f"a day that was closed: DailyClose {TUESDAY}: expected closed with run 1, found not closed"
        in findings()
    )


def test_a_replaced_last_day_is_named(books: None, sandbox: Sandbox) -> None:
    for statement in DELETE_CLOSE:
        tamper(statement)
    close_day(TUESDAY, now=night_after(TUESDAY))
    assert f"DailyClose {TUESDAY}: expected closed with run 1, found run 2" in findings()


def test_deleted_closing_balances_of_a_day_are_named(books: None) -> None:
    tamper(f"DELETE FROM ledger_closingbalance WHERE close_id = '{MONDAY}'")
    assert f"closing balance: ClosingBalance {MONDAY} 1150" in findings()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            "DELETE FROM ledger_discrepancy",
            f"discrepancies of a closed day: Discrepancy {MONDAY} missing_in_books",
        ),
        (
            "UPDATE ledger_refund SET status = 'failed' WHERE status = 'succeeded'",
            "status of a refund: Refund re_",
        ),
        ("UPDATE ledger_order SET status = 'paid' WHERE status = 'shipped'", "status of an order: Order"),
        ("UPDATE ledger_order SET status = 'cancelled' WHERE status = 'paid'", "status of an order: Order"),
        ("UPDATE ledger_shipmentline SET quantity = quantity + 1", "pieces of an order line: ShipmentLine"),
        ("UPDATE ledger_orderline SET returned = 1 WHERE shipped > 0", "pieces of an order line: OrderLine"),
        (
            "UPDATE ledger_payment SET captured_at = '2026-11-15 03:00:00+00:00'",
            "payments of a closed day: Payment ch_",
        ),
        (
            "UPDATE ledger_account SET type = 'expense' WHERE code = '1150'",
            "type of an account: Account 1150",
        ),
        ("DELETE FROM ledger_account WHERE code = '1160'", "type of an account: Account 1160"),
        ("UPDATE ledger_stripeevent SET payload = '{}'", "content of a Stripe event: StripeEvent evt_"),
        ("UPDATE ledger_stripeevent SET payload = 'null'", "content of a Stripe event: StripeEvent evt_"),
        ("DELETE FROM ledger_stripeevent", f"records of a closed day: stripe_events {MONDAY}"),
        ("DELETE FROM ledger_orderevent", f"records of a closed day: order_events {MONDAY}"),
    ],
)
def test_a_manipulation_is_named(books: None, statement: str, named: str) -> None:
    tamper(statement)
    assert named in findings()


def test_an_event_that_has_lost_its_object_is_named(books: None) -> None:
    event = StripeEvent.objects.earliest("pk")
    event.payload["data"]["object"] = {}
    event.save()
    assert findings() == (
        f"content of a Stripe event: StripeEvent {event.pk}: expected what Stripe sent, found not that"
    )


def test_a_discrepancy_that_is_deleted_from_one_of_two_days_is_named(sandbox: Sandbox) -> None:
    for day in (MONDAY, TUESDAY):
        run_business_day(sandbox, day)
        note_discrepancy(Discrepancy.Kind.BALANCE, "1150", day=day, now=at(day))
    list(close_days([MONDAY, TUESDAY], now=set_clock(sandbox, night_after(TUESDAY))))
    assert findings() == ""
    Discrepancy.objects.get(day=TUESDAY).delete()
    assert f"discrepancies of a closed day: Discrepancy {TUESDAY} balance 1150" in findings()
    assert f"Discrepancy {MONDAY}" not in findings()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("fee_taxed = NOT COALESCE(fee_taxed, fee_tax > 0)", "fee_taxed: expected"),
        ("other_balance = 'issuing'", "balance: expected payments, found issuing"),
    ],
)
def test_a_changed_transaction_of_a_day_whose_evidence_is_older_than_the_column_is_named(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, change: str, named: str
) -> None:
    run_business_day(sandbox, MONDAY)
    write = evidence.stripe_evidence

    def first_format(snapshot: StripeSnapshot) -> Iterator[bytes]:
        stored = json.loads(b"".join(write(snapshot)))
        for row in stored["balance_transactions"]:
            del row["fee_taxed"], row["balance"]
        yield json.dumps(stored).encode()

    monkeypatch.setattr(evidence, "stripe_evidence", first_format)
    close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert findings() == ""
    tamper(f"UPDATE ledger_balancetransaction SET {change}")
    assert "transaction of a closed day: BalanceTransaction txn_" in findings()
    assert named in findings()


def test_emptied_audit_rows_are_named(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    user = User.objects.create_user("staff")
    update = LogEntry.Action.UPDATE
    LogEntry.objects.log_create(user, force_log=True, action=update, changes="{}", timestamp=at(MONDAY, 12))
    close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert findings() == ""
    LogEntry.objects.all().delete()
    assert f"records of a closed day: audit {MONDAY}: expected 1 rows or more, found 0 rows" in findings()


def test_a_shipped_quantity_that_is_changed_everywhere_is_named(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    order = build.paid_order(sandbox, [build.line(quantity=3, price=2_000)], now=now)
    part = build.ship(order, {order.lines.get().pk: 1}, now=now).lines.get()
    tamper(f"UPDATE ledger_orderline SET shipped = 2, reserved = 1 WHERE id = {part.order_line_id}")
    tamper(f"UPDATE ledger_shipmentline SET quantity = 2 WHERE id = {part.pk}")
    assert f"pieces of an order line: ShipmentLine {part.pk}: expected 1 out of stock, found 2" in findings()


# ── The anchor ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_mail_of_a_close_carries_the_head_that_verification_compares(
    sandbox: Sandbox, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.BOOKS_EMAIL = "books@example.jp"
    run_business_day(sandbox, MONDAY)
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    head = f"{MONDAY}:{result.manifest_sha256}"
    row = OutgoingMail.objects.get(kind=OutgoingMail.Kind.DAILY_CLOSE)
    assert row.to == "books@example.jp" and head in row.text and head in row.html
    mail.send_due(now=night_after(MONDAY) + timedelta(days=20))
    (sent,) = [each for each in django_mail.outbox if each.to == ["books@example.jp"]]
    assert "未照合（金額差） 0 件" in sent.subject and f"verify_books --head {head}" in sent.body
    call_command("verify_books", "--head", head)
    assert "clean" in capsys.readouterr().out

    tamper(f"UPDATE ledger_dailyclose SET manifest_sha256 = '{'0' * 64}'")
    with pytest.raises(SystemExit):
        call_command("verify_books", "--head", head)
    assert (
        f"manifest kept elsewhere: DailyClose {MONDAY}: expected {result.manifest_sha256}"
        in capsys.readouterr().out
    )


def test_days_that_are_closed_together_have_a_mail_each_however_many_mails_the_address_got(
    sandbox: Sandbox, settings: Settings
) -> None:
    settings.BOOKS_EMAIL, settings.UNSOLICITED_MAILS_A_DAY = "books@example.jp", 1
    run_business_day(sandbox, MONDAY)
    now = set_clock(sandbox, night_after(WEDNESDAY))
    results = list(close_days([MONDAY, TUESDAY, WEDNESDAY], now=now))
    mails = OutgoingMail.objects.filter(kind=OutgoingMail.Kind.DAILY_CLOSE).order_by("pk")
    assert len(mails) == 3
    for row, result in zip(mails, results, strict=True):
        assert result.manifest_sha256 in row.text


def test_no_mail_is_queued_without_an_address_and_none_by_a_dry_run(
    sandbox: Sandbox, settings: Settings
) -> None:
    run_business_day(sandbox, MONDAY)
    now = set_clock(sandbox, night_after(MONDAY))
    settings.BOOKS_EMAIL = "books@example.jp"
    close_day(MONDAY, now=now, dry_run=True)
    settings.BOOKS_EMAIL = ""
    close_day(MONDAY, now=now)
    assert not OutgoingMail.objects.filter(kind=OutgoingMail.Kind.DAILY_CLOSE).exists()


def test_a_mark_that_could_not_be_written_is_made_up_for_by_the_next_close(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_business_day(sandbox, MONDAY)

    def full(*arguments: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(evidence, "mark_closed", full)
        assert close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY))).state == "closed"
    assert list(evidence.closed_marks()) == [] and findings() == ""
    close_day(TUESDAY, now=set_clock(sandbox, night_after(TUESDAY)))
    assert list(evidence.closed_marks()) == [(str(MONDAY), "1"), (str(TUESDAY), "1")]
    assert DailyClose.objects.count() == 2 and Payment.objects.exists() and not Discrepancy.objects.exists()
