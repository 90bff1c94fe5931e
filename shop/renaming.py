"""Renamed pages: when a slug changes, the old address leads to the new one (301).

`RenameableModel` notices it in `save()`, `RenameableQuerySet` in bulk updates; the rows are
`shop.models.Redirect`, which staff see and add to.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self, TypeVar

from django.apps import apps
from django.db import models, transaction
from django.db.models import Q

ModelT = TypeVar("ModelT", bound=models.Model, covariant=True)


class RenameableQuerySet(models.QuerySet[ModelT]):
    """Bulk updates that may rename pages."""

    def update(self, **values: Any) -> int:
        """Update the rows; where their slug changes, redirect the old one."""
        if "slug" not in values:
            return super().update(**values)
        with transaction.atomic(savepoint=False):
            before = dict(self.order_by().values_list("pk", "slug"))
            changed = super().update(**values)
            after = dict(self.model._base_manager.filter(pk__in=before).values_list("pk", "slug"))
            redirect(self.model, {old: after[pk] for pk, old in before.items() if pk in after})
        return changed


class RenameableModel(models.Model):
    """A model whose page has an address made of `slug`."""

    slug: Any
    _stored_slug: str | None = None  # None: not read from the database

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        """Save the row; if its slug changes, redirect the old one."""
        fields = options.get("update_fields")
        if self.pk is None or (fields is not None and "slug" not in fields):
            super().save(*args, **options)
        else:
            with transaction.atomic(savepoint=False):
                stored = self._stored_slug
                if stored is None:
                    rows: models.QuerySet[Any] = type(self)._base_manager.filter(pk=self.pk)
                    stored = rows.values_list("slug", flat=True).first()
                super().save(*args, **options)
                if stored is not None:
                    redirect(type(self), {stored: self.slug})
        self._stored_slug = self.__dict__.get("slug")

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any
    ) -> Self:
        """Return the row, which remembers its slug."""
        row = super().from_db(db, field_names, values, **options)
        row._stored_slug = row.__dict__.get("slug")
        return row


def redirect(model: type[models.Model], renamed: Mapping[str, str]) -> None:
    """Redirect old slugs of a model to the new ones, and what led to the old ones as well."""
    moved = {old: new for old, new in renamed.items() if old != new}
    if not moved:
        return
    kind = str(model._meta.model_name)
    rows = apps.get_model("shop", "Redirect")._default_manager
    # an address that a page has again leads nowhere else
    rows.filter(Q(old__in=[*moved, *moved.values()]), kind=kind).delete()
    for old, new in moved.items():
        rows.filter(kind=kind, new=old).update(new=new)
    rows.bulk_create(rows.model(kind=kind, old=old, new=new) for old, new in moved.items())


def new_slug(model: type[models.Model], slug: str) -> str | None:
    """Return the slug that a page has now; None if it was never renamed."""
    rows = apps.get_model("shop", "Redirect")._default_manager
    found: Iterable[str] = rows.filter(kind=model._meta.model_name, old=slug).values_list("new", flat=True)
    return next(iter(found), None)
