"""The files of a closed day: canonical, harmless, without personal data, never overwritten."""

import hashlib
import json
from datetime import UTC, date, datetime

import pytest
from django.core.files.storage import storages

from kikaku.sandbox import Sandbox
from ledger.books.tax_rules import TaxRules
from ledger.closing import evidence, journal_file
from ledger.closing.daily_close import close_day
from ledger.closing.evidence import RunTaken
from ledger.models import ClosingBalance, DailyClose, EvidenceFile, JournalEntry, JournalLine
from ledger.testing.closing import MONDAY, night_after, run_business_day, set_clock

pytestmark = pytest.mark.engine_independent
DAY = date(2026, 11, 16)


@pytest.fixture
def folder(sandbox: Sandbox, db: None) -> str:
    """Close a business day and return the folder of its evidence."""
    run_business_day(sandbox, MONDAY)
    return close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY))).folder


def test_the_manifest_lists_every_file_with_its_hash_and_size(folder: str) -> None:
    manifest = json.loads(evidence.read(f"{folder}/manifest.json"))
    assert [file["name"] for file in manifest["files"]] == [
        "journal.csv",
        "report.html",
        "report.json",
        "stripe-evidence.json",
    ]
    for file in manifest["files"]:
        content = evidence.read(f"{folder}/{file['name']}")
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["size"])
        assert EvidenceFile.objects.get(path=f"{folder}/{file['name']}").sha256 == file["sha256"]
    assert manifest["previous"] is None
    assert DailyClose.objects.get().manifest_sha256 == evidence.sha256(
        evidence.read(f"{folder}/manifest.json")
    )


def test_the_evidence_names_customers_in_the_journal_and_holds_no_other_personal_data(folder: str) -> None:
    for path in EvidenceFile.objects.values_list("path", flat=True):
        text = evidence.read(path).decode("utf-8-sig")
        if path.endswith("/journal.csv"):
            assert "山田 花子" in text  # 取引先, which an audit searches for
            text = text.replace("山田 花子", "")
        for personal in ("山田", "花子", "hanako", "example.jp", "渋谷区", "03-0000-0000", "4242", "0505"):
            assert personal not in text, path


def test_no_file_contains_the_time_of_the_close(folder: str) -> None:
    close = DailyClose.objects.get()
    utc, jst = f"{close.closed_at:%Y-%m-%dT%H:%M:%S}", journal_file.format_jst(close.closed_at)
    for path in EvidenceFile.objects.values_list("path", flat=True):
        text = evidence.read(path).decode("utf-8-sig")
        if path.endswith("/journal.csv"):  # but when the entries were written: some of them by this close
            written = journal_file.COLUMNS.index("入力日時")
            rows = journal_file.read(evidence.read(path))
            text = "\n".join(",".join((*row[:written], *row[written + 1 :])) for row in rows)
        assert not {f"{utc}Z", f"{utc}+00:00", jst} & set(text.replace('"', ",").split(","))
        assert f"{close.closed_at:%Y年}" not in text or "2026年11月16日" in text


def test_the_journal_file_holds_every_line_of_the_day(folder: str) -> None:
    content = evidence.read(f"{folder}/journal.csv")
    rows = [dict(zip(journal_file.COLUMNS, row, strict=True)) for row in journal_file.read(content)]
    assert len(rows) == JournalLine.objects.filter(entry__day=MONDAY).count()
    sides = [sum(int(row["金額"]) for row in rows if row[f"{side}科目コード"]) for side in ("借方", "貸方")]
    assert sides[0] == sides[1] > 0
    assert content.decode().startswith("\ufeff伝票No,計上日,発生日時(JST),入力日時,借方科目コード,")


def test_the_stripe_evidence_has_the_listed_fields_only(folder: str) -> None:
    stored = json.loads(evidence.read(f"{folder}/stripe-evidence.json"))
    assert set(stored["charges"][0]) == {
        "id",
        "amount",
        "amount_captured",
        "captured",
        "currency",
        "status",
        "payment_intent",
        "brand",
        "created",
    }
    assert [charge["brand"] for charge in stored["charges"]] == ["visa", "jcb"]
    assert [txn["type"] for txn in stored["balance_transactions"]] == ["charge", "charge", "refund"]
    assert stored["balance_transactions"][1]["fee_tax"] == 20
    assert stored["refunds"][0]["amount"] == 3_000


def test_the_report_is_readable_and_complete(folder: str) -> None:
    page = evidence.read(f"{folder}/report.html").decode()
    for words in (
        "日次締め報告書",
        "2026年11月16日",
        "未照合（金額差）なし",
        "1150 未収入金（Stripe残高）",
        "¥17,630",
        "−¥3,000",
    ):
        assert words in page
    # the sub-ledger of the prepayments: one order that is not shipped
    assert '<tr><th>2130 前受金</th><td class="n">1</td><td class="n">¥5,500</td>' in page
    assert "<script" not in page
    assert "http" not in page  # self-contained


def test_closing_the_same_facts_gives_the_same_bytes(folder: str, sandbox: Sandbox) -> None:
    before = {path: evidence.read(path) for path in EvidenceFile.objects.values_list("path", flat=True)}
    sha256 = DailyClose.objects.get().manifest_sha256
    ClosingBalance.objects.all().delete()  # only a test database lets a day be opened again
    EvidenceFile.objects.all().delete()
    DailyClose.objects.all().delete()
    again = close_day(MONDAY, now=set_clock(sandbox, datetime(2026, 11, 25, 3, 0, tzinfo=UTC)))
    assert (again.folder, again.manifest_sha256) == ("daily-close/2026-11-16/2", sha256)
    for path, content in before.items():
        assert evidence.read(path.replace("/1/", "/2/")) == content
        assert evidence.read(path) == content  # the first run is untouched


def test_a_file_is_never_overwritten() -> None:
    evidence.store(DAY, 1, {"report.json": evidence.build([b"1"])})
    with pytest.raises(RunTaken):
        evidence.store(DAY, 1, {"report.json": evidence.build([b"2"])})
    assert evidence.read("daily-close/2026-11-16/1/report.json") == b"1"
    assert evidence.next_run(DAY) == 2
    assert storages["evidence"].listdir("daily-close/2026-11-16/1")[1] == ["report.json"]


def test_run_numbers_are_counted_and_not_sorted_as_text() -> None:
    assert evidence.next_run(DAY) == 1
    for run in (1, 2, 10):
        evidence.store(DAY, run, {"report.json": evidence.build([b"{}"])})
    assert evidence.next_run(DAY) == 11


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_text_cell_that_begins_like_a_formula_is_made_harmless(text: str, db: None) -> None:
    entry = JournalEntry.objects.create(
        day=DAY,
        occurred_at=datetime(2026, 11, 16, 3, 0, tzinfo=UTC),
        source_type="entry",
        source_id="1",
        purpose="test",
        description=text,
        created_at=datetime(2026, 11, 16, 3, 0, tzinfo=UTC),
    )
    JournalLine.objects.create(entry=entry, position=1, account_id="1150", debit=5)
    rules = TaxRules((), ())
    for form, position, amount in ((1, 6, 10), (2, 14, 10)):
        (row,) = journal_file.read(b"".join(journal_file.write(DAY, rules, evidence_format=form)))
        assert (row[position], row[amount]) == (f"'{text}", "5")


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert evidence.canonical_json({"b": 1, "a": "電球"}) == evidence.canonical_json({"a": "電球", "b": 1})
    assert "電球" in evidence.canonical_json({"a": "電球"}).decode()
