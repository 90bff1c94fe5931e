"""The text that the search reads of each product, stored with it and kept true on every way of writing.

`Product.search_text` is made of the product, its category, variants, specifications and the staff's synonyms.
Signals (a saved or deleted row, cascades, fixtures) and `IndexedQuerySet` (bulk writes) have it made anew in
the transaction of the write. Only raw SQL goes past them: `refresh()` mends that.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self, TypeVar

from django.apps import apps
from django.apps.registry import Apps
from django.db import models, transaction
from django.db.models import OuterRef, Q, Value
from django.db.models.functions import StrIndex
from django.db.models.lookups import GreaterThan
from django.db.models.signals import post_delete, post_save

from kikaku.json_rows import JsonRows, rows
from shop.words import expand, readable

# In the text these signs end the names (title, decisive specification), and the facts; descriptions follow.
END_OF_NAMES, END_OF_FACTS = "\ue000", "\ue001"
BATCH = 25  # products in a statement: D1 binds 100 parameters
# model → the fields that the search reads; another change leaves the text as it is
READ_FIELDS: dict[str, frozenset[str]] = {
    "product": frozenset(
        {
            *("title_ja", "title_en", "keywords", "lead_spec_ja", "lead_spec_en"),
            *("description_ja", "description_en", "category", "category_id", "slug"),
        }
    ),
    "category": frozenset(
        {
            *("name_ja", "name_en", "room_ja", "room_en", "keywords"),
            *("description_ja", "description_en"),
        }
    ),
    "variant": frozenset(
        {"product", "product_id", "sku", "option_ja", "option_en", "kelvin", "lumens", "retired"}
    ),
    "specification": frozenset({"product", "product_id", "name_ja", "name_en", "value_ja", "value_en"}),
    "searchsynonym": frozenset({"words"}),
}
# model → the path from it to the products whose text it is part of; a synonym is part of all
PRODUCTS_OF = {
    "product": "pk",
    "category": "products",
    "variant": "product",
    "specification": "product",
    "searchsynonym": "",
}
ALL = None  # every product, as the answer to: whose text changes?
Products = set[int] | None
ModelT = TypeVar("ModelT", bound=models.Model, covariant=True)

_gathered: ContextVar[list[Products] | None] = ContextVar("gathered", default=None)


@contextmanager
def gathering() -> Iterator[None]:
    """Make texts anew once, at the end of the block, and not after each of its writes.

    The block belongs to one transaction. If it raises, nothing is made anew.
    """
    if _gathered.get() is not None:
        yield
        return
    gathered: list[Products] = []
    token = _gathered.set(gathered)
    try:
        yield
    finally:
        _gathered.reset(token)
    products: set[int] = set()
    for one in gathered:
        if one is ALL:
            refresh()
            return
        products |= one
    _changed(products)


def _changed(products: Products) -> None:
    """Make the texts of products anew, now or at the end of `gathering`."""
    gathered = _gathered.get()
    if gathered is not None:
        gathered.append(products)
    elif products is ALL or products:
        refresh(products)


def refresh(products: Collection[int] | None = ALL, *, registry: Apps = apps) -> int:
    """Make the texts of products (by id) or of all products anew; return how many were wrong.

    Three queries for a few products: synonyms, what the texts are made of, an update of those that differ.
    A migration gives its own `registry` of models.
    """
    model = registry.get_model("shop", "Product")
    synonyms = registry.get_model("shop", "SearchSynonym")._default_manager
    groups = [one.split() for one in synonyms.values_list("words", flat=True)]
    found = model._default_manager.order_by("pk")
    if products is not ALL:
        found = found.filter(pk__in=products)
    wrong = []
    for row in _with_sources(found, registry).iterator(chunk_size=200):
        text = search_text(row, groups)
        if text != row["search_text"]:
            wrong.append(model(pk=row["pk"], search_text=text))
    plain: models.QuerySet[Any] = models.QuerySet(model)
    plain.bulk_update(wrong, ["search_text"], batch_size=BATCH)
    return len(wrong)


def _with_sources(products: "models.QuerySet[Any]", registry: Apps) -> "models.QuerySet[Any, dict[str, Any]]":
    """Return the products as rows with everything that their texts are made of."""
    own = {"product": OuterRef("pk")}
    variant, specification = (
        registry.get_model("shop", name)._default_manager for name in ("Variant", "Specification")
    )
    return products.values(
        *("pk", "search_text", "slug", "title_ja", "title_en", "keywords", "lead_spec_ja", "lead_spec_en"),
        *("description_ja", "description_en", "category__name_ja", "category__name_en", "category__room_ja"),
        *("category__room_en", "category__keywords", "category__description_ja", "category__description_en"),
        variants_json=JsonRows(
            variant.filter(**own, retired=False).order_by("pk"),
            *("sku", "option_ja", "option_en", "kelvin", "lumens"),
        ),
        specifications_json=JsonRows(
            specification.filter(**own).order_by("pk"), *("name_ja", "name_en", "value_ja", "value_en")
        ),
    )


def search_text(row: dict[str, Any], groups: Sequence[Sequence[str]]) -> str:
    """Return the text of a product's row: its names, facts and descriptions, the latter two with synonyms."""
    names = readable(
        row[name] for name in ("title_ja", "title_en", "keywords", "lead_spec_ja", "lead_spec_en")
    )
    facts = readable(_facts(row))
    facts += "\n" + expand(names + "\n" + facts, groups)
    texts = readable(
        row[name]
        for name in (
            "description_ja",
            "description_en",
            "category__description_ja",
            "category__description_en",
        )
    )
    return f"{names}{END_OF_NAMES}{facts}{END_OF_FACTS}{texts}\n{expand(texts, groups)}"


