"""Acts at Stripe, without our code: pages, vouchers, refunds in its dashboard, and its webhooks."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from django.conf import settings

from kikaku.sandbox import NoVoucher, Request
from kikaku.sandbox.events import record_event
from ledger.testing.histories.actions import choose, take
from ledger.testing.histories.world import World


@dataclass(frozen=True)
class OpenSecondPage:
    """A second payment page of an order is open at Stripe, beside ours: the customer may pay twice."""

    page: int = 0

    def __call__(self, world: World) -> None:
        session = choose(world.pages, self.page)
        if session is None:
            return
        with world.sandbox._transaction(write=False) as tx:
            first = tx.load("checkout.session", session)
        second = call_as_dashboard(
            world,
            "/v1/checkout/sessions",
            **{
                "mode": "payment",
                "success_url": first["success_url"],
                "payment_method_types[0]": "card",
                "line_items[0][quantity]": 1,
                "line_items[0][price_data][currency]": "jpy",
                "line_items[0][price_data][unit_amount]": first["amount_total"],
                "line_items[0][price_data][product_data][name]": "the same goods",
                "payment_intent_data[capture_method]": "automatic",
                **{f"metadata[{name}]": value for name, value in first["metadata"].items()},
                **{
                    f"payment_intent_data[metadata][{name}]": value
                    for name, value in first["metadata"].items()
                },
            },
        )
        world.pages.append(second["id"])


@dataclass(frozen=True)
class CompleteWithoutPayment:
    """An open page is complete at Stripe, paid or with nothing to pay, and names no payment."""

    status: Literal["paid", "no_payment_required"] = "no_payment_required"
    page: int = 0

    def __call__(self, world: World) -> None:
        session_id = take(world.pages, self.page)
        if session_id is None:
            return
        with world.sandbox._transaction(write=True) as tx:
            session = tx.load("checkout.session", session_id)
            if session["status"] != "open" or session["payment_intent"] is not None:
                return  # what was begun on it may still be paid
            complete = {**session, "status": "complete", "payment_status": self.status, "url": None}
            tx.save({**complete, "payment_intent": None})
            tx.unschedule(session_id)
            record_event(tx, "checkout.session.completed", {**complete, "payment_intent": None})


@dataclass(frozen=True)
class ExpireVoucher:
    """A voucher expires now."""

    voucher: int = 0

    def __call__(self, world: World) -> None:
        session = take(world.vouchers, self.voucher)
        if session is not None:
            with suppress(NoVoucher):
                world.sandbox.expire_voucher(session)


@dataclass(frozen=True)
class RefundAtStripe:
    """Staff refund thousandths of the rest of a charge in Stripe's dashboard, without the shop."""

    thousandths: int = 1000
    charge: int = 0

    def __call__(self, world: World) -> None:
        with world.sandbox._transaction(write=False) as tx:
            charges = [charge for charge in reversed(tx.page("charge").data) if _is_ours(charge)]
        charge = choose(charges, self.charge)
        if charge is None:
            return
        left = charge["amount_captured"] - charge["amount_refunded"]
        if left:
            call_as_dashboard(
                world,
                "/v1/refunds",
                charge=charge["id"],
                amount=max(1, min(left, left * self.thousandths // 1000)),
            )


def _is_ours(charge: Mapping[str, Any]) -> bool:
    """Return whether a charge has money of an order of the shop."""
    return bool(charge["paid"] and charge["metadata"].get("order"))


def call_as_dashboard(world: World, path: str, **fields: Any) -> dict[str, Any]:
    """Send a request to Stripe that does not come from our code, and return its answer."""
    answer = world.sandbox.handle(
        Request(
            method="POST",
            target=path,
            headers={
                "Authorization": "Bearer sk_test_dashboard",
                "Stripe-Version": settings.STRIPE_API_VERSION,
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode(fields).encode(),
        )
    )
    assert answer.status == 200, answer.body
    answered: dict[str, Any] = json.loads(answer.body)
    return answered


@dataclass(frozen=True)
class Deliver:
    """Stripe delivers the waiting events in order; or these picks in this order, with repetitions."""

    picks: tuple[int, ...] = ()

    def __call__(self, world: World) -> None:
        waiting = world.sandbox.pending_deliveries()
        for delivery in (
            [waiting[pick % len(waiting)] for pick in self.picks] if self.picks and waiting else waiting
        ):
            world.deliver(delivery)


@dataclass(frozen=True)
class RepeatEvent:
    """Stripe delivers an event again that was answered with 200."""

    event: int = 0

    def __call__(self, world: World) -> None:
        delivery = choose(world.delivered, self.event)
        if delivery is not None:
            assert world.deliver(delivery)


@dataclass(frozen=True)
class LoseEvent:
    """An event never arrives: Stripe gave up, or the endpoint's address was wrong."""

    event: int = 0

    def __call__(self, world: World) -> None:
        delivery = choose(world.sandbox.pending_deliveries(), self.event)
        if delivery is not None:
            world.sandbox.mark_delivered(delivery.event_id, 200)
