"""Dates, times and durations on D1 equal those of the Python functions of Django's SQLite backend."""

import datetime
import json
from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from typing import Any
from zoneinfo import available_timezones

import pytest
from django.db import DatabaseError, NotSupportedError, OperationalError
from django.db.backends.sqlite3 import _functions as django  # type: ignore[attr-defined]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .. import temporal, zones
from ..testing.engine import GatewayClient
from ..values import MAX_ARGUMENTS, render

many = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

ZONES = (
    *("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "Africa/Casablanca"),
    *("Europe/Dublin", "America/Nuuk", "Asia/Kathmandu", "Pacific/Apia", "UTC"),
)

EPOCH = datetime.datetime(1970, 1, 1)

Ask = Callable[[Sequence[temporal.Sql], Sequence[Sequence[Any]]], list[tuple[Any, ...]]]


@pytest.fixture
def ask(gateway: GatewayClient) -> Ask:
    """Return a function that evaluates expressions over the columns `"x"` and `"y"` of rows, exactly."""

    def run(expressions: Sequence[temporal.Sql], rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        parameters = [value for _sql, values in expressions for value in values]
        selected = ",".join(f"{sql} AS c{number}" for number, (sql, _values) in enumerate(expressions))
        names = ("x", "y")[: len(rows[0])]
        columns = ",".join(f'column{number} AS "{name}"' for number, name in enumerate(names, 1))
        holders = ",".join(f"({','.join(['%s'] * len(names))})" for _ in rows)
        cells = [f"c{number}" for number in range(len(expressions))]
        arrays = [
            f"json_array({','.join(cells[at : at + MAX_ARGUMENTS])})"
            for at in range(0, len(cells), MAX_ARGUMENTS)
        ]
        statement = render(
            f"WITH q AS MATERIALIZED (SELECT {selected} FROM (SELECT {columns} FROM (VALUES {holders}))) "
            f"SELECT json_array({','.join(arrays)}) FROM q",
            [*parameters, *(value for one in rows for value in one)],
        )
        (answer,) = gateway.run(statement.encoded())
        return [tuple(chain.from_iterable(json.loads(text))) for (text,) in answer]

    return run


X: temporal.Sql = ('"x"', ())
Y: temporal.Sql = ('"y"', ())

DATE_KINDS = tuple(temporal.DATE_PERIODS)
CLOCK_KINDS = tuple(temporal.TIME_PERIODS)
DATE_PARTS = tuple(part for part in temporal.DATETIME_PARTS if part not in temporal.TIME_PARTS)

dates = st.dates().map(str)
datetimes = st.datetimes().map(str)
times = st.times().map(str)
durations = st.timedeltas(datetime.timedelta(days=-(10**8)), datetime.timedelta(days=10**8)).map(
    lambda delta: delta // datetime.timedelta(microseconds=1)
)
lists: Any = {"min_size": 1, "max_size": 30}


def around_transitions(name: str) -> st.SearchStrategy[str]:
    """Return UTC datetimes near a zone's transitions, and others."""
    changes = [at for at, _offset in zones.utc_transitions(name).transitions] or [0]
    near = st.builds(
        lambda at, seconds, micro: EPOCH + datetime.timedelta(seconds=at + seconds, microseconds=micro),
        st.sampled_from(changes),
        st.sampled_from((-7200, -3600, -1800, -1, 0, 1, 1799, 3599, 3600, 7200)),
        st.sampled_from((0, 1, 500_000, 999_999)),
    )
    return st.one_of(near, st.datetimes()).map(str)


def expected_of(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of Django's function, or `...` where it raises."""
    try:
        return function(*arguments)
    except (AttributeError, IndexError, OverflowError, TypeError, ValueError):
        return ...


def check(found: Sequence[Sequence[Any]], expected: Sequence[Sequence[Any]], given_rows: Any) -> None:
    """Compare values and types, except where Django's function raises."""
    for values, wanted, one in zip(found, expected, given_rows, strict=True):
        kept = [(a, b) for a, b in zip(values, wanted, strict=True) if b is not ...]
        assert [a for a, _ in kept] == [b for _, b in kept], one
        assert [type(a) for a, _ in kept] == [type(b) for _, b in kept], one


# ── Parts and periods ────────────────────────────────────────────────────────────────────────────────────


@many
@given(values=st.lists(st.one_of(dates, datetimes), **lists))
def test_parts_and_periods_of_days(ask: Ask, values: list[str]) -> None:
    """Of dates and datetimes in the years 1 to 9999."""
    found = ask(
        [temporal.extract(part, X) for part in DATE_PARTS]
        + [temporal.truncate_to_date(kind, X) for kind in DATE_KINDS]
        + [temporal.truncate(kind, X) for kind in DATE_KINDS]
        + [temporal.to_date(X)],
        [[value] for value in values],
    )
    expected = [
        [expected_of(django._sqlite_datetime_extract, part, value) for part in DATE_PARTS]
        + [expected_of(django._sqlite_date_trunc, kind, value, None, None) for kind in DATE_KINDS]
        + [expected_of(django._sqlite_datetime_trunc, kind, value, None, None) for kind in DATE_KINDS]
        + [value[:10]]
        for value in values
    ]
    check(found, expected, values)


@many
@given(values=st.lists(datetimes, **lists))
def test_parts_and_periods_of_datetimes(ask: Ask, values: list[str]) -> None:
    """Down to microseconds, and their date and time."""
    found = ask(
        [temporal.extract(part, X) for part in temporal.DATETIME_PARTS]
        + [temporal.truncate(kind, X) for kind in temporal.DATETIME_PERIODS]
        + [temporal.truncate_to_time(kind, X) for kind in CLOCK_KINDS]
        + [temporal.to_date(X), temporal.to_time(X)],
        [[value] for value in values],
    )
    expected = [
        [expected_of(django._sqlite_datetime_extract, part, value) for part in temporal.DATETIME_PARTS]
        + [
            expected_of(django._sqlite_datetime_trunc, kind, value, None, None)
            for kind in temporal.DATETIME_PERIODS
        ]
        + [expected_of(django._sqlite_time_trunc, kind, value, None, None) for kind in CLOCK_KINDS]
        + [
            expected_of(django._sqlite_datetime_cast_date, value, None, None),
            expected_of(django._sqlite_datetime_cast_time, value, None, None),
        ]
        for value in values
    ]
    check(found, expected, values)


@many
@given(values=st.lists(times, **lists))
def test_parts_and_periods_of_times(ask: Ask, values: list[str]) -> None:
    """Parts of a time of day, and the first second of each period."""
    found = ask(
        [temporal.extract_from_time(part, X) for part in temporal.TIME_PARTS]
        + [temporal.truncate_to_time(kind, X) for kind in CLOCK_KINDS],
        [[value] for value in values],
    )
    expected = [
        [expected_of(django._sqlite_time_extract, part, value) for part in temporal.TIME_PARTS]
        + [expected_of(django._sqlite_time_trunc, kind, value, None, None) for kind in CLOCK_KINDS]
        for value in values
    ]
    check(found, expected, values)


JUNK = (
    *(None, "", "now", "x", "2451545", 5, 2451545.5, "2021-02-29", "2021-04-31 10:00:00", "2021-13-01"),
    *("2021-01-01 24:00:00", "2021-01-01 10:60:00", "24:00:00", "10:00:60", "0000-01-01", b"2021-01-01"),
)


def test_invalid_values_give_null(ask: Ask) -> None:
    """Other texts, days that do not exist, numbers and NULL, as in Django."""
    of_datetimes = [
        *(temporal.extract(part, X) for part in temporal.DATETIME_PARTS),
        *(temporal.truncate(kind, X) for kind in temporal.DATETIME_PERIODS),
        *(temporal.extract("hour", X, zone, "UTC") for zone in ZONES),
        temporal.to_date(X),
        temporal.to_time(X),
        temporal.subtract_datetimes(X, ("'2020-01-01 00:00:00'", ())),
        (temporal.combine_durations("+", '"x"', "1"), ()),
    ]
    of_times = [
        *(temporal.extract_from_time(part, X) for part in temporal.TIME_PARTS),
        temporal.subtract_times(X, ("'10:00:00'", ())),
    ]
    invalid = [[value] for value in JUNK if value not in (5, 2451545.5, "0000-01-01")]
    assert set(ask(of_datetimes, invalid)) == {(None,) * len(of_datetimes)}
    assert set(ask(of_times, [[value] for value in JUNK])) == {(None,) * len(of_times)}
    assert ask([temporal.extract("year", X)], [[5], [2451545.5]]) == [(None,), (None,)]


def test_a_zone_in_the_text_is_ignored(ask: Ask) -> None:
    """Milliseconds and a zone, as other programs write them, are read as Django reads them."""
    values = [
        f"2020-03-01 23:30:05{rest}"
        for rest in ("", ".5", ".123", ".123456789", "-05", "+05:30", ".25+01:00")
    ]
    found = ask(
        [temporal.extract(part, X) for part in temporal.DATETIME_PARTS] + [temporal.to_time(X)],
        [[v] for v in values],
    )
    expected = [
        [django._sqlite_datetime_extract(part, value) for part in temporal.DATETIME_PARTS]
        + [django._sqlite_datetime_cast_time(value, None, None)]
        for value in values
    ]
    check(found, expected, values)


def test_an_unknown_part_is_refused() -> None:
    """A caller's text is never written into SQL."""
    assert temporal.extract("YEAR", X) == temporal.extract("year", X)
    for function in (
        temporal.extract,
        temporal.truncate,
        temporal.truncate_to_date,
        temporal.truncate_to_time,
    ):
        with pytest.raises(OperationalError, match="Unsupported lookup type"):
            function("year') OR 1=1;--", X)


# ── Time zones ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ZONES)
@settings(many, max_examples=15)
@given(data=st.data())
def test_time_zones(ask: Ask, name: str, data: st.DataObject) -> None:
    """Datetimes stored in UTC, in local time: around transitions, and in any year."""
    values = data.draw(st.lists(around_transitions(name), **lists))
    zone = (name, "UTC")
    found = ask(
        [
            temporal.extract("hour", X, *zone),
            temporal.extract("microsecond", X, *zone),
            temporal.truncate("week", X, *zone),
            temporal.truncate("second", X, *zone),
            temporal.truncate_to_time("minute", X, *zone),
            temporal.to_date(X, *zone),
            temporal.to_time(X, *zone),
        ],
        [[value] for value in values],
    )
    expected = [
        [
            expected_of(django._sqlite_datetime_extract, "hour", value, *zone),
            expected_of(django._sqlite_datetime_extract, "microsecond", value, *zone),
            expected_of(django._sqlite_datetime_trunc, "week", value, *zone),
            expected_of(django._sqlite_datetime_trunc, "second", value, *zone),
            expected_of(django._sqlite_time_trunc, "minute", value, *zone),
            expected_of(django._sqlite_datetime_cast_date, value, *zone),
            expected_of(django._sqlite_datetime_cast_time, value, *zone),
        ]
        for value in values
    ]
    check(found, expected, values)


@pytest.mark.parametrize("stored", ("Asia/Tokyo", "Europe/Berlin", "Australia/Lord_Howe", "UTC"))
@pytest.mark.parametrize(
    "name",
    ("America/New_York", "UTC", "Asia/Kathmandu", "UTC+03:00", "+3:00", "Europe/Berlin-01:30", "-05"),
)
@settings(many, max_examples=8)
@given(data=st.data())
def test_a_database_in_local_time(ask: Ask, stored: str, name: str, data: st.DataObject) -> None:
    """Datetimes stored in local time, including hours that occur twice or are skipped."""
    values = data.draw(st.lists(around_transitions(stored), **lists))
    values += [
        str(datetime.datetime.fromisoformat(value) + datetime.timedelta(hours=hours))
        for hours in (1, 2, 10)
        for value in values
        if "0002" < value < "9998"
    ]
    found = ask([temporal.truncate("second", X, name, stored)], [[value] for value in values])
    expected = [
        [expected_of(django._sqlite_datetime_trunc, "second", value, name, stored)] for value in values
    ]
    check(found, expected, values)


@pytest.mark.nightly
def test_zones_from_everywhere(ask: Ask) -> None:
    """The last second before and the first after each transition, for every tenth zone."""
    for name in sorted(available_timezones())[::10]:
        changes = [at for at, _offset in zones.utc_transitions(name).transitions]
        # transitions are searched in steps of a few days
        assert all(later - earlier > zones.SEARCH_STEP for earlier, later in pairwise(changes)), name
        assert len(zones.offset(name, "_u")) < 12_000, name
        values = [str(EPOCH + datetime.timedelta(seconds=at + by)) for at in changes for by in (-1, 0)]
        values += ["1700-01-01 00:00:00", "3333-07-01 00:00:00"]
        found = ask([temporal.truncate("second", X, name, "UTC")], [[value] for value in values])
        check(
            found, [[django._sqlite_datetime_trunc("second", value, name, "UTC")] for value in values], values
        )


def test_the_sql_of_a_zone_without_transitions_is_short() -> None:
    """Tokyo, without transitions since 1951, takes a few hundred bytes."""
    assert temporal.to_date(X, "UTC", "UTC") == temporal.to_date(X)
    assert len(temporal.to_date(X, "Asia/Tokyo", "UTC")[0]) < 600


# ── Durations ────────────────────────────────────────────────────────────────────────────────────────────


@many
@given(rows=st.lists(st.one_of(st.tuples(datetimes, datetimes), st.tuples(dates, dates)), **lists))
def test_the_difference_of_two_datetimes(ask: Ask, rows: list[tuple[str, str]]) -> None:
    """In microseconds, exactly, over ten thousand years."""
    found = ask([temporal.subtract_datetimes(X, Y)], rows)
    check(found, [[django._sqlite_timestamp_diff(left, right)] for left, right in rows], rows)


@many
@given(rows=st.lists(st.tuples(times, times), **lists))
def test_the_difference_of_two_times(ask: Ask, rows: list[tuple[str, str]]) -> None:
    """In microseconds, exactly."""
    found = ask([temporal.subtract_times(X, Y)], rows)
    check(found, [[django._sqlite_time_diff(left, right)] for left, right in rows], rows)


small = st.timedeltas(datetime.timedelta(days=-3), datetime.timedelta(days=3)).map(
    lambda delta: delta // datetime.timedelta(microseconds=1)
)


@many
@given(
    rows=st.lists(
        st.tuples(st.one_of(datetimes, dates, st.just("x"), times), st.one_of(small, durations)), **lists
    )
)
def test_a_datetime_plus_a_duration(ask: Ask, rows: list[tuple[str, int]]) -> None:
    """Dates move by whole days, datetimes by microseconds; outside of the years 1 to 9999 they are NULL."""
    expressions = [
        (temporal.combine_durations(connector, left, right), ())
        for connector, left, right in (("+", '"x"', '"y"'), ("-", '"x"', '"y"'), ("+", '"y"', '"x"'))
    ]
    expected = [
        [
            expected_of(django._sqlite_format_dtdelta, "+", moment, duration),
            expected_of(django._sqlite_format_dtdelta, "-", moment, duration),
            expected_of(django._sqlite_format_dtdelta, "+", duration, moment),
        ]
        for moment, duration in rows
    ]
    found = ask(expressions, rows)
    check(found, expected, rows)
    for values, wanted, (moment, _duration) in zip(found, expected, rows, strict=True):
        if len(moment) > 10:
            assert all(value is None for value, want in zip(values, wanted, strict=True) if want is ...)


@many
@given(rows=st.lists(st.tuples(durations, st.one_of(st.integers(1, 1000), st.floats(0.001, 1e6))), **lists))
def test_multiples_of_a_duration(ask: Ask, rows: list[tuple[int, float]]) -> None:
    """A product and a quotient, as SQL computes them."""
    rows = [(duration // 10_000, factor) for duration, factor in rows]
    found = ask([(temporal.combine_durations(c, '"x"', '"y"'), ()) for c in "*/"], rows)
    expected = [[django._sqlite_format_dtdelta(c, *one) for c in "*/"] for one in rows]
    assert [[pytest.approx(value, rel=1e-12) for value in values] for values in expected] == [
        list(values) for values in found
    ]


def test_a_fractional_duration_is_rounded(ask: Ask) -> None:
    """1.5 times a duration is no integer; Django's function would give NULL."""
    sum_ = (temporal.combine_durations("+", '"x"', temporal.combine_durations("*", "3", "1.5")), ())
    assert ask([sum_], [["2020-01-01 00:00:00"]]) == [("2020-01-01 00:00:00.000005",)]  # 4.5 rounds up


def test_two_durations_are_added(ask: Ask) -> None:
    """Where Django does not know that both are durations."""
    assert ask([(temporal.combine_durations(c, '"x"', '"y"'), ()) for c in "+-"], [[5, 7]]) == [(12, -2)]


def test_other_operations_are_refused() -> None:
    """A duration has no power."""
    with pytest.raises(DatabaseError, match="Invalid connector for timedelta"):
        temporal.combine_durations("^", "1", "2")


# ── Operands ─────────────────────────────────────────────────────────────────────────────────────────────


def test_operands_are_filled_in_with_their_parameters() -> None:
    """As often as the template names them, but a long one once."""
    assert temporal.fill("{a}-{b}-{a}", a=("%s+%s", [1, 2]), b=("%s", [3])) == (
        "%s+%s-%s-%s+%s",
        [1, 2, 3, 1, 2],
    )
    long = "%s" + "+1" * temporal.MAX_REPEATED_LENGTH
    assert temporal.fill("{b}-{a}-{a}", a=(long, [1]), b=("%s", [3])) == (
        f"(SELECT %s-_a-_a FROM (SELECT {long} AS _a))",
        [3, 1],
    )


def test_nested_expressions_stay_small(ask: Ask) -> None:
    """Each level names its operand several times, but the SQL grows only by the level's own length."""
    value = X
    for _ in range(5):
        value = temporal.truncate("week", temporal.fill("({x}||' 00:00:00')", x=temporal.to_date(value)))
    assert len(value[0]) < 5_000
    assert ask([value], [["2020-03-01 10:00:00"]]) == [("2020-02-24 00:00:00",)]


def test_aggregates_and_windows(ask: Ask) -> None:
    """An aggregate stays one of the whole query; a window function would not, and is refused."""
    largest = ('max("x")', ())
    found = ask(
        [temporal.to_date(largest, "America/New_York", "UTC")], [["2020-01-01 02:00:00"], ["2019-01-01"]]
    )
    assert found == [("2019-12-31",)]
    window = ('max("x") OVER ()', ())
    assert ask([temporal.to_date(window)], [["2020-01-01 02:00:00"], ["2019-01-01"]]) == [("2020-01-01",)] * 2
    with pytest.raises(NotSupportedError, match="window function"):
        temporal.to_date(window, "America/New_York", "UTC")
