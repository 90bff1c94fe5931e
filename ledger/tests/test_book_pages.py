"""Trial balance and ledgers in the admin: for who may see entries, by period, on paper and as files."""

import re
from datetime import date
from urllib.parse import unquote

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models import Sum
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from ledger.admin import book_pages
from ledger.books.tax_rules import load_tax_rules
from ledger.closing import journal_file
from ledger.models import JournalEntry, TaxStatus
from ledger.testing import company
from ledger.testing.entries import carry_balances, post_capture, post_return, post_shipment
from ledger.testing.tampering import tamper

pytestmark = pytest.mark.django_db

DAY = date(2026, 11, 16)
NOVEMBER = {"period": "month", "month": "2026-11"}
SHEET = reverse("admin:ledger_journalentry_trial_balance")
SHEET_FILE = reverse("admin:ledger_journalentry_trial_balance_csv")
LEDGERS_FILE = reverse("admin:ledger_journalentry_ledgers_csv")


def ledger(code: str = "4110", suffix: str = "") -> str:
    """Return the address of the ledger of an account."""
    return reverse(f"admin:ledger_journalentry_ledger{suffix}", args=[code])


def sell(day: date = DAY) -> None:
    """Post the worked order, paid, shipped and returned in part."""
    post_capture(day)
    post_shipment(day)
    post_return(day)


