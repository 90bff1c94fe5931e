"""Verification of the books: everything is recomputed, and the stored evidence compared with the database."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Sum

from ledger.books import accounts, trial_balance, triggers
from ledger.books.accounts import STRIPE_BALANCE
from ledger.books.trial_balance import AccountBalance
from ledger.closing import checks, evidence
from ledger.closing.findings import Check, Finding
from ledger.models import BalanceTransaction, ClosingBalance, DailyClose, EvidenceFile, JournalLine

NAME_COLUMN = evidence.JOURNAL_COLUMNS.index("account_name")  # staff may rename an account


def verify() -> Iterator[Finding]:
    """Yield everything that is wrong, by table and id; nothing in clean books. Changes nothing."""
    yield from _database()
    yield from checks.check_everything()
    yield from _closed_days()
    yield from _sub_ledgers()


def _database() -> Iterator[Finding]:
    """Check that the triggers are in place and that the database is not marked as a test database."""
    for name, wrong in sorted(triggers.broken_triggers(connection).items()):
        yield Finding(Check.APPEND_ONLY, "trigger", name, "in place", wrong)
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
    day_sums = list(
        JournalLine.objects.values_list("entry__day", "account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by("entry__day")
        .values_list("entry__day", "account_id", "debits", "credits")
    )
    sums: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    added = 0
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
        yield from _closing_balances(close, sums)
        balance = sums[STRIPE_BALANCE][0] - sums[STRIPE_BALANCE][1]
        if balance != close.book_balance:
            yield Finding(
                Check.STRIPE_BALANCE_AT_DAY_END,
                "DailyClose",
                str(close.day),
                str(close.book_balance),
                str(balance),
            )
        yield from _evidence(close, previous)
        previous = close


def _closing_balances(close: DailyClose, sums: dict[str, tuple[int, int]]) -> Iterator[Finding]:
    """Check that the balances carried forward from a closed day are the sums of every line up to it."""
    carried = {row.account_id: (row.debit, row.credit) for row in ClosingBalance.objects.filter(close=close)}
    if not carried:
        return  # closed before balances were carried forward, or without any entry so far
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
    day = trial_balance.last_carried_day(None)
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


def _evidence(close: DailyClose, previous: DailyClose | None) -> Iterator[Finding]:
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
        yield from _journal(close, contents["journal.csv"])
    if "report.json" in contents:
        yield from _report(close, json.loads(contents["report.json"]))
    if "stripe-evidence.json" in contents:
        yield from _transactions(close, json.loads(contents["stripe-evidence.json"]))


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


def _journal(close: DailyClose, content: bytes) -> Iterator[Finding]:
    """Check that the journal of a closed day is line for line what was stored as evidence."""

    def without_name(row: tuple[str, ...]) -> tuple[str, ...]:
        return row[:NAME_COLUMN] + row[NAME_COLUMN + 1 :]

    in_evidence = {without_name(row) for row in evidence.read_journal_csv(content)}
    in_books = {without_name(row) for row in evidence.journal_rows(close.day)}
    for rows, expected, found in (
        (in_evidence - in_books, "as in the evidence", "gone or changed"),
        (in_books - in_evidence, "as in the evidence", "not in the evidence"),
    ):
        for row in sorted(rows):
            _day, _at, kind, source, purpose, order, _text, position, account, debit, credit = row
            yield Finding(
                Check.CLOSED_JOURNAL,
                "JournalLine",
                f"{close.day} {kind} {source} {purpose} line {position}"
                + (f" of order {order}" if order else ""),
                expected,
                f"{found}: {account} debit {debit} credit {credit}",
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
            "net": txn.net,
            "created": evidence.format_instant(txn.created),
            "available_on": evidence.format_instant(txn.available_on),
            "balance": txn.other_balance or "payments",
        }
        for field, value in found.items():
            if row.get(field, "payments") != value:  # the first evidence names no balance
                yield Finding(
                    Check.CLOSED_TRANSACTIONS,
                    "BalanceTransaction",
                    f"{txn.id} {field}",
                    str(row[field]),
                    str(value),
                )
    for missing in sorted(listed):
        yield Finding(Check.CLOSED_TRANSACTIONS, "BalanceTransaction", missing, "stored", "gone")
