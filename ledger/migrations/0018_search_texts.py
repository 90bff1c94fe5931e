"""What the admin's search reads of orders, their lines and parcels. The triggers stand on all of it."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from ledger.books.triggers import install


def hold(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers anew: SQLite loses those of a table that it rebuilds."""
    install(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0017_triggers_by_key")]

    operations = [
        migrations.AddField("order", "search_text", models.TextField(default="", editable=False)),
        migrations.AddField("orderline", "search_text", models.TextField(default="", editable=False)),
        migrations.AddField("shipment", "search_text", models.TextField(default="", editable=False)),
        migrations.RunPython(hold, migrations.RunPython.noop),
    ]
