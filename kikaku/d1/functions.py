"""Expressions that need other SQL on D1 than on SQLite in Python's process.

Each rewrite takes an expression, the compiler and the connection, and returns SQL with its parameters, or
None to leave the expression to its own `as_sqlite`. What plain SQL cannot express raises `NotSupportedError`
with an alternative.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import NotSupportedError
from django.db.models import Aggregate, StdDev, Variance, Window
from django.db.models.expressions import ColPairs
from django.db.models.functions import (
    MD5,
    SHA1,
    SHA224,
    SHA256,
    SHA384,
    SHA512,
    Ceil,
    Coalesce,
    Concat,
    Cot,
    Greatest,
    JSONArray,
    JSONObject,
    Least,
    LPad,
    Now,
    Power,
    Random,
    Repeat,
    Reverse,
    RPad,
)
from django.db.models.functions.text import ConcatPair
from django.db.models.lookups import (
    Contains,
    EndsWith,
    IContains,
    IEndsWith,
    IExact,
    In,
    IRegex,
    IStartsWith,
    PatternLookup,
    Regex,
    StartsWith,
)
from django.db.models.sql.where import AND, OR, WhereNode

from .temporal import Sql, fill, table
from .values import MAX_ARGUMENTS

MAX_LIKE_BYTES = 50  # of a LIKE pattern, D1's limit
MAX_IN_LITERALS = 300  # values of an IN list; more go as one JSON text
MAX_OPERANDS = 20  # in a row: SQLite nests them to the left, and D1 allows expression trees 100 deep

Rewrite = Callable[[Any, Any, Any], Sql | None]

# ── Text ─────────────────────────────────────────────────────────────────────────────────────────────────


def _from_template(template: str, *names: str) -> Rewrite:
    """Return the rewrite of a function into a template with named arguments."""

    def rewrite(node: Any, compiler: Any, connection: Any) -> Sql:
        sources = node.get_source_expressions()
        return fill(
            template, **{name: compiler.compile(one) for name, one in zip(names, sources, strict=True)}
        )

    return rewrite


TIMES = "replace(hex(zeroblob({n})),'00',{f})"  # a text, n times
LPAD = (
    "(CASE WHEN {f} IS NULL THEN NULL WHEN length({t})>={n} THEN substr({t},1,{n}) "
    f"ELSE substr({TIMES},1,{{n}}-length({{t}}))||{{t}} END)"
)
RPAD = f"substr({{t}}||{TIMES},1,{{n}})"
REPEAT = f"iif({{n}} IS NULL,NULL,{TIMES})"
# json_each gives the positions, from an array of length + 1; position 0 has no character
REVERSE = (
    "(SELECT group_concat(substr(_t,key,1),'' ORDER BY key DESC) "
    "FROM json_each('['||replace(hex(zeroblob(length(_t))),'00','0,')||'0]'))"
)


def _reverse(node: Any, compiler: Any, connection: Any) -> Sql:
    """Return SQL that joins the characters of a text from its end."""
    (source,) = node.get_source_expressions()
    return table(REVERSE, t=compiler.compile(source))


def _concat(node: Any, compiler: Any, connection: Any) -> Sql | None:
    """Return SQL that joins many texts in a balanced tree; Django nests each in the one before."""
    parts: list[Any] = []
    (rest,) = node.get_source_expressions()
    while isinstance(rest, ConcatPair):
        first, rest = rest.get_source_expressions()
        parts.append(first)
    parts.append(rest)
    if len(parts) <= MAX_OPERANDS:
        return None
    compiled = [compiler.compile(part) for part in parts]
    parameters = [value for _sql, values in compiled for value in values]
    return _balanced([f"COALESCE({sql},'')" for sql, _values in compiled], "||"), parameters


def _balanced(parts: Sequence[str], operator: str) -> str:
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_balanced(parts[:middle], operator)}{operator}{_balanced(parts[middle:], operator)})"


def _no_hash(node: Any, compiler: Any, connection: Any) -> Sql:
    raise NotSupportedError(
        f"Cloudflare D1 has no {node.function} function. Compute it with Python's hashlib and store it in a "
        "field of its own."
    )


def _no_regular_expressions(node: Any, compiler: Any, connection: Any) -> Sql:
    raise NotSupportedError(
        f"Cloudflare D1 has no regular expressions: the lookup {node.lookup_name!r} cannot be used. Filter "
        "by contains, startswith, … and apply Python's re to the rows, or store what you search for in a "
        "field of its own."
    )


# ── Numbers and the clock ────────────────────────────────────────────────────────────────────────────────


def _as_sqlite(**how: str) -> Rewrite:
    """Return a rewrite that calls the expression's `as_sqlite` with another function name or template."""

    def rewrite(node: Any, compiler: Any, connection: Any) -> Sql:
        sql, parameters = node.as_sqlite(compiler, connection, **how)
        return sql, parameters

    return rewrite


