"""Money of others on the same Stripe account: other integrations, currencies, balances, authorisations."""

import json
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from kikaku.money import in_currency
from kikaku.sandbox import Request, Response, Sandbox
from ledger.books import accounts
from ledger.books.discrepancies import note_object
from ledger.books.trial_balance import net_balance
from ledger.closing import evidence, verification
from ledger.closing.daily_close import CloseResult, close_day
from ledger.ingest import inbox
from ledger.ingest.snapshot import fetch_snapshots
from ledger.models import BalanceTransaction, Discrepancy, JournalEntry
from ledger.stripe import client as stripe_client
from ledger.testing import build
from ledger.testing.closing import (
    MONDAY,
    TUESDAY,
    at,
    create_foreign_charge,
    night_after,
    run_business_day,
    set_clock,
)
from ledger.testing.tampering import tamper

pytestmark = [pytest.mark.django_db, pytest.mark.engine_independent]

Kind = Discrepancy.Kind


def close(sandbox: Sandbox) -> CloseResult:
    return close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))


def change(sandbox: Sandbox, kind: str, **fields: Any) -> str:
    """Change fields of the newest object of a kind at Stripe; return its id."""
    with sandbox._transaction(write=True) as tx:
        newest = tx.page(kind).data[0]
        tx.db.execute(
            "UPDATE objects SET body = ? WHERE id = ?", (json.dumps({**newest, **fields}), newest["id"])
        )
        return str(newest["id"])


def rows() -> list[tuple[str, str, int]]:
    return [(row.kind, row.object_id, row.amount) for row in Discrepancy.objects.order_by("pk")]


# ── One payment, one row ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", [1, -1], ids=["events in order", "events backwards"])
@pytest.mark.parametrize("fetched", ["before", "after", "never"])
def test_an_unknown_payment_makes_one_row(sandbox: Sandbox, order: int, fetched: str) -> None:
    now = set_clock(sandbox, at(MONDAY))
    create_foreign_charge(sandbox, now)
    charge = next(stripe_client.list_charges(at(MONDAY, 0), at(TUESDAY, 0)))["id"]
    if fetched == "before":
        build.fetch(sandbox)
    deliveries = sandbox.pending_deliveries()[::order]
    for delivery in deliveries:
        event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=now)
        inbox.process(event.pk, now=now)
    if fetched == "after":
        build.fetch(sandbox)
    result = close(sandbox)
    assert rows() == [(Kind.MISSING_IN_BOOKS, charge, 11_500)]
    assert [row["object"] for row in result.report["discrepancies"]] == [charge]


def test_an_unknown_payment_reported_on_two_days_is_one_row_of_the_earlier_one(sandbox: Sandbox) -> None:
    set_clock(sandbox, at(MONDAY, 23))
    create_foreign_charge(sandbox, at(MONDAY, 23))
    charge = next(stripe_client.list_charges(at(MONDAY, 0), at(TUESDAY, 0)))["id"]
    note_object(Kind.MISSING_IN_BOOKS, charge, day=TUESDAY, now=at(TUESDAY, 0), amount=11_500)
    result = close(sandbox)
    assert Discrepancy.objects.get().day == MONDAY
    assert result.differences == 1
    Discrepancy.objects.update(resolved_at=at(TUESDAY, 9), resolved_by="staff", resolution="another shop")
    build.fetch(sandbox)
    assert close_day(TUESDAY, now=set_clock(sandbox, night_after(TUESDAY))).differences == 0
    assert Discrepancy.objects.count() == 1


# ── Other currencies ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (1_999, "usd", "19.99 USD"),
        (-5, "eur", "−0.05 EUR"),
        (1_999, "krw", "1,999 KRW"),
        (1_234_567, "kwd", "1,234.567 KWD"),
        (1_999, "jpy", "¥1,999"),
    ],
)
def test_an_amount_is_written_with_its_currency(amount: int, currency: str, written: str) -> None:
    assert in_currency(amount, currency) == written


