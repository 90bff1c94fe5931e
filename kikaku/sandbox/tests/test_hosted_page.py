"""The hosted page: customers pay, fail, authenticate, and return to the shop only."""

import html
import re
from urllib.parse import urlencode

import pytest
import stripe

from kikaku.sandbox import CARDS, Request, Response, Sandbox
from kikaku.sandbox.testing.build import SHOP, Clock, new_session, session_params

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _get(sandbox: Sandbox, session_id: str, query: str = "") -> Response:
    return sandbox.handle(Request("GET", f"/c/pay/{session_id}{query}", {}, b""))


def _post(sandbox: Sandbox, session_id: str, **fields: str) -> Response:
    if "token" not in fields:
        found = re.search(rb'name="token" value="(\w+)"', _get(sandbox, session_id).body)
        assert found is not None
        fields["token"] = found[1].decode()
    return sandbox.handle(Request("POST", f"/c/pay/{session_id}", FORM, urlencode(fields).encode()))


def _text(response: Response) -> str:
    return html.unescape(response.body.decode())


def test_it_shows_the_lines_the_total_and_that_no_money_moves(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    japanese = _text(_get(sandbox, new_session(client).id))
    for expected in (
        '<html lang="ja">',
        "テスト決済",
        "シーリングライト 8畳",
        "¥12,130 を支払う",
        f'href="{SHOP}/cart/"',
    ):
        assert expected in japanese
    for locale in ("en", "fr"):
        english = _text(_get(sandbox, new_session(client, locale=locale).id))
        assert (
            '<html lang="en">' in english
            and "Test payment – no real money" in english
            and "Pay ¥12,130" in english
        )


def test_it_works_without_scripts_and_forbids_them(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    response = _get(sandbox, new_session(client).id)
    assert b"<script" not in response.body
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and f"form-action 'self' {SHOP}" in policy
    assert response.headers["Cache-Control"] == "no-store"


def test_every_test_card_can_be_filled_in(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    session = new_session(client)
    page = _text(_get(sandbox, session.id))
    for number in CARDS:
        assert f'href="?card={number}"' in page
        filled = re.search(
            r'id="card"[^>]* value="([^"]*)"', _text(_get(sandbox, session.id, f"?card={number}"))
        )
        assert filled is not None and filled[1].replace(" ", "") == number
    assert 'value="4242 4242 4242 4242"' in _text(_get(sandbox, session.id, "?card=1"))


def test_paying_leads_to_the_shop_with_the_session_in_the_address(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    session = new_session(client)
    response = _post(sandbox, session.id, card="5555 5555 5555 4444", action="pay")
    assert (response.status, response.headers["Location"]) == (303, f"{SHOP}/thanks/?session={session.id}")
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    again = _get(sandbox, session.id)
    assert (
        again.status == 200 and "完了しています" in _text(again) and f"session={session.id}" in _text(again)
    )


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("4000000000000002", "カードが拒否されました"),
        ("4000000000009995", "利用可能額が不足"),
        ("4111111111111111", "テスト用カードのみ"),
        ("1234", "カード番号が正しくありません"),
        ("", "カード番号が正しくありません"),
    ],
)
def test_a_declined_card_comes_back_with_the_reason_and_a_second_try_works(
    client: stripe.StripeClient, sandbox: Sandbox, card: str, message: str
) -> None:
    session = new_session(client)
    response = _post(sandbox, session.id, card=card)
    assert response.status == 200 and message in _text(response) and 'role="alert"' in _text(response)
    assert _post(sandbox, session.id, card="4242424242424242").status == 303


def test_authentication_is_asked_once_and_can_fail(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    session = new_session(client)
    asked = _post(sandbox, session.id, card="4000002760003184")
    assert "本人認証" in _text(asked) and "認証に失敗する" in _text(asked)
    assert "本人認証" in _text(_get(sandbox, session.id)), "a reload asks again"
    failed = _post(sandbox, session.id, action="fail")
    assert "本人認証ができませんでした" in _text(failed)
    assert _post(sandbox, session.id, action="authenticate").status == 200, "nothing is confirmed any more"
    _post(sandbox, session.id, card="4000002760003184")
    assert _post(sandbox, session.id, action="authenticate").status == 303


def test_another_card_can_be_used_instead_of_authenticating(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    session = new_session(client)
    _post(sandbox, session.id, card="4000002760003184")
    assert 'id="card"' in _text(_get(sandbox, session.id, "?card=4242424242424242"))
    assert _post(sandbox, session.id, card="4242424242424242").status == 303


@pytest.mark.parametrize("token", ["", "x", "ö"])
def test_a_form_of_another_site_pays_nothing(
    client: stripe.StripeClient, sandbox: Sandbox, token: str
) -> None:
    session = new_session(client)
    response = _post(sandbox, session.id, card="4242424242424242", token=token)
    assert response.status == 403 and client.v1.checkout.sessions.retrieve(session.id).status == "open"


def test_a_token_belongs_to_one_session(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    one, other = new_session(client), new_session(client)
    found = re.search(rb'name="token" value="(\w+)"', _get(sandbox, one.id).body)
    assert found is not None
    assert _post(sandbox, other.id, card="4242424242424242", token=found[1].decode()).status == 403


def test_an_expired_session_shows_it_and_links_back(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock
) -> None:
    session = new_session(client)
    found = re.search(rb'name="token" value="(\w+)"', _get(sandbox, session.id).body)
    assert found is not None
    clock.forward(86_401)
    response = _post(sandbox, session.id, card="4242424242424242", token=found[1].decode())
    assert "期限が切れました" in _text(response) and f'href="{SHOP}/cart/"' in _text(response)
    assert client.v1.charges.list().data == []


def test_an_unknown_session_has_a_page(sandbox: Sandbox) -> None:
    response = _get(sandbox, "cs_test_<b>")
    assert response.status == 404 and "does not exist" in _text(response) and b"<b>" not in response.body
    assert sandbox.handle(Request("PUT", "/c/pay/x", {}, b"")).status == 405


def test_texts_of_the_session_are_escaped(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    line = {
        "quantity": 2,
        "price_data": {"currency": "jpy", "unit_amount": 100, "product_data": {"name": "<img src=x>"}},
    }
    session = new_session(client, line_items=[line], cancel_url=SHOP + '/?"><script>')
    response = _post(sandbox, session.id, card='"><script>alert(1)</script>')
    assert b"<script" not in response.body and b"<img" not in response.body
    assert b"&lt;img src=x&gt;" in response.body and "¥100 × 2" in _text(response)


def test_without_an_address_it_asks_for_the_e_mail(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    params = session_params()
    del params["customer_email"]
    session = client.v1.checkout.sessions.create(params)
    assert 'name="email"' in _text(_get(sandbox, session.id))
    _post(sandbox, session.id, card="4242424242424242", email="new@example.jp")
    after = client.v1.checkout.sessions.retrieve(session.id)
    assert after.customer_details is not None and after.customer_details.email == "new@example.jp"
