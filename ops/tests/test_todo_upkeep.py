"""To-dos come and go with their fact; what staff have done comes back when it is new or worse."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from ledger.books.discrepancies import resolve
from ledger.models import Discrepancy, StockItem, StripeEvent
from ops.jobs import schedule
from ops.models import JobRun, Todo
from ops.testing import todos
from ops.todos import acts, rules, upkeep
from shop.testing.build import product

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
State = Todo.State


def refresh(*, now: datetime) -> tuple[int, int]:
    """Run the job; return how many to-dos it made, and how many were gone."""
    kept = upkeep.refresh(now=now)
    return kept.made, kept.gone


def end(row: Todo, state: str = State.DONE) -> None:
    Todo.objects.filter(pk=row.pk).update(state=state, ended_at=NOW, ended_by="hanako")


def set_stock(left: int, sku: str = "CL-1") -> None:
    StockItem.objects.filter(sku=sku).update(on_hand=left)


def test_a_fact_is_one_to_do_however_often_the_job_runs() -> None:
    todos.difference(NOW)
    assert refresh(now=NOW) == (1, 0)
    assert refresh(now=NOW + MINUTE) == (0, 0)
    row = Todo.objects.get()
    assert (row.state, row.made_at, row.since) == (State.OPEN, NOW, NOW)


def test_a_fact_that_is_gone_closes_its_to_do_by_itself() -> None:
    found = todos.difference(NOW)
    todos.made(now=NOW)
    resolve(found, resolution="a typo", actor="hanako", now=NOW)
    assert refresh(now=NOW + MINUTE) == (0, 1)
    row = Todo.objects.get()
    assert (row.state, row.ended_at, row.ended_by) == (State.GONE, NOW + MINUTE, "system")


@pytest.mark.parametrize("state", [State.DONE, State.APPROVED, State.REJECTED])
def test_what_staff_have_ended_does_not_come_back_for_the_same_fact(state: str) -> None:
    product("lamp", sku="CL-1", on_hand=3)
    end(todos.made(now=NOW)["low_stock:CL-1"], state)
    for left in (3, 2, 4, 1):  # a few pieces more or less are the same fact
        set_stock(left)
        assert todos.made(now=NOW) == {}
    assert Todo.objects.count() == 1


def test_it_comes_back_when_it_has_become_worse() -> None:
    product("lamp", sku="CL-1", on_hand=3)
    end(todos.made(now=NOW)["low_stock:CL-1"])
    set_stock(0)
    row = todos.made(now=NOW + MINUTE)["low_stock:CL-1"]
    assert row.level == Todo.Level.ALARM
    end(row)
    set_stock(2)
    assert todos.made(now=NOW + MINUTE) == {}


def test_it_comes_back_when_its_fact_was_over_and_happens_again() -> None:
    product("lamp", sku="CL-1", on_hand=3)
    end(todos.made(now=NOW)["low_stock:CL-1"])
    set_stock(50)
    assert todos.made(now=NOW) == {}
    set_stock(3)
    assert set(todos.made(now=NOW)) == {"low_stock:CL-1"}
    assert Todo.objects.count() == 2


def test_a_new_event_of_a_dispute_that_was_done_brings_it_back() -> None:
    todos.dispute(NOW)
    end(todos.made(now=NOW)["dispute:dp_1"])
    assert todos.made(now=NOW) == {}
    todos.dispute(NOW + MINUTE, type="charge.dispute.funds_withdrawn")
    assert set(todos.made(now=NOW + MINUTE)) == {"dispute:dp_1"}


def test_an_open_to_do_follows_its_fact() -> None:
    product("lamp", sku="CL-1", on_hand=3)
    todos.made(now=NOW)
    set_stock(0)
    row = todos.made(now=NOW + MINUTE)["low_stock:CL-1"]
    assert (row.level, row.figures["available"], row.made_at) == (Todo.Level.ALARM, 0, NOW)
    assert Todo.objects.count() == 1


def test_each_to_do_is_alerted_once(caplog: pytest.LogCaptureFixture) -> None:
    found = todos.difference(NOW)
    with caplog.at_level(logging.WARNING, logger="ops.todos.upkeep"):
        upkeep.refresh(now=NOW)
        upkeep.refresh(now=NOW + MINUTE)
    (record,) = [record for record in caplog.records if hasattr(record, "alert")]
    assert (record.alert.kind, record.alert.subject) == ("todo", f"difference:{found.pk}")
    assert all(record.alert.fields.values())


def test_the_alert_has_its_fields_whatever_their_names_are_in_a_language(
    caplog: pytest.LogCaptureFixture,
) -> None:
    todos.difference(NOW)
    with caplog.at_level(logging.WARNING, logger="ops.todos.upkeep"), translation.override("en"):
        upkeep.refresh(now=NOW)
    (record,) = [record for record in caplog.records if hasattr(record, "alert")]
    assert record.alert.kind == "todo"
    assert list(record.alert.fields) == ["kind", "level", "what", "what to do"]


def test_the_alert_is_over_when_the_fact_is_gone_or_staff_are_done(caplog: pytest.LogCaptureFixture) -> None:
    gone, done = todos.difference(NOW), todos.event(NOW)
    rows = todos.made(now=NOW)
    caplog.clear()
    resolve(gone, resolution="a typo", actor="hanako", now=NOW)
    with caplog.at_level(logging.INFO, logger="ops.todos.upkeep"):
        upkeep.refresh(now=NOW)
        (act,) = acts.ACTS["failing_event"]
        acts.end(rows[f"failing_event:{done.pk}"].pk, act, note="x", actor="hanako", now=NOW)
        upkeep.refresh(now=NOW)
    marks = [record.alert for record in caplog.records if hasattr(record, "alert")]
    assert [(mark.subject, mark.over) for mark in marks] == [
        (f"difference:{gone.pk}", True),
        (f"failing_event:{done.pk}", True),
    ]


def test_an_alert_that_a_crash_has_swallowed_is_logged_by_the_next_run(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    todos.difference(NOW)
    with monkeypatch.context() as crashing:
        crashing.setattr(upkeep, "_alert", lambda now: None)
        upkeep.refresh(now=NOW)
    upkeep.refresh(now=NOW + MINUTE)
    assert len([record for record in caplog.records if hasattr(record, "alert")]) == 1


def test_a_rule_that_fails_does_not_keep_the_others_from_working_nor_close_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(now: datetime) -> Iterator[rules.Finding]:
        raise ValueError("a fact of an unknown shape")

    todos.event(NOW)
    todos.made(now=NOW)
    broken = [
        rules.Rule(rule.kinds, fail) if Todo.Kind.FAILING_EVENT in rule.kinds else rule
        for rule in rules.RULES
    ]
    monkeypatch.setattr(upkeep, "RULES", broken)
    StripeEvent.objects.update(status="done")
    todos.difference(NOW)
    assert not schedule.run("todos", now=NOW)
    assert "fail" in JobRun.objects.get().message
    assert sorted(Todo.objects.open().values_list("kind", flat=True)) == ["difference", "failing_event"]


def test_a_rule_with_more_facts_than_it_may_return_closes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    todos.event(NOW)
    todos.made(now=NOW)
    StripeEvent.objects.update(received_at=NOW + MINUTE)
    monkeypatch.setattr(rules, "MAX_FACTS", 1)
    monkeypatch.setattr(upkeep, "MAX_FACTS", 1)
    todos.event(NOW)
    upkeep.refresh(now=NOW)
    assert Todo.objects.open().count() == 2


def test_the_database_allows_one_ongoing_row_of_a_kind_and_subject() -> None:
    fields = {"kind": "low_stock", "subject": "CL-1", "level": 1, "since": NOW, "made_at": NOW}
    Todo.objects.create(**fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        Todo.objects.create(**fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        Todo.objects.create(**fields | {"subject": "CL-2", "ongoing": False})  # open, and over
    Todo.objects.update(state=State.GONE, ongoing=False, ended_at=NOW)
    Todo.objects.create(**fields)


MAX_QUERIES = 22  # as docs/operations.md says


def test_a_run_takes_as_many_queries_for_two_facts_of_each_fate_as_for_twelve() -> None:
    """Facts that are new, gone, changed, worse after staff were done, and over after staff were done."""
    counts = []
    for number in (2, 12):
        skus = [f"S-{next(todos.NUMBERS)}" for _ in range(3 * number)]
        for sku in skus:
            product(sku.lower(), sku=sku, on_hand=3)
        gone = [todos.difference(NOW) for _ in range(number)]
        upkeep.refresh(now=NOW)
        upkeep.refresh(now=NOW)
        for row in Todo.objects.filter(subject__in=skus[number:]):
            end(row)
        for place, sku in enumerate(skus):
            set_stock((2, 0, 50)[place // number], sku)
        for found in gone:
            resolve(found, resolution="x", actor="hanako", now=NOW)
        for _ in range(number):
            todos.event(NOW)
        with CaptureQueriesContext(connection) as queries:
            kept = upkeep.refresh(now=NOW)
        assert (kept.made, kept.gone) == (2 * number, number)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= MAX_QUERIES
    assert f"a run takes {MAX_QUERIES} at most" in (settings.BASE_DIR / "docs/operations.md").read_text()


def test_a_run_makes_all_to_dos_of_many_facts_at_once() -> None:
    Discrepancy.objects.bulk_create(
        Discrepancy(kind="amount", object_id=f"t{number}", day=NOW.date(), created_at=NOW)
        for number in range(60)
    )
    assert [upkeep.refresh(now=NOW).made for _run in range(2)] == [60, 0]


def test_the_job_says_in_japanese_what_it_did() -> None:
    todos.difference(timezone.now())
    assert schedule.run("todos", now=timezone.now())
    assert JobRun.objects.get().message == "要対応を 1 件追加"
