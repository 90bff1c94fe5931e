"""Checkout: an order has at most one open payment page, and time alone releases no stock."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from kikaku.sandbox import Request, Response, Sandbox
from ledger.models import CheckoutAttempt, Discrepancy, Order, StockItem
from ledger.models.orders import OrderStatus
from ledger.sales import checkout
from ledger.sales.checkout_status import Outcome
from ledger.stripe import client as stripe_client
from ledger.testing import build
from ledger.testing.threads import run_in_threads

pytestmark = pytest.mark.django_db


@pytest.fixture
def traffic(sandbox: Sandbox) -> list[Request]:
    """Return the list that collects the requests to Stripe."""
    seen: list[Request] = []

    def note(request: Request, response: Response) -> None:
        seen.append(request)

    sandbox.observer = note
    return seen


def later(sandbox: Sandbox, **by: float) -> datetime:
    """Move Stripe's clock forward and return the new time."""
    moment = build.now_of(sandbox) + timedelta(**by)
    sandbox.clock = moment.timestamp
    return moment


def creations(traffic: list[Request]) -> list[Request]:
    return [
        request
        for request in traffic
        if (request.method, request.target) == ("POST", "/v1/checkout/sessions")
    ]


def test_a_second_click_leads_to_the_same_payment_page(sandbox: Sandbox, traffic: list[Request]) -> None:
    order = build.order()
    url = checkout.start_payment(order, now=timezone.now())
    assert url == checkout.start_payment(order, now=timezone.now())
    assert "/c/pay/cs_test_" in url
    assert len(creations(traffic)) == 1
    attempt = order.attempts.get()
    assert attempt.status == CheckoutAttempt.Status.OPEN
    assert attempt.expires_at - attempt.created_at <= timedelta(minutes=35)


@pytest.mark.django_db(transaction=True)
def test_concurrent_clicks_open_one_page(sandbox: Sandbox, traffic: list[Request]) -> None:
    order = build.order()
    urls = run_in_threads(*[lambda: checkout.start_payment(order, now=timezone.now())] * 3)
    assert len(set(urls)) == 1, urls
    assert order.attempts.count() == 1
    assert len({request.header("Idempotency-Key") for request in creations(traffic)}) == 1


def test_when_stripe_is_down_the_order_stays_open_and_the_next_attempt_has_the_same_key(
    sandbox: Sandbox, settings: Settings, traffic: list[Request]
) -> None:
    order = build.order()
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"  # no server listens there
    with pytest.raises(checkout.PaymentUnavailable):
        checkout.start_payment(order, now=timezone.now())
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING
    key = order.attempts.get(status=CheckoutAttempt.Status.CREATED).idempotency_key
    assert order.lines.get().reserved == 1

    settings.STRIPE_API_BASE = ""
    checkout.start_payment(order, now=timezone.now())
    assert creations(traffic)[-1].header("Idempotency-Key") == key
    assert order.attempts.count() == 1


def test_after_a_lost_answer_the_session_at_stripe_is_reused(sandbox: Sandbox) -> None:
    order = build.order()
    session = build.session_of(order)
    # the process ended before it stored Stripe's answer
    CheckoutAttempt.objects.update(status=CheckoutAttempt.Status.CREATED, session_id=None, url="")
    assert build.session_of(order) == session


def test_an_attempt_that_stripe_would_no_longer_accept_is_replaced(
    sandbox: Sandbox, settings: Settings
) -> None:
    order = build.order()
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    with pytest.raises(checkout.PaymentUnavailable):
        checkout.start_payment(order, now=timezone.now())
    settings.STRIPE_API_BASE = ""
    # Stripe wants a new session to last 30 minutes or more: this one has 25 left
    assert checkout.start_payment(order, now=later(sandbox, minutes=10))
    assert sorted(order.attempts.values_list("status", flat=True)) == ["expired", "open"]