def _random(node: Any, compiler: Any, connection: Any) -> Sql:
    """Return SQL for a number in [0, 1): the lower 53 bits of 64 random ones, as many as a float has."""
    return "((random()&9007199254740991)/9007199254740992.0)", ()


def _now(node: Any, compiler: Any, connection: Any) -> Sql | None:
    """Return the current time as a literal: a statement in a block runs in a dry run and again at COMMIT."""
    if compiler.is_ddl:
        return None
    now = vars(compiler).setdefault("now", datetime.now(UTC))  # the same time in the whole statement
    return "%s", (now.replace(tzinfo=None).isoformat(" ", "milliseconds"),)


def _deviation(node: Any, compiler: Any, connection: Any) -> Sql:
    """Return SQL for a variance or its root, in two passes over the values, which are collected as JSON.

    One pass, with the sum of squares less the square of the sum, loses all digits where the mean is large.
    The values of a group may take 2 MB as JSON, D1's limit: more than 100,000 values.
    """
    values, parameters = Aggregate.as_sql(node, compiler, connection, function="json_group_array")
    number = "count(value)" if node.function.endswith("_POP") else "nullif(count(value)-1,0)"
    variance = f"sum((value-_m)*(value-_m))/{number}"
    if isinstance(node, StdDev):
        variance = f"sqrt({variance})"
    mean = "(SELECT avg(value) FROM json_each(_j)) AS _m"
    sql = f"(SELECT {variance} FROM (SELECT _j,{mean} FROM (SELECT {values} AS _j)),json_each(_j))"
    # decimals are stored as texts, which must be compared with a number
    if node.output_field.get_internal_type() == "DecimalField":
        sql = f"CAST({sql} AS NUMERIC)"
    return sql, parameters


def _no_window(node: Any, compiler: Any, connection: Any) -> Sql | None:
    if isinstance(node.source_expression, (StdDev, Variance)):
        raise NotSupportedError(
            f"On Cloudflare D1 {node.source_expression.name} cannot be a window function. Annotate windows "
            "of Count, Sum(x) and Sum(x * x), and compute it from these."
        )
    return None


# ── More operands than D1 takes ──────────────────────────────────────────────────────────────────────────


def _nested(node: Any, compiler: Any, connection: Any) -> Sql | None:
    """Return nested calls where one would have too many arguments: f(first…, f(others…))."""
    sources = node.get_source_expressions()
    if len(sources) <= MAX_ARGUMENTS:
        return None
    head, rest = _split(node, MAX_ARGUMENTS - 1)
    head.set_source_expressions([*head.get_source_expressions(), rest])
    sql, parameters = compiler.compile(head)
    return sql, parameters


def _json(node: Any, compiler: Any, connection: Any) -> Sql | None:
    """Return SQL that joins two JSON texts where a function would have too many arguments."""
    if len(node.get_source_expressions()) <= MAX_ARGUMENTS:
        return None
    head, rest = _split(node, MAX_ARGUMENTS)  # an even number: keys and values of an object
    return fill(
        "json(substr({a},1,length({a})-1)||','||substr({b},2))",
        a=compiler.compile(head),
        b=compiler.compile(rest),
    )


def _split(node: Any, at: int) -> tuple[Any, Any]:
    head, rest = node.copy(), node.copy()
    sources = node.get_source_expressions()
    head.set_source_expressions(sources[:at])
    rest.set_source_expressions(sources[at:])
    return head, rest


