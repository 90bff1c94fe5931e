"""The hosted payment page: the customer pays with a test card or chooses a convenience store."""

from collections.abc import Mapping
from html import escape
from urllib.parse import parse_qs

from kikaku.sandbox import card_payments, konbini, page, payments
from kikaku.sandbox.cards import CARDS, normalise_number
from kikaku.sandbox.http import Response
from kikaku.sandbox.konbini import Customer
from kikaku.sandbox.page import yen
from kikaku.sandbox.params import decode_form
from kikaku.sandbox.payments import PayResult
from kikaku.sandbox.state import Json, Transaction

_DEFAULT_CARD = "4242424242424242"
_PAYMENT_TIMES = ("now", "later", "never")
_INVALID_FIELDS = {
    "name_missing": "name",
    "email_missing": "email",
    "email_invalid": "email",
    "payment_intent_konbini_rejected_confirmation_number": "tel",
}
_INVALID_ATTRIBUTES = ' aria-invalid="true" aria-describedby="problem"'

# The texts of the page: Japanese, English.
_TEXTS = {
    "title": ("お支払い", "Payment"),
    "card_method": ("クレジットカード", "Card"),
    "konbini_method": ("コンビニ払い", "Convenience store"),
    "methods": ("お支払い方法", "Payment method"),
    "number": ("カード番号", "Card number"),
    "expiry": ("有効期限（任意）", "Expiry (optional)"),
    "cvc": ("CVC（任意）", "CVC (optional)"),
    "email": ("メールアドレス（任意）", "E-mail (optional)"),
    "email_needed": ("メールアドレス", "E-mail"),
    "name": ("お名前", "Your name"),
    "tel": ("電話番号（任意・店頭での確認番号になります）", "Phone (optional; your confirmation number in the store)"),
    "wish": ("このテストでは、いつ支払いますか？", "When will you pay in this test?"),
    "now": ("今すぐ支払う", "Pay now"),
    "now_hint": ("番号の発行と同時に、店頭で支払います。", "Paid at the counter as soon as the codes are there."),
    "later": ("あとで支払う", "Pay later"),
    "later_hint": ("次のページのボタンで、期限までに支払います。", "With a button on the next page, until the deadline."),
    "never": ("支払わない", "Never pay"),
    "never_hint": ("3分後に期限が切れます。", "The deadline passes in three minutes."),
    "take": ("支払い番号を発行する", "Get the payment codes"),
    "pay": ("{total} を支払う", "Pay {total}"),
    "back": ("ショップに戻る", "Back to the shop"),
    "cards": ("テスト用カード", "Test cards"),
    "cards_hint": (
        "選ぶと番号が入力されます。実在のカード番号は入力しないでください。",
        "Choose one to fill in its number. Never enter a real card.",
    ),
    "bank": ("カード会社の本人認証（テスト）", "Your bank asks you to confirm (test)"),
    "bank_hint": ("{total} の支払いを認証しますか？", "Do you confirm the payment of {total}?"),
    "confirm": ("認証する", "Authenticate"),
    "refuse": ("認証に失敗する", "Fail authentication"),
    "other_card": ("別の方法で支払う", "Pay another way"),
    "complete": ("このお支払いは完了しています", "This payment is complete"),
    "complete_hint": ("もう一度支払う必要はありません。", "There is nothing left to pay."),
    "to_order": ("ショップへ進む", "Continue to the shop"),
    "expired": ("お支払いの期限が切れました", "This payment page has expired"),
    "expired_hint": (
        "お金は動いていません。ショップに戻って、もう一度お手続きください。",
        "No money has moved. Please go back to the shop and try again.",
    ),
    "stale": (
        "ページの有効性を確認できませんでした。もう一度お試しください。",
        "This page could not be verified. Please try again.",
    ),
    "card_declined": (
        "カードが拒否されました。別のカードでお試しください。",
        "Your card was declined. Try another card.",
    ),
    "insufficient_funds": (
        "カードの利用可能額が不足しています。別のカードでお試しください。",
        "Your card has insufficient funds. Try another card.",
    ),
    "test_mode_live_card": (
        "ここではテスト用カードのみ使えます。下の一覧からお選びください。",
        "Only test cards work here. Choose one from the list below.",
    ),
    "incorrect_number": ("カード番号が正しくありません。", "Your card number is incorrect."),
    "payment_intent_authentication_failure": (
        "本人認証ができませんでした。別のカードでお試しください。",
        "The payment could not be authenticated. Try another card.",
    ),
    "name_missing": ("お名前を入力してください。", "Please enter your name."),
    "email_missing": ("メールアドレスを入力してください。", "Please enter your e-mail address."),
    "email_invalid": ("メールアドレスが正しくありません。", "This is no e-mail address."),
    "payment_intent_konbini_rejected_confirmation_number": (
        "電話番号は10桁か11桁の数字で入力してください（0だけの番号は使えません）。",
        "Enter a phone number of 10 or 11 digits that are not all zero.",
    ),
}  # fmt: skip


