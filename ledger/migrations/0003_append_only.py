"""Hold the books by database triggers, and create the marker that a test database carries."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from ledger.books.triggers import install, remove


def forwards(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the marker table, then the triggers that look at it."""
    schema_editor.execute("CREATE TABLE ledger_test_database (marker integer NOT NULL)")
    install(schema_editor)


def backwards(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Take both away again."""
    remove(schema_editor)
    schema_editor.execute("DROP TABLE ledger_test_database")


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_chart_of_accounts")]

    operations = [migrations.RunPython(forwards, backwards)]
