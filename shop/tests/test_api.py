"""The JSON catalogue: each answer is as its OpenAPI document says, stored, and readable for known origins."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from jsonschema import Draft202012Validator
from pytest_django import Settings

from shop.models import Product, Variant
from shop.pages.store import PageStore
from shop.paging import make_cursor
from shop.testing import build
from shop.testing.wsgi import CountingApplication, Response, ask
from shop.views.api import DOCUMENT

# On PostgreSQL the version of the pages changes at the COMMIT.
pytestmark = pytest.mark.django_db(transaction=True)

OPENAPI: dict[str, Any] = json.loads(DOCUMENT.read_text())
SHOP, OTHER, STRANGER = "https://shop.example.jp", "https://www.example.jp", "https://evil.example"


class Api:
    """The page store around Django's application, whose answers are held against the document."""

    def __init__(self) -> None:
        self.django = CountingApplication(get_wsgi_application())
        self.store = PageStore(self.django)
        self.seen: set[tuple[str, int]] = set()

    def ask(self, address: str, method: str = "GET", **headers: str) -> Response:
        """Send a request and validate its answer."""
        answer = ask(self.store, address, method, **headers)
        path = _template(urlsplit(address).path)
        if path is None:
            _validate("Error", answer)
            return answer
        known = OPENAPI["paths"][path]["get"]["responses"]
        assert str(answer.status) in known or method == "OPTIONS", (address, answer.status)
        self.seen.add((path, answer.status))
        if answer.body and method != "OPTIONS":
            content = known[str(answer.status)]["content"]["application/json"]["schema"]
            _validate(content.get("$ref", "").rpartition("/")[2], answer)
        return answer

    def json(self, address: str) -> Any:
        """Return the JSON of a 200."""
        answer = self.ask(address)
        assert answer.status == 200, answer.page
        return json.loads(answer.page)

    def rendered(self, address: str, **headers: str) -> int:
        """Return how many requests reach Django."""
        before = self.django.requests
        self.ask(address, **headers)
        return self.django.requests - before


def _template(path: str) -> str | None:
    if path in OPENAPI["paths"]:
        return path
    rest = path.removeprefix("/api/products/")
    return "/api/products/{slug}" if rest not in ("", path) and "/" not in rest else None


