"""Rate limits: per client, shared by all processes, kept over restarts; a client cannot lock out another."""

import math
import time

import pytest
from django.conf import settings as project
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries, Settings

from ledger.testing.processes import WaitForAll, run_concurrently
from ops.models import RateBucket
from ops.web import limits
from ops.web.limits import Limit, count_request
from shop import urls as shop_urls
from shop.models import ContactMessage
from shop.testing import build

pytestmark = pytest.mark.django_db

NOON = 1_790_000_000.0
MESSAGE = {"name": "花子", "email": "hanako@example.jp", "message": "こんにちは"}
LOGIN = "/admin/login/"


# ── The bucket ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_bucket_lets_its_count_pass_at_once_and_then_one_by_one() -> None:
    limit = Limit(5, 50)
    assert [count_request(limit, "k", now=NOON) for _ in range(7)] == [0, 0, 0, 0, 0, 10, 10]
    assert count_request(limit, "k", now=NOON + 4) == 6
    assert count_request(limit, "k", now=NOON + 10) == 0
    assert count_request(limit, "k", now=NOON + 10) == 10
    assert [count_request(limit, "k", now=NOON + 100) for _ in range(6)] == [0, 0, 0, 0, 0, 10]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20), st.booleans()), max_size=60))
@hypothesis_settings(max_examples=60, deadline=None)
def test_no_more_pass_than_the_count_and_what_was_refilled(steps: list[tuple[int, int, bool]]) -> None:
    """At any rhythm, with any delays and restarts: small limits are not counted in memory."""
    RateBucket.objects.all().delete()
    limits.clear_memory()
    limit, passed, now = Limit(6, 60), 0, NOON + 20  # no request arrives before noon
    for seconds, delay, restarted in steps:
        now += seconds
        if restarted:
            limits.clear_memory()
        wait = count_request(limit, "k", now=now - delay)
        passed += not wait
        assert 0 <= wait <= 10
        assert passed <= 6 + (now - NOON) / 10


def test_one_client_does_not_use_up_the_limit_of_another() -> None:
    limit = Limit(1, 60)
    assert [count_request(limit, key, now=NOON) for key in "ab"] == [0, 0]
    assert count_request(limit, "a", now=NOON) == 60


def test_after_a_restart_a_client_is_still_refused() -> None:
    limit = Limit(3, 60)
    for _ in range(4):
        count_request(limit, "k", now=NOON)
    limits.clear_memory()
    assert count_request(limit, "k", now=NOON) == 20


def test_a_clock_that_is_set_back_an_hour_refuses_no_client_for_that_hour() -> None:
    limit = Limit(3, 60)
    for _ in range(4):
        count_request(limit, "k", now=NOON)
    assert [count_request(limit, "k", now=NOON - 3600) for _ in range(4)] == [0, 0, 0, 20]


def test_a_request_that_waited_for_the_database_does_not_empty_a_full_bucket() -> None:
    limit = Limit(3, 60)
    assert [count_request(limit, "k", now=NOON) for _ in range(3)] == [0, 0, 0]
    limits.clear_memory()  # another process
    assert count_request(limit, "k", now=NOON - 0.001) == 20


