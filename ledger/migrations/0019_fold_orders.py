"""The texts of the orders that exist."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from kikaku.folded import refold

LINES = {
    "Order": (
        "{number}",
        "{family_name}{given_name}",
        "{family_name_kana}{given_name_kana}",
        "{email}",
        "{phone}",
        "{postal_code}",
        "{prefecture}{city}{street}{building}",
    ),
    "OrderLine": ("{title}", "{sku}"),
    "Shipment": ("{tracking_number}",),
}


def fill(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Fold the texts of each row."""
    for name, lines in LINES.items():
        refold(apps.get_model("ledger", name)._base_manager.using(schema_editor.connection.alias), lines)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0018_search_texts")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
