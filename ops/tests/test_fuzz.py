"""Fuzz tests of every address: no request causes a 500 or shows a traceback, and a GET writes nothing.

The addresses come from Django's resolver, so that new ones are included automatically. For a longer run:
`KIKAKU_FUZZ=5000 pytest ops/tests/test_fuzz.py`.
"""

import io
import os
import random
import re
from collections.abc import Iterator
from copy import copy
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from django.apps import apps
from django.conf import settings as project
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern, RoutePattern
from django.utils.module_loading import import_string
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from kikaku.content_type import plain_content_type
from kikaku.sandbox import Sandbox
from kikaku.testing.database import rolled_back
from ledger.testing import build as books
from shop.testing import build

pytestmark = pytest.mark.django_db

MAX_EXAMPLES = int(os.environ.get("KIKAKU_FUZZ", "30"))
WRITE_STATEMENT = re.compile(r"^\s*(INSERT|UPDATE|DELETE|REPLACE|ALTER|DROP|CREATE)\b", re.IGNORECASE)
# what a GET may write: a rate limit's count, a session whose message was shown, the web server's heartbeat
ALLOWED_WRITES = re.compile(r'"?(ops_ratebucket|ops_heartbeat|django_session)"?')

HOSTILE_VALUES = (
    "",
    "0",
    "-1",
    "1",
    "2",
    "99999999999999999999999999",
    "1e9",
    "NaN",
    "None",
    "null",
    "true",
    "x" * 300,
    "x" * 9000,
    "a\x00b",
    "\ud800",
    "𠮷野家",
    "ﷺ" * 30,
    "\u202e\u0000",
    "١٢٣",
    "<script>alert(1)</script>",
    "'\"><img src=x>",
    "' OR 1=1 --",
    "{{ 7 * 7 }}{% debug %}",
    "%s%n%00%ff",
    "../../../etc/passwd",
    "..\\..\\boot.ini",
    "http://evil.example/",
    "//evil.example/",
    "javascript:alert(1)",
    "\r\nSet-Cookie: x=1",
    "2026-13-45",
    "0000-00-00",
    "9999-12-31",
    "0x10",
    "_5F_2F",
    "[]",
    '{"a": [1]}',
    ",",
    "\t\n ",
)
HOSTILE_PATH_PARTS = (
    "0",
    "1",
    "-1",
    "9" * 30,
    "x" * 300,
    "%00",
    "a%00b",
    "%ff%fe",
    "%F0%A0%AE%B7",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "%0d%0aX:1",
    "_5F",
    "_00",
    "None",
    "%3Cscript%3E",
    "'%22",
    "%25s",
    "a b",
    "add",
    ";a=b",
)
PARAMETER_NAMES = re.findall(
    r"\S+",
    "page q light price stock sort category added order n payment next _popup _to_field "
    "_changelist_filters e o p all status__exact id__exact id__in day__gte created__year order__id__exact "
    "is_active__exact period month year first last day_from day_to total_from total_to counterparty "
    "term app_label model_name field_name object_id language ids from_date__range__gte",
)
FIELD_NAMES = re.findall(
    r"\S+",
    "sku quantity remove next fingerprint nonce family_name given_name family_name_kana given_name_kana "
    "postal_code prefecture city street building phone email note name order_number message website "
    "username password action _selected_action select_across index _save _continue _saveasnew post "
    "csrfmiddlewaretoken amount reason lines-TOTAL_FORMS lines-INITIAL_FORMS variants-TOTAL_FORMS "
    "variants-INITIAL_FORMS pictures-TOTAL_FORMS carrier tracking_number resolution counted",
)
HEADER_NAMES = re.findall(
    r"\S+",
    "Host Accept Accept-Language Accept-Encoding Range If-None-Match If-Modified-Since Referer Origin "
    "Sec-Fetch-Site User-Agent X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port "
    "X-Real-IP CF-Connecting-IP X-Kikaku-Edge X-HTTP-Method-Override X-Correlation-ID Authorization "
    "Stripe-Signature Cookie Content-Type Content-Encoding Transfer-Encoding X-Requested-With HX-Request "
    "Forwarded",
)
HOSTILE_HEADER_VALUES = (
    "",
    "x",
    "0",
    "-1",
    "9" * 40,
    "é\xff",
    "bytes=0-",
    "bytes=-1",
    "bytes=5-1,1-2,",
    "a" * 5000,
    "ja;q=9,en;q=x,*;;",
    "en",
    "*",
    "none",
    "cross-site",
    "null",
    "https://evil.example",
    "evil.example",
    "[::1",
    "127.0.0.1:99999",
    'W/"x", *',
    "Thu, 99 Foo 2026 25:61:61 GMT",
    "sessionid=x; cart=x:y:z; cart_count=-1; csrftoken=é; known_device=; messages=x",
    'cart="\\"; $Path=/; =; ;;; a=b=c',
    "django_language=xx; messages=W10:1:1",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "b" * 300,
    "application/json; charset=utf-99",
    "text/html;;;=",
    "t=1,v1=0",
    "gzip",
)
METHODS = (
    "GET",
    "GET",
    "GET",
    "HEAD",
    "POST",
    "POST",
    "POST",
    "OPTIONS",
    "PUT",
    "PATCH",
    "DELETE",
    "TRACE",
    "FOO",
)


