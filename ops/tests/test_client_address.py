"""The client's address of a request, whatever its headers claim."""

import hashlib
import hmac
import io
import json
import time
from collections.abc import Callable, Iterator

import pytest
from auditlog.models import LogEntry
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from kikaku.client_address import client_address, client_network, edge_proof
from ops.logs import setup
from ops.testing.node import run_edge_module
from shop.testing import build

SECRET = "s3cret-of-the-worker-" + "0123456789abcdef"
ADDRESS = "203.0.113.7"


def proof(address: str = ADDRESS, *, age: float = 0, secret: str = SECRET, text: str = "") -> str:
    """Return the proof as it is documented, made by other code than the shop's."""
    seconds = int(time.time() - age)
    signed = hmac.new(secret.encode(), (text or f"edge\n{seconds}\n{address}").encode(), hashlib.sha256)
    return f"{seconds}.{signed.hexdigest()}"


def seen(proof: str, address: str = ADDRESS) -> str:
    """Return the client's address of a request with these headers from 10.0.0.1."""
    return client_address(
        {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_KIKAKU_EDGE": proof, "HTTP_CF_CONNECTING_IP": address}
    )


@pytest.fixture
def edge_secret(settings: Settings) -> None:
    settings.D1_GATEWAY_SECRET = SECRET


@pytest.mark.parametrize("age", [0, 290, -290])
def test_a_request_through_our_worker_comes_from_the_address_that_cloudflare_saw(
    edge_secret: None, age: float
) -> None:
    assert seen(proof(age=age)) == ADDRESS


def test_a_proof_holds_for_its_own_address_and_for_five_minutes(edge_secret: None) -> None:
    assert seen(proof(), "198.51.100.9") == "10.0.0.1"
    assert seen(proof(age=310)) == "10.0.0.1"
    assert seen(proof(age=-310)) == "10.0.0.1"
    later = proof(age=-100).partition(".")[0] + "." + proof().partition(".")[2]
    assert seen(later) == "10.0.0.1"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: "",
        lambda: "x",
        lambda: proof()[:-1],
        lambda: proof().upper(),
        lambda: f"{int(time.time())}.{'é' * 64}",
        lambda: f"{'9' * 5000}.{'0' * 64}",
        lambda: f"٣.{'0' * 64}",
        lambda: SECRET,
        lambda: proof(secret="another"),
        lambda: proof(text="edge"),
        lambda: hmac.new(SECRET.encode(), b"edge", hashlib.sha256).hexdigest(),  # covers no address
    ],
)
def test_an_address_header_without_the_proof_is_ignored(edge_secret: None, wrong: Callable[[], str]) -> None:
    assert seen(wrong()) == "10.0.0.1"


def test_without_a_secret_no_proof_is_accepted(settings: Settings) -> None:
    settings.D1_GATEWAY_SECRET = ""
    for wrong in ("", proof(), proof(secret="")):
        assert seen(wrong) == "10.0.0.1"


@pytest.mark.parametrize(
    "address", ["", "unknown", "203.0.113.7, 198.51.100.1", "999.1.1.1", "\x00", "\ud800", "1" * 5000]
)
def test_an_invalid_address_of_the_worker_is_ignored(edge_secret: None, address: str) -> None:
    assert seen(edge_proof(address, int(time.time()), SECRET), address) == "10.0.0.1"


@pytest.mark.django_db
def test_an_address_put_beside_the_genuine_one_makes_no_new_client(
    edge_secret: None, client: Client, settings: Settings
) -> None:
    """A WSGI server reads CF_Connecting_IP (underscores) as CF-Connecting-IP: the later one counts."""
    settings.RATE_LIMITS = {"POST contact": (3, 3600)}
    statuses = [
        client.post(
            "/contact/",
            {"name": "花子", "email": "hanako@example.jp", "message": "こんにちは"},
            headers={"CF-Connecting-IP": f"198.51.100.{n}", "X-Kikaku-Edge": proof()},
        ).status_code
        for n in range(5)
    ]
    assert statuses == [303, 303, 303, 429, 429]


