"""Money that stays with us although no goods follow: 2130 or 2120 → 4910, outside the tax, with a reason."""

import secrets
from contextlib import suppress
from datetime import timedelta

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kikaku.money import REDUCED
from kikaku.sandbox import Sandbox
from kikaku.testing.database import examples
from ledger.admin.advice import advice
from ledger.books.accounts import OTHER_INCOME, PREPAYMENTS, REFUNDS_PAYABLE
from ledger.books.discrepancies import note_discrepancy
from ledger.books.trial_balance import net_balance
from ledger.closing import verification
from ledger.closing.daily_close import close_days
from ledger.closing.report_figures import receipts
from ledger.models import CheckoutAttempt, Discrepancy, JournalEntry, KeptMoney, Order, OrderEvent, Refund
from ledger.models.books import LineTaxClass
from ledger.models.orders import SHIPPABLE_STATUSES, OrderStatus
from ledger.sales import kept_money
from ledger.sales.cancellation import CancelRefused
from ledger.sales.kept_money import KeepRefused
from ledger.sales.refunds import RefundRefused, Side, send_requested
from ledger.sales.seen import OrderChanged
from ledger.sales.shipping import ShipRefused
from ledger.testing import build
from ledger.testing.admin import fields_of, page_of
from ledger.testing.closing import MONDAY, TUESDAY, at, night_after, set_clock
from ledger.testing.dashboard import failed_later, refund_in_dashboard
from ledger.testing.konbini import assert_no_findings, attempt_of, order_with_voucher
from ledger.testing.tampering import tamper
from ledger.testing.withdrawals import paid, sale, withdraw

Kind = Discrepancy.Kind


def keep(order: Order, amount: int, *, reason: str = "お客様が受け取らない", **how: str) -> KeptMoney:
    """Keep an amount of an order as staff do."""
    nonce = how.pop("nonce", "") or secrets.token_hex(8)
    return kept_money.keep(
        order=order, amount=amount, reason=reason, nonce=nonce, actor="sato", now=at(TUESDAY, 20), **how
    )


def balances(order: Order) -> tuple[int, int, int]:
    """Return what an order has in 2130, 2120 and 4910 (credit − debit)."""
    accounts = (PREPAYMENTS, REFUNDS_PAYABLE, OTHER_INCOME)
    return tuple(-net_balance(account, order=order) for account in accounts)  # type: ignore[return-value]


def cancelled_with_money(sandbox: Sandbox) -> Order:
    """Return a cancelled order whose refund of ¥3,550 was withdrawn: the money is here."""
    order = paid(sandbox)
    withdraw(sandbox, build.refund(order, order.total, now=at(TUESDAY, 10)))
    assert order.status == OrderStatus.CANCELLED
    return order


@pytest.mark.django_db
def test_a_cancellation_fee_is_other_income_outside_the_tax_and_can_not_be_refunded(sandbox: Sandbox) -> None:
    order = cancelled_with_money(sandbox)
    kept = keep(order, 1_000, reason="キャンセル料")
    entry = JournalEntry.objects.get(source_type="kept_money")
    assert [
        (line.account_id, line.debit, line.credit, line.tax_class, line.tax) for line in entry.lines.all()
    ] == [
        (PREPAYMENTS, 1_000, 0, LineTaxClass.OUTSIDE, 0),
        (OTHER_INCOME, 0, 1_000, LineTaxClass.OUTSIDE, 0),
    ]
    assert (entry.amount, entry.counterparty, entry.description) == (
        1_000,
        order.name,
        f"雑収入へ振替 {order.number}",
    )
    assert (kept.reason, kept.actor) == ("キャンセル料", "sato")
    assert OrderEvent.objects.get(order=order, kind="money_kept").data["amount"] == 1_000
    with pytest.raises(RefundRefused, match="2,550"):
        build.refund(order, 2_551, now=at(TUESDAY, 21))
    assert Discrepancy.objects.unresolved().get().kind == Kind.WITHDRAWN_TO_DECIDE  # about the rest
    build.refund(order, now=at(TUESDAY, 21))
    assert balances(order) == (0, 2_550, 1_000)  # the refund waits for a bank account
    assert not Discrepancy.objects.unresolved().exists()
    assert_no_findings()


