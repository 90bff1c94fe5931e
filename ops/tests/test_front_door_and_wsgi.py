"""The front door changes no response: what granian's own WSGI server sends, it sends too."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kikaku.testing.serving import Server, served
from shop.testing import build

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.engine_independent,
    pytest.mark.xdist_group("front door"),
]

HOST = "Host: testserver\r\n"
PATHS = [
    "/", "/en/", "/en", "/?utm=1", "//", "/products/", "/products/?light=warm&page=2", "/products/?page=0",
    "/products/?page=%ff", "/products/madoka/", "/en/products/madoka/", "/products/madoka",
    "/products/none/", "/products/%E7%81%AF/", "/products/%2e%2e/", "/categories/ceiling-lights/",
    "/categories/none/", "/search/", "/search/?q=%E7%81%AF", "/search/?q=%ff", "/cart/", "/cart/badge/",
    "/cart/add/", "/checkout/", "/checkout/confirm/", "/checkout/place/", "/orders/none/",
    "/orders/none/thanks/", "/contact/", "/contact/sent/", "/pages/shipping/", "/pages/none/",
    "/media/none.png", "/media/%2e%2e/x", "/webhooks/stripe", "/admin/", "/admin", "/admin/login/",
    "/admin/shop/product/", "/en/admin/", "/static/none.css", "/static/", "/robots", "/a%20b", "/%00",
    "/%0a", "/a;b=c", "/a?b?c", "/a%3Fb", "/+", "/%25", "/" + "x" * 3000, "/search/?q=" + "x" * 300,
]  # fmt: skip
FORMS = [
    ("/cart/add/", b"sku=SKU-madoka&quantity=2", ""),
    ("/cart/add/", b"", ""),
    ("/cart/add/", b"sku=%ff&quantity=a", ""),
    ("/cart/add/", b"sku=SKU-madoka&quantity=2", "Origin: https://evil.example\r\n"),
    ("/cart/update/", b"sku=SKU-madoka&quantity=1", ""),
    ("/checkout/", b"name=x", ""),
    ("/checkout/place/", b"nonce=x", ""),
    ("/contact/", b"name=", "Sec-Fetch-Site: cross-site\r\n"),
    ("/orders/none/pay/", b"", ""),
    ("/orders/none/cancel/", b"x=1", ""),
    ("/webhooks/stripe", b"{}", ""),
    ("/webhooks/stripe", b"{}", "Stripe-Signature: t=1,v1=00\r\n"),
    ("/admin/login/", b"username=a&password=b", ""),
    ("/products/", b"x=1", ""),
    ("/none/", b"x=1", ""),
    ("/health", b"", ""),
]
HEADERS = [
    "Accept-Encoding: gzip, br\r\n",
    "Accept-Encoding: identity\r\n",
    "Accept-Language: en\r\n",
    "Cookie: a=1\r\nCookie: b=2\r\n",
    "Cookie: cart=forged; sessionid=none\r\n",
    "If-None-Match: *\r\n",
    'If-None-Match: "x"\r\n',
    "If-Modified-Since: Mon, 30 Nov 2026 09:00:00 GMT\r\n",
    "Range: bytes=0-10\r\n",
    "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n",
    "Forwarded: for=192.0.2.1\r\n",
    "User-Agent: \r\n",
    "X-Empty:\r\n",
]
CHANGING = {b"date", b"expires", b"transfer-encoding", b"content-length", b"connection"}
RANDOM = re.compile(
    rb'(name="(?:nonce|csrfmiddlewaretoken)" value="|(?:csrftoken|sessionid|cart)=)[\w:\-.]+'
    rb"|(expires=)[^;\r\n]+"  # of a cookie: the second may change between two requests
)
METHODS = ("OPTIONS", "PUT", "DELETE", "TRACE", "ODD")
HOSTS = ("evil.example", "", "testserver:80", "[::1")


@pytest.fixture(scope="module")
def servers(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Serve the shop through granian's WSGI and through the front door."""
    # the same address in both, as their pages name it; the same seed, as a header's order depends on it
    same = {"STOREFRONT_BASE_URL": "http://testserver", "PORT": "8000", "PYTHONHASHSEED": "1"}
    wsgi = ("-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws", "kikaku.wsgi:application")
    folders: list[Path] = [tmp_path_factory.mktemp("served") for _server in range(2)]
    settings = "ops.testing.unprepared_settings"
    with (
        served(folders[0], settings=settings, variables=same, command=wsgi) as plain,
        served(folders[1], settings=settings, variables=same) as door,
    ):
        yield [plain, door]


@pytest.fixture(autouse=True)
def shop(transactional_db: None) -> None:
    """Write what the pages need."""
    build.product()
    build.content_page()


def send(server: Server, request: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return status line, headers and body of the response, without what differs from one to the next."""
    received = b""
    with server.connect() as connection:
        connection.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        while part := connection.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    status, *headers = RANDOM.sub(rb"\1\2", head).split(b"\r\n")
    if b"transfer-encoding: chunked" in headers:
        parts = re.split(rb"(?:^|\r\n)[0-9a-fA-F]+\r\n", body)
        body = b"".join(parts).removesuffix(b"\r\n")
    kept = [header for header in headers if header.partition(b":")[0].lower() not in CHANGING]
    return status, sorted(kept), RANDOM.sub(rb"\1\2", body)


def requests() -> list[bytes]:
    """Return the requests that are compared."""
    every = [f"GET {path} HTTP/1.1\r\n{HOST}\r\n".encode() for path in PATHS]
    every += [f"HEAD {path} HTTP/1.1\r\n{HOST}\r\n".encode() for path in PATHS[:8]]
    every += [f"GET / HTTP/1.1\r\n{HOST}{headers}\r\n".encode() for headers in HEADERS]
    every += [f"{method} / HTTP/1.1\r\n{HOST}\r\n".encode() for method in METHODS]
    every += [f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() for host in HOSTS]
    every += [b"GET / HTTP/1.1\r\n\r\n", f"GET / HTTP/1.0\r\n{HOST}\r\n".encode()]
    every += [f"GET http://testserver/cart/ HTTP/1.1\r\n{HOST}\r\n".encode()]
    kind = "Content-Type: application/x-www-form-urlencoded\r\n"
    every += [
        f"POST {path} HTTP/1.1\r\n{HOST}{kind}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
        for path, body, headers in FORMS
    ]
    return every


def test_the_front_door_sends_what_the_wsgi_server_sends(servers: list[Server]) -> None:
    compared = requests()
    assert len(compared) >= 100
    differing = {}
    for request in compared:
        plain, door = (send(server, request) for server in servers)
        assert plain[0].startswith(b"HTTP/1."), request
        if plain != door:
            differing[request[:200]] = (plain, door)
    assert differing == {}
