"""Payment methods: each is one class with everything that the ledger asks of it."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.template.loader import get_template
from django.utils import timezone

from kikaku.sandbox import Sandbox
from kikaku.transactions import unit_of_work
from ledger.models import CheckoutAttempt, OutgoingMail, Payment
from ledger.sales import checkout_status
from ledger.stripe import methods
from ledger.stripe.methods import METHODS, VOUCHER_METHODS, PaymentMethod, Voucher, VoucherMethod
from ledger.testing import build

DEADLINE = timezone.now() + timedelta(days=7)


class BankTransfer(VoucherMethod):
    """A method that is not offered yet, as it would be added."""

    code = "customer_balance"
    report_label = "銀行振込"
    next_action = "display_bank_transfer_instructions"
    voucher_fields = {}
    voucher_mail = OutgoingMail.Kind.VOUCHER
    expired_mail = OutgoingMail.Kind.VOUCHER_EXPIRED
    do_not_pay_template = "ledger/mail/konbini_do_not_pay.txt"
    refunds_to_bank_account = True

    def is_offered(self, total: int) -> bool:
        return total >= 100_000

    def session_options(self) -> dict[str, Any]:
        return {"funding_type": "bank_transfer", "bank_transfer": {"type": "jp_bank_transfer"}}

    def days_to_pay(self) -> int:
        return 7

    def voucher(self, intent: Mapping[str, Any]) -> Voucher | None:
        details = (intent["next_action"] or {}).get(self.next_action)
        return Voucher(method=self.code, url="", expires_at=DEADLINE, codes={}) if details else None

    def is_expired(self, intent: Mapping[str, Any]) -> bool:
        return False


@pytest.fixture
def bank_transfer(monkeypatch: pytest.MonkeyPatch) -> BankTransfer:
    """Offer a third method."""
    method = BankTransfer()
    monkeypatch.setitem(METHODS, method.code, method)
    monkeypatch.setitem(VOUCHER_METHODS, method.code, method)
    return method


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_method_has_a_name_in_the_admin_and_one_in_the_report(method: PaymentMethod) -> None:
    assert method.code in Payment.Method.values
    assert method.report_label


@pytest.mark.parametrize("method", VOUCHER_METHODS.values(), ids=VOUCHER_METHODS)
def test_a_method_that_is_paid_later_has_its_mails(method: VoucherMethod) -> None:
    assert get_template(method.do_not_pay_template).render().strip()
    for kind in (method.voucher_mail, method.expired_mail, method.refund_waits_mail):
        for ending in ("subject.txt", "txt", "html"):
            assert get_template(f"ledger/mail/{kind.value}.{ending}")


def test_a_payment_by_a_method_that_is_not_ours_is_refunded_to_where_it_came_from() -> None:
    for code in ("link", ""):
        assert not methods.method_named(code).refunds_to_bank_account


def test_the_payment_page_offers_what_each_method_accepts(bank_transfer: BankTransfer) -> None:
    def offered(total: int) -> list[str]:
        return [method.code for method in methods.offered_methods(total)]

    assert offered(50) == ["card"]
    assert offered(100_000) == ["card", "konbini", bank_transfer.code]
    assert offered(400_000) == ["card", bank_transfer.code]


@pytest.mark.django_db
def test_a_voucher_of_a_new_method_is_found_stored_and_mailed(
    sandbox: Sandbox, bank_transfer: BankTransfer
) -> None:
    order = build.order()
    build.session_of(order)
    attempt = order.attempts.get()
    voucher = methods.find_voucher({"next_action": {bank_transfer.next_action: {"type": "jp"}}})
    unit_of_work(checkout_status.record_voucher)(attempt, voucher, now=timezone.now())
    attempt.refresh_from_db()
    assert (attempt.method, attempt.voucher_expires_at) == (bank_transfer.code, DEADLINE)
    assert methods.method_of_voucher(attempt) is bank_transfer
    assert order.mails.get().kind == bank_transfer.voucher_mail


@pytest.mark.django_db
def test_a_voucher_that_stripe_has_not_reported_is_not_taken_for_one_of_a_convenience_store(
    sandbox: Sandbox, bank_transfer: BankTransfer
) -> None:
    order = build.order()
    build.session_of(order)
    attempt = order.attempts.get()
    unit_of_work(checkout_status.record_voucher)(attempt, None, now=timezone.now())
    attempt.refresh_from_db()
    assert attempt.status == CheckoutAttempt.Status.WAITING
    assert methods.method_of_voucher(attempt) is None
    text = build.cancel(order).mails.get().text
    assert "コンビニ" not in text
    assert "お支払いにならないよう" in text


def test_the_method_of_a_page_that_offers_several_vouchers_is_not_known(bank_transfer: BankTransfer) -> None:
    assert methods.voucher_method_among(["card", "konbini"]) == "konbini"
    assert methods.voucher_method_among(["card", "konbini", bank_transfer.code]) == ""


# ── Attempts that are older than their column `method` ───────────────────────────────────────────────────


def migrate(name: str) -> None:
    MigrationExecutor(connection).migrate([("ledger", name)])


@pytest.fixture
def migrated() -> Iterator[None]:
    """Restore the schema after a test."""
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


@pytest.mark.django_db(transaction=True)
def test_older_vouchers_are_marked_as_konbini(sandbox: Sandbox, migrated: None) -> None:
    with_voucher, without = build.order(), build.order()
    sandbox.choose_konbini(build.session_of(with_voucher))
    build.session_of(without)
    build.deliver(sandbox)
    migrate("0007_order_history")
    migrate("0008_attempt_method")
    methods_then = CheckoutAttempt.objects.order_by("order").values_list("order", "method")
    assert list(methods_then) == [(with_voucher.pk, "konbini"), (without.pk, "")]