def test_dollars_of_another_integration_are_never_yen(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    create_foreign_charge(sandbox, now)
    charge = change(sandbox, "charge", currency="usd", amount=1_999, amount_captured=1_999, metadata={})
    change(sandbox, "balance_transaction", currency="usd", amount=1_999, fee=0, fee_details=[], net=1_999)
    with sandbox._transaction(write=True) as tx:
        tx.db.execute("UPDATE objects SET net = 0 WHERE kind = 'balance_transaction'")
    build.fetch(sandbox)
    result = close(sandbox)
    assert rows() == [(Kind.FOREIGN_CURRENCY, charge, 0)]
    assert "19.99 USD" in Discrepancy.objects.get().detail
    assert not JournalEntry.objects.exists()
    (row,) = result.report["discrepancies"]
    assert (row["category"], row["amount"]) == ("to_do", 0)
    page = evidence.read(f"{result.folder}/report.html").decode()
    assert "19.99 USD" in page and "1,999" not in page
    assert (result.exit_code, result.report["proof"]["difference"]) == (0, 0)


def test_a_refund_in_dollars_is_never_yen(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    create_foreign_charge(sandbox, now)
    charge = next(stripe_client.list_charges(at(MONDAY, 0), at(TUESDAY, 0)))["id"]
    stripe_client.client().v1.refunds.create({"charge": charge, "amount": 500})
    refund = change(sandbox, "refund", currency="usd")
    change(sandbox, "balance_transaction", currency="usd")  # of the refund
    with sandbox._transaction(write=True) as tx:
        tx.db.execute("UPDATE objects SET net = 0 WHERE kind = 'balance_transaction' AND net < 0")
    result = close(sandbox)
    (row,) = [row for row in result.report["discrepancies"] if row["object"] == refund]
    assert (row["kind"], row["amount"]) == (Kind.FOREIGN_CURRENCY, 0)
    assert "5.00 USD" in row["detail"]
    assert [kind for kind, object_id, _amount in rows() if object_id == refund] == [Kind.FOREIGN_CURRENCY]


# ── Other balances ───────────────────────────────────────────────────────────────────────────────────────


def test_a_reserve_is_no_part_of_1150_and_has_an_account_of_its_own(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    before = stripe_client.retrieve_balance()
    set_clock(sandbox, at(MONDAY, 18))
    sandbox.hold_reserve(3_000)
    assert stripe_client.retrieve_balance() == before - 3_000
    result = close(sandbox)
    proof = result.report["proof"]
    assert (proof["stripe_balance"], proof["account_1150"], proof["difference"]) == (
        before - 3_000,
        before - 3_000,
        0,
    )
    assert net_balance(accounts.STRIPE_RISK_RESERVED) == 3_000
    assert net_balance(accounts.SUSPENSE) == 0  # the two legs cancel out
    assert result.report["stripe"]["net"] == before - 3_000
    (leg,) = BalanceTransaction.objects.filter(other_balance="risk_reserved")
    (note,) = [row for row in result.report["discrepancies"] if row["kind"] == Kind.OTHER_BALANCE]
    assert (note["category"], note["object"], note["amount"]) == ("notice", leg.pk, 3_000)
    assert "risk_reserved" in note["detail"]
    assert result.exit_code == 0
    assert list(verification.verify()) == []


@pytest.mark.parametrize(
    ("balance", "account"),
    [("issuing", "1154"), ("refund_and_dispute_prefunding", "1153"), ("of_the_future", "1159")],
)
def test_each_other_balance_has_its_account(sandbox: Sandbox, balance: str, account: str) -> None:
    run_business_day(sandbox, MONDAY)
    set_clock(sandbox, at(MONDAY, 18))
    sandbox.hold_reserve(3_000)
    change(sandbox, "balance_transaction", balance_type=balance)
    sandbox.observer = None  # Stripe's document does not know every balance that may come
    result = close(sandbox)
    assert net_balance(account) == 3_000
    assert (result.exit_code, result.report["proof"]["difference"]) == (0, 0)


def test_a_reserve_that_was_stored_before_balances_were_told_apart_is_named(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    set_clock(sandbox, at(MONDAY, 18))
    sandbox.hold_reserve(3_000)
    build.fetch(sandbox)
    leg = BalanceTransaction.objects.get(other_balance="risk_reserved")
    tamper(f"UPDATE ledger_balancetransaction SET other_balance = NULL WHERE id = '{leg.pk}'")
    result = close(sandbox)
    (row,) = [row for row in result.report["discrepancies"] if row["kind"] == Kind.AMOUNT]
    assert (row["object"], row["amount"], result.exit_code) == (leg.pk, 0, 2)
    assert row["detail"] == "残高：Stripe risk_reserved／帳簿 payments"


# ── Authorisations ───────────────────────────────────────────────────────────────────────────────────────


def test_an_authorisation_that_is_not_captured_is_no_money(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    create_foreign_charge(sandbox, now)
    change(sandbox, "charge", captured=False, amount_captured=0)
    with sandbox._transaction(write=True) as tx:
        tx.db.execute("DELETE FROM objects WHERE kind = 'balance_transaction'")
    result = close(sandbox)
    assert (result.differences, rows()) == (0, [])


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────────────


def count_calls(sandbox: Sandbox) -> Counter[str]:
    counts: Counter[str] = Counter()

    def note(request: Request, response: Response) -> None:
        counts[request.target.partition("?")[0].rsplit("/", 1)[0]] += 1

    sandbox.observer = note
    return counts


def test_foreign_charges_that_the_list_brought_are_not_asked_for_again(sandbox: Sandbox) -> None:
    now: datetime = set_clock(sandbox, at(MONDAY))
    for _number in range(3):
        create_foreign_charge(sandbox, now)
    refunded = next(stripe_client.list_charges(at(MONDAY, 0), at(TUESDAY, 0)))["id"]
    stripe_client.client().v1.refunds.create({"charge": refunded, "amount": 500})
    calls = count_calls(sandbox)
    (snapshot,) = fetch_snapshots([MONDAY], now=set_clock(sandbox, night_after(MONDAY)))
    assert len(snapshot.answers.charges) == 3 and len(snapshot.answers.refunds) == 1
    assert calls["/v1/charges"] == calls["/v1/refunds"] == 0  # the lists are /v1/charges?…
