"""Values are written and read exactly, by the ORM and by raw cursors, in autocommit and in blocks."""

import datetime as dt
import math
import struct
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from http import HTTPStatus
from typing import Any, ClassVar, Self

import pytest
from django.db import (
    DataError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connections,
    models,
    transaction,
)
from django.db.models import Q, Value
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ..base import DatabaseWrapper
from ..values import MAX_BLOB, MAX_BOUND

MB = 1_000_000


class Thing(models.Model):
    """A column for each kind of value."""

    big = models.BigIntegerField(null=True)
    price = models.DecimalField(null=True, max_digits=15, decimal_places=4)
    real = models.FloatField(null=True)
    blob = models.BinaryField(null=True)
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    time = models.TimeField(null=True)
    duration = models.DurationField(null=True)
    facts = models.JSONField(null=True)
    text = models.TextField(null=True)  # noqa: DJ001  (NULL is tested, too)
    word = models.CharField(null=True, max_length=200)  # noqa: DJ001
    flag = models.BooleanField(null=True)
    key = models.UUIDField(null=True)

    objects: ClassVar[models.Manager[Self]] = models.Manager()

    class Meta:
        app_label = "d1_values"


NAMES = [field.attname for field in Thing._meta.concrete_fields[1:]]

# ── Values ───────────────────────────────────────────────────────────────────────────────────────────────

LONGEST_DURATION = dt.timedelta(microseconds=2**63 - 1)
SPECIAL_TEXTS = (
    "",
    " ",
    "日本語",
    "🎌👨‍👩‍👧",
    "e\u0301 ﷽ \ufeff\u2028\u202e",
    "\0",
    "a\0b",
    "'",
    "''",
    '"',
    "\\",
    "\\u0041",
    "\r\n\t\n\r\x1a\x7f",
    "%s %% %(a)s ?1 :a @a $a",
    "-- /* ; */",
    "NULL",
    "1e5",
    "007",
    "[1]",
    '["00", 1]',
)
characters = st.characters(codec="utf-8")
texts = (
    st.sampled_from(SPECIAL_TEXTS)
    | st.text(characters, max_size=50)
    | st.text(characters).map(lambda one: one * 80)
)
integers = st.sampled_from((-(2**63), 2**63 - 1, -(2**53) - 1, 2**53 + 1, -1, 0, 1)) | st.integers(
    -(2**63), 2**63 - 1
)


def of_bits(bits: int) -> float:
    return float(struct.unpack(">d", bits.to_bytes(8, "big"))[0])


floats = st.integers(0, 2**64 - 1).map(of_bits).filter(lambda one: not math.isnan(one)) | st.floats(
    allow_nan=False
)
facts = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
moments = st.datetimes(
    dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=st.timezones(), allow_imaginary=False
)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "big": integers,
    "price": st.decimals(Decimal("-99999999999"), Decimal("99999999999"), places=4),
    "real": floats,
    "blob": st.binary(max_size=300) | st.binary(max_size=30).map(lambda one: one * 400),
    "day": st.dates(),
    "moment": moments,
    "time": st.times(),
    "duration": st.timedeltas(-LONGEST_DURATION, LONGEST_DURATION),
    "facts": facts,
    "text": texts,
    "word": st.text(characters, max_size=200),
    "flag": st.booleans(),
    "key": st.uuids(),
}
things = st.fixed_dictionaries({name: st.none() | kind for name, kind in KINDS.items()})
EMPTY: dict[str, Any] = dict.fromkeys(KINDS)

few = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


# ── Comparison ───────────────────────────────────────────────────────────────────────────────────────────


def shape(value: Any) -> Any:
    """Return what must be equal before and after: the type as well, and all bits of a float."""
    if isinstance(value, float):
        # SQLite keeps no sign of zero in a REAL column
        return "float", struct.pack(">d", value or 0.0)
    if isinstance(value, memoryview):
        value = bytes(value)
    if isinstance(value, dt.datetime) and value.tzinfo:
        value = value.astimezone(dt.UTC)
    if isinstance(value, Decimal):
        return "Decimal", value.quantize(Decimal("0.0001")) + 0
    if isinstance(value, list):
        return [shape(one) for one in value]
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    return type(value).__name__, value


def shapes(values: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: shape(one) for name, one in thing.items()} for thing in values]


