"""Time zones in SQL: the UTC offset of an instant as an expression, from Python's own time zone data.

SQLite has no zones but UTC. The transitions of a zone in `zoneinfo` become a search tree. From the year in
which its rule is constant (Berlin 1996, New York 2007), one short table serves every year up to 9999: the
rule depends on the calendar of the year alone, and there are fourteen calendars.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

# years: no zone had a time before; the last exceptions from a rule are Gaza's of 2086
FIRST_YEAR, LAST_YEAR = (
    1800,
    2125,
)
SEARCH_STEP = 3 * 86_400  # seconds; no offset in the data lasted less than four days

# the calendar of a year, from an instant in it: day of the month and weekday, 364 days after 1 January
CALENDAR = "strftime('%%d%%w',{at},'unixepoch','start of year','+364 days')"
START_OF_YEAR = "unixepoch({at},'unixepoch','start of year')"


class Transition(NamedTuple):
    """A change of the UTC offset."""

    at: int  # seconds since 1970; of UTC or of the local clock
    offset: int  # seconds east of UTC, from then on


class Zone(NamedTuple):
    """A zone until the end of the year `LAST_YEAR`."""

    before: int  # the offset before the first transition
    transitions: tuple[Transition, ...]


def offset(name: str, at: str) -> str:
    """Return SQL for the seconds that a zone is ahead of UTC at the instant (seconds) in the column `at`."""
    return _sql(utc_transitions(name)).format(at=at)


def local_offset(name: str, at: str) -> str:
    """Return SQL for the same at a local time of the zone.

    Of a local time that occurs twice it is the first, and one that is skipped counts as before the change, as
    in Python with `fold=0`.
    """
    return _sql(local_transitions(name)).format(at=at)


@lru_cache(maxsize=64)
def utc_transitions(name: str) -> Zone:
    """Return a zone's transitions, found in steps and by bisection, because `zoneinfo` does not list them.

    Raises:
        zoneinfo.ZoneInfoNotFoundError: there is no such zone.
    """
    zone = ZoneInfo(name)

    def offset_at(at: int) -> int:
        ahead = datetime.fromtimestamp(at, zone).utcoffset() or timedelta()
        return int(ahead.total_seconds())

    found = []
    begin, end = _start(FIRST_YEAR), _start(LAST_YEAR + 1)
    before = last = offset_at(begin)
    for low in range(begin, end, SEARCH_STEP):
        high = min(low + SEARCH_STEP, end)
        if (then := offset_at(high)) == last:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset_at(middle) == last else (low, middle)
        found.append(Transition(high, then))
        last = then
    return Zone(before, tuple(found))


@lru_cache(maxsize=64)
def local_transitions(name: str) -> Zone:
    """Return a zone's transitions in local time, each at the later of its two local times."""
    before, transitions = utc_transitions(name)
    pairs = pairwise([Transition(0, before), *transitions])
    return Zone(
        before,
        tuple(Transition(new.at + max(old.offset, new.offset), new.offset) for old, new in pairs),
    )


@lru_cache(maxsize=128)
def _sql(zone: Zone) -> str:
    """Return the offset as SQL with the placeholder `{at}` for the instant."""
    years = _years(zone)
    rule: dict[str, Zone] = {}  # by calendar
    settled = FIRST_YEAR  # the first year in which the rule holds
    for year in range(LAST_YEAR, FIRST_YEAR - 1, -1):
        if rule.setdefault(_calendar(year), years[year]) != years[year]:
            settled = year + 1
            break
    before = tuple(one for one in zone.transitions if one.at < _start(settled))
    history = _tree(zone.before, before, "{at}")
    if set(rule.values()) == {Zone(years[LAST_YEAR].before, ())}:
        ruled = str(years[LAST_YEAR].before)
    else:
        into_year = f"({{at}}-{START_OF_YEAR})"
        cases = "".join(f" WHEN '{key}' THEN {_tree(*year, into_year)}" for key, year in sorted(rule.items()))
        ruled = f"CASE {CALENDAR}{cases} END"
    return f"iif({{at}}<{_start(settled)},{history},{ruled})" if before else ruled


def _years(zone: Zone) -> dict[int, Zone]:
    """Return a zone for each year, with transitions in seconds from the start of the year."""
    years = {}
    last, rest = zone.before, list(zone.transitions)
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        begin, end = _start(year), _start(year + 1)
        within = []
        while rest and rest[0].at < end:
            within.append(rest.pop(0))
        years[year] = Zone(last, tuple(Transition(at - begin, then) for at, then in within))
        last = within[-1].offset if within else last
    return years


def _tree(before: int, transitions: Sequence[Transition], at: str) -> str:
    """Return SQL for a binary search among transitions."""
    if not transitions:
        return str(before)
    middle = len(transitions) // 2
    split = transitions[middle]
    earlier = _tree(before, transitions[:middle], at)
    later = _tree(split.offset, transitions[middle + 1 :], at)
    return f"iif({at}<{split.at},{earlier},{later})"


def _start(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


def _calendar(year: int) -> str:
    day = date(year, 1, 1) + timedelta(days=364)
    return f"{day:%d%w}"