def test_an_old_page_is_closed_at_stripe_before_a_new_one_opens(
    sandbox: Sandbox, traffic: list[Request]
) -> None:
    order = build.order()
    old = build.session_of(order)
    moment = later(sandbox, minutes=34, seconds=30)
    new = build.session_of(order, now=moment)
    assert new != old
    asked = [request.target for request in traffic if request.method == "POST"]
    assert asked == ["/v1/checkout/sessions", f"/v1/checkout/sessions/{old}/expire", "/v1/checkout/sessions"]
    # the event of the old page does not end the order
    build.deliver(sandbox)
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING


def test_a_paid_or_cancelled_order_has_no_payment_page(sandbox: Sandbox) -> None:
    paid = build.paid_order(sandbox)
    with pytest.raises(checkout.NotPayable):
        checkout.start_payment(paid, now=timezone.now())
    cancelled = build.order()
    Order.objects.filter(pk=cancelled.pk).update(status=OrderStatus.CANCELLED)
    with pytest.raises(checkout.NotPayable):
        checkout.start_payment(cancelled, now=timezone.now())


def test_a_page_whose_payment_event_is_missing_is_recorded_as_paid_instead_of_replaced(
    sandbox: Sandbox,
) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))  # and the webhook is lost
    with pytest.raises(checkout.NotPayable):
        checkout.start_payment(order, now=later(sandbox, minutes=40))
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert order.payments.get().last4 == "4242"


def test_an_abandoned_checkout_releases_its_stock_once_when_its_time_is_over(
    sandbox: Sandbox,
) -> None:
    order = build.order([build.line(quantity=3, on_hand=3)])
    build.session_of(order)
    assert checkout.expire_due(now=later(sandbox, minutes=20)) == 0
    moment = later(sandbox, minutes=20)
    assert checkout.expire_due(now=moment) == 1
    assert checkout.expire_due(now=moment) == 0
    build.deliver(sandbox, now=moment)  # checkout.session.expired comes too
    order.refresh_from_db()
    assert (order.status, order.cancel_reason) == (OrderStatus.CANCELLED, Order.CancelReason.EXPIRED)
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (3, 0)
    line = order.lines.get()
    assert (line.reserved, line.cancelled) == (0, 3)
    assert not order.mails.exists()


def test_the_event_alone_releases_an_abandoned_checkout(sandbox: Sandbox) -> None:
    order = build.order()
    build.session_of(order)
    moment = later(sandbox, minutes=40)
    assert sandbox.expire_due() == 1
    build.deliver(sandbox, now=moment)
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED
    assert StockItem.objects.get().reserved == 0
    assert checkout.expire_due(now=moment) == 0


def test_time_alone_releases_nothing_while_stripe_does_not_answer(
    sandbox: Sandbox, settings: Settings
) -> None:
    order = build.order()
    build.session_of(order)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    assert checkout.expire_due(now=later(sandbox, hours=3)) == 0
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING
    assert StockItem.objects.get().reserved == 1


def test_a_checkout_paid_at_the_last_moment_keeps_its_stock(sandbox: Sandbox) -> None:
    order = build.order()
    session = build.session_of(order)
    later(sandbox, minutes=34)
    sandbox.pay(session)
    moment = later(sandbox, minutes=5)
    assert checkout.expire_due(now=moment) == 0
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert order.lines.get().reserved == 1
    build.deliver(sandbox, now=moment)
    assert order.payments.count() == 1
    assert not Discrepancy.objects.exists()


def test_an_order_without_a_page_ends_when_its_time_is_over(sandbox: Sandbox) -> None:
    order = build.order(now=timezone.now())
    assert checkout.expire_due(now=timezone.now() + timedelta(minutes=30)) == 0
    assert checkout.expire_due(now=timezone.now() + timedelta(minutes=36)) == 1
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED


def test_a_page_created_while_the_order_is_cancelled_is_closed(sandbox: Sandbox) -> None:
    order = build.order()

    def cancel_meanwhile(request: Request, response: Response) -> None:
        if request.target == "/v1/checkout/sessions":
            Order.objects.filter(pk=order.pk).update(status=OrderStatus.CANCELLED)

    sandbox.observer = cancel_meanwhile
    with pytest.raises(checkout.NotPayable):
        checkout.start_payment(order, now=timezone.now())
    attempt = order.attempts.get()
    assert attempt.status == CheckoutAttempt.Status.EXPIRED
    assert stripe_client.retrieve_session(str(attempt.session_id))["status"] == "expired"


def test_expiring_an_attempt_takes_a_bounded_number_of_queries(
    sandbox: Sandbox, django_assert_max_num_queries: Callable[..., object], tmp_path: Path
) -> None:
    line = build.line(on_hand=50)
    for _order in range(3):
        build.session_of(build.order([line]))
    moment = later(sandbox, hours=1)
    statements = 12 + 5  # of each: five to store two events, one of them in a transaction of its own
    with django_assert_max_num_queries(3 * statements + 4):  # type: ignore[attr-defined]
        assert checkout.expire_due(now=moment) == 3


def test_a_key_used_with_other_parameters_opens_no_second_page_before_its_time_is_over(
    sandbox: Sandbox,
) -> None:
    order = build.order()
    build.session_of(order)
    CheckoutAttempt.objects.update(status=CheckoutAttempt.Status.CREATED, session_id=None, url="")
    Order.objects.update(email="changed@example.jp")  # as a new release may change what is sent
    order.refresh_from_db()
    with pytest.raises(checkout.PaymentUnavailable):
        checkout.start_payment(order, now=timezone.now())
    assert order.attempts.count() == 1
    assert checkout.expire_due(now=later(sandbox, minutes=40)) == 1


def test_an_attempt_that_never_reached_stripe_ends_with_its_order(
    sandbox: Sandbox, settings: Settings
) -> None:
    order = build.order()
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    with pytest.raises(checkout.PaymentUnavailable):
        checkout.start_payment(order, now=timezone.now())
    settings.STRIPE_API_BASE = ""
    assert checkout.expire_due(now=later(sandbox, minutes=36)) == 1
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED


def test_a_session_whose_creation_was_not_stored_is_closed_too(sandbox: Sandbox) -> None:
    order = build.order()
    session = build.session_of(order)
    CheckoutAttempt.objects.update(status=CheckoutAttempt.Status.CREATED, session_id=None, url="")
    assert checkout.close(order.attempts.get(), now=timezone.now()) == Outcome.EXPIRED
    assert order.attempts.get().session_id == session
    assert stripe_client.retrieve_session(session)["status"] == "expired"


def test_an_order_without_stock_or_with_a_completed_page_gets_no_other_page(sandbox: Sandbox) -> None:
    order = build.order()
    build.session_of(order)
    CheckoutAttempt.objects.update(status=CheckoutAttempt.Status.COMPLETE)
    with pytest.raises(checkout.NotPayable):
        checkout.start_payment(order, now=timezone.now())
    other = build.order()
    other.lines.update(reserved=0)
    with pytest.raises(checkout.NotPayable):
        checkout.start_payment(other, now=timezone.now())


def test_a_refused_session_leaves_the_order_open_without_a_live_attempt(sandbox: Sandbox) -> None:
    order = build.order()
    Order.objects.update(email='"hanako"@example.jp')  # by the standard, but refused by the stand-in
    order.refresh_from_db()
    for _twice in range(2):
        with pytest.raises(checkout.PaymentUnavailable):
            checkout.start_payment(order, now=timezone.now())
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING
    assert set(order.attempts.values_list("status", flat=True)) == {"expired"}
    assert "email" in order.attempts.all()[0].last_error


@pytest.fixture
def failing_sessions(sandbox: Sandbox, settings: Settings) -> Iterator[list[str]]:
    """Yield a list of sessions about which Stripe answers 500; other calls reach the stand-in."""
    failing: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, dict(self.headers.items()), body)
            fails = any(session in self.path for session in failing)
            answer = Response(500, {}, b"{}") if fails else sandbox.handle(request)
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.STRIPE_API_BASE = f"http://127.0.0.1:{server.server_port}"
    yield failing
    server.shutdown()
    server.server_close()


