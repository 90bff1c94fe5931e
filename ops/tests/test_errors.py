"""Errors that will pass are 503 with Retry-After; each error has a page in the look of its place."""

import errno
import json
import re
import secrets
import socket
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, ProgrammingError, connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from kikaku import door
from kikaku.testing.database import engine
from kikaku.testing.serving import served
from ops.testing.disk import full_disk
from ops.testing.events import signed_event
from ops.web.errors import is_passing, refusal_page
from shop.models import ContactMessage
from shop.testing import build

pytestmark = pytest.mark.django_db

SHOP = 'href="/cart/"'
MESSAGE = {"name": "花子", "email": "hanako@example.jp", "message": "こんにちは" * 900}


def fail(*args: object) -> None:
    raise OperationalError("could not connect to server")


# ── Database and disk ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path", ["/", "/products/", "/products/madoka/", "/search/?q=x", "/pages/tokushoho/"]
)
@pytest.mark.parametrize("prefix", ["", "/en"])
def test_a_database_that_is_away_is_503_in_the_shops_look(client: Client, path: str, prefix: str) -> None:
    build.product()
    client.raise_request_exception = False
    with connection.execute_wrapper(fail):
        answer = client.get(prefix + path)
    page = answer.content.decode()
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    assert "no-store" in answer["Cache-Control"] and "noindex" in page
    assert f'href="{prefix}/cart/"' in page and f'<html lang="{"en" if prefix else "ja"}">' in page
    assert ("out of order" if prefix else "一時的にご利用いただけません") in page


@pytest.mark.parametrize("path", ["/admin/", "/admin/ledger/order/", "/admin/login/"])
def test_a_database_that_is_away_is_503_in_the_admin(admin_client: Client, path: str) -> None:
    admin_client.raise_request_exception = False
    with connection.execute_wrapper(fail):
        answer = admin_client.get(path)
    page = answer.content.decode()
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    assert "一時的に利用できません" in page and SHOP not in page


