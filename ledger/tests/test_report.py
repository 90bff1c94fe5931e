"""The report of a closed day, as an accountant reads it: it ties to itself, or says why it does not."""

import re
from datetime import date
from typing import Any

import pytest

from kikaku.sandbox import Sandbox
from ledger.books.trial_balance import account_balances
from ledger.closing import evidence, report, report_figures, report_page
from ledger.closing.daily_close import close_day
from ledger.closing.findings import Check, Finding
from ledger.closing.japanese import in_words
from ledger.closing.report_figures import Movement
from ledger.ingest import balance
from ledger.models import Discrepancy, Order
from ledger.models.orders import OrderStatus
from ledger.sales.refund_plan import Side
from ledger.testing import build, company, entries
from ledger.testing.closing import MONDAY, TUESDAY, at, create_foreign_charge, night_after, set_clock
from ledger.testing.tampering import tamper

Kind = Discrepancy.Kind
JCB = "3566002020360505"


def report_of(**changes: Any) -> dict[str, Any]:
    """Return the report of a day on which nothing happened, with changes."""
    nothing = {"net": 0, "tax": 0, "gross": 0}
    return {
        "format": report.REPORT_FORMAT,
        "day": "2026-11-29",
        "differences": 0,
        "to_do": 0,
        "notices": 0,
        "discrepancies": [],
        "proof": {"stripe_balance": 0, "account_1150": 0, "difference": 0},
        "orders": {
            **{name: {"count": 0, "total": 0} for name in ("placed", "paid", "cancelled")},
            "shipped": {"parcels": 0, "pieces": 0, "total": 0},
            "free": {"parcels": 0, "pieces": 0},
        },
        "receipts": [],
        "payments": [],
        "stripe": {
            "types": [],
            "net": 0,
            "sales": {"count": 0, "total": 0},
            "not_ours": {"count": 0, "total": 0},
        },
        "sales": [],
        "net_sales": {
            name: {"from": first, **nothing}
            for name, first in (("day", "2026-11-29"), ("month", "2026-11-01"), ("year", "2026-04-01"))
        },
        "fees": {"exempt": 0, "taxable": 0, "input_tax": 0},
        "accounting": "net",
        "trial_balance": [],
        "sub_ledgers": {},
        "checks": [],
        **changes,
    }


