"""The mail of a daily close to the merchant; it keeps the head of the evidence outside the database."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.conf import settings

from ledger.closing.report_page import headline
from ledger.models import OutgoingMail
from ledger.sales import mail


def queue(report: Mapping[str, Any], *, folder: str, head: str, now: datetime) -> None:
    """Queue the mail of a close inside its transaction, if BOOKS_EMAIL is set.

    It has the day's result and `head`, the SHA-256 of its manifest: `verify_books --head` compares it later.
    """
    if settings.BOOKS_EMAIL:
        mail.queue_without_order(
            OutgoingMail.Kind.DAILY_CLOSE,
            settings.BOOKS_EMAIL,
            "ja",
            f"close:{report['day']}",
            {
                "day": date.fromisoformat(report["day"]),
                "proof": report["proof"],
                "result": headline(report),
                "folder": folder,
                "head": f"{report['day']}:{head}",
            },
            unsolicited=False,
            now=now,
        )
