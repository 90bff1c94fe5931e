"""Dates, times and durations in plain SQL, where Django's SQLite backend has functions written in Python.

Pure functions from SQL with its parameters to SQL with its parameters. The results equal those of
`django.db.backends.sqlite3._functions`; the tests compare them. Values are texts as Django writes them:
`YYYY-MM-DD`, `YYYY-MM-DD HH:MM:SS[.ffffff]`, `HH:MM:SS[.ffffff]`; anything else gives NULL. Durations are
integers, in microseconds. SQLite has milliseconds at most, so the fraction is cut off as text and added
again.
"""

from collections import Counter
from collections.abc import Sequence
from string import Formatter
from typing import Any

from django.db import DatabaseError, NotSupportedError, OperationalError
from django.db.backends.utils import split_tzname_delta

from . import zones

Sql = tuple[str, Sequence[Any]]  # with placeholders, and their parameters in order

# characters of an operand that is repeated at each use; indexes and CHECKs may contain that, but no subquery
MAX_REPEATED_LENGTH = 500

# {x} is the value, {c} a date or a datetime up to its seconds, {k} a time up to its seconds, {f}
# microseconds. With a modifier SQLite normalizes the value: 24:00 and 31 April become another day, and so
# differ from their text.
DATETIME_TEXT = "iif(date(substr({x},1,19),'+0 days')=substr({x},1,10),substr({x},1,19),NULL)"
TIME_TEXT = "iif(time(substr({x},1,8),'+0 days')=substr({x},1,8),substr({x},1,8),NULL)"
MICROSECOND = "CAST(round(CAST('0'||substr({x},%d,7) AS REAL)*1000000) AS INTEGER)"
DATETIME_MICROSECOND = MICROSECOND % 20
TIME_MICROSECOND = MICROSECOND % 9
FRACTION = "iif({f},'.'||substr('000000'||{f},-6),'')"

DATETIME_PARTS = {
    "year": "CAST(substr({c},1,4) AS INTEGER)",
    "iso_year": "CAST(strftime('%%G',{c}) AS INTEGER)",
    "quarter": "((CAST(substr({c},6,2) AS INTEGER)+2)/3)",
    "month": "CAST(substr({c},6,2) AS INTEGER)",
    "week": "CAST(strftime('%%V',{c}) AS INTEGER)",
    "day": "CAST(substr({c},9,2) AS INTEGER)",
    "week_day": "(CAST(strftime('%%w',{c}) AS INTEGER)+1)",
    "iso_week_day": "CAST(strftime('%%u',{c}) AS INTEGER)",
    "hour": "CAST(substr({c},12,2) AS INTEGER)",
    "minute": "CAST(substr({c},15,2) AS INTEGER)",
    "second": "CAST(substr({c},18,2) AS INTEGER)",
    "microsecond": "iif({c} IS NULL,NULL,{f})",
}
TIME_PARTS = {
    "hour": "CAST(substr({k},1,2) AS INTEGER)",
    "minute": "CAST(substr({k},4,2) AS INTEGER)",
    "second": "CAST(substr({k},7,2) AS INTEGER)",
    "microsecond": "iif({k} IS NULL,NULL,{f})",
}
DATE_PERIODS = {
    "year": "(substr({c},1,4)||'-01-01')",
    "quarter": "(substr({c},1,5)||substr('0'||((CAST(substr({c},6,2) AS INTEGER)+2)/3*3-2),-2)||'-01')",
    "month": "(substr({c},1,7)||'-01')",
    "week": "date({c},'-6 days','weekday 1')",
    "day": "substr({c},1,10)",
}
DATETIME_PERIODS = {
    **{kind: f"({sql}||' 00:00:00')" for kind, sql in DATE_PERIODS.items()},
    "hour": "(substr({c},1,13)||':00:00')",
    "minute": "(substr({c},1,16)||':00')",
    "second": "{c}",
}
TIME_PERIODS = {
    "hour": "(substr({k},1,2)||':00:00')",
    "minute": "(substr({k},1,5)||':00')",
    "second": "{k}",
}