def rows_of(content: dict[str, Any], heading: str) -> list[list[str]]:
    """Return the rows of the table below a heading of the page, cell by cell."""
    page = report_page.html(content).decode()
    section = page[page.index(f"{heading}</h2>") :].split("</section>")[0]
    return [
        [re.sub("<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in section.split("<tr")[1:]
    ]


def discrepancy(kind: Discrepancy.Kind, amount: int, detail: str = "内容") -> dict[str, Any]:
    """Return a discrepancy as a report has it."""
    return {
        "category": kind.category,
        "kind": kind,
        "object": "K261129-AAAAA",
        "amount": amount,
        "detail": detail,
    }


def figures(*cells: Any) -> list[str]:
    """Return cells as text: numbers in yen."""
    return [cell if isinstance(cell, str) else f"¥{cell:,}" for cell in cells]


# ── Receipts ─────────────────────────────────────────────────────────────────────────────────────────────


def test_receipts_by_order_and_by_method_tie_with_the_payment_after_cancellation() -> None:
    content = report_of(
        receipts=[
            {"reason": "paid", "count": 14, "total": 254_700},
            {"reason": "paid_after_cancellation", "count": 1, "total": 15_280},
        ],
        payments=[
            {"method": "card", "count": 12, "total": 228_480},
            {"method": "konbini", "count": 3, "total": 41_500},
        ],
        stripe={
            "types": [],
            "net": 0,
            "sales": {"count": 16, "total": 281_480},
            "not_ours": {"count": 1, "total": 11_500},
        },
    )
    content["orders"]["paid"] = {"count": 14, "total": 254_700}
    assert rows_of(content, "入金")[1:] == [
        figures("注文の入金", "14", 254_700),
        figures("キャンセル後の入金（自動で返金）", "1", 15_280),
        figures("入金合計", "15", 269_980),
        figures("クレジットカード", "12", 228_480),
        figures("コンビニ払い", "3", 41_500),
        figures("方法別合計", "15", 269_980),
        figures("当店の入金", "15", 269_980),
        figures("当店の注文にない入金", "1", 11_500),
        figures("Stripe の売上取引", "16", 281_480),
    ]


def test_what_does_not_tie_is_a_row_of_its_own() -> None:
    content = report_of(
        receipts=[{"reason": "paid", "count": 2, "total": 3_000}],
        payments=[{"method": "card", "count": 2, "total": 3_000}],
    )
    content["orders"]["paid"] = {"count": 1, "total": 1_000}
    rows = rows_of(content, "入金")
    assert figures("注文の記録との差", "1", 2_000) in rows
    assert ["Stripe の取引日が異なる入金", "-2", "−¥3,000"] in rows


@pytest.mark.django_db
@pytest.mark.engine_independent
def test_each_payment_is_counted_by_what_it_meant_for_its_order(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    paid = build.paid_order(sandbox, now=now)
    late = build.order(now=now)
    session = build.session_of(late, now=now)
    Order.objects.filter(pk=late.pk).update(status=OrderStatus.CANCELLED, cancelled_at=now)
    sandbox.pay(session)
    build.deliver(sandbox, now=now)
    create_foreign_charge(sandbox, now)
    build.refund(paid, 3_000, now=now)
    build.deliver(sandbox, now=now)
    content = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY))).report
    assert content["receipts"] == [
        {"reason": "paid", "count": 1, "total": 11_500},
        {"reason": "paid_after_cancellation", "count": 1, "total": 11_500},
    ]
    assert content["payments"] == [{"method": "card", "count": 2, "total": 23_000}]
    assert content["orders"]["free"] == {"parcels": 0, "pieces": 0}
    assert content["stripe"]["sales"] == {"count": 3, "total": 34_500}
    assert content["stripe"]["not_ours"] == {"count": 1, "total": 11_500}
    assert [row["type"] for row in content["stripe"]["types"]] == ["charge", "refund"]
    head = report_page.headline(content)
    assert [(row["kind"], row["amount"]) for row in head.unmatched] == [("missing_in_books", 11_500)]
    assert [row["kind"] for row in head.notices] == ["paid_after_cancellation"]
    rows = rows_of(content, "Stripe の残高取引")
    assert [row[0] for row in rows[1:3]] == ["売上（カード）", "返金（カード）"]


# ── Differences and tasks ────────────────────────────────────────────────────────────────────────────────


def test_differences_are_amounts_and_everything_else_is_to_do() -> None:
    content = report_of(
        discrepancies=[
            discrepancy(Kind.MISSING_IN_BOOKS, -15_280),
            discrepancy(Kind.AMOUNT, 0, "状態の相違"),
            discrepancy(Kind.REFUND_FAILED, 4_000),
            discrepancy(Kind.INVARIANT, 0),
            discrepancy(Kind.PAID_TWICE, 500),
        ],
        checks=[{"check": "trial balance", "findings": 0}, {"check": "entry balanced", "findings": 1}],
    )
    head = report_page.headline(content)
    assert [row["kind"] for row in head.unmatched] == [Kind.MISSING_IN_BOOKS]
    assert [row["kind"] for row in head.to_do] == [Kind.AMOUNT, Kind.REFUND_FAILED, Kind.INVARIANT]
    assert [row["kind"] for row in head.notices] == [Kind.PAID_TWICE]
    page = report_page.html(content).decode()
    assert '<p class="verdict bad">未照合（金額差） 1 件　¥15,280</p>' in page
    assert '<span class="task">要対応 3 件</span>' in page and "検査 1/2" in page
    to_do = page[page.index('<h2 class="task">要対応') :].split("</section>")[0]
    assert "bad" not in to_do and "状態の相違" in to_do