@pytest.fixture
def reader(client: Client) -> Client:
    """Return a client that is signed in and may see entries."""
    user = User.objects.create_user("keiri", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_journalentry", "export_books"]))
    client.force_login(user)
    return client


def text_of(client: Client, address: str, data: dict[str, str] = NOVEMBER) -> str:
    """Return a page without its white space between tags."""
    answer = client.get(address, data)
    assert answer.status_code == 200
    return re.sub(r">\s+", ">", answer.content.decode())


def heading(page: str) -> str:
    """Return the heading of the paper."""
    return page[page.index("<header><h1>") : page.index("</header>", page.index("<header><h1>"))]


def cells(page: str) -> list[list[str]]:
    """Return the texts of the cells of the page's table, row by row."""
    table = page[page.index('<table class="paper') : page.index("</table>")]
    return [
        [re.sub("<[^>]*>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)]
        for row in re.findall(r"<tr(?! class=.paper-running).*?</tr>", table, re.S)
    ]


def test_the_sheet_has_both_sides_with_equal_sums_and_says_what_it_is_of(reader: Client) -> None:
    sell()
    page = text_of(reader, SHEET)
    assert "<h1>試算表（Stripe・売上関連勘定のみ）</h1>" in page
    assert "2026年11月" in page
    assert "税抜経理" in page
    rows = cells(page)
    assert rows[0] == ["借方残高", "借方合計", "科目", "貸方合計", "貸方残高", "前残", "期首来"]
    assert ["8,649", "11,649", "1150 未収入金（Stripe残高）", "3,000", "", "", "8,649"] in rows
    assert ["", "", "4110 売上高（標準税率）", "9,587", "9,587", "", "9,587"] in rows
    assert ["2,728", "2,728", "4190 売上戻り高・値引高（標準税率）", "", "", "", "△2,728"] in rows
    assert rows[-1] == ["11,858", "27,260", "合計", "27,260", "11,858", "", ""]


def test_the_sheet_leads_to_the_ledger_and_that_to_the_entry_of_the_same_period(reader: Client) -> None:
    sell()
    assert f'<a href="{ledger()}?period=month&amp;month=2026-11">' in text_of(reader, SHEET)
    page = text_of(reader, ledger())
    entry = JournalEntry.objects.get(purpose="recognition")
    assert reverse("admin:ledger_journalentry_change", args=[entry.pk]) in page
    assert f'<a href="{SHEET}?period=month&amp;month=2026-11">' in page
    assert cells(page)[1:] == [
        ["", "", "", "繰越", "", "", "0"],
        ["2026-11-16", entry.voucher, "2130 前受金", "出荷 K20261116-ABCDE 山田 花子", "", "9,587", "9,587"],
        ["", "", "", "11月計", "", "9,587", "9,587"],
        ["", "", "", "累計", "", "9,587", "9,587"],
    ]


def test_the_sheet_of_books_with_tax_included_has_no_accounts_of_tax(reader: Client) -> None:
    company.enter(from_day=date(2026, 4, 1), accounting=TaxStatus.Accounting.GROSS)
    sell()
    page = text_of(reader, SHEET)
    assert "税込経理（消費税等を各科目に含めて表示。仕訳帳・元帳と日次締め報告書の試算表は税抜）" in page
    assert ["", "", "4110 売上高（標準税率）", "10,545", "10,545", "", "10,545"] in cells(page)
    assert "仮受消費税" not in page
    assert "税抜で記帳" in text_of(reader, ledger())


def test_the_files_have_the_columns_of_the_month_and_open_in_excel(reader: Client) -> None:
    sell()
    answer = reader.get(SHEET_FILE, NOVEMBER)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "2026-11-01_2026-11-30.csv" in answer["Content-Disposition"]
    assert answer.content.startswith(b"\xef\xbb\xbf")
    lines = answer.content.decode("utf-8-sig").split("\r\n")
    assert lines[0] == "コード,科目,前月残,借方,貸方,当月残,期首来"
    assert "4190,売上戻り高・値引高（標準税率）,0,2728,0,-2728,-2728" in lines
    assert lines[-2:] == [",合計,,27260,27260,,", ""]
    voucher = JournalEntry.objects.get(purpose="recognition").voucher
    text = "出荷 K20261116-ABCDE 山田 花子"
    expected = [
        "4110 売上高（標準税率）,,,,繰越,,,0",
        f"4110 売上高（標準税率）,2026-11-16,{voucher},2130 前受金,{text},0,9587,9587",
        "4110 売上高（標準税率）,,,,11月計,0,9587,9587",
        "4110 売上高（標準税率）,,,,累計,0,9587,9587",
    ]
    one = reader.get(ledger(suffix="_csv"), NOVEMBER).content.decode("utf-8-sig").split("\r\n")
    assert one == ["科目,日付,伝票No,相手科目,摘要,借方,貸方,残高", *expected, ""]
    everything = reader.get(LEDGERS_FILE, NOVEMBER).content.decode("utf-8-sig").split("\r\n")
    assert everything[0] == one[0]
    assert [line for line in everything if line.startswith("4110")] == expected
    assert any(line.startswith("1150 ") for line in everything)


@pytest.mark.parametrize(
    "data",
    [
        {"period": "month", "month": "November"},
        {"period": "days", "first": "2026-11-30", "last": "2026-11-01"},
        {"period": "days", "first": "2027-03-31", "last": "2027-04-01"},  # two fiscal years
    ],
)
def test_a_period_that_cannot_be_shown_is_refused_with_a_reason(reader: Client, data: dict[str, str]) -> None:
    for address in (SHEET, SHEET_FILE, ledger(), ledger(suffix="_csv"), LEDGERS_FILE):
        answer = reader.get(address, data)
        assert answer.status_code == 400
        assert re.search(
            "入力してください|開始日が終了日より後|会計年度は 2027-03-31", answer.content.decode()
        )


def test_without_a_tax_status_the_pages_say_what_to_do(reader: Client) -> None:
    sell()
    tamper("DELETE FROM ledger_taxstatus")
    for address in (SHEET, SHEET_FILE, ledger()):
        answer = reader.get(address, NOVEMBER)
        assert answer.status_code == 400
        assert "税務の設定" in answer.content.decode()


def test_an_account_that_does_not_exist_has_no_ledger(reader: Client) -> None:
    assert reader.get(ledger("9998"), NOVEMBER).status_code == 404
    assert reader.get(ledger("9998", "_csv"), NOVEMBER).status_code == 404
    answer = reader.get(ledger("9998").replace("9998", "%00"), follow=True)  # PostgreSQL knows no NUL
    assert answer.redirect_chain[-1][0] == "/admin/", "Django: there is no such entry"


def test_the_paper_says_up_to_which_day_it_is_closed(reader: Client) -> None:
    sell()
    assert "未締めの日を含む" in text_of(reader, SHEET)
    carry_balances([DAY])
    assert "2026-11-16 まで締め済み、以降は未締め" in text_of(reader, SHEET)
    one_day = {"period": "days", "first": "2026-11-16", "last": "2026-11-16"}
    assert "締め" not in heading(text_of(reader, SHEET, one_day))


def test_a_ledger_with_too_many_lines_has_the_sums_alone(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell()
    sell()
    monkeypatch.setattr(book_pages, "LINES_ON_A_PAGE", 1)
    page = text_of(reader, ledger(), {"period": "year", "year": "2026-04"})
    assert "2行は1ページに表示できない" in page
    assert [row[3] for row in cells(page)[1:]] == ["繰越", "11月計", "累計"]
    assert '<a href="?period=month&amp;month=2026-11">11月計</a>' in page


def test_the_pages_take_as_many_queries_for_many_entries_as_for_few(
    reader: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for days in range(1, 5):
        sell(date(2026, 11, days))
    for address in (SHEET, ledger("1150")):
        with django_assert_max_num_queries(12):  # with those for the user
            text_of(reader, address)


JOURNAL = reverse("admin:ledger_journalentry_journal")
JOURNAL_FILE = reverse("admin:ledger_journalentry_journal_csv")


def test_the_journal_sets_debits_beside_credits_with_tax_and_ends_with_equal_sums(
    reader: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sell()
    reader.get(JOURNAL, NOVEMBER)  # what is loaded once
    with django_assert_num_queries(11):
        page = text_of(reader, JOURNAL)
    capture, parcel = JournalEntry.objects.order_by("pk")[:2]
    rows = cells(page)
    assert rows[1] == [
        f"2026-11-16{capture.voucher}",
        *("1150 未収入金（Stripe残高）", "対象外", "", "11,649"),
        *("2130 前受金", "対象外", "", "12,130"),
    ]
    start = next(n for n, row in enumerate(rows) if row[0].endswith(parcel.voucher))
    assert rows[start][1:] == [
        *("2130 前受金", "対象外", "", "12,130"),
        *("4110 売上高（標準税率）", "課税売上10%", "958", "9,587"),
    ]
    assert ["", "", "", "", "4120 売上高（送料）", "課税売上10%", "50", "500"] in rows
    moved = JournalEntry.objects.aggregate(sum=Sum("lines__debit"))["sum"]
    assert rows[-1] == ["合計", f"{moved:,}", "", f"{moved:,}"]
    assert "発生日" not in page


def test_a_journal_of_too_many_lines_shows_its_sums(reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sell()
    monkeypatch.setattr(book_pages, "LINES_ON_A_PAGE", 3)
    page = text_of(reader, JOURNAL)
    assert "多すぎる" in page
    assert [row[0] for row in cells(page)][1:] == ["合計"]


def test_the_file_of_the_journal_has_the_lines_of_its_days_in_the_form_of_a_close(reader: Client) -> None:
    sell()
    sell(date(2026, 11, 17))
    post_capture(date(2026, 12, 1))
    rules = load_tax_rules()
    days = [list(journal_file.write(day, rules, evidence_format=2)) for day in (DAY, date(2026, 11, 17))]
    answer = reader.get(JOURNAL_FILE, NOVEMBER)
    assert journal_file.read(answer.content) == [
        row for day in days for row in journal_file.read(b"".join(day))
    ]
    assert "仕訳帳_2026-11-01_2026-11-30.csv" in unquote(answer.headers["Content-Disposition"])
