"""The books belong to one Stripe account; days are closed by Stripe's clock, too."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from kikaku.sandbox import Sandbox, adapter
from kikaku.sandbox.server import running
from ledger.closing import verification
from ledger.closing.daily_close import CloseFailed, DayRefused, close_day, close_days
from ledger.ingest import balance, inbox
from ledger.models import (
    BalanceTransaction,
    DailyClose,
    Discrepancy,
    JournalEntry,
    StripeAccount,
)
from ledger.sales import checkout, refunds
from ledger.stripe import client
from ledger.stripe.client import ForeignAccount, StripeUnavailable
from ledger.testing import build
from ledger.testing.closing import MONDAY, TUESDAY, at, night_after, run_business_day, set_clock
from ledger.testing.webhooks import event, sign
from ops.jobs import schedule
from ops.models import JobRun, ProcessStart

pytestmark = pytest.mark.django_db


@pytest.fixture
def foreign(sandbox: Sandbox, settings: Settings, tmp_path: Path) -> Sandbox:
    """Sell on Monday with one account, then switch to the key of another, which has a payment of its own."""
    run_business_day(sandbox, MONDAY)
    settings.SANDBOX_STATE = tmp_path / "another.sqlite3"
    other = adapter.sandbox()
    set_clock(other, night_after(MONDAY))
    return other


def books() -> list[int]:
    return [model.objects.count() for model in (JournalEntry, BalanceTransaction, DailyClose, Discrepancy)]


def test_the_account_is_stored_at_the_first_use_of_a_key(sandbox: Sandbox) -> None:
    assert not StripeAccount.objects.exists()
    answer = client.ask_account()
    owner = StripeAccount.objects.get()
    assert (owner.account, owner.live) == (answer.id, False)
    assert owner.account.startswith("acct_")
    client.ask_account()
    assert StripeAccount.objects.get() == owner


def test_a_close_with_the_key_of_another_account_writes_nothing(foreign: Sandbox) -> None:
    before = books()
    with pytest.raises(CloseFailed, match=r"この帳簿のStripeアカウントではありません：.* belong to .*acct_"):
        close_day(MONDAY, now=night_after(MONDAY))
    with pytest.raises(CloseFailed, match="Stripeアカウントではありません"):
        close_day(MONDAY, now=night_after(MONDAY), dry_run=True)
    assert books() == before
    assert list(verification.verify()) == []


def test_jobs_and_checkout_with_the_key_of_another_account_do_nothing(foreign: Sandbox) -> None:
    now = night_after(MONDAY)
    order = build.order(now=now)
    before = books()
    with pytest.raises(checkout.PaymentUnavailable):
        checkout.start_payment(order, now=now)
    with pytest.raises(ForeignAccount):
        balance.fetch_new(now=now)
    paid = JournalEntry.objects.filter(purpose="capture").earliest("pk").order
    assert paid is not None
    refund = build.refund(paid, 100, now=now)
    refunds.send_requested(now=now + timedelta(hours=1))
    refund.refresh_from_db()
    assert refund.status == refund.Status.REQUESTED
    assert books() == before


def change_account(sandbox: Sandbox) -> None:
    """Let the same key belong to another account from now on."""
    with sandbox._transaction(write=True) as tx:
        tx.db.execute("UPDATE secrets SET value = 'another0123456789' WHERE name = 'account'")


def test_each_job_and_each_close_compare_the_account_again(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    set_clock(sandbox, night_after(MONDAY))
    change_account(sandbox)
    before = books()
    with pytest.raises(CloseFailed, match="Stripeアカウントではありません"):
        close_day(MONDAY, now=night_after(MONDAY))
    assert schedule.run("balance", now=night_after(MONDAY)) is False
    assert "ForeignAccount" in JobRun.objects.get(job="balance").message
    assert books() == before


@pytest.mark.parametrize("command", ["prepare", "worker"])
def test_a_start_with_the_key_of_another_account_is_refused(
    foreign: Sandbox, settings: Settings, command: str
) -> None:
    settings.STRIPE_SECRET_KEY = "sk_test_another"
    with running(foreign) as address:
        settings.STRIPE_API_BASE = address
        with pytest.raises(CommandError, match="not the Stripe account of the books"):
            call_command(command)
    # a worker that ends here again and again is a restart loop
    assert ProcessStart.objects.filter(name="worker").count() == (command == "worker")


def test_a_live_key_is_refused_where_a_test_key_was_used(sandbox: Sandbox, settings: Settings) -> None:
    client.ask_account()
    settings.STRIPE_SECRET_KEY = "sk_live_x"
    with pytest.raises(ForeignAccount, match=r"\(test mode\), the API key to .* \(live mode\)"):
        client.ask_account()


def test_an_outage_of_stripe_does_not_prevent_a_start(sandbox: Sandbox, settings: Settings) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    assert client.foreign_account() == ""
    with pytest.raises(StripeUnavailable):
        client.client()


def test_an_event_of_a_connected_account_is_refused(sandbox: Sandbox) -> None:
    client.ask_account()
    now = build.now_of(sandbox)
    for account, stored in ((StripeAccount.objects.get().account, True), ("acct_other", False)):
        body = event(id=f"evt_{account}", account=account)
        if stored:
            inbox.receive(body, sign(body, "whsec_sandbox"), now=now)
        else:
            with pytest.raises(inbox.Rejected, match="another account"):
                inbox.receive(body, sign(body, "whsec_sandbox"), now=now)


def test_the_account_cannot_be_changed_afterwards(sandbox: Sandbox) -> None:
    client.ask_account()
    with pytest.raises(Exception, match="append-only"), connection.cursor() as cursor:
        cursor.execute("UPDATE ledger_stripeaccount SET account = 'acct_other'")


# ── Stripe's clock ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_day_that_is_not_over_by_stripes_clock_is_not_closed(sandbox: Sandbox, dry_run: bool) -> None:
    run_business_day(sandbox, MONDAY)
    set_clock(sandbox, at(MONDAY, 23, 59))
    two_days_ahead = at(TUESDAY, 23, 59) + timedelta(days=1)
    with pytest.raises(DayRefused, match=r"2026-11-16 14:59 UTC）では .* はまだ終わっていません"):
        list(close_days([MONDAY, TUESDAY], now=two_days_ahead, dry_run=dry_run))
    with pytest.raises(DayRefused):
        close_day(MONDAY, now=two_days_ahead, dry_run=dry_run)
    assert not DailyClose.objects.exists()
    set_clock(sandbox, at(TUESDAY, 0))
    assert close_day(MONDAY, now=two_days_ahead, dry_run=dry_run).differences == 0


@contextmanager
def answering_without_a_date(account: str) -> Iterator[str]:
    """Serve an account to every request, without a Date header; yield the address."""
    body = json.dumps({"object": "account", "id": account}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)  # alone it adds no date
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_an_answer_without_a_date_closes_nothing(sandbox: Sandbox, settings: Settings) -> None:
    run_business_day(sandbox, MONDAY)
    set_clock(sandbox, night_after(MONDAY))
    account = client.ask_account().id
    with (
        answering_without_a_date(account) as settings.STRIPE_API_BASE,
        pytest.raises(CloseFailed, match="Date header"),
    ):
        close_day(MONDAY, now=night_after(MONDAY))
    assert not DailyClose.objects.exists()


def test_stripes_clock_is_read_from_the_answer(sandbox: Sandbox) -> None:
    moment: datetime = set_clock(sandbox, at(MONDAY, 7))
    assert client.ask_account().stripe_now == moment
