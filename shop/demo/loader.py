"""Writer of the demo goods and content pages: deterministic; existing rows are left unchanged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from kikaku.transactions import unit_of_work
from ledger.models import StockItem
from ledger.sales import stock
from shop.demo import catalogue, drawing, pages, rasters
from shop.demo.canvas import Drawing
from shop.models import Category, ContentPage, Picture, Product, Specification, Variant
from shop.search_index import gathering

PRODUCTS_PER_TRANSACTION = 100
ROWS_PER_STATEMENT = 100  # databases limit the parameters of a statement
DRAWING_SIDE = 1200  # px


@dataclass(frozen=True)
class Loaded:
    """The numbers of rows that a call has written."""

    products: int
    variants: int
    pictures: int
    pages: int


def load(count: int | None, *, now: datetime, progress: Callable[[int], None] = lambda done: None) -> Loaded:
    """Write `count` products with stock and pictures (None: all drawn by hand), and the content pages.

    Rows that exist, by slug, are left unchanged: a second call with the same count writes nothing. `progress`
    is called with the number of products done so far.
    """
    categories = _ensure_categories()
    present = set(Product.objects.values_list("slug", flat=True))
    goods = catalogue.goods(count)
    products = variants = pictures = 0
    for start, batch in _batches(goods, PRODUCTS_PER_TRANSACTION):
        new = [(start + place, good) for place, good in enumerate(batch) if good.slug not in present]
        drawings = [picture.drawing for _place, good in new for picture in good.pictures]
        files = {picture: _store_drawing(picture) for picture in drawings}
        new_variants, new_pictures = _write_batch(new, categories, files, now=now)
        products += len(new)
        variants += new_variants
        pictures += new_pictures
        progress(start + len(batch))
    return Loaded(products, variants, pictures, _ensure_pages())


def _batches(goods: list[catalogue.Product], size: int) -> Iterator[tuple[int, list[catalogue.Product]]]:
    rest = iter(goods)
    start = 0
    while batch := list(islice(rest, size)):
        yield start, batch
        start += len(batch)


def _ensure_categories() -> dict[str, Category]:
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
                "keywords": category.keywords,
            },
        )
    return {category.slug: category for category in Category.objects.all()}


def _store_drawing(picture: Drawing) -> tuple[str, str]:
    """Store a drawing and its JPEG in the media storage, unless they exist; return their names, or ""."""
    svg = drawing.draw(picture)
    jpeg = rasters.raster(svg)
    name = f"products/{rasters.stem(svg)}"
    return _store(f"{name}.svg", svg.encode()), _store(f"{name}.jpg", jpeg) if jpeg else ""


def _store(name: str, content: bytes) -> str:
    """Store a file under a hash of its content, unless it exists; return its name."""
    return name if default_storage.exists(name) else default_storage.save(name, ContentFile(content))


@unit_of_work
def _write_batch(
    new: Sequence[tuple[int, catalogue.Product]],
    categories: dict[str, Category],
    files: dict[Drawing, tuple[str, str]],
    *,
    now: datetime,
) -> tuple[int, int]:
    """Write one batch with a few statements per table; return the numbers of variants and pictures."""
    with gathering():
        return _write_goods(new, categories, files, now=now)


def _write_goods(
    new: Sequence[tuple[int, catalogue.Product]],
    categories: dict[str, Category],
    files: dict[Drawing, tuple[str, str]],
    *,
    now: datetime,
) -> tuple[int, int]:
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
                keywords=good.keywords,
            )
            for place, good in new
        ],
        batch_size=ROWS_PER_STATEMENT,
    )
    pairs = [(product, good) for product, (_place, good) in zip(products, new, strict=True)]
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
        batch_size=ROWS_PER_STATEMENT,
    )
    variants = _write_variants(pairs, now=now)
    return len(variants), _write_pictures(pairs, variants, files)


def _write_variants(
    pairs: list[tuple[Product, catalogue.Product]], *, now: datetime
) -> list[tuple[Variant, catalogue.Variant]]:
    """Write the variants of products with their stock; return each row with its definition."""
    defined = [
        (product, place, variant) for product, good in pairs for place, variant in enumerate(good.variants)
    ]
    items = StockItem.objects.bulk_create(
        [StockItem(sku=variant.sku) for _product, _place, variant in defined], batch_size=ROWS_PER_STATEMENT
    )
    rows = Variant.objects.bulk_create(
        [
            Variant(
                product=product,
                stock=item,
                sku=variant.sku,
                option_ja=variant.option.ja,
                option_en=variant.option.en,
                price=variant.price,
                compare_at_price=variant.compare_at_price,
                tax_class=variant.tax_class,
                kelvin=variant.kelvin,
                lumens=variant.lumens,
                position=place,
            )
            for (product, place, variant), item in zip(defined, items, strict=True)
        ],
        batch_size=ROWS_PER_STATEMENT,
    )
    definitions = [variant for _product, _place, variant in defined]
    stock.receive_many(
        {item.pk: variant.stock for item, variant in zip(items, definitions, strict=True) if variant.stock},
        source="demo",
        actor="demo",
        now=now,
    )
    return list(zip(rows, definitions, strict=True))


def _write_pictures(
    pairs: list[tuple[Product, catalogue.Product]],
    variants: list[tuple[Variant, catalogue.Variant]],
    files: dict[Drawing, tuple[str, str]],
) -> int:
    """Write the pictures of products; return how many."""
    users: dict[tuple[int, int], list[Variant]] = {}  # (product, position of the picture) → its variants
    for row, variant in variants:
        users.setdefault((row.product_id, variant.picture), []).append(row)
    pictures = [
        Picture(
            product=product,
            # a picture of one variant belongs to it; one of several variants belongs to the product
            variant=shown_by[0] if len(shown_by) == 1 and len(good.variants) > 1 else None,
            file=files[picture.drawing][0],
            raster=files[picture.drawing][1],
            width=DRAWING_SIDE,
            height=DRAWING_SIDE,
            alt_ja=picture.alt.ja,
            alt_en=picture.alt.en,
            position=place,
        )
        for product, good in pairs
        for place, picture in enumerate(good.pictures)
        for shown_by in [users.get((product.pk, place), [])]
    ]
    Picture.objects.bulk_create(pictures, batch_size=ROWS_PER_STATEMENT)
    return len(pictures)


def _ensure_pages() -> int:
    """Write the missing content pages; return how many."""
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
