"""Names of the types of Stripe's balance transactions, as staff and accountants read them."""

from collections.abc import Mapping

# Japanese whatever language is active: they stand in the evidence.
# https://docs.stripe.com/reports/balance-transaction-types
TYPES: Mapping[str, str] = {
    "charge": "売上（カード）",
    "payment": "売上（コンビニ等）",
    "refund": "返金（カード）",
    "payment_refund": "返金（コンビニ等）",
    "refund_failure": "返金の失敗（カード）",
    "payment_failure_refund": "返金の失敗（コンビニ等）",
    "payment_reversal": "売上の取消（コンビニ等）",
    "payout": "振込",
    "payout_cancel": "振込の取消",
    "payout_failure": "振込の失敗",
    "adjustment": "調整（係争など）",
    "stripe_fee": "Stripe の手数料",
    "tax_fee": "Stripe の手数料の税",
    "topup": "残高への入金",
    "topup_reversal": "残高への入金の取消",
    "reserve_transaction": "留保",
    "reserved_funds": "留保",
}


def type_name(kind: str) -> str:
    """Return the Japanese name of a type; of one that is not listed it contains Stripe's word."""
    return TYPES.get(kind) or f"その他（{kind}）"
