"""Verification of the books: everything is recomputed, and the stored evidence compared with the database."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Sum
from django.utils.module_loading import import_string

from ledger.books import accounts, discrepancies, trial_balance, triggers
from ledger.books.accounts import STRIPE_BALANCE
from ledger.books.tax_rules import TaxRules, load_tax_rules
from ledger.books.trial_balance import AccountBalance
from ledger.closing import checks, evidence, journal_file
from ledger.closing import report as report_module
from ledger.closing.findings import Check, Finding
from ledger.models import (
    BalanceTransaction,
    ClosingBalance,
    DailyClose,
    Discrepancy,
    EvidenceFile,
    JournalLine,
    Payment,
)

IDS_PER_QUERY = 80  # Cloudflare D1 binds a hundred parameters
CAPTURE_TOLERANCE = timedelta(hours=1)  # an event of an intent comes a little after its charge


def verify(heads: Sequence[tuple[date, str]] = ()) -> Iterator[Finding]:
    """Yield everything that is wrong, by table and id; nothing in clean books. Changes nothing.

    `heads` are days with the SHA-256 of their manifests as they were kept outside the database.
    """
    yield from _database()
    yield from checks.check_everything()
    yield from _closed_days()
    yield from _marks()
    yield from _heads(heads)
    yield from _sub_ledgers()


def _database() -> Iterator[Finding]:
    """Check that the triggers are in place and that the database is not marked as a test database."""
    for name, wrong in sorted(triggers.broken_triggers(connection).items()):
        yield Finding(Check.APPEND_ONLY, "trigger", name, "in place", wrong)
    for path in settings.OTHER_TRIGGERS:
        for name, wrong in sorted(import_string(path)(connection).items()):
            yield Finding(Check.OTHER_TRIGGER, "trigger", name, "in place", wrong)
    name = str(connection.settings_dict["NAME"])
    file = name.rsplit("/", 1)[-1]
    named_as_test = file.startswith(("test_", "test.")) or ":memory:" in name or "mode=memory" in name
    if triggers.is_test_database(connection) and not named_as_test:
        yield Finding(
            Check.APPEND_ONLY,
            triggers.TEST_DATABASE_TABLE,
            "marker",
            "empty: this is no test database",
            "a row",
        )


def _closed_days() -> Iterator[Finding]:
    """Check the closed days: their order, the chain of their manifests, their balances, their evidence."""
    rules = load_tax_rules()
    day_sums = list(
        JournalLine.objects.values_list("entry__day", "account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by("entry__day")
        .values_list("entry__day", "account_id", "debits", "credits")
    )
    sums: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    added = 0
    carries = False  # since which day balances are carried forward
    previous: DailyClose | None = None
    for close in DailyClose.objects.order_by("day").iterator(200):
        if previous is not None and close.day != previous.day + timedelta(days=1):
            yield Finding(
                Check.CONSECUTIVE_DAYS,
                "DailyClose",
                str(close.day),
                str(previous.day + timedelta(days=1)),
                str(close.day),
            )
        expected = previous.manifest_sha256 if previous is not None else ""
        if close.previous_sha256 != expected:
            yield Finding(
                Check.MANIFEST_CHAIN,
                "DailyClose",
                str(close.day),
                expected or "no previous manifest",
                close.previous_sha256 or "none",
            )
        while added < len(day_sums) and day_sums[added][0] <= close.day:
            _day, account, debit, credit = day_sums[added]
            sums[account] = (sums[account][0] + debit, sums[account][1] + credit)
            added += 1
        carries = carries or _report_format(close) > 1 or ClosingBalance.objects.filter(close=close).exists()
        yield from _closing_balances(close, sums, is_carried=carries)
        balance = sums[STRIPE_BALANCE][0] - sums[STRIPE_BALANCE][1]
        if balance != close.book_balance:
            yield Finding(
                Check.STRIPE_BALANCE_AT_DAY_END,
                "DailyClose",
                str(close.day),
                str(close.book_balance),
                str(balance),
            )
        yield from _evidence(close, previous, rules)
        previous = close


def _report_format(close: DailyClose) -> int:
    """Return the format of a day's report; 0 when it cannot be read, which `_evidence` reports."""
    return int(evidence.read_report(f"{evidence.folder(close.day, close.run)}/report.json").get("format", 0))


