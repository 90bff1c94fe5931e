"""The shop's most frequent acts; tests and `make bench` count their round trips to the database."""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.files import File
from django.db import connection
from django.db.models import F
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from kikaku.d1.statements import SQL
from kikaku.sandbox import Sandbox
from kikaku.wsgi import application
from ledger.closing import daily_close
from ledger.models import Order
from ledger.testing import build, busy_day
from shop.models import Product, Variant
from shop.testing import build as shelf

HOST: dict[str, Any] = {"HTTP_HOST": "127.0.0.1"}
BROWSER = {**HOST, "HTTP_SEC_FETCH_SITE": "same-origin"}
PAYMENTS = 100
SELECT_ONE = SQL("SELECT 1")
SELECT_ONE.columns = 1  # set here, so that D1 is not asked for them


@dataclass(frozen=True)
class Act:
    """One act of the shop, with a goal for its round trips on D1."""

    name: str
    goal: int | None  # at most
    prepare: Callable[[], Callable[[], None]]  # creates what the act needs, and returns the act itself


class Acts:
    """The acts on one small shop."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.product = shelf.product("round-trips", sku="ROUND-TRIPS", on_hand=100_000)
        for number in range(3):
            shelf.variant(self.product, f"ROUND-TRIPS-{number}", on_hand=1_000)
        user = get_user_model().objects.create_superuser("bench", "bench@example.jp", secrets.token_hex(8))
        self.staff = Client(**HOST)
        self.staff.force_login(user)
        self.day = timezone.localdate() - timedelta(days=400)

    def all(self) -> list[Act]:
        """Return the acts, with the goals of docs/d1.md."""
        return [
            # first: sales of the other acts would be differences of a day in the past
            Act(f"close of a day of {PAYMENTS} payments", None, self._close),
            Act("SELECT 1", None, lambda: self._select_one),
            Act("product page, stored", 2, self._page),
            Act("product page, after its price changed", 2, self._changed_page),
            Act("order of two goods placed and sent to pay", 25, self._order),
            Act("Stripe event of a payment", None, self._event),
            Act("admin: change page of an order", 10, self._admin_order),
            Act("admin: change page of a product", 10, self._admin_product),
            Act("admin: product of 4 variants saved", None, self._save_product),
        ]

    def _select_one(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(SELECT_ONE)

    def _page(self) -> Callable[[], None]:
        path = reverse("product", args=[self.product.slug])
        environ = RequestFactory(**BROWSER).get(path).environ

        def act() -> None:
            answer = application(dict(environ), _expect_200)
            b"".join(answer)
            if hasattr(answer, "close"):
                answer.close()

        act()  # from now on the page is stored
        return act

    def _changed_page(self) -> Callable[[], None]:
        act = self._page()
        Variant.objects.filter(product=self.product).update(price=F("price") + 1)
        return act

    def _order(self) -> Callable[[], None]:
        client = Client(**BROWSER)
        shelf.fill_cart(client, ("ROUND-TRIPS", 1), ("ROUND-TRIPS-0", 2))
        shelf.type_address(client)
        page = client.get(reverse("checkout_confirm")).content.decode()
        form = {name: shelf.hidden(page, name) for name in ("nonce", "fingerprint")}

        def act() -> None:
            answer = client.post(reverse("checkout_place"), form)
            assert answer.status_code == 303 and "/c/pay/" in answer["Location"], answer["Location"]

        return act

    def _event(self) -> Callable[[], None]:
        build.deliver(self.sandbox)
        self.sandbox.pay(build.session_of(build.order()))
        waiting = [
            sent for sent in self.sandbox.pending_deliveries() if b"checkout.session.completed" in sent.body
        ]
        delivery = waiting[0]

        def act() -> None:
            answer = Client(**HOST).post(
                reverse("stripe_webhook"),
                delivery.body,
                content_type="application/json",
                headers={"Stripe-Signature": delivery.headers["Stripe-Signature"]},
            )
            assert answer.status_code == 200, answer.content

        return act

    def _admin_order(self) -> Callable[[], None]:
        return self._change_page(build.paid_order(self.sandbox))

    def _admin_product(self) -> Callable[[], None]:
        return self._change_page(self.product)

    def _change_page(self, row: Order | Product) -> Callable[[], None]:
        path = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])

        def act() -> None:
            assert self.staff.get(path).status_code == 200

        return act

    def _save_product(self) -> Callable[[], None]:
        path = reverse("admin:shop_product_change", args=[self.product.pk])
        form = _form(self.staff.get(path))
        form["lead_spec_ja"] = secrets.token_hex(4)

        def act() -> None:
            answer: Any = self.staff.post(path, form)
            assert answer.status_code == 302, answer.context_data["errors"]

        return act

    def _close(self) -> Callable[[], None]:
        self.day += timedelta(days=1)
        day = self.day
        closing = busy_day.fill(self.sandbox, day, payments=PAYMENTS)

        def act() -> None:
            assert daily_close.close_day(day, now=closing).differences == 0
            self.sandbox.clock = time.time

        return act


def round_trips() -> int | None:
    """Return how many requests this thread's connection has sent to D1 so far; None on another engine."""
    connection.ensure_connection()
    transport: Any = getattr(connection.connection, "transport", None)
    return None if transport is None else int(transport.round_trips)


def _expect_200(status: str, headers: Any, error: Any = None, /) -> Callable[[bytes], object]:
    assert status.startswith("200"), status
    return bytes


def _form(page: Any) -> dict[str, Any]:
    """Return what a browser posts of an unchanged admin form."""
    return dict(_fields(page))


def _fields(page: Any) -> Iterator[tuple[str, Any]]:
    formsets = [inline.formset for inline in page.context_data["inline_admin_formsets"]]
    forms = [page.context_data["adminform"].form]
    for formset in formsets:
        forms += [formset.management_form, *formset.forms]
    for form in forms:
        for field in form:
            value = field.value()
            if value is not None and value is not False and not isinstance(value, File):
                yield field.html_name, value
