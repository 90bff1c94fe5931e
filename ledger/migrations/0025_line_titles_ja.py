"""The Japanese title of a line that was ordered in another language, for those who pack."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from ledger.books.triggers import install


def hold(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers anew: SQLite loses those of a table that it rebuilds."""
    install(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0024_parcel_corrected")]

    operations = [
        migrations.AddField(
            "orderline",
            "title_ja",
            models.CharField(blank=True, max_length=200, verbose_name="title (Japanese)"),
        ),
        migrations.RunPython(hold, migrations.RunPython.noop),
    ]
