"""End to end in the browser: a customer buys, staff ship and refund, the day closes without differences."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ops.testing.browser import DESK, PHONE, Opener
from ops.testing.browser_steps import (
    DECLINED,
    VISA,
    follow_to_order,
    open_action,
    order_goods,
    pay,
    sign_in,
)
from ops.testing.running import ROOT, RunningShop

pytestmark = [pytest.mark.browser, pytest.mark.database]

# closes the day of the sale today, with tomorrow as `now`: an argument of the close, not a clock that it
# reads
CLOSE_TODAY = """
import django, json
django.setup()
from datetime import timedelta
from django.utils import timezone
from kikaku import days
from kikaku.sandbox import adapter
from ledger.closing import daily_close
tomorrow = timezone.now() + timedelta(days=1)
adapter.sandbox().clock = tomorrow.timestamp  # a day that is not over by Stripe's clock is not closed
open_days = daily_close.open_days(days.yesterday(tomorrow))
results = [daily_close.close_day(day, now=tomorrow) for day in open_days]
print(json.dumps([[str(closed.day), closed.state, closed.differences, closed.folder] for closed in results]))
"""


def run_python(shop: RunningShop, code: str) -> str:
    """Run Python code on the shop's state in a new process; return the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=shop.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("size", "javascript"),
    [
        pytest.param(PHONE, True, id="390-js"),
        pytest.param(DESK, False, id="1280-nojs"),
        pytest.param(PHONE, False, id="390-nojs", marks=pytest.mark.nightly),
        pytest.param(DESK, True, id="1280-js", marks=pytest.mark.nightly),
    ],
)
def test_a_lamp_is_sold_shipped_and_partly_refunded(
    shop: RunningShop, visit: Opener, size: tuple[int, int], javascript: bool
) -> None:
    customer = visit(size, javascript=javascript)
    order_goods(customer, "desk-lamps", "emergency")  # 10 % and 8 %
    pay(customer, VISA)
    number = follow_to_order(customer)
    order_page = customer.url
    expect(customer.locator("main")).to_contain_text("お支払い")

    staff = visit(size)  # the admin's theme needs JavaScript
    sign_in(staff, shop)
    expect(staff.locator("body")).to_contain_text(number)  # the first page lists it as to be shipped
    open_action(staff, number, "ship")
    staff.locator("input[name=tracking_number]").fill("1234-5678-9013")
    staff.locator("#content-main form button[type=submit]").first.click()
    expect(staff.locator("body")).to_contain_text("1234-5678-9013")

    open_action(staff, number, "refund")
    staff.locator("input[name=what][value=amount]").check(force=True)
    staff.locator("input[name=amount]").fill("300")
    staff.locator("input[name=reason]").fill("箱のへこみ")
    staff.locator("#content-main form button[type=submit]").first.click()
    expect(staff.locator("body")).to_contain_text("¥300")
    staff.locator("#content-main form button[type=submit]").first.click()  # confirms the amount that is shown
    staff.wait_for_url(re.compile(r"/admin/ledger/order/\d+/change/|/admin/ledger/order/\d+/$"))

    customer.goto(order_page)
    expect(customer.locator("main")).to_contain_text("1234-5678-9013")
    expect(customer.locator("main")).to_contain_text("¥300")


def test_a_declined_card_can_be_tried_again(visit: Opener) -> None:
    page = visit(PHONE)
    order_goods(page, "bulbs")
    pay(page, DECLINED)
    expect(page.get_by_role("alert")).to_be_visible()
    pay(page, VISA)
    follow_to_order(page)


def test_a_customer_who_comes_back_from_the_payment_page_can_pay_later(visit: Opener) -> None:
    page = visit(DESK, javascript=False)
    order_goods(page, "bulbs")
    page.locator("a[href*='/orders/']").first.click()  # back to the shop
    page.locator("form[action$='/pay/'] button.primary").click()
    page.wait_for_url(re.compile(r"/c/pay/"))
    pay(page, VISA)
    follow_to_order(page)


@pytest.fixture(scope="module")
def closed_day(shop: RunningShop) -> tuple[str, str, int, str]:
    """Close today and return its day, state, number of differences and evidence folder.

    `conftest.py` lets the tests that ask for it run after all sales: those are part of the day.
    """
    fetched = shop.manage("fetch_balance")
    assert fetched.returncode == 0, fetched.stderr
    day, state, differences, folder = json.loads(run_python(shop, CLOSE_TODAY))[-1]
    return day, state, differences, folder


def test_the_day_closes_without_differences(shop: RunningShop, closed_day: tuple[str, str, int, str]) -> None:
    day, state, differences, folder = closed_day
    assert (state, differences) == ("closed", 0), closed_day
    evidence = Path(shop.folder / "evidence" / folder)
    assert {path.name for path in evidence.iterdir()} == {
        "report.json",
        "report.html",
        "stripe-evidence.json",
        "journal.csv",
        "manifest.json",
        "closed.json",
    }
    journal = (evidence / "journal.csv").read_text()
    assert "4110" in journal and "4111" in journal and "6110" in journal and "4190" in journal
    verified = shop.manage("verify_books")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    again = shop.manage("daily_close", "--date", day)
    # the day is closed already, or not over yet by the real clock
    assert again.returncode in (0, 1)


def test_the_report_of_a_closed_day_opens(
    shop: RunningShop, closed_day: tuple[str, str, int, str], visit: Opener
) -> None:
    report = shop.folder / "evidence" / closed_day[3] / "report.html"
    page = visit(DESK)
    page.set_content(report.read_text())
    expect(page.locator("h1")).to_be_visible()