def _where(node: WhereNode, compiler: Any, connection: Any) -> Sql | None:
    """Return conditions joined by AND or OR as a balanced tree: 2,000 of them are 12 deep."""
    if len(node.children) <= MAX_OPERANDS or node.connector not in (AND, OR):
        return None
    middle = len(node.children) // 2
    kind = type(node)
    halves: list[Any] = [
        kind(half, node.connector) for half in (node.children[:middle], node.children[middle:])
    ]
    joined = kind(halves, node.connector, node.negated)
    joined.resolved = node.resolved
    sql, parameters = joined.as_sql(compiler, connection)
    return sql, parameters


def _in(node: Any, compiler: Any, connection: Any) -> Sql | None:
    """Return an IN over one JSON text of many plain values; SQLite reads 64-bit integers from it exactly."""
    if not node.rhs_is_direct_value() or len(node.rhs) <= MAX_IN_LITERALS or isinstance(node.lhs, ColPairs):
        return None
    placeholders, values = node.process_rhs(compiler, connection)
    if placeholders != f"({', '.join(['%s'] * len(values))})":
        return None
    are_integers = all(type(value) is int and -(2**63) <= value < 2**63 for value in values)
    if not are_integers and not all(isinstance(value, str) and "\0" not in value for value in values):
        return None
    sql, parameters = node.process_lhs(compiler, connection)
    listed = json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))
    return f"{sql} IN (SELECT value FROM json_each(%s))", [*parameters, listed]


# ── LIKE ─────────────────────────────────────────────────────────────────────────────────────────────────
# SQLite's LIKE ignores the case of ASCII letters, and so does lower().


def _pattern(base: Any, template: str) -> Rewrite:
    """Return the rewrite of a lookup whose pattern is too long for LIKE, or is an expression."""

    def rewrite(node: Any, compiler: Any, connection: Any) -> Sql | None:
        _sql, parameters = node.process_rhs(compiler, connection)  # may turn `node.rhs` into an expression
        literal = not hasattr(node.rhs, "as_sql") and not node.bilateral_transforms
        if literal and (not parameters or len(str(parameters[0]).encode()) <= MAX_LIKE_BYTES):
            return None
        left = node.process_lhs(compiler, connection)
        right = super(base, node).process_rhs(compiler, connection)  # without the wildcards
        return fill(template, l=left, r=right)

    return rewrite


CONTAINS = _pattern(PatternLookup, "instr(lower({l}),lower({r}))>0")
STARTS = _pattern(PatternLookup, "instr(lower({l}),lower({r}))=1")
ENDS = _pattern(PatternLookup, "substr(lower({l}),length({l})-length({r})+1)=lower({r})")

REWRITES: dict[type, Rewrite] = {
    LPad: _from_template(LPAD, "t", "n", "f"),
    RPad: _from_template(RPAD, "t", "n", "f"),
    Repeat: _from_template(REPEAT, "f", "n"),
    Reverse: _reverse,
    Concat: _concat,
    **dict.fromkeys((MD5, SHA1, SHA224, SHA256, SHA384, SHA512), _no_hash),
    **dict.fromkeys((Regex, IRegex), _no_regular_expressions),
    Cot: _as_sqlite(template="(1.0/tan(%(expressions)s))"),
    Ceil: _as_sqlite(function="ceil"),  # D1 permits `ceiling` and `power` under these names only
    Power: _as_sqlite(function="pow"),
    Random: _random,
    Now: _now,
    **dict.fromkeys((StdDev, Variance), _deviation),
    Window: _no_window,
    **dict.fromkeys((Coalesce, Greatest, Least), _nested),
    **dict.fromkeys((JSONObject, JSONArray), _json),
    WhereNode: _where,
    In: _in,
    **dict.fromkeys((Contains, IContains), CONTAINS),
    **dict.fromkeys((StartsWith, IStartsWith), STARTS),
    **dict.fromkeys((EndsWith, IEndsWith), ENDS),
    IExact: _pattern(IExact, "lower({l})=lower({r})"),
}
