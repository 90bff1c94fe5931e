"""PLACEHOLDER until the real one is written: overwrite me."""

from typing import Any
from django.db.backends.sqlite3.operations import DatabaseOperations as Base


class DatabaseOperations(Base):
    compiler_module = "kikaku.d1.compiler"

    def bulk_batch_size(self, fields: Any, objs: Any) -> int:
        return 100

    def last_executed_query(self, cursor: Any, sql: Any, params: Any) -> Any:
        return sql

    def for_update_sql(self, **kw: Any) -> str:
        return ""

    def execute_sql_flush(self, sql_list: Any) -> None:
        from kikaku.d1.values import Statement

        self.connection.ensure_connection()
        with self.connection.wrap_database_errors:
            self.connection.connection.apply([Statement(sql.rstrip("; \n")) for sql in sql_list])
