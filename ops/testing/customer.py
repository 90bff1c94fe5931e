"""A customer and a clerk who speak HTTP to a running shop, as a browser does."""

import http.client
import http.cookiejar
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlencode, urljoin

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from shop.testing import build

VISA = "4242 4242 4242 4242"
PATIENCE = 30.0  # seconds that a customer waits for an answer


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        return None


@dataclass(frozen=True)
class Answer:
    """The answer to a request; status 0 if the connection broke off."""

    status_code: int
    content: bytes
    headers: dict[str, str]  # names in small letters

    def text(self) -> str:
        """Return the body as text."""
        return self.content.decode(errors="replace")


def _headers(message: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in message.items()}


class Visitor:
    """A browser's session with one shop; its `get` and `post` are those of Django's test client."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.headers: dict[str, str] = {}
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(_NoRedirect, cookies)

    def get(self, path: str) -> Answer:
        """Return the answer for a path or an address."""
        return self._ask(urllib.request.Request(urljoin(self.address, path), headers=self.headers))

    def post(self, path: str, form: dict[str, str]) -> Answer:
        """Return the answer to a form."""
        origin = {"Sec-Fetch-Site": "same-origin", "Origin": self.address, **self.headers}
        url = urljoin(self.address, path)
        return self._ask(urllib.request.Request(url, data=urlencode(form).encode(), headers=origin))

    def _ask(self, request: urllib.request.Request) -> Answer:
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                return Answer(answer.status, answer.read(), _headers(answer.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), _headers(error.headers))
        except (OSError, http.client.HTTPException):
            return Answer(0, b"", {})


class Customer(Visitor):
    """A customer, from the cart to the payment page."""

    def order(self, sku: str, *, quantity: int = 1) -> Answer:
        """Order goods; return the answer to the last form, which leads to Stripe's page."""
        client: Any = self
        build.fill_cart(client, (sku, quantity))
        build.type_address(client)
        page = self.get("/checkout/confirm/").text()
        form = {name: build.hidden(page, name) for name in ("nonce", "fingerprint")}
        return self.post("/checkout/place/", form)

    def pay(self, address: str, *, card: str = VISA) -> Answer:
        """Pay on Stripe's page; return its answer, which leads back to the shop."""
        page = self.get(address).text()
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
        return self.post(address, {**hidden, "card": card, "action": "pay"})


class Clerk(Visitor):
    """A clerk who is signed in."""

    def __init__(self, address: str, user: User) -> None:
        super().__init__(address)
        client = Client()
        client.force_login(user)
        self.headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={client.session.session_key}"}

    def first_page(self) -> str:
        """Return the text of the admin's first page, without marks and double spaces."""
        page = self.get("/admin/").text()
        main = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
        return " ".join(re.sub(r"<[^>]+>", " ", main).split())