def find_routes(resolver: Any = None, prefix: str = "/") -> Iterator[str]:
    """Yield every address of the site as a route, such as /orders/<str:token>/."""
    for entry in (resolver or get_resolver()).url_patterns:
        pattern = entry.pattern
        if isinstance(pattern, LocalePrefixPattern):
            heads = [prefix, f"{prefix}en/"]
        elif isinstance(pattern, RoutePattern):
            heads = [prefix + str(pattern)]
        else:  # a regular expression: the admin's catch-all
            heads = [prefix + re.sub(r"\(\?P<(\w+)>.*\)\$?", r"<path:\1>", str(pattern)).strip("^$")]
        for head in heads:
            if isinstance(entry, URLResolver):
                yield from find_routes(entry, head)
            elif isinstance(entry, URLPattern):
                yield head


ROUTES = sorted(set(find_routes()))
PUBLIC_ROUTES = [route for route in ROUTES if "admin/" not in route]


@pytest.fixture
def world(sandbox: Sandbox, settings: Settings) -> dict[str, list[str]]:
    """Create goods, orders and books; return existing values by the name of a route's argument."""
    settings.RATE_LIMITS = dict.fromkeys(project.RATE_LIMITS, (1_000_000, 60))
    settings.LOGIN_LIMIT_PER_NAME = (1_000_000, 60)
    sold = build.product()
    build.content_page()
    paid = books.paid_order(sandbox)
    books.refund(paid, 300)
    books.fetch(sandbox)
    waiting = books.order()
    User.objects.create_superuser("staff", password="x")
    rows = {
        f"{model._meta.app_label}/{model._meta.model_name}": [
            quote(str(key)) for key in model._default_manager.values_list("pk", flat=True)[:2]
        ]
        for model in apps.get_models()
    }
    return rows | {
        "slug": [sold.slug, "ceiling-lights", "tokushoho"],
        "token": [paid.token, waiting.token],
        "code": ["1150", "4110"],
        "name": ["products/madoka.svg", "x.png"],
        "app_label": ["ledger", "shop"],
    }


def fill_route(route: str, world: dict[str, list[str]], rng: random.Random) -> str:
    """Return a path for a route; most of its arguments exist."""
    model = re.search(r"admin/(\w+/\w+)/", route)

    def value(found: re.Match[str]) -> str:
        existing = world.get(model[1] if model and found[1] == "object_id" else found[1]) or ["1"]
        return rng.choice(existing) if rng.random() < 0.7 else rng.choice(HOSTILE_PATH_PARTS)

    return re.sub(r"<(?:\w+:)?(\w+)>", value, route)


def random_query(rng: random.Random) -> str:
    """Return a query string, sometimes a malformed one."""
    if rng.random() < 0.4:
        return ""
    if rng.random() < 0.2:
        return rng.choice(
            ["&&==&", "a" * 5000, "%", "%ff=%fe", "q=%00", "a[]=1&a[]=2", "&".join("abc" * 1500)]
        )
    return "&".join(
        f"{rng.choice(PARAMETER_NAMES)}={quote(rng.choice(HOSTILE_VALUES).encode('utf-8', 'surrogatepass'))}"
        for _ in range(rng.randint(1, 4))
    )


