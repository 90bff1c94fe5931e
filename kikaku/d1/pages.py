"""Rows in pages, so that neither D1 nor Python holds all of a large result.

A page begins after the key of the row before it. So rows that change while others are read are neither
skipped nor repeated, unless their key changes.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from .errors import TooBig
from .guards import as_cte
from .values import Row, Statement, render_value

FIRST_ROWS = 100
PAGE_SIZE = 1_000_000  # characters of a page's rows as JSON, about; D1's engine takes ten times the memory
MAX_GROWTH = 8  # times as many rows as in the page before


class Answer(NamedTuple):
    """The rows of a SELECT."""

    rows: list[Row]
    read: int  # rows that D1 bills as read; it reports none for a dry run
    size: int  # characters of the rows as JSON


Read: TypeAlias = Callable[[Statement, int], Answer]


def read_pages(read: Read, query: Statement, columns: int, key: int, descends: bool) -> Iterator[Answer]:
    """Yield the rows of a query of so many columns in pages, at least one.

    Column number `key` is unique, and the query has no order or that of this column.
    """
    rows, after, bound = FIRST_ROWS, "", list(query.bound)
    # each column is used once here, and what is not materialized is searched by its key
    cte = as_cte(query.sql, columns, name="_p", may_materialize=False)
    sign, direction = ("<", " DESC") if descends else (">", "")
    while True:
        page = f"{cte} SELECT * FROM _p {after} ORDER BY c{key}{direction} LIMIT {rows}"
        try:
            answer = read(Statement(page, tuple(bound)), columns)
        except TooBig:  # these rows are larger than those before
            if rows == 1:
                raise
            rows = max(1, rows // MAX_GROWTH)
            continue
        yield answer
        if len(answer.rows) < rows:
            return
        bound = list(query.bound)
        after = f"WHERE c{key}{sign}{render_value(answer.rows[-1][key], bound)}"
        fitting = PAGE_SIZE * rows // max(answer.size, 1)
        rows = max(1, min(fitting, rows * MAX_GROWTH))
