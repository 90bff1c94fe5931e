"""What a statement says is found in its tokens: not in its texts, names and comments."""

import pytest

from ..nondeterminism import nondeterministic
from ..statements import Kind, kind_of, selects_star, strip_semicolon, tables_written_by_trigger
from ..tokens import tokenize


def test_tokens_are_those_of_sqlite() -> None:
    sql = """SELECT "a""b", [c"d], `e``f`, 'it''s', x'00ff', 1.5e+3, ._5 -- 'a comment'
        FROM 表 /* another */ WHERE f(a$b, 'open"""
    found = [(token.kind, token.value, token.depth) for token in tokenize(sql) if token.source not in ".,("]
    assert found == [
        ("word", "SELECT", 0),
        ("name", 'a"b', 0),
        ("name", 'c"d', 0),
        ("name", "e`f", 0),
        ("text", "it's", 0),
        ("blob", "x'00ff'", 0),
        ("number", "1.5e+3", 0),
        ("word", "_5", 0),
        ("word", "FROM", 0),
        ("word", "表", 0),
        ("word", "WHERE", 0),
        ("word", "f", 0),
        ("word", "a$b", 1),
        ("text", "open", 1),
    ]


@pytest.mark.parametrize(
    ("sql", "verb", "table"),
    [
        ("/* INSERT */ select 1", "SELECT", ""),
        ("INSERT OR REPLACE INTO 'account' VALUES (1)", "INSERT", "account"),
        ('UPDATE OR IGNORE "main"."a""b" SET n = 1', "UPDATE", 'a"b'),
        ("DELETE FROM main . [Account]", "DELETE", "account"),
        ("WITH x AS (DELETE), y AS (SELECT 1) UPDATE account SET n = 1", "UPDATE", "account"),
    ],
)
def test_the_verb_and_its_table_are_found_in_any_spelling(sql: str, verb: str, table: str) -> None:
    assert kind_of(sql) == Kind(verb, table)


def test_several_statements_are_refused_and_a_semicolon_in_a_text_is_none() -> None:
    assert strip_semicolon("SELECT ';' ; -- ;") == "SELECT ';' "
    with pytest.raises(Exception, match="one statement"):
        strip_semicolon("SELECT 1; SELECT 2")


def test_a_trigger_writes_what_its_statements_name() -> None:
    sql = "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE 'b' SET n = 1; INSERT INTO [c] VALUES (';'); END"
    assert tables_written_by_trigger(sql) == {"b", "c"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT random()",
        "SELECT hex(RandomBlob (16))",
        'SELECT "random"()',
        "SELECT random/* a comment */()",
        "SELECT n FROM account WHERE at < CURRENT_TIMESTAMP",
        "SELECT current_date AS day",
        "INSERT INTO account VALUES (Current_Time)",
        "SELECT datetime('now')",
        "SELECT date('NOW', '-1 day')",
        'SELECT date("now")',
        "SELECT strftime('%s', 'now')",
        "SELECT strftime('%s')",
        "SELECT unixepoch()",
        "SELECT julianday( -- today\n)",
        "SELECT unixepoch('subsec')",
        "SELECT timediff('2026-01-01', 'now')",
        "SELECT datetime(coalesce(at, 'now')) FROM account",
        "SELECT [date](x'6e6f77')",
    ],
)
def test_what_reads_the_clock_or_a_random_number_is_found(sql: str) -> None:
    assert nondeterministic(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT n AS current_date_seen FROM account",
        "SELECT 1 AS current_date, a.current_time, [current_timestamp] FROM account AS a",
        "INSERT INTO account (current_date_seen, name) VALUES (1, 'now')",
        "INSERT INTO account (name) VALUES ('random() CURRENT_TIMESTAMP datetime(''now'')')",
        "SELECT 'now', randomness(1), now FROM account -- random()",
        "UPDATE account SET random = 1 WHERE updated = ('now')",
        "SELECT date('2026-11-30', '+1 day'), strftime('%Y', at), unixepoch(at, 'subsec') FROM account",
        "SELECT datetime((SELECT at FROM account)) /* date() */",
    ],
)
def test_names_texts_and_comments_are_not_taken_for_the_clock(sql: str) -> None:
    assert nondeterministic(sql) is None


@pytest.mark.parametrize(
    ("sql", "star"),
    [
        ("SELECT * FROM a", True),
        ("SELECT DISTINCT a.* FROM a", True),
        ("WITH b AS (SELECT 1) SELECT 1, * FROM b", True),
        ("SELECT count(*), 2 * 3, '*' FROM a", False),
        ("WITH b AS (SELECT * FROM a) SELECT n FROM b", False),
    ],
)
def test_a_select_of_all_columns_is_recognized(sql: str, star: bool) -> None:
    assert selects_star(sql) is star
