"""The page of the tax settings: who enters them, what it says, and what it refuses."""

from datetime import date, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from kikaku.days import business_day
from kikaku.money import REDUCED
from ledger.models import StripeEvent, TaxRate, TaxStatus
from ledger.models.tax import FICTIONAL_NUMBER
from ledger.testing import build, company
from ledger.testing.admin import fields_of

pytestmark = pytest.mark.django_db

PAGE = "/admin/ledger/taxstatus/"
FORM = f"{PAGE}add/"


def filled(**changes: str) -> dict[str, str]:
    """Return the form of a registered corporation, with changes."""
    return {
        "from_day": "2026-04-01",
        "entity": "corporation",
        "fiscal_year_end": "3",
        "liability": "registered",
        "registration_number": "Ｔ７００００-12050-002",
        "registered_on": "2023-10-01",
        "accounting": "net",
        "filing": "general",
        "business_type": "",
        "rounding": "down",
        **changes,
    }


def test_the_first_settings_are_entered_on_a_page_that_says_what_waits_for_them(admin_client: Client) -> None:
    TaxStatus.objects.all().delete()
    StripeEvent.objects.create(
        id="evt_1",
        type="refund.created",
        status="failed",
        payload={},
        created=timezone.now(),
        received_at=timezone.now(),
        retry_at=timezone.now() + timedelta(hours=6),
    )
    page = admin_client.get(PAGE).content.decode()
    assert "税務の設定がまだ入力されていません" in page and FORM in page
    form = admin_client.get(FORM).content.decode()
    for text in ("免税", "仮受・仮払消費税を使わず", "2割特例", "検査用数字", "出荷日"):
        assert text in form
    answer = admin_client.post(FORM, filled(), follow=True)
    status = TaxStatus.objects.get()
    assert (status.registration_number, status.actor) == ("T7000012050002", "admin")
    assert (
        "課税（適格請求書発行事業者）" in answer.content.decode()
        and "まだ入力されていません" not in answer.content.decode()
    )
    assert StripeEvent.objects.due(timezone.now()).exists(), "what waited is handled at the next run"


def test_the_page_says_when_a_transitional_tax_return_ends(admin_client: Client) -> None:
    TaxStatus.objects.all().delete()
    company.enter(filing="two_tenths", fiscal_year_end=9)
    page = admin_client.get(PAGE).content.decode()
    last = date(2026, 9, 30)
    assert "この特例は2026-09-30" in page
    assert ("終わりました。その翌日からの申告方式" in page) == (last < business_day(timezone.now()))
    company.enter(filing="general", fiscal_year_end=9)
    assert "この特例は" not in admin_client.get(PAGE).content.decode()


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"registration_number": "T7000012050003"}, "registration_number", "検査用数字が合いません"),
        ({"liability": "exempt"}, "accounting", "免税事業者は税込経理のみです"),
        (
            {"liability": "exempt", "accounting": "gross", "filing": "simplified", "business_type": "2"},
            "filing",
            "免税事業者は消費税の申告をしません",
        ),
        ({"entity": "sole_trader"}, "fiscal_year_end", "12月"),
        ({"filing": "two_tenths", "from_day": "2027-04-01"}, "filing", "2026年9月30日"),
        ({"filing": "simplified"}, "business_type", "簡易課税のときだけ"),
        ({"from_day": "2027-13-01"}, "from_day", ""),
        (
            {"from_day": "0001-01-01", "registered_on": "0001-01-01", "filing": "two_tenths"},
            "from_day",
            "2019-10-01",
        ),
        (
            {"registration_number": "T" + "\N{ARABIC-INDIC DIGIT ONE}" * 13, "entity": "sole_trader"},
            "registration_number",
            "数字13桁",
        ),
        ({"fiscal_year_end": "13", "filing": "two_tenths"}, "fiscal_year_end", ""),
        ({"entity": ""}, "entity", ""),
    ],
)
def test_what_does_not_fit_is_refused_at_its_field_in_japanese(
    admin_client: Client, changes: dict[str, str], field: str, text: str
) -> None:
    answer = admin_client.post(FORM, filled(**changes))
    assert answer.status_code == 422
    assert text in str(answer.context["form"].errors[field])
    assert TaxStatus.objects.count() == 1


def test_a_new_status_starts_from_the_latest_one_and_the_history_keeps_both(admin_client: Client) -> None:
    data = fields_of(admin_client.get(FORM))
    assert (data["registration_number"], data["liability"]) == ("T7000012050002", "registered")
    assert data["from_day"] == str(business_day(timezone.now()) + timedelta(days=1))
    fitting = filled(registration_number=FICTIONAL_NUMBER, from_day=data["from_day"])
    page = admin_client.post(FORM, fitting, follow=True).content.decode()
    assert "（これから）" in page and "（適用中）" in page and page.count(FICTIONAL_NUMBER) == 1


def test_the_history_names_the_type_of_business_and_the_day_of_registration(admin_client: Client) -> None:
    company.enter(from_day=date(2025, 4, 1), filing="simplified", business_type=2)
    company.enter(from_day=date(2026, 4, 1))
    page = admin_client.get(PAGE).content.decode()
    history = page[page.index("設定の履歴") : page.index('id="rates"')]
    assert "簡易課税 第2種" in history and history.count("登録日 2019-10-01") == 3


def test_a_rate_is_entered_from_a_day_to_come_and_withdrawn(admin_client: Client) -> None:
    tomorrow = str(business_day(timezone.now()) + timedelta(days=1))
    rate = {"tax_class": "reduced", "from_day": tomorrow, "percent": "0"}
    assert admin_client.post(PAGE, {**rate, "from_day": "2026-04-01"}).status_code == 422
    waiting = build.order([build.line("TEA", price=1_080, tax_class=REDUCED)])
    assert waiting.number not in admin_client.get(PAGE).content.decode()
    page = admin_client.post(PAGE, rate, follow=True).content.decode()
    assert "税率の変わる日をまたぐ注文 1件" in page and waiting.number in page
    assert admin_client.post(PAGE, rate).status_code == 302, "a second click"
    assert admin_client.post(PAGE, {**rate, "percent": "5"}).status_code == 422, "there is one already"
    entered = TaxRate.objects.get(percent=0)
    for key in (entered.pk, entered.pk, "x", "9" * 5_000, TaxRate.objects.get(percent=10).pk):
        assert admin_client.post(PAGE, {"withdraw": key}).status_code == 302
    assert set(TaxRate.objects.values_list("percent", flat=True)) == {8, 10}


def test_only_who_may_add_a_status_enters_settings_and_others_with_the_right_read_them(
    client: Client,
) -> None:
    user = User.objects.create_user("packer", is_staff=True)
    client.force_login(user)
    assert client.get(PAGE).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_taxstatus"))
    page = client.get(PAGE)
    assert page.status_code == 200 and FORM not in page.content.decode()
    for url, data in ((FORM, filled()), (PAGE, {"withdraw": "1"})):
        assert client.post(url, data).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="add_taxstatus"))
    assert client.get(FORM).status_code == 200