def _marks() -> Iterator[Finding]:
    """Check that each run that the storage marks as closed is the one of a closed day."""
    runs = {str(day): str(run) for day, run in DailyClose.objects.values_list("day", "run")}
    for day, run in evidence.closed_marks():
        if runs.get(day) != run:
            yield Finding(
                Check.CLOSED_DAY,
                "DailyClose",
                day,
                f"closed with run {run}",
                f"run {runs[day]}" if day in runs else "not closed",
            )


def _heads(heads: Sequence[tuple[date, str]]) -> Iterator[Finding]:
    """Check that the manifests that were kept elsewhere are those of the closed days."""
    for day, kept in heads:
        close = DailyClose.objects.filter(day=day).first()
        found = "not closed" if close is None else close.manifest_sha256
        if found != kept:
            yield Finding(Check.ANCHOR, "DailyClose", str(day), kept, found)


def _records(close: DailyClose, reported: dict[str, int]) -> Iterator[Finding]:
    """Check that the records of a closed day have lost no row; late events may have been added."""
    counted = report_module.count_records(close.day) if reported else {}
    for name, expected in sorted(reported.items()):
        if counted.get(name, 0) < expected:
            yield Finding(
                Check.CLOSED_RECORDS,
                name,
                str(close.day),
                f"{expected} rows or more",
                f"{counted.get(name, 0)} rows",
            )


def _discrepancies(close: DailyClose, reported: list[dict[str, Any]]) -> Iterator[Finding]:
    """Check that each discrepancy that a report names is still recorded."""
    if not reported:
        return
    names = [row["object"][:120] for row in reported]
    of_day: set[tuple[str, str]] = set()
    objects: set[str] = set()  # of which one row is enough, whatever its day
    for start in range(0, len(names), IDS_PER_QUERY):
        for kind, object_id, day in Discrepancy.objects.filter(
            object_id__in=names[start : start + IDS_PER_QUERY]
        ).values_list("kind", "object_id", "day"):
            if kind in discrepancies.KINDS_OF_OBJECTS:
                objects.add(object_id)
            elif day == close.day:
                of_day.add((kind, object_id))
    for row, name in zip(reported, names, strict=True):
        is_of_object = row["kind"] in discrepancies.KINDS_OF_OBJECTS
        if not (name in objects if is_of_object else (row["kind"], name) in of_day):
            yield Finding(
                Check.CLOSED_DISCREPANCIES,
                "Discrepancy",
                f"{close.day} {row['kind']} {name}",
                "a row",
                "none",
            )


def _payments(close: DailyClose, charges: list[dict[str, Any]]) -> Iterator[Finding]:
    """Check when our payments of a closed day were captured, and how much, against what Stripe said."""
    listed = {row["id"]: row for row in charges if row["status"] == "succeeded" and row.get("captured", True)}
    names = sorted(listed)
    for start in range(0, len(names), IDS_PER_QUERY):
        for charge, amount, captured_at in Payment.objects.filter(
            charge__in=names[start : start + IDS_PER_QUERY]
        ).values_list("charge", "amount", "captured_at"):
            row = listed[str(charge)]
            created = datetime.fromisoformat(row["created"].replace("Z", "+00:00"))
            if amount != row["amount_captured"] or abs(captured_at - created) > CAPTURE_TOLERANCE:
                yield Finding(
                    Check.CLOSED_PAYMENTS,
                    "Payment",
                    str(charge),
                    f"{row['amount_captured']} at {row['created']}",
                    f"{amount} at {evidence.format_instant(captured_at)}",
                )


