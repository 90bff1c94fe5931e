"""What an action of a history is: a plain value that can be read, shrunk and pasted into a test.

An action chooses its object by a number, modulo the number of candidates, and does nothing without
candidates. The modules beside this one have the actions, by who or what acts.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from ledger.models import Order
from ledger.testing.histories.world import World

T = TypeVar("T")


class Action(Protocol):
    """Something that a customer, staff, Stripe, a job or a fault does."""

    def __call__(self, world: World) -> None:
        """Do it in a world."""


def choose(candidates: Sequence[T], which: int) -> T | None:
    """Return the newest candidate for 0, older ones for higher numbers, None without candidates."""
    return candidates[-1 - which % len(candidates)] if candidates else None


def take(candidates: list[T], which: int) -> T | None:
    """Return what `choose` returns, and remove it from the candidates."""
    chosen = choose(candidates, which)
    if chosen is not None:
        candidates.remove(chosen)
    return chosen


def choose_order(which: int, *states: str) -> Order | None:
    """Return one of the orders in these states, as `choose` does."""
    return choose(list(Order.objects.filter(status__in=states).order_by("pk")), which)
