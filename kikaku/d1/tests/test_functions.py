"""Functions, lookups and aggregates on D1's engine give the results of Django's SQLite backend."""

import json
import math
import sqlite3
import statistics
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import EmptyResultSet
from django.core.management.color import no_style
from django.db import NotSupportedError
from django.db import models as m
from django.db.backends.sqlite3 import _functions as django  # type: ignore[attr-defined]
from django.db.models import functions as f
from django.db.models import lookups
from django.db.models.expressions import CombinedExpression, RawSQL
from django.db.models.fields.json import KeyTransform, KeyTransformIContains, KeyTransformStartsWith
from django.db.models.sql import Query
from django.db.models.sql.where import AND, OR, WhereNode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..base import DatabaseWrapper
from ..functions import MAX_IN_LITERALS, MAX_LIKE_BYTES
from ..values import MAX_BOUND, MAX_SQL, render

many = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
integers = st.integers(-(2**63), 2**63 - 1)
lists: Any = {"min_size": 1, "max_size": 30}


def column(name: str, field: Any) -> RawSQL:
    """Return an expression for a column."""
    return RawSQL(f'"{name}"', (), field)


X, Y = column("x", m.TextField()), column("y", m.TextField())
N, J = column("x", m.BigIntegerField()), column("y", m.BigIntegerField())
R = column("x", m.FloatField())

Compile = Callable[[Any], tuple[str, Any]]
Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def compiled(d1: DatabaseWrapper) -> Compile:
    """Return a function that compiles an expression for D1."""

    def compile_(expression: Any) -> tuple[str, Any]:
        query = Query(None)  # as Django's Q.check does
        sql, parameters = query.get_compiler(connection=d1).compile(expression.resolve_expression(query))
        return sql, tuple(parameters)

    return compile_


@pytest.fixture
def ask(d1: DatabaseWrapper, compiled: Compile) -> Ask:
    """Return a function that evaluates expressions over the columns `"x"` and `"y"` of rows."""

    def run(expressions: Sequence[Any], rows: Sequence[Sequence[Any]] = ((None,),)) -> list[tuple[Any, ...]]:
        found = [compiled(one) for one in expressions]
        names = ("x", "y")[: len(rows[0])]
        columns = ",".join(f'column{number} AS "{name}"' for number, name in enumerate(names, 1))
        holders = ",".join(f"({','.join(['%s'] * len(names))})" for _ in rows)
        selected = ",".join(f"{sql} AS c{number}" for number, (sql, _values) in enumerate(found))
        with d1.cursor() as cursor:
            cursor.execute(
                f"SELECT {selected} FROM (SELECT {columns} FROM (VALUES {holders}))",
                [*(value for _sql, values in found for value in values), *(v for one in rows for v in one)],
            )
            answer: list[tuple[Any, ...]] = cursor.fetchall()
        return answer

    return run


# ── Text ─────────────────────────────────────────────────────────────────────────────────────────────────


@many
@given(rows=st.lists(st.tuples(texts, texts), **lists), length=st.integers(0, 80))
def test_padding_repeating_and_reversing(ask: Ask, rows: list[tuple[str, str]], length: int) -> None:
    """By characters of any script, with fill texts of any length, also empty."""
    found = ask([f.LPad(X, length, Y), f.RPad(X, length, Y), f.Repeat(X, length % 5), f.Reverse(X)], rows)
    assert found == [
        (
            django._sqlite_lpad(text, length, fill),
            django._sqlite_rpad(text, length, fill),
            django._sqlite_repeat(text, length % 5),
            django._sqlite_reverse(text),
        )
        for text, fill in rows
    ]


@pytest.mark.parametrize(
    "expression",
    (
        f.LPad(X, 3, Y),
        f.LPad(Y, 3, X),
        f.RPad(X, 3, Y),
        f.RPad(Y, 3, X),
        f.Repeat(X, 3),
        f.Reverse(X),
        f.LPad(Y, m.Value(None)),
        f.RPad(Y, m.Value(None)),
        f.Repeat(Y, m.Value(None)),
    ),
)
def test_a_null_argument_gives_null(ask: Ask, expression: Any) -> None:
    """For each argument."""
    assert ask([expression], [[None, "long enough"]]) == [(None,)]