def show(tx: Transaction, session_id: str, query: str) -> Response:
    """Return a session's page; `?card=` fills in a test card, `?method=konbini` selects konbini."""
    session = tx.get("checkout.session", session_id)
    if session is None:
        return page.unknown_session()
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    if asked.get("card") not in CARDS:
        asked.pop("card", None)
    return _page_of(tx, session, asked)


def submit(tx: Transaction, session_id: str, encoded: str) -> Response:
    """Process the customer's form; return 303 to the next page, or the page with an error.

    Raises:
        ApiError: 400, the form is malformed.
    """
    form = {name: value for name, value in decode_form(encoded).items() if isinstance(value, str)}
    session = tx.get("checkout.session", session_id)
    if session is None:
        return page.unknown_session()
    if session["status"] != "open":
        return _page_of(tx, session, {})
    if not page.is_own_form(tx, session, form):
        return _page_of(tx, session, form, problem="stale", status=403)
    action = form.get("action", "pay")
    if action in {"authenticate", "fail"}:
        if not card_payments.awaits_authentication(tx, session):
            return _page_of(tx, session, {})
        result = card_payments.answer_authentication(tx, session_id, succeeds=action == "authenticate")
    elif _method(session, form) == "konbini":
        result = _take_voucher(tx, session_id, form)
    else:
        result = card_payments.submit_card(tx, session_id, form.get("card", "")[:40], email=_email(form))
    after = tx.load("checkout.session", session_id)
    if after["status"] == "complete" and result.redirect_url is not None:
        return page.redirect(result.redirect_url)
    if result.outcome == "requires_action":
        return _page_of(tx, after, {})
    return _page_of(tx, after, {"card": "", **form}, problem=_problem(result))


def _take_voucher(tx: Transaction, session_id: str, form: Mapping[str, str]) -> PayResult:
    customer = Customer(
        name=form.get("name", "").strip()[:200],
        email=_email(form),
        phone=normalise_number(form.get("tel", ""))[:20] or None,
    )
    wish = form.get("wish")
    taken = konbini.issue_voucher(tx, session_id, customer, expires_soon=wish == "never")
    if taken.outcome == "requires_action" and wish == "now":
        konbini.pay_voucher(tx, session_id)
    return taken


def _email(form: Mapping[str, str]) -> str | None:
    return form.get("email", "").strip()[:254] or None


def _problem(result: PayResult) -> str:
    for name in (result.decline_code, result.code):
        if name in _TEXTS:
            return str(name)
    return "card_declined"


def _method(session: Json, asked: Mapping[str, str]) -> str:
    """Return the payment method: the requested one if the session offers it, else its first."""
    offered: list[str] = session["payment_method_types"]
    return asked["method"] if asked.get("method") in offered else offered[0]


def _page_of(
    tx: Transaction, session: Json, asked: Mapping[str, str], *, problem: str | None = None, status: int = 200
) -> Response:
    """Return the page of a session in its state; `asked` holds what the customer has chosen or filled in."""
    texts = page.translate(session, _TEXTS)
    if session["status"] == "complete":
        voucher = konbini.voucher_stage(tx, session)
        if voucher is not None and session["payment_status"] == "unpaid":
            return page.redirect(konbini.VOUCHER_PATH + session["id"])
        link = page.link(payments.success_url(session), texts["to_order"])
        return page.message_page(session, texts["complete"], texts["complete_hint"], status, link=link)
    back = page.link(session["cancel_url"], texts["back"])
    if session["status"] == "expired":
        return page.message_page(session, texts["expired"], texts["expired_hint"], status, link=back)
    alert = page.alert(texts[problem] if problem else None)
    order = page.order_table(tx, session)
    hidden = page.token_field(tx, session)
    if not asked.keys() & {"card", "method"} and card_payments.awaits_authentication(tx, session):
        heading, body = texts["bank"], _bank_form(session, texts, hidden)
    else:
        method = _method(session, asked)
        form = _card_form if method == "card" else _konbini_form
        heading = texts["title"]
        body = _method_links(session, texts, method) + form(session, texts, hidden, asked, problem) + back
    return page.document(session, heading, f"<h1>{heading}</h1>\n{alert}{order}\n{body}", status)


def _bank_form(session: Json, texts: dict[str, str], hidden: str) -> str:
    hint = texts["bank_hint"].format(total=yen(session["amount_total"]))
    return (
        f'<section><p>{hint}</p>\n<form method="post">{hidden}'
        f'<button name="action" value="authenticate">{texts["confirm"]}</button>\n'
        f'<button class="quiet" name="action" value="fail">{texts["refuse"]}</button></form></section>\n'
        + page.link(f"?card={_DEFAULT_CARD}", texts["other_card"])
    )


