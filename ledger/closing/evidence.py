"""The evidence of a closed day: files that are never overwritten, chained by the SHA-256 of their manifests.

They are stored below `daily-close/<day>/<run>/` on `storages["evidence"]`. Their content is canonical
(sorted keys, no wall clock), so closing the same facts gives the same bytes.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from ledger.ingest.snapshot import StripeSnapshot

MANIFEST = "manifest.json"
CLOSED_MARK = "closed.json"  # of the run that a close refers to; written after its transaction
EVIDENCE_FORMAT = 2  # 1: another form of journal.csv; see `ledger.closing.journal_file`
MAX_BYTES_IN_MEMORY = 1_000_000  # of a file that is being built; a longer one is kept on disk
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")
LINE_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True)


class RunTaken(Exception):
    """Another process is writing this run of this day; take the next number."""


def storage() -> Storage:
    """Return the private storage of the evidence, on disk or at R2."""
    return storages["evidence"]


def sha256(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """Return JSON that is the same for the same facts: sorted keys, one layout, UTF-8, a final line feed."""
    return (json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()


def format_instant(instant: datetime) -> str:
    """Return an instant in UTC as ISO 8601, with fractions of a second only if it has any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def escape_formula(text: str) -> str:
    """Return a text cell that a spreadsheet does not run, although it begins like a formula."""
    return f"'{text}" if text.startswith(FORMULA_PREFIXES) else text


# ── Contents ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class EvidenceContent:
    """The content of a file that is to be stored; a long one is kept on disk meanwhile."""

    content: IO[bytes]
    sha256: str
    size: int  # bytes


def build(chunks: Iterable[bytes]) -> EvidenceContent:
    """Return the content of a file from its chunks."""
    content = SpooledTemporaryFile(max_size=MAX_BYTES_IN_MEMORY)  # noqa: SIM115  (closed with the last reference to it)
    digest = hashlib.sha256()
    for chunk in chunks:
        content.write(chunk)
        digest.update(chunk)
    return EvidenceContent(content=content, sha256=digest.hexdigest(), size=content.tell())


def stripe_evidence(snapshot: StripeSnapshot) -> Iterator[bytes]:
    """Yield what Stripe said about the day, one object a line: listed fields only, no personal data."""
    lists: dict[str, Iterator[dict[str, Any]]] = {
        "balance_transactions": (
            {
                "id": reading.id,
                "type": reading.type,
                "source": reading.source,
                "amount": reading.amount,
                "fee": reading.fee,
                "fee_tax": reading.fee_tax,
                "fee_taxed": reading.fee_taxed,
                "taxable_fee": reading.taxable_fee,
                "net": reading.net,
                "currency": reading.currency,
                "balance": reading.other_balance or "payments",
                "created": format_instant(reading.created),
                "available_on": format_instant(reading.available_on),
            }
            for reading in sorted(snapshot.transactions, key=lambda reading: (reading.created, reading.id))
        ),
        "charges": (
            {
                "id": charge.id,
                "amount": charge.amount,
                "amount_captured": charge.amount_captured,
                "currency": charge.currency,
                "status": charge.status,
                "captured": charge.captured,
                "payment_intent": charge.payment_intent,
                "brand": charge.brand,
                "created": format_instant(charge.created),
            }
            for charge in snapshot.charges
        ),
        "refunds": (
            {
                "id": refund.id,
                "amount": refund.amount,
                "currency": refund.currency,
                "status": refund.status,
                "charge": refund.charge,
                "failure_reason": refund.failure_reason,
                "created": format_instant(refund.created),
            }
            for refund in snapshot.refunds
        ),
    }
    yield f'{{"day": "{snapshot.day.isoformat()}", "format": {EVIDENCE_FORMAT}'.encode()
    for name, rows in lists.items():
        yield f',\n"{name}": ['.encode()
        separator = "\n"
        for row in rows:
            yield (separator + LINE_ENCODER.encode(row)).encode()
            separator = ",\n"
        yield b"]"
    yield b"}\n"


def manifest(
    day: date, files: Mapping[str, EvidenceContent], *, previous: tuple[date, str] | None
) -> EvidenceContent:
    """Return the manifest: name, size and SHA-256 of each file, day and SHA-256 of the previous manifest."""
    return build(
        [
            canonical_json(
                {
                    "format": EVIDENCE_FORMAT,
                    "day": day.isoformat(),
                    "files": [
                        {"name": name, "sha256": files[name].sha256, "size": files[name].size}
                        for name in sorted(files)
                    ],
                    "previous": None
                    if previous is None
                    else {"day": previous[0].isoformat(), "manifest_sha256": previous[1]},
                }
            )
        ]
    )


# ── Storage ──────────────────────────────────────────────────────────────────────────────────────────────


def folder(day: date, run: int) -> str:
    """Return the folder of a run."""
    return f"daily-close/{day.isoformat()}/{run}"


def next_run(day: date) -> int:
    """Return the next free run number of a day, from 1; a run that a crash left behind keeps its number."""
    try:
        folders, _files = storage().listdir(f"daily-close/{day.isoformat()}")
    except FileNotFoundError:
        return 1
    return max((int(name) for name in folders if name.isdigit()), default=0) + 1


def path(day: date, run: int, name: str) -> str:
    """Return the path of a file of a run."""
    return f"{folder(day, run)}/{name}"


def store(day: date, run: int, files: Mapping[str, EvidenceContent]) -> None:
    """Store the files of a run, the manifest last. No file is ever overwritten.

    Raises `RunTaken` when a file of that name exists.
    """
    for name in sorted(files, key=lambda name: (name == MANIFEST, name)):
        wanted = path(day, run, name)
        if storage().exists(wanted):
            raise RunTaken(wanted)
        files[name].content.seek(0)
        try:
            saved = storage().save(wanted, File(files[name].content))
        except FileExistsError:  # on R2: another process stored other content
            raise RunTaken(wanted) from None
        if saved != wanted:  # another process was faster, and the storage gave our file another name
            storage().delete(saved)
            raise RunTaken(wanted)


def mark_closed(day: date, run: int, manifest_sha256: str) -> None:
    """Store beside a run that it is the one of the close: a database can lose a close, the storage keeps it.

    Does nothing when the mark is there.
    """
    wanted = path(day, run, CLOSED_MARK)
    if not storage().exists(wanted):
        content = canonical_json({"day": day.isoformat(), "run": run, "manifest_sha256": manifest_sha256})
        storage().save(wanted, ContentFile(content))


def closed_marks() -> Iterator[tuple[str, str]]:
    """Yield day and run of each mark in the storage."""
    try:
        days, _files = storage().listdir("daily-close")
    except FileNotFoundError:
        return
    for day in sorted(days):
        runs, _files = storage().listdir(f"daily-close/{day}")
        for run in sorted(runs):
            if storage().exists(f"daily-close/{day}/{run}/{CLOSED_MARK}"):
                yield day, run


def read(path: str) -> bytes:
    """Return the content of a stored file. Raises FileNotFoundError."""
    with storage().open(path, "rb") as file:
        content: bytes = file.read()
    return content


def read_report(path: str) -> dict[str, Any]:
    """Return the report of a run; empty when it is gone or broken, which `verify_books` reports."""
    try:
        report: dict[str, Any] = json.loads(read(path))
    except (OSError, ValueError):
        return {}
    return report
