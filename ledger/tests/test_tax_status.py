"""What a tax status and a rate must be, when they may be entered, and what the database protects."""

from collections.abc import Iterator
from datetime import date

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from kikaku.money import REDUCED
from ledger.books.tax_rules import load_tax_rules
from ledger.books.tax_status import enter_rate, enter_status, orders_at_other_rates, withdraw_rate
from ledger.models import DailyClose, JournalEntry, TaxRate, TaxStatus
from ledger.models.tax import FICTIONAL_NUMBER
from ledger.testing import build, company
from ledger.testing.closing import MONDAY, TUESDAY, WEDNESDAY, at
from ledger.testing.company import EXEMPT, REGISTERED

SOLE_TRADER = {"entity": "sole_trader", "fiscal_year_end": 12}
NOW = at(MONDAY)


def problems(**changes: object) -> list[str]:
    """Return the fields of a status of a registered corporation, with changes, that are refused."""
    try:
        TaxStatus(**{**REGISTERED, **changes}).clean()
    except ValidationError as error:
        return sorted(error.message_dict)
    return []


@pytest.mark.engine_independent
@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, []),
        ({"registration_number": FICTIONAL_NUMBER}, []),
        ({"registration_number": "T7000012050003"}, ["registration_number"]),  # the check digit
        ({"registration_number": ""}, ["registration_number"]),
        ({"registered_on": None}, ["registered_on"]),
        ({"registered_on": date(2027, 1, 1)}, ["registered_on"]),
        ({"liability": "unregistered"}, ["registered_on", "registration_number"]),
        (EXEMPT, []),
        ({**EXEMPT, "accounting": "net"}, ["accounting"]),
        ({"accounting": "gross"}, []),
        (SOLE_TRADER, []),
        ({**SOLE_TRADER, "registration_number": "T1234567890123"}, []),  # no corporate number
        ({"entity": "sole_trader"}, ["fiscal_year_end"]),
        ({"filing": "simplified"}, ["business_type"]),
        ({"filing": "simplified", "business_type": 2}, []),
        ({"business_type": 2}, ["business_type"]),
        ({**EXEMPT, "filing": "simplified", "business_type": 2}, ["filing"]),
        # two tenths: the year from April 2026 contains 30 September 2026, the next does not
        ({"filing": "two_tenths", "from_day": date(2027, 3, 31)}, []),
        ({"filing": "two_tenths", "from_day": date(2027, 4, 1)}, ["filing"]),
        ({**EXEMPT, "filing": "two_tenths", "from_day": date(2026, 4, 1)}, ["filing"]),
        ({**SOLE_TRADER, "filing": "two_tenths", "from_day": date(2027, 1, 1)}, ["filing"]),
        ({**SOLE_TRADER, "filing": "three_tenths", "from_day": date(2026, 12, 31)}, ["filing"]),
        ({**SOLE_TRADER, "filing": "three_tenths", "from_day": date(2027, 1, 1)}, []),
        ({**SOLE_TRADER, "filing": "three_tenths", "from_day": date(2028, 12, 31)}, []),
        ({**SOLE_TRADER, "filing": "three_tenths", "from_day": date(2029, 1, 1)}, ["filing"]),
        ({"filing": "three_tenths", "from_day": date(2027, 4, 1)}, ["filing"]),
    ],
)
def test_a_combination_that_the_law_does_not_know_is_refused_at_its_field(
    changes: dict[str, object], refused: list[str]
) -> None:
    assert problems(**{"from_day": date(2026, 11, 16), **changes}) == refused


@pytest.mark.engine_independent
@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({}, None),
        ({"filing": "simplified", "business_type": 2}, None),
        ({"filing": "two_tenths"}, date(2027, 3, 31)),
        ({"filing": "two_tenths", "fiscal_year_end": 9}, date(2026, 9, 30)),
        ({"filing": "two_tenths", "fiscal_year_end": 2}, date(2027, 2, 28)),
        ({**SOLE_TRADER, "filing": "two_tenths"}, date(2026, 12, 31)),
        ({**SOLE_TRADER, "filing": "three_tenths"}, date(2028, 12, 31)),
    ],
)
def test_a_transitional_tax_return_says_when_it_ends(changes: dict[str, object], last: date | None) -> None:
    assert TaxStatus(**{**REGISTERED, **changes}).filing_ends_on == last


def post(day: date, form: int | None = JournalEntry.FORM) -> None:
    """Write an entry of a day, without lines."""
    JournalEntry.objects.create(
        day=day,
        occurred_at=at(day),
        source_type="entry",
        source_id=f"{day} {form}",
        purpose="test",
        created_at=at(day),
        form=form,
    )


def refusal(from_day: date, **changes: object) -> str:
    """Enter a status on Monday; return why its day is refused, or ""."""
    try:
        enter_status(TaxStatus(**{**REGISTERED, "from_day": from_day, **changes}), actor="owner", now=NOW)
    except ValidationError as error:
        assert list(error.message_dict) == ["from_day"]
        return error.message_dict["from_day"][0]
    return ""


@pytest.mark.django_db
def test_what_entries_depend_on_changes_only_from_a_day_without_entries() -> None:
    post(TUESDAY)
    assert "2026-11-18" in refusal(TUESDAY, **EXEMPT)
    assert refusal(MONDAY, rounding="up") and refusal(MONDAY, fiscal_year_end=12)
    assert TaxStatus.objects.count() == 1
    # no entry depends on the number, or on the tax return
    assert refusal(MONDAY, registration_number=FICTIONAL_NUMBER) == ""
    assert refusal(MONDAY, registration_number=FICTIONAL_NUMBER, filing="simplified", business_type=2) == ""
    assert refusal(WEDNESDAY, **EXEMPT) == ""
    assert "2026-11-18" in refusal(TUESDAY), "a later one is entered"
    assert refusal(date(2029, 12, 1)) and refusal(date(1926, 11, 16), registered_on=date(1926, 11, 16))


