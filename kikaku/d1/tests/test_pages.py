"""`QuerySet.iterator()` reads in pages of limited size, and rows that change meanwhile are not skipped."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import DataError, connections, models
from django.db.models import Count, F

from .. import TransactionConflict, serializable
from ..base import DatabaseWrapper
from ..pages import FIRST_ROWS
from .blocks import block, count_round_trips, rival, run

ROWS = 1_500


class Shelf(models.Model):
    """What books stand on."""

    class Meta:
        app_label = "d1_pages"
        managed = False
        db_table = "shelf"


class Book(models.Model):
    """A book; all of them are more than one page."""

    word = models.CharField(max_length=20, unique=True)
    text = models.TextField()
    is_read = models.BooleanField(default=False)
    shelf = models.ForeignKey(Shelf, models.CASCADE)

    class Meta:
        app_label = "d1_pages"
        managed = False
        db_table = "book"


class Word(models.Model):
    """A row whose key is a text."""

    word = models.CharField(max_length=3000, primary_key=True)

    class Meta:
        app_label = "d1_pages"
        managed = False
        db_table = "word"


class Label(models.Model):
    """A label on any row."""

    text = models.CharField(max_length=20)
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.IntegerField()
    labelled = GenericForeignKey()

    class Meta:
        app_label = "d1_pages"
        managed = False
        db_table = "label"


class Labelled(models.Model):
    """A book as one with labels."""

    labels = GenericRelation(Label)

    class Meta:
        app_label = "d1_pages"
        managed = False
        db_table = "book"


books = Book._default_manager.using("d1")


@pytest.fixture(autouse=True)
def library(d1: DatabaseWrapper) -> Iterator[None]:
    """Create the tables, and books of 2 kB each."""
    with d1.schema_editor() as editor:
        for model in (Shelf, Book, Word):
            editor.create_model(model)
    run("INSERT INTO shelf (id) VALUES (1), (2)")
    run(
        f"WITH RECURSIVE up(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM up WHERE i < {ROWS}) "
        "INSERT INTO book (id, word, text, is_read, shelf_id) "
        "SELECT i * 3, printf('w%05d', 99999 - i), printf('%02000d', i), 0, 1 FROM up"
    )
    yield


def sizes(queryset: Any) -> list[int]:
    """Return the length of each answer while a queryset is iterated."""
    transport = connections["d1"].connection.transport
    found, post = [], transport.post

    def measured(*args: Any, **kwargs: Any) -> Any:
        results = post(*args, **kwargs)
        if isinstance(results, list):  # else the names of the columns of a union
            found.append(sum(len(str(row)) for result in results for row in result.rows))
        return results

    transport.post = measured
    try:
        assert sum(1 for _one in queryset.iterator()) == ROWS
    finally:
        del transport.post
    return found


@pytest.mark.parametrize(
    "queryset",
    [
        books.all(),
        books.order_by("-pk"),
        books.filter(is_read=False).select_related("shelf").order_by("pk", "word"),
        books.values_list("text", "pk"),
        books.annotate(one=F("shelf_id") + 1).only("text"),
    ],
    ids=["all", "descending", "related", "values", "only"],
)
def test_an_iterator_reads_in_pages_of_about_a_megabyte(queryset: Any) -> None:
    found = sizes(queryset)
    assert len(found) > 3
    assert max(found) < 2_000_000
    assert list(queryset.iterator()) == list(queryset.order_by("pk") if not queryset.ordered else queryset)


@pytest.mark.parametrize(
    "queryset",
    [
        books.order_by("word"),
        books.order_by("?"),
        books.values_list("text"),
        books.all()[:ROWS],
        books.union(books.all()),
    ],
    ids=["another order", "random", "without key", "slice", "union"],
)
def test_rows_without_a_key_to_page_by_come_in_one_answer(queryset: Any) -> None:
    assert len(sizes(queryset)) == 1


def test_rows_that_are_changed_while_they_are_read_are_neither_skipped_nor_repeated() -> None:
    seen = []
    for book in books.filter(is_read=False).iterator(chunk_size=10):
        seen.append(book.pk)
        if len(seen) == FIRST_ROWS // 2:
            rival("UPDATE book SET is_read = 1 WHERE id <= 150")
            rival("DELETE FROM book WHERE id = 3 * 700")
            for pk in (1, 3001):
                rival(
                    "INSERT INTO book (id, word, text, is_read, shelf_id) VALUES (%s, %s, '', 0, 1)", pk, pk
                )
    assert seen == sorted({*range(3, 3 * ROWS + 1, 3), 3001} - {2100})


def test_every_row_can_be_saved_while_it_is_read() -> None:
    books.filter(pk__gt=450).delete()
    for using in ("in autocommit", "in a block"):
        with block():
            books.update(is_read=False)
            if using == "in a block":
                for book in books.filter(is_read=False).iterator(chunk_size=10):
                    books.filter(pk=book.pk).update(is_read=True)
        if using == "in autocommit":
            for book in books.filter(is_read=False).iterator(chunk_size=10):
                book.is_read = True
                book.save()
        assert books.filter(is_read=True).count() == 150


def test_pages_in_a_serializable_block_are_of_one_moment_or_a_conflict() -> None:
    with serializable("d1"), block():
        assert sum(1 for _book in books.iterator()) == ROWS
        Shelf._default_manager.using("d1").create()
    with pytest.raises(TransactionConflict), serializable("d1"), block():
        for number, _book in enumerate(books.iterator(chunk_size=10)):
            if number == 10:
                rival("UPDATE book SET is_read = 1 WHERE id = 3 OR id = 3000")
        Shelf._default_manager.using("d1").create()


def test_a_large_read_in_a_serializable_block_is_guarded_in_parts() -> None:
    for change in ("", "UPDATE book SET is_read = 1 WHERE id = 3000"):
        try:
            with serializable("d1"), block():
                assert len(books.order_by("word")) == ROWS
                Shelf._default_manager.using("d1").create()
                if change:
                    rival(change)
        except TransactionConflict:
            assert change
        else:
            assert not change


def test_keys_that_are_texts_page_too() -> None:
    words = Word._default_manager.using("d1")
    keys = [f"{number:03}'%s" + "é\0" * 700 for number in range(FIRST_ROWS * 2)]
    words.bulk_create([Word(word=key) for key in keys])
    assert list(words.values_list("pk", flat=True).iterator()) == keys


def test_the_first_page_is_small_and_a_page_is_only_fetched_when_it_is_needed() -> None:
    def first() -> None:
        next(books.iterator(chunk_size=10))

    first()
    assert count_round_trips(first) == 1


def test_rows_that_grow_from_page_to_page_are_read_in_smaller_pages() -> None:
    books.filter(pk__gt=1_800).delete()
    books.filter(pk__gt=300).update(text="x" * 80_000)  # 500 rows, as the second page is planned, are 40 MB
    seen = [(book.pk, len(book.text)) for book in books.iterator()]
    assert seen == [(pk, 2_000 if pk <= 300 else 80_000) for pk in range(3, 1_801, 3)]


def test_an_answer_that_is_too_large_names_the_limit_and_what_to_do() -> None:
    with pytest.raises(DataError, match=r"32 MB.*iterator\(\)"):
        run("SELECT hex(zeroblob(500000)) FROM book LIMIT 40")
    assert run("SELECT count(*) FROM (SELECT hex(zeroblob(500000)) FROM book LIMIT 40)") == [(40,)]


def test_rows_that_a_relation_to_many_may_repeat_are_not_paged_by_their_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manager: Any = ContentType.objects
    known = ContentType(pk=1, app_label="d1_pages", model="labelled")
    # else a generic relation reads it there
    monkeypatch.setitem(manager._cache, "default", {("d1_pages", "labelled"): known})
    types = ContentType._default_manager.using("d1")
    for queryset, pages in (
        (types.all(), True),
        (types.filter(permission__codename="add_group"), False),
        (types.annotate(Count("permission")), False),
        (types.extra(tables=["auth_permission"]), False),
        (Labelled._default_manager.using("d1").values("pk", "labels__text"), False),
        (Permission._default_manager.using("d1").filter(content_type__model="group").order_by("pk"), True),
    ):
        sql, _parameters = queryset.query.get_compiler("d1").as_sql()
        assert (sql.page_key is not None) is pages, sql
