"""Concurrent refunds, shipments, cancellations and payments of one order add up."""

from collections import Counter
from collections.abc import Callable

import pytest
from django.db.models import Sum
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.closing import verification
from ledger.models import Order, Refund, Shipment, StockItem
from ledger.sales import cancellation, mail
from ledger.sales.cancellation import CancelRefused
from ledger.sales.ceiling import AboveCeiling
from ledger.sales.refunds import RefundRefused, RefundRequest, request_refund
from ledger.sales.shipping import ShipRefused
from ledger.stripe import client as stripe_client
from ledger.testing import build
from ledger.testing.closing import MONDAY, at, set_clock
from ledger.testing.processes import WaitForAll, run_concurrently, run_in_processes

pytestmark = pytest.mark.django_db(transaction=True)

Job = Callable[[WaitForAll], str]


def refunded_at_stripe(order: Order) -> int:
    intent = order.payments.get().payment_intent
    found = stripe_client.client().v1.refunds.list({"payment_intent": intent})
    return sum(refund.amount for refund in found.data)


def test_concurrent_refunds_never_exceed_the_payment(sandbox: Sandbox) -> None:
    set_clock(sandbox, at(MONDAY))
    order = build.paid_order(sandbox)  # ¥11,500

    def refund(_number: int, wait_for_all: WaitForAll) -> str:
        wait_for_all()
        try:
            build.refund(order, 3_000, now=at(MONDAY))
        except RefundRefused:
            return "refused"
        return "refunded"

    assert Counter(run_concurrently(6, refund)) == {"refunded": 3, "refused": 3}
    build.deliver(sandbox)
    build.fetch(sandbox)
    assert refunded_at_stripe(order) == 9_000 == Refund.objects.aggregate(sum=Sum("amount"))["sum"]
    assert set(Refund.objects.values_list("status", flat=True)) == {"succeeded"}
    assert not list(verification.verify())


def test_concurrent_refunds_never_exceed_the_ceiling_together(sandbox: Sandbox) -> None:
    set_clock(sandbox, at(MONDAY))
    order = build.paid_order(sandbox)  # ¥11,500

    def refund(number: int, wait_for_all: WaitForAll) -> str:
        wait_for_all()
        try:
            request_refund(
                order=order,
                request=RefundRequest.of_amount(2_000, reason="allowance"),
                nonce=f"n-{number}",
                actor="staff",
                now=at(MONDAY),
                ceiling=5_000,
            )
        except AboveCeiling:
            return "refused"
        return "refunded"

    assert Counter(run_concurrently(4, refund)) == {"refunded": 2, "refused": 2}
    assert Refund.objects.aggregate(sum=Sum("amount"))["sum"] == 4_000
    with pytest.raises(AboveCeiling):  # as cancelling would send the other 7,500 back
        cancellation.cancel(
            order=order, reason=Order.CancelReason.STAFF, actor="staff", now=at(MONDAY), ceiling=5_000
        )
    order.refresh_from_db()
    assert order.status == "paid" and refunded_at_stripe(order) == 4_000


def ship(order: Order) -> Job:
    def job(wait_for_all: WaitForAll) -> str:
        wait_for_all()
        try:
            build.ship(order, now=at(MONDAY))
        except ShipRefused:
            return "too late"
        return "shipped"

    return job


def cancel(order: Order) -> Job:
    def job(wait_for_all: WaitForAll) -> str:
        wait_for_all()
        try:
            cancellation.cancel(order=order, reason=Order.CancelReason.STAFF, actor="staff", now=at(MONDAY))
        except CancelRefused:
            return "too late"
        return "cancelled"

    return job


def refund_all(order: Order) -> Job:
    def job(wait_for_all: WaitForAll) -> str:
        wait_for_all()
        try:
            build.refund(order, now=at(MONDAY))
        except RefundRefused:
            return "too late"
        return "refunded"

    return job


@pytest.mark.parametrize("rotation", range(3))
def test_concurrent_shipment_cancellation_and_refund_never_contradict_each_other(
    sandbox: Sandbox, rotation: int
) -> None:
    set_clock(sandbox, at(MONDAY))
    order = build.paid_order(sandbox, [build.line("CL-08", quantity=2, on_hand=10)])
    jobs = [ship(order), cancel(order), refund_all(order)]
    done = run_in_processes((jobs[rotation:] + jobs[:rotation]) * 2)
    build.deliver(sandbox)
    build.fetch(sandbox)

    order.refresh_from_db()
    item = StockItem.objects.get()
    assert item.reserved == 0
    if "shipped" in done:
        assert order.status == "shipped" and "cancelled" not in done
        assert Shipment.objects.count() == done.count("shipped") == 1
        assert item.on_hand == 8
    else:
        assert order.status == "cancelled"
        assert item.on_hand == 10
    refunded = order.total if {"refunded", "cancelled"} & set(done) else 0
    assert refunded_at_stripe(order) == refunded
    assert not list(verification.verify())


def test_a_payment_during_a_cancellation_is_refused_or_refunded(sandbox: Sandbox) -> None:
    set_clock(sandbox, at(MONDAY))
    orders = [build.order(now=at(MONDAY)) for _customer in range(4)]
    sessions = [build.session_of(order, now=at(MONDAY)) for order in orders]

    def pay(session: str) -> Job:
        def job(wait_for_all: WaitForAll) -> str:
            wait_for_all()
            try:
                sandbox.pay(session)
            except Exception as refusal:
                return type(refusal).__name__
            return "paid"

        return job

    done = run_in_processes([*(pay(session) for session in sessions), *(cancel(order) for order in orders)])
    build.deliver(sandbox)
    build.fetch(sandbox)
    for order, paid in zip(orders, done[:4], strict=True):
        order.refresh_from_db()
        assert order.status == "cancelled"
        assert paid in ("paid", "SessionNotOpen")
        assert order.payments.count() == (paid == "paid")
        if paid == "paid":
            assert refunded_at_stripe(order) == order.total
    assert StockItem.objects.get().reserved == 0
    assert not list(verification.verify())


def test_four_workers_send_each_mail_once(sandbox: Sandbox, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = settings.MEDIA_ROOT.parent / "mails"
    set_clock(sandbox, at(MONDAY))
    for _customer in range(6):
        build.paid_order(sandbox)

    def send(_number: int, wait_for_all: WaitForAll) -> int:
        wait_for_all()
        return mail.send_due(now=at(MONDAY))

    assert sum(run_concurrently(4, send)) == 6
    written = "".join(file.read_text() for file in settings.EMAIL_FILE_PATH.iterdir())
    assert written.count("Auto-Submitted:") == 6
