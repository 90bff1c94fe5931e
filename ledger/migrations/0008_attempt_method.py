from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def name_the_method_of_vouchers(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Set the method of existing vouchers: each of them is one of a convenience store."""
    attempts = apps.get_model("ledger", "CheckoutAttempt").objects.using(schema_editor.connection.alias)
    attempts.filter(voucher_expires_at__isnull=False).update(method="konbini")


class Migration(migrations.Migration):
    dependencies = [("ledger", "0007_order_history")]

    operations = [
        migrations.AddField(
            model_name="checkoutattempt",
            name="method",
            field=models.CharField(blank=True, max_length=30, verbose_name="method"),
        ),
        migrations.RunPython(name_the_method_of_vouchers, migrations.RunPython.noop),
    ]