def test_money_comes_before_the_checks_which_are_one_line_with_details() -> None:
    checks = [{"check": check.english_label, "findings": 0} for check in list(Check)[:13]]
    page = report_page.html(report_of(checks=checks)).decode()
    places = [
        page.index(words) for words in ("残高の証明", "入金</h2>", "売上と返品", "試算表", "検査 13/13</h2>")
    ]
    assert places == sorted(places)
    assert page.index("検査 13/13") < places[0]  # in one line at the top


# ── Sales ────────────────────────────────────────────────────────────────────────────────────────────────


def movement(account: str, credit: int, *more: Any, source: str = "shipment", tax: int = 0) -> Movement:
    """Return what was credited to an account (debited: negative)."""
    tax_class, rate = more or (None, None)
    return Movement(source, account, tax_class, rate, max(-credit, 0), max(credit, 0), tax)


def test_sales_of_several_rates_of_exempt_days_and_of_the_first_form_are_told_apart() -> None:
    rows = report_figures.sales(
        [
            movement("4110", 9_587, "sale_standard", 10, tax=958),
            movement("4120", 500, "sale_standard", 10, tax=50),
            movement("2150", 1_008, "tax", 10),
            movement("4111", 1_000, "sale_reduced", 0),
            movement("4111", 959, "sale_reduced", 8, tax=76),
            movement("2151", 76, "tax", 8),
            movement("4110", 10_545, "outside", None),
            movement("4190", -2_728, "return_standard", 10, source="balance_transaction", tax=-272),
            movement("2150", -272, "tax", 10, source="balance_transaction"),
            # sold at 10 %, returned while exempt
            movement("4190", -1_100, "outside", 10, source="balance_transaction"),
            # form 1: the lines do not tell the tax of the shipping fee
            movement("4110", 9_587),
            movement("4120", 500),
            movement("2150", 1_008),
            movement("4191", -238, source="balance_transaction"),
            movement("2151", -18, source="balance_transaction"),
            movement("2130", -12_130),
        ]
    )
    assert [tuple(row.values()) for row in rows] == [
        ("standard", 10, "goods", 9_587, 958, 10_545),
        ("standard", None, "goods", 10_545, 0, 10_545),
        ("standard", 10, "shipping", 500, 50, 550),
        ("standard", 10, "goods_and_shipping", 10_087, 1_008, 11_095),
        ("standard", 10, "returns", 2_728, 272, 3_000),
        ("standard", None, "returns", 1_100, 0, 1_100),
        ("reduced", 8, "goods", 959, 76, 1_035),
        ("reduced", 0, "goods", 1_000, 0, 1_000),
        ("reduced", 8, "returns", 238, 18, 256),
    ]


def test_net_tax_and_gross_have_a_column_each_for_sales_returns_and_net_sales() -> None:
    sold = {"class": "standard", "rate": 10, "item": "goods", "net": 9_587, "tax": 958, "gross": 10_545}
    back = {"class": "standard", "rate": 10, "item": "returns", "net": 2_728, "tax": 272, "gross": 3_000}
    net = {"net": 6_859, "tax": 686, "gross": 7_545}
    content = report_of(sales=[sold, back])
    content["net_sales"] = {
        "day": {"from": "2026-11-29", **net},
        "month": {"from": "2026-11-01", "net": 100_000, "tax": 9_900, "gross": 109_900},
        "year": {"from": "2026-04-01", "net": 200_000, "tax": 19_900, "gross": 219_900},
    }
    assert rows_of(content, "売上と返品") == [
        ["", "税抜", "消費税", "税込"],
        figures("標準税率 10%　商品", 9_587, 958, 10_545),
        figures("売上計", 9_587, 958, 10_545),
        figures("標準税率 10%　返品・値引", 2_728, 272, 3_000),
        figures("返品・値引計", 2_728, 272, 3_000),
        figures("純売上　標準税率 10%", 6_859, 686, 7_545),
        figures("純売上", 6_859, 686, 7_545),
        figures("月初来（11月1日から）", 100_000, 9_900, 109_900),
        figures("期首来（2026年4月1日から）", 200_000, 19_900, 219_900),
    ]