def _method_links(session: Json, texts: dict[str, str], chosen: str) -> str:
    offered = session["payment_method_types"]
    if len(offered) == 1:
        return ""
    links = "".join(
        f'<a href="?method={method}"{" aria-current=true" if method == chosen else ""}>{texts[method + "_method"]}</a>'
        for method in offered
    )
    return f'<nav class="methods" aria-label="{texts["methods"]}">{links}</nav>\n'


def _card_form(
    session: Json, texts: dict[str, str], hidden: str, asked: Mapping[str, str], problem: str | None
) -> str:
    number = asked.get("card", _DEFAULT_CARD)[:40]
    described = _INVALID_ATTRIBUTES if problem and problem != "stale" else ""
    email = "" if session["customer_email"] else _field("email", texts["email"], asked, kind="email")
    total = yen(session["amount_total"])
    return (
        f'<section><form method="post" action="?">{hidden}<input type="hidden" name="method" value="card">\n{email}'
        f'<div class="field"><label for="card">{texts["number"]}</label><input id="card" name="card"'
        f' inputmode="numeric" autocomplete="off" required maxlength="40" value="{escape(_grouped(number))}"'
        f"{described}></div>\n"
        f'<div class="pair"><div class="field"><label for="expiry">{texts["expiry"]}</label><input id="expiry"'
        ' name="expiry" inputmode="numeric" autocomplete="off" placeholder="12 / 34" maxlength="9"></div>\n'
        f'<div class="field"><label for="cvc">{texts["cvc"]}</label><input id="cvc" name="cvc" inputmode="numeric"'
        ' autocomplete="off" placeholder="123" maxlength="4"></div></div>\n'
        f'<button name="action" value="pay">{texts["pay"].format(total=total)}</button></form></section>\n'
        f"{_card_list(number, texts, japanese=page.in_japanese(session))}\n"
    )


def _konbini_form(
    session: Json, texts: dict[str, str], hidden: str, asked: Mapping[str, str], problem: str | None
) -> str:
    wrong = _INVALID_FIELDS.get(problem or "")
    fields = _field("name", texts["name"], {"name": Customer.name, **asked}, needed=True, wrong=wrong)
    if not session["customer_email"]:
        fields += _field("email", texts["email_needed"], asked, kind="email", needed=True, wrong=wrong)
    fields += _field("tel", texts["tel"], asked, kind="tel", wrong=wrong)
    chosen = asked["wish"] if asked.get("wish") in _PAYMENT_TIMES else "later"
    wishes = "".join(
        f'<label class="wish"><input type="radio" name="wish" value="{wish}"{" checked" if wish == chosen else ""}>'
        f"<span>{texts[wish]}</span><small>{texts[wish + '_hint']}</small></label>"
        for wish in _PAYMENT_TIMES
    )
    return (
        f'<section><form method="post" action="?">{hidden}<input type="hidden" name="method" value="konbini">\n'
        f"{fields}<fieldset><legend>{texts['wish']}</legend>{wishes}</fieldset>\n"
        f'<button name="action" value="pay">{texts["take"]}</button></form></section>\n'
    )


def _field(
    name: str,
    label: str,
    asked: Mapping[str, str],
    *,
    kind: str = "text",
    needed: bool = False,
    wrong: str | None = None,
) -> str:
    """Return a labelled, filled-in field as HTML; `wrong` names the field of the alert."""
    filled = escape(asked.get(name, "")[:254])
    required = " required" if needed else ""
    described = _INVALID_ATTRIBUTES if wrong == name else ""
    return (
        f'<div class="field"><label for="{name}">{label}</label><input id="{name}" name="{name}" type="{kind}"'
        f' autocomplete="{name}" value="{filled}"{required}{described}></div>\n'
    )


def _card_list(chosen: str, texts: dict[str, str], *, japanese: bool) -> str:
    entries = "".join(
        f'<li><a href="?card={card.number}"{" aria-current=true" if card.number == normalise_number(chosen) else ""}>'
        f"<span>{_grouped(card.number)}</span> <small>{escape(card.label[0 if japanese else 1])}</small></a></li>\n"
        for card in CARDS.values()
    )
    return (
        f'<section><h2>{texts["cards"]}</h2><p class="hint">{texts["cards_hint"]}</p>'
        f'<ul class="cards">{entries}</ul></section>'
    )


def _grouped(number: str) -> str:
    plain = normalise_number(number)
    if plain not in CARDS:
        return number
    if len(plain) == 15:
        return f"{plain[:4]} {plain[4:10]} {plain[10:]}"
    return " ".join(plain[start : start + 4] for start in range(0, len(plain), 4))
