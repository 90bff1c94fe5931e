"""Konbini refunds that are cancelled at Stripe before their money moved: they are taken back (B3)."""

import secrets
from contextlib import suppress
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kikaku.money import STANDARD
from kikaku.sandbox import Sandbox
from kikaku.testing.database import examples
from ledger.books.accounts import (
    OUTPUT_TAX_ACCOUNTS,
    PREPAYMENTS,
    REFUNDS_PAYABLE,
)
from ledger.books.trial_balance import net_balance
from ledger.models import Discrepancy, JournalEntry, OutgoingMail, Refund, Shipment
from ledger.models.orders import OrderStatus
from ledger.sales.refunds import RefundRefused, Side
from ledger.sales.shipping import ShipRefused
from ledger.testing import build, company
from ledger.testing.closing import MONDAY, TUESDAY, WEDNESDAY, at, set_clock
from ledger.testing.dashboard import cancel_refund_in_dashboard, refund_in_dashboard
from ledger.testing.konbini import assert_no_findings
from ledger.testing.withdrawals import paid, sale, withdraw

Kind = Discrepancy.Kind


@pytest.mark.django_db
def test_goods_that_are_shipped_after_a_withdrawn_refund_bring_their_sale_and_tax(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    line = order.lines.get()
    build.ship(order, {line.pk: 1}, now=at(TUESDAY, 10))
    refund = build.refund(order, 2_000, side=Side.UNSHIPPED, now=at(TUESDAY, 11))
    withdraw(sandbox, refund)
    build.ship(order, now=at(TUESDAY, 13))
    assert sale(order) == (3_228, 322)
    assert net_balance(PREPAYMENTS, order=order) == net_balance(REFUNDS_PAYABLE, order=order) == 0
    assert Discrepancy.objects.get().kind == Kind.REFUND_WITHDRAWN
    assert_no_findings()


@pytest.mark.django_db
def test_a_refund_of_the_taxed_time_that_is_withdrawn_while_exempt_owes_its_tax_again(
    sandbox: Sandbox,
) -> None:
    order = paid(sandbox)  # 3 × ¥1,000, shipping ¥550
    build.ship(order, now=at(TUESDAY, 10))
    refund = build.refund(order, 1_100, now=set_clock(sandbox, at(TUESDAY, 11)))
    assert net_balance(OUTPUT_TAX_ACCOUNTS[STANDARD], order=order) == -222
    company.enter(from_day=WEDNESDAY, **company.EXEMPT)
    set_clock(sandbox, at(WEDNESDAY, 9))
    withdraw(sandbox, refund)
    entry = JournalEntry.objects.get(order=order, purpose="reversal")
    lines = entry.lines.order_by("account_id").values_list("account_id", "debit", "credit")
    assert entry.day == WEDNESDAY
    assert list(lines) == [("2120", 1_100, 0), ("2150", 0, 100), ("4190", 0, 1_000)]
    assert sale(order) == (3_228, 322)
    assert_no_findings()


@pytest.mark.django_db
def test_goods_that_were_shipped_while_the_refund_waited_are_sold_for_their_price(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    refund = build.refund(order, 2_000, now=at(TUESDAY, 10))
    build.ship(order, now=at(TUESDAY, 11))
    assert sum(sale(order)) == 1_550
    withdraw(sandbox, refund)
    assert sale(order) == (3_228, 322)
    assert net_balance(PREPAYMENTS, order=order) == 0
    assert_no_findings()


@pytest.mark.django_db
def test_a_part_that_was_shipped_meanwhile_is_sold_for_its_price_whatever_becomes_of_the_rest(
    sandbox: Sandbox,
) -> None:
    order = paid(sandbox)
    line = order.lines.get()
    refund = build.refund(order, 3_000, now=at(TUESDAY, 10))
    build.ship(order, {line.pk: 1}, now=at(TUESDAY, 11))
    assert sum(sale(order)) == 550
    withdraw(sandbox, refund)
    assert sale(order) == (1_410, 140)  # ¥1,000 and the fee of ¥550, with a tenth of tax
    build.refund(order, cancel={line.pk: 2}, now=at(TUESDAY, 13))
    order.refresh_from_db()
    assert order.status == OrderStatus.SHIPPED
    assert (net_balance(PREPAYMENTS, order=order), net_balance(REFUNDS_PAYABLE, order=order)) == (0, -2_000)
    assert not Discrepancy.objects.unresolved().exists()
    assert_no_findings()


@pytest.mark.django_db
def test_the_pieces_that_were_shipped_are_sold_also_when_others_were_refunded_before(
    sandbox: Sandbox,
) -> None:
    order = paid(sandbox)
    build.refund(order, cancel={order.lines.get().pk: 1}, now=at(TUESDAY, 10))
    refund = build.refund(order, 500, now=at(TUESDAY, 11))
    build.ship(order, now=at(TUESDAY, 12))
    withdraw(sandbox, refund)
    assert sum(sale(order)) == 2_550
    assert (net_balance(PREPAYMENTS, order=order), net_balance(REFUNDS_PAYABLE, order=order)) == (0, -1_000)
    assert Discrepancy.objects.get().kind == Kind.REFUND_WITHDRAWN
    assert_no_findings()


@pytest.mark.django_db
def test_a_person_decides_about_the_money_of_pieces_that_were_given_away(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    build.ship(order, {order.lines.get().pk: 1}, now=at(TUESDAY, 10))
    refund = build.refund(order, 2_000, side=Side.UNSHIPPED, now=at(TUESDAY, 11))
    build.ship(order, now=at(TUESDAY, 12), gift=Shipment.Gift.COURTESY)
    withdraw(sandbox, refund)
    assert sum(sale(order)) == 1_550
    assert net_balance(PREPAYMENTS, order=order) == -2_000
    assert Discrepancy.objects.get().kind == Kind.WITHDRAWN_TO_DECIDE
    assert_no_findings()


@pytest.mark.django_db
def test_an_order_asks_a_person_when_its_goods_went_back_on_the_shelf_meanwhile(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    line = order.lines.get()
    refund = build.refund(order, cancel={line.pk: 1}, now=at(TUESDAY, 10))
    withdraw(sandbox, refund)
    row = Discrepancy.objects.get()
    assert (row.kind, row.category, row.amount) == (Kind.WITHDRAWN_TO_DECIDE, "to_do", 1_000)
    # the two pieces that are left bring their own sale; the money of the third waits for the person
    build.ship(order, now=at(TUESDAY, 12))
    assert sum(sale(order)) == 2_550
    assert net_balance(PREPAYMENTS, order=order) == -1_000
    assert_no_findings()
    again = build.refund(order, 1_000, now=at(TUESDAY, 13))
    assert [(part.prepaid, part.recognised) for part in again.lines.all()] == [(1_000, 0)]
    row.refresh_from_db()
    assert (row.resolved_by, row.resolution) == ("system", "あらためて返金しました。")
    assert net_balance(PREPAYMENTS, order=order) == 0
    assert_no_findings()


@pytest.mark.django_db
def test_money_held_for_released_pieces_can_be_refunded_before_the_rest_is_shipped(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    withdraw(sandbox, build.refund(order, cancel={order.lines.get().pk: 1}, now=at(TUESDAY, 10)))
    build.refund(order, 1_000, now=at(TUESDAY, 12))
    build.ship(order, now=at(TUESDAY, 13))
    assert sum(sale(order)) == 2_550
    assert net_balance(PREPAYMENTS, order=order) == 0
    assert_no_findings()


@pytest.mark.django_db
def test_an_order_that_ended_keeps_its_money_for_a_person_who_refunds_it_again(
    sandbox: Sandbox, staff: Client
) -> None:
    order = paid(sandbox)
    withdraw(sandbox, build.refund(order, order.total, now=at(TUESDAY, 10)))
    assert order.status == OrderStatus.CANCELLED
    assert net_balance(PREPAYMENTS, order=order) == -3_550
    row = Discrepancy.objects.get()
    assert row.kind == Kind.WITHDRAWN_TO_DECIDE
    assert_no_findings()
    page = reverse("admin:ledger_order_refund", args=[order.pk])
    assert page in staff.get(reverse("admin:ledger_order_change", args=[order.pk])).content.decode()
    form = staff.get(page).context["form"]
    assert (form["what"].value(), form["amount"].value()) == ("amount", 3_550)
    build.refund(order, 3_550, now=at(TUESDAY, 12))
    assert net_balance(REFUNDS_PAYABLE, order=order) == -3_550
    row.refresh_from_db()
    assert row.resolved_at
    assert page not in staff.get(reverse("admin:ledger_order_change", args=[order.pk])).content.decode()
    assert_no_findings()


@pytest.mark.django_db
@pytest.mark.parametrize("amount", [3_550, 3_000])
@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("ships", [False, True])
def test_a_dashboard_refund_takes_the_place_of_a_stopped_one_whose_money_it_used(
    sandbox: Sandbox, ships: bool, pieces: int, amount: int
) -> None:
    order = paid(sandbox)
    if ships:
        build.ship(order, now=at(TUESDAY, 10))
    asked = {order.lines.get().pk: pieces}
    stopped = build.refund(
        order,
        cancel={} if ships else asked,
        returns=asked if ships else {},
        include_shipping=pieces == 3,
        now=at(TUESDAY, 11),
    )
    cancel_refund_in_dashboard(stopped)
    refund_in_dashboard(stopped.payment, amount)
    build.deliver(sandbox, newest_first=True)  # the new refund is heard of before the end of the other
    build.fetch(sandbox)
    stopped.refresh_from_db()
    assert (stopped.status, stopped.withdrawn) == (Refund.Status.CANCELED, False)
    rest = max(0, stopped.amount - amount)  # was promised as well: a person sees to it
    assert -net_balance(REFUNDS_PAYABLE, order=order) == amount + rest  # all waits for bank accounts
    assert sum(sale(order)) - net_balance(PREPAYMENTS, order=order) == 3_550 - amount - rest
    told = Discrepancy.objects.get(object_id=stopped.stripe_id)
    assert told.kind == (Kind.REFUND_FAILED if rest else Kind.REFUND_REPLACED)
    assert_no_findings()


@pytest.mark.django_db
def test_the_task_about_gone_money_ends_when_the_dashboard_refund_is_withdrawn(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    build.ship(order, {order.lines.get().pk: 1}, now=at(TUESDAY, 10))
    refund_in_dashboard(order.payments.get())
    build.deliver(sandbox)
    assert Discrepancy.objects.unresolved().get().kind == Kind.MONEY_GONE
    withdraw(sandbox, order.refunds.get())
    task = Discrepancy.objects.get(kind=Kind.MONEY_GONE)
    assert task.resolution == "返金が取り消され、商品の代金がまたあります。"
    build.ship(order, now=at(TUESDAY, 13))
    assert_no_findings()


@pytest.mark.django_db
def test_the_tax_of_a_later_refund_is_right_after_an_earlier_one_was_withdrawn(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    build.ship(order, now=at(TUESDAY, 10))
    first = build.refund(order, 105, now=at(TUESDAY, 11))  # tax ⌊9.54⌋ = 9
    build.refund(order, 5, now=at(TUESDAY, 12))  # tax ⌊110 / 11⌋ − 9 = 1, and alone ⌊0.45⌋ = 0
    withdraw(sandbox, first)
    assert net_balance(OUTPUT_TAX_ACCOUNTS[STANDARD], order=order) == -322
    correction = JournalEntry.objects.get(purpose="tax_correction")
    assert sum(line.debit for line in correction.lines.all()) == 1
    assert_no_findings()


@pytest.mark.django_db
def test_the_customer_is_told_that_a_promised_refund_was_stopped(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    withdraw(sandbox, build.refund(order, 500, now=at(TUESDAY, 10)))
    mail = order.mails.get(kind=OutgoingMail.Kind.REFUND_FAILED)
    assert "取り止め" in mail.subject and "¥500" in mail.text


acts = st.lists(
    st.one_of(
        st.tuples(st.just("ship"), st.integers(1, 3)),
        st.tuples(st.sampled_from(Side), st.integers(1, 1_500)),
        st.tuples(st.sampled_from(["cancel", "return"]), st.integers(1, 2)),
        st.tuples(st.just("withdraw"), st.integers(0, 2)),
        st.tuples(st.just("answer"), st.integers(0, 2)),
    ),
    max_size=9,
)


@pytest.mark.django_db
@pytest.mark.engine_independent
@settings(deadline=None, max_examples=examples(25), suppress_health_check=list(HealthCheck))
@given(history=acts)
def test_whatever_is_shipped_refunded_and_withdrawn_the_books_hold(
    sandbox: Sandbox, history: list[tuple[str | Side, int]]
) -> None:
    now = set_clock(sandbox, at(MONDAY))
    lines = [build.line(secrets.token_hex(4), price=1_000, quantity=3)]
    order = paid(sandbox, build.order(lines, shipping_fee=550, now=now))
    line = order.lines.get()
    for act, number in history:
        now = set_clock(sandbox, build.now_of(sandbox) + timedelta(minutes=5))
        waiting = list(order.refunds.filter(status=Refund.Status.REQUIRES_ACTION).order_by("pk"))
        with suppress(RefundRefused, ShipRefused):
            if act == "ship":
                build.ship(order, {line.pk: number}, now=now)
            elif isinstance(act, Side):
                build.refund(order, number, side=act, now=now)
            elif act == "cancel":
                build.refund(order, cancel={line.pk: number}, now=now)
            elif act == "return":
                build.refund(order, returns={line.pk: number}, restock=True, now=now)
            elif act == "withdraw" and waiting:
                withdraw(sandbox, waiting[number % len(waiting)])
            elif waiting:
                sandbox.claim_refund(str(waiting[number % len(waiting)].stripe_id))
        build.deliver(sandbox)
        build.fetch(sandbox)
    assert_no_findings()
    owed = net_balance(PREPAYMENTS, order=order) + net_balance(REFUNDS_PAYABLE, order=order)
    given_back = sum(refund.amount for refund in order.refunds.filter(status=Refund.Status.SUCCEEDED))
    assert sum(sale(order)) - owed == order.total - given_back
