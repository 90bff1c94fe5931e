"""Mail to customers: stored with its cause, sent once by a job, to a real SMTP server."""

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.utils import timezone, translation
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from kikaku.transactions import unit_of_work
from ledger.models import Order, OutgoingMail
from ledger.sales import cancellation, mail
from ledger.sales.delivery import expected_arrival
from ledger.sales.parcels import correct_parcel
from ledger.sales.refund_plan import Side
from ledger.sales.tracking import tracking_url
from ledger.templatetags.ledger_money import format_day
from ledger.templatetags.ledger_terms import seller, terms
from ledger.testing import build
from ledger.testing.threads import run_in_threads


class Postbox:
    """Handler of an SMTP server that stores the mails, after refusing `refusals` of them."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.refusals = 0
        self.refused: dict[str, str] = {}  # address → answer to RCPT
        self.lock = threading.Lock()

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        self.recipients.append(address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        with self.lock:
            if self.refusals:
                self.refusals -= 1
                return "451 try again later"
            self.letters.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture
def postbox(settings: Settings) -> Iterator[Postbox]:
    """Point Django's SMTP backend to a server in this process and yield its handler."""
    handler = Postbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = port
    settings.EMAIL_TIMEOUT = 5
    yield handler
    controller.stop()


@pytest.mark.django_db
def test_a_mail_goes_out_as_text_and_html_in_japanese(sandbox: Sandbox, postbox: Postbox) -> None:
    order = build.paid_order(sandbox)
    assert mail.send_due(now=timezone.now()) == 1
    (letter,) = postbox.letters
    assert order.number in letter["Subject"]
    assert "ご注文" in letter["Subject"]
    assert letter["To"] == "hanako@example.jp"
    assert letter["Auto-Submitted"] == "auto-generated"
    text = letter.get_body(("plain",))
    html = letter.get_body(("html",))
    assert text is not None and html is not None
    for body in (text.get_content(), html.get_content()):
        assert order.token in body
        assert "シーリングライト" in body
        assert "¥11,500" in body
    row = OutgoingMail.objects.get()
    assert (row.status, row.attempts) == (OutgoingMail.Status.SENT, 1)
    assert row.sent_at is not None
    assert mail.send_due(now=timezone.now() + timedelta(days=1)) == 0


def konbini_order(sandbox: Sandbox, sku: str, *, paid: bool, **how: Any) -> Order:
    """Place an order by konbini, and pay its voucher or let it expire."""
    order = build.order([build.line(sku, title="Ceiling light")], **how)
    session = build.session_of(order)
    sandbox.choose_konbini(session)
    build.deliver(sandbox)
    if paid:
        sandbox.pay_voucher(session)
    else:
        sandbox.expire_voucher(session)
    build.deliver(sandbox)
    order.refresh_from_db()
    return order


@pytest.mark.django_db
def test_mails_of_an_order_placed_in_english_are_in_english(sandbox: Sandbox) -> None:
    english: dict[str, Any] = {"language": "en", "family_name": "Doe", "given_name": "Jane"}
    with translation.override("ja"):  # the worker's own language does not matter
        order = build.paid_order(sandbox, [build.line(title="Ceiling light")], **english)
        cancellation.cancel(order=order, reason="staff", actor="staff", now=timezone.now())
        paid = konbini_order(sandbox, "C", paid=True, **english)
        cancellation.cancel(order=paid, reason="staff", actor="staff", now=timezone.now())
        konbini_order(sandbox, "D", paid=False, **english)
    assert OutgoingMail.objects.values("kind").distinct().count() == 6
    for row in OutgoingMail.objects.select_related("order"):
        assert not any("ぁ" <= character <= "ん" for character in row.subject + row.text + row.html), row.text
        assert row.order is not None and f"/en/orders/{row.order.token}/" in row.text
        assert 'lang="en"' in row.html


@pytest.mark.django_db
def test_mails_of_an_order_placed_in_japanese_are_in_japanese(sandbox: Sandbox) -> None:
    order = build.paid_order(
        sandbox, [build.line("A", quantity=2), build.line("W", price=1_080, tax_class="reduced")]
    )
    first = order.lines.order_by("position")[0]
    shipment = build.ship(order, {first.pk: 1})
    correction = {"carrier": "佐川急便", "tracking_number": "4000-0000-0013", "actor": "staff"}
    correct_parcel(shipment, **correction, now=timezone.now())
    build.refund(order, 500, side=Side.SHIPPED)
    other = build.paid_order(sandbox, [build.line("B")])
    cancellation.cancel(order=other, reason="staff", actor="staff", now=timezone.now())
    build.refund(konbini_order(sandbox, "C", paid=True), 500)
    konbini_order(sandbox, "D", paid=False)
    rows = {row.kind: row for row in OutgoingMail.objects.order_by("pk")}
    kinds = OutgoingMail.Kind
    # test_money_gone.py, test_refund_failures.py, test_manipulations.py,
    # shop/tests/test_contact.py
    of_other_tests = {
        kinds.REST_CANCELLED,
        kinds.REFUND_FAILED,
        kinds.MESSAGE_RECEIVED,
        kinds.DAILY_CLOSE,
    }
    assert set(rows) == set(kinds.values) - of_other_tests
    for row in rows.values():
        assert any("ぁ" <= character <= "ん" for character in row.text)
        for english in ("Your", "Thank", "refund", "tax", "Dear", "Total"):
            assert english not in row.text, row.text
            assert english not in row.subject
    confirmation = order.mails.get(kind="order_confirmation").text
    assert "8%" in confirmation and "10%" in confirmation and "※" in confirmation
    assert "1234-5678-9012" in order.mails.get(kind="shipped").text
    assert "¥500" in order.mails.get(kind="refunded").text