def test_a_function_of_an_aggregate(ask: Ask) -> None:
    """The aggregate stays one of the whole query, also where the function becomes a subquery."""
    largest = m.Max(X)
    rows = [["abc"], ["abd"], ["x"]]
    assert ask([f.Reverse(largest), f.LPad(largest, 3, m.Value("-"))], rows) == [("x", "--x")]


@pytest.mark.parametrize("function", (f.MD5, f.SHA1, f.SHA224, f.SHA256, f.SHA384, f.SHA512))
def test_hashes_are_refused(compiled: Compile, function: Any) -> None:
    """D1 has none, and SQL cannot compute them; the error names an alternative."""
    with pytest.raises(NotSupportedError, match=f"D1 has no {function.__name__} function.*hashlib"):
        compiled(function(X))


@pytest.mark.parametrize("lookup", (lookups.Regex, lookups.IRegex))
def test_regular_expressions_are_refused(compiled: Compile, lookup: Any) -> None:
    """D1 has none."""
    with pytest.raises(NotSupportedError, match="D1 has no regular expressions"):
        compiled(lookup(X, "^a"))


# ── Numbers, random numbers and the current time ─────────────────────────────────────────────────────────


@many
@given(rows=st.lists(st.tuples(integers, integers), **lists))
def test_exclusive_or(ask: Ask, rows: list[tuple[int, int]]) -> None:
    """Over all 64 bits."""
    exclusive = CombinedExpression(N, m.F.BITXOR, J, m.BigIntegerField())
    assert ask([exclusive], rows) == [(left ^ right,) for left, right in rows]


def test_powers_roots_and_signs(ask: Ask) -> None:
    """D1 permits some functions only under one of their names."""
    found = ask(
        [
            *(f.Power(R, 2.0), CombinedExpression(R, m.F.POW, m.Value(0.5), m.FloatField()), f.Ceil(R)),
            *(f.Cot(R), f.Floor(R), f.Sign(R), f.Log(m.Value(2.0), R), f.Mod(R, 2.0)),
        ],
        [[2.25], [7.0]],
    )
    for (x,), values in zip(((2.25,), (7.0,)), found, strict=True):
        exact = [x**2, x**0.5, math.ceil(x), 1 / math.tan(x), math.floor(x), 1, math.log2(x), math.fmod(x, 2)]
        assert list(values) == pytest.approx(exact, rel=1e-15)
    assert ask([f.Cot(R), f.Power(R, 2.0), f.Ceil(R), f.Sign(R)]) == [(None,) * 4]


def test_numbers_stay_numeric_in_comparisons(ask: Ask) -> None:
    """A decimal parameter is a text, and any number is less than a text unless the other side is numeric."""
    decimal = column("x", m.DecimalField(max_digits=5, decimal_places=2))
    positive = lookups.GreaterThan(f.Cot(decimal), Decimal("0.5"))
    spread = lookups.GreaterThan(m.Variance(decimal), Decimal("0.5"))
    assert ask([positive], [[1]]) == [(1,)]
    assert ask([spread], [[1], [5]]) == [(1,)]
    assert ask([spread], [[1], [2]]) == [(0,)]


def test_random_numbers(ask: Ask) -> None:
    """Each row has its own number in [0, 1)."""
    numbers = [number for (number,) in ask([f.Random()], [[n] for n in range(2000)])]
    assert len(set(numbers)) == 2000
    assert min(numbers) >= 0 and max(numbers) < 1
    assert 0.45 < statistics.mean(numbers) < 0.55
    assert max(numbers) > 0.99 and min(numbers) < 0.01


