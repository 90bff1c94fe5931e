"""Days of delivery change the version of the navigation, under which pages keep them."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from shop.pages import version


def forwards(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers of all tables anew."""
    version.install(schema_editor)


class Migration(migrations.Migration):
    dependencies = [
        ("shop", "0008_picture_sizes"),
        ("ledger", "0028_remote_area_once"),  # makes a table anew on SQLite, whose triggers go with it
    ]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
