"""The chart of accounts. Staff may add accounts in the admin; those below are used by the code and stay."""

from dataclasses import dataclass

from django.apps.registry import Apps
from django.db import DEFAULT_DB_ALIAS

from kikaku.money import REDUCED_RATE, STANDARD_RATE

BANK = "1110"
STRIPE_BALANCE = "1150"
PAYOUT_IN_TRANSIT = "1151"
STRIPE_RISK_RESERVED = "1152"
STRIPE_PREFUNDING = "1153"
STRIPE_ISSUING = "1154"
CASH_BALANCE_ASSET = "1155"
STRIPE_OTHER_BALANCE = "1159"
DISPUTED = "1160"
RECEIVABLE = "1180"
INPUT_TAX = "1410"
REFUNDS_PAYABLE = "2120"
PREPAYMENTS = "2130"
CASH_BALANCE_LIABILITY = "2140"
OUTPUT_TAX_10 = "2150"
OUTPUT_TAX_8 = "2151"
OPENING_BALANCE = "3900"
SALES_10 = "4110"
SALES_8 = "4111"
SHIPPING_INCOME = "4120"
RETURNS_10 = "4190"
RETURNS_8 = "4191"
OTHER_INCOME = "4910"
FEES_EXEMPT = "6110"
FEES_TAXABLE = "6111"
CHARGEBACK_LOSS = "6120"
ROUNDING_LOSS = "6190"
SUSPENSE = "9990"

# by tax rate in percent
SALES_ACCOUNTS = {STANDARD_RATE: SALES_10, REDUCED_RATE: SALES_8}
RETURNS_ACCOUNTS = {STANDARD_RATE: RETURNS_10, REDUCED_RATE: RETURNS_8}
OUTPUT_TAX_ACCOUNTS = {STANDARD_RATE: OUTPUT_TAX_10, REDUCED_RATE: OUTPUT_TAX_8}

# Stripe's balances other than that of payments, by `balance_type`; one that we do not know is 1159
OTHER_STRIPE_BALANCES = {
    "risk_reserved": STRIPE_RISK_RESERVED,
    "refund_and_dispute_prefunding": STRIPE_PREFUNDING,
    "issuing": STRIPE_ISSUING,
}
STRIPE_BALANCES = frozenset({STRIPE_BALANCE, STRIPE_OTHER_BALANCE, *OTHER_STRIPE_BALANCES.values()})


def stripe_balance_account(other_balance: str | None) -> str:
    """Return the account of one of Stripe's balances; None is the balance of payments."""
    if not other_balance:
        return STRIPE_BALANCE
    return OTHER_STRIPE_BALANCES.get(other_balance, STRIPE_OTHER_BALANCE)


# owed to customers; their sub-ledger is kept order by order
CUSTOMER_LIABILITY_ACCOUNTS = (PREPAYMENTS, REFUNDS_PAYABLE)


@dataclass(frozen=True)
class ChartAccount:
    """An account as the migration creates it."""

    code: str
    name_ja: str
    name_en: str
    type: str  # a value of ledger.models.Account.Type
    tax_class: str  # in the accounting exports


CHART: tuple[ChartAccount, ...] = (
    ChartAccount(BANK, "普通預金", "Bank", "asset", "対象外"),
    ChartAccount(STRIPE_BALANCE, "Stripe残高", "Stripe balance", "asset", "対象外"),
    ChartAccount(PAYOUT_IN_TRANSIT, "Stripe入金中", "Payout in transit", "asset", "対象外"),
    ChartAccount(STRIPE_RISK_RESERVED, "Stripe留保金", "Stripe risk reserve", "asset", "対象外"),
    ChartAccount(
        STRIPE_PREFUNDING, "Stripe返金・係争準備金", "Stripe refund and dispute prefunding", "asset", "対象外"
    ),
    ChartAccount(STRIPE_ISSUING, "Stripe Issuing残高", "Stripe Issuing balance", "asset", "対象外"),
    ChartAccount(STRIPE_OTHER_BALANCE, "Stripeその他の残高", "Other Stripe balances", "asset", "対象外"),
    ChartAccount(CASH_BALANCE_ASSET, "顧客現金残高", "Customer cash balance", "asset", "対象外"),
    ChartAccount(DISPUTED, "係争中債権", "Disputed", "asset", "対象外"),
    ChartAccount(RECEIVABLE, "売掛金", "Receivable", "asset", "対象外"),
    ChartAccount(INPUT_TAX, "仮払消費税等", "Input tax", "asset", ""),
    ChartAccount(REFUNDS_PAYABLE, "返金未払金", "Refunds payable", "liability", "対象外"),
    ChartAccount(PREPAYMENTS, "前受金", "Customer prepayments", "liability", "対象外"),
    ChartAccount(CASH_BALANCE_LIABILITY, "預り金", "Customer cash balance owed", "liability", "対象外"),
    ChartAccount(OUTPUT_TAX_10, "仮受消費税等 10%", "Output tax 10%", "liability", ""),
    ChartAccount(OUTPUT_TAX_8, "仮受消費税等 軽減8%", "Output tax 8% (reduced)", "liability", ""),
    ChartAccount(OPENING_BALANCE, "開始残高", "Opening balance", "equity", "対象外"),
    ChartAccount(SALES_10, "売上高 10%", "Sales 10%", "revenue", "課税売上10%"),
    ChartAccount(SALES_8, "売上高 軽減8%", "Sales 8% (reduced)", "revenue", "課税売上軽減8%"),
    ChartAccount(SHIPPING_INCOME, "送料収入", "Shipping income", "revenue", "課税売上10%"),
    ChartAccount(RETURNS_10, "売上返品・値引 10%", "Returns and allowances 10%", "revenue", "課税売返10%"),
    ChartAccount(
        RETURNS_8, "売上返品・値引 軽減8%", "Returns and allowances 8%", "revenue", "課税売返軽減8%"
    ),
    ChartAccount(OTHER_INCOME, "雑収入", "Other income", "revenue", ""),
    ChartAccount(FEES_EXEMPT, "支払手数料（非課税）", "Payment fees, exempt", "expense", "非課税仕入"),
    ChartAccount(FEES_TAXABLE, "支払手数料（課税）", "Payment fees, taxable", "expense", "課税仕入10%"),
    ChartAccount(CHARGEBACK_LOSS, "チャージバック損失", "Chargeback loss", "expense", "対象外"),
    ChartAccount(ROUNDING_LOSS, "端数・雑損失", "Rounding and other losses", "expense", "対象外"),
    ChartAccount(SUSPENSE, "仮勘定", "Suspense", "asset", "対象外"),
)


def ensure_chart(apps: Apps | None = None, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Create the accounts that are missing; existing ones keep the names that staff gave them.

    Inside a migration, `apps` is the historical registry.
    """
    if apps is None:
        from django.apps import apps as current

        apps = current
    account = apps.get_model("ledger", "Account")
    account._default_manager.using(using).bulk_create(
        [
            account(
                code=entry.code,
                name_ja=entry.name_ja,
                name_en=entry.name_en,
                type=entry.type,
                tax_class=entry.tax_class,
            )
            for entry in CHART
        ],
        ignore_conflicts=True,
    )