def _validate(name: str, answer: Response) -> None:
    assert answer.headers["content-type"] == "application/json", answer.headers
    assert "set-cookie" not in answer.headers
    schema = {"$ref": f"#/components/schemas/{name}"} if name else {"type": "object"}
    validator = Draft202012Validator(
        {**schema, "components": OPENAPI["components"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    validator.validate(json.loads(answer.page))


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """Return the API of a shop with 25 products, one of them a draft."""
    settings.STOREFRONT_BASE_URL = SHOP
    settings.ALLOWED_HOSTS = ["shop.example.jp", "testserver"]
    settings.CORS_ALLOWED_ORIGINS = [SHOP, OTHER]
    for place in range(24):
        build.product(f"lamp-{place}", position=place // 2, on_hand=[0, 3, 20][place % 3])
    build.product("draft", status=Product.Status.DRAFT)
    made = Product.objects.get(slug="lamp-0")
    build.variant(made, "other", kelvin=5_000, on_hand=20, option_ja="昼白色", compare_at_price=20_000)
    build.variant(made, "retired", retired=True)
    yield Api()


def test_a_walk_through_the_catalogue_meets_every_product_once_as_the_document_says(api: Api) -> None:
    slugs: list[str] = []
    address: str | None = "/api/products?limit=10"
    pages = 0
    while address:
        page = api.json(address.removeprefix(SHOP))
        slugs += [product["slug"] for product in page["products"]]
        for product in page["products"]:
            assert api.json(f"/api/products/{product['slug']}") == product
        address, pages = page["next"], pages + 1
    assert slugs == [f"lamp-{place}" for place in range(24)]
    assert pages == 3
    for wrong in ("limit=11", "limit=0", "limit=x", "limit=", "cursor=x", "cursor=", f"cursor={'x' * 500}"):
        assert api.ask(f"/api/products?{wrong}").status == 400
    assert api.ask("/api/products/nowhere").status == 404
    assert api.ask("/api/products/draft").status == 404
    assert api.ask("/api/nowhere").status == api.ask("/api/products/").status == 404
    for path in ("/api/products", "/api/products/lamp-0", "/api/openapi.json"):
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = api.ask(path, method)
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        tag = api.ask(path).tag
        assert api.ask(path, IF_NONE_MATCH=tag).status == 304
        assert api.ask(path, "HEAD").body == b""
        assert api.ask(path, HOST="evil.example").status == 400
    assert api.json("/api/openapi.json") == OPENAPI
    shown = {(path, status) for path, status in api.seen if status != 304}
    documented = {
        (path, int(status))
        for path, item in OPENAPI["paths"].items()
        for status in item["get"]["responses"]
        if status not in ("301", "304", "503")
    }
    assert shown == documented


def test_a_product_says_what_its_page_says(api: Api) -> None:
    found = api.json("/api/products/lamp-0")
    first, second = found["variants"]
    assert first["availability"] == {
        "state": "out",
        "left": None,
        "text": {"ja": "売り切れ", "en": "Sold out"},
    }
    assert second["availability"]["state"] == "in" and second["availability"]["left"] is None
    assert second["option"] == {"ja": "昼白色", "en": "昼白色"}
    assert (second["price"], second["compare_at_price"], second["kelvin"]) == (12_800, 20_000, 5_000)
    low = api.json("/api/products/lamp-1")["variants"][0]["availability"]
    assert low == {"state": "low", "left": 3, "text": {"ja": "残り 3 点", "en": "3 left"}}
    assert found["url"] == {"ja": f"{SHOP}/products/lamp-0/", "en": f"{SHOP}/en/products/lamp-0/"}
    assert found["pictures"][0]["url"] == f"{SHOP}/media/products/lamp-0.svg"


def test_a_product_with_a_new_slug_is_found_by_its_old_one(api: Api) -> None:
    renamed = Product.objects.get(slug="lamp-1")
    renamed.slug = "moon"
    renamed.save()
    answer = api.ask("/api/products/lamp-1")
    assert (answer.status, answer.headers["location"]) == (301, "/api/products/moon")


def test_pages_are_stored_and_a_change_renders_them_again(api: Api) -> None:
    for path in ("/api/products", "/api/products?limit=50", "/api/products/lamp-1", "/api/openapi.json"):
        api.ask(path)
        with CaptureQueriesContext(connection) as warm:
            assert api.rendered(path) == 0, path
        assert len(warm) == 1
        assert api.rendered(f"{path}{'&' if '?' in path else '?'}utm_source=x") == 0, path
    tag = api.ask("/api/products/lamp-1").tag
    Variant.objects.filter(sku="SKU-lamp-1").update(price=99)
    assert api.ask("/api/products/lamp-1", IF_NONE_MATCH=tag).status == 200
    assert api.json("/api/products/lamp-1")["variants"][0]["price"] == 99


def test_the_number_of_queries_does_not_grow_with_the_page(api: Api) -> None:
    counts = []
    for limit in (10, 20, 100):
        with CaptureQueriesContext(connection) as cold:
            ask(get_wsgi_application(), f"/api/products?limit={limit}")
        counts.append(len(cold))
    assert counts == [1, 1, 1]


def test_strangers_cannot_fill_the_store(api: Api) -> None:
    for place in range(50):
        api.ask(f"/api/products?x={place}")
        api.ask(f"/api/products?cursor={make_cursor(place, place)}x")
        api.ask(f"/api/products?limit={place + 200}")
        api.ask(f"/api/products/none-{place}")
        api.ask(f"/api/products/lamp-1?x={place}")
    assert len(api.store.api_pages) == 2
    assert len(api.store.list_pages) == len(api.store.pages_without_query) == 0


def test_stored_or_not_an_answer_is_for_the_origin_that_asks(api: Api) -> None:
    for path in ("/api/products", "/api/products/lamp-1", "/api/openapi.json", "/api/products/none"):
        for _twice in range(2):
            for origin, allowed in (
                (OTHER, OTHER),
                (STRANGER, None),
                (SHOP, SHOP),
                ("null", None),
                ("", None),
            ):
                headers = {"ORIGIN": origin} if origin else {}
                tag = api.ask(path, **headers).headers.get("etag", "none")
                for answer in (
                    api.ask(path, **headers),
                    api.ask(path, "HEAD", **headers),
                    api.ask(path, IF_NONE_MATCH=tag, **headers),
                ):
                    assert answer.headers.get("access-control-allow-origin") == allowed, (path, origin)
                    assert "access-control-allow-credentials" not in answer.headers
                    assert "origin" in answer.headers["vary"].lower()
    for page in ("/products/", "/"):
        answer = ask(api.store, page, ORIGIN=OTHER)
        assert "access-control-allow-origin" not in answer.headers
        assert "origin" not in answer.headers["vary"].lower()


def test_the_store_allows_what_django_allows(api: Api) -> None:
    for origin in (OTHER, STRANGER):
        plain = ask(get_wsgi_application(), "/api/products", ORIGIN=origin)
        stored = [ask(api.store, "/api/products", ORIGIN=origin) for _twice in range(2)]
        names = {name for name in plain.headers if name.startswith("access-control")}
        for answer in stored:
            assert {name for name in answer.headers if name.startswith("access-control")} == names
            assert all(answer.headers[name] == plain.headers[name] for name in names)
            assert answer.body == plain.body


@pytest.mark.parametrize(("origin", "allowed"), [(OTHER, OTHER), (STRANGER, None)])
def test_a_browser_may_ask_before_it_asks(api: Api, origin: str, allowed: str | None) -> None:
    answer = ask(
        api.store,
        "/api/products",
        "OPTIONS",
        ORIGIN=origin,
        ACCESS_CONTROL_REQUEST_METHOD="GET",
        ACCESS_CONTROL_REQUEST_HEADERS="if-none-match",
    )
    assert (answer.status, answer.headers["vary"].lower().count("origin")) == (200, 1)
    assert answer.headers.get("access-control-allow-origin") == allowed
    if allowed:
        assert answer.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
        assert "if-none-match" in answer.headers["access-control-allow-headers"]


def test_no_session_is_read_or_written(api: Api) -> None:
    client = Client()
    answer = client.get("/api/products")
    assert not answer.cookies and "Cookie" not in answer.headers["Vary"]
