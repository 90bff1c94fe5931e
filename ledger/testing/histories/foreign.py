"""Acts of others: another account's key, a wrong clock."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from kikaku.days import yesterday
from ledger.closing import daily_close
from ledger.models import DailyClose
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
