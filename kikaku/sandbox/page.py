"""The layout of the customers' pages: bilingual, without scripts, with links and forms to the shop only."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from html import escape

from kikaku.sandbox.checkout import origin_of, session_lines
from kikaku.sandbox.http import Response
from kikaku.sandbox.state import Json, Transaction

Texts = Mapping[str, tuple[str, str]]  # name → Japanese, English

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
h3{font-size:16px;margin:0}
section{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:16px;margin:0 0 16px}
table{width:100%;border-collapse:collapse}
td,th{padding:8px 0;text-align:left;vertical-align:top;font-weight:400;overflow-wrap:anywhere}
td:last-child{text-align:right;white-space:nowrap;padding-left:16px}
tbody tr+tr{border-top:1px solid var(--line)}
tfoot tr{border-top:2px solid var(--ink)}
tfoot th,tfoot td{font-weight:700;font-size:18px}
td,input,dd{font-variant-numeric:tabular-nums}
small,.hint{color:var(--muted);font-size:14px}
label,legend{display:block;font-size:14px;margin:0 0 4px;padding:0}
input,select{width:100%;font:inherit;font-size:18px;color:inherit;background:var(--paper);
border:1px solid var(--muted);border-radius:6px;padding:8px 12px;min-height:48px}
fieldset{border:0;margin:0 0 16px;padding:0;min-width:0}
.wish{display:grid;grid-template-columns:auto 1fr;gap:0 12px;align-items:center;font-size:16px;padding:8px 12px;
margin:0;border:1px solid var(--line);cursor:pointer;min-height:48px}
.wish:first-of-type{border-radius:6px 6px 0 0}
.wish:last-of-type{border-radius:0 0 6px 6px}
.wish+.wish{border-top:0}
.wish:has(:checked){background:var(--paper)}
.wish input{width:20px;height:20px;min-height:0;margin:0;grid-row:1/3;accent-color:var(--act)}
.methods{display:grid;grid-template-columns:1fr 1fr;margin:0 0 16px;border:1px solid var(--muted);border-radius:6px;
overflow:hidden}
.methods a{display:grid;place-items:center;min-height:48px;color:inherit;text-decoration:none;text-align:center;
padding:4px 8px;outline-offset:-3px}
.methods a+a{border-left:1px solid var(--muted)}
.methods a[aria-current]{background:var(--ink);color:var(--paper);font-weight:700}
.due{font-size:18px;font-weight:700}
dl{margin:0}
.facts{display:grid;grid-template-columns:auto 1fr;gap:4px 16px;align-items:baseline}
.facts dt{color:var(--muted);font-size:14px}
.facts dd{margin:0;text-align:right}
.facts .sum{font-size:22px;font-weight:700}
.chain{padding:12px 0}
.chain+.chain{border-top:1px solid var(--line)}
.chain dl{display:grid;grid-template-columns:1fr 1fr;gap:0 16px;margin:4px 0}
.chain dt{color:var(--muted);font-size:14px;grid-row:1}
.chain dd{margin:0;font-size:20px;font-weight:700;letter-spacing:.04em}
summary{min-height:44px;display:flex;align-items:center;cursor:pointer;font-size:14px;text-decoration:underline}
ol{margin:0 0 8px;padding-left:1.5em}
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
section>p:last-child{margin-bottom:0}
.alert{background:var(--bad-paper);color:var(--bad);border:1px solid currentColor;border-radius:6px;padding:12px 16px;
margin:0 0 16px}
.back{display:inline-block;padding:12px 0;color:inherit}
:focus-visible{outline:3px solid var(--act);outline-offset:2px}
@media (hover:hover){.cards a:hover,.wish:hover{background:var(--paper)}}
@media print{.band,.trial,.back{display:none}body{background:none}section{border:0;padding:0}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_BANNER = ("テスト決済 – 実際のお金は動きません", "Test payment – no real money")
_ORDER_TEXTS = {
    "order": ("ご注文内容", "Your order"),
    "total": ("お支払い金額", "Total"),
}
_UNKNOWN_TEXTS = {
    "title": ("お支払い", "Payment"),
    "unknown": ("このお支払いページは見つかりません", "This payment page does not exist"),
    "unknown_hint": ("ショップからもう一度お手続きください。", "Please start again from the shop."),
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


def in_japanese(session: Json | None) -> bool:
    """Return whether a session's pages are in Japanese; for every other locale they are in English."""
    return session is not None and session["locale"] == "ja"


