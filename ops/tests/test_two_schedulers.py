"""Several workers start the same jobs at the same moment: each job runs once, whatever it finds to do."""

from collections import Counter
from datetime import timedelta

import pytest

from kikaku.sandbox import Sandbox
from ledger.closing import verification
from ledger.ingest import inbox
from ledger.models import BalanceTransaction, DailyClose, OutgoingMail, Payment
from ledger.testing import build
from ledger.testing.closing import MONDAY, at, night_after, set_clock
from ledger.testing.processes import WaitForAll, run_concurrently
from ops.jobs import schedule
from ops.models import JobRun

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 4


def test_four_workers_with_all_jobs_due_run_each_once(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY, 12))
    for _customer in range(3):
        build.paid_order(sandbox, now=now)
    unprocessed = build.order(now=now)
    sandbox.pay(build.session_of(unprocessed, now=now))
    for delivery in sandbox.pending_deliveries():  # stored, but not processed
        inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=now)
    now = set_clock(sandbox, night_after(MONDAY))

    def work(number: int, wait_for_all: WaitForAll) -> Counter[str]:
        wait_for_all()
        names = list(schedule.JOBS)
        names = names[number:] + names[:number]  # each worker begins with another job
        return Counter(name for name in names if schedule.run(name, now=now))

    done: Counter[str] = sum(run_concurrently(WORKERS, work), Counter())
    assert JobRun.objects.count() == len(schedule.JOBS)
    if not done["daily_close"]:  # it ran before the events were processed: it is repeated
        assert "仕訳が記帳され続けました" in JobRun.objects.get(job="daily_close").message
        done += Counter(daily_close=schedule.run("daily_close", now=now + timedelta(minutes=10)))
    assert done == dict.fromkeys(schedule.JOBS, 1)
    assert (Payment.objects.count(), BalanceTransaction.objects.count()) == (4, 4)
    assert DailyClose.objects.get().day == MONDAY
    assert set(OutgoingMail.objects.values_list("attempts", flat=True)) <= {0, 1}
    assert not list(verification.verify())
