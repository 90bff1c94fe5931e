"""Ask Stripe once about a completed page, and a task for one that names no payment."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0026_close_mail'),
    ]

    operations = [
        migrations.AddField(
            model_name='checkoutattempt',
            name='asked_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='last asked at Stripe'),
        ),
        migrations.AlterField(
            model_name='discrepancy',
            name='kind',
            field=models.CharField(choices=[('missing_at_stripe', 'in our books, not at Stripe'), ('missing_in_books', 'at Stripe, not in our books'), ('amount', 'amounts differ'), ('balance', "Stripe's balance differs from account 1150"), ('unknown_type', 'unknown Stripe transaction type'), ('late', 'surfaced after its day was closed'), ('paid_other_amount', "another amount paid than the order's total"), ('paid_after_cancellation', 'paid after cancellation'), ('paid_twice', 'paid twice'), ('foreign_currency', 'money in another currency'), ('other_balance', 'money in another balance at Stripe'), ('refund_failed', 'refund failed'), ('refund_replaced', 'refund failed, another one paid its amount'), ('refund_withdrawn', 'refund cancelled before its money moved'), ('withdrawn_to_decide', 'refund cancelled: decide about its money'), ('money_gone', 'money refunded, goods not shipped: decide about the order'), ('payment_missing', 'payment page complete, no payment: decide about the order'), ('invariant', 'an invariant of the books is broken')], max_length=30, verbose_name='kind'),
        ),
    ]
