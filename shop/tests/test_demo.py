"""`manage.py demo`: goods, and a history that can be closed."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db.models import Max
from pytest_django import DjangoAssertNumQueries, Settings

from kikaku import days
from kikaku.sandbox import Sandbox, adapter, exclusive_clock
from kikaku.testing.database import rolled_back
from ledger.books import periods
from ledger.books.tax_rules import load_tax_rules
from ledger.books.trial_balance import net_balance
from ledger.closing import checks, daily_close, late_entries, verification
from ledger.models import (
    DailyClose,
    Discrepancy,
    JournalEntry,
    Order,
    OutgoingMail,
    Payment,
    StockItem,
    StockMovement,
)
from shop.demo import history, loader, year_end
from shop.models import Category, ContentPage, Picture, Product, Variant

pytestmark = [pytest.mark.django_db, pytest.mark.engine_independent]

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)  # noon in Japan


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    """Separate the files of the test from a shop that runs on this machine."""
    settings.VAR_DIR = tmp_path / "var"


def goods() -> None:
    loader.load(None, now=NOW - timedelta(days=10))


def test_the_demo_shop_is_complete(sandbox: Sandbox) -> None:
    loaded = loader.load(None, now=NOW)
    assert loaded.products == Product.objects.count() >= 40
    assert Category.objects.count() >= 6
    assert {"tokushoho", "privacy", "terms", "returns"} <= set(
        ContentPage.objects.values_list("slug", flat=True)
    )
    assert set(Variant.objects.values_list("tax_class", flat=True)) == {"standard", "reduced"}
    for picture in Picture.objects.all():
        assert default_storage.exists(str(picture.file.name)) and picture.alt_ja and picture.alt_en
    for item in StockItem.objects.all():
        assert item.on_hand == sum(StockMovement.objects.filter(item=item).values_list("quantity", flat=True))


def test_a_second_demo_changes_nothing() -> None:
    loader.load(None, now=NOW)
    Product.objects.filter(slug="madoka-8").update(title_ja="改名した照明")
    files = len(default_storage.listdir("products")[1])
    again = loader.load(None, now=NOW)
    assert (again.products, again.variants, again.pictures, again.pages) == (0, 0, 0, 0)
    assert Product.objects.get(slug="madoka-8").title_ja == "改名した照明"
    assert len(default_storage.listdir("products")[1]) == files


def test_more_products_take_a_few_statements_per_hundred(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    loader.load(None, now=NOW)
    with django_assert_max_num_queries(300):
        assert loader.load(300, now=NOW).products == 300 - 47


def test_a_history_closes_without_differences(sandbox: Sandbox) -> None:
    goods()
    written = history.write(20, days_back=2, now=NOW)
    assert written.counts["placed"] == Order.objects.count() == 20
    assert written.counts["paid"] and written.counts["shipped"]
    assert {days.business_day(order.placed_at) for order in Order.objects.all()} == {
        days.yesterday(NOW),
        days.yesterday(NOW) - timedelta(days=1),
    }
    for day in daily_close.open_days(days.yesterday(NOW)):
        assert daily_close.close_day(day, now=NOW).differences == 0
    assert DailyClose.objects.count() == 2
    assert not Discrepancy.objects.exists()


def test_a_history_may_lie_across_the_end_of_the_fiscal_year(sandbox: Sandbox) -> None:
    goods()
    last = date(2026, 4, 1)
    history.write(6, days_back=2, now=NOW, last=last)
    years = JournalEntry.objects.order_by("day").values_list("fiscal_year", flat=True)
    assert set(years) == {2025, 2026}
    assert JournalEntry.objects.aggregate(last=Max("day"))["last"] <= last
    with pytest.raises(history.HistoryRefused):
        history.write(8, days_back=4, now=NOW, last=NOW.date())


def test_the_orders_around_the_last_year_end_are_all_done_and_one_parcel_is_of_the_old_year(
    sandbox: Sandbox,
) -> None:
    assert {
        now.date(): year_end.first_day(now=now)
        for now in (datetime(2026, 4, 7, 3, tzinfo=UTC), datetime(2026, 4, 8, 3, tzinfo=UTC))
    } == {date(2026, 4, 7): date(2025, 3, 30), date(2026, 4, 8): date(2026, 3, 30)}
    loader.load(None, now=days.day_bounds(year_end.first_day(now=NOW))[0])
    year_end.write(now=NOW)
    assert set(DailyClose.objects.values_list("day", flat=True)) == {date(2026, 3, 30), date(2026, 3, 31)}
    assert set(JournalEntry.objects.values_list("fiscal_year", flat=True)) == {2025, 2026}
    assert set(Order.objects.values_list("status", flat=True)) <= {"shipped", "cancelled"}
    assert net_balance("2130") == net_balance("2120") == 0
    for order in Order.objects.all():
        assert order.entries.earliest("pk").purpose == "capture", "the payment is posted before the parcel"
    [late] = late_entries.read(periods.month(date(2026, 3, 31)), load_tax_rules()).kinds
    assert late.name == "出荷" and {entry.day for entry in late.entries} == {date(2026, 4, 1)}
    assert not StockMovement.objects.filter(occurred_at__gt=days.day_bounds(date(2026, 4, 6))[1]).exists()
    assert list(verification.verify()) == []
    assert history.write(4, days_back=2, now=NOW).counts["placed"] == 4  # the last days are open


def test_a_history_has_vouchers_paid_later_never_and_after_the_order_was_cancelled(sandbox: Sandbox) -> None:
    goods()
    counts = history.write(24, days_back=6, now=NOW).counts
    assert counts["vouchers"] > counts["vouchers expired"] > 0
    assert (
        Payment.objects.filter(method=Payment.Method.KONBINI).count() > counts["paid after cancellation"] > 0
    )
    for day in daily_close.open_days(days.yesterday(NOW)):
        assert daily_close.close_day(day, now=NOW).exit_code == 0
    found = Discrepancy.objects.all()
    assert not Discrepancy.objects.unresolved().exists()
    assert {discrepancy.kind for discrepancy in found} == {Discrepancy.Kind.PAID_AFTER_CANCELLATION}
    assert len(found) == counts["paid after cancellation"]
    assert list(checks.check_everything()) == []


def test_a_history_leaves_clock_mails_and_shelf_in_order(sandbox: Sandbox) -> None:
    goods()
    clock = sandbox.clock
    history.write(10, days_back=1, now=NOW)
    assert adapter.sandbox().clock is clock
    assert not OutgoingMail.objects.filter(status=OutgoingMail.Status.QUEUED).exists()
    assert not StockItem.objects.filter(on_hand__lt=0).exists()


@pytest.mark.nightly
def test_the_same_shop_gets_the_same_history(sandbox: Sandbox, settings: Settings, tmp_path: Path) -> None:
    goods()
    stories = []
    for name in ("first", "second"):
        settings.SANDBOX_STATE = tmp_path / f"{name}.sqlite3"
        with rolled_back():
            history.write(8, days_back=1, now=NOW)
            rows = Order.objects.order_by("placed_at").values_list(
                "placed_at", "total", "family_name", "status"
            )
            stories.append(list(rows))
    assert len(stories[0]) == 8 and stories[0] == stories[1]


def test_a_second_history_adds_orders_to_open_days(sandbox: Sandbox) -> None:
    goods()
    history.write(4, days_back=2, now=NOW)
    history.write(4, days_back=2, now=NOW)
    assert Order.objects.count() == 8


def test_a_closed_day_gains_nothing(sandbox: Sandbox) -> None:
    goods()
    history.write(4, days_back=3, now=NOW)
    oldest = days.yesterday(NOW) - timedelta(days=2)
    daily_close.close_day(oldest, now=NOW)
    with pytest.raises(history.HistoryRefused, match="--days 2"):
        history.write(4, days_back=3, now=NOW)
    assert Order.objects.count() == 4
    assert history.write(4, days_back=2, now=NOW).counts["placed"] == 4


@pytest.mark.nightly
def test_two_histories_at_once_are_refused(sandbox: Sandbox, settings: Settings) -> None:
    goods()
    with exclusive_clock(settings.SANDBOX_STATE):
        with adapter.job_guard() as reason_to_wait:
            assert "demo history" in reason_to_wait
        with pytest.raises(history.HistoryRefused, match="Another demo"):
            history.write(4, days_back=2, now=NOW)
    with adapter.job_guard() as reason_to_wait:
        assert not reason_to_wait and not Order.objects.exists()


def test_a_shop_without_goods_has_no_history(sandbox: Sandbox) -> None:
    with pytest.raises(history.HistoryRefused, match="no goods"):
        history.write(4, days_back=2, now=NOW)


@pytest.mark.parametrize(("setting", "value"), [("PRODUCTION", True), ("SANDBOX", False)])
def test_the_demo_is_refused_where_money_is_real(settings: Settings, setting: str, value: bool) -> None:
    setattr(settings, setting, value)
    with pytest.raises(CommandError, match="ENVIRONMENT=development"):
        call_command("demo")
    assert not Product.objects.exists()


@pytest.mark.parametrize(
    "arguments", [["--products", "0"], ["--orders", "many"], ["--orders", "4", "--days", "-1"]]
)
def test_a_wrong_number_is_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="whole number"):
        call_command("demo", *arguments)
    assert not Product.objects.exists()