def _facts(row: dict[str, Any]) -> Iterator[str]:
    """Yield what is known of a product besides its names and descriptions."""
    yield row["slug"]
    for name in ("name_ja", "name_en", "room_ja", "room_en", "keywords"):
        yield row[f"category__{name}"]
    for variant in rows(row["variants_json"]):
        yield from (variant["sku"], variant["option_ja"], variant["option_en"])
        if variant["kelvin"]:
            yield f"{variant['kelvin']} K"
        if variant["lumens"]:
            yield f"{variant['lumens']} lm"
    for specification in rows(row["specifications_json"]):
        yield f"{specification['name_ja']} {specification['value_ja']}"
        yield f"{specification['name_en']} {specification['value_en']}"


def place_of(word: str) -> StrIndex:
    """Return where a product's text contains a word (`shop.words.term`), from 1; 0 if it does not."""
    return StrIndex("search_text", Value(word))


def contains_all(words: Iterable[str]) -> Q:
    """Return the condition that a product's text contains all words."""
    return Q(*(GreaterThan(place_of(word), 0) for word in words))


class IndexedQuerySet(models.QuerySet[ModelT]):
    """Bulk writes of rows that the search reads; they send no signals."""

    def update(self, **values: Any) -> int:
        """Update the rows, and the texts of their products."""
        if READ_FIELDS[str(self.model._meta.model_name)].isdisjoint(values):
            return super().update(**values)
        moves = not values.keys().isdisjoint({"product", "product_id"})
        with transaction.atomic(savepoint=False):
            products = self._products()
            keys = list(self.order_by().values_list("pk", flat=True)) if moves else []
            changed = super().update(**values)
            if moves and products is not ALL:
                moved = self.model._base_manager.filter(pk__in=keys)
                products.update(moved.values_list("product", flat=True))
            _changed(products)
        return changed

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Create the rows, and the texts of their products."""
        with transaction.atomic(savepoint=False):
            made: list[Any] = super().bulk_create(objs, *args, **kwargs)
            _changed(_products_of(made))
        return made

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None) -> int:
        """Update the rows, and the texts of their products once."""
        with transaction.atomic(savepoint=False), gathering():
            return super().bulk_update(objs, fields, batch_size)

    def _products(self) -> Products:
        """Return the products whose texts the rows are part of."""
        path = PRODUCTS_OF[str(self.model._meta.model_name)]
        if not path:
            return ALL
        found = self.order_by().values_list(path, flat=True)
        return {pk for pk in found if pk is not None}


class PartOfProduct(models.Model):
    """A row that is part of its product's text; it remembers the product that it had when it was read."""

    product_id: int
    _read_product_id: int | None = None

    class Meta:
        abstract = True

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any
    ) -> Self:
        """Return the row, which remembers its product."""
        row = super().from_db(db, field_names, values, **options)
        row._read_product_id = row.__dict__.get("product_id")
        return row


def _products_of(written: Sequence[models.Model]) -> Products:
    """Return the products whose texts rows that were just written or deleted are part of."""
    if not written:
        return set()
    path = PRODUCTS_OF[str(written[0]._meta.model_name)]
    if not path:
        return ALL
    if path == "products":
        category = [one.pk for one in written]
        product = apps.get_model("shop", "Product")._default_manager
        return set(product.filter(category__in=category).values_list("pk", flat=True))
    return {getattr(one, "pk" if path == "pk" else f"{path}_id") for one in written}


def _on_save(sender: type[models.Model], instance: models.Model, created: bool, **more: Any) -> None:
    """Make the texts anew that a saved row is part of."""
    name, fields = str(sender._meta.model_name), more["update_fields"]
    if (fields is not None and READ_FIELDS[name].isdisjoint(fields)) or (created and name == "category"):
        return
    products = _products_of([instance])
    if products is not ALL and isinstance(instance, PartOfProduct):
        if instance._read_product_id is not None:  # the row may have been moved
            products.add(instance._read_product_id)
        instance._read_product_id = instance.product_id
    _changed(products)


def _on_delete(sender: type[models.Model], instance: models.Model, origin: Any, **more: Any) -> None:
    """Make the texts anew that a deleted row was part of, unless its product goes as well."""
    deleted = origin.model if isinstance(origin, models.QuerySet) else type(origin)
    if deleted is sender:
        _changed(_products_of([instance]))


for _name in READ_FIELDS:
    post_save.connect(_on_save, sender=f"shop.{_name}", dispatch_uid=f"search text {_name}")
for _name in ("variant", "specification", "searchsynonym"):
    post_delete.connect(_on_delete, sender=f"shop.{_name}", dispatch_uid=f"search text {_name}")
