"""Differences, tasks and notices: what each finding means for a close, its report and its exit code."""

import pytest
from django.test import Client
from django.urls import reverse

from kikaku.sandbox import Sandbox
from ledger.books.discrepancies import note_discrepancy, resolve
from ledger.closing import evidence
from ledger.closing.daily_close import close_day
from ledger.models import Discrepancy
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
from ledger.testing.dashboard import refund_in_dashboard

pytestmark = pytest.mark.django_db

Kind, Category = Discrepancy.Kind, Discrepancy.Category
FAILS_LATER = "4000000000005126"


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_belongs_to_one_category(kind: Discrepancy.Kind) -> None:
    row = note_discrepancy(kind, "x", day=MONDAY, now=at(MONDAY))
    assert row.category in Category
    of = {each for each in Category if Discrepancy.objects.of_category(each).exists()}
    assert of == {kind.category}
    assert Discrepancy.objects.unresolved().exists() == (kind.category != Category.NOTICE)


def test_only_differences_make_the_exit_code_2_and_the_report_tells_the_three_apart(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    note_discrepancy(Kind.REFUND_FAILED, "re_1", day=MONDAY, now=at(MONDAY))
    note_discrepancy(Kind.PAID_TWICE, "pi_1", day=MONDAY, now=at(MONDAY))
    note_discrepancy(Kind.PAID_AFTER_CANCELLATION, "pi_2", day=MONDAY, now=at(MONDAY))
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert (result.exit_code, result.summary) == (0, "no differences, 1 to do, 2 notices")
    assert [result.report[name] for name in ("differences", "to_do", "notices")] == [0, 1, 2]
    assert sorted((row["category"], row["object"]) for row in result.report["discrepancies"]) == [
        ("notice", "pi_1"),
        ("notice", "pi_2"),
        ("to_do", "re_1"),
    ]
    page = evidence.read(f"{result.folder}/report.html").decode()
    assert "未照合（金額差）なし" in page and "要対応 1 件" in page and "通知 2 件" in page


def test_a_closed_day_counts_what_is_still_open(sandbox: Sandbox, admin_client: Client) -> None:
    now = set_clock(sandbox, at(MONDAY))
    create_foreign_charge(sandbox, now)
    assert close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY))).exit_code == 2
    again = close_day(MONDAY, now=night_after(MONDAY))
    assert (again.state, again.exit_code) == ("already closed", 2)
    for row in Discrepancy.objects.unresolved():
        resolve(row, resolution="of the other shop", actor="staff", now=now)
    again = close_day(MONDAY, now=night_after(MONDAY))
    assert (again.exit_code, again.report["differences"]) == (0, 1)
    closes = admin_client.get(reverse("admin:ledger_dailyclose_changelist")).content.decode()
    assert "すべて解決済み" in closes


@pytest.mark.parametrize("is_lost", [False, True], ids=["event in time", "event lost"])
def test_a_failed_refund_found_by_the_close_of_its_day_belongs_to_that_day(
    sandbox: Sandbox, is_lost: bool
) -> None:
    order = build.paid_order(sandbox, card=FAILS_LATER, now=set_clock(sandbox, at(MONDAY, 10)))
    build.fetch(sandbox)
    build.refund(order, 4_000, now=at(MONDAY, 11))
    set_clock(sandbox, at(MONDAY, 20))
    for delivery in sandbox.pending_deliveries():
        if is_lost:
            sandbox.mark_delivered(delivery.event_id, 200)
    if not is_lost:  # delivered on Monday, handled by Monday's close on Tuesday
        build.deliver(sandbox, now=at(TUESDAY, 0, 30))
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    noted = Discrepancy.objects.get()
    assert (noted.kind, noted.day) == (Kind.REFUND_FAILED, MONDAY)
    assert [row["kind"] for row in result.report["discrepancies"]] == ["refund_failed"]
    assert (result.open[Category.TO_DO], result.exit_code) == (1, 0)


def test_money_gone_that_the_close_of_its_day_finds_belongs_to_that_day(sandbox: Sandbox) -> None:
    lines = [build.line(price=1_000, quantity=3)]
    order = build.paid_order(sandbox, lines, now=set_clock(sandbox, at(MONDAY, 10)))
    build.fetch(sandbox)
    build.ship(order, {order.lines.get().pk: 1}, now=at(MONDAY, 11))
    set_clock(sandbox, at(MONDAY, 20))
    refund_in_dashboard(order.payments.get())
    for delivery in sandbox.pending_deliveries():
        sandbox.mark_delivered(delivery.event_id, 200)  # lost
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    noted = Discrepancy.objects.get()
    assert (noted.kind, noted.object_id, noted.day) == (Kind.MONEY_GONE, order.number, MONDAY)
    assert [row["kind"] for row in result.report["discrepancies"]] == ["money_gone"]
    assert (result.open[Category.TO_DO], result.exit_code) == (1, 0)


def test_a_refund_whose_failure_is_reported_after_the_close_belongs_to_the_first_open_day(
    sandbox: Sandbox,
) -> None:
    order = build.paid_order(sandbox, card=FAILS_LATER, now=set_clock(sandbox, at(MONDAY, 10)))
    build.fetch(sandbox)
    close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    set_clock(sandbox, at(MONDAY, 20))  # at Stripe: the events of the refund are of Monday
    build.refund(order, 4_000, now=at(TUESDAY, 2))
    set_clock(sandbox, at(MONDAY, 23))
    build.deliver(sandbox, now=at(TUESDAY, 9))
    assert Discrepancy.objects.get(kind=Kind.REFUND_FAILED).day == TUESDAY


def test_a_notice_offers_nothing_to_resolve(admin_client: Client) -> None:
    notice = note_discrepancy(Kind.LATE, "txn_1", day=MONDAY, now=at(MONDAY))
    task = note_discrepancy(Kind.REFUND_FAILED, "re_1", day=MONDAY, now=at(MONDAY))
    pages = {
        row.pk: admin_client.get(reverse("admin:ledger_discrepancy_change", args=[row.pk])).content.decode()
        for row in (notice, task)
    }
    resolve_address = {
        row.pk: reverse("admin:ledger_discrepancy_resolve", args=[row.pk]) for row in (notice, task)
    }
    assert resolve_address[notice.pk] not in pages[notice.pk]
    assert resolve_address[task.pk] in pages[task.pk]
    assert admin_client.post(resolve_address[notice.pk], {"resolution": "x"}).status_code == 302
    notice.refresh_from_db()
    assert notice.resolved_at is None


@pytest.mark.parametrize(
    ("address", "shown"),
    [("?state=open", {"re_1", "ch_1"}), ("?category=notice", {"txn_1"}), ("?category=to_do", {"re_1"})],
)
def test_the_list_is_filtered_by_state_and_category(
    admin_client: Client, address: str, shown: set[str]
) -> None:
    for kind, object_id in ((Kind.LATE, "txn_1"), (Kind.REFUND_FAILED, "re_1"), (Kind.AMOUNT, "ch_1")):
        note_discrepancy(kind, object_id, day=MONDAY, now=at(MONDAY))
    page = admin_client.get(reverse("admin:ledger_discrepancy_changelist") + address)
    assert {row.object_id for row in page.context["cl"].result_list} == shown