def fill(template: str, **operands: Sql) -> Sql:
    """Return a template with its operands, each as often as the template names it, and their parameters.

    A long operand that is used twice is computed once, in a table of one row: `(SELECT … FROM (SELECT … AS
    _x))`.
    """
    pieces = list(Formatter().parse(template))
    uses = Counter(name for _text, name, _spec, _conversion in pieces if name)
    once = [
        name
        for name, (sql, _parameters) in operands.items()
        if uses[name] > 1 and len(sql) > MAX_REPEATED_LENGTH and not _has_window(sql)
    ]
    written: list[str] = []
    parameters: list[Any] = []
    for text, name, _spec, _conversion in pieces:
        written.append(text)
        if name in once:
            written.append(f"_{name}")
        elif name:
            written.append(operands[name][0])
            parameters += operands[name][1]
    sql = "".join(written)
    return table(sql, parameters, **{name: operands[name] for name in once}) if once else (sql, parameters)


def table(sql: str, parameters: Sequence[Any] = (), **columns: Sql) -> Sql:
    """Return an expression over a table of one row; the column of `x` is `_x`.

    Raises:
        NotSupportedError: a column is a window function, which would see only that row.
    """
    if any(_has_window(column) for column, _parameters in columns.values()):
        raise NotSupportedError(
            "On Cloudflare D1 a window function cannot be an operand of this expression. Annotate the window "
            "function alone and compute with it in Python."
        )
    listed = ",".join(f"{column} AS _{name}" for name, (column, _parameters) in columns.items())
    for _column, more in columns.values():
        parameters = [*parameters, *more]
    return f"(SELECT {sql} FROM (SELECT {listed}))", parameters


def _has_window(sql: str) -> bool:
    return " OVER " in sql


# ── Parts and periods ────────────────────────────────────────────────────────────────────────────────────


def datetime_text(value: Sql, tzname: str | None = None, connection_tzname: str | None = None) -> Sql:
    """Return the text of a date or datetime up to its seconds, in the time zone `tzname`."""
    found = fill(DATETIME_TEXT, x=value)
    if tzname is None or connection_tzname is None or tzname == connection_tzname:
        return found
    name, sign, delta = split_tzname_delta(tzname)
    ahead = 0
    if delta:
        hours, minutes = delta.split(":")
        ahead = (int(hours) * 60 + int(minutes)) * (60 if sign == "+" else -60)
    return _convert(found, connection_tzname, ahead, name or connection_tzname)


def _convert(clock: Sql, source: str, ahead: int, target: str) -> Sql:
    """Return a datetime's text in another time zone, after adding `ahead` seconds in the first one."""
    at = fill("unixepoch({c})", c=clock)
    if ahead:
        at = fill(f"({{c}}+{ahead})", c=at)
    if source != target:
        at = _add(_add(at, "-", zones.local_offset(source, "_u")), "+", zones.offset(target, "_u"))
    return fill("datetime({c},'unixepoch')", c=at)


def _add(at: Sql, sign: str, offset: str) -> Sql:
    """Add or subtract the offset of a zone, which is SQL over `_u` unless it is constant."""
    if offset == "0":
        return at
    if "_u" not in offset:
        return fill(f"({{c}}{sign}({offset}))", c=at)
    return table(f"_u{sign}{offset}", u=at)


def extract(lookup: str, value: Sql, tzname: str | None = None, connection_tzname: str | None = None) -> Sql:
    """Return a part of a date or datetime, a number."""
    clock = datetime_text(value, tzname, connection_tzname)
    return fill(_template(DATETIME_PARTS, lookup), c=clock, f=fill(DATETIME_MICROSECOND, x=value))


def extract_from_time(lookup: str, value: Sql) -> Sql:
    """Return a part of a time, a number."""
    return fill(_template(TIME_PARTS, lookup), k=fill(TIME_TEXT, x=value), f=fill(TIME_MICROSECOND, x=value))


def truncate_to_date(
    lookup: str, value: Sql, tzname: str | None = None, connection_tzname: str | None = None
) -> Sql:
    """Return the first day of the period that a date or datetime is in."""
    return fill(_template(DATE_PERIODS, lookup), c=datetime_text(value, tzname, connection_tzname))


def truncate(lookup: str, value: Sql, tzname: str | None = None, connection_tzname: str | None = None) -> Sql:
    """Return the first second of the period that a datetime is in."""
    return fill(_template(DATETIME_PERIODS, lookup), c=datetime_text(value, tzname, connection_tzname))


def truncate_to_time(
    lookup: str, value: Sql, tzname: str | None = None, connection_tzname: str | None = None
) -> Sql:
    """Return the first second of the period that a time, or the time of a datetime, is in."""
    of_datetime = fill("substr({c},12,8)", c=datetime_text(value, tzname, connection_tzname))
    clock = fill("COALESCE({c},{k})", c=of_datetime, k=fill(TIME_TEXT, x=value))
    return fill(_template(TIME_PERIODS, lookup), k=clock)


