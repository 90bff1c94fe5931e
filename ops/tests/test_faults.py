"""Each part of a running shop is taken away, is slow, and comes back: the table in docs/operations.md.

The test of a row is named in the table. A part that must wait in life (a heartbeat of two minutes, a mail's
next attempt) is made to look as old as that.
"""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from kikaku.testing.database import database_environment, engine
from kikaku.testing.object_store import ObjectStore
from kikaku.testing.ports import find_free_ports
from ledger.models import DailyClose, Order, OutgoingMail, StockItem, StripeEvent
from ledger.models.orders import OrderStatus
from ledger.testing import build as sale
from ops.models import Alert, Heartbeat, ProcessStart
from ops.testing.house import SKU, House, running_house
from ops.testing.outside import wait_for
from ops.testing.switch import Mode
from shop.testing import build

ROOT = Path(__file__).resolve().parents[2]
SERVER = pytest.mark.skipif(engine() == "sqlite", reason="SQLite is a file of the same machine")
FILE = pytest.mark.skipif(engine() != "sqlite", reason="states nothing about the database")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Run a shop on the test's database."""
    with running_house(tmp_path, database_environment()) as running:
        yield running


@pytest.fixture
def house_on_r2(tmp_path: Path, object_store: ObjectStore) -> Iterator[House]:
    """Run a shop whose files are on an S3 server."""
    with running_house(tmp_path, database_environment(), store=object_store) as running:
        yield running


def status(house: House, path: str) -> int:
    return house.customer().get(path).status_code


@SERVER
def test_database_down(house: House) -> None:
    house.buy()
    assert wait_for(house.is_all_paid, seconds=30)
    house.switches["database"].turn("down")
    answer = house.customer().get("/products/madoka/")
    assert answer.status_code == 503 and "retry-after" in answer.headers
    assert house.clerk.get("/admin/").status_code == 503
    assert wait_for(lambda: status(house, "/health") == 503, seconds=20)
    assert wait_for(lambda: house.times_told("database_down") == 1, seconds=60)

    house.switches["database"].turn("up")
    assert wait_for(lambda: status(house, "/products/madoka/") == 200, seconds=30)
    house.buy()
    assert wait_for(house.is_all_paid, seconds=60)
    assert wait_for(lambda: Alert.objects.filter(kind="database_down", over_at__isnull=False), seconds=60)
    assert house.times_told("database_down") == 1


@SERVER
def test_database_slow(house: House) -> None:
    house.switches["database"].turn("slow")
    assert status(house, "/products/madoka/") in (200, 503)  # late, or refused with Retry-After
    house.switches["database"].turn("up")
    assert wait_for(lambda: status(house, "/products/madoka/") == 200, seconds=60)
    house.buy()
    assert wait_for(house.is_all_paid, seconds=60)


@FILE
@pytest.mark.parametrize("mode", ["down", "silent"])
def test_r2(house_on_r2: House, mode: Mode) -> None:
    house = house_on_r2
    house.switches["r2"].turn(mode)
    house.buy()  # customers see nothing of it
    assert wait_for(lambda: status(house, "/health") == 503, seconds=60)
    assert wait_for(lambda: house.times_told("storage_down") == 1, seconds=60)
    house.switches["r2"].turn("up")
    assert wait_for(lambda: status(house, "/health") == 200, seconds=90)
    assert wait_for(lambda: Alert.objects.filter(kind="storage_down", over_at__isnull=False), seconds=60)


@FILE
def test_stripe_down(house: House) -> None:
    house.switches["stripe"].turn("down")
    placed = house.customer().order(SKU)
    assert placed.status_code == 303 and "payment=unavailable" in placed.headers["location"]
    order = Order.objects.get()
    assert order.status == OrderStatus.PENDING and StockItem.objects.get(sku=SKU).reserved == 1
    assert "お支払い" in house.customer().get(f"/orders/{order.token}/").text()
    sale.order(now=timezone.now() - timedelta(days=1))  # so that there is a day to close
    house.restart_worker()
    assert wait_for(lambda: house.times_told("close_failed") == 1, seconds=90)

    house.switches["stripe"].turn("up")
    house.buy()
    house.restart_worker()
    assert wait_for(DailyClose.objects.exists, seconds=90)
    assert wait_for(lambda: Alert.objects.filter(kind="close_failed", over_at__isnull=False), seconds=60)


@FILE
def test_stripe_slow(house: House) -> None:
    house.switches["stripe"].turn("slow")
    house.buy()
    assert wait_for(house.is_all_paid, seconds=60)


@FILE
@pytest.mark.parametrize("mode", ["down", "silent"])
def test_mail_down(house: House, mode: Mode) -> None:
    house.switches["mail"].turn(mode)
    house.buy()
    assert wait_for(house.is_all_paid, seconds=30)
    house.restart_worker()
    # the attempt has ended by itself (EMAIL_TIMEOUT); begun attempts count already
    assert wait_for(lambda: OutgoingMail.objects.exclude(last_error=""), seconds=120)
    OutgoingMail.objects.update(created_at=timezone.now() - timedelta(minutes=31))
    assert wait_for(lambda: house.times_told("mail_waiting") == 1, seconds=60)
    assert "メール" in house.clerk.first_page()

    house.switches["mail"].turn("up")
    OutgoingMail.objects.update(next_attempt_at=timezone.now())
    house.restart_worker()
    assert wait_for(lambda: house.mailbox.mails, seconds=60)
    assert len(house.mailbox.mails) == OutgoingMail.objects.count()
    assert wait_for(lambda: Alert.objects.filter(kind="mail_waiting", over_at__isnull=False), seconds=60)


