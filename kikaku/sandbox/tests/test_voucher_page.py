"""Konbini on the pages: codes, payment in a test, and the answer to a refund's mail."""

import html
import re
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe

from kikaku.sandbox import Request, Response, Sandbox
from kikaku.sandbox.konbini import CHAINS
from kikaku.sandbox.testing.build import SHOP, Clock, konbini_session, new_session, paid

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _get(sandbox: Sandbox, target: str) -> Response:
    return sandbox.handle(Request("GET", target, {}, b""))


def _post(sandbox: Sandbox, target: str, **fields: str) -> Response:
    if "token" not in fields:
        found = re.search(rb'name="token" value="(\w+)"', _get(sandbox, target).body)
        assert found is not None
        fields["token"] = found[1].decode()
    return sandbox.handle(Request("POST", target, FORM, urlencode(fields).encode()))


def _text(response: Response) -> str:
    return html.unescape(response.body.decode())


def _take(sandbox: Sandbox, session: stripe.checkout.Session, **fields: str) -> str:
    """Get a voucher on the hosted page; return the path of its page."""
    form = {"method": "konbini", "name": "山田 花子", **fields}
    taken = _post(sandbox, f"/c/pay/{session.id}", **form)
    assert taken.status == 303, _text(taken)
    location = taken.headers["Location"]
    assert location == f"http://127.0.0.1:8001/konbini/voucher/{session.id}"
    return f"/konbini/voucher/{session.id}"


def _payment_status(client: stripe.StripeClient, session: stripe.checkout.Session) -> tuple[Any, Any]:
    after = client.v1.checkout.sessions.retrieve(session.id)
    return after.status, after.payment_status


