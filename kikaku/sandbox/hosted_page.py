"""The page on which a customer pays with a test card: plain, bilingual, without any script."""

import base64
import hashlib
import hmac
from html import escape
from urllib.parse import parse_qs

from kikaku.sandbox import payments
from kikaku.sandbox.cards import CARDS, normalised
from kikaku.sandbox.checkout import origin_of, session_lines
from kikaku.sandbox.http import Response
from kikaku.sandbox.params import decode_form
from kikaku.sandbox.payments import PayResult
from kikaku.sandbox.state import Json, Transaction

_STYLE = """
:root{color-scheme:light dark;--paper:#f4f5f2;--card:#fff;--ink:#1f2422;--muted:#5c6461;--line:#dcdfd9;
--act:#1f5f4a;--on-act:#fff;--bad:#a3261b;--bad-paper:#fbecea;--band:#f2d46b;--on-band:#3a2f06}
@media (prefers-color-scheme:dark){:root{--paper:#151817;--card:#1d2120;--ink:#e9ece9;--muted:#a3aba7;--line:#343a37;
--act:#7fd0b0;--on-act:#0d1f18;--bad:#ff9d92;--bad-paper:#35201d;--band:#4a3e12;--on-band:#f6e3a1}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.6 "Hiragino Sans","Noto Sans JP","Noto Sans CJK JP","Yu Gothic",system-ui,sans-serif}
.band{margin:0;background:var(--band);color:var(--on-band);text-align:center;font-size:14px;font-weight:600;padding:8px 16px}
main{max-width:30rem;margin:0 auto;padding:24px 16px 64px}
h1{font-size:22px;line-height:1.3;margin:8px 0 16px}
h2{font-size:16px;margin:0 0 8px}
section{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:16px;margin:0 0 16px}
table{width:100%;border-collapse:collapse}
td,th{padding:8px 0;text-align:left;vertical-align:top;font-weight:400;overflow-wrap:anywhere}
td:last-child{text-align:right;white-space:nowrap;padding-left:16px}
tbody tr+tr{border-top:1px solid var(--line)}
tfoot tr{border-top:2px solid var(--ink)}
tfoot th,tfoot td{font-weight:700;font-size:18px}
td,input{font-variant-numeric:tabular-nums}
small,.hint{color:var(--muted);font-size:14px}
label{display:block;font-size:14px;margin:0 0 4px}
input{width:100%;font:inherit;font-size:18px;color:inherit;background:var(--paper);border:1px solid var(--muted);
border-radius:6px;padding:8px 12px;min-height:48px}
.field{margin:0 0 16px}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:16px}
button{display:block;width:100%;min-height:52px;font:inherit;font-weight:700;font-size:18px;border-radius:6px;
border:1px solid var(--act);background:var(--act);color:var(--on-act);cursor:pointer}
button+button,form+form{margin-top:12px}
button.quiet{background:none;color:inherit;border-color:var(--muted);font-weight:400}
.cards{list-style:none;margin:0;padding:0}
.cards a{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 16px;padding:8px;margin:0 -8px;
border-radius:6px;color:inherit;min-height:44px;align-items:center}
.cards a[aria-current]{background:var(--paper);font-weight:600}
.cards a{text-decoration:none}
.cards span{font-variant-numeric:tabular-nums;text-decoration:underline}
section>p:first-child{margin-top:0}
.alert{background:var(--bad-paper);color:var(--bad);border:1px solid currentColor;border-radius:6px;padding:12px 16px;
margin:0 0 16px}
.back{display:inline-block;padding:12px 0;color:inherit}
:focus-visible{outline:3px solid var(--act);outline-offset:2px}
@media (hover:hover){.cards a:hover{background:var(--paper)}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

# Every text of the page: Japanese, English.
_TEXTS = {
    "band": ("テスト決済 – 実際のお金は動きません", "Test payment – no real money"),
    "title": ("お支払い", "Payment"),
    "order": ("ご注文内容", "Your order"),
    "total": ("お支払い金額", "Total"),
    "number": ("カード番号", "Card number"),
    "expiry": ("有効期限（任意）", "Expiry (optional)"),
    "cvc": ("CVC（任意）", "CVC (optional)"),
    "email": ("メールアドレス（任意）", "E-mail (optional)"),
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
    "other_card": ("別のカードを使う", "Use another card"),
    "complete": ("このお支払いは完了しています", "This payment is complete"),
    "complete_hint": ("もう一度支払う必要はありません。", "There is nothing left to pay."),
    "to_order": ("ショップへ進む", "Continue to the shop"),
    "expired": ("お支払いの期限が切れました", "This payment page has expired"),
    "expired_hint": (
        "お金は動いていません。ショップに戻って、もう一度お手続きください。",
        "No money has moved. Please go back to the shop and try again.",
    ),
    "unknown": ("このお支払いページは見つかりません", "This payment page does not exist"),
    "unknown_hint": ("ショップからもう一度お手続きください。", "Please start again from the shop."),
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
}


def show(tx: Transaction, session_id: str, query: str) -> Response:
    """Show a session's page; `?card=` fills in one of the test cards."""
    session = tx.get("checkout.session", session_id)
    if session is None:
        return _message(None, "unknown", 404)
    chosen = parse_qs(query).get("card", [""])[0]
    return _page_of(tx, session, card=chosen if chosen in CARDS else None)


