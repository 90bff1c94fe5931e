"""The names of the checks are stored in evidence and discrepancies, so they never change; new ones follow."""

from datetime import date
from typing import Any

import pytest
from django.utils.translation import override

from kikaku.sandbox import Sandbox
from ledger.closing import checks, evidence, report, report_page, verification
from ledger.closing.daily_close import close_day
from ledger.closing.findings import Check, Finding
from ledger.models import Discrepancy, JournalEntry, JournalLine
from ledger.testing.closing import MONDAY, at, night_after, run_business_day, set_clock

# As the first closes wrote them to report.json, when no enumeration of checks existed, and as they are read.
FIRST_NAMES = {
    "entry balanced": "仕訳の貸借一致",
    "trial balance": "試算表の貸借一致",
    "1150 by balance transactions only": "1150 は残高取引のみで動く",
    "entry of a transaction": "残高取引と仕訳の一致",
    "net of a transaction": "残高取引の純額",
    "day of an entry": "仕訳の営業日",
    "sub-ledger of 2130": "前受金の補助元帳",
    "sub-ledger of 2120": "未払金（返金）の補助元帳",
    "2130 of a shipped order": "出荷済み注文の前受金",
    "tax 10% posted": "消費税（標準税率）の計上",
    "tax 10% reversed": "消費税（標準税率）の取消",
    "tax 8% posted": "消費税（軽減税率）の計上",
    "tax 8% reversed": "消費税（軽減税率）の取消",
}


FIRST_CHECKS = checks.DAILY_CHECKS[: len(FIRST_NAMES)]


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_checks_of_a_close_have_the_names_of_the_first_reports(language: str) -> None:
    with override(language):
        assert [check.english_label for check in FIRST_CHECKS] == list(FIRST_NAMES)
    with override("ja"):
        assert [str(check.label) for check in FIRST_CHECKS] == list(FIRST_NAMES.values())
    assert [Check.from_english_label(name) for name in FIRST_NAMES] == list(FIRST_CHECKS)


def test_every_name_belongs_to_one_check() -> None:
    assert len({check.english_label for check in Check}) == len(Check)
    assert Check.from_english_label("a check of a later version") is None


def test_only_unbalanced_books_keep_a_day_open() -> None:
    assert [check for check in Check if check.fatal] == [Check.ENTRY_BALANCED, Check.TRIAL_BALANCE]


def test_a_finding_is_written_in_english_whatever_language_is_active() -> None:
    finding = Finding(Check.TAX_REDUCED_POSTED, "Order", "LED-1", "80", "75")
    with override("ja"):
        assert str(finding) == "tax 8% posted: Order LED-1: expected 80, found 75"


def old_report(**changes: Any) -> dict[str, Any]:
    """Build a report as the first closes wrote it."""
    content = report.build(date(2026, 11, 16), stripe_balance=0, balances={}, differences=[], findings=[])
    content["checks"] = [{"check": name, "findings": 0} for name in FIRST_NAMES]
    return {**content, **changes}


@pytest.mark.django_db
def test_a_report_of_the_first_closes_is_rendered_in_japanese() -> None:
    page = report_page.html(old_report()).decode()
    for name, japanese in FIRST_NAMES.items():
        assert f"<li>{japanese}：合格</li>" in page and name not in page


@pytest.mark.django_db
def test_a_check_that_this_version_does_not_know_is_rendered_by_its_name() -> None:
    page = report_page.html(old_report(checks=[{"check": "phase of the moon", "findings": 2}])).decode()
    assert "<li>phase of the moon：" in page and "検査 0/1" in page


@pytest.mark.django_db
def test_a_broken_invariant_is_noted_and_reported_under_its_name_and_the_day_closes(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    entry = JournalEntry.objects.create(
        day=MONDAY,
        occurred_at=at(MONDAY, 20),
        source_type="opening",
        source_id="1",
        purpose="opening",
        created_at=at(MONDAY, 20),
    )
    JournalLine.objects.create(entry=entry, position=1, account_id="1150", debit=5)
    JournalLine.objects.create(entry=entry, position=2, account_id="6120", credit=5)
    name = f"1150 by balance transactions only: {entry.voucher}"
    with override("ja"):
        result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert name in Discrepancy.objects.filter(kind="invariant").values_list("object_id", flat=True)
    stored = evidence.read_report(f"{result.folder}/report.json")
    assert name in [row["object"] for row in stored["discrepancies"]]
    assert {"check": "1150 by balance transactions only", "findings": 1} in stored["checks"]
    # what was noted for a closed day is a fact of that day; verification names the entry itself
    assert [finding.object_id for finding in verification.verify()] == [
        entry.voucher,
        f"{entry.voucher} (opening 1 opening)",
    ]
