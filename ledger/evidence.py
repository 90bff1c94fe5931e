"""Evidence: files put away per closed day, never overwritten, chained by the fingerprints of their manifests.

They lie at `daily-close/<day>/<run>/` on `storages["evidence"]`. Everything in them is canonical (sorted keys, no
wall clock), so closing the same facts gives the same bytes.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from ledger.models import JournalLine
from ledger.stripe_day import StripeDay

MANIFEST = "manifest.json"
FORMAT = 1
FORMULA = ("=", "+", "-", "@", "\t", "\r")
JOURNAL_COLUMNS = (
    "day",
    "occurred_at",
    "source_type",
    "source_id",
    "purpose",
    "order",
    "description",
    "position",
    "account",
    "account_name",
    "debit",
    "credit",
)


class RunTaken(Exception):
    """Somebody else is writing this run of this day; take the next number."""


@dataclass(frozen=True)
class Written:
    """A file that was put away."""

    path: str
    sha256: str
    size: int  # bytes


@dataclass(frozen=True)
class Manifest:
    """The list of a run's files and the link to the day before."""

    content: bytes
    sha256: str


def storage() -> Storage:
    """Return where evidence lies: a private place, on disk or at R2."""
    return storages["evidence"]


def sha256(content: bytes) -> str:
    """Give the fingerprint of a file's bytes."""
    return hashlib.sha256(content).hexdigest()


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """Write JSON that is the same for the same facts: sorted keys, one layout, UTF-8, a final line feed."""
    return (json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()


def instant(moment: datetime) -> str:
    """Write an instant in UTC, to the second or finer if it is finer."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def neutral(text: str) -> str:
    """Make a text cell harmless: a spreadsheet would run one that begins like a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


# ── Contents ─────────────────────────────────────────────────────────────────────────────────────────────


def stripe_evidence(facts: StripeDay) -> bytes:
    """Write what Stripe said of the day: a whitelist of fields, nothing of a person."""
    return canonical_json(
        {
            "format": FORMAT,
            "day": facts.day.isoformat(),
            "balance_transactions": [
                {
                    "id": reading.id,
                    "type": reading.type,
                    "source": reading.source,
                    "amount": reading.amount,
                    "fee": reading.fee,
                    "fee_tax": reading.fee_tax,
                    "net": reading.net,
                    "currency": reading.currency,
                    "created": instant(reading.created),
                    "available_on": instant(reading.available_on),
                }
                for reading in sorted(facts.transactions, key=lambda reading: (reading.created, reading.id))
            ],
            "charges": [
                {
                    "id": charge.id,
                    "amount": charge.amount,
                    "amount_captured": charge.amount_captured,
                    "currency": charge.currency,
                    "status": charge.status,
                    "payment_intent": charge.payment_intent,
                    "brand": charge.brand,
                    "created": instant(charge.created),
                }
                for charge in facts.charges
            ],
            "refunds": [
                {
                    "id": refund.id,
                    "amount": refund.amount,
                    "currency": refund.currency,
                    "status": refund.status,
                    "charge": refund.charge,
                    "failure_reason": refund.failure_reason,
                    "created": instant(refund.created),
                }
                for refund in facts.refunds
            ],
        }
    )


def journal_rows(day: date) -> Iterator[tuple[str, ...]]:
    """Give the journal lines of a day as cells, in an order that depends on nothing but the facts."""
    lines = (
        JournalLine.objects.filter(entry__day=day)
        .order_by(
            "entry__occurred_at",
            "entry__source_type",
            "entry__source_id",
            "entry__purpose",
            "position",
        )
        .values_list(
            "entry__day",
            "entry__occurred_at",
            "entry__source_type",
            "entry__source_id",
            "entry__purpose",
            "entry__order__number",
            "entry__description",
            "position",
            "account_id",
            "account__name_ja",
            "debit",
            "credit",
        )
    )
    for (
        of,
        occurred_at,
        kind,
        source,
        purpose,
        order,
        description,
        position,
        code,
        name,
        debit,
        credit,
    ) in lines.iterator(2000):
        yield (
            of.isoformat(),
            instant(occurred_at),
            neutral(kind),
            neutral(source),
            neutral(purpose),
            neutral(order or ""),
            neutral(description),
            str(position),
            neutral(code),
            neutral(name),
            str(debit),
            str(credit),
        )


def journal_csv(day: date) -> bytes:
    """Write the day's journal: UTF-8 with BOM, so that Excel reads it, CRLF."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(JOURNAL_COLUMNS)
    writer.writerows(journal_rows(day))
    return text.getvalue().encode("utf-8-sig")


def read_journal_csv(content: bytes) -> list[tuple[str, ...]]:
    """Read the rows of a journal file, without the header."""
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    return [tuple(row) for row in rows][1:]


def manifest(day: date, files: Mapping[str, bytes], *, previous: tuple[date, str] | None) -> Manifest:
    """Write the manifest: name, size and fingerprint of each file, and the fingerprint of the day before's."""
    content = canonical_json(
        {
            "format": FORMAT,
            "day": day.isoformat(),
            "files": [
                {"name": name, "sha256": sha256(files[name]), "size": len(files[name])}
                for name in sorted(files)
            ],
            "previous": None
            if previous is None
            else {"day": previous[0].isoformat(), "manifest_sha256": previous[1]},
        }
    )
    return Manifest(content=content, sha256=sha256(content))


# ── Storage ──────────────────────────────────────────────────────────────────────────────────────────────


def folder(day: date, run: int) -> str:
    """Name the folder of a run."""
    return f"daily-close/{day.isoformat()}/{run}"


def next_run(day: date) -> int:
    """Give the next free run number of a day, from 1; a run that a crash left behind keeps its number."""
    try:
        folders, _files = storage().listdir(f"daily-close/{day.isoformat()}")
    except FileNotFoundError:
        return 1
    return max((int(name) for name in folders if name.isdigit()), default=0) + 1


def write(day: date, run: int, files: Mapping[str, bytes]) -> list[Written]:
    """Put the files of a run away, the manifest last; none is ever overwritten.

    Raises `RunTaken` when a file of that name is there already.
    """
    written = []
    for name in sorted(files, key=lambda name: (name == MANIFEST, name)):
        path = f"{folder(day, run)}/{name}"
        if storage().exists(path):
            raise RunTaken(path)
        saved = storage().save(path, ContentFile(files[name]))
        if saved != path:  # somebody was faster: the storage gave our file another name
            storage().delete(saved)
            raise RunTaken(path)
        written.append(Written(path=path, sha256=sha256(files[name]), size=len(files[name])))
    return written


def read(path: str) -> bytes:
    """Read a file of evidence. Raises FileNotFoundError."""
    with storage().open(path, "rb") as file:
        content: bytes = file.read()
    return content


def read_report(path: str) -> dict[str, Any]:
    """Read the report of a run; empty when it is gone or no JSON any more (`verify_books` says so)."""
    try:
        report: dict[str, Any] = json.loads(read(path))
    except (OSError, ValueError):
        return {}
    return report
