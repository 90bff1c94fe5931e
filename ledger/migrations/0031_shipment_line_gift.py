"""The reason of goods of ¥0 in a parcel; empty in the parcels that were sent before."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0030_kept_money'),
    ]

    operations = [
        migrations.AddField(
            model_name='shipmentline',
            name='gift',
            field=models.CharField(choices=[('promotion', 'promotion'), ('prize', 'prize'), ('courtesy', 'courtesy to a customer'), ('own_use', 'own use'), ('officer', 'for an officer of the company')], max_length=12, null=True, verbose_name='as a gift'),
        ),
    ]
