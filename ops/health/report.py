"""What an operator with the admin key reads beside `/health`: numbers, ages and what is missing."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Exists, Min, OuterRef
from django.utils import timezone
from django_q.brokers import get_broker

from kikaku.environment import env_str
from ledger.models import BalanceTransaction, DailyClose, OutgoingMail, Payment, Refund, StripeEvent
from ops.health import duties
from ops.jobs.schedule import JOBS

# variables that are a secret, or an address that may hold a password; only whether they are set is shown
SECRETS = (
    "ADMIN_API_KEY",
    "CLOUDFLARE_API_TOKEN",
    "D1_GATEWAY_SECRET",
    "DATABASE_URL",
    "EMAIL_URL",
    "R2_ACCESS_KEY_ID",
    "R2_SECRET_ACCESS_KEY",
    "REDIS_URL",
    "SECRET_KEY",
    "SENTRY_DSN",
    "SLACK_WEBHOOK_URL",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
)
BOOKING_TIME = timedelta(days=60)  # an older payment without one is a discrepancy of its close
_migrated = False  # once all migrations are applied, this code needs no further look


def engine() -> str:
    """Return the database's engine: sqlite, postgresql or d1."""
    return "d1" if connection.settings_dict["ENGINE"] == "kikaku.d1" else connection.vendor


def storage() -> str:
    """Return where evidence is stored: disk or r2."""
    return "disk" if isinstance(storages["evidence"], FileSystemStorage) else "r2"


def pending_migrations() -> int:
    """Return how many migrations are not applied; once it is none, no query."""
    global _migrated
    if _migrated:
        return 0
    executor = MigrationExecutor(connection)
    count = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    _migrated = count == 0
    return count


def waiting(*, now: datetime) -> dict[str, float | None]:
    """Return the seconds that the oldest of each kind has waited for; None where nothing waits. Four queries.

    A payment waits for its balance transaction, which says that Stripe has booked it.
    """
    recent = Payment.objects.filter(captured_at__gte=now - BOOKING_TIME)
    is_booked = Exists(BalanceTransaction.objects.filter(source=OuterRef("charge")))
    oldest = {
        "event": StripeEvent.objects.unprocessed().aggregate(at=Min("received_at")),
        "mail": OutgoingMail.objects.queued().aggregate(at=Min("created_at")),
        "refund": Refund.objects.requested().aggregate(at=Min("requested_at")),
        "balance_transaction": recent.filter(~is_booked).aggregate(at=Min("captured_at")),
    }
    return {name: _seconds(row["at"], now=now) for name, row in oldest.items()}


def _seconds(at: datetime | None, *, now: datetime) -> float | None:
    return None if at is None else round((now - at).total_seconds(), 1)


def deep(*, now: datetime | None = None) -> dict[str, Any]:
    """Return what a monitor asks for: whether the worker lives, and which jobs are overdue; two queries."""
    now = now or timezone.now()
    beat = duties.last_worker_beat()
    return {
        "worker": "ok" if beat is not None and now - beat <= duties.SILENCE else "silent",
        "overdue_jobs": sorted(duties.overdue_jobs(now=now)),
    }


def details(*, now: datetime | None = None) -> dict[str, Any]:
    """Return the details for an operator, without any secret; about twelve queries."""
    now = now or timezone.now()
    known = deep(now=now)
    missing = duties.missing_days(now=now)
    pending = pending_migrations()
    last = DailyClose.objects.order_by("-day").values_list("day", flat=True).first()
    successes = duties.last_successes()
    warnings = [
        *([] if known["worker"] == "ok" else ["the worker is silent"]),
        *(f"the job {name} is overdue" for name in known["overdue_jobs"]),
        *([f"{len(missing)} days are not closed"] if missing else []),
        *([f"{pending} migrations are not applied"] if pending else []),
        *(f"switched off: {feature}" for feature in settings.SWITCHED_OFF),
    ]
    return {
        **known,
        "worker_heartbeat_seconds": _seconds(duties.last_worker_beat(), now=now),
        "queue": get_broker().queue_size(),
        "oldest_waiting_seconds": waiting(now=now),
        "last_success": {
            name: at.isoformat() if (at := successes.get(name)) is not None else None for name in JOBS
        },
        "last_closed_day": last.isoformat() if last is not None else None,
        "missing_days": [day.isoformat() for day in missing],
        "pending_migrations": pending,
        "secrets": {name: bool(env_str(name)) for name in SECRETS},
        "warnings": warnings,
    }
