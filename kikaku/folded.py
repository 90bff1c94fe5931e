"""A stored text that an admin search reads: fields of the same row, folded by `kikaku.text.fold`.

`save()` and `bulk_create()` compute it with the row; `FoldedQuerySet` after an update of its sources. Raw SQL
goes past it: `refold()` mends that. The search is "contains" on a plain column, alike on every engine.
"""

from collections.abc import Iterable
from string import Formatter
from typing import Any, TypeVar

from django.db import models, transaction
from django.db.models import Q, QuerySet

from kikaku.text import fold

ModelT = TypeVar("ModelT", bound=models.Model, covariant=True)


class FoldedField(models.TextField):  # type: ignore[type-arg]
    """The folded text of `lines` such as "{family_name}{given_name}"; a line of empty fields is left out.

    For migrations it is a plain text field.
    """

    def __init__(self, *lines: str, **options: Any) -> None:
        self.lines = lines
        self.sources = frozenset(name for line in lines for _, name, _, _ in Formatter().parse(line) if name)
        super().__init__(**{"default": "", "editable": False, **options})

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        """Return the definition of the plain text field."""
        name, _path, _args, options = super().deconstruct()
        return name, "django.db.models.TextField", [], options

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        """Return the text of the row that is saved."""
        text = fold_lines(self.lines, model_instance)
        setattr(model_instance, self.attname, text)
        return text


def fold_lines(lines: Iterable[str], row: Any) -> str:
    """Return the folded lines of a row, without its empty ones."""
    return "\n".join(filter(None, (fold(line.format_map(_Attributes(row))) for line in lines)))


class _Attributes:
    """The attributes of a row, as a mapping for `str.format_map`."""

    def __init__(self, row: Any) -> None:
        self.row = row

    def __getitem__(self, name: str) -> Any:
        return getattr(self.row, name)


class FoldedQuerySet(QuerySet[ModelT]):
    """Bulk writes of rows with a `FoldedField`."""

    def update(self, **values: Any) -> int:
        """Update the rows, and their folded texts if these are made of what changes."""
        if not folded_by(self.model, values):
            return super().update(**values)
        with transaction.atomic(savepoint=False):
            keys = list(self.order_by().values_list("pk", flat=True))
            changed = self.model._base_manager.filter(pk__in=keys)
            count = QuerySet(self.model).filter(pk__in=keys).update(**values) if keys else 0
            refold(changed)
        return count

    def bulk_update(
        self, objs: Iterable[ModelT], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        """Update the rows with their folded texts."""
        rows, names = list(objs), list(fields)
        for field in folded_by(self.model, names):
            names.append(field.attname)
            for row in rows:
                field.pre_save(row, add=False)
        plain: QuerySet[Any] = QuerySet(self.model)
        return plain.bulk_update(rows, names, batch_size)


class FoldedModel(models.Model):
    """A model with a `FoldedField`; `save(update_fields=…)` includes it if its sources are among them."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        """Save the row with its folded text."""
        fields = options.get("update_fields")
        if fields is not None:
            options["update_fields"] = {*fields, *(one.attname for one in folded_by(type(self), fields))}
        super().save(*args, **options)


def folded_by(model: type[models.Model], changed: Iterable[str]) -> list[FoldedField]:
    """Return the folded fields of a model that are made of any of the changed fields."""
    names = set(changed)
    return [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, FoldedField) and not field.sources.isdisjoint(names)
    ]


def refold(rows: "QuerySet[Any]", lines: Iterable[str] = (), name: str = "search_text") -> int:
    """Write the folded text of rows where it is wrong; return how many were.

    A migration, whose models know no `FoldedField`, gives the `lines`.
    """
    wanted = tuple(lines) or rows.model._meta.get_field(name).lines
    wrong = []
    for row in rows.order_by("pk").iterator(chunk_size=500):
        text = fold_lines(wanted, row)
        if getattr(row, name) != text:
            setattr(row, name, text)
            wrong.append(row)
    QuerySet(rows.model).bulk_update(wrong, [name], batch_size=30)  # D1 binds 100 parameters
    return len(wrong)


def contains_folded(text: str, field: str = "search_text") -> Q:
    """Return the condition that a folded field contains a text, however it is written."""
    return Q(**{f"{field}__contains": fold(text)})