@pytest.mark.django_db
def test_a_corrected_first_status_holds_for_the_days_before_it_too() -> None:
    TaxStatus.objects.all().delete()
    assert refusal(date(2026, 11, 17)), "the first settings begin today at the latest"
    assert refusal(MONDAY, **EXEMPT) == ""
    assert refusal(MONDAY, fiscal_year_end=6) == ""
    before = load_tax_rules().status_on(date(2026, 3, 1))
    assert (before.is_exempt, before.fiscal_year_end) == (False, 6)
    assert load_tax_rules().first_day_of_year(date(2026, 11, 16)) == date(2026, 7, 1)
    post(date(2026, 11, 1))  # an entry of a day before: it depends on the first status
    assert "2026-11-01" in refusal(MONDAY, **EXEMPT)


@pytest.mark.django_db
def test_the_type_of_business_of_closed_days_stays() -> None:
    DailyClose.objects.create(
        day=MONDAY,
        run=1,
        stripe_balance=0,
        book_balance=0,
        differences=0,
        manifest_sha256="0" * 64,
        closed_at=NOW,
    )
    simplified = {"filing": "simplified", "business_type": 2}
    assert "2026-11-16" in refusal(MONDAY, **simplified)
    assert refusal(TUESDAY, **simplified) == ""


@pytest.mark.django_db
def test_entries_that_are_older_than_the_first_status_do_not_bind_it() -> None:
    TaxStatus.objects.all().delete()
    post(TUESDAY, form=None)
    assert refusal(MONDAY) == ""
    assert refusal(MONDAY, **EXEMPT) == "", "a mistake is corrected before anything is posted by it"
    post(TUESDAY)
    assert refusal(MONDAY)


@pytest.mark.django_db
def test_a_form_that_is_sent_twice_enters_one_status() -> None:
    first = company.enter(from_day=TUESDAY, **EXEMPT)
    assert company.enter(from_day=TUESDAY, **EXEMPT) == first
    assert TaxStatus.objects.count() == 2


# ── Rates ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_a_rate_begins_after_today_once_and_can_be_withdrawn_until_it_begins() -> None:
    for day in (MONDAY, date(2026, 11, 1)):
        with pytest.raises(ValidationError):
            enter_rate(TaxRate(tax_class="reduced", from_day=day, percent=0), now=NOW)
    rate = enter_rate(TaxRate(tax_class="reduced", from_day=TUESDAY, percent=0), now=NOW)
    with pytest.raises(ValidationError):
        enter_rate(TaxRate(tax_class="reduced", from_day=TUESDAY, percent=5), now=NOW)
    assert not withdraw_rate(rate, now=at(TUESDAY, 0))
    assert withdraw_rate(rate, now=at(MONDAY, 23))
    assert TaxRate.objects.count() == 2


@pytest.fixture
def real_database(db: None) -> Iterator[None]:
    """Let the triggers act as in a database that is not for tests."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ledger_test_database")
    yield
    with connection.cursor() as cursor:  # so that the next test finds it as it was
        cursor.execute("INSERT INTO ledger_test_database VALUES (1)")


def test_the_database_keeps_rates_that_entries_depend_on(real_database: None) -> None:
    rate = TaxRate.objects.create(tax_class="standard", from_day=TUESDAY, percent=12)
    post(MONDAY)
    statements = [
        f"UPDATE ledger_taxrate SET percent = 5 WHERE id = {rate.pk}",
        "DELETE FROM ledger_taxrate WHERE from_day < '2026-11-16'",
        "INSERT INTO ledger_taxrate (tax_class, from_day, percent) VALUES ('reduced', '2026-11-16', 0)",
    ]
    if connection.vendor == "sqlite":
        statements.append(
            "INSERT OR REPLACE INTO ledger_taxrate (tax_class, from_day, percent) "
            "VALUES ('standard', '2026-11-17', 5)"
        )
    for statement in statements:
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert withdraw_rate(rate, now=at(MONDAY)), "no entry depends on it"


@pytest.mark.django_db
def test_open_orders_whose_rest_is_sold_at_another_rate_are_listed() -> None:
    lamp = build.order([build.line("LAMP")], shipping_fee=0, now=NOW)
    tea = build.order([build.line("TEA", tax_class=REDUCED)], shipping_fee=0, now=NOW)
    sent = build.order([build.line("TEA", tax_class=REDUCED)], now=NOW)
    assert not orders_at_other_rates(now=NOW)
    TaxRate.objects.create(tax_class="reduced", from_day=WEDNESDAY, percent=0)
    assert list(orders_at_other_rates(now=NOW)) == [tea, sent]
    later = build.order([build.line("TEA", tax_class=REDUCED)], shipping_fee=0, now=at(WEDNESDAY))
    assert later not in orders_at_other_rates(now=at(WEDNESDAY))
    sent.lines.update(cancelled=1, reserved=0)
    assert list(orders_at_other_rates(now=at(WEDNESDAY))) == [tea]
    company.enter(from_day=date(2026, 12, 1), **EXEMPT)
    assert list(orders_at_other_rates(now=NOW)) == [lamp, tea, sent, later], "of `sent` the shipping fee"


@pytest.mark.django_db
def test_check_names_a_missing_status(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check", databases=["default"])
    assert "W001" not in capsys.readouterr().err
    TaxStatus.objects.all().delete()
    call_command("check", databases=["default"])
    assert "税務の設定" in capsys.readouterr().err
