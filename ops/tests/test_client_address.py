"""The client's address of a request, whatever its headers claim."""

import hashlib
import hmac
import io
from collections.abc import Iterator

import pytest
from auditlog.models import LogEntry
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from kikaku.client_address import client_address, client_network
from ops import logs
from shop.testing import build

SECRET = "s3cret-of-the-worker-" + "0123456789abcdef"
PROOF = hmac.new(SECRET.encode(), b"edge", hashlib.sha256).hexdigest()


@pytest.fixture
def edge_secret(settings: Settings) -> None:
    settings.D1_GATEWAY_SECRET = SECRET


def test_a_request_through_our_worker_comes_from_the_address_that_cloudflare_saw(edge_secret: None) -> None:
    meta = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_KIKAKU_EDGE": PROOF, "HTTP_CF_CONNECTING_IP": "203.0.113.7"}
    assert client_address(meta) == "203.0.113.7"


@pytest.mark.parametrize("proof", ["", "x", PROOF[:-1], PROOF.upper(), "é" * 64, SECRET])
def test_an_address_header_without_the_proof_is_ignored(edge_secret: None, proof: str) -> None:
    meta = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_KIKAKU_EDGE": proof, "HTTP_CF_CONNECTING_IP": "203.0.113.7"}
    assert client_address(meta) == "10.0.0.1"


def test_without_a_secret_no_proof_is_accepted(settings: Settings) -> None:
    settings.D1_GATEWAY_SECRET = ""
    empty = hmac.new(b"", b"edge", hashlib.sha256).hexdigest()
    for proof in ("", empty):
        meta = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_KIKAKU_EDGE": proof, "HTTP_CF_CONNECTING_IP": "::1"}
        assert client_address(meta) == "10.0.0.1"


def test_an_invalid_address_of_the_worker_is_ignored(edge_secret: None) -> None:
    for header in ("", "unknown", "203.0.113.7, 198.51.100.1", "999.1.1.1", "\x00", "1" * 5000):
        meta = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_KIKAKU_EDGE": PROOF, "HTTP_CF_CONNECTING_IP": header}
        assert client_address(meta) == "10.0.0.1"


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
    logs.configure(production=True, stream=out)
    yield out
    logs.configure(production=False)


@pytest.mark.django_db
def test_the_log_names_the_client_of_each_request(client: Client, log: io.StringIO) -> None:
    client.get("/nowhere/", REMOTE_ADDR="203.0.113.7", headers={"X-Forwarded-For": "198.51.100.1"})
    client.get("/nowhere/", REMOTE_ADDR="203.0.113.8")
    first, second = log.getvalue().splitlines()
    assert '"client": "203.0.113.7"' in first and "198.51" not in first
    assert '"client": "203.0.113.8"' in second


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
