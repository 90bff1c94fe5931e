"""Acts of others: another account's key, a wrong clock, other integrations, a reserve, forged entries."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

from django.db import transaction

from kikaku.days import business_day, yesterday
from kikaku.sandbox import balance, events
from kikaku.sandbox.state import new_id
from ledger.books import journal
from ledger.closing import daily_close
from ledger.closing.checks import sources
from ledger.models import DailyClose, JournalEntry, JournalLine, Order
from ledger.sales import checkout
from ledger.stripe import client
from ledger.stripe.client import StripeUnavailable

if TYPE_CHECKING:
    from ledger.testing.histories.actions import Action
    from ledger.testing.histories.world import World


@dataclass(frozen=True)
class ForeignKey:
    """The API key is another account's during an action: no call to Stripe is made, and no day is closed."""

    action: "Action"

    def __call__(self, world: "World") -> None:
        with (
            _account_changed(world),
            suppress(checkout.PaymentUnavailable, StripeUnavailable, daily_close.CloseFailed),
        ):
            self.action(world)


@contextmanager
def _account_changed(world: "World") -> Iterator[None]:
    """Let Stripe name another account in the block, once the books' account is known."""
    client.ask_account()
    closed = DailyClose.objects.count()
    known = _name_account(world, "another0123456789")
    try:
        yield
        assert DailyClose.objects.count() == closed, "a day was closed with another account's key"
    finally:
        _name_account(world, known)


def _name_account(world: "World", secret: str) -> str:
    """Set the secret that the stand-in's account id is made of, and return the one before."""
    with world.sandbox._transaction(write=True) as tx:
        before = tx.secret("account")
        tx.db.execute("UPDATE secrets SET value = ? WHERE name = 'account'", (secret,))
    client.forget_account()
    return before


@dataclass(frozen=True)
class CloseAhead:
    """Our clock is some days ahead when the nightly job closes: no day that is not over is closed."""

    days: int = 2

    def __call__(self, world: "World") -> None:
        ahead = world.now + timedelta(days=self.days)
        last = yesterday(world.now)
        try:
            list(daily_close.close_days(daily_close.open_days(yesterday(ahead)), now=ahead))
        except daily_close.DayRefused:
            assert not DailyClose.objects.filter(day__gt=last).exists()
        else:
            raise AssertionError("a day was closed that is not over at Stripe")


@dataclass(frozen=True)
class ForeignCharge:
    """Another integration on the account charges: yen, dollars, or an authorisation that is not captured."""

    kind: Literal["yen", "dollars", "authorised"]
    amount: int = 1_999

    def __call__(self, world: "World") -> None:
        with world.sandbox._transaction(write=True) as tx:
            known = [charge for charge in tx.page("charge").data if charge["status"] == "succeeded"]
            if not known:
                return  # a charge of ours is the pattern
            is_captured = self.kind != "authorised"
            charge = {
                **known[0],
                "id": new_id("ch"),
                "payment_intent": new_id("pi"),
                "created": tx.second,
                "metadata": {},
                "amount": self.amount,
                "amount_refunded": 0,
                "refunded": False,
                "captured": is_captured,
                "amount_captured": self.amount if is_captured else 0,
                "currency": "usd" if self.kind == "dollars" else "jpy",
                "balance_transaction": None,
            }
            tx.insert("charge", charge)
            if is_captured:
                events.record_event(tx, "charge.succeeded", charge)
                booked = balance.book_charge(tx, charge)
                if self.kind == "dollars":  # kept in dollars: Stripe's balance in yen stays as it is
                    body = json.dumps({**booked, "currency": "usd"})
                    tx.db.execute("UPDATE objects SET body = ?, net = 0 WHERE id = ?", (body, booked["id"]))
        world.foreign.add(charge["id"])


@dataclass(frozen=True)
class HoldReserve:
    """Stripe moves a part of the balance into its risk reserve, once the books have begun."""

    amount: int = 3_000

    def __call__(self, world: "World") -> None:
        if Order.objects.exists():  # the books begin with the first order
            world.sandbox.hold_reserve(self.amount)


@dataclass(frozen=True)
class ForgeEntry:
    """Somebody with a database console writes an entry into the open day: the checks name it, and it goes."""

    source_type: str = "shipment"
    purpose: str = "recognition"

    def __call__(self, world: "World") -> None:
        day = max(business_day(world.now), (journal.last_closed_day() or date.min) + timedelta(days=1))
        with transaction.atomic():
            entry = JournalEntry.objects.create(
                day=day,
                occurred_at=world.now,
                source_type=self.source_type,
                source_id="99999",
                purpose=self.purpose,
                created_at=world.now,
            )
            for position, side in enumerate(("debit", "credit"), start=1):
                JournalLine.objects.create(entry=entry, position=position, account_id="9990", **{side: 1})
            found = list(sources.entry_sources(JournalEntry.objects.filter(pk=entry.pk)))
            transaction.set_rollback(True)
        assert found, f"an entry of {self.source_type} 99999 is no finding"
