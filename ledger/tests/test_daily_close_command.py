"""The output and the exit codes of `manage.py daily_close`."""

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
from ledger.testing.closing import at, create_foreign_charge, run_business_day, set_clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    """Return the real time: the command reads the clock itself."""
    return timezone.now()


def run(*arguments: str) -> int:
    """Run the command and return its exit code."""
    try:
        call_command("daily_close", *arguments)
    except SystemExit as ended:
        return int(str(ended.code))
    return 0


def days_before_yesterday(now: datetime, days: int) -> date:
    """Return the business day some days before yesterday."""
    return yesterday(now) - timedelta(days=days)


def test_without_a_date_it_closes_yesterday_after_every_earlier_open_day(
    sandbox: Sandbox, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    run_business_day(sandbox, days_before_yesterday(now, 2))
    set_clock(sandbox, now)
    assert run() == 0
    output = capsys.readouterr().out.splitlines()
    assert [line[:5] for line in output] == ["[1/3]", "[2/3]", "[3/3]"]
    assert output[2] == (
        f"[3/3] {yesterday(now)}: closed, no differences. Evidence: daily-close/{yesterday(now)}/1/"
    )
    assert DailyClose.objects.count() == 3


def test_a_second_run_changes_nothing_and_reports_it(
    sandbox: Sandbox, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    set_clock(sandbox, now)
    assert run() == 0
    assert run() == 0
    assert "already closed, no differences; nothing was changed" in capsys.readouterr().out
    assert DailyClose.objects.count() == 1


def test_differences_exit_with_2_also_the_second_time(
    sandbox: Sandbox, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = set_clock(sandbox, at(yesterday(now)))
    create_foreign_charge(sandbox, moment)
    set_clock(sandbox, now)
    assert run() == 2
    assert "missing_in_books ch_" in capsys.readouterr().out
    assert run("--date", str(yesterday(now))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--date", "{today}"], "はまだ終わっていません"),
        (["--date", "2999-01-01"], "はまだ終わっていません"),
        (["--from", "2026-01-01", "--to", "2999-01-01"], "はまだ終わっていません"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "lies after"),
        (["--from", "2026-01-02"], "belong together"),
        (["--date", "2026-01-02", "--to", "2026-01-02"], "either --date"),
    ],
)
def test_a_day_that_cannot_be_closed_exits_with_1_and_a_message(
    now: datetime, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    today = str(yesterday(now) + timedelta(days=1))
    assert run(*[argument.format(today=today) for argument in arguments]) == 1
    assert message in capsys.readouterr().err
    assert not DailyClose.objects.exists()


def test_an_invalid_date_is_refused_by_name() -> None:
    with pytest.raises(CommandError, match="'2026-02-30' is no date like 2026-11-22"):
        call_command("daily_close", "--date", "2026-02-30")


def test_closing_after_an_open_day_reports_the_first_open_day(
    sandbox: Sandbox, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    run_business_day(sandbox, days_before_yesterday(now, 3))
    set_clock(sandbox, now)
    assert run("--date", str(yesterday(now))) == 1
    assert f"{days_before_yesterday(now, 3)} がまだ締められていません" in capsys.readouterr().err
    assert run("--from", str(days_before_yesterday(now, 3)), "--to", str(yesterday(now))) == 0
    assert DailyClose.objects.count() == 4


def test_a_range_lists_the_days_that_were_closed_before(
    sandbox: Sandbox, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    run_business_day(sandbox, days_before_yesterday(now, 1))
    set_clock(sandbox, now)
    assert run("--date", str(days_before_yesterday(now, 1))) == 0
    assert run("--from", str(days_before_yesterday(now, 1)), "--to", str(yesterday(now))) == 0
    output = capsys.readouterr().out
    assert f"[1/2] {days_before_yesterday(now, 1)}: already closed" in output
    assert f"[2/2] {yesterday(now)}: closed" in output


def test_a_dry_run_writes_nothing_and_prints_its_report_as_json(
    sandbox: Sandbox, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    run_business_day(sandbox, yesterday(now))
    set_clock(sandbox, now)
    assert run("--dry-run", "--json") == 0
    output = capsys.readouterr()
    closed = json.loads(output.out)["days"][0]
    assert (closed["state"], closed["report"]["day"], closed["differences"]) == (
        "dry run",
        str(yesterday(now)),
        0,
    )
    assert "nothing was written" in output.err
    assert not DailyClose.objects.exists()


def test_without_stripe_it_exits_with_1_and_changes_nothing(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    assert run("--json") == 1
    output = capsys.readouterr()
    assert "Stripeから応答がない" in output.err
    assert json.loads(output.out)["days"] == []
    assert not DailyClose.objects.exists()


@pytest.mark.parametrize(
    "arguments", [["--date", "2026-13-01"], ["--date", "0001-01-01"], ["--dat"], ["tomorrow"]]
)
def test_invalid_arguments_exit_with_1_and_not_with_the_2_of_differences(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "daily_close", *arguments])
    assert ended.value.code == 1
    assert "error:" in capsys.readouterr().err
    assert not DailyClose.objects.exists()