def run(sql: str, *parameters: Any) -> list[Any]:
    with connections["d1"].cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


def block() -> AbstractContextManager[None]:
    return transaction.atomic("d1")


WAYS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "in autocommit": nullcontext,
    "in a block": block,
}
both = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
# of tests with many examples a change runs one way, a nightly run both
both_nightly = pytest.mark.parametrize(
    "way",
    [
        pytest.param(nullcontext, id="in autocommit", marks=pytest.mark.nightly),
        pytest.param(block, id="in a block"),
    ],
)
Way = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def table(d1: DatabaseWrapper) -> Iterator[models.QuerySet[Thing]]:
    """Create the table of things, and one whose columns have no type; return the first."""
    with d1.schema_editor() as editor:
        editor.create_model(Thing)
    run("CREATE TABLE loose (id INTEGER PRIMARY KEY AUTOINCREMENT, v, w)")
    yield Thing.objects.using("d1")


def read(found: models.QuerySet[Thing]) -> list[dict[str, Any]]:
    return shapes(list(found.order_by("pk").values(*NAMES)))


# ── Models ───────────────────────────────────────────────────────────────────────────────────────────────


@both_nightly
@few
@given(rows=st.lists(things, min_size=1, max_size=8))
@example(
    rows=[EMPTY, *({**EMPTY, "text": text, "word": text, "facts": {text: text}} for text in SPECIAL_TEXTS)]
)
@pytest.mark.nightly
def test_a_model_reads_what_it_wrote_in_the_block_and_after_it(
    table: models.QuerySet[Thing], way: Way, rows: list[dict[str, Any]]
) -> None:
    table.all().delete()
    with way():
        made = [*table.bulk_create([Thing(**row) for row in rows[1:]]), table.create(**rows[0])]
        expected = shapes([*rows[1:], rows[0]])
        assert read(table) == expected
    assert read(table) == expected
    with way():
        for one, row in zip(made, reversed(rows), strict=True):  # each gets the values of another
            assert table.filter(pk=one.pk).update(**row) == 1
        assert read(table) == shapes(rows[::-1])
    assert read(table) == shapes(rows[::-1])
    with way():
        for one, row in zip(made, rows, strict=True):
            for name, value in row.items():
                setattr(one, name, value)
        table.bulk_update(made, NAMES)
    assert read(table) == shapes(rows)


@both_nightly
@few
@given(row=things)
def test_a_filter_by_a_value_finds_its_row(
    table: models.QuerySet[Thing], way: Way, row: dict[str, Any]
) -> None:
    table.all().delete()
    with way():
        one = table.create(**row)
        table.create()
        found = {name: value for name, value in row.items() if value is not None}
        empty = {f"{name}__isnull": True for name, value in row.items() if value is None}
        assert list(table.filter(**found, **empty).values_list("pk", flat=True)[:1]) == [one.pk]
        if found:
            assert table.filter(**found).count() == 1


def test_null_and_json_null_are_different(table: models.QuerySet[Thing]) -> None:
    nothing = table.create(facts=None)
    null = table.create(facts=models.Value(None, models.JSONField()))
    assert table.get(facts__isnull=True) == nothing
    assert table.get(facts=None) == null
    assert read(table.filter(pk=null.pk))[0]["facts"] == shape(None)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
@both
def test_an_integer_beyond_64_bits_is_refused_and_matches_no_row(
    table: models.QuerySet[Thing], way: Way, number: int
) -> None:
    with pytest.raises(OverflowError, match="too large"), way():
        table.create(big=number)
    with pytest.raises(OverflowError, match="too large"), way():
        run("SELECT %s", number)
    assert not table.filter(big=number).exists()
    assert not table.exists()


@both
def test_nan_becomes_null_as_on_sqlite(table: models.QuerySet[Thing], way: Way) -> None:
    with way():
        one = table.create(real=math.nan)
        assert table.get(pk=one.pk).real is None
        assert run("SELECT %s", math.nan) == [(None,)]


@both
def test_a_lone_surrogate_is_refused(table: models.QuerySet[Thing], way: Way) -> None:
    """JavaScript would store another character instead."""
    for text in ("\ud800", "x\udfff", "\udc00" * 2000):
        with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"), way():
            table.create(text=text)
        with pytest.raises(UnicodeEncodeError), way():
            table.filter(text=text).exists()
    assert not table.exists()


