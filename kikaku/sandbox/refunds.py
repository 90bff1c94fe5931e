"""Refunds of what is left of a charge: immediate, waiting for bank or customer, or failing later."""

from kikaku.sandbox.balance import book_refund, book_refund_failure, is_card_charge
from kikaku.sandbox.cards import CARDS
from kikaku.sandbox.errors import ApiError, missing_object
from kikaku.sandbox.events import record_event
from kikaku.sandbox.params import Params
from kikaku.sandbox.state import Json, Transaction, new_id, random_text

# At Stripe seconds in test mode, days in live mode; short, so that a developer sees it happen.
REFUND_FAILURE_SECONDS = 5
REFUND_PENDING_SECONDS = 5
# https://docs.stripe.com/payments/konbini/accept-a-payment (Refunds): then the refund fails.
CUSTOMER_RESPONSE_SECONDS = 45 * 24 * 3600


class UnknownRefund(LookupError):
    """Raised when there is no refund of that id."""


class RefundNotWaiting(Exception):
    """Raised when a refund does not wait for its customer: it never did, was answered, or has ended."""


def create_refund(tx: Transaction, params: Params, *, book_at_once: bool = False) -> Json:
    """Refund a charge, or the charge of an intent: `amount` JPY, or all that is left without an amount.

    The refund of a konbini payment asks the customer for a bank account, by mail to `instructions_email` or
    else to the address of the payment; its money leaves the balance when it succeeds, or now
    (`book_at_once`).

    Raises:
        ApiError: the charge does not exist, did not succeed, is already refunded or has less left, or
            `instructions_email` is given for a card payment.
    """
    charge_id = params.text("charge")
    intent_id = params.text("payment_intent")
    amount = params.integer("amount", minimum=1)
    reason = params.choice("reason", ("duplicate", "fraudulent", "requested_by_customer"))
    email = params.email("instructions_email")
    metadata = params.metadata()
    params.refuse_unknown()
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
    refund: Json = {
        "id": new_id("re" if is_card_charge(charge) else "pyr"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": tx.second,
        "currency": "jpy",
        "metadata": metadata,
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    if not is_card_charge(charge):
        # Checkout issues no voucher to a customer without an address.
        refund = _waiting_for_customer(
            tx, {**refund, "instructions_email": email or charge["billing_details"]["email"]}
        )
        if book_at_once:
            refund["balance_transaction"] = book_refund(tx, refund, charge)["id"]
    elif email is None:
        refund = _to_card(tx, refund, charge)
    else:
        raise ApiError(
            400,
            "`instructions_email` can only be given for payment methods without native refund support.",
            param="instructions_email",
            executed=True,
        )
    tx.insert("refund", refund)
    _set_refunded(tx, charge, charge["amount_refunded"] + amount, event="charge.refunded")
    record_event(tx, "refund.created", refund)
    return refund


def _to_card(tx: Transaction, refund: Json, charge: Json) -> Json:
    behaviour = CARDS[tx.private(charge["id"])["number"]].refund
    if behaviour == "waits":
        tx.schedule(tx.now + REFUND_PENDING_SECONDS, "finish refund", refund["id"])
        waiting = {"status": "pending", "pending_reason": "processing"}
        return {**refund, **waiting, "destination_details": _destination("card")}
    if behaviour == "fails later":
        tx.schedule(tx.now + REFUND_FAILURE_SECONDS, "fail refund", refund["id"])
    booked = book_refund(tx, refund, charge)["id"]
    return {
        **refund,
        "balance_transaction": booked,
        "destination_details": _destination("card", random_text(8)),
    }


def _waiting_for_customer(tx: Transaction, refund: Json) -> Json:
    """Return a refund that asks its customer by mail now; it fails 45 days after its creation."""
    expires_at = refund["created"] + CUSTOMER_RESPONSE_SECONDS
    tx.schedule(expires_at, "fail refund", refund["id"])
    mail = {"email_sent_at": tx.second, "email_sent_to": refund["instructions_email"]}
    return {
        **_without(refund, "pending_reason", "destination_details"),
        "next_action": {
            "display_details": {"email_sent": mail, "expires_at": expires_at},
            "type": "display_details",
        },
        "status": "requires_action",
    }


def claim_refund(tx: Transaction, refund_id: str, *, bank_accepts: bool = True) -> None:
    """Accept the customer's bank account for a refund; the transfer succeeds or is returned seconds later.

    Raises:
        UnknownRefund, RefundNotWaiting: as `waiting_refund`.
    """
    refund = waiting_refund(tx, refund_id)
    pending = {
        **_without(refund, "next_action"),
        "destination_details": _destination("jp_bank_transfer"),
        "pending_reason": "processing",
        "status": "pending",
    }
    tx.save(pending)
    tx.unschedule(refund_id)
    tx.schedule(tx.now + REFUND_PENDING_SECONDS, "finish refund" if bank_accepts else "ask again", refund_id)
    record_event(tx, "refund.updated", pending, _previous(refund, "status", "next_action"))


def ask_again(tx: Transaction, refund: Json) -> None:
    """Return a pending refund from the customer's bank: the customer is asked for another account."""
    waiting = _waiting_for_customer(tx, refund)
    tx.save(waiting)
    record_event(tx, "refund.updated", waiting, _previous(refund, "status", "destination_details"))


def ignore_refund(tx: Transaction, refund_id: str) -> None:
    """End the time in which the customer may name an account: the refund fails.

    Raises:
        UnknownRefund, RefundNotWaiting: as `waiting_refund`.
    """
    fail_refund(tx, waiting_refund(tx, refund_id))


def waiting_refund(tx: Transaction, refund_id: str) -> Json:
    """Return a refund that waits for its customer.

    Raises:
        UnknownRefund: there is none of that id.
        RefundNotWaiting: it does not wait for its customer.
    """
    refund = tx.get("refund", refund_id)
    if refund is None:
        raise UnknownRefund(f"No such refund: {refund_id}")
    if refund["status"] != "requires_action":
        raise RefundNotWaiting(f"Refund {refund_id} is {refund['status']}.")
    return refund


def finish_refund(tx: Transaction, refund: Json) -> None:
    """Complete a pending refund: its money leaves the balance now, unless it has left before."""
    charge = tx.load("charge", refund["charge"])
    done = {**_without(refund, "pending_reason"), "status": "succeeded"}
    done["destination_details"] = _destination(refund["destination_details"]["type"], random_text(8))
    if refund["balance_transaction"] is None:
        done["balance_transaction"] = book_refund(tx, done, charge)["id"]
    tx.save(done)
    changed = [name for name in ("status", "balance_transaction") if done[name] != refund[name]]
    record_event(tx, "refund.updated", done, _previous(refund, *changed))


def fail_refund(tx: Transaction, refund: Json) -> None:
    """Fail a refund: at the bank after it had succeeded, or because no account was named for 45 days."""
    failed = _end_unsuccessfully(tx, refund, "failed", "unknown")
    record_event(tx, "refund.failed", failed)
    record_event(tx, "refund.updated", failed, _previous(refund, "status"))


def cancel_refund(tx: Transaction, refund: Json) -> Json:
    """Cancel a refund that waits for its customer, the only kind that can be cancelled.

    Source: https://docs.stripe.com/api/refunds/cancel

    Raises:
        ApiError: 400, it does not wait for its customer.
    """
    _require_waiting(refund, "canceled")
    cancelled = _end_unsuccessfully(tx, refund, "canceled", "merchant_request")
    record_event(tx, "refund.updated", cancelled, _previous(refund, "status", "next_action"))
    return cancelled


def expire_refund(tx: Transaction, refund: Json) -> Json:
    """Expire a refund that waits for its customer, as Stripe's test helper does.

    Raises:
        ApiError: 400, it does not wait for its customer.
    """
    _require_waiting(refund, "expired")
    fail_refund(tx, refund)
    return tx.load("refund", refund["id"])


def _require_waiting(refund: Json, participle: str) -> None:
    if refund["status"] != "requires_action":
        raise ApiError(
            400,
            f"This refund ({refund['id']}) cannot be {participle}"
            f" because it has a status of {refund['status']}."
            f" Only a refund with one of the following statuses may be {participle}: requires_action.",
            executed=True,
        )


def _end_unsuccessfully(tx: Transaction, refund: Json, status: str, reason: str) -> Json:
    """Store and return a failed or cancelled refund; money that had left the balance returns to it."""
    charge = tx.load("charge", refund["charge"])
    ended = {**_without(refund, "next_action"), "failure_reason": reason, "status": status}
    if refund["balance_transaction"] is not None:
        ended["failure_balance_transaction"] = book_refund_failure(tx, refund, charge)["id"]
    tx.save(ended)
    tx.unschedule(refund["id"])
    _set_refunded(tx, charge, charge["amount_refunded"] - refund["amount"], event=None)
    return ended


def _without(refund: Json, *names: str) -> Json:
    return {name: value for name, value in refund.items() if name not in names}


def _previous(refund: Json, *names: str) -> Json:
    """Return the previous attributes of a refund for its event."""
    return {name: refund.get(name) for name in names}


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
            f"Charge {charge_id} is not successful, so it cannot be refunded.",
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


def _destination(kind: str, reference: str | None = None) -> Json:
    """Return the destination of a refund: the `card`, or a bank account (`jp_bank_transfer`)."""
    details: Json = {"reference_status": "pending"}
    if reference is not None:
        details = {"reference": reference, "reference_status": "available"}
    if kind == "card":
        details = {**details, "reference_type": "acquirer_reference_number", "type": "refund"}
    return {kind: details, "type": kind}
