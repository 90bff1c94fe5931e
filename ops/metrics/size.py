"""The size of the database, recorded once a day so that its growth is seen."""

from datetime import datetime

from django.db import connection

from kikaku.days import business_day
from kikaku.transactions import unit_of_work
from ops.models import DatabaseSize

PAGES_SQL = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"


def database_size() -> int | None:
    """Return the size in bytes; None where D1 does not report it."""
    connection.ensure_connection()
    if hasattr(connection.connection, "database_size"):  # D1 allows no such pragma
        return connection.connection.database_size() or None
    is_postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())" if is_postgresql else PAGES_SQL)
        return int(cursor.fetchone()[0])


def record_size(*, now: datetime) -> None:
    """Store the size of the database for the business day."""
    size = database_size()
    if size is not None:
        _store(size, now=now)


@unit_of_work
def _store(size: int, *, now: datetime) -> None:
    DatabaseSize.objects.update_or_create(day=business_day(now), defaults={"size": size})