def ask(url: str, body: bytes | None = None, **headers: str) -> tuple[int, str, str]:
    """Send a request; return status, Retry-After and body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, named), timeout=30) as answer:
            return answer.status, answer.headers.get("Retry-After", ""), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("Retry-After", ""), error.read().decode()


@pytest.mark.engine_independent
@pytest.mark.parametrize("address", ["postgres://shop:x@127.0.0.1:{port}/shop", "d1://127.0.0.1:{port}/shop"])
def test_a_shop_whose_database_server_is_away_says_so_at_each_address(tmp_path: Path, address: str) -> None:
    with socket.socket() as unused:  # bound and not listening: the port refuses connections and stays ours
        unused.bind(("127.0.0.1", 0))
        url = address.format(port=unused.getsockname()[1])
        variables = {"DATABASE_URL": url, "D1_GATEWAY_SECRET": secrets.token_hex()}
        settings = "ops.testing.unprepared_settings"
        with served(tmp_path, settings=settings, variables=variables) as server:
            for path in ("/", "/products/madoka/", "/search/?q=x"):
                status, retry, page = ask(server.address + path)
                assert (path, status, retry) == (path, 503, "30")
                assert SHOP in page and "一時的にご利用いただけません" in page
            status, retry, page = ask(server.address + "/contact/", urllib.parse.urlencode(MESSAGE).encode())
            assert (status, retry) == (503, "30") and SHOP in page
            status, retry, page = ask(f"{server.address}/admin/", Cookie="sessionid=" + "x" * 32)
            assert (status, retry) == (503, "30") and SHOP not in page
            body, signature = signed_event()
            status, _retry, page = ask(f"{server.address}/webhooks/stripe", body, Stripe_Signature=signature)
            assert status == 500 and "send it again" in page
            status, _retry, page = ask(f"{server.address}/health")
            assert status == 503 and '"database": "error"' in page and '"threads": "ok"' in page


@pytest.mark.skipif(engine() != "sqlite", reason="the test cannot fill the disk of a database server")
@pytest.mark.django_db(transaction=True)
def test_a_full_disk_refuses_a_form_with_503_and_takes_it_later(client: Client) -> None:
    build.product()
    client.raise_request_exception = False
    with full_disk():
        refused = client.post("/contact/", MESSAGE)
        assert client.get("/products/madoka/").status_code == 200
    assert (refused.status_code, refused["Retry-After"]) == (503, "30")
    assert not ContactMessage.objects.exists()
    assert client.post("/contact/", MESSAGE).status_code == 303


def test_an_error_that_stays_is_500_without_retry_after(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ProgrammingError('relation "shop_product" does not exist')

    client.raise_request_exception = False
    with connection.execute_wrapper(broken):
        answer = client.get("/products/")
    assert answer.status_code == 500 and "Retry-After" not in answer
    assert SHOP in answer.content.decode()


def test_what_passes_by_itself() -> None:
    wrapped = RuntimeError("the page could not be stored")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    for error in (OperationalError("locked"), InterfaceError("connection already closed"), wrapped):
        assert is_passing(error)
    for lasting in (None, RuntimeError("x"), OSError(errno.EACCES, "x"), ProgrammingError("x")):
        assert not is_passing(lasting)


# ── What cannot be understood ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("prefix", ["", "/en"])
def test_a_form_of_too_many_fields_is_400_in_the_shops_look(client: Client, prefix: str) -> None:
    build.product()
    build.fill_cart(client, ("SKU-madoka", 1))
    answer = client.post(f"{prefix}/checkout/", {f"field{n}": "x" for n in range(1_001)})
    page = answer.content.decode()
    assert answer.status_code == 400 and "no-store" in answer["Cache-Control"]
    assert f'href="{prefix}/cart/"' in page and "Bad Request" not in page
    assert ("could not understand" if prefix else "送信内容を処理できませんでした") in page


def test_an_unknown_host_is_400_in_the_shops_look_without_a_query(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.get("/en/")  # leaves English active in this thread
    for host in ("evil.example", "[", "testserver\\@evil.example"):
        with django_assert_num_queries(0):
            answer = client.get("/", headers={"Host": host})
        assert answer.status_code == 400
        assert SHOP in answer.content.decode() and '<html lang="ja">' in answer.content.decode()


def test_a_post_that_is_too_large_is_400_in_the_shops_look(client: Client) -> None:
    answer = client.post(
        "/contact/", "message=" + "x" * 3_000_000, content_type="application/x-www-form-urlencoded"
    )
    assert answer.status_code == 400 and SHOP in answer.content.decode()


@pytest.mark.parametrize("status", [400, 408, 413, 500, 503])
def test_what_the_front_door_refuses_has_a_page_in_the_look_of_its_place(
    status: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        places = ("/contact/", "/en/contact/", "/admin/ledger/order/", "/webhooks/stripe", "/api/products")
        japanese, english, admins, webhook, api = (refusal_page(status, path).decode() for path in places)
    assert '<html lang="ja">' in japanese and SHOP in japanese
    assert '<html lang="en">' in english and 'href="/en/cart/"' in english
    assert 'href="/admin/"' in admins and SHOP not in admins
    assert webhook == ""  # a machine gets the plain text
    assert json.loads(api)["error"]["status"] == status
    kinds = [dict(door.refusal(status, page.encode())[1])["Content-Type"] for page in (english, api, "")]
    assert kinds == ["text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"]


# ── The admin ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "prefix"), [("/admin/nowhere/", ""), ("/en/admin/nowhere/", "/en"), ("/admin/ledger/no/", "")]
)
def test_the_admins_404_has_the_admins_menu(admin_client: Client, path: str, prefix: str) -> None:
    answer = admin_client.get(path)
    page = answer.content.decode()
    assert answer.status_code == 404
    assert f'href="{prefix}/admin/ledger/order/"' in page and f'href="{prefix}/cart/"' not in page
    assert ("No such page" if prefix else "ページが見つかりません") in page


def test_a_missing_page_of_the_admin_is_404_with_a_thousand_fields_too(admin_client: Client) -> None:
    query = "&".join(f"f{number}=1" for number in range(1200))
    assert admin_client.get(f"/admin/ledger/balancetransaction/%0D%0A/?{query}").status_code == 404


def test_the_admins_403_has_the_admins_menu_and_says_what_is_missing(client: Client) -> None:
    client.force_login(User.objects.create_user("clerk", password="x", is_staff=True))
    answer = client.get("/admin/ledger/order/")
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "権限がありません" in page and SHOP not in page
    assert re.search(r"data-[a-z-]+|<nav|sidebar", page) and 'href="/admin/"' in page


def test_a_forged_or_old_form_of_the_admin_is_refused_in_japanese() -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/admin/login/", {"username": "x", "password": "x"})
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "再読み込み" in page and "CSRF" not in page and SHOP not in page


def test_a_visitor_without_an_account_gets_no_menu(client: Client) -> None:
    answer = client.post("/admin/nowhere/")
    assert answer.status_code in (302, 404)
    assert "/admin/ledger/" not in answer.content.decode()
