"""Pause between attempts at an event, set events aside, and tell apart those of types that are not handled."""

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

UNHANDLED_TYPES = ("charge.dispute.", "payout.", "radar.early_fraud_warning.", "review.")


def mark_unhandled(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Mark the events that were stored as done although they had no effect."""
    events = apps.get_model("ledger", "StripeEvent").objects.using(schema_editor.connection.alias)
    for beginning in UNHANDLED_TYPES:
        events.filter(status="done", type__startswith=beginning).update(status="unhandled")


def mark_done(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Mark them as done again, and those that were set aside."""
    events = apps.get_model("ledger", "StripeEvent").objects.using(schema_editor.connection.alias)
    events.filter(status__in=("unhandled", "set_aside")).update(status="done")


class Migration(migrations.Migration):
    dependencies = [("ledger", "0011_order_endings")]

    operations = [
        migrations.AddField(
            model_name="stripeevent",
            name="retry_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="next attempt"),
        ),
        migrations.AlterField(
            model_name="stripeevent",
            name="status",
            field=models.CharField(
                choices=[
                    ("pending", "pending"),
                    ("done", "done"),
                    ("failed", "failed"),
                    ("unhandled", "not handled"),
                    ("set_aside", "set aside"),
                ],
                default="pending",
                max_length=10,
                verbose_name="status",
            ),
        ),
        migrations.CreateModel(
            name="SetAside",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                ("actor", models.CharField(max_length=150, verbose_name="by")),
                ("at", models.DateTimeField(verbose_name="set aside at")),
                (
                    "event",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="set_asides",
                        to="ledger.stripeevent",
                        verbose_name="Stripe event",
                    ),
                ),
            ],
            options={
                "verbose_name": "event set aside",
                "verbose_name_plural": "events set aside",
                "ordering": ["-id"],
            },
        ),
        migrations.RunPython(mark_unhandled, mark_done),
    ]
