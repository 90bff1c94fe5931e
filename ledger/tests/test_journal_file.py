"""`journal.csv` as an accountant reads it; the form of days that were closed before stays readable."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import transaction

from kikaku.sandbox import Sandbox
from ledger.books import journal
from ledger.books.accounts import split_name
from ledger.books.tax_labels import tax_label
from ledger.books.tax_rules import load_tax_rules
from ledger.closing import evidence, journal_file, verification
from ledger.closing.daily_close import close_day
from ledger.models import Account, JournalEntry, TaxStatus
from ledger.models.books import LineTaxClass
from ledger.testing import build, company
from ledger.testing.closing import MONDAY, at, night_after, set_clock

JCB = "3566002020360505"


def rows_of_monday() -> list[dict[str, str]]:
    """Return the lines that Monday's file has now, as dictionaries."""
    content = b"".join(journal_file.write(MONDAY, load_tax_rules(), evidence_format=evidence.EVIDENCE_FORMAT))
    return [dict(zip(journal_file.COLUMNS, row, strict=True)) for row in journal_file.read(content)]


def sell_the_worked_order(sandbox: Sandbox) -> Any:
    """Sell it on Monday by JCB and ship it, with the books of the day fetched; return the order."""
    placed = build.worked_order(now=set_clock(sandbox, at(MONDAY, 10)))
    order = build.paid_order(sandbox, placed=placed, card=JCB, now=at(MONDAY, 10))
    build.fetch(sandbox, now=at(MONDAY, 12))
    build.ship(order, now=set_clock(sandbox, at(MONDAY, 15)))
    return order


@pytest.mark.django_db
@pytest.mark.engine_independent
def test_each_line_has_voucher_tax_and_customer_in_japanese(sandbox: Sandbox) -> None:
    order = sell_the_worked_order(sandbox)
    capture, parcel = order.entries.order_by("pk")
    rows = rows_of_monday()
    sides = [
        (
            row["伝票No"],
            row["借方科目コード"] + row["借方科目"] + row["借方補助"],
            row["貸方科目コード"] + row["貸方科目"] + row["貸方補助"],
            row["金額"],
            row["税区分"],
            row["税額"],
        )
        for row in rows
    ]
    assert sides == [
        (capture.voucher, "1150未収入金Stripe残高", "", "11649", "対象外", "0"),
        (capture.voucher, "6111支払手数料Stripe・課税", "", "437", "課税仕入10%", "44"),
        (capture.voucher, "1410仮払消費税等", "", "44", "対象外", "0"),
        (capture.voucher, "", "2130前受金", "12130", "対象外", "0"),
        (parcel.voucher, "2130前受金", "", "12130", "対象外", "0"),
        (parcel.voucher, "", "4110売上高標準税率", "9587", "課税売上10%", "958"),
        (parcel.voucher, "", "4120売上高送料", "500", "課税売上10%", "50"),
        (parcel.voucher, "", "2150仮受消費税等標準税率", "1008", "対象外", "0"),
        (parcel.voucher, "", "4111売上高軽減税率", "959", "課税売上軽減8%", "76"),
        (parcel.voucher, "", "2151仮受消費税等軽減税率", "76", "対象外", "0"),
    ]
    assert {row["取引先"] for row in rows} == {"山田 花子"}
    assert {row["注文番号"] for row in rows} == {order.number}
    assert (rows[0]["計上日"], rows[0]["発生日時(JST)"]) == ("2026-11-16", "2026-11-16T10:00:00+09:00")
    assert rows[0]["入力日時"] == "2026-11-16T12:00:00+09:00"
    documents = [rows[0]["証憑(txn/出荷/返金ID)"], rows[4]["証憑(txn/出荷/返金ID)"]]
    assert documents == [capture.source_id, f"出荷 {parcel.source_id}"]


