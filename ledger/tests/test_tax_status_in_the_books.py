"""Entries follow the tax status and the rates of their day: exempt, registered, and across a change."""

import re
from datetime import date, timedelta

import pytest

from kikaku.money import REDUCED
from kikaku.sandbox import Sandbox
from ledger.books.tax_rules import load_tax_rules
from ledger.closing import checks, evidence
from ledger.closing.daily_close import close_day
from ledger.models import JournalEntry, JournalLine, Order, TaxRate, TaxStatus
from ledger.models.books import LineTaxClass
from ledger.testing import build, company
from ledger.testing.closing import MONDAY, TUESDAY, WEDNESDAY, at, night_after, set_clock
from ledger.testing.company import EXEMPT

pytestmark = pytest.mark.django_db

JCB = "3566002020360505"
TAX_ACCOUNTS = ("1410", "2150", "2151")


def amounts(entry: JournalEntry) -> dict[str, int]:
    """Return debit − credit by account."""
    found: dict[str, int] = {}
    for line in entry.lines.order_by("position"):
        found[line.account_id] = found.get(line.account_id, 0) + line.debit - line.credit
    return found


def entry_of(order: Order, purpose: str, number: int = 0) -> dict[str, int]:
    """Return the amounts of an order's entry with a purpose, the first or a later one."""
    entries = JournalEntry.objects.filter(order=order, purpose=purpose).order_by("pk")
    return amounts(entries[number])


def sell(sandbox: Sandbox, day: date, *lines: object, shipping_fee: int = 0) -> Order:
    """Sell lines on a day, paid by JCB, without shipping them."""
    now = set_clock(sandbox, at(day, 10))
    placed = build.order(list(lines), shipping_fee=shipping_fee, now=now)  # type: ignore[arg-type]
    build.paid_order(sandbox, placed=placed, card=JCB, now=now)
    build.fetch(sandbox)
    return placed


def refund(sandbox: Sandbox, order: Order, day: date, **what: object) -> dict[str, int]:
    """Refund on a day, and return the amounts of the entry."""
    build.refund(order, now=set_clock(sandbox, at(day, 16)), **what)  # type: ignore[arg-type]
    build.deliver(sandbox)
    build.fetch(sandbox)
    return amounts(JournalEntry.objects.filter(order=order, purpose="refund").latest("pk"))


def assert_books_hold() -> None:
    assert [str(finding) for finding in checks.check_everything()] == []


# ── The worked order while exempt ────────────────────────────────────────────────────────────────────────


def test_the_worked_order_of_an_exempt_merchant_is_posted_gross_and_no_file_of_its_day_names_a_tax(
    sandbox: Sandbox,
) -> None:
    company.enter(from_day=MONDAY, **EXEMPT)
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, placed=build.worked_order(now=now), card=JCB, now=now)
    build.fetch(sandbox)
    build.ship(order, now=set_clock(sandbox, at(MONDAY, 15)))
    assert entry_of(order, "capture") == {"1150": 11_649, "6111": 481, "2130": -12_130}
    assert entry_of(order, "recognition") == {"2130": 12_130, "4110": -10_545, "4120": -550, "4111": -1_035}
    order.refresh_from_db()
    assert (order.tax_standard, order.tax_reduced) == (0, 0)
    assert refund(sandbox, order, MONDAY) == {"1150": -12_130, "4190": 11_095, "4191": 1_035}

    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert (result.state, result.differences) == ("closed", 0)
    assert not JournalLine.objects.filter(account__in=TAX_ACCOUNTS).exists()
    assert set(JournalLine.objects.values_list("tax_class", "tax_rate", "tax")) == {
        (LineTaxClass.OUTSIDE, None, 0)
    }
    for name in ("journal.csv", "report.json", "report.html"):
        with evidence.storage().open(f"{result.folder}/{name}") as file:
            text = file.read().decode()
        assert re.search(r"\b(1410|2150|2151)\b", text) is None, name
    assert_books_hold()


def test_a_taxable_merchant_without_a_number_posts_like_a_registered_one(sandbox: Sandbox) -> None:
    company.enter(
        from_day=MONDAY,
        liability=TaxStatus.Liability.UNREGISTERED,
        registration_number="",
        registered_on=None,
    )
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, placed=build.worked_order(now=now), card=JCB, now=now)
    build.fetch(sandbox)
    build.ship(order, now=set_clock(sandbox, at(MONDAY, 15)))
    assert entry_of(order, "capture") == {"1150": 11_649, "6111": 437, "1410": 44, "2130": -12_130}
    assert entry_of(order, "recognition") == {
        "2130": 12_130,
        "4110": -9_587,
        "4120": -500,
        "2150": -1_008,
        "4111": -959,
        "2151": -76,
    }


