"""`DATABASE_URL` of a D1 database: what it means, and which errors it has."""

import socket
import sqlite3
import threading
from typing import Any

import pytest
import urllib3
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from .. import transport
from ..address import ENGINE, database
from ..base import DatabaseWrapper

SECRET, TOKEN = "the-secret-of-a-gateway", "an-API-token"
HOSTS = [
    ("127.0.0.1:8002", "http"),
    ("127.9.9.9", "http"),
    ("[::1]:8002", "http"),
    ("localhost", "http"),
    ("LocalHost", "http"),
    ("d1.internal", "http"),
    ("d1.internal.", "http"),
    ("d1.example.jp", "https"),
    ("10.0.0.7", "https"),
    ("internal", "https"),
    ("d1internal", "https"),
    ("localhost.example.jp", "https"),
    ("d1.internal.example.jp", "https"),
]


def by_hand(**changes: Any) -> DatabaseWrapper:
    """Return a connection with settings that were written by hand."""
    entry = {"ENGINE": ENGINE, "HOST": "d1.internal", "NAME": "DB", "PASSWORD": SECRET, **changes}
    return DatabaseWrapper(connections.configure_settings({"default": entry})["default"], "shop")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("d1://d1.internal/DB", {"HOST": "d1.internal", "PORT": "", "NAME": "DB", "PASSWORD": SECRET}),
        ("d1://127.0.0.1:8002/kikaku", {"HOST": "127.0.0.1", "PORT": "8002", "NAME": "kikaku"}),
        ("d1://d1.example.jp/%E5%BA%97", {"HOST": "d1.example.jp", "NAME": "店"}),
        (
            "d1-rest://0123abcd/11111111-2222-3333-4444-555555555555",
            {
                "HOST": "api.cloudflare.com",
                "USER": "0123abcd",
                "NAME": "11111111-2222-3333-4444-555555555555",
                "PASSWORD": TOKEN,
            },
        ),
    ],
)
def test_an_address_becomes_an_entry_of_databases(url: str, expected: dict[str, str]) -> None:
    entry = database(url, gateway_secret=SECRET, api_token=TOKEN)
    assert entry["ENGINE"] == transport.__package__
    assert expected.items() <= entry.items()


@pytest.mark.parametrize(("host", "scheme"), HOSTS)
def test_the_secret_goes_over_an_open_line_to_nobody(host: str, scheme: str) -> None:
    address = database(f"d1://{host}/DB", gateway_secret=SECRET, api_token="")
    name = host.removesuffix(":8002").strip("[]")
    for wrapper in (by_hand(HOST=address["HOST"], PORT=address["PORT"]), by_hand(HOST=name)):
        way: Any = wrapper.get_new_connection(wrapper.get_connection_params()).transport
        assert way.address.scheme == scheme
        is_encrypted = isinstance(transport.pool(way.address), urllib3.HTTPSConnectionPool)
        assert is_encrypted is (scheme == "https")


def test_a_public_host_is_first_asked_for_encryption_and_not_sent_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The settings are those of the README, with a name that is a listener on this machine."""
    received = b""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            nonlocal received
            for _try in range(transport.MAX_TRIES):
                client, _address = listener.accept()
                with client:
                    received += client.recv(65_536)

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        wrapper = by_hand(HOST="d1.example.jp", PORT=str(listener.getsockname()[1]))
        connection = wrapper.get_new_connection(wrapper.get_connection_params())
        with pytest.raises(sqlite3.OperationalError):
            connection.cursor().execute("SELECT 'a customer'", None)
        thread.join(10)
    assert received.startswith(b"\x16\x03")  # a TLS handshake
    assert SECRET.encode() not in received and b"customer" not in received


@pytest.mark.parametrize(
    "secret", [f"{SECRET}\n", f"{SECRET}\r\nX: y", f" {SECRET}", "秘密の言葉" * 9, f"{SECRET}\tb"]
)
def test_a_secret_that_no_header_takes_is_refused_and_never_printed(secret: str) -> None:
    for url, given in (
        ("d1://d1.internal/DB", {"gateway_secret": secret, "api_token": ""}),
        ("d1-rest://account/DB", {"gateway_secret": "", "api_token": secret}),
    ):
        with pytest.raises(ValueError, match="printable ASCII") as caught:
            database(url, **given)
        assert secret.strip() not in str(caught.value)
    with pytest.raises(ImproperlyConfigured, match=r"PASSWORD.*printable ASCII") as refused:
        by_hand(PASSWORD=secret).get_connection_params()
    assert secret.strip() not in str(refused.value)


@pytest.mark.parametrize("host", ["https://d1.example.jp", "user@d1.example.jp", "d1.example.jp/v1"])
def test_a_host_is_a_name_alone(host: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="HOST"):
        by_hand(HOST=host).get_connection_params()


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="scheme"):
        by_hand(OPTIONS={"scheme": "http"}).get_connection_params()


def test_options_are_a_query() -> None:
    url = "d1://h/DB?isolation=serializable&pool_size=3&connect_timeout=1.5&read_timeout=20"
    options = database(url, gateway_secret=SECRET, api_token="")["OPTIONS"]
    assert options == {
        "isolation": "serializable",
        "pool_size": 3,
        "connect_timeout": 1.5,
        "read_timeout": 20.0,
    }


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("d1://host", "d1://host/name"),
        ("d1:///name", "d1://host/name"),
        ("d1://host/a/b", "d1://host/name"),
        ("d1-rest://account", "d1-rest://account/database"),
        ("d1://user:secret@host/name", "must hold no secret"),
        ("d1://host/name?timeout=3", "'timeout' is unknown"),
        ("d1://host/name?isolation=snapshot", "read committed or serializable"),
        ("d1://host/name?pool_size=many", "pool_size must be a number"),
        ("d1://host/name?pool_size=0", "pool_size must be above 0"),
        ("d1://host/name?read_timeout=nan", "read_timeout must be above 0"),
        ("d1://host:port/name", "[Pp]ort"),
    ],
)
def test_a_wrong_address_is_refused_with_the_reason(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        database(url, gateway_secret=SECRET, api_token=TOKEN)


@pytest.mark.parametrize(
    ("url", "message"),
    [("d1://h/n", "D1_GATEWAY_SECRET is missing"), ("d1-rest://a/n", "CLOUDFLARE_API_TOKEN")],
)
def test_a_missing_secret_is_reported(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        database(url, gateway_secret="", api_token="")
