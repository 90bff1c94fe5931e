"""The merchant's tax status and the rates by day; goods by tax class; journal lines that know their tax.

Old entries keep their form (1): the new columns are null in them. The chart gets the names and tax classes
that accounting programs have, where staff have not given others, and loses two accounts that nothing posts to.
"""

import django.core.validators
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from ledger.books.accounts import CHART, ensure_chart
from ledger.books.tax_rules import ensure_tax_rates
from ledger.books.triggers import install

# what staff have not changed gets its new text, each column on its own
OLD_DEFAULTS = {
    "name_ja": {
        "1110": "普通預金",
        "1150": "Stripe残高",
        "1151": "Stripe入金中",
        "1152": "Stripe留保金",
        "1153": "Stripe返金・係争準備金",
        "1154": "Stripe Issuing残高",
        "1155": "顧客現金残高",
        "1159": "Stripeその他の残高",
        "1160": "係争中債権",
        "2120": "返金未払金",
        "2140": "預り金",
        "2150": "仮受消費税等 10%",
        "2151": "仮受消費税等 軽減8%",
        "4110": "売上高 10%",
        "4111": "売上高 軽減8%",
        "4120": "送料収入",
        "4190": "売上返品・値引 10%",
        "4191": "売上返品・値引 軽減8%",
        "6110": "支払手数料（非課税）",
        "6111": "支払手数料（課税）",
        "6120": "チャージバック損失",
        "9990": "仮勘定",
    },
    "name_en": {
        "1110": "Bank",
        "2150": "Output tax 10%",
        "2151": "Output tax 8% (reduced)",
        "4110": "Sales 10%",
        "4111": "Sales 8% (reduced)",
        "4120": "Shipping income",
        "4190": "Returns and allowances 10%",
        "4191": "Returns and allowances 8%",
    },
    "tax_class": {
        "4110": "課税売上10%",
        "4111": "課税売上軽減8%",
        "4120": "課税売上10%",
        "4190": "課税売返10%",
        "4191": "課税売返軽減8%",
        "4910": "",
        "6111": "課税仕入10%",
    },
}
WITHOUT_FLOW = ("1180", "6190")
PORTION = 500


