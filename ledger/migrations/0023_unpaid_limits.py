"""Keep what limits unpaid orders: the client of an order, whether a page offers vouchers, and the exceptions."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0022_mail_withheld")]

    operations = [
        migrations.CreateModel(
            name="OrderAllowance",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("email", models.EmailField(max_length=254, unique=True, verbose_name="e-mail")),
                ("note", models.CharField(max_length=200, verbose_name="note")),
            ],
            options={
                "verbose_name": "customer without limits",
                "verbose_name_plural": "customers without limits",
                "ordering": ["email"],
            },
        ),
        migrations.AddField(
            model_name="checkoutattempt",
            name="offers_vouchers",
            field=models.BooleanField(null=True, verbose_name="vouchers offered"),
        ),
        migrations.AddField(
            model_name="order",
            name="client",
            field=models.CharField(editable=False, max_length=32, null=True),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(fields=["client", "placed_at"], name="order_client_placed"),
        ),
    ]
