"""The voucher's page: its codes, stores and deadline, and buttons to pay or expire it in a test.

A customer whose payment is refunded also names the bank account here.
"""

from datetime import UTC, datetime
from html import escape

from kikaku.sandbox import konbini, page, payments, refunds
from kikaku.sandbox.http import Response
from kikaku.sandbox.konbini import JST
from kikaku.sandbox.page import yen
from kikaku.sandbox.params import decode_form
from kikaku.sandbox.state import Condition, Json, Transaction

# The texts of the page: Japanese, English.
_TEXTS = {
    "waiting": ("コンビニでお支払いください", "Pay at a convenience store"),
    "total": ("お支払い金額", "Amount"),
    "due": ("お支払い期限", "Pay until"),
    "name": ("お名前", "Name"),
    "codes": ("お支払い番号", "Your codes"),
    "codes_hint": (
        "どの店舗でもお支払いいただけます。店頭の端末に下の番号を入力してください。",
        "Pay in any of these stores: type the codes into the store's machine.",
    ),
    "payment_code": ("支払い番号", "Payment code"),
    "confirmation_number": ("確認番号", "Confirmation number"),
    "how": ("お支払いの手順", "How to pay"),
    "trial": ("テスト操作", "In this test"),
    "trial_hint": ("店頭に行く代わりに、ここで支払えます。", "Pay here instead of going to a store."),
    "store": ("支払う店舗", "Store"),
    "pay": ("レジで支払う", "Pay at the counter"),
    "expire": ("支払わずに期限切れにする", "Let the deadline pass unpaid"),
    "paid": ("お支払いが完了しました", "Your payment is complete"),
    "paid_hint": (
        "{total} のお支払いを確認しました。ありがとうございます。",
        "We have received {total}. Thank you.",
    ),
    "expired": ("お支払いの期限が切れました", "The deadline has passed"),
    "expired_hint": (
        "この番号ではもうお支払いいただけません。お手数ですが、ショップでもう一度ご注文ください。",
        "These codes can no longer be paid. Please order again in the shop.",
    ),
    "refund": ("{amount} の返金（テスト操作）", "Refund of {amount} (in this test)"),
    "refund_hint": (
        "{email} に、返金を受け取る銀行口座のお尋ねを送りました。{until} までにお答えください。",
        "We have asked {email} for a bank account to send the refund to. Please answer until {until}.",
    ),
    "claim": ("口座を登録して受け取る", "Name an account and receive it"),
    "misname": ("誤った口座を登録する", "Name a wrong account"),
    "ignore": ("45日間答えない", "Do not answer for 45 days"),
    "to_order": ("ショップに戻る", "Back to the shop"),
    "stale": (
        "ページの有効性を確認できませんでした。もう一度お試しください。",
        "This page could not be verified. Please try again.",
    ),
}

_CHAIN_NAMES = {
    "familymart": ("ファミリーマート", "FamilyMart"),
    "lawson": ("ローソン", "Lawson"),
    "ministop": ("ミニストップ", "Ministop"),
    "seicomart": ("セイコーマート", "Seicomart"),
}
_LOPPI_STEPS = (
    (
        "店内の端末「Loppi」で「各種番号をお持ちの方」を選びます。",
        "Choose to enter a number on the Loppi machine.",
    ),
    ("支払い番号と確認番号を入力します。", "Type the payment code and the confirmation number."),
    (
        "印刷された申込券を30分以内にレジへお持ちください。",
        "Take the printed slip to the counter within 30 minutes.",
    ),
)
_STEPS = {
    "familymart": (
        ("店内のマルチコピー機で「代金支払い」を選びます。", "Choose to pay a bill on the store's copier."),
        ("支払い番号と確認番号を入力します。", "Type the payment code and the confirmation number."),
        ("印刷された申込券をレジへお持ちください。", "Take the printed slip to the counter."),
    ),
    "lawson": _LOPPI_STEPS,
    "ministop": _LOPPI_STEPS,
    "seicomart": (
        ("レジで「インターネット代金支払い」とお伝えください。", "Tell the clerk that you pay for an order on the internet."),
        ("レジの画面に支払い番号と確認番号を入力します。", "Type the payment code and the confirmation number there."),
    ),
}  # fmt: skip


def show(tx: Transaction, session_id: str, query: str) -> Response:
    """Return the page of a session's voucher: its codes, or that it is paid or expired."""
    session = tx.get("checkout.session", session_id)
    return page.unknown_session() if session is None else _page_of(tx, session)


def submit(tx: Transaction, session_id: str, encoded: str) -> Response:
    """Pay or expire a voucher, or answer for a refund; a form for one that no longer waits has no effect.

    Raises:
        ApiError: 400, the form is malformed.
    """
    form = {name: value for name, value in decode_form(encoded).items() if isinstance(value, str)}
    session = tx.get("checkout.session", session_id)
    if session is None:
        return page.unknown_session()
    if not page.is_own_form(tx, session, form):
        return _page_of(tx, session, problem="stale", status=403)
    action = form.get("action", "pay")
    if konbini.voucher_stage(tx, session) == "waiting":
        if action == "expire":
            konbini.expire_voucher(tx, session_id)
        elif action == "pay":
            chain = form.get("chain", "")
            konbini.pay_voucher(tx, session_id, chain=chain if chain in konbini.CHAINS else konbini.CHAINS[0])
    elif form.get("refund") in {refund["id"] for refund in _waiting_refunds(tx, session)}:
        if action == "ignore":
            refunds.ignore_refund(tx, form["refund"])
        elif action in {"claim", "misname"}:
            refunds.claim_refund(tx, form["refund"], bank_accepts=action == "claim")
    return page.redirect(konbini.VOUCHER_PATH + session["id"])


