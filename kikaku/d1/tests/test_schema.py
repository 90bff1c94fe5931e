"""Schema changes on D1: atomic, by ALTER TABLE where possible, and a rebuilt table loses nothing."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connections, migrations, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from ..base import DatabaseWrapper

LABEL = "d1_schema"

FIRST = [
    migrations.CreateModel(
        "Author",
        [
            ("id", models.AutoField(primary_key=True)),
            ("name", models.CharField(max_length=40)),
            ("note", models.TextField(null=True)),
        ],
    ),
    migrations.CreateModel(
        "Book",
        [
            ("id", models.AutoField(primary_key=True)),
            ("author", models.ForeignKey(f"{LABEL}.Author", models.CASCADE)),
            ("title", models.CharField(max_length=40, db_index=True)),
            ("next", models.ForeignKey(f"{LABEL}.Book", models.SET_NULL, null=True)),
        ],
    ),
]


def migration(operations: Sequence[Any]) -> migrations.Migration:
    instance: migrations.Migration = type(
        "Migration", (migrations.Migration,), {"operations": list(operations)}
    )("0001", LABEL)
    return instance


class Project:
    """A database whose schema is changed by migrations, as `migrate` applies them."""

    def __init__(self, d1: DatabaseWrapper) -> None:
        self.d1 = d1
        self.state = ProjectState()

    def migrate(self, operations: Sequence[Any], *, backwards: bool = False) -> list[str]:
        """Apply or unapply a migration of these operations; return the SQL that ran."""
        one = migration(operations)
        self.d1.force_debug_cursor = True
        self.d1.queries_log.clear()
        try:
            before = self.state.clone()
            with self.d1.schema_editor(atomic=True) as editor:
                if backwards:
                    one.unapply(before, editor)
                else:
                    self.state = one.apply(before, editor)
        finally:
            self.d1.force_debug_cursor = False
        return [query["sql"] for query in self.d1.queries_log if query["sql"]]

    def run(self, sql: str, *parameters: Any) -> list[Any]:
        with self.d1.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall()) if cursor.description else []

    def schema(self) -> list[tuple[str, str]]:
        return [
            (name, sql)
            for name, sql in self.run("SELECT name, sql FROM sqlite_master ORDER BY name")
            if not name.startswith(("_", "sqlite_"))
        ]

    def rows(self) -> list[list[Any]]:
        return [
            self.run(f"SELECT {columns} FROM {LABEL}_{table} ORDER BY id")
            for table, columns in (("author", "id, name"), ("book", "id, author_id, title, next_id"))
        ]


@pytest.fixture
def project(d1: DatabaseWrapper) -> Iterator[Project]:
    """Return a database with two authors, and books that refer to them and to each other."""
    project = Project(d1)
    project.migrate(FIRST)
    project.run(
        f"INSERT INTO {LABEL}_author (name, note) VALUES ('紫式部', NULL), ('O''Neill', 'x'), ('gone', NULL)"
    )
    project.run(f"DELETE FROM {LABEL}_author WHERE name = 'gone'")
    project.run(
        f"INSERT INTO {LABEL}_book (author_id, title, next_id) "
        "VALUES (1, '源氏物語', 2), (1, '日記', 1), (2, 'Ile', 3)"
    )
    project.run("CREATE TABLE renamed (what TEXT)")
    project.run(
        f'CREATE TRIGGER record_rename AFTER UPDATE ON "{LABEL}_author" '
        "BEGIN INSERT INTO renamed VALUES ('a; trigger: ' || NEW.\"name\"); END"
    )
    project.run(
        f'CREATE TRIGGER forbid_delete BEFORE DELETE ON "{LABEL}_author" BEGIN SELECT RAISE(ABORT, '
        "'authors stay'); END"
    )
    yield project


def changes(sql: Sequence[str]) -> list[str]:
    """Return the statements that change the schema or rows."""
    return [one for one in sql if not re.match("SELECT|BEGIN|COMMIT", one)]


# ── ALTER TABLE ──────────────────────────────────────────────────────────────────────────────────────────

NATIVE = {
    "add a column": (
        migrations.AddField("Author", "born", models.IntegerField(null=True)),
        f'ALTER TABLE "{LABEL}_author" ADD COLUMN "born" integer NULL',
    ),
    "add a column with a default of the database": (
        migrations.AddField("Author", "rank", models.IntegerField(null=True, db_default=models.Value(3))),
        f'ALTER TABLE "{LABEL}_author" ADD COLUMN "rank" integer DEFAULT 3 NULL',
    ),
    "drop a column": (
        migrations.RemoveField("Author", "note"),
        f'ALTER TABLE "{LABEL}_author" DROP COLUMN "note"',
    ),
    "rename a column": (
        migrations.RenameField("Author", "name", "full_name"),
        f'ALTER TABLE "{LABEL}_author" RENAME COLUMN "name" TO "full_name"',
    ),
    "rename a table": (
        migrations.AlterModelTable("Author", "writer"),
        f'ALTER TABLE "{LABEL}_author" RENAME TO "writer"',
    ),
}


@pytest.mark.parametrize(("operation", "sql"), NATIVE.values(), ids=NATIVE)
def test_one_alter_table_is_used_where_it_is_enough(project: Project, operation: Any, sql: str) -> None:
    assert changes(project.migrate([operation])) == [sql]


def test_an_alter_table_can_be_unapplied(project: Project) -> None:
    before, rows = project.schema(), project.rows()
    for operation in (NATIVE["add a column"][0], NATIVE["rename a column"][0], NATIVE["rename a table"][0]):
        state = project.state
        project.migrate([operation])
        assert project.schema() != before
        project.state = state
        project.migrate([operation], backwards=True)
        assert project.schema() == before
    assert project.rows() == rows


# ── Rebuilding ───────────────────────────────────────────────────────────────────────────────────────────

REBUILT = {
    "not null": migrations.AlterField("Author", "note", models.TextField(default="?")),
    "another type": migrations.AlterField("Author", "name", models.TextField()),
    "a column with a default": migrations.AddField("Author", "rank", models.IntegerField(default=7)),
    "a constraint": migrations.AddConstraint(
        "Author", models.CheckConstraint(condition=~models.Q(name=""), name="named")
    ),
    "a unique column": migrations.AlterField("Author", "name", models.CharField(max_length=40, unique=True)),
}


@pytest.mark.parametrize("operation", REBUILT.values(), ids=REBUILT)
def test_a_rebuilt_table_keeps_rows_references_triggers_and_the_sequence(
    project: Project, operation: Any
) -> None:
    rows = project.rows()
    triggers = [one for one in project.schema() if one[0] in ("record_rename", "forbid_delete")]
    sql = project.migrate([operation])
    assert any(one.startswith('CREATE TABLE "new__') for one in sql)
    assert project.rows() == rows
    assert [one for one in project.schema() if one[0] in ("record_rename", "forbid_delete")] == triggers
    assert not [name for name, _sql in project.schema() if name.startswith("new__")]
    with pytest.raises(IntegrityError, match="authors stay"):
        project.run(f"DELETE FROM {LABEL}_author")
    project.run(f"UPDATE {LABEL}_author SET name = name || '!' WHERE id = 2")
    assert project.run("SELECT what FROM renamed") == [("a; trigger: O'Neill!",)]
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        project.run(f"INSERT INTO {LABEL}_book (author_id, title) VALUES (9, 'x')")
    # the id of the deleted author is not given again
    model = project.state.apps.get_model(LABEL, "Author")
    assert model._default_manager.using("d1").create(name="new", note="y").pk == 4


def test_a_table_that_references_itself_is_rebuilt(project: Project) -> None:
    before = project.rows()
    project.migrate([migrations.AlterField("Book", "title", models.TextField())])
    assert project.rows() == before
    assert project.run("SELECT * FROM pragma_foreign_key_check") == []
    assert any("title" in sql and "INDEX" not in sql for _name, sql in project.schema())


# ── All or nothing ───────────────────────────────────────────────────────────────────────────────────────


class Interrupted(Exception):
    """Raised in the middle of a migration."""


def interrupt(*_: Any) -> None:
    raise Interrupted


def fill(apps: Any, editor: Any) -> None:
    """Write through models, as data migrations do."""
    authors = apps.get_model(LABEL, "Author")._default_manager.using(editor.connection.alias)
    authors.create(name="half")
    assert authors.filter(rank=7).count() == 3


def test_an_interrupted_migration_changes_nothing(project: Project) -> None:
    before, rows = project.schema(), project.rows()
    for last in (
        migrations.RunPython(interrupt),
        migrations.RunSQL("INSERT INTO nowhere VALUES (1)"),
        migrations.AlterField("Author", "note", models.TextField()),  # a row holds NULL
        migrations.AddConstraint("Author", models.CheckConstraint(condition=models.Q(name="x"), name="no")),
    ):
        with pytest.raises((Interrupted, OperationalError, IntegrityError)):
            project.migrate(
                [
                    migrations.CreateModel("Extra", [("id", models.AutoField(primary_key=True))]),
                    REBUILT["a column with a default"],
                    NATIVE["rename a table"][0],
                    migrations.RunPython(fill),
                    migrations.RemoveField("Book", "next"),
                    last,
                ]
            )
        assert project.schema() == before
        assert project.rows() == rows
        assert project.d1.get_autocommit() and not project.d1.in_atomic_block
        assert project.d1.connection.defer_foreign_keys is False


def test_a_migration_and_its_record_are_one_transaction(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On other engines Django records it after the COMMIT when indexes are deferred."""
    one = migration([*FIRST[1:], NATIVE["add a column"][0]])
    state, executor = project.state.clone(), MigrationExecutor(project.d1)
    project.run(f"DROP TABLE {LABEL}_book")
    state.remove_model(LABEL, "book")
    executor.recorder.ensure_schema()
    before = project.schema()
    record = MigrationRecorder.record_applied
    monkeypatch.setattr(MigrationRecorder, "record_applied", interrupt)
    with pytest.raises(Interrupted):
        executor.apply_migration(state.clone(), one)
    assert project.schema() == before
    monkeypatch.setattr(MigrationRecorder, "record_applied", record)
    executor.apply_migration(state.clone(), one)
    assert project.run("SELECT app, name FROM django_migrations") == [(LABEL, "0001")]
    assert len(project.schema()) > len(before)


def test_a_migration_that_leaves_an_invalid_foreign_key_is_refused_as_a_whole(project: Project) -> None:
    before, rows = project.schema(), project.rows()
    with pytest.raises(IntegrityError, match="invalid foreign key"):
        project.migrate(
            [
                NATIVE["add a column"][0],
                migrations.RunSQL(f"INSERT INTO {LABEL}_book (author_id, title) VALUES (99, 'x')"),
            ]
        )
    assert (project.schema(), project.rows()) == (before, rows)


def test_a_row_inserted_during_a_rebuild_is_not_lost(project: Project) -> None:
    """The rows are copied at the COMMIT."""

    def insert_meanwhile(_apps: Any, _editor: Any) -> None:
        with connections["rival"].cursor() as cursor:
            cursor.execute(f"INSERT INTO {LABEL}_author (name) VALUES ('late')")

    project.migrate([REBUILT["a column with a default"], migrations.RunPython(insert_meanwhile)])
    assert project.run(f"SELECT name, rank FROM {LABEL}_author ORDER BY id") == [
        ("紫式部", 7),
        ("O'Neill", 7),
        ("late", 7),
    ]
