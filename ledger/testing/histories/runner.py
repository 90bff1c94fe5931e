"""Run histories: a given one, or generated ones; a failing history is shortened before it is reported."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from ledger.sales import cancellation, checkout, kept_money, orders, refunds, shipping, stock
from ledger.testing.histories import checks
from ledger.testing.histories.actions import Action
from ledger.testing.histories.customers import Cancel, Place, ReturnToPay
from ledger.testing.histories.generated import histories
from ledger.testing.histories.staff import ChangeStock, KeepMoney, Refund, Ship
from ledger.testing.histories.world import World, temporary_world

REFUSALS = (
    orders.SoldOut,
    orders.OrderRefused,
    checkout.NotPayable,
    cancellation.CancelRefused,
    shipping.ShipRefused,
    refunds.RefundRefused,
    kept_money.KeepRefused,
    stock.StockRefused,
)
PEOPLE = (Place, ReturnToPay, Cancel, Ship, Refund, KeepMoney, ChangeStock)


class HistoryFailed(Exception):
    """A check failed after a history; the text has the failure, and the history to paste into a test."""


def play(world: World, history: Sequence[Action]) -> None:
    """Run the actions one after the other. Refusals of people are ignored; every other exception ends it."""
    for action in history:
        try:
            action(world)
        except REFUSALS:
            if not isinstance(getattr(action, "action", action), PEOPLE):
                raise  # only people may be refused; jobs and webhooks must succeed


def check_history(template_folder: Path, history: Sequence[Action]) -> None:
    """Run a history and settle its world. Raises AssertionError with all violations."""
    with temporary_world(template_folder) as world:
        play(world, history)
        world.settle()
        found = list(checks.violations(world))
        assert not found, "\n".join(found)


def check_random_histories(
    template_folder: Path,
    *,
    max_actions: int,
    count: int,
    seed_number: int | None = None,
    on_failure: Callable[[str], object] = lambda _failure: None,
) -> None:
    """Run `count` generated histories of up to `max_actions` actions, reproducible by `seed_number`.

    Raises `HistoryFailed` for the first that fails, shortened; `on_failure` is called before the shortening.
    """
    failed: list[HistoryFailed] = []

    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(history=histories(max_actions))
    def any_history(history: list[Action]) -> None:
        if failed:
            return
        failure = _failure(template_folder, history)
        if failure:
            on_failure(failure)
            failed.append(HistoryFailed(_shown(*_shortened(template_folder, history, failure))))

    (any_history if seed_number is None else seed(seed_number)(any_history))()
    if failed:
        raise failed[0]


def _failure(template_folder: Path, history: Sequence[Action]) -> str:
    """Run a history and return its failure, empty when there is none."""
    try:
        check_history(template_folder, history)
    except AssertionError as failure:
        return str(failure)
    except Exception as failure:
        return "".join(traceback.format_exception(failure))
    return ""


def _shortened(
    template_folder: Path, history: Sequence[Action], failure: str
) -> tuple[Sequence[Action], str]:
    """Leave out actions, and the faults around them, as long as the history still fails."""
    for shorter in _shorter(history):
        if still := _failure(template_folder, shorter):
            return _shortened(template_folder, shorter, still)
    return history, failure


def _shorter(history: Sequence[Action]) -> Iterator[Sequence[Action]]:
    """Yield the history without its second half, without each action, and without each fault around one."""
    if len(history) > 3:
        yield history[: len(history) // 2]
    for index in reversed(range(len(history))):
        yield [*history[:index], *history[index + 1 :]]
    for index, action in enumerate(history):
        if hasattr(action, "action"):
            yield [*history[:index], action.action, *history[index + 1 :]]


def _shown(history: Sequence[Action], failure: str) -> str:
    actions = "".join(f"    {action!r},\n" for action in history)
    return f"{failure}\nafter the history\n[\n{actions}]"