@pytest.mark.django_db
@pytest.mark.engine_independent
def test_net_sales_and_trial_balance_count_since_the_month_and_the_fiscal_year_began() -> None:
    for day in (date(2026, 3, 31), date(2026, 4, 1), date(2026, 11, 1), MONDAY):
        entries.post_capture(day)
        entries.post_shipment(day)
    entries.carry_balances([date(2026, 3, 31), date(2026, 10, 31)])
    entries.post_return(MONDAY)
    content = report.build(
        MONDAY, stripe_balance=0, balances=account_balances(MONDAY), differences=[], findings=[]
    )
    assert content["net_sales"] == {
        "day": {"from": "2026-11-16", "net": 8_318, "tax": 812, "gross": 9_130},
        "month": {"from": "2026-11-01", "net": 19_364, "tax": 1_896, "gross": 21_260},
        "year": {"from": "2026-04-01", "net": 30_410, "tax": 2_980, "gross": 33_390},
    }
    rows = {row["account"]: row for row in content["trial_balance"]}
    assert (rows["4110"]["closing"], rows["4110"]["year_to_date"]) == (-28_761, -28_761)
    assert rows[""] == {
        "account": "",
        "name": "前期以前損益",
        "opening": -10_609,  # sales 11,046 less fees 437
        "debit": 0,
        "credit": 0,
        "closing": -10_609,
        "year_to_date": 0,
    }
    assert sum(row["closing"] for row in content["trial_balance"]) == 0
    assert sum(row["debit"] - row["credit"] for row in content["trial_balance"]) == 0
    *_rows, total = rows_of(content, "試算表（Stripe・売上関連勘定のみ）")
    debit_balance, debit, name, credit, credit_balance = total
    assert (name, debit, debit_balance) == ("合計", credit, credit_balance)
    assert debit == f"¥{12_130 + 12_130 + 3_000:,}"


@pytest.mark.django_db
@pytest.mark.engine_independent
def test_parcels_have_the_amount_of_the_sales_and_free_ones_stand_apart(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, placed=build.worked_order(now=now), card=JCB, now=now)
    build.ship(order, now=at(MONDAY, 11))
    refunded = build.paid_order(
        sandbox, [build.line("GIFT", price=1_000, quantity=3)], shipping_fee=0, now=now
    )
    build.fetch(sandbox)
    line = refunded.lines.get()
    build.ship(refunded, {line.pk: 1}, now=at(MONDAY, 12))
    build.refund(refunded, 2_000, side=Side.UNSHIPPED, now=at(MONDAY, 13))
    build.ship(refunded, {line.pk: 1}, gift="courtesy", now=at(MONDAY, 14))
    content = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY))).report
    assert content["orders"]["shipped"] == {"parcels": 2, "pieces": 3, "total": 13_130}
    assert content["orders"]["free"] == {"parcels": 1, "pieces": 1}
    rows = rows_of(content, "注文と出荷")
    assert figures("出荷（この日に計上）", "2", "3", 13_130) in rows
    assert rows[-1] == figures("売上計", "", "", 13_130)
    assert ["無償の出荷（仕訳なし）", "1", "1", ""] in rows
    assert (
        rows_of(content, "支払手数料")[-1][-1] == rows_of(content, "Stripe の残高取引")[1][3]
    )  # the fees tie


# ── Language ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
@pytest.mark.engine_independent
def test_no_english_sentence_stands_in_the_evidence_of_a_day_on_which_everything_is_wrong(
    sandbox: Sandbox,
) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, placed=build.worked_order(now=now), card=JCB, now=now)
    build.ship(order, now=at(MONDAY, 11))
    failing = build.paid_order(sandbox, card="4000000000005126", now=now)
    build.fetch(sandbox)
    build.refund(failing, 4_000, now=now)
    set_clock(sandbox, at(MONDAY, 20))
    create_foreign_charge(sandbox, at(MONDAY, 20))
    build.deliver(sandbox)
    balance.fetch(created_from=at(MONDAY), created_until=at(TUESDAY), now=at(MONDAY, 21))
    tamper("UPDATE ledger_journalline SET tax = tax + 1 WHERE account_id = '4110'")
    tamper("UPDATE ledger_balancetransaction SET fee = fee + 1, net = net - 1 WHERE type = 'charge'")
    tamper("UPDATE ledger_journalline SET account_id = '4111' WHERE account_id = '4120'")
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    kinds = {row["kind"] for row in result.report["discrepancies"]}
    assert kinds >= {Kind.AMOUNT, Kind.MISSING_IN_BOOKS, Kind.REFUND_FAILED, Kind.INVARIANT}
    page = evidence.read(f"{result.folder}/report.html").decode()
    shown = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    for text in (shown, *(row["detail"] for row in result.report["discrepancies"])):
        assert not re.search(r"\b[A-Za-z]{2,} +[a-z]{2,}\b", text.replace("Stripe", "")), text
    assert "verify_books" not in shown  # no finding of these checks lacks its Japanese words