@pytest.mark.django_db
def test_what_a_customer_typed_is_escaped_in_html(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, family_name="<b>山田</b>", given_name="& Co")
    row = order.mails.get()
    assert "<b>山田" not in row.html
    assert "&lt;b&gt;山田" in row.html
    assert "<b>山田</b> & Co" in row.text
    assert "\n" not in row.subject


@pytest.mark.django_db
def test_the_html_loads_nothing_from_other_servers(sandbox: Sandbox) -> None:
    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in ("img", "script", "link", "iframe")
            assert not any(name == "src" for name, _value in attrs)

    Links().feed(build.paid_order(sandbox).mails.get().html)


@pytest.mark.django_db
def test_a_mail_that_fails_is_retried_later_and_given_up_after_eight_attempts(
    sandbox: Sandbox, postbox: Postbox
) -> None:
    build.paid_order(sandbox)
    postbox.refusals = 100
    moment = timezone.now()
    waits = []
    for attempt in range(1, 9):
        assert mail.send_due(now=moment) == 0
        row = OutgoingMail.objects.get()
        assert row.attempts == attempt
        assert "451" in row.last_error
        waits.append(row.next_attempt_at - moment)
        moment = row.next_attempt_at
    assert row.status == OutgoingMail.Status.FAILED
    assert waits == sorted(waits) and waits[0] < waits[6]
    postbox.refusals = 0
    assert mail.send_due(now=moment + timedelta(days=1)) == 0

    assert mail.queue_again(row, actor="staff", now=moment)
    assert not mail.queue_again(row, actor="staff", now=moment)  # it is queued already
    assert mail.send_due(now=moment) == 1
    assert len(postbox.letters) == 1


@pytest.mark.django_db
def test_a_refused_mail_does_not_stop_the_others(sandbox: Sandbox, postbox: Postbox) -> None:
    build.paid_order(sandbox)
    build.paid_order(sandbox)
    postbox.refusals = 1
    assert mail.send_due(now=timezone.now()) == 1
    assert sorted(OutgoingMail.objects.values_list("status", flat=True)) == ["queued", "sent"]