# ── Raw cursors ──────────────────────────────────────────────────────────────────────────────────────────

plain = st.none() | integers | floats | texts | KINDS["blob"]


@both_nightly
@few
@given(values=st.lists(plain, min_size=1, max_size=60))
def test_a_parameter_is_stored_with_its_type(
    table: models.QuerySet[Thing], way: Way, values: list[Any]
) -> None:
    names = {"NoneType": "null", "int": "integer", "float": "real", "str": "text", "bytes": "blob"}
    expected = [(shape(value), names[type(value).__name__]) for value in values]
    for one in (run, many):
        run("DELETE FROM loose")
        with way():
            if one is run:
                run(f"INSERT INTO loose (v) VALUES {','.join(['(%s)'] * len(values))}", *values)
            else:
                many("INSERT INTO loose (v) VALUES (%s)", values)
            assert [
                (shape(v), kind) for v, kind in run("SELECT v, typeof(v) FROM loose ORDER BY id")
            ] == expected
            for value in values[:3]:
                assert run(
                    "SELECT count(*) FROM loose WHERE v IS %s AND typeof(v) = typeof(%s)", value, value
                )[0][0]
        assert [(shape(v), kind) for v, kind in run("SELECT v, typeof(v) FROM loose ORDER BY id")] == expected


def many(sql: str, values: Sequence[Any]) -> None:
    with connections["d1"].cursor() as cursor:
        cursor.executemany(sql, [(value,) for value in values])
        assert cursor.rowcount == len(values)


@both_nightly
@few
@given(values=st.lists(plain, min_size=1, max_size=90))
def test_a_parameter_can_be_selected(d1: DatabaseWrapper, way: Way, values: list[Any]) -> None:
    with way():
        [row] = run(f"SELECT {', '.join(['%s'] * len(values))}", *values)
    assert list(map(shape, row)) == list(map(shape, values))


@both_nightly
@few
@given(values=st.lists(floats, min_size=1, max_size=80))
@example(
    values=[
        0.0,
        5e-324,
        -5e-324,
        2.0**-1022,
        2.0**-1074 * 3,
        1e308,
        -1.7976931348623157e308,
        math.inf,
        -math.inf,
        0.1,
    ]
)
@example(
    values=[
        1 / 3,
        1e15,
        1e16 + 2,
        2.0**53 + 2,
        123456789.123456789,
        9007199254740993.0,
        1e22,
        1e23,
        1e-5,
        9.999e-6,
    ]
)
@pytest.mark.nightly
def test_floats_keep_all_bits(table: models.QuerySet[Thing], way: Way, values: list[float]) -> None:
    table.all().delete()
    with way():
        table.bulk_create([Thing(real=value) for value in values])
        found = list(table.order_by("pk").values_list("real", flat=True))
        assert list(map(shape, found)) == list(map(shape, values))
        assert table.filter(real__in=values).count() == len(values)
    found = list(table.order_by("pk").values_list("real", flat=True))
    assert list(map(shape, found)) == list(map(shape, values))


def test_one_statement_takes_more_floats_and_texts_than_d1_binds(table: models.QuerySet[Thing]) -> None:
    odd = [sign * of_bits(bits) for bits in range(1, 2**63 - 2**53, 2**55 + 12345) for sign in (1, -1)]
    assert len(odd) > 2 * MAX_BOUND
    run(f"INSERT INTO loose (v) VALUES {','.join(['(%s)'] * len(odd))}", *odd)
    assert [shape(value) for (value,) in run("SELECT v FROM loose ORDER BY id")] == list(map(shape, odd))
    values: list[dict[str, Any]] = [
        {"real": value, "text": f"{number}\0"} for number, value in enumerate([*odd, 10**22, 10**22 + 1])
    ]
    table.bulk_create([Thing(**value) for value in values])
    found = table.order_by("pk").values("real", "text")
    assert shapes(list(found)) == shapes([{**one, "real": float(one["real"])} for one in values])


def test_integer_parameters_stay_integers_in_arithmetic(d1: DatabaseWrapper) -> None:
    """A number that JavaScript binds would be a REAL."""
    assert run("SELECT 5 / %s, typeof(%s), %s + 1, %s || ''", 2, True, 2**62, 7) == [
        (2, "integer", 2**62 + 1, "7")
    ]