def submit(tx: Transaction, session_id: str, encoded: str) -> Response:
    """Take the customer's form: 303 to `success_url` after a payment, else the page with what happened.

    Raises:
        ApiError: 400, the form is malformed.
    """
    form = {name: value for name, value in decode_form(encoded).items() if isinstance(value, str)}
    session = tx.get("checkout.session", session_id)
    if session is None:
        return _message(None, "unknown", 404)
    if session["status"] != "open":
        return _page_of(tx, session)
    if not hmac.compare_digest(form.get("token", "").encode(), _token(tx, session_id).encode()):
        return _page_of(tx, session, problem="stale", status=403)
    number = form.get("card", "")[:40]
    action = form.get("action", "pay")
    if action in {"authenticate", "fail"}:
        if not payments.awaits_authentication(tx, session):
            return _page_of(tx, session)
        result = payments.answer_authentication(tx, session_id, succeeds=action == "authenticate")
    else:
        result = payments.submit_card(
            tx, session_id, number, email=form.get("email", "").strip()[:254] or None
        )
    if result.outcome == "succeeded" and result.redirect_url is not None:
        return Response(303, {"Location": result.redirect_url, **_HEADERS})
    after = tx.load("checkout.session", session_id)
    if result.outcome == "requires_action":
        return _page_of(tx, after)
    return _page_of(tx, after, card=number, problem=_problem(result))


def _problem(result: PayResult) -> str:
    for name in (result.decline_code, result.code):
        if name in _TEXTS:
            return str(name)
    return "card_declined"


_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


def _token(tx: Transaction, session_id: str) -> str:
    """Return what a form must carry, so that only this page can post to it."""
    return hmac.new(tx.secret("page").encode(), session_id.encode(), hashlib.sha256).hexdigest()


def _texts(session: Json | None) -> dict[str, str]:
    column = 0 if session is not None and session["locale"] == "ja" else 1
    return {name: text[column] for name, text in _TEXTS.items()}


def _document(session: Json | None, content: str, status: int) -> Response:
    texts = _texts(session)
    japanese = session is not None and session["locale"] == "ja"
    # Chromium applies form-action to the redirect after the form as well.
    targets = " ".join(["'self'", *([origin_of(session["success_url"]) or ""] if session else [])])
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none';"
        f" frame-ancestors 'none'; form-action {targets}"
    )
    html = (
        f'<!doctype html>\n<html lang="{"ja" if japanese else "en"}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<title>{texts["title"]} – {texts["band"]}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<p class="band">{texts["band"]}</p>\n<main>\n{content}\n</main>\n</body>\n</html>\n'
    )
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy, **_HEADERS}
    return Response(status, headers, html.encode())


def _message(session: Json | None, name: str, status: int, link: str = "") -> Response:
    texts = _texts(session)
    return _document(
        session, f"<h1>{texts[name]}</h1>\n<section><p>{texts[name + '_hint']}</p>{link}</section>", status
    )