@pytest.mark.parametrize(
    ("english", "japanese"),
    [
        ("12130 owed", "残高 12130"),
        ("-5 owed", "残高 -5"),
        ("12130 recognised", "計上 12130"),
        ("249, within 0 and 958", "249（0〜958）"),
        ("two lines or more, debit = credit", "2 行以上、借方＝貸方"),
        ("0 lines, debit 0, credit 0", "0 行、借方 0、貸方 0"),
        ("debit 12", "借方 12"),
        ("1008 beside the lines", "明細の税額 1008"),
        ("2026-11-16 or later", "2026-11-16 以降"),
        ("1150 11693, fee 437, fee tax 0", "1150 11693, 手数料 437, 手数料の税 0"),
        ("no entry", "仕訳なし"),
        ("a stored balance transaction", "記録済みの残高取引"),
        ("balance_transaction", "残高取引"),
        ("none", "なし"),
        ("nothing", "なし"),
        ("order 7", "注文 7"),
        ("order None", "注文 なし"),
        ("a parcel of order 7", "注文 7 の出荷"),
        ("a refund of order 7", "注文 7 の返金"),
        ("kept money of order 7", "注文 7 の雑収入への振替"),
        ("a withdrawn refund of its order", "その注文の取り消された返金"),
        ("a withdrawn refund", "取り消された返金"),
        ("a failed refund", "失敗した返金"),
        ("no entry that it reverses", "取り消す仕訳なし"),
        ("reverses entry 4", "仕訳 4 の取消"),
        ("refund or suspense", "返金、または 仮勘定"),
        ("sales and tax, standard rate 3000", "売上と税（標準税率） 3000"),
        ("entry reversal", "仕訳 反対仕訳"),
        ("the moon is full", "（verify_books の結果を参照）"),
    ],
)
def test_what_a_check_found_is_written_in_japanese(english: str, japanese: str) -> None:
    assert in_words(english) == japanese


def test_a_finding_names_its_table_and_check_in_japanese() -> None:
    finding = Finding(Check.LINE_TAX, "JournalEntry", "2026-4 (shipment 2 recognition)", "5 owed", "6 owed")
    assert finding.in_japanese() == ("仕訳明細の税額：仕訳 2026-4 (出荷 2 売上計上)　正 残高 5／現 残高 6")


@pytest.mark.parametrize(
    ("changes", "accounting", "label"),
    [
        ({}, "net", "税抜経理。"),
        ({"accounting": "gross"}, "gross", "税抜（仕訳帳のまま。"),
        (company.EXEMPT, "exempt", "税込経理（免税事業者）。"),
    ],
)
@pytest.mark.django_db
def test_the_trial_balance_is_that_of_the_journal_and_says_so_whatever_the_accounting(
    changes: dict[str, Any], accounting: str, label: str
) -> None:
    company.enter(from_day=date(2026, 4, 1), **changes)
    entries.post_shipment(MONDAY)
    content = report.build(
        MONDAY, stripe_balance=0, balances=account_balances(MONDAY), differences=[], findings=[]
    )
    closings = {row["account"]: row["closing"] for row in content["trial_balance"]}
    assert content["accounting"] == accounting
    assert closings == {code: balance.net for code, balance in account_balances(MONDAY).items()}
    assert {"4110", "2150"} <= closings.keys(), "as in journal.csv: the tax apart"
    assert f'<p class="note">{label}' in report_page.html(content).decode()