def translate(session: Json | None, texts: Texts) -> dict[str, str]:
    """Return the texts in the language of a session."""
    column = 0 if in_japanese(session) else 1
    return {name: text[column] for name, text in texts.items()}


def document(session: Json | None, title: str, content: str, status: int = 200) -> Response:
    """Return a page: `title` is plain text, `content` HTML. Forms lead to the stand-in and the shop only."""
    japanese = in_japanese(session)
    band = _BANNER[0 if japanese else 1]
    # Chromium applies form-action to the redirect after the form as well.
    targets = " ".join(["'self'", *([origin_of(session["success_url"]) or ""] if session else [])])
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none';"
        f" frame-ancestors 'none'; form-action {targets}"
    )
    html = (
        f'<!doctype html>\n<html lang="{"ja" if japanese else "en"}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<title>{escape(title)} – {band}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<p class="band">{band}</p>\n<main>\n{content}\n</main>\n</body>\n</html>\n'
    )
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy, **_HEADERS}
    return Response(status, headers, html.encode())


def message_page(
    session: Json | None, heading: str, text: str, status: int = 200, *, link: str = ""
) -> Response:
    """Return a page with a heading and one paragraph."""
    content = f"<h1>{escape(heading)}</h1>\n<section><p>{escape(text)}</p>{link}</section>"
    return document(session, heading, content, status)


def unknown_session() -> Response:
    """Return the page for an unknown session."""
    texts = translate(None, _UNKNOWN_TEXTS)
    return message_page(None, texts["unknown"], texts["unknown_hint"], 404)


def redirect(target: str) -> Response:
    """Return the redirect after a form."""
    return Response(303, {"Location": target, **_HEADERS})


def token(tx: Transaction, session: Json) -> str:
    """Return the token of a session's forms, so that only our own pages can post them."""
    return hmac.new(tx.secret("page").encode(), session["id"].encode(), hashlib.sha256).hexdigest()


def token_field(tx: Transaction, session: Json) -> str:
    """Return the hidden field with the token."""
    return f'<input type="hidden" name="token" value="{token(tx, session)}">'


def is_own_form(tx: Transaction, session: Json, form: Mapping[str, str]) -> bool:
    """Return whether a form came from our own page for this session."""
    return hmac.compare_digest(form.get("token", "").encode(), token(tx, session).encode())


def order_table(tx: Transaction, session: Json) -> str:
    """Return line items and total of a session as HTML."""
    texts = translate(session, _ORDER_TEXTS)
    rows = "".join(
        f"<tr><th scope='row'>{escape(line['description'])}"
        + (
            f" <small>{yen(line['price']['unit_amount'])} × {line['quantity']}</small>"
            if line["quantity"] > 1
            else ""
        )
        + f"</th><td>{yen(line['amount_total'])}</td></tr>"
        for line in session_lines(tx, session["id"])
    )
    return (
        f"<section><h2>{texts['order']}</h2><table><tbody>{rows}</tbody><tfoot><tr><th scope='row'>{texts['total']}</th>"
        f"<td>{yen(session['amount_total'])}</td></tr></tfoot></table></section>"
    )


def alert(text: str | None) -> str:
    """Return an alert as HTML; "" without a text."""
    return f'<p class="alert" role="alert" id="problem">{escape(text)}</p>\n' if text else ""


def link(target: str | None, text: str) -> str:
    """Return a link on its own line as HTML; "" without a target."""
    return f'<a class="back" href="{escape(target)}">{escape(text)}</a>' if target else ""


def yen(amount: int) -> str:
    """Return an amount of JPY as text."""
    return f"¥{amount:,}"
