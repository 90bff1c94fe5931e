"""Refuse the replacement of rows by every unique key, and check a statement's lines at once on PostgreSQL."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from ledger.books.triggers import install


def install_triggers(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Replace the triggers by those of `ledger.books.triggers`."""
    install(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0016_withdrawn_refunds")]

    operations = [
        migrations.AddIndex(
            model_name="journalentry",
            index=models.Index(fields=["day", "id"], name="entry_day_id"),
        ),
        migrations.RunPython(install_triggers, migrations.RunPython.noop),
    ]
