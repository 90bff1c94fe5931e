"""Logs are readable or JSON, without secrets."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from ops.logs import sentry, setup
from ops.logs.redaction import redact

LINES_WITH_SECRETS = [
    "GET /orders/Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6/thanks/",
    "/en/orders/Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6/",
    "/Orders/Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6/",
    "/EN/ORDERS/Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6",
    "//orders//Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6",
    "/orders///Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6/pay/",
    "/%2Forders%2fZk3v9yQw7Lr2Xn8Bt5Hd1Jf6",
    r"/orders\/Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6",
    "/orders/%5Ak3v9yQw7Lr2Xn8Bt5Hd1Jf6/",
    "/C/Pay//cs_test_a1b2c3",
    "sk_live_51AbCdEf",
    "rk_test_51AbCdEf",
    "whsec_AbCdEf123",
    "hanako@example.jp",
    "postgres://shop:hush@db.example.jp/shop",
    "http://127.0.0.1:8001/c/pay/cs_test_a1b2c3",
]
SECRET_PARTS = ["k3v9yQw7Lr2Xn8Bt5Hd1Jf6", "51AbCdEf", "AbCdEf123", "hanako", "hush", "cs_test_a1b2c3"]


@pytest.fixture(autouse=True)
def restore_logs() -> Iterator[None]:
    """Restore the logs of the test run afterwards."""
    yield
    setup.configure(production=False)


@pytest.mark.parametrize("production", [False, True])
def test_no_secret_reaches_a_line_of_either_library(production: bool) -> None:
    out = io.StringIO()
    setup.configure(production=production, stream=out)
    for line in LINES_WITH_SECRETS:
        logging.getLogger("django.security.csrf").warning("Not Found: %s", line)
        structlog.get_logger("shop").warning("refused", about=line)
        try:
            raise ValueError(line)
        except ValueError:
            logging.getLogger("ledger").exception("failed")
    assert out.getvalue().count("\n") >= 3 * len(LINES_WITH_SECRETS)
    for secret in SECRET_PARTS:
        assert secret not in out.getvalue()
    assert "/orders/[token]" in out.getvalue()


@pytest.mark.parametrize("production", [False, True])
def test_a_traceback_shows_no_local_variable(production: bool) -> None:
    out = io.StringIO()
    setup.configure(production=production, stream=out)
    typed = "東京都港区芝公園"
    try:
        raise LookupError(len(typed))
    except LookupError:
        logging.getLogger("django.request").exception("broken")
    assert "LookupError" in out.getvalue() and typed not in out.getvalue()


def test_production_writes_one_json_object_per_line() -> None:
    out = io.StringIO()
    setup.configure(production=True, stream=out)
    logging.getLogger("ledger").info("posted %s", 3)
    structlog.get_logger("shop").info("placed", order="K261122-ABCDE")
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert first["event"] == "posted 3" and first["level"] == "info" and first["logger"] == "ledger"
    assert second["order"] == "K261122-ABCDE" and second["timestamp"].endswith("Z")


def test_configuring_twice_does_not_write_twice() -> None:
    out = io.StringIO()
    setup.configure(production=False, stream=out)
    setup.configure(production=False, stream=out)
    logging.getLogger("ledger").info("once")
    assert out.getvalue().count("once") == 1


def test_routine_messages_of_django_q2_are_left_out() -> None:
    out = io.StringIO()
    setup.configure(production=False, stream=out)
    logging.getLogger("django-q").info("Process-1 created task")
    logging.getLogger("django-q").critical("reincarnated worker")
    assert "created task" not in out.getvalue() and "reincarnated worker" in out.getvalue()


def test_an_event_for_sentry_loses_tokens_bodies_and_cookies() -> None:
    event = {
        "message": "failed for hanako@example.jp",
        "request": {
            "url": "https://shop.example.jp/orders/Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6/",
            "data": {"phone": "03-0000-0000"},
            "cookies": {"sessionid": "abc"},
            "headers": {
                "Cookie": "sessionid=abc",
                "Referer": "https://shop.example.jp/orders/Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6/",
            },
        },
        "exception": {
            "values": [{"value": "sk_live_51AbCdEf", "stacktrace": {"frames": [{"vars": {"key": "x"}}]}}]
        },
        "user": {"email": "hanako@example.jp"},
    }
    sent = json.dumps(sentry.scrub(event))
    for secret in [*SECRET_PARTS, "03-0000-0000", "sessionid"]:
        assert secret not in sent
    assert "https://shop.example.jp/orders/[token]/" in sent


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("call 03-1234-5678 or 09012345678", "call [phone] or [phone]"),
        ("+81 90-1234-5678 is wrong", "[phone] is wrong"),
        ("sent to 〒105-0011 東京都港区芝公園4-2-8\nnext line", "sent to [address]\nnext line"),
        ('{"to": "〒1050011 東京都", "ms": 0.25}', '{"to": "[address]", "ms": 0.25}'),
    ],
)
def test_telephone_numbers_and_postal_addresses_are_replaced(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-01T03:00:00.123Z order K261201-0A0B1 paid in 0.002 s",
        "request 0123456789012345 of job-9-1, evt_0123456789, balance 1000000 JPY, 0 left",
        "voucher 2026-1234 on 127.0.0.1:8000",
    ],
)
def test_times_ids_and_amounts_stay(text: str) -> None:
    assert redact(text) == text