def test_the_current_time_is_a_literal(d1: DatabaseWrapper, compiled: Compile, ask: Ask) -> None:
    """The same in the whole statement, in UTC, in SQLite's format; in the schema it stays a function."""
    sql, (text,) = compiled(f.Now())
    assert sql == "%s"
    assert abs(datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(seconds=5)
    (written,) = ask([RawSQL("strftime('%%Y-%%m-%%d %%H:%%M:%%f', %s)", (text,))])
    assert written == (text,)
    query = Query(None)
    compiler = query.get_compiler(connection=d1)
    assert compiler.compile(f.Now()) == compiler.compile(f.Now())
    d1.is_compiling_schema = True
    try:
        assert "STRFTIME" in compiled(f.Now())[0]
    finally:
        d1.is_compiling_schema = False


# ── Aggregates ───────────────────────────────────────────────────────────────────────────────────────────


SPREADS: tuple[tuple[Any, Callable[[Any], float], int], ...] = (
    (lambda x, **more: m.StdDev(x, **more), statistics.pstdev, 1),
    (lambda x, **more: m.StdDev(x, sample=True, **more), statistics.stdev, 2),
    (lambda x, **more: m.Variance(x, **more), statistics.pvariance, 1),
    (lambda x, **more: m.Variance(x, sample=True, **more), statistics.variance, 2),
)


@many
@given(
    values=st.one_of(
        st.lists(st.integers(-(10**6), 10**6), **lists),
        st.lists(st.floats(-1e9, 1e9), **lists),
        st.builds(
            lambda base, few: [base + one for one in few],
            st.integers(0, 10**12),
            st.lists(st.integers(0, 9), **lists),
        ),
    )
)
def test_deviation_and_variance(ask: Ask, values: list[float]) -> None:
    """Also of numbers that are close together and far from zero."""
    found = ask([make(R) for make, _exact, _least in SPREADS], [[value] for value in values])
    largest = max(abs(value) for value in values)
    for one, (_make, exact, least) in zip(found[0], SPREADS, strict=True):
        if len(values) < least:
            assert one is None
        else:
            assert one == pytest.approx(exact(values), rel=1e-9, abs=largest * 1e-12)


def test_deviation_and_variance_with_a_filter(ask: Ask) -> None:
    """Also without any value; NULL does not count."""
    rows = [[1], [1], [4], [None], [100]]
    few = m.Q(lookups.LessThan(N, 50))
    assert ask([m.Variance(N, filter=few), m.Count(N)], rows) == [(2.0, 4)]
    nothing = m.Q(lookups.LessThan(N, 0))
    assert ask([m.StdDev(N, filter=nothing), m.StdDev(N, filter=nothing, default=0.0)], rows) == [(None, 0.0)]


def test_deviation_over_a_window_is_refused(compiled: Compile) -> None:
    """A subquery cannot be a window function."""
    with pytest.raises(NotSupportedError, match="StdDev cannot be a window function"):
        compiled(m.Window(m.StdDev(N)))
    assert "OVER" in compiled(m.Window(m.Sum(N)))[0]


# ── LIKE ─────────────────────────────────────────────────────────────────────────────────────────────────

PATTERNS = {
    lookups.Contains: "%{}%",
    lookups.IContains: "%{}%",
    lookups.StartsWith: "{}%",
    lookups.IStartsWith: "{}%",
    lookups.EndsWith: "%{}",
    lookups.IEndsWith: "%{}",
    lookups.IExact: "{}",
}
letters = st.text("aAbBäÄ%_\\'企 ", max_size=4)


def like(text: Any, pattern: str) -> Any:
    """Return a text and the escaped pattern, of any length, for LIKE in Python's SQLite."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return text, escaped


@many
@given(
    rows=st.lists(st.tuples(st.one_of(letters, st.none(), st.integers(0, 99)), letters), **lists),
    long=st.sampled_from(("", "Xyä" * 20)),
)
def test_patterns(ask: Ask, rows: list[tuple[Any, str]], long: str) -> None:
    """As LIKE, which ignores the case of ASCII: patterns too long for D1's LIKE, and patterns in a column."""
    rows = [(f"{text}{long}" if isinstance(text, str) and long else text, sought) for text, sought in rows]
    with closing(sqlite3.connect(":memory:")) as local:
        for lookup, shape in PATTERNS.items():
            written = []
            for text, sought in rows:
                pattern = shape.format(like(text, sought)[1])
                written += local.execute("SELECT ? LIKE ? ESCAPE '\\'", (text, pattern)).fetchall()
            assert ask([lookup(X, Y)], rows) == written, lookup
            sought = f"{rows[0][1]}{long}"  # one for all rows
            pattern = shape.format(like(None, sought)[1])
            literal = [
                local.execute("SELECT ? LIKE ? ESCAPE '\\'", (text, pattern)).fetchone()
                for text, _sought in rows
            ]
            assert ask([lookup(X, sought)], rows) == literal, lookup


def test_short_patterns_stay_like(compiled: Compile) -> None:
    """Up to 50 bytes LIKE is used, which is faster."""
    fits = "企" * ((MAX_LIKE_BYTES - 2) // 3)
    assert compiled(lookups.Contains(X, fits)) == ("(\"x\") LIKE %s ESCAPE '\\'", (f"%{fits}%",))
    assert compiled(lookups.Contains(X, f"{fits}企")) == ('instr(lower(("x")),lower(%s))>0', (f"{fits}企",))


def test_patterns_in_json(ask: Ask) -> None:
    """Lookups of a key's value are rewritten like those of a field."""
    word = "long" * 20
    document = column("x", m.JSONField())
    rows = [[json.dumps({"a": f"A{word.upper()}"})], [json.dumps({"b": 1})]]
    found = ask(
        [
            KeyTransformIContains(KeyTransform("a", document), word),
            KeyTransformStartsWith(KeyTransform("a", document), f"a{word}"),
        ],
        rows,
    )
    assert found == [(1, 1), (None, None)]


# ── Many operands ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", (int, str))
def test_many_values(ask: Ask, compiled: Compile, make: Any) -> None:
    """Thousands of values in one list, exact to 64 bits; NULL never matches."""
    field = m.BigIntegerField() if make is int else m.TextField()
    x = column("x", field)
    listed = [make(value) for value in (*range(20_000), 2**53 + 1, 2**63 - 1, -(2**63))]
    within = lookups.In(x, [*listed, None])
    assert compiled(within)[0] == '("x") IN (SELECT value FROM json_each(%s))'
    sought = [
        make(value) for value in (-1, 0, 19_999, 20_000, 2**53, 2**53 + 1, 2**63 - 1, 2**63 - 2, -(2**63))
    ]
    rows = [[value] for value in (*sought, None)]
    children: list[Any] = [within]
    outside = WhereNode(children, AND, negated=True)
    found = ask([within, m.ExpressionWrapper(RawSQL(*compiled(outside)), m.BooleanField())], rows)
    assert found == [(*((value in listed, value not in listed)),) for value in sought] + [(None, None)]


def test_in_lists_that_stay_literals(compiled: Compile) -> None:
    """Few values, and those that JSON does not keep exactly."""
    assert compiled(lookups.In(N, range(MAX_IN_LITERALS)))[0].count("%s") == MAX_IN_LITERALS
    assert (
        compiled(lookups.In(R, [n + 0.1 for n in range(MAX_IN_LITERALS + 1)]))[0].count("%s")
        == MAX_IN_LITERALS + 1
    )
    assert (
        compiled(lookups.In(X, [f"{n}\0" for n in range(MAX_IN_LITERALS + 1)]))[0].count("%s")
        == MAX_IN_LITERALS + 1
    )
    with pytest.raises(EmptyResultSet):
        compiled(lookups.In(N, [None] * (MAX_IN_LITERALS + 1)))


@pytest.mark.parametrize("connector", (AND, OR))
def test_many_conditions(ask: Ask, compiled: Compile, connector: str) -> None:
    """2,000 of them, in a tree whose depth D1 accepts."""
    exact = lookups.Exact if connector == OR else lookups.LessThan
    for negated in (False, True):
        children: list[Any] = [exact(N, number) for number in range(1, 2001)]
        where = WhereNode(children, connector, negated=negated)
        found = ask([RawSQL(*compiled(where))], [[0], [1], [1234], [2001], [None]])
        if connector == OR:
            truth = [False, True, True, False]
        else:
            truth = [True, False, False, False]
        assert found == [(one is not negated,) for one in truth] + [(None,)]


def test_many_arguments(ask: Ask) -> None:
    """D1 takes 32 for one function."""
    numbers = [m.Value(n, m.IntegerField()) for n in (*range(40, 100), *range(40))]
    nothing = [m.Value(None, m.IntegerField())] * 100
    (found,) = ask(
        [
            f.Coalesce(*nothing, m.Value(7)),
            f.Greatest(*numbers),
            f.Least(*numbers),
            f.Greatest(*numbers, nothing[0]),
        ]
    )
    assert found == (7, 99, 0, None)
    pairs = {f'k"{n}': m.Value(n) for n in range(100)}
    object_ = f.JSONObject(**pairs, nothing=m.Value(None), inner=f.JSONObject(a=m.Value("}")))
    array = f.JSONArray(*numbers, f.JSONArray(m.Value("]")))
    ((made, listed),) = ask([object_, array])
    assert json.loads(made) == {
        **{key: one.value for key, one in pairs.items()},
        "nothing": None,
        "inner": {"a": "}"},
    }
    assert json.loads(listed) == [*(one.value for one in numbers), ["]"]]


def test_many_texts(ask: Ask) -> None:
    """Joined, with NULL as the empty text."""
    parts = [m.Value(f"{n},") for n in range(150)]
    assert ask([f.Concat(*parts, X, output_field=m.TextField())], [[None]]) == [
        ("".join(p.value for p in parts),)
    ]


# ── Sizes, SQL for debugging, flush ──────────────────────────────────────────────────────────────────────


class Thing(m.Model):
    """A model with values of every size."""

    name = m.TextField()
    note = m.TextField()
    number = m.IntegerField()
    weight = m.FloatField()
    facts = m.JSONField()
    blob = m.BinaryField()
    at = m.DateTimeField(null=True)

    class Meta:
        app_label = "d1_functions"
        managed = False


things = st.builds(
    Thing,
    id=st.integers(0, 10**9),
    name=st.one_of(texts, st.just("'" * 900), st.just("x" * 1001), st.just("企" * 900)),
    note=st.just(""),
    number=st.integers(-(2**31), 2**31),
    weight=st.floats(allow_nan=False, allow_infinity=False),
    facts=st.one_of(st.none(), st.dictionaries(texts, st.lists(texts, max_size=5), max_size=5)),
    blob=st.one_of(st.binary(max_size=50), st.just(b"x" * 30_000)),
    at=st.one_of(st.none(), st.datetimes(timezones=st.just(UTC))),
)


@settings(many, max_examples=25)
@given(objects=st.lists(things, max_size=40), times=st.integers(1, 60))
def test_batches_fit(d1: DatabaseWrapper, objects: list[Thing], times: int) -> None:
    """Every batch stays below D1's limits."""
    objects = objects * times
    fields = [field for field in Thing._meta.concrete_fields if not field.primary_key]
    size = d1.ops.bulk_batch_size(fields, objects)
    for at in range(0, len(objects), size):
        batch = objects[at : at + size]
        values = [
            field.get_db_prep_save(getattr(one, field.attname), d1) for one in batch for field in fields
        ]
        holders = ", ".join([f"({', '.join(['%s'] * len(fields))})"] * len(batch))
        statement = render(f"INSERT INTO t VALUES {holders}", values)
        assert len(batch) == 1 or len(statement.sql.encode()) < MAX_SQL - 5_000
        assert len(statement.bound) <= MAX_BOUND


def test_batches_are_large(d1: DatabaseWrapper) -> None:
    """A thousand short rows are one statement: too careful an estimate would cost round trips."""
    short = [Thing(name=f"thing {n}", note="", number=n, weight=1.5, facts={}, blob=b"") for n in range(5000)]
    names = ["name", "number"]
    assert d1.ops.bulk_batch_size(names, short) >= 2000
    assert d1.ops.bulk_batch_size(["pk", "pk", Thing._meta.get_field("number")], short) >= 500
    assert d1.ops.bulk_batch_size(["thing"], short) >= 2000
    assert d1.ops.bulk_batch_size(names, []) == 1
    assert d1.ops.bulk_batch_size(names, [Thing(name="企" * 900, number=1)] * 3) == 3
    assert d1.ops.bulk_batch_size(["pk"], range(100)) == 100


def test_estimates_run_no_query(d1: DatabaseWrapper) -> None:
    """An attribute may be a relation, which would be fetched for each object."""

    class Asks(SimpleNamespace):
        @property
        def parent(self) -> None:
            raise AssertionError

    assert d1.ops.bulk_batch_size(["parent"], [Asks(), Asks()]) == 2


def test_the_last_query_has_its_values(d1: DatabaseWrapper) -> None:
    """Also many and long ones."""
    sql_with_values = d1.ops.last_executed_query
    assert sql_with_values(None, "SELECT %s, %s, '%%'", ["it's", None]) == "SELECT 'it''s', NULL, '%'"
    assert sql_with_values(None, "SELECT %(a)s", {"a": 2**62}) == f"SELECT {2**62}"
    assert sql_with_values(None, "SELECT '%'", None) == "SELECT '%'"
    assert (
        sql_with_values(None, "SELECT " + ",".join(["%s"] * 2000), ["x" * 2000] * 2000).count("x")
        == 2000 * 2000
    )


TABLES = (
    "CREATE TABLE grand (id integer PRIMARY KEY AUTOINCREMENT)",
    "CREATE TABLE parent (id integer PRIMARY KEY, g integer REFERENCES grand (id))",
    "CREATE TABLE child (id integer PRIMARY KEY, p integer REFERENCES parent (id), me integer REFERENCES "
    "child (id))",
    "CREATE TABLE alone (id integer PRIMARY KEY)",
    "CREATE TABLE egg (id integer PRIMARY KEY, hen integer REFERENCES hen (id))",
    "CREATE TABLE hen (id integer PRIMARY KEY, egg integer REFERENCES egg (id))",
)


@pytest.fixture
def family(d1: DatabaseWrapper) -> DatabaseWrapper:
    """Return a connection to tables that reference each other, with a row in each."""
    with d1.cursor() as cursor:
        for sql in TABLES:
            cursor.execute(sql)
        cursor.execute("INSERT INTO grand VALUES (41)")
        cursor.execute("INSERT INTO parent VALUES (1, 41)")
        cursor.execute("INSERT INTO child VALUES (1, 1, 1)")
        cursor.execute("INSERT INTO alone VALUES (1)")
        cursor.execute("INSERT INTO egg VALUES (1, NULL)")
        cursor.execute("INSERT INTO hen VALUES (1, 1)")
        cursor.execute("UPDATE egg SET hen = 1")
    return d1


def counts(d1: DatabaseWrapper) -> list[int]:
    """Count the rows of each table."""
    with d1.cursor() as cursor:
        names = ("grand", "parent", "child", "alone", "egg", "hen")
        cursor.execute("SELECT " + ",".join(f"(SELECT count(*) FROM {name})" for name in names))
        return list(cursor.fetchone())


def test_flush_empties_children_first(family: DatabaseWrapper) -> None:
    """Foreign keys are checked immediately; tables in a cycle are emptied as well."""
    flush = family.ops.sql_flush(no_style(), ["grand", "parent", "child", "egg", "hen"], reset_sequences=True)
    assert [sql.split('"')[1] for sql in flush if sql.startswith("DELETE")][:3] == [
        "child",
        "parent",
        "grand",
    ]
    family.ops.execute_sql_flush(flush)
    assert counts(family) == [0, 0, 0, 1, 0, 0]
    with family.cursor() as cursor:
        cursor.execute("INSERT INTO grand (id) VALUES (NULL)")
        cursor.execute("SELECT id FROM grand")
        assert cursor.fetchall() == [(1,)]


def test_flush_cascades(family: DatabaseWrapper) -> None:
    """To all tables that reference a table, directly or not."""
    ops: Any = family.ops
    ops.execute_sql_flush(ops.sql_flush(no_style(), ["grand"], allow_cascade=True))
    assert counts(family) == [0, 0, 0, 1, 1, 1]
    assert set(ops._references_graph("grand")) == {"grand", "parent", "child"}
    assert ops._references_graph("alone") == ["alone"]
    assert ops.sql_flush(no_style(), []) == []


def test_expressions_in_the_schema(d1: DatabaseWrapper) -> None:
    """Indexes, checks and generated columns cannot contain a subquery: for a plain column there is none."""
    ops = d1.ops
    year, _ = ops.date_extract_sql("year", '"day"', ())
    hour, _ = ops.datetime_extract_sql("hour", '"at"', (), None)
    week, _ = ops.date_trunc_sql("week", '"day"', ())
    between, _ = ops.subtract_temporals("DateTimeField", ('"at"', ()), ('"day"', ()))
    with d1.cursor() as cursor:
        cursor.execute(
            f'CREATE TABLE dated ("day" date, "at" datetime CHECK ({hour} < 12), '
            f'"week" date GENERATED ALWAYS AS ({week}) STORED)'.replace("%%", "%")
        )
        cursor.execute(f"CREATE INDEX by_year ON dated ({year}, {between})".replace("%%", "%"))
        cursor.execute("INSERT INTO dated VALUES ('2020-03-01', '2020-03-01 10:00:00')")
        cursor.execute("SELECT week FROM dated")
        assert cursor.fetchall() == [("2020-02-24",)]
