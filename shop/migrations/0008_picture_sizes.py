"""The files of other sizes beside a picture, and the raster of a drawing. The triggers stand on all of it."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from shop.pages.version import install


def hold(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers anew: SQLite loses those of a table that it rebuilds."""
    install(schema_editor)


class Migration(migrations.Migration):
    dependencies = [
        ("shop", "0007_redirects"),
    ]

    operations = [
        migrations.AddField(
            model_name="picture",
            name="raster",
            field=models.CharField(blank=True, editable=False, max_length=100),
        ),
        migrations.AddField(
            model_name="picture",
            name="sizes",
            field=models.CharField(blank=True, editable=False, max_length=60),
        ),
        migrations.RunPython(hold, migrations.RunPython.noop),
    ]