def to_date(value: Sql, tzname: str | None = None, connection_tzname: str | None = None) -> Sql:
    """Return the date of a datetime."""
    return fill("substr({c},1,10)", c=datetime_text(value, tzname, connection_tzname))


def to_time(value: Sql, tzname: str | None = None, connection_tzname: str | None = None) -> Sql:
    """Return the time of a datetime, with its microseconds."""
    fraction = fill(FRACTION, f=fill(DATETIME_MICROSECOND, x=value))
    return fill("(substr({c},12,8)||{f})", c=datetime_text(value, tzname, connection_tzname), f=fraction)


def _template(templates: dict[str, str], lookup: str) -> str:
    try:
        return templates[lookup.lower()]
    except KeyError:
        raise OperationalError(f"Unsupported lookup type: {lookup!r}") from None


# ── Durations ────────────────────────────────────────────────────────────────────────────────────────────

DAY = 86_400_000_000  # microseconds
YEAR_0 = 62_167_219_200  # seconds from the year 0 to 1970, added so that no remainder is negative
YEAR_1 = 366 * DAY  # the first datetime in Python, in microseconds from the year 0


def subtract_datetimes(left: Sql, right: Sql) -> Sql:
    """Return the microseconds between two dates or two datetimes."""
    return fill("({l}-{r})", l=_microseconds(left), r=_microseconds(right))


def _microseconds(value: Sql) -> Sql:
    return fill(
        "(unixepoch({c})*1000000+{f})", c=fill(DATETIME_TEXT, x=value), f=fill(DATETIME_MICROSECOND, x=value)
    )


def subtract_times(left: Sql, right: Sql) -> Sql:
    """Return the microseconds between two times."""
    day = "(unixepoch({k})*1000000+{f})"  # SQLite takes 2000-01-01 for the date of a time
    of_left = fill(day, k=fill(TIME_TEXT, x=left), f=fill(TIME_MICROSECOND, x=left))
    of_right = fill(day, k=fill(TIME_TEXT, x=right), f=fill(TIME_MICROSECOND, x=right))
    return fill("({l}-{r})", l=of_left, r=of_right)


def combine_durations(connector: str, left: str, right: str) -> str:
    """Return SQL for datetime ± duration, duration + datetime, duration × number or duration ÷ number.

    Each operand occurs once, because its parameters belong to the caller. A date moves by whole days, as in
    Python.

    Raises:
        DatabaseError: any other operation.
    """
    if connector == "*":
        return f"({left}*{right})"
    if connector == "/":
        return f"(CAST({left} AS REAL)/{right})"
    if connector not in ("+", "-"):
        raise DatabaseError(f"Invalid connector for timedelta: {connector}.")
    return table(*_moved(connector), l=(left, ()), r=(right, ()))[0]


def _moved(connector: str) -> Sql:
    if connector == "+":
        base, by = "iif(typeof(_l)='text',_l,_r)", "iif(typeof(_l)='text',_r,_l)"
        days = f"((_n-(_n%%{DAY}+{DAY})%%{DAY})/{DAY})"  # rounded down
    else:
        base, by = "_l", "iif(typeof(_r)='text',NULL,-_r)"
        days = f"((_n+(-_n%%{DAY}+{DAY})%%{DAY})/{DAY})"  # up, so that subtracted days are rounded down
    number = f"CASE typeof({by}) WHEN 'integer' THEN {by} WHEN 'real' THEN CAST(round({by}) AS INTEGER) END"
    day, _ = fill(DATETIME_TEXT, x=("_d", ()))
    total = f"{_microseconds(('_d', ()))[0]}+_n+{YEAR_0 * 1_000_000}"
    fraction, _ = fill(FRACTION, f=("(_t%%1000000)", ()))
    result = (
        "CASE WHEN typeof(_d)<>'text' THEN _d+_n "  # two durations
        f"WHEN length(_d)=10 THEN date({day},{days}||' days') "
        f"WHEN _t>={YEAR_1} THEN datetime(_t/1000000-{YEAR_0},'unixepoch')||{fraction} END"
    )
    columns = f"_d,_n,{total} AS _t FROM (SELECT {base} AS _d,{number} AS _n)"
    return f"(SELECT {result} FROM (SELECT {columns}))", ()
