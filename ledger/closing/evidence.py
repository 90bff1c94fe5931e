"""Evidence: files put away per closed day, never overwritten, chained by the fingerprints of their manifests.

They lie at `daily-close/<day>/<run>/` on `storages["evidence"]`. Everything in them is canonical (sorted keys, no
wall clock), so closing the same facts gives the same bytes.
"""

import codecs
import csv
import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.core.files import File
from django.core.files.storage import Storage, storages

from ledger.ingest.snapshot import StripeDay
from ledger.models import Account, JournalEntry, JournalLine

MANIFEST = "manifest.json"
FORMAT = 1
IN_MEMORY = 1_000_000  # bytes of a file that is being put together
AT_ONCE = 100  # entries whose lines are read together: Cloudflare D1 binds no more parameters
LINES_AT_ONCE = 1_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
LINE = json.JSONEncoder(ensure_ascii=False, sort_keys=True)
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


@dataclass(frozen=True)
class Paper:
    """A file to be put away, with its fingerprint; a long one lies on disk meanwhile."""

    content: IO[bytes]
    sha256: str
    size: int  # bytes


def paper(chunks: Iterable[bytes]) -> Paper:
    """Gather the chunks of a file."""
    content = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  (closed with the last reference to it)
    digest = hashlib.sha256()
    for chunk in chunks:
        content.write(chunk)
        digest.update(chunk)
    return Paper(content=content, sha256=digest.hexdigest(), size=content.tell())


def stripe_evidence(facts: StripeDay) -> Iterator[bytes]:
    """Write what Stripe said of the day: a whitelist of fields, nothing of a person; canonical, an object a line."""
    lists: dict[str, Iterator[dict[str, Any]]] = {
        "balance_transactions": (
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
        ),
        "charges": (
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
        ),
        "refunds": (
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
        ),
    }
    yield f'{{"day": "{facts.day.isoformat()}", "format": {FORMAT}'.encode()
    for name, rows in lists.items():
        yield f',\n"{name}": ['.encode()
        separator = "\n"
        for row in rows:
            yield (separator + LINE.encode(row)).encode()
            separator = ",\n"
        yield b"]"
    yield b"}\n"


def journal_rows(day: date) -> Iterator[tuple[str, ...]]:
    """Give the journal lines of a day as cells, in an order that depends on nothing but the facts."""
    accounts = {
        code: (neutral(code), neutral(name)) for code, name in Account.objects.values_list("code", "name_ja")
    }
    entries = (
        JournalEntry.objects.filter(day=day)
        .order_by("occurred_at", "source_type", "source_id", "purpose")
        .values_list(
            "pk", "occurred_at", "source_type", "source_id", "purpose", "order__number", "description"
        )
        .iterator(AT_ONCE)
    )
    while portion := list(islice(entries, AT_ONCE)):
        lines: defaultdict[int, list[tuple[str, ...]]] = defaultdict(list)
        for entry_id, position, code, debit, credit in (
            JournalLine.objects.filter(entry__in=[pk for pk, *_rest in portion])
            .order_by("entry", "position")
            .values_list("entry_id", "position", "account_id", "debit", "credit")
        ):
            lines[entry_id].append((str(position), *accounts[code], str(debit), str(credit)))
        for pk, occurred_at, kind, source, purpose, number, description in portion:
            entry = (
                day.isoformat(),
                instant(occurred_at),
                neutral(kind),
                neutral(source),
                neutral(purpose),
                neutral(number or ""),
                neutral(description),
            )
            for line in lines[pk]:
                yield entry + line


def journal_csv(day: date) -> Iterator[bytes]:
    """Write the day's journal: UTF-8 with BOM, so that Excel reads it, CRLF."""
    yield codecs.BOM_UTF8
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(JOURNAL_COLUMNS)
    rows = journal_rows(day)
    while True:
        portion = list(islice(rows, LINES_AT_ONCE))
        writer.writerows(portion)
        yield text.getvalue().encode()
        if not portion:
            return
        text.seek(0)
        text.truncate()


def read_journal_csv(content: bytes) -> list[tuple[str, ...]]:
    """Read the rows of a journal file, without the header."""
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    return [tuple(row) for row in rows][1:]


def manifest(day: date, files: Mapping[str, Paper], *, previous: tuple[date, str] | None) -> Paper:
    """Write the manifest: name, size and fingerprint of each file, and the fingerprint of the day before's."""
    return paper(
        [
            canonical_json(
                {
                    "format": FORMAT,
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
    """Name the folder of a run."""
    return f"daily-close/{day.isoformat()}/{run}"


def next_run(day: date) -> int:
    """Give the next free run number of a day, from 1; a run that a crash left behind keeps its number."""
    try:
        folders, _files = storage().listdir(f"daily-close/{day.isoformat()}")
    except FileNotFoundError:
        return 1
    return max((int(name) for name in folders if name.isdigit()), default=0) + 1


def write(day: date, run: int, files: Mapping[str, Paper]) -> list[Written]:
    """Put the files of a run away, the manifest last; none is ever overwritten.

    Raises `RunTaken` when a file of that name is there already.
    """
    written = []
    for name in sorted(files, key=lambda name: (name == MANIFEST, name)):
        path = f"{folder(day, run)}/{name}"
        if storage().exists(path):
            raise RunTaken(path)
        files[name].content.seek(0)
        saved = storage().save(path, File(files[name].content))
        if saved != path:  # somebody was faster: the storage gave our file another name
            storage().delete(saved)
            raise RunTaken(path)
        written.append(Written(path=path, sha256=files[name].sha256, size=files[name].size))
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
