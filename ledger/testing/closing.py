"""Instants by the Japanese wall clock, and business days for tests of the close."""

import json
import re
from datetime import date, datetime, timedelta
from typing import Any

from kikaku.days import day_bounds
from kikaku.sandbox import Sandbox
from ledger.models import Order
from ledger.testing import build

MONDAY, TUESDAY, WEDNESDAY = date(2026, 11, 16), date(2026, 11, 17), date(2026, 11, 18)


def at(day: date, hour: int = 12, minute: int = 0) -> datetime:
    """Return an instant by its Japanese wall clock."""
    return day_bounds(day)[0] + timedelta(hours=hour, minutes=minute)


def night_after(day: date) -> datetime:
    """Return the instant at which the schedule closes a day: 01:00 JST of the next day."""
    return at(day + timedelta(days=1), 1)


def set_clock(sandbox: Sandbox, instant: datetime) -> datetime:
    """Set the stand-in's clock to `instant` and return it."""
    sandbox.clock = instant.timestamp
    return instant


def run_business_day(sandbox: Sandbox, day: date) -> Order:
    """Sell the worked order, ship it and refund ¥3,000; sell a second order that is paid by JCB."""
    now = set_clock(sandbox, at(day, 10))
    order = build.paid_order(sandbox, placed=build.worked_order(now=now), now=now)
    now = set_clock(sandbox, at(day, 11))
    build.paid_order(sandbox, [build.line("DESK", price=5_000)], card="3566002020360505", now=now)
    build.fetch(sandbox)
    build.ship(order, now=set_clock(sandbox, at(day, 15)))
    build.refund(order, 3_000, now=set_clock(sandbox, at(day, 16)))
    build.deliver(sandbox)
    return order


def create_foreign_charge(sandbox: Sandbox, now: datetime) -> None:
    """Create a charge of ¥11,500 that names no order of ours, as another system on the account would."""
    order = build.order(now=now)
    sandbox.pay(build.session_of(order, now=now))
    Order.objects.filter(pk=order.pk).update(number=f"NOT-{order.pk}")


def without_vouchers(report: dict[str, Any]) -> str:
    """Return a report without voucher numbers: an entry that a close itself posts has another in a dry run.

    PostgreSQL does not give numbers back that a transaction took and rolled back.
    """
    return re.sub(r"伝票 \d{4}-\d+", "伝票", json.dumps(report, ensure_ascii=False, sort_keys=True))
