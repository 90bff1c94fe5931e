"""Store whether the details of a fee have a line of tax; older rows keep null, which means by its amount."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0008_attempt_method")]

    operations = [
        migrations.AddField(
            model_name="balancetransaction",
            name="fee_taxed",
            field=models.BooleanField(null=True, verbose_name="fee is taxed"),
        ),
    ]