def test_a_flood_that_is_refused_costs_no_statement(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    limit = Limit(2, 60)
    for _ in range(3):
        count_request(limit, "k", now=NOON)
    with django_assert_num_queries(0):
        assert all(count_request(limit, "k", now=NOON + 1) for _ in range(100))


def test_a_tenth_of_a_large_limit_is_counted_in_memory(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    limit = Limit(100, 100)
    with django_assert_num_queries(0):
        assert not any(count_request(limit, "k", now=NOON) for _ in range(10))
    with django_assert_num_queries(1):
        assert count_request(limit, "k", now=NOON) == 0
    assert RateBucket.objects.get().due == (NOON + 11) * 1000  # all eleven


@pytest.mark.parametrize("processes", [1, 3])
def test_counting_in_memory_lets_at_most_a_tenth_more_pass_for_each_process(processes: int) -> None:
    limit, passed = Limit(100, 100), 0
    memories = [dict[str, limits.BucketMemory]() for _ in range(processes)]
    for turn in range(400):
        limits._memory.clear()
        limits._memory.update(memories[turn % processes])
        passed += not count_request(limit, "k", now=NOON)
        memories[turn % processes] = dict(limits._memory)
    assert 100 <= passed <= 100 + 10 * (processes - 1)


@pytest.mark.django_db(transaction=True)
def test_four_processes_share_one_limit() -> None:
    def post_messages(_number: int, wait_for_all: WaitForAll) -> list[int]:
        limits.clear_memory()
        client = Client()
        wait_for_all()
        return [client.post("/contact/", MESSAGE).status_code for _ in range(8)]

    statuses = [status for answer in run_concurrently(4, post_messages) for status in answer]
    count = project.RATE_LIMITS["POST contact"][0]
    assert sorted(statuses) == [303] * count + [429] * (32 - count)
    assert ContactMessage.objects.count() == count


@pytest.mark.django_db(transaction=True)
def test_when_counting_fails_the_request_passes(client: Client) -> None:
    with connection.schema_editor() as editor:
        editor.alter_db_table(RateBucket, "ops_ratebucket", "elsewhere")
    try:
        assert client.post("/contact/", MESSAGE).status_code == 303
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(RateBucket, "elsewhere", "ops_ratebucket")


def test_rows_of_full_buckets_are_pruned() -> None:
    count_request(Limit(2, 60), "old", now=NOON)
    count_request(Limit(2, 60), "new", now=NOON + 60)
    assert limits.prune(now=NOON + 61) == 1
    assert RateBucket.objects.get().key == "new"


# ── The shop ─────────────────────────────────────────────────────────────────────────────────────────────


def test_every_rule_names_an_address_that_exists() -> None:
    for rule in project.RATE_LIMITS:
        method, name = rule.split()
        assert method in ("GET", "POST")
        arguments = ["t" * 32] if name.startswith("order") else []
        assert reverse(name, args=arguments)


def test_every_form_of_the_shop_has_a_limit(client: Client) -> None:
    arguments = {"token": "t" * 32, "slug": "x", "name": "x"}
    for pattern in shop_urls.urlpatterns:
        wanted = {name: arguments[name] for name in pattern.pattern.converters}
        if client.post(reverse(pattern.name, kwargs=wanted)).status_code != 405:
            assert f"POST {pattern.name}" in project.RATE_LIMITS


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/search/?q=x", "GET search"),
        ("/cart/add/", "POST cart_add"),
        ("/cart/update/", "POST cart_update"),
        ("/checkout/", "POST checkout"),
        ("/checkout/place/", "POST checkout_place"),
        (f"/orders/{'t' * 32}/pay/", "POST order_pay"),
        (f"/orders/{'t' * 32}/cancel/", "POST order_cancel"),
        (f"/orders/{'t' * 32}/again/", "POST order_again"),
        ("/contact/", "POST contact"),
        (LOGIN, "POST admin:login"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/en"])
def test_too_many_requests_get_429_with_the_time_to_wait(
    client: Client, settings: Settings, path: str, rule: str, prefix: str
) -> None:
    settings.RATE_LIMITS = {rule: (2, 240)}
    method = rule.split()[0]
    for _ in range(2):
        assert client.generic(method, prefix + path).status_code != 429
    answer = client.generic(method, prefix + path)
    assert answer.status_code == 429
    assert 110 <= int(answer["Retry-After"]) <= 120
    assert "no-store" in answer["Cache-Control"]
    page = answer.content.decode()
    assert ("2 minutes" if prefix else "2 分ほど") in page
    assert f'<html lang="{"en" if prefix else "ja"}">' in page
    assert "noindex" in page
    assert client.get(prefix + "/cart/").status_code == 200  # the rest of the shop stays open


def test_a_refused_message_is_not_stored(client: Client, settings: Settings) -> None:
    settings.RATE_LIMITS = {"POST contact": (1, 60)}
    assert [client.post("/contact/", MESSAGE).status_code for _ in range(2)] == [303, 429]
    assert ContactMessage.objects.count() == 1
    assert client.get("/contact/").status_code == 200


def test_head_counts_as_get_and_other_addresses_of_the_household_too(
    client: Client, settings: Settings
) -> None:
    settings.RATE_LIMITS = {"GET search": (2, 60)}
    assert client.head("/search/", REMOTE_ADDR="2001:db8::1").status_code == 200
    assert client.get("/search/", REMOTE_ADDR="2001:db8::2").status_code == 200
    assert client.get("/search/", REMOTE_ADDR="2001:db8::ffff:3").status_code == 429
    assert client.get("/search/", REMOTE_ADDR="2001:db8:0:1::1").status_code == 200
    assert client.get("/search/", REMOTE_ADDR="192.0.2.1").status_code == 200


def test_searches_within_lists_count_with_those_of_the_search_page(
    client: Client, settings: Settings
) -> None:
    settings.RATE_LIMITS = {"GET search": (4, 60)}
    build.product()
    addresses = [
        "/search/?q=a",
        "/products/?q=b",
        "/categories/ceiling-lights/?q=c",
        "/en/products/?q=d&page=2",
    ]
    assert [client.get(address).status_code == 429 for address in addresses] == [False] * 4
    for address in [*addresses, "/products/?q=%20%E3%80%80e"]:
        assert client.get(address).status_code == 429
    for address in ("/products/", "/products/?q=%20%E3%80%80", "/categories/ceiling-lights/?sort=price"):
        assert client.get(address).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://[evil"},
    ],
)
@pytest.mark.parametrize("path", ["/contact/", LOGIN])
def test_forged_posts_of_other_sites_are_refused_and_use_up_nothing(
    settings: Settings, path: str, headers: dict[str, str]
) -> None:
    settings.RATE_LIMITS = {"POST contact": (1, 60), "POST admin:login": (1, 60)}
    browser = Client(enforce_csrf_checks=True)
    assert {browser.post(path, MESSAGE, headers=headers).status_code for _ in range(4)} == {403}
    assert not RateBucket.objects.exists()
    token = browser.get(path).cookies.get("csrftoken")
    form = MESSAGE | ({"csrfmiddlewaretoken": token.value} if token else {})
    statuses = [browser.post(path, form).status_code for _ in range(2)]
    assert statuses[0] in (200, 303) and statuses[1] == 429


def test_a_forged_address_header_makes_no_new_client(client: Client, settings: Settings) -> None:
    settings.RATE_LIMITS = {"GET search": (2, 60)}
    statuses = [
        client.get(
            "/search/",
            headers={
                "X-Forwarded-For": f"192.0.2.{n}",
                "CF-Connecting-IP": f"192.0.2.{n}",
                "X-Kikaku-Edge": "x",
            },
        ).status_code
        for n in range(3)
    ]
    assert statuses == [200, 200, 429]


def test_a_few_searches_write_nothing_and_take_no_extra_query(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    build.product()
    for _ in range(10):
        with django_assert_max_num_queries(3):
            assert client.get("/search/?q=x").status_code == 200
    assert not RateBucket.objects.exists()


def test_neither_address_nor_name_is_stored(client: Client) -> None:
    client.post(LOGIN, {"username": "hanako", "password": "x"}, REMOTE_ADDR="203.0.113.7")
    for _ in range(15):
        client.get("/search/", REMOTE_ADDR="203.0.113.7")
    keys = " ".join(RateBucket.objects.values_list("key", flat=True))
    assert RateBucket.objects.count() >= 2
    assert "203.0.113.7" not in keys and "hanako" not in keys


# ── Logins ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def owner() -> User:
    return User.objects.create_superuser("owner", password="right")


def sign_in(client: Client, password: str, *, name: str = "owner", address: str = "203.0.113.7") -> int:
    answer = client.post(
        LOGIN, {"username": name, "password": password, "next": "/admin/"}, REMOTE_ADDR=address
    )
    return int(answer.status_code)


def test_passwords_cannot_be_tried_from_one_address(owner: User) -> None:
    count, _seconds = project.RATE_LIMITS["POST admin:login"]
    assert {sign_in(Client(), f"x{n}", name=f"name{n}") for n in range(count)} == {200}
    assert sign_in(Client(), "right") == 429
    assert sign_in(Client(), "right", address="198.51.100.9") == 302


def test_passwords_cannot_be_tried_from_many_addresses(owner: User) -> None:
    count, _seconds = project.LOGIN_LIMIT_PER_NAME
    names = ["owner", "OWNER", "ｏｗｎｅｒ", " owner "]  # each is the same bucket
    for n in range(count):
        assert sign_in(Client(), "x", name=names[n % 4], address=f"198.51.100.{n}") == 200
    assert sign_in(Client(), "right", address="198.51.100.99") == 429


def test_an_attacker_elsewhere_does_not_lock_out_the_owner(owner: User) -> None:
    browser = Client()
    assert sign_in(browser, "right") == 302
    for n in range(project.LOGIN_LIMIT_PER_NAME[0] + 3):
        sign_in(Client(), "x", address=f"198.51.100.{n}")
    assert sign_in(Client(), "right", address="198.51.100.99") == 429
    del browser.cookies["sessionid"]
    assert sign_in(browser, "right", address="192.0.2.77") == 302  # the known browser, from any address


def test_a_known_browser_is_known_for_one_name_only_and_is_limited_too(
    owner: User, settings: Settings
) -> None:
    User.objects.create_superuser("clerk", password="right")
    browser = Client()
    assert sign_in(browser, "right", name="clerk") == 302
    settings.LOGIN_LIMIT_PER_NAME = (2, 300)
    for n in range(2):
        assert sign_in(browser, "x", address=f"198.51.100.{n}") == 200
    assert sign_in(browser, "right", address="198.51.100.9") == 429  # unknown for the owner's name
    for n in range(2):
        assert sign_in(browser, "x", name="clerk", address=f"198.51.101.{n}") == 200
    assert sign_in(browser, "right", name="clerk", address="198.51.101.9") == 429
    assert (
        sign_in(Client(), "right", name="clerk", address="198.51.101.9") == 302
    )  # other browsers are not affected


@pytest.mark.parametrize("cookie", ["x", "a:b:c", "é", "\x00", "W10:1uB:x", '"' * 5000])
def test_a_forged_device_cookie_is_ignored(owner: User, settings: Settings, cookie: str) -> None:
    settings.LOGIN_LIMIT_PER_NAME = (1, 300)
    attacker = Client()
    attacker.cookies[limits.DEVICE_COOKIE] = cookie
    assert sign_in(attacker, "x") == 200
    assert sign_in(attacker, "right", address="192.0.2.1") == 429


def test_only_a_right_password_sets_the_device_cookie(owner: User) -> None:
    browser = Client()
    assert sign_in(browser, "wrong") == 200
    assert limits.DEVICE_COOKIE not in browser.cookies
    assert sign_in(browser, "right") == 302
    assert browser.cookies[limits.DEVICE_COOKIE]["httponly"]
    assert "owner" not in browser.cookies[limits.DEVICE_COOKIE].value


def test_counting_takes_a_fraction_of_a_millisecond_of_a_process(settings: Settings) -> None:
    """A limit must cost less than the page; the bound is wide because the machine may be busy."""
    began = time.process_time()
    for n in range(500):
        count_request(Limit(100_000, 1), f"k{n % 50}", now=NOON)
    assert math.floor((time.process_time() - began) / 500 * 1000) == 0
