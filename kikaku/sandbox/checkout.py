"""Checkout Sessions: create and expire them, and their line items."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from kikaku.sandbox.errors import ApiError
from kikaku.sandbox.events import record_event
from kikaku.sandbox.params import Params
from kikaku.sandbox.state import Json, Transaction, new_id

# The smallest and largest amount of each payment method, in JPY.
# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts,
# https://docs.stripe.com/payments/konbini
AMOUNT_LIMITS = {"card": (50, 99_999_999), "konbini": (120, 300_000)}
MIN_SESSION_SECONDS = 30 * 60
MAX_SESSION_SECONDS = 24 * 3600
MAX_LINES = 100

LOCALES = [
    "auto",
    "bg",
    "cs",
    "da",
    "de",
    "el",
    "en",
    "en-GB",
    "es",
    "es-419",
    "et",
    "fi",
    "fil",
    "fr",
    "fr-CA",
    "hr",
    "hu",
    "id",
    "it",
    "ja",
    "ko",
    "lt",
    "lv",
    "ms",
    "mt",
    "nb",
    "nl",
    "pl",
    "pt",
    "pt-BR",
    "ro",
    "ru",
    "sk",
    "sl",
    "sv",
    "th",
    "tr",
    "vi",
    "zh",
    "zh-HK",
    "zh-TW",
]


def create_session(tx: Transaction, params: Params, *, base_url: str, return_origins: Sequence[str]) -> Json:
    """Create a hosted Checkout Session in mode `payment` from `line_items[][price_data]` in JPY.

    Raises:
        ApiError: a parameter is missing, unknown or out of range, the total is not within ¥50 to ¥99,999,999
            (with konbini: ¥120 to ¥300,000), or a return address has another origin than `return_origins`.
    """
    mode = params.choice("mode", ("payment", "setup", "subscription"), required=True)
    if mode != "payment":
        raise ApiError(400, f"This stand-in knows mode `payment` only, not `{mode}`.", param="mode")
    params.choice("ui_mode", ("hosted_page",))
    currency = params.text("currency")
    if currency is not None and currency.lower() != "jpy":
        raise _not_jpy("currency")
    success_url = _return_url(params, "success_url", return_origins, required=True)
    cancel_url = _return_url(params, "cancel_url", return_origins, required=False)
    expires_at = _expires_at(tx, params)
    types = _method_types(params)
    options = _method_options(params, types)
    session_id = new_id("cs_test")
    email = params.email("customer_email")
    locale = params.choice("locale", LOCALES)
    client_reference_id = params.text("client_reference_id", max_length=200)
    metadata = params.metadata()
    intent_data = _intent_data(params)
    lines, products = _lines(tx, params)
    params.refuse_unknown()
    total = sum(line["amount_total"] for line in lines)
    _check_total(total, types)

    for product in products:
        tx.insert("product", product)
    session: Json = {
        "id": session_id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None,
        "cancel_url": cancel_url,
        "client_reference_id": client_reference_id,
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": tx.second,
        "currency": "jpy",
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": None,
        "customer_account": None,
        "customer_creation": "if_required",
        "customer_details": customer_details(email) if email else None,
        "customer_email": email,
        "discounts": [],
        "expires_at": expires_at,
        "integration_identifier": None,
        "invoice": None,
        "invoice_creation": {
            "enabled": False,
            "invoice_data": {
                "account_tax_ids": None,
                "custom_fields": None,
                "description": None,
                "footer": None,
                "issuer": None,
                "metadata": {},
                "rendering_options": None,
            },
        },
        "livemode": False,
        "locale": locale,
        "metadata": metadata,
        "mode": "payment",
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_configuration_details": None,
        "payment_method_options": options,
        "payment_method_types": types,
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": success_url,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"{base_url}/c/pay/{session_id}",
        "wallet_options": None,
    }
    tx.insert("checkout.session", session, private={"lines": lines, "intent_data": intent_data})
    tx.schedule(expires_at, "expire session", session_id)
    return session


def customer_details(email: str | None) -> Json:
    """Return the `customer_details` of a session."""
    return {
        "address": None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


def _not_jpy(param: str) -> ApiError:
    return ApiError(400, "Invalid currency: this stand-in settles in jpy only.", param=param)


def _method_types(params: Params) -> list[str]:
    types = params.texts("payment_method_types") or ["card"]
    for index, method in enumerate(types):
        if method not in AMOUNT_LIMITS or method in types[:index]:
            raise ApiError(
                400,
                f"The payment method type provided: {method[:40]} is invalid or comes twice."
                f" This stand-in takes: {', '.join(AMOUNT_LIMITS)}.",
                param=f"payment_method_types[{index}]",
            )
    return types


def _method_options(params: Params, types: Sequence[str]) -> Json:
    """Return `payment_method_options`; those of a method that is not offered are refused."""
    options: Json = {"card": {"request_three_d_secure": "automatic"}} if "card" in types else {}
    group = params.group("payment_method_options")
    if "konbini" in types:
        konbini = group.group("konbini")
        days = konbini.integer("expires_after_days", minimum=1, maximum=60)
        options["konbini"] = {"expires_after_days": days}
    elif group.has("konbini"):
        raise ApiError(
            400,
            "`payment_method_options[konbini]` is given, but `payment_method_types` does not offer konbini.",
            param="payment_method_options[konbini]",
        )
    return options


def _check_total(total: int, types: Sequence[str]) -> None:
    minimum = max(AMOUNT_LIMITS[method][0] for method in types)
    maximum = min(AMOUNT_LIMITS[method][1] for method in types)
    if total < minimum:
        raise ApiError(
            400,
            f"The Checkout Session's total amount due must add up to at least ¥{minimum} jpy",
            code="amount_too_small",
        )
    if total > maximum:
        raise ApiError(
            400,
            f"The Checkout Session's total amount due must add up to no more than ¥{maximum:,} jpy",
            code="amount_too_large",
        )


def _expires_at(tx: Transaction, params: Params) -> int:
    expires_at = params.integer("expires_at")
    if expires_at is None:
        return tx.second + MAX_SESSION_SECONDS
    if expires_at < tx.second + MIN_SESSION_SECONDS:
        raise ApiError(
            400,
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.",
            param="expires_at",
        )
    if expires_at > tx.second + MAX_SESSION_SECONDS:
        raise ApiError(
            400,
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            param="expires_at",
        )
    return expires_at


def origin_of(url: str) -> str | None:
    """Return scheme, host and port of an http(s) address, or None if it is no such address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or "\\" in url:
        return None
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        return None
    standard = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or standard}"


