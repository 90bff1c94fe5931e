"""The tap that crash tests stand on: it sees every step, and what it raises leaves the world as a dead process would."""

import pytest
from django.core import mail as outbox
from django.core.files.base import ContentFile
from django.core.mail import EmailMessage
from django.db import transaction

from kikaku.sandbox import Sandbox
from ledger.closing import evidence
from ledger.models import CheckoutAttempt, StockItem
from ledger.sales import checkout
from ledger.testing import build
from ledger.testing.steps import Crash, CrashAt, Step, steps

pytestmark = pytest.mark.django_db(transaction=True)


def rename_in_a_transaction() -> None:
    with transaction.atomic():
        StockItem.objects.create(sku="A")
        StockItem.objects.filter(sku="A").update(sku="B")


def test_each_step_is_told_before_and_after_until_the_taps_are_off() -> None:
    seen: list[Step] = []
    with steps(seen.append):
        rename_in_a_transaction()
        list(StockItem.objects.all())
        evidence.storage().save("a/b.txt", ContentFile(b"x"))
        EmailMessage("Hello", "there", to=["a@example.jp"]).send()
        StockItem.objects.update(sku="C")  # outside of a transaction: the statement is its own commit
    StockItem.objects.update(sku="D")  # the taps are off
    evidence.storage().save("a/c.txt", ContentFile(b"x"))
    assert [str(step) for step in seen] == [
        f"{when} {what}"
        for what in (
            "sql INSERT INTO ledger_stockitem",
            "sql UPDATE ledger_stockitem",
            "commit",
            "file a/b.txt",
            "mail Hello",
            "sql UPDATE ledger_stockitem",
        )
        for when in ("before", "after")
    ]


def test_a_request_to_stripe_is_told_and_a_lost_answer_leaves_it_executed(sandbox: Sandbox) -> None:
    placed = build.order(now=build.now_of(sandbox))

    def lose_the_answer(step: Step) -> None:
        if step == Step("stripe", "POST /v1/checkout/sessions", "after"):
            raise Crash

    with steps(lose_the_answer), pytest.raises(Crash):
        checkout.start_payment(placed, now=build.now_of(sandbox))
    attempt = placed.attempts.get()
    assert attempt.status == CheckoutAttempt.Status.CREATED
    checkout.start_payment(placed, now=build.now_of(sandbox))  # the same key finds the page that exists
    with sandbox._transaction(write=False) as tx:
        assert len(tx.page("checkout.session").data) == 1


def test_power_cut_before_the_commit_leaves_nothing_and_after_it_everything() -> None:
    for number, left in ((1, []), (2, []), (4, []), (5, []), (6, ["B"])):
        power = CrashAt(number)
        with steps(power), pytest.raises(Crash):
            rename_in_a_transaction()
        assert list(StockItem.objects.values_list("sku", flat=True)) == left, power.step
    StockItem.objects.all().delete()
    power = CrashAt(7)
    with steps(power):
        rename_in_a_transaction()
    assert power.step is None


def test_after_the_power_cut_nothing_of_the_dead_process_happens_any_more() -> None:
    message = EmailMessage("Hello", "there", to=["a@example.jp"])
    with steps(CrashAt(2)), pytest.raises(Crash):
        try:
            StockItem.objects.create(sku="A")
        finally:
            message.send()
    assert outbox.outbox == []
