"""What staff do with a to-do: take it, or end it, with its action in the same transaction.

An action that is refused, or fails, leaves the to-do open. None calls the network: what must go to Stripe is
written as a request, which the job of refunds sends.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kikaku.transactions import unit_of_work
from ledger.books import discrepancies
from ledger.ingest import inbox
from ledger.models import Discrepancy, Order, StripeEvent
from ledger.models.orders import OrderStatus
from ledger.sales.cancellation import CancelRefused, cancel_and_store_refunds
from ledger.sales.kept_money import KeepRefused
from ledger.sales.refunds import RefundRefused
from ops.models import Todo
from ops.todos.upkeep import end_alert, lock_todos

Kind, State = Todo.Kind, Todo.State
CHANGE_TODO = "ops.change_todo"


class ActRefused(Exception):
    """The action is not possible; nothing was changed. The message says why."""


class AlreadyEnded(Exception):
    """Another user, or the job, has ended the to-do; nothing was changed."""

    def __init__(self, todo: Todo) -> None:
        super().__init__(todo.pk)
        self.todo = todo


class AlreadyTaken(Exception):
    """Another user has taken the to-do; nothing was changed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Act:
    """A way to end a to-do of some kinds."""

    name: str  # end of its address
    state: Todo.State
    button: Promise
    effect: Promise  # what it does, for the form
    perform: Callable[[Todo, str, str, datetime], None]  # takes to-do, note, user's name, `now`
    permissions: tuple[str, ...] = ()  # to the action itself, beside `CHANGE_TODO`
    needs_note: bool = False
    is_dangerous: bool = False


def _nothing(todo: Todo, note: str, actor: str, now: datetime) -> None:
    """Change nothing but the to-do."""


def _resolve(todo: Todo, note: str, actor: str, now: datetime) -> None:
    """Resolve the discrepancy with the note."""
    row = Discrepancy.objects.filter(pk=todo.subject).first()
    if row is None or not discrepancies.resolve(row, resolution=note, actor=actor, now=now):
        raise ActRefused(_("It is resolved already. This to-do closes by itself within five minutes."))


def _set_event_aside(todo: Todo, note: str, actor: str, now: datetime) -> None:
    """Set the event aside with the note as its reason."""
    if not inbox.set_aside(todo.subject, reason=note, actor=actor, now=now):
        raise ActRefused(_("The event is done or set aside already, or is being processed at this moment."))


def _set_dispute_aside(todo: Todo, note: str, actor: str, now: datetime) -> None:
    """Set the events of the dispute aside, with the note as their reason.

    One that arrived after the rule has looked makes a new to-do.
    """
    waiting = StripeEvent.objects.filter(
        status=StripeEvent.Status.UNHANDLED,
        type__startswith="charge.dispute.",
        received_at__gte=todo.since,
    ).order_by("received_at", "pk")
    named = waiting.values_list("pk", "payload__data__object__id")
    events = [pk for pk, dispute in named if todo.subject in (dispute, pk)]
    if todo.figures.get("event") in events:
        events = events[: events.index(todo.figures["event"]) + 1]
    if not sum(inbox.set_aside(pk, reason=note, actor=actor, now=now) for pk in events):
        raise ActRefused(_("Its events are set aside already. This to-do closes by itself."))


def _release(todo: Todo, note: str, actor: str, now: datetime) -> None:
    """Check that the order still waits to be shipped: only then is there something to approve."""
    order = Order.objects.lock(todo.figures["order"])
    if order.status not in (OrderStatus.PAID, OrderStatus.PARTIALLY_SHIPPED):
        raise ActRefused(
            _("The order is %(status)s by now. This to-do closes by itself.")
            % {"status": order.get_status_display()}
        )


def _cancel_order(todo: Todo, note: str, actor: str, now: datetime) -> None:
    """Cancel the order; its refunds are requested, and the job sends them to Stripe."""
    try:
        cancel_and_store_refunds(todo.figures["order"], reason=Order.CancelReason.STAFF, actor=actor, now=now)
    except (CancelRefused, KeepRefused, RefundRefused) as refusal:
        raise ActRefused(str(refusal)) from refusal