@FILE
def test_mail_slow(house: House) -> None:
    house.switches["mail"].turn("slow")
    house.buy()
    assert wait_for(house.is_all_paid, seconds=30)  # nobody waits for it
    house.restart_worker()
    assert wait_for(lambda: not OutgoingMail.objects.exclude(status="sent").exists(), seconds=90)
    assert len(house.mailbox.mails) == OutgoingMail.objects.count() > 0


@FILE
def test_worker_dead(house: House) -> None:
    assert wait_for(lambda: Heartbeat.objects.filter(name="worker"), seconds=30)
    house.processes.kill("worker")
    house.buy()
    assert wait_for(house.is_all_paid, seconds=30)  # the webhook is handled when it arrives
    Heartbeat.objects.filter(name="worker").update(beat_at=timezone.now() - timedelta(minutes=3))
    assert wait_for(lambda: house.times_told("worker_dead") == 1, seconds=60)
    assert status(house, "/health?deep=1") == 503 and status(house, "/health") == 200
    assert "応答なし" in house.clerk.first_page() or "ワーカー" in house.clerk.first_page()
    assert not house.mailbox.mails

    house.processes.start("worker")
    assert wait_for(lambda: house.mailbox.mails, seconds=60)
    assert wait_for(lambda: Alert.objects.filter(kind="worker_dead", over_at__isnull=False), seconds=60)


@FILE
def test_slack_down(house: House) -> None:
    assert wait_for(lambda: Heartbeat.objects.filter(name="worker"), seconds=30)
    house.switches["slack"].turn("down")
    house.processes.kill("worker")
    Heartbeat.objects.filter(name="worker").update(beat_at=timezone.now() - timedelta(minutes=3))
    assert wait_for(lambda: Alert.objects.filter(kind="worker_dead"), seconds=60)
    house.buy()
    assert not house.slack.bodies
    house.switches["slack"].turn("up")
    Alert.objects.update(next_try_at=timezone.now())
    house.processes.start("worker")
    assert wait_for(lambda: house.times_told("worker_dead") == 1, seconds=120)


@FILE
@pytest.mark.parametrize("mode", ["down", "silent"])
def test_sentry(house: House, mode: Mode) -> None:
    house.switches["sentry"].turn(mode)
    house.buy()
    assert wait_for(house.is_all_paid, seconds=30)


@FILE
def test_disk_full(house: House) -> None:
    house.buy()
    assert wait_for(house.is_all_paid, seconds=30)
    with house.full_disk():
        assert status(house, "/products/madoka/") == 200
        customer = house.customer()
        assert customer.post("/cart/add/", {"sku": SKU, "quantity": "1"}).status_code == 303
        refused = customer.post("/checkout/", build.TYPED_ADDRESS)  # would be stored
        assert refused.status_code == 503 and "retry-after" in refused.headers
        assert wait_for(lambda: status(house, "/health") == 503, seconds=60)
        assert wait_for(lambda: house.times_told("database_down") == 1, seconds=60)
    assert wait_for(lambda: status(house, "/health") == 200, seconds=60)
    house.buy()
    assert wait_for(house.is_all_paid, seconds=60)
    assert not StripeEvent.objects.failed().exists()


@FILE
def test_variable_wrong(house: House) -> None:
    assert wait_for(lambda: ProcessStart.objects.filter(name="worker").exists(), seconds=30)
    assert wait_for(lambda: ProcessStart.objects.filter(name="web").exists(), seconds=30)
    starts, port = ProcessStart.objects.count(), find_free_ports()
    done = subprocess.run(
        [sys.executable, "-m", "kikaku.server", "--port", str(port)],
        cwd=ROOT,
        env={**house.processes.environment, "EMAIL_URL": "pop3://mail.example.jp"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0 and "EMAIL_URL must be" in done.stderr
    with pytest.raises(OSError):  # a monitor gets no answer
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert ProcessStart.objects.count() == starts and not Alert.objects.filter(kind="restart_loop").exists()
    assert status(house, "/products/madoka/") == 200  # the shop that runs goes on


def rows_of_the_guide() -> list[list[str]]:
    text = (ROOT / "docs" / "operations.md").read_text()
    table = text.split("## When a part fails", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_each_row_of_the_guide_names_tests_and_each_test_here_is_in_a_row() -> None:
    named: set[str] = set()
    for row in rows_of_the_guide():
        assert len(row) == 6 and all(row), row
        named |= set(
            re.findall(r"`([\w/]+\.py::)?(test_\w+)`", row[-1]) and re.findall(r"`([^`]+)`", row[-1])
        )
    for name in named:
        file, _colons, test = name.rpartition("::")
        source = (ROOT / (file or "ops/tests/test_faults.py")).read_text()
        assert f"def {test}(" in source, name
    own: set[Any] = set(re.findall(r"^def (test_\w+)\(house", Path(__file__).read_text(), re.MULTILINE))
    assert own <= named
