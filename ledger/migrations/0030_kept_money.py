"""Money that was kept, and the reason of a stock adjustment; the new tables are append-only."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from ledger.books.triggers import install


def hold(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers of the books, of the new tables, too."""
    install(schema_editor)


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0029_tax_status'),
    ]

    operations = [
        migrations.AddField(
            model_name='stockmovement',
            name='reason',
            field=models.CharField(choices=[('promotion', 'promotion'), ('prize', 'prize'), ('courtesy', 'courtesy to a customer'), ('own_use', 'own use'), ('officer', 'for an officer of the company'), ('disposal', 'disposal'), ('count', 'difference found by counting')], max_length=12, null=True, verbose_name='reason'),
        ),
        migrations.AlterField(
            model_name='orderevent',
            name='kind',
            field=models.CharField(choices=[('placed', 'order placed'), ('payment_started', 'payment started'), ('payment_failed', 'payment attempt failed'), ('page_expired', 'payment page closed'), ('voucher_issued', 'voucher issued'), ('voucher_expired', 'voucher expired'), ('paid', 'paid'), ('paid_other_amount', 'another amount paid'), ('paid_twice', 'paid twice'), ('paid_after_cancellation', 'paid after cancellation'), ('shipped', 'parcel shipped'), ('parcel_corrected', 'parcel corrected'), ('cancelled', 'order cancelled'), ('rest_cancelled', 'what was left cancelled'), ('refund_requested', 'refund requested'), ('refund_waiting', 'refund waits for the customer'), ('refund_pending', 'refund on its way'), ('refund_succeeded', 'refund succeeded'), ('refund_failed', 'refund failed'), ('refund_cancelled', 'refund cancelled'), ('money_kept', 'money kept'), ('kept_taken_back', 'kept money refunded after all'), ('mail_sent', 'mail sent'), ('mail_failed', 'mail given up'), ('mail_dropped', 'mail dropped'), ('mail_withheld', 'mail withheld'), ('mail_queued_again', 'mail queued again')], max_length=30, verbose_name='what happened'),
        ),
        migrations.CreateModel(
            name='KeptMoney',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('nonce', models.CharField(editable=False, max_length=64, unique=True)),
                ('amount', models.IntegerField(verbose_name='amount')),
                ('reason', models.CharField(max_length=200, verbose_name='reason')),
                ('at', models.DateTimeField(verbose_name='kept at')),
                ('actor', models.CharField(max_length=150, verbose_name='by')),
                ('order', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='kept_money', to='ledger.order', verbose_name='order')),
            ],
            options={
                'verbose_name': 'kept money',
                'verbose_name_plural': 'kept money',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='KeptMoneyLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('tax_class', models.CharField(blank=True, choices=[('standard', 'standard rate'), ('reduced', 'reduced rate (food and drink)')], max_length=10, verbose_name='tax class')),
                ('prepaid', models.IntegerField(default=0, verbose_name='before shipment')),
                ('payable', models.IntegerField(default=0, verbose_name='owed from a failed refund')),
                ('kept', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='ledger.keptmoney', verbose_name='kept money')),
            ],
            options={
                'verbose_name': 'line of kept money',
                'verbose_name_plural': 'lines of kept money',
            },
        ),
        migrations.AddConstraint(
            model_name='keptmoney',
            constraint=models.CheckConstraint(condition=models.Q(('amount', 0), _negated=True), name='kept_money_not_zero'),
        ),
        migrations.AddConstraint(
            model_name='keptmoneyline',
            constraint=models.UniqueConstraint(fields=('kept', 'tax_class'), name='kept_money_line_once_per_class'),
        ),
        migrations.RunPython(hold, migrations.RunPython.noop),
    ]
