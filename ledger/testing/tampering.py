"""Changes to the books that bypass the triggers, as with a database console."""

from django.db import connection

from ledger.books import triggers


def tamper(statement: str) -> None:
    """Execute a statement with the triggers dropped, as an intruder with a database console could."""
    editor = (
        connection.schema_editor()
    )  # not entered as a context: SQLite refuses that in the test's transaction
    triggers.remove(editor)
    editor.execute(statement)
    triggers.install(editor)
