"""Pages show delivery days: their triggers."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from shop.pages import version


def forwards(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers of all tables."""
    version.install(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("shop", "0004_search_words"), ("ledger", "0014_seed_delivery_days")]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
