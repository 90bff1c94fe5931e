"""Seed carriers, delivery days and islands."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from ledger.sales.delivery_days import ensure_delivery_days


def seed(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Write the estimates of a new shop."""
    ensure_delivery_days(apps, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0013_delivery_days")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