def test_python_values_are_adapted_as_for_sqlite(d1: DatabaseWrapper) -> None:
    moment = dt.datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
    values = [moment, moment.date(), moment.time(), Decimal("1.50"), True, bytearray(b"x"), memoryview(b"y")]
    assert run(f"SELECT {', '.join(['%s'] * len(values))}", *values) == [
        ("2026-02-03 04:05:06.000007+00:00", "2026-02-03", "04:05:06.000007", "1.50", 1, b"x", b"y")
    ]
    with pytest.raises(ProgrammingError, match="type UUID cannot be given"):
        run("SELECT %s", uuid.uuid4())


@both
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT v FROM loose order by %s, id DESC",
        "SELECT v FROM loose ORDER BY\n%s , id DESC",
        "SELECT v FROM loose ORDER BY -id, %s",
        "SELECT v FROM loose GROUP BY id, %s ORDER BY -id",
        "SELECT v FROM (SELECT id, v FROM loose ORDER BY %s) AS x ORDER BY -id",
        "SELECT v FROM loose ORDER BY %s COLLATE NOCASE, id DESC",
    ],
)
def test_an_integer_that_is_a_parameter_never_is_the_number_of_a_column(
    table: models.QuerySet[Thing], way: Way, sql: str
) -> None:
    with way():
        run("INSERT INTO loose (v) VALUES (1), (2), (3)")
        for number in (1, 7, True, HTTPStatus(200)):  # there is one column
            assert run(sql, number) == [(3,), (2,), (1,)]
        with connections["d1"].cursor() as cursor:
            cursor.execute(sql.replace("%s", "%(number)s"), {"number": 1})
            assert cursor.fetchall() == [(3,), (2,), (1,)]


@both
def test_a_name_may_stand_in_several_places_and_a_percent_sign_in_a_text(
    table: models.QuerySet[Thing], way: Way
) -> None:
    with way(), connections["d1"].cursor() as cursor:
        cursor.execute(
            "SELECT %(a)s, '100 %%', %(b)s || %(a)s ORDER BY %(c-d)s", {"a": "x", "b": "%s", "c-d": 9}
        )
        assert cursor.fetchall() == [("x", "100 %", "%sx")]


# ── Sizes ────────────────────────────────────────────────────────────────────────────────────────────────