def name_chart(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Replace the old defaults of the accounts, and create the tax rates of the law."""
    using = schema_editor.connection.alias
    accounts = apps.get_model("ledger", "Account")._default_manager.using(using)
    for account in CHART:
        for column, old in OLD_DEFAULTS.items():
            if account.code in old:
                unchanged = accounts.filter(code=account.code, **{column: old[account.code]})
                unchanged.update(**{column: getattr(account, column)})
    lines = apps.get_model("ledger", "JournalLine")._default_manager.using(using)
    balances = apps.get_model("ledger", "ClosingBalance")._default_manager.using(using)
    for code in WITHOUT_FLOW:
        if not (lines.filter(account=code).exists() or balances.filter(account=code).exists()):
            accounts.filter(code=code).delete()
    ensure_chart(apps, using=using)
    ensure_tax_rates(apps, using=using)


def class_goods(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Set the tax classes by the rates: 8 % is the reduced one."""
    using = schema_editor.connection.alias
    lines = apps.get_model("ledger", "OrderLine")._default_manager.using(using)
    lines.filter(tax_rate=8).update(tax_class="reduced")
    parts = apps.get_model("ledger", "RefundLine")._default_manager.using(using)
    parts.filter(tax_rate=8).update(tax_class="reduced")
    parts.filter(tax_rate=10).update(tax_class="standard")
    # unshipped pieces were refunded first: those that came back are the pieces of the last refunds of a line,
    # most of which took no prepaid money
    came_back = parts.filter(order_line__returned__gt=0, quantity__gt=0)
    came_back.filter(prepaid=0).update(returned=models.F("quantity"))
    for line in lines.filter(returned__gt=0).iterator(PORTION):
        left = line.returned
        for part in came_back.filter(order_line=line).order_by("-pk"):
            returned = min(part.quantity, left)
            if part.returned != returned:
                parts.filter(pk=part.pk).update(returned=returned)
            left -= returned
    check_now(schema_editor)


def rate_goods(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Set the rates by the tax classes."""
    using = schema_editor.connection.alias
    for model in ("OrderLine", "RefundLine"):
        rows = apps.get_model("ledger", model)._default_manager.using(using)
        rows.filter(tax_class="reduced").update(tax_rate=8)
        rows.filter(tax_class="standard").update(tax_rate=10)
    check_now(schema_editor)


def check_now(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Check the foreign keys that PostgreSQL defers: it alters no table of which a check is pending.

    One is pending for each row that was updated twice.
    """
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.connection.check_constraints()


def hold(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers of the books, of the new table, too."""
    install(schema_editor)


TAX_CLASSES = [("standard", "standard rate"), ("reduced", "reduced rate (food and drink)")]
ROUNDINGS = [("down", "round down"), ("nearest", "round half up"), ("up", "round up")]


class Migration(migrations.Migration):
    dependencies = [("ledger", "0028_remote_area_once")]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, hold),
        migrations.CreateModel(
            name="TaxRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tax_class", models.CharField(choices=TAX_CLASSES, max_length=10, verbose_name="tax class")),
                ("from_day", models.DateField(verbose_name="delivered from")),
                ("percent", models.PositiveSmallIntegerField(
                    help_text="0 is taxed at 0 %, not exempt.",
                    validators=[django.core.validators.MaxValueValidator(99)],
                    verbose_name="percent",
                )),
            ],
            options={
                "verbose_name": "tax rate",
                "verbose_name_plural": "tax rates",
                "ordering": ["tax_class", "from_day"],
                "constraints": [
                    models.UniqueConstraint(fields=("tax_class", "from_day"), name="tax_rate_once")
                ],
            },
        ),
        migrations.RenameField("order", "tax_10", "tax_standard"),
        migrations.RenameField("order", "tax_8", "tax_reduced"),
        migrations.AlterField(
            "order", "tax_standard", models.PositiveIntegerField(verbose_name="tax, standard rate")
        ),
        migrations.AlterField(
            "order", "tax_reduced", models.PositiveIntegerField(verbose_name="tax, reduced rate")
        ),
        migrations.AddField(
            "order",
            "rate_standard",
            models.PositiveSmallIntegerField(default=10, null=True, verbose_name="standard rate"),
            preserve_default=False,
        ),
        migrations.AddField(
            "order",
            "rate_reduced",
            models.PositiveSmallIntegerField(default=8, null=True, verbose_name="reduced rate"),
            preserve_default=False,
        ),
        migrations.AddField(
            "order",
            "tax_rounding",
            models.CharField(
                choices=ROUNDINGS, default="down", max_length=7, verbose_name="fractions of a yen"
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            "orderline",
            "tax_class",
            models.CharField(
                choices=TAX_CLASSES, default="standard", max_length=10, verbose_name="tax class"
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            "refundline",
            "tax_class",
            models.CharField(
                blank=True, choices=TAX_CLASSES, default="", max_length=10, verbose_name="tax class"
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            "refundline", "returned", models.PositiveIntegerField(default=0, verbose_name="returned")
        ),
        migrations.RunPython(class_goods, rate_goods),
        migrations.RemoveConstraint("orderline", "order_line_tax_rate_known"),
        migrations.AlterField("orderline", "tax_rate", models.PositiveSmallIntegerField(default=10)),
        migrations.RemoveField("orderline", "tax_rate"),
        migrations.RemoveField("refundline", "tax_rate"),
        migrations.AddConstraint(
            "orderline",
            models.CheckConstraint(
                condition=models.Q(("tax_class__in", ["standard", "reduced"])),
                name="order_line_tax_class_known",
            ),
        ),
        migrations.CreateModel(
            name='TaxStatus',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_day', models.DateField(verbose_name='valid from')),
                ('entity', models.CharField(choices=[('corporation', 'corporation'), ('sole_trader', 'sole trader')], max_length=12, verbose_name='legal form')),
                ('fiscal_year_end', models.PositiveSmallIntegerField(help_text="Sales and expenses begin at zero after it. A sole trader's year ends in December.", validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(12)], verbose_name='last month of the fiscal year')),
                ('liability', models.CharField(choices=[('registered', 'taxable, registered as invoice issuer'), ('unregistered', 'taxable, not registered'), ('exempt', 'exempt')], max_length=12, verbose_name='consumption tax')),
                ('registration_number', models.CharField(blank=True, help_text='T and thirteen digits. It is printed on invoices.', max_length=14, validators=[django.core.validators.RegexValidator('\\AT\\d{13}\\Z', 'T and thirteen digits, such as T7000012050002.')], verbose_name='registration number')),
                ('registered_on', models.DateField(blank=True, null=True, verbose_name='registered on')),
                ('accounting', models.CharField(choices=[('net', 'net of tax'), ('gross', 'tax included')], max_length=5, verbose_name='accounting of tax')),
                ('filing', models.CharField(choices=[('general', 'general rule'), ('simplified', 'simplified taxation'), ('two_tenths', 'two tenths (transition)'), ('three_tenths', 'three tenths (transition)')], max_length=12, verbose_name='tax return')),
                ('business_type', models.PositiveSmallIntegerField(blank=True, help_text='With simplified taxation: 2 for retail, 1 for sales to businesses.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(6)], verbose_name='type of business')),
                ('rounding', models.CharField(choices=[('down', 'round down'), ('nearest', 'round half up'), ('up', 'round up')], max_length=7, verbose_name='fractions of a yen')),
                ('created_at', models.DateTimeField(verbose_name='written at')),
                ('actor', models.CharField(blank=True, max_length=150, verbose_name='by')),
            ],
            options={
                'verbose_name': 'tax status',
                'verbose_name_plural': 'tax status',
                'ordering': ['-from_day', '-id'],
            },
        ),
        migrations.AddField(
            model_name='balancetransaction',
            name='taxable_fee',
            field=models.IntegerField(null=True, verbose_name='taxable part of the fee'),
        ),
        migrations.AddField(
            model_name='journalentry',
            name='amount',
            field=models.BigIntegerField(null=True, verbose_name='amount'),
        ),
        migrations.AddField(
            model_name='journalentry',
            name='counterparty',
            field=models.CharField(max_length=120, null=True, verbose_name='counterparty'),
        ),
        migrations.AddField(
            model_name='journalentry',
            name='fiscal_year',
            field=models.PositiveSmallIntegerField(null=True, verbose_name='fiscal year'),
        ),
        migrations.AddField(
            model_name='journalentry',
            name='form',
            field=models.PositiveSmallIntegerField(null=True, verbose_name="form"),
        ),
        migrations.AddField(
            model_name='journalline',
            name='tax',
            field=models.BigIntegerField(null=True, verbose_name='tax'),
        ),
        migrations.AddField(
            model_name='journalline',
            name='tax_class',
            field=models.CharField(choices=[('sale_standard', 'taxable sale'), ('sale_reduced', 'taxable sale, reduced rate'), ('return_standard', 'return of a taxable sale'), ('return_reduced', 'return of a taxable sale, reduced rate'), ('purchase', 'taxable purchase'), ('exempt_purchase', 'exempt purchase'), ('outside', 'outside the tax'), ('tax', 'the tax of other lines')], max_length=16, null=True, verbose_name='tax class'),
        ),
        migrations.AddField(
            model_name='journalline',
            name='tax_rate',
            field=models.PositiveSmallIntegerField(null=True, verbose_name='tax rate'),
        ),
        migrations.AlterField(
            model_name='discrepancy',
            name='kind',
            field=models.CharField(choices=[('missing_at_stripe', 'in our books, not at Stripe'), ('missing_in_books', 'at Stripe, not in our books'), ('amount', 'amounts differ'), ('balance', "Stripe's balance differs from account 1150"), ('unknown_type', 'unknown Stripe transaction type'), ('late', 'surfaced after its day was closed'), ('paid_other_amount', "another amount paid than the order's total"), ('paid_after_cancellation', 'paid after cancellation'), ('paid_twice', 'paid twice'), ('foreign_currency', 'money in another currency'), ('other_balance', 'money in another balance at Stripe'), ('refund_failed', 'refund failed'), ('refund_replaced', 'refund failed, another one paid its amount'), ('refund_withdrawn', 'refund cancelled before its money moved'), ('withdrawn_to_decide', 'refund cancelled: decide about its money'), ('money_gone', 'money refunded, goods not shipped: decide about the order'), ('payment_missing', 'payment page complete, no payment: decide about the order'), ('fee_tax', 'tax of a fee that fits no part of it'), ('invariant', 'an invariant of the books is broken')], max_length=30, verbose_name='kind'),
        ),
        migrations.AddIndex(
            model_name='journalentry',
            index=models.Index(fields=['amount'], name='entry_amount'),
        ),
        migrations.AddConstraint(
            model_name='taxstatus',
            constraint=models.CheckConstraint(condition=models.Q(('fiscal_year_end__range', (1, 12))), name='tax_status_month_of_the_year'),
        ),
        migrations.RunPython(name_chart, migrations.RunPython.noop),
        migrations.RunPython(hold, migrations.RunPython.noop),
    ]
