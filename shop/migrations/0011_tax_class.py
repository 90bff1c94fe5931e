"""Goods have a class of consumption tax instead of a rate, which the law changes."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from shop.pages.version import install, remove_triggers


def class_goods(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Set the classes by the rates: 8 % is the reduced one.

    Without the triggers: PostgreSQL alters no table that has some of their events pending.
    """
    remove_triggers(schema_editor)
    variants = apps.get_model("shop", "Variant")._default_manager.using(schema_editor.connection.alias)
    variants.filter(tax_rate=8).update(tax_class="reduced")


def rate_goods(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Set the rates by the classes."""
    remove_triggers(schema_editor)
    variants = apps.get_model("shop", "Variant")._default_manager.using(schema_editor.connection.alias)
    variants.filter(tax_class="reduced").update(tax_rate=8)


def hold(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers anew: SQLite loses those of a table that it rebuilds."""
    install(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("shop", "0010_synonyms_once")]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, hold),
        migrations.AddField(
            "variant",
            "tax_class",
            models.CharField(
                choices=[("standard", "standard rate"), ("reduced", "reduced rate (food and drink)")],
                default="standard",
                max_length=10,
                verbose_name="tax class",
            ),
        ),
        migrations.RunPython(class_goods, rate_goods),
        migrations.RemoveConstraint("variant", "variant_tax_rate_known"),
        migrations.RemoveField("variant", "tax_rate"),
        migrations.AddConstraint(
            "variant",
            models.CheckConstraint(
                condition=models.Q(("tax_class__in", ["standard", "reduced"])),
                name="variant_tax_class_known",
            ),
        ),
        migrations.RunPython(hold, migrations.RunPython.noop),
    ]