def _waiting_refunds(tx: Transaction, session: Json) -> list[Json]:
    """Return the refunds of a session that wait for the customer, newest first."""
    conditions = [
        Condition("payment_intent", [session["payment_intent"]]),
        Condition("status", ["requires_action"]),
    ]
    return tx.page("refund", conditions).data


def _page_of(tx: Transaction, session: Json, *, problem: str | None = None, status: int = 200) -> Response:
    stage = konbini.voucher_stage(tx, session)
    if stage is None:
        return page.unknown_session()
    texts = page.translate(session, _TEXTS)
    total = yen(session["amount_total"])
    back = page.link(payments.success_url(session), texts["to_order"])
    alert = page.alert(texts[problem] if problem else None)
    if stage != "waiting":
        hint = texts[f"{stage}_hint"].format(total=total)
        content = (
            f"<h1>{texts[stage]}</h1>\n{alert}<section><p>{hint}</p></section>\n"
            + "".join(_refund(tx, session, refund, texts) for refund in _waiting_refunds(tx, session))
            + back
        )
        return page.document(session, texts[stage], content, status)
    voucher = konbini.voucher_of(tx, session)
    until = _until(voucher["expires_at"], japanese=page.in_japanese(session))
    facts = (
        f'<section><dl class="facts"><dt>{texts["total"]}</dt><dd class="sum">{total}</dd>'
        f'<dt>{texts["due"]}</dt><dd class="due">{until}</dd>'
        f"<dt>{texts['name']}</dt><dd>{escape(session['customer_details']['name'])}</dd></dl></section>\n"
    )
    content = (
        f"<h1>{texts['waiting']}</h1>\n{alert}{facts}"
        f"{_codes(session, voucher, texts)}{_counter(tx, session, texts)}{back}"
    )
    return page.document(session, texts["waiting"], content, status)


def _until(expires_at: int, *, japanese: bool) -> str:
    end = datetime.fromtimestamp(expires_at, UTC).astimezone(JST)
    if japanese:
        return f"{end.month}月{end.day}日（{'月火水木金土日'[end.weekday()]}）{end:%H:%M}"
    return f"{end:%a}, {end.day} {end:%b, %H:%M} JST"


def _codes(session: Json, voucher: Json, texts: dict[str, str]) -> str:
    column = 0 if page.in_japanese(session) else 1
    chains = "".join(
        f'<div class="chain"><h3>{_CHAIN_NAMES[chain][column]}</h3>'
        f"<dl><dt>{texts['payment_code']}</dt><dd>{codes['payment_code']}</dd>"
        f"<dt>{texts['confirmation_number']}</dt><dd>{codes['confirmation_number']}</dd></dl>"
        f"<details><summary>{texts['how']}</summary><ol>"
        + "".join(f"<li>{step[column]}</li>" for step in _STEPS[chain])
        + "</ol></details></div>\n"
        for chain, codes in voucher["stores"].items()
    )
    return f'<section><h2>{texts["codes"]}</h2><p class="hint">{texts["codes_hint"]}</p>{chains}</section>\n'


def _counter(tx: Transaction, session: Json, texts: dict[str, str]) -> str:
    column = 0 if page.in_japanese(session) else 1
    chains = "".join(
        f'<option value="{chain}">{names[column]}</option>' for chain, names in _CHAIN_NAMES.items()
    )
    return (
        f'<section class="trial"><h2>{texts["trial"]}</h2><p class="hint">{texts["trial_hint"]}</p>'
        f'<form method="post">{page.token_field(tx, session)}'
        f'<div class="field"><label for="chain">{texts["store"]}</label><select id="chain" name="chain">{chains}</select></div>'
        f'<button name="action" value="pay">{texts["pay"]}</button>\n'
        f'<button class="quiet" name="action" value="expire">{texts["expire"]}</button></form></section>\n'
    )


def _refund(tx: Transaction, session: Json, refund: Json, texts: dict[str, str]) -> str:
    details = refund["next_action"]["display_details"]
    hint = texts["refund_hint"].format(
        email=escape(details["email_sent"]["email_sent_to"]),
        until=_until(details["expires_at"], japanese=page.in_japanese(session)),
    )
    return (
        f'<section class="trial"><h2>{texts["refund"].format(amount=yen(refund["amount"]))}</h2><p>{hint}</p>'
        f'<form method="post">{page.token_field(tx, session)}<input type="hidden" name="refund" value="{refund["id"]}">'
        f'<button name="action" value="claim">{texts["claim"]}</button>\n'
        f'<button class="quiet" name="action" value="misname">{texts["misname"]}</button>\n'
        f'<button class="quiet" name="action" value="ignore">{texts["ignore"]}</button></form></section>\n'
    )