@pytest.mark.django_db
@pytest.mark.engine_independent
def test_a_reversal_names_the_voucher_that_it_reverses(sandbox: Sandbox) -> None:
    order = sell_the_worked_order(sandbox)
    parcel = order.entries.latest("pk")
    with transaction.atomic():
        reversal = journal.reverse(parcel, occurred_at=at(MONDAY, 17), now=at(MONDAY, 18))
    named = {row["伝票No"]: row["反対仕訳No"] for row in rows_of_monday()}
    assert named[reversal.voucher] == parcel.voucher
    assert named[parcel.voucher] == ""
    assert reversal.voucher.startswith("2026-")


@pytest.mark.django_db
@pytest.mark.engine_independent
def test_a_day_closed_in_the_first_form_is_verified_by_that_form(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell_the_worked_order(sandbox)
    monkeypatch.setattr(evidence, "EVIDENCE_FORMAT", 1)
    folder = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY))).folder
    monkeypatch.undo()
    header = evidence.read(f"{folder}/journal.csv").splitlines()[0].decode("utf-8-sig")
    assert header.startswith("day,occurred_at,source_type,")
    assert [str(finding) for finding in verification.verify()] == []
    Account.objects.filter(code="1150").update(name_ja="Stripe 口座")  # staff may rename an account
    assert [str(finding) for finding in verification.verify()] == []


@pytest.mark.django_db
@pytest.mark.engine_independent
def test_an_entry_of_the_first_form_shows_what_it_has() -> None:
    written = JournalEntry.objects.create(
        day=MONDAY,
        occurred_at=datetime(2026, 11, 16, 3, 0, tzinfo=UTC),
        source_type="refund",
        source_id="7",
        purpose="waiting",
        description="返金待ち K1",
        created_at=datetime(2026, 11, 16, 3, 0, tzinfo=UTC),
    )
    written.lines.create(position=1, account_id="4190", debit=5)
    (row,) = rows_of_monday()
    assert (row["伝票No"], row["証憑(txn/出荷/返金ID)"]) == (f"2026-{written.pk}", "返金 7")
    assert (row["税区分"], row["税額"], row["取引先"]) == ("", "", "")


@pytest.mark.django_db
@pytest.mark.engine_independent
def test_simplified_taxation_adds_the_type_of_business_to_sales(sandbox: Sandbox) -> None:
    company.enter(from_day=MONDAY, filing=TaxStatus.Filing.SIMPLIFIED, business_type=2)
    sell_the_worked_order(sandbox)
    labels = {row["税区分"] for row in rows_of_monday()}
    assert labels == {"対象外", "課税仕入10%", "課税売上10% 第2種", "課税売上軽減8% 第2種"}


def test_the_columns_are_those_that_an_accountant_asks_for() -> None:
    assert ",".join(journal_file.COLUMNS) == (
        "伝票No,計上日,発生日時(JST),入力日時,借方科目コード,借方科目,借方補助,貸方科目コード,貸方科目,貸方補助,"
        "金額,税区分,税額,取引先,摘要,注文番号,証憑(txn/出荷/返金ID),反対仕訳No,取込バッチNo"
    )


@pytest.mark.parametrize(
    ("tax_class", "rate", "label"),
    [
        (LineTaxClass.SALE_STANDARD, 10, "課税売上10%"),
        (LineTaxClass.SALE_REDUCED, 0, "課税売上軽減0%"),
        (LineTaxClass.RETURN_STANDARD, 10, "課税売返10%"),
        (LineTaxClass.RETURN_REDUCED, 8, "課税売返軽減8%"),
        (LineTaxClass.PURCHASE, 10, "課税仕入10%"),
        (LineTaxClass.EXEMPT_PURCHASE, None, "非課税仕入"),
        (LineTaxClass.OUTSIDE, None, "対象外"),
        (LineTaxClass.TAX, 10, "対象外"),
        (None, None, ""),
    ],
)
def test_each_tax_class_has_its_name(tax_class: str | None, rate: int | None, label: str) -> None:
    assert tax_label(tax_class, rate) == label


def test_the_name_of_an_account_is_split_into_account_and_sub_account() -> None:
    assert split_name("未収入金（Stripe残高）") == ("未収入金", "Stripe残高")
    assert split_name("前受金") == ("前受金", "")
    assert split_name("仮受（仮）金") == ("仮受（仮）金", "")
