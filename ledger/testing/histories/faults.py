"""Faults during an action: power, Stripe, the disk or the mail server fails at one of its steps."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from smtplib import SMTPServerDisconnected

import stripe

from ledger import models
from ledger.closing import daily_close
from ledger.sales import checkout, refunds
from ledger.stripe.client import StripeUnavailable
from ledger.testing.histories.actions import Action
from ledger.testing.histories.staff import Refund
from ledger.testing.histories.world import World
from ledger.testing.steps import Crash, CrashAt, Step, observe_steps

NO_ANSWER = stripe.APIConnectionError("no answer")  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class PowerCut:
    """The power is cut at the n-th step of an action, from 0; then the process restarts."""

    action: Action
    step: int = 0

    def __call__(self, world: World) -> None:
        crash = CrashAt(self.step + 1)
        try:
            with observe_steps(crash):
                self.action(world)
        except Crash:
            world.restart()
            world.mails_in_doubt += _has_sent_without_storing(crash.observed)


def _has_sent_without_storing(steps: Sequence[Step]) -> bool:
    """Return whether a mail was sent after the last commit."""
    last = next((s for s in reversed(steps) if s.when == "after" and s.kind in ("mail", "commit")), None)
    return last is not None and last.kind == "mail"


@dataclass(frozen=True)
class StripeUnreachable:
    """Stripe is unreachable from the n-th request of an action on, counted from 0."""

    action: Action
    request: int = 0

    def __call__(self, world: World) -> None:
        with _failing("stripe", "before", NO_ANSWER, first=self.request):
            self.action(world)


@dataclass(frozen=True)
class PaymentUnknown:
    """Staff refund while Stripe is unreachable; when the job sends it, Stripe does not know the payment."""

    action: Refund

    def __call__(self, world: World) -> None:
        StripeUnreachable(self.action)(world)
        stored = models.Refund.objects.filter(
            nonce=world.last_nonce("refund"), status=models.Refund.Status.REQUESTED
        ).first()
        if stored is None or stored.payment.refunds.filter(status=stored.status).count() > 1:
            return  # of another one Stripe may know the payment, and have sent the money
        payment, intent = models.Payment.objects.filter(pk=stored.payment_id), stored.payment.payment_intent
        world.wait(refunds.RESEND_DELAY)
        payment.update(payment_intent="pi_of_another_account")
        try:
            world.run("refunds")
        finally:
            payment.update(payment_intent=intent)
        stored.refresh_from_db()
        is_due = stored.requested_at <= world.now - refunds.RESEND_DELAY  # the clock may have ended
        assert not is_due or stored.status == models.Refund.Status.FAILED, stored.status


@dataclass(frozen=True)
class AnswerLost:
    """Stripe executes the n-th request of an action, counted from 0, and its answer is lost."""

    action: Action
    request: int = 0

    def __call__(self, world: World) -> None:
        with _failing("stripe", "after", NO_ANSWER, first=self.request, times=1):
            self.action(world)


@dataclass(frozen=True)
class DiskFull:
    """The disk is full from the n-th file of an action on, counted from 0."""

    action: Action
    file: int = 0

    def __call__(self, world: World) -> None:
        with _failing("file", "before", OSError(errno.ENOSPC, "the disk is full"), first=self.file):
            self.action(world)


@dataclass(frozen=True)
class NoMailServer:
    """The mail server is unreachable during an action."""

    action: Action

    def __call__(self, world: World) -> None:
        with _failing("mail", "before", SMTPServerDisconnected()):
            self.action(world)


@contextmanager
def _failing(
    kind: str, when: str, error: Exception, *, first: int = 0, times: int | None = None
) -> Iterator[None]:
    """Raise an error at the steps of a kind, and suppress the errors that our code reports for it."""
    count = 0

    def on_step(step: Step) -> None:
        nonlocal count
        if (step.kind, step.when) == (kind, when):
            count += 1
            if count > first and (times is None or count <= first + times):
                raise error

    try:
        with observe_steps(on_step):
            yield
    except (checkout.PaymentUnavailable, StripeUnavailable, daily_close.CloseFailed, OSError):
        if count <= first:
            raise  # no step was made to fail yet
