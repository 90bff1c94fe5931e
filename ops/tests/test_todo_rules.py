"""Each rule finds its facts by its thresholds, in a constant number of queries."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.translation import override
from pytest_django import Settings

from ledger.models import Discrepancy, Order, OrderEvent, Refund, StockItem, StripeEvent
from ledger.models.orders import OrderStatus
from ledger.testing import build
from ops.models import Todo
from ops.testing import todos
from ops.todos import rules, words
from shop.testing.build import product

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)  # noon in Japan
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def found(rule: Any, now: datetime = NOW) -> list[tuple[str, str, int]]:
    return [(finding.kind, finding.subject, finding.level) for finding in rule(now)]


def test_a_difference_is_urgent_a_task_is_not_and_a_notice_is_no_to_do() -> None:
    difference = todos.difference(NOW)
    task = todos.difference(NOW, Discrepancy.Kind.REFUND_FAILED)
    todos.difference(NOW, Discrepancy.Kind.PAID_TWICE)
    todos.difference(NOW, Discrepancy.Kind.LATE)
    assert found(rules.discrepancies) == [
        ("difference", str(difference.pk), Todo.Level.ALARM),
        ("discrepancy", str(task.pk), Todo.Level.WARNING),
    ]


def test_stock_is_low_at_the_threshold_and_urgent_when_nothing_is_left_to_sell(settings: Settings) -> None:
    settings.TODO_THRESHOLDS = {**settings.TODO_THRESHOLDS, "stock_pieces": 2}
    for sku, on_hand, reserved in (("A", 3, 0), ("B", 3, 1), ("C", 3, 3), ("D", 0, 0)):
        item = product(sku.lower(), sku=sku).variants.get().stock
        StockItem.objects.filter(pk=item.pk).update(on_hand=on_hand, reserved=reserved)
    assert found(rules.stock) == [("low_stock", "B", 1), ("low_stock", "C", 2), ("low_stock", "D", 2)]


def test_what_is_not_on_sale_is_not_low() -> None:
    build.item("NO-VARIANT", 0)
    retired, draft = product("retired").variants.get(), product("draft", status="draft").variants.get()
    type(retired).objects.update(retired=True)
    StockItem.objects.update(on_hand=0)
    type(retired).objects.filter(pk=draft.pk).update(retired=False)
    assert found(rules.stock) == []


def test_more_reserved_than_there_is_is_a_to_do_of_its_own() -> None:
    """The constraints of the table forbid it: it needs a broken database."""
    finding = rules.stock_finding(1, "CL-08", 2, 5, now=NOW)
    assert (finding.kind, finding.level, finding.weight) == ("negative_stock", Todo.Level.ALARM, 3)


def orders_with(count: int, now: datetime = NOW) -> list[Order]:
    return [todos.paid(now) for _ in range(count)]


@pytest.mark.parametrize(("refunds", "level"), [(2, None), (3, 1), (4, 1), (5, 2)])
def test_refunds_of_30_and_50_percent_of_the_payments(refunds: int, level: int | None) -> None:
    for order in orders_with(10, NOW - 29 * DAY)[:refunds]:
        for _part in range(2):  # two refunds of one payment count once
            todos.refund(order.payments.get(), NOW - DAY)
    assert found(rules.refund_rate) == ([("refund_rate", "shop", level)] if level else [])


def test_refunds_of_few_payments_old_ones_and_failed_ones_are_not_many() -> None:
    for order in orders_with(9):
        todos.refund(order.payments.get(), NOW)
    assert found(rules.refund_rate) == []
    todos.paid(NOW)
    assert found(rules.refund_rate) == [("refund_rate", "shop", 2)]
    Refund.objects.update(status=Refund.Status.FAILED)
    assert found(rules.refund_rate) == []
    Refund.objects.update(status=Refund.Status.SUCCEEDED)
    assert found(rules.refund_rate, NOW + 31 * DAY) == []


@pytest.mark.parametrize(("failures", "level"), [(1, None), (2, 1), (3, 1), (4, 2)])
def test_payments_of_20_and_40_percent_of_the_orders_are_refused(failures: int, level: int | None) -> None:
    orders_with(10 - failures, NOW - 23 * HOUR)
    for _ in range(failures):
        order = build.order(now=NOW - HOUR, email=f"b{next(todos.NUMBERS)}@example.jp")
        for _try in range(3):  # one customer who tries three cards is one
            todos.refused(order, NOW)
    build.order(now=NOW)  # nobody tried to pay it yet
    assert found(rules.payment_failures) == ([("payment_failures", "shop", level)] if level else [])
    assert found(rules.payment_failures, NOW + 2 * DAY) == []


def test_an_event_fails_when_it_has_failed_three_times() -> None:
    todos.event(NOW, attempts=2)
    todos.event(NOW, status=StripeEvent.Status.PENDING)
    failing = todos.event(NOW)
    assert found(rules.failing_events) == [("failing_event", failing.pk, 2)]


def test_an_order_waits_too_long_after_three_days_also_for_its_rest() -> None:
    todos.paid(NOW - 3 * DAY)
    late, partly, very = (todos.paid(NOW - days * DAY - HOUR) for days in (3, 4, 6))
    shipped = todos.paid(NOW - 9 * DAY)
    Order.objects.filter(pk=shipped.pk).update(status=OrderStatus.SHIPPED)
    Order.objects.filter(pk=partly.pk).update(status=OrderStatus.PARTIALLY_SHIPPED)
    build.order(now=NOW - 9 * DAY)  # never paid
    assert found(rules.unfulfilled_orders) == [
        ("unfulfilled", very.number, 2),
        ("unfulfilled", partly.number, 1),
        ("unfulfilled", late.number, 1),
    ]


def test_a_large_order_is_to_be_checked_until_something_of_it_is_shipped() -> None:
    todos.paid(NOW, total=99_999)
    large = todos.paid(NOW, total=100_000)
    assert found(rules.high_values) == [("high_value", large.number, 1)]
    Order.objects.update(status=OrderStatus.PARTIALLY_SHIPPED)
    assert found(rules.high_values) == []


def days_with(settings: Settings, usual: int, **counts: int) -> None:
    """Place `usual` orders on each of the seven days before yesterday, and others on the days named."""
    settings.TODO_THRESHOLDS = {**settings.TODO_THRESHOLDS, "volume_minimum": 2}
    midnight = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)  # 0:00 of 1 December in Japan
    moments = [midnight - days * DAY for days in range(2, 9) for _ in range(usual)]
    moments += [midnight - HOUR] * counts.get("yesterday", usual)
    moments += [midnight] * counts.get("today", 0)
    for moment in moments:
        build.order(now=moment, email=f"c{next(todos.NUMBERS)}@example.jp")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"yesterday": 2}, []),
        ({"yesterday": 5}, []),
        ({"yesterday": 6}, [("order_volume", "2026-11-30", 1)]),
        ({"yesterday": 1}, []),
        ({"yesterday": 0}, [("order_volume", "2026-11-30", 2)]),
        ({"today": 6}, [("order_volume", "2026-12-01", 1)]),
    ],
)
def test_a_day_with_three_times_the_usual_orders_or_hardly_any(
    settings: Settings, counts: dict[str, int], expected: list[Any]
) -> None:
    days_with(settings, 2, **counts)
    assert found(rules.order_volume) == expected


def test_a_new_or_small_shop_has_no_usual_number_of_orders(settings: Settings) -> None:
    days_with(settings, 0, yesterday=9)
    assert found(rules.order_volume) == []
    assert found(rules.order_volume, NOW + DAY) == []  # none yesterday, nine in the week before


def test_the_events_of_a_dispute_are_one_to_do_and_a_later_one_is_a_new_fact() -> None:
    todos.dispute(NOW - DAY)
    (first,) = rules.disputes(NOW)
    latest = todos.dispute(NOW, type="charge.dispute.updated")
    todos.dispute(NOW, "dp_2")
    todos.event(NOW, type="payout.paid", status=StripeEvent.Status.UNHANDLED)
    found = {finding.subject: finding for finding in rules.disputes(NOW)}
    assert set(found) == {"dp_1", "dp_2"} and found["dp_1"].since == NOW - DAY
    assert first.fingerprint != found["dp_1"].fingerprint == latest.pk
    assert found["dp_1"].figures["amount"] == 5_000


@pytest.mark.parametrize("content", [{}, {"data": 3}, {"data": {"object": {"id": ["x"], "amount": "many"}}}])
def test_an_event_of_a_dispute_of_any_shape_is_found(content: Any) -> None:
    event = todos.dispute(NOW)
    StripeEvent.objects.update(payload=content)
    (finding,) = rules.disputes(NOW)
    assert finding.subject == event.pk and finding.figures["amount"] == 0


def test_a_voucher_paid_after_the_end_waits_until_its_money_is_back() -> None:
    for method in ("konbini", "card"):
        order = todos.paid(NOW, method=method)
        intent = order.payments.get().payment_intent
        Discrepancy.objects.create(
            kind=Discrepancy.Kind.PAID_AFTER_CANCELLATION,
            object_id=intent,
            amount=order.total,
            day=NOW.date(),
            created_at=NOW,
        )
        if method == "konbini":
            wanted, number = order.payments.get(), order.number
    (finding,) = rules.late_vouchers(NOW)
    assert (finding.subject, finding.figures["number"]) == (wanted.payment_intent, number)
    refund = todos.refund(wanted, NOW, Refund.Status.REQUIRES_ACTION)
    assert len(found(rules.late_vouchers)) == 1
    Refund.objects.filter(pk=refund.pk).update(status=Refund.Status.SUCCEEDED)
    assert found(rules.late_vouchers) == []


def every_fact(now: datetime, settings: Settings) -> None:
    """Write facts of every kind that the database can hold."""
    days_with(settings, 2, yesterday=6)
    for order in orders_with(10, now):
        todos.refund(order.payments.get(), now)
        todos.refused(order, now)
    todos.difference(now)
    todos.difference(now, Discrepancy.Kind.REFUND_FAILED)
    variant = product(f"lamp-{next(todos.NUMBERS)}").variants.get()
    StockItem.objects.filter(pk=variant.stock_id).update(on_hand=1)
    todos.event(now)
    todos.paid(now - 5 * DAY)
    todos.paid(now, total=200_000)
    todos.dispute(now)
    late = todos.paid(now, method="konbini").payments.get().payment_intent
    kind = Discrepancy.Kind.PAID_AFTER_CANCELLATION
    Discrepancy.objects.create(kind=kind, object_id=late, amount=1, day=now.date(), created_at=now)


def test_each_rule_takes_the_queries_that_it_names_however_much_it_finds(settings: Settings) -> None:
    for _more in range(2):
        every_fact(NOW, settings)
        for rule in rules.RULES:
            with CaptureQueriesContext(connection) as queries:
                assert list(rule.find(NOW)), rule
            assert len(queries) == rule.queries, (rule, queries.captured_queries)


def test_every_kind_has_a_rule_and_says_in_japanese_what_it_is_and_what_to_do(settings: Settings) -> None:
    every_fact(NOW, settings)
    negative = rules.stock_finding(1, "CL-08", 2, 5, now=NOW)
    seen = set()
    for finding in [negative, *(each for rule in rules.RULES for each in rule.find(NOW))]:
        row = Todo(kind=finding.kind, subject=finding.subject, level=finding.level, figures=finding.figures)
        with override("ja"):
            texts = [words.sentence(row), words.advice(row), row.get_kind_display(), row.get_level_display()]
        assert not [text for text in texts if text.isascii()], texts
        assert words.page_of(row).startswith("/admin/")
        seen.add(finding.kind)
    assert seen == set(Todo.Kind.values) == {kind for rule in rules.RULES for kind in rule.kinds}


def test_a_payment_that_failed_and_then_succeeded_counts_as_refused() -> None:
    for order in orders_with(10):
        todos.refused(order, NOW)
    (finding,) = rules.payment_failures(NOW)
    assert finding.figures == {"failed": 10, "tried": 10, "percent": 100, "hours": 24}
    assert OrderEvent.objects.count() > 10
