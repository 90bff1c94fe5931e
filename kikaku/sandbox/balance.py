"""The account's balance: fees, balance transactions, and when money becomes available."""

from kikaku.sandbox.state import Json, Transaction, new_id

FEE_PER_MILLE = 36  # 3.6 %, the price of cards and of konbini in Japan
FEE_TAX_PERCENT = 10
DAYS_UNTIL_AVAILABLE = 4
_DAY = 24 * 3600
_NOUNS = {"refund": "CHARGE", "refund_failure": "CHARGE", "payment_refund": "PAYMENT"}


def processing_fee(amount: int) -> int:
    """Return the fee of a payment in JPY, without tax: 3.6 % rounded half up to the yen."""
    return (amount * FEE_PER_MILLE + 500) // 1000


def fee_tax(fee: int) -> int:
    """Return the consumption tax on a taxable fee in JPY: 10 % rounded half up to the yen."""
    return (fee * FEE_TAX_PERCENT + 50) // 100


def fee_is_taxed(charge: Json) -> bool:
    """Return whether a charge's fee carries Japanese consumption tax: all but Visa's and Mastercard's do."""
    return not is_card_charge(charge) or charge["payment_method_details"]["card"]["brand"] not in {
        "visa",
        "mastercard",
    }


def is_card_charge(charge: Json) -> bool:
    """Return whether a charge was paid by card; others (`py_…`) are of type `payment` in the balance."""
    return bool(charge["payment_method_details"]["type"] == "card")


def book_charge(tx: Transaction, charge: Json) -> Json:
    """Add the balance transaction of a captured charge and return it.

    Types, here and below: https://docs.stripe.com/reports/balance-transaction-types
    """
    fee = processing_fee(charge["amount"])
    details = [_fee_detail(fee, "Stripe processing fees", "stripe_fee")]
    if fee_is_taxed(charge):
        details.append(_fee_detail(fee_tax(fee), "JCT", "tax"))
    available_on = (tx.second // _DAY + DAYS_UNTIL_AVAILABLE) * _DAY
    kind = "charge" if is_card_charge(charge) else "payment"
    return _book(tx, kind, "charge", charge, charge["amount"], details, available_on)


def book_refund(tx: Transaction, refund: Json, charge: Json) -> Json:
    """Add the balance transaction of a refund: the negative amount; no fee is charged or returned."""
    kind = "refund" if is_card_charge(charge) else "payment_refund"
    return _book(tx, kind, "refund", refund, -refund["amount"], [], _available_with_charge(tx, charge))


def book_refund_failure(tx: Transaction, refund: Json, charge: Json) -> Json:
    """Add the balance transaction that returns the money of a failed refund.

    For a payment without a card it is another `payment_refund`, with a positive amount.
    """
    kind, category = (
        ("refund_failure", "refund_failure") if is_card_charge(charge) else ("payment_refund", "refund")
    )
    return _book(tx, kind, category, refund, refund["amount"], [], _available_with_charge(tx, charge))


def hold_reserve(tx: Transaction, amount: int) -> None:
    """Move an amount from the balance of payments into the risk reserve: a transaction for each balance."""
    source: Json = {"id": None, "description": "Reserve"}
    for balance_type, moved in (("payments", -amount), ("risk_reserved", amount)):
        _book(tx, "reserve_hold", "risk_reserved_funds", source, moved, [], tx.second, balance_type)


def _available_with_charge(tx: Transaction, charge: Json) -> int:
    """Return when a refund's transaction is available: it belongs to the part that holds the charge."""
    if charge["balance_transaction"] is None:
        return tx.second
    booked = tx.load("balance_transaction", charge["balance_transaction"])
    return max(tx.second, int(booked["available_on"]))


def _fee_detail(amount: int, description: str, fee_type: str) -> Json:
    return {
        "amount": amount,
        "application": None,
        "currency": "jpy",
        "description": description,
        "type": fee_type,
    }


def _book(
    tx: Transaction,
    kind: str,
    category: str,
    source: Json,
    amount: int,
    fee_details: list[Json],
    available_on: int,
    balance_type: str = "payments",
) -> Json:
    fee = sum(detail["amount"] for detail in fee_details)
    transaction: Json = {
        "id": new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": available_on,
        "balance_type": balance_type,
        "created": tx.second,
        "currency": "jpy",
        "description": f"REFUND FOR {_NOUNS[kind]}" if kind in _NOUNS else source["description"],
        "exchange_rate": None,
        "fee": fee,
        "fee_details": fee_details,
        "net": amount - fee,
        "reporting_category": category,
        "source": source["id"],
        "status": "pending",
        "type": kind,
    }
    is_payments = balance_type == "payments"  # the balance that `render_balance` adds up
    tx.insert(
        "balance_transaction",
        transaction,
        net=amount - fee if is_payments else 0,
        available_on=available_on,
    )
    return render_balance_transaction(tx, transaction)


def render_balance_transaction(tx: Transaction, transaction: Json) -> Json:
    """Return a balance transaction with its present status."""
    status = "available" if transaction["available_on"] <= tx.now else "pending"
    return {**transaction, "status": status}


def render_balance(tx: Transaction) -> Json:
    """Return the balance object: Σ net of all transactions, split by `available_on` (amounts in JPY)."""
    available, pending = tx.db.execute(
        "SELECT coalesce(sum(net) FILTER (WHERE available_on <= ?1), 0),"
        " coalesce(sum(net) FILTER (WHERE available_on > ?1), 0)"
        " FROM objects WHERE kind = 'balance_transaction'",
        (tx.second,),
    ).fetchone()
    return {
        "object": "balance",
        "available": [_part(available)],
        "livemode": False,
        "pending": [_part(pending)],
        "refund_and_dispute_prefunding": {"available": [_part(0)], "pending": [_part(0)]},
    }


def _part(amount: int) -> Json:
    return {"amount": amount, "currency": "jpy", "source_types": {"card": amount}}