DONE = Act(
    "finish",
    State.DONE,
    gettext_lazy("Done"),
    gettext_lazy("It disappears from the lists, and comes back only if it becomes worse or happens again."),
    _nothing,
)
RESOLVE = Act(
    "finish",
    State.DONE,
    gettext_lazy("Resolved"),
    gettext_lazy("The discrepancy is resolved with your text, which the books keep as it is."),
    _resolve,
    ("ledger.resolve_discrepancy",),
    needs_note=True,
)
APPROVE = Act(
    "approve",
    State.APPROVED,
    gettext_lazy("Approve"),
    gettext_lazy("The order is looked at, and can be shipped."),
    _release,
    ("ledger.cancel_order",),  # who decides about orders
)
REJECT = Act(
    "reject",
    State.REJECTED,
    gettext_lazy("Reject"),
    gettext_lazy("The order is cancelled and its money goes back; the customer gets a mail."),
    _cancel_order,
    # such an order is a large one, and all of its money goes back
    ("ledger.cancel_order", "ledger.refund_above_ceiling"),
    needs_note=True,
    is_dangerous=True,
)
SET_ASIDE = ("ledger.change_stripeevent",)

ACTS: dict[str, tuple[Act, ...]] = {kind: (DONE,) for kind in Kind.values} | {
    Kind.DIFFERENCE: (RESOLVE,),
    Kind.DISCREPANCY: (RESOLVE,),
    Kind.HIGH_VALUE: (APPROVE, REJECT),
    Kind.FAILING_EVENT: (
        Act(
            "finish",
            State.DONE,
            gettext_lazy("Set aside"),
            gettext_lazy("The event is not processed any more. Your text is kept as the reason."),
            _set_event_aside,
            SET_ASIDE,
            needs_note=True,
        ),
    ),
    Kind.DISPUTE: (
        Act(
            "finish",
            State.DONE,
            gettext_lazy("Answered"),
            gettext_lazy("Its events are set aside with your text. A new event brings it back."),
            _set_dispute_aside,
            SET_ASIDE,
            needs_note=True,
        ),
    ),
}


def act_of(todo: Todo, name: str) -> Act | None:
    """Return the act of a name that a to-do of this kind has; None if it has none."""
    return next((act for act in ACTS[todo.kind] if act.name == name), None)


def end(todo_id: int, act: Act, *, note: str, actor: str, now: datetime) -> Todo:
    """End an open to-do by an act of its kind, and perform its action, both or neither.

    Raises `AlreadyEnded`, `ActRefused`, `Todo.DoesNotExist`, and what a broken action raises.
    """
    todo = _end(todo_id, act, note=note, actor=actor, now=now)
    end_alert(todo.kind, todo.subject)
    return todo


@unit_of_work
def _end(todo_id: int, act: Act, *, note: str, actor: str, now: datetime) -> Todo:
    todo = _lock(todo_id)
    act.perform(todo, note, actor, now)
    todo.state, todo.ended_at, todo.ended_by = act.state, now, actor[:150]
    todo.note = "\n".join(filter(None, (todo.note, note)))
    todo.save(update_fields=["state", "ended_at", "ended_by", "note"])
    return todo


@unit_of_work
def take(todo_id: int, *, user_id: int) -> Todo:
    """Assign an open to-do to a user. Raises `AlreadyEnded`, `AlreadyTaken`, and `Todo.DoesNotExist`."""
    todo = _lock(todo_id)
    if todo.assignee is not None and todo.assignee.pk != user_id:
        raise AlreadyTaken(todo.assignee.get_username())
    todo.assignee_id = user_id
    todo.save(update_fields=["assignee"])
    return todo


def _lock(todo_id: int) -> Todo:
    """Return an open to-do, locked. Raises `AlreadyEnded`."""
    lock_todos()
    todo = Todo.objects.select_for_update().get(pk=todo_id)
    if todo.state != State.OPEN:
        raise AlreadyEnded(todo)
    return todo
