"""Refunds: within what is left of a charge, at once, waiting, or failing later."""

from typing import Any

from kikaku.sandbox.balance import book_refund, book_refund_failure
from kikaku.sandbox.cards import CARDS
from kikaku.sandbox.errors import ApiError, missing_object
from kikaku.sandbox.events import record_event
from kikaku.sandbox.params import Params
from kikaku.sandbox.state import Json, Transaction, new_id, random_text

# Stripe takes seconds in test mode, days in life; a developer should see it while he looks.
REFUND_FAILS_AFTER_SECONDS = 5
REFUND_WAITS_SECONDS = 5


def create_refund(tx: Transaction, params: Params) -> Json:
    """Refund a charge, or the charge of an intent: whole without `amount`, else that many JPY.

    Raises:
        ApiError: the charge does not exist or did not succeed, is refunded already, or has less left.
    """
    charge_id = params.text("charge")
    intent_id = params.text("payment_intent")
    amount = params.integer("amount", minimum=1)
    reason = params.choice("reason", ("duplicate", "fraudulent", "requested_by_customer"))
    metadata = params.metadata()
    params.done()
    if (charge_id is None) == (intent_id is None):
        raise ApiError(
            400,
            "One of the following params should be provided for this request: payment_intent or charge.",
            code="parameter_missing" if charge_id is None else None,
        )
    charge = _charge_to_refund(tx, charge_id, intent_id)
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left <= 0:
        raise ApiError(
            400,
            f"Charge {charge['id']} has already been refunded.",
            code="charge_already_refunded",
            executed=True,
        )
    if amount is None:
        amount = left
    if amount > left:
        raise ApiError(
            400,
            f"Refund amount (¥{amount:,}) is greater than unrefunded amount on charge (¥{left:,})",
            param="amount",
            executed=True,
        )
    behaviour = CARDS[tx.private(charge["id"])["number"]].refund
    refund: Json = {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": tx.second,
        "currency": "jpy",
        "destination_details": _destination(None),
        "metadata": metadata,
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    if behaviour == "waits":
        refund = {**refund, "status": "pending", "pending_reason": "processing"}
        tx.plan(tx.now + REFUND_WAITS_SECONDS, "finish refund", refund["id"])
    else:
        refund["balance_transaction"] = book_refund(tx, refund, charge)["id"]
        refund["destination_details"] = _destination(random_text(8))
        if behaviour == "fails later":
            tx.plan(tx.now + REFUND_FAILS_AFTER_SECONDS, "fail refund", refund["id"])
    tx.insert("refund", refund)
    _set_refunded(tx, charge, charge["amount_refunded"] + amount, event="charge.refunded")
    record_event(tx, "refund.created", refund)
    return refund


def finish_refund(tx: Transaction, refund: Json) -> None:
    """Let a waiting refund succeed: now the money leaves the balance."""
    charge = tx.load("charge", refund["charge"])
    done = {key: value for key, value in refund.items() if key != "pending_reason"}
    done["status"] = "succeeded"
    done["destination_details"] = _destination(random_text(8))
    done["balance_transaction"] = book_refund(tx, done, charge)["id"]
    tx.save(done)
    record_event(tx, "refund.updated", done, {"balance_transaction": None, "status": "pending"})


def fail_refund(tx: Transaction, refund: Json) -> None:
    """Let a refund that had succeeded fail at the bank: the money comes back to the balance."""
    charge = tx.load("charge", refund["charge"])
    failed: dict[str, Any] = {**refund, "failure_reason": "unknown", "status": "failed"}
    failed["failure_balance_transaction"] = book_refund_failure(tx, failed, charge)["id"]
    tx.save(failed)
    _set_refunded(tx, charge, charge["amount_refunded"] - refund["amount"], event=None)
    record_event(tx, "refund.failed", failed)
    record_event(tx, "refund.updated", failed, {"status": "succeeded"})


def cancel_refund(refund: Json) -> Json:
    """Refuse to cancel a refund: only one that waits for the customer can be, and no refund to a card does.

    Source: https://docs.stripe.com/api/refunds/cancel

    Raises:
        ApiError: always, 400.
    """
    raise ApiError(
        400,
        f"This refund ({refund['id']}) cannot be canceled because it has a status of {refund['status']}. Only a refund"
        " with one of the following statuses may be canceled: requires_action.",
        executed=True,
    )


def _charge_to_refund(tx: Transaction, charge_id: str | None, intent_id: str | None) -> Json:
    if intent_id is not None:
        intent = tx.get("payment_intent", intent_id)
        if intent is None:
            raise missing_object("payment_intent", intent_id, param="payment_intent")
        if intent["status"] != "succeeded":
            raise ApiError(
                400,
                f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.",
                code="payment_intent_unexpected_state",
                param="payment_intent",
                executed=True,
            )
        return tx.load("charge", intent["latest_charge"])
    charge = tx.get("charge", charge_id or "")
    if charge is None:
        raise missing_object("charge", charge_id or "", param="charge")
    if not charge["paid"]:
        raise ApiError(
            400,
            f"Charge {charge_id} is not successful, so it can not be refunded.",
            param="charge",
            executed=True,
        )
    return charge


def _set_refunded(tx: Transaction, charge: Json, amount_refunded: int, *, event: str | None) -> None:
    refunded = amount_refunded == charge["amount_captured"]
    updated = {**charge, "amount_refunded": amount_refunded, "refunded": refunded}
    tx.save(updated)
    if event is not None:
        previous = {"amount_refunded": charge["amount_refunded"]}
        if refunded:
            previous["refunded"] = False
        record_event(tx, event, updated, previous)


def _destination(reference: str | None) -> Json:
    card: Json = {
        "reference_status": "pending",
        "reference_type": "acquirer_reference_number",
        "type": "refund",
    }
    if reference is not None:
        card = {**card, "reference": reference, "reference_status": "available"}
    return {"card": card, "type": "card"}