# ── Returns across a change of the status ────────────────────────────────────────────────────────────────


def test_a_sale_of_the_exempt_time_that_is_returned_after_registration_reverses_no_tax(
    sandbox: Sandbox,
) -> None:
    company.enter(from_day=MONDAY, **EXEMPT)
    order = sell(sandbox, MONDAY, build.line(price=11_000))
    build.ship(order, now=at(MONDAY, 15))
    company.enter(from_day=TUESDAY)
    assert refund(sandbox, order, TUESDAY) == {"1150": -11_000, "4190": 11_000}
    assert_books_hold()


def test_a_sale_of_the_taxable_time_that_is_returned_while_exempt_reverses_no_tax(sandbox: Sandbox) -> None:
    order = sell(sandbox, MONDAY, build.line(price=11_000))
    build.ship(order, now=at(MONDAY, 15))
    company.enter(from_day=TUESDAY, **EXEMPT)
    assert refund(sandbox, order, TUESDAY, amount=3_000) == {"1150": -3_000, "4190": 3_000}
    company.enter(from_day=WEDNESDAY)
    # 8,000 of what was sold with tax come back while taxable: their tax, not that of the whole
    assert refund(sandbox, order, WEDNESDAY) == {"1150": -8_000, "4190": 7_273, "2150": 727}
    assert_books_hold()


def test_two_parcels_across_a_registration_are_sold_and_returned_each_by_its_day(sandbox: Sandbox) -> None:
    company.enter(from_day=MONDAY, **EXEMPT)
    order = sell(sandbox, MONDAY, build.line(price=1_980, quantity=3))
    (line,) = order.lines.all()
    build.ship(order, {line.pk: 1}, now=at(MONDAY, 15))
    company.enter(from_day=TUESDAY)
    build.ship(order, now=set_clock(sandbox, at(TUESDAY, 15)))
    assert entry_of(order, "recognition") == {"2130": 1_980, "4110": -1_980}
    assert entry_of(order, "recognition", 1) == {"2130": 3_960, "4110": -3_600, "2150": -360}
    # the piece of a line that was sold first comes back first
    returned = refund(sandbox, order, WEDNESDAY, returns={line.pk: 1})
    assert returned == {"1150": -1_980, "4190": 1_980}
    assert refund(sandbox, order, WEDNESDAY) == {"1150": -3_960, "4190": 3_600, "2150": 360}
    assert_books_hold()


def test_two_parcels_across_the_end_of_the_registration_and_their_return(sandbox: Sandbox) -> None:
    order = sell(sandbox, MONDAY, build.line(price=1_980, quantity=2))
    (line,) = order.lines.all()
    build.ship(order, {line.pk: 1}, now=at(MONDAY, 15))
    company.enter(from_day=TUESDAY, **EXEMPT)
    build.ship(order, now=set_clock(sandbox, at(TUESDAY, 15)))
    assert entry_of(order, "recognition") == {"2130": 1_980, "4110": -1_800, "2150": -180}
    assert entry_of(order, "recognition", 1) == {"2130": 1_980, "4110": -1_980}
    assert refund(sandbox, order, WEDNESDAY) == {"1150": -3_960, "4190": 3_960}
    assert_books_hold()


# ── Rounding and rates ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("rounding", "tax"), [("down", 91), ("nearest", 92), ("up", 92)])
def test_a_fraction_of_a_yen_is_rounded_as_the_status_of_the_orders_day_says(
    sandbox: Sandbox, rounding: str, tax: int
) -> None:
    company.enter(from_day=MONDAY, rounding=rounding)
    order = sell(sandbox, MONDAY, build.line(price=1_010))
    company.enter(from_day=TUESDAY)  # down again, for the orders of Tuesday
    build.ship(order, now=set_clock(sandbox, at(TUESDAY, 15)))
    assert order.tax_standard == tax
    assert entry_of(order, "recognition") == {"2130": 1_010, "4110": tax - 1_010, "2150": -tax}
    assert refund(sandbox, order, TUESDAY) == {"1150": -1_010, "4190": 1_010 - tax, "2150": tax}