def form_of(page: str) -> dict[str, str]:
    """Return the fields of a page's forms with their present values."""
    fields = dict.fromkeys(re.findall(r'<(?:input|select|textarea)[^>]*\bname="([^"]+)"', page), "")
    for tag in re.findall(r"<input[^>]*>", page):
        name, value = re.search(r'\bname="([^"]+)"', tag), re.search(r'\bvalue="([^"]*)"', tag)
        if name and value:
            fields[name[1]] = value[1]
    return fields


def random_form(page: str, rng: random.Random) -> dict[str, Any]:
    """Return form data: the page's own fields, some of them with hostile values or files."""
    own = form_of(page)
    data: dict[str, Any] = dict(own) if rng.random() < 0.8 else {}
    names = [*own, *FIELD_NAMES]
    for _ in range(rng.randint(1, 6)):
        hostile = rng.choice(HOSTILE_VALUES)
        data[rng.choice(names)] = [hostile, hostile] if rng.random() < 0.1 else hostile
    if rng.random() < 0.15:
        content = rng.choice(
            [b"", b"GIF89a;//", b"<svg onload=alert(1)>", os.urandom(40), b"\x89PNG\r\n\x1a\n"]
        )
        name = rng.choice(["x.png", "x" * 400 + ".png", "../../x.svg", "é\x00.jpg", ".png"])
        data[rng.choice(names)] = SimpleUploadedFile(name, content, rng.choice(["image/png", "x", ""]))
    return data


def send(client: Client, method: str, path: str, rng: random.Random, page: str) -> HttpResponseBase:
    """Send one hostile request."""
    extra: dict[str, Any] = {}
    for _ in range(rng.choice((0, 1, 3))):
        name, hostile = rng.choice(HEADER_NAMES), rng.choice(HOSTILE_HEADER_VALUES)
        if name == "Cookie":
            hostile = "; ".join(
                [hostile, *(f"{key}={morsel.value}" for key, morsel in client.cookies.items())]
            )
        if name == "Content-Type" and method == "POST":
            return client.generic(
                method, path, rng.choice([b"", b"a=b", b"\xff", b"{", b"--b\r\n\r\n"]), hostile, **extra
            )
        extra["HTTP_" + name.upper().replace("-", "_")] = hostile
    if method == "POST":
        kind = rng.random()
        if kind < 0.75:
            data = random_form(page, rng)
            clean = {
                key: [text.replace("\ud800", "\ufffd") for text in value]
                if isinstance(value, list)
                else value.replace("\ud800", "\ufffd")
                if isinstance(value, str)
                else value
                for key, value in data.items()
            }
            return client.post(path, clean, **extra)
        if kind < 0.85:
            too_many_fields = {f"f{n}": "x" for n in range(1200)}
            return client.post(path, too_many_fields, **extra)
        raw = rng.choice([b"", b"\x00", b"a=%ff&b=%00&c", b"=&=&", b"x" * 10_000])
        return client.generic("POST", path, raw, "application/x-www-form-urlencoded", **extra)
    return client.generic(method, path, **extra)


def check(answer: HttpResponseBase, request: str) -> None:
    """Assert that a response is no server error and redirects to no other site."""
    assert answer.status_code < 500, request
    content = b"".join(answer) if answer.streaming else answer.content  # type: ignore[attr-defined]
    assert b"Traceback (most recent" not in content, request
    assert "\n" not in answer.headers.get("Location", ""), request
    location = answer.headers.get("Location", "")
    assert not location.startswith(("//", "http://evil", "javascript")), request


@pytest.fixture
def clients(world: dict[str, list[str]]) -> list[Client]:
    """Return the clients of a visitor with a cart and of the owner."""
    visitor, owner = Client(), Client()
    build.fill_cart(visitor, ("SKU-madoka", 1))
    build.type_address(visitor)
    owner.force_login(User.objects.get(username="staff"))
    return [visitor, owner]