def test_one_session_without_an_answer_does_not_stop_the_others(
    sandbox: Sandbox, failing_sessions: list[str]
) -> None:
    stuck, other = build.order(), build.order()
    failing_sessions.append(build.session_of(stuck))
    build.session_of(other)
    moment = later(sandbox, minutes=40)
    assert checkout.expire_due(now=moment) == 1
    stuck.refresh_from_db()
    assert stuck.status == OrderStatus.PENDING
    failing_sessions.clear()
    assert checkout.expire_due(now=moment) == 1


@pytest.mark.parametrize("voucher", [False, True])
def test_one_order_with_inconsistent_stock_does_not_stop_the_others(sandbox: Sandbox, voucher: bool) -> None:
    odd, other = build.order([build.line("ODD")]), build.order([build.line("EVEN")])
    session = build.session_of(odd)
    build.session_of(other)
    if voucher:
        sandbox.choose_konbini(session)
        checkout.close(odd.attempts.get(), now=timezone.now())
        sandbox.expire_voucher(session)
    StockItem.objects.filter(sku="ODD").update(reserved=0)  # changed by hand in the database
    assert checkout.expire_due(now=later(sandbox, minutes=10_000)) == 1
    odd.refresh_from_db()
    other.refresh_from_db()
    assert (odd.status, other.status) == (OrderStatus.PENDING, OrderStatus.CANCELLED)


def test_a_session_unknown_to_stripe_leaves_the_order_open_at_first(sandbox: Sandbox) -> None:
    order = build.order()
    build.session_of(order)
    order.attempts.update(session_id="cs_test_of_another_account")
    later(sandbox, minutes=36)
    with pytest.raises(checkout.PaymentUnavailable, match="resource_missing"):
        checkout.start_payment(order, now=timezone.now() + timedelta(minutes=36))
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING
    checkout.expire_due(now=timezone.now() + timedelta(hours=24))
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING and not Discrepancy.objects.exists()


def test_a_session_unknown_to_stripe_for_a_day_is_a_discrepancy_and_releases_the_stock(
    sandbox: Sandbox,
) -> None:
    order = build.order()
    build.session_of(order)
    order.attempts.update(session_id="cs_test_of_another_account")
    end = timezone.now() + timedelta(hours=25)
    assert checkout.expire_due(now=end) == 1
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED
    assert order.attempts.get().status == "expired" and StockItem.objects.get().reserved == 0
    noted = Discrepancy.objects.get()
    assert (noted.kind, noted.object_id) == ("missing_at_stripe", "cs_test_of_another_account")
    assert order.number in noted.detail
    assert checkout.expire_due(now=end + timedelta(minutes=1)) == 0


def test_a_voucher_unknown_to_stripe_holds_its_stock_until_a_day_after_its_deadline(sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.choose_konbini(build.session_of(order))
    build.deliver(sandbox)
    deadline = order.attempts.get().voucher_expires_at
    assert deadline is not None
    order.attempts.update(session_id="cs_test_of_another_account")
    assert checkout.expire_due(now=deadline + timedelta(hours=23)) == 0
    assert StockItem.objects.get().reserved == 1
    assert checkout.expire_due(now=deadline + timedelta(hours=24)) == 1
    assert StockItem.objects.get().reserved == 0 and Discrepancy.objects.count() == 1


def test_stripe_is_told_no_address_that_it_would_refuse(sandbox: Sandbox, traffic: list[Request]) -> None:
    order = build.order()
    Order.objects.filter(pk=order.pk).update(email="hanako.@docomo.ne.jp")
    order.refresh_from_db()
    assert "/c/pay/cs_test_" in checkout.start_payment(order, now=timezone.now())
    session = stripe_client.retrieve_session(str(order.attempts.get().session_id))
    assert session["customer_email"] is None