def passed_on_by_the_worker(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Return what `headers.js` makes of a visitor's headers."""
    script = """
        const passed = await edge.passedOn(new Headers(given.headers), given.secret);
        console.log(JSON.stringify([...passed]));
    """
    return dict(run_edge_module("headers.js", script, {"headers": headers, "secret": SECRET}))


def test_the_workers_headers_prove_the_address_and_drop_what_a_visitor_forges(edge_secret: None) -> None:
    forged = ["CF_Connecting_IP", "X_Kikaku_Edge", "X-Kikaku-Edge", "X-Forwarded-For", "X_Forwarded_For"]
    forged += ["X-Forwarded-Host", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Access-Client-Id"]
    passed = passed_on_by_the_worker(
        [
            ("CF-Connecting-IP", ADDRESS),
            ("CF-Ray", "8f2a1b3c4d5e6f70-NRT"),
            ("Cookie", "cart=x"),
            ("Origin", "https://shop.example.jp"),
            ("X-Forwarded-Proto", "http"),
            *((name, "198.51.100.9") for name in forged),
        ]
    )
    assert seen(passed["x-kikaku-edge"], passed["cf-connecting-ip"]) == ADDRESS
    assert passed["cookie"] == "cart=x" and passed["origin"] == "https://shop.example.jp"
    assert passed["x-forwarded-proto"] == "https"
    assert passed["cf-ray"] == "8f2a1b3c4d5e6f70-NRT"  # the id of the request in the log
    assert set(passed) == {
        *("cf-connecting-ip", "cf-ray", "cookie", "origin", "x-forwarded-proto", "x-kikaku-edge"),
    }


@given(header=st.text(), remote=st.text())
def test_no_header_makes_it_fail(header: str, remote: str) -> None:
    meta = {"REMOTE_ADDR": remote, "HTTP_X_KIKAKU_EDGE": header, "HTTP_CF_CONNECTING_IP": header}
    assert client_network(client_address(meta)) == client_network(remote)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_an_ipv6_household_is_one_client(address: str, network: str) -> None:
    assert client_network(address) == network


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    out = io.StringIO()
    setup.configure(production=True, stream=out)
    yield out
    setup.configure(production=False)


@pytest.mark.django_db
def test_the_records_of_one_client_can_be_found_without_its_address_in_the_log(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("shop.views.errors.not_found", fail)
    client = Client(raise_request_exception=False)
    client.get("/nowhere/", REMOTE_ADDR="203.0.113.7", headers={"X-Forwarded-For": "198.51.100.1"})
    client.get("/nowhere/", REMOTE_ADDR="203.0.113.8")
    client.get("/nowhere/", REMOTE_ADDR="203.0.113.7")
    lines = [line for line in log.getvalue().splitlines() if "Internal Server Error" in line]
    first, second, third = (json.loads(line)["client"] for line in lines)
    assert first == third != second and len(first) == 12
    assert "203.0.113" not in log.getvalue() and "198.51" not in log.getvalue()


@pytest.mark.django_db
def test_the_audit_log_keeps_the_address_and_ignores_headers(admin_client: Client) -> None:
    category = build.category()
    answer = admin_client.post(
        f"/admin/shop/category/{category.pk}/change/",
        {
            "slug": category.slug,
            "name_ja": "ペンダント",
            "name_en": "Pendants",
            "position": "0",
            "room_ja": category.room_ja,
            "room_en": category.room_en,
        },
        REMOTE_ADDR="203.0.113.7",
        headers={
            "X-Forwarded-For": "198.51.100.1",
            "X-Forwarded-Port": "9" * 30,
            "X-Correlation-Id": "x" * 300,
        },
    )
    assert answer.status_code == 302, answer.content.decode()
    entry = LogEntry.objects.get_for_object(category).get(action=LogEntry.Action.UPDATE)
    assert (entry.remote_addr, entry.remote_port, entry.cid) == ("203.0.113.7", None, None)
