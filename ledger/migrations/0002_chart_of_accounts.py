"""Seed the chart of accounts."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from ledger.books.accounts import ensure_chart


def seed(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the accounts that the posting rules name."""
    ensure_chart(apps, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