def _return_url(params: Params, name: str, origins: Sequence[str], *, required: bool) -> str | None:
    url = params.text(name, required=required)
    if url is None:
        return None
    origin = origin_of(url)
    if origin is None:
        raise ApiError(400, "Not a valid URL", code="url_invalid", param=name)
    if origins and origin not in {origin_of(allowed) for allowed in origins}:
        raise ApiError(
            400, f"{name} must lead to one of: {', '.join(origins)}", code="url_invalid", param=name
        )
    return url


def _intent_data(params: Params) -> Json:
    group = params.group("payment_intent_data")
    capture_method = group.choice("capture_method", ("automatic", "automatic_async", "manual"))
    if capture_method == "manual":
        raise ApiError(
            400,
            "This stand-in captures at once; `manual` is not known.",
            param="payment_intent_data[capture_method]",
        )
    return {
        "capture_method": capture_method or "automatic_async",
        "description": group.text("description", max_length=1000),
        "metadata": group.metadata(),
    }


def _lines(tx: Transaction, params: Params) -> tuple[list[Json], list[Json]]:
    groups = params.groups("line_items")
    if not groups:
        raise params.missing("line_items")
    if len(groups) > MAX_LINES:
        raise ApiError(400, f"You can pass at most {MAX_LINES} line items.", param="line_items")
    lines, products = [], []
    for group in groups:
        quantity = group.integer("quantity", required=True, minimum=1, maximum=999_999) or 0
        metadata = group.metadata()
        if not group.has("price_data"):
            raise group.missing("price_data")
        price_data = group.group("price_data")
        if price_data.required_text("currency").lower() != "jpy":
            raise _not_jpy(price_data.name_of("currency"))
        unit_amount = (
            price_data.integer("unit_amount", required=True, minimum=0, maximum=AMOUNT_LIMITS["card"][1]) or 0
        )
        tax_behavior = price_data.choice("tax_behavior", ("exclusive", "inclusive", "unspecified"))
        if not price_data.has("product_data"):
            raise price_data.missing("product_data")
        product = _product(tx, price_data.group("product_data"))
        products.append(product)
        price = _price(tx, product["id"], unit_amount, tax_behavior or "unspecified")
        lines.append(_line(product["name"], price, quantity, metadata))
    return lines, products


def _product(tx: Transaction, data: Params) -> Json:
    return {
        "id": "prod_" + new_id("x")[2:16],
        "object": "product",
        "active": False,
        "created": tx.second,
        "default_price": None,
        "description": data.text("description", max_length=40_000),
        "images": data.texts("images"),
        "livemode": False,
        "marketing_features": [],
        "metadata": data.metadata(),
        "name": data.required_text("name"),
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": data.text("tax_code"),
        "unit_label": data.text("unit_label", max_length=12),
        "updated": tx.second,
        "url": None,
    }


def _price(tx: Transaction, product_id: str, unit_amount: int, tax_behavior: str) -> Json:
    return {
        "id": new_id("price"),
        "object": "price",
        "active": False,
        "billing_scheme": "per_unit",
        "created": tx.second,
        "currency": "jpy",
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": product_id,
        "recurring": None,
        "tax_behavior": tax_behavior,
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time",
        "unit_amount": unit_amount,
        "unit_amount_decimal": str(unit_amount),
    }


def _line(description: str, price: Json, quantity: int, metadata: dict[str, str]) -> Json:
    total = price["unit_amount"] * quantity
    return {
        "id": new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": total,
        "amount_tax": 0,
        "amount_total": total,
        "currency": "jpy",
        "description": description,
        "metadata": metadata,
        "price": price,
        "quantity": quantity,
    }


def session_lines(tx: Transaction, session_id: str) -> list[Json]:
    """Return the line items of a session in the order in which they were sent."""
    lines: list[Json] = tx.private(session_id)["lines"]
    return lines


def expire_session(tx: Transaction, session: Json) -> Json:
    """Expire an open session and cancel the intent of its unsuccessful tries.

    Raises:
        ApiError: 400, the session is complete or already expired.
    """
    if session["status"] != "open":
        raise ApiError(
            400,
            'Only Checkout Sessions with a status in ["open"] can be expired.'
            f" This Checkout Session has a status of `{session['status']}`.",
            executed=True,
        )
    expired = {**session, "status": "expired", "url": None}
    tx.save(expired)
    tx.unschedule(session["id"])
    if session["payment_intent"] is not None:
        intent = tx.load("payment_intent", session["payment_intent"])
        cancelled: dict[str, Any] = {
            **intent,
            "canceled_at": tx.second,
            "cancellation_reason": "expired",
            "next_action": None,
            "status": "canceled",
        }
        tx.save(cancelled)
        record_event(tx, "payment_intent.canceled", cancelled)
    record_event(tx, "checkout.session.expired", expired)
    return expired