LARGE = {
    "text": "x" * MB,
    "日本語": "日本語" * (MB // 9),
    "lines": "'\r\n\\" * (MB // 8),
    "blob": bytes(range(256)) * (MB // 256),
}


@both
@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
@pytest.mark.nightly
def test_a_megabyte_is_written_and_read(table: models.QuerySet[Thing], way: Way, value: Any) -> None:
    name = "blob" if isinstance(value, bytes) else "text"
    for _each in range(2):
        with way():
            one = table.create(**{name: value})
            assert shape(getattr(table.get(pk=one.pk), name)) == shape(value)
            assert table.filter(**{name: value}).count() == 1
        assert shape(getattr(table.get(pk=one.pk), name)) == shape(value)
        one.delete()


@both
def test_a_value_that_is_too_long_is_refused_with_the_limit(table: models.QuerySet[Thing], way: Way) -> None:
    for values, limit in (
        ({"text": "x" * 3 * MB}, "2 MB"),
        ({"blob": b"x" * (MAX_BLOB + 1)}, "1,000,000 bytes"),
        ({"text": "\1" * 400_000}, "2 MB.*2,400,002 bytes"),  # as JSON each takes six bytes
        ({"text": '"' * MB, "blob": b"x" * 200_000}, "2 MB"),
        ({"blob": b"x" * 900_000, "text": "x" * 900_000}, "2 MB"),
    ):
        with pytest.raises(DataError, match=limit), way():
            table.create(**values)
        with pytest.raises(DataError, match=limit), way():
            table.bulk_create([Thing(text="short"), Thing(**values)])
    with pytest.raises(DataError, match="2 MB"), way():
        run("INSERT INTO loose (v) VALUES (%s)", "\1" * 400_000)
    with pytest.raises(DataError, match="8 MB"), way():
        run(f"SELECT {'||'.join(['length(%s)'] * 6)}", *["x" * 1_900_000] * 6)
    assert not table.exists()


@both
def test_what_is_just_short_enough_to_be_returned_is_written_and_read(
    table: models.QuerySet[Thing], way: Way
) -> None:
    for values in ({"text": "\1" * 345_000}, {"blob": b"x" * 500_000, "text": '"' * 530_000}):
        with way():
            one = table.create(**values)
            again = table.get(pk=one.pk)
            assert (again.text, again.blob) == (one.text, one.blob)
        assert table.get(pk=one.pk).text == one.text


@pytest.mark.parametrize(
    ("sql", "limit"),
    [
        (f"SELECT {', '.join(map(str, range(101)))}", "100 columns in a SELECT"),
        (f"CREATE TABLE wide ({', '.join(f'c{number}' for number in range(101))})", "100 columns in a table"),
        (f"SELECT 1 WHERE {'NOT (' * 101}1{')' * 101}", "100 deep"),
        (" UNION ".join(["SELECT 1"] * 7), "5 terms of UNION"),
        (f"SELECT 1 ORDER BY {', '.join(f'{number} + 0' for number in range(101))}", "100 expressions"),
        (f"SELECT 'a' LIKE '{'a' * 51}'", "50 bytes"),
    ],
    ids=["columns of a SELECT", "columns of a table", "depth", "UNION", "ORDER BY", "LIKE"],
)
@both
def test_a_limit_of_d1_is_named(table: models.QuerySet[Thing], way: Way, sql: str, limit: str) -> None:
    with pytest.raises(OperationalError, match=limit), way():
        run("UPDATE loose SET w = 1")
        run(sql)


@both
def test_the_limits_of_a_query_are_named(table: models.QuerySet[Thing], way: Way) -> None:
    condition = Q(big=0)
    for number in range(100):
        condition = ~(condition | Q(big=number)) if number % 2 else ~(condition & Q(big=number))
    with pytest.raises(OperationalError, match="100 deep"), way():
        list(table.filter(condition))
    with pytest.raises(OperationalError, match="100 columns"), way():
        list(table.annotate(**{f"extra_{number}": Value(number) for number in range(100)}))


def test_a_row_that_is_too_long_for_an_answer_is_refused_with_the_limit(
    table: models.QuerySet[Thing],
) -> None:
    run("INSERT INTO loose (v) VALUES (zeroblob(1500000))")
    for way in WAYS.values():
        with pytest.raises(DataError, match="2 MB"), way():
            run("UPDATE loose SET w = 1")
            run("SELECT v FROM loose")


@both
def test_a_statement_takes_many_parameters(table: models.QuerySet[Thing], way: Way) -> None:
    """D1 binds a hundred; the others are literals in the SQL."""
    values = [value for number in range(700) for value in (number, f"'{number}'", None, 0.1 + number)]
    with way():
        run(f"INSERT INTO loose (v) VALUES {','.join(['(%s)'] * len(values))}", *values)
        assert run("SELECT v FROM loose ORDER BY id") == [(value,) for value in values]
    long = ["x" * 2000 + str(number) for number in range(MAX_BOUND + 1)]
    with way():
        assert run(f"SELECT %s IN ({','.join(['%s'] * len(long))})", long[-1], *long) == [(1,)]
        table.bulk_create([Thing(text=text) for text in long])
        assert list(table.order_by("pk").values_list("text", flat=True)) == long
    with pytest.raises(NotSupportedError, match="100 bound parameters"), way():
        run(f"SELECT {'%s || ' * 101} ''", *["\0"] * 101)


@both
@pytest.mark.nightly
def test_an_in_list_of_five_thousand_values_finds_its_rows(table: models.QuerySet[Thing], way: Way) -> None:
    with way():
        table.bulk_create([Thing(big=number, word=f"'{number}'") for number in range(0, 6000, 2)])
        assert table.filter(big__in=list(range(5000))).count() == 2500
        assert table.filter(word__in=[f"'{number}'" for number in range(5000)]).count() == 2500
        assert table.exclude(big__in=list(range(5000))).count() == 500
        assert len(table.in_bulk(list(range(1, 5001)))) == 3000
        assert run(
            f"SELECT count(*) FROM d1_values_thing WHERE big IN ({','.join(['%s'] * 5000)})", *range(5000)
        ) == [(2500,)]
        assert table.filter(big__in=list(range(5000))).delete()[0] == 2500
    assert table.count() == 500