def _closing_balances(
    close: DailyClose, sums: dict[str, tuple[int, int]], *, is_carried: bool
) -> Iterator[Finding]:
    """Check that the balances carried forward from a closed day are the sums of every line up to it."""
    carried = {row.account_id: (row.debit, row.credit) for row in ClosingBalance.objects.filter(close=close)}
    if not carried and not is_carried:
        return  # closed before balances were carried forward
    for account in sorted(carried.keys() | sums.keys()):
        if (found := carried.get(account, (0, 0))) != (expected := sums.get(account, (0, 0))):
            yield Finding(
                Check.CLOSING_BALANCE,
                "ClosingBalance",
                f"{close.day} {account}",
                "debit {}, credit {}".format(*expected),
                "debit {}, credit {}".format(*found),
            )


def _sub_ledgers() -> Iterator[Finding]:
    """Check the number of open orders at the last closed day against a count over every line."""
    day = trial_balance.last_carried_day()
    if day == trial_balance.BEGINNING_OF_BOOKS:
        return
    recomputed = trial_balance.recompute_account_balances(day)
    for code in accounts.CUSTOMER_LIABILITY_ACCOUNTS:
        expected = recomputed.get(code, AccountBalance())
        found = trial_balance.account_balances(day).get(code, AccountBalance())
        if (found.open_orders, found.without_order) != (expected.open_orders, expected.without_order):
            sentence = "{} open orders, {} owed without an order"
            yield Finding(
                Check.CLOSING_BALANCE,
                "ClosingBalance",
                f"{day} {code}",
                sentence.format(expected.open_orders, expected.without_order),
                sentence.format(found.open_orders, found.without_order),
            )


def _evidence(close: DailyClose, previous: DailyClose | None, rules: TaxRules) -> Iterator[Finding]:
    """Check the stored files of a closed day, and that the database still says what they say."""
    contents: dict[str, bytes] = {}
    hashes: dict[str, str] = {}
    for file in EvidenceFile.objects.filter(close=close).order_by("path"):
        name = file.path.rsplit("/", 1)[-1]
        try:
            content = evidence.read(file.path)
        except FileNotFoundError:
            yield Finding(
                Check.EVIDENCE_FILE, "EvidenceFile", file.path, f"{file.size} bytes", "the file is gone"
            )
            continue
        hashes[name] = evidence.sha256(content)
        if hashes[name] != file.sha256:
            yield Finding(
                Check.EVIDENCE_FILE, "EvidenceFile", file.path, f"SHA-256 {file.sha256}", hashes[name]
            )
            continue
        contents[name] = content
    yield from _manifest(close, previous, contents, hashes)
    if "journal.csv" in contents:
        yield from _journal(close, contents["journal.csv"], rules)
    if "report.json" in contents:
        report = json.loads(contents["report.json"])
        yield from _report(close, report)
        yield from _discrepancies(close, report.get("discrepancies", []))
        yield from _records(close, report.get("records", {}))
    if "stripe-evidence.json" in contents:
        stored = json.loads(contents["stripe-evidence.json"])
        yield from _transactions(close, stored)
        yield from _payments(close, stored["charges"])