@pytest.mark.django_db
def test_a_mail_is_queued_once_for_its_cause(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    again = unit_of_work(mail.queue)(
        OutgoingMail.Kind.ORDER_CONFIRMATION, order, f"order:{order.pk}", {}, now=timezone.now()
    )
    assert OutgoingMail.objects.get() == again


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_send_the_same_mail_twice(sandbox: Sandbox, postbox: Postbox) -> None:
    for _order in range(4):
        build.paid_order(sandbox)
    sent = run_in_threads(*[lambda: mail.send_due(now=timezone.now())] * 3)
    assert sum(count for count in sent if isinstance(count, int)) == 4, sent
    assert len(postbox.letters) == 4
    assert len({letter["Subject"] for letter in postbox.letters}) == 4


@pytest.mark.django_db
def test_a_mail_is_given_up_after_eight_attempts_whose_results_could_not_be_stored(
    sandbox: Sandbox, postbox: Postbox
) -> None:
    build.paid_order(sandbox)
    OutgoingMail.objects.update(attempts=8)  # on a full disk: sent each time, but not stored as sent
    assert mail.send_due(now=timezone.now()) == 0
    assert OutgoingMail.objects.get().status == "failed" and not postbox.letters
    mail.queue_again(OutgoingMail.objects.get(), actor="staff", now=timezone.now())
    assert mail.send_due(now=timezone.now()) == 1


@pytest.mark.django_db
def test_a_repeated_attempt_has_the_same_message_id_on_the_shops_domain(
    sandbox: Sandbox, postbox: Postbox
) -> None:
    build.paid_order(sandbox)
    build.paid_order(sandbox)
    moment = timezone.now()
    assert mail.send_due(now=moment) == 2
    OutgoingMail.objects.update(status="queued", next_attempt_at=moment)  # sent, but not stored as sent
    assert mail.send_due(now=moment) == 2
    ids = [letter["Message-ID"] for letter in postbox.letters]
    assert len(set(ids)) == 2
    assert sorted(ids[:2]) == sorted(ids[2:])
    assert all(one.endswith("@example.jp>") for one in ids)


@pytest.mark.django_db
def test_a_recipient_that_is_refused_for_good_is_given_up_at_once(sandbox: Sandbox, postbox: Postbox) -> None:
    order = build.paid_order(sandbox)
    postbox.refused[order.email] = "550 no such user"
    assert mail.send_due(now=timezone.now()) == 0
    row = OutgoingMail.objects.get()
    assert (row.status, row.attempts) == (OutgoingMail.Status.FAILED, 1)
    assert "550" in row.last_error


@pytest.mark.django_db
def test_a_recipient_that_is_refused_for_now_is_tried_again(sandbox: Sandbox, postbox: Postbox) -> None:
    order = build.paid_order(sandbox)
    postbox.refused[order.email] = "450 mailbox busy"
    assert mail.send_due(now=timezone.now()) == 0
    assert OutgoingMail.objects.get().status == OutgoingMail.Status.QUEUED
    postbox.refused.clear()
    assert mail.send_due(now=timezone.now() + timedelta(hours=1)) == 1


@pytest.mark.django_db
def test_mail_reaches_addresses_with_dots_where_no_other_has_them(sandbox: Sandbox, postbox: Postbox) -> None:
    for email in ("hanako.@docomo.ne.jp", ".ha..nako@ezweb.ne.jp"):
        build.paid_order(sandbox, email=email)
    assert mail.send_due(now=timezone.now()) == 2
    assert [address.replace('"', "") for address in postbox.recipients] == [
        "hanako.@docomo.ne.jp",
        ".ha..nako@ezweb.ne.jp",
    ]


@pytest.fixture
def silent_server(settings: Settings) -> Iterator[list[socket.socket]]:
    """Point Django to a server that takes connections and never says a word; yield the connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.getsockname()
        settings.EMAIL_TIMEOUT = 0.3
        yield taken
        server.shutdown(socket.SHUT_RDWR)
    for connection in taken:
        connection.close()


@pytest.mark.django_db
def test_three_failed_connections_in_a_row_end_the_run(
    sandbox: Sandbox, silent_server: list[socket.socket]
) -> None:
    for _order in range(6):
        build.paid_order(sandbox)
    assert mail.send_due(now=timezone.now()) == 0
    assert len(silent_server) == 3
    assert sorted(OutgoingMail.objects.values_list("attempts", flat=True)) == [0, 0, 0, 1, 1, 1]
    # the next run begins with those that were not tried
    assert mail.send_due(now=timezone.now()) == 0
    assert set(OutgoingMail.objects.values_list("attempts", flat=True)) == {1}


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_confirmation_is_the_record_that_the_law_asks_for(sandbox: Sandbox, language: str) -> None:
    order = build.paid_order(sandbox, language=language, prefecture="沖縄県", postal_code="900-0015")
    row = order.mails.get()
    with translation.override(language):
        wanted = [
            order.number,
            format_day(timezone.localtime(order.placed_at)),
            format_day(timezone.localtime(order.payments.get().captured_at)),
            format_day(expected_arrival(order)),
            terms("cancellation"),
            terms("returns"),
            seller()["name"],
            seller()["address"],
            seller()["telephone"],
            "Visa" if language == "en" else "クレジットカード（Visa、末尾 4242）",
            "¥11,500",
        ]
    for body in (row.text, unescape(row.html)):
        for text in wanted:
            assert text in body, text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("carrier", "address"),
    [
        ("ヤマト運輸", "https://jizen.kuronekoyamato.co.jp/jizen/servlet/crjz.b.NQ0010?id=123456789013"),
        ("佐川急便", "https://k2k.sagawa-exp.co.jp/p/web/okurijosearch.do?okurijoNo=123456789013"),
    ],
)
def test_the_shipped_mail_leads_to_the_carrier_and_names_the_arrival(
    sandbox: Sandbox, carrier: str, address: str
) -> None:
    order = build.paid_order(sandbox, prefecture="沖縄県", postal_code="907-0012")
    shipment = build.ship(order, carrier=carrier, tracking_number="１２３４－５６７８―９０１３")
    assert shipment.tracking_number == "1234-5678-9013"
    row = order.mails.get(kind="shipped")
    day = timezone.localdate(shipment.shipped_at) + timedelta(days=5)
    with translation.override("ja"):
        assert f"{format_day(day)}頃の予定" in row.text
        assert f"{format_day(day)}頃の予定" in row.html
    assert address in row.text
    assert f'<a href="{address}">1234-5678-9013</a>' in row.html.replace("&amp;", "&")


@pytest.mark.django_db
def test_nothing_but_capitals_and_digits_gets_into_a_tracking_address(sandbox: Sandbox) -> None:
    assert tracking_url("ヤマト運輸", 'a"b&c=1 <2>/../3') == (
        "https://jizen.kuronekoyamato.co.jp/jizen/servlet/crjz.b.NQ0010?id=123"
    )
    assert tracking_url("自社便", "1") == ""
    assert tracking_url("ヤマト運輸", "") == ""
