"""Remember the Stripe account that the books belong to."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from ledger.books import triggers


def hold(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the new table append-only."""
    triggers.install(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0014_seed_delivery_days")]

    operations = [
        migrations.CreateModel(
            name="StripeAccount",
            fields=[
                (
                    "row",
                    models.PositiveSmallIntegerField(
                        default=1, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("account", models.CharField(max_length=64, verbose_name="Stripe account")),
                ("live", models.BooleanField(verbose_name="live mode")),
                ("first_used_at", models.DateTimeField(verbose_name="first used at")),
            ],
            options={
                "verbose_name": "Stripe account",
                "verbose_name_plural": "Stripe accounts",
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("row", 1)), name="stripe_account_single")
                ],
            },
        ),
        migrations.RunPython(hold, migrations.RunPython.noop),
    ]
