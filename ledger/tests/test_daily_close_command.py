"""`manage.py daily_close` as an operator meets it: what it says, and with which code it ends."""

import json
from datetime import date, datetime, timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from pytest_django import Settings

from kikaku.days import yesterday
from kikaku.sandbox import Sandbox
from ledger.management.commands.daily_close import Command
from ledger.models import DailyClose
from ledger.testing.closing import a_day_of_business, at, paid_by_a_stranger, set_clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    """The real time: the command reads the clock itself."""
    return timezone.now()


def run(*arguments: str) -> int:
    """Run the command and give its exit code."""
    try:
        call_command("daily_close", *arguments)
    except SystemExit as ended:
        return int(str(ended.code))
    return 0


def back(now: datetime, days: int) -> date:
    """Give the business day some days before yesterday."""
    return yesterday(now) - timedelta(days=days)


def test_without_a_date_it_closes_yesterday_after_every_earlier_open_day(
    sandbox: Sandbox, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    a_day_of_business(sandbox, back(now, 2))
    set_clock(sandbox, now)
    assert run() == 0
    said = capsys.readouterr().out.splitlines()
    assert [line[:5] for line in said] == ["[1/3]", "[2/3]", "[3/3]"]
    assert said[2] == (
        f"[3/3] {yesterday(now)}: closed, no differences. Evidence: daily-close/{yesterday(now)}/1/"
    )
    assert DailyClose.objects.count() == 3


def test_again_it_changes_nothing_and_says_so(
    sandbox: Sandbox, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    set_clock(sandbox, now)
    assert run() == 0
    assert run() == 0
    assert "already closed, no differences; nothing was changed" in capsys.readouterr().out
    assert DailyClose.objects.count() == 1


def test_differences_end_with_2_the_second_time_too(
    sandbox: Sandbox, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = set_clock(sandbox, at(yesterday(now)))
    paid_by_a_stranger(sandbox, moment)
    set_clock(sandbox, now)
    assert run() == 2
    assert "missing_in_books ch_" in capsys.readouterr().out
    assert run("--date", str(yesterday(now))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--date", "{today}"], "has not ended in Japan"),
        (["--date", "2999-01-01"], "has not ended in Japan"),
        (["--from", "2026-01-01", "--to", "2999-01-01"], "has not ended in Japan"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "lies after"),
        (["--from", "2026-01-02"], "belong together"),
        (["--date", "2026-01-02", "--to", "2026-01-02"], "either --date"),
    ],
)
def test_what_can_not_be_closed_ends_with_1_and_a_message(
    now: datetime, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    today = str(yesterday(now) + timedelta(days=1))
    assert run(*[argument.format(today=today) for argument in arguments]) == 1
    assert message in capsys.readouterr().err
    assert not DailyClose.objects.exists()


def test_a_date_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(CommandError, match="'2026-02-30' is no date like 2026-11-22"):
        call_command("daily_close", "--date", "2026-02-30")


def test_a_day_after_an_open_one_names_the_day_to_begin_with(
    sandbox: Sandbox, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    a_day_of_business(sandbox, back(now, 3))
    set_clock(sandbox, now)
    assert run("--date", str(yesterday(now))) == 1
    assert f"{back(now, 3)} is still open" in capsys.readouterr().err
    assert run("--from", str(back(now, 3)), "--to", str(yesterday(now))) == 0
    assert DailyClose.objects.count() == 4


def test_a_range_tells_of_the_days_that_were_closed_before(
    sandbox: Sandbox, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    a_day_of_business(sandbox, back(now, 1))
    set_clock(sandbox, now)
    assert run("--date", str(back(now, 1))) == 0
    assert run("--from", str(back(now, 1)), "--to", str(yesterday(now))) == 0
    said = capsys.readouterr().out
    assert f"[1/2] {back(now, 1)}: already closed" in said
    assert f"[2/2] {yesterday(now)}: closed" in said


def test_a_dry_run_says_so_and_json_carries_the_report(
    sandbox: Sandbox, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    a_day_of_business(sandbox, yesterday(now))
    set_clock(sandbox, now)
    assert run("--dry-run", "--json") == 0
    said = capsys.readouterr()
    told = json.loads(said.out)["days"][0]
    assert (told["state"], told["report"]["day"], told["differences"]) == ("dry run", str(yesterday(now)), 0)
    assert "nothing was written" in said.err
    assert not DailyClose.objects.exists()


def test_without_stripe_it_ends_with_1_and_changes_nothing(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    assert run("--json") == 1
    said = capsys.readouterr()
    assert "Stripe does not answer" in said.err
    assert json.loads(said.out)["days"] == []
    assert not DailyClose.objects.exists()


@pytest.mark.parametrize(
    "arguments", [["--date", "2026-13-01"], ["--date", "0001-01-01"], ["--dat"], ["tomorrow"]]
)
def test_what_can_not_be_read_ends_with_1_and_not_with_the_2_of_differences(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "daily_close", *arguments])
    assert ended.value.code == 1
    assert "error:" in capsys.readouterr().err
    assert not DailyClose.objects.exists()
