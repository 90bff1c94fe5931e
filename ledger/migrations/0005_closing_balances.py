"""Balances carried forward per closed day, indexes for what a close counts; the triggers stand on all of it."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from ledger.books.triggers import install


def hold(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers anew: SQLite lost those of the journal's lines when it rebuilt their table."""
    install(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_konbini")]

    operations = [
        migrations.CreateModel(
            name="ClosingBalance",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("debit", models.PositiveBigIntegerField(verbose_name="debit")),
                ("credit", models.PositiveBigIntegerField(verbose_name="credit")),
                ("open_orders", models.PositiveIntegerField(default=0, verbose_name="open orders")),
                ("without_order", models.BigIntegerField(default=0, verbose_name="without order")),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="closing_balances",
                        to="ledger.account",
                        verbose_name="account",
                    ),
                ),
                (
                    "close",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="balances",
                        to="ledger.dailyclose",
                        verbose_name="daily close",
                    ),
                ),
            ],
            options={
                "verbose_name": "closing balance",
                "verbose_name_plural": "closing balances",
                "ordering": ["close", "account"],
            },
        ),
        migrations.AddConstraint(
            model_name="closingbalance",
            constraint=models.UniqueConstraint(
                fields=("close", "account"), name="closing_balance_once_per_account"
            ),
        ),
        migrations.AlterField(
            model_name="journalline",
            name="account",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lines",
                to="ledger.account",
                verbose_name="account",
            ),
        ),
        migrations.RemoveIndex(model_name="journalentry", name="entry_day"),
        migrations.AddIndex(
            model_name="journalentry",
            index=models.Index(fields=["day", "order"], name="entry_day_order"),
        ),
        migrations.AddIndex(
            model_name="order", index=models.Index(fields=["placed_at"], name="order_placed")
        ),
        migrations.AddIndex(model_name="order", index=models.Index(fields=["paid_at"], name="order_paid")),
        migrations.AddIndex(
            model_name="order", index=models.Index(fields=["cancelled_at"], name="order_cancelled")
        ),
        migrations.AddIndex(
            model_name="shipment", index=models.Index(fields=["shipped_at"], name="shipment_shipped")
        ),
        migrations.RunPython(hold, migrations.RunPython.noop),
    ]