def _manifest(
    close: DailyClose, previous: DailyClose | None, contents: dict[str, bytes], hashes: dict[str, str]
) -> Iterator[Finding]:
    """Check that the manifest is the one of the close, lists the run's files, and links to the day before."""
    path = f"{evidence.folder(close.day, close.run)}/{evidence.MANIFEST}"
    if evidence.MANIFEST not in contents:
        if evidence.MANIFEST not in hashes:  # else its SHA-256 was reported already
            yield Finding(Check.MANIFEST_CHAIN, "EvidenceFile", path, "a manifest", "none")
        return
    if hashes[evidence.MANIFEST] != close.manifest_sha256:
        yield Finding(
            Check.MANIFEST_CHAIN,
            "DailyClose",
            str(close.day),
            close.manifest_sha256,
            hashes[evidence.MANIFEST],
        )
    manifest: dict[str, Any] = json.loads(contents[evidence.MANIFEST])
    listed = {file["name"]: file["sha256"] for file in manifest["files"]}
    stored = {
        file.path.rsplit("/", 1)[-1]: file.sha256
        for file in EvidenceFile.objects.filter(close=close)
        if not file.path.endswith(f"/{evidence.MANIFEST}")
    }
    for name in sorted(listed.keys() | stored.keys()):
        if listed.get(name) != stored.get(name):
            yield Finding(
                Check.MANIFEST,
                "EvidenceFile",
                f"{evidence.folder(close.day, close.run)}/{name}",
                listed.get(name, "not listed"),
                stored.get(name, "no row"),
            )
    link = manifest["previous"] and manifest["previous"]["manifest_sha256"]
    if link != (previous.manifest_sha256 if previous is not None else None):
        yield Finding(
            Check.MANIFEST_CHAIN,
            "EvidenceFile",
            path,
            previous.manifest_sha256 if previous is not None else "no previous manifest",
            str(link),
        )


def _report(close: DailyClose, report: dict[str, Any]) -> Iterator[Finding]:
    """Check that the close and its report agree."""
    proof = report.get("proof", {})
    reported = (proof.get("stripe_balance"), proof.get("account_1150"), report.get("differences"))
    stored = (close.stripe_balance, close.book_balance, close.differences)
    if reported != stored:
        sentence = "Stripe's balance {}, account 1150 {}, {} differences"
        yield Finding(
            Check.CLOSED_REPORT,
            "DailyClose",
            str(close.day),
            sentence.format(*reported),
            sentence.format(*stored),
        )


def _journal(close: DailyClose, content: bytes, rules: TaxRules) -> Iterator[Finding]:
    """Check that the journal of a closed day is line for line what was stored as evidence."""
    in_evidence, in_books = journal_file.compared_lines(content, close.day, rules)
    for lines, found in (
        (in_evidence - in_books, "gone or changed"),
        (in_books - in_evidence, "not in the evidence"),
    ):
        for line in sorted(lines):
            yield Finding(
                Check.CLOSED_JOURNAL,
                "JournalLine",
                f"{close.day} {line.entry} line {line.position}"
                + (f" of order {line.order}" if line.order else ""),
                "as in the evidence",
                f"{found}: {line.account} debit {line.debit} credit {line.credit}",
            )


def _transactions(close: DailyClose, stored: dict[str, Any]) -> Iterator[Finding]:
    """Check that the balance transactions of a closed day are what Stripe said when it was closed."""
    listed = {row["id"]: row for row in stored["balance_transactions"] if row["currency"] == "jpy"}
    for txn in BalanceTransaction.objects.filter(day=close.day).order_by("id").iterator(2000):
        row = listed.pop(txn.id, None)
        if row is None:
            continue  # surfaced late: a discrepancy says so, and no evidence lists it
        found = {
            "type": txn.type,
            "source": txn.source,
            "amount": txn.amount,
            "fee": txn.fee,
            "fee_tax": txn.fee_tax,
            **({} if txn.fee_taxed is None else {"fee_taxed": txn.fee_taxed}),
            **({} if txn.taxable_fee is None else {"taxable_fee": txn.taxable_fee}),
            "net": txn.net,
            "created": evidence.format_instant(txn.created),
            "available_on": evidence.format_instant(txn.available_on),
            "balance": txn.other_balance or "payments",
        }
        expected = {"fee_taxed": bool(row["fee_tax"]), "balance": "payments"} | row  # the first evidence
        for field, value in found.items():
            if expected[field] != value:
                yield Finding(
                    Check.CLOSED_TRANSACTIONS,
                    "BalanceTransaction",
                    f"{txn.id} {field}",
                    str(expected[field]),
                    str(value),
                )
    for missing in sorted(listed):
        yield Finding(Check.CLOSED_TRANSACTIONS, "BalanceTransaction", missing, "stored", "gone")