def test_a_parcel_is_taxed_at_the_rate_of_its_day_and_returned_at_the_same(sandbox: Sandbox) -> None:
    TaxRate.objects.create(tax_class="standard", from_day=TUESDAY, percent=12)
    order = sell(sandbox, MONDAY, build.line(price=11_200, quantity=2))
    (line,) = order.lines.all()
    build.ship(order, {line.pk: 1}, now=at(MONDAY, 15))
    build.ship(order, now=set_clock(sandbox, at(TUESDAY, 15)))
    assert entry_of(order, "recognition") == {"2130": 11_200, "4110": -10_182, "2150": -1_018}
    assert entry_of(order, "recognition", 1) == {"2130": 11_200, "4110": -10_000, "2150": -1_200}
    returned = JournalLine.objects.filter(account="4190").order_by("entry_id", "position")
    assert refund(sandbox, order, WEDNESDAY, returns={line.pk: 1}) == {
        "1150": -11_200,
        "4190": 10_182,
        "2150": 1_018,
    }
    assert refund(sandbox, order, WEDNESDAY) == {"1150": -11_200, "4190": 10_000, "2150": 1_200}
    assert list(returned.values_list("tax_rate", "tax")) == [(10, 1_018), (12, 1_200)]
    assert_books_hold()


def test_what_comes_back_is_returned_at_the_rate_of_its_own_parcel(sandbox: Sandbox) -> None:
    TaxRate.objects.create(tax_class="standard", from_day=TUESDAY, percent=12)
    order = sell(sandbox, MONDAY, build.line("A", price=11_200), build.line("B", price=11_200))
    first, second = order.lines.order_by("position")
    build.ship(order, {first.pk: 1}, now=at(MONDAY, 15))
    build.ship(order, now=set_clock(sandbox, at(TUESDAY, 15)))
    # an allowance belongs to no piece: it is spread over what is left of each rate
    assert refund(sandbox, order, TUESDAY, amount=2_240) == {"1150": -2_240, "4190": 2_019, "2150": 221}
    assert refund(sandbox, order, WEDNESDAY, returns={second.pk: 1}) == {
        "1150": -11_200,
        "4190": 10_018,  # ¥10,080 are left at 12 %, the rest is of the other rate
        "2150": 1_182,
    }
    assert refund(sandbox, order, WEDNESDAY) == {"1150": -8_960, "4190": 8_145, "2150": 815}
    assert_books_hold()


def test_food_at_zero_percent_is_a_taxed_sale(sandbox: Sandbox) -> None:
    TaxRate.objects.create(tax_class="reduced", from_day=TUESDAY, percent=0)
    order = sell(sandbox, MONDAY, build.line("TEA", price=1_080, tax_class=REDUCED))
    build.ship(order, now=set_clock(sandbox, at(TUESDAY, 15)))
    (sale,) = JournalLine.objects.filter(account="4111")
    assert (sale.credit, sale.tax_class, sale.tax_rate, sale.tax) == (1_080, LineTaxClass.SALE_REDUCED, 0, 0)
    assert_books_hold()


# ── The fiscal year ──────────────────────────────────────────────────────────────────────────────────────


def test_no_year_is_longer_than_twelve_months() -> None:
    company.enter(from_day=date(2026, 3, 15), fiscal_year_end=2)  # after February, before the end of March
    rules = load_tax_rules()
    assert rules.last_day_of_year(date(2025, 12, 1)) == date(2026, 3, 31)
    assert rules.first_day_of_year(date(2026, 5, 1)) == date(2026, 4, 1)
    assert rules.last_day_of_year(date(2026, 5, 1)) == date(2027, 2, 28)
    assert rules.first_day_of_year(date(2027, 3, 1)) == date(2027, 3, 1)


def test_a_changed_year_end_makes_one_short_year() -> None:
    company.enter(from_day=date(2026, 11, 16), fiscal_year_end=12)
    rules = load_tax_rules()
    assert rules.first_day_of_year(date(2026, 11, 20)) == date(2026, 4, 1)
    assert rules.last_day_of_year(date(2026, 11, 20)) == date(2026, 12, 31)
    assert rules.first_day_of_year(date(2027, 1, 1)) == date(2027, 1, 1)
    assert rules.last_day_of_year(date(2027, 1, 1) + timedelta(days=80)) == date(2027, 12, 31)
