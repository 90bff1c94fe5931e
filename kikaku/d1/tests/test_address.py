"""`DATABASE_URL` of a D1 database: what it means, and which errors it has."""

import pytest

from .. import transport
from ..address import database

SECRET, TOKEN = "a gateway's secret", "an API token"


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


@pytest.mark.parametrize(
    ("host", "scheme"),
    [("127.0.0.1:8002", "http"), ("localhost", "http"), ("d1.internal", "http"), ("d1.example.jp", "https")],
)
def test_the_secret_goes_over_an_open_line_to_nobody(host: str, scheme: str) -> None:
    assert database(f"d1://{host}/DB", gateway_secret=SECRET, api_token="")["OPTIONS"]["scheme"] == scheme


def test_options_are_a_query() -> None:
    url = "d1://h/DB?isolation=serializable&pool_size=3&connect_timeout=1.5&read_timeout=20"
    options = database(url, gateway_secret=SECRET, api_token="")["OPTIONS"]
    assert options == {
        "isolation": "serializable",
        "pool_size": 3,
        "connect_timeout": 1.5,
        "read_timeout": 20.0,
        "scheme": "https",
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