@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=MAX_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_request_breaks_the_site(seed: int, world: dict[str, list[str]], clients: list[Client]) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        owner = rng.random() < 0.6
        path = fill_route(rng.choice(ROUTES if owner else PUBLIC_ROUTES), world, rng)
        method = rng.choice(METHODS)
        client = clients[owner]
        cookies = copy(client.cookies)
        asked = f"{path}?{random_query(rng)}".rstrip("?")
        request = f"seed {seed}: {method} {asked[:300]}"
        with rolled_back():
            seen = client.get(path)
            page = b"" if seen.streaming else seen.content
            check(seen, request)
            with CaptureQueriesContext(connection) as captured:
                answer = send(client, method, asked, rng, page.decode("utf-8", "replace"))
            check(answer, request)
            if method != "POST":
                written = [
                    q["sql"]
                    for q in captured
                    if WRITE_STATEMENT.match(q["sql"]) and not ALLOWED_WRITES.search(q["sql"])
                ]
                assert not written, (request, written)
        client.cookies = cookies


@pytest.mark.parametrize("signed_in", [False, True])
def test_a_get_of_any_page_writes_nothing(
    signed_in: bool, world: dict[str, list[str]], clients: list[Client]
) -> None:
    rng = random.Random(1)
    statuses: dict[int, int] = {}
    for route in ROUTES:
        if "admin/" in route and (route.startswith("/en/") or (not signed_in and route.count("/") > 4)):
            continue  # the same pages again; each redirects to the same login
        path = fill_route(route, world, rng)
        with CaptureQueriesContext(connection) as captured:
            answer = clients[signed_in].get(path)
        check(answer, path)
        written = [
            q["sql"]
            for q in captured
            if WRITE_STATEMENT.match(q["sql"]) and not ALLOWED_WRITES.search(q["sql"])
        ]
        assert not written, (path, written)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
    assert statuses[200] > (60 if signed_in else 15), statuses


@pytest.mark.django_db(transaction=True)
def test_no_character_set_breaks_the_application() -> None:
    """Goes through the WSGI application: Django decodes the query before its handling of errors begins."""
    application = import_string(project.WSGI_APPLICATION)
    for media, parameter, charset in product(
        ("application/x-www-form-urlencoded", "multipart/form-data", "text/html"),
        ("charset={}", 'CharSet="{}"', "charset*=utf-8''{}", "a=b;charset={}; boundary=x"),
        ("idna", "hex", "zlib", "undefined", "utf-16", "punycode", "rot13", "", "utf-8"),
    ):
        form = b"sku=SKU-madoka&quantity=%ff"
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/cart/add/",
            "SCRIPT_NAME": "",
            "QUERY_STRING": "q=%ff%fe&" + "&".join("x=1" for _ in range(1200)),
            "CONTENT_TYPE": f"{media}; {parameter.format(charset)}",
            "CONTENT_LENGTH": str(len(form)),
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "testserver",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.input": io.BytesIO(form),
            "wsgi.url_scheme": "http",
        }
        statuses: list[str] = []
        b"".join(application(environ, lambda status, headers, *_, to=statuses: to.append(status)))
        assert statuses[0][:3] in ("303", "400", "422"), (environ["CONTENT_TYPE"], statuses)


def test_a_multipart_form_keeps_its_boundary() -> None:
    assert (
        plain_content_type("multipart/form-data; charset=idna; boundary=x1")
        == "multipart/form-data; boundary=x1"
    )
    assert plain_content_type('Multipart/Form-Data; boundary="a b"') == 'Multipart/Form-Data; boundary="a b"'
    assert plain_content_type("application/json; charset=utf-8") == "application/json"
    assert plain_content_type("") == ""


def test_an_empty_to_field_of_the_admin_is_refused(
    world: dict[str, list[str]], clients: list[Client]
) -> None:
    for path in (
        "/admin/ledger/order/1/change/",
        "/admin/shop/product/1/delete/",
        "/admin/shop/product/add/",
    ):
        assert clients[1].get(f"{path}?_to_field=").status_code < 500


def test_the_routes_cover_every_part_of_the_site() -> None:
    for route in (
        "/",
        "/en/",
        "/health",
        "/webhooks/stripe",
        "/orders/<str:token>/pay/",
        "/en/search/",
        "/admin/login/",
        "/admin/ledger/order/<path:object_id>/change/",
        "/media/<path:name>",
    ):
        assert route in ROUTES, ROUTES
    assert len(ROUTES) > 200
