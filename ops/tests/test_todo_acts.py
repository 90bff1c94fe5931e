"""Acts end a to-do together with their action, or not at all; of two clerks the second is told."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.books.discrepancies import resolve
from ledger.models import Discrepancy, Order, OutgoingMail, Refund, SetAside, StockItem, StripeEvent
from ledger.models.orders import OrderStatus
from ledger.sales import refunds
from ledger.testing import build
from ledger.testing.processes import WaitForAll, run_concurrently
from ops.models import Todo
from ops.testing import todos
from ops.todos import acts, upkeep


def end(row: Todo, name: str = "finish", note: str = "電話で確認") -> Todo:
    act = acts.act_of(row, name)
    assert act is not None
    return acts.end(row.pk, act, note=note, actor="hanako", now=timezone.now())


def open_todo(key: str) -> Todo:
    return todos.made(now=timezone.now())[key]


@pytest.fixture
def large_order(sandbox: Sandbox) -> Order:
    """Return a paid order of ¥120,500."""
    return build.paid_order(sandbox, [build.line(price=120_000, on_hand=1)])


@pytest.mark.django_db
def test_to_resolve_a_discrepancy_ends_both() -> None:
    row = todos.difference(timezone.now())
    todo = end(open_todo(f"difference:{row.pk}"))
    row.refresh_from_db()
    assert (todo.state, todo.ended_by, todo.note) == ("done", "hanako", "電話で確認")
    assert (row.resolution, row.resolved_by) == ("電話で確認", "hanako")
    assert todos.made(now=timezone.now()) == {}


@pytest.mark.django_db
def test_what_another_way_has_resolved_is_refused_and_closes_by_itself() -> None:
    row = todos.difference(timezone.now())
    todo = open_todo(f"difference:{row.pk}")
    resolve(row, resolution="a typo", actor="taro", now=timezone.now())
    with pytest.raises(acts.ActRefused):
        end(todo)
    todo.refresh_from_db()
    assert todo.state == "open" and Discrepancy.objects.get().resolved_by == "taro"
    upkeep.refresh(now=timezone.now())
    todo.refresh_from_db()
    assert todo.state == "gone"


@pytest.mark.django_db
def test_to_set_a_failing_event_aside_keeps_the_reason() -> None:
    event = todos.event(timezone.now())
    end(open_todo(f"failing_event:{event.pk}"))
    assert StripeEvent.objects.get().status == "set_aside" and SetAside.objects.get().reason == "電話で確認"


@pytest.mark.django_db
def test_an_answered_dispute_sets_its_events_aside_but_none_that_nobody_has_seen() -> None:
    now = timezone.now()
    todos.dispute(now)
    todos.dispute(now, type="charge.dispute.updated")
    other = todos.dispute(now, "dp_2")
    todo = open_todo("dispute:dp_1")
    unseen = todos.dispute(now + timedelta(seconds=1), type="charge.dispute.closed")
    end(todo)
    waiting = StripeEvent.objects.filter(status="unhandled")
    assert set(waiting.values_list("pk", flat=True)) == {other.pk, unseen.pk}
    assert set(todos.made(now=timezone.now())) == {"dispute:dp_1", "dispute:dp_2"}


@pytest.mark.django_db
def test_an_approved_order_waits_to_be_shipped_and_the_to_do_stays_away(large_order: Order) -> None:
    todo = end(open_todo(f"high_value:{large_order.number}"), "approve", note="")
    assert todo.state == "approved" and todos.made(now=timezone.now()) == {}
    large_order.refresh_from_db()
    assert large_order.status == OrderStatus.PAID


@pytest.mark.django_db
def test_a_rejected_order_is_cancelled_and_its_refund_goes_to_stripe_by_the_job(
    large_order: Order, sandbox: Sandbox
) -> None:
    todo = end(open_todo(f"high_value:{large_order.number}"), "reject")
    large_order.refresh_from_db()
    assert (todo.state, large_order.status) == ("rejected", OrderStatus.CANCELLED)
    assert Refund.objects.get().status == Refund.Status.REQUESTED  # no network call in the transaction
    assert OutgoingMail.objects.filter(kind="cancelled").exists()
    refunds.send_requested(now=timezone.now() + refunds.RESEND_DELAY)
    assert Refund.objects.get().status == Refund.Status.SUCCEEDED
    assert todos.made(now=timezone.now()).keys() <= {"refund_rate:shop"}


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["approve", "reject"])
def test_an_act_that_the_order_refuses_leaves_the_to_do_open(
    large_order: Order, sandbox: Sandbox, name: str
) -> None:
    todo = open_todo(f"high_value:{large_order.number}")
    build.ship(large_order)
    with pytest.raises(acts.ActRefused):
        end(todo, name)
    todo.refresh_from_db()
    assert todo.state == "open" and not Refund.objects.exists()


@pytest.mark.django_db
def test_an_act_that_breaks_off_in_the_middle_changes_nothing_and_is_shown(
    large_order: Order, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo = open_todo(f"high_value:{large_order.number}")

    def fail(*args: Any, **fields: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("ledger.sales.cancellation.queue_cancelled_mail", fail)  # after refund and stock
    answer = admin_client.post(reverse("admin:ops_todo_reject", args=[todo.pk]), {"note": "怪しい"})
    assert (
        answer.status_code == 422 and "何も変更されていません：OSError: disk full" in answer.content.decode()
    )
    todo.refresh_from_db()
    large_order.refresh_from_db()
    assert (todo.state, todo.note, large_order.status) == ("open", "", OrderStatus.PAID)
    assert not Refund.objects.exists() and StockItem.objects.get().reserved == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("names", [("reject", "reject"), ("approve", "reject"), ("reject", "approve")])
def test_of_two_clerks_at_one_to_do_the_second_is_told(sandbox: Sandbox, names: tuple[str, str]) -> None:
    order = build.paid_order(sandbox, [build.line(price=120_000, on_hand=1)])
    todo = open_todo(f"high_value:{order.number}")
    clients = []
    for number in range(2):
        clients.append(Client())
        clients[-1].force_login(User.objects.create_superuser(f"clerk{number}"))

    def click(number: int, wait_for_all: WaitForAll) -> str:
        wait_for_all()
        address = reverse(f"admin:ops_todo_{names[number]}", args=[todo.pk])
        answer = clients[number].post(address, {"note": f"clerk{number}"}, follow=True)
        return str(answer.content.decode())

    pages = run_concurrently(2, click)
    todo.refresh_from_db()
    order.refresh_from_db()
    winner = int(todo.ended_by[-1])
    assert "終了しました：" in pages[winner]
    assert f"clerk{winner} がすでに終了しています" in pages[1 - winner]
    assert todo.note == f"clerk{winner}"
    is_rejected = names[winner] == "reject"
    assert todo.state == ("rejected" if is_rejected else "approved")
    assert order.status == (OrderStatus.CANCELLED if is_rejected else OrderStatus.PAID)
    assert Refund.objects.count() == is_rejected
    assert StockItem.objects.get().reserved == (not is_rejected)


@pytest.mark.django_db(transaction=True)
def test_of_two_clerks_who_take_one_to_do_one_has_it_and_the_other_is_told() -> None:
    row = todos.difference(timezone.now())
    todo = open_todo(f"difference:{row.pk}")
    users = [User.objects.create_superuser(f"clerk{number}") for number in range(2)]

    def take(number: int, wait_for_all: WaitForAll) -> str:
        wait_for_all()
        try:
            acts.take(todo.pk, user_id=users[number].pk)
        except acts.AlreadyTaken as taken:
            return taken.name
        return ""

    results = run_concurrently(2, take)
    todo.refresh_from_db()
    assert sorted(results) == ["", str(todo.assignee)] and results.index("") == users.index(todo.assignee)  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
def test_the_job_and_a_clerk_at_one_to_do_leave_one_outcome() -> None:
    """The fact goes while the clerk ends it: done or gone, and never open again."""
    now = timezone.now()
    event = todos.event(now)
    todo = open_todo(f"failing_event:{event.pk}")
    work = [
        lambda: str(end(todo).state),
        lambda: str(upkeep.refresh(now=now).made),
        lambda: str(upkeep.refresh(now=now).made),
    ]

    def run(number: int, wait_for_all: WaitForAll) -> str:
        wait_for_all()
        return work[number]()

    assert run_concurrently(3, run) == ["done", "0", "0"]
    todo.refresh_from_db()
    assert todo.state == "done" and Todo.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_jobs_of_two_workers_make_one_to_do_of_a_fact() -> None:
    now = timezone.now()
    todos.difference(now)

    def run(number: int, wait_for_all: WaitForAll) -> int:
        wait_for_all()
        return upkeep.refresh(now=now).made

    assert sorted(run_concurrently(3, run)) == [0, 0, 1]
    assert Todo.objects.count() == 1
