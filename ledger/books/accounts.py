"""The chart of accounts. Staff may add accounts in the admin; those below are used by the code and stay."""

from dataclasses import dataclass

from django.apps.registry import Apps
from django.db import DEFAULT_DB_ALIAS

from kikaku.money import REDUCED, STANDARD

BANK = "1110"
STRIPE_BALANCE = "1150"
PAYOUT_IN_TRANSIT = "1151"
STRIPE_RISK_RESERVED = "1152"
STRIPE_PREFUNDING = "1153"
STRIPE_ISSUING = "1154"
CASH_BALANCE_ASSET = "1155"
STRIPE_OTHER_BALANCE = "1159"
DISPUTED = "1160"
INPUT_TAX = "1410"
REFUNDS_PAYABLE = "2120"
PREPAYMENTS = "2130"
CASH_BALANCE_LIABILITY = "2140"
OUTPUT_TAX_STANDARD = "2150"
OUTPUT_TAX_REDUCED = "2151"
OPENING_BALANCE = "3900"
SALES_STANDARD = "4110"
SALES_REDUCED = "4111"
SHIPPING_INCOME = "4120"
RETURNS_STANDARD = "4190"
RETURNS_REDUCED = "4191"
OTHER_INCOME = "4910"
FEES_EXEMPT = "6110"
FEES_TAXABLE = "6111"
CHARGEBACK_LOSS = "6120"
SUSPENSE = "9990"

# by tax class, whatever its rate
SALES_ACCOUNTS = {STANDARD: SALES_STANDARD, REDUCED: SALES_REDUCED}
RETURNS_ACCOUNTS = {STANDARD: RETURNS_STANDARD, REDUCED: RETURNS_REDUCED}
OUTPUT_TAX_ACCOUNTS = {STANDARD: OUTPUT_TAX_STANDARD, REDUCED: OUTPUT_TAX_REDUCED}
TAX_ACCOUNTS = (INPUT_TAX, *OUTPUT_TAX_ACCOUNTS.values())
# of entries of form 1, whose lines do not tell it
RATES_OF_FORM_1 = {STANDARD: 10, REDUCED: 8}

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


# names as the accounting programs have them: the account, and in brackets the sub-account
CHART: tuple[ChartAccount, ...] = (
    ChartAccount(BANK, "Stripe入金済（銀行へ）", "Paid out by Stripe", "asset", "対象外"),
    ChartAccount(STRIPE_BALANCE, "未収入金（Stripe残高）", "Stripe balance", "asset", "対象外"),
    ChartAccount(PAYOUT_IN_TRANSIT, "未収入金（Stripe入金中）", "Payout in transit", "asset", "対象外"),
    ChartAccount(STRIPE_RISK_RESERVED, "未収入金（Stripe留保金）", "Stripe risk reserve", "asset", "対象外"),
    ChartAccount(
        STRIPE_PREFUNDING,
        "未収入金（Stripe返金・係争準備金）",
        "Stripe refund and dispute prefunding",
        "asset",
        "対象外",
    ),
    ChartAccount(
        STRIPE_ISSUING, "未収入金（Stripe Issuing残高）", "Stripe Issuing balance", "asset", "対象外"
    ),
    ChartAccount(
        STRIPE_OTHER_BALANCE, "未収入金（Stripeその他の残高）", "Other Stripe balances", "asset", "対象外"
    ),
    ChartAccount(CASH_BALANCE_ASSET, "預け金（顧客現金残高）", "Customer cash balance", "asset", "対象外"),
    ChartAccount(DISPUTED, "未収入金（係争中）", "Disputed", "asset", "対象外"),
    ChartAccount(INPUT_TAX, "仮払消費税等", "Input tax", "asset", ""),
    ChartAccount(REFUNDS_PAYABLE, "未払金（返金）", "Refunds payable", "liability", "対象外"),
    ChartAccount(PREPAYMENTS, "前受金", "Customer prepayments", "liability", "対象外"),
    ChartAccount(
        CASH_BALANCE_LIABILITY, "預り金（顧客現金残高）", "Customer cash balance owed", "liability", "対象外"
    ),
    ChartAccount(
        OUTPUT_TAX_STANDARD, "仮受消費税等（標準税率）", "Output tax, standard rate", "liability", ""
    ),
    ChartAccount(OUTPUT_TAX_REDUCED, "仮受消費税等（軽減税率）", "Output tax, reduced rate", "liability", ""),
    ChartAccount(OPENING_BALANCE, "開始残高", "Opening balance", "equity", "対象外"),
    ChartAccount(SALES_STANDARD, "売上高（標準税率）", "Sales, standard rate", "revenue", "課税売上"),
    ChartAccount(SALES_REDUCED, "売上高（軽減税率）", "Sales, reduced rate", "revenue", "課税売上軽減"),
    ChartAccount(SHIPPING_INCOME, "売上高（送料）", "Sales, shipping", "revenue", "課税売上"),
    ChartAccount(
        RETURNS_STANDARD,
        "売上戻り高・値引高（標準税率）",
        "Returns and allowances, standard rate",
        "revenue",
        "課税売返",
    ),
    ChartAccount(
        RETURNS_REDUCED,
        "売上戻り高・値引高（軽減税率）",
        "Returns and allowances, reduced rate",
        "revenue",
        "課税売返軽減",
    ),
    ChartAccount(OTHER_INCOME, "雑収入", "Other income", "revenue", "対象外"),
    ChartAccount(
        FEES_EXEMPT, "支払手数料（Stripe・非課税）", "Payment fees, exempt", "expense", "非課税仕入"
    ),
    ChartAccount(FEES_TAXABLE, "支払手数料（Stripe・課税）", "Payment fees, taxable", "expense", "課税仕入"),
    ChartAccount(CHARGEBACK_LOSS, "雑損失（チャージバック）", "Chargeback loss", "expense", "対象外"),
    ChartAccount(SUSPENSE, "仮払金・仮受金（仮勘定）", "Suspense", "asset", "対象外"),
)


def split_name(name: str) -> tuple[str, str]:
    """Return the account and the sub-account (補助) of a name such as 未収入金（Stripe残高）."""
    account, bracket, rest = name.partition("（")
    return (account, rest.removesuffix("）")) if bracket and rest.endswith("）") else (name, "")


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
