"""While ten customers wait for a Stripe that never answers, the real web server serves everyone else."""

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.test import Client

from kikaku.door import THREADS
from kikaku.testing.serving import served
from ledger.models import CheckoutAttempt, Order, StripeEvent
from ops.testing.events import signed_event
from shop.testing import build

pytestmark = pytest.mark.django_db(transaction=True)

WAITING_CUSTOMERS = 10


class SilentStripe:
    """A server that accepts connections, reads, and never answers."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.callers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _address = self.listener.accept()
                caller.recv(1)  # the request has begun
                self.callers.append(caller)

    def hang_up(self) -> None:
        """Close all connections: the waiting clients get an error at once."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for caller in self.callers:
            caller.close()


@pytest.fixture
def stripe() -> Iterator[SilentStripe]:
    silent = SilentStripe()
    yield silent
    silent.hang_up()


@pytest.fixture
def shop(stripe: SilentStripe, tmp_path: Path) -> Iterator[str]:
    """Run the web server; yield its address."""
    build.product(on_hand=40)
    build.content_page()
    build.content_page("returns", "返品・交換について")
    with served(
        tmp_path, settings="ops.testing.unprepared_settings", variables={"STRIPE_API_BASE": stripe.url}
    ) as server:
        yield server.address


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def ask(url: str, data: dict[str, str] | bytes | None = None, **headers: str) -> int:
    """Send a request as a browser does, without following a redirect; return the status."""
    body = urlencode(data).encode() if isinstance(data, dict) else data
    request = urllib.request.Request(
        url, data=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def customer_about_to_order() -> tuple[dict[str, str], str]:
    """Go to the last page of the checkout; return the form's fields and the cookies."""
    client = Client()
    build.fill_cart(client, ("SKU-madoka", 1))
    build.type_address(client)
    page = client.get("/checkout/confirm/").content.decode()
    fields = {name: build.hidden(page, name) for name in ("nonce", "fingerprint")}
    return fields, "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


def test_while_ten_customers_wait_for_stripe_the_shop_serves_the_others(
    shop: str, stripe: SilentStripe
) -> None:
    customers = [customer_about_to_order() for _customer in range(WAITING_CUSTOMERS)]
    with ThreadPoolExecutor(WAITING_CUSTOMERS + 12) as pool:
        waiting = [
            pool.submit(ask, f"{shop}/checkout/place/", fields, Cookie=cookies)
            for fields, cookies in customers
        ]
        until = time.monotonic() + 30
        while len(stripe.callers) < THREADS["stripe"]:
            assert time.monotonic() < until and not any(response.done() for response in waiting)
            time.sleep(0.02)

        body, signature = signed_event()
        others: dict[Future[int], int] = {}
        for _visitor in range(2):
            others |= {
                pool.submit(ask, f"{shop}/products/madoka/"): 200,
                pool.submit(ask, f"{shop}/products/"): 200,
                pool.submit(ask, f"{shop}/cart/add/", {"sku": "SKU-madoka", "quantity": "1"}): 303,
                pool.submit(ask, f"{shop}/search/?q=madoka"): 200,
                pool.submit(ask, f"{shop}/health"): 200,
            }
        others[pool.submit(ask, f"{shop}/webhooks/stripe", body, Stripe_Signature=signature)] = 200
        wait(others, timeout=30, return_when=FIRST_EXCEPTION)
        # an order of events, not a time: everyone else is served while the ten still wait
        assert [response.result(0) for response in others] == list(others.values())
        assert not any(response.done() for response in waiting)

        stripe.hang_up()
        assert [response.result(40) for response in waiting] == [303] * WAITING_CUSTOMERS
    assert StripeEvent.objects.get().status == "done"
    assert Order.objects.filter(status="pending").count() == WAITING_CUSTOMERS
    assert set(CheckoutAttempt.objects.values_list("status", flat=True)) == {"created"}
