"""Write the demo goods and content pages into the database: deterministic, and only what is missing."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction

from ledger.models import StockItem
from ledger.sales import stock
from shop.demo import catalogue, drawing, pages
from shop.demo.canvas import Drawing
from shop.models import Category, ContentPage, Picture, Product, Specification, Variant

BATCH = 100  # products in one transaction
ROWS = 100  # rows in one statement: databases limit a statement's parameters
SIDE = 1200  # px, of a drawing


@dataclass(frozen=True)
class Loaded:
    """How much was written by a call."""

    products: int
    variants: int
    pictures: int
    pages: int


def load(count: int | None, *, now: datetime, progress: Callable[[int], None] = lambda done: None) -> Loaded:
    """Write `count` products (all that are drawn by hand when None), with stock, pictures and content pages.

    What is there already, by slug, is left as it is: a second call with the same count writes nothing.
    `progress` is called with the number of products done so far.
    """
    categories = _categories()
    present = set(Product.objects.values_list("slug", flat=True))
    goods = catalogue.goods(count)
    products = variants = pictures = 0
    for start, batch in _batches(goods, BATCH):
        new = [(start + place, one) for place, one in enumerate(batch) if one.slug not in present]
        files = {one.drawing: _file(one.drawing) for _place, product in new for one in product.pictures}
        with transaction.atomic():
            written = _write(new, categories, files, now=now)
        products += len(new)
        variants += written[0]
        pictures += written[1]
        progress(start + len(batch))
    return Loaded(products, variants, pictures, _pages())


def _batches(goods: list[catalogue.Product], size: int) -> Iterator[tuple[int, list[catalogue.Product]]]:
    rest = iter(goods)
    start = 0
    while batch := list(islice(rest, size)):
        yield start, batch
        start += len(batch)


def _categories() -> dict[str, Category]:
    for category in catalogue.CATEGORIES:
        Category.objects.get_or_create(
            slug=category.slug,
            defaults={
                "name_ja": category.name.ja,
                "name_en": category.name.en,
                "room_ja": category.room.ja,
                "room_en": category.room.en,
                "description_ja": category.description.ja,
                "description_en": category.description.en,
                "position": category.position,
            },
        )
    return {category.slug: category for category in Category.objects.all()}


def _file(picture: Drawing) -> str:
    """Put a drawing into the media storage under a name made of its content; returns the name."""
    content = drawing.draw(picture).encode()
    name = f"products/{hashlib.sha256(content).hexdigest()[:20]}.svg"
    return name if default_storage.exists(name) else default_storage.save(name, ContentFile(content))


def _write(
    new: Iterable[tuple[int, catalogue.Product]],
    categories: dict[str, Category],
    files: dict[Drawing, str],
    *,
    now: datetime,
) -> tuple[int, int]:
    """Write one batch with a few statements per table; returns the numbers of variants and pictures."""
    goods = list(new)
    products = Product.objects.bulk_create(
        [
            Product(
                category=categories[good.category],
                status=good.status,
                slug=good.slug,
                title_ja=good.title.ja,
                title_en=good.title.en,
                lead_spec_ja=good.lead_spec.ja,
                lead_spec_en=good.lead_spec.en,
                description_ja=good.description.ja,
                description_en=good.description.en,
                featured=good.featured,
                position=place,
            )
            for place, good in goods
        ],
        batch_size=ROWS,
    )
    pairs = [(product, good) for product, (_place, good) in zip(products, goods, strict=True)]
    Specification.objects.bulk_create(
        [
            Specification(
                product=product,
                position=place,
                name_ja=row.name.ja,
                name_en=row.name.en,
                value_ja=row.value.ja,
                value_en=row.value.en,
            )
            for product, good in pairs
            for place, row in enumerate(good.specifications)
        ],
        batch_size=ROWS,
    )
    options = [(product, place, one) for product, good in pairs for place, one in enumerate(good.variants)]
    items = StockItem.objects.bulk_create(
        [StockItem(sku=one.sku) for _p, _n, one in options], batch_size=ROWS
    )
    variants = Variant.objects.bulk_create(
        [
            Variant(
                product=product,
                stock=item,
                sku=one.sku,
                option_ja=one.option.ja,
                option_en=one.option.en,
                price=one.price,
                compare_at_price=one.compare_at_price,
                tax_rate=one.tax_rate,
                kelvin=one.kelvin,
                lumens=one.lumens,
                position=place,
            )
            for (product, place, one), item in zip(options, items, strict=True)
        ],
        batch_size=ROWS,
    )
    stock.receive_many(
        {item.pk: one.stock for (_p, _n, one), item in zip(options, items, strict=True) if one.stock},
        source="demo",
        actor="demo",
        now=now,
    )
    shown: dict[tuple[int, int], list[Variant]] = {}
    for (product, _place, one), variant in zip(options, variants, strict=True):
        shown.setdefault((product.pk, one.picture), []).append(variant)
    pictures = [
        Picture(
            product=product,
            # a picture that only one variant uses belongs to it; what several use belongs to the product
            variant=looks[0] if len(looks) == 1 and len(good.variants) > 1 else None,
            file=files[one.drawing],
            width=SIDE,
            height=SIDE,
            alt_ja=one.alt.ja,
            alt_en=one.alt.en,
            position=place,
        )
        for product, good in pairs
        for place, one in enumerate(good.pictures)
        for looks in [shown.get((product.pk, place), [])]
    ]
    Picture.objects.bulk_create(pictures, batch_size=ROWS)
    return len(variants), len(pictures)


def _pages() -> int:
    """Write the content pages that are missing; returns how many."""
    return sum(
        ContentPage.objects.get_or_create(
            slug=page.slug,
            defaults={
                "title_ja": page.title.ja,
                "title_en": page.title.en,
                "body_ja": page.body.ja,
                "body_en": page.body.en,
            },
        )[1]
        for page in pages.PAGES
    )