@pytest.mark.django_db
def test_keeping_the_whole_money_decides_what_a_person_was_asked(sandbox: Sandbox) -> None:
    order = cancelled_with_money(sandbox)
    asked = Discrepancy.objects.get()
    other = note_discrepancy(
        Kind.PAID_OTHER_AMOUNT, order.payments.get().payment_intent, day=TUESDAY, now=at(TUESDAY)
    )
    assert page_of(order, "keep") in advice(asked)
    keep(order, 3_000)
    assert asked.pk in Discrepancy.objects.unresolved().values_list("pk", flat=True)  # ¥550 are left
    keep(order, 550)
    assert balances(order) == (0, 0, 3_550)
    for row in (asked, other):
        row.refresh_from_db()
        assert row.resolution == "雑収入へ振り替えました。"
    assert "雑収入へ" not in advice(asked)
    with pytest.raises(RefundRefused):
        build.refund(order, now=at(TUESDAY, 21))
    assert_no_findings()


@pytest.mark.django_db
def test_what_is_owed_since_a_refund_failed_is_kept_out_of_2120(sandbox: Sandbox) -> None:
    refund = failed_later(sandbox, 1_000)
    build.fetch(sandbox)
    order = refund.order
    assert balances(order)[1] == 1_000
    keep(order, 1_000)
    assert balances(order) == (0, 0, 1_000)
    assert not Discrepancy.objects.unresolved().exists()
    assert_no_findings()