def test_the_customer_chooses_between_card_and_konbini(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    address = f"/c/pay/{konbini_session(client).id}"
    card, konbini = _text(_get(sandbox, address)), _text(_get(sandbox, address + "?method=konbini"))
    assert 'id="card"' in card and '?method=card" aria-current=true' in card
    assert 'id="card"' not in konbini and '?method=konbini" aria-current=true' in konbini
    assert all(f'name="wish" value="{wish}"' in konbini for wish in ("now", "later", "never"))
    assert "method=konbini" not in _text(_get(sandbox, f"/c/pay/{new_session(client).id}?method=konbini"))


def test_the_voucher_shows_amount_deadline_name_and_the_codes_of_four_chains(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    session = konbini_session(client)
    page = _text(_get(sandbox, _take(sandbox, session, tel="090-1234-5678")))
    # issued on Friday, 2026-05-29 JST
    for expected in (
        "¥12,130",
        "6月1日（月）23:59",
        "山田 花子",
        "ファミリーマート",
        "セイコーマート",
        "レジで支払う",
    ):
        assert expected in page
    assert page.count("09012345678") == 4 and "<script" not in page
    intent = client.v1.payment_intents.list().data[0]
    assert intent.next_action is not None and intent.next_action.konbini_display_details is not None
    stores = intent.next_action.konbini_display_details.stores
    assert all(stores[chain].payment_code in page for chain in CHAINS)
    english = konbini_session(client, locale="en")
    assert "Mon, 1 Jun, 23:59 JST" in _text(_get(sandbox, _take(sandbox, english)))


def test_paying_now_is_paid_at_once_and_leads_back_to_the_shop(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    session = konbini_session(client)
    page = _text(_get(sandbox, _take(sandbox, session, wish="now")))
    assert "お支払いが完了しました" in page and f'href="{SHOP}/thanks/?session={session.id}"' in page
    assert _payment_status(client, session) == ("complete", "paid")


def test_paying_later_happens_at_the_counter_of_the_voucher_once(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    session = konbini_session(client)
    voucher = _take(sandbox, session, wish="later")
    assert _payment_status(client, session) == ("complete", "unpaid")
    found = re.search(rb'name="token" value="(\w+)"', _get(sandbox, voucher).body)
    assert found is not None
    for _ in range(2):
        answer = _post(sandbox, voucher, action="pay", chain="seicomart", token=found[1].decode())
        assert (answer.status, answer.headers["Location"]) == (303, voucher)
    assert _payment_status(client, session) == ("complete", "paid")
    (charge,) = client.v1.charges.list().data
    assert charge.payment_method_details is not None and charge.payment_method_details.konbini is not None
    store = charge.payment_method_details.konbini.store
    assert store is not None and store.chain == "seicomart"


def test_never_paying_fails_after_three_minutes(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock
) -> None:
    session = konbini_session(client)
    voucher = _take(sandbox, session, wish="never")
    clock.forward(179)
    assert "レジで支払う" in _text(_get(sandbox, voucher))
    clock.forward(1)
    assert "お支払いの期限が切れました" in _text(_get(sandbox, voucher))
    assert _payment_status(client, session) == ("complete", "unpaid")


def test_a_waiting_voucher_can_be_expired(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    voucher = _take(sandbox, konbini_session(client))
    _post(sandbox, voucher, action="expire")
    assert "もう一度ご注文ください" in _text(_get(sandbox, voucher))


def test_the_payment_page_of_a_waiting_session_leads_to_its_voucher(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    session = konbini_session(client)
    voucher = _take(sandbox, session)
    again = _get(sandbox, f"/c/pay/{session.id}")
    assert (again.status, again.headers["Location"]) == (303, voucher)
    _post(sandbox, voucher, action="pay")
    assert "このお支払いは完了しています" in _text(_get(sandbox, f"/c/pay/{session.id}"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": " "}, "お名前を入力してください"),
        ({"tel": "0000000000"}, "10桁か11桁"),
        ({"email": ""}, "メールアドレスを入力してください"),
        ({"email": "nobody"}, "メールアドレスが正しくありません"),
    ],
)
def test_a_form_with_errors_keeps_what_was_filled_in(
    client: stripe.StripeClient, sandbox: Sandbox, fields: dict[str, str], message: str
) -> None:
    more: Any = {"customer_email": None} if "email" in fields else {}
    session = konbini_session(client, **more)
    form = {"method": "konbini", "name": "<b>山田", "wish": "never", **fields}
    page = _post(sandbox, f"/c/pay/{session.id}", **form)
    text = _text(page)
    assert page.status == 200 and message in text and 'aria-invalid="true"' in text
    assert b"<b>" not in page.body and 'value="never" checked' in text
    assert _payment_status(client, session) == ("open", "unpaid")


def test_a_form_of_another_site_pays_nothing(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    session = konbini_session(client)
    assert _post(sandbox, f"/c/pay/{session.id}", method="konbini", name="x", token="x").status == 403
    voucher = _take(sandbox, session)
    assert _post(sandbox, voucher, action="pay", token="x").status == 403
    assert _payment_status(client, session) == ("complete", "unpaid")


def test_a_session_without_a_voucher_has_no_voucher_page(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    by_card = new_session(client)
    for address in ("cs_test_<b>", konbini_session(client).id, by_card.id):
        page = _get(sandbox, f"/konbini/voucher/{address}")
        assert page.status == 404 and b"<b>" not in page.body
    sandbox.pay(by_card.id)
    assert _get(sandbox, f"/konbini/voucher/{by_card.id}").status == 404
    assert sandbox.handle(Request("PUT", "/konbini/voucher/x", {}, b"")).status == 405


@pytest.mark.parametrize(
    ("action", "status"), [("claim", "succeeded"), ("misname", "requires_action"), ("ignore", "failed")]
)
def test_a_customer_answers_for_a_refund_on_the_page_of_the_voucher(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock, action: str, status: str
) -> None:
    voucher = _take(sandbox, konbini_session(client), wish="now")
    charge = client.v1.charges.list().data[0]
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 3_000})
    page = _text(_get(sandbox, voucher))
    assert "¥3,000 の返金" in page and "hanako@example.jp" in page and "7月13日（月）05:26" in page
    _post(sandbox, voucher, action=action, refund=refund.id)
    clock.forward(60)
    assert client.v1.refunds.retrieve(refund.id).status == status


def test_a_customer_cannot_answer_for_the_refund_of_another(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    mine = _take(sandbox, konbini_session(client), wish="now")
    other = client.v1.refunds.create({"charge": client.v1.charges.list().data[0].id, "amount": 500})
    theirs = _take(sandbox, konbini_session(client), wish="now")
    client.v1.refunds.create({"charge": client.v1.charges.list().data[0].id, "amount": 700})
    of_card = client.v1.refunds.create({"charge": paid(client, sandbox).id})
    for refund in (other, of_card):
        assert _post(sandbox, theirs, action="claim", refund=refund.id).status == 303
        assert client.v1.refunds.retrieve(refund.id).status == refund.status
    assert "¥500 の返金" in _text(_get(sandbox, mine))
