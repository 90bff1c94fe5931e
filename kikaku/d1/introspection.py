"""What is in a D1 database, in the form of SQLite's backend. Each method is one query: one round trip."""

import json
from typing import Any, NamedTuple

from django.db import DatabaseError
from django.db.backends.base.introspection import TableInfo
from django.db.backends.sqlite3 import introspection as sqlite
from django.db.models import Index

from .statements import SQL

# `_` is a wildcard of LIKE
TABLES = SQL(
    "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') "
    "AND substr(name, 1, 7) <> 'sqlite_' AND substr(name, 1, 4) NOT IN ('_cf_', '_d1_') ORDER BY name"
)
TABLES.columns = 2  # set here, so that D1 is not asked for them
# One table. Pragmas are used as functions, so that a block can read them, and not joined with sqlite_master:
# D1 refuses that because of its own tables.
TABLE = SQL("""
SELECT
    (SELECT sql FROM sqlite_master WHERE type = 'table' AND name = %s),
    (SELECT json_group_array(json_array(name, type, "notnull", dflt_value, pk, hidden))
        FROM (SELECT * FROM pragma_table_xinfo(%s) ORDER BY cid)),
    (SELECT json_group_array(json_array(name, "unique", sql, "column")) FROM (
        SELECT l.name, l."unique", i.name AS "column",
            (SELECT sql FROM sqlite_master WHERE type = 'index' AND name = l.name) AS sql
        FROM pragma_index_list(%s) AS l JOIN pragma_index_info(l.name) AS i ORDER BY l.seq, i.seqno)),
    (SELECT json_group_array(json_array("from", "to", "table"))
        FROM (SELECT * FROM pragma_foreign_key_list(%s) ORDER BY id, seq))
""")
TABLE.columns = 4
VISIBLE = (0, 2, 3)  # values of `hidden`: normal, virtual and stored generated columns


class Column(NamedTuple):
    """A column as `pragma_table_xinfo` returns it."""

    name: str
    type: str
    not_null: int
    default: str | None  # an SQL expression
    primary_key: int  # its position in the key from 1, or 0
    hidden: int


class IndexColumn(NamedTuple):
    """One column of one index."""

    index_name: str
    unique: int
    sql: str | None  # None: created by a constraint in the table's own SQL
    column: str | None  # None: an expression


class Reference(NamedTuple):
    """One column of a foreign key."""

    column: str
    to_column: str | None  # None: the primary key
    to_table: str


class Table(NamedTuple):
    """Everything that introspection reads of a table."""

    sql: str | None  # None for a view
    columns: list[Column]
    index_columns: list[IndexColumn]
    references: list[Reference]

    @property
    def primary_key(self) -> list[str]:
        """The columns of the primary key, in the table's order."""
        return [column.name for column in self.columns if column.primary_key]


class DatabaseIntrospection(sqlite.DatabaseIntrospection):
    """SQLite's introspection without PRAGMA statements. The parsing of SQL is inherited.

    Inherited methods with a leading underscore are missing in Django's type stubs.
    """

    def get_table_list(self, cursor: Any) -> list[TableInfo]:
        """Return tables and views, without those of SQLite, Cloudflare and this backend."""
        cursor.execute(TABLES)
        return [TableInfo(name, kind[0]) for name, kind in cursor.fetchall()]

    def read_table(self, cursor: Any, table_name: str) -> Table:
        """Return everything about a table; one that does not exist has no columns."""
        cursor.execute(TABLE, [table_name] * 4)
        sql, columns, indexes, references = cursor.fetchone()
        return Table(
            sql,
            [Column(*found) for found in json.loads(columns)],
            [IndexColumn(*found) for found in json.loads(indexes)],
            [Reference(*found) for found in json.loads(references)],
        )

    def get_table_description(self, cursor: Any, table_name: str) -> list[Any]:
        """Return the columns of a table. Raises `DatabaseError` when it does not exist."""
        table = self.read_table(cursor, table_name)
        if not table.columns:
            raise DatabaseError(f"Table {table_name} does not exist.")
        collations = self._collations(table.sql)
        lower = (table.sql or "").lower()
        # Django does not mark the columns of a composite key
        has_simple_key = len(table.primary_key) == 1
        return [
            sqlite.FieldInfo(
                column.name,
                column.type,  # type: ignore[arg-type]  # a text, as from SQLite's own
                sqlite.get_field_size(column.type),
                None,
                None,
                None,
                not column.not_null,
                column.default,
                collations.get(column.name),
                bool(column.primary_key) and has_simple_key,
                f'json_valid("{column.name.lower()}")' in lower,
            )
            for column in table.columns
            if column.hidden in VISIBLE
        ]

    def get_relations(self, cursor: Any, table_name: str) -> dict[str, tuple[Any, str]]:
        """Return {column: (column it references, its table)} of a table's foreign keys."""
        return self._relations(self.read_table(cursor, table_name))

    def get_primary_key_columns(self, cursor: Any, table_name: str) -> list[str]:
        """Return the columns of the primary key."""
        return self.read_table(cursor, table_name).primary_key

    def get_constraints(self, cursor: Any, table_name: str) -> dict[str, Any]:
        """Return keys, checks and indexes by their names; where SQLite has no name, one is generated."""
        table = self.read_table(cursor, table_name)
        constraints: dict[str, dict[str, Any]] = {}
        if table.sql is not None:
            names = {column.name for column in table.columns if column.hidden in VISIBLE}
            constraints |= self._parse_table_constraints(table.sql, names)  # type: ignore[attr-defined]
        for part in table.index_columns:
            if part.sql is None:
                continue  # the parsing above found it, with its name
            if part.index_name not in constraints:
                constraints[part.index_name] = _constraint([], unique=bool(part.unique), index=True)
                constraints[part.index_name]["type"] = Index.suffix
                orders = self._get_index_columns_orders(part.sql)  # type: ignore[attr-defined]
                if orders is not None:
                    constraints[part.index_name]["orders"] = orders
            constraints[part.index_name]["columns"].append(part.column)
        if table.primary_key:
            constraints["__primary__"] = _constraint(table.primary_key, primary_key=True)
        for number, (column, (to_column, to_table)) in enumerate(self._relations(table).items()):
            constraints[f"fk_{number}"] = _constraint([column], foreign_key=(to_table, to_column))
        return constraints

    @staticmethod
    def _relations(table: Table) -> dict[str, tuple[Any, str]]:
        return {found.column: (found.to_column, found.to_table) for found in table.references}

    @staticmethod
    def _collations(sql: str | None) -> dict[str, str]:
        """Return {column: collation} out of a table's SQL, parsed as simply as Django's backend does."""
        if sql is None or "COLLATE" not in sql:
            return {}
        collations = {}
        for definition in sql.partition("(")[2].split(", "):
            words = definition.split()
            if "COLLATE" in words[:-1]:
                collations[words[0].strip('"')] = words[words.index("COLLATE") + 1].rstrip(",)")
        return collations


def _constraint(columns: list[str], **facts: Any) -> dict[str, Any]:
    """Return a constraint in Django's form."""
    return {
        "columns": columns,
        "primary_key": False,
        "unique": False,
        "foreign_key": None,
        "check": False,
        "index": False,
        **facts,
    }