@pytest.mark.django_db
def test_an_excess_payment_is_kept_and_the_goods_are_sold_for_their_price(sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    voucher = str(attempt_of(order).session_id)
    CheckoutAttempt.objects.filter(order=order).update(status=CheckoutAttempt.Status.EXPIRED)
    sandbox.pay(build.session_of(order, now=set_clock(sandbox, at(TUESDAY, 9))))
    sandbox.pay_voucher(voucher)
    build.deliver(sandbox)
    send_requested(now=set_clock(sandbox, at(TUESDAY, 10)))
    withdraw(sandbox, order.refunds.get())
    assert balances(order) == (23_000, 0, 0)
    with pytest.raises(KeepRefused, match="11,500"):
        keep(order, 11_501)
    keep(order, 11_500)
    build.ship(order, now=at(TUESDAY, 21))
    assert (sum(sale(order)), balances(order)) == (11_500, (0, 0, 11_500))
    assert_no_findings()


@pytest.mark.django_db
@pytest.mark.parametrize("act", ["keep", "refund", "dashboard", "cancel"])
def test_an_order_that_is_paid_with_a_few_yen_too_much_is_paid_and_the_surplus_is_decided(
    sandbox: Sandbox, staff: Client, act: str
) -> None:
    order = build.order(now=set_clock(sandbox, at(TUESDAY, 9)))
    sandbox.pay(build.session_of(order, now=at(TUESDAY, 9)))
    # as if the page had asked for ¥3 more: no method of today lets a customer choose the amount
    Order.objects.filter(pk=order.pk).update(total=11_497, shipping_fee=497)
    build.deliver(sandbox)
    build.fetch(sandbox)
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    asked = Discrepancy.objects.get()
    assert (asked.kind, asked.amount, balances(order)) == (Kind.PAID_OTHER_AMOUNT, 3, (11_500, 0, 0))
    by_reason, by_method = receipts(TUESDAY)
    assert [(row["reason"], row["count"], row["total"]) for row in by_reason] == [
        ("paid", 1, 11_497),
        ("paid_other_amount", 0, 3),
    ]
    assert sum(row["total"] for row in by_method) == 11_500
    if act == "keep":
        assert page_of(order, "keep") in staff.get(page_of(order)).content.decode()
        keep(order, 3)
    elif act == "refund":
        build.refund(order, 3, now=at(TUESDAY, 10))
    elif act == "dashboard":
        refund_in_dashboard(order.payments.get(), 3)
        build.deliver(sandbox)
    else:
        build.cancel(order, now=at(TUESDAY, 10))
        assert sorted(refund.amount for refund in order.refunds.all()) == [3, 11_497]
        assert "¥11,500" in order.mails.get(kind="cancelled").text
    asked.refresh_from_db()
    assert asked.resolved_at is not None
    order.refresh_from_db()
    if act != "cancel":
        build.ship(order, now=at(TUESDAY, 21))
        assert sum(sale(order)) == 11_497
    build.deliver(sandbox)
    build.fetch(sandbox)
    assert balances(order) == (0, 0, 3 if act == "keep" else 0)
    assert_no_findings()


@pytest.mark.django_db
def test_an_order_that_is_not_paid_keeps_nothing(sandbox: Sandbox) -> None:
    with pytest.raises(KeepRefused):
        keep(order_with_voucher(sandbox), 1)


@pytest.mark.django_db
def test_money_of_goods_that_can_be_shipped_is_not_kept(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    with pytest.raises(KeepRefused):
        keep(order, 1)
    withdraw(sandbox, build.refund(order, cancel={order.lines.get().pk: 1}, now=at(TUESDAY, 10)))
    with pytest.raises(KeepRefused, match="1,000"):
        keep(order, 1_001)
    keep(order, 1_000)
    build.ship(order, now=at(TUESDAY, 21))
    assert (sum(sale(order)), balances(order)) == (2_550, (0, 0, 1_000))
    assert not Discrepancy.objects.unresolved().exists()
    assert_no_findings()


@pytest.mark.django_db
def test_a_form_sent_twice_keeps_once_and_an_old_plan_keeps_nothing(sandbox: Sandbox) -> None:
    order = cancelled_with_money(sandbox)
    seen = kept_money.preview(order=order, amount=3_000)
    assert keep(order, 500, nonce="form") == keep(order, 500, nonce="form")
    other = build.order([build.line("OTHER")])
    with pytest.raises(KeepRefused):
        keep(other, 500, nonce="form")
    with pytest.raises(KeepRefused):
        keep(order, 500, reason="  ")
    with pytest.raises(KeepRefused):
        keep(order, 0)
    build.refund(order, 100, now=at(TUESDAY, 21))
    with pytest.raises(OrderChanged):
        keep(order, 2_000, confirmed=seen.plan)
    assert balances(order) == (2_950, 100, 500)


@pytest.mark.django_db
def test_money_that_stripe_refunds_after_all_is_taken_back_from_other_income(sandbox: Sandbox) -> None:
    order = cancelled_with_money(sandbox)
    keep(order, 3_000)
    refund_in_dashboard(order.payments.get(), 2_000)
    build.deliver(sandbox)
    build.fetch(sandbox)
    assert sum(KeptMoney.objects.values_list("amount", flat=True)) == 3_550 - 2_000
    assert balances(order) == (0, 2_000, 1_550)
    event = OrderEvent.objects.get(kind="kept_taken_back")
    assert (event.data["amount"], event.actor) == (1_450, "stripe")
    assert_no_findings()


@pytest.mark.django_db
def test_a_cancelled_order_whose_excess_was_kept_sends_the_rest_back(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    withdraw(sandbox, build.refund(order, cancel={order.lines.get().pk: 1}, now=at(TUESDAY, 10)))
    keep(order, 400)
    build.cancel(order, now=at(TUESDAY, 21))
    assert balances(order) == (0, 3_150, 400)
    assert_no_findings()


@pytest.mark.django_db
@pytest.mark.parametrize(("fee", "given_back"), [(1_000, 2_550), (3_550, 0)])
def test_an_order_is_cancelled_for_a_fee_and_the_rest_goes_back(
    sandbox: Sandbox, staff: Client, fee: int, given_back: int
) -> None:
    order = paid(sandbox)
    page = page_of(order, "cancel")
    shown = staff.get(page)
    assert "全額から、キャンセル料がある場合はその額を差し引いて" in shown.content.decode()
    fields = fields_of(shown)
    refused = staff.post(page, {**fields, "fee": "3551"})
    assert refused.status_code == 422 and "3,550" in refused.content.decode()
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    for _click in range(2):
        staff.post(page, {**fields, "fee": str(fee)})
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED
    assert order.kept_money.get().reason == "キャンセル料"
    assert [refund.amount for refund in order.refunds.all()] == ([given_back] if given_back else [])
    assert balances(order) == (0, given_back, fee)
    mail = order.mails.get(kind="cancelled").text
    assert f"キャンセル料として¥{fee:,}を申し受けました" in mail
    assert (f"¥{given_back:,}" in mail) == bool(given_back)
    assert order.lines.get().cancelled == 3
    assert_no_findings()


@pytest.mark.django_db
@pytest.mark.parametrize(("fee", "given_back"), [(300, 800), (1_100, 0)])
def test_the_rest_of_a_partly_shipped_order_is_cancelled_for_a_fee(
    sandbox: Sandbox, staff: Client, fee: int, given_back: int
) -> None:
    order = build.paid_order(sandbox, [build.line(price=1_100, quantity=2, on_hand=2)])
    build.ship(order, {order.lines.get().pk: 1})
    page = page_of(order, "cancel")
    fields = fields_of(staff.get(page))
    refused = staff.post(page, {**fields, "fee": "1101"})
    assert refused.status_code == 422 and "1,100" in refused.content.decode()
    assert order.lines.get().cancelled == 0
    for _click in range(2):
        answer = staff.post(page, {**fields, "fee": str(fee)}, follow=True)
        assert "未発送分をキャンセルしました" in answer.content.decode()
    order.refresh_from_db()
    assert order.status == OrderStatus.SHIPPED
    line = order.lines.get()
    assert (line.shipped, line.cancelled, line.item.on_hand, line.item.reserved) == (1, 1, 1, 0)
    assert [refund.amount for refund in order.refunds.all()] == ([given_back] if given_back else [])
    build.deliver(sandbox)
    build.fetch(sandbox)
    assert balances(order) == (0, 0, fee)
    entry = JournalEntry.objects.get(order=order, source_type="kept_money")
    assert [
        (each.account_id, each.debit, each.credit, each.tax_class) for each in entry.lines.order_by("pk")
    ] == [
        (PREPAYMENTS, fee, 0, LineTaxClass.OUTSIDE),
        (OTHER_INCOME, 0, fee, LineTaxClass.OUTSIDE),
    ]
    mail = order.mails.get(kind="rest_cancelled").text
    assert f"キャンセル料として¥{fee:,}を申し受けました" in mail
    assert (f"¥{given_back:,}" in mail) == bool(given_back)
    assert order.events.get(kind=OrderEvent.Kind.REST_CANCELLED).data == {"pieces": {"1": 1}}
    assert_no_findings()


@pytest.mark.django_db
def test_a_fee_is_kept_of_a_paid_order_alone(sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    with pytest.raises(CancelRefused):
        build.cancel(order, fee=100, now=at(MONDAY, 13))
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING


@pytest.mark.django_db
def test_staff_see_what_is_posted_before_they_keep_money(sandbox: Sandbox, staff: Client) -> None:
    order = cancelled_with_money(sandbox)
    page = page_of(order, "keep")
    assert page in staff.get(page_of(order)).content.decode()
    shown = staff.get(page)
    assert shown.context["form"]["amount"].value() == 3_550
    fields = fields_of(shown)
    missing = staff.post(page, {**fields, "reason": ""})
    assert missing.status_code == 422
    preview = staff.post(page, {**fields, "amount": "1000", "reason": "キャンセル料"})
    assert "2130 前受金 → 4910 雑収入：¥1,000" in preview.content.decode()
    assert not KeptMoney.objects.exists()
    confirmed = {**fields_of(preview), "amount": "1000", "reason": "キャンセル料"}
    assert staff.post(page, confirmed).status_code == 302
    assert staff.post(page, confirmed).status_code == 302  # the second click
    assert KeptMoney.objects.get().amount == 1_000
    content = staff.get(page_of(order)).content.decode()
    assert "¥1,000 を雑収入へ振り替えました（お客様には返しません）。理由：キャンセル料" in content
    assert "雑収入へ振替" in content and "¥2,550" in content


@pytest.mark.django_db
def test_an_order_without_such_money_has_no_button(sandbox: Sandbox, staff: Client) -> None:
    order = paid(sandbox)
    assert page_of(order, "keep") not in staff.get(page_of(order)).content.decode()


@pytest.mark.django_db
@pytest.mark.engine_independent
def test_a_close_and_verify_books_prove_kept_money(sandbox: Sandbox) -> None:
    order = cancelled_with_money(sandbox)
    keep(order, 1_000)
    close_days([MONDAY, TUESDAY], now=set_clock(sandbox, night_after(TUESDAY)))
    assert not list(verification.verify())
    tamper("UPDATE ledger_keptmoneyline SET prepaid = 999")
    found = "\n".join(map(str, verification.verify()))
    assert "entry of kept money: KeptMoney" in found and "amounts of an entry" in found


@pytest.mark.django_db
def test_the_database_refuses_to_change_kept_money(sandbox: Sandbox) -> None:
    keep(cancelled_with_money(sandbox), 1_000)
    with pytest.raises(Exception, match="append-only"):
        KeptMoney.objects.update(amount=1)


acts = st.lists(
    st.one_of(
        st.tuples(st.just("ship"), st.integers(1, 3)),
        st.tuples(st.just("amount"), st.integers(1, 1_500)),
        st.tuples(st.sampled_from(["pieces to cancel", "returned pieces"]), st.integers(1, 2)),
        st.tuples(st.just("withdraw"), st.integers(0, 2)),
        st.tuples(st.just("answer"), st.integers(0, 2)),
        st.tuples(st.just("keep"), st.integers(1, 1_500)),
        st.tuples(st.just("keep all"), st.just(0)),
        st.tuples(st.just("dashboard"), st.integers(1, 1_500)),
        st.tuples(st.just("cancel"), st.sampled_from([0, 1, 1_000])),
    ),
    max_size=10,
)


@pytest.mark.django_db
@pytest.mark.engine_independent
@settings(deadline=None, max_examples=examples(25), suppress_health_check=list(HealthCheck))
@given(history=acts)
def test_whatever_is_kept_shipped_refunded_and_withdrawn_the_books_hold(
    sandbox: Sandbox, history: list[tuple[str, int]]
) -> None:
    now = set_clock(sandbox, at(MONDAY))
    lines = [
        build.line(secrets.token_hex(4), price=1_000, quantity=2),
        build.line(secrets.token_hex(4), price=500, quantity=2, tax_class=REDUCED),
    ]
    order = paid(sandbox, build.order(lines, shipping_fee=550, now=now))
    line = order.lines.order_by("position")[0]
    for act, number in history:
        now = set_clock(sandbox, build.now_of(sandbox) + timedelta(minutes=5))
        waiting = list(order.refunds.filter(status=Refund.Status.REQUIRES_ACTION).order_by("pk"))
        with suppress(RefundRefused, ShipRefused, KeepRefused, CancelRefused):
            run(sandbox, order, act, number, line_id=line.pk, waiting=waiting)
        build.deliver(sandbox)
        build.fetch(sandbox)
        order.refresh_from_db()
    assert_no_findings()
    given_back = sum(refund.amount for refund in order.refunds.filter(status=Refund.Status.SUCCEEDED))
    prepaid, owed, income = balances(order)
    assert min(prepaid, owed, income) >= 0
    assert income == sum(order.kept_money.values_list("amount", flat=True))
    assert sum(sale(order)) + prepaid + owed + income == order.total - given_back


def run(
    sandbox: Sandbox, order: Order, act: str, number: int, *, line_id: int, waiting: list[Refund]
) -> None:
    """Carry out one act on an order; refusals are raised."""
    now = build.now_of(sandbox)
    if act == "ship":
        build.ship(order, {line_id: number} if number < 3 else None, now=now)
    elif act == "amount":
        build.refund(order, number, side=(None, *Side)[number % 4], now=now)
    elif act == "pieces to cancel":
        build.refund(order, cancel={line_id: number}, now=now)
    elif act == "returned pieces":
        build.refund(order, returns={line_id: number}, now=now)
    elif act in ("keep", "keep all"):
        keep(order, number or kept_money.keepable_money(order))
    elif act == "dashboard":
        left = order.payments.get().amount - sum(
            refund.amount for refund in order.refunds.exclude(status__in=Refund.FAILED_STATUSES)
        )
        if left:
            refund_in_dashboard(order.payments.get(), min(left, number))
    elif act == "cancel" and order.status in SHIPPABLE_STATUSES:
        build.cancel(order, fee=number, now=now)
    elif act == "withdraw" and waiting:
        withdraw(sandbox, waiting[number % len(waiting)])
    elif act == "answer" and waiting:
        sandbox.claim_refund(str(waiting[number % len(waiting)].stripe_id))
