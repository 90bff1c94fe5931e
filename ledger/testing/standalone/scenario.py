"""A day of business in a project without the shop: `python -m ledger.testing.standalone.scenario`."""

import sys

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from kikaku.sandbox import Request, adapter  # noqa: E402
from ledger.closing import daily_close  # noqa: E402
from ledger.models import OutgoingMail  # noqa: E402
from ledger.sales import mail  # noqa: E402
from ledger.stripe import client  # noqa: E402
from ledger.testing import build, webhooks  # noqa: E402
from ledger.testing.closing import MONDAY, at, night_after, set_clock  # noqa: E402
from ledger.testing.company import ensure_tax_status  # noqa: E402


def main() -> None:
    """Order, pay, ship, refund and close the day, then open pages of the admin."""
    call_command("migrate", interactive=False, verbosity=0)
    ensure_tax_status()
    sandbox = adapter.sandbox()
    requests: list[Request] = []
    sandbox.observer = lambda request, response: requests.append(request)
    client.ask_account()
    requests.clear()

    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.order([build.line(quantity=2)], now=now)
    session = build.session_of(order, now=now)
    assert f"my-order%2F{order.token}%2Fpaid%2F&" in requests[0].body.decode()
    assert f"my-order%2F{order.token}%2F&" in requests[0].body.decode()
    sandbox.pay(session)
    for delivery in sandbox.pending_deliveries():
        answer = webhooks.post(Client(), delivery.body, delivery.headers["Stripe-Signature"])
        assert answer.status_code == 200, answer.content
        sandbox.mark_delivered(delivery.event_id, 200)
    build.fetch(sandbox)
    order.refresh_from_db()
    assert order.status == "paid"

    build.ship(order, now=set_clock(sandbox, at(MONDAY, 15)))
    refund = build.refund(order, 3_000, now=set_clock(sandbox, at(MONDAY, 16)))
    build.deliver(sandbox)
    refund.refresh_from_db()
    assert (order.status, refund.status) == ("shipped", "succeeded")
    assert mail.send_due(now=timezone.now()) == 3
    for row in OutgoingMail.objects.all():
        assert f"http://127.0.0.1:8000/my-order/{order.token}/" in row.text, row.text
        assert "http://127.0.0.1:8000/welcome/" in row.text, row.text

    closed = daily_close.close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert closed.differences == 0, closed.report

    admin = Client()
    admin.force_login(User.objects.create_superuser("staff"))
    for page in ("", f"{order.pk}/change/"):
        shown = admin.get(f"/admin/ledger/order/{page}")
        assert shown.status_code == 200, shown.status_code
    assert f'href="/my-order/{order.token}/"' in shown.content.decode()
    assert not {"shop", "ops"} & set(sys.modules)


if __name__ == "__main__":
    main()
