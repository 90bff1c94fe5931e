"""Regressions: faults in operation that an earlier implementation had."""

from typing import Any

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from kikaku.days import yesterday
from kikaku.sandbox import Sandbox
from ledger.models import ClosingBalance, DailyClose, EvidenceFile
from ledger.testing import build
from ledger.testing.closing import at, set_clock
from ops.jobs import schedule
from shop.models import Product
from shop.testing import build as shop

pytestmark = pytest.mark.django_db


def test_the_nightly_job_and_the_command_close_a_day_alike(sandbox: Sandbox) -> None:
    now = timezone.now()
    # in the first hour of a day the job still closes the day before
    day = yesterday(schedule.last_close_time(now))
    build.paid_order(sandbox, now=set_clock(sandbox, at(day, 10)))
    set_clock(sandbox, now)
    call_command("daily_close", "--date", day.isoformat())
    closed_by_command = DailyClose.objects.get()
    for table in (ClosingBalance, EvidenceFile, DailyClose):
        table.objects.all().delete()  # reopens the day, which only a test database allows
    schedule.JOBS["daily_close"].work(now)
    closed_by_job = DailyClose.objects.get()
    assert (closed_by_job.day, closed_by_job.manifest_sha256) == (day, closed_by_command.manifest_sha256)


def archive(client: Client, product: Product) -> Any:
    """Archive a product in the admin."""
    return client.post("/admin/shop/product/", {"_selected_action": [product.pk], "action": "archive"})


def test_a_change_in_the_admin_is_logged_with_its_user(admin_client: Client) -> None:
    product = shop.product()
    archive(admin_client, product)
    entry = LogEntry.objects.get_for_object(product).filter(action=LogEntry.Action.UPDATE).get()
    assert entry.actor == User.objects.get(username="admin")
    assert entry.changes_dict["status"] == ["active", "archived"]


def test_a_change_that_cannot_be_logged_is_not_made(admin_client: Client) -> None:
    product = shop.product()

    def fail(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("INSERT INTO") and "auditlog_logentry" in sql:
            raise OperationalError("database or disk is full")
        return execute(sql, *args)

    admin_client.raise_request_exception = False
    with connection.execute_wrapper(fail):
        assert archive(admin_client, product).status_code == 503
    product.refresh_from_db()
    assert product.status == Product.Status.ACTIVE