def _page_of(
    tx: Transaction, session: Json, *, card: str | None = None, problem: str | None = None, status: int = 200
) -> Response:
    texts = _texts(session)
    if session["status"] == "complete":
        target = session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
        return _message(session, "complete", status, _link(target, texts["to_order"]))
    if session["status"] == "expired":
        back = _link(session["cancel_url"], texts["back"]) if session["cancel_url"] else ""
        return _message(session, "expired", status, back)
    total = _yen(session["amount_total"])
    alert = f'<p class="alert" role="alert" id="problem">{texts[problem]}</p>\n' if problem else ""
    hidden = f'<input type="hidden" name="token" value="{_token(tx, session["id"])}">'
    order = _order_table(tx, session, texts)
    if card is None and payments.awaits_authentication(tx, session):
        content = (
            f"<h1>{texts['bank']}</h1>\n{alert}{order}\n<section><p>{texts['bank_hint'].format(total=total)}</p>\n"
            f'<form method="post">{hidden}<button name="action" value="authenticate">{texts["confirm"]}</button>\n'
            f'<button class="quiet" name="action" value="fail">{texts["refuse"]}</button></form></section>\n'
            + _link("?card=4242424242424242", texts["other_card"])
        )
        return _document(session, content, status)
    number = card if card is not None else "4242424242424242"
    described = ' aria-invalid="true" aria-describedby="problem"' if problem and problem != "stale" else ""
    email = (
        ""
        if session["customer_email"]
        else f'<div class="field"><label for="email">{texts["email"]}</label>'
        '<input id="email" name="email" type="email" autocomplete="email"></div>\n'
    )
    back = _link(session["cancel_url"], texts["back"]) if session["cancel_url"] else ""
    content = (
        f"<h1>{texts['title']}</h1>\n{alert}{order}\n"
        f'<section><form method="post" action="?">{hidden}\n{email}'
        f'<div class="field"><label for="card">{texts["number"]}</label><input id="card" name="card"'
        f' inputmode="numeric" autocomplete="off" required maxlength="40" value="{escape(_grouped(number))}"'
        f"{described}></div>\n"
        f'<div class="pair"><div class="field"><label for="expiry">{texts["expiry"]}</label><input id="expiry"'
        ' name="expiry" inputmode="numeric" autocomplete="off" placeholder="12 / 34" maxlength="9"></div>\n'
        f'<div class="field"><label for="cvc">{texts["cvc"]}</label><input id="cvc" name="cvc" inputmode="numeric"'
        ' autocomplete="off" placeholder="123" maxlength="4"></div></div>\n'
        f'<button name="action" value="pay">{texts["pay"].format(total=total)}</button></form></section>\n'
        f"{_card_list(number, texts, japanese=session['locale'] == 'ja')}\n{back}"
    )
    return _document(session, content, status)


def _order_table(tx: Transaction, session: Json, texts: dict[str, str]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(line['description'])}"
        + (
            f" <small>{_yen(line['price']['unit_amount'])} × {line['quantity']}</small>"
            if line["quantity"] > 1
            else ""
        )
        + f"</th><td>{_yen(line['amount_total'])}</td></tr>"
        for line in session_lines(tx, session["id"])
    )
    return (
        f"<section><h2>{texts['order']}</h2><table><tbody>{rows}</tbody><tfoot><tr><th scope='row'>{texts['total']}</th>"
        f"<td>{_yen(session['amount_total'])}</td></tr></tfoot></table></section>"
    )


def _card_list(chosen: str, texts: dict[str, str], *, japanese: bool) -> str:
    entries = "".join(
        f'<li><a href="?card={card.number}"{" aria-current=true" if card.number == normalised(chosen) else ""}>'
        f"<span>{_grouped(card.number)}</span> <small>{escape(card.label[0 if japanese else 1])}</small></a></li>\n"
        for card in CARDS.values()
    )
    return (
        f'<section><h2>{texts["cards"]}</h2><p class="hint">{texts["cards_hint"]}</p>'
        f'<ul class="cards">{entries}</ul></section>'
    )


def _link(target: str, text: str) -> str:
    return f'<a class="back" href="{escape(target)}">{text}</a>'


def _grouped(number: str) -> str:
    plain = normalised(number)
    if plain not in CARDS:
        return number
    if len(plain) == 15:
        return f"{plain[:4]} {plain[4:10]} {plain[10:]}"
    return " ".join(plain[start : start + 4] for start in range(0, len(plain), 4))


def _yen(amount: int) -> str:
    return f"¥{amount:,}"
