"""The hooks of crash tests: they report each step, and an error there leaves a killed process's state."""

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
from ledger.testing.steps import Crash, CrashAt, Step, observe_steps

pytestmark = pytest.mark.django_db(transaction=True)


def rename_in_a_transaction() -> None:
    with transaction.atomic():
        StockItem.objects.create(sku="A")
        StockItem.objects.filter(sku="A").update(sku="B")


def test_each_step_is_reported_before_and_after_until_the_hooks_are_removed() -> None:
    observed: list[Step] = []
    with observe_steps(observed.append):
        rename_in_a_transaction()
        list(StockItem.objects.all())
        evidence.storage().save("a/b.txt", ContentFile(b"x"))
        EmailMessage("Hello", "there", to=["a@example.jp"]).send()
        StockItem.objects.update(sku="C")  # outside of a transaction: the statement is its own commit
    StockItem.objects.update(sku="D")  # the hooks are removed
    evidence.storage().save("a/c.txt", ContentFile(b"x"))
    assert [str(step) for step in observed] == [
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


def test_a_request_to_stripe_is_reported_and_remains_executed_when_its_answer_is_lost(
    sandbox: Sandbox,
) -> None:
    placed = build.order(now=build.now_of(sandbox))

    def lose_the_answer(step: Step) -> None:
        if step == Step("stripe", "POST /v1/checkout/sessions", "after"):
            raise Crash

    with observe_steps(lose_the_answer), pytest.raises(Crash):
        checkout.start_payment(placed, now=build.now_of(sandbox))
    attempt = placed.attempts.get()
    assert attempt.status == CheckoutAttempt.Status.CREATED
    checkout.start_payment(
        placed, now=build.now_of(sandbox)
    )  # the same idempotency key returns the existing page
    with sandbox._transaction(write=False) as tx:
        assert len(tx.page("checkout.session").data) == 1


def test_a_crash_before_the_commit_stores_nothing_and_after_it_everything() -> None:
    for number, stored in ((1, []), (2, []), (4, []), (5, []), (6, ["B"])):
        crash = CrashAt(number)
        with observe_steps(crash), pytest.raises(Crash):
            rename_in_a_transaction()
        assert list(StockItem.objects.values_list("sku", flat=True)) == stored, crash.step
    StockItem.objects.all().delete()
    crash = CrashAt(7)
    with observe_steps(crash):
        rename_in_a_transaction()
    assert crash.step is None


def test_after_a_crash_the_process_has_no_further_effects() -> None:
    message = EmailMessage("Hello", "there", to=["a@example.jp"])
    with observe_steps(CrashAt(2)), pytest.raises(Crash):
        try:
            StockItem.objects.create(sku="A")
        finally:
            message.send()
    assert outbox.outbox == []
