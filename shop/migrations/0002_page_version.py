"""The version of what public pages show, and the triggers that change it."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from shop.pages import version


def forwards(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the row and the triggers."""
    version.install(schema_editor)


def backwards(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Take them away again."""
    version.remove(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]

    operations = [migrations.RunPython(forwards, backwards)]
